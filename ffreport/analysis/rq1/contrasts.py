"""Paired contrasts of the probabilities, published ones and plug-ins, over configurations and over
seeds (RQ1).

Frames are those of ``accuracy.accuracy``: one row a planned network. A pair is two networks that
differ only in their probability: same data set, seed, norm, aggregation, inhibition and activation,
and trained equally long. Networks of a seed share initial weights, batches and negatives.
"""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ffcore.config import FACTORS, levels
from ffreport.analysis.estimate import (
    ANSWERS,
    NOT_RUN,
    ROUNDING,
    UNPUBLISHED,
    Estimate,
    beyond_zero,
    judge,
)
from ffreport.analysis.stats import (
    cohens_d,
    holm,
    kendall,
    rank_biserial,
    signed_rank,
    spearman,
)
from ffreport.runs.results import MIXED

OTHERS = [f for f in FACTORS if f != "probability"]
PAIRS = list(combinations(FACTORS["probability"], 2))  # that are published
CONFIGURATION = ["dataset", *FACTORS]
NEAR = (1.0, 3.0)  # percentage points
NEVER = 20.0  # percent: a network whose best accuracy is lower has not learned


def pairs(
    frame: pd.DataFrame, first: str, second: str, column: str = "best",
    published: str = "published_best",
) -> pd.DataFrame:  # fmt: skip
    """One row for each two planned networks that differ only in having one or the other
    probability.

    Returns:
        ``dataset``, the four other factors, ``seed``; ``first`` and ``second``: the column of
        either side, NaN where it was not run; ``gap``: second − first, NaN where one was not run
        or was cut short of the other; ``published_gap``; ``epochs_run``; ``origin`` of the two.
    """
    keys = ["dataset", *OTHERS, "seed"]
    values = [column, published, "epochs_run", "stopped", "origin"]
    a, b = (frame.loc[frame["probability"] == p, [*keys, *values]] for p in (first, second))
    both = a.merge(b, on=keys, suffixes=("_a", "_b"), validate="one_to_one")
    # A network that stopped early would not have run longer; one that was cut short would.
    equal = both["epochs_run_a"] == both["epochs_run_b"]
    equal |= (both["epochs_run_a"] < both["epochs_run_b"]) & both["stopped_a"].astype(bool)
    equal |= (both["epochs_run_b"] < both["epochs_run_a"]) & both["stopped_b"].astype(bool)
    return pd.DataFrame(
        {
            **{k: both[k] for k in keys},
            "first": both[f"{column}_a"],
            "second": both[f"{column}_b"],
            "gap": (both[f"{column}_b"] - both[f"{column}_a"]).where(equal),
            "published_gap": both[f"{published}_b"] - both[f"{published}_a"],
            "epochs_run": both[["epochs_run_a", "epochs_run_b"]].max(axis=1),
            "origin_first": both["origin_a"],
            "origin_second": both["origin_b"],
        }
    )


