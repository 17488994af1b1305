"""Figures of RQ2's structures: the evidence of each rule, and how stable the decisions are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ffreport.analysis.look import canvas, nothing
from ffreport.analysis.rq2.figures.projections import STRUCTURES
from ffreport.analysis.stats import wilson

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def evidence(frame: pd.DataFrame, titles: dict[str, str]) -> Figure:
    """Rules (rows, by the structure that they speak for) against networks (columns): the measured
    value in each cell, coloured by how far it is to the passing side.

    Args:
        frame: of ``structures.evidence``.
        titles: by key, what stands over each column; the columns in this order.
    """
    if frame.empty:
        return nothing("no network's latents are measured")
    scores = frame.pivot_table(index=["rule_of", "rule", "reason"], columns="key", values="score",
                               sort=False)[list(titles)]  # fmt: skip
    values = frame.pivot_table(index=["rule_of", "rule", "reason"], columns="key", values="value",
                               sort=False, dropna=False)  # fmt: skip
    figure, axes = canvas(1, 1, 4.6 + 0.92 * len(titles), 0.27 * len(scores) + 1.5)
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
        tick.set_color(STRUCTURES[of][1])
    for row in range(1, len(owners)):
        if owners[row] != owners[row - 1]:
            axis.axhline(row - 0.5, color="black", lw=1)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axis, shrink=0.5, pad=0.015, ticks=[-1, 0, 1])
    bar.ax.set_ylim(-1, 1)
    bar.ax.set_yticklabels(["missed", "at the\nthreshold", "passed"], fontsize=7)
    handles = [plt.Line2D([], [], marker="s", ls="", color=c, label=n)
               for s, (n, c) in STRUCTURES.items() if s in owners]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=7.5,
                  frameon=False, title="rules of", title_fontsize=7.5)  # fmt: skip
    return figure


def stability(thresholds: pd.DataFrame, samples: pd.DataFrame, seeds: pd.DataFrame) -> Figure:
    """How often a network keeps its structure when thresholds move (left), and when other images
    or other seeds are drawn (right, with 95 % Wilson intervals over networks that always do).

    Args:
        thresholds, samples, seeds: of ``structures.by_threshold``, ``by_sample``, ``by_seed``.
    """
    figure, axes = canvas(1, 2, 8.4, 3.5)
    left, right = axes[0]
    for structure, (name, colour) in STRUCTURES.items():
        part = thresholds[thresholds["structure"] == structure]
        if part.empty:
            continue
        mean = 100 * part.groupby("change")["kept"].mean()
        count = part["key"].nunique()
        left.plot(100 * mean.index, mean, marker="o", ms=3.5, lw=1.6, color=colour,
                  label=f"{name} ({count})")  # fmt: skip
    left.set(xlabel="largest change of each threshold (%)", ylim=(-3, 103),
             ylabel="draws that keep the structure (%)")  # fmt: skip
    left.set_title("thresholds moved together")
    _always(right, samples, -0.2, "o", "other test images")
    _always(right, seeds, 0.2, "s", "other seeds")
    right.set(ylim=(-3, 103), ylabel="networks that keep the structure (%)",
              xlim=(-0.6, len(STRUCTURES) - 0.4))  # fmt: skip
    right.set_xticks(range(len(STRUCTURES)), [_short(n) for n, _ in STRUCTURES.values()],
                     fontsize=7)  # fmt: skip
    right.set_title("other images, other initial weights")
    marks = [plt.Line2D([], [], marker=m, ls="", color="0.3", label=n)
             for m, n in (("o", "other test images"), ("s", "other seeds"))]  # fmt: skip
    if seeds.empty:
        marks = marks[:1]
    figure.legend(handles=[*left.get_legend_handles_labels()[0], *marks], ncols=3, fontsize=7.5,
                  loc="outside lower center", frameon=False)  # fmt: skip
    return figure


def _always(axis: Axes, frame: pd.DataFrame, shift: float, marker: str, name: str) -> None:
    for place, (structure, (_, colour)) in enumerate(STRUCTURES.items()):
        part = frame[frame["structure"] == structure]
        if part.empty:
            continue
        hits = int((part["kept"] == 1).sum())
        share = 100 * hits / len(part)
        low, high = wilson(hits, len(part))
        axis.errorbar(place + shift, share, [[share - 100 * low], [100 * high - share]],
                      marker=marker, ms=5, color=colour, capsize=2, lw=1.2)  # fmt: skip
        axis.annotate(f"{hits}/{len(part)}", (place + shift, 100 * low), xytext=(0, -4),
                      textcoords="offset points", ha="center", va="top", fontsize=6,
                      color="0.3")  # fmt: skip


def _short(name: str) -> str:
    """A structure's name in lines short enough for a tick."""
    for part in ("probability", "activated", "based"):
        name = name.replace(f"-{part}", f"-\n{part}")
    return name.replace(" ", "\n")
