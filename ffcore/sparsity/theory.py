"""When a gradient step on goodness makes ReLU latents sparser (arXiv 2311.05667, Theorems 1, 2).

One layer h = ReLU(Wx) of width n, mask m = 1[h > 0], goodness G = Σ_p h_p². A gradient step on
L = Σ_j s_j G_j moves the pre-activations of x_i along −v_i, with v_i = Σ_j s_j (x_i·x_j) h_j. While
no mask entry switches, log(‖h_i‖₁/‖h_i‖₂) falls at the rate

    margin_i = m_i·v_i/‖h_i‖₁ − h_i·v_i/‖h_i‖₂² = Σ_j s_j A_ij,

and Hoyer's sparsity rises exactly when that is positive. A_ii = 0: a datum's own goodness only
scales its latent. With another activation φ a step moves pre-activations along
v_i = Σ_j s_j (x_i·x_j) φ'(z_j) h_j, and the margin is

    margin_i = Σ_p φ'(z_ip) v_ip (sgn(h_ip)/‖h_i‖₁ − h_ip/‖h_i‖₂²),

with ReLU's as the case φ' = m; then A_ii is not zero. The theorems put s_j = +1 on data whose
goodness is lowered and −1 on data whose goodness is raised; s_j = ∂L/∂G_j keeps the inequality
exact to first order for every other loss.

A latent that is all zero has no sparsity, so its row is NaN: count such rows, do not hide them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ffcore.errors import ConfigError

TILE = 1024  # rows and columns of a tile in ``margin_infinite``: 4 MB in float32


class Check(NamedTuple):
    """One side of a theorem: the [B] margins, and whether each is positive ([B] bool)."""

    satisfied: Tensor
    margin: Tensor


def sparsity(h: Tensor) -> Tensor:
    """Hoyer's sparsity of each row: 0 for equal entries, 1 for a single one.

    Without the ε of the report's measure (DESIGN 4), which calls a zero latent perfectly sparse.

    Args:
        h: [..., n], n > 1.

    Returns:
        [...] in [0, 1], rising exactly when ‖h‖₁/‖h‖₂ falls; NaN for a row of zeros.
    """
    root = _root(h.shape[-1])
    return (root - h.abs().sum(-1) / torch.linalg.vector_norm(h, dim=-1)) / (root - 1)


def slope(h: Tensor, derivative: Tensor | None = None) -> Tensor:
    """Derivative of log(‖h‖₁/‖h‖₂) by pre-activations, (sgn(h)/‖h‖₁ − h/‖h‖₂²) · φ'(z).

    Args:
        h: [B, n], latents of any activation φ that has a derivative.
        derivative: [B, n], φ'(z); None for ReLU, where sgn(h) is the mask and holds it.

    Returns:
        [B, n]; NaN in a row where h is zero. ``margin`` is its product with v, row by row.
    """
    size = h.sum(-1, keepdim=True) if derivative is None else h.abs().sum(-1, keepdim=True)
    found = h.sign().div_(size).sub_(h / dot(h, h)[:, None])
    return found if derivative is None else found.mul_(derivative)


def fall(h: Tensor, v: Tensor, derivative: Tensor | None = None) -> Tensor:
    """Rate [B] at which log(‖h‖₁/‖h‖₂) falls as pre-activations move along −v [B, n], by slope."""
    return dot(slope(h, derivative), v)


def first_order(h: Tensor, change: Tensor, derivative: Tensor | None = None) -> Tensor:
    """First-order change [B] of ``sparsity(h)`` as pre-activations change by ``change`` [B, n]."""
    root = _root(h.shape[-1])
    return (sparsity(h) - root / (root - 1)) * dot(slope(h, derivative), change)


def margin(x: Tensor, h: Tensor, signs: Tensor, derivative: Tensor | None = None) -> Tensor:
    """Σ_j s_j A_ij of every datum of a batch, the quantity whose sign both theorems predict from.

    Either K = XXᵀ then K diag(s) H, or Hᵀ diag(s) X then its product with X: whichever costs fewer
    operations, min(B²(d+n), 2Bdn).

    Args:
        x: [B, d], inputs of the layer.
        h: [B, n], its latents.
        signs: [B], +1 lowers and −1 raises the goodness of a datum; any real ∂L/∂G_j may stand.
        derivative: as in ``slope``.

    Returns:
        [B]; NaN where h is zero.
    """
    (count, size), width = x.shape, h.shape[-1]
    weighted = signs.to(h.dtype)[:, None] * (h if derivative is None else h * derivative)
    if count * (size + width) <= 2 * size * width:
        products = x @ x.T
        # With ReLU A_ii = 0, and its rounding would count as much as a small margin.
        v = (products.fill_diagonal_(0) if derivative is None else products) @ weighted
    else:
        v = x @ (weighted.T @ x).T
    return fall(h, v, derivative)


def theorem1(x: Tensor, h: Tensor) -> Check:
    """Theorem 1: does lowering the whole batch's goodness make each x [B, d], h [B, n] sparser?"""
    return _check(margin(x, h, h.new_ones(len(h))))


