"""A private word is found in every kind of published file, however it is packed."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib

import pytest

from tests.rigs import leaks

WORD = b"/secret/place"
PATTERNS = {"folder": re.compile(re.escape(WORD))}


def png(kind, body):
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return b"\x89PNG\r\n\x1a\n" + chunk


PICTURE = png(b"zTXt", b"Comment\0\0" + zlib.compress(WORD))
CODE = base64.b64encode(PICTURE)
STREAM = zlib.compress(b"(" + WORD + b") Tj")
OUTPUT = {"cells": [{"outputs": [{"data": {"image/png": CODE.decode()}}]}]}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("table.csv", b"a,b\n1," + WORD),
        ("figure.png", png(b"tEXt", b"Description\0" + WORD)),
        ("figure.png", PICTURE),
        ("figure.png", png(b"iTXt", b"Comment\0\1\0en\0\0" + zlib.compress(WORD))),
        ("figure.pdf", b"%PDF-1.4\n1 0 obj\nstream\n" + STREAM + b"\nendstream"),
        ("figure.pdf", b"%PDF-1.4\n/Title (\\057secret\\057place)"),
        ("figure.pdf", b"%PDF-1.4\n/Title <FEFF" + WORD.decode().encode("utf-16be").hex().encode()
         + b">"),
        ("figure.svg", b'<svg><image href="data:image/png;base64,' + CODE + b'"/></svg>'),
        ("page.html", b'<img src="data:image/png;base64,' + CODE + b'">'),
        ("page.html", b"&#47;secret&#x2f;place"),
        ("page.html", b'<script type="application/json">{"a": "\\u002fsecret/place"}</script>'),
        ("page.html", b'x = "' + base64.b64encode(b"words before " + WORD) + b'"'),
        ("manifest.json", b'{"a": {"\\u002fsecret/place": 1}}'),
        ("report.ipynb", json.dumps(OUTPUT).encode()),
    ],
)  # fmt: skip
def test_a_private_folder_is_found_however_it_is_packed(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    (found, *_) = leaks.leaks(tmp_path, PATTERNS)
    assert found.startswith(f"{name}: ") and "folder in" in found


def test_only_whole_names_count(monkeypatch, tmp_path):
    monkeypatch.setattr(leaks.socket, "gethostname", lambda: "node-7")
    monkeypatch.setattr(leaks.getpass, "getuser", lambda: "ada")
    patterns = leaks.private(tmp_path / "results")

    def found(text):
        return {what for what, pattern in patterns.items() if pattern.search(text.encode())}

    assert "results folder" in found(f"in {tmp_path}/results/runs")
    assert found("file:///home/ada/x") >= {"user name"} and "user name" not in found("/adaptive")
    assert found("on node-7.") == {"host name"} and not found("on node-77 of ada")
