"""What the notebooks of a folder declare, read from their JSON alone: fast, and checked."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ffcore.errors import ReportError, unknown
from ffcore.files import json_file
from ffreport.base.console import plain, say

NAME = re.compile(r"[a-z0-9_]+")
TAG = re.compile(r"(figure|table):([a-z0-9_]+)")
FINDING = "finding"


@dataclass(frozen=True)
class Needs:
    """What a report reads, declared under ``needs`` in its notebook's metadata.

    ``networks``: of these PARTS of the profile; ``sparsity``: the runs that check the sparsity
    theorems; ``weights``: "if any" or "needed" where it reads weights, which are not shipped;
    ``latents``: which TOPICS of latents are measured before it runs, see ``latent_work``.
    """

    networks: tuple[str, ...] = ()
    sparsity: bool = False
    weights: str = ""
    latents: tuple[str, ...] = ()


PARTS = ("rq1", "polarity", "choices")
TOPICS = ("measures", "pictures", "stability", "topology", "units", "explorer")
WEIGHTS = ("", "if any", "needed")


@dataclass(frozen=True)
class NotebookInfo:
    """What a notebook declares: names of its figures and tables, parameters and their defaults,
    what it needs."""

    name: str
    path: Path
    title: str
    figures: tuple[str, ...]
    tables: tuple[str, ...]
    parameters: dict[str, Any]
    needs: Needs = Needs()


def catalogue(folder: Path) -> list[NotebookInfo]:
    """The reports of a folder in alphabetical order: its notebooks, but for hidden ones, those
    with a name that no report can have, and those without parameters, such as drafts and copies.

    Raises:
        ReportError: no such folder, a malformed notebook (names file and cell), or a figure or
            table name that two notebooks use.
    """
    if not folder.is_dir():
        raise ReportError(f"there is no folder of notebooks {folder}")
    paths = [p for p in sorted(folder.glob("*.ipynb")) if not p.name.startswith(".")]
    found = [info for path in paths if (info := _report(path))]
    owner: dict[str, str] = {}
    for info in found:
        for item in (*(f"figure {n}" for n in info.figures), *(f"table {n}" for n in info.tables)):
            if item in owner:
                raise ReportError(f"{item} is in two notebooks: {owner[item]} and {info.name}")
            owner[item] = info.name
    return found


def _report(path: Path) -> NotebookInfo | None:
    """What a notebook declares; None, and a word on it, where it is no report."""
    if not NAME.fullmatch(path.stem):
        return _left_out(path, "a report's name has lowercase letters, digits and _ only")
    document = read(path)
    if not any("parameters" in cell["metadata"]["tags"] for cell in document["cells"]):
        return _left_out(path, "a report has a cell tagged 'parameters'")
    return _declared(path, document)


@cache
def _left_out(path: Path, why: str) -> None:
    """Say, once, that a notebook is none of the reports."""
    say(f"{plain(str(path))} is left out: {why}")


def describe(path: Path) -> NotebookInfo:
    """What one notebook declares.

    Raises:
        ReportError: the notebook is malformed; names file and cell.
    """
    if not NAME.fullmatch(path.stem):
        raise ReportError(f"{path}: name the notebook with lowercase letters, digits and _")
    return _declared(path, read(path))


def _declared(path: Path, document: dict[str, Any]) -> NotebookInfo:
    cells = document["cells"]
    named: dict[str, list[str]] = {"figure": [], "table": []}
    parameter_cells = []
    for number, cell in enumerate(cells, 1):
        for tag in cell["metadata"]["tags"]:
            match = TAG.fullmatch(tag)
            if match and cell["cell_type"] == "code":
                named[match[1]] += [match[2]] if match[2] not in named[match[1]] else []
            elif match or tag.startswith(("figure:", "table:")):
                raise _malformed(path, number, f"tag {tag!r} wants a code cell and a-z, 0-9, _")
        if "parameters" in cell["metadata"]["tags"]:
            parameter_cells.append((number, cell["source"]))
    if len(parameter_cells) != 1:
        places = ", ".join(str(number) for number, _ in parameter_cells) or "none"
        raise ReportError(f"{path} wants one cell tagged 'parameters'; cells: {places}")
    parameters = _parameters(path, *parameter_cells[0])
    if any(named.values()) and "output" not in parameters:
        raise ReportError(f"{path} saves figures or tables, so it wants a parameter 'output'")
    titles = (
        match[1].strip()
        for cell in cells
        if cell["cell_type"] == "markdown"
        and (match := re.search(r"^#+\s+(.+)$", cell["source"], re.M))
    )
    title = next(titles, path.stem)
    needs = _needs(path, document["metadata"].get("needs", {}))
    return NotebookInfo(
        path.stem, path, title, tuple(named["figure"]), tuple(named["table"]), parameters, needs
    )


def read(path: Path) -> dict[str, Any]:
    """A notebook's JSON with joined sources and a list of tags a cell.

    Raises:
        ReportError: it is missing or malformed; names file and cell.
    """
    try:
        document = json_file(path)
    except OSError as error:
        raise ReportError(f"cannot read notebook {path}: {error.strerror}") from None
    except ValueError as error:
        raise ReportError(f"notebook {path} is no valid JSON: {error}") from None
    cells = document.get("cells") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(document.get("metadata", {}), dict):
        raise ReportError(f"{path} is no notebook of format 4; save it again in Jupyter")
    document.setdefault("metadata", {})
    if not isinstance(cells, list) or document.get("nbformat") != 4:
        raise ReportError(f"{path} is no notebook of format 4; save it again in Jupyter")
    for number, cell in enumerate(cells, 1):
        try:
            cell["source"] = "".join(cell["source"])
            cell["metadata"]["tags"] = [str(tag) for tag in cell["metadata"].get("tags", [])]
            known = cell["cell_type"] in ("code", "markdown", "raw")
        except (TypeError, KeyError, AttributeError):
            known = False
        if not known:
            raise _malformed(path, number, "no cell type, source or metadata")
    return dict(document)


def content(path: Path) -> list[Any]:
    """A notebook's needs, and each cell's kind, source and tags; outputs, ids and the rest do not
    count.

    Raises:
        ReportError: the file is missing or no notebook.
    """
    document = read(path)
    cells = [[c["cell_type"], c["source"], c["metadata"]["tags"]] for c in document["cells"]]
    return [document["metadata"].get("needs", {}), cells]


def code(path: Path) -> ast.Module:
    """The code cells of a notebook as one module; lines of magic do nothing.

    Raises:
        ReportError: the notebook cannot be read, or a cell is no valid Python; names the cell.
    """
    body: list[ast.stmt] = []
    for number, cell in enumerate(read(path)["cells"], 1):
        if cell["cell_type"] == "code":
            lines = cell["source"].split("\n")
            plain = ("pass" if line[:1] in ("%", "!") else line for line in lines)
            try:
                body += ast.parse("\n".join(plain)).body
            except SyntaxError as error:
                raise ReportError(f"cell {number} of {path} is no valid Python: {error.msg}, "
                                  f"line {error.lineno}") from None  # fmt: skip
    return ast.Module(body, [])


def _needs(path: Path, declared: Any) -> Needs:
    """What a notebook's metadata declare.

    Raises:
        ReportError: a key or a value that is none of the legal ones; names it and these.
    """
    where = f"notebook {path}, needs of its metadata"
    if not isinstance(declared, dict):
        raise ReportError(f"{where}: {declared!r:.80} is no table")
    legal = {"networks": PARTS, "latents": TOPICS, "weights": WEIGHTS, "sparsity": (False, True)}
    given: dict[str, Any] = {}
    for key, value in declared.items():
        if key not in legal:
            raise ReportError(f"{where}: {unknown('key', key, legal)}")
        several = key in ("networks", "latents")
        if several and not isinstance(value, list):
            raise ReportError(f"{where}: {key} is {value!r:.80}; give a list")
        for one in value if several else [value]:
            if one not in legal[key]:
                raise ReportError(f"{where}: {unknown(key, one, list(map(str, legal[key])))}")
        given[key] = tuple(value) if several else value
    return Needs(**given)


def _malformed(path: Path, number: int, what: str) -> ReportError:
    return ReportError(f"notebook {path}, cell {number}: {what}")


def _parameters(path: Path, number: int, source: str) -> dict[str, Any]:
    """Name → default of the assignments in the parameters cell."""
    found: dict[str, Any] = {}
    try:
        for statement in ast.parse(source).body:
            if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
                target, value = statement.targets[0], statement.value
            elif isinstance(statement, ast.AnnAssign) and statement.value:
                target, value = statement.target, statement.value
            else:
                raise ValueError(f"line {statement.lineno} is no assignment")
            if not isinstance(target, ast.Name):
                raise ValueError(f"line {statement.lineno} assigns to no name")
            found[target.id] = ast.literal_eval(value)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:  # too deep, too
        what = f"a parameters cell holds assignments of plain values only: {error}"
        raise _malformed(path, number, what) from None
    return found
