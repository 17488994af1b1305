"""RQ2's speed and memory at full size: measures on all cores, and persistence beside ripser's."""

from __future__ import annotations

import pickle
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import active_children
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ffcore import data, labels, train
from ffcore.config import Experiment
from ffreport.analysis import stats
from ffreport.analysis.rq2 import latents as rq2
from ffreport.analysis.rq2.topology import homology
from ffreport.analysis.rq2.topology import networks as rq2_topology
from ffreport.analysis.rq2.topology.matching import wasserstein
from ffreport.compute import memory, pool
from ffreport.pipeline import latents as latent_work
from ffreport.pipeline.bench.training import Row
from ffreport.pipeline.latents import Piece, Task
from ffreport.runs.store import Run
from ffreport.study.profiles import make_profile
from ffreport.study.study import Study

GRID = 108  # networks of the published grid on one data set


class Size(NamedTuple):
    """How much is measured; by default what the paper profile looks at."""

    networks: int = 24  # timed, of the grid's 108
    width: int = 1000
    images: int = 1024
    h0_points: int = 5000
    h1_points: int = 500


def measure(
    dataset: str, tell: Callable[[str], None], size: Size | None = None, root: Path | None = None
) -> Iterator[Row]:
    """Rows as they are measured, on networks that took one training step.

    Args:
        dataset: ``mnist`` for the figures that the README shows.
        root: the project, see ``study.Study``.
    """
    size = size or Size()
    with tempfile.TemporaryDirectory(prefix="ff-bench-") as folder:
        study = _study(dataset, size, Path(folder), root)
        planned = study.profile.networks()
        for e in planned:
            _one_step(study, e, study.dataset(dataset))
        tell(f"{len(planned)} networks of {size.width} units: a training step each")
        runs = study.networks
        yield from _measures(study, runs)
        values = rq2.latents(study, runs[0]).values
        yield from beside_ripser(values[stats.sample_rows(len(values), size.h0_points, 0)])
        yield from _diagrams(study, runs[:2])


def beside_ripser(points: np.ndarray, repeats: int = 3) -> Iterator[Row]:
    """H0 of points [N, n]: ours with one thread, as worker processes have, and a plain call of
    ripser on the same coordinates, in turn, each at its fastest; how far the diagrams differ; how
    time grows."""
    import ripser

    ours, theirs, half = [], [], []
    with threadpool_limits(limits=1):
        for turn in range(repeats):
            spent, found = _timed(lambda: homology.persistence(points))
            ours.append(spent)
            half.append(_timed(lambda: homology.persistence(points[::2]))[0])
            if turn < 2:  # Seconds each.
                spent, reference = _timed(lambda: ripser.ripser(points, maxdim=0)["dgms"][0])
                theirs.append(spent)
    what = f"H0 of {len(points):,} points"
    yield Row(f"{what}: ripser", min(theirs), "s", how=f"{points.shape[1]} coordinates each")
    yield Row(f"{what}: ours", min(ours), "s", how="one thread")
    yield Row(f"{what}: ripser's time over ours", min(theirs) / min(ours), "×", "≥ 3")
    difference = 1e6 * largest_difference(found.diagrams[0], reference)
    yield Row(f"{what}: largest difference of deaths", difference, "ppm", "≤ 10",
              how="of the longest bar; ripser computes in float32")  # fmt: skip
    yield Row(f"{what}: time against half as many", min(ours) / min(half), "×", "≤ 4",
              how="4 is growth with the number of pairs")  # fmt: skip


def largest_difference(first: Any, second: Any) -> float:
    """Largest difference between the finite bars' lengths of two H0 diagrams [k, 2], longest first,
    as a share of the longest one; a bar too many on one side counts with its length."""
    a, b = (homology.lifetimes(d)[::-1] for d in (first, second))
    padded = np.zeros((2, max(len(a), len(b), 1)))
    padded[0, : len(a)], padded[1, : len(b)] = a, b
    longest = float(padded.max())
    return float(np.abs(padded[0] - padded[1]).max()) / longest if longest > 0 else 0.0


