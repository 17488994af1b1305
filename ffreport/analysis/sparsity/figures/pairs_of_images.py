"""Figures of Theorem 1's geometry: influence by class, margins, what resists, where it fails."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ffreport.analysis import look

PIXELS = {"unit": "pixels in [0, 1]", "standardised": "standardised pixels"}
COLOUR = {"unit": "#009E73", "standardised": "#CC79A7"}
RESISTS = "#D55E00"
NUMBERED = 20  # classes whose influences can be read as numbers
WIDTH_COLOURS = ["#56B4E9", "#0072B2", "#004466", "#000000"]


@look.styled
def by_class(frames: dict[str, pd.DataFrame]) -> Figure:
    """Who pushes whom: the mean influence of a class's data (columns) on another's (rows), in
    thousandths of all energy; blue makes sparser, orange denser.

    Args:
        frames: by data set, of ``geometry.by_class``.
    """
    figure, axes = look.canvas(len(frames), 2, 8.2, 3.7 * len(frames) + 0.3)
    for row, (dataset, frame) in zip(axes, frames.items(), strict=True):
        for axis, (scale, words) in zip(row, PIXELS.items(), strict=True):
            part = frame[frame["pixels"] == scale]
            table = 1000 * part.pivot(index="pushed", columns="pushing", values="influence")
            limit = float(np.abs(table.to_numpy()).max())
            image = axis.imshow(table, cmap="PuOr", vmin=-limit, vmax=limit)
            for (y, x), value in np.ndenumerate(table if len(table) <= NUMBERED else []):
                axis.text(x, y, f"{value:.1f}", ha="center", va="center", fontsize=5.5,
                          color="white" if abs(value) > 0.7 * limit else "black")  # fmt: skip
            ticks = range(0, len(table), -(-len(table) // NUMBERED))
            obtuse = 100 * part["obtuse"].mean()
            axis.set_title(f"{look.level('dataset', dataset).name}, {words}: "
                           f"{obtuse:.1f} % obtuse pairs", fontsize=8.5)  # fmt: skip
            axis.set(xlabel="class that pushes", ylabel="class that is pushed",
                     xticks=ticks, yticks=ticks)  # fmt: skip
            axis.tick_params(length=0, labelsize=7)
            axis.spines[:].set_visible(False)
            bar = figure.colorbar(image, ax=axis, shrink=0.8, pad=0.02)
            bar.set_label("influence (1/1000 of the energy)", fontsize=7)
            bar.ax.tick_params(labelsize=7)
    return figure


@look.styled
def margins(frames: dict[str, pd.DataFrame]) -> Figure:
    """Distribution of Theorem 1's margin over the data; what lies left of zero violates it.

    Args:
        frames: by data set, of ``geometry.margins``.
    """
    figure, axes = look.canvas(1, len(frames), 4.2 * len(frames), 3.2)
    for axis, (dataset, frame) in zip(axes[0], frames.items(), strict=True):
        low, high = frame["margin"].min(), frame["margin"].max()
        bins = np.linspace(min(low, 0), high, 80)
        for scale, part in frame.groupby("pixels", sort=False):
            share = 100 * (part["margin"] <= 0).mean()
            axis.hist(part["margin"], bins=bins, histtype="stepfilled", alpha=0.6,
                      weights=np.full(len(part), 100 / len(part)), color=COLOUR[str(scale)],
                      label=f"{PIXELS[str(scale)]}: {share:.3g} % violate")  # fmt: skip
        axis.axvline(0, color=RESISTS, lw=1.2)
        axis.set(xlabel="margin Σⱼ ‖xⱼ‖² κ(θᵢⱼ) / Σⱼ ‖xⱼ‖²", ylabel="training images (%)")
        axis.set_title(look.level("dataset", dataset).name)
        axis.set_ylim(top=1.25 * axis.get_ylim()[1])  # room for the legend
        axis.legend(fontsize=7, frameon=True, edgecolor="none", framealpha=0.9, loc="upper left")
    return figure


@look.styled
def gallery(images: np.ndarray, titles: list[str]) -> Figure:
    """Some images in rows of eight, each with its title above.

    Args:
        images: [k, rows, columns]; titles: k.
    """
    if len(images) == 0:
        return look.nothing("no datum violates the inequality")
    columns = min(8, len(images))
    rows = -(-len(images) // columns)
    figure, axes = look.canvas(rows, columns, 1.1 * columns, 1.4 * rows)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, image, title in zip(axes.flat, images, titles, strict=False):
        axis.imshow(image, cmap="gray_r")
        axis.set_title(title, fontsize=6)
    return figure


@look.styled
def constructed(frame: pd.DataFrame) -> Figure:
    """Theorem 1 on data of which all pairs have the same angle: predicted (left) and what a step
    did (right), with 95 % t intervals over layers.

    Args:
        frame: of ``geometry.constructed``.
    """
    figure, axes = look.canvas(1, 2, 8.2, 3.3, sharey=True)
    titles = {"satisfied": "the inequality holds", "rose": "sparsity rose in the step"}
    for axis, (column, title) in zip(axes[0], titles.items(), strict=True):
        ends = frame["cosine"].min(), frame["cosine"].max()
        axis.plot([ends[0], 0, 0, ends[1]], [0, 0, 100, 100], color="0.55", lw=1.4, ls=":")
        for colour, (_, part) in zip(WIDTH_COLOURS, frame.groupby("width"), strict=False):
            found = [look.interval(100 * p[column]) for _, p in part.groupby("cosine")]
            axis.errorbar(sorted(part["cosine"].unique()), [m for m, _ in found],
                          [h for _, h in found], color=colour, marker="o", ms=3, lw=1.4,
                          capsize=2)  # fmt: skip
        axis.axvline(0, color="0.8", lw=0.8)
        axis.set(xlabel="cos θ of every pair (obtuse < 0 < acute)", ylim=(-4, 104))
        axis.set_title(title)
    axes[0, 0].set_ylabel("data (%)")
    widths = zip(WIDTH_COLOURS, sorted(frame["width"].unique()), strict=False)
    handles = [look.line(f"width {w}", c, marker="o", ms=3) for c, w in widths]
    look.below(figure, [*handles, look.line("infinite width", "0.55", ls=":")], 5)
    return figure
