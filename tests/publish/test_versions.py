"""A report version is published whole or not at all, needs nothing from outside, and is checked."""

from __future__ import annotations

import base64
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest

from ffcore.errors import ReportError
from ffreport.publish import pages, versions
from ffreport.publish.crate import METADATA as CRATE
from ffreport.publish.notebooks.cleaning import clean
from ffreport.publish.notebooks.notebook import building

QUICK = SimpleNamespace(name="quick", title="Quick & small <report>", paper_scale=False)
INPUTS = {"experiments": {"0123": "abcd"}, "packages": {"numpy": "2.0"}, "seeds": [0, 1]}
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
)


class Page(HTMLParser):
    """Tags with attributes, and all text, of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def executed(folder, name="rq1", title="Accuracy & more", figure="rq1_line", markdown="Text."):
    """What ``notebook.execute`` leaves: an executed notebook, a figure, a table, captions."""
    target = folder / name
    for kind in ("figures", "tables"):
        (target / kind).mkdir(parents=True)
    for suffix in ("png", "svg", "pdf"):
        (target / f"figures/{figure}.{suffix}").write_bytes(PIXEL + suffix.encode())
    (target / f"tables/{figure}_table.csv").write_text("a\n1\n")
    captions = {"figures": {figure: "A <line> & more"}, "tables": {f"{figure}_table": "A table"}}
    (target / "captions.json").write_text(json.dumps(captions))
    image = {"image/png": base64.b64encode(PIXEL).decode(), "text/plain": "c"}
    about = {"image/png": {"alt": "A <line> & more"}, "ffcore": {"figure": figure}}
    outputs = [
        {"output_type": "display_data", "data": image, "metadata": about},
        {"output_type": "stream", "name": "stdout", "text": "<script>alert(1)</script>"},
        {"output_type": "display_data", "data": {"image/png": image["image/png"]}, "metadata": {}},
        {"output_type": "display_data", "metadata": {}, "data": {
            "application/javascript": "require('x')", "text/plain": "no script"}},
    ]  # fmt: skip
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": f"# {title}\n\n{markdown}"},
        {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "output = ''",
         "outputs": [], "execution_count": 1},
        {"cell_type": "markdown", "metadata": {}, "source": "## Second part"},
        {"cell_type": "code", "metadata": {"tags": [f"figure:{figure}"]},
         "source": "x = '<b>' # code", "outputs": outputs, "execution_count": 2},
    ]  # fmt: skip
    text = clean({"cells": cells, "metadata": {"language_info": {"name": "python"}}}, {})
    (target / f"{name}.ipynb").write_text(text)
    return target


def publish(root, folders, inputs=INPUTS, profile=QUICK, **more):
    return versions.publish(
        inputs, folders, profile=profile, results=root / "results", figures=root / "figures", **more
    )


def files(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def without_times(metadata):
    """The bytes of an RO-Crate's metadata without its two times, which must be there."""
    text, count = re.subn(r'"(datePublished|endTime)": "[^"]+"', "", metadata.decode())
    assert count == 2
    return text


@pytest.fixture
def published(tmp_path):
    first = executed(tmp_path / "run")
    second = executed(tmp_path / "run", "rq2", "Latents", "rq2_line")
    measured = {"hardware": "a machine", "durations": {"rq1": 1.5}}
    return publish(tmp_path, [first, second], measured=measured, extra={"seeds": [0, 1]})


def test_version_holds_pages_figures_tables_and_manifest(tmp_path, published):
    assert re.fullmatch(r"quick-[0-9a-f]{12}", published.name)
    figures = {f"figures/{r}_line.{k}" for r in ("rq1", "rq2") for k in ("png", "svg", "pdf")}
    assert set(files(published)) == figures | {
        "index.html", "rq1.html", "rq1.ipynb", "rq2.html", "rq2.ipynb", "manifest.json", CRATE,
        "tables/rq1_line_table.csv", "tables/rq2_line_table.csv",
    }  # fmt: skip
    manifest = json.loads((published / "manifest.json").read_text())
    assert manifest["version"] == published.name
    assert manifest["profile"] == vars(QUICK)
    assert INPUTS.items() <= manifest["inputs"].items()
    assert manifest["seeds"] == [0, 1]
    measured = {"hardware", "durations", "files", "created", "number", "checksum"}
    assert set(manifest["measured"]) == measured
    assert set(manifest["files"]) == set(files(published)) - {"manifest.json", CRATE}
    assert set(manifest["measured"]["files"]) == {CRATE}
    assert [report["name"] for report in manifest["reports"]] == ["rq1", "rq2"]
    latest = tmp_path / "results/reports/latest"
    assert os.readlink(latest) == published.name
    assert {p.name for p in latest.parent.iterdir()} == {"latest", published.name}
    assert {f"figures/{name}" for name in files(tmp_path / "figures")} == figures


