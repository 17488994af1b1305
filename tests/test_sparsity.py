from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ffcore import sparsity as theory
from ffcore.errors import ConfigError

SEEDS = st.integers(0, 10**6)
few = settings(max_examples=30, deadline=None)


def batch(seed: int, count: int = 6, size: int = 5, width: int = 24):
    """Inputs, Gaussian weights, their latents and real signs, in float64."""
    draw = torch.Generator().manual_seed(seed)
    x, weight, signs = (
        torch.randn(*shape, generator=draw, dtype=torch.float64)
        for shape in ((count, size), (width, size), (count,))
    )
    return x, weight, (x @ weight.T).relu(), signs


def margin_by_loops(x, h, signs):
    """Σ_j s_j A_ij, as DESIGN 5 writes it."""
    total = torch.zeros_like(signs)
    for i in range(len(x)):
        mask = (h[i] > 0).to(h.dtype)
        for j in range(len(x)):
            bracket = (mask @ h[j]) / h[i].sum() - (h[i] @ h[j]) / h[i].square().sum()
            total[i] += signs[j] * (x[i] @ x[j]) * bracket
    return total


def step_down(x, weight, signs, size):
    """Latents after a gradient step on Σ_j s_j G_j, by autograd, and whether a mask switched."""
    weight = weight.clone().requires_grad_()
    before = x @ weight.T
    (signs @ before.relu().square().sum(1)).backward()
    after = x @ (weight.detach() - size * weight.grad).T
    return after.relu(), bool(((before > 0) != (after > 0)).any())


@pytest.mark.parametrize("count", [1, 2, 7, 60])
def test_margin_equals_the_double_sum_however_the_products_are_associated(count):
    x, _, h, signs = batch(count, count)
    torch.testing.assert_close(theory.margin(x, h, signs), margin_by_loops(x, h, signs))


@few
@given(SEEDS)
def test_margin_is_the_derivative_of_log_ratio_along_a_gradient_step(seed):
    x, weight, h, signs = batch(seed)
    size = 1e-8
    after, switched = step_down(x, weight, signs, size)
    assume(not switched)
    fell = torch.log((h.sum(1) / h.norm(dim=1)) / (after.sum(1) / after.norm(dim=1)))
    expected = 2 * size * theory.margin(x, h, signs)  # a step moves x_i by −2·size·v_i
    scale = float(expected.abs().max())
    torch.testing.assert_close(fell, expected, rtol=1e-4, atol=1e-4 * scale + 1e-14)


@few
@given(SEEDS)
def test_first_order_is_the_derivative_of_sparsity(seed):
    x, weight, h, signs = batch(seed)
    after, switched = step_down(x, weight, signs, 1e-8)
    assume(not switched)
    change = theory.sparsity(after) - theory.sparsity(h)
    expected = theory.first_order(h, x @ step_change(x, h, signs, 1e-8).T)
    torch.testing.assert_close(
        change, expected, rtol=1e-4, atol=1e-4 * float(change.abs().max()) + 1e-14
    )


def step_change(x, h, signs, size):
    return -2 * size * (signs[:, None] * h).T @ x


@few
@given(SEEDS)
def test_both_theorems_predict_the_sign_of_the_measured_change(seed):
    x, weight, h, _ = batch(seed, count=8)
    half = 4
    one = theory.theorem1(x, h)
    two = theory.theorem2(x[:half], h[:half], x[half:], h[half:])
    signs = torch.cat([-torch.ones(half), torch.ones(half)]).double()
    for check, s in (
        (one, torch.ones(8).double()),
        (theory.Check(*(torch.cat(t) for t in zip(*two, strict=True))), signs),
    ):
        after, switched = step_down(x, weight, s, 1e-8)
        assume(not switched)
        clear = check.margin.abs() > 1e-3
        rose = theory.sparsity(after) > theory.sparsity(h)
        assert torch.equal(check.satisfied[clear], rose[clear])
        torch.testing.assert_close(check.margin, theory.margin(x, h, s))


