"""The documents agree with each other, with the code, and with the files that they link to."""

import json
import tomllib
from math import prod

import pytest

from ffreport.data.sources import SOURCES
from tests.support import measured
from tests.support.documents import ROOT, anchors, documents, links, table

CARDS = ROOT / "docs" / "data"


@pytest.mark.parametrize("path", documents(), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_heading_of_the_project(path):
    for target in links(path.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.is_relative_to(ROOT), f"{target} leads out of the project"
        assert there.exists(), f"{target} leads nowhere"
        if anchor:
            assert there.suffix == ".md", f"{target}: only Markdown has headings"
            found = anchors(there.read_text(encoding="utf-8"))
            assert anchor in found, f"{target}: the headings are {sorted(found)}"


def test_a_heading_repeated_gets_a_number_and_code_has_no_headings_or_links():
    text = "# One `two`, and *three*\n## A\n```sh\n# no\n```\n## A\n`[x](y)` [a b](c.md#a-1)\n"
    assert anchors(text) == {"one-two-and-three", "a", "a-1"}
    assert links(text) == ["c.md#a-1"]


def test_tables_are_read_with_their_escaped_bars():
    text = "a\n\n| x | y |\n|---|---|\n| 1 | \\|2\\| |\n\nb\n| z |\n|---|\n| 3 |\n"
    assert table(text, "x") == [{"x": "1", "y": "|2|"}]
    assert table(text, "z") == [{"z": "3"}]


def test_every_data_set_has_a_card_and_every_card_a_data_set():
    assert {path.stem for path in CARDS.glob("*.md")} == set(SOURCES)
    listed = table((ROOT / "docs" / "README.md").read_text(encoding="utf-8"), "data set")
    assert {row["data set"] for row in listed} == {f"[{n}](data/{n}.md)" for n in SOURCES}
    for row in listed:
        counts = SOURCES[row["data set"].split("]")[0].strip("[")].counts
        assert row["training and test images"] == "{:,} and {:,}".format(*counts)


@pytest.mark.parametrize("name", SOURCES)
def test_a_card_has_the_counts_shape_and_classes_of_its_source(name):
    source, text = SOURCES[name], (CARDS / f"{name}.md").read_text(encoding="utf-8")
    written = {row["fact"]: row["value"] for row in table(text, "fact", "value")}
    assert written == {
        "training images": f"{source.counts[0]:,}",
        "test images": f"{source.counts[1]:,}",
        "shape of an image": " × ".join(map(str, source.shape)),
        "values of an image": f"{prod(source.shape):,}",
        "classes": str(source.classes),
    }
    sections = ("Where it comes from", "Licence", "Split", "Checksums", "Preparation",
                "Known issues", "What it is used for here",
                "How to get it, and what happens without it")  # fmt: skip
    assert all(f"\n## {title}\n" in text for title in sections)
    assert f"`{name}`" in text and f"python pipeline.py data check {name}" in text
    digests = [file.checksum.partition(":")[2] for file in source.files]
    assert not any(digest in text for digest in digests), "checksums stand in sources.py alone"


def test_a_card_tells_the_mirrored_sets_command_from_the_packaged_ones():
    for name, source in SOURCES.items():
        text = (CARDS / f"{name}.md").read_text(encoding="utf-8")
        assert (f"data fetch {name}" in text) == (not source.package)
        assert ("MD5" in text) == any(f.checksum.startswith("md5") for f in source.files)


def test_every_point_of_the_checklist_has_one_of_four_answers_and_a_place():
    rows = table((ROOT / "CHECKLIST.md").read_text(encoding="utf-8"), "point", "answer", "where")
    assert len(rows) > 25
    assert {row["answer"] for row in rows} == {"yes", "partly", "no", "not applicable"}
    assert all(row["where"] for row in rows)


def test_the_changelog_has_the_version_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## {project['version']} " in text and len(text.splitlines()) < 70


def test_the_readme_lists_the_documents():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in ("REPRODUCTION.md", "CHECKLIST.md", "CHANGELOG.md", "docs/README.md"):
        assert f"]({name})" in readme


def test_the_page_of_robustness_shows_what_was_measured_and_nothing_else(monkeypatch, tmp_path):
    rows, page = json.loads(measured.BOOK.read_text()), measured.PAGE.read_text()
    assert measured.filled(page, rows) == page, "run `python -m tests.support.measured`"
    monkeypatch.setattr(measured, "BOOK", tmp_path / "rows.json")
    monkeypatch.delenv(measured.VARIABLE, raising=False)
    measured.note("load/x", "a | b", "3 of 3", "x")
    assert not measured.BOOK.exists()
    monkeypatch.setenv(measured.VARIABLE, "1")
    measured.note("load/x", "a | b", "2 of 3", "x")
    measured.note("load/x", "a | b", "3 of 3", "x")
    kept = json.loads(measured.BOOK.read_text())
    assert "| a \\| b | 3 of 3 | `x` |" in measured.filled(page, kept)
