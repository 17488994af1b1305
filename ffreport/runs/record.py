"""The record of a stored run: sealed JSON, of which every value has the type that readers expect.

The seal is a checksum and no signature: it shows damage, and whoever alters a record can seal it
again. So nothing in a record is taken for what it should be.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from ffcore.config import KINDS
from ffcore.files import json_file

FORMAT = 1
RECORD = "run.json"
LARGEST = 2**53  # up to here a JSON number is exact everywhere


def read(folder: Path) -> dict[str, Any]:
    """The record in a run's folder.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no record of a run, was altered, or has a value that no record has.
    """
    record = json_file(folder / RECORD)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ValueError(f"{RECORD} is not a run record of format {FORMAT}")
    if record.get("seal") != seal(record):
        raise ValueError(f"{RECORD} was altered: its seal does not fit")
    for name in ("kind", "key", "name"):
        _check(name, record.get(name), _is_text)
    for part in ("experiment", "summary", "seconds", "provenance", "files"):
        _check(part, record.get(part), lambda value: isinstance(value, dict))
    fields = KINDS[record["kind"]].model_fields if record["kind"] in KINDS else {}
    for name, value in record["experiment"].items():
        if name in fields:
            _check(name, value, _test(fields[name].annotation))
    for name, value in record["summary"].items():
        _check(name, value, _is_flag if name == "stopped" else _is_measured)
    for name, value in record["seconds"].items():
        _check(name, value, _is_number)
    for name, facts in record["files"].items():
        if Path(name).name != name or "\0" in name:
            raise ValueError(f"{RECORD} names a file outside of its folder: {name!r}")
        _check(name, facts, _is_file)
    return record


def seal(record: Mapping[str, Any]) -> str:
    """The checksum of a record without its ``seal``."""
    text = json.dumps({k: v for k, v in record.items() if k != "seal"}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _check(name: str, value: Any, sound: Callable[[Any], bool]) -> None:
    if not sound(value):
        raise ValueError(f"{RECORD}: {name} is {value!r:.60}")


@cache
def _test(annotation: Any) -> Callable[[Any], bool]:
    """What a setting of some type is in JSON."""
    if get_origin(annotation) is Annotated:
        return _test(get_args(annotation)[0])
    if annotation is float:
        return _is_number
    if annotation is int:
        return _is_whole
    if get_origin(annotation) is tuple:
        inner = _test(get_args(annotation)[0])
        return lambda value: isinstance(value, list) and all(map(inner, value))
    return _is_text


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not _is_flag(value) and abs(value) <= LARGEST


def _is_number(value: Any) -> bool:
    return _is_whole(value) or isinstance(value, float)


def _is_measured(value: Any) -> bool:
    return value is None or _is_number(value)


def _is_file(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and _is_whole(value.get("bytes"))
        and value["bytes"] >= 0
        and _is_text(value.get("sha256"))
    )


def lacking(then: Any, now: Iterable[str]) -> list[str]:
    """Names of the definitions of today that a run's recorded code does not have.

    Args:
        then: the record's list, or the table by module and definition of older records.
    """
    if isinstance(then, Mapping):
        then = [f"{name} {digest}" for part in then.values() if isinstance(part, Mapping)
                for name, digest in part.items()]  # fmt: skip
    had = {*then} if isinstance(then, list) else set()
    return [entry.partition(" ")[0] for entry in now if entry not in had]
