"""One table in two report versions: its rows aligned by what names them, and every changed cell."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ffcore import files
from ffcore.errors import ReportError
from ffreport.publish.diff import bounds
from ffreport.publish.diff.bounds import BEYOND, UNKNOWN, Interval, number

SAME, CHANGED = "same", "changed"
ONLY_A, ONLY_B, LOST = "only in A", "only in B", "cannot be compared"
_EQUAL = 1e-12  # relative: floats are compared to 12 significant digits
_DIGEST, _WHOLE = re.compile(r"[0-9a-f]{12,64}"), re.compile(r"[-+]?\d+")
NAME, NUMBER, DIGEST, RESULT = "name", "number", "digest", "result"  # what a column holds
_ALWAYS = ("dataset", "seed")  # they name wherever they vary: other data are other results


@dataclass(frozen=True)
class Table:
    """A CSV file's columns and rows; cells as they are written."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @cached_property
    def records(self) -> list[dict[str, str]]:
        """Each row as column → cell."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass(frozen=True)
class Cell:
    """A changed cell. ``difference`` is new − old where both are numbers, ``mark`` one of INSIDE,
    BEYOND, UNKNOWN, ``interval`` what it was judged by."""

    row: tuple[str, ...]
    column: str
    old: str
    new: str
    difference: float | None
    interval: Interval | None
    mark: str

    @property
    def share(self) -> float | None:
        """The change in parts of the larger value; None for words."""
        x, y = number(self.old), number(self.new)
        return None if x is None or y is None else abs(y - x) / max(abs(x), abs(y))

    @property
    def rank(self) -> tuple[int, float]:
        """Sorts the weightiest first: beyond their interval, words, numbers without an interval,
        those inside; among these by ``share``."""
        share = self.share
        kind = 1 if share is None and self.mark == UNKNOWN else 2 if self.mark == UNKNOWN else 3
        return 0 if self.mark == BEYOND else kind, -(share or 0)


@dataclass(frozen=True)
class TableChange:
    """What became of a table. ``keys``: the columns that name a row, none where rows were compared
    by their place; ``cells`` are sorted by ``Cell.rank``; ``unchanged`` counts rows in both."""

    name: str
    state: str
    note: str = ""
    keys: tuple[str, ...] = ()
    matched: int = 0
    unchanged: int = 0
    added: tuple[tuple[str, ...], ...] = ()
    removed: tuple[tuple[str, ...], ...] = ()
    added_columns: tuple[str, ...] = ()
    removed_columns: tuple[str, ...] = ()
    cells: tuple[Cell, ...] = ()

    def marked(self, mark: str) -> int:
        """How many changed cells have this mark."""
        return sum(cell.mark == mark for cell in self.cells)


def read(path: Path) -> Table:
    """The table in a CSV file.

    Raises:
        ReportError: it cannot be read, is no UTF-8, or its rows have not all as many cells as the
            first; names file and row.
    """
    try:
        content = io.StringIO(files.text(path), newline="")
        rows = [tuple(row) for row in csv.reader(content, strict=True) if row]
    except OSError as error:
        raise ReportError(f"cannot read {path.name}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ReportError(f"{path.name} is damaged: it is no UTF-8 text") from None
    except (csv.Error, ValueError) as error:
        raise ReportError(f"{path.name} is damaged: {error}") from None
    columns = rows[0] if rows else ()
    if len(set(columns)) != len(columns):
        raise ReportError(f"{path.name} is damaged: two columns have one name")
    for place, row in enumerate(rows[1:], 1):
        if len(row) != len(columns):
            raise ReportError(
                f"{path.name} is damaged: row {place} has {len(row)} cells, not {len(columns)}"
            )
    return Table(columns, tuple(rows[1:]))


def compare(name: str, a: Table, b: Table) -> TableChange:
    """What changed between two versions of a table.

    Rows are aligned by ``keys``. Cells are equal where their text is, or where they are numbers
    that agree to 12 significant digits.

    Args:
        name: the table's.
        a: the old version.
        b: the new one.
    """
    named = keys(a, b)
    rows_a, rows_b = _by_name(a, named), _by_name(b, named)
    shared = [c for c in a.columns if c in b.columns and c not in named]
    of_a = bounds.reader(a.columns, a.records)
    of_b = bounds.reader(b.columns, b.records)
    both = [key for key in rows_a if key in rows_b]
    cells: list[Cell] = []
    unchanged = 0
    for key in both:
        old, new = rows_a[key], rows_b[key]
        changed = [c for c in shared if not _equal(old[c], new[c])]
        unchanged += not changed
        for column in changed:
            x, y = number(old[column]), number(new[column])
            if x is None or y is None:
                judged = bounds.judge_words(old[column], new[column])
            else:
                own = of_a(old, column), of_b(new, column)
                seeds = None if any(own) else bounds.seeds_interval(old, new, column)
                judged = bounds.judge_numbers(x, y, own[0] or seeds, own[1])
            cells.append(Cell(key, column, old[column], new[column], *judged))
    cells.sort(key=lambda cell: cell.rank)
    found = TableChange(
        name, CHANGED, "", named, len(both), unchanged,
        added=tuple(key for key in rows_b if key not in rows_a),
        removed=tuple(key for key in rows_a if key not in rows_b),
        added_columns=tuple(c for c in b.columns if c not in a.columns),
        removed_columns=tuple(c for c in a.columns if c not in b.columns),
        cells=tuple(cells),
    )  # fmt: skip
    moved = {
        "rows in another order": bool(named) and both != [key for key in rows_b if key in rows_a],
        "columns in another order": shared != [c for c in b.columns if c in shared],
    }
    note = " and ".join(words for words, so in moved.items() if so)
    parts = (found.added, found.removed, found.added_columns, found.removed_columns, found.cells)
    return replace(found, state=CHANGED if any(parts) else SAME, note=note)


def keys(a: Table, b: Table) -> tuple[str, ...]:
    """The columns that name a row, none where rows can only be told by their place.

    Columns of words or whole numbers name; words that report an interval do not, they are results.
    The shortest run of leading ones with which no two rows are alike in either table is taken, and
    of it what is needed: from its end, columns are left out without which rows still differ, but
    not data set and seed where they vary. Where no run suffices, other numbers join, from the left
    (a threshold such as 0.5), if half of the rows then find their like, which measured values would
    not; last, digests and row numbers.
    """
    shared = [c for c in a.columns if c in b.columns]
    kinds = {c: _kind(c, [row[c] for row in (*a.records, *b.records)]) for c in shared}
    names, numbers, last = ([c for c in shared if kinds[c] == k] for k in (NAME, NUMBER, DIGEST))
    runs = [(names[:n], 0.0) for n in range(1, len(names) + 1)]
    runs += [([*names, *numbers[:n]], 0.5) for n in range(1, len(numbers) + 1)]
    runs += [([*names, *last[:n]], 0.0) for n in range(1, len(last) + 1)]
    runs += [([*names, *last, *numbers[:n]], 0.5) for n in range(1, len(numbers) + 1)]
    least = min(len(a.rows), len(b.rows))
    for run, share in runs:
        if _tells(run, a, b) and len(_matches(run, a, b)) >= share * least:
            return tuple(c for c in shared if c in _needed(run, a, b))
    return ()


def _kind(column: str, cells: Sequence[str]) -> str:
    there = {cell for cell in cells if cell}
    if not there:
        return RESULT
    if column == "index" or all(_DIGEST.fullmatch(cell) for cell in there):
        return DIGEST  # "index" is what a data frame's row numbers are called
    if all(_WHOLE.fullmatch(cell) for cell in there):
        return NAME
    if all(number(cell) is not None for cell in there):
        return NUMBER
    return RESULT if any(bounds.estimates(cell) for cell in there) else NAME


def _tells(columns: Sequence[str], *tables: Table) -> bool:
    """Whether these columns tell all rows apart in each table."""
    return all(len({_name(r, columns) for r in t.records}) == len(t.rows) for t in tables)


def _matches(columns: Sequence[str], a: Table, b: Table) -> set[tuple[str, ...]]:
    return {_name(r, columns) for r in a.records} & {_name(r, columns) for r in b.records}


def _needed(run: list[str], a: Table, b: Table) -> list[str]:
    for column in reversed(run):
        rest = [c for c in run if c != column]
        varies = len({row[column] for row in (*a.records, *b.records)}) > 1
        if rest and not (column in _ALWAYS and varies) and _tells(rest, a, b):
            run = rest
    return run


def _by_name(table: Table, columns: Sequence[str]) -> dict[tuple[str, ...], dict[str, str]]:
    """Name → row; ``row 3`` where no columns name it."""
    if not columns:
        return {(f"row {place}",): row for place, row in enumerate(table.records, 1)}
    return {_name(row, columns): row for row in table.records}


def _name(row: dict[str, str], columns: Sequence[str]) -> tuple[str, ...]:
    values = [(row[c], number(row[c])) for c in columns]
    return tuple(text if value is None else f"{value:.12g}" for text, value in values)


def _equal(old: str, new: str) -> bool:
    x, y = number(old), number(new)
    if x is None or y is None:
        return old == new
    return math.isclose(x, y, rel_tol=_EQUAL)
