"""Norms, aggregation, inhibition, polarity, probabilities and loss (Polar-FFA section 3).

Pure functions on a batch of networks: M networks, B samples, n units of one polarity group.
All derivatives are in closed form: a step takes a few dozen small operations instead of the
hundred that autograd would, which counts where a product takes milliseconds. Values of built-in
names can be derived by autograd, too: a plug-in's step is, and needs it of what stands beside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ffcore import plugins

EPSILON = 1e-6
CLAMP = 1e-5
FOLDS = 5  # of a row of activations in the search for its winners


@dataclass(frozen=True)
class Nonlinearity:
    """An activation: ``value`` works in place on its argument, ``slope`` is dh/dz from h.

    ReLU has no slope to multiply by: wherever it would be zero h is zero, and there every norm's
    inner slope is zero already.
    """

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor] | None


@dataclass(frozen=True)
class Norm:
    """A goodness G = outer(s · inner(h)), with inner a sum over the last axis.

    ``inner_slope`` times ``factor`` is the derivative of the summand at each h, in its place;
    ``outer_slope`` that of the outer function, given its value G.
    """

    inner: Callable[[Tensor], Tensor]
    inner_slope: Callable[[Tensor], Tensor]
    factor: float
    outer: Callable[[Tensor], Tensor]
    outer_slope: Callable[[Tensor], Tensor]


def _squares(h: Tensor) -> Tensor:
    # One fused pass; h.square().sum() would write a temporary of the size of the layer.
    return torch.linalg.vector_norm(h, dim=-1).square()


def _magnitudes(h: Tensor) -> Tensor:
    return torch.linalg.vector_norm(h, ord=1, dim=-1)


def _root(total: Tensor) -> Tensor:
    if not total.requires_grad:
        return torch.sqrt(total)
    # At 0 autograd would multiply an infinite slope by zero; here the slope is zero.
    return torch.where(total > 0, total, 1.0).sqrt() * (total > 0)


def _reciprocal_root(value: Tensor) -> Tensor:
    # At G = 0 all activations are zero: any finite slope gives autograd's subgradient, zero.
    return torch.where(value > 0, 0.5 / value, torch.zeros_like(value))


ACTIVATIONS: dict[str, Nonlinearity] = {
    "relu": Nonlinearity(torch.relu_, None),
    "sigmoid": Nonlinearity(torch.sigmoid_, lambda h: h * (1 - h)),
    "tanh": Nonlinearity(torch.tanh_, lambda h: 1 - h * h),
}

NORMS: dict[str, Norm] = {
    "l2sq": Norm(_squares, lambda h: h, 2.0, lambda t: t, torch.ones_like),
    "l2": Norm(_squares, lambda h: h, 2.0, _root, _reciprocal_root),
    "l1": Norm(_magnitudes, torch.Tensor.sign_, 1.0, lambda t: t, torch.ones_like),
}


def activate(z: Tensor, activation: str) -> Tensor:
    """Activations of pre-activations z; built-in ones take the place of z.

    Args:
        z: any shape.
    """
    if activation in ACTIVATIONS:
        return ACTIVATIONS[activation].value(z)
    h: Tensor = plugins.call("activation", activation, z)
    return h


def aggregation_scale(aggregation: str, units: int) -> float:
    """The factor s of the norm: 1 for ``sum``, 1/units of the whole group for ``mean``."""
    return 1.0 if aggregation == "sum" else 1.0 / units


def winners(h: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest signed activations of each sample and their places.

    Args:
        h: [M, B, n].

    Returns:
        values [M, B, k] and indices [M, B, k], in no particular order; which of equal values win
        is not defined.
    """
    columns = h.shape[-1] // FOLDS
    if columns < 2 * k or h.device.type != "cpu":
        return torch.topk(h, k, dim=-1, sorted=False)
    # A CPU searches slowly. The k largest lie in those k columns of the folded row whose largest
    # values are the largest, so that two short searches replace a long one.
    whole = columns * FOLDS
    tops = h[..., :whole].unflatten(-1, (FOLDS, columns)).amax(-2)
    column = torch.topk(tops, k, dim=-1, sorted=False).indices
    offsets = torch.arange(0, whole, columns).unsqueeze(-1)
    candidates = (column.unsqueeze(-2) + offsets).flatten(-2)
    if whole < h.shape[-1]:
        rest = torch.arange(whole, h.shape[-1]).expand(*h.shape[:-1], -1)
        candidates = torch.cat([candidates, rest], dim=-1)
    values, places = torch.topk(h.gather(-1, candidates), k, dim=-1, sorted=False)
    return values, candidates.gather(-1, places)


def goodness(h: Tensor, norm: str, scale: Tensor) -> Tensor:
    """Goodness of a group, per sample (Polar-FFA section 3.1).

    Args:
        h: [M, B, n] activations, or [M, B, k] of the winners.
        scale: [M, 1], see ``aggregation_scale``.

    Returns:
        [M, B], not negative.
    """
    if norm not in NORMS:
        found: Tensor = plugins.call("norm", norm, h, scale)
        return found
    rule = NORMS[norm]
    return rule.outer(scale * rule.inner(h))


