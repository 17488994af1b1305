"""How far each setting that the papers leave open moves the accuracy, one setting at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ffcore.config import Experiment
from ffreport.analysis.estimate import BAND, CONTRARY, NO, NOT_RUN, YES, Estimate, judge
from ffreport.analysis.estimate import OPEN as UNCLEAR
from ffreport.analysis.rq1 import verdicts
from ffreport.base.words import bullets, signed
from ffreport.data import sources
from ffreport.study.profiles import Profile

POINT = 1.0  # percentage points: matters where no published spread applies
SETTINGS: dict[str, tuple[str, dict[Any, str]]] = {
    "label_embedding": (
        "label",
        {"appended": "pattern appended to the image", "corner": "one-hot over the corner"},
    ),
    "negatives": ("negative label", {"wrong": "always wrong", "any": "any, even the true one"}),
    "normalisation": (
        "normalisation",
        {"group": "each polarity group", "whole": "the whole layer", "none": "none"},
    ),
    "passed_on": ("passed on", {"after": "after the update", "before": "before the update"}),
    "theta": ("threshold θ", {}),
    "wta_k": ("k of WTA", {}),
}


def varied(profile: Profile) -> list[str]:
    """The settings that a profile's open choices change, in the order of SETTINGS."""
    named = {setting for panel in profile.choices for setting in panel.vary}
    return sorted(named, key=lambda s: [*SETTINGS, s].index(s))


def words(setting: str, value: Any) -> str:
    """A setting with its value for a reader, such as ``threshold θ = 4``."""
    name, values = SETTINGS.get(setting, (setting.replace("_", " "), {}))
    if value in values:
        return f"{name}: {values[value]}"
    return f"{name} = {value:g}" if isinstance(value, float) else f"{name} = {value}"


def effects(frame: pd.DataFrame, settings: Sequence[str] = tuple(SETTINGS)) -> pd.DataFrame:
    """How each choice changes the accuracy of its base configuration, largest change first.

    Networks that differ in ``settings`` and seed alone are compared, with the first of them as
    base; both sides of a pair share their seed and the number of epochs.

    Args:
        frame: of ``accuracy.accuracy``, of the part ``choices``: each base before its choices.
        settings: fields of Experiment that were varied.

    Returns:
        ``dataset``, ``configuration``, ``setting`` (field), ``choice`` and ``instead_of`` (in
        words), ``seeds`` (pairs), ``epochs``, ``origin``; ``base_last``, ``last``, ``base_best``,
        ``best`` (means in percent); ``difference`` of ``last`` and ``difference_best`` (points);
        ``low``, ``high``: 95 % interval of ``difference``, and ``interval`` what it is over: seeds
        (paired t) or, for one seed, test images (as if the networks erred independently, which
        makes it too wide); ``band_last_std`` of ten seeds of the base and, where that was
        trained as published, the difference ``in_std``; ``threshold`` in points, BAND published
        std there and POINT elsewhere; ``matters``: YES where the difference exceeds it, NO,
        UNCLEAR or NOT_RUN. A single seed against a published spread is never UNCLEAR.
    """
    settings = [s for s in settings if s in frame]
    same = [c for c in Experiment.model_fields if c in frame and c not in (*settings, "seed")]
    rows = []
    for _, group in frame.groupby(same, sort=False):
        base = group[(group[settings] == group[settings].iloc[0]).all(axis=1)]
        for _, part in group.groupby(settings, sort=False):
            differing = [s for s in settings if part[s].iloc[0] != base[s].iloc[0]]
            if differing:
                rows.append(_effect(base, part, differing))
    found = pd.DataFrame(rows, columns=COLUMNS)
    order = found["difference"].abs().sort_values(ascending=False, kind="stable").index
    return found.loc[order].reset_index(drop=True)


COLUMNS = ["dataset", "configuration", "setting", "choice", "instead_of", "seeds", "epochs",
           "origin", "base_last", "last", "difference", "low", "high", "interval", "base_best",
           "best", "difference_best", "band_last_std", "in_std", "threshold",
           "matters"]  # fmt: skip


def _effect(base: pd.DataFrame, part: pd.DataFrame, differing: Sequence[str]) -> dict[str, Any]:
    """One row of ``effects``: a choice against its base over the seeds that both have."""
    pairs = base.merge(part, on="seed", suffixes=("_base", ""))
    there = pairs[pairs["last"].notna() & (pairs["epochs_run"] == pairs["epochs_run_base"])]
    gaps = (there["last"] - there["last_base"]).to_numpy(float)
    first = part.iloc[0]
    std = float(base["band_last_std"].iloc[0])
    as_published = set(base["verdict"]) <= {*verdicts.JUDGED}
    strict = as_published and not np.isnan(std)
    threshold = BAND * std if strict else POINT
    names = {"last": "last", "best": "best", "base_last": "last_base", "base_best": "best_base"}
    means = {ours: there[theirs].mean() for ours, theirs in names.items()}
    if there.empty:
        means |= {f"base_{c}": base[c].mean() for c in ("last", "best")}
    gap = means["last"] - means["base_last"]
    images = sources.lookup(first["dataset"]).counts[1]
    change = Estimate.mean(gaps, "seeds" if len(gaps) else "")
    if len(gaps) == 1:
        change = _sampled(means["base_last"], means["last"], images)
    near = judge(Estimate.exact(abs(gap)), (0.0, threshold), closed=True).direction != CONTRARY
    clear = (strict and len(gaps) == 1) or not change.holds(0.0)
    matters = NO if near else YES if clear else UNCLEAR
    return {
        **{c: first[c] for c in ("dataset", "configuration")},
        "setting": " and ".join(differing),
        "choice": ", ".join(words(s, first[s]) for s in differing),
        "instead_of": ", ".join(words(s, base[s].iloc[0]) for s in differing),
        "seeds": len(gaps),
        "epochs": there["epochs_run"].max(),
        "origin": ", ".join(dict.fromkeys([*there["origin_base"], *there["origin"]])) or NOT_RUN,
        **means, **change.columns("difference"), "interval": change.over,
        "difference_best": means["best"] - means["base_best"], "band_last_std": std,
        "in_std": gap / std if strict else np.nan, "threshold": threshold,
        "matters": matters if len(gaps) else NOT_RUN,
    }  # fmt: skip


