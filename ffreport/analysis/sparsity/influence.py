"""Who pushes whose sparsity in a layer of infinite width, pair by pair; sets of given angles.

In a module of its own so that what it computed is kept while reports around it change.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ffcore.errors import ConfigError
from ffcore.sparsity import theory


class Influence(NamedTuple):
    """What the data of a set do to each other's sparsity in a layer of infinite width.

    ``margin`` [N], Σ_j ‖x_j‖² κ(θ_ij) ÷ Σ_j ‖x_j‖²; ``by_class`` [C, C], its part from data of the
    class of the column, as a mean over the data of the class of the row; ``obtuse`` [C, C], share
    of their pairs at an obtuse angle.
    """

    margin: Tensor
    by_class: Tensor
    obtuse: Tensor


def influence(x: Tensor, labels: Tensor, classes: int, block: int = theory.TILE) -> Influence:
    """Who pushes whom, pair by pair in tiles, so that memory stays at a few tiles.

    Args:
        x: [N, d]; labels: [N] int64 in [0, classes).

    Raises:
        ConfigError: a class without data, or data that are all zero.
    """
    counts = torch.bincount(labels, minlength=classes).to(x.dtype)
    energy = x.square().sum(1)
    if len(counts) > classes or not counts.all() or not energy.all():
        raise ConfigError(
            f"{int((counts == 0).sum())} of {classes} classes have no data and "
            f"{int((energy == 0).sum())} data are zero; angles need data of every class"
        )
    unit = torch.nn.functional.normalize(x, dim=1)
    member = torch.nn.functional.one_hot(labels, classes).to(x.dtype)
    weighted = member * (energy / energy.sum())[:, None]
    pushed, obtuse = torch.zeros(len(x), classes), torch.zeros(len(x), classes)
    for low in range(0, len(x), block):
        rows = slice(low, low + block)
        for start in range(0, len(x), block):
            columns = slice(start, start + block)
            cosine = (unit[rows] @ unit[columns].T).clamp_(-1, 1)
            if start == low:
                cosine.fill_diagonal_(1)  # A_ii = 0, whatever the rounding
            pushed[rows] += theory.kappa(cosine.acos()) @ weighted[columns]
            obtuse[rows] += (cosine < 0).to(x.dtype) @ member[columns]
    mean = member / counts
    return Influence(pushed.sum(1), mean.T @ pushed, (mean.T @ obtuse) / counts)


def simplex(corners: int, cosine: float) -> Tensor:
    """Unit vectors, each pair at the same angle: [corners, corners] float64.

    A negative cosine, at least −1/(corners − 1), makes every pair obtuse. Then κ < 0 for each, and
    Theorem 1 fails for every datum of the set, in an infinitely wide layer of Gaussian weights.

    Raises:
        ConfigError: an angle that so many vectors cannot have.
    """
    least = -1 / (corners - 1) if corners > 1 else math.nan
    if not least - 1e-12 <= cosine < 1:
        raise ConfigError(
            f"{corners} vectors cannot all have cos θ = {cosine:g} with each other; choose "
            f"{least:g} to 1"
        )
    gram = torch.full((corners, corners), cosine, dtype=torch.float64)
    gram.fill_diagonal_(1)
    values, vectors = torch.linalg.eigh(gram)
    return vectors * values.clamp_min(0).sqrt()
