"""What RQ2's notebooks need of each network, computed beforehand: on all cores, once, and kept.

A notebook finds each frame in the cache by its content, and computes it itself where it is not.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from ffcore import files, plugins
from ffcore.errors import ClusterError, FFError, ReportError, StoreError, advice, no_memory
from ffreport.analysis.rq2 import latents, polarity, structures
from ffreport.analysis.rq2.explorer import material
from ffreport.analysis.rq2.topology import networks
from ffreport.base.console import job, say
from ffreport.compute import cluster, memory, pool
from ffreport.data import sources
from ffreport.pipeline.training.tasks import data_files, register
from ffreport.runs.frames import run_of
from ffreport.runs.record import RECORD
from ffreport.runs.store import Run
from ffreport.study.study import Study, network

BUDGET = 4e9  # bytes that all processes together may take, whatever the machine has


class Piece(NamedTuple):
    """One frame: what makes it from a study and these arguments."""

    what: str
    make: Callable[..., Any]
    arguments: tuple[Any, ...]


class Away(NamedTuple):
    """Where a worker of a cluster has what a study reads, and keeps what it makes."""

    results: Path
    data_folder: str | None
    plugins: tuple[str, ...]


class Task(NamedTuple):
    """Frames that one process makes, one after the other, so that they share a network's latents.

    The study comes as bytes: what it loads is kept in the process from one task to the next.
    """

    name: str
    study: bytes
    pieces: tuple[Piece, ...]
    away: Away | None = None

    @property
    def runs(self) -> dict[str, Run]:
        """The networks that are looked at, by key."""
        asked = (a for piece in self.pieces for a in piece.arguments if isinstance(a, Run))
        return {run.experiment.key: run for run in asked}

    @property
    def datasets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(network(run).dataset for run in self.runs.values()))

    @property
    def plugins(self) -> tuple[str, ...]:
        return self.away.plugins if self.away else _unpacked(self.study).profile.plugins

    def data_files(self, name: str) -> dict[str, Path]:
        """The files of one of its data sets."""
        return data_files(name, _unpacked(self.study).data_folder)

    def luggage(self) -> dict[str, Path]:
        """Files, beside the data, that the task needs on another machine; see ``moved``."""
        files = {f"results/runs/{key}/{name}": run.folder / name
                 for key, run in self.runs.items() for name in (RECORD, *run.files)}  # fmt: skip
        return files | {f"plugins/{i}/{Path(p).name}": Path(p) for i, p in enumerate(self.plugins)}

    def moved(self, luggage: Path, data_folder: str | None) -> Task:
        """The same task on a machine that has its luggage and data in these folders."""

        register(self.datasets, data_folder)

        def there(argument: Any) -> Any:
            if not isinstance(argument, Run):
                return argument
            folder = luggage / "results" / "runs" / argument.experiment.key
            return replace(argument, folder=folder)

        pieces = tuple(p._replace(arguments=tuple(map(there, p.arguments))) for p in self.pieces)
        plugins = tuple(str(luggage / name) for name in self.luggage() if name[:8] == "plugins/")
        return self._replace(pieces=pieces, away=Away(luggage / "results", data_folder, plugins))


class Made(NamedTuple):
    """A task that is done, and the frames that were made of it elsewhere, by file name."""

    name: str
    frames: dict[str, bytes]


def prepare(study: Study, topics: Collection[str], address: str | None = None) -> int:
    """Compute and keep the frames that are not kept yet; returns of how many networks or parts.

    Args:
        topics: what the reports show of latents, see ``catalogue.Needs``.
        address: of a cluster that measures single networks; comparisons, which need what was
            measured of all of them, are made here.

    Raises:
        FFError: a frame could not be made; names it and its network. What others were done with by
            then is kept, as it is after Ctrl-C.
    """
    first = _tasks(study, _of_networks(study, topics))
    later = [] if first else _tasks(study, _of_all(study, topics))
    if not first and not later:
        return 0
    study.store.sweep()
    done, total = 0, len(first) + len(later)
    with job(f"latents: {total} networks or comparisons", total) as progress:

        def run(tasks: Sequence[Task], on: pool.Pool) -> None:
            nonlocal done
            for made in pool.run_tasks(tasks, perform, on, tell):
                for name, content in made.frames.items():
                    _keep(study, name, content)
                done += 1
                progress.update(done, made.name)

        def tell(note: pool.Note) -> None:
            progress.update(done, f"{note.name}: {note.text}")

        def comparisons() -> list[Task]:
            nonlocal total
            found = _tasks(study, _of_all(study, topics))
            total += len(found)
            progress.update(done, "comparisons", total)
            return found

        try:
            with cluster.joined(address if first else None) as away:
                if away:
                    away.welcome()
                    run(first, away)
                    first, later = [], comparisons()
            if first or later:
                with pool.local(processes(study, len(first or later))) as here:
                    run(first, here)
                    run(later or comparisons(), here)
        except BaseException:
            say(f"stopped: {done} of {total} measurements of latents are done and kept")
            raise
    return total


def perform(task: Task, tell: pool.Tell) -> list[Made]:
    """Make a task's frames in this process.

    Raises:
        FFError: what a frame's making raised, with the frame and the network before it.
    """
    study = _unpacked(task.study)
    if task.away:
        study = study.moved(*task.away[:2], task.away.results.parents[2] / "definitions.json")
    else:
        for file in task.plugins:
            plugins.load(file)
    for number, piece in enumerate(task.pieces):
        tell(pool.Note(task.name, number, len(task.pieces), piece.what))
        try:
            piece.make(study, *piece.arguments)
        except FFError as error:
            raise type(error)(f"{piece.what} of {task.name}: {error}") from None
        except Exception as error:
            if no_memory(error):
                raise
            why = f"{type(error).__name__}: {error}"
            raise ReportError(f"{piece.what} of {task.name} failed: {why}") from error
    made = (study.store.results / "cache").glob("*.parquet") if task.away else ()
    return [Made(task.name, {path.name: path.read_bytes() for path in made})]


def processes(study: Study, wanted: int) -> int:
    """How many processes work at once: as many as there are cores, and as fit into BUDGET and into
    the memory that is free."""
    free = memory.available()
    used = map(sources.lookup, {network(run).dataset for run in study.networks})
    each = float(sum(source.images * source.pixels for source in used))
    each += max((network_bytes(study, run) for run in study.networks), default=0.0)
    free = min(BUDGET, BUDGET if free is None else free)
    return memory.processes(min(pool.cores(), wanted), each, free, "measuring latents")


def network_bytes(study: Study, run: Run) -> float:
    """Bytes that one network's frames need: latents and two copies, float64 points of H0 and three
    copies, and of their distances (float32) as many."""
    size, e = study.profile.rq2, network(run)
    rows, width = size.images * sources.lookup(e.dataset).classes, e.widths[0]
    points = min(size.h0_points, rows)
    return 3 * 4.0 * rows * width + 4 * 8.0 * points * width + 4 * 4.0 * points**2


def _of_networks(study: Study, topics: Collection[str]) -> dict[str, list[Piece]]:
    """What is made of one network alone, by its name; those with most to do first, so that none of
    them is the last to end."""
    found: dict[str, list[Piece]] = {}

    def add(what: str, runs: Sequence[Run], make: Callable[..., Any], *more: Any) -> None:
        for run in runs:
            found.setdefault(run.experiment.name, []).append(Piece(what, make, (run, *more)))

    if not study.networks:
        return {}
    if "pictures" in topics:
        shown = list(latents.prototypes(study).values())
        add("t-SNE", shown, latents.projection)
        add("t-SNE of directions", shown, latents.projection, True)
        add("persistence", shown, latents.persistence)
    if "topology" in topics:
        every = {r.experiment.key: r for r in networks.chosen(study)}
        every |= {r.experiment.key: r for r in latents.prototypes(study).values()}
        for view in networks.VIEWS:
            add(f"homology, {view}", list(every.values()), networks.homology, view)
    if "explorer" in topics:
        add("t-SNE for the explorer", study.networks, material.projection)
        add("homology for the explorer", study.networks, material.diagram)
    if "measures" in topics:
        add("measures", study.networks, latents.nine)
        add("observables", study.networks, latents.seen)
        if latents.own_names(study):
            add("measures of plug-ins", study.networks, latents.own_measures)
    if "units" in topics:
        add("activity of units", study.networks, polarity.units)
    if "stability" in topics:
        for seed in range(1, study.profile.rq2.samples + 1):
            add("observables of other images", study.networks, latents.seen, seed)
    return found


def _of_all(study: Study, topics: Collection[str]) -> dict[str, list[Piece]]:
    """What is made of many networks' frames, when these are there."""
    found: dict[str, list[Piece]] = {}
    if not study.networks:
        return {}
    if "topology" in topics:
        for view, dimension in networks.PARTS:
            piece = Piece("distances", networks.between, (view, dimension))
            found[f"H{dimension} of {view} latents"] = [piece]
    if "stability" in topics:
        frame = structures.disagreements(latents.structures(study))
        own = {run.experiment.key: run for run in study.networks}
        for key in structures.pictured(study, frame):
            name = own[key].experiment.name
            found[name] = [Piece("t-SNE", latents.projection, (own[key],))]
    return found


def _tasks(study: Study, wanted: dict[str, list[Piece]]) -> list[Task]:
    """Tasks of what is not kept yet."""
    packed = pickle.dumps(study.bare())
    lacking = {
        name: tuple(p for p in pieces if study.lacks(partial(p.make, study, *p.arguments)))
        for name, pieces in wanted.items()
    }
    return [Task(name, packed, pieces) for name, pieces in lacking.items() if pieces]


@lru_cache(maxsize=1)
def _unpacked(study: bytes) -> Study:
    found: Study = pickle.loads(study)
    return found


def _keep(study: Study, name: str, content: bytes) -> None:
    """Write a frame that was made elsewhere, as if it had been made here.

    Raises:
        ClusterError: its name is that of no frame.
        StoreError: it cannot be written.
    """
    if run_of(name) is None:
        raise ClusterError(f"a worker sent {name!r}, which is no frame's name")
    target = study.store.results / "cache" / name
    try:
        files.write(target, content)
    except OSError as error:
        raise StoreError(f"cannot write {target}: {advice(error)}") from None
