"""The polarity view of RQ2: how both groups of units answer to positive and negative samples.

FFA networks have positive units only; of them there are no rows for negative units.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ffcore.config import FACTORS, Experiment
from ffreport.analysis.rq2 import latents, measures, taxonomy
from ffreport.analysis.stats import t_interval
from ffreport.base.words import count
from ffreport.runs.store import Run
from ffreport.study.study import Study, identity, network

Floats = NDArray[np.floating[Any]]

GROUPS = ("positive", "negative")  # of units, in their order in a layer
SAMPLES = ("positive", "negative")
MEASURES = ("activity", "goodness")


def selectivity(means: ArrayLike) -> Floats:
    """Class selectivity of n units from their mean activity by class, [classes, n] ≥ 0.

    (largest class mean − mean of the others) / (their sum): 1 for a unit that answers to a single
    class, 0 for one that answers to all alike, nan for one that never answers; [n] in [0, 1].

    Source: Morcos et al. 2018, "On the importance of single directions for generalization".
    """
    m = np.asarray(means, dtype=np.float64)
    if m.ndim != 2 or len(m) < 2 or not np.isfinite(m).all() or (m < 0).any():
        raise ValueError(f"means {list(m.shape)} are not [classes ≥ 2, n], finite and ≥ 0")
    largest = m.max(axis=0)
    others = (m.sum(axis=0) - largest) / (len(m) - 1)
    total = largest + others
    index = np.clip((largest - others) / np.where(total > 0, total, 1), 0, 1)
    return np.where(total > 0, index, np.nan)


def class_means(activity: ArrayLike, classes: ArrayLike) -> Floats:
    """Mean activity [c, n] of each class that occurs, from activity [N, n] and classes [N]."""
    h, c = np.asarray(activity), np.unique(np.asarray(classes), return_inverse=True)[1]
    member = np.eye(c.max() + 1)[c]
    return np.asarray(member.T @ h / member.sum(axis=0)[:, None])


def unit_table(found: latents.Latents, positive_units: int, seed: int = 0) -> pd.DataFrame:
    """One row a unit and kind of sample, from latents whose first so many units are positive.

    Activity is |h|, as goodness sees it: tanh units answer with both signs.

    Returns:
        ``unit``, ``group`` (of GROUPS), ``sample`` (of SAMPLES), ``activity`` (mean |h|),
        ``active`` (share of samples in which |h| exceeds 0.05 of the layer's largest), ``used``
        (whether the unit's sum over all samples exceeds 1 % of the largest unit's), ``selectivity``
        by the image's class, ``chance`` (selectivity after classes were shuffled once, by ``seed``:
        the largest of a few noisy means is above the others, too).
    """
    h = np.abs(found.values)
    sums, largest = h.sum(axis=0, dtype=np.float64), h.max(initial=0)
    used = (sums > measures.USED * sums.max()) & (sums > 0)
    rng, frames = np.random.default_rng(seed), []
    for sample, rows in zip(SAMPLES, (found.positive, ~found.positive), strict=True):
        part, classes = h[rows], found.true_class[rows]
        frames.append(pd.DataFrame({
            "unit": np.arange(h.shape[1]),
            "group": np.where(np.arange(h.shape[1]) < positive_units, *GROUPS),
            "sample": sample,
            "activity": part.mean(axis=0, dtype=np.float64),
            "active": (part > taxonomy.ACTIVE * largest).mean(axis=0),
            "used": used,
            "selectivity": selectivity(class_means(part, classes)),
            "chance": selectivity(class_means(part, rng.permutation(classes))),
        }))  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def group_goodness(h: ArrayLike, experiment: Experiment) -> Floats:
    """Goodness [N] of one group's activations [N, n], as the network is trained: its norm and
    aggregation, and after inhibition where it has any (the mean divides by all n units)."""
    import torch

    from ffcore import goodness

    units = torch.as_tensor(np.asarray(h, dtype=np.float32))[None]
    n = units.shape[-1]
    if experiment.inhibition == "wta":
        units = goodness.winners(units, min(experiment.wta_k, n))[0]
    scale = torch.tensor([[goodness.aggregation_scale(experiment.aggregation, n)]])
    return goodness.goodness(units, experiment.norm, scale)[0].numpy().astype(np.float64)


def units(study: Study, run: Run) -> pd.DataFrame:
    """``unit_table`` of one network's layer 1, kept by content, with ``goodness`` in every row: the
    mean of its whole group's over such samples."""

    def compute() -> pd.DataFrame:
        e, found = network(run), latents.latents(study, run)
        split = e.groups(e.widths[0])[0]
        frame = unit_table(found, split)
        parts = zip(GROUPS, (found.values[:, :split], found.values[:, split:]), strict=True)
        means: dict[tuple[str, str], float] = {}
        for group, part in parts:
            if part.shape[1] == 0:
                continue
            value = group_goodness(part, e)
            means |= {(group, "positive"): value[found.positive].mean(),
                      (group, "negative"): value[~found.positive].mean()}  # fmt: skip
        pairs = zip(frame["group"], frame["sample"], strict=True)
        return frame.assign(goodness=[means[pair] for pair in pairs])

    return study.cached("units", {"images": study.profile.rq2.images}, compute, run)


