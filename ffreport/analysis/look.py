"""The look that all figures share, and parts of figures: colours, names, marks, legends.

Colours are Okabe and Ito's, which readers with any colour vision tell apart. Plug-ins are shown by
their own names, with colours and marks that no built-in name has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from ffcore import plugins
from ffcore.config import levels
from ffreport.analysis.published import NOT_RUN
from ffreport.analysis.stats import t_interval
from ffreport.runs.results import MIXED, OWN, SHIPPED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PROBABILITY = {"ffa-sigmoid": "#D55E00", "sigmoid": "#0072B2", "symmetric": "#009E73"}
ACTIVATION_MARK = {"relu": "o", "sigmoid": "s", "tanh": "^"}
SPARE_COLOURS = ("#CC79A7", "#56B4E9", "#E69F00", "#000000")
SPARE_MARKS = ("P", "v", "X", "h")
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
ACTIVATION = {"relu": "#D55E00", "sigmoid": "#0072B2", "tanh": "#009E73"}
NORM = {"l2sq": "#CC79A7", "l2": "#000000", "l1": "#E69F00"}
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
    """A norm, an inhibition or a probability as a reader knows it; for activations see
    ``activation_name``."""
    return NAMES.get(value, value)


def activation_name(activation: str) -> str:
    """An activation as a reader knows it."""
    return UNITS.get(activation, activation)


def probability_colour(probability: str) -> str:
    """The colour of a probability, the same in every figure."""
    return PROBABILITY.get(probability) or _spare(SPARE_COLOURS, "probability", probability)


def activation_mark(activation: str) -> str:
    """The mark of an activation, the same in every figure."""
    return ACTIVATION_MARK.get(activation) or _spare(SPARE_MARKS, "activation", activation)


def short_lines(name: str) -> str:
    """A name in lines for a narrow place, parted at its commas and underscores."""
    return name.replace(", ", ",\n").replace("_", "_\n")


def with_plugins(known: Iterable[str], factor: str, values: Iterable[str]) -> list[str]:
    """The known values of a factor, then plug-ins among those that occur: the order of a legend."""
    return list(dict.fromkeys([*known, *levels(factor, values)]))


def label_grid(axis: Axes, table: pd.DataFrame) -> int:
    """Name the rows and columns of a 12 × 9 map of the grid, and part its groups; returns how many
    lines stand over it."""
    axis.set_xticks(
        np.arange(table.shape[1]) + 0.5,
        [activation_name(a) for _, a in table.columns],
        rotation=0, fontsize=8,
    )  # fmt: skip
    axis.set_yticks(
        np.arange(len(table)) + 0.5,
        [f"{named(n)} {a}, {named(i)}" for n, a, i in table.index],
        rotation=0, fontsize=8,
    )  # fmt: skip
    axis.set(xlabel="", ylabel="")
    probabilities, lines = [p for p, _ in table.columns], 1
    for probability in dict.fromkeys(probabilities):
        places = [i for i, p in enumerate(probabilities) if p == probability]
        name = named(probability) if len(places) > 1 else short_lines(named(probability))
        lines = max(lines, 1 + name.count("\n"))
        axis.text(
            float(np.mean(places)) + 0.5, 1.02, name, ha="center", va="bottom",
            fontsize=9, color=probability_colour(probability), weight="bold",
            transform=axis.get_xaxis_transform(),
        )  # fmt: skip
        if places[0]:
            axis.axvline(places[0], color="white", lw=4)
    norms = [norm for norm, _, _ in table.index]
    for row in range(1, len(table)):
        if norms[row] != norms[row - 1]:
            axis.axhline(row, color="white", lw=3)
    axis.tick_params(length=0)
    return lines


def grid_table(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Means of a column as rows of norm, aggregation, inhibition and columns of probability,
    activation, in the paper's order and plug-ins behind."""
    table = frame.pivot_table(
        index=["norm", "aggregation", "inhibition"], columns=["probability", "activation"],
        values=column, aggfunc="mean",
    )  # fmt: skip
    rows, columns = (
        [k for k in product(*(levels(str(f), keys.unique(f)) for f in keys.names)) if k in keys]
        for keys in (table.index, table.columns)
    )
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


def _spare(looks: Sequence[str], kind: str, name: str) -> str:
    names = plugins.names(kind)
    return looks[names.index(name) % len(looks) if name in names else -1]
