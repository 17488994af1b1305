"""Two clean runs of a profile publish the same bytes, whatever the folder and the environment; and
their pages work in a browser without a network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from ffreport.publish import crate, versions
from ffreport.publish.diff import compare
from ffreport.publish.diff import page as diff_page
from tests.rigs import leaks
from tests.support import browsing

DATES = {"datePublished", "endTime"}


def same_content(name: str, content: bytes) -> object:
    """A file's content without what a version declares as times and durations."""
    if name == versions.MANIFEST:
        manifest = json.loads(content)
        assert set(manifest["measured"]) == {"checksum", "created", "files", "hardware",
                                             "number", "revision", "run_seconds"}  # fmt: skip
        assert [*manifest["measured"]["files"]] == [crate.METADATA]
        return [[k, v] for k, v in manifest.items() if k != "measured"]  # in their order
    if name == crate.METADATA:
        graph = json.loads(content)["@graph"]
        assert {k for entity in graph for k in entity} >= DATES
        return [[[k, v] for k, v in entity.items() if k not in DATES] for entity in graph]
    return content


def first_difference(a: Path, b: Path) -> str:
    """The first file in which two versions differ, and how; empty where they do not."""
    files = [
        {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
        for folder in (a, b)
    ]
    for name in sorted({*files[0], *files[1]}):
        if not all(name in found for found in files):
            return f"{name} is only in {'a' if name in files[0] else 'b'}"
        contents = [same_content(name, found[name].read_bytes()) for found in files]
        if contents[0] != contents[1]:
            return f"{name} differs: {_place(*(found[name].read_bytes() for found in files))}"
    return ""


def _place(one: bytes, other: bytes) -> str:
    """Where two contents part, with what stands there."""
    pairs = enumerate(zip(one, other, strict=False))
    at = next((at for at, (x, y) in pairs if x != y), min(len(one), len(other)))
    part = slice(max(0, at - 40), at + 40)
    return f"from byte {at}, {one[part]!r} in a, {other[part]!r} in b"


def test_two_clean_runs_have_the_same_version_and_the_same_bytes(twice):
    a, b = twice
    assert not first_difference(a, b)
    assert a.name == b.name
    assert a.parent != b.parent and len(list(a.rglob("*.svg"))) >= 5
    assert (a / "rq1_convergence.html").is_file() and (a / "sparsity_theorems.ipynb").is_file()
    assert versions.verify(a) == versions.verify(b) == []


def test_the_first_file_that_differs_is_named(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / "tables").mkdir(parents=True)
        (tmp_path / name / "z.csv").write_text(name)
        (tmp_path / name / "tables" / "t.csv").write_text("same")
    a, b = tmp_path / "a", tmp_path / "b"
    assert first_difference(a, b) == "z.csv differs: from byte 0, b'a' in a, b'b' in b"
    (b / "tables" / "t.csv").write_text("same, and more")
    assert "tables/t.csv differs: from byte 4" in first_difference(a, b)
    (b / "tables" / "t.csv").unlink()
    assert first_difference(a, b) == "tables/t.csv is only in a"


def test_no_published_file_tells_where_or_by_whom_it_was_made(twice):
    for version in twice:
        folder = version.parents[2]  # holds the profile, and the results
        assert not leaks.leaks(version, leaks.private(folder, folder / "results"))


def test_published_pages_ask_for_nothing_and_work(browser, twice):
    assert not browsing.faults(browser, twice[0])


def test_the_page_of_what_changed_asks_for_nothing_and_works(browser, twice, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(twice[1], other)
    tables = sorted((other / "tables").glob("*.csv"))
    for path in tables:
        head, _, rows = path.read_text().partition("\n")
        path.write_text(head + "\n" + rows.replace("0.", "1."))
    picture, *_, last = sorted((other / "figures").glob("*.png"))
    picture.write_bytes(last.read_bytes())
    found = compare.compare(twice[0], other)
    (tmp_path / "page").mkdir()
    page = tmp_path / "page" / "diff.html"
    page.write_text(diff_page.page(found), encoding="utf-8")
    assert page.read_text().count("<img ") >= 2 and "beyond" in page.read_text()
    assert not browsing.faults(browser, page.parent)