@few
@given(SEEDS, st.floats(1e-3, 1e3))
def test_margin_ignores_the_scale_of_the_weights_and_the_order_of_units(seed, scale):
    x, weight, h, signs = batch(seed)
    expected = theory.margin(x, h, signs)
    torch.testing.assert_close(theory.margin(x, (x @ (scale * weight).T).relu(), signs), expected)
    order = torch.randperm(len(weight), generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(theory.margin(x, h[:, order], signs), expected)


@few
@given(SEEDS)
def test_a_datums_own_goodness_leaves_its_sparsity_alone(seed):
    x, _, h, signs = batch(seed)
    alone = theory.margin(x[:1], h[:1], signs[:1])
    assert alone == 0
    louder = signs.clone()
    louder[0] += 100
    torch.testing.assert_close(
        theory.margin(x, h, louder)[0], theory.margin(x, h, signs)[0], rtol=1e-9, atol=1e-9
    )


def test_sparsity_of_hand_computed_rows():
    h = torch.tensor([[0.0, 3, 0, 0], [2, 2, 2, 2], [3, 4, 0, 0], [0, 0, 0, 0]])
    found = theory.sparsity(h)
    torch.testing.assert_close(found[:3], torch.tensor([1.0, 0.0, 2 - 7 / 5]))
    assert found[3].isnan()


def test_sparsity_needs_two_units():
    with pytest.raises(ConfigError, match="two units or more; the layer has 1"):
        theory.sparsity(torch.ones(3, 1))


def test_a_zero_latent_is_undefined_and_satisfies_nothing():
    x, _, h, _ = batch(0)
    h[2] = 0
    check = theory.theorem1(x, h)
    assert check.margin.isnan().tolist() == [False, False, True, False, False, False]
    assert not check.satisfied[2]
    assert theory.slope(h)[2].isnan().all()


def test_kappa_is_zero_at_no_right_and_opposite_angle():
    theta = torch.tensor([0, math.pi / 2, math.pi], dtype=torch.float64)
    torch.testing.assert_close(theory.kappa(theta), torch.zeros(3).double(), rtol=0, atol=1e-15)
    assert theory.kappa(theta[:1]) == 0


@given(st.floats(1e-6, math.pi / 2 - 1e-6))
def test_kappa_is_positive_for_acute_and_negative_for_obtuse_angles(theta):
    assert theory.kappa(torch.tensor(theta, dtype=torch.float64)) > 0
    assert theory.kappa(torch.tensor(math.pi - theta, dtype=torch.float64)) < 0


def test_kappa_in_float32_is_good_to_seven_digits_of_one():
    theta = torch.linspace(0, math.pi, 2001, dtype=torch.float64)
    torch.testing.assert_close(
        theory.kappa(theta.float()).double(), theory.kappa(theta), rtol=0, atol=3e-7
    )


@pytest.mark.parametrize("degrees", [20, 60, 90, 120, 160])
def test_a_wide_gaussian_layer_has_the_influence_that_kappa_says(degrees):
    # Lengths 3 and 2 and weights of scale 5: only the other datum's squared length may remain.
    theta, units = math.radians(degrees), 400_000
    x = torch.tensor([[3.0, 0.0], [2 * math.cos(theta), 2 * math.sin(theta)]]).double()
    draw = torch.Generator().manual_seed(degrees)
    h = (x @ (5 * torch.randn(units, 2, generator=draw, dtype=torch.float64)).T).relu()
    influence = theory.margin(x, h, torch.ones(2).double())
    limit = theory.kappa(torch.tensor(theta).double()) * torch.tensor([4.0, 9.0]).double()
    torch.testing.assert_close(influence, limit, rtol=0, atol=10 * 9 / math.sqrt(units))


def test_error_of_a_finite_width_falls_as_the_root_of_the_width():
    x, _, _, signs = batch(3, 12, 8)
    limit, errors = theory.margin_infinite(x, signs), []
    for width in (1_000, 16_000):
        runs = [(x @ batch(s, 12, 8, width)[1].T).relu() for s in range(40)]
        deviations = torch.stack([theory.margin(x, h, signs) - limit for h in runs])
        errors.append(float(deviations.square().mean().sqrt()))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.25)


@pytest.mark.parametrize("block", [1, 3, 7, 100])
def test_infinite_margin_in_blocks_equals_the_dense_sum(block):
    x, _, _, signs = batch(5, 17)
    weights = signs * x.square().sum(1)
    influence = theory.kappa(theory.angles(x)).fill_diagonal_(0)
    torch.testing.assert_close(theory.margin_infinite(x, signs, block=block), influence @ weights)
    ours, theirs = x[:6], x[6:]
    torch.testing.assert_close(
        theory.margin_infinite(ours, signs[6:], theirs, block),
        theory.kappa(theory.angles(ours, theirs)) @ weights[6:],
    )


def test_infinite_margin_of_a_zero_input_is_undefined_and_it_moves_no_other():
    x, _, _, signs = batch(1)
    x[1] = 0
    rest = [0, 2, 3, 4, 5]
    found = theory.margin_infinite(x, signs)
    assert found[1].isnan()
    torch.testing.assert_close(found[rest], theory.margin_infinite(x[rest], signs[rest]))


def test_data_at_acute_angles_always_satisfy_theorem_1_at_infinite_width():
    x = batch(2, 50, 10)[0].abs()
    assert (theory.margin_infinite(x, torch.ones(50).double()) > 0).all()


def test_theorem_1_fails_and_sparsity_falls_where_the_batch_is_at_an_obtuse_angle():
    theta = math.radians(125)
    crowd = torch.tensor([math.cos(theta), math.sin(theta)]).double()
    draw = torch.Generator().manual_seed(0)
    crowd = crowd + 0.05 * torch.randn(9, 2, generator=draw, dtype=torch.float64)
    x = torch.cat([torch.tensor([[1.0, 0.0]]).double(), crowd])
    weight = torch.randn(2_000, 2, generator=draw, dtype=torch.float64)
    h, ones = (x @ weight.T).relu(), torch.ones(10).double()
    assert not theory.theorem1(x, h).satisfied[0]
    assert theory.margin_infinite(x, ones)[0] < 0
    after, _ = step_down(x, weight, ones, 1e-5)
    assert theory.sparsity(after)[0] < theory.sparsity(h)[0]


def test_assumptions_of_a_hand_made_step():
    x_pos = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    x_neg = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    before = torch.tensor([[1.0, 0.0, -1.0, 2.0]])
    after = torch.tensor([[1.0, 1.0, 1.0, 2.0]])
    assert theory.assumptions(x_pos, x_neg, before, after, 0.25) == pytest.approx(
        {
            "zero_preactivations": 1 / 4,
            "switched": 1 / 2,
            "rate_times_width": 1,
            "identical": 1 / 3,
            "pair_cosine": 0,
            "batch_cosine": 1 / 3,
        }
    )


def test_batch_of_one_has_no_diversity_to_measure():
    alone = torch.ones(1, 3)
    assert math.isnan(theory.similarity(alone, -alone)["batch_cosine"])
