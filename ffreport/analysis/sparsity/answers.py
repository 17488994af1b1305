"""What measurement can say to the questions that the sparsity theory leaves open."""

from __future__ import annotations

import numpy as np

from ffreport.analysis.sparsity import conditions, geometry, theorems
from ffreport.analysis.sparsity import words as sparsity_words
from ffreport.base.words import listed
from ffreport.study.study import Study


def geometric(study: Study) -> str:
    """What the inequality of Theorem 1 means, from ``geometry``."""
    table = listed(
        [f"{r['dataset']} with {r['pixels']} pixels {r['obtuse']:.2g} % of pairs are obtuse and "
         f"{_percent(r['satisfied'])} of {r['data']:,} images satisfy it"
         for name in geometry.datasets(study)
         for r in geometry.summary(study, name).to_dict("records")]
    )  # fmt: skip
    built = geometry.constructed()
    widest = built[built["width"] == built["width"].max()].groupby("cosine")["rose"].mean()
    return (
        "In a wide Gaussian layer, as before training, datum j changes the sparsity of datum i by "
        "‖xⱼ‖² κ(θᵢⱼ), a function of their angle: positive where it is acute, negative where it is "
        "obtuse. The inequality says "
        f"that acute pairs outweigh obtuse ones. Of {table}. Six data with obtuse angles only make "
        f"it fail for each of them: a step on their goodness made {100 * widest.iloc[0]:.0f} % of "
        f"them sparser at width {built['width'].max():,}; with acute angles "
        f"{100 * widest.iloc[-1]:.0f} %."
    )


def when(study: Study) -> str:
    """Under which conditions Theorem 2 holds for more than half of the data."""
    table = conditions.table(study)
    if table.empty:
        return "This profile varies no condition."
    first = table[table["layer"] == 1].dropna(subset=["positive_training"]).drop_duplicates("key")
    sides = first[["positive_training", "negative_training"]]
    both = first[(sides > conditions.HALF).all(axis=1)]
    of = {run.experiment.key: theorems.experiment(run).loss for run in study.sparsity_runs}
    plain = both[both["key"].map(of) == "difference"]
    good = [
        f"{r['setting']} {r['value']} (positives {r['positive_training']:.0f} %, negatives "
        f"{r['negative_training']:.0f} %, test accuracy {r['accuracy']:.0f} %)"
        for r in plain.to_dict("records")
    ]
    text = (
        "In training it holds for more than half of the positives and of the negatives in "
        f"{len(both)} of {len(first)} runs here; the shares range from {sides.min().min():.0f} to "
        f"{sides.max().max():.0f} %. "
    )
    if good:
        text += f"With {theorems.LOSSES['difference']} these are: {'; '.join(good)}. "
    return text + sparsity_words.law(conditions.lowering(study))


def reach(study: Study) -> str:
    """How far beyond one ReLU layer the first-order condition predicts."""
    parts = []
    for setting, words in (("layers", "layer"), ("activation", "activation"),
                           ("negatives", "negatives")):  # fmt: skip
        frame = conditions.sweep(study, setting)
        if frame.empty:
            continue
        table = conditions.shares(frame)
        if setting == "layers":
            table = table[table["value"] == table["value"].max()]
        column = "layer" if setting == "layers" else "value"
        for name, part in table.groupby("study", sort=False):
            named = [f"{conditions.named(r[column])} {r['agreement']:.1f} (accuracy "
                     f"{r['accuracy']:.0f})" for r in part.to_dict("records")]  # fmt: skip
            parts.append(f"- {words}, {name}: {', '.join(named)}")
    if not parts:
        return "This profile varies neither depth nor activation nor negatives."
    return (
        "Percent of data for which prediction and outcome of the steps of training agree, of the "
        "worse side; behind it the test accuracy in percent: where a layer learns nothing, and all "
        "of its data change alike, agreement says little.\n\n" + "\n".join(parts)
    )


def _percent(value: float) -> str:
    return f"{np.floor(value * 1000) / 1000:.3f} %"
