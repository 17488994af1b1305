import numpy as np
import persim
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffreport.analysis.rq2.topology import matching

bars = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 12)), max_size=9).map(
    lambda pairs: np.array([(b / 2, (b + length) / 2) for b, length in pairs]).reshape(-1, 2)
)


def h0(deaths):
    return np.c_[np.zeros(len(deaths)), deaths]


@given(bars, bars)
def test_wasserstein_equals_persims_assignment_over_bars_and_diagonal(a, b):
    if len(a) and len(b):
        assert matching.wasserstein(a, b) == pytest.approx(persim.wasserstein(a, b), abs=1e-9)
    assert matching.wasserstein(a, b) == pytest.approx(matching.wasserstein(b, a), abs=1e-12)
    assert matching.wasserstein(a, a) == 0


@pytest.mark.parametrize("scale", [0.02, 0.3, 1.0, 7.0])
def test_h0_of_many_bars_and_any_scale_equals_persims(scale):
    rng = np.random.default_rng(0)
    # Rounded, so that bars tie within a diagram and between both.
    u, v = np.round(rng.gamma(3, 1, 80), 1) + 0.1, np.round(scale * rng.gamma(3, 1, 60), 1) + 0.1
    expected = persim.wasserstein(h0(u), h0(v))
    assert matching.wasserstein(h0(u), h0(v)) == pytest.approx(expected, rel=1e-12)
    assert matching.wasserstein(h0(v), h0(u)) == pytest.approx(expected, rel=1e-12)


def test_thousands_of_equal_bars_are_exactly_at_distance_zero():
    u = np.random.default_rng(0).gamma(20, 0.02, 5000)
    assert matching.wasserstein(h0(u), h0(u[::-1])) == 0
    moved = matching.wasserstein(h0(u), h0(u + 1e-6))
    assert moved == pytest.approx(5000 * 1e-6, rel=1e-6)


def test_a_matching_has_all_the_properties_of_a_metric_on_random_diagrams():
    rng = np.random.default_rng(1)
    a, b, c = (h0(rng.gamma(2, s, n)) for s, n in ((1, 300), (2, 500), (0.1, 400)))
    for distance in (matching.wasserstein, matching.bottleneck):
        assert distance(a, c) <= distance(a, b) + distance(b, c) + 1e-9
        assert distance(a, b) > 0
