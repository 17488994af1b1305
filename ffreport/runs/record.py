"""The record of a stored run: sealed JSON, of which every value has the type that readers expect.

The seal is a checksum and no signature: it shows damage, and whoever alters a record can seal it
again. So nothing in a record is taken for what it should be.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, InstanceOf, create_model
from pydantic import ValidationError as Invalid

from ffcore.config import KINDS
from ffcore.files import json_file
from ffreport.base.console import plain

FORMAT = 1
RECORD = "run.json"
LARGEST = 2**53  # up to here a JSON number is exact everywhere


def _flags(summary: dict[str, Any]) -> dict[str, Any]:
    if any(isinstance(value, bool) != (name == "stopped") for name, value in summary.items()):
        raise ValueError("only stopped is true or false")
    return summary


Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
Name = Annotated[str, Field(pattern=r"^[^/\\\x00]+$")]  # of a file in the folder itself
Whole = Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
Number = Whole | InstanceOf[float]  # NaN, too: of what was not measured
STRICT = ConfigDict(strict=True)


class File(BaseModel):
    """A file of a run."""

    model_config = STRICT
    bytes: Annotated[int, Field(ge=0, le=LARGEST)]
    sha256: Text


class RunRecord(BaseModel):
    """What is recorded of a run.

    Args:
        kind, key, name, experiment: of the experiment, as JSON values.
        summary: numbers that came of the training; None for what there is not.
        seconds: that parts of the training took.
        provenance: what it was made of and with.
        files: in the run's folder, but the record itself.
    """

    model_config = STRICT
    kind: Text
    key: Text
    name: Text
    experiment: dict[str, Any]
    summary: Annotated[dict[str, bool | Number | None], AfterValidator(_flags)]
    seconds: dict[str, Number]
    provenance: dict[str, Any]
    files: dict[Name, File]

    def text(self) -> str:
        """The sealed JSON of the record."""
        record = {"format": FORMAT, **self.model_dump()}
        record["seal"] = seal(record)
        return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


def read(folder: Path) -> RunRecord:
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
    try:
        found = RunRecord.model_validate(record)
        _typed(found.kind).model_validate({"experiment": found.experiment})
        return found
    except Invalid as error:
        first = error.errors(include_url=False)[0]
        place = plain(" of ".join(map(str, first["loc"][1::-1])))
        value = "missing" if first["type"] == "missing" else f"{first['input']!r:.60}"
        raise ValueError(f"{RECORD}: {place} is {value}") from None


def seal(record: Mapping[str, Any]) -> str:
    """The checksum of a record without its ``seal``."""
    text = json.dumps({k: v for k, v in record.items() if k != "seal"}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _typed(kind: str) -> type[BaseModel]:
    """A record's ``experiment`` with the types of its settings in JSON, as far as these are known:
    they may be of another version, and their values of a plug-in."""
    known = KINDS[kind].model_fields if kind in KINDS else {}
    types: Any = {name: (_in_json(field.annotation), None) for name, field in known.items()}
    settings = create_model("Settings", __config__=STRICT, **types)
    return create_model("Typed", experiment=(settings, ...))


def _in_json(annotation: Any) -> Any:
    """The type in JSON of a setting of some type."""
    if get_origin(annotation) is Annotated:
        return _in_json(get_args(annotation)[0])
    if get_origin(annotation) is tuple:
        return list[_in_json(get_args(annotation)[0])]  # type: ignore[misc]
    return {float: Number, int: Whole}.get(annotation, Text)


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
