"""What changed between two published report versions: why, in which tables, in which figures."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ffcore import files
from ffcore.errors import ReportError
from ffreport.publish import versions
from ffreport.publish.diff import causes, tables
from ffreport.publish.diff.tables import (
    CHANGED,
    DRAWN,
    LOST,
    ONLY_A,
    ONLY_B,
    SAME,
    Change,
    Table,
    TableChange,
)

_SUFFIXES = {"tables": (".csv",), "figures": (".png", ".svg", ".pdf", ".csv")}
_HEAD, _TEXTS = b"\x89PNG\r\n\x1a\n", (b"tEXt", b"iTXt", b"zTXt")


@dataclass(frozen=True)
class Side:
    """One of the two versions, by its letter. ``problems``: what ``versions.verify`` says of it;
    ``manifest`` is empty where it cannot be read."""

    mark: str
    name: str
    folder: Path
    manifest: dict[str, Any]
    problems: tuple[str, ...]

    @property
    def reports(self) -> list[str]:
        """The reports and pages whose inputs the manifest records."""
        return causes.reports_in(self.manifest)

    @property
    def measured(self) -> dict[str, Any]:
        """What the manifest tells of how the version was made."""
        return _part(self.manifest, "measured")

    @property
    def created(self) -> str:
        """When it was published, to the minute, UTC; empty where nothing tells."""
        return str(self.measured.get("created") or "")[:16].replace("T", " ")

    def told(self, kind: str) -> dict[str, Any]:
        """What its reports tell of their ``tables`` or ``figures``, the captions, or of the
        ``columns`` of tables; by name."""
        reports = self.manifest.get("reports")
        parts = [_part(report, kind) for report in (reports if isinstance(reports, list) else ())]
        return {name: words for part in parts for name, words in part.items()}

    def table(self, file: str) -> Table:
        """A table with the keys and intervals that the version declares.

        Raises:
            ReportError: it is damaged; names the version by its letter.
        """
        path = self.folder / file
        about = _part(self.told("columns"), path.stem) if file.startswith("tables/") else {}
        keys = about.get("keys")
        keys = keys if isinstance(keys, list) and all(isinstance(k, str) for k in keys) else ()
        intervals = {c: i for c, i in _part(about, "intervals").items() if _is_interval(i)}
        try:
            return tables.read(path, keys, intervals)
        except ReportError as error:
            raise ReportError(f"in {self.mark}: {error}") from None


@dataclass(frozen=True)
class FigureChange(Change):
    """What became of a figure; it is LOST where it or the data behind it cannot be compared.
    ``data`` is what became of these, None where none were published; ``redrawn``: the picture is
    another one."""

    data: TableChange | None = None
    redrawn: bool = False


@dataclass(frozen=True)
class Differences:
    """All that differs between version ``a``, the old one, and ``b``."""

    a: Side
    b: Side
    same: bool
    causes: tuple[causes.Cause, ...] = ()
    tables: tuple[TableChange, ...] = ()
    figures: tuple[FigureChange, ...] = ()

    @property
    def sides(self) -> tuple[Side, Side]:
        """The old version and the new one."""
        return self.a, self.b

    @property
    def reports(self) -> list[str]:
        """The reports that are in both versions."""
        return [report for report in self.a.reports if report in self.b.reports]

    def caption(self, kind: str, name: str) -> str:
        """Of one of the ``tables`` or ``figures``; the new one where both versions have it."""
        return str({**self.a.told(kind), **self.b.told(kind)}.get(name, ""))


def compare(a: Path, b: Path) -> Differences:
    """Compare two version folders. What is missing or damaged is named in its place.

    Args:
        a: folder of the old version: ``manifest.json``, ``tables/``, ``figures/``.
        b: folder of the new one.

    Raises:
        ReportError: a folder is not there or holds none of these.
    """
    sides = old, new = _side("A", a), _side("B", b)
    intact = not old.problems and not new.problems
    if a.resolve() == b.resolve() or (
        intact and old.manifest["checksum"] == new.manifest["checksum"]
    ):
        return Differences(old, new, True)
    return Differences(
        old, new, False,
        tuple(causes.causes(old.manifest, new.manifest)),
        tuple(_table(f"tables/{name}.csv", sides) for name in _names("tables", sides)),
        tuple(_figure(name, sides) for name in _names("figures", sides)),
    )  # fmt: skip


def _side(mark: str, folder: Path) -> Side:
    content: Any = None
    if not any((folder / part).exists() for part in (versions.MANIFEST, "tables", "figures")):
        raise ReportError(f"{folder} is no report version: it has no manifest, tables or figures")
    try:
        content = files.json_file(folder / versions.MANIFEST)
    except (OSError, ValueError):
        pass  # verify says so below
    try:
        problems = versions.verify(folder)
    except OSError as error:
        problems = [f"unreadable: {error.filename}"]
    manifest = content if isinstance(content, dict) else {}
    return Side(mark, folder.resolve().name, folder, manifest, tuple(problems))


def _names(kind: str, sides: Sequence[Side]) -> list[str]:
    """Tables or figures that lie in a version, or should by its manifest."""
    there = [path for side in sides for path in (side.folder / kind).glob("*")]
    there += [path for side in sides for path in map(Path, _part(side.manifest, "files"))
              if path.parent == Path(kind)]  # fmt: skip
    return sorted({path.stem for path in there if path.suffix in _SUFFIXES[kind]})


def _table(file: str, sides: Sequence[Side]) -> TableChange:
    name = Path(file).stem
    if absent := _absent(file, sides):
        return TableChange(name, *absent)
    try:
        found = tables.compare(name, *(side.table(file) for side in sides))
    except ReportError as error:
        return TableChange(name, LOST, str(error))
    return replace(found, note=_joined(found.note, _altered(file, sides)))


def _figure(name: str, sides: Sequence[Side]) -> FigureChange:
    file, behind = f"figures/{name}.png", f"figures/{name}.csv"
    published = any((side.folder / behind).exists() for side in sides)
    data = _table(behind, sides) if published else None
    about = "" if not data or data.state in (SAME, CHANGED) else (
        f"the data behind it: {data.note or data.state}"
    )  # fmt: skip
    if absent := _absent(file, sides):
        state, note = absent
        return FigureChange(name, state, _joined(note, about if state == LOST else ""), data)
    try:
        (raw_a, drawn_a), (raw_b, drawn_b) = (_picture(side, file) for side in sides)
    except ReportError as error:
        return FigureChange(name, LOST, _joined(str(error), about), data)
    state, note = SAME, "" if raw_a == raw_b else "only the record inside the file differs"
    if redrawn := drawn_a != drawn_b:
        state = DRAWN if data and data.state == SAME else CHANGED
        note = "" if data else "its data were not published"
    elif data and data.state == CHANGED:
        state, note = CHANGED, "the same picture of other data"
    state = LOST if data and data.state == LOST else state
    return FigureChange(name, state, _joined(_altered(file, sides), note, about), data, redrawn)


def _picture(side: Side, file: str) -> tuple[bytes, str]:
    """A PNG, and a digest of it without the texts inside, which tell where it came from.

    Raises:
        ReportError: it cannot be read, or is damaged.
    """
    try:
        content = files.content(side.folder / file)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ReportError(f"cannot read {file} in {side.mark}: {why}") from None
    kept, place = hashlib.sha256(), len(_HEAD)
    while content.startswith(_HEAD) and place + 12 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        kind, chunk = content[place + 4 : place + 8], content[place + 4 : place + 12 + length]
        if chunk[-4:] != zlib.crc32(chunk[:-4]).to_bytes(4, "big"):
            break
        if kind not in _TEXTS:
            kept.update(chunk)
        if kind == b"IEND":
            return content, kept.hexdigest()
        place += 12 + length
    raise ReportError(f"{file} is damaged in {side.mark}")


def _absent(file: str, sides: Sequence[Side]) -> tuple[str, str] | None:
    """State and note of a file that is not in both versions: that of one report more, or lost."""
    lacking = [side for side in sides if not (side.folder / file).exists()]
    lost = [side.mark for side in lacking if file in _part(side.manifest, "files")]
    if lost or len(lacking) == 2:
        return LOST, f"{file} is missing in {' and '.join(lost) or 'A and B'}"
    return (ONLY_B if lacking[0].mark == "A" else ONLY_A, "") if lacking else None


def _altered(file: str, sides: Sequence[Side]) -> str:
    marks = [side.mark for side in sides if f"changed: {file}" in side.problems]
    return f"altered in {' and '.join(marks)} since it was published" if marks else ""


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _part(manifest: Any, name: str) -> dict[str, Any]:
    """A part of a manifest; empty where it is not there, or something else."""
    part = manifest.get(name) if isinstance(manifest, dict) else None
    return part if isinstance(part, dict) else {}


def _is_interval(declared: Any) -> bool:
    """Whether it is an interval as ``output.Output.table`` declares them."""
    kinds = [type(part) for part in declared] if isinstance(declared, list) else []
    return kinds in ([str, str], [str, int], [str, float])
