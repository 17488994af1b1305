"""Faults from outside, and what the next run makes of them: ``python -m tests.rigs.faults kills``,
``points``, ``disk``, ``read-only`` or ``clock``. Killed processes and pipelines at the same time
are in ``tests/rigs/together.py``.

Too long for the suite: a kill takes about 20 seconds, the others some minutes.
"""

from __future__ import annotations

import argparse
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ffreport.publish import versions
from ffreport.runs.store import Store
from tests.rigs.injection import Place, mirror, small_disk, stage, undisturbed
from tests.rigs.twice import PROFILE, REPORTS, ROOT
from tests.support.measured import note
from tests.whole.test_determinism import first_difference

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
    for part, command in zip(("train", "report"), commands(folder), strict=True):
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
            return part
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
        assert versions.verify(version.resolve()) == [], f"{version} is not whole"
    version = complete(folder)
    assert kept.items() <= stored(folder).items(), "a stored run was trained again"
    assert versions.verify(version) == []
    assert version.name == plain.name, f"{version.name} is not {plain.name}"
    assert not first_difference(plain, version)
    left = [p for p in (folder / "results").rglob("*")
            if p.name.startswith((".writing", ".building")) or p.suffix == ".tmp"]  # fmt: skip
    assert not left, f"left behind: {left}"
    return stage


