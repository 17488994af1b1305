"""Kill the pipeline at many points of its work, and see that the next run completes as if nothing
had been: ``python -m tests.faults --points 50``.

Too long for the suite: a point takes about 20 seconds.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from ffcore import reports
from tests.measured import note
from tests.test_determinism import first_difference
from tests.twice import PROFILE, REPORTS, ROOT

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def commands(folder: Path) -> list[list[str]]:
    """What trains and reports the small profile in a folder."""
    options = ["--profile", str(folder / "twice.yaml"), "--results", str(folder / "results")]
    return [[sys.executable, str(ROOT / "pipeline.py"), *words, *options]
            for words in (["train"], ["report", *REPORTS])]  # fmt: skip


def prepared(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "twice.yaml").write_text(PROFILE)
    return folder


def complete(folder: Path) -> Path:
    """Run to the end; returns the published version."""
    for command in commands(folder):
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=folder)
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stdout + done.stderr
    return Path(done.stdout.strip().splitlines()[-1]).parent


def killed(folder: Path, after: float, how: signal.Signals) -> str:
    """Start the work, and end it after some seconds; returns the stage that was struck."""
    began = time.monotonic()
    for stage, command in zip(("train", "report"), commands(folder), strict=True):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder,
            start_new_session=True,
        )  # fmt: skip
        try:
            said, _ = process.communicate(timeout=max(0.01, after - (time.monotonic() - began)))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, how)
            said, _ = process.communicate(timeout=120)
            assert how == signal.SIGKILL or "Traceback" not in said, said
            return stage
    return "done before"


def stored(folder: Path) -> dict[str, int]:
    """Key → time of every run whose record is there."""
    return {p.parent.name: p.stat().st_mtime_ns
            for p in (folder / "results" / "runs").glob("[0-9a-f]*/run.json")}  # fmt: skip


def fault(folder: Path, after: float, how: signal.Signals, plain: Path) -> str:
    """One point; returns the stage that was struck, and raises where anything is not as it should
    be."""
    stage = killed(prepared(folder), after, how)
    kept = stored(folder)
    for version in (folder / "results" / "reports").glob("[!.]*"):
        assert reports.verify(version.resolve()) == [], f"{version} is not whole"
    version = complete(folder)
    assert kept.items() <= stored(folder).items(), "a stored run was trained again"
    assert reports.verify(version) == []
    assert version.name == plain.name, f"{version.name} is not {plain.name}"
    assert not first_difference(plain, version)
    left = [p for p in (folder / "results").rglob("*")
            if p.name.startswith((".writing", ".building")) or p.suffix == ".tmp"]  # fmt: skip
    assert not left, f"left behind: {left}"
    return stage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    draw = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as base:
        began = time.monotonic()
        plain = complete(prepared(Path(base) / "plain"))
        whole = time.monotonic() - began
        print(f"undisturbed: {whole:.1f} s, version {plain.name}", flush=True)
        struck: Counter[tuple[str, str]] = Counter()
        for point in range(given.points):
            # Evenly over the work, each with its own moment within its part.
            after = whole * (point + draw.random()) / given.points
            how = SIGNALS[point % len(SIGNALS)]
            stage = fault(Path(base) / str(point), after, how, plain)
            struck[stage, how.name] += 1
            print(f"{point + 1:3} {how.name:8} after {after:5.1f} s, in {stage}: as if nothing had "
                  "been", flush=True)  # fmt: skip
        note(
            "faults/kills",
            "The pipeline is killed at moments spread over training, notebooks and publishing. "
            "Each time the next run completes, with the version and the bytes of an undisturbed "
            "one; no stored run is trained twice, every version is whole, nothing is left behind",
            f"{given.points} of {given.points} survived: "
            + ", ".join(f"{n} {name} in {stage}" for (stage, name), n in sorted(struck.items())),
            f"python -m tests.faults --points {given.points}",
        )


if __name__ == "__main__":
    main()
