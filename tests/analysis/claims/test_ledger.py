"""The ledger: each claim has its evidence, and a verdict says no more than seeds and conditions."""

import math
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ffcore.errors import ConfigError
from ffreport.analysis.claims import figure as plots_claims
from ffreport.analysis.claims import ledger, networks, theory
from ffreport.analysis.claims.material import Material, Measured
from ffreport.analysis.estimate import Estimate
from ffreport.publish.notebooks import catalogue
from ffreport.study.study import Study
from tests.support.frames import frame, network, whole_grid

ROOT = Path(__file__).parents[3]
LEDGER = {claim.name: claim for claim in ledger.ledger()}
ABOVE = LEDGER["accuracy_sigmoid"]


def found(value=2.0, low=1.0, high=3.0, seeds=10, **lacks):
    return Measured("mnist", Estimate(value, low, high), seeds, **lacks)


def verdict_on(claim, measured):
    return ledger.word(ledger.judge(claim, measured))


def content(**changes):
    values = yaml.safe_load(
        (ROOT / "ffreport/analysis/claims/ledger.yaml").read_text(encoding="utf-8")
    )
    values["polar_ffa"]["claims"][0] |= changes
    return values


def material(level):
    """Of frames that need no study."""
    made = Material(None)
    made.__dict__.update(level=level, frame=level)
    return made


def test_every_claim_links_to_a_figure_or_table_that_a_report_has():
    there = {
        f"{info.name}#{kind}-{name}"
        for info in catalogue.catalogue(ROOT / "notebooks")
        for kind, names in (("figure", info.figures), ("table", info.tables))
        for name in names
    }
    assert {claim.evidence for claim in ledger.every()} <= there
    assert ABOVE.link == "rq1_accuracy.html#figure-rq1_differences"


def test_every_test_is_used_and_every_claim_has_one():
    tests = {**networks.TESTS, **theory.TESTS}
    assert {claim.test for claim in ledger.every()} == set(tests)


@pytest.mark.parametrize(
    "changes, word",
    [
        ({"evidences": "x"}, "evidences"),
        ({"holds": {"above": 1, "below": 2}}, "one of above, below and between"),
        ({"holds": {}}, "one of above"),
        ({"evidence": "somewhere"}, "evidence"),
        ({"seeds": -1}, "seeds"),
        ({"where": "elsewhere"}, "where"),
        ({"name": "accuracy_symmetric"}, "the name is taken"),
    ],
)
def test_a_wrong_entry_is_refused_by_its_claim_and_key(changes, word):
    with pytest.raises(ConfigError, match="claim") as caught:
        ledger.read(content(**changes))
    assert word in str(caught.value)


@pytest.mark.parametrize(
    "measured, verdict",
    [
        (found(), ledger.REPRODUCED),
        (found(-2, -3, -1), ledger.CONTRADICTED),
        (found(1, -1, 3), ledger.NOISE),
        (found(1, 0, 3), ledger.NOISE),
        (found(1, 1e-15, 3), ledger.NOISE),
        (found(seeds=0), ledger.UNDERPOWERED),
        (found(elsewhere="on mnist-5k"), ledger.UNDERPOWERED),
        (found(lacking="24 of 36 pairs"), ledger.UNDERPOWERED),
        (found(low=math.nan, high=math.nan), ledger.UNDERPOWERED),
        (found(math.nan, math.nan, math.nan), ledger.NOT_RUN),
        (found(math.nan, math.nan, math.nan, elsewhere="on mnist-5k"), ledger.UNDERPOWERED),
    ],
)
def test_a_verdict_needs_seeds_conditions_and_a_whole_interval_on_one_side(measured, verdict):
    assert verdict_on(ABOVE, measured) == verdict


@given(st.floats(-100, 100), st.floats(0.001, 50), st.integers(0, 20))
def test_nothing_on_other_conditions_is_more_than_underpowered(value, half, seeds):
    one = found(value, value - half, value + half, seeds, elsewhere="on mnist-5k")
    for claim in LEDGER.values():
        if claim.where == "paper":
            assert verdict_on(claim, one) == ledger.UNDERPOWERED


