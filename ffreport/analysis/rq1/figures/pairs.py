"""Figures of RQ1's comparisons: ten seeds, paired differences, what choosing the epoch adds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ffcore.config import levels
from ffreport.analysis import look
from ffreport.analysis.published import BAND
from ffreport.analysis.rq1.contrasts import NOT_RUN, PAIRS, in_part
from ffreport.analysis.rq1.figures.grid import FAINT, entries_of
from ffreport.base import words

BELOW = 0.28  # of a line: where a published mark stands


@look.styled
def ten_seeds(frame: pd.DataFrame) -> Figure:
    """Last accuracies beside the published mean ± 3 standard deviations of ten seeds, sorted by
    that mean: left as they are, right as differences from it in those standard deviations. A row
    a data set that has results.

    Args:
        frame: of ``accuracy.accuracy``; a point a network. Open marks are shipped results,
            faint ones were cut short.
    """
    banded = frame.dropna(subset=["band_last"])
    if banded.empty:
        return look.nothing("ten seeds of these configurations", "nothing published")
    datasets = look.with_results(banded)
    sizes = [banded.loc[banded["dataset"] == d, "configuration"].nunique() for d in datasets]
    figure, axes = look.canvas(
        len(datasets), 2, 9.6, 0.24 * sum(sizes) + 1.1 * len(datasets) + 0.5, sharey="row",
        height_ratios=[n + 3 for n in sizes],
    )  # fmt: skip
    for row, dataset in enumerate(datasets):
        _seeds(axes[row], banded[banded["dataset"] == dataset], dataset)
    shown = banded[banded["dataset"].isin(datasets)]
    handles = look.entries("probability", look.LEVELS["probability"])
    look.below(figure, [*handles, *entries_of(shown), look.patch(f"published mean ± {BAND:g} std")])
    return figure


@look.styled
def differences(
    table: pd.DataFrame, label: str = "best test accuracy (percentage points)"
) -> Figure:
    """Paired differences between the probabilities with 95 % intervals, and the published ones as
    diamonds; a block a data set.

    Args:
        table: of ``contrasts.paired``. Published differences are over the same pairs, and over
            the whole grid, small and grey, where ours lacks some.
        label: of what the differences are.
    """
    datasets = list(table["dataset"].unique())
    lines = len(table) + 0.8 * len(datasets)
    figure, axes = look.canvas(1, 1, 8.6, 0.29 * lines + 1.2)
    axis, place, ticks, texts = axes[0, 0], 0.0, [], []
    for dataset in datasets:
        axis.text(-0.01, place, look.level("dataset", dataset).name, weight="bold", fontsize=8.5,
                  ha="right", va="center", transform=axis.get_yaxis_transform())  # fmt: skip
        place += 0.9
        for r in table[table["dataset"] == dataset].to_dict("records"):
            _difference(axis, place, r)
            ticks.append(place)
            sides = (look.level("probability", r[side]).tick for side in ("second", "first"))
            texts.append(" − ".join(side.replace("\n", " ") for side in sides))
            place += 1
        place += 0.2
    axis.axvline(0, color="0.6", lw=1, zorder=0)
    axis.set_yticks(ticks, texts, fontsize=8)
    axis.set_ylim(place, -0.7)
    axis.set_xlabel(f"mean difference in {label}")
    look.grid(axis, "x")
    axis.tick_params(axis="y", length=0)
    handles = look.origin_legend(table["origin"])
    if table["low"].notna().any():
        handles.append(look.line("95 % bootstrap interval", lw=1.6))
    handles += [look.mark("published, same pairs", "D", mfc="white", ms=5)]
    if (table["pairs"] < table["planned"]).any():
        handles += [look.mark("published, whole grid", "D", "0.6", ms=3)]
    look.below(figure, handles)
    return figure


@look.styled
def selection(frame: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Best − last accuracy: how much choosing the epoch on the test set flatters; a panel a data
    set that has results.

    Args:
        frame: of ``accuracy.accuracy``; a point a network.
        table: of ``contrasts.flattery``: means with 95 % intervals.
    """
    datasets = look.with_results(frame)
    figure, axes = look.canvas(1, len(datasets), 2.6 * len(datasets) + 3.6, 3.6, sharey=True)
    draw = np.random.default_rng(0)
    for axis, dataset in zip(axes[0], datasets, strict=True):
        part = frame[(frame["dataset"] == dataset) & (frame["origin"] != NOT_RUN)]
        kinds = levels("probability", part["probability"])
        for (probability, origin, short), same in part.groupby(
            ["probability", "origin", in_part(part)]
        ):
            x = kinds.index(str(probability)) + draw.uniform(-0.28, 0.02, len(same))
            colour = look.level("probability", str(probability)).colour
            axis.plot(x, same["best"] - same["last"], "o", ms=3.5, mew=0.7, zorder=2,
                      alpha=FAINT if short else 0.75,
                      **look.origin_look(str(origin), colour))  # fmt: skip
        _flattered(axis, table[table["dataset"] == dataset], kinds)
        look.places(axis, [look.level("probability", k).tick for k in kinds])
        axis.set_xlim(right=len(kinds) - 0.4)
        axis.set_yscale("symlog", linthresh=0.1, linscale=0.6)
        axis.set_yticks([0, 0.1, 0.3, 1, 3, 10, 30], ["0", "0.1", "0.3", "1", "3", "10", "30"])
        axis.set_ylim(-0.02, max(3.0, 1.3 * float((frame["best"] - frame["last"]).max())))
        axis.minorticks_off()
        axis.set_title(look.level("dataset", dataset).name)
        look.grid(axis, "y")
    axes[0, 0].set_ylabel("best − last test accuracy\n(percentage points)")
    shown = frame[frame["dataset"].isin(datasets)]
    handles = entries_of(shown, ms=5)
    handles.append(look.mark("mean, 95 % interval", "_", "black", ms=10, mew=1.8))
    handles.append(look.mark("published, ten seeds", "D", "black", mfc="white", ms=5))
    look.beside(axes[0, -1], handles)
    return figure


