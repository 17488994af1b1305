"""RQ2: how far measured structures can be trusted: evidence, held-out networks, stability, and the
networks on which the measurement and the paper disagree."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ffreport.analysis.rq2 import latents, taxonomy
from ffreport.analysis.stats import wilson
from ffreport.study.study import Study

# Thresholds were set while looking at these networks; all others are held out.
CALIBRATION = {"dataset": "mnist", "seed": 0}
CHANGES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)  # relative, of every threshold at once
DRAWS = 100
FACTOR_COLUMNS = ["dataset", "configuration", "seed", "epochs"]


def evidence(frame: pd.DataFrame) -> pd.DataFrame:
    """How networks stand to every rule, from rows of ``latents.structures``.

    Returns:
        ``key``, ``configuration``, ``rule_of`` (the structure that the rule speaks for), ``rule``,
        ``reason``, ``value``, ``passed``, ``score`` in [−1, 1]; in the order of taxonomy.RULES.
    """
    rows = []
    for row in frame.to_dict("records"):
        found = taxonomy.classify(row).evidence
        for rule, seen in zip(taxonomy.RULES, found, strict=True):
            rows.append(
                {"key": row["key"], "configuration": row["configuration"],
                 "rule_of": rule.structure, "rule": seen.rule, "reason": rule.reason,
                 "value": seen.value, "passed": seen.passed, "score": seen.score}
            )  # fmt: skip
    return pd.DataFrame(rows)


def held_out(frame: pd.DataFrame) -> np.ndarray:
    """Rows of ``latents.structures`` that played no part in setting thresholds; bool [networks]."""
    seen = [frame[name] == value for name, value in CALIBRATION.items()]
    return ~np.logical_and.reduce(seen)


def prototypes(frame: pd.DataFrame) -> pd.DataFrame:
    """The paper's named examples among rows of ``latents.structures``.

    Returns:
        ``dataset``, ``configuration``, ``seed``, ``epochs``, ``role`` (calibration or held out),
        ``paper`` and ``structure`` (measured), ``agrees``, ``margin``; by structure of the paper.
    """
    named = {c: s for s, c in latents.PROTOTYPES.items()}
    part = frame[frame["configuration"].isin(list(named))]
    found = part[[*FACTOR_COLUMNS, "structure", "margin"]].assign(
        paper=part["configuration"].map(named),
        role=np.where(held_out(part), "held out", "calibration"),
    )
    found["agrees"] = found["paper"] == found["structure"]
    order = found["paper"].map({s: i for i, s in enumerate(latents.PROTOTYPES)})
    found = found.assign(order=order).sort_values(["order", "dataset", "seed", "epochs"])
    columns = ["dataset", "configuration", "seed", "epochs", "role", "paper", "structure",
               "agrees", "margin"]  # fmt: skip
    return found[columns].reset_index(drop=True)


def agreement(frame: pd.DataFrame) -> pd.DataFrame:
    """How often the measured structure is the one that the paper states, by data set and role.

    Returns:
        ``dataset``, ``role``, ``learned`` (all networks, or those whose layer 1 did), ``networks``,
        ``agree``, ``share`` with its 95 % Wilson interval ``low`` and ``high``.
    """
    stated = frame[frame["stated"]]
    stated = stated.assign(role=np.where(held_out(stated), "held out", "calibration"))
    rows = []
    for (dataset, role), part in stated.groupby(["dataset", "role"], sort=False):
        for name, some in (("all", part), ("layer 1 learned", part[learned(part)])):
            if len(some):
                hits = int((some["structure"] == some["family"]).sum())
                low, high = wilson(hits, len(some))
                rows.append({"dataset": dataset, "role": role, "learned": name,
                             "networks": len(some), "agree": hits, "share": hits / len(some),
                             "low": low, "high": high})  # fmt: skip
    columns = ["dataset", "role", "learned", "networks", "agree", "share", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def learned(frame: pd.DataFrame) -> np.ndarray:
    """Which networks' layer 1 tells labels apart at all: in one that never learned, the label is a
    small perturbation (see taxonomy.ASLEEP) and each latent's neighbours are
    the same image's. Bool [networks]."""
    asleep = (frame["label_image_ratio"] < taxonomy.ASLEEP) & (frame["same_image_purity"] > 0.9)
    return (~asleep).to_numpy()


