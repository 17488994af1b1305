"""Persistent homology of latents: diagrams, their summaries and distances (Polar-FFA, RQ2).

A diagram is float64 [k, 2], a row a bar (birth, death) of the Vietoris–Rips filtration in units of
Euclidean distance, sorted by death, infinite bars last; bars of length zero are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ffcore.errors import ConfigError

Floats = NDArray[np.floating[Any]]
MAX_POINTS = 20_000  # whose distances take 1.6 GB


class Persistence(NamedTuple):
    """Diagrams of dimensions 0, 1, …, and the points that they are of."""

    diagrams: list[Floats]
    points: int  # points that the diagrams are of, after subsampling, duplicates included
    distinct: int  # distinct ones among them; H0 has distinct − 1 finite bars and an infinite one
    radius: float  # covering radius of the subsample (a distance); 0 when all points are used


def persistence(points: ArrayLike, maxdim: int = 0, n_perm: int | None = None) -> Persistence:
    """Persistence diagrams of points [N, n] in dimensions 0 … maxdim.

    The finite bars of H0 are the edges of the minimum spanning tree (single linkage): Prim's
    algorithm on one matrix product, several times faster than ripser, which sorts all N²/2 edges.
    Higher dimensions are ripser's, on the same distances. Equal points count once: ripser drops
    their bars, too, but from coordinates (rather than distances) rounding leaves it bars of
    1e-8 of the norm. The product only finds the tree; its lengths are taken from coordinates.

    Args:
        points: [N, n] coordinates; sample them before (about 5,000 for H0, 500 for H1).
        maxdim: highest dimension, 0 to 2.
        n_perm: keep so many distinct points by greedy permutation, starting at the first; diagrams
            are then within 2·radius of those of all points, in bottleneck distance.

    Returns:
        Diagrams, number of points used, number of distinct ones, covering radius.

    Raises:
        ConfigError: fewer than 2 points, more than 20,000, values that are not finite, an
            impossible maxdim or n_perm.
    """
    x = _checked(points, maxdim, n_perm)
    seen: dict[bytes, int] = {}
    inverse = np.array([seen.setdefault(row.tobytes(), len(seen)) for row in x])
    x = x[np.unique(inverse, return_index=True)[1]]
    distances = _distances(x)
    used, radius = len(inverse), 0.0
    if n_perm is not None and n_perm < len(x):
        kept, radius = _greedy(distances, n_perm)
        x, distances, used = x[kept], distances[np.ix_(kept, kept)], n_perm
    diagrams = [_components(x, distances)]
    if maxdim > 0 and len(x) > 1:
        from ripser import ripser

        found = ripser(distances, maxdim=maxdim, distance_matrix=True)["dgms"][1:]
        diagrams += [d[np.argsort(d[:, 1], kind="stable")].astype(np.float64) for d in found]
    diagrams += [np.zeros((0, 2)) for _ in range(maxdim + 1 - len(diagrams))]
    return Persistence(diagrams, used, len(x), radius)


def lifetimes(diagram: ArrayLike) -> Floats:
    """Lengths [k] (distances) of the finite bars of a diagram [m ≥ k, 2], ascending."""
    d = _finite(diagram)
    return np.sort(d[:, 1] - d[:, 0])


def persistence_entropy(diagram: ArrayLike) -> float:
    """Entropy −Σ p log p, in nats, of the finite bars' shares p of their total length.

    0 for one bar, log k for k equal bars, nan for none. Source: Rucco et al. 2015.
    """
    length = lifetimes(diagram)
    length = length[length > 0]
    share = length / length.sum()
    return float((share * np.log(1 / share)).sum()) if len(share) else float("nan")


def bottleneck(a: ArrayLike, b: ArrayLike) -> float:
    """Bottleneck distance (a distance between points, L∞) of the finite bars of two diagrams.

    For two H0 diagrams it has a closed form, exact for thousands of bars: the k longest of each are
    matched in order and the others shrink to the diagonal, for the best k. Else a binary search
    over all distances, exact too: persim's takes seconds where a few hundred bars meet.
    """
    p, q = _finite(a), _finite(b)
    if p[:, 0].any() or q[:, 0].any():
        return _bottleneck(p, q)
    u, v = np.sort(p[:, 1])[::-1], np.sort(q[:, 1])[::-1]
    k = min(len(u), len(v))
    matched = np.maximum.accumulate(np.r_[0.0, np.abs(u[:k] - v[:k])])
    unmatched = [np.r_[w, 0.0, 0.0][: k + 1] / 2 for w in (u, v)]
    return float(np.maximum(matched, np.maximum(*unmatched)).min())


def wasserstein(a: ArrayLike, b: ArrayLike) -> float:
    """1-Wasserstein distance of the finite bars of two diagrams: the least sum of Euclidean
    distances in the birth-death plane over matchings, to each other or to the diagonal.

    For two H0 diagrams it is a shortest path over both sorted lists, exact and fast for thousands
    of bars (persim's assignment is cubic). Else it is persim's.
    """
    p, q = _finite(a), _finite(b)
    if p[:, 0].any() or q[:, 0].any():
        from persim import wasserstein as persim_wasserstein

        return float(persim_wasserstein(p, q))
    u, v = np.sort(p[:, 1]), np.sort(q[:, 1])
    skipped = np.r_[0.0, np.cumsum(v / np.sqrt(2))]  # cost of leaving the first bars of v alone
    cost = skipped
    for bar in u:
        step = cost + bar / np.sqrt(2)
        step[1:] = np.minimum(step[1:], cost[:-1] + np.abs(bar - v))
        cost = np.minimum.accumulate(step - skipped) + skipped
    return float(cost[-1])


def persistence_image(
    diagram: ArrayLike,
    births: tuple[float, float],
    lengths: tuple[float, float],
    pixels: int = 20,
    spread: float | None = None,
) -> Floats:
    """Persistence image: bars as Gaussians in the birth-lifetime plane, weighted by lifetime.

    Args:
        diagram: [k, 2] bars; infinite ones are left out.
        births: range of births that the image spans (distances).
        lengths: range of lifetimes that the image spans; images to be compared share both ranges.
        pixels: pixels along the longer of the two ranges; they are square.
        spread: standard deviation of the Gaussians; one pixel if not given.

    Returns:
        [births, lifetimes] float64; a range of width zero (births of H0) becomes one pixel wide.

    Raises:
        ConfigError: no pixel, or two ranges that are both empty.

    Source: Adams et al. 2017, by persim.
    """
    side = max(births[1] - births[0], lengths[1] - lengths[0]) / max(pixels, 1)
    if pixels < 1 or not 0 < side < np.inf:
        given = f"births {births}, lengths {lengths}, {pixels} pixels"
        raise ConfigError(f"an image of {given} has no area; give increasing ranges and a pixel")
    from persim import PersistenceImager

    spans = [(lo, hi) if hi > lo else (lo - side / 2, lo + side / 2)
             for lo, hi in (births, lengths)]  # fmt: skip
    sigma = (side if spread is None else spread) ** 2 * np.eye(2)
    imager = PersistenceImager(*spans, pixel_size=side, kernel_params={"sigma": sigma})
    image = imager.transform(_finite(diagram), skew=True)
    return np.asarray(image, dtype=np.float64)


def summary(diagrams: Sequence[ArrayLike]) -> dict[str, float]:
    """Numbers of one network's diagrams of dimensions 0, 1, ….

    For each dimension d, over finite bars: ``h<d>_bars`` (count), ``h<d>_longest`` and
    ``h<d>_total`` (distances; 0 without bars), ``h<d>_entropy`` (nats; nan without bars) and
    ``h<d>_gap`` (as in ``gap``; nan with fewer than two bars).
    """
    found: dict[str, float] = {}
    for d, diagram in enumerate(diagrams):
        length = lifetimes(diagram)
        found |= {
            f"h{d}_bars": float(len(length)),
            f"h{d}_longest": float(length.max(initial=0.0)),
            f"h{d}_total": float(length.sum()),
            f"h{d}_entropy": persistence_entropy(diagram),
            f"h{d}_gap": gap(diagram)[0],
        }
    return found


def gap(diagram: ArrayLike) -> tuple[float, int]:
    """Largest jump between consecutive lifetimes as a share, in [0, 1], of the longest, and how
    many bars lie above it (in H0: clusters − 1); (nan, 0) with fewer than two finite bars."""
    length = lifetimes(diagram)
    if len(length) < 2 or length[-1] <= 0:
        return float("nan"), 0
    jumps = np.diff(length)
    place = int(jumps.argmax())
    return float(jumps[place] / length[-1]), len(jumps) - place


def _checked(points: ArrayLike, maxdim: int, n_perm: int | None) -> Floats:
    x = np.asarray(points, dtype=np.float64) + 0.0  # −0 becomes 0: equal points have equal bytes
    if x.ndim != 2 or not 2 <= len(x) <= MAX_POINTS or x.shape[1] == 0:
        legal = f"[N, n] with N from 2 to {MAX_POINTS}, n ≥ 1; sample the latents first"
        raise ConfigError(f"points have shape {list(x.shape)}; expected {legal}")
    if not np.isfinite([x.min(), x.max()]).all():
        raise ConfigError("points contain NaN or infinity; did the training diverge?")
    if maxdim not in (0, 1, 2):
        raise ConfigError(f"maxdim is {maxdim}; choose 0, 1 or 2")
    if n_perm is not None and n_perm < 2:
        raise ConfigError(f"n_perm is {n_perm}; keep at least 2 points, or leave it out for all")
    return x


def _distances(x: Floats) -> Floats:
    """[N, N] float32 Euclidean distances between distinct rows, by a float64 product in blocks."""
    x = x - x.mean(axis=0)
    length = np.einsum("ij,ij->i", x, x)
    distances = np.empty((len(x), len(x)), dtype=np.float32)
    for i in range(0, len(x), 1024):
        block = length[i : i + 1024, None] + length - 2 * (x[i : i + 1024] @ x.T)
        distances[i : i + 1024] = np.sqrt(np.maximum(block, 0))
    np.fill_diagonal(distances, 0)
    return distances


def _components(x: Floats, distances: Floats) -> Floats:
    """H0 of distinct points: Prim's algorithm, whose row scans are as cheap as memory allows."""
    best, done = np.full(len(x), np.inf, dtype=np.float32), np.zeros(len(x), dtype=np.float32)
    parent, tree, i = np.zeros(len(x), dtype=np.intp), np.zeros((len(x) - 1, 2), dtype=np.intp), 0
    for edge in tree:
        done[i] = np.inf
        np.copyto(parent, i, where=distances[i] < best)
        np.minimum(best, distances[i], out=best)
        i = int((best + done).argmin())
        edge[:] = i, parent[i]
    step = x[tree[:, 0]] - x[tree[:, 1]]
    death = np.sort(np.sqrt(np.einsum("ij,ij->i", step, step)))
    return np.stack([np.zeros(len(x)), np.r_[death, np.inf]], axis=1)


def _greedy(distances: Floats, n: int) -> tuple[list[int], float]:
    kept, nearest = [0], distances[0]
    for _ in range(n - 1):
        kept.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, distances[kept[-1]])
    return kept, float(nearest.max())