def compared(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """The pairs of probabilities that a frame has networks of: PAIRS, then those with plug-ins."""
    found = list(combinations(levels("probability", frame["probability"]), 2))
    return [*(p for p in PAIRS if p in found), *(p for p in found if p not in PAIRS)]


def paired(
    frame: pd.DataFrame, column: str = "best", published: str = "published_best"
) -> pd.DataFrame:
    """FFA, sigmoid Polar and symmetric Polar in pairs, over the configurations of a data set.

    The unit is a configuration of the four other factors, averaged over the seeds that both sides
    have.

    Args:
        frame: of ``accuracy.accuracy``, with ``column`` in any unit.
        published: the column of published values whose difference stands beside ours.

    Returns:
        A row a data set and pair of probabilities: ``dataset``, ``first``, ``second``; ``pairs``
        of ``planned``; ``epochs_run``; ``difference`` (mean of second − first, in the column's
        unit) with ``low`` and ``high`` (95 % bootstrap interval over configurations), ``median``;
        ``origin`` of the networks; ``wins`` (percent of pairs in which the second is larger);
        ``rank_biserial`` and ``d_z`` with their intervals; ``p`` (Wilcoxon's signed-rank test)
        and ``p_holm``, adjusted over the whole table; ``published_difference`` over the same
        pairs, ``published_all`` over all that are planned; ``same_direction``: YES, NO, OPEN, or
        why there is none.
    """
    rows: list[dict[str, Any]] = []
    for dataset, part in frame.groupby("dataset", sort=False):
        for first, second in compared(part):
            found = pairs(part, first, second, column, published)
            if len(found):
                rows.append({"dataset": dataset, "first": first, "second": second, **_row(found)})
    table = pd.DataFrame(rows, columns=["dataset", "first", "second", *_row(None)])
    table["p_holm"] = holm(table["p"].to_numpy(float))
    leading = ["dataset", "first", "second", "pairs", "planned", "epochs_run", "difference", "low",
               "high", "published_difference", "same_direction", "p", "p_holm"]  # fmt: skip
    return table[[*leading, *(c for c in table if c not in leading)]]


def by_accuracy(frame: pd.DataFrame) -> pd.DataFrame:
    """``paired`` for ``best``, ``last`` and, where images were held out, ``selected``, one below
    the other with ``accuracy`` first; p-values are adjusted within each. Beside each stands the
    same accuracy of the published runs; beside ``selected`` their best."""
    kinds = [c for c in ("best", "last", "selected") if c == "best" or frame[c].notna().any()]
    theirs = {"last": "published_last"}
    table = pd.concat(
        [paired(frame, c, theirs.get(c, "published_best")).assign(accuracy=c) for c in kinds],
        ignore_index=True,
    )
    return table[["accuracy", *(c for c in table if c != "accuracy")]]


def over_seeds(
    frame: pd.DataFrame, column: str = "best", published: str = "band_best"
) -> pd.DataFrame:
    """The same pairs, each configuration by itself, where at least two seeds have both sides.

    Returns:
        ``dataset``, the four other factors, ``first``, ``second``, ``seeds``, ``difference`` (mean
        over seeds of second − first), ``std`` (sample), ``low`` and ``high`` (95 % t interval),
        ``p`` (paired t test; NaN where the seeds do not differ), ``p_holm`` over the whole table,
        ``published_difference`` (of ten-seed means), ``same_direction``. No rows, and the same
        columns, where no pair has two seeds.
    """
    rows: list[dict[str, Any]] = []
    for first, second in compared(frame):
        found = pairs(frame, first, second, column, published).dropna(subset=["gap"])
        for unit, part in found.groupby(["dataset", *OTHERS], sort=False):
            gaps = part["gap"].to_numpy(float)
            if len(gaps) < 2:
                continue
            spread = gaps.std(ddof=1)
            steady = spread <= 1e-12 * np.abs(gaps).max()
            mean = Estimate.mean(gaps)
            theirs = part["published_gap"].mean()
            rows.append(
                {**dict(zip(["dataset", *OTHERS], unit, strict=True)), "first": first,
                 "second": second, "seeds": len(gaps), **mean.columns("difference"), "std": spread,
                 "p": float("nan") if steady else stats.ttest_1samp(gaps, 0).pvalue,
                 "published_difference": theirs,
                 "same_direction": direction(mean, theirs)}
            )  # fmt: skip
    columns = ["dataset", *OTHERS, "first", "second", "seeds", "difference", "std", "low", "high",
               "p", "published_difference", "same_direction"]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns)
    table.insert(columns.index("p") + 1, "p_holm", holm(table["p"].to_numpy(float)))
    return table


def direction(difference: Estimate, theirs: float) -> str:
    """Whether a difference points where the published one points: YES, NO, OPEN, or why there is no
    answer."""
    if np.isnan(theirs) and not np.isnan(difference.value):
        return UNPUBLISHED
    return judge(difference, beyond_zero(theirs)).word(ANSWERS)


def origin(values: pd.Series | np.ndarray) -> str:
    """OWN, SHIPPED or MIXED of some networks' origins; empty for none."""
    there = set(values) - {NOT_RUN}
    return MIXED if len(there) > 1 else "".join(there)


def in_part(frame: pd.DataFrame) -> pd.Series:
    """Which networks have a result of fewer epochs than were planned, by no early stop; bool."""
    return (frame["epochs_run"] < frame["epochs"]) & ~frame["stopped"].astype(bool)


def flattery(frame: pd.DataFrame) -> pd.DataFrame:
    """How much choosing the epoch by test accuracy flatters: best − last, and best − selected
    where images were held out to select an epoch.

    Means and intervals are over configurations, each averaged over its seeds; beside them stands
    the same difference of the authors' runs after as many epochs. Networks that were cut short
    stand apart: how far accuracy wavers depends on how long they were trained.

    Returns:
        A row a data set, ``trained`` (``as planned`` or ``in part``) and probability, and one for
        ``all``: ``configurations``, ``networks``, ``epochs_run`` (of the longest);
        means ``best``, ``last``, ``selected`` in percent; ``gap`` (best − last, percentage
        points) with ``low``, ``high`` (95 % bootstrap interval), ``largest`` and ``largest_in``
        (the network's configuration); ``selected_gap`` (best − selected) with its interval and
        ``selected_largest``; ``published_gap`` of theirs over the same configurations.
    """
    ran = frame.dropna(subset=["best", "last"])
    ran = ran.assign(
        gap=ran["best"] - ran["last"],
        selected_gap=ran["best"] - ran["selected"],
        published_gap=ran["published_best"] - ran["published_last"],
    )
    ran["trained"] = np.where(in_part(ran), "in part", "as planned")
    rows = []
    for (dataset, trained), part in ran.groupby(["dataset", "trained"], sort=False):
        kinds = levels("probability", part["probability"])
        for kind in ("all", *kinds):
            same = part if kind == "all" else part[part["probability"] == kind]
            named = {"dataset": dataset, "trained": trained, "probability": kind}
            rows.append({**named, **_flattered(same)})
    return pd.DataFrame(rows)


