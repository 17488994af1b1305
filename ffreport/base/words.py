"""Numbers, counts and lists in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ffcore.config import FACTORS


def number(value: float, places: str) -> str:
    """A number by a format such as ``.2f``, with a minus sign in place of a hyphen."""
    return format(value, places).replace("-", "−")


def signed(value: float, places: str) -> str:
    """A number with its sign."""
    return number(value, f"+{places}")


def percent(value: float) -> str:
    """A share in percent, with digits enough to tell it from 100 %."""
    return f"{value:.4g} %" if value < 99.9 else f"{np.floor(value * 1000) / 1000:.3f} %"


def p_value(p: float) -> str:
    """A p-value behind its sign, such as ``= 0.02``."""
    return "< 0.0001" if p < 1e-4 else f"= {p:.2g}"


def interval(row: Any, places: str, name: str = "") -> str:
    """`` [low, high]`` of the columns ``low`` and ``high``, or ``<name>_low`` and ``<name>_high``;
    nothing where there is no interval."""
    low, high = (row[f"{name}_{end}" if name else end] for end in ("low", "high"))
    return "" if np.isnan(low) else f" [{number(low, places)}, {number(high, places)}]"


def span(values: Any, places: str) -> str:
    """``smallest to largest`` of some values; one of them where both read the same."""
    low, high = format(min(values), places), format(max(values), places)
    return low if low == high else f"{low} to {high}"


def count(n: int, what: str) -> str:
    """So many of a regular noun, such as ``1 network`` and ``2 networks``."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def listed(words: Sequence[str]) -> str:
    """a, b and c."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def configuration(row: Mapping[str, str]) -> str:
    """The factors of a row in one word, such as l2-sum-none-relu-sigmoid."""
    return "-".join(row[f] for f in FACTORS)


def bullets(lines: Iterable[str], none: str = "Nothing was run.") -> str:
    """A Markdown list; ``none`` stands alone where there is nothing to say."""
    return "\n".join(f"- {line}" for line in [*lines] or [none])
