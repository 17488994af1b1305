"""Training tasks on any ``concurrent.futures`` executor: local processes, or a cluster's.

A task is a list of experiments that train together; its outcome is ready to be stored.
"""

from __future__ import annotations

import os
import platform
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import import_module
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffcore import digests, faults, origin, plugins
from ffcore.config import Experiment, SparsityExperiment

if TYPE_CHECKING:
    from ffcore.checkpoints import Checkpoint

PACKAGES = ("numpy", "pandas", "pyarrow", "safetensors", "torch")
GRACE = 2.0  # seconds that workers have to stop by themselves
POLL = 0.2  # seconds between looks at the workers' messages


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


@dataclass(frozen=True)
class Note:
    """A word from inside a task: which experiment, epochs done and planned, newest figure."""

    name: str
    epoch: int
    epochs: int
    text: str


def perform(task: Task, tell: Callable[[Note], None] | None = None) -> list[Outcome]:
    """Train a task's experiments in this process.

    Args:
        tell: called after every epoch; defaults to the queue that the pool gave this process.
    """
    import torch

    tell = tell or _tell
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


def run_tasks(
    tasks: Sequence[Any],
    executor: Executor | None = None,
    tell: Callable[[Note], None] | None = None,
    workers: int | None = None,
    poll: Callable[[], None] | None = None,
    work: Callable[[Any, Callable[[Note], None]], list[Any]] | None = None,
    more: Callable[[], Sequence[Any]] | None = None,
    admits: Callable[[Any], bool] | None = None,
) -> Iterator[Any]:
    """Outcomes as tasks finish, in any order.

    Args:
        tasks: to train; with ``work``, whatever that takes.
        executor: where tasks run; None starts a pool of local processes, or runs a single task
            here with all threads. What it hears of tasks it puts into its queue ``notes``, and no
            more than ``ahead`` tasks wait in it, if it has such attributes.
        tell: called here with what the tasks report.
        workers: processes of the local pool; the number of cores where not given.
        poll: called several times a second; what it raises ends the work.
        work: what is done with a task, in place of training it; told whom to tell.
        more: asked for further tasks, once, when all before are done.
        admits: asked of each task as a process is free for it, and no sooner; False leaves it out.

    Raises:
        ResourceError: memory ran out, or one of the local processes was ended from outside; names
            what it worked on. Outcomes that were there by then came before.
    """
    work, admitted = partial(_guarded, work or perform), partial(filter, admits or (lambda _: True))
    count = min(workers or cores(), len(tasks))
    if executor is None and count <= 1:
        for some in (lambda: tasks, more or list):
            for task in admitted(some()):
                yield from work(task, tell or (lambda note: None))
        return
    stop = None
    notes, pool = getattr(executor, "notes", None), executor
    if pool is None:
        # A thread of the pool unpickles what comes back, and would import pandas for its frames. If
        # this thread did so just then, each would wait for the other: one would see half a module.
        import_module("pandas")
        context = get_context("spawn")
        notes, stop = context.Queue(), context.Event()
        pool = ProcessPoolExecutor(count, context, initializer=_enter, initargs=(notes, stop))
    todo, waiting = admitted(tasks), set[Future[list[Outcome]]]()
    busy: dict[int, str] = {}
    processes: list[Any] = []
    try:
        while True:
            with _interrupts_later():
                ahead = getattr(pool, "ahead", 2 * count)
                free = (max(1, getattr(pool, "count", count)) if admits else ahead) - len(waiting)
                waiting |= {pool.submit(work, task, _tell) for task in islice(todo, max(free, 0))}
            processes = list((getattr(pool, "_processes", None) or {}).values()) or processes
            if not waiting:
                if more is None:
                    return
                todo, more = admitted(more()), None
                continue
            done, waiting = wait(waiting, POLL, FIRST_COMPLETED)
            _pass_on(notes, tell, busy)
            if poll:
                poll()
            # What failed comes last. What was taken is not held: a stack's result is large.
            ended = sorted(done, key=lambda f: f.exception() is None)
            done.clear()
            while ended:
                yield from ended.pop().result()
    except BrokenProcessPool:
        _pass_on(notes, tell, busy)
        raise faults.of_process(processes, busy) from None
    except BaseException:
        if stop is not None:
            _stop(pool, stop, waiting)
        raise
    finally:
        if executor is None:
            pool.shutdown(wait=True, cancel_futures=True)


