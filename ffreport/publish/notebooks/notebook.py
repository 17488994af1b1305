"""Executed notebooks: run whole or for one figure, verified, cleaned, put in place at once."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ffcore import files
from ffcore.errors import ReportError, ResourceError, advice, unknown
from ffreport.publish.notebooks.catalogue import (
    FINDING,
    TAG,
    NotebookInfo,
    catalogue,
    describe,
    read,
)
from ffreport.publish.notebooks.cleaning import clean, without_colours
from ffreport.publish.notebooks.kernel import NUMBER, Progress, Run, problem, run
from ffreport.publish.output import CAPTIONS

__all__ = [
    "NotebookInfo",
    "building",
    "catalogue",
    "describe",
    "execute",
    "sweep",
    "write_atomically",
]

_mine: set[Path] = set()  # folders that this process is building


def execute(
    source: Path,
    target_folder: Path,
    parameters: Mapping[str, Any] | None = None,
    *,
    only_figure: str | None = None,
    progress: Progress | None = None,
    timeout: int = 3600,
    failed_folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Path:
    """Run a notebook in a fresh kernel and put it, cleaned, with what it saved, into a folder.

    The kernel is this interpreter, works in the notebook's own folder, and sees the parameter
    ``output`` as the folder to save in. ``target_folder`` appears, or is replaced, as a whole,
    and only when every code cell ran and every declared figure and table was saved and shown.

    Args:
        only_figure: run only the set-up cells and the cells of this figure; set-up is what has
            no tag of a figure or table, and is not tagged ``finding`` (sentences on what others
            computed).
        progress: called before each cell with cells done, cells in all, and the cell's label.
        timeout: seconds that one cell may take.
        failed_folder: where a notebook that failed is kept; ``failed`` beside the target folder.
        environment: further variables of the kernel's environment.

    Returns:
        ``target_folder``, which holds ``<report>.ipynb``, ``figures/``, ``tables/`` and captions.

    Raises:
        ConfigError: an unknown parameter or figure, with the nearest legal one.
        ReportError: the notebook failed; with the cell's number, source, output and traceback.
    """
    info = describe(source)
    values = {key: _simple(key, value) for key, value in (parameters or {}).items()}
    legal = [name for name in info.parameters if name != "output"] or ["none, for it has none"]
    for name in values:
        if name not in legal:
            raise unknown(f"parameter of notebook {info.name}", name, legal)
    if only_figure is not None and only_figure not in info.figures:
        raise unknown(f"figure of notebook {info.name}", only_figure, info.figures or ["none"])
    document = _prepared(source, only_figure)
    failed = (failed_folder or target_folder.parent / "failed") / source.name
    folder = source.resolve().parent
    with building(target_folder) as work:
        if "output" in info.parameters:
            values["output"] = str(work.resolve())
        # Where the caller keeps its files must not show, nor make two reports differ.
        told = {name: _told(name, value, info, folder.parent) for name, value in values.items()}
        places = {Path(v): told[k] for k, v in values.items() if _is_place(v)}
        places |= {work: "", target_folder: "", folder.parent: "."}
        outcome = run(
            document, values, folder, timeout=timeout, progress=progress, environment=environment
        )
        fault = problem(outcome) or _unsaved(outcome, work)
        if fault and os.strerror(errno.ENOSPC) in fault[1]:
            raise ResourceError(
                f"notebook {info.name} stopped, {_where(outcome, fault[0])}: "
                f"{os.strerror(errno.ENOSPC)}, in {target_folder.parent} or in the temporary "
                "folder; free some there and run the same command again"
            )
        if fault:
            write_atomically(failed, clean(_marked(outcome, *fault), places, told))
            why = _explain(outcome, *fault)
            raise ReportError(f"notebook {info.name} failed{why}\nkept, marked there: {failed}")
        write_atomically(work / source.name, clean(outcome.document, places, told))
    return target_folder


def sweep(parent: Path) -> None:
    """Remove what other processes were building in a folder; to be called by who holds the lock
    of the results, so that those are ended, or about to be."""
    for old in set(parent.glob(".building-*")) - _mine:
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def building(target: Path) -> Iterator[Path]:
    """A fresh folder that takes the place of ``target`` when the block ends well, else vanishes.

    What dead processes left behind is removed.

    Raises:
        ReportError: the folder cannot be written.
    """
    parent = target.parent
    work = parent / f".building-{os.getpid()}-{os.urandom(4).hex()}"
    aside = work.with_name(work.name + "-old")
    _mine.update((work, aside))
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for old in parent.glob(".building-*"):
            number = old.name.split("-")[1]
            # In a container, our number may be that of one that was killed there.
            if not files.alive(number) or (number == str(os.getpid()) and old not in _mine):
                shutil.rmtree(old, ignore_errors=True)
        work.mkdir()
    except OSError as error:
        raise ReportError(f"cannot write in {parent}: {advice(error)}") from error
    try:
        yield work
        try:
            if target.is_dir():
                os.rename(target, aside)
            os.rename(work, target)
        except OSError as error:
            raise ReportError(f"cannot put {target} in place: {advice(error)}") from error
    finally:
        if aside.is_dir() and not target.exists():
            os.rename(aside, target)
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)
        _mine.difference_update((work, aside))


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    Raises:
        ReportError: it cannot be written.
    """
    # A file's name may hold bytes that are no text.
    raw = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    try:
        files.write(path, raw)
    except OSError as error:
        raise ReportError(f"cannot write {path}: {advice(error)}") from error


