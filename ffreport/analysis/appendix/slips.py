"""The bounds of Appendix B, and known slips in the appendices of Polar-FFA (A0, B4, B6, C3).

Whether a slip is shown follows from computed numbers; nothing is written down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import integrate, optimize, stats
from scipy.special import expit

from ffreport.analysis.appendix.initialisation import NORMAL
from ffreport.analysis.estimate import NO, YES
from ffreport.base.words import bullets, span

EXACT, NEAR, FAR = 1e-6, 0.02, 0.1  # relative deviations
SPREADS = np.logspace(-2, 1.5, 36)  # standard deviations of z at which the bounds are tried
SHAPES = {"Gaussian": stats.norm(), "Laplace": stats.laplace(scale=0.5**0.5),
          "uniform": stats.uniform(-(3**0.5), 2 * 3**0.5)}  # fmt: skip
TWO_POINTS = "two points"  # z = ±s: the distribution with the smallest kurtosis


@dataclass(frozen=True)
class Covering:
    """Where x² + ¼ ≥ σ(x)², the covering function behind B4, fails: from ``low`` to ``high``, by
    at most ``largest``, at ``at``; ``even`` is the largest value of the even part of
    σ(x)² − x²/16 − ¼, on which a symmetric z depends alone."""

    low: float
    high: float
    at: float
    largest: float
    even: float

    @property
    def fails(self) -> bool:
        return self.largest > 0


def excess(x: np.ndarray) -> np.ndarray:
    """σ(x)² − (x² + ¼) [K]: positive where the covering function behind B4 fails."""
    return expit(x) ** 2 - x**2 - 0.25


def covering() -> Covering:
    """Find numerically where the covering function fails, and by how much."""
    grid = np.linspace(-20, 20, 400_001)
    values = excess(grid)
    top = int(values.argmax())
    even = (expit(grid) ** 2 + expit(-grid) ** 2) / 2 - grid**2 / 16 - 0.25
    if values[top] <= 0:
        return Covering(np.nan, np.nan, float(grid[top]), float(values[top]), float(even.max()))
    at = float(optimize.minimize_scalar(lambda x: -excess(x), bounds=(grid[top - 1], grid[top + 1]),
                                        method="bounded", options={"xatol": 1e-12}).x)  # fmt: skip
    low, high = (_edge(values, grid, top, step) for step in (-1, 1))
    return Covering(low, high, at, float(excess(np.array(at))), float(even.max()))


def bounds(slopes: pd.DataFrame) -> pd.DataFrame:
    """Appendix B: ¼ − E[P(1 − P)] for P = σ(z), beside three bounds on it.

    Symmetric z of several shapes and spreads, integrated numerically, and the measured z of
    ``propositions.gradients`` (θ = 0), whose variance is taken about zero. As E[P] = ½,
    ¼ − E[P(1 − P)] = E[(σ(z) − ½)²] is Var[σ(z)].

    Returns:
        ``shape``, ``variance`` Var[z], ``loss`` ¼ − E[∂P/∂G⊕], ``square_variance`` Var[z²] (as B4
        and B6 print), ``holds_printed`` (loss ≤ Var[z²]), ``holds`` (loss ≤ Var[z]),
        ``holds_tight`` (loss ≤ Var[z]/16, as σ is ¼-Lipschitz).
    """
    rows = []
    for s in SPREADS:
        rows.append((TWO_POINTS, s**2, float(np.tanh(s / 2)) ** 2 / 4, 0.0))
        for name, shape in SHAPES.items():
            end = float(shape.ppf(1 - 1e-16))
            loss, _ = integrate.quad(
                lambda t, s=s, shape=shape: shape.pdf(t) * np.tanh(s * t / 2) ** 2 / 2, 0, end,
                epsabs=0, epsrel=1e-10, limit=500,
            )  # fmt: skip
            rows.append((name, s**2, loss, s**4 * float(shape.moment(4) - 1)))
    frame = pd.DataFrame(rows, columns=["shape", "variance", "loss", "square_variance"])
    polar = slopes[(slopes["probability"] == "sigmoid") & (slopes["theta"] == 0)]
    measured = {
        "shape": "z of " + polar["source"], "variance": polar["second_moment"],
        "loss": 0.25 - polar["gradient"], "square_variance": polar["square_variance"],
    }  # fmt: skip
    frame = pd.concat([frame, pd.DataFrame(measured)], ignore_index=True)
    room = 1 + 1e-9
    return frame.assign(
        holds_printed=frame["loss"] <= frame["square_variance"] * room,
        holds=frame["loss"] <= frame["variance"] * room,
        holds_tight=frame["loss"] <= frame["variance"] / 16 * room,
    )


def slips(initial: pd.DataFrame, bounds: pd.DataFrame, symmetric: pd.DataFrame) -> pd.DataFrame:
    """One row a known slip, and whether the numbers show it.

    Args:
        initial: ``initialisation.goodness_at_initialisation``, with layers of source NORMAL.
        bounds: of this module.
        symmetric: ``propositions.symmetric_gradients``.

    Returns:
        ``equation``, ``printed``, ``follows`` (what holds instead), ``found`` (the numbers),
        ``shown``: YES where they show the slip, NO where they do not.
    """
    return pd.DataFrame(
        [_a0(initial), _covering(covering()), *_variances(bounds), _c3(symmetric)],
        columns=["equation", "printed", "follows", "found", "shown"],
    )


def summary(table: pd.DataFrame) -> str:
    """How many of the slips the numbers show, and each with its numbers, in Markdown."""
    count = int((table["shown"] == YES).sum())
    of_each = bullets(
        f"*{row['equation']}*, printed: {row['printed']}. What follows: {row['follows']}. "
        f"**{'Shown' if row['shown'] == YES else 'Not shown'}**: {row['found']}."
        for row in table.to_dict("records")
    )
    return f"**{count} of {len(table)} are shown by the numbers.**\n\n{of_each}"


def _a0(initial: pd.DataFrame) -> tuple[str, ...]:
    normal = initial[initial["source"] == NORMAL]
    misses = (normal["expected"] / (normal["width"] / 2) - 1).abs()
    misses = misses.groupby([normal["activation"], normal["norm"]]).max()
    fits = ", ".join(f"{a} {n}" for a, n in misses.index[misses < EXACT])
    part = normal[normal["activation"] == "sigmoid"]
    ratio = part["mean"] / (part["width"] / 2)
    by_norm = {norm: ratio[part["norm"] == norm] for norm in ("l1", "l2", "l2sq")}
    away = {norm: (r - 1).abs() for norm, r in by_norm.items()}
    slip = away["l1"].max() < NEAR and min(away["l2"].min(), away["l2sq"].min()) > FAR
    found = "; ".join(
        f"E {name} = {span(by_norm[norm], '.3f')} · n/2"
        for norm, name in (("l1", "‖σ(ℓ)‖₁"), ("l2", "‖σ(ℓ)‖₂"), ("l2sq", "‖σ(ℓ)‖₂²"))
    )
    widths = (
        f" (n = {part['width'].min()} to {part['width'].max()}); n/2 is that of: {fits or 'none'}"
    )
    return (
        "A0", "E‖σ(ℓ)‖₂ = n/2, introduced as the squared norm", "E‖σ(ℓ)‖₁ = n/2, the L1 norm",
        found + widths, _shown(slip),
    )  # fmt: skip


def _covering(found: Covering) -> tuple[str, ...]:
    numbers = (
        f"fails for {found.low:.3g} < x < {found.high:.4f}, by at most {found.largest:.4f} at "
        f"x = {found.at:.4f}; the even part is below x²/16 + ¼ (largest excess {found.even:.1g})"
    )
    return (
        "B4, covering", "σ(x)² ≤ x² + ¼ for all x",
        "not for small positive x; its even part, all that a symmetric z sees, is below x²/16 + ¼",
        numbers if found.fails else f"largest excess {found.largest:.2g}",
        _shown(found.fails and found.even < 1e-15),
    )  # fmt: skip


def _variances(bounds: pd.DataFrame) -> list[tuple[str, ...]]:
    failing = bounds[~bounds["holds_printed"]]
    worst = (failing["loss"] - failing["square_variance"]).max() if len(failing) else 0.0
    kinds = ", ".join(sorted(set(failing["shape"]))) or "none"
    ratio = (bounds["loss"] / bounds["variance"]).max()
    many = len(bounds)
    return [
        ("B4 and B6, variance", "E[∂P/∂G⊕] ≥ ¼ − Var[z²]", "E[∂P/∂G⊕] ≥ ¼ − Var[z], E[z²] = Var[z]",
         f"printed bound fails for {len(failing)} of {many} distributions, by up to {worst:.3g} "
         f"({kinds}); ¼ − Var[z] fails for {int((~bounds['holds']).sum())}",
         _shown(len(failing) > 0 and bounds["holds"].all())),
        ("B6, constant", "¼ − Var[z]", "¼ − Var[z]/16 holds as well, and is tighter",
         f"(¼ − E[∂P/∂G⊕])/Var[z] is at most {ratio:.5f} (1/16 = 0.0625); ¼ − Var[z]/16 fails for "
         f"{int((~bounds['holds_tight']).sum())} of {many} distributions",
         _shown(bounds["holds_tight"].all())),
    ]  # fmt: skip


def _c3(symmetric: pd.DataFrame) -> tuple[str, ...]:
    of_p = (symmetric["c3"] / symmetric["slope"] - 1).abs().max()
    of_log = (symmetric["c3"] / symmetric["log_slope"] - 1).abs().max()
    right = (symmetric["without"] / symmetric["slope"] - 1).abs().max()
    return (
        "C3", "∂P_s/∂G⊕ = G⊖/(G⊕(G⊕ + G⊖))", "that is ∂log P_s/∂G⊕; ∂P_s/∂G⊕ = G⊖/(G⊕ + G⊖)²",
        f"relative deviation of the printed formula from autograd: up to {of_p:.3g} for P_s, "
        f"{of_log:.1g} for log P_s; of the right one for P_s {right:.1g}",
        _shown(of_p > FAR and max(of_log, right) < NEAR),
    )  # fmt: skip


def _edge(values: np.ndarray, grid: np.ndarray, top: int, step: int) -> float:
    """The zero of ``excess`` next to its maximum, to the left (−1) or the right (1)."""
    at = top
    while values[at] > 0:
        at += step
    first, second = sorted((grid[at], grid[at - step]))
    return float(optimize.brentq(lambda x: float(excess(np.array(x))), first, second, xtol=1e-14))


def _shown(slip: bool) -> str:
    return YES if slip else NO
