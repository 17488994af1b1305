"""What there is to report for a planned network: a run of one's own, a shipped result, or a part.

A planned network that was not trained as planned may have a stand-in: the same experiment in
another number format, or with fewer epochs. Every record says which it is.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ffcore.config import AnyExperiment, Experiment, SparsityExperiment
from ffreport.base import digests
from ffreport.runs import shipped, shipped_studies
from ffreport.runs.store import Run, Store

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from ffreport.runs.shipped import Entry

OWN, SHIPPED = "own", "shipped"
MIXED = f"{OWN} and {SHIPPED}"  # of several networks


@dataclass(frozen=True)
class Record:
    """The result that stands for a planned network.

    ``experiment`` is what was trained, ``content`` identifies its numbers, ``history`` reads its
    rows (see ``train.Result``).
    """

    planned: Experiment
    experiment: Experiment
    origin: str
    summary: dict[str, Any]
    content: Any
    history: Callable[[], pd.DataFrame]

    @property
    def whole(self) -> bool:
        """Whether it was trained for the epochs that were planned."""
        return self.experiment.epochs == self.planned.epochs

    @property
    def stands_in(self) -> bool:
        """Whether it is anything but one's own run of what was planned."""
        return self.origin != OWN or self.experiment != self.planned

    def __str__(self) -> str:
        """Such as ``shipped, 5 of 50 epochs, bf16``."""
        epochs = "" if self.whole else f"{self.experiment.epochs} of "
        return f"{self.origin}, {epochs}{self.planned.epochs} epochs, {self.experiment.precision}"


def find(
    planned: Sequence[Experiment], store: Store, shipped: Callable[[], Mapping[str, Entry]]
) -> list[Record | None]:
    """The best result for each planned network, None where there is none.

    A whole training comes before a part, and of parts the longest; then one's own run before a
    shipped one, then the planned number format before another.

    Args:
        shipped: what travels with the project; asked only where a run is lacking.
    """
    runs = {run.experiment.key: run for run in store.usable(planned)}
    whole = {p: _own(p, runs[p.key]) for p in planned if p.key in runs}
    if len(whole) == len(set(planned)):
        return [whole[p] for p in planned]  # No need to look at everything that is stored.
    own, entries = _own_kin(store), shipped()
    theirs: dict[str, list[tuple[Experiment, str]]] = {}
    for entry in entries.values():
        theirs.setdefault(kin(entry.experiment), []).append((entry.experiment, SHIPPED))

    def candidates(p: Experiment) -> list[tuple[Experiment, str]]:
        return [*own.get(kin(p), ()), *theirs.get(kin(p), ())]

    found = [whole.get(p) or _best(p, candidates(p), store, entries) for p in planned]
    store.save_verified()
    return found


def exact(planned: Experiment, store: Store, shipped: Mapping[str, Entry]) -> Record | None:
    """The run or the shipped result of just this experiment, number format and epochs included."""
    if store.state(planned).usable:
        return _own(planned, store.load(planned))
    if entry := shipped.get(planned.key):
        numbers = [entry.summary, entry.history["test_accuracy"].tolist()]
        rows = partial(_same, entry.history)
        return Record(planned, planned, SHIPPED, entry.summary, numbers, rows)
    return None


def _own(e: Experiment, run: Run) -> Record:
    """A stored network as the record of itself."""
    content = {name: facts["sha256"] for name, facts in run.files.items()}
    return Record(e, e, OWN, run.summary, content, partial(run.table, "history"))


def _best(
    planned: Experiment,
    candidates: Sequence[tuple[Experiment, str]],
    store: Store,
    shipped: Mapping[str, Entry],
) -> Record | None:
    def rank(candidate: tuple[Experiment, str]) -> tuple[Any, ...]:
        e, origin = candidate
        return -e.epochs, origin != OWN, e.precision != planned.precision, e.precision

    for e, _ in sorted((c for c in candidates if c[0].epochs <= planned.epochs), key=rank):
        if found := exact(e, store, shipped):
            return replace(found, planned=planned)
    return None


