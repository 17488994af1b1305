"""What a verdict on a claim needs to be trained, and what of that is lacking."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ffcore.config import AnyExperiment, Experiment
from ffreport.analysis import published
from ffreport.analysis.appendix import shares
from ffreport.analysis.published import as_published
from ffreport.analysis.rq2.latents import PROTOTYPES
from ffreport.base.words import configuration
from ffreport.study.profiles import PARTS, Profile

if TYPE_CHECKING:
    from ffreport.analysis.claims.ledger import Claim
    from ffreport.runs.results import Results

# Which trainings a claim is about, see ``ledger.yaml``.
Networks = Literal["grid", "logs", "spread", "polarity", "prototypes", "theory", "none"]
THEORY = "mnist"  # the data set of the claims on sparsity


@dataclass(frozen=True)
class Stock:
    """Which planned trainings have a ``whole`` result, of one's own or shipped, in any number
    format."""

    whole: frozenset[AnyExperiment]


@dataclass(frozen=True)
class Need:
    """What a verdict on a claim takes on a data set.

    Args:
        trainings: that suffice, of the planned ones.
        planned: those, and all others of the same configurations.
        obstacle: why no training of the profile settles it; empty where they do.
    """

    claim: str
    dataset: str
    trainings: tuple[AnyExperiment, ...]
    planned: tuple[AnyExperiment, ...]
    obstacle: str = ""


@dataclass(frozen=True)
class Lack:
    """The trainings that an open verdict waits for, and what is lacking in words."""

    trainings: tuple[AnyExperiment, ...]
    words: str


def stock(planned: Sequence[AnyExperiment], results: Results) -> Stock:
    """What there is of some planned trainings."""
    return Stock(frozenset(r.planned for r in results.of(planned) if r and r.whole))


def needs(claims: Iterable[Claim], profile: Profile, there: Stock) -> list[Need]:
    """What verdicts on some claims take, a row a claim and data set that the profile has
    trainings for; in the order of the claims, then of the profile's data sets."""
    known: dict[Any, list[Need]] = {}  # claims about the same trainings need the same
    found = []
    for claim in claims:
        about = (claim.networks, claim.seeds, claim.where)
        if about not in known:
            known[about] = [
                _need(claim, dataset, planned, there)
                for dataset, planned in _planned(claim.networks, profile).items()
            ]
        found += [replace(need, claim=claim.name) for need in known[about]]
    return found


def lack(
    need: Need | None, there: Stock, undecided: bool, parts: Mapping[AnyExperiment, str]
) -> Lack:
    """What a verdict lacks that is still open.

    Args:
        need: None where the profile has no training for it.
        undecided: the interval holds the bound, under the conditions that the claim needs.
        parts: of ``parts``.
    """
    if need is None or need.obstacle:
        why = need.obstacle if need else "the claim is of other conditions"
        return Lack((), f"no training of this profile settles it: {why}")
    if lacking := tuple(e for e in need.trainings if e not in there.whole):
        return Lack(lacking, counted(lacking, parts))
    more = tuple(e for e in need.planned if e not in there.whole)
    if undecided and more:
        return Lack(more, f"all that it needs is there; {counted(more, parts)} may narrow the "
                          "interval")  # fmt: skip
    return Lack((), "all that the profile plans for it is there")


def parts(profile: Profile) -> dict[AnyExperiment, str]:
    """Every network of a profile → the first part that names it."""
    return {e: part for part in reversed(PARTS) for e in profile.networks(part)}


def counted(trainings: Iterable[AnyExperiment], parts: Mapping[AnyExperiment, str]) -> str:
    """``90 networks of rq1 on mnist (seed 0), …``: by part of the profile and data set."""
    groups: dict[tuple[str, str], list[int]] = {}
    for e in trainings:
        groups.setdefault((parts.get(e, "sparsity"), e.dataset), []).append(e.seed)
    words = []
    for (part, dataset), seeds in groups.items():
        many = "s" * (len(seeds) > 1)
        what = f"sparsity run{many}" if part == "sparsity" else f"network{many} of {part}"
        words.append(f"{len(seeds)} {what} on {dataset} ({_seeds(seeds)})")
    return ", ".join(words)


