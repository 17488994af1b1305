"""One page on the sparsity theorems: claims with verdicts, limits, and the open questions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ffreport.analysis import published
from ffreport.analysis.sparsity import conditions, geometry, theorems
from ffreport.analysis.sparsity import words as sparsity_words
from ffreport.base.words import listed
from ffreport.data.sources import lookup
from ffreport.study.study import Study

UNDECIDED = "undecided: the interval holds the published share"
NOT_RUN = "not run"


def claims(study: Study) -> pd.DataFrame:
    """Each claim of the theory paper beside what was measured, first those under the conditions of
    the claim.

    Returns:
        ``claim``, ``published``, ``verdict``, ``measured`` (in words, with intervals), ``under``
        (conditions).
    """
    parts = (_first, _first_training, _second, _limit, _by_rate, _agreement, _rise)
    columns = ["claim", "published", "verdict", "measured", "under"]
    found = pd.DataFrame([row for part in parts for row in part(study)], columns=columns)
    return pd.concat([comparable(found), found[_elsewhere(found)]], ignore_index=True)


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
    plain = both[both["study"].str.contains(theorems.LOSSES["difference"], regex=False)]
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


def _first(study: Study) -> list[dict[str, Any]]:
    table, rows = theorems.theorem1(study), []
    claim = published.figures()["claims"]["theorem1_share"]["value"]
    pixels = table["setup"].str.split(" ").str[0]
    for (dataset, scale), part in table.groupby(["dataset", pixels], sort=False):
        worst = part.loc[part["finite_width"].idxmin()]
        widths = ", ".join(f"{w:,}" for w in sorted(part["width"].unique()))
        rows.append(
            {"claim": "Theorem 1 at initialisation", "published": f"> {claim:g} %",
             "measured": f"{_percent(worst['finite_width'])} [{worst['low']:.3f}, "
                         f"{worst['high']:.3f}] in the worst of {len(part)} layers; infinite width "
                         f"{_percent(part['infinite_width'].min())}",
             "under": f"{dataset}, {scale} pixels, widths {widths}",
             "verdict": _worst(part["verdict"])}
        )  # fmt: skip
    return rows


def _first_training(study: Study) -> list[dict[str, Any]]:
    """Theorem 1 in training, of which nothing is claimed."""
    return [
        {"claim": "Theorem 1 in training", "published": "–",
         "measured": f"{r['training']:.1f} %, in the worst epoch {r['least']:.1f} %",
         "under": r["study"], "verdict": "not claimed"}
        for r in theorems.theorem1_training(study).to_dict("records")
    ]  # fmt: skip


def _limit(study: Study) -> list[dict[str, Any]]:
    """Theorem 2 before training in the limit of infinite width, where chance draws no layer."""
    table, rows = theorems.theorem2(study), []
    comparable = {theorems.label(r): theorems.as_claimed(r) for r in theorems.runs(study)}
    for row in table.dropna(subset=["infinite_width"]).to_dict("records"):
        holds = row["infinite_width"] > row["published"]
        rows.append(
            {"claim": f"Theorem 2, {row['side']}s before training, infinite width",
             "published": f"> {row['published']:g} %",
             "measured": f"{row['infinite_width']:.1f} %", "under": row["study"],
             "verdict": theorems.verdict(holds, comparable[row["study"]])}
        )  # fmt: skip
    return rows


def _second(study: Study) -> list[dict[str, Any]]:
    rows, table = [], sparsity_words.seeds(study)
    claim = published.figures()["claims"]["theorem2_share"]["value"]
    by_name = {theorems.label(r): r for r in theorems.runs(study)}
    for row in table.to_dict("records"):
        if row["when"] == "last" or row["study"] not in by_name:
            continue
        comparable = theorems.as_claimed(by_name[row["study"]])
        low, high = row["low"], row["high"]
        holds, fails = low > claim, high < claim
        verdict = theorems.verdict(holds, comparable) if holds or fails else UNDECIDED
        when_ = "before training" if row["when"] == "initial" else "in training"
        rows.append(
            {"claim": f"Theorem 2, {row['side']}s {when_}", "published": f"> {claim:g} %",
             "measured": f"{row['satisfied']:.1f} % [{low:.1f}, {high:.1f}] over {row['seeds']} "
                         "seeds",
             "under": row["study"], "verdict": verdict}
        )  # fmt: skip
    return rows


def _by_rate(study: Study) -> list[dict[str, Any]]:
    """Theorem 2 at each learning rate that the profile tries: the claim names none."""
    frame, rows = conditions.sweep(study, "rate"), []
    if frame.empty:
        return []
    frame = frame[(frame["layer"] == 1) & (frame["when"] == "training")]
    claim = published.figures()["claims"]["theorem2_share"]["value"]
    bases = {theorems.label(r): r for r in study.sparsity_runs}
    for (name, rate), part in frame.groupby(["study", "value"], sort=False):
        of = part.set_index("side")["satisfied"]
        accuracy = part["accuracy"].iloc[0]
        learned = accuracy > 1.5 * 100 / lookup(bases[str(name)].experiment.dataset).classes
        verdict = theorems.verdict(bool((of > claim).all()), theorems.as_claimed(bases[str(name)]))
        rows.append(
            {"claim": f"Theorem 2 in training at learning rate {rate:g}/n",
             "published": f"> {claim:g} %",
             "measured": f"positives {of['positive']:.1f} %, negatives {of['negative']:.1f} %, "
                         f"1 seed; test accuracy {accuracy:.1f} %",
             "under": name, "verdict": verdict if learned else f"{verdict}; nothing is learned"}
        )  # fmt: skip
    return rows


def _agreement(study: Study) -> list[dict[str, Any]]:
    """Prediction and outcome: of plain steps of many sizes from the layer of a study, and of the
    steps that it took."""
    table, rows = theorems.small_step(theorems.curves(study)), []
    table = table[(table["theorem"] == 2) & (table["layer"] == 1)]
    taken = theorems.theorem2(study).query("when == 'training'").groupby("study")["agreement"].min()
    comparable = {theorems.label(r): theorems.as_claimed(r) for r in theorems.runs(study)}
    for name, part in table.groupby("study", sort=False):
        found = part["rate"].notna().all()
        measured = (
            f"≥ {theorems.SMALL:g} % of data at plain steps up to {part['rate'].min():.3g}/n"
            if found else f"at most {part['best'].min():.1f} % at any plain step"
        )  # fmt: skip
        if name in taken:
            measured += f"; {taken[name]:.1f} % at the steps taken"
        rows.append(
            {"claim": "Sparsity changes as predicted", "published": "as predicted",
             "measured": measured, "under": name,
             "verdict": theorems.verdict(bool(found), comparable[str(name)])}
        )  # fmt: skip
    return rows


def _rise(study: Study) -> list[dict[str, Any]]:
    epochs, rows = theorems.epochs(study), []
    part = epochs[(epochs["quantity"] == "sparsity") & (epochs["theorem"] == 2)
                  & (epochs["layer"] == 1)]  # fmt: skip
    accuracy = {theorems.label(r): r.summary["accuracy"] for r in theorems.runs(study)}
    comparable = {theorems.label(r): r.experiment.dataset == "mnist" for r in theorems.runs(study)}
    for name, found in part.groupby("study", sort=False):
        mean = found.groupby("epoch")["value"].mean()
        rose = bool(mean.iloc[-1] > mean.iloc[0])
        rows.append(
            {"claim": "Sparsity rises over training", "published": "rises",
             "measured": f"{mean.iloc[0]:.3f} before training, {mean.iloc[-1]:.3f} over the last "
                         f"epoch; test accuracy {100 * accuracy[str(name)]:.1f} %",
             "under": name, "verdict": theorems.verdict(rose, comparable[str(name)])}
        )  # fmt: skip
    return rows


def _worst(verdicts: pd.Series) -> str:
    failing = verdicts[verdicts.str.startswith(theorems.FAILS)]
    return str(failing.iloc[0] if len(failing) else verdicts.iloc[0])


def _percent(value: float) -> str:
    return f"{np.floor(value * 1000) / 1000:.3f} %"


def markdown(table: pd.DataFrame) -> str:
    """A frame of ``claims`` as a table in Markdown."""
    lines = ["| claim | published | verdict | measured | under |", "|---|---|---|---|---|"]
    for row in table.to_dict("records"):
        lines.append(f"| {' | '.join(str(v) for v in row.values())} |")
    return "\n".join(lines)


def comparable(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``claims`` under the conditions of the published claim."""
    return table[~_elsewhere(table)].reset_index(drop=True)


def _elsewhere(table: pd.DataFrame) -> pd.Series:
    """Which rows are under other conditions than the claim, or of nothing that is claimed."""
    return table["verdict"].str.contains("not comparable") | (table["published"] == "–")
