"""Our learning curves beside the authors', network by network: the sharpest check on training.

A best accuracy hides how a network got there. The distance between two curves is the root mean
square of their differences over the epochs that both have. How far two seeds of one configuration
lie apart is known of 18 configurations, from the authors' ten runs of each; a network that is
farther from their curve than 95 % of those pairs are from each other is named.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from ffcore.config import FACTORS
from ffreport.analysis import published, stats
from ffreport.base import words

KEYS = ["dataset", *FACTORS]
RANGE = 0.95  # of the distances between pairs of the authors' seeds
LOST = 5.0  # percentage points from best to last: a network that loses more has collapsed
OWN_SEEDS, LIKE = "its own seeds", "seeds of the same activation"
PLACES = ["dataset", "configuration", "seed"]


def networks(frame: pd.DataFrame, histories: pd.DataFrame) -> pd.DataFrame:
    """Each network that has a result and a published counterpart, beside the authors' run of it.

    Args:
        frame: of ``accuracy.accuracy``, not levelled.
        histories: of ``accuracy.histories``.

    Returns:
        ``dataset``, ``configuration``, ``seed``, ``epochs_run``, ``origin``, ``precision``,
        ``verdict``, the factors; ``distance`` between ours and theirs and its ``range`` (95 % of
        the pairs of seeds; NaN where no seeds were published), in percentage points; ``of``: whose
        seeds; ``outside``: whether the distance is larger; ``lost`` and ``published_lost``: best
        minus last; ``collapsed`` and ``published_collapsed``: more than LOST of it.
    """
    ours = {key: part["test_accuracy"].to_numpy() for key, part in histories.groupby("key")}
    theirs = _published()
    rows = []
    for r in frame[frame["key"].isin(ours)].to_dict("records"):
        place = (published.counterpart(r["dataset"]), *(r[f] for f in FACTORS))
        if place not in theirs:
            continue
        a, b = _equal(ours[r["key"]], theirs[place])
        limit, whose = _range(place, len(a))
        distance, lost = _distance(a, b), [float(c.max() - c[-1]) for c in (a, b)]
        rows.append(
            {**{c: r[c] for c in PLACES}, "epochs_run": len(a), "distance": distance,
             "range": limit, "of": whose, "outside": bool(distance > limit), "lost": lost[0],
             "published_lost": lost[1], "collapsed": lost[0] > LOST,
             "published_collapsed": lost[1] > LOST,
             **{c: r[c] for c in ("origin", "precision", "verdict", *FACTORS)}}
        )  # fmt: skip
    columns = [*PLACES, "epochs_run", "distance", "range", "of", "outside", "lost",
               "published_lost", "collapsed", "published_collapsed", "origin", "precision",
               "verdict", *FACTORS]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def counts(found: pd.DataFrame) -> pd.DataFrame:
    """A row a data set and number of epochs: ``networks``, of which ``judged`` have a range;
    ``inside`` of those; the median ``distance``; how many ``collapsed``, ours and theirs."""
    rows = []
    for (dataset, epochs), part in found.groupby(["dataset", "epochs_run"], sort=False):
        judged = part[part["range"].notna()]
        rows.append(
            {"dataset": dataset, "epochs_run": epochs, "networks": len(part),
             "judged": len(judged), "inside": int((~judged["outside"]).sum()),
             "distance": part["distance"].median(), "collapsed": int(part["collapsed"].sum()),
             "published_collapsed": int(part["published_collapsed"].sum())}
        )  # fmt: skip
    return pd.DataFrame(rows)


def convergence(dataset: str, epochs: int) -> pd.DataFrame:
    """Convergence area and time of the authors' runs after so many epochs: the factors,
    ``published_area`` and ``published_time``, see ``stats.convergence``."""
    rows = []
    for r in published.curves().to_dict("records"):
        if r["dataset"] == dataset:
            area, time = stats.convergence(r["curve"][:epochs] / 100)
            named = {"published_area": area, "published_time": time}
            rows.append({**{k: r[k] for k in KEYS}, **named})
    columns = ["published_area", "published_time"]
    return pd.DataFrame(rows, columns=[*KEYS, *columns]).astype(dict.fromkeys(columns, float))


def seed_band(place: tuple[str, ...], epochs: int) -> np.ndarray | None:
    """Lowest and highest accuracy of the authors' seeds after each epoch, [2, epochs], or None.

    Args:
        place: published data set and factors.
    """
    runs = [c[:epochs] for c in _seeds().get(place, ()) if len(c) >= epochs]
    return np.array([np.min(runs, axis=0), np.max(runs, axis=0)]) if runs else None


def published_curve(place: tuple[str, ...]) -> np.ndarray:
    """The authors' run of a configuration, in percent; ``place`` as in ``seed_band``."""
    return _published()[place]


