"""How fast networks learn (RQ1; DESIGN 4): convergence area and time, FFA against Polar-FFA."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ffcore.config import levels
from ffreport.analysis import published, stats
from ffreport.analysis.rq1 import contrasts, curves
from ffreport.analysis.rq1.accuracy import NOT_RUN
from ffreport.analysis.rq1.contrasts import NEVER

SHARES = (0.90, 0.95)
MEASURES = ("area", "time", "epochs_90", "epochs_95")
EVERY, LEARNED = "all networks", f"best ≥ {NEVER:g} %"


def networks(frame: pd.DataFrame, histories: pd.DataFrame) -> pd.DataFrame:
    """Convergence of each network, from histories of equal length within a data set and seed.

    Args:
        frame: of ``accuracy.accuracy``, levelled, so that ``epochs_run`` says where to cut.
        histories: of ``accuracy.histories``.

    Returns:
        The rows of ``frame``, those that were not run included, with ``area`` and ``time`` (see
        ``stats.convergence``, fractions of the epochs that are looked at), ``epochs_90`` and
        ``epochs_95``: epochs, from 1, until 90 and 95 % of the network's own last accuracy were
        first reached; ``learned``: best accuracy of at least NEVER percent; ``published_area`` and
        ``published_time`` of the authors' run on the counterpart data set after as many epochs.
    """
    ours = levelled(frame, histories).sort_values("epoch").groupby("key")["test_accuracy"]
    found = {str(key): _measures(values.to_numpy(float)) for key, values in ours}
    rows = [found.get(key, dict.fromkeys(MEASURES, np.nan)) for key in frame["key"]]
    measured = pd.concat(
        [frame.reset_index(drop=True), pd.DataFrame(rows, columns=list(MEASURES))], axis=1
    )
    measured["learned"] = measured["best"] >= NEVER
    ran, every = (measured.groupby(keys)["epochs_run"].transform("max")
                  for keys in (["dataset", "seed"], "dataset"))  # fmt: skip
    after = ran.fillna(every).fillna(50).astype(int)
    parts = []
    for (dataset, epochs), part in measured.groupby(["dataset", after], sort=False):
        theirs = curves.convergence(published.counterpart(str(dataset)), int(epochs))
        parts.append(published.beside_published(part, theirs).set_axis(part.index))
    return pd.concat(parts).sort_index()


def levelled(frame: pd.DataFrame, histories: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``histories`` up to the epoch to which ``frame`` was levelled."""
    limit = histories["key"].map(frame.set_index("key")["epochs_run"])
    return histories[histories["epoch"] <= limit]


def comparison(found: pd.DataFrame) -> pd.DataFrame:
    """Area and time of the three probabilities in pairs, with and without the networks that never
    learn.

    Such a network is at its best at once, so that its area and time are small: counted in, it
    makes the probability that fails most look the fastest.

    Args:
        found: of ``networks``.

    Returns:
        The columns of ``contrasts.paired``, after ``measure`` and ``networks`` (EVERY or LEARNED:
        pairs of which both sides learned). ``wins`` is the percentage of pairs in which the second
        is slower. p-values are adjusted within a measure and choice of networks. Published
        differences are over those of the pairs that were published.
    """
    parts = []
    for name, part in ((EVERY, found), (LEARNED, found[found["learned"] | _lacking(found)])):
        for measure in MEASURES:
            theirs = f"published_{measure}"
            given = part if theirs in part else part.assign(**{theirs: np.nan})
            table = contrasts.paired(given, measure, theirs)
            parts.append(table.assign(measure=measure, networks=name))
    # An empty table has columns of no type, which older versions of pandas warn of.
    table = pd.concat([p for p in parts if len(p)] or parts[:1], ignore_index=True)
    order = ["measure", "networks"]
    return table[[*order, *(c for c in table if c not in order)]]


def means(found: pd.DataFrame) -> pd.DataFrame:
    """Mean area, time and epochs to 90 and 95 % by data set, probability and whether networks
    learned; ``networks`` is how many."""
    rows: list[dict[str, Any]] = []
    ran = found[~_lacking(found)]
    for (dataset, learned), part in ran.groupby(["dataset", "learned"], sort=False):
        for probability in levels("probability", part["probability"]):
            same = part[part["probability"] == probability]
            rows.append(
                {"dataset": dataset, "learned": "yes" if learned else f"below {NEVER:g} %",
                 "probability": probability, "networks": len(same),
                 "epochs_run": same["epochs_run"].max(),
                 **{m: same[m].mean() for m in MEASURES}}
            )  # fmt: skip
    return pd.DataFrame(rows)


def _lacking(found: pd.DataFrame) -> pd.Series:
    return found["origin"] == NOT_RUN


def _measures(accuracies: np.ndarray) -> dict[str, float]:
    """Of one history of accuracies in percent [T]."""
    area, time = stats.convergence(accuracies / 100)
    reached = {
        f"epochs_{100 * share:.0f}": int(np.argmax(accuracies >= share * accuracies[-1])) + 1
        for share in SHARES
    }
    return {"area": area, "time": time, **reached}
