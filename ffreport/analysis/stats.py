"""Intervals, effect sizes, rank correlations, corrected tests, samples, convergence; arrays in,
numbers out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests

from ffcore.errors import ConfigError

Floats = NDArray[np.floating[Any]]
Statistic = Callable[[Any], Floats]

RESAMPLES = 9999
FEWEST = 6  # values that a bootstrap wants; with fewer no signed-rank test reaches 5 %, either
ENDS = (0.025, 0.975)
NONE = float("nan"), float("nan")
NEAR_BEST = 0.005  # training has converged when it is this near the best accuracy (a fraction)


def t_interval(values: ArrayLike) -> tuple[float, float]:
    """95 % t interval of the mean of [n] values; both ends NaN for fewer than two."""
    x = np.asarray(values, dtype=float)
    if len(x) < 2:
        return NONE
    half = stats.t.ppf(ENDS[1], len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))
    return float(x.mean() - half), float(x.mean() + half)


def welch(first: ArrayLike, second: ArrayLike) -> tuple[float, float]:
    """95 % interval (Welch) of the mean of [n] values minus that of [m] others; both ends NaN where
    one side has fewer than two."""
    x, y = (np.asarray(values, dtype=float) for values in (first, second))
    if min(len(x), len(y)) < 2:
        return NONE
    found = stats.ttest_ind(x, y, equal_var=False).confidence_interval()
    return float(found.low), float(found.high)


def wilson(hits: int, of: int) -> tuple[float, float]:
    """95 % Wilson interval of a share; NaN of nothing."""
    if not of:
        return NONE
    found = stats.binomtest(hits, of).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def bootstrap_interval(
    values: ArrayLike, statistic: Statistic | None = None
) -> tuple[float, float]:
    """95 % bootstrap interval (BCa, Efron 1987) of a statistic, with a fixed seed.

    Bias-corrected and accelerated: differences of accuracies are skewed, for networks that never
    learn are among them. Where the correction does not exist (all resamples on one side, such as
    an effect size of 1), the plain percentiles.

    Args:
        values: [n, …]; rows are resampled.
        statistic: of samples [R, m, …], gives [R]; the mean by default.

    Returns:
        both ends; NaN for fewer than FEWEST values, or where the statistic of them is NaN.
    """
    x = np.asarray(values)
    compute = statistic or _mean
    n = len(x)
    if n < FEWEST or not np.isfinite(observed := compute(x[None])[0]):
        return NONE
    found = compute(x[np.random.default_rng(0).integers(n, size=(RESAMPLES, n))])
    found = found[np.isfinite(found)]
    others = np.broadcast_to(np.arange(n), (n, n))[~np.eye(n, dtype=bool)].reshape(n, n - 1)
    gaps = (left_out := compute(x[others])).mean() - left_out
    spread = (gaps**2).sum()
    acceleration = (gaps**3).sum() / (6 * spread**1.5) if spread > 0 else 0.0
    tie = 1e-9 * np.abs(found).max(initial=0)  # equal but for the rounding of sums
    below = ((found < observed - tie).mean() + (found <= observed + tie).mean()) / 2
    shares: Any = ENDS
    if 0 < below < 1 and np.isfinite(acceleration):
        bias = stats.norm.ppf(below)
        z = bias + stats.norm.ppf(ENDS)
        shares = stats.norm.cdf(bias + z / (1 - acceleration * z))
    low, high = np.quantile(found, shares)
    return float(low), float(high)


def rank_biserial(samples: ArrayLike) -> Floats:
    """Matched-pairs rank-biserial correlation (Kerby 2014) of differences [R, n]; [R].

    (W₊ − W₋) / (W₊ + W₋), where W are the rank sums of Wilcoxon's signed-rank test, without the
    differences that are zero: 1 where all are above zero, 0 where all are zero.
    """
    d = np.asarray(samples, dtype=float)
    ranks = stats.rankdata(np.abs(d), axis=1) - (d == 0).sum(axis=1, keepdims=True)
    signed, total = (np.sign(d) * ranks).sum(axis=1), (ranks * (d != 0)).sum(axis=1)
    return signed / np.where(total > 0, total, 1)


def cohens_d(samples: ArrayLike) -> Floats:
    """Cohen's d_z of differences [R, n]: mean over sample standard deviation; [R], NaN where the
    differences are all equal."""
    d = np.asarray(samples, dtype=float)
    if d.shape[1] < 2:
        return np.full(len(d), np.nan)
    spread = d.std(axis=1, ddof=1)
    same = spread <= 1e-12 * np.abs(d).max(axis=1)
    return np.where(same, np.nan, d.mean(axis=1) / np.where(same, 1, spread))


def spearman(samples: ArrayLike) -> Floats:
    """Spearman's rank correlation of pairs [R, n, 2]; [R], NaN where one side is constant."""
    ranks = stats.rankdata(np.asarray(samples, dtype=float), axis=1)
    ranks = ranks - ranks.mean(axis=1, keepdims=True)
    x, y = ranks[..., 0], ranks[..., 1]
    return _ratio((x * y).sum(axis=1), np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1)))


