"""Every published value has its row, and a verdict that follows from the numbers in it."""

import numpy as np
import pandas as pd
import pytest

from ffreport.analysis import estimate, published
from ffreport.analysis.rq1 import accuracy, verdicts
from ffreport.study.study import Study
from tests.support.frames import NAN, frame, network, whole_grid

NAME = "l2-sum-none-relu-sigmoid"
# Mean and standard deviation of the last accuracy of its ten seeds on MNIST.
MEAN, STD = 98.183, 0.0779
AFTER_10 = 96.866, 0.1269


def test_the_band_holds_its_ends_and_what_is_no_verdict_says_why():
    assert verdicts.in_band(98.0, 98.2, 0.1) == verdicts.WITHIN
    assert verdicts.in_band(97.8, 98.2, 0.1) == verdicts.OUTSIDE
    assert verdicts.in_band(0.1 + 0.2, 0.0, 0.1) == verdicts.WITHIN, "3 · 0.1 < 0.1 + 0.2"
    assert verdicts.in_band(98.0, 98.2, NAN) == estimate.ONE_SEED
    assert verdicts.in_band(98.0, NAN, NAN) == estimate.UNPUBLISHED
    assert verdicts.in_band(98.0, 98.2, 0.1, comparable=False) == estimate.NOT_COMPARABLE
    assert verdicts.in_band(NAN, 98.2, 0.1) == verdicts.in_band(NAN, NAN, NAN) == estimate.NOT_RUN


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
    assert (table["verdict"] == estimate.NOT_RUN).sum() == 431


def test_the_band_decides_where_seeds_were_published_and_nothing_elsewhere():
    table = verdicts.verdicts(frame(*whole_grid(), *whole_grid("kmnist", shift=-20.0)))
    said = table.groupby("dataset")["verdict"].value_counts()
    assert said["mnist"].to_dict() == {estimate.ONE_SEED: 90, verdicts.WITHIN: 18}
    assert said["kmnist"].to_dict() == {estimate.ONE_SEED: 90, verdicts.OUTSIDE: 18}
    assert said["cifar-10"].to_dict() == {estimate.NOT_RUN: 108}
    judged = table[table["band_std"].notna() & table["best"].notna()]
    near = (judged["best"] - judged["band_mean"]).abs() <= 3 * judged["band_std"]
    assert (near == (judged["verdict"] == verdicts.WITHIN)).all()


def test_a_network_cut_short_is_judged_by_theirs_after_as_many_epochs():
    after = published.best_accuracy(10).rename(columns={"published_best": "after"})
    after = row_of(after)["after"]
    (cut,) = [r for r in whole_grid(after=10) if r["configuration"] == NAME]
    row = row_of(verdicts.verdicts(frame(cut)))
    assert row["published"] == 98.26 and row["compared"] == after < 97
    assert row["difference"] == pytest.approx(cut["best"] - after)
    assert (row["band_mean"], row["band_std"]) == pytest.approx(AFTER_10, abs=1e-4)
    said = [row_of(verdicts.verdicts(frame(r | {"best": b})))["verdict"]
            for r in (cut, cut | {"epochs_run": 50.0}) for b in (96.87, 98.26)]  # fmt: skip
    assert said == [verdicts.WITHIN, verdicts.OUTSIDE, verdicts.OUTSIDE, verdicts.WITHIN]


def test_another_data_set_gets_no_verdict():
    other = network(NAME, 90.0, dataset="mnist-5k", verdict=estimate.NOT_COMPARABLE)
    row = row_of(verdicts.verdicts(frame(other)))
    assert (row["verdict"], row["trained_on"]) == (estimate.NOT_COMPARABLE, "mnist-5k")
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


def last(value, **changes):
    """The row of ``NAME`` in ``ten_seeds`` where ours has a last accuracy."""
    return row_of(verdicts.ten_seeds(frame(network(NAME, 99.9, last=value, **changes))))