def test_between_holds_inside_and_fails_outside():
    claim = ABOVE.model_copy(update={"holds": ledger.Holds(between=(0, 10))})
    assert str(claim.holds) == "0 to 10"
    assert verdict_on(claim, found(5, 4, 6)) == ledger.REPRODUCED
    assert verdict_on(claim, found(12, 11, 13)) == ledger.CONTRADICTED
    assert verdict_on(claim, found(10, 9, 11)) == ledger.NOISE


OF_THE_GRID = ("accuracy", "failing", "spread", "best_norm", "order")


def one(test, material, **arguments):
    (measured,) = networks.TESTS[test](material, **arguments)
    return measured


def test_the_published_grid_as_ours_reproduces_what_its_table_says():
    grid = frame(*whole_grid())
    whole = material(grid.assign(last=grid["published_last"]))
    for claim in LEDGER.values():
        if claim.test in OF_THE_GRID:
            measured = one(claim.test, whole, **claim.arguments)
            assert measured.elsewhere == measured.lacking == "" and measured.seeds == 1
            assert "epochs" not in str(measured.estimate)
            expected = ledger.CONTRADICTED if claim.name == "norm_of_ffa" else ledger.REPRODUCED
            assert verdict_on(claim, measured) == expected, claim.name
            assert measured.last is not None
            if measured.published:
                assert float(measured.published) == pytest.approx(measured.estimate.value, abs=0.06)


@pytest.mark.parametrize("claim", [c for c in LEDGER.values() if c.test in OF_THE_GRID],
                         ids=lambda c: c.name)  # fmt: skip
def test_a_whole_grid_cut_short_is_judged_and_says_after_how_many_epochs(claim):
    measured = one(claim.test, material(frame(*whole_grid(after=10))), **claim.arguments)
    assert verdict_on(claim, measured) in (ledger.REPRODUCED, ledger.CONTRADICTED, ledger.NOISE)
    assert measured.elsewhere == measured.lacking == ""
    assert str(measured.estimate).endswith(", after 10 of 50 epochs")
    if measured.published:
        assert float(measured.published) == pytest.approx(measured.estimate.value, abs=0.06)


@pytest.mark.parametrize(
    ("name", "lacks"),
    [("accuracy_sigmoid", "30 of 36 pairs"), ("failing_sigmoid", "30 of 36 pairs"),
     ("order_of_configurations", "102 of 108 configurations"),
     ("norm_of_ffa", "6 of 12 configurations"),
     ("dependence_on_factors", "30 of 36 configurations")],
)  # fmt: skip
@pytest.mark.parametrize("after", [None, 10])
def test_a_part_of_a_grid_is_underpowered_and_says_how_much_of_it_there_is(name, lacks, after):
    claim = LEDGER[name]
    grid = frame(*whole_grid(after=after))
    cut = (grid["probability"] == "ffa-sigmoid") & (grid["norm"] == "l1")
    cut &= grid["aggregation"] == "sum"
    assert cut.sum() == 6
    grid.loc[cut, ["best", "last", "epochs_run"]] = math.nan
    grid.loc[cut, "origin"] = "not run"
    measured = one(claim.test, material(grid), **claim.arguments)
    assert verdict_on(claim, measured) == ledger.UNDERPOWERED
    assert (measured.elsewhere, measured.lacking) == ("", lacks)
    assert ("after 10 of 50 epochs" in str(measured.estimate)) == (after == 10)


@pytest.fixture
def rows_of(monkeypatch, tmp_path):
    """The rows of a claim in the ledger, measured on a frame."""

    def found(claim, grid):
        monkeypatch.setattr(
            "ffreport.analysis.claims.material.Material", lambda study: material(grid)
        )
        return ledger.table(Study("paper", results=tmp_path), [claim]).to_dict("records")

    return found


