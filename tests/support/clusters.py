"""A real Dask cluster on this machine: scheduler and workers, each started by its own command.

``python -m tests.support.clusters --kills 12`` trains on one whose workers are killed, one after
the other.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from ffreport.pipeline.training import tasks as training

ROOT = Path(__file__).parents[2]


class Local:
    """A scheduler on a free port of the loopback interface, and its workers."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.workers = folder, []
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
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
                cwd=self.folder, env=self.environment,
            )  # fmt: skip


@contextmanager
def local(folder: Path, workers: int = 2, **environment: str):
    """A cluster that is there as long as it is needed."""
    folder.mkdir(parents=True, exist_ok=True)
    found = Local(folder, environment)
    try:
        found.start_workers(workers, "--no-nanny")
        yield found
    finally:
        found.stop()


def killing(folder: Path, kills: int) -> str:
    """Train on two workers, of which one is killed at random moments and replaced; says how many
    networks were trained, and raises where one is not bit by bit as without a cluster."""
    from ffreport.compute import pool as workers
    from tests.compute.test_cluster import assert_same, run
    from tests.conftest import tiny

    draw = random.Random(0)
    tasks = [training.Task((tiny(seed=seed, epochs=300),)) for seed in range(2 * kills)]
    with local(folder, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="100") as found:
        ended: list[int] = []
        due = time.monotonic() + 15

        def kill() -> None:
            nonlocal due
            if len(ended) < kills and time.monotonic() > due:
                victim = draw.choice([p for p in found.workers if p.poll() is None])
                victim.kill()
                ended.append(victim.pid)
                found.start_workers(1, "--no-nanny")
                due = time.monotonic() + draw.uniform(4, 10)
                print(f"{len(ended)} killed", flush=True)

        outcomes, _ = run(found.address, tasks, poll=kill, workers_=2)
    assert len(ended) == kills, f"{len(ended)} workers killed when all networks were trained"
    assert_same(outcomes, [*workers.run_tasks(tasks, training.perform)])
    return f"{len(ended)} workers killed; {len(outcomes)} of {len(tasks)} networks equal"


def main() -> None:
    from tests.support.measured import note

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=12)
    kills = parser.parse_args().kills
    with tempfile.TemporaryDirectory() as folder:
        note(
            "cluster/killed workers",
            "Networks train on two workers, of which one is killed (SIGKILL) at random moments, "
            "and replaced: all are trained, bit by bit as without a cluster",
            killing(Path(folder), kills),
            f"python -m tests.support.clusters --kills {kills}",
        )


if __name__ == "__main__":
    main()
