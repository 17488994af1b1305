"""What a store remembers from one start to the next, by size and time of files: a cache only."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from ffcore import files
from ffcore.reading import json_file

Stamp = list[int]


class Remembered:
    """Facts about files that hold as long as the files' sizes and times do.

    Args:
        path: where it is kept; a file that cannot be read counts as empty.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._facts: dict[str, Any] | None = None
        self._new = False

    def of(self, file: Path, compute: Callable[[], Any]) -> Any:
        """What ``compute`` says of a file, a JSON value; asked only where the file is new or has
        changed. What it raises passes through and is not remembered."""
        if self._facts is None:
            self._facts = self._read()
        found = file.stat()
        name, stamp = f"{file.parent.name}/{file.name}", [found.st_size, found.st_mtime_ns]
        known = self._facts.get(name)
        if isinstance(known, list) and len(known) == 2 and known[0] == stamp:
            return known[1]
        value = compute()
        self._facts[name] = [stamp, value]
        self._new = True
        return value

    def forget(self, folders: Collection[str]) -> None:
        """Keep nothing of the files in some folders."""
        if self._facts is None:
            self._facts = self._read()
        gone = {name for name in self._facts if name.partition("/")[0] in folders}
        self._facts = {name: fact for name, fact in self._facts.items() if name not in gone}
        self._new |= bool(gone)

    def save(self) -> None:
        """Keep what is new for the next start."""
        if not self._new or not self._path.parent.exists():
            return
        with suppress(OSError):  # Where it cannot be kept, the next start computes again.
            files.write(self._path, json.dumps(self._facts))
            self._new = False

    def _read(self) -> dict[str, Any]:
        try:
            return dict(json_file(self._path))
        except (OSError, ValueError, TypeError):
            return {}
