"""The book of reports: what each was made from, and how long that took."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from ffcore import files
from ffcore.errors import StoreError, advice, shortened
from ffreport.base.console import say
from ffreport.base.digests import changed


class Book:
    """A JSON file: a report's name → its ``inputs`` by topic, and the ``seconds`` that it took.

    It is read once and written whole. One that is damaged costs what it knew: reports are made
    again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def entries(self) -> dict[str, dict[str, Any]]:
        """What the file holds; nothing where there is none, or a damaged one."""
        try:
            found = files.json_file(self.path)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError):
            found = None
        if isinstance(found, dict) and all(map(_sound, found.values())):
            return found
        say(f"{self.path} is damaged, so reports are made again")
        return {}

    def why(self, name: str, inputs: Mapping[str, Any]) -> str:
        """Why a report is to be made from these inputs; empty where it was made from them."""
        entry = self.entries.get(name)
        return difference(entry and entry["inputs"], inputs)

    def seconds(self, name: str) -> float | None:
        """How long a report took; None where it was never made."""
        return self.entries[name]["seconds"] if name in self.entries else None

    def note(self, name: str, inputs: Mapping[str, Any], seconds: float) -> None:
        """Note that a report was made.

        Raises:
            StoreError: the book cannot be written; the file is as it was.
        """
        self.entries[name] = {"inputs": inputs, "seconds": seconds}
        try:
            files.write(self.path, json.dumps(self.entries))
        except OSError as error:
            raise StoreError(f"cannot write {self.path}: {advice(error)}") from None


def difference(then: Mapping[str, Any] | None, now: Mapping[str, Any]) -> str:
    """What changed between two dictionaries of inputs, in words; empty where nothing did."""
    if not then:
        return "no record of an earlier run"
    parts = []
    for topic in now:
        old, new = then.get(topic), now[topic]
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            parts.append(f"{topic} changed: {shortened(changed(old, new), 3)}")
        else:
            parts.append(f"{topic} changed")
    return "; ".join(parts)


def _sound(entry: Any) -> bool:
    """Whether an entry is one of ``Book.note``."""
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("inputs"), dict)
        and isinstance(entry.get("seconds"), int | float)
    )