def by_setting(found: pd.DataFrame) -> pd.DataFrame:
    """One row a setting, the one that can move accuracy furthest first.

    Args:
        found: of ``effects``.

    Returns:
        ``setting`` in words, ``choices`` (that were run, over all base configurations), ``matter``
        (how many of them do), ``largest`` and ``median`` absolute difference in points, and
        ``where``: configuration and choice of the largest.
    """
    rows = []
    for setting, part in found[found["matters"] != NOT_RUN].groupby("setting", sort=False):
        sizes = part["difference"].abs()
        top = part.loc[sizes.idxmax()]
        name = " and ".join(SETTINGS.get(s, (s,))[0] for s in str(setting).split(" and "))
        rows.append(
            {"setting": name, "choices": len(part), "matter": int((part["matters"] == YES).sum()),
             "largest": sizes.max(), "median": sizes.median(),
             "where": f"{top['configuration']} on {top['dataset']}, {top['choice']}"}
        )  # fmt: skip
    columns = ["setting", "choices", "matter", "largest", "median", "where"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values("largest", ascending=False, kind="stable", ignore_index=True)


def findings(found: pd.DataFrame) -> str:
    """Which choices matter, in computed sentences, as a Markdown list.

    Args:
        found: of ``effects``.
    """
    ran = found[found["matters"] != NOT_RUN]
    if ran.empty:
        return bullets([], "No choice was run together with its base.")
    lines = []
    for (dataset, configuration), part in ran.groupby(["dataset", "configuration"], sort=False):
        moved, rest, unclear = (part[part["matters"] == m] for m in (YES, NO, UNCLEAR))
        first, verb = part.iloc[0], "moves" if len(moved) == 1 else "move"
        line = (
            f"**{configuration}** on {dataset}, {first['base_last']:.2f} % after "
            f"{first['epochs']:.0f} epochs: {len(moved)} of {len(part)} choices {verb} the last "
            f"accuracy by more than {_threshold(first)}{_list(moved)}."
        )
        line += _list(unclear, " Larger, with an interval that includes zero")
        if len(rest):
            line += f" The others move it by at most {rest['difference'].abs().max():.2f} points."
        lines.append(line)
    table = by_setting(found)
    order = ", ".join(f"{r['setting']} {r['largest']:.2f}" for r in table.to_dict("records"))
    lines.append(f"Largest change of any base configuration, in points: {order}.")
    lines += _by_chance(ran)
    if lacking := len(found) - len(ran):
        lines.append(f"{lacking} of {len(found)} choices are {NOT_RUN}, or their base is.")
    return bullets(lines)


def _by_chance(ran: pd.DataFrame) -> list[str]:
    """How many single-seed differences the spread over seeds alone would let pass."""
    alone = (ran["in_std"].notna() & (ran["seeds"] == 1)).sum()
    if not alone:
        return []
    rate = 2 * stats.norm.sf(BAND / np.sqrt(2))
    return [
        f"Two networks that differ in their seed alone differ by more than {BAND:g} "
        f"published standard deviations in {100 * rate:.1f} % of cases: of {alone} comparisons of "
        f"single seeds {rate * alone:.1f} would pass for a change by chance."
    ]


def _list(rows: pd.DataFrame, opening: str = "") -> str:
    """Choices with their differences, after a colon; nothing of none."""
    named = [f"{r['choice']} ({signed(r['difference'], '.2f')})" for r in rows.to_dict("records")]
    return f"{opening}: {'; '.join(named)}{'.' if opening else ''}" if named else ""


def _threshold(row: pd.Series) -> str:
    if np.isnan(row["in_std"]):
        return f"{POINT:g} point"
    return (f"{BAND:g} published standard deviations of ten seeds, "
            f"{row['threshold']:.2f} points")  # fmt: skip


def _sampled(first: float, second: float, images: int) -> Estimate:
    """The difference of two accuracies in percent, each on so many independent images."""
    shares = np.array([first, second]) / 100
    half = 100 * stats.norm.ppf(0.975) * np.sqrt((shares * (1 - shares)).sum() / images)
    gap = second - first
    return Estimate(gap, gap - half, gap + half, images, "test images")
