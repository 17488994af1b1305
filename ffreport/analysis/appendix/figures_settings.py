"""Figures of one setting at a time: the share of positive units (appendix E), and open choices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from ffcore.config import FACTORS, levels
from ffreport.analysis import look

BAND_COLOUR = "0.9"
LINEAR = 5.0  # percentage points on either side of zero that are never on a logarithmic scale
# What ``choices.effects`` says of a choice: colour, and whether the mark is full.
MATTERS = {"yes": ("#D55E00", True), "no": ("#0072B2", False)}
UNCLEAR = "#D55E00", False


@look.styled
def deviation_over_share(found: pd.DataFrame, band: float) -> Figure:
    """Deviation of accuracy over the share of positive units: thin a configuration, thick their
    mean with its 95 % t interval over configurations; a panel a probability.

    Args:
        found: ``shares.deviations``; seeds of a configuration are averaged.
        band: half the height of the published band, in percentage points.
    """
    if found.empty:
        return look.nothing("no configuration has every share of positive units")
    kinds = levels("probability", found["probability"])
    activations = levels("activation", found["activation"])
    figure, axes = look.canvas(1, len(kinds), 4.1 * len(kinds) + 0.4, 3.7, sharey=True)
    for axis, kind in zip(axes[0], kinds, strict=True):
        part, colour = found[found["probability"] == kind], look.level("probability", kind).colour
        table = part.pivot_table(
            index=["activation", "dataset", "configuration"], columns="positive_fraction",
            values="deviation",
        )  # fmt: skip
        axis.axhspan(-band, band, color=BAND_COLOUR, lw=0, zorder=0)
        axis.axhline(0, color="0.55", lw=0.8, zorder=1)
        for keys, row in table.iterrows():
            mark = look.level("activation", keys[0]).mark
            axis.plot(table.columns, row, color=colour, lw=0.8, alpha=0.55, marker=mark, ms=3.8,
                      mew=0)  # fmt: skip
        mean, half = np.array([look.interval(table[share]) for share in table]).T
        axis.errorbar(table.columns, mean, half, color="black", lw=2, capsize=3, elinewidth=1.1,
                      marker="D", ms=4, zorder=4)  # fmt: skip
        inside = 100 * (part["deviation"].abs() <= band).mean()
        axis.set_title(
            f"{look.level('probability', kind).name}\n"
            f"{inside:.0f} % of {len(part)} results within ±{band:g} points"
        )
        _shares(axis, table.columns)
    axes[0, 0].set_ylabel("accuracy − configuration's mean\n(percentage points)")
    units = [look.level("activation", a) for a in activations]
    handles = [look.line(f"one configuration, {unit.name} units", "0.4", lw=0.7, marker=unit.mark,
                         ms=4, mew=0) for unit in units]  # fmt: skip
    handles.append(look.line("mean, 95 % interval", "black", lw=2, marker="D", ms=4))
    handles.append(look.patch(f"±{band:g} points", BAND_COLOUR))
    look.below(figure, handles, min(3, len(handles)))
    return figure


@look.styled
def deviation_spread(found: pd.DataFrame, band: float, near: float) -> Figure:
    """Distribution of the deviations by probability and activation: a mark a result, the middle
    half as a box with the median; beside it how much lies inside the band.

    Args:
        found: ``shares.deviations``.
        band: half the width of the published band, in percentage points.
        near: shares of positive units so far from one half, or nearer, have full marks.
    """
    if found.empty:
        return look.nothing("no configuration has every share of positive units")
    groups = [
        (kind, activation)
        for kind in levels("probability", found["probability"])
        for activation in levels("activation", found["activation"])
        if ((found["probability"] == kind) & (found["activation"] == activation)).any()
    ]
    figure, axes = look.canvas(1, 1, 7.6, 0.52 * len(groups) + 1.7)
    axis, draw = axes[0, 0], np.random.default_rng(0)
    axis.axvspan(-band, band, color=BAND_COLOUR, lw=0, zorder=0)
    axis.axvline(0, color="0.55", lw=0.8, zorder=1)
    for place, (kind, activation) in enumerate(groups):
        part = found[(found["probability"] == kind) & (found["activation"] == activation)]
        values, colour = part["deviation"].to_numpy(float), look.level("probability", kind).colour
        full = (part["positive_fraction"] - 0.5).abs().to_numpy() <= near
        jitter = place + draw.uniform(-0.16, 0.16, len(part))
        axis.scatter(values, jitter, s=18, marker=look.level("activation", activation).mark, lw=0.8,
                     facecolors=[colour if f else "white" for f in full], edgecolors=colour,
                     alpha=0.85, zorder=3)  # fmt: skip
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
        axis.barh(place, high - low, 0.62, low, color="none", edgecolor="0.25", lw=0.9, zorder=4)
        axis.vlines(middle, place - 0.31, place + 0.31, color="black", lw=2, zorder=5)
        inside = int((abs(values) <= band).sum())
        axis.text(1.01, place, f"{100 * inside / len(values):.0f} %  ({inside} of {len(values)})",
                  transform=axis.get_yaxis_transform(), va="center", fontsize=8)  # fmt: skip
    axis.text(1.01, -0.75, f"inside ±{band:g}", transform=axis.get_yaxis_transform(), fontsize=8,
              va="center", weight="bold")  # fmt: skip
    seen = [(look.level("probability", p), look.level("activation", a)) for p, a in groups]
    names = [f"{kind.name}, {unit.name} units" for kind, unit in seen]
    axis.set_yticks(range(len(groups)), names)
    axis.set_ylim(len(groups) - 0.5, -0.6)
    axis.set_xlabel("accuracy − configuration's mean (percentage points)")
    around = f"{100 * (0.5 - near):g}–{100 * (0.5 + near):g} %"
    handles = [
        look.mark(f"{around} positive units"),
        look.mark("fewer, or more", mfc="white"),
        look.line("median, in the box of the middle half", "black", lw=2),
    ]
    look.below(figure, handles)
    return figure


@look.styled
def choice_effects(found: pd.DataFrame) -> Figure:
    """Difference in last accuracy by each choice that the papers leave open, with its interval; a
    row a choice, a panel a base configuration, FFA first. Grey: what does not matter.

    Args:
        found: ``choices.effects``; the rows come in the order of the largest difference of their
            setting, then of the choice's own.
    """
    if found.empty:
        return look.nothing("no choice is planned")
    found = found.assign(size=found["difference"].abs())
    first = found.groupby("setting")["size"].transform("max")
    order = found.assign(first=first).groupby("choice", sort=False)[["first", "size"]].max()
    rows = order.sort_values(["first", "size"], ascending=False, kind="stable").index[::-1]
    panels = sorted(
        found.groupby(["dataset", "configuration"]),
        key=lambda panel: _names(panel[0][1])[-1] != "ffa-sigmoid",
    )
    figure, axes = look.canvas(
        1, len(panels), 2.35 * len(panels) + 2.3, 0.29 * len(rows) + 1.9, sharey=True
    )  # fmt: skip
    for axis, ((dataset, configuration), part) in zip(axes[0], panels, strict=True):
        known = part.dropna(subset=["difference"]).set_index("choice")
        half = part["threshold"].iloc[0]
        axis.axvspan(-half, half, color=BAND_COLOUR, lw=0, zorder=0)
        axis.axvline(0, color="0.4", lw=0.9, zorder=1)
        for place, choice in enumerate(rows):
            if choice not in known.index:
                word = "not run" if choice in set(part["choice"]) else "–"
                axis.text(0, place, word, ha="center", va="center", color="0.4", fontsize=7,
                          bbox={"facecolor": "white", "lw": 0, "pad": 1})  # fmt: skip
                continue
            row = known.loc[choice]
            colour, filled = MATTERS.get(row["matters"], UNCLEAR)
            axis.hlines(place, row["low"], row["high"], color=colour, lw=1.3, zorder=2)
            axis.plot(row["difference"], place, "o", color=colour, ms=5.5, zorder=3,
                      mfc=colour if filled else "white")  # fmt: skip
        base = part["base_last"].iloc[0]
        axis.set_title(_panel_title(str(dataset), str(configuration), base), fontsize=8.5)
        note = _scale(axis, known)
        grey = f"grey: ±{half:.2f}"
        if part["in_std"].notna().any():
            grey += f", {half / part['band_last_std'].iloc[0]:.0f} published std"
        axis.set_xlabel(f"change of last accuracy\n(points{note})\n{grey}", fontsize=8)
        look.grid(axis, "y")
    axes[0, 0].set_yticks(range(len(rows)), rows)
    axes[0, 0].set_ylim(-0.6, len(rows) - 0.4)
    names = ("moves the accuracy", "does not", "unclear: the interval includes zero")
    handles = [
        look.line(name, c, marker="o", lw=1.3, mfc=c if filled else "white")
        for name, (c, filled) in zip(names, (*MATTERS.values(), UNCLEAR), strict=True)
    ]
    handles.append(look.mark("does not apply", "$–$", "0.4"))
    look.below(figure, handles, 2 * min(2, len(panels)))
    return figure


def _scale(axis: Axes, known: pd.DataFrame) -> str:
    """Linear, or logarithmic beyond ±LINEAR where one large change would hide the others; says
    so."""
    sizes = known[["low", "high", "difference"]].abs().max(axis=1)
    if not len(sizes) or sizes.max() <= 4 * LINEAR or sizes.median() > sizes.max() / 4:
        return ""
    axis.set_xscale("symlog", linthresh=LINEAR, linscale=0.6)
    axis.xaxis.set_major_locator(FixedLocator([-50, -20, -5, 0, 5, 20, 50]))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter("{x:g}")
    return f", log beyond ±{LINEAR:g}"


def _panel_title(dataset: str, configuration: str, base: float) -> str:
    factors = dict(zip(FACTORS, _names(configuration), strict=True))
    norm, aggregation, inhibition, activation, probability = (
        look.level(factor, value).name for factor, value in factors.items()
    )
    return (
        f"{probability}\n{activation}, {norm} {aggregation}, {inhibition}\n"
        f"{dataset}: {'not run' if np.isnan(base) else f'{base:.1f} %'}"
    )


def _names(configuration: str) -> list[str]:
    """The five factors of a configuration's name; only the last may hold a hyphen."""
    return configuration.split("-", 4)


def _shares(axis: Axes, shares: Any) -> None:
    """The x axis of shares of positive units, on a logit scale: 5 % and 10 % stay apart."""
    axis.set_xscale("logit")
    axis.xaxis.set_major_locator(FixedLocator(list(shares)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticks(list(shares), [f"{100 * s:g}" for s in shares])
    axis.set_xlabel("positive units (%), logit scale")