def by_threshold(frame: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """What changing all thresholds does: each is multiplied by its own factor, drawn evenly from
    1 ± change.

    Returns:
        ``key``, ``structure``, ``change`` (of CHANGES), ``kept``: share of DRAWS that leave the
        network's structure as it is.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.uniform(-1, 1, (DRAWS, len(taxonomy.RULES)))
    rows = []
    observed = frame.to_dict("records")
    for change in CHANGES:
        kept = np.zeros(len(frame))
        for factors in 1 + change * drawn[: DRAWS if change else 1]:
            rules = [r._replace(threshold=r.threshold * f)
                     for r, f in zip(taxonomy.RULES, factors, strict=True)]  # fmt: skip
            for i, row in enumerate(observed):
                found = taxonomy.classify(row, rules).structure or latents.UNCLEAR
                kept[i] += found == row["structure"]
        share = kept / (DRAWS if change else 1)
        rows.append(pd.DataFrame({"key": frame["key"], "structure": frame["structure"],
                                  "change": change, "kept": share}))  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def by_sample(study: Study) -> pd.DataFrame:
    """What other test images do, network by network of those with weights.

    Returns:
        ``key``, ``structure``, ``samples`` (others that were drawn), ``kept``: share of them that
        give the same structure; empty without networks.
    """
    rows = []
    for run, row in zip(study.networks, latents.structures(study, own=True).to_dict("records"),
                        strict=True):  # fmt: skip
        others = [latents.judged(latents.seen(study, run, seed))["structure"].iloc[0]
                  for seed in range(1, study.profile.rq2.samples + 1)]  # fmt: skip
        if others:
            kept = float(np.mean([s == row["structure"] for s in others]))
            rows.append({"key": row["key"], "structure": row["structure"],
                         "samples": len(others), "kept": kept})  # fmt: skip
    return pd.DataFrame(rows, columns=["key", "structure", "samples", "kept"])


def by_seed(frame: pd.DataFrame) -> pd.DataFrame:
    """What another initialisation does, for configurations with several seeds of as many epochs.

    Returns:
        ``dataset``, ``configuration``, ``epochs``, ``seeds``, ``structure`` (the most frequent),
        ``kept``: share of seeds that have it.
    """
    rows = []
    for (dataset, configuration, epochs), part in frame.groupby(
        ["dataset", "configuration", "epochs"], sort=False
    ):
        if part["seed"].nunique() > 1:
            counts = part["structure"].value_counts()
            rows.append({"dataset": dataset, "configuration": configuration, "epochs": epochs,
                         "seeds": len(part), "structure": counts.index[0],
                         "kept": counts.iloc[0] / len(part)})  # fmt: skip
    return pd.DataFrame(
        rows, columns=["dataset", "configuration", "epochs", "seeds", "structure", "kept"]
    )


def disagreements(frame: pd.DataFrame) -> pd.DataFrame:
    """Networks whose measured structure is not the one that the paper states, clearest first.

    Returns:
        The row of ``latents.structures`` shortened to ``key``, ``dataset``, ``configuration``,
        ``seed``, ``epochs``, ``paper``, ``structure``, ``margin``, with ``missed``: the rules of
        the paper's structure that the network misses, worst first, each with its value and reason.
    """
    part = frame[frame["stated"] & (frame["structure"] != frame["family"])]
    rows = []
    for row in part.sort_values("margin", ascending=False, kind="stable").to_dict("records"):
        judged = zip(taxonomy.RULES, taxonomy.classify(row).evidence, strict=True)
        missed = sorted(
            (seen.score, f"{seen.rule} is {seen.value:.3g} ({rule.reason})")
            for rule, seen in judged
            if rule.structure == row["family"] and not seen.passed
        )
        rows.append({**{c: row[c] for c in ["key", *FACTOR_COLUMNS]}, "paper": row["family"],
                     "structure": row["structure"], "margin": row["margin"],
                     "missed": "; ".join(words for _, words in missed)})  # fmt: skip
    columns = ["key", *FACTOR_COLUMNS, "paper", "structure", "margin", "missed"]
    return pd.DataFrame(rows, columns=columns)


def pictured(study: Study, frame: pd.DataFrame, most: int = 6) -> list[str]:
    """Keys of disagreements to show: with weights, one a pair of structures first, then others of
    those pairs, clearest first."""
    there = {run.experiment.key for run in study.networks}
    part = frame[frame["key"].isin(there)].reset_index(drop=True)
    turn = part.groupby(["paper", "structure"]).cumcount()
    return part.loc[turn.sort_values(kind="stable").index, "key"].head(most).tolist()
