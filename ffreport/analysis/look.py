"""How readers see factors, and the look that all figures share: colours, names, marks, legends.

Colours are Okabe and Ito's, which readers with any colour vision tell apart. Plug-ins are shown by
their own names, with colours and marks that no built-in name has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any, NamedTuple, TypeVar

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ffcore import plugins
from ffcore.config import levels
from ffreport.analysis.published import NOT_RUN
from ffreport.analysis.stats import t_interval
from ffreport.runs.results import MIXED, OWN, SHIPPED

Made = TypeVar("Made", bound=Callable[..., Any])


class Level(NamedTuple):
    """A factor's level for readers: ``name`` in figures, ``short`` in sentences, ``tick`` in narrow
    places, ``colour`` and ``mark`` the same in every figure."""

    name: str
    short: str
    tick: str
    colour: str = ""
    mark: str = ""


def _alike(name: str, colour: str = "", mark: str = "") -> Level:
    return Level(name, name, name, colour, mark)


LEVELS: dict[str, dict[str, Level]] = {
    "probability": {
        "ffa-sigmoid": Level("FFA (sigmoid)", "FFA", "FFA", "#D55E00"),
        "sigmoid": Level("Polar-FFA, sigmoid", "sigmoid Polar-FFA", "sigmoid\nPolar", "#0072B2"),
        "symmetric": Level(
            "Polar-FFA, symmetric", "symmetric Polar-FFA", "symmetric\nPolar", "#009E73"
        ),
    },
    "activation": {
        "relu": _alike("ReLU", "#D55E00", "o"),
        "sigmoid": _alike("sigmoid", "#0072B2", "s"),
        "tanh": _alike("tanh", "#009E73", "^"),
    },
    "norm": {
        "l2sq": _alike("‖h‖₂²", "#CC79A7", "o"),
        "l2": _alike("‖h‖₂", "#000000", "s"),
        "l1": _alike("‖h‖₁", "#E69F00", "^"),
    },
    "inhibition": {"none": _alike("no WTA"), "wta": _alike("WTA")},
    "dataset": {
        "mnist": _alike("MNIST"),
        "kmnist": _alike("KMNIST"),
        "fashion-mnist": _alike("Fashion-MNIST"),
        "cifar-10": _alike("CIFAR-10"),
    },
    "loss": {
        "difference": _alike("G(H⁻) − G(H⁺)"),
        "logistic": _alike("logistic"),
        "polar-sigmoid": _alike("Polar-FFA, sigmoid"),
        "polar-symmetric": _alike("Polar-FFA, symmetric"),
    },
    "structure": {
        "original": Level("Original FFA", "Original FFA", "Original\nFFA", "#D55E00"),
        "sigmoid-activated": Level(
            "Sigmoid-activated FFA", "Sigmoid-activated FFA", "Sigmoid-\nactivated FFA", "#E69F00"
        ),
        "perturbation": Level(
            "Perturbation-based FFA", "Perturbation-based FFA", "Perturbation-\nbased FFA",
            "#CC79A7",
        ),
        "sigmoid-polar": Level(
            "Sigmoid-probability Polar-FFA", "Sigmoid-probability Polar-FFA",
            "Sigmoid-prob.\nPolar-FFA", "#0072B2",
        ),
        "symmetric-polar": Level(
            "Symmetric Polar-FFA", "Symmetric Polar-FFA", "Symmetric\nPolar-FFA", "#009E73"
        ),
        "unclear": Level("no rule fits", "no rule fits", "no rule\nfits", "#999999"),
    },
}  # fmt: skip
STRUCTURES = LEVELS["structure"]
# The paper's families, and what stands for one where a factor is a plug-in.
FAMILIES = LEVELS["family"] = STRUCTURES | {
    "not in the paper": Level(
        "not in the paper", "not in the paper", "not in the\npaper", "#444444"
    )
}
SPARE_COLOURS = ("#CC79A7", "#56B4E9", "#E69F00", "#000000")
SPARE_MARKS = ("P", "v", "X", "h")
STYLE: Any = {
    "font.size": 9, "axes.titlesize": 9.5, "axes.labelsize": 9, "legend.fontsize": 8,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "axes.spines.top": False,
    "axes.spines.right": False, "axes.axisbelow": True, "legend.frameon": False,
}  # fmt: skip
# Decorates every function that makes a figure, so that the style holds for all of it.
styled: Callable[[Made], Made] = plt.rc_context(STYLE)  # type: ignore[assignment]


def level(factor: str, value: str) -> Level:
    """A level of a factor as readers see it; a plug-in by its own name, in a spare colour."""
    known = LEVELS.get(factor, {}).get(value)
    looks = (_spare(spare, factor, value) for spare in (SPARE_COLOURS, SPARE_MARKS))
    return known or Level(value, value, short_lines(value), *looks)


def every(factor: str, values: Iterable[str]) -> list[str]:
    """The known levels of a factor, then plug-ins among ``values``: the order of a legend."""
    return list(dict.fromkeys([*LEVELS[factor], *levels(factor, values)]))


@styled
def canvas(
    rows: int, columns: int, width: float, height: float, **options: Any
) -> tuple[Figure, np.ndarray]:
    """A figure in the shared style and a [rows, columns] array of axes.

    Args:
        width, height: of the whole figure, in inches.
    """
    figure, axes = plt.subplots(
        rows, columns, figsize=(width, height), squeeze=False, layout="constrained", **options
    )
    for axis in axes.flat:
        axis.tick_params(labelsize=8)
    return figure, axes


@styled
def nothing(text: str, why: str = "not run") -> Figure:
    """A small figure in the place of one that there is nothing to show in, which says why."""
    figure, axes = canvas(1, 1, 5, 1)
    axes[0, 0].set_axis_off()
    axes[0, 0].text(0.5, 0.5, f"{why}: {text}", ha="center", va="center")
    return figure


def short_lines(name: str) -> str:
    """A name in lines for a narrow place, parted at its commas and underscores."""
    return name.replace(", ", ",\n").replace("_", "_\n")


def label_grid(axis: Axes, table: pd.DataFrame) -> int:
    """Name the rows and columns of a 12 × 9 map of the grid, and part its groups; returns how many
    lines stand over it."""
    axis.set_xticks(
        np.arange(table.shape[1]) + 0.5,
        [level("activation", a).name for _, a in table.columns],
        rotation=0, fontsize=8,
    )  # fmt: skip
    axis.set_yticks(
        np.arange(len(table)) + 0.5,
        [f"{level('norm', n).name} {a}, {level('inhibition', i).name}" for n, a, i in table.index],
        rotation=0, fontsize=8,
    )  # fmt: skip
    axis.set(xlabel="", ylabel="")
    probabilities, lines = [p for p, _ in table.columns], 1
    for probability in dict.fromkeys(probabilities):
        places = [i for i, p in enumerate(probabilities) if p == probability]
        seen = level("probability", probability)
        name = seen.name if len(places) > 1 else short_lines(seen.name)
        lines = max(lines, 1 + name.count("\n"))
        axis.text(
            float(np.mean(places)) + 0.5, 1.02, name, ha="center", va="bottom",
            color=seen.colour, weight="bold", transform=axis.get_xaxis_transform(),
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


def cells(frame: pd.DataFrame, table: pd.DataFrame) -> list[tuple[tuple[int, int], pd.DataFrame]]:
    """Column and row in a ``grid_table`` of each configuration of a frame, with its networks."""
    rows = {goodness: y for y, goodness in enumerate(table.index)}
    columns = {kind: x for x, kind in enumerate(table.columns)}
    keys = [*table.index.names, *table.columns.names]
    return [
        ((columns[key[3:]], rows[key[:3]]), same)
        for key, same in frame.groupby(keys, sort=False)
        if key[3:] in columns and key[:3] in rows
    ]


def grid(axis: Axes, which: Any = "both") -> None:
    """Faint lines at the ticks of the ``x`` axis, the ``y`` axis or both."""
    axis.grid(axis=which, color="0.93")


def whole_numbers(axis: Axes) -> None:
    """Ticks of the x axis at whole numbers only, as for epochs."""
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def places(axis: Axes, names: Sequence[Any], **options: Any) -> None:
    """An x axis of as many places as there are names."""
    axis.set_xticks(range(len(names)), names, **options)
    axis.set_xlim(-0.5, len(names) - 0.5)


def label(axes: np.ndarray, x: str = "", y: str = "") -> None:
    """Labels at the lower and the left edge of a [rows, columns] array of axes."""
    for axis in axes[-1]:
        axis.set_xlabel(x)
    for axis in axes[:, 0]:
        axis.set_ylabel(y)


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
    """An entry of a legend: a mark."""
    return plt.Line2D([], [], **{"marker": marker, "ls": "", "color": colour, **options},
                      label=label)  # fmt: skip


def line(label: str, colour: str = "0.3", **options: Any) -> Any:
    """An entry of a legend: a line."""
    return plt.Line2D([], [], color=colour, label=label, **options)


def patch(label: str, colour: str = "0.85", **options: Any) -> Any:
    """An entry of a legend: an area."""
    return plt.Rectangle((0, 0), 1, 1, **{"color": colour, **options}, label=label)


def entries(factor: str, values: Iterable[str], suffix: str = "", **options: Any) -> list[Any]:
    """An entry of a legend for each of some levels of a factor, in their colours and marks."""
    seen = (level(factor, value) for value in values)
    return [
        mark(s.name + suffix, **{"marker": s.mark or "o", "colour": s.colour, **options})
        for s in seen
    ]


def origin_legend(origins: Iterable[str]) -> list[Any]:
    """Entries for the origins that occur."""
    there = [o for o in (OWN, SHIPPED, MIXED) if o in set(origins)]
    return [mark(f"{o} results", **origin_look(o, "0.3"), ms=6) for o in there]


def beside(axis: Axes, handles: Sequence[Any], **options: Any) -> None:
    """A legend to the right of an axis."""
    axis.legend(handles=handles, loc="center left", bbox_to_anchor=(1.02, 0.5), **options)


def below(figure: Figure, handles: Sequence[Any], columns: int = 3, **options: Any) -> None:
    """A legend below a figure."""
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, **options)


def with_results(frame: pd.DataFrame) -> list[str]:
    """The data sets of which something was run; all where nothing was."""
    ran = frame.loc[frame["origin"] != NOT_RUN, "dataset"].unique()
    return list(ran if len(ran) else frame["dataset"].unique())


def _spare(looks: Sequence[str], kind: str, name: str) -> str:
    names = plugins.names(kind)
    return looks[names.index(name) % len(looks) if name in names else -1]