def test_two_publications_differ_only_in_what_is_measured(tmp_path):
    folders = [
        publish(
            tmp_path / place, [executed(tmp_path / place / "run")], measured={"hardware": place}
        )
        for place in ("a", "b")
    ]
    first, second = (files(folder) for folder in folders)
    manifests = [json.loads(each.pop("manifest.json")) for each in (first, second)]
    crates = [without_times(each.pop(CRATE)) for each in (first, second)]
    assert folders[0].name == folders[1].name
    assert first == second
    assert crates[0] == crates[1]
    assert [m.pop("measured")["hardware"] for m in manifests] == ["a", "b"]
    assert manifests[0] == manifests[1]


def test_pages_load_nothing_from_outside(published):
    loading = {"src", "srcset", "data", "poster", "xlink:href"}
    for path in published.glob("*.html"):
        page = Page(path.read_text())
        loaded = [v for _, attrs in page.tags for k, v in attrs.items() if k in loading]
        loaded += [attrs["href"] for attrs in page.all("link")]
        assert loaded
        assert not [v for v in loaded if re.match(r"(https?:)?//", v)]
        assert not re.search(r"url\(|@import", path.read_text())
        assert not page.all("script")
        assert page.all("html") == [{"lang": "en"}]
        names = {attrs.get("name") for attrs in page.all("meta")}
        assert "viewport" in names
        assert all(attrs["alt"] for attrs in page.all("img"))


def test_page_that_would_load_something_is_not_published(tmp_path):
    image = "![a picture](https://example.org/a.png)"
    with pytest.raises(ReportError, match="'Bad' would load https://example.org/a.png"):
        publish(tmp_path, [executed(tmp_path / "run", title="Bad", markdown=image)])
    assert not files(tmp_path / "results")
    linked = executed(tmp_path / "other", markdown="[a paper](https://arxiv.org/abs/2408.09210)")
    assert (
        "https://arxiv.org/abs/2408.09210" in (publish(tmp_path, [linked]) / "rq1.html").read_text()
    )


def test_report_page_folds_code_anchors_headings_and_escapes_text(published):
    text = (published / "rq1.html").read_text()
    page = Page(text)
    assert "<details" in text and text.index("<details") < text.index("# code")
    assert {"Second-part", "figure-rq1_line"} <= {attrs.get("id") for _, attrs in page.tags}
    assert "#Second-part" in {attrs.get("href") for attrs in page.all("a")}
    assert page.all("img")[0]["alt"] == "A <line> & more"
    assert "<script>alert(1)</script>" in page.words
    assert "no script" in page.words
    assert {"href": "rq1.html", "aria-current": "page"} in page.all("a")
    assert "quick profile · not paper scale" in page.words


def test_index_shows_every_figure_and_table_and_its_links_lead_somewhere(published):
    page = Page((published / "index.html").read_text())
    assert QUICK.title in page.words
    assert "quick profile · not paper scale" in page.words
    assert "python pipeline.py all --profile quick" in page.words
    assert [attrs["src"] for attrs in page.all("img")] == [
        "figures/rq1_line.png", "figures/rq2_line.png",
    ]  # fmt: skip
    addresses = [attrs["href"] for attrs in page.all("a")] + [page.all("img")[0]["src"]]
    assert {"manifest.json", "rq1.html", "tables/rq1_line_table.csv"} <= set(addresses)
    assert all((published / address.partition("#")[0]).is_file() for address in addresses)


def test_banner_of_a_paper_scale_report_does_not_belittle_it(tmp_path):
    paper = SimpleNamespace(name="paper", title="All", paper_scale=True)
    folder = publish(tmp_path, [executed(tmp_path / "run")], profile=paper)
    assert "paper profile" in (folder / "rq1.html").read_text()
    assert "not paper scale" not in (folder / "index.html").read_text()


