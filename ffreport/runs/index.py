"""Every stored run in a row, without its tables and weights: a record is read again only when its
size or time changed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffcore import files
from ffcore.config import FACTORS, Experiment
from ffcore.errors import ConfigError
from ffreport.base.digests import digest
from ffreport.runs.record import RECORD, RunRecord

if TYPE_CHECKING:
    import pandas as pd

KEY = re.compile(r"[0-9a-f]{16}")  # the name of a run's folder; others are not the store's
DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, ConfigError)
ORIGIN = ("code", "data", "plugins")  # what a run must agree with today's to be up to date
_GONE = (FileNotFoundError, NotADirectoryError)


@dataclass(frozen=True, slots=True)
class Entry:
    """What a run's record says, without its provenance.

    ``files`` gives bytes by name, ``origin`` a digest for each of ORIGIN that the provenance has,
    ``written`` the record's time. ``fault`` says what is wrong with the record, and then the rest
    is empty; ``unread`` that the system could not read it, so that it may be sound.
    """

    folder: Path
    written: float = 0.0
    kind: str = ""
    name: str = ""
    experiment: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    files: dict[str, int] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    fault: str = ""
    unread: bool = False

    @property
    def key(self) -> str:
        return self.folder.name

    @property
    def bytes(self) -> int:
        return sum(self.files.values())

    def checked(self) -> tuple[str, bool]:
        """``fault`` and ``unread`` once more, after a look at the size of every file."""
        folder = str(self.folder)
        for name, size in self.files.items():
            try:
                found = os.stat(f"{folder}/{name}").st_size
            except OSError as error:
                return f"{name} {_words(error)}", not isinstance(error, _GONE)
            if found != size:
                return f"{name} has {found} bytes instead of {size}", False
        return self.fault, self.unread


class Inventory:
    """The rows of a folder of runs.

    Args:
        runs: the folder.
        read: gives the record in a run's folder, and raises one of DAMAGE where it is not sound.
        remembered: what was read before.
    """

    def __init__(
        self, runs: Path, read: Callable[[Path], RunRecord], remembered: Remembered
    ) -> None:
        self._runs, self._read, self._remembered = runs, read, remembered

    def entries(self) -> list[Entry]:
        """A row for every folder that has a run's name, by name."""
        try:
            with os.scandir(self._runs) as found:
                names = sorted(e.name for e in found if KEY.fullmatch(e.name) and e.is_dir())
        except _GONE:
            return []
        return [self._entry(self._runs / name) for name in names]

    def _entry(self, folder: Path) -> Entry:
        record = folder / RECORD

        def read() -> list[Any]:
            return _row(self._read(folder), folder.name)

        try:
            written = record.stat().st_mtime
            row = self._remembered.of(record, read)
            # What is remembered may be another version's: only the record makes a run damaged.
            return Entry(folder, written, *(row if _whole(row) else read()))
        except DAMAGE as error:
            unread = isinstance(error, OSError) and not isinstance(error, _GONE)
            return Entry(folder, fault=f"{RECORD} {_words(error)}", unread=unread)


def summary_table(entries: Iterable[Entry]) -> pd.DataFrame:
    """One row a network, by name: key, name, configuration, every field, every entry of the
    summary."""
    import pandas as pd

    networks = [e for e in entries if e.kind == Experiment.kind and not e.fault]
    return pd.DataFrame(_summary(e) for e in sorted(networks, key=lambda e: e.name))


def _summary(entry: Entry) -> dict[str, Any]:
    # A record that is older than a field has that field's default.
    usual = {n: f.default for n, f in Experiment.model_fields.items() if not f.is_required()}
    given = {**usual, **entry.experiment}
    fields = {n: _flat(given.get(n)) for n in Experiment.model_fields}
    # The run's own count may be smaller than the epochs that were planned.
    summary = {("epochs_run" if k == "epochs" else k): v for k, v in entry.summary.items()}
    configuration = "-".join(str(given.get(f)) for f in FACTORS)
    named = {"key": entry.key, "name": entry.name, "configuration": configuration}
    return {**named, **fields, **summary}


def _flat(value: Any) -> Any:
    return "x".join(map(str, value)) if isinstance(value, list | tuple) else value


def _row(record: RunRecord, key: str) -> list[Any]:
    """What is remembered of a record."""
    if record.key != key:
        raise ValueError(f"is of the run {record.key}")
    origin = record.provenance
    return [
        record.kind, record.name, record.experiment, record.summary, sum(record.seconds.values()),
        {name: file.bytes for name, file in record.files.items()},
        {topic: digest(origin[topic]) for topic in ORIGIN if topic in origin},
    ]  # fmt: skip


def _whole(row: Any) -> bool:
    kinds = (str, str, dict, dict, int | float, dict, dict)
    return isinstance(row, list) and len(row) == len(kinds) and all(map(isinstance, row, kinds))


def _words(error: Exception) -> str:
    if isinstance(error, _GONE):
        return "is missing"
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}"
    if isinstance(error, KeyError):
        return f"lacks the key {error}"
    return str(error).removeprefix(f"{RECORD} ")


class Remembered:
    """Facts about files that hold as long as the files' sizes and times do.

    Args:
        path: where they are kept, a line each, of which those that are asked for are parsed; what
            cannot be read counts as empty.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._new = False

    def of(self, file: Path, compute: Callable[[], Any]) -> Any:
        """What ``compute`` says of a file, a JSON value; asked only where the file is new or has
        changed. What it raises passes through and is not remembered."""
        found = file.stat()
        name, stamp = f"{file.parent.name}/{file.name}", [found.st_size, found.st_mtime_ns]
        with suppress(KeyError, ValueError, TypeError):
            if isinstance(known := self._facts[name], str):
                known = self._facts[name] = files.parsed(known)
            then, value = known
            if then == stamp:
                return value
        value = compute()
        self._facts[name] = [stamp, value]
        self._new = True
        return value

    def forget(self, folders: Collection[str]) -> None:
        """Keep nothing of the files in some folders."""
        for name in [name for name in self._facts if name.partition("/")[0] in folders]:
            del self._facts[name]
            self._new = True

    def save(self) -> None:
        """Keep what is new for the next start."""
        if not self._new or not self._path.parent.exists():
            return
        with suppress(OSError):  # Where it cannot be kept, the next start computes again.
            facts = [f"{name}\t{fact if isinstance(fact, str) else json.dumps(fact)}\n"
                     for name, fact in self._facts.items()]  # fmt: skip
            files.write(self._path, "".join(facts))
            self._new = False

    @cached_property
    def _facts(self) -> dict[str, Any]:
        """Name of a file → its stamp and fact, as JSON until it is asked for."""
        try:
            lines = files.text(self._path).split("\n")
        except (OSError, ValueError):
            return {}
        return dict(line.split("\t", 1) for line in lines if "\t" in line)
