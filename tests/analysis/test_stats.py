"""Intervals, effect sizes and corrected tests, against hand-computed and independent values."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from statsmodels.stats.multitest import multipletests

from ffreport.analysis import stats as intervals

floats = st.floats(-100, 100, allow_nan=False, width=32)


def test_t_interval_is_the_textbook_one():
    low, high = intervals.t_interval([1.0, 2.0, 3.0, 4.0])
    expected = stats.ttest_1samp([1.0, 2.0, 3.0, 4.0], 0).confidence_interval()
    assert (low, high) == pytest.approx((expected.low, expected.high))
    assert np.isnan(intervals.t_interval([5.0])).all()


def test_bootstrap_interval_of_a_mean_is_scipys_up_to_the_draw():
    values = np.random.default_rng(1).exponential(10, 36)
    low, high = intervals.bootstrap_interval(values)
    drawn = stats.bootstrap((values,), np.mean, method="BCa", random_state=0, n_resamples=50_000)
    expected = drawn.confidence_interval
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.2)
    assert intervals.bootstrap_interval(values) == (low, high)


def test_bootstrap_interval_covers_the_mean_about_as_often_as_it_says():
    draw = np.random.default_rng(2)
    hits = 0
    for _ in range(100):
        low, high = intervals.bootstrap_interval(draw.normal(3, 1, 20))
        hits += low <= 3 <= high
    assert 86 <= hits <= 100


@settings(deadline=None, max_examples=25)
@given(arrays(float, st.integers(6, 12), elements=floats), st.floats(0.5, 3))
def test_bootstrap_interval_holds_the_mean_and_follows_the_scale(values, scale):
    low, high = intervals.bootstrap_interval(values)
    slack = 1e-6 + 1e-6 * np.abs(values).max()
    assert values.min() - slack <= low <= high <= values.max() + slack
    scaled = intervals.bootstrap_interval(values * scale)
    assert scaled == pytest.approx((low * scale, high * scale), abs=1e-3)


def test_there_is_no_interval_of_a_handful_of_values():
    assert np.isnan(intervals.bootstrap_interval(np.arange(intervals.FEWEST - 1))).all()
    assert intervals.bootstrap_interval(np.full(6, 2.0)) == (2.0, 2.0)
    assert np.isnan(intervals.bootstrap_interval(np.full(8, 2.0), intervals.cohens_d)).all()


def test_rank_biserial_by_hand():
    """|d| = 1, 2, 3, 4 have ranks 1 … 4; the negative one has rank 2: (8 − 2) / 10. Zeros count
    in neither sum, and do not move the ranks of the others."""
    assert intervals.rank_biserial([[1, -2, 3, 4]]) == pytest.approx([0.6])
    assert intervals.rank_biserial([[1, -2, 3, 4, 0, 0]]) == pytest.approx([0.6])
    assert intervals.rank_biserial([[1, 2, 3], [-1, -2, -3], [0, 0, 0]]).tolist() == [1, -1, 0]


@given(arrays(float, st.integers(2, 20), elements=floats.map(lambda v: round(v, 1) + 0.0)))
def test_rank_biserial_agrees_with_the_sums_of_wilcoxons_test(values):
    kept = values[values != 0]
    if not len(kept):
        return
    ranks = stats.rankdata(abs(kept))
    expected = (ranks[kept > 0].sum() - ranks[kept < 0].sum()) / ranks.sum()
    assert intervals.rank_biserial(values[None])[0] == pytest.approx(expected)


def test_cohens_d_by_hand_and_without_spread():
    assert intervals.cohens_d([[1.0, 2.0, 3.0]]) == pytest.approx([2.0])
    assert np.isnan(intervals.cohens_d([[0.1, 0.1, 0.1]])).all()
    assert np.isnan(intervals.cohens_d([[4.0]])).all()


@settings(deadline=None)
@given(arrays(float, (12, 2), elements=st.integers(0, 5).map(float)))
def test_rank_correlations_agree_with_scipy_in_spite_of_ties(pairs):
    rows = np.random.default_rng(3).integers(12, size=(4, 12))
    tau = intervals.kendall(*pairs.T)(rows)
    rho = intervals.spearman(pairs[rows])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i, row in enumerate(rows):
            x, y = pairs[row].T
            assert tau[i] == pytest.approx(stats.kendalltau(x, y).statistic, nan_ok=True)
            assert rho[i] == pytest.approx(stats.spearmanr(x, y).statistic, nan_ok=True)


def test_signed_rank_of_too_little_or_of_zeros():
    assert np.isnan(intervals.signed_rank([3.0]))
    assert intervals.signed_rank(np.zeros(9)) == 1
    assert intervals.signed_rank([1, 2, 3, 4, 5, 6.0]) == pytest.approx(2 / 2**6)


def test_holm_by_hand_and_by_statsmodels():
    """Sorted 0.01, 0.02, 0.04: times 3, 2, 1, and never below the one before."""
    adjusted = intervals.holm([0.02, float("nan"), 0.01, 0.04])
    assert adjusted[[0, 2, 3]] == pytest.approx([0.04, 0.03, 0.04]) and np.isnan(adjusted[1])
    p = np.random.default_rng(4).uniform(size=20) ** 3
    assert intervals.holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert len(intervals.holm([])) == 0
