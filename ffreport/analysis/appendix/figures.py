"""Figures of Polar-FFA's Appendices A, B and C: goodness, gradients, bounds at initialisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import FixedLocator, NullLocator
from scipy.special import expit

from ffreport.analysis.look import (
    ACTIVATION,
    ACTIVATION_MARK,
    NAMES,
    NORM,
    PROBABILITY,
    UNITS,
    canvas,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ffreport.analysis.appendix.slips import Covering

NORM_MARK = {"l2sq": "o", "l2": "s", "l1": "^"}
SHAPE_MARK = "osD^vPX<>"
SHAPE = ["#0072B2", "#56B4E9", "#009E73", "#E69F00", "#CC79A7", "#000000", "#888888"]


def goodness_over_width(initial: pd.DataFrame) -> Figure:
    """Mean goodness at initialisation over width, above, and its deviation from the expectation.

    Args:
        initial: ``initialisation.goodness_at_initialisation``, of two sources at most.
    """
    figure, axes = canvas(2, 3, 8.8, 5.6, sharex=True, sharey="row", height_ratios=[1.7, 1])
    sources = list(dict.fromkeys(initial["source"]))
    dashes = dict(zip(sources, ("-", (0, (4, 2))), strict=True))
    for column, norm in enumerate(NORM):
        upper, lower = axes[:, column]
        widths = np.array(sorted(set(initial["width"])))
        upper.plot(widths, widths / 2, color="black", lw=1.6, ls=(0, (1, 2)), zorder=3)
        lower.axhline(0, color="0.55", lw=1)
        parts = initial[initial["norm"] == norm].groupby(["source", "activation"], sort=False)
        for shift, ((source, activation), part) in zip(_shifts(len(parts)), parts, strict=True):
            colour, filled = ACTIVATION[activation], source == sources[0]
            look: dict[str, Any] = {
                "color": colour, "marker": ACTIVATION_MARK[activation], "ls": "", "ms": 5,
                "mfc": colour if filled else "white", "capsize": 2, "lw": 1,
            }  # fmt: skip
            upper.plot(part["width"], part["expected"], color=colour, lw=1.2, ls=dashes[source])
            upper.errorbar(part["width"], part["mean"], part["half"], **look)
            lower.errorbar(part["width"] * shift, part["deviation"], part["deviation_half"], **look)
        upper.set(yscale="log")
        upper.set_title(f"goodness {NAMES[norm]}, summed", fontsize=9.5)
        lower.set(xlabel="units n")
        _widths(lower, widths)
    axes[0, 0].set_ylabel("mean goodness at initialisation")
    axes[1, 0].set_ylabel("deviation from the\nexpectation (%)")
    handles = [
        _handle(UNITS[a], color=c, marker=ACTIVATION_MARK[a], ls="") for a, c in ACTIVATION.items()
    ]
    for source in sources:
        face = "0.3" if source == sources[0] else "white"
        handles.append(_handle(source, color="0.3", marker="o", mfc=face, ls=dashes[source]))
    handles.append(_handle("n/2, as A0 prints", color="black", ls=(0, (1, 2))))
    _legend(figure, handles, 3)
    return figure


def identity(slopes: pd.DataFrame) -> Figure:
    """Proposition 1: both sides over width; a row an activation, a column a rule.

    Args:
        slopes: ``propositions.gradients``, of one source.
    """
    rules = slopes.groupby(["probability", slopes["theta"] == 0], sort=False)
    activations = [a for a in ACTIVATION if a in set(slopes["activation"])]
    figure, axes = canvas(len(activations), len(rules), 8.8, 2.3 * len(activations) + 0.9,
                          sharex=True, sharey=True)  # fmt: skip
    for column, ((probability, _), rule) in enumerate(rules):
        for row, activation in enumerate(activations):
            axis, panel = axes[row, column], rule[rule["activation"] == activation]
            theta, alpha = panel["theta"].unique(), panel["alpha"].unique()
            kinds = panel.groupby(["norm", "aggregation"], sort=False)
            for shift, ((norm, aggregation), part) in zip(_shifts(len(kinds)), kinds, strict=True):
                colour, filled = NORM[norm], aggregation == "sum"
                axis.plot(part["width"] * shift, part["identity"], color=colour, lw=1.3,
                          ls="-" if filled else (0, (4, 2)))  # fmt: skip
                axis.errorbar(
                    part["width"] * shift, part["gradient"], part["gradient_half"], color=colour,
                    marker=NORM_MARK[norm], ls="", ms=4.5, mfc=colour if filled else "white",
                    capsize=2, lw=1,
                )  # fmt: skip
            name = "FFA" if probability == "ffa-sigmoid" else "Polar-FFA"
            known = len(theta) == len(alpha) == 1
            numbers = f"θ = {theta[0]:g}, α = {alpha[0]:g}" if known else "θ, α as trained"
            axis.set_title(f"{name}, {numbers}: {UNITS[activation]}", fontsize=9,
                           color=PROBABILITY[probability])  # fmt: skip
            axis.set(ylim=(-0.012, 0.265))
            axis.grid(axis="y", color="0.92")
            axis.set_axisbelow(True)
            _widths(axis, sorted(set(panel["width"])))
    for axis in axes[-1]:
        axis.set_xlabel("units n")
    for axis in axes[:, 0]:
        axis.set_ylabel("E[∂P/∂G⊕] / α")
    handles = [_handle(NAMES[n], color=c, marker=NORM_MARK[n], ls="") for n, c in NORM.items()]
    handles += [
        _handle("sum: E[∂P/∂G⊕] / α", color="0.3", marker="o", ls=""),
        _handle("mean: E[∂P/∂G⊕] / α", color="0.3", marker="o", mfc="white", ls=""),
        _handle("sum: ¼ − Var[P]", color="0.3"),
        _handle("mean: ¼ − Var[P]", color="0.3", ls=(0, (4, 2))),
    ]
    _legend(figure, handles, 4)
    return figure


def invariance(deviations: pd.DataFrame, tolerance: float) -> Figure:
    """Proposition 2: slopes of both Polar probabilities, left, and what scaling goodness changes.

    Args:
        deviations: ``propositions.scale_invariance``.
        tolerance: the deviation that is drawn as a line.
    """
    figure, axes = canvas(1, 2, 8.8, 3.9)
    left, right = axes[0]
    dashes = ["-", (0, (5, 2)), (0, (1.5, 1.5))]
    share = np.linspace(0, 1, 401)[1:-1]
    for total, dash in zip((1, 10, 100), dashes, strict=True):
        p = expit(total * (2 * share - 1))
        left.plot(share, (1 - share) / total, color=PROBABILITY["symmetric"], ls=dash, lw=1.6)
        left.plot(share, p * (1 - p), color=PROBABILITY["sigmoid"], ls=dash, lw=1.6)
    left.set(yscale="log", ylim=(1e-5, 2), xlim=(0, 1), ylabel="∂P/∂G⊕",
             xlabel="share of G⊕ in G⊕ + G⊖")  # fmt: skip
    left.set_title("slope of the probability", fontsize=9.5)
    names = {"symmetric": "symmetric", "sigmoid": "sigmoid, θ = 0"}
    handles = [_handle(names[k], color=PROBABILITY[k]) for k in names]
    handles += [
        _handle(f"G⊕ + G⊖ = {t}", color="0.3", ls=d)
        for t, d in zip((1, 10, 100), dashes, strict=True)
    ]
    left.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2,
                fontsize=8, frameon=False)  # fmt: skip
    right.axhline(tolerance, color="0.5", lw=1, ls=":")
    marks = dict(zip(sorted(set(deviations["share"])), SHAPE_MARK, strict=False))
    for (kind, value), part in deviations.groupby(["probability", "share"], sort=False):
        some = part[part["deviation"] > 0]
        right.plot(some["gamma"], some["deviation"], color=PROBABILITY[str(kind)], lw=1.3,
                   marker=marks[value], ms=4, markevery=8)  # fmt: skip
    right.set(xscale="log", yscale="log", ylim=(1e-9, 2), xlabel="factor γ on goodness",
              ylabel="|P(γG) − P(G)|")  # fmt: skip
    right.set_title("change when goodness is scaled", fontsize=9.5)
    handles = [
        _handle(f"share of G⊕ {s:g}", color="0.3", marker=m, ls="") for s, m in marks.items()
    ]
    handles.append(_handle(f"{tolerance:g}", color="0.5", ls=":"))
    right.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2,
                 fontsize=8, frameon=False)  # fmt: skip
    return figure


def bounds(table: pd.DataFrame, covering: Covering) -> Figure:
    """Appendix B: the covering function where it fails, left, and the bounds on the gradient.

    Args:
        table: ``slips.bounds``.
        covering: ``slips.covering``.
    """
    figure, axes = canvas(1, 2, 8.8, 4.6)
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
    left.set_title("the covering function behind B4", fontsize=9.5)
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=8, frameon=False)
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
    right.set_title("what the gradient loses, and its bounds", fontsize=9.5)
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=8,
                 frameon=False)  # fmt: skip
    return figure


def _shifts(count: int) -> np.ndarray:
    """Factors near 1 that set marks at one width side by side on a logarithmic axis."""
    return np.geomspace(1 / 1.12, 1.12, count)


def _widths(axis: Axes, widths: Sequence[int] | np.ndarray) -> None:
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(FixedLocator(list(widths)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticklabels([str(w) for w in widths], fontsize=8)


def _handle(label: str, **look: Any) -> Any:
    return plt.Line2D([], [], label=label, **{"lw": 1.4, "ms": 5, **look})


def _legend(figure: Figure, handles: list[Any], columns: int) -> None:
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=8,
                  frameon=False)  # fmt: skip
