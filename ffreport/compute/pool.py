"""Tasks on a pool: this process, local processes, or a cluster's workers (see ``cluster``)."""

from __future__ import annotations

import os
import platform
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import islice
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ffcore.errors import FFError, ResourceError, first_line, no_memory
from ffreport.base.console import stop_if_interrupted

PACKAGES = ("numpy", "pandas", "pyarrow", "safetensors", "torch")
GRACE = 2.0  # seconds that workers have to stop by themselves
POLL = 0.2  # seconds between looks at the workers' messages
REMEDY = (
    "what was finished is stored: run the same command again to go on, where memory is short with "
    "nothing beside it or with fewer processes (`taskset -c 0` leaves one)"
)


@dataclass(frozen=True)
class Note:
    """A word from inside a task: which experiment, epochs done and planned, newest figure."""

    name: str
    epoch: int
    epochs: int
    text: str


Tell = Callable[[Note], None]
Work = Callable[[Any, Tell], list[Any]]


class Pool(Protocol):
    """Where tasks are done, ``count`` at a time; ``ahead`` of them are there so that no worker
    idles."""

    count: int
    ahead: int

    def submit(self, work: Work, task: Any, tell: Tell) -> Future[list[Any]]:
        """Have ``work`` done with a task; ``tell`` is what it tells if that is in this process."""

    def notes(self) -> Iterator[Note]:
        """What tasks told elsewhere since the last call. It is asked several times a second; what
        it raises ends the work."""


def run_tasks(
    tasks: Sequence[Any],
    work: Work,
    on: Pool | int = 1,
    tell: Tell = lambda note: None,
    admits: Callable[[Any], bool] | None = None,
) -> Iterator[Any]:
    """Outcomes as tasks finish, in any order.

    Args:
        tasks: whatever ``work`` takes.
        work: what is done with a task; told whom to tell.
        on: a pool, or how many local processes to start for these tasks at most.
        tell: called here with what the tasks report.
        admits: asked of each task as a process is free for it, and no sooner; False leaves it out.

    Raises:
        ResourceError: memory ran out, or one of the local processes was ended from outside; names
            what it worked on. Outcomes that were there by then came before.
    """
    if isinstance(on, int):
        with local(min(on, len(tasks))) as pool:
            yield from run_tasks(tasks, work, pool, tell, admits)
        return
    work, todo = partial(_guarded, work), filter(admits, tasks) if admits else iter(tasks)
    waiting: set[Future[list[Any]]] = set()
    while True:
        free = (max(1, on.count) if admits else on.ahead) - len(waiting)
        waiting |= {on.submit(work, task, tell) for task in islice(todo, max(free, 0))}
        if not waiting:
            return
        done, waiting = wait(waiting, POLL, FIRST_COMPLETED)
        stop_if_interrupted()
        for note in on.notes():
            tell(note)
        # What failed comes last. What was taken is not held: a stack's result is large.
        ended = sorted(done, key=lambda f: f.exception() is None)
        done.clear()
        while ended:
            yield from ended.pop().result()


@contextmanager
def local(count: int) -> Iterator[Pool]:
    """A pool of so many processes of this machine; of one it is this process, with all threads.

    Raises:
        ResourceError: one of them was ended from outside; names what it worked on.
    """
    if count <= 1:
        yield Here()
        return
    pool = Processes(count)
    try:
        yield pool
    except BrokenProcessPool:
        raise pool.struck() from None
    except BaseException:
        pool.stop()
        raise
    finally:
        pool.close()


class Here:
    """This process: a task begins when the one before it is done."""

    count = ahead = 1

    def submit(self, work: Work, task: Any, tell: Tell) -> Future[list[Any]]:
        done: Future[list[Any]] = Future()
        done.set_result(work(task, tell))
        return done

    def notes(self) -> Iterator[Note]:
        return iter(())


