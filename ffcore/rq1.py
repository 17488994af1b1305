"""RQ1: accuracy and learning curves of a study's networks beside the published figures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ffcore import published
from ffcore.config import FACTORS, Experiment
from ffcore.records import OWN, SHIPPED, Record
from ffcore.study import Study, as_published, beside_published
from ffcore.train import summarise

ACCURACIES = ("best", "last", "selected")
RESAMPLES = 9999
NOT_RUN = "not run"


def accuracy(study: Study, part: str = "rq1", level: bool = False) -> pd.DataFrame:
    """One row a planned network: what it is, what stands for it, and the published figures.

    ``origin`` is ``own``, ``shipped`` or ``not run``; ``epochs`` are planned and ``epochs_run``
    trained, in ``precision``. ``best``, ``last`` and ``selected`` are test accuracies in percent,
    NaN where there is none. Of the counterpart data set: ``published_best`` (Table F3, one seed)
    and ``difference`` (best − published_best) in percentage points, and the mean and sample
    standard deviation of ten seeds where the authors' logs have them, ``published_last`` ±
    ``published_last_std`` and ``published_best_mean`` ± ``published_best_std``. ``verdict`` is on
    ``last`` against that band, or on ``best`` where a single seed was published.

    Args:
        part: of the profile.
        level: cut every history to the epochs that all networks of its data set have, so that
            networks of a grid that was trained in part can be compared; ``epochs_run`` says where.
    """
    planned = study.profile.networks(part)
    found = study.records(part)
    limits = _common_epochs(found) if level else {}
    frame = pd.DataFrame(
        [_row(p, r, limits.get(p.dataset)) for p, r in zip(planned, found, strict=True)]
    )
    frame = beside_published(frame, published.best_accuracy())
    named = {"last_mean": "published_last", "last_std": "published_last_std",
             "best_mean": "published_best_mean", "best_std": "published_best_std"}  # fmt: skip
    frame = beside_published(frame, published.ten_seeds().rename(columns=named))
    frame["difference"] = frame["best"] - frame["published_best"]
    comparable = [r is not None and as_published(r.planned) for r in found]
    frame["verdict"] = [
        _verdict(row, ours) for row, ours in zip(frame.to_dict("records"), comparable, strict=True)
    ]
    return frame


def histories(study: Study, part: str = "rq1") -> pd.DataFrame:
    """One row a network and epoch: factors, ``origin``, ``epoch``, ``test_accuracy`` in percent,
    losses; as many epochs of each as there are."""
    frames = []
    for record in filter(None, study.records(part)):
        e = record.planned
        named = {"key": e.key, "dataset": e.dataset, "seed": e.seed, "origin": record.origin,
                 "configuration": e.configuration,
                 **{f: getattr(e, f) for f in FACTORS}}  # fmt: skip
        frames.append(record.history().assign(**named))
    frame = pd.concat(frames, ignore_index=True)
    frame["test_accuracy"] *= 100
    return frame


def sources(frame: pd.DataFrame) -> str:
    """How many networks of a frame of ``accuracy`` are one's own, shipped, whole, in part, lacking:
    the line at the foot of every figure."""
    counts = []
    for origin in (OWN, SHIPPED):
        part = frame[frame["origin"] == origin]
        for (run, planned), same in part.groupby(["epochs_run", "epochs"]):
            cut = (
                f" of {planned:.0f} planned" if run < planned and not same["stopped"].all() else ""
            )
            counts.append(f"{len(same)} {origin} ({run:.0f}{cut} epochs)")
    lacking = int((frame["origin"] == NOT_RUN).sum())
    return ", ".join([*counts, *([f"{lacking} {NOT_RUN}"] if lacking else [])])


def headline(frame: pd.DataFrame, study: Study) -> str:
    """What was trained, in one sentence, from a frame of ``accuracy``."""
    there = frame[frame["origin"] != NOT_RUN]
    sets = ", ".join(there["dataset"].unique())
    seeds = there["seed"].nunique()
    widths = ", ".join(there["widths"].unique())
    return (
        f"{len(there)} of {len(frame)} planned networks, on {sets}; {seeds} "
        f"seed{'s' if seeds > 1 else ''}; layers of {widths} units; {sources(frame)}; profile "
        f"{study.profile.label}"
    )


def _row(planned: Experiment, record: Record | None, limit: int | None) -> dict[str, Any]:
    fields = {
        k: "x".join(map(str, v)) if isinstance(v, list) else v
        for k, v in planned.model_dump(mode="json").items()
    }
    row = {"key": planned.key, "configuration": planned.configuration, **fields}
    if record is None:
        lacking = dict.fromkeys((*ACCURACIES, "epochs_run", "best_epoch"), np.nan)
        return {**row, "origin": NOT_RUN, **lacking, "stopped": False}
    summary = record.summary
    if limit is not None and limit < summary["epochs"]:
        rows = record.history().head(limit).to_dict("records")
        summary = summarise(rows, record.experiment)
    accuracies = {a: np.nan if summary[a] is None else 100.0 * summary[a] for a in ACCURACIES}
    return {
        **row, "precision": record.experiment.precision, "origin": record.origin, **accuracies,
        "epochs_run": summary["epochs"], "best_epoch": summary["best_epoch"],
        "stopped": bool(record.summary["stopped"]),
    }  # fmt: skip


def _common_epochs(found: Sequence[Record | None]) -> dict[str, int]:
    """Data set → the epochs that every network of it was trained for, at least."""
    limits: dict[str, int] = {}
    for record in filter(None, found):
        name, epochs = record.planned.dataset, record.experiment.epochs
        limits[name] = min(epochs, limits.get(name, epochs))
    return limits


def _verdict(row: dict[str, Any], comparable: bool) -> str:
    if row["origin"] == NOT_RUN:
        return published.NOT_RUN
    if comparable and row["epochs_run"] < row["epochs"] and not row["stopped"]:
        return published.IN_PART
    if np.isnan(row["published_last"]):
        return published.verdict(row["best"], row["published_best"], None, comparable)
    band = row["published_last"], row["published_last_std"]
    return published.verdict(row["last"], *band, comparable)


def means(frame: pd.DataFrame, factor: str) -> pd.DataFrame:
    """Mean best accuracy for each level of a factor and each probability, as Table F1 (``norm``)
    and Table F2 (``activation``) print them; the published means follow from Table F3.

    Returns:
        ``dataset``, the factor, ``probability``, ``networks``, ``best_mean``, ``low`` and ``high``
        (95 % t interval over configurations), ``published_mean``, ``difference``.
    """
    rows = []
    for (dataset, level, probability), part in frame.groupby(["dataset", factor, "probability"]):
        low, high = t_interval(part["best"].to_numpy())
        mean, theirs = part["best"].mean(), part["published_best"].mean()
        rows.append(
            {"dataset": dataset, factor: level, "probability": probability, "networks": len(part),
             "best_mean": mean, "low": low, "high": high, "published_mean": theirs,
             "difference": mean - theirs}
        )  # fmt: skip
    order = {level: i for i, level in enumerate(FACTORS[factor])}
    found = pd.DataFrame(rows)
    return found.sort_values(factor, key=lambda c: c.map(order), kind="stable", ignore_index=True)


def comparisons(frame: pd.DataFrame) -> pd.DataFrame:
    """FFA, sigmoid Polar and symmetric Polar compared in pairs: the same data set, seed, norm,
    aggregation, inhibition and activation on both sides.

    Returns:
        ``dataset``, ``first``, ``second``, ``pairs``, ``difference`` (mean of second − first in
        percentage points), ``low`` and ``high`` (95 % bootstrap interval over pairs), ``wins``
        (percent of pairs in which the second is better), ``published_difference``.
    """
    keys = ["seed", *(f for f in FACTORS if f != "probability")]
    rows = []
    for dataset, part in frame.groupby("dataset"):
        ours = part.pivot_table(index=keys, columns="probability", values="best")
        theirs = part.pivot_table(index=keys, columns="probability", values="published_best")
        for first, second in combinations(FACTORS["probability"], 2):
            if not {first, second} <= set(ours):
                continue
            gaps = (ours[second] - ours[first]).dropna().to_numpy()
            if not len(gaps):
                continue
            low, high = bootstrap_interval(gaps)
            published_gap = float("nan")
            if {first, second} <= set(theirs):
                published_gap = (theirs[second] - theirs[first]).mean()
            rows.append(
                {"dataset": dataset, "first": first, "second": second, "pairs": len(gaps),
                 "difference": gaps.mean(), "low": low, "high": high,
                 "wins": 100 * float((gaps > 0).mean()), "published_difference": published_gap}
            )  # fmt: skip
    return pd.DataFrame(rows)


def t_interval(values: np.ndarray) -> tuple[float, float]:
    """95 % t interval of a mean; both ends NaN for fewer than two values."""
    if len(values) < 2:
        return float("nan"), float("nan")
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return float(values.mean() - half), float(values.mean() + half)


def bootstrap_interval(values: np.ndarray) -> tuple[float, float]:
    """95 % percentile bootstrap interval of a mean, with a fixed seed."""
    if len(values) < 2:
        return float("nan"), float("nan")
    draw = np.random.default_rng(0)
    resampled = draw.choice(values, (RESAMPLES, len(values))).mean(axis=1)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return float(low), float(high)


def first_dataset(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the first data set: figures show one at a time, tables all."""
    return frame[frame["dataset"] == frame["dataset"].iloc[0]]
