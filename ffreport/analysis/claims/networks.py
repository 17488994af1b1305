"""What measures the claims of Polar-FFA on trained networks, as ``ledger.yaml`` names it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ffcore.config import FACTORS
from ffreport.analysis import published, stats
from ffreport.analysis.appendix import shares
from ffreport.analysis.claims.material import Material, Measured
from ffreport.analysis.published import as_published
from ffreport.analysis.rq1 import accuracy as rq1
from ffreport.analysis.rq1 import contrasts, convergence, verdicts
from ffreport.analysis.rq2 import structures

OTHERS = [f for f in FACTORS if f != "probability"]


def accuracy(material: Material, first: str, second: str) -> Iterator[Measured]:
    """Accuracy with the second probability minus with the first, paired."""
    table = contrasts.by_accuracy(material.level)

    def of(kind: str) -> Iterator[Measured]:
        return _paired(material.level, table[table["accuracy"] == kind], first, second)

    yield from _best_and_last(of)


def failing(material: Material, first: str, second: str) -> Iterator[Measured]:
    """Percent of the configurations that never learn: second minus first, paired."""
    frame = material.level

    def of(kind: str) -> Iterator[Measured]:
        columns = {"fails": kind, "published_fails": f"published_{kind}"}
        named = {
            name: (100.0 * (frame[c] < contrasts.NEVER)).where(frame[c].notna())
            for name, c in columns.items()
        }
        table = contrasts.paired(frame.assign(**named), "fails", "published_fails")
        return _paired(frame, table, first, second)

    yield from _best_and_last(of)


def convergence_area(material: Material, first: str, second: str) -> Iterator[Measured]:
    """Convergence area of the second probability minus that of the first, where both learned."""
    table = convergence.comparison(material.speeds)
    chosen = table[(table["measure"] == "area") & (table["networks"] == convergence.LEARNED)]
    yield from _paired(material.level, chosen, first, second, ".3f")


def within_bands(material: Material) -> Iterator[Measured]:
    """Percent of the configurations whose last accuracy is in the band of the ten seeds."""
    table = verdicts.ten_seeds(material.frame)
    judged = table[table["verdict"].isin(verdicts.JUDGED)]
    for dataset, part in judged.groupby("dataset", sort=False):
        hits = int((part["verdict"] == published.WITHIN).sum())
        planned = int((table["dataset"] == dataset).sum())
        apart = _lacking(len(part), planned, "configurations")
        yield _share(str(dataset), hits, len(part), int(part["seeds"].min()),
                     f"configurations{_after(part)}", apart)  # fmt: skip
    for dataset, part in table[~table.index.isin(judged.index)].groupby("trained_on", sort=False):
        apart = _apart(material.frame[material.frame["dataset"] == dataset])
        yield Measured(str(dataset), np.nan, np.nan, np.nan, int(part["seeds"].min()),
                       f"{len(part)} configurations", "", apart)  # fmt: skip


def order(material: Material) -> Iterator[Measured]:
    """Rank correlation of accuracies with the published ones after as many epochs."""
    found = contrasts.agreement(material.level)

    def of(kind: str) -> Iterator[Measured]:
        for row in found[found["accuracy"] == kind].to_dict("records"):
            part = _there(material.level, row["dataset"])
            lacking = _lacking(row["configurations"], row["planned"], "configurations")
            interval = row["spearman_low"], row["spearman_high"]
            over = f"{row['configurations']} configurations{_after(part)}"
            yield Measured(row["dataset"], row["spearman"], *interval, _seeds(part), over, "",
                           _apart(part) or lacking)  # fmt: skip

    yield from _best_and_last(of)


def best_norm(material: Material, probability: str, norm: str) -> Iterator[Measured]:
    """Mean accuracy with a norm minus that with the best of the others, for one probability."""
    order_ = [norm, *(n for n in FACTORS["norm"] if n != norm)]
    rest = [f for f in OTHERS if f != "norm"]
    chosen = material.level[material.level["probability"] == probability]
    yield from _over_grid(chosen, rest, "norm", order_, _lead)


def spread(material: Material, first: str, second: Sequence[str]) -> Iterator[Measured]:
    """Standard deviation of accuracy over configurations: mean of several probabilities minus
    one's."""
    yield from _over_grid(material.level, OTHERS, "probability", [first, *second], _wider)


