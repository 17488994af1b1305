import math

import pandas as pd
import pytest

from ffcore import published
from ffcore.config import FACTORS
from ffcore.errors import ConfigError


@pytest.mark.parametrize(
    ("table", "rows"),
    [("best_accuracy", 432), ("ten_seeds", 36), ("latent_measures", 180)],
)
def test_every_published_row_is_there_once_with_legal_factors(table, rows):
    frame = getattr(published, table)()
    assert len(frame) == rows
    assert not frame.duplicated(["dataset", *FACTORS]).any()
    for factor, legal in FACTORS.items():
        assert set(frame[factor]) <= set(legal)


def test_figures_that_the_papers_text_names_are_right():
    """Independent of the file: the three configurations that the project's README reports."""
    seeds = published.ten_seeds().set_index(["dataset", *FACTORS])
    row = seeds.loc[("mnist", "l2", "sum", "none", "relu", "sigmoid")]
    assert (row["last_mean"], round(row["last_std"], 2)) == (98.183, 0.08)
    row = seeds.loc[("mnist", "l2", "sum", "none", "relu", "ffa-sigmoid")]
    assert (row["last_mean"], round(row["last_std"], 2)) == (95.082, 0.31)
    row = seeds.loc[("mnist", "l2sq", "mean", "wta", "sigmoid", "symmetric")]
    assert (row["last_mean"], round(row["last_std"], 2)) == (97.519, 0.13)


def test_one_seed_of_table_f3_lies_near_the_ten_seeds_of_the_logs():
    """The two sources are independent; a column typed in the wrong place would tear them apart."""
    both = published.beside(published.best_accuracy(), published.ten_seeds()).dropna()
    assert len(both) == 36
    steady = both[both["best_std"] < 3]
    gap = (steady["published_best"] - steady["best_mean"]).abs()
    assert (gap < 1.0).mean() > 0.8


def test_verdicts():
    assert published.verdict(98.0, 98.2, 0.1) == published.WITHIN
    assert published.verdict(97.8, 98.2, 0.1) == published.OUTSIDE
    assert published.verdict(98.0, 98.2) == published.ONE_SEED
    assert published.verdict(98.0, 98.2, 0.1, comparable=False) == published.NOT_COMPARABLE
    assert published.verdict(None, 98.2, 0.1) == published.NOT_RUN
    assert published.verdict(math.nan, 98.2, 0.1) == published.NOT_RUN


def test_ours_is_shown_beside_the_counterpart_and_nan_where_nothing_was_published():
    factors = dict(norm="l2", aggregation="sum", inhibition="none", activation="relu",
                   probability="sigmoid")  # fmt: skip
    ours = pd.DataFrame([{"dataset": "mnist-5k", **factors, "best": 90.0}])
    there = published.beside(ours, published.best_accuracy(), published.counterpart("mnist-5k"))
    assert there["published_best"].notna().all() and there["dataset"].tolist() == ["mnist-5k"]
    assert published.beside(ours, published.best_accuracy())["published_best"].isna().all()


def test_every_group_has_a_source_and_an_unknown_one_an_error():
    assert "2408.09210" in published.source("best_accuracy")
    with pytest.raises(ConfigError, match="did you mean 'ten_seeds'"):
        published.source("ten_seed")