def _seeds(seeds: Sequence[int]) -> str:
    """``seed 0``, ``seeds 1-4``, or ``90 of seed 0, 5 each of seeds 1-3``."""
    spans: list[tuple[int, int, int]] = []  # first, last, and how many there are of each
    for seed, count in sorted(Counter(seeds).items()):
        if spans and spans[-1][1:] == (seed - 1, count):
            spans[-1] = (spans[-1][0], seed, count)
        else:
            spans.append((seed, seed, count))
    words = [f"seeds {a}-{b}" if b > a else f"seed {a}" for a, b, _ in spans]
    if len(spans) == 1:
        return words[0]
    return ", ".join(f"{count} {'each ' * (b > a)}of {word}"
                     for word, (a, b, count) in zip(words, spans, strict=True))  # fmt: skip


def _planned(networks: Networks, profile: Profile) -> dict[str, list[AnyExperiment]]:
    """Data set → the trainings of a profile that a claim is about."""
    found: dict[str, list[AnyExperiment]] = {}
    if networks == "theory":
        for study in profile.sparsity:
            base = study.base
            if (study.part, base.loss, base.optimizer) == ("theorems", "difference", "sgd"):
                seeds = study.varied("seed") if "seed" in study.vary else []
                found.setdefault(base.dataset, []).extend([base, *seeds])
        return {name: list(dict.fromkeys(runs)) for name, runs in found.items()}
    if networks == "polarity":
        all_ = profile.networks("polarity")  # one verdict on all data sets
        return {", ".join(dict.fromkeys(e.dataset for e in all_)): [*all_]} if all_ else {}
    if networks == "none":
        return {}
    logs = {(r["dataset"], configuration(r))
            for r in published.ten_seeds().to_dict("records")}  # fmt: skip
    configurations = {
        "prototypes": set(PROTOTYPES.values()), "spread": {name for _, name in logs},
    }  # fmt: skip
    for e in profile.networks("rq1"):
        about = e.configuration in configurations.get(networks, {e.configuration})
        if about and (networks != "logs" or (e.dataset, e.configuration) in logs):
            found.setdefault(e.dataset, []).append(e)
    return found


def _need(claim: Claim, dataset: str, planned: list[AnyExperiment], there: Stock) -> Need:
    done = Counter(e.seed for e in planned if e in there.whole)
    groups: dict[str, list[AnyExperiment]] = {}
    # Seeds of which most is there come first, so that networks of one seed can be compared.
    for e in sorted(planned, key=lambda e: -done[e.seed]):
        other = {k: v for k, v in e.settings.items() if k != "seed"}
        groups.setdefault(json.dumps(other, sort_keys=True), []).append(e)
    fewest = min(map(len, groups.values()))
    chosen = {e for group in groups.values() for e in group[: claim.seeds]}
    if claim.networks == "polarity":
        chosen = set(planned)
    obstacle = ""
    if claim.where == "paper" and not all(_as_claimed(claim.networks, e) for e in planned):
        theory = claim.networks == "theory"
        obstacle = f"the claim is of {THEORY if theory else 'the published conditions'}"
    elif fewest < claim.seeds:
        obstacle = f"it plans {fewest} of {claim.seeds} seeds"
    trainings = tuple(e for e in planned if e in chosen)
    return Need(claim.name, dataset, trainings, tuple(planned), obstacle)


def _as_claimed(networks: Networks, e: AnyExperiment) -> bool:
    if isinstance(e, Experiment):
        return shares.as_in_appendix(e) if networks == "polarity" else as_published(e)
    return e.dataset == THEORY
