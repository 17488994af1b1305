"""Figures of RQ2's structures: the evidence of each rule, and how stable the decisions are."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ffreport.analysis import look
from ffreport.analysis.stats import wilson


@look.styled
def evidence(frame: pd.DataFrame, titles: dict[str, str]) -> Figure:
    """Rules (rows, by the structure that they speak for) against networks (columns): the measured
    value in each cell, coloured by how far it is to the passing side.

    Args:
        frame: of ``structures.evidence``.
        titles: by key, what stands over each column; the columns in this order.
    """
    if frame.empty:
        return look.nothing("no network's latents are measured")
    scores = frame.pivot_table(index=["rule_of", "rule", "reason"], columns="key", values="score",
                               sort=False)[list(titles)]  # fmt: skip
    values = frame.pivot_table(index=["rule_of", "rule", "reason"], columns="key", values="value",
                               sort=False, dropna=False)  # fmt: skip
    figure, axes = look.canvas(1, 1, 4.6 + 0.92 * len(titles), 0.27 * len(scores) + 1.5)
    axis = axes[0, 0]
    image = axis.imshow(scores, cmap="PuOr_r", vmin=-1.4, vmax=1.4, aspect="auto")
    for y, rule in enumerate(scores.index):
        for x, key in enumerate(scores.columns):
            score, value = scores.iloc[y, x], values.loc[rule].get(key, np.nan)
            axis.text(x, y, f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}", ha="center",
                      va="center", fontsize=7,
                      color="white" if abs(score) > 0.75 else "black")  # fmt: skip
    axis.set_xticks(range(len(titles)), list(titles.values()), fontsize=7)
    axis.xaxis.tick_top()
    labels = [f"{reason}   {rule}" for _, rule, reason in scores.index]
    axis.set_yticks(range(len(labels)), labels, fontsize=7)
    owners = [of for of, _, _ in scores.index]
    for tick, of in zip(axis.get_yticklabels(), owners, strict=True):
        tick.set_color(look.STRUCTURES[of].colour)
    for row in range(1, len(owners)):
        if owners[row] != owners[row - 1]:
            axis.axhline(row - 0.5, color="black", lw=1)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axis, shrink=0.5, pad=0.015, ticks=[-1, 0, 1])
    bar.ax.set_ylim(-1, 1)
    bar.ax.set_yticklabels(["missed", "at the\nthreshold", "passed"], fontsize=7)
    handles = [look.mark(seen.name, "s", seen.colour)
               for s, seen in look.STRUCTURES.items() if s in owners]  # fmt: skip
    look.below(figure, handles, fontsize=7.5, title="rules of", title_fontsize=7.5)
    return figure


@look.styled
def stability(thresholds: pd.DataFrame, samples: pd.DataFrame, seeds: pd.DataFrame) -> Figure:
    """How often a network keeps its structure when thresholds move (left), and when other images
    or other seeds are drawn (right, with 95 % Wilson intervals over networks that always do).

    Args:
        thresholds, samples, seeds: of ``structures.by_threshold``, ``by_sample``, ``by_seed``.
    """
    figure, axes = look.canvas(1, 2, 9.6, 3.5)
    left, right = axes[0]
    for structure, seen in look.STRUCTURES.items():
        part = thresholds[thresholds["structure"] == structure]
        if part.empty:
            continue
        mean = 100 * part.groupby("change")["kept"].mean()
        count = part["key"].nunique()
        left.plot(100 * mean.index, mean, marker="o", ms=3.5, lw=1.6, color=seen.colour,
                  label=f"{seen.name} ({count})")  # fmt: skip
    left.set(xlabel="largest change of each threshold (%)", ylim=(-3, 103),
             ylabel="draws that keep the structure (%)")  # fmt: skip
    left.set_title("thresholds moved together")
    _always(right, samples, -0.2, "o")
    _always(right, seeds, 0.2, "s")
    right.set(ylim=(-3, 103), ylabel="networks that keep the structure (%)")
    look.places(right, [seen.tick for seen in look.STRUCTURES.values()], fontsize=6.5)
    right.set_title("other images, other initial weights")
    marks = [look.mark("other test images"), look.mark("other seeds", "s")]
    handles = [*left.get_legend_handles_labels()[0], *(marks[:1] if seeds.empty else marks)]
    look.below(figure, handles, fontsize=7.5)
    return figure


def _always(axis: Axes, frame: pd.DataFrame, shift: float, marker: str) -> None:
    for place, (structure, seen) in enumerate(look.STRUCTURES.items()):
        part = frame[frame["structure"] == structure]
        if part.empty:
            continue
        hits = int((part["kept"] == 1).sum())
        share = 100 * hits / len(part)
        low, high = wilson(hits, len(part))
        axis.errorbar(place + shift, share, [[share - 100 * low], [100 * high - share]],
                      marker=marker, ms=5, color=seen.colour, capsize=2, lw=1.2)  # fmt: skip
        axis.annotate(f"{hits}/{len(part)}", (place + shift, 100 * low), xytext=(0, -4),
                      textcoords="offset points", ha="center", va="top", fontsize=6,
                      color="0.3")  # fmt: skip
