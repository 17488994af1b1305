"""Sparsity, usage, separability, convergence and projection of latents (Polar-FFA, RQ2; DESIGN 4).

Latents are layer-1 activations, float32 [N, n], image-major: row i·C + c is image i with candidate
label c; ``positive`` (bool [N]) marks the rows whose label is the true one. Every function raises a
ConfigError for latents that are not [N ≥ 1, n ≥ 2] or not finite, and for flags that do not fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ffcore.errors import ConfigError
from ffreport.analysis import stats
from ffreport.analysis.stats import fractions

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]

EPSILON = 1e-7  # of the published Hoyer sparsity: an all-zero vector has sparsity 1
USED = 0.01  # a unit is used when its sum exceeds this share of the largest
ROWS = 512  # latents a block: its float64 copy stays in the cache
COMPONENTS = 50  # principal components that t-SNE sees


def hoyer(latents: ArrayLike) -> Floats:
    """Hoyer sparsity S(h) = (√n − (‖h‖₁+ε)/(‖h‖₂+ε)) / (√n − 1), ε = 1e-7, of latents [N, n]; [N]
    float64, 0 where all |h| are equal, 1 where at most one is not zero."""
    return _one_pass(_matrix(latents))[0]


def hoyer_means(latents: ArrayLike, positive: ArrayLike) -> dict[str, float]:
    """Mean Hoyer sparsity of latents [N, n]: ``hoyer`` over all, ``hoyer_nonzero`` over those that
    are not zero, ``hoyer_positive`` over those that are positive, too; nan where there are none.

    A latent is zero when each of its activations is exactly 0 (as in a collapsed ReLU layer). Near
    zero is not zero: a tiny vector still has a direction, and a sparsity.
    """
    h = _matrix(latents)
    sparsity, nonzero, _ = _one_pass(h)
    return _means(sparsity, nonzero, _flags(positive, len(h)))


def neural_usage(latents: ArrayLike) -> tuple[float, float]:
    """Hoyer sparsity of the per-unit sums of |h| over latents [N, n] (1: at most one unit is used)
    and the fraction of units whose sum exceeds 1 % of the largest (0 when all sums are zero)."""
    return _usage(_one_pass(_matrix(latents))[2])


def separability(
    latents: ArrayLike, positive: ArrayLike, points: int = 1000, neighbours: int = 5, seed: int = 0
) -> float:
    """How far positive and negative latents keep to themselves, among their nearest neighbours.

    Distances are Euclidean, by a float64 matrix product over the sample: in float32 neighbours
    1e-3 of the norm apart would drown. A point is no neighbour of itself, by index. Points that tie
    for the last places (collapsed zeros are all at distance 0) count with the share that drawing
    among them would give, so that the order of the rows does not matter.

    Args:
        latents: [N, n] activations; ``points`` of them are sampled, by ``seed`` (all if fewer).
        positive: bool [N].
        neighbours: nearest sampled latents looked at, per sampled latent.

    Returns:
        Mean of (share of positive neighbours among positives) and (share of negative neighbours
        among negatives), in [0, 1]; nan when the sample lacks one of the two kinds.

    Raises:
        ConfigError: ``neighbours`` is not in 1 … sample − 1.
    """
    h = _matrix(latents)
    rows = stats.sample_rows(len(h), points, seed)
    flags = _flags(positive, len(h))[rows]
    if not 1 <= neighbours < len(rows):
        legal = f"choose 1 to {len(rows) - 1}, or sample more latents"
        raise ConfigError(f"{neighbours} neighbours among {len(rows)} latents; {legal}")
    if flags.all() or not flags.any():
        return float("nan")
    square = _squared_distances(h[rows])
    np.fill_diagonal(square, np.inf)
    last = np.partition(square, neighbours - 1, axis=1)[:, neighbours - 1 : neighbours]
    nearer, tied = square < last, square == last
    same = flags[:, None] == flags[None, :]
    drawn = (neighbours - nearer.sum(axis=1)) * (tied & same).sum(axis=1) / tied.sum(axis=1)
    share = ((nearer & same).sum(axis=1) + drawn) / neighbours
    return float((share[flags].mean() + share[~flags].mean()) / 2)


def all_measures(
    latents: ArrayLike,
    positive: ArrayLike,
    accuracies: Sequence[float] | Floats,
    points: int = 1000,
    seed: int = 0,
) -> dict[str, float]:
    """The nine published measures of one network, in one pass, under the published table's names.

    Takes latents [N, n], flags [N], test accuracies after each epoch [T], and size and seed of the
    separability sample. Returns ``test_accuracy`` (best epoch), ``hoyer``, ``hoyer_nonzero``,
    ``hoyer_positive``, ``neural_usage_hoyer``, ``neural_usage_fraction``, ``separability``,
    ``convergence_area`` and ``convergence_time``: fractions, each explained at its own function.
    """
    h = _matrix(latents)
    flags = _flags(positive, len(h))
    sparsity, nonzero, sums = _one_pass(h)
    usage, (area, time) = _usage(sums), stats.convergence(accuracies)
    return {
        "test_accuracy": float(fractions(accuracies).max()),
        **_means(sparsity, nonzero, flags),
        "neural_usage_hoyer": usage[0],
        "neural_usage_fraction": usage[1],
        "separability": separability(h, flags, points, seed=seed),
        "convergence_area": area,
        "convergence_time": time,
    }


def tsne(
    latents: ArrayLike, seed: int = 0, perplexity: float = 30.0, normalised: bool = False
) -> Floats:
    """t-SNE of latents [N, n], Barnes-Hut, for figures G1–G7: the same bits for the same seed.

    Latents are first reduced to 50 principal components, for speed, and start at the first two of
    them. A seeded jitter, 1e-5 of the largest standard deviation, gives equal latents neighbours at
    random: they become a cloud whose area shows how many they are, where without it they would stay
    a dot (measured). One thread: sums have one order. Perplexity is lowered to (N − 1)/3 for small
    samples. Returns [N, 2] float32, all zero when N < 4 or no two latents differ.
    """
    from sklearn.manifold import TSNE  # A second that who only reads what is kept need not wait.

    h = unit_rows(latents) if normalised else _matrix(latents)
    with threadpool_limits(limits=1):
        x = h.astype(np.float64)
        x -= x.mean(axis=0)
        largest = np.abs(x).max()
        if len(x) < 4 or largest <= 1e-12 * np.abs(h).max():
            return np.zeros((len(x), 2), dtype=np.float32)
        _, axes = np.linalg.eigh(x.T @ (x / largest))
        axes = axes[:, ::-1][:, :COMPONENTS]
        axes *= np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])
        x = x @ axes
        x = x / x[:, 0].std() + 1e-5 * np.random.default_rng(seed).standard_normal(x.shape)
        start, perplexity = 1e-4 * x[:, :2], min(perplexity, (len(x) - 1) / 3)
        model = TSNE(perplexity=perplexity, init=start, random_state=seed, n_jobs=1)
        return np.asarray(model.fit_transform(x), dtype=np.float32)


def unit_rows(latents: ArrayLike) -> Floats:
    """Latents [N, n] divided by their Euclidean norm; all-zero rows stay zero."""
    h = _matrix(latents)
    largest = np.abs(h).max(axis=1, keepdims=True)
    h = h / np.where(largest > 0, largest, 1)  # squares of tiny rows would underflow
    norm = np.sqrt(np.einsum("ij,ij->i", h, h))[:, None]
    return h / np.maximum(norm, 1)  # a row that is not zero has an element ±1, so norm ≥ 1


def _matrix(latents: ArrayLike) -> Floats:
    h = np.asarray(latents)
    h = h if np.issubdtype(h.dtype, np.floating) else h.astype(np.float64)
    if h.ndim != 2 or len(h) == 0 or h.shape[1] < 2:
        raise ConfigError(f"latents have shape {list(h.shape)}; expected [N, n], N ≥ 1, n ≥ 2")
    if not np.isfinite([h.min(), h.max()]).all():
        raise ConfigError("latents contain NaN or infinity; did the training diverge?")
    return h


def _flags(positive: ArrayLike, rows: int) -> Bools:
    flags = np.asarray(positive)
    if flags.shape == (rows,) and flags.dtype == np.bool_:
        return flags
    found = f"{flags.dtype} {list(flags.shape)}"
    raise ConfigError(f"positive is {found}; expected bool [{rows}], one flag a latent")


def _one_pass(h: Floats) -> tuple[Floats, Bools, Floats]:
    """Sparsity [N], whether a latent is not all-zero [N], and sums of |h| per unit [n]; float64."""
    sparsity, nonzero = np.empty(len(h)), np.empty(len(h), dtype=bool)
    sums = np.zeros(h.shape[1])
    for i in range(0, len(h), ROWS):
        block = np.abs(h[i : i + ROWS].astype(np.float64))
        l1, l2 = block.sum(axis=1), np.sqrt(np.einsum("ij,ij->i", block, block))
        sparsity[i : i + ROWS], nonzero[i : i + ROWS] = _hoyer(l1, l2, h.shape[1]), l1 > 0
        sums += block.sum(axis=0)
    return sparsity, nonzero, sums


def _hoyer(l1: Any, l2: Any, n: int) -> Any:
    return (np.sqrt(n) - (l1 + EPSILON) / (l2 + EPSILON)) / (np.sqrt(n) - 1)


def _means(sparsity: Floats, nonzero: Bools, positive: Bools) -> dict[str, float]:
    kinds = (("", nonzero | True), ("_nonzero", nonzero), ("_positive", nonzero & positive))
    return {f"hoyer{k}": float(sparsity[m].mean()) if m.any() else float("nan") for k, m in kinds}


def _usage(sums: Floats) -> tuple[float, float]:
    sparsity = _hoyer(sums.sum(), np.sqrt((sums**2).sum()), len(sums))
    return float(sparsity), float(np.mean(sums > USED * sums.max()))


def _squared_distances(points: Floats) -> Floats:
    """[N, N] float64 between rows; equal rows (−0 equals 0) are exactly 0 apart and tie exactly in
    the distance to any other, which rounding in a plain matrix product would not give."""
    seen: dict[bytes, int] = {}
    inverse = np.array([seen.setdefault(row.tobytes(), len(seen)) for row in points + 0.0])
    x = points[np.unique(inverse, return_index=True)[1]].astype(np.float64)
    x -= x.mean(axis=0)
    length = np.einsum("ij,ij->i", x, x)
    square = np.maximum(length[:, None] + length[None, :] - 2 * (x @ x.T), 0)
    np.fill_diagonal(square, 0)
    return square[inverse[:, None], inverse] if len(x) < len(points) else square
