"""What the tables of RQ1 say, in computed sentences: frames in, Markdown lists out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ffcore.config import FACTORS, levels
from ffreport.analysis.estimate import NO, NOT_RUN, TOO_FEW, YES
from ffreport.analysis.estimate import OPEN as UNDECIDED
from ffreport.analysis.estimate import UNPUBLISHED as NOTHING
from ffreport.analysis.look import level
from ffreport.analysis.rq1.contrasts import CONFIGURATION, NEVER, OTHERS
from ffreport.base.words import bullets, configuration, interval, number, p_value, signed


def grid(frame: pd.DataFrame) -> str:
    """The spread of a grid of ``accuracy.accuracy``: best and worst, and how robust each
    probability is."""
    lines = []
    for dataset, part in _units(frame, ["best"]).groupby("dataset", sort=False):
        top, low = part.loc[part["best"].idxmax()], part.loc[part["best"].idxmin()]
        planned = frame.loc[frame["dataset"] == dataset, "configuration"].nunique()
        lines.append(
            f"**{dataset}**, {len(part)} of {planned} configurations: from {low['best']:.1f} % "
            f"({configuration(low)}) to {top['best']:.1f} % ({configuration(top)})."
        )
        for probability, same in _by_probability(part):
            never = int((same["best"] < NEVER).sum())
            lines.append(
                f"{_rule(probability)} on {dataset}: mean {same['best'].mean():.1f} %, median "
                f"{same['best'].median():.1f} %{_spread(same['best'])}; {never} of {len(same)} "
                f"below {NEVER:g} %."
            )
    return bullets(lines)


def agreement(table: pd.DataFrame) -> str:
    """A table of ``contrasts.agreement``: best, and last after it."""
    return bullets(
        (
            f"**{r['dataset']}**, {r['accuracy']}: over {r['configurations']} of {r['planned']} "
            f"configurations ours and theirs after {r['epochs_run']:.0f} epochs rank with Spearman "
            f"ρ = {number(r['spearman'], '.2f')}{interval(r, '.2f', 'spearman')} and Kendall τ = "
            f"{number(r['kendall'], '.2f')}{interval(r, '.2f', 'kendall')}; "
            f"{r['within_1']:.0f} % lie within ±1 and {r['within_3']:.0f} % within ±3 percentage "
            f"points, and ours is {signed(r['mean_difference'], '.2f')} points in the mean."
            for r in table.to_dict("records")
        ),
        "No configuration has a result and a published figure: none to compare.",
    )


def means(table: pd.DataFrame, factor: str) -> str:
    """Which level of a factor is best for each probability in a table of ``accuracy.means``, where
    every level was run in full, beside what follows from Table F3."""
    lines, short = [], []
    for (dataset, probability), part in table.groupby(["dataset", "probability"], sort=False):
        whole = len(part[part[factor].isin(FACTORS[factor])]) == len(FACTORS[factor])
        if not whole or (part["networks"] < part["planned"]).any():
            short.append((dataset, probability))
            continue
        ours = part.loc[part["best_mean"].idxmax(), factor]
        mean = part.set_index(factor)["best_mean"]
        values = ", ".join(f"{_short(factor, name)} {m:.1f}" for name, m in mean.items())
        same = ", of which nothing was published"
        if part["published_all"].notna().any():
            theirs = part.loc[part["published_all"].idxmax(), factor]
            other = f", Table F3 has {_short(factor, theirs)}"
            same = ", as in Table F3" if ours == theirs else other
        best = _short(factor, ours)
        lines.append(f"{_rule(probability)} on {dataset}: {values} %; best is {best}{same}.")
    if short:
        where = ", ".join(dict.fromkeys(d for d, _ in short))
        lines.append(f"Not every level was run on {where}: no ranking for {len(short)} of them.")
    return bullets(lines)


def comparisons(table: pd.DataFrame) -> str:
    """A table of ``contrasts.paired``, of accuracies."""
    lines = []
    for r in table[table["pairs"] > 0].to_dict("records"):
        theirs = signed(r["published_difference"], ".1f")
        published = {
            YES: f"the same direction as published ({theirs})",
            NO: f"against the published {theirs}",
            UNDECIDED: f"undecided; published is {theirs}",
        }.get(r["same_direction"], str(r["same_direction"]))
        test = "" if np.isnan(r["p_holm"]) else f", Holm p {p_value(r['p_holm'])}"
        lines.append(
            f"**{r['dataset']}**, {_rule(r['second'])} against {_rule(r['first'])}: "
            f"{signed(r['difference'], '.1f')} points{interval(r, '.1f')} over {r['pairs']} of "
            f"{r['planned']} pairs after {r['epochs_run']:.0f} epochs, better in {r['wins']:.0f} "
            f"%, rank-biserial {signed(r['rank_biserial'], '.2f')}{test}; {published}."
        )
    lacking = table.loc[table["same_direction"] == NOT_RUN, "dataset"].value_counts(sort=False)
    if len(lacking):
        lines.append(
            f"Not run: {', '.join(f'{n} of the pairs on {d}' for d, n in lacking.items())}."
        )
    return bullets(lines)


def accuracies(table: pd.DataFrame) -> str:
    """A table of ``contrasts.by_accuracy``: whether the choice of the accuracy matters."""
    keys = ["dataset", "first", "second"]
    lines = []
    best = table[table["accuracy"] == "best"].set_index(keys)
    for kind in dict.fromkeys(table.loc[table["accuracy"] != "best", "accuracy"]):
        other = table[table["accuracy"] == kind].set_index(keys).loc[best.index]
        both = best["difference"].notna() & other["difference"].notna()
        if not both.any():
            continue
        moved = (best["difference"] - other["difference"])[both].abs()
        sides = pd.DataFrame({"best": _side(best), "other": _side(other)})[both]
        changed = int((sides["best"] != sides["other"]).sum())
        lines.append(
            f"With `{kind}` instead of `best` the differences move by at most {moved.max():.2f} "
            f"points, and {changed} of {len(moved)} intervals change their side of zero."
        )
    return bullets(lines)


def conclusion(table: pd.DataFrame, frame: pd.DataFrame) -> str:
    """How many of a table of ``contrasts.paired`` point where the paper's Table F3 points; how far
    the probabilities are apart in their best configuration and in the mean; what choosing the
    epoch adds.

    Args:
        frame: of ``accuracy.accuracy``, levelled, of which the table is.
    """
    ran = table[table["pairs"] > 0]
    counts = ran["same_direction"].value_counts()
    rest = {
        NO: "the other way",
        UNDECIDED: "nowhere, for the interval includes zero",
        TOO_FEW: "nowhere, with too few pairs for an interval",
        NOTHING: "where nothing was published",
    }
    said = ", ".join(
        [f"{counts.get(YES, 0)} point where Table F3 points"]
        + [f"{counts[key]} {text}" for key, text in rest.items() if key in counts]
    )
    lines = [f"Of {len(table)} comparisons {len(ran)} have results: {said}."]
    for dataset, part in _units(frame, ["best", "last"]).groupby("dataset", sort=False):
        grid = part.pivot(index=OTHERS, columns="probability", values="best").dropna()
        if grid.shape[1] < 2 or grid.empty:
            continue
        kinds = levels("probability", grid)
        top = ", ".join(f"{_rule(p)} {grid[p].max():.1f}" for p in kinds)
        gap = (part["best"] - part["last"]).mean()
        lines.append(
            f"**{dataset}**, {len(grid)} configurations of the other factors with every "
            f"probability: the best one of each reaches {top} %, {np.ptp(grid.max()):.1f} points "
            f"apart; their means are {np.ptp(grid.mean()):.1f} points apart. Choosing the epoch on "
            f"the test set adds {gap:.1f} points to a network in the mean."
        )
    return bullets(lines)


def formats(frame: pd.DataFrame) -> dict[str, str]:
    """How a table shows its numbers: p-values with two digits, counts whole, others with two
    places, fractions with four."""
    whole = dict.fromkeys(("epochs", "epochs_run", "seed", "best_epoch"), ".0f")
    small = dict.fromkeys(("area", "time", "published_area", "published_time"), ".4f")
    special = whole | small | {"p": ".2g", "p_holm": ".2g"}
    return {c: special.get(c, ".2f") for c in frame.select_dtypes("float").columns}


def seeds(table: pd.DataFrame) -> str:
    """A table of ``contrasts.over_seeds``."""
    lines = []
    for dataset, part in table.groupby("dataset", sort=False):
        sure = part[part["p_holm"] < 0.05]
        agree = int((sure["same_direction"] == YES).sum())
        lines.append(
            f"**{dataset}**: {len(sure)} of {len(part)} differences stand out of the seeds (Holm "
            f"p < 0.05), {agree} of those in the published direction."
        )
    return bullets(
        lines, "No configuration has two seeds on both sides of a pair: nothing to test."
    )


def flattery(table: pd.DataFrame) -> str:
    """A table of ``contrasts.flattery``."""
    lines = []
    for r in table[table["probability"] == "all"].to_dict("records"):
        same = table[(table["dataset"] == r["dataset"]) & (table["trained"] == r["trained"])]
        each = ", ".join(
            f"{_rule(s['probability'])} {s['gap']:.2f}"
            for s in same[same["probability"] != "all"].to_dict("records")
        )
        text = (
            f"**{r['dataset']}**, {r['networks']} networks trained {r['trained']} "
            f"({r['epochs_run']:.0f} epochs): best is {r['gap']:.2f} points{interval(r, '.2f')} "
            f"above last in the mean ({each}), at most {r['largest']:.1f} ({r['largest_in']})."
        )
        if np.isfinite(r["published_gap"]):
            text += f" In the authors' runs after as many epochs it is {r['published_gap']:.2f}."
        if np.isfinite(r["selected_gap"]):
            text += (
                f" Best is {r['selected_gap']:.2f} points{interval(r, '.2f', 'selected')} above "
                "the epoch that held-out images select."
            )
        lines.append(text)
    if len(table) and table["selected_gap"].isna().all():
        lines.append("No network of this profile held images out: there is no `selected`.")
    return bullets(lines)


def convergence(table: pd.DataFrame, means: pd.DataFrame) -> str:
    """Tables of ``convergence.comparison`` and ``convergence.means``: what the networks that never
    learn do to the comparison."""
    lines = []
    for dataset, part in means.groupby("dataset", sort=False):
        never, rest = (part[(part["learned"] == "yes") == learned] for learned in (False, True))
        if never.empty:
            lines.append(f"**{dataset}**: every network learned (best at least {NEVER:g} %).")
            continue
        counted = " and ".join(
            f"{n} networks of {_rule(p)}"
            for p, n in zip(never["probability"], never["networks"], strict=True)
        )
        area = np.average(never["area"], weights=never["networks"])
        other = np.average(rest["area"], weights=rest["networks"]) if len(rest) else np.nan
        lines.append(
            f"**{dataset}**: {counted} never learn (best below {NEVER:g} %). Their mean area is "
            f"{area:.3f} against {other:.3f} of those that do: what stays where it is converges at "
            "once."
        )
    ffa = FACTORS["probability"][0]
    shown = table[table["measure"].isin(["area", "time"]) & (table["first"] == ffa)]
    for r in shown[shown["pairs"] > 0].to_dict("records"):
        lines.append(
            f"{r['dataset']}, {r['networks']}: {r['measure']} of {_rule(r['second'])} minus FFA's "
            f"is {signed(r['difference'], '.4f')}{interval(r, '.4f')} over "
            f"{r['pairs']} pairs, {_direction(r)}."
        )
    return bullets(lines)


def _direction(row: dict[str, Any]) -> str:
    if np.isnan(row["low"]):
        return "too few for an interval"
    if row["low"] <= 0 <= row["high"]:
        return "no difference that the interval would show"
    return "faster than FFA" if row["difference"] < 0 else "slower than FFA"


def _side(table: pd.DataFrame) -> pd.Series:
    """−1, 0 or 1: the side of zero of each interval, 0 where it includes zero or there is none."""
    return np.sign(table["low"]).where(np.sign(table["low"]) == np.sign(table["high"]), 0)


def _units(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Configurations with a result, averaged over their seeds."""
    units = frame.groupby(CONFIGURATION, sort=False)[list(columns)].mean()
    return units.dropna().reset_index()


def _by_probability(frame: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    for probability in levels("probability", frame["probability"]):
        yield probability, frame[frame["probability"] == probability]


def _spread(values: pd.Series) -> str:
    if len(values) < 2:
        return ""
    return f", standard deviation over configurations {values.std():.1f} points"


def _short(factor: str, value: Any) -> str:
    return level(factor, value).short


def _rule(probability: str) -> str:
    return _short("probability", probability)
