"""The copy of an executed notebook that is kept: the same inputs give the same bytes, and nothing
tells where, when or by whom it ran."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
_WIDGET = "application/vnd.jupyter.widget-view+json"
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_PROGRESS_BAR = re.compile(
    r"\d+%\||\d(?:it/s|s/it|B/s)\b|\[\d\d:\d\d<|Matplotlib is building the font"
)
_DATA_URI = re.compile(r"(data:[\w/+.;=-]+;base64,[A-Za-z0-9+/=\s]*)")
_FIXED = (
    (re.compile(r"\S*ipykernel_\d+/\d+\.py"), "<cell>"),
    (re.compile(r"\bat 0x[0-9a-f]+"), "at 0x…"),
)
Rule = tuple[re.Pattern[str], str]


def clean(
    document: Mapping[str, Any], places: Mapping[Path, str], told: Mapping[str, Any] | None = None
) -> str:
    """The text of an executed notebook without ids, times, metadata, addresses, progress bars,
    and with private paths replaced.

    Args:
        told: the parameters, as the kept copy shows them; it never shows those that it ran with.
        document: a notebook, format 4, as nested dicts with joined sources.
        places: folder → what stands in its place; "" or "." make the paths below it relative.
            The environment, temporary and home folders are replaced in any case.
    """
    import nbformat

    rules = _rules(places)
    cells, count = [], 0
    for number, cell in enumerate(document["cells"], 1):
        tags = cell["metadata"].get("tags", [])
        kept = {
            "cell_type": cell["cell_type"],
            "id": f"cell-{number}",
            "metadata": {"tags": tags} if tags else {},
            "source": cell["source"],
        }
        if "attachments" in cell:
            kept["attachments"] = cell["attachments"]
        if "injected-parameters" in tags:
            kept["source"] = _parameters(told or {})
        if cell["cell_type"] == "code":
            ran = cell.get("execution_count") is not None
            count += ran
            kept["execution_count"] = count if ran else None
            outputs = (_output(output, count, rules) for output in cell["outputs"])
            kept["outputs"] = [output for output in outputs if output]
        cells.append(kept)
    metadata = {"kernelspec": KERNEL}
    if "language_info" in document["metadata"]:
        metadata["language_info"] = document["metadata"]["language_info"]
    whole = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return str(nbformat.writes(nbformat.from_dict(whole))) + "\n"


def _parameters(told: Mapping[str, Any]) -> str:
    """The cell that papermill injects, with these values."""
    from papermill.translators import PythonTranslator

    lines = (f"{name} = {PythonTranslator.translate(value)}" for name, value in told.items())
    return "".join(f"{line}\n" for line in ("# Parameters", *lines))


def without_colours(text: str) -> str:
    """The text without terminal escape sequences."""
    return _ANSI.sub("", text)


def _output(output: Mapping[str, Any], count: int, rules: list[Rule]) -> dict[str, Any] | None:
    """One output cleaned, or None where it is only noise."""
    kind = output["output_type"]
    if kind == "stream":
        text = "".join(output["text"])
        if output["name"] == "stderr":
            # A carriage return starts the line anew: what stood before it was never to stay.
            last = (line.rpartition("\r")[2] for line in text.replace("\r\n", "\n").split("\n"))
            text = "\n".join(line for line in last if not _PROGRESS_BAR.search(line))
        if not text.strip():
            return None
        return {"output_type": kind, "name": output["name"], "text": _scrub(text, rules)}
    if kind == "error":
        lines = [_scrub(without_colours(line), rules) for line in output["traceback"]]
        value = _scrub(output["evalue"], rules)
        return {"output_type": kind, "ename": output["ename"], "evalue": value, "traceback": lines}
    if _WIDGET in output["data"]:
        return None
    data = {
        mime: value if re.fullmatch(r"image/(png|jpeg|gif|webp)", mime) else _scrub(value, rules)
        for mime, value in output["data"].items()
    }
    kept = {"output_type": kind, "data": data, "metadata": output["metadata"]}
    return kept | ({"execution_count": count} if kind == "execute_result" else {})


def _scrub(value: Any, rules: list[Rule]) -> Any:
    """The rules applied to every string in a JSON value, embedded data left alone."""
    if isinstance(value, dict):
        return {key: _scrub(item, rules) for key, item in value.items()}
    if isinstance(value, list):
        return [_scrub(item, rules) for item in value]
    if not isinstance(value, str):
        return value
    parts = _DATA_URI.split(value)
    for at in range(0, len(parts), 2):
        for pattern, place in rules:
            parts[at] = pattern.sub(place, parts[at])
    return "".join(parts)


def _spellings(path: Path) -> set[str]:
    """How a path may stand in a text: as it is, in quotes, in JSON, in an address, in HTML."""
    text, native = path.as_posix(), str(path)
    return {text, native, repr(native)[1:-1], json.dumps(native)[1:-1], quote(text), escape(text),
            escape(repr(native)[1:-1])}  # fmt: skip


def _rules(places: Mapping[Path, str]) -> list[Rule]:
    """Patterns with their replacements, the longest path first."""
    import socket
    import sysconfig
    import tempfile

    known = {
        Path(sys.prefix): "<env>",
        Path(sysconfig.get_path("stdlib")): "<python>",
        Path(tempfile.gettempdir()): "<tmp>",
    }
    with suppress(RuntimeError):  # In a container, a user may be none that the system knows.
        known[Path.home()] = "~"
    paths: dict[str, str] = {}
    for path, place in {**known, **places}.items():
        for form in (path.absolute(), path.resolve()):
            # A system's folder of one word might be a word of the report; a folder of ours is none.
            own = path in places and len(form.parts) == 2
            if len(form.parts) > 2 or own or form in (Path("/root"), Path("/tmp")):
                paths |= dict.fromkeys(_spellings(form), place)
    rules: list[Rule] = list(_FIXED)
    for text, place in sorted(paths.items(), key=lambda item: -len(item[0])):
        start = r"(?<![\w+/.-])(?:file://)?" + re.escape(text)
        rules.append((re.compile(start + "/"), f"{place}/" if place not in ("", ".") else ""))
        rules.append((re.compile(start + r"(?![\w-])"), place))
    host = socket.gethostname()
    if re.search(r"[\d.-]", host):  # a plain word might be a word of the report
        rules.append((re.compile(rf"(?<![\w-]){re.escape(host)}(?![\w-])"), "<host>"))
    return rules
