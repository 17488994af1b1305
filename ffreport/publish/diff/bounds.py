"""The interval that a table itself gives for one of its values, and what the change of a cell is
beside it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache

from ffcore.config import FACTORS
from ffreport.analysis import published

INSIDE, BEYOND, UNKNOWN = "inside interval", "beyond interval", "no interval"
Row = Mapping[str, str]
Interval = tuple[float, float]
Judged = tuple[float | None, Interval | None, str]
_PLAIN = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.I)
_NUMBER = r"[-−+]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?"
# A value in words with its interval: 46.8 % [36.2, 57.4], 98.18 ± 0.08
_ESTIMATE = re.compile(
    rf"({_NUMBER})[^\d\[\]±;,]{{0,12}}(?:\[({_NUMBER}), ?({_NUMBER})\]|± ?({_NUMBER}))", re.I
)
_BOUNDS, _SPREADS = ("low", "high"), {"half": 1.0, "std": published.BAND}
_SLACK = 1e-9  # of a bound: the interval of a constant is as wide as rounding leaves it


@lru_cache(1 << 16)  # keys are tried one after another, and read the same cells each time
def number(text: str) -> float | None:
    """The finite number that a cell is, or None."""
    value = float(text) if _PLAIN.fullmatch(text) else math.nan
    return value if math.isfinite(value) else None


def estimates(text: str) -> list[tuple[float, Interval]]:
    """Each value that stands in words with an interval, ``[low, high]`` or ± a standard deviation;
    of that it is BAND standard deviations on either side."""
    found = []
    for value, low, high, spread in _ESTIMATE.findall(text):
        middle = _read(value)
        half = published.BAND * _read(spread) if spread else 0.0
        found.append((middle, (middle - half, middle + half) if spread else
                      (_read(low), _read(high))))  # fmt: skip
    return found


def reader(columns: Sequence[str], rows: Sequence[Row]) -> Callable[[Row, str], Interval | None]:
    """Which interval a table gives for a cell: a function of its row and column.

    ``low`` and ``high``, or with a stem such as ``share_low``, bound the column of that stem
    (``share``, ``share_mean``, else one that begins with ``share_``), or without a stem the nearest
    to the left, then to the right; and only a column that lies between them in every row, one
    that is their middle in every row before others. ``half`` is half an interval, ``std`` a
    standard deviation, of which BAND on either side count.

    Args:
        columns: the table's, in their order.
        rows: all of them; cells as text.
    """
    sources: dict[str, tuple[str, str, float]] = {}
    for column in columns:
        stem, kind = _stem(column)
        if kind == "low" and (high := f"{column[:-3]}high") in columns:
            source = (column, high, 0.0)
        elif kind in _SPREADS:
            source = (column, column, _SPREADS[kind])
        else:
            continue
        held = [c for c in _owners(stem, column, columns) if _holds(c, source, rows)]
        middle = [c for c in held if _holds(c, source, rows, centred=True)]
        # Bounds say more than a standard deviation, wherever it stands.
        if owner := next(iter([*middle, *held]), None):
            if owner not in sources or not source[2]:
                sources[owner] = source

    def interval(row: Row, column: str) -> Interval | None:
        return _between(row, column, sources[column]) if column in sources else None

    return interval


def seeds_interval(old: Row, new: Row, column: str) -> Interval | None:
    """BAND published standard deviations on either side of a network's old accuracy, for ``best``
    and ``last`` of a configuration and data set of which ten seeds are published; None for others,
    and where a row itself says that it is not comparable. The deviations are those of all
    epochs."""
    middle = number(old[column])
    excluded = (published.NOT_COMPARABLE, published.NOT_RUN)
    said = {row.get("verdict") for row in (old, new)}
    if column not in ("best", "last") or middle is None or said & {*excluded}:
        return None
    configuration = old.get("configuration", "-".join(old.get(f, "") for f in FACTORS))
    dataset = old.get("trained_on", old.get("dataset", ""))
    std = _published_spread().get((dataset, configuration, column))
    return None if std is None else (middle - published.BAND * std, middle + published.BAND * std)


def judge_numbers(old: float, new: float, of_a: Interval | None, of_b: Interval | None) -> Judged:
    """Difference, interval and mark of a changed number: whether the new value lies in the interval
    of the old one; where that has none, whether the old one lies in the new one's."""
    interval = of_a or of_b
    if interval is None:
        return new - old, None, UNKNOWN
    return new - old, interval, INSIDE if _inside(new if of_a else old, interval) else BEYOND


def judge_words(old: str, new: str) -> Judged:
    """As ``judge_numbers`` for text: inside only where nothing but values with intervals changed
    and all are inside theirs; the difference and interval of the one value, where there is one."""
    a, b = estimates(old), estimates(new)
    if not a or len(a) != len(b):
        return None, None, UNKNOWN
    inside = all(_inside(value, interval) for (_, interval), (value, _) in zip(a, b, strict=True))
    rest = _ESTIMATE.sub("#", old) == _ESTIMATE.sub("#", new)
    mark = BEYOND if not inside else INSIDE if rest else UNKNOWN
    return (b[0][0] - a[0][0], a[0][1], mark) if len(a) == 1 and rest else (None, None, mark)


def _read(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-"))


def _stem(column: str) -> tuple[str, str]:
    """``share_low`` → (share, low); ``low`` → ("", low)."""
    stem, _, kind = column.replace(" ", "_").rpartition("_")
    return stem, kind


def _owners(stem: str, column: str, columns: Sequence[str]) -> list[str]:
    """Columns that a bound or spread may belong to, the likeliest first."""
    values = [c for c in columns if _stem(c)[1] not in (*_BOUNDS, *_SPREADS)]
    if not stem:
        at = list(columns).index(column)
        return sorted(values, key=lambda c: (columns.index(c) > at, abs(columns.index(c) - at)))
    plain = {c: c.replace(" ", "_") for c in values}
    exact = [c for c in values if plain[c] in (stem, f"{stem}_mean")]
    return [*exact, *(c for c in values if c not in exact and plain[c].startswith(f"{stem}_"))]


def _holds(
    owner: str, source: tuple[str, str, float], rows: Sequence[Row], centred: bool = False
) -> bool:
    """Whether the column lies within these bounds, or midway, in every row that has them, one at
    least."""
    known = [(number(row[owner]), _between(row, owner, source)) for row in rows]
    found = [(value, pair) for value, pair in known if value is not None and pair is not None]
    return bool(found) and all(
        math.isclose(2 * value, low + high, rel_tol=_SLACK, abs_tol=_SLACK * (high - low))
        if centred
        else _inside(value, (low, high))
        for value, (low, high) in found
    )


def _between(row: Row, column: str, source: tuple[str, str, float]) -> Interval | None:
    first, second, factor = source
    low, high, value = number(row[first]), number(row[second]), number(row[column])
    if low is None or high is None or value is None:
        return None
    return (value - factor * low, value + factor * low) if factor else (low, high)


def _inside(value: float, interval: Interval) -> bool:
    low, high = interval
    slack = _SLACK * max(abs(low), abs(high))
    return low - slack <= value <= high + slack


@cache
def _published_spread() -> dict[tuple[str, str, str], float]:
    """Data set, configuration, ``best`` or ``last`` → published standard deviation, in percent."""
    return {
        (row["dataset"], "-".join(row[f] for f in FACTORS), kind): row[f"{kind}_std"]
        for row in published.ten_seeds().to_dict("records")
        for kind in ("best", "last")
    }
