"""Distances between persistence diagrams, clusters by them, noise filtering (Polar-FFA, RQ2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import cut_tree, leaves_list, linkage
from scipy.spatial.distance import pdist, squareform

from ffcore.errors import ConfigError, unknown
from ffreport.analysis.rq2.topology import homology, matching

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]

NEIGHBOURS = 5  # points in a core point's neighbourhood, itself included (DBSCAN's min_samples)
PIXELS = 40  # along the longer side of a persistence image
DRAWS = 1999  # permutations of a test
METRICS = {"bottleneck": matching.bottleneck, "wasserstein": matching.wasserstein}


class Filtered(NamedTuple):
    """Which points DBSCAN takes for no noise, and the radius that it looked within."""

    kept: NDArray[np.bool_]  # [N]
    eps: float  # a distance; 0 where there was nothing to filter


def dbscan_filter(points: ArrayLike | homology.Cloud, neighbours: int = NEIGHBOURS) -> Filtered:
    """Points [N, n] less those that DBSCAN calls noise (Ester et al. 1996): those that are not
    within a radius of a core point, which has so many neighbours there, itself included.

    The radius follows from the points, by the k-distance rule of that paper: sort the distances to
    the k-th nearest other point, k = neighbours − 1, and take the one at the knee of their curve
    (see ``knee``). At least one point is then a core point, so that something is always kept. Where
    the knee lies at 0 (most points coincide) no radius can be told, and all points are kept.

    Raises:
        ConfigError: points that ``homology.cloud`` refuses, or neighbours not in 2 … N.
    """
    found = points if isinstance(points, homology.Cloud) else homology.cloud(points)
    place, apart = found.place, found.distances
    if not 2 <= neighbours <= len(place):
        raise ConfigError(f"{neighbours} neighbours among {len(place)} points; choose 2 to "
                          f"{len(place)}")  # fmt: skip
    if len(apart) < len(place):
        apart = apart[place][:, place]
    eps = knee(np.partition(apart, neighbours - 1, axis=1)[:, neighbours - 1])
    if eps <= 0:
        return Filtered(np.ones(len(place), dtype=bool), 0.0)
    near = apart <= eps
    core = near.sum(axis=1) >= neighbours
    return Filtered(np.asarray(near[:, core].any(axis=1)), eps)


def knee(values: ArrayLike) -> float:
    """The value at the knee of [N] values sorted upwards: where their curve lies furthest below the
    chord between its ends (Satopää et al. 2011). The largest value where the curve is straight."""
    v = np.sort(np.asarray(values, dtype=np.float64))
    rise = v[-1] - v[0]
    below = np.linspace(0, 1, len(v)) - (v - v[0]) / (rise if rise > 0 else 1)
    return float(v[below.argmax()] if rise > 0 and below.max() > 1e-9 else v[-1])


def matrix(diagrams: Sequence[ArrayLike], metric: str) -> Floats:
    """Distances [k, k] between k diagrams, symmetric with a zero diagonal.

    Args:
        diagrams: arrays [bars, 2]; infinite bars do not count.
        metric: ``bottleneck`` or ``wasserstein``, see topology.
    """
    if metric not in METRICS:
        raise unknown("distance", metric, METRICS)
    found = np.zeros((len(diagrams), len(diagrams)))
    for i, j in zip(*np.triu_indices(len(diagrams), 1), strict=True):
        found[i, j] = found[j, i] = METRICS[metric](diagrams[int(i)], diagrams[int(j)])
    return found


def images(diagrams: Sequence[ArrayLike], pixels: int = PIXELS) -> Floats:
    """Persistence images [k, births, lifetimes] of k diagrams over ranges that they share.

    Births span the smallest to the largest of all diagrams, lifetimes 0 to the longest; all zero
    [k, 1, 1] where no diagram has a finite bar. For H0, whose births are all 0, there is one column
    of births.
    """
    finite: list[Floats] = [np.asarray(d, dtype=np.float64) for d in diagrams]
    finite = [d[np.isfinite(d[:, 1])] for d in finite]
    bars = np.concatenate(finite) if finite else np.empty((0, 2))
    if not len(bars):
        return np.zeros((len(finite), 1, 1))
    births = (float(bars[:, 0].min()), float(bars[:, 0].max()))
    lengths = (0.0, float((bars[:, 1] - bars[:, 0]).max()))
    drawn = [
        homology.persistence_image(d, births, lengths, pixels) if len(d) else None for d in finite
    ]
    shape = next(image.shape for image in drawn if image is not None)
    return np.stack([np.zeros(shape) if image is None else image for image in drawn])


def between_images(vectors: ArrayLike) -> Floats:
    """Euclidean distances [k, k] between k images [k, …], taken as vectors."""
    v = np.asarray(vectors, dtype=np.float64)
    return np.asarray(squareform(pdist(v.reshape(len(v), -1))))


def tree(distances: ArrayLike) -> Floats:
    """Average-linkage tree [k − 1, 4] of distances [k, k], in scipy's form; ConfigError for a
    matrix that is not square, symmetric and finite, or of fewer than 2 rows."""
    d = np.asarray(distances, dtype=np.float64)
    square = d.ndim == 2 and d.shape[0] == d.shape[1] and len(d) > 1
    if not square or not np.isfinite(d).all() or not np.allclose(d, d.T):
        raise ConfigError(f"distances {list(d.shape)} are no finite symmetric matrix of 2 or more")
    return np.asarray(linkage(squareform(d, checks=False), "average"))


def order(distances: ArrayLike) -> Integers:
    """The rows [k] of distances [k, k] in the order of their dendrogram's leaves."""
    return np.asarray(leaves_list(tree(distances)))


