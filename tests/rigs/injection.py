"""A small project of its own, in which ``all`` takes seconds; and runs of it with a fault at an
exact point. What the processes do with it stands in ``tests/injected/sitecustomize.py``."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from ffreport.publish import versions
from tests.whole.test_determinism import first_difference

ROOT = Path(__file__).parents[2]
INJECTED = ROOT / "tests" / "injected"
COUNTS = (240, 60)
PROFILE = """
title: "Small"
rq1:
  - {datasets: [mnist], norm: [l2], aggregation: [sum], inhibition: [none], activation: [relu],
     probability: [sigmoid, symmetric],
     settings: {epochs: 2, widths: [16, 12], batch_size: 60, label_size: 20}}
rq2: {images: 20, neighbour_points: 60, tsne_points: 40, h0_points: 40, h1_points: 20}
sparsity: [{dataset: mnist, width: 16, epochs: 1, batch_size: 60}]
"""
PARAMETERS = """profile = "small"
changes = {}
results = "results"
data_folder = ""
output = ""
"""
SETUP = """from ffreport.publish import output as outputs, {module}, study

report = study.Study(profile, changes, results, data_folder)
out = outputs.open_output(output, profile=report.profile, provenance=report.provenance)
"""
NETWORKS = """frame = rq1.accuracy(report)[["configuration", "best", "last"]]
out.table(frame, "networks", "Every network.")
"""
DRAWN = """import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(3, 2))
ax.plot(frame["best"])
out.figure(fig, "best", caption="Best accuracy.", data=frame)
"""
LATENTS = """import pandas as pd

