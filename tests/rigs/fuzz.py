"""Coverage-guided fuzzing of the readers that are written in Python: ``python -m tests.rigs.fuzz
READER --runs N`` with a reader of READERS, or ``all``.

It needs atheris, which the project does not: ``pip install atheris`` (Linux and macOS). Each reader
runs in a process of its own; what it must not raise ends that one, with the input in a file.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.measured import note

MODULES = ("ffcore.config", "ffcore.files", "ffreport.data", "ffreport.publish", "ffreport.study")
READERS = ("idx", "npz", "profile", "manifest", "png", "svg", "pdf", "notebook", "table")
LONGEST = 4096  # bytes of an input


def reader(name: str, folder: Path) -> tuple[Callable[[bytes], Any], bytes]:
    """What reads an input, and a sound one to begin with."""
    from ffreport.data import own
    from ffreport.publish import trace, versions
    from ffreport.publish.diff import causes, tables
    from ffreport.publish.notebooks import catalogue
    from ffreport.study import study
    from tests.rigs import bombs

    root = Path(__file__).parents[2]
    truth = bombs.idx((20,), bytes([0, 1] * 10))
    images = bombs.idx((20, 2, 2), bytes(80))
    stream = io.BytesIO()
    bombs.zip_of(stream, [("X.npy", bombs.npy("'|u1'", "(20, 2, 2)", bytes(80))),
                          ("y.npy", bombs.npy("'|u1'", "(20,)", truth[8:]))], 0)  # fmt: skip
    figure = b'{"figure": "line"}'
    texts = b"tEXtDescription\0" + figure
    svg = (b'<?xml version="1.0"?><svg xmlns:dc="http://purl.org/dc/elements/1.1/">'
           b'<dc:description>{"figure": "line"}</dc:description></svg>')  # fmt: skip

    def at(place: str, call: Callable[[Path], Any]) -> Callable[[bytes], Any]:
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)

        def read(content: bytes) -> Any:
            path.write_bytes(content)
            own._newest.clear()
            return call(path)

        return read

    def idx(path: Path) -> Any:
        for place, content in zip(bombs.IDX[1:], (truth, images, truth), strict=True):
            (path.parent / place).write_bytes(content)
        return own.identify(path.parent)

    def manifest(path: Path) -> Any:
        from ffreport.publish.diff import compare

        side = compare._side("A", path.parent)
        causes.causes(side.manifest, {})
        return versions.verify(path.parent), versions.versions(folder)

    empty = b'{"inputs": {}, "files": {}, "measured": {"created": ""}, "version": "v"}'
    notebook = (b'{"cells": [{"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": '
                b'"a = 1", "outputs": []}], "metadata": {}, "nbformat": 4}')  # fmt: skip
    return {
        "idx": (at(f"idx/{bombs.IDX[0]}", idx), images),
        "npz": (at("x.npz", own.identify), stream.getvalue()),
        "profile": (at("p.yaml", lambda p: study.read_profile(str(p), root=root)),
                    (root / "profiles" / "smoke.yaml").read_bytes()),
        "manifest": (at("reports/v/manifest.json", manifest), empty),
        "png": (at("x.png", trace.record),
                b"\x89PNG\r\n\x1a\n" + len(figure).to_bytes(4, "big") + texts + b"0000"),
        "svg": (at("x.svg", trace.record), svg),
        "pdf": (at("x.pdf", trace.record), b"%PDF-1.4 /Subject (" + figure + b")"),
        "notebook": (at("n.ipynb", catalogue.describe), notebook),
        "table": (at("t.csv", lambda p: tables.compare("t", *[tables.read(p)] * 2)),
                  b"name,low,high,value\na,1,2,1.5\n"),
    }[name]  # fmt: skip


def fuzz(name: str, runs: int) -> None:
    """Give one reader inputs until they are enough, or one of them is not refused as it should."""
    import atheris

    with atheris.instrument_imports(include=[*MODULES]):
        from ffcore.errors import FFError

        folder = Path(tempfile.mkdtemp())
        read, sound = reader(name, folder)

    def once(content: bytes) -> None:
        try:
            read(content)
        except FFError:
            pass

    once(sound)
    corpus = folder / "corpus"
    corpus.mkdir()
    (corpus / "sound").write_bytes(sound)
    options = [f"-runs={runs}", f"-max_len={LONGEST}", "-timeout=20", "-rss_limit_mb=2500",
               f"-artifact_prefix={folder}/"]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], once)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reader", choices=(*READERS, "all"))
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--here", action="store_true", help="in this process")
    given = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        sys.exit("atheris is not installed; `pip install atheris` brings it (Linux and macOS)")
    if given.here:
        return fuzz(given.reader, given.runs)
    failed = []
    for name in READERS if given.reader == "all" else (given.reader,):
        command = [
            sys.executable,
            "-m",
            "tests.rigs.fuzz",
            name,
            "--runs",
            str(given.runs),
            "--here",
        ]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        said = done.stdout + done.stderr
        ran = re.search(r"Done (\d+) runs in (\d+) second", said)
        reached = re.findall(r"cov: (\d+)", said)
        if done.returncode or not ran:
            failed.append(name)
            print(f"{name}: failed\n{said[-3000:]}")
            continue
        note(f"hostile/coverage-guided {name}",
             f"{name}: inputs that reach new code, made by atheris from a sound one; each is read "
             "or refused with one clear error",
             f"{int(ran[1]):,} inputs, 0 crashes, {reached[-1]} places of the code reached",
             f"python -m tests.rigs.fuzz {name} --runs {given.runs}")  # fmt: skip
    if failed:
        sys.exit(f"{len(failed)} failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
