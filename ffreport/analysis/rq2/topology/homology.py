"""Persistent homology of latents: diagrams and their summaries (Polar-FFA, RQ2).

A diagram is float64 [k, 2], a row a bar (birth, death) of the Vietoris–Rips filtration in units of
Euclidean distance, sorted by death, infinite bars last; bars of length zero are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ffcore.errors import ConfigError
from ffreport.analysis.rq2.topology.matching import finite

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]
MAX_POINTS = 20_000  # whose distances take 1.6 GB
BLOCK = 1024  # rows of a product: 41 MB for 5,000 points


class Cloud(NamedTuple):
    """Points prepared for diagrams: distinct ones, and the distances between them."""

    points: Floats  # [k, n] float64, distinct, in their first order
    place: Integers  # [N], which of them each given point is
    distances: Floats  # [k, k] float32, symmetric, Euclidean

    def part(self, kept: NDArray[np.bool_]) -> Cloud:
        """The cloud of some of the given points, bool [N]; at least one."""
        rows, place = np.unique(self.place[kept], return_inverse=True)
        return Cloud(self.points[rows], place, self.distances[np.ix_(rows, rows)])


class Persistence(NamedTuple):
    """Diagrams of dimensions 0, 1, …, and the points that they are of."""

    diagrams: list[Floats]
    points: int  # points that the diagrams are of, after subsampling, duplicates included
    distinct: int  # distinct ones among them; H0 has distinct − 1 finite bars and an infinite one
    radius: float  # covering radius of the subsample (a distance); 0 when all points are used


def cloud(points: ArrayLike) -> Cloud:
    """Points [N, n] prepared for several calls of ``persistence``; equal ones become one.

    Takes 4 k² bytes for distances, as float32 of a float64 product, and about three copies of the
    points. Raises ConfigError for fewer than 2 points, more than 20,000, or values not finite.
    """
    x = np.asarray(points, dtype=np.float64) + 0.0  # −0 becomes 0: equal points have equal bytes
    if x.ndim != 2 or not 2 <= len(x) <= MAX_POINTS or x.shape[1] == 0:
        legal = f"[N, n] with N from 2 to {MAX_POINTS}, n ≥ 1; sample the latents first"
        raise ConfigError(f"points have shape {list(x.shape)}; expected {legal}")
    if not np.isfinite([x.min(), x.max()]).all():
        raise ConfigError("points contain NaN or infinity; did the training diverge?")
    seen: dict[bytes, int] = {}
    place = np.array([seen.setdefault(row.tobytes(), len(seen)) for row in x])
    if len(seen) < len(x):
        x = x[np.unique(place, return_index=True)[1]]
    return Cloud(x, place, _distances(x))


def persistence(
    points: ArrayLike | Cloud, maxdim: int = 0, n_perm: int | None = None
) -> Persistence:
    """Persistence diagrams of points [N, n] in dimensions 0 … maxdim.

    The finite bars of H0 are the edges of the minimum spanning tree (single linkage): Prim's
    algorithm on one matrix product, several times faster than ripser, which sorts all N²/2 edges.
    Higher dimensions are ripser's, on the same distances. Equal points count once: ripser drops
    their bars, too, but from coordinates (rather than distances) rounding leaves it bars of
    1e-8 of the norm. The product only finds the tree; its lengths are taken from coordinates.

    Args:
        points: [N, n] coordinates; sample them before (about 5,000 for H0, 500 for H1). A Cloud
            of them where there is one: its distances are not computed again.
        maxdim: highest dimension, 0 to 2.
        n_perm: keep so many distinct points by greedy permutation, starting at the first; diagrams
            are then within 2·radius of those of all points, in bottleneck distance.

    Returns:
        Diagrams, number of points used, number of distinct ones, covering radius.

    Raises:
        ConfigError: points that ``cloud`` refuses, an impossible maxdim or n_perm.
    """
    x, place, distances = points if isinstance(points, Cloud) else cloud(points)
    if maxdim not in (0, 1, 2):
        raise ConfigError(f"maxdim is {maxdim}; choose 0, 1 or 2")
    if n_perm is not None and n_perm < 2:
        raise ConfigError(f"n_perm is {n_perm}; keep at least 2 points, or leave it out for all")
    used, radius = len(place), 0.0
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
    d = finite(diagram)
    return np.sort(d[:, 1] - d[:, 0])


def persistence_entropy(diagram: ArrayLike) -> float:
    """Entropy −Σ p log p, in nats, of the finite bars' shares p of their total length.

    0 for one bar, log k for k equal bars, nan for none. Source: Rucco et al. 2015.
    """
    length = lifetimes(diagram)
    length = length[length > 0]
    share = length / length.sum()
    return float((share * np.log(1 / share)).sum()) if len(share) else float("nan")


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
    image = imager.transform(finite(diagram), skew=True)
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


def _distances(x: Floats) -> Floats:
    """[k, k] float32 Euclidean distances between distinct rows, by a float64 product in blocks of
    the upper half."""
    x = x - x.mean(axis=0)
    length = np.einsum("ij,ij->i", x, x)
    distances = np.empty((len(x), len(x)), dtype=np.float32)
    for i in range(0, len(x), BLOCK):
        rows, later = slice(i, i + BLOCK), slice(i + BLOCK, None)
        block = x[rows] @ x[i:].T
        block *= -2
        block += length[i:]
        block += length[rows, None]
        np.sqrt(np.maximum(block, 0, out=block), out=block)
        distances[rows, i:] = block
        distances[later, rows] = distances[rows, later].T
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