def test_intact_version_is_not_written_again(tmp_path, published):
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    again = publish(tmp_path, [tmp_path / "run/rq1", tmp_path / "run/rq2"], measured={"x": 2})
    assert again == published
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()} == before


def test_other_inputs_or_other_output_make_another_version(tmp_path, published):
    folders = [tmp_path / "run/rq1", tmp_path / "run/rq2"]
    other = publish(tmp_path, folders, inputs={**INPUTS, "seeds": [0, 2]})
    (folders[0] / "figures/rq1_line.svg").write_bytes(b"redrawn")
    third = publish(tmp_path, folders)
    assert len({published, other, third}) == 3
    names = [version.name for version in versions.versions(tmp_path / "results")]
    assert names == [published.name, other.name, third.name]
    assert versions.latest(tmp_path / "results") == third
    assert (tmp_path / "figures/rq1_line.svg").read_bytes() == b"redrawn"


def test_every_damage_is_named(published):
    assert versions.verify(published) == []
    (published / "rq1.html").write_text("x")
    (published / "tables/rq1_line_table.csv").unlink()
    (published / "added.txt").write_text("x")
    (published / CRATE).write_text("{}")
    assert versions.verify(published) == [
        "changed: rq1.html", "missing: tables/rq1_line_table.csv", f"changed: {CRATE}",
        "extra: added.txt",
    ]  # fmt: skip
    (published / CRATE).unlink()
    assert f"missing: {CRATE}" in versions.verify(published)


def test_a_version_of_before_there_were_crates_is_intact(published):
    manifest = json.loads((published / "manifest.json").read_text())
    del manifest["measured"]["files"]
    manifest["measured"] = versions._sealed(manifest["measured"])
    (published / "manifest.json").write_text(json.dumps(manifest))
    (published / CRATE).unlink()
    assert versions.verify(published) == []


@pytest.mark.parametrize(
    "old_new", [('"hardware": "a', '"hardware": "b'), ('"2.0"', '"2.1"'), ("{", "")]
)
def test_edited_or_lost_manifest_is_named(published, old_new):
    manifest = published / "manifest.json"
    manifest.write_text(manifest.read_text().replace(*old_new, 1))
    assert versions.verify(published) == ["changed: manifest.json"]
    manifest.unlink()
    assert versions.verify(published) == ["missing: manifest.json"]


def test_damaged_version_is_built_again_and_the_file_named(tmp_path, published):
    good = (published / "rq1.html").read_bytes()
    (published / "rq1.html").write_text("x")
    said = []
    publish(
        tmp_path, [tmp_path / "run/rq1", tmp_path / "run/rq2"],
        extra={"seeds": [0, 1]}, notify=said.append,
    )  # fmt: skip
    assert said == [
        f"report {published.name} is damaged, building it again: changed: rq1.html",
        f"kept in {published}: rq1.changed-1.html",
    ]
    assert (published / "rq1.html").read_bytes() == good
    assert (published / "rq1.changed-1.html").read_text() == "x"
    assert versions.verify(published) == ["extra: rq1.changed-1.html"]


@pytest.mark.parametrize("lost", ["rq1.html", "manifest.json"])
def test_what_a_reader_added_to_a_version_or_wrote_into_it_is_never_lost(tmp_path, published, lost):
    (published / "notes.md").write_text("mine")
    (published / "more").mkdir()
    (published / "more/deep.txt").write_text("mine, too")
    os.symlink("notes.md", published / "link.md")
    (published / "rq2.ipynb").write_text("annotated")
    (published / "tables/rq1_line_table.csv").write_text("edited")
    (published / lost).unlink()
    for _ in range(2):  # what was kept once is kept when the version is damaged again, too
        publish(tmp_path, [tmp_path / "run/rq1", tmp_path / "run/rq2"])
        assert (published / "notes.md").read_text() == "mine"
        assert (published / "more/deep.txt").read_text() == "mine, too"
        assert os.readlink(published / "link.md") == "notes.md"
        assert (published / "rq2.changed-1.ipynb").read_text() == "annotated"
        assert (published / "tables/rq1_line_table.changed-1.csv").read_text() == "edited"
        assert versions.damaged(versions.verify(published)) == []
        (published / "rq2.html").unlink()
    assert not (tmp_path / "figures/link.md").exists()


