"""Training as tasks that run in this process, another one, or on a worker of a cluster.

A task is a list of experiments that train together; its outcome is ready to be stored.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffcore import plugins
from ffcore.config import Experiment, SparsityExperiment
from ffreport.base import digests
from ffreport.compute import pool
from ffreport.compute.pool import Note
from ffreport.runs import origin

if TYPE_CHECKING:
    from ffcore.checkpoints import Checkpoint


@dataclass(frozen=True)
class Task:
    """Experiments of one data set that train together, and where and how; ``plugins`` are the files
    that a process loads first, ``checkpoints`` the folder from which a long training goes on."""

    experiments: tuple[Experiment | SparsityExperiment, ...]
    device: str = "cpu"
    data_folder: str | None = None
    threads: int = 1
    plugins: tuple[str, ...] = ()
    checkpoints: str | None = None

    @property
    def name(self) -> str:
        first, more = self.experiments[0].name, len(self.experiments) - 1
        return f"{first} and {more} more" if more else first

    @property
    def datasets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(e.dataset for e in self.experiments))

    def luggage(self) -> dict[str, Path]:
        """Files, beside the data, that the task needs on another machine; see ``moved``."""
        return {f"{number}/{Path(p).name}": Path(p) for number, p in enumerate(self.plugins)}

    def moved(self, luggage: Path, data_folder: str | None) -> Task:
        """The same task on a machine that has its luggage and data in these folders."""
        files = tuple(str(luggage / name) for name in self.luggage())
        return replace(self, data_folder=data_folder, plugins=files, checkpoints=None)


@dataclass(frozen=True)
class Outcome:
    """A finished experiment: what ``Store.save`` takes; weights are numpy arrays, so that they
    cross process borders without torch's shared memory."""

    experiment: Experiment | SparsityExperiment
    summary: dict[str, Any]
    tables: dict[str, Any]
    weights: dict[str, Any]
    seconds: dict[str, float]
    provenance: dict[str, Any]


def perform(task: Task, tell: Callable[[Note], None] | None = None) -> list[Outcome]:
    """Train a task's experiments in this process.

    Args:
        tell: called after every epoch; defaults to the queue that the pool gave this process.
    """
    import torch

    tell = tell or pool.tell_parent
    for file in task.plugins:
        plugins.load(file)
    before = torch.get_num_threads()
    torch.set_num_threads(task.threads)
    try:
        return [
            replace(o, provenance={**o.provenance, **_circumstances(task)})
            for o in _perform(task, tell)
        ]
    finally:
        torch.set_num_threads(before)


def _perform(task: Task, tell: Callable[[Note], None]) -> Iterator[Outcome]:
    from ffcore import train
    from ffcore.checkpoints import SUFFIX, Checkpoint
    from ffcore.sparsity import runs

    first = task.experiments[0]
    dataset = _dataset(first.dataset, task.data_folder)
    networks = [e for e in task.experiments if isinstance(e, Experiment)]

    def report(p: train.Progress) -> None:
        tell(Note(p.name, p.epoch, p.epochs, f"{100 * p.accuracy:.2f} % test accuracy"))

    def kept(group: Sequence[Experiment]) -> Checkpoint | None:
        if task.checkpoints is None:
            return None
        named = digests.digest([e.key for e in group])[:16]
        about = [[e.key, origin.expected(e)] for e in group]
        versions = digests.package_versions(pool.PACKAGES)
        identity = digests.digest([about, task.device, task.threads, versions])
        return Checkpoint(Path(task.checkpoints) / f"{named}{SUFFIX}", identity)

    for result in train.train(networks, dataset, task.device, report, checkpoint=kept):
        weights = {k: w.numpy() for k, w in result.weights.items()}
        yield Outcome(result.experiment, result.summary, {"history": result.history}, weights,
                      result.seconds, origin.expected(result.experiment))  # fmt: skip
    for e in task.experiments:
        if not isinstance(e, SparsityExperiment):
            continue

        def advance(epoch: int, epochs: int, text: str, name: str = e.name) -> None:
            tell(Note(name, epoch, epochs, text))

        found = runs.run(e, dataset, advance, task.device)
        tables = {"steps": found.steps, "epochs": found.epochs, "samples": found.samples,
                  "curve": found.curve}  # fmt: skip
        weights = {k: w.cpu().numpy() for k, w in found.weights.items()}
        yield Outcome(e, found.summary, tables, weights, found.seconds, origin.expected(e))


def _circumstances(task: Task) -> dict[str, Any]:
    return {
        "packages": digests.package_versions(pool.PACKAGES),
        "python": platform.python_version(),
        "device": task.device,
        "hardware": pool.hardware(task.device),
        "threads": task.threads,
    }


@cache
def _dataset(name: str, folder: str | None) -> Any:
    from ffreport.data import load as datasets

    return datasets.load(name, folder)
