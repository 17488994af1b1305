"""Figures of where the sparsity theorems hold: sweeps, step sizes, finite width, mistakes."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from ffreport.analysis import look
from ffreport.analysis.sparsity.conditions import HALF, LIMITS, named
from ffreport.analysis.sparsity.figures.steps import SIDE, STUDY
from ffreport.base import words


@look.styled
def sweep(frame: pd.DataFrame, label: str) -> Figure:
    """Theorem 2 as one setting varies: above, the share of data that satisfies it before and
    during training, and whose sparsity rose; below, the test accuracy that was learned.

    Args:
        frame: of ``conditions.sweep``.
        label: of the setting.
    """
    if frame.empty:
        return look.nothing(f"no run varies the {label}")
    first = frame[frame["layer"] == 1]
    studies = list(dict.fromkeys(first["study"]))
    figure, axes = look.canvas(2, len(studies), 3.9 * len(studies) + 0.7, 4.5, sharex="col",
                          sharey="row", gridspec_kw={"height_ratios": [2.2, 1]})  # fmt: skip
    for column, study in enumerate(studies):
        part = first[first["study"] == study]
        _column(axes[:, column], part, "value", _ordered(part["value"]), textwrap.fill(study, 46))
    return _finish(figure, axes, label)


@look.styled
def depth(frame: pd.DataFrame) -> Figure:
    """Theorem 2 layer by layer, of the deepest network of a sweep of ``layers``.

    Args:
        frame: of ``conditions.sweep(study, "layers")``.
    """
    if frame.empty:
        return look.nothing("no run has several layers")
    studies = list(dict.fromkeys(frame["study"]))
    figure, axes = look.canvas(2, len(studies), 3.4 * len(studies) + 0.7, 4.5, sharex=True,
                          sharey="row", gridspec_kw={"height_ratios": [2.2, 1]})  # fmt: skip
    for column, study in enumerate(studies):
        part = frame[(frame["study"] == study) & (frame["value"] == frame["value"].max())]
        layers = sorted(part["layer"].unique())
        _column(axes[:, column], part, "layer", layers, textwrap.fill(study, 40))
    return _finish(figure, axes, "layer")


@look.styled
def step_sizes(curves: pd.DataFrame, wanted: float) -> Figure:
    """How often prediction and outcome agree as steps grow, from the same layer.

    Args:
        curves: of ``theorems.curves``.
        wanted: percent, drawn as a line.
    """
    when = [w for w in ("before training", "last epoch") if (curves["when"] == w).any()]
    figure, axes = look.canvas(1, len(when), 4.1 * len(when) + 0.4, 4.0, sharey=True)
    second = curves[(curves["theorem"] == 2) & (curves["layer"] == 1)]
    studies = list(dict.fromkeys(second["study"]))
    for axis, moment in zip(axes[0], when, strict=True):
        axis.axhline(wanted, color="0.6", lw=1, ls=":")
        for number, study in enumerate(studies):
            for side, dash in (("positive", "-"), ("negative", "--")):
                part = second[(second["when"] == moment) & (second["study"] == study)
                              & (second["side"] == side)].sort_values("rate")  # fmt: skip
                axis.plot(part["rate"], 100 * part["agreement"], ls=dash, lw=1.5,
                          color=STUDY[number % len(STUDY)])  # fmt: skip
        axis.set(xscale="log", xlabel="learning rate × n of a plain step", ylim=(None, 101))
        axis.set_title(moment)
        look.grid(axis)
    axes[0, 0].set_ylabel("prediction and outcome agree (% of data)")
    handles = [look.line(s, STUDY[k % len(STUDY)], lw=1.8) for k, s in enumerate(studies)]
    handles += [look.line("positive data"), look.line("negative data", ls="--"),
                look.line(f"{wanted:g} %", "0.6", ls=":")]  # fmt: skip
    look.below(figure, handles, 2, fontsize=7.5)
    return figure


@look.styled
def mistakes(frame: pd.DataFrame) -> Figure:
    """How often the sign of the change is not the predicted one, by the size of the prediction.

    Args:
        frame: of ``theorems.mistakes``.
    """
    sides = [s for s in SIDE if (frame["side"] == s).any()]
    figure, axes = look.canvas(1, len(sides), 3.9 * len(sides) + 0.4, 3.5, sharey=True)
    seen = {"none switched": ("o", "0.15"), "some switched": ("s", "#CC79A7")}
    for axis, side in zip(axes[0], sides, strict=True):
        for units, (marker, colour) in seen.items():
            part = frame[(frame["side"] == side) & (frame["units"] == units)]
            spread = [part["wrong"] - part["low"], part["high"] - part["wrong"]]
            axis.errorbar(part["size"], part["wrong"], np.clip(spread, 0, None), color=colour,
                          marker=marker, ms=4, lw=1.2, capsize=2)  # fmt: skip
        axis.set(xscale="log", xlabel="predicted change of sparsity, absolute")
        axis.set_title(f"{side} data")
        look.grid(axis)
    axes[0, 0].set_ylabel("wrong predictions (%)")
    top = max(1.0, float(frame["high"].max()))
    axes[0, 0].set_ylim(-0.04 * top, 1.05 * top)
    handles = [look.line(f"{n} in the step", c, marker=m) for n, (m, c) in seen.items()]
    look.below(figure, handles, 2)
    return figure


@look.styled
def lowering(frame: pd.DataFrame) -> Figure:
    """Share of data whose sparsity rose, over how much of its goodness a step lowers; a mark is the
    mean over a run's steps in a bin, larger for more data (area by the square root).

    Args:
        frame: of ``conditions.lowering``.
    """
    figure, axes = look.canvas(1, 1, 7.6, 3.9)
    axis = axes[0, 0]
    axis.axhline(HALF, color="0.6", lw=1, ls=":")
    axis.axvline(0, color="0.6", lw=1, ls=":")
    handles = []
    for number, (loss, part) in enumerate(frame.groupby("loss", sort=False)):
        colour = STUDY[number % len(STUDY)]
        for when, fill in (("training", colour), ("initial", "none")):
            some = part[part["when"] == when]
            axis.scatter(some["lowering"], some["rose"], s=0.15 * np.sqrt(some["data"]),
                         facecolors=fill, edgecolors=colour, lw=1, alpha=0.55)  # fmt: skip
        handles.append(look.mark(str(loss), "o", colour, ms=6))
    axis.set_xscale("symlog", linthresh=0.003, linscale=0.5)
    ticks = [-1, -0.1, -0.01, 0, 0.01, 0.1, 1]
    axis.set_xticks(ticks, [words.number(t, "g") for t in ticks])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set(ylim=(-3, 103), xlim=(-1.4, 1.4), ylabel="sparsity rose (% of data)",
             xlabel="goodness that a step lowers, of all that it moves\n"
                    "(−1: raises all, 0: balanced, 1: lowers all)")  # fmt: skip
    look.beside(axis, [*handles, look.mark("before training", mfc="white", ms=6)])
    return figure


@look.styled
def finite_width(frame: pd.DataFrame) -> Figure:
    """Distance of finite layers from the limit of infinite width, a point a layer drawn.

    Args:
        frame: of ``conditions.finite_width``.
    """
    figure, axes = look.canvas(1, 1, 6.2, 3.9)
    axis = axes[0, 0]
    for colour, (quantity, part) in zip(STUDY, frame.groupby("quantity", sort=False), strict=False):
        axis.plot(part["width"], 100 * part["error"], ls="", marker=".", ms=4, alpha=0.5,
                  color=colour)  # fmt: skip
        mean = 100 * part.groupby("width")["error"].mean()
        axis.plot(mean.index, mean, color=colour, lw=1.6, label=LIMITS[str(quantity)])
    widths = np.array([frame["width"].min(), frame["width"].max()], dtype=float)
    top = 130 * frame[frame["width"] == widths[0]]["error"].max()
    axis.plot(widths, top * (widths / widths[0]) ** -0.5, color="0.5", ls=":", lw=1.4,
              label="∝ n^(−½)")  # fmt: skip
    axis.set(xscale="log", yscale="log", xlabel="width n", ylabel="RMS error / RMS of limit (%)")
    axis.set_xticks(sorted(frame["width"].unique())[::2], minor=False)
    axis.set_xticklabels([f"{w:,}" for w in sorted(frame["width"].unique())[::2]])
    axis.tick_params(axis="x", which="minor", bottom=False)
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    look.beside(axis, axis.get_legend_handles_labels()[0])
    look.grid(axis)
    return figure


@look.styled
def widths(frame: pd.DataFrame, published: float) -> Figure:
    """Theorem 1 at initialisation by width: data that violate it, with 95 % Wilson intervals.

    Args:
        frame: of ``theorems.theorem1``.
        published: percent that satisfy it.
    """
    setups = list(dict.fromkeys(zip(frame["dataset"], frame["setup"], strict=True)))
    figure, axes = look.canvas(1, 1, 7.4, 3.6)
    axis = axes[0, 0]
    order = sorted(frame["width"].unique())
    axis.axhline(100 - published, color="0.6", lw=1, ls=":", label="published: at most")
    for number, (dataset, setup) in enumerate(setups):
        part = frame[(frame["dataset"] == dataset) & (frame["setup"] == setup)]
        places = np.array([order.index(w) for w in part["width"]]) + 0.09 * (
            number - (len(setups) - 1) / 2
        )
        missed = 100 - part["finite_width"]
        spread = np.clip([missed - (100 - part["high"]), (100 - part["low"]) - missed], 0, None)
        axis.errorbar(places, missed, spread, ls="", marker="os^"[number // len(STUDY) % 3],
                      ms=3.5, capsize=2, lw=1, color=STUDY[number % len(STUDY)],
                      label=f"{dataset}: {setup}")  # fmt: skip
    axis.set_yscale("symlog", linthresh=0.01)
    axis.set_ylim(bottom=-0.002)
    axis.set_xticks(range(len(order)), [f"{w:,}" for w in order])
    axis.set(xlabel="width n", ylabel="data that violate Theorem 1 (%)")
    look.beside(axis, axis.get_legend_handles_labels()[0], fontsize=6.5)
    return figure


def _column(
    axes: np.ndarray, part: pd.DataFrame, over: str, values: Sequence[Any], title: str
) -> None:
    """A study's shares of positives and negatives at each value, on a scale of places, above the
    test accuracy."""
    axis, lower = axes
    axis.axhline(HALF, color="0.6", lw=1, ls=":")
    for shift, (side, colour) in zip((-0.13, 0.13), SIDE.items(), strict=True):
        for when, fill in (("initial", "white"), ("training", colour)):
            some = part[(part["side"] == side) & (part["when"] == when)].set_index(over)
            places = [k + shift for k, v in enumerate(values) if v in some.index]
            found = [v for v in values if v in some.index]
            axis.plot(places, some.loc[found, "satisfied"], ls="", marker="o", ms=6, mew=1.3,
                      color=colour, mfc=fill)  # fmt: skip
            if when == "training":
                axis.plot(places, some.loc[found, "rose"], ls="", marker="_", ms=11, mew=1.8,
                          color=colour)  # fmt: skip
    axis.set(ylim=(-3, 103))
    axis.set_title(title, fontsize=8.5)
    accuracy = part.groupby(over, sort=False)["accuracy"].first()[list(values)]
    lower.plot(range(len(values)), accuracy, ls="", marker="D", ms=4.5, color="0.25")
    lower.set(ylim=(0, 100))
    for each in axes:
        look.places(each, [named(v) for v in values], fontsize=8)
        look.grid(each, "y")


def _finish(figure: Figure, axes: np.ndarray, label: str) -> Figure:
    look.label(axes, label)
    axes[0, 0].set_ylabel("data (%)")
    axes[1, 0].set_ylabel("test\naccuracy (%)")
    handles = [look.mark(f"{side} data", "o", colour, ms=6) for side, colour in SIDE.items()]
    handles += [
        look.mark("satisfied before training", ms=6, mfc="white"),
        look.mark("satisfied in training", ms=6),
        look.mark("sparsity rose in training", "_", ms=11, mew=1.8),
        look.line("published: above 50 %", "0.6", ls=":"),
    ]
    look.below(figure, handles, 3 if figure.get_figwidth() > 6 else 2)
    return figure


def _ordered(values: pd.Series) -> list[Any]:
    """Distinct values: numbers by size, with 0 (all, or none) last; names as they come."""
    found = list(dict.fromkeys(values))
    if all(isinstance(v, int | float | np.number) for v in found):
        return sorted(found, key=lambda v: (v == 0, v))
    return found
