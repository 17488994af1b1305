"""The ledger of claims as one figure: how far each interval lies on the claimed side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ffreport.analysis import look
from ffreport.analysis.claims.ledger import (
    CONTRADICTED,
    NOISE,
    NOT_RUN,
    REPRODUCED,
    UNDERPOWERED,
    ledger,
)
from ffreport.base.words import number

# Colour and mark of each verdict; the mark tells them apart without colour.
MARKS = {
    REPRODUCED: ("#009E73", "o"),
    NOISE: ("#E69F00", "D"),
    CONTRADICTED: ("#D55E00", "X"),
    UNDERPOWERED: ("0.55", "o"),
    NOT_RUN: ("0.55", "$–$"),
}
LINEAR, REACH = 2.0, 300.0  # half-widths of an interval


@look.styled
def forest(found: pd.DataFrame) -> Figure:
    """A line a claim and data set: its 95 % interval, in half-widths of its own from the bound, the
    nearer one where a claim has two.

    To the right of zero is the claimed side. An interval has length two on this scale, so that
    what does not touch the line is decided; open marks are of *underpowered* claims, and a dash
    stands where there is no interval.

    Args:
        found: of ``ledger.table``.
    """
    ends = {claim.name: claim.holds.ends for claim in ledger()}
    places = [_place(row, ends[row["claim"]]) for row in found.to_dict("records")]
    rows = found.assign(place=places)
    order = {claim: i for i, claim in enumerate(dict.fromkeys(rows["claim"]))}
    rows = rows.sort_values("claim", key=lambda c: c.map(order), kind="stable")
    figure, axes = look.canvas(1, 1, 7.4, 0.24 * len(rows) + 1.3)
    axis = axes[0, 0]
    axis.axvspan(-REACH, 0, color="0.955", lw=0, zorder=0)
    axis.axvline(0, color="0.3", lw=0.9, zorder=1)
    height = -np.arange(len(rows), dtype=float)
    for y, row in zip(height, rows.to_dict("records"), strict=True):
        known = np.isfinite(row["place"])
        colour, mark = MARKS[row["verdict"] if known else NOT_RUN]
        x = float(np.clip(row["place"], -REACH, REACH)) if known else 0.0
        if known and row["low"] < row["high"]:
            axis.plot([x - 1, x + 1], [y, y], color=colour, lw=1.6, solid_capstyle="butt")
        open_ = row["verdict"] == UNDERPOWERED
        axis.plot(x, y, ls="", marker=mark, color=colour, ms=5.5 if mark != "X" else 7, mew=1.1,
                  mfc="white" if open_ else colour, zorder=3)  # fmt: skip
    labels = [_label(r, first) for r, first in
              zip(rows.to_dict("records"), ~rows["claim"].duplicated(), strict=True)]  # fmt: skip
    axis.set_yticks(height, labels)
    axis.tick_params(axis="y", length=0, labelsize=7.5)
    axis.set_ylim(height[-1] - 0.7, 0.7)
    axis.set_xscale("symlog", linthresh=LINEAR, linscale=1.2)
    axis.set_xlim(-REACH * 1.3, REACH * 1.3)
    ticks = [-100, -10, -1, 0, 1, 10, 100]
    axis.set_xticks(ticks, [number(t, "g") for t in ticks])
    axis.minorticks_off()
    axis.set_xlabel("distance from the bound, in half-widths of the 95 % interval")
    for x, text, side in (
        (0.01, "← contrary to the claim", "left"),
        (0.99, "as claimed →", "right"),
    ):
        axis.text(x, 1.0, text, transform=axis.transAxes, ha=side, va="bottom", color="0.35",
                  fontsize=8)  # fmt: skip
    handles = [
        look.mark(f"{v} ({int((rows['verdict'] == v).sum())})", mark, colour,
                  mfc="white" if v == UNDERPOWERED else colour)
        for v, (colour, mark) in MARKS.items() if (rows["verdict"] == v).any()
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def _place(row: dict[str, Any], ends: tuple[float, float]) -> float:
    """Distance of the value from the bound, the nearer one of two, in half-widths of its interval
    on that side, positive on the claimed side; NaN where there is no interval, and REACH for an
    exact value."""
    low, high = ends
    sign, bound = (1.0, low) if row["value"] - low <= high - row["value"] else (-1.0, high)
    distance = sign * (row["value"] - bound)
    half = abs(row["value"] - (row["low"] if sign * distance > 0 else row["high"]))
    if np.isnan(row["low"]):
        return float("nan")
    return float(distance / half) if half else float(np.copysign(REACH, distance))


def _label(row: dict[str, Any], first: bool) -> str:
    on = "" if row["dataset"] in ("–", "any") else f"  ({row['dataset']})"
    return f"{row['short'] if first else ''}{on}"