def in_worker() -> bool:
    """Whether this process is one of a local pool's."""
    return _stop_asked is not None


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hardware(device: str = "cpu") -> str:
    """A name for the machine's processor, or its GPU."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in (cpuinfo.read_text().splitlines() if cpuinfo.exists() else [])
        if line.startswith("model name")
    ]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {cores()} cores"


def _perform(task: Task, tell: Callable[[Note], None]) -> Iterator[Outcome]:
    from ffcore import sparsity_runs, train
    from ffcore.checkpoints import SUFFIX, Checkpoint

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
        versions = digests.package_versions(PACKAGES)
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

        found = sparsity_runs.run(e, dataset, advance, task.device)
        tables = {"steps": found.steps, "epochs": found.epochs, "samples": found.samples,
                  "curve": found.curve}  # fmt: skip
        weights = {k: w.cpu().numpy() for k, w in found.weights.items()}
        yield Outcome(e, found.summary, tables, weights, found.seconds, origin.expected(e))


def _circumstances(task: Task) -> dict[str, Any]:
    return {
        "packages": digests.package_versions(PACKAGES),
        "python": platform.python_version(),
        "device": task.device,
        "hardware": hardware(task.device),
        "threads": task.threads,
    }


@cache
def _dataset(name: str, folder: str | None) -> Any:
    from ffcore import datasets

    return datasets.load(name, folder)


def _guarded(
    work: Callable[[Any, Callable[[Note], None]], list[Any]], task: Any,
    tell: Callable[[Note], None],
) -> list[Any]:  # fmt: skip
    """A task's outcomes; the parent hears what this process works on."""
    if _notes is not None:
        _notes.put((os.getpid(), faults.named(task)))
    try:
        return work(task, tell)
    except Exception as error:
        if known := faults.of_memory(error, task):
            raise known from None
        raise


class Stopped(Exception):
    """Nobody waits for this task's results any more."""


_notes: Any = None
_stop_asked: Any = None


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Start processes while Ctrl-C waits: they inherit that, so that it cannot strike one of them
    before it is set up."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _enter(notes: Any, stop: Any) -> None:
    """Set a worker process up: only the parent answers to Ctrl-C, and it hears of the epochs."""
    global _notes, _stop_asked
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _notes, _stop_asked = notes, stop
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    """End this process once its parent is gone: a killed parent cannot tell its workers to stop,
    and they would wait for the next task for ever."""
    if parent := parent_process():
        parent.join()
        os._exit(1)


def _tell(note: Note) -> None:
    if _stop_asked is not None and _stop_asked.is_set():
        raise Stopped
    if _notes is not None:
        _notes.put(note)


def _pass_on(notes: Any, tell: Callable[[Note], None] | None, busy: dict[int, str]) -> None:
    """Tell what came from the workers, and note which of them works on what."""
    while notes is not None:
        try:
            note = notes.get_nowait()
        except queue.Empty:
            return
        if isinstance(note, tuple):
            busy[note[0]] = note[1]
        elif tell:
            tell(note)


def _stop(pool: Executor, stop: Any, waiting: set[Future[list[Outcome]]]) -> None:
    """End a local pool: those that can stop by themselves within a moment, the others by force.

    A process that is ended while it sends its result would leave the pool waiting for the rest.
    """
    processes = list((getattr(pool, "_processes", None) or {}).values())
    stop.set()
    pool.shutdown(wait=False, cancel_futures=True)
    wait(waiting, GRACE)
    for process in processes:
        if process.is_alive():
            process.terminate()
