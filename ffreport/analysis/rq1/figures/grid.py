"""Figures of the RQ1 grid: all accuracies, ours over the published ones, means by factor."""

from __future__ import annotations

import math
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from ffcore.config import levels
from ffreport.analysis import look
from ffreport.analysis.rq1.contrasts import NOT_RUN, in_part, origin
from ffreport.base import words
from ffreport.runs.results import SHIPPED

FAINT = 0.4
FEWEST = 3  # configurations of which an interval is drawn
LACKING: Any = {"facecolor": "0.93", "edgecolor": "0.7", "hatch": "////", "linewidth": 0.0}


@look.styled
def accuracy_grid(frame: pd.DataFrame, column: str = "best") -> Figure:
    """Test accuracy of all configurations as 12 × 9 maps, one a data set that has results.

    Cells of planned networks without a result are hatched. Marks tell the networks that are
    shipped, or were cut short, from others of the same map; where all are, its title says so.

    Args:
        frame: of ``accuracy.accuracy``; several seeds are averaged.
        column: an accuracy in percent.
    """
    datasets = look.with_results(frame)
    many = len(datasets) > 1
    columns = 2 if many else 1
    rows = math.ceil(len(datasets) / columns)
    figure, axes = look.canvas(rows, columns, 13.4 if many else 8.2, 5.0 * rows + 0.3)
    used: set[str] = set()
    for axis, dataset in zip(axes.flat, datasets, strict=False):
        used |= _map(axis, frame[frame["dataset"] == dataset], column, 6.5 if many else 7.5)
    for axis in axes.flat[len(datasets) :]:
        axis.set_axis_off()
    entries: dict[str, Any] = {
        "lacking": plt.Rectangle((0, 0), 1, 1, label="planned, not run", **LACKING),
        "shipped": look.mark("shipped result", "o", mfc="white", ms=4),
        "part": look.mark("trained in part", "v", mfc="white", ms=4),
    }
    if handles := [entry for name, entry in entries.items() if name in used]:
        look.below(figure, handles)
    return figure


@look.styled
def against_published(frame: pd.DataFrame) -> Figure:
    """Ours over the published best accuracy, a point a network and a panel a data set, with the
    rank correlation over configurations.

    Args:
        frame: of ``accuracy.accuracy``. Open marks are shipped results, faint ones were cut short.
    """
    frame = frame.dropna(subset=["published_best"])
    if frame.empty:
        return look.nothing("accuracies on these data sets", "nothing published")
    both = frame.dropna(subset=["best"])
    datasets = look.with_results(frame)
    columns = min(len(datasets), 2)
    rows = math.ceil(len(datasets) / columns)
    figure, axes = look.canvas(rows, columns, 3.9 * columns + 2.2, 4.2 * rows)
    for axis, dataset in zip(axes.flat, datasets, strict=False):
        part = both[both["dataset"] == dataset]
        axis.plot([0, 100], [0, 100], color="0.6", lw=1, zorder=1)
        cut = in_part(part)
        for (probability, activation, whose, short), same in part.groupby(
            ["probability", "activation", "origin", cut]
        ):
            axis.plot(
                same["published_best"], same["best"],
                look.level("activation", str(activation)).mark, ms=5,
                alpha=FAINT if short else 0.9, mew=0.9, zorder=2,
                **look.origin_look(
                    str(whose), look.level("probability", str(probability)).colour
                ),
            )  # fmt: skip
        axis.set(xlim=(0, 101), ylim=(0, 101), aspect="equal")
        units = part.groupby("configuration")[["best", "published_best"]].mean()
        text = words.count(len(units), "configuration")
        if len(units) > 2:
            rank = stats.spearmanr(units["published_best"], units["best"]).statistic
            text += f", rank correlation {rank:.2f}"
        axis.set_title(f"{_title(part, dataset)}\n{text}", fontsize=9)
    for axis in axes.flat[len(datasets) :]:
        axis.set_axis_off()
    look.label(axes, "published best test accuracy (%) after as many epochs",
               "our best test accuracy (%)")  # fmt: skip
    handles = look.entries("probability", look.LEVELS["probability"], ms=5)
    handles += look.entries("activation", look.LEVELS["activation"], " units", colour="0.3", ms=5)
    handles += [*entries_of(both, ms=5), look.line("equal", "0.6", lw=1)]
    look.beside(axes[0, -1], handles)
    return figure


