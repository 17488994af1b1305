"""The look that all figures share, and parts of figures: colours, names, marks, legends.

Colours are Okabe and Ito's, which readers with any colour vision tell apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from ffcore.config import FACTORS
from ffcore.contrasts import MIXED, NOT_RUN, OWN, SHIPPED
from ffcore.intervals import t_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PROBABILITY = {"ffa-sigmoid": "#D55E00", "sigmoid": "#0072B2", "symmetric": "#009E73"}
ACTIVATION_MARK = {"relu": "o", "sigmoid": "s", "tanh": "^"}
NAMES = {
    "ffa-sigmoid": "FFA (sigmoid)",
    "sigmoid": "Polar-FFA, sigmoid",
    "symmetric": "Polar-FFA, symmetric",
    "l2sq": "‖h‖₂²",
    "l2": "‖h‖₂",
    "l1": "‖h‖₁",
    "none": "no WTA",
    "wta": "WTA",
}
DATASETS = {
    "mnist": "MNIST",
    "kmnist": "KMNIST",
    "fashion-mnist": "Fashion-MNIST",
    "cifar-10": "CIFAR-10",
}
UNITS = {"relu": "ReLU", "sigmoid": "sigmoid", "tanh": "tanh"}
STYLE: Any = {
    "font.size": 9, "axes.titlesize": 9.5, "axes.labelsize": 9, "legend.fontsize": 8,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "axes.spines.top": False,
    "axes.spines.right": False, "figure.constrained_layout.use": True, "legend.frameon": False,
    "axes.titleweight": "bold", "axes.titlelocation": "left",
}  # fmt: skip


def canvas(
    rows: int, columns: int, width: float, height: float, **options: Any
) -> tuple[Figure, np.ndarray]:
    """A figure in the shared style and a [rows, columns] array of axes.

    Args:
        width, height: of the whole figure, in inches.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            rows, columns, figsize=(width, height), squeeze=False, layout="constrained", **options
        )
    for axis in axes.flat:
        axis.tick_params(labelsize=8)
    return figure, axes


def nothing(text: str, why: str = "not run") -> Figure:
    """A small figure in the place of one that there is nothing to show in, which says why."""
    figure, axes = canvas(1, 1, 5, 1)
    axes[0, 0].set_axis_off()
    axes[0, 0].text(0.5, 0.5, f"{why}: {text}", ha="center", va="center", fontsize=9)
    return figure


def named(value: str) -> str:
    """A norm, an inhibition or a probability as a reader knows it; for activations see UNITS."""
    return NAMES.get(value, value)


def label_grid(axis: Axes, table: pd.DataFrame) -> None:
    """Name the rows and columns of a 12 × 9 map of the grid, and part its groups."""
    axis.set_xticks(
        np.arange(table.shape[1]) + 0.5,
        [UNITS[a] for _, a in table.columns],
        rotation=0, fontsize=8,
    )  # fmt: skip
    axis.set_yticks(
        np.arange(len(table)) + 0.5,
        [f"{named(n)} {a}, {named(i)}" for n, a, i in table.index],
        rotation=0, fontsize=8,
    )  # fmt: skip
    axis.set(xlabel="", ylabel="")
    probabilities = [p for p, _ in table.columns]
    for probability in dict.fromkeys(probabilities):
        places = [i for i, p in enumerate(probabilities) if p == probability]
        axis.text(
            float(np.mean(places)) + 0.5, 1.02, named(probability), ha="center", va="bottom",
            fontsize=9, color=PROBABILITY[probability], weight="bold",
            transform=axis.get_xaxis_transform(),
        )  # fmt: skip
        if places[0]:
            axis.axvline(places[0], color="white", lw=4)
    for row in range(4, len(table), 4):
        axis.axhline(row, color="white", lw=3)
    axis.tick_params(length=0)


def grid_table(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Means of a column as rows of norm, aggregation, inhibition and columns of probability,
    activation, in the paper's order."""
    table = frame.pivot_table(
        index=["norm", "aggregation", "inhibition"], columns=["probability", "activation"],
        values=column, aggfunc="mean",
    )  # fmt: skip
    order = [FACTORS[f] for f in ("norm", "aggregation", "inhibition")]
    rows = [r for r in pd.MultiIndex.from_product(order) if r in table.index]
    columns = [
        c
        for c in pd.MultiIndex.from_product([FACTORS["probability"], FACTORS["activation"]])
        if c in table.columns
    ]
    return table.loc[rows, columns]


def whole_numbers(axis: Axes) -> None:
    """Ticks of the x axis at whole numbers only, as for epochs."""
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def interval(values: Sequence[float] | pd.Series) -> tuple[float, float]:
    """Mean and the half-width of its 95 % t interval; the half is 0 for a single value."""
    numbers = np.asarray(values, dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    if len(numbers) == 0:
        return float("nan"), 0.0
    low, high = t_interval(numbers)
    return float(numbers.mean()), (high - low) / 2 if len(numbers) > 1 else 0.0


def origin_look(origin: str, colour: str) -> dict[str, Any]:
    """How a mark tells whose result it is: full for one's own, open for shipped, half for both."""
    style = {OWN: "full", SHIPPED: "none"}.get(origin, "left")
    return {"color": colour, "fillstyle": style, "markerfacecoloralt": "white"}


def mark(label: str, marker: str = "o", colour: str = "0.3", **options: Any) -> Any:
    """An entry of a legend."""
    return plt.Line2D([], [], **{"marker": marker, "ls": "", "color": colour, **options},
                      label=label)  # fmt: skip


def origin_legend(origins: Iterable[str]) -> list[Any]:
    """Entries for the origins that occur."""
    there = [o for o in (OWN, SHIPPED, MIXED) if o in set(origins)]
    return [mark(f"{o} results", **origin_look(o, "0.3"), ms=6) for o in there]


def legend(axis: Axes, handles: Sequence[Any], **options: Any) -> None:
    """A legend to the right of an axis."""
    where = {"loc": "center left", "bbox_to_anchor": (1.02, 0.5), "fontsize": 8, "frameon": False}
    axis.legend(handles=handles, **{**where, **options})


def with_results(frame: pd.DataFrame) -> list[str]:
    """The data sets of which something was run; all where nothing was."""
    ran = frame.loc[frame["origin"] != NOT_RUN, "dataset"].unique()
    return list(ran if len(ran) else frame["dataset"].unique())
