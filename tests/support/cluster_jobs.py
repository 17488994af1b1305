"""Tasks for the tests of the cluster; its workers import them from here."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from ffreport.compute import pool


@dataclass(frozen=True)
class Job:
    """Something that takes a while, and leaves a note of how it went in a folder."""

    name: str
    folder: str
    seconds: float = 0.0
    datasets: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()

    def luggage(self):
        return {}

    def moved(self, luggage, data_folder):
        return self


def wait(job, tell):
    """Wait, and speak now and then."""
    note = Path(job.folder) / f"{job.name}-{os.getpid()}-{time.monotonic_ns()}"
    note.write_text("began")
    try:
        until = time.monotonic() + job.seconds
        while time.monotonic() < until:
            time.sleep(0.05)
            tell(pool.Note(job.name, 1, 2, "waits"))
    except BaseException:
        note.write_text("stopped")
        raise
    note.write_text("done")
    return [job.name]


def fail(job, tell):
    raise ZeroDivisionError("on purpose")
