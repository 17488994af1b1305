"""Figures of RQ1 and the look that all figures share; data frames in, figures out.

Colours are Okabe and Ito's, which readers with any colour vision tell apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import MaxNLocator
from scipy import stats

from ffcore.config import FACTORS

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


def named(value: str) -> str:
    """A norm, an inhibition or a probability as a reader knows it; for activations see UNITS."""
    return NAMES.get(value, value)


def accuracy_grid(frame: pd.DataFrame, column: str = "best") -> Figure:
    """Test accuracy of all configurations as a 12 × 9 map.

    Args:
        frame: factors and ``column`` in percent; several seeds or data sets are averaged.
    """
    figure, axes = canvas(1, 1, 8.2, 4.9)
    table = grid_table(frame, column)
    with plt.rc_context(STYLE):
        sns.heatmap(
            table, ax=axes[0, 0], annot=True, fmt=".1f", cmap="cividis", vmin=0, vmax=100,
            linewidths=0.6, annot_kws={"size": 7.5},
            cbar_kws={"label": f"{column} test accuracy (%)", "shrink": 0.8},
        )  # fmt: skip
    label_grid(axes[0, 0], table)
    return figure


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


def against_published(frame: pd.DataFrame) -> Figure:
    """Ours over published best accuracy, a point a network, with the rank correlation.

    Args:
        frame: factors, ``best`` and ``published_best`` in percent.
    """
    figure, axes = canvas(1, 1, 6.6, 4.6)
    axis = axes[0, 0]
    both = frame.dropna(subset=["best", "published_best"])
    axis.plot([0, 100], [0, 100], color="0.6", lw=1, zorder=1, label="equal")
    for (probability, activation), part in both.groupby(["probability", "activation"]):
        axis.scatter(
            part["published_best"], part["best"], s=26, alpha=0.85, zorder=2,
            marker=ACTIVATION_MARK[str(activation)], color=PROBABILITY[str(probability)],
            edgecolor="white", linewidth=0.4,
        )  # fmt: skip
    axis.set(
        xlabel="published best test accuracy (%), Table F3",
        ylabel="our best test accuracy (%)", xlim=(0, 101), ylim=(0, 101), aspect="equal",
    )  # fmt: skip
    if len(both) > 2:
        rank = stats.spearmanr(both["published_best"], both["best"]).statistic
        axis.set_title(f"rank correlation {rank:.2f} over {len(both)} networks", fontsize=9.5)
    _factor_legend(axis)
    return figure


def factor_means(frame: pd.DataFrame) -> Figure:
    """Mean best accuracy by norm (as Table F1) and by activation (as Table F2), with 95 %
    intervals over configurations; published means from Table F3 as open marks.

    Args:
        frame: factors, ``best`` and ``published_best`` in percent.
    """
    figure, axes = canvas(1, 2, 8, 3.4, sharey=True)
    for axis, factor in zip(axes[0], ("norm", "activation"), strict=True):
        levels = [v for v in FACTORS[factor] if v in set(frame[factor])]
        kinds = [p for p in PROBABILITY if p in set(frame["probability"])]
        for shift, probability in zip(np.linspace(-0.22, 0.22, len(kinds)), kinds, strict=True):
            for place, level in enumerate(levels):
                part = frame[(frame[factor] == level) & (frame["probability"] == probability)]
                mean, half = interval(part["best"])
                axis.errorbar(
                    place + shift, mean, half, fmt="o", color=PROBABILITY[probability], ms=5.5,
                    capsize=2, lw=1.2,
                )  # fmt: skip
                theirs = part["published_best"].mean()
                axis.plot(
                    place + shift + 0.07, theirs, "D", mfc="white", ms=5,
                    color=PROBABILITY[probability],
                )  # fmt: skip
        axis.set_xticks(range(len(levels)), [{**NAMES, **UNITS}[v] for v in levels])
        axis.set_xlim(-0.5, len(levels) - 0.5)
        axis.set_title(f"by {'goodness norm' if factor == 'norm' else 'activation'}", fontsize=9.5)
        axis.grid(axis="y", color="0.92")
        axis.set_axisbelow(True)
    axes[0, 0].set_ylabel("mean best test accuracy (%)")
    handles = [
        plt.Line2D([], [], marker="o", ls="", color=c, label=named(p))
        for p, c in PROBABILITY.items()
    ]
    handles += [
        plt.Line2D([], [], marker="D", ls="", color="0.3", mfc="white", label="published mean")
    ]
    axes[0, 1].legend(handles=handles, loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8,
                      frameon=False)  # fmt: skip
    return figure


def learning_curves(histories: pd.DataFrame) -> Figure:
    """Test accuracy over epochs: median and middle half of the configurations.

    Args:
        histories: factors, ``epoch`` and ``test_accuracy`` in percent.
    """
    levels = [a for a in FACTORS["activation"] if a in set(histories["activation"])]
    figure, axes = canvas(1, len(levels), 2.7 * len(levels) + 1.6, 3.1, sharey=True)
    for axis, activation in zip(axes[0], levels, strict=True):
        part = histories[histories["activation"] == activation]
        for probability, curves in part.groupby("probability"):
            spread = curves.groupby("epoch")["test_accuracy"].quantile([0.25, 0.5, 0.75]).unstack()
            colour = PROBABILITY[str(probability)]
            axis.fill_between(spread.index, spread[0.25], spread[0.75], color=colour, alpha=0.18,
                              lw=0)  # fmt: skip
            axis.plot(
                spread.index, spread[0.5], color=colour, lw=1.8, label=named(str(probability))
            )
        axis.set_title(f"{UNITS[activation]} units", fontsize=9.5)
        axis.set(xlabel="epoch", ylim=(0, 101))
        whole_numbers(axis)
        axis.grid(axis="y", color="0.92")
    axes[0, 0].set_ylabel("test accuracy (%)\nmedian and middle half")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False)
    return figure


def whole_numbers(axis: Axes) -> None:
    """Ticks of the x axis at whole numbers only, as for epochs."""
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def interval(values: Sequence[float] | pd.Series) -> tuple[float, float]:
    """Mean and the half-width of its 95 % t interval; the half is 0 for a single value."""
    numbers = np.asarray(values, dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    if len(numbers) == 0:
        return float("nan"), 0.0
    if len(numbers) == 1:
        return float(numbers[0]), 0.0
    half = stats.t.ppf(0.975, len(numbers) - 1) * stats.sem(numbers)
    return float(numbers.mean()), float(half)


def _factor_legend(axis: Axes) -> None:
    handles = [
        plt.Line2D([], [], marker="o", ls="", color=c, label=named(p))
        for p, c in PROBABILITY.items()
    ]
    handles += [
        plt.Line2D([], [], marker=m, ls="", color="0.3",
                   label=f"{UNITS[a]} units")
        for a, m in ACTIVATION_MARK.items()
    ]  # fmt: skip
    axis.legend(handles=handles, loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=8,
                frameon=False)  # fmt: skip