def _same(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


def kin(experiment: Experiment) -> str:
    """What an experiment shares with its stand-ins: all settings but epochs and number format."""
    settings = {k: v for k, v in experiment.settings.items() if k not in ("epochs", "precision")}
    return json.dumps(settings, sort_keys=True)


def _own_kin(store: Store) -> dict[str, list[tuple[Experiment, str]]]:
    """The stored networks by what they share with their stand-ins: worked out once for a store, for
    every report asks."""
    stored = store.experiments()
    known = _KIN.get(store)
    if known is None or known[0] is not stored:
        found: dict[str, list[tuple[Experiment, str]]] = {}
        for e in stored:
            if isinstance(e, Experiment):
                found.setdefault(kin(e), []).append((e, OWN))
        known = _KIN[store] = (stored, found)
    return known[1]


_KIN: WeakKeyDictionary[Store, Any] = WeakKeyDictionary()


@dataclass
class Evidence:
    """Looks into a store, and into a folder of shipped tables."""

    store: Store
    folder: Path

    @cached_property
    def shipped(self) -> dict[str, shipped.Entry]:
        """The networks that travel with the project, by key."""
        return shipped.read(self.folder)

    @cached_property
    def studies(self) -> dict[str, shipped_studies.SharedRun]:
        """The sparsity runs that travel with the project, by key."""
        return shipped_studies.read(self.folder)

    def records(
        self, needed: Sequence[AnyExperiment], weights: bool = False
    ) -> list[Record | None]:
        """What stands for each network of these, see ``find``; with ``weights`` once more
        among one's own runs alone, for these may be others than the best."""
        planned = [e for e in needed if isinstance(e, Experiment)]
        found = find(planned, self.store, lambda: self.shipped)
        return found + find(planned, self.store, dict) if weights else found

    def digests(self, needed: Sequence[AnyExperiment], weights: bool = False) -> dict[str, str]:
        """Name of each network or sparsity run that there are results of → digest of those."""
        studies = [e for e in needed if isinstance(e, SparsityExperiment)]
        found = {
            run.experiment.name: digests.digest({n: f["sha256"] for n, f in run.files.items()})
            for run in self.store.usable(studies)
        }
        files = []
        if len(found) < len(studies) and any(e.key in self.studies for e in studies):
            files += [self.folder / file for file in shipped_studies.FILES]
        if weights and (self.folder / shipped.LATENTS).is_file():
            files.append(self.folder / shipped.LATENTS)
        found |= {path.name: digests.file_digest(path) for path in files}
        networks: dict[str, list[Any]] = {}
        for r in filter(None, self.records(needed, weights)):
            networks.setdefault(r.planned.name, []).append([r.origin, r.experiment.key, r.content])
        return found | {planned: digests.digest(of) for planned, of in networks.items()}

    def counted(self, planned: Sequence[AnyExperiment]) -> Counter[str]:
        """How many of some networks and sparsity runs have a stand-in, by what it is."""
        found = Counter(str(r) for r in self.records(planned) if r and r.stands_in)
        if shared := len(self._shared(planned)):
            found[f"{SHIPPED} sparsity runs"] = shared
        return found

    def stand_ins(self, needed: Sequence[AnyExperiment], weights: bool) -> dict[str, list[str]]:
        """Planned name → origin and name of the result that reports show in its place."""
        found = {
            r.planned.name: [r.origin, r.experiment.name]
            for r in self.records(needed, weights)
            if r and r.stands_in
        }
        return found | {name: [SHIPPED, name] for name in self._shared(needed)}

    def anything(self, needed: Sequence[AnyExperiment]) -> bool:
        """Whether there is anything of some networks and of some sparsity runs, where needed."""
        studies = [e for e in needed if isinstance(e, SparsityExperiment)]
        there = any(self.records(needed)) if len(studies) < len(needed) else True
        if not studies or not there:
            return there
        return any(e.key in self.studies for e in studies) or bool(self.store.usable(studies))

    def _shared(self, experiments: Iterable[AnyExperiment]) -> list[str]:
        """Names of the sparsity runs that are shipped and not stored."""
        studies = [e for e in experiments if isinstance(e, SparsityExperiment)]
        own = {run.experiment for run in self.store.usable(studies)}
        return sorted({e.name for e in studies if e not in own and e.key in self.studies})
