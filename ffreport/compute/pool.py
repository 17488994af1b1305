"""Tasks on any ``concurrent.futures`` executor: local processes, or a cluster's."""

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
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

from ffreport.compute import faults

PACKAGES = ("numpy", "pandas", "pyarrow", "safetensors", "torch")
GRACE = 2.0  # seconds that workers have to stop by themselves
POLL = 0.2  # seconds between looks at the workers' messages


@dataclass(frozen=True)
class Note:
    """A word from inside a task: which experiment, epochs done and planned, newest figure."""

    name: str
    epoch: int
    epochs: int
    text: str


def run_tasks(
    tasks: Sequence[Any],
    work: Callable[[Any, Callable[[Note], None]], list[Any]],
    executor: Executor | None = None,
    tell: Callable[[Note], None] | None = None,
    workers: int | None = None,
    poll: Callable[[], None] | None = None,
    more: Callable[[], Sequence[Any]] | None = None,
    admits: Callable[[Any], bool] | None = None,
) -> Iterator[Any]:
    """Outcomes as tasks finish, in any order.

    Args:
        tasks: whatever ``work`` takes.
        work: what is done with a task; told whom to tell.
        executor: where tasks run; None starts a pool of local processes, or runs a single task
            here with all threads. What it hears of tasks it puts into its queue ``notes``, and no
            more than ``ahead`` tasks wait in it, if it has such attributes.
        tell: called here with what the tasks report.
        workers: processes of the local pool; the number of cores where not given.
        poll: called several times a second; what it raises ends the work.
        more: asked for further tasks, once, when all before are done.
        admits: asked of each task as a process is free for it, and no sooner; False leaves it out.

    Raises:
        ResourceError: memory ran out, or one of the local processes was ended from outside; names
            what it worked on. Outcomes that were there by then came before.
    """
    work, admitted = partial(_guarded, work), partial(filter, admits or (lambda _: True))
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
    todo, waiting = admitted(tasks), set[Future[list[Any]]]()
    busy: dict[int, str] = {}
    processes: list[Any] = []
    try:
        while True:
            with _interrupts_later():
                ahead = getattr(pool, "ahead", 2 * count)
                free = (max(1, getattr(pool, "count", count)) if admits else ahead) - len(waiting)
                coming = islice(todo, max(free, 0))
                waiting |= {pool.submit(work, task, tell_parent) for task in coming}
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


def tell_parent(note: Note) -> None:
    """Tell the process that started this one's pool, where there is one.

    Raises:
        Stopped: nobody waits for this task any more.
    """
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


def _stop(pool: Executor, stop: Any, waiting: set[Future[list[Any]]]) -> None:
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
