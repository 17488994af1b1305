"""What a cluster costs, measured here, and a model of what it brings for a large grid."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ffcore import train
from ffcore.config import Experiment, make_experiment
from ffcore.errors import ConfigError
from ffreport.compute import cluster
from ffreport.compute import pool as workers
from ffreport.data import load as datasets
from ffreport.pipeline.bench.training import Row
from ffreport.pipeline.training import tasks as training
from ffreport.runs.store import Store

GRID = 100_000  # networks of the grid that the model speaks of
SIZES = (10, 100, 1000)  # workers
EPOCHS = 50


class Size(NamedTuple):
    """How much is measured: empty tasks, results of a network's size, and for the model's check
    tasks of ``seconds`` each on so many workers."""

    tasks: int = 400
    results: int = 40
    waits: int = 96
    seconds: float = 0.25
    workers: tuple[int, ...] = (1, 2, 4, 8)


@dataclass(frozen=True)
class Load:
    """A task that waits and returns so many numbers."""

    name: str
    seconds: float = 0.0
    numbers: int = 0
    datasets: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()

    def data_files(self, name: str) -> dict[str, Path]:
        return training.data_files(name, None)

    def luggage(self) -> dict[str, Path]:
        return {}

    def moved(self, luggage: Path, data_folder: str | None) -> Load:
        return self


@dataclass(frozen=True)
class Costs:
    """Seconds: until a cluster's first task runs (``start``), of a worker for a network
    (``network``), and of the driver for each that comes back (``driver``): its task's way there,
    its result's way back, and storing it."""

    start: float
    network: float
    driver: float

    def hours(self, networks: int, count: int) -> float:
        """Predicted hours for a grid: the workers are limited by training, the driver by what
        passes through it, and whichever is slower sets the pace; one more training is the tail,
        when the last workers end."""
        pace = max(self.network / count, self.driver)
        return (self.start + networks * pace + self.network) / 3600

    @property
    def most(self) -> float:
        """Workers from which on more of them bring nothing."""
        return self.network / self.driver


def measure(dataset: str, tell: Callable[[str], None], size: Size | None = None) -> Iterator[Row]:
    """Rows as they are measured, on a scheduler and workers of this machine.

    Raises:
        ConfigError: the extra ``cluster`` is not installed.
    """
    try:
        from distributed import LocalCluster
    except ImportError:
        raise ConfigError(cluster.MISSING) from None
    size = size or Size()

    def local(count: int) -> Any:
        return LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None)

    e = make_experiment(dataset=dataset, activation="relu", norm="l2", aggregation="sum",
                        inhibition="none", probability="sigmoid", epochs=EPOCHS)  # fmt: skip
    tell("training a network for two epochs")
    outcome, epoch = _trained(e)
    count = sum(w.size for w in outcome.weights.values())
    with local(1) as there:
        began = time.perf_counter()
        with cluster.joined(there.scheduler_address) as away:
            assert away is not None
            away.welcome()
            _seconds(away, [Load("first")])
            start = time.perf_counter() - began
            yield Row("until a cluster's first task is done", start, "s")
            files = training.data_files(dataset, None).values()
            megabytes = sum(path.stat().st_size for path in files)
            seconds = _seconds(away, [Load("data", datasets=(dataset,))])
            yield Row(f"{dataset}, {megabytes / 1e6:.0f} MB, to a worker", seconds, "s")
            seconds = _seconds(away, [Load(str(i)) for i in range(size.tasks)]) / size.tasks
            yield Row("a task's way there and back", 1e3 * seconds, "ms", how="empty tasks")
            loads = [Load(str(i), numbers=count) for i in range(size.results)]
            back = _seconds(away, loads) / size.results
            yield Row(f"and with a result of {4e-6 * count:.1f} MB", 1e3 * back, "ms",
                      how="weights of one network of two layers of 1000 units")  # fmt: skip
    stored = _storing(outcome, size.results)
    yield Row("storing such a network", 1e3 * stored, "ms")
    costs = Costs(start, EPOCHS * epoch, back + stored)
    yield Row(f"{EPOCHS} epochs of such a network, one core", costs.network, "s", how="from one")
    for workers_ in size.workers:
        with local(workers_) as there, cluster.joined(there.scheduler_address) as away:
            assert away is not None
            away.welcome()
            _seconds(away, [Load(str(i), 0.01) for i in range(2 * workers_)])
            tasks = [Load(str(i), size.seconds) for i in range(size.waits)]
            ideal = size.waits * size.seconds / workers_
            yield Row(f"tasks of {size.seconds} s on {workers_} workers: share of the ideal pace",
                      100 * ideal / _seconds(away, tasks), "%")  # fmt: skip
    for network in (costs.network, 10.0, 1.0):
        model = replace(costs, network=network)
        for workers_ in SIZES:
            yield Row(f"model: {GRID:,} networks of {network:.0f} s, {workers_:,} workers",
                      model.hours(GRID, workers_), "h")  # fmt: skip
        yield Row(f"model: networks of {network:.0f} s, no gain beyond", model.most, "workers")


def work(load: Load, tell: workers.Tell) -> list[Any]:
    """Wait, and return zeros."""
    time.sleep(load.seconds)
    return [np.zeros(load.numbers, np.float32)]


def _trained(e: Experiment) -> tuple[training.Outcome, float]:
    """A network after two epochs, and the seconds that an epoch takes on one core."""
    short = e.model_copy(update={"epochs": 2})
    before = train.torch.get_num_threads()
    datasets.load(e.dataset)
    began = time.perf_counter()
    (outcome,) = training.perform(training.Task((short,)), lambda note: None)
    spent = time.perf_counter() - began
    train.torch.set_num_threads(before)
    return outcome, spent / 2


def _seconds(away: cluster.Cluster, tasks: Sequence[Load]) -> float:
    began = time.perf_counter()
    done = sum(1 for _ in workers.run_tasks(tasks, work, away))
    if done != len(tasks):
        raise ConfigError(f"{done} of {len(tasks)} tasks came back")
    return time.perf_counter() - began


def _storing(outcome: training.Outcome, count: int) -> float:
    """Seconds that storing a network takes."""
    with tempfile.TemporaryDirectory(prefix="ff-bench-") as folder:
        store = Store(folder)
        began = time.perf_counter()
        for seed in range(count):
            other = outcome.experiment.model_copy(update={"seed": seed})
            replace(outcome, experiment=other).save(store)
        return (time.perf_counter() - began) / count
