"""How long work will take, from how long it took here before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from ffcore import planning
from ffcore.config import AnyExperiment
from ffcore.store import Run, Store

LOOKED_AT = 40  # past runs of a kind that are enough for a median


def training(
    pending: Sequence[AnyExperiment], past: Iterable[Run], processes: int = 1
) -> float | None:
    """Seconds of wall-clock time to train some experiments; None where nothing of their kind was
    ever trained here.

    The time of an operation is the median over past runs: those of the same kind and data set, else
    those of the same kind. It is measured while as many processes were at work as then had tasks.
    """
    rates: dict[tuple[str, str], list[float]] = {}
    for run in past:
        e = run.experiment
        rate = sum(run.seconds.values()) / planning.operations(e)
        for key in ((e.kind, e.dataset), (e.kind, "")):
            rates.setdefault(key, []).append(rate)
    total = 0.0
    for e in pending:
        found = rates.get((e.kind, e.dataset)) or rates.get((e.kind, ""))
        if found is None:
            return None
        total += median(found) * planning.operations(e)
    return total / max(1, min(processes, len(pending)))


def similar(pending: Sequence[AnyExperiment], store: Store) -> list[Run]:
    """Stored runs of the kinds of some experiments, those of their data sets first; LOOKED_AT of
    each kind at most."""
    wanted = {(e.kind, e.dataset) for e in pending}
    kinds = {e.kind for e in pending}
    stored = sorted(store.experiments(), key=lambda e: (e.kind, e.dataset) not in wanted)
    found: list[Run] = []
    for kind in sorted(kinds):
        of_kind = [e for e in stored if e.kind == kind]
        found += store.usable(of_kind[:LOOKED_AT])
    return found