def kendall(x: ArrayLike, y: ArrayLike) -> Statistic:
    """Kendall's τ-b between [n] and [n], as a statistic of rows [R, m] drawn from 0 … n − 1."""
    first, second = (np.sign(np.subtract.outer(v, v)) for v in map(np.asarray, (x, y)))
    both, one, other = first * second, np.abs(first), np.abs(second)

    def tau(rows: NDArray[np.integer[Any]]) -> Floats:
        times = np.stack([np.bincount(r, minlength=len(both)) for r in rows]).astype(float)
        agree, a, b = (((times @ m) * times).sum(axis=1) for m in (both, one, other))
        return _ratio(agree, np.sqrt(a * b))

    return tau


def signed_rank(differences: ArrayLike) -> float:
    """p of Wilcoxon's signed-rank test, two-sided, of [n] differences; 1 where all are zero, NaN
    for fewer than two."""
    d = np.asarray(differences, dtype=float)
    if len(d) < 2:
        return float("nan")
    return float(stats.wilcoxon(d).pvalue) if d.any() else 1.0


def holm(p_values: Sequence[float] | Floats) -> Floats:
    """p-values adjusted for their number by Holm's method; NaN stays NaN and does not count."""
    p = np.asarray(p_values, dtype=float)
    adjusted, there = np.full(len(p), np.nan), np.isfinite(p)
    if there.any():
        adjusted[there] = multipletests(p[there], method="holm")[1]
    return adjusted


def _mean(samples: Any) -> Floats:
    return np.asarray(samples, dtype=float).mean(axis=1)


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.where(below > 0, above / np.where(below > 0, below, 1), np.nan)


def convergence(accuracies: Sequence[float] | Floats) -> tuple[float, float]:
    """How much accuracy training misses on its way to the best, and when it arrives.

    From test accuracies a₀ … a_{T−1} (fractions, best a*): walk e = 1, 2, …, add a* − a_e, and stop
    at the first e with |a_e − a*| < 0.005. A walk that never stops (a₀ was best and no later epoch
    came near it) takes the whole length: e = T, so that its time is 1.

    Returns area = sum / T and time = e / T, both in [0, 1]. Raises ConfigError for no epoch and for
    a value outside [0, 1].
    """
    a = fractions(accuracies)
    missing = a.max() - a[1:]
    near = np.flatnonzero(missing < NEAR_BEST)
    stop = int(near[0]) + 1 if len(near) else len(a)
    return float(missing[:stop].sum() / len(a)), stop / len(a)


def sample_rows(n: int, size: int, seed: int) -> NDArray[np.intp]:
    """Sorted indices of ``size`` of ``n`` rows, drawn without replacement; all n if size ≥ n."""
    if n < 1 or size < 1:
        raise ConfigError(f"a sample of {size} of {n} rows; both must be at least 1")
    if size >= n:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, size, replace=False))


def fractions(accuracies: Sequence[float] | Floats) -> Floats:
    """Accuracies [T] as float64.

    Raises:
        ConfigError: there is none, or one is not in [0, 1].
    """
    a = np.asarray(accuracies, dtype=np.float64)
    if a.ndim != 1 or len(a) == 0 or not ((a >= 0) & (a <= 1)).all():
        legal = "expected one fraction in [0, 1] an epoch, at least one; divide percent by 100"
        raise ConfigError(f"accuracies are {a.ravel()[:5]} …; {legal}")
    return a
