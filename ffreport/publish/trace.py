"""Where a figure file came from: the record that ``outputs`` writes into every PNG, SVG and PDF."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ffcore import files
from ffcore.errors import ReportError
from ffreport.base.digests import file_digest

LARGEST = 64 * 2**20  # bytes; a figure is far smaller
_DESCRIPTION = "{http://purl.org/dc/elements/1.1/}description"
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


def record(path: Path) -> dict[str, Any]:
    """The provenance that a figure file carries: its name, the command that makes it, profile,
    seeds, digests of experiments and code.

    Raises:
        ReportError: no such file, not a PNG, SVG or PDF, damaged, or without a record of ours.
    """
    try:
        content = files.content(path, LARGEST)
    except OSError as error:
        raise ReportError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError:
        raise ReportError(f"{path} is larger than any figure of ours") from None
    kinds = {b"\x89PNG": _png, b"<?xml": _svg, b"<svg": _svg, b"%PDF": _pdf}
    read = next((r for mark, r in kinds.items() if content.lstrip().startswith(mark)), None)
    if read is None:
        raise ReportError(f"{path} is neither PNG nor SVG nor PDF")
    try:
        found = files.parsed(read(content) or "")
        if not isinstance(found, dict) or "figure" not in found:
            raise ValueError
    except (ValueError, ElementTree.ParseError, LookupError):
        raise ReportError(
            f"{path} carries no record of this pipeline: it was made by another program, or one "
            "that edits pictures has removed it"
        ) from None
    return found


def published(path: Path, results: Path) -> list[str]:
    """The published versions that hold exactly this file, sorted: ``version/file``, with when it
    was published and the revision of the code where that is known."""
    digest = file_digest(path)
    found = []
    for manifest in (results / "reports").glob("[!.]*/manifest.json"):
        if manifest.parent.is_symlink():
            continue
        try:
            content = files.json_file(manifest)
            measured = content["measured"]
            when = f"{measured['created'][:16].replace('T', ' ')} UTC"
            revision = f", revision {measured['revision']}" if measured.get("revision") else ""
            found += [f"{manifest.parent.name}/{name} ({when}{revision})"
                      for name, entry in content["files"].items()
                      if entry["sha256"] == digest]  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # not a version of ours
    return sorted(found)


def _png(content: bytes) -> str | None:
    """The text chunk ``Description``."""
    place = 8
    while place + 8 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        kind, body = content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        if kind == b"tEXt" and body.startswith(b"Description\0"):
            return body.split(b"\0", 1)[1].decode("latin-1")
        place += 12 + length
    return None


def _svg(content: bytes) -> str | None:
    """The Dublin Core description."""
    if b"<!ENTITY" in content or b"<!ATTLIST" in content:
        return None  # nothing that we write has its own; a few bytes of them stand for many
    return ElementTree.fromstring(content).findtext(f".//{_DESCRIPTION}")


def _pdf(content: bytes) -> str | None:
    """The ``Subject`` of the information dictionary, a literal string."""
    match = re.search(rb"/Subject \(((?:[^()\\]|\\.)*)\)", content, re.DOTALL)
    if match is None:
        return None
    text = match[1].decode("latin-1")
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), text, flags=re.DOTALL)
