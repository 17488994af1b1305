"""What a pipeline would do, why, and how long that would take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ffcore.config import AnyExperiment
from ffreport.base.console import duration
from ffreport.compute import pool
from ffreport.pipeline.stages import Pipeline
from ffreport.pipeline.training import predictions
from ffreport.runs.store import State


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
    past = predictions.past(every, pipeline.store, experiments)
    steps = []
    for (kind, dataset, state), group in groups.items():
        what = "networks" if kind == "network" else "sparsity runs"
        seconds = predictions.training(group, past, pool.cores())
        steps.append(Step(f"train {len(group)} {what} on {dataset}",
                          f"{state.name}: {state.reason}", seconds, tuple(group)))  # fmt: skip
    return steps
