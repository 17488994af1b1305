"""What published files say of the machine that made them: every text in them, however packed."""

from __future__ import annotations

import base64
import binascii
import getpass
import html
import json
import os
import re
import socket
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

ROOT = Path(__file__).parents[2]
DATA_URI = re.compile(rb"data:[\w/+.;=-]*?;base64,([A-Za-z0-9+/=\s%]+)")
STREAM = re.compile(rb"stream\r?\n(.*?)\r?\nendstream", re.S)
PACKED = re.compile(
    rb'"([A-Za-z0-9+/]{16,}={0,2})"'
)  # a string in a page's data that may be base64


def private(*folders: Path) -> dict[str, re.Pattern[bytes]]:
    """What → pattern of it: these folders, the project, home, data and temporary folders, the
    host's name, and the user's as a part of a path."""
    places = {
        "results": folders,
        "project": [ROOT],
        "home": [Path.home()],
        "data": [Path(os.environ.get("FFCORE_DATA", ROOT / "data")).expanduser()],
        "temporary": [Path(tempfile.gettempdir())],
    }
    found = {}
    for what, paths in places.items():
        names = {str(p) for path in paths for p in (path.absolute(), path.resolve())}
        # "/" would be in everything, and says nothing.
        if names := names - {"/"}:
            either = (_alone(os.fsencode(name), rb"(?<![\w.-]") for name in sorted(names))
            found[f"{what} folder"] = re.compile(b"|".join(either))
    found["user name"] = re.compile(_alone(getpass.getuser().encode(), rb"(?<=[/\\]"))
    host = socket.gethostname()
    if len(host) > 3:
        found["host name"] = re.compile(_alone(host.encode(), rb"(?<![\w-]"))
    return found


def _alone(name: bytes, before: bytes) -> bytes:
    """A pattern of a whole name; what may stand before it comes last, for a search is fast only
    where the pattern begins with plain text."""
    return re.escape(name) + rb"(?![\w-])" + before + re.escape(name) + b")"


def leaks(folder: Path, patterns: dict[str, re.Pattern[bytes]]) -> list[str]:
    """``file: where it stands: what``, with its surroundings, for every file below a folder."""
    return [
        f"{path.relative_to(folder)}: {where}: {what} in {content[max(0, m.start() - 60):][:160]!r}"
        for path in sorted(path for path in folder.rglob("*") if path.is_file())
        for where, content in texts(path.name, path.read_bytes())
        for what, pattern in patterns.items()
        if (m := pattern.search(content))
    ]  # fmt: skip


def texts(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """(where, bytes) of a file as it is, and of everything that is packed in it."""
    yield "as it is", content
    if content.startswith(b"\x89PNG"):
        yield from _png(content)
    elif content.startswith(b"%PDF"):
        yield from _pdf(content)
    elif name.endswith((".json", ".ipynb")):
        yield from _json(json.loads(content), "")
    elif name.endswith((".html", ".svg")):
        yield "as text", html.unescape(content.decode()).encode()
        yield from _embedded(content, "")


def _json(value: object, where: str) -> Iterator[tuple[str, bytes]]:
    """Every string of a JSON value, keys too, with what is embedded in it."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"key in {where}", str(key).encode()
            yield from _json(item, f"{where}/{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _json(item, f"{where}/{number}")
    elif isinstance(value, str):
        raw = value.encode()
        yield where, raw
        if where.rpartition("/")[2] == "png":  # the type image/png of an output's data
            yield from texts("embedded.png", base64.b64decode(raw))
        else:
            yield "as text" + where, html.unescape(value).encode()
            yield from _embedded(raw, where)


def _embedded(content: bytes, where: str) -> Iterator[tuple[str, bytes]]:
    """Data addresses, and the JSON and base64 texts in a page's scripts."""
    for number, match in enumerate(DATA_URI.finditer(content), 1):
        raw = base64.b64decode(unquote_to_bytes(match[1]))
        name = "embedded.svg" if raw.lstrip()[:5] in (b"<?xml", b"<svg ") else "embedded"
        for inner, text in texts(name, raw):
            yield f"{where} data address {number}, {inner}", text
    for match in re.finditer(
        rb'<script type="application/json"[^>]*>(.*?)</script>', content, re.S
    ):
        yield from _json(json.loads(match[1]), f"{where} script")
    for match in PACKED.finditer(content):
        try:
            yield f"{where} base64 at {match.start()}", base64.b64decode(match[1], validate=True)
        except binascii.Error:
            continue  # a word that only looks like it


def _png(content: bytes) -> Iterator[tuple[str, bytes]]:
    """The chunks that hold text or metadata, decompressed; pixels are no text."""
    at = 8
    while at + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        body = content[at + 8 : at + 8 + length]
        if kind == b"zTXt":
            key, _, rest = body.partition(b"\0")
            yield f"chunk zTXt {key!r}", zlib.decompress(rest[1:])
        elif kind == b"iTXt":
            key, _, rest = body.partition(b"\0")
            packed, text = rest[0], rest[2:].split(b"\0", 2)[2]
            yield f"chunk iTXt {key!r}", zlib.decompress(text) if packed else text
        elif kind != b"IDAT":
            yield f"chunk {kind!r}", body
        at += length + 12


def _pdf(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Streams, decompressed where they are, and what is written in octal or hexadecimal."""
    plain = STREAM.sub(b"", content)
    yield "strings", re.sub(rb"\\(\d{3}|.)", lambda m: _unescaped(m[1]), plain, flags=re.S)
    for number, match in enumerate(re.finditer(rb"<((?:[0-9A-Fa-f]{2}){4,})>", plain), 1):
        raw = bytes.fromhex(match[1].decode())
        wide = raw.startswith(b"\xfe\xff")
        yield f"hexadecimal {number}", raw.decode("utf-16").encode() if wide else raw
    for number, match in enumerate(STREAM.finditer(content), 1):
        try:
            yield f"stream {number}", zlib.decompress(match[1])
        except zlib.error:
            yield f"stream {number}", match[1]


def _unescaped(code: bytes) -> bytes:
    return bytes([int(code, 8) % 256]) if code.isdigit() and len(code) == 3 else code
