"""Pipelines that share a results folder, and processes that are ended from outside: ``python -m
tests.rigs.together pipelines``, ``holder``, ``notebooks``, ``kernel`` or ``memory``. Minutes each.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ffreport.compute import pool
from ffreport.pipeline import notebooks as notebook_work
from tests.rigs.faults import told, whole
from tests.rigs.injection import Place, notebook, undisturbed
from tests.support.measured import note

WRITES = """from pathlib import Path

Path(output, f"{number}.txt").write_text(str(number))
print(number)
"""


def until(true: Callable[[], Any], seconds: float = 120) -> None:
    """Wait for something; an error where it does not come."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


class Said:
    """What a process says, as it says it."""

    def __init__(self, process: Any) -> None:
        self.process, self.lines = process, [""]
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line)

    def all(self) -> str:
        self.process.wait(240)
        self._reader.join()
        return "".join(self.lines)

    def __contains__(self, text: str) -> bool:
        return text in "".join(self.lines)


def members(group: int, words: str) -> list[int]:
    """Processes that a command in a group started, kernels included, with these words in their
    command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            own = f"FFCORE_FAULT_GROUP={group}".encode() in (process / "environ").read_bytes()
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if own and words in line:
            found.append(int(process.name))
    return sorted(found)


def pipelines() -> None:
    """Three ``all`` on one results folder at once, one of them of another profile."""
    with undisturbed() as (base, served, plain):
        place = Place(base / "shared", served)
        profiles = place.folder / "profiles"
        text = (profiles / "small.yaml").read_text()
        (profiles / "other.yaml").write_text(text.replace("epochs: 2", "epochs: 3"))
        every = [Said(place.start("all", cores=1)) for _ in range(2)]
        every.append(Said(place.start("all", "--profile", "other", cores=1)))
        looks = 0
        while any(e.process.poll() is None for e in every):
            for words in (["status"], ["list"], ["reports", "list"], ["verify"]):
                code, said = place.run(*words, cores=1)
                assert "waiting" not in said and "Traceback" not in said, said
                assert code == 0 or "no report in" in said, said
                looks += 1
        texts = [e.all() for e in every]
        assert all(e.process.returncode == 0 for e in every), texts
        assert not any("Traceback" in text for text in texts), texts
        trained = [int(n) for text in texts for n in re.findall(r"trained (\d+) in", text)]
        made = [name for text in texts for name in re.findall(r"^notebook (\w+): ", text, re.M)]
        # Two networks, and two of three epochs; the sparsity run is the same in both profiles.
        assert sum(trained) == 5 and len(trained) == 2, texts
        assert sorted(made) == ["latents", "latents", "networks", "networks"], texts
        waits = sum(text.count("waiting for another pipeline") for text in texts)
        assert waits >= 2 and "unknown" not in "".join(texts), texts
        ends = [Path(text.strip().splitlines()[-1]).parent for text in texts]
        assert ends[0] == ends[1] != ends[2] and ends[0].name == plain.complete(cores=1).name
        assert whole(place) == 5 and not place.left(), place.left()
    note(
        "concurrency/pipelines",
        "Three `all` at once on one results folder, one of another profile: who comes second says "
        "for whom it waits; `status`, `list`, `reports list` and `verify` answer meanwhile",
        f"5 of 5 runs trained once, 4 of 4 notebooks executed once, 2 versions whole, {waits} "
        f"waits told, {looks} other commands answered",
        "python -m tests.rigs.together pipelines",
    )  # fmt: skip


def holder() -> None:
    """The pipeline that others wait for is killed."""
    with undisturbed() as (base, served, plain):
        place = Place(base / "shared", served)
        first = Said(place.start("all", cores=1))
        until(place.stored)
        second = Said(place.start("all", cores=1))
        until(lambda: f"(process {first.process.pid}: all" in second)
        began = time.monotonic()
        os.killpg(first.process.pid, signal.SIGKILL)
        owner = place.results / ".lock.json"
        until(lambda: json.loads(owner.read_text())["pid"] == second.process.pid)
        spent = time.monotonic() - began
        assert "Traceback" not in second.all() and second.process.returncode == 0, second.all()
        first.all()
        place.same_as(plain)
        assert not place.left(), place.left()
    note(
        "concurrency/killed holder",
        "SIGKILL for the pipeline that another one waits for: the other goes on where it was, to "
        "the bytes of an undisturbed run",
        f"it had the lock {spent:.1f} s later",
        "python -m tests.rigs.together holder",
    )


def notebooks(count: int = 32, processes: int = 6) -> None:
    """Many notebooks in more processes than there are cores."""
    real, pool.cores = pool.cores(), lambda: processes
    with tempfile.TemporaryDirectory() as base:
        sources, out = Path(base) / "notebooks", Path(base) / "out"
        sources.mkdir()
        for number in range(count):
            head = (["parameters"], f'number = {number}\noutput = ""')
            notebook(sources / f"n{number}.ipynb", f"N {number}", [head, ([], WRITES)])
        tasks = [
            notebook_work.Task(source, out / source.stem, {}, Path(base) / "failed", {})
            for source in sorted(sources.glob("*.ipynb"))
        ]
        began = time.monotonic()
        found = {done.name: done for done in notebook_work.run(tasks)}
        spent = time.monotonic() - began
        assert not [e for e in found.values() if e.fault] and len(found) == count, found
        for number in range(count):
            assert (out / f"n{number}" / f"{number}.txt").read_text() == str(number)
            assert f'"{number}\\n"' in (out / f"n{number}" / f"n{number}.ipynb").read_text()
        assert len([*out.iterdir()]) == count
    note(
        "concurrency/notebooks",
        f"{count} notebooks, each with a kernel of its own, in {processes} processes at a time on "
        f"{real} cores: every one has its own file and output",
        f"{count} of {count}, {spent:.0f} s",
        "python -m tests.rigs.together notebooks",
    )


def kernel() -> None:
    """The kernels of notebooks are killed while their cells run."""
    with undisturbed() as (base, served, plain):
        place = Place(base / "killed", served)
        code, said = place.run("train", cores=1)
        assert code == 0, said
        kept = place.stored()
        running = Said(place.start("all", cores=1))
        # The last cell, which draws a figure, is yet to come.
        tables = "work/*/.building-*/tables/networks.csv"
        until(lambda: list(place.results.glob(tables)))
        (struck,) = members(running.process.pid, "ipykernel_launcher")
        os.kill(struck, signal.SIGKILL)
        said = running.all()
        print(told(running.process.returncode, said, "notebook networks failed in cell"))
        assert "the kernel died here" in said, said
        assert place.stored() == kept and whole(place) == 3
        assert list(place.results.glob("work/*/latents/latents.ipynb")), "one stopped the other"
        place.complete(cores=1)
        place.same_as(plain)
        assert place.stored() == kept and not place.left(), place.left()
    note(
        "faults/kernel",
        "SIGKILL for the kernel of a notebook while a cell runs: the message names notebook and "
        "cell, exit code 1, the other notebook is made; the next run completes with an undisturbed "
        "one's bytes",
        "1 of 1",
        "python -m tests.rigs.together kernel",
    )


def memory() -> None:
    """A process that trains is ended as the system does where memory runs out, or gets no more."""
    with undisturbed(cores=2) as (base, served, plain):
        place = Place(base / "short", served)
        running = Said(place.start("train", "--epochs", "1000000", cores=2))
        until(lambda: ", epoch " in running)
        os.kill(members(running.process.pid, "spawn_main")[0], signal.SIGKILL)
        said = running.all()
        print(told(running.process.returncode, said, "ended from outside (SIGKILL)", "mnist-"))
        whole(place)
        for room in (0, 2**24):
            code, said = place.run("train", cores=2, memory=room)
            if code == 0:
                break
            print(told(code, said, "mnist-", "run the same command again"))
            whole(place)
        place.complete(cores=2)
        place.same_as(plain)
        # The first training was of other experiments, and may go on.
        assert not [p for p in place.left() if not p.endswith(".checkpoint")], place.left()
    note(
        "faults/memory",
        "SIGKILL for one of two processes that train, and processes that get no more memory "
        "(RLIMIT_AS): one message that names the experiment and what to do, exit code 1; the next "
        "run completes with an undisturbed one's bytes",
        "1 killed, 2 without memory",
        "python -m tests.rigs.together memory",
    )


if __name__ == "__main__":
    parts = {f.__name__: f for f in (pipelines, holder, notebooks, kernel, memory)}
    if set(sys.argv[1:]) - set(parts):
        sys.exit(f"choose among {', '.join(parts)}")
    for part in sys.argv[1:] or parts:
        parts[part]()
