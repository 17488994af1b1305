"""In which order trainings begin so that claims are settled soon, and which of them fit a time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ffcore.config import AnyExperiment
from ffcore.errors import ConfigError
from ffreport.analysis.claims import needs
from ffreport.base.console import duration
from ffreport.compute import pool
from ffreport.data import sources
from ffreport.pipeline import plans
from ffreport.pipeline.training import planning, tasks

if TYPE_CHECKING:
    from ffreport.runs.results import Results
    from ffreport.runs.store import State, Store
    from ffreport.study.profiles import Profile

NAMED = 3  # trainings of a bundle that are called by their names


@dataclass(frozen=True)
class Bundle:
    """Trainings that belong together, and the needs of claims that are met once they are done."""

    trainings: tuple[AnyExperiment, ...]
    settles: tuple[needs.Need, ...] = ()


@dataclass
class Clock:
    """Whether a task may still begin; learns from what was trained meanwhile how long they take.

    A task whose kind was never trained here begins, for nothing else tells how long it takes. One
    that goes on from a checkpoint counts as a whole.

    Args:
        hours: from now on.
        past: runs to predict from.
        now: seconds of a clock.
    """

    hours: float
    past: list[Any]
    now: Callable[[], float] = time.monotonic
    refused: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._end = self.now() + 3600 * self.hours
        self._rates = plans.rates(self.past)

    @property
    def left(self) -> float:
        """Seconds."""
        return max(0.0, self._end - self.now())

    def admits(self, task: tasks.Task) -> bool:
        """Whether a task is predicted to end in time; to be asked as it is about to begin."""
        needed = sum(plans.one(e, self._rates) or 0.0 for e in task.experiments)
        fits = 0 < self.left and needed <= self.left
        self.refused += 0 if fits else len(task.experiments)
        return fits

    def learn(self, done: Any) -> None:
        """Take what was trained just now, with its ``experiment`` and ``seconds``, for a past
        run."""
        self.past.append(done)
        self._rates = plans.rates(self.past)


@dataclass
class Agenda:
    """What a call of ``train`` trains: bundles one after the other, until a clock admits no more.

    Args:
        past: runs to predict times from.
        ordered: whether the order of the bundles is that of claims.
        whole: how many are left out because they are whole elsewhere, see ``agenda``.
        absent: those left out because their data are not on this machine.
    """

    bundles: list[Bundle]
    past: list[Any] = field(default_factory=list)
    clock: Clock | None = None
    ordered: bool = False
    whole: int = 0
    absent: tuple[AnyExperiment, ...] = ()
    trained: list[AnyExperiment] = field(default_factory=list, init=False)

    @property
    def admits(self) -> Callable[[tasks.Task], bool] | None:
        """Asked of each task as it is about to begin; None where all begin."""
        return self.clock.admits if self.clock else None

    def learn(self, done: tasks.Outcome) -> None:
        """Note what was trained just now, and how long it took."""
        self.trained.append(done.experiment)
        if self.clock:
            self.clock.learn(done)

    @property
    def trainings(self) -> list[AnyExperiment]:
        return [e for bundle in self.bundles for e in bundle.trainings]

    @property
    def parts(self) -> list[list[AnyExperiment]]:
        """The trainings in groups that begin one after the other: a bundle's seeds where claims
        order them, else all together."""
        if not self.ordered:
            return [self.trainings]
        return [
            [e for e in bundle.trainings if e.seed == seed]
            for bundle in self.bundles
            for seed in dict.fromkeys(e.seed for e in bundle.trainings)
        ]

    def ended(self) -> str:
        """How many were trained, how many are left, and why."""
        told = [f"{len(self.trained)} trained"]
        if self.clock and self.clock.refused:
            told.append(
                f"{self.clock.refused} are left: none would have ended within {self.clock.hours:g} "
                "hours; the same command goes on with them"
            )
        if self.absent:
            told.append(f"{len(self.absent)} are left for lack of data")
        if len(told) == 1:
            told.append("none is left")
        return "; ".join(told)

    def left_out(self) -> Iterator[str]:
        """A line for each reason to leave trainings out before any begins."""
        if self.whole:
            yield f"{self.whole} left out: whole trainings, shipped or in another number format"
        if self.absent:
            names = " ".join(dict.fromkeys(e.dataset for e in self.absent))
            yield (f"{len(self.absent)} left out: their data are not here; get them with "
                   f"`python pipeline.py data fetch {names}`")  # fmt: skip


def everything(pending: Sequence[AnyExperiment]) -> Agenda:
    """All of it, the longest first."""
    return Agenda([Bundle(tuple(pending))])


def hours(text: str | None) -> float | None:
    """The value of ``--hours``.

    Raises:
        ConfigError: no number above 0.
    """
    if text is None:
        return None
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise ConfigError(f"--hours is {text!r}; give a number of hours above 0, such as 2.5")
    return found


def agenda(
    profile: Profile, results: Results, states: Mapping[AnyExperiment, State],
    data_folder: str | None, claims: Iterable[Any] | None = None, missing: bool = False,
    limit: float | None = None,
) -> Agenda:  # fmt: skip
    """What is to be trained of some experiments, and in which order.

    Args:
        states: every experiment that was asked for → its state in the store.
        claims: order the trainings so that most of these are settled an hour; the longest come
            first if None.
        missing: leave out what is shipped, or stored in another number format, as a whole
            training.
        limit: hours; leaves out what lacks its data, too.
    """
    pending = [e for e, state in states.items() if not state.usable]
    past = plans.past(pending, results.store, list(states))
    planned: list[AnyExperiment] = [*profile.networks("rq1", "polarity"), *profile.sparsity_runs()]
    asked = [e for e, state in states.items() if state.name == "missing"] if missing else []
    there = needs.stock(list(dict.fromkeys([*planned, *asked])), results)
    # A run of one's own that is outdated is trained again, as without the option.
    whole = there.whole.intersection(asked)
    absent = {e.dataset for e in pending if not available(e.dataset, data_folder)}
    far = [e for e in pending if e not in whole and e.dataset in absent]
    near = [e for e in pending if e not in whole and e.dataset not in absent]
    shown = [near] if limit else [near, far]
    if claims is None:
        bundles = [Bundle(tuple(e for some in shown for e in some))]
    else:
        met = [
            need for need in needs.needs(claims, profile, there)
            if not need.obstacle and all(e in states or e in there.whole for e in need.trainings)
        ]  # fmt: skip
        rates = plans.rates(past)
        known = all(plans.one(e, rates) for e in pending)

        def cost(e: AnyExperiment) -> float:
            return (known and plans.one(e, rates)) or planning.operations(e)

        panel = profile.networks("choices")
        first = [n for n in met if not set(far).intersection(n.trainings)]
        bundles = [bundle for some, wanted in zip(shown, [first, met], strict=False)
                   for bundle in order(some, wanted, cost, panel)]  # fmt: skip
    return Agenda(
        [bundle for bundle in bundles if bundle.trainings], past, Clock(limit, past) if limit
        else None, claims is not None, len(whole), tuple(far if limit else ()),
    )  # fmt: skip


def order(
    pending: Sequence[AnyExperiment], wanted: Sequence[needs.Need],
    cost: Callable[[AnyExperiment], float], panel: Iterable[AnyExperiment] = (),
) -> list[Bundle]:  # fmt: skip
    """Trainings so that most claims are settled an hour.

    First come those that settle claims nowhere settled yet, each on the first data set that is
    wanted; then the panel; then those that settle claims on further data sets; each time what
    settles most for its cost. At last comes what no claim needs, in the order given.

    Args:
        wanted: what claims need; the first of equals comes first.
        panel: trainings that no claim needs, and that tell how far the others carry.
    """
    # Places in ``pending``: to hash experiments takes longer than all the rest.
    place = {e: i for i, e in enumerate(pending)}
    left = set(place.values())
    sought = [[place[e] for e in need.trainings if e in place] for need in wanted]
    claims = [need.claim for need in wanted]
    met = {claim for claim, some in zip(claims, sought, strict=True) if not some}
    bundles: list[Bundle] = []

    def take(chosen: Iterable[int]) -> None:
        some = [i for i in chosen if i in left]
        settled = [need for need, all_ in zip(wanted, sought, strict=True)
                   if left.intersection(all_) and left.intersection(all_) <= set(some)]  # fmt: skip
        left.difference_update(some)
        met.update(need.claim for need in settled)
        if some:
            bundles.append(Bundle(tuple(pending[i] for i in some), tuple(settled)))

    def settle(anew: bool) -> None:
        while True:
            lacking = {n: left.intersection(some) for n, some in enumerate(sought)}
            lacking = {n: some for n, some in lacking.items() if some}
            if anew:
                first = {claims[n]: n for n in reversed(lacking) if claims[n] not in met}
                lacking = {n: lacking[n] for n in sorted(first.values())}
            if not lacking:
                return
            gains = {}
            for n, some in lacking.items():
                settled = {claims[m] for m, other in lacking.items() if other <= some}
                gains[n] = len(settled) / sum(cost(pending[i]) for i in some)
            take(sought[max(gains, key=gains.__getitem__)])

    settle(anew=True)
    if met:
        take(place[e] for e in panel if e in place)
    settle(anew=False)
    take(place.values())
    return bundles


def available(dataset: str, data_folder: str | None) -> bool:
    """Whether every file of a data set lies on this machine."""
    return all(sources.locate(dataset, data_folder).values())


def lines(found: Agenda, profile: Profile) -> Iterator[str]:
    """What a call would train: a line a bundle with its time here, the hours until then, and the
    verdicts that it makes possible; and where the time ends."""
    parts, count = needs.parts(profile), pool.cores()
    limit = 3600 * found.clock.hours if found.clock else math.inf
    end: float | None = 0.0
    over = False
    for number, bundle in enumerate(found.bundles, 1):
        few = len(bundle.trainings) <= NAMED
        named = ", ".join(e.name for e in bundle.trainings)
        took = plans.training(bundle.trainings, found.past, count)
        end = None if took is None or end is None else end + took
        told = _time(took)
        told += "" if end is None else f", {end / 3600:.1f} h in all"
        yield (f"{number}. {named if few else needs.counted(bundle.trainings, parts)}: {told}; "
               f"{_verdicts(bundle.settles)}")  # fmt: skip
        if took and end and end > limit and not over:
            over = True
            fit = int(len(bundle.trainings) * max(0.0, 1 - (end - limit) / took))
            yield f"   the {limit / 3600:g} hours end here, after about {fit} of them"
    if end is None and found.clock:
        yield (f"where the {limit / 3600:g} hours end is unknown: not all of it was ever trained "
               "here; the first to be trained tell")  # fmt: skip
    yield from found.left_out()
    if not found.bundles:
        yield "nothing to train"


def times(of: Sequence[Sequence[AnyExperiment]], store: Store) -> list[str]:
    """How long each of some groups of trainings takes here, in words; nothing of an empty group."""
    past = plans.past([e for some in of for e in some], store)
    count = pool.cores()
    return [_time(plans.training(some, past, count)) if some else "" for some in of]


def _time(seconds: float | None) -> str:
    return "time unknown here" if seconds is None else f"about {duration(seconds)} here"


def _verdicts(settled: Sequence[needs.Need]) -> str:
    """``unlocks ten_seeds, … on mnist``."""
    claims: dict[str, list[str]] = {}
    for need in settled:
        claims.setdefault(need.dataset, []).append(need.claim)
    words = [f"{', '.join(names)} on {dataset}" for dataset, names in claims.items()]
    return f"unlocks {'; '.join(words)}" if words else "settles no claim"