def _bottleneck(p: Floats, q: Floats) -> float:
    """The smallest distance d within which every bar has a partner or shrinks to the diagonal.

    Bars longer than 2d need a partner. There is a matching that serves those of both diagrams if
    and only if there is one for those of each (Mendelsohn and Dulmage 1958).
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    apart = np.abs(p[:, None] - q[None]).max(axis=2)
    halves = [(d[:, 1] - d[:, 0]) / 2 for d in (p, q)]

    def enough(d: float) -> bool:
        for near, half in ((apart <= d, halves[0]), (apart.T <= d, halves[1])):
            need = csr_array(near[half > d])
            if need.shape[0] and (maximum_bipartite_matching(need) >= 0).sum() < need.shape[0]:
                return False
        return True

    steps = np.unique(np.r_[0.0, apart.ravel(), *halves])
    low, high = 0, len(steps) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(steps[middle]) else (middle + 1, high)
    return float(steps[low])


def _finite(diagram: ArrayLike) -> Floats:
    d = np.asarray(diagram, dtype=np.float64)
    if d.ndim != 2 or d.shape[1] != 2 or np.isnan(d).any():
        raise ConfigError(f"a diagram has shape {list(d.shape)}; expected [k, 2] without NaN")
    return d[np.isfinite(d[:, 1])]