def seed_spread(
    material: Material, first: str, second: Sequence[str], least: int
) -> Iterator[Measured]:
    """Standard deviation of last accuracy over seeds: mean over the configurations of some
    probabilities minus that of one; over those with ``least`` seeds, where both sides have such."""
    ran = material.frame[~contrasts.in_part(material.frame)].dropna(subset=["last"])
    groups = ran.groupby(["dataset", "configuration", "probability"], sort=False)["last"]
    found = groups.agg(["std", "size"]).reset_index()
    found = found[found["size"] > 1]
    theirs = published.ten_seeds().groupby("probability")["last_std"].mean()
    for dataset, part in found.groupby("dataset", sort=False):
        many = part[part["size"] >= least]
        if {first} <= set(many["probability"]) and set(second) & set(many["probability"]):
            part = many
        sides = [part.loc[part["probability"].isin(names), "std"].to_numpy()
                 for names in ([first], second)]  # fmt: skip
        if not all(len(side) for side in sides):
            continue
        value = sides[1].mean() - sides[0].mean()
        low, high = stats.welch(sides[1], sides[0])
        where = _there(material.frame, str(dataset))
        yield Measured(str(dataset), value, low, high, int(part["size"].min()),
                       f"{len(sides[0])} and {len(sides[1])} configurations",
                       f"{theirs[list(second)].mean() - theirs[first]:+.2f}",
                       _apart(where))  # fmt: skip


def polarity_within(material: Material) -> Iterator[Measured]:
    """Percent of the results within ±8 points of their configuration's mean over shares."""
    frame = rq1.accuracy(material.study, "polarity", level=True)
    row = shares.shares(frame, material.study).iloc[0]
    apart = _other_conditions(row["verdict"], (shares.AGREES, shares.DIFFERS))
    yield Measured(_named(frame), row["within"], row["low"], row["high"], _seeds(frame),
                   f"{row['configurations']} configurations", f"{row['published']:g}",
                   apart)  # fmt: skip


def polarity_balance(material: Material) -> Iterator[Measured]:
    """What the most unequal groups of units change against equal ones."""
    frame = rq1.accuracy(material.study, "polarity", level=True)
    found = shares.deviations(frame)
    if found.empty:
        return
    row = shares.summary(found).iloc[0]
    verdict = shares.shares(frame, material.study)["verdict"].iloc[0]
    apart = _other_conditions(verdict, (shares.AGREES, shares.DIFFERS))
    yield Measured(_named(frame), row["inequality"], row["inequality_low"], row["inequality_high"],
                   _seeds(frame), f"{row['configurations']} configurations", "", apart)  # fmt: skip


def prototypes(material: Material) -> Iterator[Measured]:
    """Percent of the named examples whose measured structure is the described one."""
    found = structures.prototypes(material.structures)
    frame = material.structures
    for dataset, part in found.groupby("dataset", sort=False):
        keys = frame.loc[(frame["dataset"] == dataset)
                         & frame["configuration"].isin(part["configuration"]), "key"]  # fmt: skip
        yield _share(str(dataset), int(part["agrees"].sum()), len(part),
                     int(part.groupby("configuration")["seed"].nunique().min()), "networks",
                     _apart_of(material, keys))  # fmt: skip


def measured_structures(material: Material) -> Iterator[Measured]:
    """Percent of the networks that learned, and whose family the paper states, that have its
    structure; of those trained as planned, where they are enough for an interval."""
    frame = material.structures
    part = frame[frame["stated"] & structures.learned(frame)]
    for dataset, some in part.groupby("dataset", sort=False):
        whole = some[some["whole"].astype(bool)]
        some = whole if len(whole) >= stats.FEWEST else some
        hits = int((some["structure"] == some["family"]).sum())
        yield _share(str(dataset), hits, len(some), int(some["seed"].nunique()), "networks",
                     _apart_of(material, some["key"]))  # fmt: skip


TESTS: dict[str, Callable[..., Iterator[Measured]]] = {
    "accuracy": accuracy,
    "failing": failing,
    "convergence": convergence_area,
    "within_bands": within_bands,
    "order": order,
    "best_norm": best_norm,
    "spread": spread,
    "seed_spread": seed_spread,
    "polarity_within": polarity_within,
    "polarity_balance": polarity_balance,
    "prototypes": prototypes,
    "structures": measured_structures,
}


def _paired(
    frame: pd.DataFrame, table: pd.DataFrame, first: str, second: str, digits: str = ".1f"
) -> Iterator[Measured]:
    """The rows of ``contrasts.paired`` for two probabilities that have a pair."""
    rows = table[(table["first"] == first) & (table["second"] == second) & (table["pairs"] > 0)]
    for row in rows.to_dict("records"):
        part = _there(frame, row["dataset"])
        part = part[part["probability"].isin([first, second])]
        theirs = row["published_difference"]
        yield Measured(row["dataset"], row["difference"], row["low"], row["high"], _seeds(part),
                       f"{row['pairs']} pair{'s' * (row['pairs'] != 1)} of configurations"
                       f"{_after(part)}", "" if np.isnan(theirs) else f"{theirs:+{digits}}",
                       _apart(part) or _lacking(row["pairs"], row["planned"], "pairs"))  # fmt: skip