def clusters(distances: ArrayLike, count: int) -> Integers:
    """The cluster [k], from 0, of each row when the dendrogram is cut into ``count``."""
    return np.asarray(cut_tree(tree(distances), n_clusters=count)[:, 0])


def rand_index(first: ArrayLike, second: ArrayLike) -> float:
    """Adjusted Rand index of two partitions [k]: 1 when equal, 0 on average by chance; nan where
    chance alone decides (both have one group, or all groups are single). Hubert and Arabie 1985."""
    a, b = (np.unique(np.asarray(v), return_inverse=True)[1] for v in (first, second))
    return float(_rand(a, b[None])[0])


def rand_test(
    found: ArrayLike, labels: ArrayLike, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """Adjusted Rand index of clusters [k] with labels [k], and its one-sided permutation p.

    p is (1 + draws with an index as large) / (1 + draws), of labels shuffled among the k; both are
    nan where the index is.
    """
    a, b = (np.unique(np.asarray(v), return_inverse=True)[1] for v in (found, labels))
    observed = float(_rand(a, b[None])[0])
    if not np.isfinite(observed):
        return observed, float("nan")
    shuffled = np.random.default_rng(seed).permuted(np.tile(b, (draws, 1)), axis=1)
    return observed, float((1 + (_rand(a, shuffled) >= observed - 1e-12).sum()) / (1 + draws))


def _rand(a: Integers, b: Integers) -> Floats:
    """Adjusted Rand index of groups a [k] with each row of b [R, k]; [R]."""
    ours = np.eye(a.max() + 1)[a]
    theirs = np.eye(b.max() + 1)[b]
    pairs = _pairs(ours.T @ theirs).sum(axis=(1, 2))
    first, second = _pairs(ours.sum(axis=0)).sum(), _pairs(theirs.sum(axis=1)).sum(axis=1)
    expected = first * second / max(_pairs(np.array(len(a))), 1)
    room = (first + second) / 2 - expected
    return np.where(room > 0, (pairs - expected) / np.where(room > 0, room, 1), np.nan)


def _pairs(n: Any) -> Any:
    return n * (n - 1) / 2