def networks(study: Study) -> pd.DataFrame:
    """One row a network, group of units and kind of sample; see ``by_group``, with the network's
    factors and the paper's ``family``."""
    frames = []
    for run in study.networks:
        named = identity(run)
        of = taxonomy.family(**{f: named[f] for f in FACTORS}).structure
        frames.append(by_group(units(study, run)).assign(**named, family=of))
    frame = pd.concat(frames, ignore_index=True)
    first = [*identity(study.networks[0]), "family"]
    return frame[[*first, *(c for c in frame if c not in first)]]


def shown(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of a frame of ``networks`` that figures and intervals are of: the first data set,
    and of each configuration the first network, so that none counts more for having more seeds."""
    first = frame[frame["dataset"] == frame["dataset"].iloc[0]]
    keys = first.drop_duplicates("configuration")["key"]
    return first[first["key"].isin(keys)]


def by_group(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame of ``units`` by group and kind of sample.

    Returns:
        ``group``, ``sample``, ``units`` (their number), means over units of ``activity``,
        ``active``, ``used``, ``selectivity`` and ``chance`` (the last two over units that answer),
        ``goodness``, and ``relative_activity``, ``relative_goodness``: the same over the mean of
        the network's groups and samples, so that networks compare (nan where all are 0).
    """
    found = frame.groupby(["group", "sample"], sort=False, as_index=False).agg(
        units=("unit", "nunique"),
        **{c: (c, "mean") for c in ("activity", "goodness", "active", "used", "selectivity",
                                    "chance")},
    )  # fmt: skip
    for measure in MEASURES:
        mean = found[measure].mean()
        found[f"relative_{measure}"] = found[measure] / (mean if mean > 0 else np.nan)
    return found


def contrasts(frame: pd.DataFrame) -> pd.DataFrame:
    """How far each group of units tells the samples apart, from a frame of ``networks``.

    Returns:
        one row a network and group: identity, ``family``, ``group``, and of each of MEASURES
        ``<measure>_contrast``: (positive − negative samples) / (their sum), in [−1, 1]; 1 where
        only positive samples move the group.
    """
    named = [c for c in ("key", "configuration", "dataset", "seed", *FACTORS, "family", "group")
             if c in frame]  # fmt: skip
    wide = frame.set_index([*named, "sample"])[list(MEASURES)].unstack("sample")
    found = {}
    for measure in MEASURES:
        up, down = wide[(measure, "positive")], wide[(measure, "negative")]
        total = up + down
        found[f"{measure}_contrast"] = (up - down) / total.where(total > 0)
    return pd.DataFrame(found).reset_index()


def families(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over the networks of a family, with 95 % t intervals, from a frame of ``networks``.

    Returns:
        one row a family, group and kind of sample: ``networks``, and for the relative activity, the
        shares ``active`` and ``used``, ``selectivity`` and ``chance`` the mean and its ``…_low``
        and ``…_high`` (nan for a single network).
    """
    columns = (
        "relative_activity",
        "relative_goodness",
        "active",
        "used",
        "selectivity",
        "chance",
    )
    order = {f: i for i, f in enumerate(taxonomy.FAMILIES)}
    rows = []
    for (of, group, sample), part in frame.groupby(["family", "group", "sample"], sort=False):
        row = {"family": of, "group": group, "sample": sample, "networks": len(part)}
        for column in columns:
            values = part[column].dropna()
            low, high = t_interval(values)
            row |= {column: values.mean(), f"{column}_low": low, f"{column}_high": high}
        rows.append(row)
    found = pd.DataFrame(rows)
    place = found["family"].map(order) * 4 + (found["group"] == "negative") * 2
    return found.loc[(place + (found["sample"] == "negative")).sort_values().index].reset_index(
        drop=True
    )


def activity_words(frame: pd.DataFrame) -> str:
    """In how many networks each group answers to its own kind of sample more, in words, from a
    frame of ``contrasts``."""
    parts = []
    for of in taxonomy.FAMILIES:
        for group, sign in zip(GROUPS, (1, -1), strict=True):
            values = frame[(frame["family"] == of) & (frame["group"] == group)]
            there = len(values)
            values = values["goodness_contrast"].dropna()
            if there == 0:
                continue
            silent = f"; {there - len(values)} more never answer" if len(values) < there else ""
            low, high = t_interval(values)
            span = f", interval {low:+.2f} to {high:+.2f}" if len(values) > 1 else ""
            mean = f" (mean contrast {values.mean():+.2f}{span}{silent})" if len(values) else silent
            parts.append(
                f"{of}, {group} units: {int((sign * values > 0).sum())} of "
                f"{count(len(values), 'network')}{mean}"
            )
    return "Groups with more goodness under samples of their own sign: " + "; ".join(parts) + "."


def selectivity_words(frame: pd.DataFrame) -> str:
    """Mean class selectivity beside chance and the share of units in use, by family, in words."""
    parts = []
    for row in families(frame).to_dict("records"):
        if row["sample"] == "positive":
            parts.append(
                f"{row['family']}, {row['group']} units {row['selectivity']:.2f} (chance "
                f"{row['chance']:.2f}, {100 * row['used']:.0f} % of units used)"
            )
    return "Mean class selectivity over positive samples: " + "; ".join(parts) + "."
