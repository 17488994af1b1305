"""What the sparsity studies show, in sentences with their numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from ffreport.analysis.estimate import Estimate
from ffreport.analysis.sparsity import conditions, theorems
from ffreport.base.words import bullets, percent
from ffreport.runs.results import SHIPPED
from ffreport.study.study import Study

SIDES = ("positive", "negative")


def shown(study: Study) -> str:
    """Which runs there are, of how many planned."""
    planned, found = study.profile.sparsity_runs(), study.sparsity_runs
    sets = ", ".join(dict.fromkeys(r.experiment.dataset for r in found))
    shared = sum(r.origin == SHIPPED for r in found)
    whose = f" ({shared} of them shipped with the project)" if shared else ""
    return (
        f"**Shown here:** {len(found)} of {len(planned)} runs{whose}, on {sets}; profile "
        f"{study.profile.label}."
    )


def theorem1(table: pd.DataFrame) -> str:
    """A frame of ``theorems.theorem1`` in a sentence a data set."""
    parts = []
    for dataset, rows in table.groupby("dataset", sort=False):
        widths = ", ".join(f"{w:,}" for w in sorted(rows["width"].unique()))
        missed = ((100 - rows["finite_width"]) * rows["data"] / 100).round().astype(int)
        parts.append(
            f"{dataset}, widths {widths}: at least {percent(rows['finite_width'].min())} of "
            f"{rows['data'].iloc[0]:,} images satisfy the inequality in every layer drawn (at most "
            f"{missed.max()} do not), {percent(rows['infinite_width'].min())} or more at infinite "
            f"width; sparsity rose for {percent(rows['rose'].min())} or more"
        )
    return "; ".join(parts) + "."


def theorem2(table: pd.DataFrame) -> str:
    """A frame of ``theorems.theorem2`` as a list, a study a line."""

    def of_side(rows: pd.DataFrame, side: str) -> str:
        of = rows[rows["side"] == side].set_index("when")
        text = f"{side}s {of.loc['initial', 'satisfied']:.1f} % before training"
        if "training" in of.index:
            found = of.loc["training"]
            text += f", {found['satisfied']:.1f} % in training (least {found['least']:.1f} %)"
        return text

    return _by_study(table, lambda rows: f": {'; '.join(of_side(rows, s) for s in SIDES)}")


def small_step(table: pd.DataFrame) -> str:
    """A frame of ``theorems.small_step``: how small a step has to be, study by study."""
    second = table[(table["theorem"] == 2) & (table["layer"] == 1)]

    def of_study(rows: pd.DataFrame) -> str:
        words = []
        for when, part in rows.groupby("when", sort=False):
            rate = part["rate"].min() if part["rate"].notna().all() else np.nan
            words.append(f"{when} " + (f"up to {rate:.3g}/n" if rate > 0 else "at no step size"))
        return f": {', '.join(words)}"

    return (
        f"Prediction and outcome agree for at least {theorems.SMALL:g} % of positives and of "
        f"negatives\n\n{_by_study(second, of_study)}"
    )


def mistakes(samples: pd.DataFrame) -> str:
    """Where the predictions of followed data go wrong."""
    known = samples.dropna(subset=["agreement", "first_order"])
    wrong = known["agreement"] == 0
    if not wrong.any():
        return f"None of {len(known):,} predictions was wrong."
    switched = known["switched"] > 0
    sizes = known["first_order"].abs()
    smaller = float((sizes[wrong] < sizes.median()).mean())
    rates = [100 * float(wrong[m].mean()) if m.any() else np.nan for m in (switched, ~switched)]
    return (
        f"{int(wrong.sum()):,} of {len(known):,} predictions were wrong "
        f"({percent(100 * wrong.mean())}). {100 * smaller:.0f} % of these are of data whose "
        f"predicted change is below the median; {100 * switched[wrong].mean():.0f} % had units "
        f"that switched. Of data with switched units {rates[0]:.2g} % were predicted wrongly, of "
        f"data without {rates[1]:.2g} %."
    )


def assumptions(table: pd.DataFrame) -> str:
    """A frame of ``theorems.assumptions``: which failed, and in how many runs."""
    failed = table["failed"].str.split(", ").explode().value_counts().drop("none", errors="ignore")
    if failed.empty:
        return f"All assumptions hold in all {len(table)} runs."
    parts = [f"*{name}* in {count}" for name, count in failed.items()]
    return f"Not met, of {len(table)} runs: {'; '.join(parts)}."


def rise(epochs: pd.DataFrame) -> str:
    """Whether sparsity rose over training, study by study."""
    part = epochs[(epochs["quantity"] == "sparsity") & (epochs["theorem"] == 2)
                  & (epochs["layer"] == 1)]  # fmt: skip

    def of_study(rows: pd.DataFrame) -> str:
        mean = rows.groupby("epoch")["value"].mean()
        change = mean.iloc[-1] - mean.iloc[0]
        word = "rose" if change > 0 else "fell" if change < 0 else "stayed"
        return f": {word} from {mean.iloc[0]:.3f} to {mean.iloc[-1]:.3f}"

    return _by_study(part, of_study)


def orders(table: pd.DataFrame) -> str:
    """A frame of ``conditions.orders`` in a sentence."""
    parts = [f"{r['quantity']} {r['order']:.2f} [{r['low']:.2f}, {r['high']:.2f}]"
             for r in table.to_dict("records")]  # fmt: skip
    ends = zip(table["order"], table["low"], table["high"], strict=True)
    within = sum(Estimate(*one).holds(-0.5) for one in ends)
    return (
        f"Fitted powers of n with 95 % intervals: {'; '.join(parts)}. {within} of {len(table)} "
        "intervals hold −½."
    )


def sweep(frame: pd.DataFrame, label: str) -> str:
    """A frame of ``conditions.sweep``: at which values Theorem 2 holds for most data."""
    if frame.empty:
        return f"This profile varies no {label}."
    lines = []
    for study, rows in conditions.shares(frame).groupby("study", sort=False):
        for when in ("initial", "training"):
            words = []
            for side in SIDES:
                column = rows[f"{side}_{when}"]
                named = rows["value"].map(conditions.named)
                if rows["layer"].nunique() > 1:
                    deep = rows["value"] == rows["value"].max()
                    column, named = column[deep], "layer " + rows["layer"][deep].astype(str)
                holds = [str(n) for n, v in zip(named, column, strict=True) if v > 50]
                words.append(f"{side}s: {', '.join(holds) if holds else 'none'}")
            moment = "before training" if when == "initial" else "in training"
            lines.append(f"**{study}**, {moment}, above 50 % for {'; '.join(words)}.")
    return bullets(lines)


def law(frame: pd.DataFrame) -> str:
    """How well the sign of ``lowering`` tells whether a step's data become sparser.

    Args:
        frame: of ``conditions.lowering``.
    """
    parts = []
    for low, high, words in (
        (0.3, 2, "lower goodness in all, by more than 0.3"),
        (0, 0.3, "lower it by less"),
        (-0.3, 0, "raise it by less"),
        (-2, -0.3, "raise it in all, by more than 0.3"),
    ):
        part = frame[(frame["lowering"] > low) & (frame["lowering"] <= high)
                     & (frame["when"] == "training")]  # fmt: skip
        if len(part):
            share = np.average(part["rose"], weights=part["data"])
            parts.append(f"{share:.0f} % in the {part['steps'].sum():,} steps that {words}")
    if not parts:
        return "Nothing was trained."
    return (
        "Share of data that became sparser in training steps of one ReLU layer, each datum in each "
        f"step counted once: {'; '.join(parts)}."
    )


def _by_study(frame: pd.DataFrame, say: Callable[[pd.DataFrame], str]) -> str:
    """A list of what there is to say of each study of a frame."""
    groups = frame.groupby("study", sort=False)
    return bullets(f"**{study}**{say(rows)}." for study, rows in groups)
