"""A verdict for every published accuracy: Table F3, the ten seeds, and what would complete them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ffcore.config import FACTORS
from ffreport.analysis import published
from ffreport.analysis.estimate import (
    BAND,
    CLAIMED,
    CONTRARY,
    NOT_COMPARABLE,
    NOT_RUN,
    ONE_SEED,
    UNPUBLISHED,
    Estimate,
    judge,
)
from ffreport.analysis.rq1.contrasts import in_part
from ffreport.base.words import bullets, configuration, count
from ffreport.runs.results import OWN, SHIPPED
from ffreport.study.study import Study

KEYS = ["dataset", *FACTORS]
SEEDS = 10  # behind each published mean and standard deviation
COLUMNS = ["trained_on", "seed", "origin", "precision", "epochs_run", "epochs", "best", "last"]
WITHIN, OUTSIDE = "within the published band", "outside the published band"
JUDGED = (WITHIN, OUTSIDE)
WIDE = 10.0  # percentage points: a band whose half is wider says little
OVERLAP, APART, ONE = "overlap", "apart", "one seed of ours"
ORDER = (*JUDGED, ONE_SEED, NOT_COMPARABLE, NOT_RUN)


def in_band(ours: float, mean: float, std: float, comparable: bool = True) -> str:
    """Whether an accuracy lies in the band of the published seeds.

    Args:
        ours: in the unit of ``mean``; NaN where it was not run.
        mean: published, of ``std`` over seeds; NaN where nothing was published.
        std: sample standard deviation over seeds; NaN where one seed was published.
        comparable: whether ours was trained under the published conditions.

    Returns:
        WITHIN or OUTSIDE (of BAND standard deviations), or why it is neither: NOT_RUN, UNPUBLISHED,
        NOT_COMPARABLE or ONE_SEED.
    """
    lacking = UNPUBLISHED if np.isnan(mean) else "" if comparable else NOT_COMPARABLE
    if not lacking and np.isnan(std):
        lacking = ONE_SEED
    if np.isnan(ours):
        lacking = NOT_RUN
    band = mean - BAND * std, mean + BAND * std
    said = judge(Estimate.exact(ours), band, closed=True, lacking=lacking)
    return said.word({CLAIMED: WITHIN, CONTRARY: OUTSIDE})


def verdicts(frame: pd.DataFrame) -> pd.DataFrame:
    """Table F3 value by value: 432 rows, whatever a profile plans.

    Ours is the network of the lowest seed that has a result. It is compared with theirs after as
    many epochs: ``verdict`` is on ``best``, against the mean and standard deviation of the best
    accuracy of the ten published seeds where there are such (``band_mean``, ``band_std``); a
    single published value has no spread and gives none.

    Args:
        frame: of ``accuracy.accuracy``, not levelled.

    Returns:
        ``dataset``, the factors, ``published`` (Table F3); ``trained_on``: our data set, which may
        be a counterpart; ``seed``, ``origin``, ``precision``, ``epochs_run``, ``epochs``;
        ``best``, ``last``; ``compared``: their best after ``epochs_run``; ``difference`` (best −
        compared); over ``seeds`` of ours that were trained equally long ``best_mean`` with its
        95 % t interval ``low``, ``high``; the band and
        ``verdict``. Accuracies in percent, differences in percentage points.
    """
    theirs = published.best_accuracy().rename(columns={"published_best": "published"})
    theirs = theirs.drop(columns="published_last")
    ours = _ours(frame)
    rows = [_value(row, ours.get(tuple(row[k] for k in KEYS))) for row in _rows(theirs)]
    return _led(rows, "published", "best", "compared", "difference", "low", "high", "verdict",
                "last")  # fmt: skip


def ten_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """The 54 published means over ten seeds, three data sets, beside ours.

    Theirs are after as many epochs as ours. ``verdict`` is on the mean of our ``last``, in
    published standard deviations of a single seed; ``means`` is the stricter question whether the
    95 % t intervals of the two means overlap.

    Args:
        frame: of ``accuracy.accuracy``, not levelled.

    Returns:
        ``dataset``, the factors, ``published_last`` ± ``published_last_std``, ``published_best`` ±
        ``published_best_std`` over ``published_seeds``; ``trained_on``; ``seeds`` of ours with
        results, of ``planned``; ``own`` and ``shipped`` among them; ``epochs_run`` of ``epochs``;
        for ``last`` and ``best`` each ``…_mean``, ``…_std``, ``…_low``, ``…_high`` (95 % t
        interval) and ``…_z`` (difference
        from the published mean in published standard deviations; NaN where the verdict is neither
        WITHIN nor OUTSIDE); ``last_difference``; ``verdict``; ``means``: OVERLAP, APART or ONE.
        Accuracies in percent.
    """
    named = {"best_mean": "published_best", "best_std": "published_best_std",
             "last_mean": "published_last", "last_std": "published_last_std",
             "seeds": "published_seeds"}  # fmt: skip
    ours = _ours(frame)
    rows = []
    for row in _rows(published.ten_seeds().rename(columns=named)):
        found = ours.get(tuple(row[k] for k in KEYS))
        over = _over_seeds(found)
        row |= _band(row, over["epochs_run"]).rename(named)
        band = row["published_last"], row["published_last_std"]
        said = in_band(over["last_mean"], *band, _comparable(found))
        for kind in ("last", "best"):
            z = (over[f"{kind}_mean"] - row[f"published_{kind}"]) / row[f"published_{kind}_std"]
            over[f"{kind}_z"] = z if said in JUDGED else np.nan
        over["last_difference"] = over["last_mean"] - row["published_last"]
        means = _means(over, *band, int(row["published_seeds"]))
        rows.append({**row, **over, "verdict": said, "means": means})
    return _led(rows, "published_last", "published_last_std", "seeds", "last_mean", "last_low",
                "last_high", "last_difference", "last_z", "verdict", "means")  # fmt: skip


def counts(*tables: pd.DataFrame) -> pd.DataFrame:
    """How often each verdict was given: a row a data set and one for all; the columns that occur,
    and ``values`` in all."""
    said = pd.concat([t[["dataset", "verdict"]] for t in tables])
    table = pd.crosstab(said["dataset"], said["verdict"], margins=True, margins_name="all")
    order = [d for d in published.best_accuracy()["dataset"].unique() if d in table.index]
    table = table.loc[[*order, "all"], [v for v in (*ORDER, "all") if v in table]]
    return table.rename(columns={"all": "values"}).rename_axis(columns=None).reset_index()


def summary(table: pd.DataFrame) -> str:
    """A frame of ``ten_seeds`` in sentences, as Markdown: how many are within the band, which are
    not and by how much, whether the means overlap, what is lacking."""
    judged = table[table["verdict"].isin(JUDGED)]
    band = f"±{BAND:g} published standard deviations"
    lines = []
    for dataset, part in judged.groupby("dataset", sort=False):
        hits = int((part["verdict"] == WITHIN).sum())
        over = part["seeds"].max()
        lines.append(
            f"**{dataset}**: {hits} of {len(part)} configurations have their last accuracy within "
            f"{band} of the published mean ({100 * hits / len(part):.0f} %); ours has "
            f"{count(over, 'seed')}."
        )
        misses = part[part["verdict"] == OUTSIDE]
        if len(misses):
            names = [
                f"{configuration(row)} ({row['last_mean']:.2f} against {row['published_last']:.2f}"
                f" ± {row['published_last_std']:.2f}, z = {row['last_z']:+.1f})"
                for row in misses.sort_values("last_z", key=abs, ascending=False).to_dict("records")
            ]
            lines.append(f"Outside on {dataset}: {'; '.join(names)}.")
        if len(misses) and over == 1:
            # The band is of a standard deviation that ten seeds estimate: Student's t, 9 degrees.
            chance = 2 * stats.t.sf(BAND / np.sqrt(1 + 1 / SEEDS), SEEDS - 1)
            lines.append(
                f"Of single seeds from the published distributions {100 * chance:.1f} % would lie "
                f"outside on average, {len(part) * chance:.1f} of {len(part)}; {len(misses)} or "
                f"more would with probability "
                f"{stats.binom.sf(len(misses) - 1, len(part), chance):.2g}."
            )
        wide = part[BAND * part["published_last_std"] > WIDE]
        if len(wide):
            lines.append(
                f"The band of {len(wide)} of them is wider than ±{WIDE:g} points and says little: "
                f"{', '.join(map(configuration, wide.to_dict('records')))}."
            )
        several = part[part["means"] != ONE]
        if len(several):
            meet = int((several["means"] == OVERLAP).sum())
            lines.append(
                f"On {dataset} the 95 % intervals of both means overlap for {meet} of the "
                f"{len(several)} configurations of which ours has several seeds."
            )
    rest = table[~table.index.isin(judged.index)]
    for verdict, part in rest.groupby("verdict"):
        where = ", ".join(
            f"{n} on {d}" for d, n in part["dataset"].value_counts(sort=False).items()
        )
        lines.append(f"{verdict[0].upper()}{verdict[1:]}: {len(part)} of {len(table)} ({where}).")
    return bullets(lines)


def markdown(table: pd.DataFrame) -> str:
    """The rows of ``ten_seeds`` that have results, best published first, as the README's table."""
    lines = [
        "| configuration | published `last` (%) | ours `last` (%) | ours `best` (%) | difference "
        "in published std | verdict |",
        "|---|---|---|---|---|---|",
    ]
    run = table[table["seeds"] > 0].sort_values("published_last", ascending=False, kind="stable")
    lines += [
        f"| {r['dataset']} {configuration(r)} | {r['published_last']:.2f} ± "
        f"{r['published_last_std']:.2f} | {r['last_mean']:.2f} | {r['best_mean']:.2f} | "
        f"{r['last_z']:+.1f} | {r['verdict'].removesuffix(' the published band')} |"
        for r in run.to_dict("records")
    ]
    return "\n".join(lines)


