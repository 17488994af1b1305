"""What a pipeline would do, why, and how long that would take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from ffcore.config import AnyExperiment
from ffreport.base.console import duration
from ffreport.compute import pool
from ffreport.pipeline.training import planning
from ffreport.runs.store import Run, State, Store

if TYPE_CHECKING:
    from ffreport.pipeline.stages import Pipeline

LOOKED_AT = 40  # past runs of a kind that are enough for a median
ALIKE = 10  # networks of so many times the weights: those that are smaller spend most on overhead
Rates = dict[tuple[str, str], float]


@dataclass(frozen=True)
class Step:
    """Something that would be done: what, why, in how many seconds (None: never done here), and
    the experiments that it trains."""

    what: str
    reason: str
    seconds: float | None
    experiments: tuple[AnyExperiment, ...] = ()

    def __str__(self) -> str:
        took = "no past run to tell how long" if self.seconds is None else (
            f"about {duration(self.seconds)}")  # fmt: skip
        return f"{self.what}: {self.reason} ({took})"


def plan(pipeline: Pipeline, reports: Sequence[str], train: bool = True) -> list[Step]:
    """What ``build`` would do, why, and how long it would take; changes nothing.

    Raises:
        ConfigError: an unknown report.
    """
    reports = pipeline.with_pages(reports)
    steps = training_plan(pipeline, pipeline.experiments) if train else []
    trained = {e for step in steps for e in step.experiments}
    for name in reports:
        reason = pipeline.pending(name)
        again = len(trained.intersection(pipeline.needed(name)))
        if again and not reason:
            reason = f"runs change: {again} are trained before"
        if reason:
            seconds = pipeline.book.seconds(pipeline.entry(name))
            steps.append(Step(f"report {name}", reason, seconds))
    return steps


def training_plan(pipeline: Pipeline, experiments: Sequence[AnyExperiment]) -> list[Step]:
    """What ``train`` would train, a step a kind, data set and reason."""
    states = pipeline.states(experiments)
    groups: dict[tuple[str, str, State], list[AnyExperiment]] = {}
    for e, state in states.items():
        if not state.usable:
            groups.setdefault((e.kind, e.dataset, state), []).append(e)
    every = [e for group in groups.values() for e in group]
    known = past(every, pipeline.store, experiments)
    steps = []
    for (kind, dataset, state), group in groups.items():
        what = "networks" if kind == "network" else "sparsity runs"
        seconds = training(group, known, pool.cores())
        steps.append(Step(f"train {len(group)} {what} on {dataset}",
                          f"{state.name}: {state.reason}", seconds, tuple(group)))  # fmt: skip
    return steps


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