def planned(points: Sequence[str], wanted: int) -> list[tuple[str, str]]:
    """So many points, each before or after its call, in their order: as many of each stage as of
    the others, evenly over it."""
    by_stage: dict[str, list[tuple[int, str]]] = {}
    for at, point in enumerate(points):
        by_stage.setdefault(stage(point), []).append((at, point))
    chosen: list[tuple[int, str]] = []
    lacking = [*by_stage.values()]
    while lacking and len(chosen) < wanted:
        share = max(1, (wanted - len(chosen)) // len(lacking))
        for rest in [*lacking]:
            step = max(1, len(rest) // share)
            taken = rest[step // 2 :: step][: min(share, wanted - len(chosen))]
            chosen += taken
            for one in taken:
                rest.remove(one)
            if not rest:
                lacking.remove(rest)
    return [(p, ("before", "after")[n % 2]) for n, (_, p) in enumerate(sorted(chosen))]


def chain(
    place: Place, plain: Place, plan: Sequence[tuple[str, str]], how: signal.Signals,
    struck: Counter[tuple[str, str]],
) -> list[tuple[str, str]]:  # fmt: skip
    """Kill run after run in one place, each a point further, until one completes; see that it did
    as if nothing had been. Returns the points that were not reached."""
    missed = []
    before = place.folder.with_name(f"{place.folder.name}-before")
    for number, (point, moment) in enumerate(plan):
        kept, fired = place.stored(), place.folder / f"fired-{number}"
        shutil.rmtree(before, ignore_errors=True)
        shutil.copytree(place.folder, before, symlinks=True)
        code, said = place.run("all", cores=1, at=[point, moment], signal=how, fired=str(fired))
        assert how == signal.SIGKILL or "Traceback" not in said, said
        assert kept.items() <= place.stored().items(), "a stored run is lost, or trained again"
        place.sound()
        if fired.exists():
            assert code, f"killed {moment} {point}, and yet: {said}"
            struck[stage(point), how.name] += 1
        else:
            assert code == 0, said
            missed.append((point, moment))
            shutil.rmtree(place.folder)
            shutil.move(before, place.folder)
        print(f"{how.name:8}{'' if fired.exists() else 'missed '}{moment} {point}", flush=True)
    kept = place.stored()
    place.complete(cores=1)
    assert kept.items() <= place.stored().items(), "a stored run was trained again"
    place.same_as(plain)
    assert not place.left(), f"left behind: {place.left()}"
    return missed


def at_points(wanted: int) -> None:
    """Kill the small project's ``all`` at exact points of all its stages."""
    with tempfile.TemporaryDirectory() as base, mirror(Path(base) / "mirror") as served:
        log, plain = Path(base) / "log", Place(Path(base) / "plain", served)
        plain.complete(cores=1, log=str(log))
        every = log.read_text().splitlines()
        # How often a file is written depends on where a run goes on: those that are so once.
        often = {p.rpartition(" ")[0] for p in every if not p.endswith(" 1")}
        points = [p for p in dict.fromkeys(every) if p.rpartition(" ")[0] not in often]
        plan = planned(points, wanted)
        print(f"{len(points)} points, {len(plan)} of them taken", flush=True)
        struck: Counter[tuple[str, str]] = Counter()
        missed: list[tuple[str, str]] = []
        for number, how in enumerate(SIGNALS):
            place = Place(Path(base) / how.name, served)
            missed += chain(place, plain, plan[number :: len(SIGNALS)], how, struck)
        by_stage: Counter[str] = Counter()
        by_signal: Counter[str] = Counter()
        for (name, how_named), n in struck.items():
            by_stage[name] += n
            by_signal[how_named] += n
        note(
            "faults/kills at exact points",
            "`all` of a small project (download, training, checkpoints, cache, notebooks, "
            "publishing) is killed before or after a call that changes a file; the next run is "
            "killed a point further, and so on. After every kill each stored run is there, every "
            "version is whole and `latest` points to one. The run after the last has an "
            "undisturbed one's version and bytes; no stored run was trained twice, and nothing is "
            "left behind",
            f"{sum(struck.values())} kills, all survived: "
            + ", ".join(f"{n} in {name}" for name, n in by_stage.items()) + "; "
            + ", ".join(f"{n} {name}" for name, n in by_signal.items())
            + f" (of {len(points)} such points; {len(missed)} drawn were not reached again)",
            f"python -m tests.rigs.faults points --count {wanted}",
        )  # fmt: skip


def told(code: int, said: str, *words: str) -> str:
    """The one message of a command that failed as it should; it has these words."""
    messages = [line for line in said.splitlines() if line.startswith("error: ")]
    assert code == 1 and len(messages) == 1 and "Traceback" not in said, said
    assert all(word in messages[0] for word in words), messages[0]
    return messages[0]


def whole(place: Place) -> int:
    """How many runs are stored; raises where one is not whole, or a version is not."""
    store = Store(place.results)
    found = [run.experiment for run in store.all()]
    assert len(found) == len(place.stored()), "a stored run cannot be read"
    assert all(store.state(e).usable for e in found)
    place.sound()
    return len(found)


def disk() -> None:
    """Let the disk be full in one stage after the other."""
    with undisturbed() as (base, served, plain):
        room = base / "disk"
        kinds: Counter[str] = Counter()
        with small_disk(room, "64k") as again:
            place, size, grows = Place(base / "small", served, room), 64, 0
            while True:
                code, said = place.run("all", cores=1)
                if code == 0:
                    break
                message = told(code, said, os.strerror(errno.ENOSPC))
                stored, grows = whole(place), grows + 1
                kinds[message.partition(":")[2].split("/")[0].strip()[:40]] += 1
                print(f"{size} kB, {stored} stored: {message}", flush=True)
                size = int(size * 1.25) + 16
                again(f"size={size}k")
            place.complete(cores=1)
            place.same_as(plain)
            assert not place.left(), place.left()
        note(
            "faults/disk",
            "`all` of the small project on a full disk, which grows by a quarter each time: one "
            "message that says so and names the file, exit code 1; stored runs and versions are "
            "whole. The first run with room enough completes with an undisturbed one's bytes",
            f"{grows} full disks from 64 kB on, {size} kB are enough",
            "python -m tests.rigs.faults disk",
        )


def read_only() -> None:
    """Results, figures and home that cannot be written."""
    with undisturbed() as (base, served, plain):
        room = base / "disk"
        with small_disk(room, "64m") as again:
            place = Place(base / "small", served, room)
            place.run("train", cores=1)
            again("ro")
            code, said = place.run("all", cores=1)
            print(told(code, said, "results", os.strerror(errno.EROFS), "--results"))
            assert whole(place) == 3
            for words in (["status"], ["list"]):
                code, said = place.run(*words, cores=1)
                assert code == 0 and "Traceback" not in said, said
            again("rw")
            figures, home = base / "figures", base / "home"
            with small_disk(figures, "1m") as figures_again, small_disk(home, "1m") as home_again:
                figures_again("ro")
                home_again("ro")
                there = {"HOME": str(home)}
                code, said = place.run("all", "--figures", str(figures), cores=1, environment=there)
                print(told(code, said, str(figures), os.strerror(errno.EROFS)))
                whole(place)
                place.complete(cores=1, environment=there)
            place.same_as(plain)
            assert not place.left(), place.left()
        note(
            "faults/read-only",
            "Results on a disk that is mounted read-only; then a folder of figures, and a home. "
            "One message that names the folder, exit code 1, `status` and `list` work; afterwards "
            "the version of an undisturbed run, made with a read-only home",
            "3 of 3 folders, same bytes",
            "python -m tests.rigs.faults read-only",
        )


def clock() -> None:
    """A clock that jumps by hours between any two looks at it, and between runs."""
    with undisturbed() as (base, served, plain):
        place = Place(base / "jumps", served)
        place.run("train", cores=1, clock=[0, 5, -7, 2, 11, -11])
        place.complete(cores=1, clock=[-3, 9, 0, -8, 8])
        place.same_as(plain)
        kept = place.stored()
        # A newer version under a clock that went back a year; and nothing to do at the old time.
        other = place.folder / "notebooks" / "networks.ipynb"
        other.write_text(other.read_text().replace("Every network.", "Each network."))
        old = [p.name for p in (place.results / "reports").glob("[!.]*") if not p.is_symlink()]
        newer = place.complete(cores=1, clock=[-365 * 24])
        names = [v.name for v in versions.versions(place.results)]
        assert names == [*old, newer.name], names
        assert versions.latest(place.results) == newer.resolve()
        code, said = place.run("all", cores=1, clock=[1000, -1000])
        assert code == 0 and "runs:" not in said and "trained" not in said, said
        assert place.stored() == kept and whole(place) == 3 and not place.left()
        note(
            "faults/clock",
            "The clock of the day jumps by hours, forwards and backwards, at every look of every "
            "process, kernels included, and by up to a year between runs: same version and bytes, "
            "nothing is made again or lost, the newest version is the one made last",
            "4 runs",
            "python -m tests.rigs.faults clock",
        )


def in_time(points: int, seed: int) -> None:
    """Kill training and reports at moments spread over them."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as base:
        began = time.monotonic()
        plain = complete(prepared(Path(base) / "plain"))
        whole = time.monotonic() - began
        print(f"undisturbed: {whole:.1f} s, version {plain.name}", flush=True)
        struck: Counter[tuple[str, str]] = Counter()
        for point in range(points):
            # Evenly over the work, each with its own moment within its part.
            after = whole * (point + draw.random()) / points
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
            f"{points} of {points} survived: "
            + ", ".join(f"{n} {name} in {stage}" for (stage, name), n in sorted(struck.items())),
            f"python -m tests.rigs.faults kills --count {points}",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["kills", "points", "disk", "read-only", "clock"])
    parser.add_argument("--count", type=int, default=54, help="of kills")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    work = {"kills": lambda: in_time(given.count, given.seed),
            "points": lambda: at_points(given.count),
            "disk": disk, "read-only": read_only, "clock": clock}  # fmt: skip
    work[given.what]()


if __name__ == "__main__":
    main()