def agreement(frame: pd.DataFrame) -> pd.DataFrame:
    """How far our accuracies order the configurations as the published ones after as many epochs.

    Returns:
        A row an ``accuracy``, best or last, and data set that has results: ``configurations``
        (averaged over their seeds) of ``planned``, ``epochs_run``, ``spearman`` and ``kendall``
        (τ-b) with 95 % bootstrap intervals over configurations (``…_low``, ``…_high``),
        ``mean_difference`` (percentage points), and ``within_1`` and ``within_3``: percent of
        configurations within ±1 and ±3 points.
    """
    rows = []
    for kind, (dataset, part) in product(("best", "last"), frame.groupby("dataset", sort=False)):
        units = part.groupby(CONFIGURATION)[[kind, f"published_{kind}"]].mean()
        both = units.dropna().to_numpy()
        if not len(both):
            continue
        tau, index = kendall(*both.T), np.arange(len(both))
        gaps = both[:, 0] - both[:, 1]
        row: dict[str, Any] = {"accuracy": kind, "dataset": dataset, "configurations": len(both),
                               "planned": len(units),
                               "epochs_run": part["epochs_run"].max()}  # fmt: skip
        for name, values, statistic in (("spearman", both, spearman), ("kendall", index, tau)):
            row |= Estimate.bootstrap(values, statistic).columns(name, f"{name}_")
        row["mean_difference"] = gaps.mean()
        row |= {
            f"within_{near:g}": 100 * float((abs(gaps) <= near * (1 + ROUNDING)).mean())
            for near in NEAR
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _row(found: pd.DataFrame | None) -> dict[str, Any]:
    """What ``paired`` says of the pairs of a data set; None gives the columns."""
    if found is None:
        columns = [*OTHERS, "gap", "published_gap", "epochs_run", "origin_first", "origin_second"]
        found = pd.DataFrame(columns=columns, dtype=float)
    units = found.groupby(OTHERS, sort=False)[["gap", "published_gap", "epochs_run"]].mean()
    ours, used = (f.dropna(subset=["gap"]) for f in (units, found))
    gaps = ours["gap"].to_numpy(float)
    mean, theirs = Estimate.bootstrap(gaps), ours["published_gap"].mean()
    effects: dict[str, float] = {}
    for name, statistic in (("rank_biserial", rank_biserial), ("d_z", cohens_d)):
        effects |= Estimate.bootstrap(gaps, statistic).columns(name, f"{name}_")
    return {
        "pairs": len(gaps), "planned": len(units), "epochs_run": ours["epochs_run"].max(),
        **mean.columns("difference"), "median": ours["gap"].median(),
        "origin": origin(used[["origin_first", "origin_second"]].to_numpy().ravel()),
        "wins": 100 * (gaps > 0).mean() if len(gaps) else float("nan"), **effects,
        "p": signed_rank(gaps), "published_difference": theirs,
        "published_all": units["published_gap"].mean(),
        "same_direction": direction(mean, theirs),
    }  # fmt: skip


def _flattered(networks: pd.DataFrame) -> dict[str, Any]:
    columns = ["best", "last", "selected", "gap", "selected_gap", "published_gap"]
    units = networks.groupby(CONFIGURATION, sort=False)[columns].mean()
    gap, chosen = (Estimate.bootstrap(units[c].dropna().to_numpy(float))
                   for c in ("gap", "selected_gap"))  # fmt: skip
    return {
        "configurations": len(units), "networks": len(networks),
        "epochs_run": networks["epochs_run"].max(),
        **{c: units[c].mean() for c in ("best", "last", "selected")},
        **gap.columns("gap"), "largest": networks["gap"].max(),
        "largest_in": networks.loc[networks["gap"].idxmax(), "configuration"],
        **chosen.columns("selected_gap", "selected_"),
        "selected_largest": networks["selected_gap"].max(),
        "published_gap": units["published_gap"].mean(),
    }  # fmt: skip