def _simple(name: str, value: Any) -> Any:
    """The value as papermill can write it, paths as text."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [_simple(name, item) for item in value]
    if isinstance(value, dict):
        return {str(key): _simple(name, item) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ReportError(f"parameter {name} is {value!r:.80}; a notebook takes plain values only")


def _is_place(value: Any) -> bool:
    return isinstance(value, str) and os.path.isabs(value)


def _told(name: str, value: Any, info: NotebookInfo, project: Path) -> Any:
    """A parameter as the published notebook shows it. Results elsewhere read as those beside the
    notebooks: the folder makes no difference."""
    if name == "output":
        return ""
    if not _is_place(value):
        return value
    if Path(value).is_relative_to(project):
        return Path(value).relative_to(project).as_posix()
    return str(info.parameters.get("results")) if name == "results" else f"<{name}>"


def _prepared(source: Path, only_figure: str | None) -> dict[str, Any]:
    """The notebook to execute: numbered cells, and for one figure only those that it needs."""
    document = read(source) | {"nbformat_minor": 5}
    for number, cell in enumerate(document["cells"], 1):
        cell["metadata"][NUMBER] = number
        cell["id"] = f"cell-{number}"  # nbformat warns of a cell without one
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    if only_figure is not None:
        document["cells"] = [
            cell
            for cell in document["cells"]
            if cell["cell_type"] == "code"
            and (f"figure:{only_figure}" in (tags := cell["metadata"]["tags"])
                 or not any(TAG.fullmatch(tag) or tag == FINDING for tag in tags))
        ]  # fmt: skip
    return document


def _unsaved(outcome: Run, work: Path) -> tuple[int, str] | None:
    """A cell whose tag promises what was not saved, or not shown; or a save without a tag."""
    file = work / CAPTIONS
    captions = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    saved = {(k, name) for k in ("figure", "table") for name in captions.get(f"{k}s", {})}
    shown = {
        item
        for cell in outcome.cells
        for output in cell.get("outputs", ())
        for item in output.get("metadata", {}).get("ffcore", {}).items()
    }
    tagged = {}
    for position, cell in enumerate(outcome.cells):
        for match in filter(None, map(TAG.fullmatch, cell["metadata"].get("tags", []))):
            tagged[match[1], match[2]] = position
    for (kind, name), position in tagged.items():
        if (kind, name) not in saved:
            return position, f"the tag promises {kind} {name}, but nothing saved it"
        if (kind, name) not in shown:
            return position, f"{kind} {name} is saved but not shown: end the cell with it"
    last = len(outcome.cells) - 1
    for kind, name in sorted(saved - tagged.keys()):
        return last, f"{kind} {name} is saved, but no cell is tagged {kind}:{name}"
    return None


def _marked(outcome: Run, position: int | None, what: str) -> dict[str, Any]:
    """The notebook with a note before the cell that failed, and one at the top."""
    where = "" if position is None else f" in {_place(outcome.cells[position])}"
    note = {"cell_type": "markdown", "metadata": {}, "source": f"**Failed{where}:** `{what}`"}
    cells = [note, *outcome.cells]
    if position is not None:
        cells.insert(position + 1, note | {"source": "**The next cell failed.**"})
    return {**outcome.document, "cells": cells}


def _explain(outcome: Run, position: int | None, what: str) -> str:
    """The failing cell: its number and source, the end of its output and of the traceback."""
    if position is None:
        return f": {what}"
    cell = outcome.cells[position]
    texts, trace = [], [what]
    for output in cell.get("outputs", ()):
        if output["output_type"] == "stream":
            texts += without_colours(output["text"]).splitlines()
        elif output["output_type"] == "error":
            trace = without_colours("\n".join(output["traceback"])).splitlines()
    parts = [f" in {_place(cell)}:", *_quoted(cell["source"].splitlines()[:30])]
    if texts:
        parts += ["its output ended with:", *_quoted(texts[-10:])]
    return "\n".join([*parts, *trace[-12:], *([what] if what not in trace[-1] else [])])


def _where(outcome: Run, position: int | None) -> str:
    return "before its first cell" if position is None else _place(outcome.cells[position])


def _place(cell: Mapping[str, Any]) -> str:
    """``cell 3``, counted in the source notebook."""
    number = cell["metadata"].get(NUMBER)
    return f"cell {number}" if number else "the cell of injected parameters"


def _quoted(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]