frame = pd.concat([rq2.nine(report, run) for run in report.networks], ignore_index=True)
out.table(frame, "latents", "Measures of latents.")
"""


def notebook(path: Path, title: str, cells: Sequence[tuple[list[str], str]]) -> None:
    """Write a notebook: a title, parameters, code cells with their tags."""

    def code(tags: list[str], source: str) -> dict[str, Any]:
        return {"cell_type": "code", "metadata": {"tags": tags} if tags else {}, "outputs": [],
                "execution_count": None, "source": source.rstrip("\n")}  # fmt: skip

    text = {"cell_type": "markdown", "metadata": {}, "source": f"# {title}\n\nOf the tests."}
    every = [text, *(code(*cell) for cell in cells)]
    for number, cell in enumerate(every):
        cell["id"] = f"c{number}"
    path.write_text(json.dumps({
        "cells": every, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))  # fmt: skip


def project(folder: Path) -> Path:
    """Write the small project into a folder."""
    (folder / "profiles").mkdir(parents=True)
    (folder / "notebooks").mkdir()
    shutil.copy(ROOT / "pipeline.py", folder)
    (folder / "profiles" / "small.yaml").write_text(PROFILE)
    head = (["parameters"], PARAMETERS)
    notebook(folder / "notebooks" / "networks.ipynb", "Networks", [
        head, ([], SETUP.format(module="rq1")), (["table:networks"], NETWORKS),
        (["figure:best"], DRAWN)])  # fmt: skip
    notebook(folder / "notebooks" / "latents.ipynb", "Latents", [
        head, ([], SETUP.format(module="rq2")), (["table:latents"], LATENTS)])  # fmt: skip
    return folder


def images() -> dict[str, bytes]:
    """The four published files of a data set of noise, by name."""
    draw, found = np.random.default_rng(0), {}
    for part, count in zip(("train", "t10k"), COUNTS, strict=True):
        labels = np.arange(count, dtype=np.uint8) % 10
        pixels = draw.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        for kind, array in (("images-idx3", pixels), ("labels-idx1", labels)):
            head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
            found[f"{part}-{kind}-ubyte.gz"] = head + array.tobytes()
    return found


@contextmanager
def mirror(folder: Path) -> Iterator[dict[str, Any]]:
    """A server of the small data set; yields what ``Fault`` says of it."""
    folder.mkdir()
    files = images()
    for name, content in files.items():
        (folder / name).write_bytes(gzip.compress(content, mtime=0))

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield {
            "url": f"http://127.0.0.1:{server.server_address[1]}/",
            "checksums": [hashlib.sha256(content).hexdigest() for content in files.values()],
            "counts": COUNTS,
        }
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Place:
    """A project, its results and data, and commands run there.

    Args:
        folder: holds it all.
        served: of ``mirror``.
        disk: another folder for results and data.
    """

    def __init__(self, folder: Path, served: dict[str, Any], disk: Path | None = None) -> None:
        self.folder, self.served = folder, served
        self.results = (disk or folder) / "results"
        self.data = (disk or folder) / "data"
        if not folder.exists():
            project(folder)

    def start(self, *words: str, environment: dict[str, str] | None = None, **fault: Any) -> Any:
        """Start a command in a group of its own; ``fault`` is told to every process of it."""
        below = {"data": self.data, "results": self.results}
        told = {"mirror": self.served, "checkpoints": True,
                "below": {k: str(v) for k, v in below.items()}, **fault}  # fmt: skip
        path = os.pathsep.join([str(INJECTED), str(ROOT)])
        variables = {
            **os.environ, "PYTHONPATH": path, "FFCORE_FAULT": json.dumps(told),
            "FFCORE_DATA": str(self.data), "NO_PROXY": "*", **(environment or {}),
        }  # fmt: skip
        variables.pop("FFCORE_FAULT_GROUP", None)
        options = [] if words[0] == "list" else ["--results", str(self.results)]
        if words[0] not in ("reports", "verify") and "--profile" not in words:
            options += ["--profile", "small"]
        return subprocess.Popen(
            [sys.executable, str(self.folder / "pipeline.py"), *words, *options],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.folder,
            env=variables, start_new_session=True,
        )  # fmt: skip

    def run(self, *words: str, **given: Any) -> tuple[int, str]:
        """Run a command to its end; returns its code and what it said."""
        process = self.start(*words, **given)
        try:
            said, _ = process.communicate(timeout=240)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise AssertionError(f"{words} hung: {process.communicate()[0]}") from None
        return process.returncode, said

    def complete(self, **given: Any) -> Path:
        """Run ``all`` to its good end; returns the version's folder."""
        code, said = self.run("all", **given)
        assert code == 0 and "Traceback" not in said, said
        return Path(said.strip().splitlines()[-1]).parent

    def stored(self) -> dict[str, int]:
        """Key → time of every stored run."""
        found = (self.results / "runs").glob("[0-9a-f]*/run.json")
        return {p.parent.name: p.stat().st_mtime_ns for p in found}

    def sound(self) -> None:
        """Raise unless every version is whole, and ``latest`` is one of them or not there."""
        folder = self.results / "reports"
        for version in folder.glob("[!.]*"):
            assert versions.verify(version.resolve()) == [], f"{version} is not whole"
        assert not (folder / "latest").is_symlink() or (folder / "latest").exists()

    def left(self) -> list[str]:
        """What no finished run leaves behind."""
        known = {".book.json", ".ffcore", ".index", ".lock"}
        endings = (".part", ".tmp", ".checkpoint")
        return sorted(
            str(p.relative_to(self.folder if p.is_relative_to(self.folder) else self.results))
            for base in {self.results, self.data} for p in base.rglob("*")
            if (p.name.startswith(".") and p.name not in known) or p.suffix in endings
        )  # fmt: skip

    def same_as(self, plain: Place) -> None:
        """Raise unless this place's newest report and table of runs are those of another."""
        mine, other = (p.results / "reports" / "latest" for p in (self, plain))
        assert mine.resolve().name == other.resolve().name
        assert not first_difference(other.resolve(), mine.resolve())
        names = [sorted(p.name for p in place.results.glob("figures/*")) for place in (self, plain)]
        assert names[0] == names[1]
        assert (self.results / "runs.parquet").exists()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A disk of its own in memory; yields what mounts it anew with other options, such as
    ``size=2m`` or ``ro``.

    Raises:
        PermissionError: this user, or this container, may not mount.
    """
    folder.mkdir(parents=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True, text=True,
    )  # fmt: skip
    if made.returncode:
        raise PermissionError(made.stderr.strip())

    def again(options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)

    try:
        yield again
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def stage(point: str) -> str:
    """The stage of the pipeline that a point belongs to."""
    place = point.split()[1]
    for begins, name in STAGES.items():
        if place.startswith(begins):
            return name
    return "locks and books"


STAGES = {
    "data": "data",
    "results/runs/.verified": "locks and books",
    "results/runs": "store",
    "results/.unlisted": "store",
    "results/checkpoints": "checkpoints",
    "results/cache/definitions": "locks and books",
    "results/cache": "cache frames",
    "results/work": "notebooks",
    "results/reports/latest": "latest",
    "results/reports/.latest": "latest",
    "results/reports": "publishing",
    "results/figures": "figures",
}


@contextmanager
def undisturbed(cores: int = 1) -> Iterator[tuple[Path, dict[str, Any], Place]]:
    """A folder that goes afterwards, a mirror, and a place where nothing disturbed the work."""
    with tempfile.TemporaryDirectory() as base, mirror(Path(base) / "mirror") as served:
        plain = Place(Path(base) / "plain", served)
        plain.complete(cores=cores)
        yield Path(base), served, plain
