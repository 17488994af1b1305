"""One pipeline at a time in a results folder; who comes second waits, and is told for whom."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ffcore.console import say
from ffcore.errors import ConfigError
from ffcore.reading import json_file

MARKER = ".ffcore"  # a folder that has it was made by this pipeline, and may be cleaned


@contextmanager
def alone(results: Path) -> Iterator[None]:
    """Hold the lock of a results folder, which is made where there is none.

    Raises:
        ConfigError: the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    owner = results / ".lock.json"
    try:
        results.mkdir(parents=True, exist_ok=True)
        (results / MARKER).touch()
        lock = FileLock(results / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            who = _owner(owner)
            say(f"waiting for another pipeline in {results} (process {who.get('pid', 'unknown')}: "
                f"{who.get('command', 'unknown')})")  # fmt: skip
            lock.acquire()
        owner.write_text(json.dumps({"pid": os.getpid(), "command": " ".join(sys.argv[1:])}))
    except OSError as error:
        raise ConfigError(
            f"cannot write to the results folder {results}: {error.strerror or error}; "
            "make it writable or choose another with --results"
        ) from None
    try:
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _owner(path: Path) -> dict[str, Any]:
    """Who holds the lock, as far as it can be read."""
    try:
        return dict(json_file(path))
    except (OSError, ValueError, TypeError):
        return {}
