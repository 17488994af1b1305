"""Norms, aggregation, inhibition, polarity, probabilities and loss (Polar-FFA section 3).

Pure functions on a batch of networks: M networks, B samples, n units of one polarity group.
Their derivatives are in closed form up to the goodness; above it (a few numbers a sample)
autograd differentiates the probability and the loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

EPSILON = 1e-6
CLAMP = 1e-5


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

    ``inner_slope`` is the derivative of the summand at each h; ``outer_slope`` that of the outer
    function, given its value G.
    """

    inner: Callable[[Tensor], Tensor]
    inner_slope: Callable[[Tensor], Tensor]
    outer: Callable[[Tensor], Tensor]
    outer_slope: Callable[[Tensor], Tensor]


def _squares(h: Tensor) -> Tensor:
    # One fused pass; h.square().sum() would write a temporary of the size of the layer.
    return torch.linalg.vector_norm(h, dim=-1).square_()


def _reciprocal_root(value: Tensor) -> Tensor:
    # At G = 0 all activations are zero: any finite slope gives autograd's subgradient, zero.
    return torch.where(value > 0, 0.5 / value, torch.zeros_like(value))


ACTIVATIONS: dict[str, Nonlinearity] = {
    "relu": Nonlinearity(torch.relu_, None),
    "sigmoid": Nonlinearity(torch.sigmoid_, lambda h: h * (1 - h)),
    "tanh": Nonlinearity(torch.tanh_, lambda h: 1 - h * h),
}

NORMS: dict[str, Norm] = {
    "l2sq": Norm(_squares, lambda h: 2 * h, lambda t: t, torch.ones_like),
    "l2": Norm(_squares, lambda h: 2 * h, torch.sqrt, _reciprocal_root),
    "l1": Norm(
        lambda h: torch.linalg.vector_norm(h, ord=1, dim=-1), torch.sign, lambda t: t,
        torch.ones_like,
    ),
}  # fmt: skip


def aggregation_scale(aggregation: str, units: int) -> float:
    """The factor s of the norm: 1 for ``sum``, 1/units of the whole group for ``mean``."""
    return 1.0 if aggregation == "sum" else 1.0 / units


def winners(h: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest signed activations of each sample and their places.

    Args:
        h: [M, B, n].

    Returns:
        values [M, B, k] and indices [M, B, k], in no particular order.
    """
    return torch.topk(h, k, dim=-1, sorted=False)


def goodness(h: Tensor, norm: str, scale: Tensor) -> Tensor:
    """Goodness of a group, per sample (Polar-FFA section 3.1).

    Args:
        h: [M, B, n] activations, or [M, B, k] of the winners.
        scale: [M, 1], see ``aggregation_scale``.

    Returns:
        [M, B], not negative.
    """
    rule = NORMS[norm]
    return rule.outer(scale * rule.inner(h))


def goodness_slope(
    h: Tensor, value: Tensor, upstream: Tensor, norm: str, activation: str, scale: Tensor
) -> Tensor:
    """∂L/∂z from ∂L/∂G for the activations h of a group.

    Args:
        h: [M, B, n].
        value: [M, B] goodness of h.
        upstream: [M, B], ∂L/∂G.
        scale: [M, 1].

    Returns:
        [M, B, n].
    """
    rule, nonlinearity = NORMS[norm], ACTIVATIONS[activation]
    coefficient = upstream * rule.outer_slope(value) * scale
    slope = rule.inner_slope(h).mul_(coefficient.unsqueeze(-1))
    return slope if nonlinearity.slope is None else slope.mul_(nonlinearity.slope(h))


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
    positive: Tensor, negative: Tensor, theta: Tensor, alpha: Tensor, symmetric: Tensor
) -> Tensor:
    """P that each sample is positive, each network by its own rule.

    Args:
        positive, negative: [M, B] goodness of the groups.
        theta, alpha: [M, 1].
        symmetric: [M, 1] bool, which networks use the symmetric probability.

    Returns:
        [M, B] in [0, 1].
    """
    return torch.where(
        symmetric,
        symmetric_probability(positive, negative),
        sigmoid_probability(positive, negative, theta, alpha),
    )


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


def normalise(h: Tensor, split: int) -> Tensor:
    """Each polarity group divided by its own L2 norm (+ 1e-5), in place: the next layer's input.

    Args:
        h: [M, B, units], activations before inhibition.
        split: number of positive units, which come first.
    """
    for group in (h[..., :split], h[..., split:]):
        if group.shape[-1]:
            group.div_(torch.linalg.vector_norm(group, dim=-1, keepdim=True).add_(CLAMP))
    return h
