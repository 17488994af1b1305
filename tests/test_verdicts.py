"""Every published value has its row, and a verdict that follows from the numbers in it."""

import numpy as np
import pandas as pd
import pytest

from ffcore import published, rq1, verdicts
from ffcore.study import Study
from tests.frames import NAN, frame, network, whole_grid

NAME = "l2-sum-none-relu-sigmoid"
BAND = {"published_last": 98.183, "published_last_std": 0.078}


def row_of(table, configuration=NAME, dataset="mnist"):
    named = table.apply(verdicts.configuration, axis=1)
    return table[(named == configuration) & (table["dataset"] == dataset)].squeeze()


def test_every_value_of_table_f3_has_one_row_in_its_order():
    table = verdicts.verdicts(frame(network(NAME, 98.2)))
    theirs = published.best_accuracy()
    assert len(table) == len(theirs) == 432
    assert not table.duplicated(verdicts.KEYS).any()
    assert table["dataset"].unique().tolist() == theirs["dataset"].unique().tolist()
    both = table.merge(theirs, on=verdicts.KEYS)
    assert (both["published"] == both["published_best"]).all()
    assert (table["verdict"] == published.NOT_RUN).sum() == 431


def test_the_band_decides_where_seeds_were_published_and_nothing_elsewhere():
    table = verdicts.verdicts(frame(*whole_grid(), *whole_grid("kmnist", shift=-20.0)))
    said = table.groupby("dataset")["verdict"].value_counts()
    assert said["mnist"].to_dict() == {published.ONE_SEED: 90, published.WITHIN: 18}
    assert said["kmnist"].to_dict() == {published.ONE_SEED: 90, published.OUTSIDE: 18}
    assert said["cifar-10"].to_dict() == {published.NOT_RUN: 108}
    judged = table[table["band_std"].notna() & table["best"].notna()]
    near = (judged["best"] - judged["band_mean"]).abs() <= 3 * judged["band_std"]
    assert (near == (judged["verdict"] == published.WITHIN)).all()


def test_a_part_or_another_data_set_gets_no_verdict():
    cut = verdicts.verdicts(frame(network(NAME, 98.2, epochs_run=5, verdict=published.IN_PART)))
    assert row_of(cut)["verdict"] == published.IN_PART
    other = network(NAME, 90.0, dataset="mnist-5k", verdict=published.NOT_COMPARABLE)
    row = row_of(verdicts.verdicts(frame(other)))
    assert (row["verdict"], row["trained_on"]) == (published.NOT_COMPARABLE, "mnist-5k")
    both = verdicts.verdicts(frame(other, network(NAME, 98.2)))
    assert row_of(both)["trained_on"] == "mnist"


def test_ours_is_the_lowest_seed_with_a_result_and_the_interval_is_over_seeds():
    rows = [network(NAME, NAN), *(network(NAME, b, seed=s) for s, b in ((2, 98.4), (1, 98.2)))]
    rows.append(network(NAME, 90.0, seed=3, epochs_run=5))
    row = row_of(verdicts.verdicts(frame(*rows)))
    assert (row["seed"], row["best"], row["seeds"]) == (1, 98.2, 2)
    assert row["best_mean"] == pytest.approx(98.3)
    assert row["low"] < row["best_mean"] < row["high"]
    assert row["difference"] == pytest.approx(98.2 - row["published"])


def test_all_ten_seed_means_have_a_row_and_z_is_in_published_deviations():
    table = verdicts.ten_seeds(frame(network(NAME, 99.417)))
    assert len(table) == 36 and (table["verdict"] == published.NOT_RUN).sum() == 35
    row = row_of(table)
    assert row["last_mean"] == pytest.approx(98.417)
    assert row["last_z"] == pytest.approx(3.0)
    assert (row["verdict"], row["means"], row["planned"]) == (published.WITHIN, verdicts.ONE, 1)
    assert row_of(verdicts.ten_seeds(frame(network(NAME, 99.42))))["verdict"] == published.OUTSIDE


@pytest.mark.parametrize(("shift", "means"), [(0.0, verdicts.OVERLAP), (-0.2, verdicts.APART)])
def test_several_seeds_tell_whether_the_means_overlap(shift, means):
    draws = 0.05 * np.array([-1, 0, 1, 0.5, -0.5])
    rows = [network(NAME, 99.183 + shift + d, seed=s) for s, d in enumerate(draws)]
    row = row_of(verdicts.ten_seeds(frame(*rows)))
    assert (row["seeds"], row["means"], row["own"]) == (5, means, 5)
    assert row["verdict"] == published.WITHIN


