"""What stops a task from outside its code: memory that ran out, a process that was ended."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from typing import Any

from ffcore.errors import FFError, ResourceError, first_line, no_memory

REMEDY = (
    "what was finished is stored: run the same command again to go on, where memory is short with "
    "nothing beside it or with fewer processes (`taskset -c 0` leaves one)"
)
GRACE = 2.0  # seconds until a process that was ended is gone


def named(task: Any) -> str:
    """What a task works on, in words."""
    return str(getattr(task, "name", "a task"))


def of_memory(error: Exception, task: Any) -> ResourceError | None:
    """The error to show where it says that memory ran out; None where it says something else."""
    if isinstance(error, FFError) or not no_memory(error):
        return None
    return ResourceError(f"no memory was left for {named(task)} ({first_line(error)}); {REMEDY}")


def of_process(processes: Sequence[Any], busy: Mapping[int, str]) -> ResourceError:
    """The error to show where a process of a pool was ended from outside.

    Args:
        processes: of the pool, which is broken.
        busy: what each works on, by its number.
    """
    for process in processes:
        process.join(GRACE)
    # The pool itself ends the others by SIGTERM.
    struck = [p for p in processes if p.exitcode not in (None, 0, -signal.SIGTERM)]
    names = sorted({busy[p.pid] for p in struck or processes if p.pid in busy})
    how = ""
    if struck:
        code = struck[0].exitcode
        how = f" ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})"
    worked = f"that worked on {' or '.join(names)}" if names else "for the work"
    return ResourceError(
        f"a process {worked} was ended from outside{how}, as the system does where memory runs "
        f"out; {REMEDY}"
    )
