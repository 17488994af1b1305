"""Layers at initialisation and the expectation of their goodness (Polar-FFA, Appendix A).

A layer is drawn many times. Intervals are 95 % t intervals over these draws: the samples of one
network share its weights and are not independent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from math import pi, sqrt
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import integrate, interpolate, stats
from torch import Tensor

from ffcore import goodness
from ffcore.errors import ConfigError
from ffreport.base.threads import one_thread
from ffreport.base.words import bullets

Floats = NDArray[np.floating[Any]]

NORMAL = "N(0, 1) pre-activations"  # the assumption of Appendix A
RANDOM = "layer on Gaussian inputs"
IMAGES = "layer on images"
LEVEL = 0.05  # of the tests, over all of a family (Bonferroni)
SPREADS = 33  # points between which expectations are interpolated over the samples' spreads
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)
_NODES = 5 * (_NODES + 1)  # in [0, 10] standard deviations; no activation has a kink inside
_Z = np.concatenate([_NODES, -_NODES])
_MASS = np.tile(5 * _WEIGHTS * stats.norm.pdf(_NODES), 2)


@dataclass(frozen=True)
class Sizes:
    """How much is drawn: ``widths`` of the layer in units, ``samples`` (inputs), ``repeats`` (draws
    of the weights), all by ``seed``.

    Raises:
        ConfigError: no width, an odd one (the groups are halves), or less than two of the others.
    """

    widths: tuple[int, ...] = (64, 256, 1000, 4000)
    samples: int = 2000
    repeats: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.widths or any(w < 2 or w % 2 for w in self.widths):
            legal = "choose even numbers from 2, because the groups are halves"
            raise ConfigError(f"widths {self.widths}; {legal}")
        if min(self.samples, self.repeats) < 2:
            found = f"{self.samples} samples and {self.repeats} repeats"
            raise ConfigError(f"{found}; a spread needs at least 2 of each")


@dataclass(frozen=True)
class Layers:
    """Layers at initialisation, by width: what goodness is made of.

    Args:
        source: NORMAL, RANDOM, IMAGES, or another name for the inputs.
        spread: [S] float64, standard deviation of each sample's pre-activations over the weights.
        sums: (width, activation, norm) → [2, repeats, S] float64, the norm's inner sum over the
            first (positive) and the second (negative) half of the units.
    """

    source: str
    spread: Floats
    sums: dict[tuple[int, str, str], Tensor]

    def goodness(
        self, width: int, activation: str, norm: str, aggregation: str, sides: Sequence[int]
    ) -> Tensor:
        """[repeats, S] float64: G⊕ (``sides`` 0), G⊖ (1), the whole layer's G (0, 1), or 0 of no
        units (none)."""
        total = self.sums[width, activation, norm][list(sides)].sum(dim=0)
        scale = goodness.aggregation_scale(aggregation, max(len(sides) * width // 2, 1))
        return goodness.NORMS[norm].outer(scale * total)


def gaussian_inputs(sizes: Sizes, dimension: int = 784) -> Tensor:
    """[samples, dimension] float32, N(0, 1): about as long as a standardised MNIST image."""
    random = torch.Generator().manual_seed(sizes.seed)
    return torch.randn(sizes.samples, dimension, generator=random)


@one_thread()
def draw(sizes: Sizes, inputs: Tensor | None = None, source: str = RANDOM) -> Layers:
    """Draw layers with PyTorch's default weights, U(−1/√d, 1/√d) without bias.

    Args:
        inputs: [S, d] float32, of which the first ``samples`` are used, the same for every draw of
            the weights; None for pre-activations N(0, 1), independent over units, samples and
            draws, as Appendix A assumes them.
        source: what the tables call these layers; NORMAL where there are no inputs.
    """
    if inputs is None:
        source, bound, spread = NORMAL, 0.0, np.ones(sizes.samples)
    else:
        inputs = inputs[: sizes.samples]
        bound = 1 / sqrt(inputs.shape[1])
        spread = torch.linalg.vector_norm(inputs.double(), dim=1).numpy() * bound / sqrt(3)
    keys = product(sizes.widths, goodness.ACTIVATIONS, goodness.NORMS)
    sums = {k: torch.empty(2, sizes.repeats, len(spread), dtype=torch.float64) for k in keys}
    for width, repeat in product(sizes.widths, range(sizes.repeats)):
        random = torch.Generator().manual_seed((sizes.seed * 1000 + repeat) * 100_003 + width)
        if inputs is None:
            z = torch.randn(len(spread), width, generator=random)
        else:
            weights = torch.empty(width, inputs.shape[1])
            z = inputs @ weights.uniform_(-bound, bound, generator=random).T
        for activation, nonlinearity in goodness.ACTIVATIONS.items():
            halves = nonlinearity.value(z.clone()).chunk(2, dim=1)
            for norm, rule in goodness.NORMS.items():
                sums[width, activation, norm][:, repeat] = torch.stack(
                    [rule.inner(half) for half in halves]
                )
    return Layers(source, spread, sums)


def expected_goodness(activation: str, norm: str, units: int, spread: Floats) -> Floats:
    """E of the summed goodness of units whose pre-activations are independent N(0, spread²).

    ``l1`` is units · E|a(z)| and ``l2sq`` units · E a(z)². ``l2`` is E√X of X = Σ a(z)², by
    E√X = π^(−½) ∫₀^∞ (1 − E exp(−u²X)) u⁻² du, where E exp(−u²X) is that of one unit to the power
    of the units. All are integrated numerically.

    Args:
        spread: [K].

    Returns:
        [K] float64.
    """
    z = torch.from_numpy(np.outer(spread, _Z))
    h = np.abs(goodness.ACTIVATIONS[activation].value(z).numpy())
    if norm == "l1":
        return units * (h @ _MASS)
    square = units * ((h * h) @ _MASS)
    if norm == "l2sq":
        return square
    h = h / np.sqrt(square)[:, None]

    def integrand(u: float) -> Floats:
        away = np.minimum(-np.expm1(-((u * h) ** 2)) @ _MASS, 1 - 1e-15)
        return -np.expm1(units * np.log1p(-away)) / u**2

    whole, _ = integrate.quad_vec(integrand, 0, np.inf, epsrel=1e-9)
    return whole * np.sqrt(square / pi)


@one_thread()
def goodness_at_initialisation(layers: Iterable[Layers]) -> pd.DataFrame:
    """Appendix A: mean goodness of whole layers (sum over the units) beside its expectation.

    Returns:
        ``source``, ``activation``, ``norm``, ``width``, ``mean`` ± ``half`` (95 % interval),
        ``expected`` (for Gaussian pre-activations of each sample's spread), ``deviation`` of the
        mean ± ``deviation_half`` in percent of the expected, ``p_value`` (t test that there is no
        deviation).
    """
    rows = []
    for layer in layers:
        for width, activation, norm in layer.sums:
            found = layer.goodness(width, activation, norm, "sum", (0, 1)).mean(dim=1).numpy()
            expected = _over(
                layer.spread,
                lambda s, a=activation, n=norm, w=width: expected_goodness(a, n, w, s),  # type: ignore[misc]
            )
            mean, half, p_value = over_networks(found, expected)
            rows.append(
                {"source": layer.source, "activation": activation, "norm": norm, "width": width,
                 "mean": mean, "half": half, "expected": expected,
                 "deviation": 100 * (mean / expected - 1), "deviation_half": 100 * half / expected,
                 "p_value": p_value}
            )  # fmt: skip
    return pd.DataFrame(rows)


def summary(initial: pd.DataFrame) -> str:
    """What ``goodness_at_initialisation`` says, in Markdown: a line a source."""
    lines = []
    for source, part in initial.groupby("source", sort=False):
        ok = part["p_value"].min() * len(part) >= LEVEL
        largest = part["deviation"].abs().max()
        lines.append(
            f"*{source}*: {int((part['p_value'] >= LEVEL).sum())} of {len(part)} expectations "
            f"lie in their 95 % intervals; the largest deviation is {largest:.2g} %. Over all of "
            f"them, a deviation {'cannot' if ok else 'can'} be told from chance."
        )
    return bullets(lines)


def over_networks(values: Floats, target: float) -> tuple[float, float, float]:
    """Of one value a network: mean, half of its 95 % t interval, p-value that its mean is
    ``target`` (1 or 0 where all values are equal)."""
    mean, error = float(values.mean()), float(values.std(ddof=1)) / sqrt(len(values))
    half = float(stats.t.ppf(0.975, len(values) - 1)) * error
    if error == 0:
        return mean, half, float(mean == target)
    return mean, half, 2 * float(stats.t.sf(abs(mean - target) / error, len(values) - 1))


def _over(spread: Floats, expectation: Callable[[Floats], Floats]) -> float:
    """The mean over the samples of an expectation, smooth in the spread."""
    low, high = float(spread.min()), float(spread.max())
    if low == high:
        return float(expectation(np.array([low]))[0])
    points = np.linspace(low, high, SPREADS)
    return float(interpolate.CubicSpline(points, expectation(points))(spread).mean())