def test_only_whole_trainings_count_where_there_are_some():
    rows = [network(NAME, 99.2), network(NAME, 50.0, seed=1, epochs_run=5)]
    row = row_of(verdicts.ten_seeds(frame(*rows)))
    assert (row["seeds"], row["epochs_run"]) == (1, 50)
    part = verdicts.ten_seeds(frame({**rows[1], "verdict": published.IN_PART}))
    assert row_of(part)["verdict"] == published.IN_PART and np.isnan(row_of(part)["last_z"])


def test_fashion_mnist_has_the_same_configurations_and_no_verdict():
    table = verdicts.without_spread(frame(network(NAME, 88.0, dataset="fashion-mnist")))
    assert len(table) == 18 and set(table["dataset"]) == {"fashion-mnist"}
    row = row_of(table, dataset="fashion-mnist")
    assert row["verdict"] == verdicts.NO_SPREAD
    assert row["best_difference"] == pytest.approx(88 - row["published_best"])
    assert (table["verdict"] == published.NOT_RUN).sum() == 17


def test_counts_add_up():
    table = verdicts.counts(verdicts.verdicts(frame(*whole_grid()))).set_index("dataset")
    assert table.loc["all", "values"] == 432
    assert table.loc["mnist", published.WITHIN] == 18
    kinds = table.drop(columns="values")
    assert (kinds.sum(axis=1) == table["values"]).all()
    assert (kinds.drop("all").sum() == kinds.loc["all"]).all()


def test_summary_counts_and_lists_the_misses():
    grid = frame(*whole_grid())
    grid["last"] = grid["band_last"]
    grid.loc[grid["configuration"] == NAME, "last"] = 98.183 - 10 * 0.078
    text = verdicts.summary(verdicts.ten_seeds(grid))
    assert "17 of 18 configurations" in text and "(94 %); ours has 1 seed." in text
    assert f"{NAME} (97.40 against 98.18 ± 0.08, z = -10.0)" in text
    assert "1.9 % would lie outside on average, 0.3 of 18; 1 or more would with" in text
    assert "The band of 2 of them is wider than ±10 points" in text
    assert "Not run: 18 of 36 (18 on kmnist)." in text


def test_commands_are_for_what_is_lacking_only():
    study = Study("paper")
    rows = [*whole_grid(), *whole_grid("kmnist", shift=NAN)]
    table = verdicts.completing_commands(study, frame(*rows))
    assert table.to_dict("records") == [
        {"dataset": "kmnist", "not_run": 108, "in_part": 0, "of": 108,
         "command": "python pipeline.py train --profile paper --dataset kmnist --only rq1"}
    ]  # fmt: skip
    cut = verdicts.completing_commands(study, frame(*whole_grid(epochs_run=5)))
    assert cut[["not_run", "in_part"]].to_numpy().tolist() == [[0, 108]]
    early = verdicts.completing_commands(study, frame(*whole_grid(epochs_run=5, stopped=True)))
    assert early.empty and list(early) == list(table)


def test_a_command_repeats_what_the_profile_was_called_with():
    study = Study("paper", {"dataset": "kmnist", "seeds": [0]})
    table = verdicts.completing_commands(study, frame(network(NAME, NAN, dataset="kmnist")))
    command = "python pipeline.py train --profile paper --dataset kmnist --seeds 0 --only rq1"
    assert table["command"].tolist() == [command]
    assert isinstance(table, pd.DataFrame)


def test_a_verdict_belongs_to_its_own_network_whatever_the_order_of_data_sets(tmp_path):
    """The paper profile names MNIST, then others, then MNIST's further seeds."""
    frame = rq1.accuracy(Study("paper", results=tmp_path))
    run = frame[(frame["origin"] != published.NOT_RUN) & (frame["epochs_run"] == frame["epochs"])]
    assert set(run["dataset"]) == {"mnist", "fashion-mnist"}
    banded = run["band_last"].notna()
    assert set(run.loc[banded, "verdict"]) <= {published.WITHIN, published.OUTSIDE}
    assert set(run.loc[~banded, "verdict"]) == {published.ONE_SEED}
    assert (frame.loc[frame["origin"] == published.NOT_RUN, "verdict"] == published.NOT_RUN).all()
