"""Several reports' notebooks at a time, each in a process of its own with a kernel of its own."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ffcore.errors import FFError, ResourceError, of_system
from ffreport.base.console import duration, job, say
from ffreport.compute import memory, pool

KERNEL_BYTES = 1.2e9  # of a kernel and the process that drives it, at the most


@dataclass(frozen=True)
class Task:
    """One notebook to execute; see ``notebook.execute``."""

    source: Path
    target: Path
    parameters: Mapping[str, Any]
    failed_folder: Path
    environment: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.source.stem


@dataclass(frozen=True)
class Executed:
    """A notebook that ran: how long, and what stopped it."""

    name: str
    seconds: float
    fault: FFError | None = None


def run(tasks: Sequence[Task]) -> Iterator[Executed]:
    """Execute notebooks, as many at a time as there are cores and memory for; yields what came of
    each as it ends.

    One that fails stops no other; Ctrl-C stops all.
    """
    if not tasks:
        return
    left = {task.name for task in tasks}
    title = f"notebook {tasks[0].name}" if len(tasks) == 1 else f"{len(tasks)} notebooks"
    with job(title, len(tasks)) as progress:

        def noted(note: pool.Note) -> None:
            part = note.epoch / max(note.epochs, 1) if len(tasks) == 1 else 0
            text = f"{note.name}: {note.epoch} of {note.epochs}, {note.text}"
            progress.update(len(tasks) - len(left) + part, text)

        try:
            for one in pool.run_tasks(
                tasks, perform, memory.processes(pool.cores(), KERNEL_BYTES), noted
            ):
                left.remove(one.name)
                progress.update(len(tasks) - len(left), one.name)
                say(f"notebook {one.name}: {duration(one.seconds)}")
                yield one
        except ResourceError as error:  # those that are done stay so
            yield from (Executed(task.name, 0.0, error) for task in tasks if task.name in left)


def perform(task: Task, tell: pool.Tell) -> list[Executed]:
    """Execute one notebook from this process."""
    from ffreport.publish.notebooks import notebook

    def execute() -> None:
        with _cleaned_up():
            notebook.execute(
                task.source, task.target, task.parameters, failed_folder=task.failed_folder,
                environment=task.environment,
                progress=lambda done, total, text: tell(pool.Note(task.name, done, total, text)),
            )  # fmt: skip

    return [attempt(task.name, execute)]


def attempt(name: str, work: Callable[[], None]) -> Executed:
    """Do the work of one report, and say what came of it."""
    began = time.monotonic()
    fault: FFError | None = None
    try:
        work()
    except FFError as error:
        fault = error
    except Exception as error:
        if (known := of_system(error)) is None:
            raise
        fault = ResourceError(f"report {name}: {known}")
    return Executed(name, time.monotonic() - began, fault)


@contextmanager
def _cleaned_up() -> Iterator[None]:
    """In a process of a pool: whoever ends it from outside has the kernel and its files removed,
    too."""
    if not pool.in_worker() or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _stopped)
    try:
        yield
    except KeyboardInterrupt:
        os._exit(1)  # the parent knows
    finally:
        signal.signal(signal.SIGTERM, before)


def _stopped(*_: Any) -> None:
    raise KeyboardInterrupt
