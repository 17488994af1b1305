"""Figure of learning curves, ours over the authors', a cell a configuration (RQ1)."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ffcore.config import FACTORS
from ffreport.analysis import look, published
from ffreport.analysis.rq1 import curves

OUTSIDE = "#F2D5E6"
MARGIN = 0.08  # of a cell, around its curves


@look.styled
def grid(found: pd.DataFrame, histories: pd.DataFrame) -> Figure:
    """Our learning curves over the authors', laid out as the map of accuracies: a row a goodness,
    a column a probability and an activation; the data sets one below the other.

    Each cell is 0 to 100 % high, and as wide as the most epochs that ours has of its data set.

    Args:
        found: of ``curves.networks``; the number in a cell is the distance in points, on a
            coloured ground where that is outside the range of the authors' seeds.
        histories: of ``accuracy.histories``.
    """
    if found.empty:
        return look.nothing("networks with a published curve", "none")
    blocks = [(str(d), part) for d, part in found.groupby("dataset", sort=False)]
    tables = [look.grid_table(part, "distance") for _, part in blocks]
    heights = [len(table) for table in tables]
    figure, axes = look.canvas(
        len(blocks), 1, 10.5, 0.72 * sum(heights) + 0.8 * len(blocks) + 0.4,
        gridspec_kw={"height_ratios": heights},
    )  # fmt: skip
    for axis, (dataset, part), table in zip(axes[:, 0], blocks, tables, strict=True):
        epochs = int(part["epochs_run"].max())
        axis.set(xlim=(0, table.shape[1]), ylim=(len(table), 0))
        lines = look.label_grid(axis, table)
        axis.set_title(
            f"{look.level('dataset', dataset).name}, {epochs} epochs, 0 to 100 %",
            loc="left", weight="bold", pad=16 + 12 * lines,
        )  # fmt: skip
        axis.spines[:].set_visible(False)
        for (x, y), same in look.cells(part, table):
            _cell(axis, x, y, same, histories, epochs)
    handles = [
        look.line("ours, coloured by probability", lw=1.6),
        look.line("theirs, one run", "black", lw=0.9, ls=(0, (3, 1.5))),
        look.patch("theirs, all seeds"),
        look.patch("farther apart than 95 % of their seeds", OUTSIDE),
    ]
    look.below(figure, handles, 4)
    return figure


def _cell(
    axis: Axes, x: int, y: int, same: pd.DataFrame, histories: pd.DataFrame, epochs: int
) -> None:
    """The networks of a configuration, several seeds over each other."""

    def at(curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        places = np.arange(1, len(curve) + 1) / max(epochs, 2)
        return x + MARGIN + (1 - 2 * MARGIN) * places, y + 1 - MARGIN - (1 - 2 * MARGIN) * (
            np.asarray(curve) / 100
        )

    first = same.iloc[0]
    place = (published.counterpart(first["dataset"]), *(first[f] for f in FACTORS))
    longest = int(same["epochs_run"].max())
    ground = OUTSIDE if same["outside"].any() else "0.975"
    axis.add_patch(plt.Rectangle((x + 0.03, y + 0.03), 0.94, 0.94, color=ground, lw=0, zorder=0))
    if (band := curves.seed_band(place, longest)) is not None:
        axis.fill_between(at(band[0])[0], at(band[0])[1], at(band[1])[1], color="0.85", lw=0)
    colour = look.level("probability", first["probability"]).colour
    here = histories[(histories["dataset"] == first["dataset"])
                     & (histories["configuration"] == first["configuration"])]  # fmt: skip
    for _, curve in here[here["seed"].isin(same["seed"])].groupby("seed"):
        axis.plot(*at(curve["test_accuracy"].to_numpy()), lw=1.6, color=colour)
    axis.plot(*at(curves.published_curve(place)[:longest]), color="black", lw=0.9, ls=(0, (3, 1.5)))
    axis.text(x + 0.94, y + 0.9, f"{same['distance'].max():.1f}", ha="right", fontsize=6.5)
