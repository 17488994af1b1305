"""RQ1: accuracy and learning curves of a study's networks beside the published figures."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from ffcore import published
from ffcore.config import FACTORS
from ffcore.store import history_table, summary_table
from ffcore.study import Study, as_published, beside_published, network

ACCURACIES = ("best", "last", "selected")
RESAMPLES = 9999


def accuracy(study: Study) -> pd.DataFrame:
    """One row a network: its fields, ``best``, ``last`` and ``selected`` test accuracy in percent;
    of the counterpart data set ``published_best`` (Table F3, one seed), ``difference`` (best −
    published_best) in percentage points, and ``published_last`` ± ``published_last_std`` of ten
    seeds where the authors' logs have them; ``verdict`` on ``last`` against that band, or on
    ``best`` where a single seed was published."""
    frame = summary_table(study.networks)
    frame[list(ACCURACIES)] = frame[list(ACCURACIES)].astype(float) * 100
    frame = beside_published(frame, published.best_accuracy())
    seeds = published.ten_seeds().drop(columns=["best_mean", "best_std"])
    named = {"last_mean": "published_last", "last_std": "published_last_std"}
    frame = beside_published(frame, seeds.rename(columns=named))
    frame["difference"] = frame["best"] - frame["published_best"]
    comparable = {r.experiment.key: as_published(network(r)) for r in study.networks}
    frame["verdict"] = [
        published.verdict(r["best"], r["published_best"], None, comparable[r["key"]])
        if np.isnan(r["published_last"])
        else published.verdict(
            r["last"], r["published_last"], r["published_last_std"], comparable[r["key"]]
        )
        for r in frame.to_dict("records")
    ]
    return frame


def histories(study: Study) -> pd.DataFrame:
    """One row a network and epoch: factors, ``epoch``, ``test_accuracy`` in percent, losses."""
    frame = history_table(study.networks)
    frame["test_accuracy"] *= 100
    columns = ["key", "dataset", "seed", "configuration", *FACTORS]
    return frame.merge(summary_table(study.networks)[columns], on="key")


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


def headline(study: Study) -> str:
    """What was trained, in one sentence."""
    experiments = [network(r) for r in study.networks]
    sets = ", ".join(dict.fromkeys(e.dataset for e in experiments))
    seeds = sorted({e.seed for e in experiments})
    widths = ", ".join(dict.fromkeys("×".join(map(str, e.widths)) for e in experiments))
    epochs = ", ".join(dict.fromkeys(str(e.epochs) for e in experiments))
    planned = len(study.profile.networks())
    missing = "" if len(experiments) == planned else f" of {planned} planned"
    return (
        f"{len(experiments)} networks{missing} on {sets}; {len(seeds)} seed"
        f"{'s' if len(seeds) > 1 else ''} a configuration; layers of {widths} units; {epochs} "
        f"epochs; profile {study.profile.label}"
    )