def theorem2(x_pos: Tensor, h_pos: Tensor, x_neg: Tensor, h_neg: Tensor) -> tuple[Check, Check]:
    """Theorem 2: does a step on G(H⁻) − G(H⁺) make each positive, each negative datum sparser?

    Args:
        x_pos: [B⁺, d]; h_pos: [B⁺, n]; x_neg: [B⁻, d]; h_neg: [B⁻, n].

    Returns:
        The checks of the positive and of the negative data.
    """
    signs = torch.cat([-h_pos.new_ones(len(h_pos)), h_neg.new_ones(len(h_neg))])
    both = margin(torch.cat([x_pos, x_neg]), torch.cat([h_pos, h_neg]), signs)
    return _check(both[: len(h_pos)]), _check(both[len(h_pos) :])


def kappa(theta: Tensor) -> Tensor:
    """Influence of a datum of unit length at angle θ on the sparsity of another, infinite width.

    For a Gaussian row w of W, u = w·x_i/‖x_i‖ and u' = w·x_j/‖x_j‖ are standard normal with
    correlation cos θ, and (arc-cosine kernels) with c = cos θ, s = sin θ

        E[1(u>0) u'₊] = (1 + c)/√8π      E[u₊] = 1/√2π
        E[u₊ u'₊] = (s + (π−θ)c)/2π      E[u₊²] = 1/2.

    The sums over units in A_ij become these times n and the lengths; the scale of W cancels:

        A_ij → ‖x_i‖‖x_j‖ c · (‖x_j‖/‖x_i‖) · [(1+c)/2 − (s + (π−θ)c)/π] = ‖x_j‖² κ(θ_ij).

    So DESIGN 5's positive factor per row is 1: the limit is A_ij itself. The bracket, computed here
    as (1−c)/2 − (s − θc)/π, whose terms vanish at θ = 0 (it is θ²/4 there), is positive inside
    (0, π) and zero at both ends. Hence κ(0) = κ(π/2) = κ(π) = 0, κ > 0 between the first two and
    κ < 0 between the last two: lowering the goodness of x_j makes x_i sparser if their angle is
    acute, and denser if it is obtuse.

    Args:
        theta: any shape, radians in [0, π].
    """
    return _kappa(theta.cos(), theta.sin(), theta)


def margin_infinite(
    x: Tensor, signs: Tensor, others: Tensor | None = None, block: int = TILE
) -> Tensor:
    """The limit of ``margin`` for an infinitely wide Gaussian layer, Σ_j s_j ‖x_j‖² κ(θ_ij).

    In tiles of ``block`` × ``block`` pairs, so that memory stays at a few tiles for any number of
    data; without ``others`` the symmetry of κ halves the work.

    Args:
        x: [B, d].
        signs: [B'], as in ``margin``, of ``others``.
        others: [B', d], the data whose goodness changes; x itself where not given.
        block: rows and columns of a tile.

    Returns:
        [B]; NaN where x is zero.
    """
    symmetric = others is None
    others = x if others is None else others
    unit, unit_others = _unit(x), _unit(others)
    weight = signs.to(x.dtype) * others.square().sum(1)
    total = x.new_zeros(len(x))
    for low in range(0, len(x), block):
        rows = slice(low, low + block)
        for start in range(low if symmetric else 0, len(others), block):
            columns = slice(start, start + block)
            cosine = (unit[rows] @ unit_others[columns].T).clamp_(-1, 1)
            if symmetric and start == low:
                cosine.fill_diagonal_(1)  # A_ii = 0, whatever the rounding of x_i·x_i
            influence = _kappa(cosine, (1 - cosine.square()).sqrt_(), cosine.acos())
            total[rows] += influence @ weight[columns]
            if symmetric and start > low:
                total[columns] += influence.T @ weight[rows]
    return total.masked_fill((x == 0).all(1), math.nan)


