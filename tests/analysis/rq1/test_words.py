"""Sentences say what the numbers say, and nothing where there are none."""

import pytest

from ffreport.analysis.rq1 import accuracy, contrasts, convergence, words
from tests.analysis.rq1.test_convergence import failing_ffa
from tests.support.frames import NAN, frame, trio, whole_grid

GRID = frame(*whole_grid(shift=-1.0))


def test_grid_names_best_and_worst_and_counts_failures():
    text = words.grid(GRID)
    assert "**mnist**, 108 of 108 configurations: from 3.1 % (l2-mean-wta-tanh-ffa-sigmoid)" in text
    low = (GRID[GRID["probability"] == "ffa-sigmoid"]["best"] < 20).sum()
    assert f"{low} of 36 below 20 %" in text


def test_comparisons_tell_direction_interval_and_what_lacks():
    table = contrasts.paired(frame(*whole_grid(), *whole_grid("kmnist", shift=NAN)))
    text = words.comparisons(table)
    first = table.iloc[0]
    assert f"+{first['difference']:.1f} points [{first['low']:.1f}, {first['high']:.1f}]" in text
    assert "over 36 of 36 pairs after 50 epochs" in text
    assert text.count("the same direction as published") == 3
    assert "Not run: 3 of the pairs on kmnist." in text
    against = table.assign(difference=-table["difference"], low=-table["high"], high=-table["low"],
                           same_direction=words.NO)  # fmt: skip
    assert "−22.4 points [" in words.comparisons(against)
    assert "against the published +22.4" in words.comparisons(against)


def test_choice_of_accuracy_is_measured_by_its_effect():
    same = GRID.assign(last=GRID["best"])
    text = words.accuracies(contrasts.by_accuracy(same))
    assert "at most 0.00 points, and 0 of 3 intervals change" in text
    worse = GRID.assign(
        last=GRID["best"].where(GRID["probability"] == "ffa-sigmoid", GRID["best"] - 60)
    )
    assert "2 of 3 intervals change" in words.accuracies(contrasts.by_accuracy(worse))


def test_conclusion_compares_the_same_configurations_on_every_side():
    grid = frame(*trio("l2-sum-none-relu", 90, 95, 94), *trio("l1-sum-none-relu", 10, 91, 93),
                 *trio("l1-sum-wta-relu", 99, NAN, NAN))  # fmt: skip
    text = words.conclusion(contrasts.paired(grid), grid)
    assert "Of 3 comparisons 3 have results: 0 point where Table F3 points, 3 where" in text
    assert "2 configurations of the other factors with every probability" in text
    assert "FFA 90.0, sigmoid Polar-FFA 95.0, symmetric Polar-FFA 94.0 %, 5.0 points apart" in text
    assert "their means are 43.5 points apart" in text


@pytest.mark.parametrize("factor", ["norm", "activation"])
def test_no_ranking_of_levels_without_all_of_them(factor):
    whole = words.means(accuracy.means(GRID, factor), factor)
    assert whole.count("as in Table F3") == 3
    part = GRID.copy()
    part.loc[0, ["best", "origin"]] = [NAN, "not run"]
    text = words.means(accuracy.means(part, factor), factor)
    assert text.count("as in Table F3") == 2 and "Not every level was run on mnist" in text


def test_agreement_and_flattery_repeat_their_tables():
    same = GRID.assign(last=GRID["published_last"] - 2)
    best, last = words.agreement(contrasts.agreement(same)).splitlines()
    for line, name, gap in ((best, "best", 1), (last, "last", 2)):
        assert line.startswith(f"- **mnist**, {name}: over 108 of 108 configurations ours and")
        assert "theirs after 50 epochs rank with Spearman ρ = 1.00 [1.00, 1.00]" in line
        assert f"−{gap}.00 points in the mean" in line
    text = words.flattery(contrasts.flattery(GRID))
    assert "108 networks trained as planned (50 epochs): best is 1.00 points" in text
    assert "In the authors' runs after as many epochs it is 2.61." in text
    none = words.flattery(contrasts.flattery(GRID.assign(published_last=NAN)))
    assert "best is 1.00 points" in none and "authors" not in none
    assert "No network of this profile held images out" in text
    held = words.flattery(contrasts.flattery(GRID.assign(selected=GRID["best"] - 0.5)))
    assert "Best is 0.50 points [0.50, 0.50] above the epoch that held-out images select" in held


def test_seeds_are_counted_after_correction():
    assert "nothing to test" in words.seeds(contrasts.over_seeds(GRID))
    rows = [r for s, d in enumerate((0, 0.1, -0.1)) for r in trio("l2-sum-none-relu", 80 + d, 90,
                                                                  90.05 - d, seed=s)]  # fmt: skip
    text = words.seeds(contrasts.over_seeds(frame(*rows)))
    assert "**mnist**: 2 of 3 differences stand out of the seeds" in text


def test_convergence_says_what_failures_do():
    found = failing_ffa()
    text = words.convergence(convergence.comparison(found), convergence.means(found))
    assert "3 networks of FFA never learn (best below 20 %). Their mean area is 0.000" in text
    assert "too few for an interval" in text


def test_formats_leave_texts_and_whole_numbers_alone():
    table = contrasts.paired(GRID).assign(area=0.5)
    chosen = words.formats(table)
    assert chosen["p_holm"] == ".2g" and chosen["epochs_run"] == ".0f" and chosen["area"] == ".4f"
    assert "pairs" not in chosen and "dataset" not in chosen


def test_nothing_run_is_said():
    assert "Nothing was run" in words.grid(frame(*whole_grid(shift=NAN)))
