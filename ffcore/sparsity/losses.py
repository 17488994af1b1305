"""Losses of one layer in closed form, for runs that check the sparsity theorems.

G = Σ_p h_p², of the whole layer, or of its first (positive) and second (negative) half of units in
Polar-FFA's losses. Positives come first, their negatives after them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ffcore.config import SparsityExperiment
from ffcore.goodness import ACTIVATIONS, EPSILON, symmetric_probability


class Slopes(NamedTuple):
    """Derivatives of a batch's loss times its size, positives first.

    ``signed`` [2B, n]: half of ∂L/∂z. ``signs`` [2B]: ∂L/∂G, where the loss is of the goodness of
    the whole layer. ``loss``: L, the mean over pairs.
    """

    signed: Tensor
    signs: Tensor | None
    loss: float


def activate(z: Tensor, activation: str) -> Tensor:
    """h of pre-activations z, which are left alone."""
    return ACTIVATIONS[activation].value(z.clone())


def derivative(h: Tensor, activation: str) -> Tensor | None:
    """dh/dz from h; None for ReLU, where h is zero wherever it is not 1."""
    slope = ACTIVATIONS[activation].slope
    return None if slope is None else slope(h)


def slopes(e: SparsityExperiment, h: Tensor) -> Slopes:
    """What moves the pre-activations of latents h [2B, n]."""
    sign = torch.ones_like(h[:, 0])
    sign[: len(sign) // 2] = -1
    steep = derivative(h, e.activation)
    inner = h if steep is None else h * steep
    if e.loss in ("difference", "logistic"):
        goodness = h.square().sum(1)
        if e.loss == "difference":
            return Slopes(sign[:, None] * inner, sign, 2 * float((sign * goodness).double().mean()))
        excess = sign * (goodness - e.theta)
        signs = sign * excess.sigmoid()
        return Slopes(signs[:, None] * inner, signs, 2 * float(softplus(excess).double().mean()))
    half = h.shape[1] // 2
    first, second = _polar(h)
    if e.loss == "polar-sigmoid":  # −log σ(∓(G⊕ − G⊖ − θ))
        excess = sign * (first - second - e.theta)
        up = sign * excess.sigmoid()
        down, losses = -up, softplus(excess)
    else:  # −log of (G⊕ + ε)/(G⊕ + G⊖ + 2ε), or of 1 minus it
        both = first + second + 2 * EPSILON
        own = torch.where(sign < 0, first, second) + EPSILON
        up, down = (1 / both - (sign == s) / own for s in (-1, 1))
        losses = both.log() - own.log()
    signed = torch.cat([up[:, None] * inner[:, :half], down[:, None] * inner[:, half:]], 1)
    return Slopes(signed, None, 2 * float(losses.double().mean()))


def score(e: SparsityExperiment, h: Tensor) -> Tensor:
    """How positive a layer takes each of its latents h [N, n] to be: [N], higher is more."""
    if e.loss in ("difference", "logistic"):
        return h.square().sum(1)
    first, second = _polar(h)
    return first - second if e.loss == "polar-sigmoid" else symmetric_probability(first, second)


def _polar(h: Tensor) -> tuple[Tensor, Tensor]:
    """Goodness [N] of the positive and of the negative units of h [N, n]."""
    half = h.shape[1] // 2
    return h[:, :half].square().sum(1), h[:, half:].square().sum(1)
