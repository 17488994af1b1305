"""What RQ2's measures and structures show, in sentences with their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ffreport.analysis.look import STRUCTURES
from ffreport.analysis.rq2 import structures
from ffreport.analysis.rq2.figures.projections import MEASURES
from ffreport.analysis.rq2.latents import UNCLEAR
from ffreport.analysis.stats import spearman
from ffreport.runs.store import Run

ENOUGH = 0.85  # rank correlation that counts as reproducing an order


def ranks(table: pd.DataFrame, measured: pd.DataFrame) -> str:
    """Which measures keep the published order, from a frame of ``latents.rank_agreement``, and for
    each that does not the network that moves most, from one of ``latents.latent_measures``."""
    known = table.dropna(subset="rank_correlation")
    if known.empty:
        return "No network here has a published counterpart, so there is no order to compare."
    parts = []
    for trained, part in known.groupby("trained", sort=False):
        some = measured[measured["whole"]] if trained == "as planned" else measured
        good = part[part["rank_correlation"] >= ENOUGH]
        text = (
            f"**Over {part['networks'].max()} networks ({trained}),** {len(good)} of {len(part)} "
            f"measures keep the published order with a rank correlation of at least {ENOUGH}."
        )
        for row in part[part["rank_correlation"] < ENOUGH].to_dict("records"):
            text += " " + _lower(row, some)
        parts.append(text)
    if known["trained"].nunique() > 1:
        parts.append(
            "Convergence area and time count epochs as shares of all that were run, so that only "
            "networks trained as planned compare."
        )
    return "\n\n".join(parts)


def markdown(table: pd.DataFrame) -> str:
    """A frame of ``latents.rank_agreement`` as the table that the README shows."""
    groups = list(table.groupby("trained", sort=False))
    heads = [f"rank correlation, {p['networks'].max()} networks {_trained(t)} | median difference"
             for t, p in groups]  # fmt: skip
    lines = ["| measure | " + " | ".join(heads) + " |", "|---" * (1 + 2 * len(groups)) + "|"]
    for measure, part in table.groupby("measure", sort=False):
        cells = [f"{r['rank_correlation']:.2f} [{r['low']:.2f}, {r['high']:.2f}] | "
                 f"{r['median_difference']:.3f}" for r in part.to_dict("records")]  # fmt: skip
        lines.append(f"| {MEASURES[str(measure)]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _trained(name: str) -> str:
    return "trained as planned" if name == "as planned" else "with those trained in part"


def titles(frame: pd.DataFrame, runs: Mapping[str, Run]) -> dict[str, str]:
    """Key → what stands over a prototype's column, in the order of structures."""
    measured = dict(zip(frame.get("key", ()), frame.get("structure", ()), strict=True))
    return {
        run.experiment.key: f"{STRUCTURES[structure].tick}\nmeasured:\n"
        f"{STRUCTURES[measured[run.experiment.key]].tick}"
        for structure, run in runs.items()
        if run.experiment.key in measured
    }


def agreement(table: pd.DataFrame) -> str:
    """A frame of ``structures.agreement`` in a sentence."""
    parts = [
        f"{row['agree']} of {row['networks']} on {row['dataset']} ({row['role']}; "
        f"{100 * row['share']:.0f} %, interval {100 * row['low']:.0f} to "
        f"{100 * row['high']:.0f} %)"
        for row in table[table["learned"] != "all"].to_dict("records")
    ]
    if not parts:
        return ""
    return "Among networks whose layer 1 learned and whose family the paper states, it is the " \
        "paper's structure for " + ", ".join(parts) + "."  # fmt: skip


def stability(thresholds: pd.DataFrame, samples: pd.DataFrame, seeds: pd.DataFrame) -> str:
    """Frames of ``structures.by_threshold``, ``by_sample`` and ``by_seed`` in sentences."""
    at = thresholds[thresholds["change"] == 0.1]
    loose = at[at["kept"] < 0.9]
    text = (
        f"When every threshold moves by up to 10 %, networks keep their structure in "
        f"{100 * at['kept'].mean():.1f} % of draws; {len(loose)} of {len(at)} do so in fewer than "
        "nine of ten."
    )
    if len(samples):
        text += (
            f" With other test images, {int((samples['kept'] == 1).sum())} of {len(samples)} keep "
            f"it in every redraw ({samples['samples'].iloc[0]} each)."
        )
    if len(seeds):
        return text + (
            f" Of {len(seeds)} configurations with several seeds, "
            f"{int((seeds['kept'] == 1).sum())} have the same structure in all of them."
        )
    return text + " No configuration has more than one seed here."


def disagreeing(frame: pd.DataFrame, keys: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Titles and captions, by key, of pictures of networks in ``structures.disagreements``."""
    rows = frame.set_index("key").loc[list(keys)] if len(keys) else frame.iloc[:0]
    heads = {k: f"measured:\n{STRUCTURES[r['structure']].name}" for k, r in rows.iterrows()}
    notes = {
        k: f"{r['configuration']}\npaper: {STRUCTURES[r['paper']].name}" for k, r in rows.iterrows()
    }
    return heads, notes


def disagreements(frame: pd.DataFrame) -> str:
    """Why stated networks of ``latents.structures`` differ from the paper: counts of each kind."""
    if not frame["stated"].any():
        return "The paper states the family of no network here."
    off = frame[frame["stated"] & (frame["structure"] != frame["family"])]
    if off.empty:
        return "Every network whose family the paper states has that structure."
    awake = structures.learned(off)
    text = (
        f"{int((~awake).sum())} of the {len(off)} disagreements are networks whose layer 1 never "
        "learned to tell labels apart."
    )
    pairs = off[awake].groupby(["family", "structure"], sort=False).size()
    if len(pairs):
        names = [
            f"{n} of {STRUCTURES[paper].name} measured as "
            f"{'nothing that the rules know' if ours == UNCLEAR else STRUCTURES[ours].name}"
            for (paper, ours), n in pairs.sort_values(ascending=False).items()
        ]
        text += " The others: " + ", ".join(names) + "."
    missed = [
        seen["rule"]
        for row in off[awake].to_dict("records")
        for seen in structures.evidence(pd.DataFrame([row])).to_dict("records")
        if seen["rule_of"] == row["family"] and not seen["passed"]
    ]
    if missed:
        rule, count = max(pd.Series(missed).value_counts().items(), key=lambda item: item[1])
        text += f" The clause that they miss most often is {rule} ({count} networks)."
    return text


def _lower(row: Mapping[str, Any], measured: pd.DataFrame) -> str:
    """A measure whose order differs, and the network that is furthest off."""
    column = row["measure"]
    gap = (measured[column] - measured[f"published_{column}"]).abs()
    worst = measured.loc[gap.idxmax()]
    others = measured[measured["configuration"] != worst["configuration"]]
    pairs = others.drop_duplicates(["dataset", "configuration"])[[column, f"published_{column}"]]
    rest = spearman(pairs.dropna().to_numpy(dtype=float)[None])[0]
    return (
        f"{MEASURES[column].capitalize()} has {row['rank_correlation']:.2f} [{row['low']:.2f}, "
        f"{row['high']:.2f}] at a median difference of {row['median_difference']:.3f}; furthest "
        f"off is {worst['configuration']} ({worst[column]:.3f} here, "
        f"{worst[f'published_{column}']:.3f} published, test accuracy "
        f"{worst['test_accuracy']:.3f} and {worst['published_test_accuracy']:.3f}); without it "
        f"the rank correlation is {rest:.2f}."
    )