def test_with_last_gives_the_same_of_last_and_the_verdict_where_that_is_another(rows_of):
    grid = frame(*whole_grid())
    grid["last"] = grid["best"]
    (row,) = rows_of(ABOVE, grid)
    assert row["verdict"] == ledger.REPRODUCED
    assert row["with_last"] == ledger.measured(row)
    fallen = grid["probability"] == "sigmoid"
    grid.loc[fallen, "last"] = grid["best"] - 60
    (row,) = rows_of(ABOVE, grid)
    assert row["verdict"] == ledger.REPRODUCED
    assert row["with_last"].startswith("-37.6 [") and row["with_last"].endswith("], contradicted")
    line = f"after the last epoch instead of the best: {row['with_last']}"
    assert line in ledger.plain(pd.DataFrame([row]))


def test_a_claim_that_is_not_of_accuracies_has_none_with_last(shipped):
    assert (shipped["with_last"] == "").all()


def test_a_part_of_the_grid_tells_in_the_ledger_how_much_not_how_long(rows_of):
    grid = frame(*whole_grid(after=10))
    grid.loc[grid.index[:36], ["best", "last", "epochs_run"]] = math.nan
    (row,) = rows_of(ABOVE, grid)
    assert row["verdict"] == ledger.UNDERPOWERED
    assert row["because"] == "24 of 36 pairs; so far as claimed"
    assert row["over"] == "24 pairs of configurations, after 10 of 50 epochs"


def test_the_bands_count_configurations_and_their_wilson_interval():
    rows = [r | {"last": r["band_last"]} for r in whole_grid()]
    measured = one("within_bands", material(frame(*rows)))
    assert measured.estimate.value == 100 and str(measured.estimate) == "18 configurations"
    assert 80 < measured.estimate.low < 90 and measured.estimate.high == pytest.approx(100)


def test_bands_of_a_part_of_the_configurations_are_underpowered():
    rows = whole_grid(after=10)
    some = [r | {"last": r["band_last"]} for r in rows if r["norm"] != "l1"]
    measured = one("within_bands", material(frame(*some)))
    there = sum(r["band_last"] == r["band_last"] for r in some)
    assert 0 < there < 18 and measured.estimate.value == 100
    assert measured.lacking == f"{there} of 18 configurations"
    assert str(measured.estimate) == f"{there} configurations, after 10 of 50 epochs"
    assert verdict_on(LEDGER["ten_seeds"], measured) == ledger.UNDERPOWERED