class Processes:
    """Processes of this machine, started as there is work for them; ``local`` makes them."""

    def __init__(self, count: int) -> None:
        # A thread of the pool unpickles what comes back, and would import pandas for its frames. If
        # this thread did so just then, each would wait for the other: one would see half a module.
        import_module("pandas")
        context = get_context("spawn")
        self.count, self.ahead = count, 2 * count
        self._parent = _Parent(context.Queue(), context.Event())
        self._executor = ProcessPoolExecutor(
            count, context, initializer=_enter, initargs=(self._parent,)
        )
        self._others = {*active_children()}
        self._processes: set[Any] = set()
        self._busy: dict[int, str] = {}

    def submit(self, work: Work, task: Any, tell: Tell) -> Future[list[Any]]:
        with _interrupts_later():
            done = self._executor.submit(_at_work, work, task)
        self._processes |= {*active_children()} - self._others
        return done

    def notes(self) -> Iterator[Note]:
        for note in drained(self._parent.notes):
            if isinstance(note, Note):
                yield note
            else:
                self._busy.update([note])

    def struck(self) -> ResourceError:
        """The error to show where a process was ended from outside."""
        for _ in self.notes():  # of the last task that each began
            pass
        for process in self._processes:
            process.join(GRACE)
        # The executor itself ends the others by SIGTERM.
        struck = [p for p in self._processes if p.exitcode not in (None, 0, -signal.SIGTERM)]
        known = {self._busy.get(p.pid) for p in struck or self._processes}
        names = sorted(name for name in known if name)
        code = struck[0].exitcode if struck else 0
        ended = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        how = f" ({ended})" if struck else ""
        worked = f"that worked on {' or '.join(names)}" if names else "for the work"
        return ResourceError(
            f"a process {worked} was ended from outside{how}, as the system does where memory runs "
            f"out; {REMEDY}"
        )

    def stop(self) -> None:
        """End those that can stop by themselves within a moment, the others by force.

        A process that is ended while it sends its result would leave the executor waiting for the
        rest.
        """
        self._parent.stop.set()
        self._executor.shutdown(wait=False, cancel_futures=True)
        until = time.monotonic() + GRACE
        for process in self._processes:
            process.join(max(0.0, until - time.monotonic()))
        for process in self._processes:
            if process.is_alive():
                process.terminate()

    def close(self) -> None:
        """Wait until all processes have ended."""
        self._executor.shutdown(wait=True, cancel_futures=True)


class Stopped(Exception):
    """Nobody waits for this task's results any more."""


def in_worker() -> bool:
    """Whether this process is one of a local pool's."""
    return _parent is not None


def drained(notes: Any) -> Iterator[Any]:
    """What is in a queue now."""
    while True:
        try:
            yield notes.get_nowait()
        except queue.Empty:
            return


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


def of_memory(error: Exception, task: Any) -> ResourceError | None:
    """The error to show where it says that memory ran out; None where it says something else."""
    if isinstance(error, FFError) or not no_memory(error):
        return None
    return ResourceError(f"no memory was left for {_named(task)} ({first_line(error)}); {REMEDY}")


def _named(task: Any) -> str:
    return str(getattr(task, "name", "a task"))


def _guarded(work: Work, task: Any, tell: Tell) -> list[Any]:
    """A task's outcomes, or one message where memory ran out."""
    try:
        return work(task, tell)
    except Exception as error:
        if known := of_memory(error, task):
            raise known from None
        raise


class _Parent(NamedTuple):
    """What a process of a pool has of the one that started it: whom to tell, whether to stop."""

    notes: Any
    stop: Any


_parent: _Parent | None = None


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


def _enter(parent: _Parent) -> None:
    """Set a worker process up: only the parent answers to Ctrl-C, and it hears of the epochs."""
    global _parent
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _parent = parent
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    """End this process once its parent is gone: a killed parent cannot tell its workers to stop,
    and they would wait for the next task for ever."""
    if parent := parent_process():
        parent.join()
        os._exit(1)


def _at_work(work: Work, task: Any) -> list[Any]:
    """Do a task in a process of a pool; its parent hears what it works on, and what it tells.

    Raises:
        Stopped: nobody waits for this task any more.
    """
    assert _parent is not None
    notes, stop = _parent

    def tell(note: Note) -> None:
        if stop.is_set():
            raise Stopped
        notes.put(note)

    notes.put((os.getpid(), _named(task)))
    return work(task, tell)
