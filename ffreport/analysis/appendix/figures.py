"""Figures of Polar-FFA's Appendices A, B and C: goodness, gradients, bounds at initialisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from scipy.special import expit

from ffreport.analysis import look
from ffreport.analysis.appendix.slips import Covering

ACTIVATION, NORM, PROBABILITY = (look.LEVELS[f] for f in ("activation", "norm", "probability"))
SHAPE_MARK = "osD^vPX<>"
SHAPE = ["#0072B2", "#56B4E9", "#009E73", "#E69F00", "#CC79A7", "#000000", "#888888"]


@look.styled
def goodness_over_width(initial: pd.DataFrame) -> Figure:
    """Mean goodness at initialisation over width, above, and its deviation from the expectation.

    Args:
        initial: ``initialisation.goodness_at_initialisation``, of two sources at most.
    """
    figure, axes = look.canvas(2, 3, 8.8, 5.6, sharex=True, sharey="row", height_ratios=[1.7, 1])
    sources = list(dict.fromkeys(initial["source"]))
    dashes = dict(zip(sources, ("-", (0, (4, 2))), strict=True))
    for column, (norm, seen) in enumerate(NORM.items()):
        upper, lower = axes[:, column]
        widths = np.array(sorted(set(initial["width"])))
        upper.plot(widths, widths / 2, color="black", lw=1.6, ls=(0, (1, 2)), zorder=3)
        lower.axhline(0, color="0.55", lw=1)
        parts = initial[initial["norm"] == norm].groupby(["source", "activation"], sort=False)
        for shift, ((source, activation), part) in zip(_shifts(len(parts)), parts, strict=True):
            unit, filled = ACTIVATION[activation], source == sources[0]
            style: dict[str, Any] = {
                "color": unit.colour, "marker": unit.mark, "ls": "", "ms": 5,
                "mfc": unit.colour if filled else "white", "capsize": 2, "lw": 1,
            }  # fmt: skip
            upper.plot(part["width"], part["expected"], color=unit.colour, lw=1.2,
                       ls=dashes[source])  # fmt: skip
            upper.errorbar(part["width"], part["mean"], part["half"], **style)
            at = part["width"] * shift
            lower.errorbar(at, part["deviation"], part["deviation_half"], **style)
        upper.set(yscale="log")
        upper.set_title(f"goodness {seen.name}, summed")
        lower.set(xlabel="units n")
        _widths(lower, widths)
    axes[0, 0].set_ylabel("mean goodness at initialisation")
    axes[1, 0].set_ylabel("deviation from the\nexpectation (%)")
    handles = look.entries("activation", ACTIVATION, ms=5)
    for source in sources:
        face = "0.3" if source == sources[0] else "white"
        handles.append(look.line(source, lw=1.4, ms=5, marker="o", mfc=face, ls=dashes[source]))
    handles.append(look.line("n/2, as A0 prints", "black", lw=1.4, ls=(0, (1, 2))))
    look.below(figure, handles)
    return figure


@look.styled
def identity(slopes: pd.DataFrame) -> Figure:
    """Proposition 1: both sides over width; a row an activation, a column a rule.

    Args:
        slopes: ``propositions.gradients``, of one source.
    """
    rules = slopes.groupby(["probability", slopes["theta"] == 0], sort=False)
    activations = [a for a in ACTIVATION if a in set(slopes["activation"])]
    figure, axes = look.canvas(len(activations), len(rules), 8.8, 2.3 * len(activations) + 0.9,
                          sharex=True, sharey=True)  # fmt: skip
    for column, ((probability, _), rule) in enumerate(rules):
        for row, activation in enumerate(activations):
            axis, panel = axes[row, column], rule[rule["activation"] == activation]
            theta, alpha = panel["theta"].unique(), panel["alpha"].unique()
            kinds = panel.groupby(["norm", "aggregation"], sort=False)
            for shift, ((norm, aggregation), part) in zip(_shifts(len(kinds)), kinds, strict=True):
                (colour, marker), filled = NORM[norm][-2:], aggregation == "sum"
                axis.plot(part["width"] * shift, part["identity"], color=colour, lw=1.3,
                          ls="-" if filled else (0, (4, 2)))  # fmt: skip
                axis.errorbar(
                    part["width"] * shift, part["gradient"], part["gradient_half"], color=colour,
                    marker=marker, ls="", ms=4.5, mfc=colour if filled else "white",
                    capsize=2, lw=1,
                )  # fmt: skip
            name = "FFA" if probability == "ffa-sigmoid" else "Polar-FFA"
            known = len(theta) == len(alpha) == 1
            numbers = f"θ = {theta[0]:g}, α = {alpha[0]:g}" if known else "θ, α as trained"
            axis.set_title(f"{name}, {numbers}: {ACTIVATION[activation].name}", fontsize=9,
                           color=PROBABILITY[probability].colour)  # fmt: skip
            axis.set(ylim=(-0.012, 0.265))
            look.grid(axis, "y")
            _widths(axis, sorted(set(panel["width"])))
    look.label(axes, "units n", "E[∂P/∂G⊕] / α")
    handles = look.entries("norm", NORM, ms=5)
    handles += [
        look.mark("sum: E[∂P/∂G⊕] / α", ms=5),
        look.mark("mean: E[∂P/∂G⊕] / α", ms=5, mfc="white"),
        look.line("sum: ¼ − Var[P]", lw=1.4),
        look.line("mean: ¼ − Var[P]", lw=1.4, ls=(0, (4, 2))),
    ]
    look.below(figure, handles, 4)
    return figure


@look.styled
def invariance(deviations: pd.DataFrame, tolerance: float) -> Figure:
    """Proposition 2: slopes of both Polar probabilities, left, and what scaling goodness changes.

    Args:
        deviations: ``propositions.scale_invariance``.
        tolerance: the deviation that is drawn as a line.
    """
    figure, axes = look.canvas(1, 2, 8.8, 3.9)
    left, right = axes[0]
    dashes = ["-", (0, (5, 2)), (0, (1.5, 1.5))]
    share = np.linspace(0, 1, 401)[1:-1]
    for total, dash in zip((1, 10, 100), dashes, strict=True):
        p = expit(total * (2 * share - 1))
        left.plot(
            share,
            (1 - share) / total,
            color=PROBABILITY["symmetric"].colour,
            ls=dash,
            lw=1.6,
        )
        left.plot(share, p * (1 - p), color=PROBABILITY["sigmoid"].colour, ls=dash, lw=1.6)
    left.set(yscale="log", ylim=(1e-5, 2), xlim=(0, 1), ylabel="∂P/∂G⊕",
             xlabel="share of G⊕ in G⊕ + G⊖")  # fmt: skip
    left.set_title("slope of the probability")
    names = {"symmetric": "symmetric", "sigmoid": "sigmoid, θ = 0"}
    handles = [look.line(names[k], PROBABILITY[k].colour, lw=1.4) for k in names]
    handles += [
        look.line(f"G⊕ + G⊖ = {t}", lw=1.4, ls=d) for t, d in zip((1, 10, 100), dashes, strict=True)
    ]
    _under(left, handles=handles)
    right.axhline(tolerance, color="0.5", lw=1, ls=":")
    marks = dict(zip(sorted(set(deviations["share"])), SHAPE_MARK, strict=False))
    for (kind, value), part in deviations.groupby(["probability", "share"], sort=False):
        some = part[part["deviation"] > 0]
        right.plot(some["gamma"], some["deviation"], color=PROBABILITY[str(kind)].colour, lw=1.3,
                   marker=marks[value], ms=4, markevery=8)  # fmt: skip
    right.set(xscale="log", yscale="log", ylim=(1e-9, 2), xlabel="factor γ on goodness",
              ylabel="|P(γG) − P(G)|")  # fmt: skip
    right.set_title("change when goodness is scaled")
    handles = [look.mark(f"share of G⊕ {s:g}", m, ms=5) for s, m in marks.items()]
    _under(right, handles=[*handles, look.line(f"{tolerance:g}", "0.5", lw=1.4, ls=":")])
    return figure


@look.styled
def bounds(table: pd.DataFrame, covering: Covering) -> Figure:
    """Appendix B: the covering function where it fails, left, and the bounds on the gradient.

    Args:
        table: ``slips.bounds``.
        covering: ``slips.covering``.
    """
    figure, axes = look.canvas(1, 2, 8.8, 4.6)
    left, right = axes[0]
    x = np.linspace(-0.15, 0.4, 400)
    square, cover = expit(x) ** 2, x**2 + 0.25
    left.plot(x, square, color="#0072B2", lw=1.8, label="σ(x)²")
    left.plot(x, cover, color="#D55E00", lw=1.8, ls=(0, (5, 2)), label="x² + ¼, as B4 uses")
    left.plot(x, (square + expit(-x) ** 2) / 2, color="#009E73", lw=1.6, ls=(0, (1.5, 1.5)),
              label="even part of σ(x)²")  # fmt: skip
    left.fill_between(x, square, cover, where=square > cover, color="#0072B2", alpha=0.2, lw=0)
    if covering.fails:
        low, high = (float(f) for f in (covering.at**2 + 0.25, expit(covering.at) ** 2))
        left.plot([covering.at] * 2, [low, high], color="black", lw=1.2)
        left.annotate(
            f"fails for {covering.low:.2g} < x < {covering.high:.3f}\nby up to "
            f"{covering.largest:.4f}", (covering.at, high), (-0.14, 0.355), fontsize=8.5,
            arrowprops={"arrowstyle": "-", "color": "0.4", "lw": 0.8},
        )  # fmt: skip
    left.set_xlabel("x")
    left.set_title("the covering function behind B4")
    _under(left)
    shapes = list(dict.fromkeys(table["shape"]))
    for shape, colour, mark in zip(shapes, SHAPE * 2, SHAPE_MARK * 2, strict=False):
        part = table[table["shape"] == shape]
        right.plot(part["variance"], part["loss"] / part["variance"], ls="", marker=mark, ms=4,
                   color=colour, mfc="none" if shape.startswith("z of") else colour, label=shape,
                   mew=0.7)  # fmt: skip
    ends = float(table["variance"].min()) / 2, float(table["variance"].max()) * 2
    right.plot(ends, (1, 1), color="0.2", lw=1.5, label="Var[z]")
    right.plot(ends, (1 / 16, 1 / 16), color="0.2", lw=1.5, ls=(0, (5, 2)), label="Var[z]/16")
    right.plot(ends, [2 * v for v in ends], color="#D55E00", lw=1.8, ls=(0, (1.5, 1.5)),
               label="Var[z²], Gaussian (printed)")  # fmt: skip
    right.set(
        xscale="log", yscale="log", xlim=ends, xlabel="Var[z]",
        ylim=(float((table["loss"] / table["variance"]).min()) / 2, 3),
        ylabel="(¼ − E[∂P/∂G⊕]) / Var[z]",
    )  # fmt: skip
    right.set_title("what the gradient loses, and its bounds")
    _under(right)
    return figure


def _shifts(count: int) -> np.ndarray:
    """Factors near 1 that set marks at one width side by side on a logarithmic axis."""
    return np.geomspace(1 / 1.12, 1.12, count)


def _widths(axis: Axes, widths: Sequence[int] | np.ndarray) -> None:
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(FixedLocator(list(widths)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticklabels([str(w) for w in widths], fontsize=8)


def _under(axis: Axes, **options: Any) -> None:
    """A legend under an axis."""
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2, **options)
