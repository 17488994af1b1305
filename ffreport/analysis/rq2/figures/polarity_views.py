"""Figures of RQ2's polarity view: activity, use and class selectivity of both groups of units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ffreport.analysis.look import canvas, interval, mark
from ffreport.analysis.rq2.figures.projections import FAMILIES, POLARITY
from ffreport.analysis.rq2.topology.figures import SHORT, dots

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def activity(frame: pd.DataFrame) -> Figure:
    """Activity of each group of units under each kind of sample, by the paper's family.

    Args:
        frame: of ``polarity.networks``.
    """
    there = [s for s in FAMILIES if (frame["family"] == s).any()]
    figure, axes = canvas(2, len(there), 1.75 * len(there) + 1.0, 4.8, sharey="row")
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
            none = not (part["group"] == "negative").any()
            if none:
                axis.text(1, 0.06, "none", ha="center", va="center", fontsize=7.5, color="0.5",
                          transform=axis.get_xaxis_transform())  # fmt: skip
            axis.axhline(1, color="0.6", lw=0.8, ls=":")
            axis.set_xticks([0, 1], ["positive\nunits", "negative\nunits"], fontsize=7.5)
            axis.set_xlim(-0.55, 1.6)
            axis.grid(axis="y", color="0.94")
            if row == 0:
                count = part["key"].nunique()
                axis.set_title(f"{SHORT[structure]}\n({count} network{'s' * (count != 1)})",
                               fontsize=8, loc="center")  # fmt: skip
        axes[row, 0].set_ylabel(f"{'mean |h|' if row == 0 else 'goodness'}\n(network's mean = 1)")
    figure.legend(handles=_samples(), loc="outside lower center", ncols=3, fontsize=8,
                  frameon=False)  # fmt: skip
    return figure


def use(frame: pd.DataFrame) -> Figure:
    """Share of units in use and share of active entries, by family, group and kind of sample.

    Args:
        frame: of ``polarity.networks``.
    """
    figure, axes = canvas(1, 2, 9.0, 3.5)
    there = [s for s in FAMILIES if (frame["family"] == s).any()]
    draw = np.random.default_rng(0)
    for axis, measure, title in ((axes[0, 0], "used", "units in use (share)"),
                                 (axes[0, 1], "active", "active entries (share)")):  # fmt: skip
        for place, structure in enumerate(there):
            part = frame[(frame["family"] == structure) & (frame["sample"] == "positive")]
            for shift, group in ((-0.24, "positive"), (0.24, "negative")):
                values = part.loc[part["group"] == group, measure]
                dots(axis, place + shift, values, POLARITY[group == "positive"][1], draw, room=0.45)
        axis.set_xticks(range(len(there)), [SHORT[s] for s in there], fontsize=7)
        axis.set_title(title, fontsize=9.5)
        axis.set_ylim(-0.04, 1.1)
        axis.grid(axis="y", color="0.94")
    handles = [mark(f"{n} units", "o", c, ms=4) for n, c in POLARITY.values()]
    handles += [mark("mean, 95 % interval", "_", "black")]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def selectivities(frames: Mapping[str, list[pd.DataFrame]]) -> Figure:
    """Distribution of the units' class selectivity, by family: mean curves over networks with 95 %
    t bands, beside what shuffled classes give.

    Args:
        frames: by family, a frame of ``polarity.units`` a network.
    """
    figure, axes = canvas(1, len(frames), 1.85 * len(frames) + 0.9, 3.4, sharey=True)
    grid = np.linspace(0, 1, 101)
    for axis, (structure, of) in zip(axes[0], frames.items(), strict=True):
        for group in ("positive", "negative"):
            colour = POLARITY[group == "positive"][1]
            for column, dashes in (("selectivity", "-"), ("chance", ":")):
                found = [_above(f, group, column, grid) for f in of]
                curves = [c for c in found if c is not None]
                if not curves:
                    continue
                both = [interval(values) for values in np.stack(curves, axis=1)]
                mean, half = np.array(both).T
                axis.plot(grid, mean, color=colour, ls=dashes, lw=1.5)
                if column == "selectivity":
                    axis.fill_between(grid, np.clip(mean - half, 0, 1), np.clip(mean + half, 0, 1),
                                      color=colour, alpha=0.18, lw=0)  # fmt: skip
        axis.set_title(f"{SHORT[structure]}\n({len(of)} network{'s' * (len(of) != 1)})",
                       fontsize=8, loc="center")  # fmt: skip
        axis.set(xlim=(0, 1), ylim=(0, 1.02))
        axis.set_xticks([0, 0.5, 1], ["0", "½", "1"])
        axis.set_xlabel("class selectivity", fontsize=8)
        axis.grid(color="0.94")
    axes[0, 0].set_ylabel("units that are more selective (share)")
    handles = [mark(f"{n} units", "", c, ls="-", lw=1.6) for n, c in POLARITY.values()]
    handles += [mark("classes shuffled", "", "0.4", ls=":", lw=1.6)]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def _above(frame: pd.DataFrame, group: str, column: str, grid: np.ndarray) -> np.ndarray | None:
    part = frame[(frame["group"] == group) & (frame["sample"] == "positive")]
    values = part[column].dropna().to_numpy()
    return (values[:, None] > grid).mean(axis=0) if len(values) else None


def _samples() -> list[Any]:
    handles = [mark(f"{n} samples", "o", c, ms=4) for n, c in POLARITY.values()]
    return [*handles, mark("mean, 95 % interval", "_", "black")]
