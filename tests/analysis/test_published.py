import numpy as np
import pandas as pd
import pytest

from ffcore.config import FACTORS
from ffcore.errors import ConfigError
from ffreport.analysis import published


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        ("best_accuracy", 432),
        ("table_f3", 432),
        ("curves", 432),
        ("ten_seeds", 54),
        ("latent_measures", 270),
    ],
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

    def printed(*factors):
        row = seeds.loc[("mnist", *factors)]
        return round(row["last_mean"], 3), round(row["last_std"], 2)

    assert printed("l2", "sum", "none", "relu", "sigmoid") == (98.183, 0.08)
    assert printed("l2", "sum", "none", "relu", "ffa-sigmoid") == (95.082, 0.31)
    assert printed("l2sq", "mean", "wta", "sigmoid", "symmetric") == (97.519, 0.13)


def test_every_value_of_table_f3_is_the_best_of_its_curve():
    """The table was typed from the paper, the curves come from the logs."""
    both = published.table_f3().merge(published.curves(), on=["dataset", *FACTORS])
    assert len(both) == 432
    assert both["curve"].map(max).to_numpy() == pytest.approx(both["printed"].to_numpy(), abs=1e-9)


def test_curves_are_percent_after_each_epoch_and_only_cifar_10_stopped_early():
    found = published.curves()
    lengths = found.assign(epochs=found["curve"].map(len)).groupby("dataset")["epochs"]
    assert lengths.agg(["min", "max"]).T.to_dict("list") == {
        "mnist": [50, 50], "kmnist": [50, 50], "fashion-mnist": [50, 50], "cifar-10": [16, 100],
    }  # fmt: skip
    values = np.concatenate(found["curve"].tolist())
    assert 0 <= values.min() and 98 < values.max() <= 100


def test_best_after_ten_epochs_is_the_best_of_the_first_ten():
    table = published.best_accuracy(10).set_index(["dataset", *FACTORS])
    for row in published.curves().to_dict("records"):
        said = table.loc[tuple(row[k] for k in ("dataset", *FACTORS))]
        assert said["published_best"] == max(row["curve"][:10])
        assert said["published_last"] == row["curve"][9]
    whole = published.best_accuracy()
    assert (whole["published_best"].to_numpy() >= table["published_best"].to_numpy()).all()


def test_eighteen_configurations_have_ten_seeds_on_three_data_sets_and_one_of_them_nine():
    seeds = published.ten_seeds()
    assert seeds.groupby("dataset").size().to_dict() == {
        "mnist": 18, "kmnist": 18, "fashion-mnist": 18,
    }  # fmt: skip
    few = seeds[seeds["seeds"] != 10]
    assert few[["dataset", *FACTORS, "seeds"]].to_numpy().tolist() == [
        ["fashion-mnist", "l1", "sum", "wta", "tanh", "sigmoid", 9]
    ]


def test_a_run_of_ten_epochs_counts_up_to_there_and_in_the_authors_own_means():
    short = ("mnist", "l2sq", "sum", "wta", "tanh", "sigmoid")
    runs = published.seed_curves().set_index(["dataset", *FACTORS])["curve"].loc[short].tolist()
    (ten,) = [c for c in runs if len(c) < 50]
    rest = [c for c in runs if len(c) == 50]
    assert (len(ten), len(rest)) == (10, 9)

    def of(epochs=None):
        return published.ten_seeds(epochs).set_index(["dataset", *FACTORS]).loc[short]

    for epochs, used in ((None, runs), (10, runs), (11, rest), (50, rest), (100, rest)):
        last = [c[:epochs][-1] for c in used]
        row = of(epochs)
        assert row["seeds"] == len(used)
        assert row["last_mean"] == pytest.approx(np.mean(last))
        assert row["last_std"] == pytest.approx(np.std(last, ddof=1))
    assert of()["last_mean"] < of(50)["last_mean"]


def test_the_misfiled_run_is_marked_and_in_no_mean():
    seeds = published.seed_curves().set_index(["dataset", *FACTORS])
    assert len(seeds) == 540
    place = ("fashion-mnist", "l2sq", "mean", "none", "relu", "symmetric")
    assert seeds.index[seeds["misfiled"]].tolist() == [place]
    here = seeds.loc[[place]]
    best = here.loc[~here["misfiled"], "curve"].map(max)
    row = published.ten_seeds().set_index(["dataset", *FACTORS]).loc[place]
    assert (len(here), row["seeds"]) == (11, 10)
    assert row["best_mean"] == pytest.approx(best.mean())
    assert abs(here.loc[here["misfiled"], "curve"].map(max).item() - best.mean()) > 4 * best.std()


def test_one_seed_of_table_f3_lies_near_the_ten_seeds_of_the_logs():
    """The runs are others; a curve in the wrong place would tear them apart."""
    both = published.beside(published.best_accuracy(), published.ten_seeds()).dropna()
    assert len(both) == 54
    steady = both[both["best_std"] < 3]
    gap = (steady["published_best"] - steady["best_mean"]).abs()
    assert (gap < 1.0).mean() > 0.8


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