def goodness_slope(
    h: Tensor, value: Tensor, upstream: Tensor, norm: str, activation: str, scale: Tensor
) -> Tensor:
    """∂L/∂z from ∂L/∂G for the activations h of a group, in the place of h.

    Args:
        h: [M, B, n].
        value: [M, B] goodness of h.
        upstream: [M, B], ∂L/∂G.
        scale: [M, 1].

    Returns:
        [M, B, n].
    """
    rule, nonlinearity = NORMS[norm], ACTIVATIONS[activation]
    coefficient = upstream * rule.outer_slope(value) * scale * rule.factor
    outer = None if nonlinearity.slope is None else nonlinearity.slope(h)
    slope = rule.inner_slope(h).mul_(coefficient.unsqueeze(-1))
    return slope if outer is None else slope.mul_(outer)


def sigmoid_probability(positive: Tensor, negative: Tensor, theta: Tensor, alpha: Tensor) -> Tensor:
    """P = σ(α(G⊕ − G⊖ − θ)); with all units positive G⊖ is 0 and this is FFA's probability.

    Args:
        positive, negative: [M, B].
        theta, alpha: [M, 1].
    """
    return torch.sigmoid(alpha * (positive - negative - theta))


def symmetric_probability(positive: Tensor, negative: Tensor) -> Tensor:
    """P = (G⊕ + ε)/(G⊕ + G⊖ + 2ε), ε = 1e-6.

    Args:
        positive, negative: [M, B].
    """
    return (positive + EPSILON) / (positive + negative + 2 * EPSILON)


def probability(
    positive: Tensor, negative: Tensor, theta: Tensor, alpha: Tensor, symmetric: Tensor | bool
) -> Tensor:
    """P that each sample is positive, each network by its own rule.

    Args:
        positive, negative: [M, B] goodness of the groups.
        theta, alpha: [M, 1].
        symmetric: [M, 1] bool, which networks use the symmetric probability; one bool for all.

    Returns:
        [M, B] in [0, 1].
    """
    if symmetric is True:
        return symmetric_probability(positive, negative)
    p = sigmoid_probability(positive, negative, theta, alpha)
    if symmetric is False:
        return p
    return torch.where(symmetric, symmetric_probability(positive, negative), p)


def probability_slopes(
    p: Tensor, positive: Tensor, negative: Tensor, alpha: Tensor, symmetric: Tensor | bool
) -> tuple[Tensor, Tensor]:
    """∂P/∂G⊕ and ∂P/∂G⊖ of ``probability``, given its value: αP(1 − P) and its negative for the
    sigmoids, (G⊖ + ε)/S² and −(G⊕ + ε)/S² with S = G⊕ + G⊖ + 2ε for the symmetric one.

    Args:
        p, positive, negative: [M, B].
        alpha: [M, 1].
        symmetric: as there.

    Returns:
        two tensors [M, B].
    """
    if symmetric is not True:
        rise = alpha * p * (1 - p)
        if symmetric is False:
            return rise, -rise
    total = positive + negative + 2 * EPSILON
    up, down = (1 - p) / total, -p / total
    if symmetric is True:
        return up, down
    return torch.where(symmetric, up, rise), torch.where(symmetric, down, -rise)


def loss(probabilities: Tensor) -> Tensor:
    """Mean of −log P over positives and −log(1 − P) over negatives, P clamped.

    Args:
        probabilities: [M, 2b]; positives in the first half, their negatives in the second.

    Returns:
        [M]. The mean is over both halves together; Adam does not see the factor of two by which
        a sum of the halves' means would differ.
    """
    clamped = probabilities.clamp(CLAMP, 1 - CLAMP)
    positive, negative = clamped.chunk(2, dim=-1)
    return -(positive.log().mean(-1) + (1 - negative).log().mean(-1)) / 2


def loss_slope(probabilities: Tensor) -> Tensor:
    """∂loss/∂P: −1/P of positives and 1/(1 − P) of negatives over their number; 0 beyond the clamp.

    Args:
        probabilities: [M, 2b].

    Returns:
        [M, 2b].
    """
    clamped = probabilities.clamp(CLAMP, 1 - CLAMP)
    half = probabilities.shape[-1] // 2
    clamped[..., :half].neg_()
    clamped[..., half:].neg_().add_(1)
    slope = clamped.mul_(2 * half).reciprocal_()
    beyond = (probabilities < CLAMP) | (probabilities > 1 - CLAMP)
    return slope.masked_fill_(beyond, 0.0)


def normalise(h: Tensor, split: int, normalisation: str = "group") -> Tensor:
    """The next layer's input, in the place of h: divided by L2 norms (+ 1e-5).

    Args:
        h: [M, B, units], activations before inhibition.
        split: number of positive units, which come first.
        normalisation: ``group``, each polarity group by its own norm, as published; ``whole``, all
            units by theirs; ``none``.
    """
    parts = {"group": [h[..., :split], h[..., split:]], "whole": [h], "none": []}[normalisation]
    for part in parts:
        if part.shape[-1]:
            norms = torch.linalg.vector_norm(part, dim=-1, keepdim=True)
            part.mul_(norms.add_(CLAMP).reciprocal_())
    return h