def completing_commands(study: Study, frame: pd.DataFrame) -> pd.DataFrame:
    """What trains the planned networks that lack a result, or have one in part.

    Args:
        frame: of ``accuracy.accuracy`` of this study, not levelled.

    Returns:
        A row a data set that lacks something: ``dataset``, ``not_run``, ``in_part``, ``of`` as many
        planned networks, ``command``.
    """
    lacking, cut = frame["origin"] == NOT_RUN, in_part(frame)
    rows = []
    for dataset in frame.loc[lacking | cut, "dataset"].unique():
        here = frame["dataset"] == dataset
        chosen = "" if "dataset" in study.profile.changes else f"--dataset {dataset}"
        rows.append(
            {"dataset": dataset, "not_run": int((lacking & here).sum()),
             "in_part": int((cut & here).sum()), "of": int(here.sum()),
             "command": study.profile.command("train", chosen, "--only rq1")}
        )  # fmt: skip
    return pd.DataFrame(rows, columns=["dataset", "not_run", "in_part", "of", "command"])


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a published table in the paper's order, data set and factors first."""
    legal = {**FACTORS, "dataset": tuple(published.best_accuracy()["dataset"].unique())}
    ordered = table.sort_values(KEYS, key=lambda c: c.map(legal[str(c.name)].index))
    return ordered[[*KEYS, *(c for c in table if c not in KEYS)]].to_dict("records")