def _best_and_last(of: Callable[[str], Iterator[Measured]]) -> Iterator[Measured]:
    """What a test says of best accuracies, with what it says of last ones beside it."""
    last = {one.dataset: one for one in of("last")}
    for one in of("best"):
        yield replace(one, last=last.get(one.dataset))


def _share(dataset: str, hits: int, of: int, seeds: int, what: str, apart: str = "") -> Measured:
    """A share in percent with its Wilson interval."""
    low, high = stats.wilson(hits, of)
    return Measured(dataset, 100 * hits / of, 100 * low, 100 * high, seeds, f"{of} {what}", "",
                    apart)  # fmt: skip


def _there(frame: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """The networks of a data set that have a result."""
    return frame[(frame["dataset"] == dataset) & (frame["origin"] != rq1.NOT_RUN)]


def _seeds(part: pd.DataFrame) -> int:
    """Seeds that every configuration of some networks has, at least."""
    ran = part[part["origin"] != rq1.NOT_RUN]
    return int(ran.groupby("configuration")["seed"].nunique().min()) if len(ran) else 0


def _apart(part: pd.DataFrame) -> str:
    """How networks of a frame of ``rq1.accuracy`` differ from the published conditions."""
    if part.empty:
        return ""
    if part["verdict"].isin([published.NOT_COMPARABLE, published.UNPUBLISHED]).any():
        first = part.iloc[0]
        return (f"on {first['dataset']}, layers of {first['widths']} units, "
                f"{first['epochs_run']:.0f} epochs")  # fmt: skip
    return ""


def _lacking(there: int, planned: int, what: str) -> str:
    """That a part of a grid cannot speak for the whole."""
    return f"{there} of {planned} {what}" if there < planned else ""


def _after(part: pd.DataFrame) -> str:
    """After how many epochs some networks were looked at, where that is fewer than planned; theirs
    were looked at after as many."""
    short = part["epochs_run"] < part["epochs"]
    if "stopped" in part:
        short &= ~part["stopped"].astype(bool)
    cut = part[short]
    if cut.empty:
        return ""
    run, planned = cut[["epochs_run", "epochs"]].min()
    return f", after {run:.0f} of {planned:.0f} epochs"


def _apart_of(material: Material, keys: pd.Series) -> str:
    """The same of networks whose latents were measured."""
    found = [material.records[k] for k in keys if k in material.records]
    other = [r for r in found if not as_published(r.planned)]
    if other:
        e = other[0].planned
        widths = "x".join(map(str, e.widths))
        return f"on {e.dataset}, layers of {widths} units, {e.epochs} epochs"
    return ""


def _other_conditions(verdict: str, judged: Sequence[str]) -> str:
    return "" if verdict in (*judged, rq1.NOT_RUN) else verdict.partition(":")[0]


def _named(frame: pd.DataFrame) -> str:
    return ", ".join(frame["dataset"].unique())


def _over_grid(
    frame: pd.DataFrame, rows: Sequence[str], factor: str, columns: Sequence[str],
    statistic: Callable[[Any], np.ndarray],
) -> Iterator[Measured]:  # fmt: skip
    """A statistic of configurations [n, k], one column a level of a factor, with its interval and
    the published one; for each data set that has two configurations with every level."""

    def of(kind: str) -> Iterator[Measured]:
        for dataset, part in frame.groupby("dataset", sort=False):
            values = [kind, f"published_{kind}"]
            wide = part.pivot_table(values, [*rows], factor)
            if not {*columns} <= set(wide.get(kind, ())):
                continue
            planned, wide = part.groupby([*rows]).ngroups, wide.dropna()
            if len(wide) < 2:
                continue
            ours, theirs = (wide[c][[*columns]].to_numpy() for c in values)
            ran = _there(part, str(dataset))
            yield Measured(
                str(dataset), float(statistic(ours[None])[0]),
                *stats.bootstrap_interval(ours, statistic), _seeds(ran),
                f"{len(ours)} configurations{_after(ran)}", f"{statistic(theirs[None])[0]:+.1f}",
                _apart(ran) or _lacking(len(ours), planned, "configurations"),
            )  # fmt: skip

    yield from _best_and_last(of)


def _lead(samples: Any) -> np.ndarray:
    """The mean of the first column minus the best mean of the others: [R, n, k] to [R]."""
    means = np.asarray(samples).mean(axis=1)
    return np.asarray(means[:, 0] - means[:, 1:].max(axis=1))


def _wider(samples: Any) -> np.ndarray:
    """The mean standard deviation of the other columns minus the first's: [R, n, k] to [R]."""
    spreads = np.asarray(samples).std(axis=1, ddof=1)
    return np.asarray(spreads[:, 1:].mean(axis=1) - spreads[:, 0])
