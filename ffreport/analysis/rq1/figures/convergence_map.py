"""Figures of learning curves and of convergence, FFA against Polar-FFA (RQ1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ffcore.config import levels
from ffreport.analysis import look
from ffreport.analysis.rq1.contrasts import origin, pairs
from ffreport.runs.results import OWN, SHIPPED

DASHES = {OWN: "-", SHIPPED: (0, (4, 2))}
BOTH = (0, (4, 1.5, 1, 1.5))
AXES = {"area": "convergence area", "time": "convergence time (share of the epochs)"}


@look.styled
def learning_curves(histories: pd.DataFrame) -> Figure:
    """Test accuracy over epochs: median and middle half of the configurations; a row a data set,
    a column an activation.

    Args:
        histories: of ``convergence.levelled``. Seeds of a configuration are averaged. A network
            that stopped early stays at its last accuracy, so that those that go on do not stand
            for all.
    """
    datasets = list(histories["dataset"].unique())
    columns = levels("activation", histories["activation"])
    kinds = levels("probability", histories["probability"])
    figure, axes = look.canvas(
        len(datasets), len(columns), 2.7 * len(columns) + 1.8, 2.7 * len(datasets) + 0.5,
        sharey=True, sharex="row",
    )  # fmt: skip
    origins = set()
    for row, dataset in enumerate(datasets):
        here = histories[histories["dataset"] == dataset]
        epochs = int(here["epoch"].max())
        for axis, activation in zip(axes[row], columns, strict=True):
            part = here[here["activation"] == activation]
            counts = []
            for probability in kinds:
                same = part[part["probability"] == probability]
                if len(same):
                    origins.add(origin(same["origin"]))
                    counts.append(_band(axis, same, probability, epochs))
            many = "/".join(map(str, counts if len(set(counts)) > 1 else counts[:1])) or "none"
            axis.set_title(
                f"{look.level('dataset', dataset).name}, "
                f"{look.level('activation', activation).name}, n = {many}"
            )
            axis.set(ylim=(0, 101))
            axis.set_xlim(left=0.5)
            look.whole_numbers(axis)
            look.grid(axis, "y")
    look.label(axes, "epoch", "test accuracy (%)\nmedian and middle half")
    handles = [
        look.line(s.name, s.colour, lw=1.8) for s in (look.level("probability", p) for p in kinds)
    ]
    handles += [look.line(f"{o} results", lw=1.4, ls=DASHES.get(o, BOTH)) for o in sorted(origins)]
    look.beside(axes[0, -1], handles)
    return figure


@look.styled
def paired_convergence(found: pd.DataFrame) -> Figure:
    """Convergence area and time, Polar-FFA over FFA, a point a pair that differs in nothing else;
    a row a data set that has results. Below the diagonal Polar-FFA is the faster.

    Args:
        found: of ``convergence.networks``. A cross is a pair of which one side never learned.
    """
    datasets = look.with_results(found)
    figure, axes = look.canvas(len(datasets), 2, 8.8, 3.5 * len(datasets) + 0.3)
    first, *others = look.every("probability", found["probability"])
    side = "Polar-FFA" if {*others} <= {*look.LEVELS["probability"]} else "the other"
    shown: set[str] = set()
    never = False
    for row, dataset in enumerate(datasets):
        part = found[found["dataset"] == dataset]
        for axis, measure in zip(axes[row], AXES, strict=True):
            largest, draw = 0.0, np.random.default_rng(0)
            # Times are whole epochs: a little noise parts the points that would hide each other.
            noise = 0.3 / part["epochs_run"].max() if measure == "time" else 0.0
            for second in others:
                points = _pairs(part, first, second, measure)
                for r in points.to_dict("records"):
                    whose = origin(np.array([r["origin_first"], r["origin_second"]]))
                    shown.add(whose)
                    colour = look.level("probability", second).colour
                    shape = look.level("activation", r["activation"]).mark
                    style: Any = look.origin_look(whose, colour)
                    if not r["learned"]:
                        style, shape, never = {"color": colour}, "x", True
                    x, y = (r["first"], r["second"]) + noise * draw.uniform(-1, 1, 2)
                    axis.plot(x, y, shape, ms=5, alpha=0.85, **style)
                    largest = max(largest, x, y)
            largest = 1.08 * largest or 1.0
            axis.plot([0, largest], [0, largest], color="0.6", lw=1, zorder=0)
            axis.set(xlim=(-0.02 * largest, largest), ylim=(-0.02 * largest, largest),
                     aspect="equal")  # fmt: skip
            axis.set_xlabel(f"FFA: {AXES[measure]}")
            axis.set_ylabel(f"{side}: {measure}")
            count = f"{int(part['epochs_run'].max())} epochs" if part["area"].notna().any() else ""
            axis.set_title(f"{look.level('dataset', dataset).name}, {count}".rstrip(", "))
    handles = look.entries("probability", others)
    handles += look.entries(
        "activation", look.every("activation", found["activation"]), " units", colour="0.3"
    )
    handles += [look.mark("one side never learns", "x")] if never else []
    handles += [*look.origin_legend(shown), look.line("equal", "0.6", lw=1)]
    look.beside(axes[0, -1], handles)
    return figure


def _band(axis: Axes, same: pd.DataFrame, probability: str, epochs: int) -> int:
    """One probability's median and middle half; returns how many configurations it is of."""
    curves = same.groupby(["epoch", "configuration"])["test_accuracy"].mean().unstack()
    curves = curves.reindex(range(1, epochs + 1)).ffill()
    colour = look.level("probability", probability).colour
    dash = DASHES.get(origin(same["origin"]), BOTH)
    low, middle, high = (curves.quantile(q, axis=1) for q in (0.25, 0.5, 0.75))
    if curves.shape[1] > 1:
        axis.fill_between(curves.index, low, high, color=colour, alpha=0.18, lw=0)
    single: Any = {"marker": "o", "ms": 3} if len(curves) == 1 else {}
    axis.plot(curves.index, middle, color=colour, lw=1.8, ls=dash, **single)
    return int(curves.shape[1])


def _pairs(part: pd.DataFrame, first: str, second: str, measure: str) -> pd.DataFrame:
    """Pairs of a measure, with ``learned``: whether both sides did."""
    found = pairs(part, first, second, measure, "published_best").dropna(subset=["gap"])
    learned = pairs(part.assign(learned=part["learned"].astype(float)), first, second, "learned")
    learned = learned.loc[found.index, ["first", "second"]].min(axis=1) > 0
    return found.assign(learned=learned)
