"""Figures of RQ2's polarity view: activity, use and class selectivity of both groups of units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ffreport.analysis import look
from ffreport.analysis.rq2.figures.projections import POLARITY
from ffreport.analysis.rq2.topology.figures import dots
from ffreport.base import words


@look.styled
def activity(frame: pd.DataFrame) -> Figure:
    """Activity of each group of units under each kind of sample, by the paper's family.

    Args:
        frame: of ``polarity.networks``.
    """
    there = _families(frame)
    figure, axes = look.canvas(2, len(there), 1.75 * len(there) + 1.0, 4.8, sharey="row")
    draw = np.random.default_rng(0)
    for row, measure in enumerate(("activity", "goodness")):
        for column, structure in enumerate(there):
            axis, part = axes[row, column], frame[frame["family"] == structure]
            for place, group in enumerate(("positive", "negative")):
                for shift, sample in ((-0.24, "positive"), (0.24, "negative")):
                    values = part.loc[(part["group"] == group) & (part["sample"] == sample),
                                      f"relative_{measure}"].dropna()  # fmt: skip
                    dots(axis, place + shift, values, POLARITY[sample == "positive"][1], draw,
                         room=0.45)  # fmt: skip
            if not (part["group"] == "negative").any():
                axis.text(1, 0.06, "none", ha="center", va="center", fontsize=7.5, color="0.5",
                          transform=axis.get_xaxis_transform())  # fmt: skip
            axis.axhline(1, color="0.6", lw=0.8, ls=":")
            axis.set_xticks([0, 1], ["positive\nunits", "negative\nunits"], fontsize=7.5)
            axis.set_xlim(-0.55, 1.6)
            look.grid(axis, "y")
            if row == 0:
                axis.set_title(_title(structure, part["key"].nunique()), fontsize=8)
        axes[row, 0].set_ylabel(f"{'mean |h|' if row == 0 else 'goodness'}\n(network's mean = 1)")
    look.below(figure, _entries("samples"))
    return figure


@look.styled
def use(frame: pd.DataFrame) -> Figure:
    """Share of units in use and share of active entries, by family, group and kind of sample.

    Args:
        frame: of ``polarity.networks``.
    """
    figure, axes = look.canvas(1, 2, 9.0, 3.5)
    there = _families(frame)
    draw = np.random.default_rng(0)
    for axis, measure, title in ((axes[0, 0], "used", "units in use (share)"),
                                 (axes[0, 1], "active", "active entries (share)")):  # fmt: skip
        for place, structure in enumerate(there):
            part = frame[(frame["family"] == structure) & (frame["sample"] == "positive")]
            for shift, group in ((-0.24, "positive"), (0.24, "negative")):
                values = part.loc[part["group"] == group, measure]
                dots(axis, place + shift, values, POLARITY[group == "positive"][1], draw, room=0.45)
        axis.set_xticks(range(len(there)), [look.FAMILIES[s].tick for s in there], fontsize=7)
        axis.set_title(title)
        axis.set_ylim(-0.04, 1.1)
        look.grid(axis, "y")
    look.below(figure, _entries("units"))
    return figure


@look.styled
def selectivities(frames: Mapping[str, list[pd.DataFrame]]) -> Figure:
    """Distribution of the units' class selectivity, by family: mean curves over networks with 95 %
    t bands, beside what shuffled classes give.

    Args:
        frames: by family, a frame of ``polarity.units`` a network.
    """
    figure, axes = look.canvas(1, len(frames), 1.85 * len(frames) + 0.9, 3.4, sharey=True)
    grid = np.linspace(0, 1, 101)
    for axis, (structure, of) in zip(axes[0], frames.items(), strict=True):
        for group in ("positive", "negative"):
            colour = POLARITY[group == "positive"][1]
            for column, dashes in (("selectivity", "-"), ("chance", ":")):
                found = [_above(f, group, column, grid) for f in of]
                curves = [c for c in found if c is not None]
                if not curves:
                    continue
                both = [look.interval(values) for values in np.stack(curves, axis=1)]
                mean, half = np.array(both).T
                axis.plot(grid, mean, color=colour, ls=dashes, lw=1.5)
                if column == "selectivity":
                    axis.fill_between(grid, np.clip(mean - half, 0, 1), np.clip(mean + half, 0, 1),
                                      color=colour, alpha=0.18, lw=0)  # fmt: skip
        axis.set_title(_title(structure, len(of)), fontsize=8)
        axis.set(xlim=(0, 1), ylim=(0, 1.02))
        axis.set_xticks([0, 0.5, 1], ["0", "½", "1"])
        axis.set_xlabel("class selectivity", fontsize=8)
        look.grid(axis)
    axes[0, 0].set_ylabel("units that are more selective (share)")
    handles = [look.line(f"{n} units", c, lw=1.6) for n, c in POLARITY.values()]
    look.below(figure, [*handles, look.line("classes shuffled", "0.4", ls=":", lw=1.6)])
    return figure


def _above(frame: pd.DataFrame, group: str, column: str, grid: np.ndarray) -> np.ndarray | None:
    part = frame[(frame["group"] == group) & (frame["sample"] == "positive")]
    values = part[column].dropna().to_numpy()
    return (values[:, None] > grid).mean(axis=0) if len(values) else None


def _entries(what: str) -> list[Any]:
    handles = [look.mark(f"{n} {what}", "o", c, ms=4) for n, c in POLARITY.values()]
    return [*handles, look.mark("mean, 95 % interval", "_", "black")]


def _families(frame: pd.DataFrame) -> list[str]:
    return [s for s in look.FAMILIES if (frame["family"] == s).any()]


def _title(family: str, networks: int) -> str:
    return f"{look.FAMILIES[family].tick}\n({words.count(networks, 'network')})"
