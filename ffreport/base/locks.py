"""One pipeline at a time in a results folder; who comes second waits, and is told for whom."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffcore import files
from ffcore.errors import ConfigError, advice
from ffcore.files import json_file
from ffreport.base.console import say

if TYPE_CHECKING:
    from filelock import BaseFileLock

POLL, LOOK, PATIENCE = 0.05, 0.5, 2.0  # seconds: for the lock, for its holder, for its name
MARKER = ".ffcore"  # a folder that has it was made by this pipeline, and may be cleaned


@contextmanager
def alone(results: Path, marked: bool = True) -> Iterator[None]:
    """Hold the lock of a results folder, which is made where there is none. The system takes it
    from a process that dies.

    Args:
        marked: say in the folder that the pipeline made it.

    Raises:
        ConfigError: the folder cannot be written.
    """
    from filelock import FileLock

    owner = results / ".lock.json"
    try:
        results.mkdir(parents=True, exist_ok=True)
        if marked:
            (results / MARKER).touch()
        lock = FileLock(results / ".lock")
        _wait(lock, owner, results)
        files.write(owner, json.dumps({"pid": os.getpid(), "command": " ".join(sys.argv[1:])}))
    except OSError as error:
        raise ConfigError(
            f"cannot write to the results folder {results}: {advice(error)} (with --results)"
            if marked
            else f"cannot write to {results}: {advice(error)}"
        ) from None
    try:
        for folder in (results, *results.glob("*/"), *results.glob("work/*/")):
            files.sweep(folder)
        yield
    finally:
        with suppress(OSError):
            owner.unlink(missing_ok=True)
        lock.release()


def _wait(lock: BaseFileLock, owner: Path, results: Path) -> None:
    """Acquire a lock, and tell of each process that it is waited for."""
    from filelock import Timeout

    told, began, first = None, time.monotonic(), 0.0
    while True:
        try:
            lock.acquire(timeout=first, poll_interval=POLL)
            return
        except Timeout:
            first = LOOK
        who = _owner(owner)
        # The holder says who it is a moment after it got the lock.
        if (who and who != told) or (not told and time.monotonic() - began > PATIENCE):
            told = who or {"pid": "unknown"}
            say(f"waiting for another pipeline in {results} (process {told['pid']}: "
                f"{told.get('command', 'unknown')})")  # fmt: skip


def _owner(path: Path) -> dict[str, Any]:
    """Who holds the lock, as far as it can be read; nobody where that process is dead."""
    try:
        found = dict(json_file(path))
    except (OSError, ValueError, TypeError):
        return {}
    return found if files.alive(str(found.get("pid"))) else {}
