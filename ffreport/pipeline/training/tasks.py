"""Training as tasks that run in this process, another one, or on a worker of a cluster.

A task is a list of experiments that train together; its outcome is ready to be stored.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffcore import plugins
from ffcore.config import Experiment, SparsityExperiment
from ffcore.errors import ClusterError, DataError
from ffreport.base import digests
from ffreport.compute import pool
from ffreport.compute.pool import Note
from ffreport.data import own, own_files, sources
from ffreport.runs import origin

if TYPE_CHECKING:
    from ffcore.checkpoints import Checkpoint
    from ffreport.runs.store import Store


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

    def data_files(self, name: str) -> dict[str, Path]:
        """The files of one of its data sets, see ``data_files``."""
        return data_files(name, self.data_folder)

    def luggage(self) -> dict[str, Path]:
        """Files, beside the data, that the task needs on another machine; see ``moved``."""
        return {f"{number}/{Path(p).name}": Path(p) for number, p in enumerate(self.plugins)}

    def moved(self, luggage: Path, data_folder: str | None) -> Task:
        """The same task on a machine that has its luggage and data in these folders."""
        register(self.datasets, data_folder)
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

    def save(self, store: Store) -> None:
        """Store it; raises as ``Store.save``."""
        store.save(self.experiment, self.summary, self.tables, self.weights, self.seconds,
                   self.provenance)  # fmt: skip


def perform(task: Task, tell: pool.Tell) -> list[Outcome]:
    """Train a task's experiments in this process; ``tell`` is called after every epoch."""
    import torch

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


def _perform(task: Task, tell: pool.Tell) -> Iterator[Outcome]:
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


def data_files(name: str, data_folder: str | None) -> dict[str, Path]:
    """The files of a data set, by their path below a folder of data sets, for another
    machine; none of one that comes with a package.

    A user's own lies in a folder, or is a file, of the name from which its own name is made.

    Raises:
        DataError: a file is missing.
    """
    if own.is_name(name):
        place = own.where(name)
        files = [place] if place.is_file() else own_files.layout(place).files
        return {f.relative_to(place.parent).as_posix(): f for f in files}
    if sources.lookup(name).package:
        return {}
    found = {}
    for file, there in sources.locate(name, data_folder).items():
        if there is None:
            raise DataError(f"{name}: {file.name} is missing; {sources.remedy(name)}")
        found[f"{name}/{there.name}"] = there
    return found


def register(names: Sequence[str], data_folder: str | None) -> None:
    """Have a user's own data sets among these known on a machine that has them in this folder.

    Raises:
        ClusterError: something else lies there.
    """
    for name in names if data_folder else ():
        if own.is_name(name):
            found = {own.identify(path) for path in Path(str(data_folder)).iterdir()}
            if found != {name}:
                raise ClusterError(f"{name} came as {', '.join(found) or 'nothing'} to a worker")


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
