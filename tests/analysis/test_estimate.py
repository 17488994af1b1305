"""One rule judges every claim: by the interval, not by the last bit of a float."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffreport.analysis import estimate, stats
from ffreport.analysis.estimate import CLAIMED, CONTRARY, FULL, NONE, OPEN, PARTIAL, SMALL, Estimate

ABOVE_ZERO = 0.0, math.inf
LAST_BIT = np.nextafter(0.5, 1)


def said(low, high, claimed=ABOVE_ZERO, **options):
    return estimate.judge(Estimate((low + high) / 2, low, high), claimed, **options)


@pytest.mark.parametrize(
    ("low", "high", "direction"),
    [(1, 3, CLAIMED), (-3, -1, CONTRARY), (-1, 3, OPEN), (0, 3, OPEN), (-3, 0, OPEN),
     (1e-15, 3, OPEN), (-3, -1e-15, OPEN), (0, 0, OPEN)],
)  # fmt: skip
def test_an_interval_decides_as_a_whole_and_not_where_it_meets_the_bound(low, high, direction):
    assert said(low, high).direction == direction


@pytest.mark.parametrize("end", [-0.5, -LAST_BIT, -np.nextafter(0.5, 0)])
def test_an_interval_of_no_width_holds_a_value_that_it_equals_but_for_rounding(end):
    assert Estimate.exact(end).holds(-0.5)
    assert not Estimate.exact(end + 1e-6).holds(-0.5)
    assert said(end, end, (-0.5, math.inf)).direction == OPEN
    assert said(end, end, (-0.5, math.inf), closed=True).direction == CLAIMED


def test_the_ends_of_a_closed_claim_belong_to_it():
    third = 0.1 + 0.2  # not 0.3
    assert said(third, third, (-0.3, 0.3), closed=True).direction == CLAIMED
    assert said(third, third, (-0.3, 0.3)).direction == OPEN
    assert said(0.2, third, (0.0, 0.3), closed=True).direction == CLAIMED
    assert said(0.31, 0.31, (-0.3, 0.3), closed=True).direction == CONTRARY


def test_between_two_bounds_both_count():
    assert said(4, 6, (0, 10)).direction == CLAIMED
    assert said(11, 13, (0, 10)).direction == said(-3, -1, (0, 10)).direction == CONTRARY
    assert said(9, 11, (0, 10)).direction == said(-1, 11, (0, 10)).direction == OPEN


def test_a_value_is_met_where_the_interval_holds_it():
    assert said(80, 90, 85.0).direction == said(85, 90, 85.0).direction == CLAIMED
    assert said(86, 90, 85.0).direction == CONTRARY


def test_evidence_is_full_unless_something_is_lacking():
    nothing = Estimate()
    assert said(1, 3).evidence == FULL
    assert said(1, 3, lacking="24 of 36 pairs").evidence == PARTIAL
    assert said(1, 3, elsewhere="on digits", lacking="1 seed").evidence == SMALL
    assert str(said(1, 3, elsewhere="on digits", lacking="1 seed")) == (
        "as claimed (small scale: on digits, 1 seed)"
    )
    alone = estimate.judge(Estimate(2.0), ABOVE_ZERO)
    assert (alone.direction, alone.evidence, alone.word()) == (OPEN, PARTIAL, estimate.TOO_FEW)
    assert estimate.judge(nothing, ABOVE_ZERO).evidence == NONE
    assert str(estimate.judge(nothing, ABOVE_ZERO)) == estimate.NOT_RUN
    assert estimate.judge(nothing, ABOVE_ZERO, elsewhere="on digits").word() == "on digits"


def test_a_table_has_its_own_names_of_directions_and_none_of_what_is_lacking():
    assert said(1, 3).word(estimate.ANSWERS) == "yes"
    assert said(-3, -1).word(estimate.ANSWERS) == "no"
    assert said(-1, 1).word(estimate.ANSWERS) == OPEN
    assert said(1, 3, lacking="one seed").word(estimate.ANSWERS) == "one seed"


def test_the_sign_of_a_published_difference_is_a_claim():
    assert said(1, 3, estimate.beyond_zero(5)).direction == CLAIMED
    assert said(1, 3, estimate.beyond_zero(-5)).direction == CONTRARY
    assert said(1, 3, estimate.beyond_zero(0)).direction == CONTRARY
    assert said(-1, 3, estimate.beyond_zero(0)).direction == CLAIMED


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.floats(-1e6, 1e6))
def test_turning_everything_round_turns_the_verdict_round(low, width, bound):
    one = said(low, low + width, (bound, math.inf)).direction
    assert said(-low - width, -low, (-math.inf, -bound)).direction == one
    other = {CLAIMED: CONTRARY, CONTRARY: CLAIMED, OPEN: OPEN}[one]
    assert said(low, low + width, (-math.inf, bound)).direction == other


def test_estimates_are_those_of_the_statistics_with_what_they_are_over():
    values = np.arange(8.0)
    share = Estimate.share(17, 18, "configurations")
    assert (share.low, share.high) == tuple(100 * x for x in stats.wilson(17, 18))
    assert share.value == pytest.approx(94.4, abs=0.1) and str(share) == "18 configurations"
    mean = Estimate.mean(values, "seeds")
    assert (mean.value, mean.low, mean.high) == (3.5, *stats.t_interval(values))
    boot = Estimate.bootstrap(values)
    assert (boot.value, boot.low, boot.high) == (3.5, *stats.bootstrap_interval(values))
    largest = Estimate.bootstrap(values, lambda samples: samples.max(axis=1))
    assert largest.value == 7 and largest.n == 8
    assert math.isnan(Estimate.bootstrap([]).value) and math.isnan(Estimate.mean([]).value)
    assert math.isnan(Estimate.share(0, 0).value)
    assert Estimate(5.0, -2.0, 12.0).within(0, 10) == Estimate(5.0, 0.0, 10.0)
    assert mean.columns("last", "last_") == {
        "last": 3.5, "last_low": mean.low, "last_high": mean.high
    }  # fmt: skip
