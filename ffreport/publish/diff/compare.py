"""What changed between two published report versions: why, in which tables, in which figures."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ffcore import files as reading
from ffcore.errors import ReportError
from ffreport.publish import versions as reports
from ffreport.publish.diff import causes as diff_causes
from ffreport.publish.diff import tables as diff_tables
from ffreport.publish.diff.causes import Cause
from ffreport.publish.diff.tables import CHANGED, LOST, ONLY_A, ONLY_B, SAME, Table, TableChange

DRAWN = "drawn differently"  # another picture of the same data
_SUFFIXES = ("png", "svg", "pdf", "csv")
_TEXTS = (b"tEXt", b"iTXt", b"zTXt")


@dataclass(frozen=True)
class Side:
    """One of the two versions. ``problems``: what ``reports.verify`` says of it; ``manifest`` is
    empty where it cannot be read."""

    name: str
    folder: Path
    created: str
    manifest: dict[str, Any]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class FigureChange:
    """What became of a figure: SAME, CHANGED, DRAWN, ONLY_A, ONLY_B or LOST; ``data`` is what
    became of the table behind it, None where none was published; ``redrawn``: the picture is
    another one."""

    name: str
    state: str
    note: str = ""
    data: TableChange | None = None
    redrawn: bool = False


@dataclass(frozen=True)
class Differences:
    """All that differs between version ``a``, the old one, and ``b``. ``reports`` name what is in
    both, only in A, only in B. ``captions`` name a table or figure as ``tables/x``."""

    a: Side
    b: Side
    same: bool
    causes: tuple[Cause, ...]
    reports: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
    tables: tuple[TableChange, ...]
    figures: tuple[FigureChange, ...]
    captions: dict[str, str]


def compare(a: Path, b: Path) -> Differences:
    """Compare two version folders. What is missing or damaged is named in its place.

    Args:
        a: folder of the old version: ``manifest.json``, ``tables/``, ``figures/``.
        b: folder of the new one.

    Raises:
        ReportError: a folder is not there or holds none of these.
    """
    old, new = _side(a), _side(b)
    intact = not old.problems and not new.problems
    same = a.resolve() == b.resolve() or (
        intact and old.manifest["checksum"] == new.manifest["checksum"]
    )
    if same:
        return Differences(old, new, True, (), ((), (), ()), (), (), {})
    named = [diff_causes.reports_in(side.manifest) for side in (old, new)]
    return Differences(
        old, new, False,
        tuple(diff_causes.causes(old.manifest, new.manifest)),
        (
            tuple(r for r in named[0] if r in named[1]),
            tuple(r for r in named[0] if r not in named[1]),
            tuple(r for r in named[1] if r not in named[0]),
        ),
        tuple(_table(name, "tables", old, new) for name in _names("tables", ["csv"], old, new)),
        tuple(_figure(name, old, new) for name in _names("figures", _SUFFIXES, old, new)),
        {**_captions(old.manifest), **_captions(new.manifest)},
    )  # fmt: skip


def marked(a: Side, b: Side) -> tuple[tuple[str, Side], tuple[str, Side]]:
    """The two versions, each with the letter that it goes by."""
    return ("A", a), ("B", b)


def _side(folder: Path) -> Side:
    content: Any = None
    if not any((folder / part).exists() for part in (reports.MANIFEST, "tables", "figures")):
        raise ReportError(f"{folder} is no report version: it has no manifest, tables or figures")
    try:
        content = reading.json_file(folder / reports.MANIFEST)
    except (OSError, ValueError):
        pass  # verify says so below
    try:
        problems = reports.verify(folder)
    except OSError as error:
        problems = [f"unreadable: {error.filename}"]
    manifest = content if isinstance(content, dict) else {}
    measured = manifest.get("measured")
    created = measured.get("created") if isinstance(measured, dict) else None
    when = str(created or "")[:16].replace("T", " ")
    return Side(folder.resolve().name, folder, when, manifest, tuple(problems))


def _names(part: str, suffixes: Sequence[str], *sides: Side) -> list[str]:
    """Tables or figures that lie in a version, or should by its manifest."""
    found = {
        path.stem for side in sides for kind in suffixes
        for path in (side.folder / part).glob(f"*.{kind}")
    }  # fmt: skip
    listed = [Path(name) for side in sides for name in _listed(side)]
    return sorted(
        found | {p.stem for p in listed if p.parent == Path(part) and p.suffix[1:] in suffixes}
    )


def _listed(side: Side) -> list[str]:
    files = side.manifest.get("files")
    return list(files) if isinstance(files, dict) else []


def _table(name: str, part: str, a: Side, b: Side) -> TableChange:
    file = f"{part}/{name}.csv"
    if absent := _absent(file, a, b):
        return TableChange(name, *absent)
    try:
        old, new = (_read(mark, side.folder / file) for mark, side in marked(a, b))
    except ReportError as error:
        return TableChange(name, LOST, str(error))
    found = diff_tables.compare(name, old, new)
    return replace(found, note=_joined(found.note, _altered(file, a, b)))


def _read(mark: str, path: Path) -> Table:
    try:
        return diff_tables.read(path)
    except ReportError as error:
        raise ReportError(f"in {mark}: {error}") from None


def _figure(name: str, a: Side, b: Side) -> FigureChange:
    file = f"figures/{name}.png"
    data: TableChange | None = None
    if any((side.folder / f"figures/{name}.csv").exists() for side in (a, b)):
        data = _table(name, "figures", a, b)
    behind = f"the data behind it: {data.note or data.state}" if data and _apart(data) else ""
    if absent := _absent(file, a, b):
        state, note = absent
        return FigureChange(name, state, _joined(note, behind if state == LOST else ""), data)
    try:
        raw = [reading.content(side.folder / file) for side in (a, b)]
    except (OSError, ValueError) as error:
        note = f"cannot read {file}: {getattr(error, 'strerror', None) or error}"
        return FigureChange(name, LOST, _joined(note, behind), data)
    pictures = [_picture(content) for content in raw]
    if damaged := [m for m, picture in zip("AB", pictures, strict=True) if picture is None]:
        note = f"{file} is damaged in {' and '.join(damaged)}"
        return FigureChange(name, LOST, _joined(note, behind), data)
    redrawn, changed = pictures[0] != pictures[1], bool(data and data.state == CHANGED)
    if redrawn:
        state = DRAWN if data and data.state == SAME else CHANGED
        note = "" if data else "its data were not published"
    else:
        state = CHANGED if changed else SAME
        note = "the same picture of other data" if changed else ""
        if raw[0] != raw[1] and not changed:
            note = "only the record inside the file differs"
    return FigureChange(name, state, _joined(_altered(file, a, b), note, behind), data, redrawn)


def _apart(change: TableChange) -> bool:
    return change.state not in (SAME, CHANGED)


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _picture(content: bytes) -> str | None:
    """A digest of a PNG without the texts in it, which tell where it came from; None where it is
    damaged."""
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        return None
    kept, place = hashlib.sha256(), 8
    while place + 12 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        kind, chunk = content[place + 4 : place + 8], content[place + 4 : place + 12 + length]
        if chunk[-4:] != zlib.crc32(chunk[:-4]).to_bytes(4, "big"):
            return None
        if kind not in _TEXTS:
            kept.update(chunk)
        if kind == b"IEND":
            return kept.hexdigest()
        place += 12 + length
    return None


def _absent(file: str, a: Side, b: Side) -> tuple[str, str] | None:
    """State and note of a file that is not in both versions: that of one report more, or lost."""
    here = {mark: (side.folder / file).exists() for mark, side in marked(a, b)}
    if all(here.values()):
        return None
    lost = [m for m, side in marked(a, b) if not here[m] and file in _listed(side)]
    if lost or not any(here.values()):
        return LOST, f"{file} is missing in {' and '.join(lost) or 'A and B'}"
    return (ONLY_A if here["A"] else ONLY_B), ""


def _altered(file: str, a: Side, b: Side) -> str:
    marks = [mark for mark, side in marked(a, b) if f"changed: {file}" in side.problems]
    return f"altered in {' and '.join(marks)} since it was published" if marks else ""


def _captions(manifest: dict[str, Any]) -> dict[str, str]:
    listed = manifest.get("reports")
    entries = [e for e in listed if isinstance(e, dict)] if isinstance(listed, list) else []
    return {
        f"{kind}/{name}": str(caption)
        for entry in entries for kind in ("tables", "figures")
        if isinstance(entry.get(kind), dict) for name, caption in entry[kind].items()
    }  # fmt: skip