@look.styled
def factor_means(by_norm: pd.DataFrame, by_activation: pd.DataFrame) -> Figure:
    """Mean best accuracy by norm (as Table F1) and by activation (as Table F2), a row a data set
    that has results, with 95 % intervals over configurations.

    Args:
        by_norm, by_activation: of ``accuracy.means``. Diamonds are the published means that follow
            from Table F3 over the same configurations; small ones, over all that are planned
            where ours lacks some.
    """
    tables = {"norm": by_norm, "activation": by_activation}
    ran = by_norm.loc[by_norm["networks"] > 0, "dataset"].unique()
    datasets = list(ran if len(ran) else by_norm["dataset"].unique())
    figure, axes = look.canvas(len(datasets), 2, 8.6, 3.0 * len(datasets) + 0.4, sharey="row")
    for row, dataset in enumerate(datasets):
        for axis, (factor, table) in zip(axes[row], tables.items(), strict=True):
            _means(axis, table[table["dataset"] == dataset], factor)
            title = f"by {'goodness norm' if factor == 'norm' else 'activation'}"
            axis.set_title(f"{look.level('dataset', dataset).name}, {title}")
        axes[row, 0].set_ylabel("mean best test accuracy (%)")
        axes[row, 0].set_ylim(top=min(axes[row, 0].get_ylim()[1], 101))
    shown = by_norm[by_norm["dataset"].isin(datasets)]
    handles = look.entries("probability", look.every("probability", shown["probability"]))
    handles += look.origin_legend(shown["origin"])
    handles += [look.mark("published mean", "D", mfc="white", ms=5)]
    if (shown["networks"] < shown["planned"]).any():
        handles += [look.mark("published, whole grid", "D", mfc="white", ms=2.5)]
    look.beside(axes[0, 1], handles)
    return figure


def entries_of(frame: pd.DataFrame, **options: Any) -> list[Any]:
    """Entries for the origins of some networks, and for those that were trained in part."""
    part = [look.mark("trained in part", alpha=FAINT, **options)] if in_part(frame).any() else []
    return [*look.origin_legend(frame["origin"]), *part]


def _map(axis: Axes, frame: pd.DataFrame, column: str, size: float) -> set[str]:
    """One data set's map; returns which marks it used."""
    planned = look.grid_table(frame.assign(planned=1.0), "planned")
    ran = frame.dropna(subset=[column])
    table = look.grid_table(ran, column).reindex(index=planned.index, columns=planned.columns)
    sns.heatmap(
        table, ax=axis, annot=True, fmt=".1f", cmap="cividis", vmin=0, vmax=100, linewidths=0.6,
        annot_kws={"size": size}, cbar_kws={"label": f"{column} test accuracy (%)", "shrink": 0.8},
    )  # fmt: skip
    axis.set_title(_title(ran, frame["dataset"].iloc[0]), loc="left", weight="bold",
                   pad=10 + 12 * look.label_grid(axis, table))  # fmt: skip
    used = set()
    for y, x in np.argwhere(planned.notna().to_numpy() & table.isna().to_numpy()):
        axis.add_patch(plt.Rectangle((x, y), 1, 1, **LACKING))
        used.add("lacking")
    for name, marker, place, flag in (
        ("shipped", "o", 0.86, ran["origin"] == SHIPPED),
        ("part", "v", 0.14, in_part(ran)),
    ):
        if flag.any() and not flag.all():
            found = look.grid_table(ran.assign(flag=flag.astype(float)), "flag")
            found = found.reindex(index=planned.index, columns=planned.columns).to_numpy()
            y, x = np.nonzero(np.nan_to_num(found) > 0)
            axis.plot(x + place, y + 0.2, marker, ms=3, mfc="white", color="black", mew=0.6)
            used.add(name)
    return used


def _title(ran: pd.DataFrame, dataset: str) -> str:
    """A data set, and what holds of all of its networks: that they are shipped, or cut short."""
    parts = [look.level("dataset", dataset).name]
    if len(ran) and in_part(ran).all() and ran["epochs_run"].nunique() == 1:
        run, planned = ran["epochs_run"].iloc[0], ran["epochs"].iloc[0]
        parts.append(f"after {run:.0f} of {planned:.0f} epochs")
    if origin(ran["origin"]) == SHIPPED:
        parts.append("shipped results")
    return ", ".join(parts) if len(ran) else f"{parts[0]}: {NOT_RUN}"


def _means(axis: Axes, table: pd.DataFrame, factor: str) -> None:
    there, kinds = levels(factor, table[factor]), levels("probability", table["probability"])
    shifts = dict(zip(kinds, np.linspace(-0.25, 0.25, len(kinds)), strict=True))
    for r in table.to_dict("records"):
        colour = look.level("probability", r["probability"]).colour
        place = there.index(r[factor]) + shifts[r["probability"]]
        if r["networks"]:
            if r["networks"] >= FEWEST:
                axis.plot([place, place], [r["low"], r["high"]], color=colour, lw=1.2, zorder=2)
            axis.plot(place, r["best_mean"], "o", ms=5.5, zorder=3,
                      **look.origin_look(r["origin"], colour))  # fmt: skip
            axis.plot(place + 0.08, r["published_mean"], "D", mfc="white", ms=5, color=colour)
        if r["networks"] < r["planned"]:
            axis.plot(place + 0.08, r["published_all"], "D", mfc="white", ms=2.5, color=colour)
    look.places(axis, [look.level(factor, v).name for v in there])
    look.grid(axis, "y")
