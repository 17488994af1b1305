"""Errors that a user can act on: what was wrong, what is legal, what to do."""

from __future__ import annotations

import difflib
import errno
import os
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


class ResourceError(FFError):
    """The machine lacks memory or disk space, or ended a process."""


_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free some space there and run the "
                    "same command again"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "make it writable, or choose another "
                    "folder"),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "raise the limit of open files (`ulimit -n`)"),
    errno.ENOMEM: "end what else needs memory and run the same command again",
}  # fmt: skip
# What PyTorch and the loader of libraries say where it raises no error of a kind of its own.
_NO_MEMORY = ("can't allocate memory", "Cannot allocate memory", "out of memory",
              "can't start new thread", "failed to map segment")  # fmt: skip


def advice(error: OSError) -> str:
    """What the system says of a file that cannot be written, and what to do about it."""
    remedy = _REMEDIES.get(error.errno or 0)
    if remedy is None:
        return error.strerror or str(error)
    return f"{os.strerror(error.errno or 0)}; {remedy}"


def no_memory(error: BaseException) -> bool:
    """Whether an error says that memory is short, on the CPU or a GPU."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    told = isinstance(error, RuntimeError | ImportError) and any(
        m in str(error) for m in _NO_MEMORY
    )
    return told or isinstance(error, MemoryError)


def of_system(error: BaseException) -> ResourceError | None:
    """An error of the machine, not of the program, as one that is shown without a traceback."""
    if isinstance(error, OSError) and error.errno in _REMEDIES:
        where = f"{error.filename}: " if error.filename else ""
        return ResourceError(f"{where}{advice(error)}")
    if no_memory(error):
        return ResourceError(
            f"out of memory ({first_line(error)}); what was finished is stored: end what else "
            "needs memory and run the same command again"
        )
    return None


def first_line(error: BaseException) -> str:
    """What an error says, in a line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


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
