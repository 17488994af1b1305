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
from ffreport.analysis.estimate import NOT_COMPARABLE, UNPUBLISHED, Estimate
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
        hits = int((part["verdict"] == verdicts.WITHIN).sum())
        planned = int((table["dataset"] == dataset).sum())
        found = Estimate.share(hits, len(part), f"configurations{_after(part)}")
        yield Measured(str(dataset), found, int(part["seeds"].min()),
                       lacking=_lacking(len(part), planned, "configurations"))  # fmt: skip
    for dataset, part in table[~table.index.isin(judged.index)].groupby("trained_on", sort=False):
        nothing = Estimate(n=len(part), over="configurations")
        yield Measured(str(dataset), nothing, int(part["seeds"].min()),
                       elsewhere=_elsewhere(_there(material.frame, str(dataset))))  # fmt: skip


def order(material: Material) -> Iterator[Measured]:
    """Rank correlation of accuracies with the published ones after as many epochs."""
    table = contrasts.agreement(material.level)

    def of(kind: str) -> Iterator[Measured]:
        for row in table[table["accuracy"] == kind].to_dict("records"):
            part = _there(material.level, row["dataset"])
            interval = row["spearman"], row["spearman_low"], row["spearman_high"]
            there, planned = row["configurations"], row["planned"]
            found = Estimate(*interval, there, f"configurations{_after(part)}")
            yield Measured(row["dataset"], found, _seeds(part), elsewhere=_elsewhere(part),
                           lacking=_lacking(there, planned, "configurations"))  # fmt: skip

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
        value = float(sides[1].mean() - sides[0].mean())
        over = f"{len(sides[0])} and {len(sides[1])} configurations"
        where = _there(material.frame, str(dataset))
        yield Measured(
            str(dataset), Estimate(value, *stats.welch(sides[1], sides[0]), over=over),
            int(part["size"].min()), elsewhere=_elsewhere(where),
            published=f"{theirs[list(second)].mean() - theirs[first]:+.2f}",
        )  # fmt: skip


def polarity_within(material: Material) -> Iterator[Measured]:
    """Percent of the results within ±8 points of their configuration's mean over shares."""
    frame = rq1.accuracy(material.study, "polarity", level=True)
    found = shares.within(shares.deviations(frame))
    theirs = published.figures()["claims"]["polarity_share"]["value"]
    yield _of_polarity(material, frame, found, f"{theirs:g}")


def polarity_balance(material: Material) -> Iterator[Measured]:
    """What the most unequal groups of units change against equal ones."""
    frame = rq1.accuracy(material.study, "polarity", level=True)
    found = shares.deviations(frame)
    if found.empty:
        return
    per = shares.balance(found)
    yield _of_polarity(material, frame, shares.over_configurations(per["inequality"], per))


def prototypes(material: Material) -> Iterator[Measured]:
    """Percent of the named examples whose measured structure is the described one."""
    found = structures.prototypes(material.structures)
    frame = material.structures
    for dataset, part in found.groupby("dataset", sort=False):
        keys = frame.loc[(frame["dataset"] == dataset)
                         & frame["configuration"].isin(part["configuration"]), "key"]  # fmt: skip
        yield Measured(
            str(dataset), Estimate.share(int(part["agrees"].sum()), len(part), "networks"),
            int(part.groupby("configuration")["seed"].nunique().min()),
            elsewhere=_elsewhere_of(material, keys),
        )  # fmt: skip


def measured_structures(material: Material) -> Iterator[Measured]:
    """Percent of the networks that learned, and whose family the paper states, that have its
    structure; of those trained as planned, where they are enough for an interval."""
    frame = material.structures
    part = frame[frame["stated"] & structures.learned(frame)]
    for dataset, some in part.groupby("dataset", sort=False):
        whole = some[some["whole"].astype(bool)]
        some = whole if len(whole) >= stats.FEWEST else some
        hits = int((some["structure"] == some["family"]).sum())
        found = Estimate.share(hits, len(some), "networks")
        yield Measured(str(dataset), found, int(some["seed"].nunique()),
                       elsewhere=_elsewhere_of(material, some["key"]))  # fmt: skip


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
        over = f"pair{'s' * (row['pairs'] != 1)} of configurations{_after(part)}"
        yield Measured(
            row["dataset"],
            Estimate(row["difference"], row["low"], row["high"], row["pairs"], over),
            _seeds(part), "" if np.isnan(theirs) else f"{theirs:+{digits}}", _elsewhere(part),
            _lacking(row["pairs"], row["planned"], "pairs"),
        )  # fmt: skip


def _best_and_last(of: Callable[[str], Iterator[Measured]]) -> Iterator[Measured]:
    """What a test says of best accuracies, with what it says of last ones beside it."""
    last = {one.dataset: one.estimate for one in of("last")}
    for one in of("best"):
        yield replace(one, last=last.get(one.dataset))


def _of_polarity(
    material: Material, frame: pd.DataFrame, found: Estimate, theirs: str = ""
) -> Measured:
    """What all data sets of the part ``polarity`` together say."""
    lacking = "" if np.isnan(found.value) else shares.lacking(frame, material.study)
    other = lacking == NOT_COMPARABLE
    name = ", ".join(frame["dataset"].unique())
    return Measured(name, found, _seeds(frame), theirs, elsewhere=lacking if other else "",
                    lacking="" if other else lacking)  # fmt: skip


def _there(frame: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """The networks of a data set that have a result."""
    return frame[(frame["dataset"] == dataset) & (frame["origin"] != rq1.NOT_RUN)]


def _seeds(part: pd.DataFrame) -> int:
    """Seeds that every configuration of some networks has, at least."""
    ran = part[part["origin"] != rq1.NOT_RUN]
    return int(ran.groupby("configuration")["seed"].nunique().min()) if len(ran) else 0


def _elsewhere(part: pd.DataFrame) -> str:
    """How networks of a frame of ``rq1.accuracy`` differ from the published conditions."""
    if part.empty:
        return ""
    if part["verdict"].isin([NOT_COMPARABLE, UNPUBLISHED]).any():
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
    ran = int(part["epochs_run"].count())
    some = f"{len(cut)} of {ran} networks " if len(cut) < ran else ""
    return f", {some}after {run:.0f} of {planned:.0f} epochs"


def _elsewhere_of(material: Material, keys: pd.Series) -> str:
    """The same of networks whose latents were measured."""
    found = [material.records[k] for k in keys if k in material.records]
    other = [r for r in found if not as_published(r.planned)]
    if other:
        e = other[0].planned
        widths = "x".join(map(str, e.widths))
        return f"on {e.dataset}, layers of {widths} units, {e.epochs} epochs"
    return ""


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
                str(dataset),
                Estimate.bootstrap(ours, statistic, f"configurations{_after(ran)}"),
                _seeds(ran), f"{statistic(theirs[None])[0]:+.1f}", _elsewhere(ran),
                _lacking(len(ours), planned, "configurations"),
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
