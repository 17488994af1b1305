"""A user's own data set on the command line: the smallest profile, trained and reported."""

from __future__ import annotations

import base64
import json
import re
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.support.commands import pipeline

SECRET = "a-folder-that-nobody-should-read-about"
PROFILE = """
title: smallest
rq1:
  - {datasets: [digits], norm: [l2], aggregation: [sum], inhibition: [none], activation: [relu],
     settings: {epochs: 1, widths: [8, 8], label_size: 20}}
rq2: {images: 20}
sparsity: [{dataset: digits, width: 8, epochs: 0, images: 50}]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Networks on inverted digits and one report of them: the npz file, options, what was said."""
    folder = tmp_path_factory.mktemp("own")
    (folder / SECRET).mkdir()
    images, labels = load_digits(return_X_y=True)
    inverted = (255 - images * 255 / 16).reshape(-1, 8, 8).astype(np.uint8)
    path = folder / SECRET / "Inverted.npz"
    np.savez_compressed(path, X=inverted, y=labels)
    (folder / "smallest.yaml").write_text(PROFILE)
    where = ["--profile", folder / "smallest.yaml", "--results", folder / "results"]
    said = pipeline("train", "--dataset", path, *where)
    said += pipeline("report", "rq1_accuracy", "--dataset", path, *where)
    return path, where, said


def unpacked(path: Path) -> bytes:
    """A file with what is compressed or encoded in it."""
    raw = path.read_bytes()
    parts = [raw]
    for found in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", raw, re.S):
        try:
            parts.append(zlib.decompress(found))
        except zlib.error:
            continue
    for found in re.findall(rb"base64,([A-Za-z0-9+/=]+)", raw):
        parts.append(base64.b64decode(found))
    return b"".join(parts)


def test_the_report_names_the_data_by_content_and_says_that_nothing_is_published(made):
    _, _, said = made
    (name,) = set(re.findall(r"inverted@[0-9a-f]{8}", said))
    assert f"{name}: of each class, in the order of the file, every fifth image" in said
    version = Path(re.search(r"^(/.*)/index\.html$", said, re.M)[1])
    page = (version / "rq1_accuracy.html").read_text()
    assert f"The papers publish no figure for {name}" in page
    manifest = json.loads((version / "manifest.json").read_text())
    assert list(manifest["inputs"]["data"]) == [name]
    assert manifest["inputs"]["data"][name].startswith(name[-8:])
    table = (version / "tables" / "rq1_accuracy.csv").read_text().splitlines()
    assert len(table) == 4 and all("nothing published" in row for row in table[1:])


def test_nothing_that_is_kept_tells_where_the_data_lie(made):
    results = made[1][-1]
    files = [p for p in results.rglob("*") if p.is_file()]
    known = b"inverted@"
    assert {p.suffix for p in files if known in unpacked(p)} >= {".ipynb", ".pdf", ".html", ".json"}
    assert len(files) > 30 and [p for p in files if SECRET.encode() in unpacked(p)] == []


def test_what_is_made_is_up_to_date_wherever_the_file_lies(made, tmp_path):
    path, where, _ = made
    shutil.copy(path, tmp_path / "inverted.npz")
    for place in (path, tmp_path / "inverted.npz"):
        assert "nothing to train" in pipeline("train", "--dataset", place, *where)
        status = pipeline("status", "--dataset", place, *where)
        assert "report rq1_accuracy: up to date" in status and "missing" not in status
        assert "up to date" in pipeline("why", "rq1_means", "--dataset", place, *where)


def test_one_figure_is_made_again(made):
    path, where, _ = made
    figure = where[-1] / "figures" / "rq1_means.png"
    before = figure.read_bytes()
    figure.unlink()
    assert "rq1_means.png" in pipeline("figure", "rq1_means", "--dataset", path, *where)
    assert figure.read_bytes() == before


def test_a_changed_file_is_another_data_set(made, tmp_path):
    path, where, _ = made
    found = dict(np.load(path))
    found["X"][0, 0, 0] ^= 1
    np.savez(tmp_path / "inverted.npz", **found)
    status = pipeline("status", "--dataset", tmp_path / "inverted.npz", *where)
    assert "3 missing" in status and "stored" not in status


def test_data_check_says_what_was_understood_and_a_bare_name_asks_for_the_path(made):
    path, where, _ = made
    said = pipeline("data", "check", path)
    assert "1,442 training and 355 test images" in said and "every fifth image" in said
    assert SECRET not in said
    asked = pipeline("status", "--dataset", said.split()[0], *where, code=1)
    assert "name its path" in asked and len(asked.splitlines()) == 1
    said = pipeline("train", "--dataset", path.parent, *where, code=1)
    assert "Inverted.npz is no folder of a class" in said