def test_all_ten_seed_means_have_a_row_and_z_is_in_published_deviations():
    table = verdicts.ten_seeds(frame(network(NAME, 99.9, last=MEAN + 2 * STD)))
    assert len(table) == 54 and (table["verdict"] == estimate.NOT_RUN).sum() == 53
    assert table["dataset"].value_counts().to_dict() == {
        "mnist": 18, "kmnist": 18, "fashion-mnist": 18,
    }  # fmt: skip
    row = row_of(table)
    assert row["last_mean"] == pytest.approx(MEAN + 2 * STD)
    assert row["last_z"] == pytest.approx(2.0, abs=1e-3)
    assert (row["verdict"], row["means"], row["planned"]) == (verdicts.WITHIN, verdicts.ONE, 1)
    assert last(MEAN - 2.99 * STD)["verdict"] == verdicts.WITHIN
    assert last(MEAN + 3.01 * STD)["verdict"] == verdicts.OUTSIDE


def test_ten_seeds_are_looked_at_after_as_many_epochs_as_ours():
    mean, std = AFTER_10
    row = last(mean + 2 * std, epochs_run=10)
    assert (row["epochs_run"], row["epochs"], row["verdict"]) == (10, 50, verdicts.WITHIN)
    assert (row["published_last"], row["published_last_std"]) == pytest.approx(AFTER_10, abs=1e-4)
    assert row["last_z"] == pytest.approx(2, abs=1e-2)
    assert last(mean + 2 * std)["verdict"] == verdicts.OUTSIDE
    assert last(MEAN, epochs_run=10)["verdict"] == verdicts.OUTSIDE


def test_the_seed_that_ended_after_ten_epochs_counts_up_to_there():
    name = "l2sq-sum-wta-tanh-sigmoid"
    seeds = [row_of(verdicts.ten_seeds(frame(network(name, 97.0, epochs_run=n))), name)
             ["published_seeds"] for n in (10, 11, 50)]  # fmt: skip
    assert seeds == [10, 9, 9]


@pytest.mark.parametrize(("shift", "means"), [(0.0, verdicts.OVERLAP), (-0.2, verdicts.APART)])
def test_several_seeds_tell_whether_the_means_overlap(shift, means):
    draws = 0.05 * np.array([-1, 0, 1, 0.5, -0.5])
    rows = [network(NAME, 99.183 + shift + d, seed=s) for s, d in enumerate(draws)]
    row = row_of(verdicts.ten_seeds(frame(*rows)))
    assert (row["seeds"], row["means"], row["own"]) == (5, means, 5)
    assert row["verdict"] == verdicts.WITHIN


def test_only_whole_trainings_count_where_there_are_some():
    rows = [network(NAME, 99.2), network(NAME, 50.0, seed=1, epochs_run=5)]
    row = row_of(verdicts.ten_seeds(frame(*rows)))
    assert (row["seeds"], row["epochs_run"]) == (1, 50)
    part = row_of(verdicts.ten_seeds(frame(*rows[1:], rows[1] | {"seed": 2, "epochs_run": 4})))
    assert (part["seeds"], part["epochs_run"], part["verdict"]) == (1, 5, verdicts.OUTSIDE)


def test_a_network_on_fashion_mnist_is_judged_by_the_seeds_of_fashion_mnist():
    row = {"dataset": "fashion-mnist", "last": 88.6}
    table = verdicts.ten_seeds(frame(network(NAME, 88.8, **row)))
    said = row_of(table, dataset="fashion-mnist")
    assert said["published_last"] == pytest.approx(88.564)
    assert said["verdict"] == verdicts.WITHIN
    assert row_of(table)["verdict"] == estimate.NOT_RUN


def test_counts_add_up():
    table = verdicts.counts(verdicts.verdicts(frame(*whole_grid()))).set_index("dataset")
    assert table.loc["all", "values"] == 432
    assert table.loc["mnist", verdicts.WITHIN] == 18
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
    assert "Not run: 36 of 54 (18 on kmnist, 18 on fashion-mnist)." in text


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
    frame = accuracy.accuracy(Study("paper", results=tmp_path))
    run = frame[frame["origin"] != estimate.NOT_RUN]
    assert {"mnist", "fashion-mnist"} <= set(run["dataset"])
    near = (run["last"] - run["band_last"]).abs() <= estimate.BAND * run["band_last_std"]
    said = np.select([run["band_last"].isna(), near], [estimate.ONE_SEED, verdicts.WITHIN],
                     verdicts.OUTSIDE)  # fmt: skip
    assert run["verdict"].tolist() == said.tolist()
    assert {estimate.ONE_SEED, verdicts.WITHIN} <= set(said)
    assert (frame.loc[frame["origin"] == estimate.NOT_RUN, "verdict"] == estimate.NOT_RUN).all()
