"""Errors that a user can act on: what was wrong, what is legal, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class FFError(Exception):
    """A problem with input, files or state; its text is shown to the user without a traceback."""


class ConfigError(FFError):
    """An unknown name or an impossible value in a profile, an option or a call."""


class DataError(FFError):
    """A data file is missing, truncated, foreign or has the wrong checksum."""


class StoreError(FFError):
    """A stored run is missing, damaged or cannot be written."""


class ReportError(FFError):
    """A notebook failed, or a report version is missing or damaged."""


class ClusterError(FFError):
    """A cluster does not answer, was lost, or has workers that would compute something else."""


def nearest(value: object, legal: Iterable[str]) -> str:
    """A trailing hint ``; did you mean 'x'?``, or nothing where no legal name is near."""
    found = difflib.get_close_matches(str(value), list(legal), n=1, cutoff=0.5)
    return f"; did you mean {found[0]!r}?" if found else ""


def shortened(names: Sequence[str], most: int) -> str:
    """``a, b and 3 more``: the first names, and how many there are beyond."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def unknown(what: str, value: object, legal: Iterable[str]) -> ConfigError:
    """``unknown norm 'l3'; choose l1, l2 or l2sq; did you mean 'l2'?`` as a ConfigError."""
    names = list(legal)
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
    return ConfigError(f"unknown {what} {value!r}; choose {listed}{nearest(value, names)}")
