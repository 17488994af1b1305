"""One table in two report versions: its rows aligned, every changed cell beside the interval that
the table gives for it."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ffcore import files
from ffcore.errors import ReportError

SAME, CHANGED = "same", "changed"
DRAWN = "drawn differently"  # another picture of the same data
ONLY_A, ONLY_B, LOST = "only in A", "only in B", "cannot be compared"
INSIDE, BEYOND, UNKNOWN = "inside interval", "beyond interval", "no interval"
Row = Mapping[str, str]
Name = tuple[str, ...]
Interval = tuple[float, float]
_PLAIN = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.I)
_EQUAL = 1e-12  # relative: floats are compared to 12 significant digits
_SLACK = 1e-9  # of a bound: the interval of a constant is as wide as rounding leaves it


@dataclass(frozen=True)
class Table:
    """A CSV file's columns and rows, cells as they are written; ``keys`` and ``intervals`` as its
    version declares them, see ``output.Output.table``."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    keys: tuple[str, ...] = ()
    intervals: Mapping[str, Sequence[str | float]] = field(default_factory=dict)

    def named(self, keys: Sequence[str]) -> dict[Name, Row]:
        """Name → row; the name of a row is its place where no columns name it."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        if not keys:
            return {(f"row {place}",): row for place, row in enumerate(rows, 1)}
        return {tuple(_name(row[key]) for key in keys): row for row in rows}

    def names_by(self, keys: Sequence[str]) -> bool:
        """Whether these columns are here and no two rows are alike in them."""
        return set(keys) <= set(self.columns) and len(self.named(keys)) == len(self.rows)


@dataclass(frozen=True)
class Cell:
    """A changed cell. ``difference`` is new − old where both are numbers, ``mark`` one of INSIDE,
    BEYOND, UNKNOWN, ``interval`` what it was judged by."""

    row: Name
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
        kind = {BEYOND: 0, INSIDE: 3, UNKNOWN: 1 if self.share is None else 2}[self.mark]
        return kind, -(self.share or 0)


@dataclass(frozen=True)
class Change:
    """What became of a table or figure: SAME, CHANGED, DRAWN, ONLY_A, ONLY_B or LOST, and what
    there is to say of it."""

    name: str
    state: str
    note: str = ""

    @property
    def told(self) -> bool:
        """Whether it has a part of the page to itself."""
        return self.state in (CHANGED, DRAWN, LOST)


@dataclass(frozen=True)
class TableChange(Change):
    """What became of a table. ``keys``: the columns that name a row, none where rows were compared
    by their place; ``whole``: rows could not be compared one by one; ``cells`` are sorted by
    ``Cell.rank``; ``unchanged`` counts rows in both."""

    keys: tuple[str, ...] = ()
    whole: bool = False
    matched: int = 0
    unchanged: int = 0
    added: tuple[Name, ...] = ()
    removed: tuple[Name, ...] = ()
    added_columns: tuple[str, ...] = ()
    removed_columns: tuple[str, ...] = ()
    cells: tuple[Cell, ...] = ()

    def marked(self, mark: str) -> int:
        """How many changed cells have this mark."""
        return sum(cell.mark == mark for cell in self.cells)


def read(
    path: Path, keys: Sequence[str] = (),
    intervals: Mapping[str, Sequence[str | float]] | None = None,
) -> Table:  # fmt: skip
    """The table in a CSV file, with what its version declares.

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
    return Table(columns, tuple(rows[1:]), tuple(keys), intervals or {})


def compare(name: str, a: Table, b: Table) -> TableChange:
    """What changed between two versions of a table.

    Rows are aligned by the keys that B declares, else A; without any by their place, and where
    there are then more or fewer rows, the table is compared as a whole. Cells are equal where
    their text is, or where they are numbers that agree to 12 significant digits.

    Args:
        name: the table's.
        a: the old version.
        b: the new one.
    """
    declared = (k for k in (b.keys, a.keys) if k and a.names_by(k) and b.names_by(k))
    keys = next(declared, ())
    found = TableChange(
        name, SAME, "", keys,
        added_columns=tuple(c for c in b.columns if c not in a.columns),
        removed_columns=tuple(c for c in a.columns if c not in b.columns),
    )  # fmt: skip
    if not keys and len(a.rows) != len(b.rows):
        sizes = f"A has {len(a.rows)} rows, B {len(b.rows)}"
        return replace(found, state=CHANGED, note=sizes, whole=True)
    rows_a, rows_b = a.named(keys), b.named(keys)
    shared = [c for c in a.columns if c in b.columns and c not in keys]
    bounds = {**a.intervals, **b.intervals}
    both = [row for row in rows_a if row in rows_b]
    cells: list[Cell] = []
    for row in both:
        old, new = rows_a[row], rows_b[row]
        cells += [_judged(row, c, old, new, bounds.get(c)) for c in shared
                  if not _equal(old[c], new[c])]  # fmt: skip
    moved = {
        "rows in another order": both != [row for row in rows_b if row in rows_a],
        "columns in another order": shared != [c for c in b.columns if c in shared],
    }
    found = replace(
        found, note=" and ".join(words for words, so in moved.items() if so),
        matched=len(both), unchanged=len(both) - len({cell.row for cell in cells}),
        added=tuple(row for row in rows_b if row not in rows_a),
        removed=tuple(row for row in rows_a if row not in rows_b),
        cells=tuple(sorted(cells, key=lambda cell: cell.rank)),
    )  # fmt: skip
    parts = (found.added, found.removed, found.added_columns, found.removed_columns, found.cells)
    return replace(found, state=CHANGED if any(parts) else SAME)


def number(text: str) -> float | None:
    """The finite number that a cell is, or None."""
    value = float(text) if _PLAIN.fullmatch(text) else math.nan
    return value if math.isfinite(value) else None


def _judged(
    row: Name, column: str, old: Row, new: Row, bounds: Sequence[str | float] | None
) -> Cell:
    """A changed cell: whether the new value lies in the interval of the old one; where that has
    none, whether the old one lies in the new one's."""
    x, y = number(old[column]), number(new[column])
    interval, mark = None, UNKNOWN
    if bounds and x is not None and y is not None:
        for value, other, of in ((x, y, old), (y, x, new)):
            if interval := _interval(value, of, *bounds):
                slack = _SLACK * max(map(abs, interval))
                low, high = interval[0] - slack, interval[1] + slack
                mark = INSIDE if low <= other <= high else BEYOND
                break
    difference = None if x is None or y is None else y - x
    return Cell(row, column, old[column], new[column], difference, interval, mark)


def _interval(value: float, row: Row, first: str | float, second: str | float) -> Interval | None:
    """A value's declared interval: between two columns, or so many times a column on either side;
    None where a cell of them is no number or not there."""
    low, high = (number(row.get(p, "")) if isinstance(p, str) else p for p in (first, second))
    if low is None or high is None:
        return None
    return (low, high) if isinstance(second, str) else (value - high * low, value + high * low)


def _name(cell: str) -> str:
    value = number(cell)
    return cell if value is None else f"{value:.12g}"


def _equal(old: str, new: str) -> bool:
    x, y = number(old), number(new)
    if x is None or y is None:
        return old == new
    return math.isclose(x, y, rel_tol=_EQUAL)
