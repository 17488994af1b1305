"""Appendix E: deviations, the share inside the band, the test for balance."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ffcore.config import make_experiment
from ffreport.analysis.appendix import figures_settings, shares
from ffreport.analysis.estimate import CLAIMED, CONTRARY, IN_PART, NOT_COMPARABLE, NOT_RUN
from ffreport.study.study import read_profile

SHARES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
NORMS = ("l2", "l1", "l2sq")


def rows(accuracies, norm="l2", activation="relu", probability="sigmoid", seed=0, **more):
    """One configuration: share of positive units → best accuracy in percent."""
    factors = dict(norm=norm, aggregation="sum", inhibition="none", activation=activation,
                   probability=probability)  # fmt: skip
    return [
        {"dataset": "mnist", "seed": seed, "configuration": "-".join(factors.values()), **factors,
         "positive_fraction": share, "best": value, "last": value, "epochs": 10,
         "epochs_run": np.nan if np.isnan(value) else 10, "stopped": False, "origin": "own", **more}
        for share, value in accuracies.items()
    ]  # fmt: skip


def even(value=90.0):
    return dict.fromkeys(SHARES, value)


def bent(inequality, tilt=0.0):
    """An arch with its top at equal groups, and a slope, in points from end to end."""
    return {s: 90 + inequality * abs(s - 0.5) / 0.45 + tilt * (s - 0.5) / 0.9 for s in SHARES}


def of_experiments(**changes):
    """What a study plans: one network of appendix E."""
    e = make_experiment(**{**dict(
        dataset="mnist", norm="l2", aggregation="sum", inhibition="none", activation="relu",
        probability="sigmoid", positive_fraction=0.25, epochs=10), **changes})  # fmt: skip
    return SimpleNamespace(profile=SimpleNamespace(networks=lambda part: [e]))


def test_deviations_are_from_the_mean_of_the_same_configuration_and_seed():
    frame = pd.DataFrame(
        [*rows({0.25: 70.0, 0.5: 90.0}), *rows({0.25: 20.0, 0.5: 22.0}, norm="l1"),
         *rows({0.25: 50.0, 0.5: 44.0}, seed=1)]
    )  # fmt: skip
    found = shares.deviations(frame)
    assert found["deviation"].tolist() == [-10, 10, -1, 1, 3, -3]
    assert found["mean"].tolist() == [80, 80, 21, 21, 47, 47]


def test_a_configuration_that_lacks_a_share_or_trained_unequally_is_left_out_and_counted():
    uneven = rows(even(), norm="l2sq")
    uneven[3]["epochs_run"] = 5
    frame = pd.DataFrame([*rows(even()), *rows({**even(), 0.9: np.nan}, norm="l1"), *uneven])
    assert set(shares.deviations(frame)["norm"]) == {"l2"}
    assert shares.left_out(frame).startswith("2 of 3 configurations are left out")
    assert shares.left_out(frame.iloc[:7]).startswith("All 1 configurations")


def test_the_band_includes_its_ends():
    found = shares.deviations(pd.DataFrame(rows({0.25: 82.0, 0.5: 98.0})))
    assert shares.within(found).value == 100
    assert shares.within(found, 8 - 1e-12).value == 100, "an end that is met but for rounding"
    assert shares.within(found, 7.99).value == 0


def test_the_interval_resamples_configurations_not_results():
    """Half of 12 configurations all inside, half all outside: 84 results, but 12 clusters."""
    wide = {s: 90.0 + (20 if i % 2 else -20) for i, s in enumerate(SHARES[:6])}
    frame = pd.DataFrame(
        [r for a in ("relu", "tanh") for n in NORMS
         for p, values in (("sigmoid", dict.fromkeys(SHARES[:6], 90.0)), ("symmetric", wide))
         for r in rows(values, n, a, p)]
    )  # fmt: skip
    share = shares.within(shares.deviations(frame))
    assert share.value == 50 and 15 < share.low < 30 and 70 < share.high < 85


def test_an_arch_and_a_slope_are_told_apart():
    frame = pd.DataFrame([*rows(bent(-12, 5)), *rows(bent(0, -3), norm="l1")])
    found = shares.balance(shares.deviations(frame)).set_index("norm")
    assert found.loc["l2", ["inequality", "tilt"]].tolist() == pytest.approx([-12, 5])
    assert found.loc["l1", ["inequality", "tilt"]].tolist() == pytest.approx([0, -3])
    assert found.loc["l1", "best_share"] == "5 %" and found.loc["l1", "near"] == 0


def test_the_best_share_of_ties_is_all_of_them():
    found = shares.balance(shares.deviations(pd.DataFrame(rows(even()))))
    assert found["near"].item() == pytest.approx(100 * 3 / 7)
    assert found["best_share"].item() == "5 %, 10 %, 25 %, 50 %, 75 %, 90 %, 95 %"


def test_two_shares_tell_no_arch_from_a_slope():
    found = shares.balance(shares.deviations(pd.DataFrame(rows({0.25: 70.0, 0.5: 90.0}))))
    assert found[["inequality", "tilt"]].isna().all(axis=None)


def test_the_summary_pools_and_groups_in_the_papers_order():
    frame = pd.DataFrame(
        [*rows(bent(-10), activation="tanh"), *rows(bent(-20)),
         *rows(bent(0, 6), probability="symmetric")]
    )  # fmt: skip
    table = shares.summary(shares.deviations(frame)).set_index(["probability", "activation"])
    assert table.index.tolist() == [
        ("all", "all"), ("sigmoid", "all"), ("sigmoid", "relu"), ("sigmoid", "tanh"),
        ("symmetric", "all"), ("symmetric", "relu"), ("symmetric", "tanh")
    ]  # fmt: skip
    assert table.loc[("sigmoid", "all"), "inequality"] == pytest.approx(-15)
    assert table.loc[("all", "all"), "inequality"] == pytest.approx(-10)
    assert table.loc[("symmetric", "relu"), "spread"] == pytest.approx(6)
    assert table.loc[("symmetric", "tanh"), "results"] == 0


def grid_of(outside):
    """18 configurations, of which so many have two of seven results outside the band."""
    wide = {**even(), 0.05: 70.0, 0.95: 70.0}
    factors = [(n, a, p) for n in NORMS for a in ("relu", "sigmoid", "tanh")
               for p in ("sigmoid", "symmetric")]  # fmt: skip
    return pd.DataFrame(
        [r for i, f in enumerate(factors) for r in rows(wide if i < outside else even(), *f)]
    )


def test_the_verdict_asks_whether_the_interval_holds_the_published_share():
    """9 of 18 configurations with 2 of 7 outside: 86 %. All inside: an interval of no width."""
    study = of_experiments()
    found = shares.shares(grid_of(9), study).set_index(["accuracy", "of"])
    assert found.loc[("best", "all"), "published"] == 85
    assert found.loc[("best", "all"), "within"] == pytest.approx(100 * (1 - 9 * 2 / 126))
    assert set(found["verdict"]) == {CLAIMED}
    assert set(shares.shares(grid_of(0), study)["verdict"]) == {CONTRARY}


def test_no_verdict_in_part_or_under_other_conditions():
    study = of_experiments()
    part = grid_of(9)
    part.loc[0, ["best", "last", "epochs_run"]] = np.nan
    assert set(shares.shares(part, study)["verdict"]) == {IN_PART}
    short = grid_of(9).assign(epochs_run=5)
    assert set(shares.shares(short, study)["verdict"]) == {IN_PART}
    nothing = grid_of(9).assign(best=np.nan, last=np.nan, epochs_run=np.nan)
    assert set(shares.shares(nothing, study)["verdict"]) == {NOT_RUN}
    for other in ({"epochs": 9}, {"dataset": "fashion-mnist"}, {"widths": (500, 500)}):
        found = shares.shares(grid_of(9), of_experiments(**other))
        assert set(found["verdict"]) == {NOT_COMPARABLE}


def test_the_paper_profile_is_appendix_e():
    planned = read_profile("paper").networks("polarity")
    assert len(planned) == 252 and all(shares.as_in_appendix(e) for e in planned)
    assert not any(shares.as_in_appendix(e) for e in read_profile("quick").networks("polarity"))


def test_what_never_learns_does_not_count_for_the_claim_unseen():
    frame = pd.DataFrame([*rows({0.25: 70.0, 0.5: 90.0}), *rows(even(9.8), norm="l1")])
    frame = frame[frame["positive_fraction"].isin([0.25, 0.5])]
    found = shares.shares(frame, of_experiments()).set_index(["accuracy", "of"])
    assert found.loc[("best", "all"), "within"] == 50
    assert found.loc[("best", "those that learn"), "within"] == 0
    said = shares.findings(frame, of_experiments())
    assert "1 of them stay within 5 points of chance" in said


def test_sentences_follow_from_the_numbers():
    frame = pd.DataFrame(
        [r for n in NORMS for a in ("relu", "tanh") for r in rows(bent(-20), n, a)]
    )
    said = shares.findings(frame, of_experiments())
    assert "The most unequal groups change accuracy by −20.0 points against equal ones (" in said
    assert "100 % of the configurations" in said
    flat = pd.DataFrame(
        [r for n in NORMS for a, b in (("relu", 5), ("tanh", -5)) for r in rows(bent(b), n, a)]
    )
    assert "an interval that includes zero" in shares.findings(flat, of_experiments())


def test_nothing_complete_is_said_and_drawn_as_such():
    frame = pd.DataFrame(rows({**even(), 0.5: np.nan}))
    assert "Nothing can be said" in shares.findings(frame, of_experiments())
    found = shares.deviations(frame)
    assert shares.balance(found).empty and len(shares.summary(found)) == 1
    for figure in (figures_settings.deviation_over_share(found, 8),
                   figures_settings.deviation_spread(found, 8, 0.25)):  # fmt: skip
        assert "not run" in figure.axes[0].texts[0].get_text()


def test_the_table_of_accuracies_says_what_was_not_run():
    table = shares.grid(pd.DataFrame([*rows({**even(), 0.9: np.nan}), *rows(even(), "l1")]))
    assert table["norm"].tolist() == ["l2", "l1"]
    assert table.loc[0, "90 %"] == "not run" and table.loc[1, "90 %"] == 90
    assert [c for c in table if c.endswith("%")][0] == "5 %"


def test_the_figures_count_what_is_inside_the_band():
    found = shares.deviations(grid_of(10))
    for axis in figures_settings.deviation_over_share(found, 8).axes:
        assert "84 % of 63 results within ±8 points" in axis.get_title()
    texts = [t.get_text() for t in figures_settings.deviation_spread(found, 8, 0.25).axes[0].texts]
    assert len(texts) == 7 and sum(t.count(" of 21)") for t in texts) == 6
