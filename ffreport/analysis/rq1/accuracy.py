"""RQ1: accuracy and learning curves of a study's networks beside the published figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pandas as pd

from ffcore.config import FACTORS, Experiment, Precision, legal
from ffcore.errors import ConfigError
from ffreport.analysis import published
from ffreport.analysis.estimate import NOT_RUN, Estimate
from ffreport.analysis.published import as_published, beside_published
from ffreport.analysis.rq1 import contrasts, verdicts
from ffreport.base import words
from ffreport.runs.results import OWN, SHIPPED, Result
from ffreport.study.study import Study

ACCURACIES = ("best", "last", "selected")


def accuracy(study: Study, part: str = "rq1", level: bool = False) -> pd.DataFrame:
    """One row a planned network: what it is, what stands for it, and the published figures.

    ``origin`` is ``own``, ``shipped`` or ``not run``; ``epochs`` are planned and ``epochs_run``
    trained, in ``precision``. ``best``, ``last`` and ``selected`` are test accuracies in percent,
    NaN where there is none. Of the counterpart data set, after as many epochs as ours:
    ``published_best`` and ``published_last`` (one seed; after 50 epochs the best is Table F3's) and
    ``difference`` (best − published_best) in percentage points, and the mean and sample standard
    deviation of ten seeds where the authors' logs have them, ``band_last`` ± ``band_last_std`` and
    ``band_best`` ± ``band_best_std``. ``verdict`` is on ``last`` against that band, or on ``best``
    where a single seed was published.

    Args:
        part: of the profile.
        level: cut every history to the epochs that all networks of its data set and seed have, so
            that networks of a grid that was trained in part can be compared; ``epochs_run`` says
            where.

    Raises:
        ConfigError: two networks of RQ1 have the same factors, data set and seed.
    """
    planned = study.profile.networks(part)
    if part == "rq1":
        _require_distinct(planned)
    found = study.trained(part)
    limits = _common_epochs(found) if level else {}
    frame = pd.DataFrame(
        [_row(p, r, limits.get((p.dataset, p.seed))) for p, r in zip(planned, found, strict=True)]
    )
    frame["comparable"] = [r is not None and as_published(r.planned) for r in found]
    frame = _at_equal_epochs(frame)
    frame["difference"] = frame["best"] - frame["published_best"]
    banded = frame["band_last"].notna()
    ours = frame["last"].where(banded, frame["best"])
    theirs = frame["band_last"].where(banded, frame["published_best"])
    beside = zip(ours, theirs, frame["band_last_std"], frame["comparable"], strict=True)
    frame["verdict"] = [verdicts.in_band(*one) for one in beside]
    return frame.drop(columns="comparable")


def _at_equal_epochs(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with the published accuracies after as many epochs; after all of theirs where ours
    stopped early, or was not run."""
    named = {"last_mean": "band_last", "last_std": "band_last_std",
             "best_mean": "band_best", "best_std": "band_best_std"}  # fmt: skip
    limits = frame["epochs_run"].where(~frame["stopped"].astype(bool)).fillna(0).astype(int)
    parts = []
    for limit, part in frame.assign(place=range(len(frame))).groupby(limits):
        seeds = published.ten_seeds(limit or None).drop(columns="seeds").rename(columns=named)
        beside = beside_published(part, published.best_accuracy(limit or None))
        parts.append(beside_published(beside, seeds))
    return pd.concat(parts).sort_values("place", ignore_index=True).drop(columns="place")


def histories(study: Study, part: str = "rq1") -> pd.DataFrame:
    """One row a network and epoch: factors, ``origin``, ``epoch``, ``test_accuracy`` in percent,
    losses; as many epochs of each as there are."""
    frames = []
    for record in filter(None, study.trained(part)):
        e = record.planned
        named = {"key": e.key, "dataset": e.dataset, "seed": e.seed, "origin": record.origin,
                 "configuration": e.configuration,
                 **{f: getattr(e, f) for f in FACTORS}}  # fmt: skip
        frames.append(record.table("history").assign(**named))
    frame = pd.concat(frames, ignore_index=True)
    frame["test_accuracy"] *= 100
    return frame


def precisions(study: Study, part: str = "rq1") -> pd.DataFrame:
    """Networks that were trained in fp32 and in another number format, for as many epochs.

    Returns:
        ``dataset``, ``configuration``, ``seed``, ``precision`` (the other format), ``epochs``;
        ``last_fp32``, ``last`` and ``difference`` (other − fp32), ``best_fp32`` and ``best`` in
        percent; ``band_last_std`` over ten seeds, NaN where there is none.
    """
    rows = []
    for e in study.profile.networks(part):
        results = {
            p: study.results.exact(e.model_copy(update={"precision": p}))
            for p in get_args(Precision)
        }
        for precision, ours in results.items():
            if (full := results["fp32"]) and ours and precision != "fp32":
                row = {**{f: getattr(e, f) for f in FACTORS}, "dataset": e.dataset,
                       "configuration": e.configuration, "seed": e.seed, "precision": precision,
                       "epochs": ours.summary["epochs"]}  # fmt: skip
                for name in ("last", "best"):
                    row[f"{name}_fp32"] = 100 * full.summary[name]
                    row[name] = 100 * ours.summary[name]
                rows.append({**row, "difference": row["last"] - row["last_fp32"]})
    columns = ["dataset", "configuration", "seed", "precision", "epochs", "last_fp32", "last",
               "difference", "best_fp32", "best", "band_last_std"]  # fmt: skip
    if not rows:
        return pd.DataFrame(columns=columns)
    parts = []
    for epochs, part in pd.DataFrame(rows).groupby("epochs"):
        seeds = published.ten_seeds(int(epochs))[["dataset", *FACTORS, "last_std"]]
        parts.append(beside_published(part, seeds.rename(columns={"last_std": "band_last_std"})))
    return pd.concat(parts, ignore_index=True)[columns]


def sources(frame: pd.DataFrame) -> str:
    """How many networks of a frame of ``accuracy`` are one's own, shipped, whole, in part, lacking:
    the line at the foot of every figure."""
    counts = []
    for origin in (OWN, SHIPPED):
        part = frame[frame["origin"] == origin]
        early = (part["epochs_run"] < part["epochs"]) & part["stopped"].astype(bool)
        for (run, planned), same in part[~early].groupby(["epochs_run", "epochs"]):
            cut = f" of {planned:.0f} planned" if run < planned else ""
            counts.append(f"{len(same)} {origin} ({run:.0f}{cut} epochs)")
        if early.any():
            span = words.span(part.loc[early, "epochs_run"], ".0f")
            counts.append(f"{early.sum()} {origin} (stopped early, {span} epochs)")
    lacking = int((frame["origin"] == NOT_RUN).sum())
    return ", ".join([*counts, *([f"{lacking} {NOT_RUN}"] if lacking else [])])


def headline(frame: pd.DataFrame, study: Study) -> str:
    """What was trained, in one sentence, from a frame of ``accuracy``."""
    there = frame[frame["origin"] != NOT_RUN]
    sets = ", ".join(there["dataset"].unique())
    seeds = there["seed"].nunique()
    widths = ", ".join(there["widths"].unique())
    alone = [name for name in frame["dataset"].unique() if not published.covers(name)]
    beside = f". The papers publish no figure for {', '.join(alone)}" if alone else ""
    return (
        f"{len(there)} of {len(frame)} planned networks, on {sets}; {words.count(seeds, 'seed')}; "
        f"layers of {widths} units; {sources(frame)}; profile {study.profile.label}{beside}"
    )


def _require_distinct(planned: Sequence[Experiment]) -> None:
    """Raise ConfigError where a setting tells networks apart that RQ1 would take for one."""
    seen: dict[tuple[Any, ...], Experiment] = {}
    for e in planned:
        other = seen.setdefault((e.dataset, e.configuration, e.seed), e)
        if other != e:
            differing = [f for f in Experiment.model_fields if getattr(e, f) != getattr(other, f)]
            raise ConfigError(
                f"rq1 of the profile has {e.configuration} on {e.dataset} with two values of "
                f"{' and '.join(differing)}; vary a setting under `choices:`, which compares them"
            )


def _row(planned: Experiment, record: Result | None, limit: int | None) -> dict[str, Any]:
    fields = {
        k: "x".join(map(str, v)) if isinstance(v, list) else v
        for k, v in planned.model_dump(mode="json").items()
    }
    row = {"key": planned.key, "configuration": planned.configuration, **fields}
    if record is None:
        lacking = dict.fromkeys((*ACCURACIES, "epochs_run", "best_epoch"), np.nan)
        return {**row, "origin": NOT_RUN, **lacking, "stopped": False}
    summary, stopped = record.summary, bool(record.summary["stopped"])
    if limit is not None and limit < summary["epochs"]:
        from ffcore.train import summarise

        rows = record.table("history").head(limit).to_dict("records")
        summary, stopped = summarise(rows, record.experiment), False
    accuracies = {a: np.nan if summary[a] is None else 100.0 * summary[a] for a in ACCURACIES}
    return {
        **row, "precision": record.experiment.precision, "origin": record.origin, **accuracies,
        "epochs_run": summary["epochs"], "best_epoch": summary["best_epoch"],
        "stopped": stopped,
    }  # fmt: skip


def _common_epochs(found: Sequence[Result | None]) -> dict[tuple[str, int], int]:
    """Data set and seed → the epochs that every network of it was trained for, at least."""
    limits: dict[tuple[str, int], int] = {}
    for record in filter(None, found):
        of, epochs = (record.planned.dataset, record.planned.seed), record.experiment.epochs
        limits[of] = min(epochs, limits.get(of, epochs))
    return limits


def means(frame: pd.DataFrame, factor: str) -> pd.DataFrame:
    """Mean best accuracy for each level of a factor and each probability, as Table F1 (``norm``)
    and Table F2 (``activation``) print them; the published means follow from Table F3.

    A configuration counts once, with its mean over seeds.

    Returns:
        ``dataset``, the factor, ``probability``; ``networks``: configurations with a result, of
        ``planned``; ``best_mean``, ``low`` and ``high`` (95 % t interval over configurations);
        ``published_mean`` over the same configurations, ``difference``, and ``published_all``
        over all that are planned; ``origin`` of the networks.
    """
    rows = []
    units = frame.groupby(["dataset", *FACTORS], sort=False)[["best", "published_best"]].mean()
    keys = ["dataset", factor, "probability"]
    origins = frame.groupby(keys)["origin"].agg(contrasts.origin).to_dict()
    for (dataset, level, probability), part in units.groupby(keys, sort=False):
        ran = part.dropna(subset=["best"])
        mean, theirs = Estimate.mean(ran["best"]), ran["published_best"].mean()
        rows.append(
            {"dataset": dataset, factor: level, "probability": probability, "networks": len(ran),
             "planned": len(part), **mean.columns("best_mean"),
             "published_mean": theirs, "difference": mean.value - theirs,
             "published_all": part["published_best"].mean(),
             "origin": origins.get((dataset, level, probability), "")}
        )  # fmt: skip
    order = {f: legal(f) for f in FACTORS} | {"dataset": tuple(frame["dataset"].unique())}
    found = pd.DataFrame(rows)
    return found.sort_values(
        keys, key=lambda c: c.map(order[str(c.name)].index), kind="stable", ignore_index=True
    )


def first_dataset(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the first data set: figures show one at a time, tables all."""
    return frame[frame["dataset"] == frame["dataset"].iloc[0]]