def angles(x: Tensor, others: Tensor | None = None) -> Tensor:
    """Angles between data, in radians.

    Args:
        x: [B, d]; others: [B', d], x itself where not given.

    Returns:
        [B, B'] in [0, π].
    """
    return (_unit(x) @ _unit(x if others is None else others).T).clamp(-1, 1).acos()


def assumptions(
    x_pos: Tensor, x_neg: Tensor, before: Tensor, after: Tensor, learning_rate: float
) -> dict[str, float]:
    """What the theorems assume, measured on one step.

    Args:
        x_pos, x_neg: [B, d], each negative made from the positive in the same row.
        before, after: [*, n], pre-activations before and after the step.
        learning_rate: of the step on the mean loss of the batch.

    Returns:
        zero_preactivations: share of pre-activations that are exactly zero (assumed 0).
        switched: share of mask entries that the step switches (0 to first order).
        rate_times_width: learning rate × n (assumed O(1)); and the keys of ``similarity``.
    """
    return {
        "zero_preactivations": float((before == 0).double().mean()),
        "switched": float(((before > 0) != (after > 0)).double().mean()),
        "rate_times_width": learning_rate * before.shape[-1],
        **similarity(x_pos, x_neg),
    }


def gaussian_distance(weight: Tensor, most: int = 100_000) -> float:
    """Kolmogorov–Smirnov distance between weights [n, d] times √d and a standard normal, times the
    root of the number of weights looked at: above 1.63 a sample of one would be 1 in 100.

    Args:
        most: weights to look at, evenly spread.
    """
    flat = weight.detach().flatten()
    flat = flat[:: -(-len(flat) // most)].double().cpu() * math.sqrt(weight.shape[1])
    expected = torch.special.ndtr(flat.sort().values)
    ranks = torch.arange(len(flat) + 1, dtype=torch.float64) / len(flat)
    furthest = torch.maximum(ranks[1:] - expected, expected - ranks[:-1]).max()
    return float(furthest) * math.sqrt(len(flat))


def similarity(x_pos: Tensor, x_neg: Tensor) -> dict[str, float]:
    """How alike the data of a batch are. Args as in ``assumptions``.

    Returns:
        identical: share of negatives that equal their positive (then nothing can be learned).
        pair_cosine: mean cosine between a positive and its negative (1: too similar).
        batch_cosine: mean cosine between different positives (1: too little diversity).
    """
    unit, count = _unit(x_pos), len(x_pos)
    together = float(unit.sum(0).square().sum()) - float(unit.square().sum())
    return {
        "identical": float((x_pos == x_neg).all(1).double().mean()),
        "pair_cosine": float((unit * _unit(x_neg)).sum(1).mean()),
        "batch_cosine": together / (count * (count - 1)) if count > 1 else math.nan,
    }


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Products of the rows of a and b [B, n], summed: [B]."""
    return torch.linalg.vecdot(a, b)


def _check(values: Tensor) -> Check:
    return Check(values > 0, values)


def _kappa(cosine: Tensor, sine: Tensor, theta: Tensor) -> Tensor:
    return cosine * ((1 - cosine) / 2 - (sine - theta * cosine) / math.pi)


def _unit(x: Tensor) -> Tensor:
    return torch.nn.functional.normalize(x, dim=1)


def _root(width: int) -> float:
    if width < 2:
        raise ConfigError(f"sparsity needs two units or more; the layer has {width}")
    return math.sqrt(width)
