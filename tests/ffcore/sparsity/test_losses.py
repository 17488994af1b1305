from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import logsigmoid

from ffcore.config import SparsityExperiment
from ffcore.sparsity import losses

ACTIVATIONS = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}
WHOLE = ("difference", "logistic")  # losses of the goodness of the whole layer
POLAR = ("polar-sigmoid", "polar-symmetric")
EVERY = list(itertools.product(WHOLE + POLAR, ACTIVATIONS))
SEEDS = st.integers(0, 10**6)
# With pre-activations of these scales losses are linear, curved and saturated.
SCALES = st.sampled_from([0.1, 1.0, 10.0])
THETAS = st.floats(-5, 30)
few = settings(max_examples=20, deadline=None)


def experiment(loss: str, activation: str = "relu", theta: float = 2.0) -> SparsityExperiment:
    return SparsityExperiment(dataset="digits", loss=loss, activation=activation, theta=theta)


def preactivations(seed: int, count: int, width: int, scale: float = 1.0):
    """[2·count, width] in float64, the first row negative: a ReLU latent that is zero."""
    draw = torch.Generator().manual_seed(seed)
    z = scale * torch.randn(2 * count, width, generator=draw, dtype=torch.float64)
    z[0] = -z[0].abs()
    return z


def polar_goodness(h):
    half = h.shape[1] // 2
    return h[:, :half].square().sum(1), h[:, half:].square().sum(1)


def probability(h):
    """P(positive) and P(negative) = 1 − P(positive) of Polar-FFA's symmetric probability."""
    up, down = polar_goodness(h)
    return (up + 1e-6) / (up + down + 2e-6), (down + 1e-6) / (up + down + 2e-6)


def loss_of(e: SparsityExperiment, h, goodness=None):
    """The mean over pairs, from the definitions."""
    count = len(h) // 2
    goodness = h.square().sum(1) if goodness is None else goodness
    positive, negative = goodness[:count], goodness[count:]
    if e.loss == "difference":
        return (negative - positive).mean()
    if e.loss == "logistic":
        return -(logsigmoid(positive - e.theta) + logsigmoid(e.theta - negative)).mean()
    if e.loss == "polar-sigmoid":
        up, down = polar_goodness(h)
        logit = up - down - e.theta
        return -(logsigmoid(logit[:count]) + logsigmoid(-logit[count:])).mean()
    shares = probability(h)
    return -(shares[0][:count].log() + shares[1][count:].log()).mean()


@few
@pytest.mark.parametrize(("loss", "activation"), EVERY)
@given(SEEDS, st.integers(1, 9), st.integers(2, 13), SCALES, THETAS)
def test_signed_is_half_of_the_gradient_times_the_batch_size(
    loss, activation, seed, count, width, scale, theta
):
    e = experiment(loss, activation, theta)
    z = preactivations(seed, count, width, scale).requires_grad_()
    h = ACTIVATIONS[activation](z)
    value = loss_of(e, h)
    value.backward()
    found = losses.slopes(e, h.detach())
    assert z.grad is not None
    torch.testing.assert_close(found.signed, z.grad * count / 2, rtol=1e-7, atol=1e-12)
    assert found.loss == pytest.approx(float(value.detach()), rel=1e-9, abs=1e-8)


@few
@pytest.mark.parametrize("loss", WHOLE)
@given(SEEDS, st.integers(1, 9), SCALES, THETAS)
def test_signs_are_the_slopes_by_goodness(loss, seed, count, scale, theta):
    e, h = experiment(loss, theta=theta), preactivations(seed, count, 6, scale).relu()
    goodness = h.square().sum(1).requires_grad_()
    loss_of(e, h, goodness).backward()
    found = losses.slopes(e, h)
    assert found.signs is not None
    torch.testing.assert_close(found.signs, goodness.grad * count, rtol=1e-9, atol=1e-15)
    assert (found.signs[:count] <= 0).all()
    assert (found.signs[count:] >= 0).all()
    if loss == "difference":
        assert set(found.signs.abs().tolist()) == {1.0}


@pytest.mark.parametrize("loss", POLAR)
def test_polar_losses_have_no_slope_by_the_goodness_of_the_whole_layer(loss):
    h = preactivations(0, 4, 6).relu()
    assert losses.slopes(experiment(loss), h).signs is None


