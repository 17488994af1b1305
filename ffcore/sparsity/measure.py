"""One step of a layer, measured: what the theorems predict of each datum, and what happened."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ffcore.sparsity.losses import activate, derivative
from ffcore.sparsity.theory import dot, fall, first_order, sparsity

QUANTITIES = ("margin", "sparsity", "change", "first_order", "goodness", "zero_preactivations",
              "switched")  # fmt: skip
ROWS = 256  # measured at a time: their temporaries stay in a cache
COLLAPSE = 0.5  # a latent that loses more of its norm in one step is measured again, exactly


def exact(z: Tensor, v: Tensor, moved: Tensor, activation: str = "relu") -> Tensor:
    """QUANTITIES of each datum, as they are defined, in float64 where a difference is taken.

    Args:
        z: [B, n], pre-activations.
        v: [B, n], Σ_j (x_i·x_j) g_j, see ``sparsity``.
        moved: [B, n], the change of z by the step that was taken.

    Returns:
        [7, B] float64; ``switched`` and ``zero_preactivations`` are shares of units.
    """
    start = z.double()  # float32 has no digits for a change of 1e-9
    end = start + moved.double()
    h = activate(start, activation)
    steep, now = derivative(h, activation), sparsity(h)
    return torch.stack([
        fall(h, v.double(), steep), now, sparsity(activate(end, activation)) - now,
        first_order(h, moved.double(), steep), h.square().sum(1),
        (z == 0).double().mean(1), ((start > 0) != (end > 0)).double().mean(1),
    ])  # fmt: skip


def measure(z: Tensor, v: Tensor, moved: Tensor | float, activation: str = "relu") -> Tensor:
    """QUANTITIES of each datum; for ReLU in float32 and few passes.

    While a unit does not switch, its part in ‖h‖₁ and ‖h‖₂² changes by moved and
    2h·moved + moved²: sums that keep their digits however small the step. Units that switch add
    what is left. So the change is that of the step, not of its first order.

    Args:
        moved: as in ``exact``, or the number that v is to be multiplied by.
    """
    if activation != "relu":
        return exact(z, v, v * moved if isinstance(moved, float) else moved, activation)
    parts = [slice(low, low + ROWS) for low in range(0, len(z), ROWS)]
    return torch.cat(
        [_relu(z[p], v[p], moved if isinstance(moved, float) else moved[p]) for p in parts], 1
    )


def _relu(z: Tensor, v: Tensor, moved: Tensor | float) -> Tensor:
    root = math.sqrt(z.shape[1])
    h = z.relu()
    mask = h.sign()
    norm1, norm2 = h.sum(1).double(), dot(h, h).double()
    across, toward = dot(h, v).double(), mask * v
    along = toward.sum(1).double()
    if isinstance(moved, float):
        after = torch.add(z, v, alpha=moved)
        linear1, linear2 = moved * along, moved * across
        rise2 = 2 * linear2 + moved**2 * dot(toward, v).double()
    else:
        after = z + moved
        torch.mul(mask, moved, out=toward)
        linear1, linear2 = toward.sum(1).double(), dot(h, moved).double()
        rise2 = 2 * linear2 + dot(toward, moved).double()
    # What a unit that switches adds: its later h, or |z| where it falls silent; zero elsewhere.
    left = torch.relu(after).sub_(after.mul_(mask))
    added = left.sum(1)
    rise1, share = linear1 + added.double(), torch.zeros_like(linear1)
    if bool(added.any()):
        share = left.sign().sum(1).double() / z.shape[1]
        silenced = torch.mul(mask, left, out=toward)
        rise2 += (dot(left, left) - 2 * dot(silenced, left)).double()
    ratio = norm1 / norm2.sqrt()
    change = torch.expm1(torch.log1p(rise1 / norm1) - torch.log1p(rise2 / norm2) / 2)
    scale = -ratio / (root - 1)
    found = torch.stack([
        along / norm1 - across / norm2, (root - ratio) / (root - 1), scale * change,
        scale * (linear1 / norm1 - linear2 / norm2), norm2,
        1 - z.sign().abs_().sum(1).double() / z.shape[1], share,
    ])  # fmt: skip
    lost = (rise1 < -COLLAPSE * norm1) | (rise2 < -COLLAPSE * norm2) | (norm1 == 0)
    if bool(lost.any()):
        step = v[lost] * moved if isinstance(moved, float) else moved[lost]
        found[:, lost] = exact(z[lost], v[lost], step)
    return found


def verdicts(found: Tensor) -> Tensor:
    """Of QUANTITIES [7, B]: ``satisfied`` (margin > 0), ``rose`` (change > 0), ``agreement``,
    ``tp``, ``fp`` (satisfied, fell), ``fn``, ``tn``: [7, B] of 0, 1, or NaN where sparsity is not
    defined before or after the step."""
    yes, change = found[0] > 0, found[2]
    rose = change > 0
    stack = torch.stack([yes, rose, yes == rose, yes & rose, yes & ~rose, ~yes & rose,
                         ~yes & ~rose])  # fmt: skip
    return stack.double().masked_fill_(change.isnan(), math.nan)
