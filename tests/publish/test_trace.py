"""A figure file tells where it came from, wherever it was copied."""

import json
import shutil

import matplotlib.pyplot as plt
import pytest

from ffcore.errors import ReportError
from ffreport.publish import output, trace

PROVENANCE = {"label": 'quick "q" (a\\b) <&> é', "options": "--profile smoke", "seeds": [0, 1]}


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("output")
    figure, axis = plt.subplots()
    axis.plot([1, 2])
    out = output.open_output(folder, profile="smoke", provenance=PROVENANCE)
    out.figure(figure, "two_points", "A line.", sources="3 own (2 epochs)")
    return folder / "figures"


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_copied_figure_gives_its_record_back(figures, tmp_path, kind):
    copy = tmp_path / "somewhere else.bin"
    shutil.copy(figures / f"two_points.{kind}", copy)
    found = trace.record(copy)
    assert found["figure"] == "two_points" and found["sources"] == "3 own (2 epochs)"
    assert found["command"] == "python pipeline.py figure two_points --profile smoke"
    assert {k: found[k] for k in PROVENANCE} == PROVENANCE


def test_the_versions_that_hold_a_file_are_named(figures, tmp_path):
    path = figures / "two_points.png"
    for name in ("quick-1", "quick-2", "quick-3"):
        (tmp_path / "reports" / name).mkdir(parents=True)
    import hashlib

    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    files = {"figures/two_points.png": {"sha256": digest}, "index.html": {"sha256": "0"}}
    measured = {"created": "2026-01-02T03:04:05+00:00", "revision": "abc"}
    whole = json.dumps({"files": files, "measured": measured})
    for name, text in (("quick-1", whole), ("quick-2", "{"),
                       ("quick-3", json.dumps({"files": {}}))):  # fmt: skip
        (tmp_path / "reports" / name / "manifest.json").write_text(text)
    assert trace.published(path, tmp_path) == [
        "quick-1/figures/two_points.png (2026-01-02 03:04 UTC, revision abc)"
    ]
    assert trace.published(path, tmp_path / "nothing") == []


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"hello", "neither PNG nor SVG nor PDF"), (b"", "neither"),
     (b"\x89PNG\r\n\x1a\n" + b"\xff" * 40, "carries no record"), (b"%PDF-1.4\n", "carries no"),
     (b"<svg><a></svg>", "carries no record"), (b"<?xml version='1.0'?><svg/>", "carries no"),
     (b'<!DOCTYPE x [<!ENTITY a "b">]><svg>&a;</svg>', "neither"),
     (b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><svg>&a;</svg>', "carries no"),
     (b'%PDF-1.4 /Subject ([1, 2])', "carries no record")],
)  # fmt: skip
def test_a_foreign_or_damaged_file_is_an_error(tmp_path, content, said):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(ReportError, match=said):
        trace.record(path)


def test_a_missing_or_huge_file_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(ReportError, match="cannot read"):
        trace.record(tmp_path / "x")
    monkeypatch.setattr(trace, "LARGEST", 10)
    (tmp_path / "x").write_bytes(b"%PDF" * 10)
    with pytest.raises(ReportError, match="larger than any figure"):
        trace.record(tmp_path / "x")