def _led(rows: list[dict[str, Any]], *columns: str) -> pd.DataFrame:
    """A frame whose first columns, after data set and factors, are the given ones."""
    table = pd.DataFrame(rows)
    first = [*KEYS, *columns]
    return table[[*first, *(c for c in table if c not in first)]]


def _ours(frame: pd.DataFrame) -> dict[tuple[str, ...], pd.DataFrame]:
    """Published data set and factors → our planned networks beside it, those of the data set
    itself before a counterpart's, then by seed."""
    theirs = frame["dataset"].map(published.counterpart)
    ordered = frame.assign(trained_on=frame["dataset"], dataset=theirs, _own=frame["dataset"])
    ordered["_own"] = ordered["_own"] != theirs
    ordered = ordered.sort_values(["_own", "seed"], kind="stable")
    groups: dict[tuple[str, ...], pd.DataFrame] = {}
    for key, part in ordered.groupby(KEYS, sort=False):
        groups[key] = part[part["trained_on"] == part["trained_on"].iloc[0]]
    return groups


def _result(found: pd.DataFrame | None) -> pd.DataFrame:
    """The rows with a result that were trained longest, those that stopped early included; no
    rows where nothing was planned or run."""
    if found is None:
        return pd.DataFrame(columns=[*COLUMNS, "verdict"])
    there = found[found["origin"] != NOT_RUN]
    whole = there[~in_part(there)]
    return whole if len(whole) else there[there["epochs_run"] == there["epochs_run"].max()]