def test_additions_alone_are_no_damage_and_clutter_is_passed_over(tmp_path, published):
    (published / "notes.md").write_text("mine")
    for clutter in (".DS_Store", "figures/Thumbs.db", "._rq1.html", "notes.md~", ".rq1.html.swp",
                    ".ipynb_checkpoints/rq1-checkpoint.ipynb", ".#rq1.ipynb"):  # fmt: skip
        (published / clutter).parent.mkdir(exist_ok=True)
        (published / clutter).write_text("x")
    assert versions.verify(published) == ["extra: notes.md"]
    before = (published / "manifest.json").stat().st_mtime_ns
    publish(tmp_path, [tmp_path / "run/rq1", tmp_path / "run/rq2"])
    assert (published / "manifest.json").stat().st_mtime_ns == before


def test_what_a_dead_publisher_left_is_removed_and_a_live_one_kept(tmp_path):
    pid = next(p for p in range(2**22 - 1, 0, -1) if not Path(f"/proc/{p}").exists())
    dead = tmp_path / f"results/reports/.building-{pid}-x"
    dead.mkdir(parents=True)
    with building(tmp_path / "results/reports/other") as live:
        folder = publish(tmp_path, [executed(tmp_path / "run")])
        assert live.is_dir()
        assert not dead.exists()
        assert [version.folder for version in versions.versions(tmp_path / "results")] == [folder]


def test_failure_while_building_leaves_the_last_version(tmp_path, published, monkeypatch):
    monkeypatch.setattr(versions, "index_html", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        publish(tmp_path, [tmp_path / "run/rq1"])
    assert versions.latest(tmp_path / "results") == published
    assert {p.name for p in published.parent.iterdir()} == {"latest", published.name}


def test_latest_is_a_text_file_where_links_are_not_possible(tmp_path, monkeypatch):
    with pytest.raises(ReportError, match=r"run: python pipeline\.py all"):
        versions.latest(tmp_path / "results")

    def refuse(*_args, **_options):
        raise OSError("no links here")

    monkeypatch.setattr(os, "symlink", refuse)
    folder = publish(tmp_path, [executed(tmp_path / "run")])
    assert (tmp_path / "results/reports/latest").read_text() == f"{folder.name}\n"
    assert versions.latest(tmp_path / "results") == folder


def test_two_reports_that_save_one_name_are_refused(tmp_path):
    pair = [executed(tmp_path / "run"), executed(tmp_path / "run", "rq2")]
    with pytest.raises(ReportError, match="report rq2 saves figures/rq1_line.pdf, as another"):
        publish(tmp_path, pair)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReportError, match="empty holds 0 notebooks"):
        publish(tmp_path, [tmp_path / "empty"])


def test_results_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(ReportError, match="cannot write in .*results"):
        publish(tmp_path, [executed(tmp_path / "run")])


def test_an_nbconvert_without_its_templates_is_one_error_that_says_so(tmp_path, monkeypatch):
    import nbconvert

    def lacking(self):
        raise ValueError("No template sub-directory with name 'lab' found")

    monkeypatch.setattr(nbconvert.HTMLExporter, "get_template_names", lacking)
    with pytest.raises(ReportError, match="nbconvert cannot start: No template .* reinstall it"):
        pages.to_html(tmp_path / "a.ipynb", "A", [], "")


def test_a_template_of_the_users_own_does_not_change_a_page(tmp_path, monkeypatch):
    notebook = tmp_path / "a.ipynb"
    notebook.write_text(clean({"cells": [{"cell_type": "markdown", "metadata": {},
                                          "source": "words"}], "metadata": {}}, {}))  # fmt: skip
    page = pages.to_html(notebook, "A", [], "")
    for name in ("lab", "base", "basic"):
        folder = tmp_path / "jupyter/nbconvert/templates" / name
        folder.mkdir(parents=True)
        (folder / "conf.json").write_text('{"base_template": null}')
        for file in ("index.html.j2", "base.html.j2"):
            (folder / file).write_text("taken over")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    assert "words" in page and pages.to_html(notebook, "A", [], "") == page
