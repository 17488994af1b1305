"""What there is to report for a planned experiment: a run of one's own, a shipped result, a part.

A planned network that was not trained as planned may have a stand-in: the same experiment in
another number format, or with fewer epochs. Every result says what it stands for.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from ffcore.config import AnyExperiment, Experiment
from ffreport.base import digests

if TYPE_CHECKING:
    import pandas as pd

    from ffreport.runs.shipped import Tables
    from ffreport.runs.store import Store

OWN, SHIPPED = "own", "shipped"
MIXED = f"{OWN} and {SHIPPED}"  # of several networks
Need = Literal["numbers", "latents", "weights"]

E = TypeVar("E", bound=AnyExperiment)
E_co = TypeVar("E_co", bound=AnyExperiment, covariant=True)


@dataclass(frozen=True)
class Result(ABC, Generic[E_co]):
    """What came of a training: a ``store.Run`` of one's own, or a ``shipped.Shipped`` one.

    Args:
        experiment: what was trained.
        summary, seconds, provenance: of the run's record.
        stands_for: the planned experiment, where that is another.
    """

    experiment: E_co
    summary: dict[str, Any]
    seconds: dict[str, float]
    provenance: dict[str, Any]
    stands_for: E_co | None = field(default=None, kw_only=True)

    origin: ClassVar[str]

    @abstractmethod
    def table(self, name: str) -> pd.DataFrame:
        """One of its tables, such as ``history``.

        Raises:
            StoreError: there is none, or it is damaged.
        """

    @property
    @abstractmethod
    def content(self) -> Any:
        """A JSON value that identifies its numbers."""

    @property
    def planned(self) -> E_co:
        """The experiment that the result is shown for."""
        return self.stands_for or self.experiment

    @property
    def whole(self) -> bool:
        """Whether it was trained for the epochs that were planned."""
        return self.experiment.epochs == self.planned.epochs

    @property
    def stands_in(self) -> bool:
        """Whether it is anything but one's own run of what was planned."""
        return self.origin != OWN or self.experiment != self.planned

    def __str__(self) -> str:
        """Which kind of result it is, such as ``shipped, 5 of 50 epochs, bf16``."""
        e = self.experiment
        if not isinstance(e, Experiment):
            return f"{self.origin} sparsity runs"
        epochs = "" if self.whole else f"{e.epochs} of "
        return f"{self.origin}, {epochs}{self.planned.epochs} epochs, {e.precision}"


class Results:
    """The results of a store, and of the tables that travel with the project."""

    def __init__(self, store: Store, shipped: Tables) -> None:
        self.store, self.shipped = store, shipped
        self._kin: dict[str, tuple[Any, dict[str, list[Any]]]] = {}

    def of(self, planned: Sequence[E], need: Need = "numbers") -> list[Result[E] | None]:
        """The best result for each planned experiment, None where there is none.

        A whole training comes before a part, and of parts the longest; then one's own run before a
        shipped one, then the planned number format before another.

        Args:
            need: ``weights``, which only runs of one's own have; ``latents``, which of shipped
                networks those have whose latents were measured; or ``numbers``, which all have.
        """
        own = {run.experiment.key: run for run in self.store.usable(planned)}
        if len(own) == len(set(planned)):
            return [own[p.key] for p in planned]  # No need to look at everything that is stored.
        found = [own.get(p.key) or self._best(p, need) for p in planned]
        self.store.remembered.save()
        return found

    def exact(self, experiment: E, need: Need = "numbers") -> Result[E] | None:
        """The run or the shipped result of just this experiment, number format and epochs
        included."""
        if self.store.state(experiment).usable:
            return self.store.load(experiment)
        if need == "weights" or (need == "latents" and experiment.key not in self.shipped.latents):
            return None
        return self.shipped.of(experiment.kind).get(experiment.key)

    def digests(self, needed: Sequence[AnyExperiment], weights: bool = False) -> dict[str, str]:
        """Name of each network or sparsity run that there are results of → digest of those."""
        found, files = {}, {self.shipped.measured} if weights else set()
        networks: dict[str, list[Any]] = {}
        for r in self._shown(needed, weights):
            if isinstance(r.experiment, Experiment):
                content = [r.origin, r.experiment.key, r.content]
                networks.setdefault(r.planned.name, []).append(content)
            elif r.origin == OWN:
                found[r.planned.name] = digests.digest(r.content)
            else:
                files |= {*self.shipped.files(r.experiment.kind)}
        found |= {path.name: digests.file_digest(path) for path in files if path.is_file()}
        return found | {planned: digests.digest(of) for planned, of in networks.items()}

    def counted(self, planned: Sequence[AnyExperiment]) -> Counter[str]:
        """How many of some experiments have a stand-in, by what it is."""
        return Counter(str(r) for r in self._shown(planned) if r.stands_in)

    def stand_ins(self, needed: Sequence[AnyExperiment], weights: bool) -> dict[str, list[str]]:
        """Planned name → origin and name of the result that reports show in its place."""
        shown = self._shown(needed, weights)
        return {r.planned.name: [r.origin, r.experiment.name] for r in shown if r.stands_in}

    def anything(self, needed: Sequence[AnyExperiment]) -> bool:
        """Whether there is anything of some networks and of some sparsity runs, where needed."""
        return {e.kind for e in needed} == {r.planned.kind for r in self._shown(needed)}

    def _shown(
        self, needed: Sequence[AnyExperiment], weights: bool = False
    ) -> Iterator[Result[AnyExperiment]]:
        """What reports show of some experiments; with ``weights`` once more among one's own runs
        alone, for these may be others than the best."""
        found = self.of(needed) + (self.of(needed, "weights") if weights else [])
        return filter(None, found)

    def _best(self, planned: E, need: Need) -> Result[E] | None:
        """The best result that stands in for an experiment."""

        def rank(candidate: tuple[Any, str]) -> tuple[Any, ...]:
            e, origin = candidate
            precision = getattr(e, "precision", "")
            other = precision != getattr(planned, "precision", "")
            return -e.epochs, origin != OWN, other, precision

        origins = (OWN,) if need == "weights" else (OWN, SHIPPED)
        candidates = [(e, origin) for origin in origins for e in self._alike(planned, origin)
                      if e.epochs <= planned.epochs]  # fmt: skip
        for e, _ in sorted(candidates, key=rank):
            if found := self.exact(e, need):
                return replace(found, stands_for=planned)
        return None

    def _alike(self, planned: E, origin: str) -> list[Any]:
        """The experiments that were trained of an experiment's ``kin``; all are grouped once, for
        every report asks."""
        kind = planned.kind
        source = self.store.experiments() if origin == OWN else self.shipped.of(kind)
        known = self._kin.get(origin + kind)
        if known is None or known[0] is not source:
            there = source if isinstance(source, list) else [r.experiment for r in source.values()]
            groups: dict[str, list[Any]] = {}
            for e in there:
                if e.kind == kind:
                    groups.setdefault(kin(e), []).append(e)
            known = self._kin[origin + kind] = (source, groups)
        return known[1].get(kin(planned), [])


def kin(experiment: AnyExperiment) -> str:
    """What an experiment shares with its stand-ins: all settings, but for epochs and number format
    of a network."""
    apart = ("epochs", "precision") if isinstance(experiment, Experiment) else ()
    settings = {k: v for k, v in experiment.settings.items() if k not in apart}
    return json.dumps([experiment.kind, settings], sort_keys=True)