def _seeds(axes: Any, part: pd.DataFrame, dataset: str) -> None:
    """Both panels of a data set: accuracies, and differences from the published mean."""
    bands = part.drop_duplicates("configuration").sort_values("band_last")
    rows = {c: i for i, c in enumerate(bands["configuration"])}
    ran = part[part["origin"] != NOT_RUN]
    for axis, relative in zip(axes, (False, True), strict=True):
        for r in bands.to_dict("records"):
            middle, std = r["band_last"], r["band_last_std"]
            middle, half = (0.0, BAND) if relative else (middle, BAND * std)
            y = rows[r["configuration"]]
            axis.barh(y, 2 * half, 0.8, middle - half, color="0.87", zorder=1)
            axis.plot([middle] * 2, [y - 0.4, y + 0.4], color="0.45", lw=1, zorder=2)
        for (probability, origin, short), same in ran.groupby(
            ["probability", "origin", in_part(ran)]
        ):
            z = (same["last"] - same["band_last"]) / same["band_last_std"]
            colour = look.level("probability", str(probability)).colour
            axis.plot(z if relative else same["last"], same["configuration"].map(rows), "o", ms=5,
                      mew=1, zorder=3, alpha=FAINT if short else 0.9,
                      **look.origin_look(str(origin), colour))  # fmt: skip
        look.grid(axis, "x")
        axis.set_ylim(-0.7, len(rows) - 0.3)
        axis.tick_params(axis="y", length=0)
    axes[0].set_yticks(
        range(len(rows)), [_short(r) for r in bands.to_dict("records")], fontsize=7.5
    )
    for text, probability in zip(axes[0].get_yticklabels(), bands["probability"], strict=True):
        text.set_color(look.level("probability", probability).colour)
    lowest = min([*ran["last"], *bands["band_last"]])
    axes[0].set_xlim(max(-1, lowest - 6), 101)
    z = (ran["last"] - ran["band_last"]) / ran["band_last_std"]
    far = 1.08 * max([BAND + 1, *z.abs()])
    axes[1].set_xlim(-far, far)
    beside = "" if dataset in look.LEVELS["dataset"] else " beside MNIST"
    axes[0].set_title(f"{look.level('dataset', dataset).name}{beside}: last accuracy (%)")
    axes[1].set_title("difference (published standard deviations)")


def _short(row: dict[str, Any]) -> str:
    unit, norm = look.level("activation", row["activation"]), look.level("norm", row["norm"])
    wta = ", WTA" if row["inhibition"] == "wta" else ""
    return f"{unit.name} {norm.name} {row['aggregation']}{wta}"


def _difference(axis: Axes, y: float, r: dict[str, Any]) -> None:
    """A line of ``differences``."""
    if r["pairs"] < r["planned"] and np.isfinite(r["published_all"]):
        axis.plot(r["published_all"], y + BELOW, "D", ms=3, color="0.6", zorder=2)
    end = axis.get_yaxis_transform()
    if not r["pairs"]:
        axis.text(1.01, y, NOT_RUN, transform=end, fontsize=7.5, va="center", color="0.5")
        return
    polar = (r["first"], r["second"]) == PAIRS[2]
    colour = "0.25" if polar else look.level("probability", r["second"]).colour
    if np.isfinite(r["low"]):
        axis.plot([r["low"], r["high"]], [y, y], color=colour, lw=1.6, zorder=2)
    axis.plot(r["difference"], y, "o", ms=6, zorder=3, **look.origin_look(r["origin"], colour))
    axis.plot(
        r["published_difference"], y + BELOW, "D", mfc="white", ms=4.5, color=colour, zorder=4
    )
    test = "" if np.isnan(r["p_holm"]) else f", Holm p {words.p_value(r['p_holm'])}"
    axis.text(1.01, y, f"{r['pairs']} of {r['planned']} pairs{test}", transform=end, fontsize=7.5,
              va="center", color="0.3")  # fmt: skip


def _flattered(axis: Axes, table: pd.DataFrame, kinds: list[str]) -> None:
    """Means beside the points, those of networks trained as planned where there are such."""
    for r in table.sort_values("trained").to_dict("records"):
        if r["probability"] not in kinds:
            continue
        if r["trained"] != "as planned" and (table["trained"] == "as planned").any():
            continue
        x = kinds.index(r["probability"]) + 0.17
        if np.isfinite(r["low"]):
            axis.plot([x, x], [r["low"], r["high"]], color="black", lw=1.3, zorder=3)
        axis.plot(x, r["gap"], "_", ms=10, mew=1.8, color="black", zorder=3)
        if np.isfinite(r["published_gap"]):
            axis.plot(x + 0.16, r["published_gap"], "D", mfc="white", ms=5, color="black", zorder=3)
