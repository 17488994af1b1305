"""A store of thousands of runs: seconds and memory of the commands that look through all of it, and
how they grow: ``python -m tests.rigs.load --runs 10000``.

Too long for the suite. Each size is a store of its own: the trained smoke profile, and copies of
its networks under other seeds, saved as training saves them.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from ffreport.pipeline.bench import start
from tests.pipeline.bench.test_start import ROOT
from tests.support.measured import note

STAND_INS = ["--profile", start.PROFILE, "--seeds", "0,1000000"]  # half is not trained
# Row → the command, what of it is said, whether nothing is remembered, and the target.
COMMANDS: dict[str, tuple[list[str], str, bool, str]] = {
    "list": (["runs"], "All runs are listed", False, "2 s"),
    "list-first": (["runs"], "The same, when nothing is remembered yet", True, "10 s"),
    "filter": (["runs", "norm=l2", "seed=0-9", "state=stored"], "Runs are filtered by norm, seeds "
               "and state", False, "2 s"),
    "consolidate": (["runs", "--consolidate"], "`runs.parquet` is written", False, "5 s"),
    "consolidate-first": (["runs", "--consolidate"], "The same, when nothing is remembered yet",
                          True, "30 s"),
    "status": (["status", *STAND_INS], "Status of a small profile, half of it not trained: a "
               "stand-in is sought among all runs", False, "2 s"),
    "report": (["report", "rq1_accuracy", *STAND_INS], "A report of a small profile, half "
               "of it not trained", False, "30 s"),
    "unused": (["clean", "--unused", "--dry-run"], "What nothing refers to is found", False, "5 s"),
    "unused-removed": (["clean", "--unused", "--yes"], "… and removed: all runs but the profile's, "
                       "each a folder of three files", True, "10 s"),
}  # fmt: skip
MEMORY = 500  # MB, the target of all


# The memory that a process once had counts what its parent had when it was started: a small one.
LAUNCH = """
import json, os, subprocess, sys, time
began = time.perf_counter()
with open(sys.argv[1], "w") as said:
    process = subprocess.Popen(sys.argv[2:], stdout=said, stderr=subprocess.STDOUT)
    _, code, used = os.wait4(process.pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(code), time.perf_counter() - began,
                  used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""


class Spent(NamedTuple):
    """Of one command: seconds on the clock, seconds of processors, and the most memory in MB that
    one process of it took."""

    seconds: float
    processor: float
    memory: float


def spent(words: Sequence[str], results: Path) -> Spent:
    """Run a command in a process of its own."""
    command = [str(ROOT / "pipeline.py"), *words, "--results", str(results)]
    with tempfile.NamedTemporaryFile("r") as said:
        launch = [sys.executable, "-S", "-c", LAUNCH, said.name, sys.executable, *command]
        done = subprocess.run(launch, cwd=ROOT, capture_output=True, text=True, check=True)
        code, *numbers = json.loads(done.stdout)
        assert code == 0, f"{' '.join(words)}: {said.read()[-2000:]}"
    return Spent(*numbers)


def measure(results: Path, row: str, starts: int) -> Spent:
    """What a row's command takes; the median of several starts where it changes nothing."""
    words, _, first, _ = COMMANDS[row]
    if row == "report":
        shutil.rmtree(results / "work", ignore_errors=True)
    found = []
    for _ in range(1 if first or row == "report" else starts):
        if first:
            for name in start.CACHES:
                (results / name).unlink(missing_ok=True)
        found.append(spent(words, results))
    middle = [median(values) for values in zip(*found, strict=True)]
    return Spent(middle[0], middle[1], max(s.memory for s in found))


def stored(results: Path) -> int:
    return len([p for p in (results / "runs").iterdir() if not p.name.startswith(".")])


def exponent(few: float, runs: dict[int, float]) -> float:
    """Slope of log time over log runs, of the time beyond that of a store without further runs:
    least squares; 1 is linear."""
    points = [(math.log(n), math.log(max(t - few, 1e-3))) for n, t in runs.items() if n]
    x, y = (sum(values) / len(points) for values in zip(*points, strict=True))
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000, help="the largest store; and its "
                        "half, quarter and eighth")  # fmt: skip
    parser.add_argument("--starts", type=int, default=3, help="of a command that changes nothing")
    options = parser.parse_args()
    most = options.runs
    sizes = [0, most // 8, most // 4, most // 2, most]
    found: dict[str, dict[int, Spent]] = {row: {} for row in COMMANDS}
    saved: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        spent(["train", "--profile", start.PROFILE], base)
        own = stored(base)
        for size in sizes:
            results = Path(folder) / f"{size}"
            shutil.copytree(base, results)
            saved[size] = start.fill(ROOT, results, size)
            # What makes a store's first look comes before what looks again, and removal last.
            for row in sorted(COMMANDS, key=lambda r: (r == "unused-removed", "first" not in r)):
                if row == "list":
                    spent(["runs"], results)  # All is remembered from here on.
                if row == "report" and size not in (0, most):
                    continue  # It takes long, of which the store is a small part.
                found[row][size] = measure(results, row, options.starts)
                print(f"{size:6} {row:18} {found[row][size].seconds:6.2f} s "
                      f"{found[row][size].processor:6.2f} s of processors "
                      f"{found[row][size].memory:5.0f} MB", flush=True)  # fmt: skip
            assert stored(results) == own, "just the profile's runs are left"
            shutil.rmtree(results)
    command = f"python -m tests.rigs.load --runs {most}"
    for row, (words, what, _, target) in COMMANDS.items():
        of = found[row]
        processor = {size: s.processor for size, s in of.items()}
        growth = ""
        if most // 2 in of:
            power = exponent(processor.pop(0), processor)
            growth = f", {processor[most // 2]:.1f} s with half as many; exponent {power:.2f}"
        note(
            f"load/{row}",
            f"{what}; target {target}, {MEMORY} MB. `{' '.join(words)}`",
            f"{of[most].seconds:.1f} s with {most:,} runs, {of[0].seconds:.1f} s with {own}; "
            f"{of[most].memory:.0f} MB; of processors {of[most].processor:.1f} s{growth}",
            command,
        )
    note("load/save", "A run is saved, with a history and small weights",
         f"{1e3 * saved[most]:.1f} ms each of {most:,}, {1e3 * saved[sizes[1]]:.1f} ms each of "
         f"{sizes[1]:,}", command)  # fmt: skip


if __name__ == "__main__":
    main()
