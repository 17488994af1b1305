"""What there is to report from: stored runs, else results that travel with the project."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ffcore.config import AnyExperiment, Experiment, SparsityExperiment
from ffreport.base import digests
from ffreport.runs import results as records
from ffreport.runs import shipped, shipped_studies
from ffreport.runs.store import Store


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
    ) -> list[records.Record | None]:
        """What stands for each network of these, see ``records.find``; with ``weights`` once more
        among one's own runs alone, for these may be others than the best."""
        planned = [e for e in needed if isinstance(e, Experiment)]
        found = records.find(planned, self.store, lambda: self.shipped)
        return found + records.find(planned, self.store, dict) if weights else found

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
            found[f"{records.SHIPPED} sparsity runs"] = shared
        return found

    def stand_ins(self, needed: Sequence[AnyExperiment], weights: bool) -> dict[str, list[str]]:
        """Planned name → origin and name of the result that reports show in its place."""
        found = {
            r.planned.name: [r.origin, r.experiment.name]
            for r in self.records(needed, weights)
            if r and r.stands_in
        }
        return found | {name: [records.SHIPPED, name] for name in self._shared(needed)}

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