def _measures(study: Study, runs: Sequence[Run]) -> Iterator[Row]:
    """The nine measures as the pipeline makes them: a process a core, latents and all."""
    tasks = _tasks(study, [(r, [Piece("measures", rq2.nine, (r,))]) for r in runs])
    count = min(pool.cores(), len(runs))
    spent = [elapsed for elapsed, _ in _worked(tasks, count)]
    # Processes start and load their libraries and the data once, with their first network.
    each = (spent[-1] - spent[count - 1]) / max(len(runs) - count, 1)
    yield Row("nine measures: a network, once processes run", 1e3 * each, "ms",
              how=f"{len(runs)} networks in {count} processes, latents made, too")  # fmt: skip
    yield Row(f"nine measures: {GRID} networks, extrapolated",
              spent[count - 1] + each * (GRID - count), "s", "≤ 180",
              how=f"from {len(runs)} networks, with the processes' start")  # fmt: skip


def _diagrams(study: Study, runs: Sequence[Run]) -> Iterator[Row]:
    """Diagrams in all views, in as many processes as the pipeline takes: their time and memory."""
    count, views = latent_work.processes(study, len(runs)), rq2_topology.VIEWS
    tasks = _tasks(study, [
        (r, [Piece(f"homology, {v}", rq2_topology.homology, (r, v)) for v in views]) for r in runs
    ])  # fmt: skip
    spent, most = zip(*_worked(tasks, count), strict=True)
    yield Row("diagrams in three views: a network", spent[-1] / len(runs), "s",
              how=f"{len(runs)} networks in {count} processes, with their start")  # fmt: skip
    yield Row("memory at most, with the main process", max(most) / 1e9, "GB", "≤ 4",
              how="shared libraries are counted in every process")  # fmt: skip
    bars = [rq2_topology.diagram(rq2_topology.homology(study, r), 0) for r in runs]
    with threadpool_limits(limits=1):
        seconds = min(_timed(lambda: wasserstein(bars[0], bars[-1]))[0] for _ in range(3))
    yield Row("Wasserstein distance of two such H0 diagrams", 1e3 * seconds, "ms",
              how=f"exact; {len(bars[0]):,} and {len(bars[-1]):,} bars")  # fmt: skip


def _study(dataset: str, size: Size, results: Path, root: Path | None) -> Study:
    """A study of networks evenly spread over the grid, none of them trained."""
    study = Study("quick", results=results.resolve(), root=root)
    grid: dict[str, Any] = {"datasets": [dataset]}
    values: dict[str, Any] = {"title": "Benchmark", "rq1": [grid],
                              "sparsity": [{"dataset": dataset}]}  # fmt: skip
    every = [e.configuration for e in make_profile(values, "bench").networks()]
    step = max(1, len(every) // size.networks)
    grid |= {"configurations": every[::step][: size.networks],
             "settings": {"widths": [size.width, size.width], "epochs": 1}}  # fmt: skip
    values["rq2"] = {"images": size.images, "h0_points": size.h0_points,
                     "h1_points": size.h1_points}  # fmt: skip
    study.profile = make_profile(values, "bench")
    return study


def _one_step(study: Study, experiment: Experiment, dataset: data.Dataset) -> None:
    """Store a network after one training step."""
    device, batch = torch.device("cpu"), slice(0, experiment.batch_size)
    ready = train.prepare(dataset, experiment, device)
    block = train.build([experiment], ready.images.shape[1], ready.classes, device)
    right = ready.labels[batch]
    wrong = labels.negative_labels(right, ready.classes, labels.generator(0, "negatives"))
    block.step(ready.images[batch], right, wrong)
    accuracy = float(train.accuracy(block, ready.test_images[:100], ready.test_labels[:100])[0])
    summary = dict(epochs=1, best=accuracy, last=accuracy, selected=None)
    history = [{"epoch": 1, "test_accuracy": accuracy}]
    study.store.save(experiment, summary, {"history": history}, block.weights(0), {}, {})


def _tasks(study: Study, pieces: Sequence[tuple[Run, list[Piece]]]) -> list[Task]:
    packed = pickle.dumps(study.bare())
    return [Task(run.experiment.name, packed, tuple(made)) for run, made in pieces]


def _worked(tasks: Sequence[Task], count: int) -> Iterator[tuple[float, float]]:
    """Do tasks in so many processes; as each ends, seconds since the start and the most bytes that
    all processes held together, until then."""
    most, began = 0.0, time.perf_counter()

    for _ in pool.run_tasks(tasks, latent_work.perform, count):
        children = (memory.resident(child.pid or 0, peak=True) for child in active_children())
        most = max(most, memory.resident() + sum(children))
        yield time.perf_counter() - began, most


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found
