"""Seconds from a command to its answer where nothing is to do, with thousands of stored runs."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from ffcore.config import Experiment, from_record
from ffcore.errors import ReportError
from ffreport.pipeline.bench.training import Row
from ffreport.runs import origin
from ffreport.runs.store import Store
from ffreport.study.study import read_profile

PROFILE = "smoke"
TARGETS = {("--help",): 0.3, ("status",): 1.0, ("all",): 2.0}  # seconds
# What a start remembers of files.
CACHES = ("runs/.index", "cache/definitions.json")


class Size(NamedTuple):
    """How much is measured: runs in the store beside the profile's own, and starts of a command."""

    runs: int = 5000
    starts: int = 5


def measure(root: Path, tell: Callable[[str], None], size: Size | None = None) -> Iterator[Row]:
    """Rows as they are measured, in a results folder of its own that holds a smoke report.

    Args:
        root: the project.
    """
    size = size or Size()
    with tempfile.TemporaryDirectory(prefix="ff-bench-") as folder:
        results = Path(folder) / "results"
        tell(f"making the report of profile {PROFILE}, which takes minutes")
        _seconds(root, ["all"], results)
        tell(f"storing {size.runs:,} further networks")
        yield Row(f"storing a run, of {size.runs:,}", 1e3 * fill(root, results, size.runs), "ms")
        for words, target in TARGETS.items():
            command = " ".join(words)
            seconds = median([_seconds(root, words, results) for _ in range(size.starts + 1)][1:])
            yield Row(f"{command}, {size.runs:,} runs stored", seconds, "s", f"≤ {target}",
                      f"median of {size.starts} starts; nothing to do")  # fmt: skip
        for words in [words for words in TARGETS if words != ("--help",)]:
            for name in CACHES:
                (results / name).unlink(missing_ok=True)
            yield Row(f"{' '.join(words)}, nothing remembered", _seconds(root, words, results), "s",
                      how="the first start: files are hashed, code is parsed")  # fmt: skip
        seeds = ["status", "--seeds", "1000000"]
        first, *later = (_seconds(root, seeds, results) for _ in range(size.starts + 1))
        yield Row("status, a stand-in sought among all runs, first", first, "s",
                  how="every run's record is read")  # fmt: skip
        yield Row("status, a stand-in sought among all runs", median(later), "s",
                  how=f"median of {size.starts} starts")  # fmt: skip


def fill(root: Path, results: Path, runs: int) -> float:
    """Store copies of the profile's networks as if trained with other seeds; returns the seconds
    that saving one takes."""
    store = Store(results)
    planned = read_profile(PROFILE, root=root).networks()
    trained = {e: (r, r.table("history"), r.weights()) for e in planned for r in [store.load(e)]}
    began = time.perf_counter()
    for seed, e in _others(planned, runs):
        run, history, weights = trained[e]
        other = from_record(e.kind, {**e.model_dump(mode="json"), "seed": seed})
        provenance = {**run.provenance, **origin.expected(other)}
        store.save(other, run.summary, {"history": history}, weights, run.seconds, provenance)
    spent = time.perf_counter() - began
    store.consolidate()
    return spent / max(1, runs)


def _others(planned: Sequence[Experiment], runs: int) -> Iterator[tuple[int, Experiment]]:
    """Seeds that no run has yet, with every planned network in turn."""
    return ((1 + at // len(planned), planned[at % len(planned)]) for at in range(runs))


def _seconds(root: Path, words: Sequence[str], results: Path) -> float:
    """Seconds of a command in a process of its own.

    Raises:
        ReportError: it failed; with the end of what it said.
    """
    options = [] if "--help" in words else ["--profile", PROFILE, "--results", str(results)]
    command = [sys.executable, str(root / "pipeline.py"), *words, *options]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    spent = time.perf_counter() - began
    if done.returncode:
        told = "\n".join((done.stdout + done.stderr).splitlines()[-4:])
        raise ReportError(f"`pipeline.py {' '.join(words)}` failed, so no start is timed: {told}")
    return spent