def _value(row: dict[str, Any], found: pd.DataFrame | None) -> dict[str, Any]:
    """A row of ``verdicts``."""
    result = _result(found)
    ours: dict[str, Any] = {**dict.fromkeys(COLUMNS, np.nan), "origin": NOT_RUN}
    if len(result):
        ours = {c: result.iloc[0][c] for c in COLUMNS}
    best = Estimate.mean(result["best"])
    compared = row["published"]
    if len(result) and not np.isnan(result["published_best"].iloc[0]):
        compared = result["published_best"].iloc[0]
    whole = len(result) and bool(result["stopped"].iloc[0])  # it would not have run longer
    band = _band(row, np.nan if whole else ours["epochs_run"])
    mean, std = (compared, np.nan) if band.empty else (band["best_mean"], band["best_std"])
    return {
        **row, **ours, "compared": compared, "difference": ours["best"] - compared,
        "seeds": len(result), **best.columns("best_mean"),
        "band_mean": band.get("best_mean", np.nan), "band_std": band.get("best_std", np.nan),
        "verdict": in_band(ours["best"], mean, std, _comparable(found)),
    }  # fmt: skip


def _band(row: dict[str, Any], epochs: float) -> pd.Series:
    """The published seeds of a row's configuration after as many epochs as ours has, all of theirs
    for NaN; empty where there are none. The columns are those of ``published.ten_seeds``."""
    table = _bands(None if np.isnan(epochs) else int(epochs))
    key = tuple(row[k] for k in KEYS)
    return table.loc[key] if key in table.index else pd.Series(dtype=float)


@cache
def _bands(epochs: int | None) -> pd.DataFrame:
    return published.ten_seeds(epochs).set_index(KEYS)


def _over_seeds(found: pd.DataFrame | None) -> dict[str, Any]:
    """Our side of a row of ``ten_seeds``."""
    result = _result(found)
    origins: Sequence[str] = list(result["origin"])
    over: dict[str, Any] = {
        "trained_on": result["trained_on"].iloc[0] if origins else np.nan,
        "seeds": len(origins),
        "planned": 0 if found is None else len(found),
        **{origin: origins.count(origin) for origin in (OWN, SHIPPED)},
        "epochs_run": result["epochs_run"].max() if origins else np.nan,
        "epochs": np.nan if found is None else found["epochs"].iloc[0],
    }
    for kind in ("last", "best"):
        values = result[kind].to_numpy(float)
        over |= Estimate.mean(values).columns(f"{kind}_mean", f"{kind}_")
        over[f"{kind}_std"] = values.std(ddof=1) if len(values) > 1 else np.nan
    return over


def _comparable(found: pd.DataFrame | None) -> bool:
    """Whether our networks beside a published value trained under the published conditions."""
    return NOT_COMPARABLE not in set(_result(found)["verdict"].head(1))


def _means(over: dict[str, Any], mean: float, std: float, seeds: int) -> str | float:
    """Whether the t intervals of our mean and of the published mean overlap."""
    if over["seeds"] < 2:
        return ONE if over["seeds"] else np.nan
    half = stats.t.ppf(0.975, seeds - 1) * std / np.sqrt(seeds)
    apart = over["last_low"] > mean + half or over["last_high"] < mean - half
    return APART if apart else OVERLAP