def test_stability_compares_spreads_over_seeds_of_single_configurations():
    names = {"l2-sum-none-relu-ffa-sigmoid": 3.0, "l2-sum-wta-relu-ffa-sigmoid": 2.0,
             "l2-sum-none-relu-sigmoid": 0.2, "l2-sum-wta-relu-sigmoid": 0.1}  # fmt: skip
    rows = [network(n, 90 + w * s, seed=s) for n, w in names.items() for s in range(5)]
    claim = LEDGER["stability_over_seeds"]
    measured = one("seed_spread", material(frame(*rows)), **claim.arguments)
    assert measured.seeds == 5 and measured.estimate.value < -2
    few = [network("l1-sum-none-relu-ffa-sigmoid", 90 + 9 * s, seed=s) for s in range(3)]
    assert one("seed_spread", material(frame(*rows, *few)), **claim.arguments) == measured
    assert verdict_on(claim, measured) == ledger.NOISE  # two configurations a side are few


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The ledger on what travels with the project."""
    study = Study("paper", results=tmp_path_factory.mktemp("results"))
    chosen = ("theorem", "ten_seeds", "sparsity", "prediction", "polarity", "proposition")
    return ledger.table(study, [c for c in LEDGER.values() if c.name.startswith(chosen)])


def test_shipped_runs_settle_the_sparsity_claims(shipped):
    said = shipped.groupby("claim")["verdict"].first()
    assert said["theorem_1"] == ledger.REPRODUCED
    assert said["theorem_2_positives"] == said["theorem_2_negatives"] == ledger.CONTRADICTED
    assert said["prediction"] == ledger.REPRODUCED
    assert said["sparsity_rises"] == ledger.CONTRADICTED
    assert said["polarity_within"] == ledger.NOT_RUN


def test_rows_tell_what_they_are_measured_over_and_what_is_lacking(shipped):
    assert set(shipped["verdict"]) <= set(ledger.VERDICTS)
    settled = shipped["verdict"].isin([ledger.REPRODUCED, ledger.CONTRADICTED, ledger.NOISE])
    assert (shipped["because"] != "")[~settled].all() and (shipped["because"] == "")[settled].all()
    assert ledger.counts(shipped).count(",") == shipped["verdict"].nunique() - 1
    text = ledger.markdown(shipped)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {10}  # nine cells each
    assert "(sparsity_theorems.html#figure-sparsity_theorem2)" in text
    assert all(f"{name}:" in ledger.plain(shipped) for name in shipped["claim"])


def test_open_rows_tell_which_trainings_they_lack_and_a_terminal_how_long_these_take(shipped):
    open_ = ~shipped["verdict"].isin([ledger.REPRODUCED, ledger.CONTRADICTED])
    assert (shipped["lacking"] != "").equals(open_)
    said = shipped.groupby(["claim", "dataset"])["lacking"].first()
    assert said["polarity_within", "mnist"] == "219 networks of polarity on mnist (seed 0)"
    assert "would begin at 82 %" in said["ten_seeds", "mnist"]
    assert said["theorem_1", "fashion-mnist"].endswith("the claim is of mnist")
    here = [f"about {n} min here" for n in range(len(shipped))]
    (number,) = [i for i, c in enumerate(shipped["claim"]) if c == "polarity_within"]
    assert f"polarity on mnist (seed 0): about {number} min here" in ledger.plain(shipped, here)
    assert " here" not in "".join(shipped["lacking"]), "reports do not depend on the machine"


def test_the_figure_shows_every_row_in_the_colour_of_its_verdict(shipped):
    figure = plots_claims.forest(shipped)
    assert len(figure.axes[0].get_yticklabels()) == len(shipped)
    legend = [t.get_text() for t in figure.legends[0].get_texts()]
    assert f"reproduced ({(shipped['verdict'] == 'reproduced').sum()})" in legend


def test_places_are_in_half_widths_and_positive_on_the_claimed_side():
    row = {"value": 3.0, "low": 2.0, "high": 5.0}
    above, below = (ledger.Holds(above=0).ends, ledger.Holds(below=0).ends)
    assert plots_claims._place(row, above) == 3.0
    assert plots_claims._place(row, below) == -3.0
    assert math.isnan(plots_claims._place(row | {"low": math.nan}, above))
    exact = row | {"low": 3.0, "high": 3.0}
    assert plots_claims._place(exact, above) == plots_claims.REACH


@pytest.mark.parametrize(
    ("ends", "place"),
    [((1, 9), 2.0), ((-9, 4), 0.5), ((4, 9), -0.5), ((-9, 2), -1.0), ((3, 9), 0.0)],
)
def test_between_two_bounds_the_nearer_one_counts(ends, place):
    row = {"value": 3.0, "low": 2.0, "high": 5.0}
    assert plots_claims._place(row, ledger.Holds(between=ends).ends) == place


def test_the_figure_shows_a_claim_between_two_bounds(shipped, monkeypatch):
    held = {"holds": ledger.Holds(between=(40, 60))}
    changed = [c.model_copy(update=held) if c.name == "theorem_1" else c for c in ledger.ledger()]
    monkeypatch.setattr(plots_claims, "ledger", lambda: changed)
    rows = shipped[shipped["claim"] == "theorem_1"].assign(claimed="40 to 60")
    (axis,) = plots_claims.forest(rows).axes
    marks = [line.get_xdata() for line in axis.lines if line.get_marker() in ("o", "X")]
    places = [float(x[0]) for x in marks if len(x) == 1]  # without the legend's
    assert len(places) == len(rows) > 0 and max(places) < 0