def test_losses_of_one_pair_by_hand():
    # positive: goodness 1 + 4 above, 9 below; negative: 0 above, 4 below
    h = torch.tensor([[1.0, 2, 3, 0], [0, 0, 0, 2]], dtype=torch.float64)

    def found(loss, theta=0.0):
        return losses.slopes(experiment(loss, theta=theta), h).loss

    assert found("difference") == pytest.approx(4 - 14)
    tensor = torch.tensor([14 - 3, 3 - 4.0]).double()
    assert found("logistic", 3.0) == pytest.approx(float(-tensor.sigmoid().log().sum()))
    tensor = torch.tensor([5 - 9 - 1, 1 + 4.0]).double()
    assert found("polar-sigmoid", 1.0) == pytest.approx(float(-tensor.sigmoid().log().sum()))
    tensor = torch.tensor([5 / 14, 1]).double()
    assert found("polar-symmetric") == pytest.approx(float(-tensor.log().sum()), abs=1e-5)


@pytest.mark.parametrize("loss", WHOLE + POLAR)
def test_losses_and_slopes_stay_finite_for_dead_and_for_huge_latents(loss):
    h = torch.zeros(6, 8)
    h[1], h[4] = 1e6, 1e6
    h[2, :4], h[5, 4:] = 1e6, 1e6
    found = losses.slopes(experiment(loss), h)
    assert found.signed.isfinite().all()
    assert abs(found.loss) < 1e14


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_and_their_derivatives_are_those_of_autograd(activation):
    z = preactivations(3, 5, 7).requires_grad_()
    value = ACTIVATIONS[activation](z)
    value.sum().backward()
    kept = z.detach().clone()
    h = losses.activate(kept, activation)
    torch.testing.assert_close(h, value.detach(), rtol=1e-14, atol=0)
    assert torch.equal(kept, z.detach())  # pre-activations are left alone
    steep = losses.derivative(h, activation)
    assert (steep is None) == (activation == "relu")
    torch.testing.assert_close(z.grad, h.sign() if steep is None else steep, rtol=1e-12, atol=0)
    assert torch.equal(h, losses.activate(kept, activation))


@few
@pytest.mark.parametrize(("loss", "activation"), EVERY)
@given(SEEDS, st.integers(2, 13), THETAS)
def test_score_orders_latents_as_the_probability_of_being_positive(
    loss, activation, seed, width, theta
):
    e = experiment(loss, activation, theta)
    h = ACTIVATIONS[activation](preactivations(seed, 20, width))[1:]  # no latent that is zero
    up, down = polar_goodness(h)
    if loss in WHOLE:  # σ(G − θ), or the goodness itself
        logit = up + down - theta
    elif loss == "polar-sigmoid":
        logit = up - down - theta
    else:
        logit = probability(h)[0]  # which is no logit, but never saturated
    alive = up + down > 0.1  # against it, the 1e-6 of the symmetric probability is nothing
    found, logit = losses.score(e, h)[alive], logit[alive]
    clear = (logit[:, None] - logit).abs() > 1e-4
    assert torch.equal((found[:, None] > found)[clear], (logit[:, None] > logit)[clear])


def test_score_orders_latents_with_a_silent_half_as_the_probability():
    # P is 1e-6/(1 + 2e-6), 1e-6/(9 + 2e-6), 1/2, 1/5: the second is least, and third comes first.
    h = torch.tensor([[0.0, 1], [0, 3], [0, 0], [1, 2]], dtype=torch.float64)
    found = losses.score(experiment("polar-symmetric"), h)
    assert found.argsort().tolist() == probability(h)[0].argsort().tolist() == [1, 0, 3, 2]


@pytest.mark.parametrize("loss", WHOLE + POLAR)
def test_a_step_down_the_loss_raises_scores_of_positives_and_lowers_those_of_negatives(loss):
    e, z = experiment(loss), preactivations(5, 30, 12)[1:-1]
    h = z.relu()
    before = losses.score(e, h)
    after = losses.score(e, (z - 1e-4 * losses.slopes(e, h).signed).relu())
    half = len(z) // 2
    assert (after >= before)[:half].all()
    assert (after <= before)[half:].all()
    assert (after != before).double().mean() > 0.8
