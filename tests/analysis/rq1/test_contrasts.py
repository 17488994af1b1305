"""Pairs are pairs, units are configurations, and what was cut short is not compared."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from ffcore.config import FACTORS
from ffreport.analysis import estimate
from ffreport.analysis.estimate import Estimate
from ffreport.analysis.rq1 import contrasts
from tests.support.frames import NAN, frame, network, trio, whole_grid


def row_of(table, first="ffa-sigmoid", second="sigmoid", dataset="mnist"):
    return table.set_index(["dataset", "first", "second"]).loc[(dataset, first, second)]


def test_differences_are_within_pairs():
    rows = [*trio("l1-sum-none-relu", 10, 12, 9), *trio("l2-sum-none-relu", 50, 54, 49)]
    table = contrasts.paired(frame(*rows))
    gap = row_of(table)
    assert (gap["pairs"], gap["planned"], gap["difference"], gap["median"]) == (2, 2, 3, 3)
    assert (gap["wins"], gap["rank_biserial"]) == (100, 1)
    assert gap["d_z"] == pytest.approx(3 / np.std([2, 4], ddof=1))
    assert row_of(table, "sigmoid", "symmetric")["difference"] == -4


def test_seeds_are_averaged_within_a_configuration_where_both_sides_have_them():
    rows = [
        *trio("l1-sum-none-relu", 10, 20, NAN),
        *trio("l1-sum-none-relu", 10, 40, NAN, seed=1),
        *trio("l1-sum-none-relu", 10, NAN, NAN, seed=2),
        *trio("l2-sum-none-relu", 10, 15, NAN),
    ]
    gap = row_of(contrasts.paired(frame(*rows)))
    assert (gap["pairs"], gap["difference"]) == (2, (20 + 5) / 2)


@pytest.mark.parametrize(
    ("ffa", "sigmoid", "compared"),
    [
        ({}, {}, True),
        ({"epochs_run": 5}, {}, False),
        ({"epochs_run": 5}, {"epochs_run": 5}, True),
        ({"epochs_run": 30, "stopped": True}, {}, True),
        ({"epochs_run": 30, "stopped": True}, {"epochs_run": 5}, False),
        ({"epochs_run": 30, "stopped": True}, {"epochs_run": 40, "stopped": True}, True),
    ],
)
def test_only_networks_trained_equally_long_are_compared(ffa, sigmoid, compared):
    a = network("l2-sum-none-relu-ffa-sigmoid", 50.0, **ffa)
    b = network("l2-sum-none-relu-sigmoid", 60.0, **sigmoid)
    for rows in ((a, b), (b, a)):
        assert row_of(contrasts.paired(frame(*rows)))["pairs"] == int(compared)


def test_published_differences_are_over_the_same_pairs_and_over_all():
    grid = frame(*whole_grid())
    few = grid.copy()
    few.loc[few["activation"] != "relu", ["best", "last"]] = NAN
    few.loc[few["activation"] != "relu", "origin"] = estimate.NOT_RUN
    gap = row_of(contrasts.paired(few))
    assert (gap["pairs"], gap["planned"]) == (12, 36)
    assert gap["published_difference"] == pytest.approx(gap["difference"])
    assert gap["published_all"] == pytest.approx(row_of(contrasts.paired(grid))["difference"])
    assert gap["published_all"] != pytest.approx(gap["published_difference"])


def test_the_published_grid_against_itself_points_in_its_own_direction():
    table = contrasts.paired(frame(*whole_grid(), *whole_grid("kmnist", shift=NAN)))
    assert table["same_direction"].tolist() == [estimate.YES] * 3 + [estimate.NOT_RUN] * 3
    ran = table[table["pairs"] > 0]
    assert (ran["low"] <= ran["difference"]).all() and (ran["difference"] <= ran["high"]).all()
    assert ran["p_holm"].tolist() == pytest.approx(multipletests(ran["p"], method="holm")[1])
    assert table.loc[table["pairs"] == 0, "p_holm"].isna().all()


def test_direction_says_why_there_is_none():
    assert contrasts.direction(Estimate(2, 1, 3), 5) == estimate.YES
    assert contrasts.direction(Estimate(2, 1, 3), -5) == estimate.NO
    assert contrasts.direction(Estimate(2, -1, 3), 5) == estimate.OPEN
    assert contrasts.direction(Estimate(2), 5) == estimate.TOO_FEW
    assert contrasts.direction(Estimate(2, 1, 3), NAN) == estimate.UNPUBLISHED
    assert contrasts.direction(Estimate(), 5) == estimate.NOT_RUN


def test_whose_results_were_compared_is_told():
    rows = [
        *trio("l1-sum-none-relu", 1, 2, 3, origin="shipped"),
        *trio("l2-sum-none-relu", 1, 2, 3),
    ]
    assert set(contrasts.paired(frame(*rows[:3]))["origin"]) == {"shipped"}
    assert set(contrasts.paired(frame(*rows))["origin"]) == {contrasts.MIXED}


def test_each_accuracy_has_its_own_comparison():
    grid = frame(*whole_grid())
    grid["last"] = grid["best"] - np.where(grid["probability"] == "sigmoid", 5.0, 0.0)
    table = contrasts.by_accuracy(grid).set_index(["accuracy", "first", "second"])
    assert set(table.index.get_level_values(0)) == {"best", "last"}
    moved = table.loc[("best", "ffa-sigmoid", "sigmoid"), "difference"] - 5
    assert table.loc[("last", "ffa-sigmoid", "sigmoid"), "difference"] == pytest.approx(moved)
    held = grid.assign(selected=grid["best"])
    assert "selected" in set(contrasts.by_accuracy(held)["accuracy"])


def test_beside_last_stands_the_published_last_and_beside_the_others_the_published_best():
    grid = frame(*whole_grid())
    grid["last"], grid["selected"] = grid["published_last"], grid["published_best"]
    table = contrasts.by_accuracy(grid)
    assert table["accuracy"].tolist() == ["best"] * 3 + ["last"] * 3 + ["selected"] * 3
    ours, theirs = (table[c].to_numpy() for c in ("difference", "published_difference"))
    assert theirs == pytest.approx(ours)
    assert theirs[:3] == pytest.approx(theirs[6:]) and (abs(theirs[:3] - theirs[3:6]) > 0.1).any()


def test_over_seeds_by_hand():
    values = {0: (90.0, 92.0, 80.0), 1: (91.0, 94.0, 80.0), 2: (89.0, 93.0, 80.0)}
    rows = [r for s, v in values.items() for r in trio("l2-sum-none-relu", *v, seed=s)]
    table = contrasts.over_seeds(frame(*rows))
    gap = row_of(table)
    assert (gap["seeds"], gap["difference"]) == (3, 3)
    assert gap["std"] == pytest.approx(1)
    assert gap["high"] - gap["difference"] == pytest.approx(4.302653 / 3**0.5, rel=1e-5)
    assert gap["p"] == pytest.approx(0.035, abs=0.001)
    assert gap["p_holm"] == pytest.approx(min(1, 3 * table["p"].min()) if gap["p"] ==
                                          table["p"].min() else gap["p_holm"])  # fmt: skip


def test_seeds_that_do_not_differ_give_no_test_and_one_seed_no_row():
    same = [r for s in (0, 1) for r in trio("l2-sum-none-relu", 10, 10, 10, seed=s)]
    table = contrasts.over_seeds(frame(*same))
    assert len(table) == 3 and table["p"].isna().all() and (table["difference"] == 0).all()
    none = contrasts.over_seeds(frame(*trio("l2-sum-none-relu", 10, 20, 30)))
    assert none.empty and list(none) == list(table)


def test_flattery_is_best_minus_last_by_configuration():
    rows = [
        network("l2-sum-none-relu-sigmoid", 90.0, last=88.0, published_best=98.3,
                published_last=98.2),
        network("l2-sum-none-relu-sigmoid", 90.0, seed=1, last=90.0, published_best=98.3,
                published_last=98.2),
        network("l1-sum-none-relu-sigmoid", 50.0, last=45.0, selected=48.0, published_best=70.0,
                published_last=69.5),
        network("l1-sum-none-relu-symmetric", 50.0, last=50.0, epochs_run=5),
        network("l1-sum-none-tanh-symmetric", NAN),
    ]  # fmt: skip
    table = contrasts.flattery(frame(*rows)).set_index(["trained", "probability"])
    row = table.loc[("as planned", "all")]
    assert (row["configurations"], row["networks"], row["epochs_run"]) == (2, 3, 50)
    assert row["gap"] == pytest.approx((1 + 5) / 2)
    assert (row["largest"], row["largest_in"]) == (5, "l1-sum-none-relu-sigmoid")
    assert (row["selected_gap"], row["selected_largest"]) == (2, 2)
    assert row["published_gap"] == pytest.approx((0.1 + 0.5) / 2)
    assert np.isnan(table.loc[("in part", "symmetric"), "published_gap"])
    assert table.loc[("in part", "symmetric"), "networks"] == 1


def test_agreement_is_perfect_with_itself_and_ignores_a_shift():
    grid = frame(*whole_grid(shift=-2.0, after=10))
    table = contrasts.agreement(grid.assign(last=grid["published_last"] - 0.5))
    assert table["accuracy"].tolist() == ["best", "last"]
    assert table[["spearman", "kendall"]].to_numpy() == pytest.approx(np.ones((2, 2)))
    assert table[["within_1", "within_3"]].to_numpy().tolist() == [[0, 100], [100, 100]]
    assert table["mean_difference"].tolist() == pytest.approx([-2, -0.5])
    assert (table[["configurations", "planned"]] == 108).all(axis=None)
    assert table["epochs_run"].tolist() == [10, 10]


def test_agreement_with_a_reversed_grid_is_minus_one():
    grid = frame(*whole_grid())
    given = {"best": 100 - grid["published_best"], "last": grid["published_last"]}
    table = contrasts.agreement(grid.assign(**given))
    assert table[["spearman", "kendall"]].to_numpy() == pytest.approx(np.array([[-1, -1], [1, 1]]))


def test_every_pair_of_probabilities_is_compared_once():
    assert len(contrasts.PAIRS) == 3
    assert {p for pair in contrasts.PAIRS for p in pair} == set(FACTORS["probability"])
    assert contrasts.in_part(
        pd.DataFrame({"epochs_run": [5, 5, 50, NAN], "epochs": 50, "stopped": [False, True] * 2})
    ).tolist() == [True, False, False, False]
