"""How long work will take, from how long it took here before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from ffcore.config import AnyExperiment
from ffreport.pipeline.training import planning
from ffreport.runs.store import Run, Store

LOOKED_AT = 40  # past runs of a kind that are enough for a median
ALIKE = 10  # networks of so many times the weights: those that are smaller spend most on overhead


Rates = dict[tuple[str, str], float]


def rates(past: Iterable[Run]) -> Rates:
    """Kind and data set → seconds of an operation, the median over past runs; of all data sets of
    a kind under the empty name. It is measured while as many processes were at work as then had
    tasks."""
    found: dict[tuple[str, str], list[float]] = {}
    for run in past:
        e = run.experiment
        rate = sum(run.seconds.values()) / planning.operations(e)
        for key in ((e.kind, e.dataset), (e.kind, "")):
            found.setdefault(key, []).append(rate)
    return {key: median(values) for key, values in found.items()}


def one(e: AnyExperiment, known: Rates) -> float | None:
    """Seconds to train an experiment: by runs of its kind and data set, else by those of its kind;
    None where there is none."""
    rate = known.get((e.kind, e.dataset)) or known.get((e.kind, ""))
    return None if rate is None else rate * planning.operations(e)


def training(
    pending: Sequence[AnyExperiment], past: Iterable[Run], processes: int = 1
) -> float | None:
    """Seconds of wall-clock time to train some experiments; None where nothing of their kind was
    ever trained here."""
    known = rates(past)
    total = 0.0
    for e in pending:
        if (seconds := one(e, known)) is None:
            return None
        total += seconds
    return total / max(1, min(processes, len(pending)))


def past(
    pending: Sequence[AnyExperiment], store: Store, asked: Sequence[AnyExperiment] = ()
) -> list[Run]:
    """Runs by which to tell how long some experiments take: those of all that were asked for, and,
    where these lack a kind, similar ones."""
    found = store.usable(asked)
    if {e.kind for e in pending} - {run.experiment.kind for run in found}:
        found += similar(pending, store)
    return found


def similar(pending: Sequence[AnyExperiment], store: Store) -> list[Run]:
    """Stored runs of the kinds of some experiments and of about their size, those of their data
    sets first; LOOKED_AT of each kind at most."""
    wanted = {(e.kind, e.dataset) for e in pending}
    sizes: dict[str, set[int]] = {}
    for e in pending:
        sizes.setdefault(e.kind, set()).add(planning.weights(e))
    stored = sorted(store.experiments(), key=lambda e: (e.kind, e.dataset) not in wanted)
    found: list[Run] = []
    for kind, of_kind in sorted(sizes.items()):
        low, high = min(of_kind) / ALIKE, max(of_kind) * ALIKE
        same = [e for e in stored if e.kind == kind and low <= planning.weights(e) <= high]
        found += store.usable(same[:LOOKED_AT])
    return found