def summary(found: pd.DataFrame) -> str:
    """A frame of ``networks`` in sentences, as Markdown."""
    if found.empty:
        return words.bullets([], "No network has a published curve to lie beside.")
    lines = []
    for r in counts(found).to_dict("records"):
        judged = (
            f"{r['inside']} of the {r['judged']} lie as near to the authors' curve as 95 % of their"
            " own seeds lie to each other"
            if r["judged"] else "no seeds were published to judge the distance by"
        )  # fmt: skip
        lines.append(
            f"**{r['dataset']}**, {r['networks']} networks after {r['epochs_run']} epochs: "
            f"{judged}; the median distance is {r['distance']:.1f} points."
        )
    for r in found[found["outside"]].sort_values("distance", ascending=False).to_dict("records"):
        lines.append(
            f"Outside on {r['dataset']}: {r['configuration']}, seed {r['seed']}, {r['origin']}, "
            f"{r['precision']}: {r['distance']:.1f} points over {r['epochs_run']} epochs, where 95 "
            f"% of {r['of']} are within {r['range']:.1f}."
        )
    return words.bullets(lines)


def collapses(found: pd.DataFrame) -> str:
    """Every network of ``networks`` that loses more than LOST points from its best epoch to its
    last, ours and theirs, as Markdown."""
    fallen = found[found["collapsed"] | found["published_collapsed"]]
    lines = [
        f"{r['dataset']} {r['configuration']}, seed {r['seed']}, {r['epochs_run']} epochs: ours "
        f"loses {r['lost']:.1f} points ({r['origin']}, {r['precision']}), theirs "
        f"{r['published_lost']:.1f}."
        for r in fallen.sort_values("lost", ascending=False).to_dict("records")
    ]
    return words.bullets(lines, f"No network loses more than {LOST:g} points, ours or theirs.")


def _equal(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    epochs = min(len(a), len(b))
    return a[:epochs], b[:epochs]


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2)))


@cache
def _published() -> dict[tuple[str, ...], np.ndarray]:
    return {tuple(r[k] for k in KEYS): r["curve"] for r in published.curves().to_dict("records")}


@cache
def _seeds() -> dict[tuple[str, ...], list[np.ndarray]]:
    found: dict[tuple[str, ...], list[np.ndarray]] = {}
    for r in published.seed_curves().to_dict("records"):
        if not r["misfiled"]:
            found.setdefault(tuple(r[k] for k in KEYS), []).append(r["curve"])
    return found


@cache
def _pairs(place: tuple[str, ...], epochs: int) -> list[float]:
    """Distances between each two of the authors' seeds of a configuration."""
    runs = [c[:epochs] for c in _seeds().get(place, ()) if len(c) >= epochs]
    return [_distance(a, b) for a, b in combinations(runs, 2)]


@cache
def _range(place: tuple[str, ...], epochs: int) -> tuple[float, Any]:
    """The distance within which RANGE of the pairs of seeds lie, and whose seeds: those of the
    configuration, else of all on its data set with its activation. How far seeds lie apart is a
    matter of the activation first: half a point with ReLU and tanh, up to 60 with sigmoid."""
    if pairs := _pairs(place, epochs):
        return float(np.quantile(pairs, RANGE)), OWN_SEEDS
    at = KEYS.index("activation")
    like = [p for p in _seeds() if (p[0], p[at]) == (place[0], place[at])]
    pairs = [d for p in like for d in _pairs(p, epochs)]
    return (float(np.quantile(pairs, RANGE)), LIKE) if pairs else (float("nan"), "")
