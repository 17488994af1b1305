import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ffcore import goodness

H = torch.tensor([[[3.0, -4.0, 0.0, 1.0]]])
ONE = torch.ones(1, 1)


@pytest.mark.parametrize(("norm", "expected"), [("l2sq", 26.0), ("l2", math.sqrt(26)), ("l1", 8.0)])
def test_norms_by_hand(norm, expected):
    assert goodness.goodness(H, norm, ONE).item() == pytest.approx(expected)


@pytest.mark.parametrize(("norm", "expected"), [("l2sq", 6.5), ("l2", math.sqrt(6.5)), ("l1", 2.0)])
def test_mean_is_over_the_group_and_for_l2_the_root_of_the_mean(norm, expected):
    scale = ONE * goodness.aggregation_scale("mean", 4)
    assert goodness.goodness(H, norm, scale).item() == pytest.approx(expected)


def test_winners_are_the_largest_signed_activations():
    values, places = goodness.winners(H, 2)
    assert sorted(values.flatten().tolist()) == [1.0, 3.0]
    assert sorted(places.flatten().tolist()) == [0, 3]


@pytest.mark.parametrize("units", [16, 75, 149, 150, 154, 500, 1000])
@pytest.mark.parametrize("kind", ["normal", "ties", "equal", "sorted"])
def test_winners_are_those_of_a_full_sort(units, kind):
    draw = torch.Generator().manual_seed(units)
    h = torch.randn(2, 40, units, generator=draw)
    if kind == "ties":
        h = h.relu().mul(4).round()
    elif kind == "equal":
        h = torch.ones_like(h)
    elif kind == "sorted":
        h = h.sort(dim=-1).values  # The winners share a fold, and partly the rest behind it.
    values, places = goodness.winners(h, 15)
    expected = h.sort(dim=-1, descending=True).values[..., :15]
    assert torch.equal(values.sort(dim=-1, descending=True).values, expected)
    assert torch.equal(h.gather(-1, places), values)
    assert all(len(set(row)) == 15 for row in places.flatten(0, 1).tolist())


def test_probabilities_by_hand():
    two, one = torch.tensor([[2.0]]), torch.tensor([[1.0]])
    assert goodness.sigmoid_probability(two, one, ONE, ONE).item() == 0.5
    assert goodness.symmetric_probability(two, one).item() == pytest.approx(2 / 3, abs=1e-6)
    assert goodness.symmetric_probability(0 * two, 0 * one).item() == 0.5


def test_loss_by_hand_and_its_clamp():
    p = torch.tensor([[0.8, 0.4]])
    assert goodness.loss(p).item() == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2)
    worst = goodness.loss(torch.tensor([[0.0, 1.0]])).item()
    assert worst == pytest.approx(-math.log(1e-5), rel=1e-2)


def test_normalise_gives_each_group_its_own_unit_norm():
    h = goodness.normalise(torch.rand(2, 5, 9) + 0.1, 4)
    for group in (h[..., :4], h[..., 4:]):
        assert torch.allclose(group.norm(dim=-1), torch.ones(2, 5), atol=1e-4)
    assert goodness.normalise(torch.zeros(1, 1, 4), 2).abs().max() == 0


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(sorted(goodness.NORMS)), st.sampled_from(sorted(goodness.ACTIVATIONS)),
    st.integers(0, 10_000), st.sampled_from([1.0, 0.125]),
)  # fmt: skip
def test_closed_form_slopes_equal_autograd(norm, activation, seed, factor):
    draw = torch.Generator().manual_seed(seed)
    z = torch.randn(1, 6, 8, generator=draw, dtype=torch.float64)
    upstream = torch.randn(1, 6, generator=draw, dtype=torch.float64)
    scale = torch.full((1, 1), factor, dtype=torch.float64)
    leaf = z.clone().requires_grad_()
    h = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}[activation](leaf)
    value = {
        "l2sq": lambda: factor * (h**2).sum(-1),
        "l2": lambda: (factor * (h**2).sum(-1)).sqrt(),
        "l1": lambda: factor * h.abs().sum(-1),
    }[norm]()
    (expected,) = torch.autograd.grad((value * upstream).sum(), leaf)
    ours = goodness.goodness_slope(h.detach(), value.detach(), upstream, norm, activation, scale)
    torch.testing.assert_close(ours, expected)


def test_a_dead_sample_has_zero_goodness_and_zero_slope():
    dead = torch.zeros(1, 2, 5)
    for norm in goodness.NORMS:
        value = goodness.goodness(dead, norm, ONE)
        slope = goodness.goodness_slope(dead, value, torch.ones(1, 2), norm, "relu", ONE)
        assert value.abs().max() == 0 and slope.abs().max() == 0


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.sampled_from([True, False, None]), st.floats(0.1, 30))
def test_slopes_of_probability_and_loss_equal_autograd(seed, symmetric, size):
    draw = torch.Generator().manual_seed(seed)
    pair = [size * torch.rand(3, 8, generator=draw, dtype=torch.float64) for _ in range(2)]
    positive, negative = (g.requires_grad_() for g in pair)
    theta, alpha = torch.full((3, 1), 2.0), torch.tensor([[1.0], [2.5], [5.0]])
    rule = torch.tensor([[True], [False], [True]]) if symmetric is None else symmetric
    p = goodness.probability(positive, negative, theta, alpha, rule)
    expected = torch.autograd.grad(goodness.loss(p).sum(), (positive, negative))
    fixed = [g.detach() for g in (p, positive, negative)]
    slopes = goodness.probability_slopes(*fixed, alpha, rule)
    for ours, theirs in zip(slopes, expected, strict=True):
        torch.testing.assert_close(
            ours * goodness.loss_slope(fixed[0]), theirs, rtol=1e-6, atol=1e-12
        )


def test_beyond_the_clamp_there_is_no_slope():
    p = torch.tensor([[0.0, 1e-5, 0.5, 1.0, 0.0, 0.5, 1 - 1e-5, 1.0]], dtype=torch.float64)
    slope = goodness.loss_slope(p)[0]
    assert (slope == 0).tolist() == [True, False, False, True, True, False, False, True]
    assert slope[2] == -1 / (0.5 * 8) and slope[5] == 1 / (0.5 * 8)
