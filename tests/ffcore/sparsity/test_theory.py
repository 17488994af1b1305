from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from ffcore.errors import ConfigError
from ffcore.sparsity import theory

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


ACTIVATIONS = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}
ANY = pytest.mark.parametrize("activation", ACTIVATIONS)
COUNTS = st.sampled_from([1, 2, 6, 40])  # few and many: both ways to associate the products


def latents(x, weight, activation):
    """Latents of an activation, and dh/dz or None, by autograd."""
    z = (x @ weight.T).requires_grad_()
    h = ACTIVATIONS[activation](z)
    (steep,) = torch.autograd.grad(h.sum(), z)
    return h.detach(), None if activation == "relu" else steep


def gradient(x, weight, signs, activation):
    """Of Σ_j s_j G_j by the weights."""
    weight = weight.clone().requires_grad_()
    h = ACTIVATIONS[activation](x @ weight.T)
    return torch.autograd.grad((signs @ h.square().sum(1)), weight)[0]


@few
@ANY
@given(SEEDS, COUNTS, st.sampled_from([2, 9, 60]), st.booleans())
def test_margin_is_the_slope_of_hoyers_sparsity_along_a_gradient_step(
    activation, seed, count, width, plain
):
    x, weight, _, signs = batch(seed, count, 5, width)
    signs = signs.sign() if plain else signs
    h, steep = latents(x, weight, activation)
    z, moved = x @ weight.T, x @ gradient(x, weight, signs, activation).T
    assume(bool(moved.any()))
    size = 1e-5 / float(moved.norm(dim=1).max())
    moved *= size
    assume(not bool((z.abs() <= moved.abs()).any()))  # no unit switches, up or down the slope
    up, down = (theory.sparsity(ACTIVATIONS[activation](z + s * moved)) for s in (1, -1))
    root, length, margin = math.sqrt(width), h.norm(dim=1), theory.margin(x, h, signs, steep)
    expected = 2 * size * margin * h.abs().sum(1) / length / (root - 1)  # z_i moves by −2·size·v_i
    found = (down - up) / 2
    # A difference over both sides is wrong by the third order, and by the rounding of sparsity.
    distance = moved.norm(dim=1) / length.clamp(max=1)
    bound = root / (root - 1) * (20 * distance**3 + 1e-14)
    alive = length > 0
    assert torch.equal(expected.isnan(), ~alive)
    assert ((found - expected).abs() <= bound)[alive].all()
    clear = alive & (expected.abs() > bound)
    assert torch.equal(found[clear] > 0, expected[clear] > 0)
    assert torch.equal(found[clear] > 0, margin[clear] > 0)


@few
@ANY
@given(SEEDS, COUNTS)
def test_margin_follows_the_order_of_data_and_ignores_that_of_units(activation, seed, count):
    x, weight, _, signs = batch(seed, count)
    h, steep = latents(x, weight, activation)
    expected = theory.margin(x, h, signs, steep)
    draw = torch.Generator().manual_seed(seed)
    rows, units = torch.randperm(count, generator=draw), torch.randperm(24, generator=draw)

    def mixed(tensor):
        return None if tensor is None else tensor[rows][:, units]

    found = theory.margin(x[rows], mixed(h), signs[rows], mixed(steep))
    torch.testing.assert_close(found, expected[rows])


@few
@ANY
@given(SEEDS, COUNTS)
def test_margin_is_the_sum_of_what_each_datum_adds(activation, seed, count):
    x, weight, _, signs = batch(seed, count)
    h, steep = latents(x, weight, activation)
    each = [theory.margin(x, h, signs * row, steep) for row in torch.eye(count).double()]
    torch.testing.assert_close(torch.stack(each).sum(0), theory.margin(x, h, signs, steep))


@few
@given(SEEDS, COUNTS, st.floats(1e-3, 1e3))
def test_both_theorems_give_the_same_verdict_for_weights_of_any_scale(seed, count, scale):
    x, weight, h, _ = batch(seed, 2 * count)
    other = (x @ (scale * weight).T).relu()
    pairs = [(theory.theorem1(x, h), theory.theorem1(x, other))]
    pairs += zip(*(theory.theorem2(x[:count], g[:count], x[count:], g[count:])
                   for g in (h, other)), strict=True)  # fmt: skip
    for one, two in pairs:
        clear = one.margin.abs() > 1e-9
        assert torch.equal(one.satisfied[clear], two.satisfied[clear])


@pytest.mark.parametrize(("count", "size"), [(2, 50), (100, 1_000), (1_000, 784)])
def test_weights_that_are_gaussian_are_found_to_be_so_and_others_not(count, size):
    draw = torch.Generator().manual_seed(count)
    gaussian = torch.randn(count, size, generator=draw) / math.sqrt(size)
    uniform = math.sqrt(3 / size) * (2 * torch.rand(count, size, generator=draw) - 1)
    assert theory.gaussian_distance(gaussian) < 1.63
    for factor in (0.5, 2.0):  # a scale that is not that of the theory
        assert theory.gaussian_distance(factor * gaussian) > 1.63
    if count * size > 5_000:  # few weights cannot tell: variance and mean are those of the theory
        assert theory.gaussian_distance(uniform) > 1.63
        assert theory.gaussian_distance(uniform.abs()) > theory.gaussian_distance(uniform)


@pytest.mark.parametrize("shape", [(1, 2), (7, 30), (300, 300)])
def test_distance_from_a_gaussian_is_that_of_kolmogorov_and_smirnov(shape):
    weight = batch(1, 1, shape[1], shape[0])[1] * 0.8 / math.sqrt(shape[1]) + 0.01
    expected = kstest((weight * math.sqrt(shape[1])).flatten().numpy(), "norm").statistic
    found = theory.gaussian_distance(weight)
    assert found == pytest.approx(expected * math.sqrt(weight.numel()), rel=1e-6)
    assert theory.gaussian_distance(weight.requires_grad_()) == found


def test_distance_of_some_of_many_weights_is_that_of_as_many():
    weight = batch(2, 1, 100, 400)[1] / 10
    thinned = weight.flatten()[::8]
    expected = kstest((thinned * 10).numpy(), "norm").statistic * math.sqrt(5_000)
    assert theory.gaussian_distance(weight, most=5_000) == pytest.approx(expected, rel=1e-6)
