"""A real Dask cluster on this machine: scheduler and workers, each started by its own command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent


class Local:
    """A scheduler on a free port of the loopback interface, and its workers."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.workers = folder, []
        self.file = folder / "scheduler.json"
        self.start_scheduler()

    def start_scheduler(self, port: int = 0) -> None:
        self.file.unlink(missing_ok=True)
        self.scheduler = self._dask(
            "scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard", "--no-show",
            "--scheduler-file", self.file,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not self.file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.address = json.loads(self.file.read_text())["address"]

    def start_workers(self, count: int, *options: object) -> list[subprocess.Popen]:
        started = [
            self._dask("worker", self.address, "--host", "127.0.0.1", "--nthreads", 1,
                       "--no-dashboard", "--local-directory", self.folder / "scratch", *options)
            for _ in range(count)
        ]  # fmt: skip
        self.workers += started
        return started

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            if process.poll() is None:
                process.kill()
            process.wait()

    def _dask(self, *words: object) -> subprocess.Popen:
        with open(self.folder / f"{words[0]}.log", "a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *map(str, words)], stdout=log, stderr=log,
                cwd=self.folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip


@contextmanager
def local(folder: Path, workers: int = 2):
    """A cluster that is there as long as it is needed."""
    folder.mkdir(parents=True, exist_ok=True)
    found = Local(folder)
    try:
        found.start_workers(workers, "--no-nanny")
        yield found
    finally:
        found.stop()
