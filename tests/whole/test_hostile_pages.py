"""What users supply is text in every page and picture: no element, attribute, script or address.

Each page is made twice by the real code, with plain words and with hostile ones, and must have the
same elements and attributes."""

import json
import os
import re
from collections import Counter
from html.parser import HTMLParser
from types import SimpleNamespace
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from ffcore.errors import FFError
from ffreport.base.console import plain
from ffreport.publish import output, pages, versions
from ffreport.publish.diff import compare
from ffreport.publish.diff import page as diff_page
from ffreport.publish.notebooks.cleaning import clean
from ffreport.publish.notebooks.notebook import write_atomically
from tests.publish.diff.test_compare import png, version
from tests.support import explored

EVIL = "<img src=x onerror=alert(1)>\"'&</script><script>alert(2)</script><!--{{data}}"
NAMED = "<img src=x onerror=alert(1)>\"'&<script>"  # as a file can be called


class Elements(HTMLParser):
    """Elements and attributes of a page, in order, and its text."""

    def __init__(self, page):
        super().__init__()
        self.found, self.words = [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, tuple(name for name, _ in attrs)))

    def handle_data(self, data):
        self.words += data


def same_elements(make):
    """Make a page with plain and with hostile words; returns the hostile one."""
    plain_page, hostile = make("plain"), make(EVIL)
    assert Elements(hostile).found == Elements(plain_page).found
    assert "alert(2)" in hostile
    return hostile


def test_an_index_shows_titles_names_and_captions_as_text():
    def make(words):
        report = {"name": "rq1", "title": words, "figures": {"f": words}, "tables": {"t": words}}
        made = [(words, words)]
        return pages.index_html(words, [report], made, words, [(words, "x.html")])

    assert EVIL in Elements(same_elements(make)).words


def test_a_notebooks_page_shows_titles_tables_and_what_was_printed_as_text(tmp_path):
    def make(words):
        out = output.open_output(None, profile=words)
        frame = pd.DataFrame({"name": [words], words: [1.0]})
        (table, about), *_ = out.table(frame, "t", words).bundles
        error = {"output_type": "error", "ename": words, "evalue": words, "traceback": [words]}
        shown = [{"output_type": "stream", "name": "stdout", "text": words}, error,
                 {"output_type": "display_data", "data": table, "metadata": about}]  # fmt: skip
        cell = {"cell_type": "code", "metadata": {}, "source": f"print({words!r})",
                "outputs": shown, "execution_count": 1}  # fmt: skip
        document = {"cells": [cell], "metadata": {"language_info": {"name": "python"}}}
        (tmp_path / "n.ipynb").write_text(clean(document, {}))
        return pages.to_html(tmp_path / "n.ipynb", words, [(words, "index.html")], words)

    hostile = make(EVIL)
    marked = re.sub(r'<div class="\s*highlight.*?</div>', "", hostile, flags=re.S)  # spans a token
    kinds = {(t, a) for t, a in Elements(marked).found}
    assert not kinds - {(t, a) for t, a in Elements(make("plain")).found}
    assert "<img" not in marked and "<script>alert" not in hostile


def test_the_explorer_keeps_its_data_inside_of_its_script():
    def make(words):
        frame = explored.networks()
        frame["dataset"], frame["origin"] = words, words
        frame["configuration"] = words
        return explored.page(frame, label=words, provenance={words: words})

    hostile = same_elements(make)
    data = re.search(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', hostile, re.S)
    assert data and json.loads(data[1])["columns"]["dataset"][0] == EVIL


def test_the_page_of_differences_shows_foreign_folders_as_text(tmp_path):
    def make(words, name, place):
        both = []
        for side, value in enumerate((words, words + "2")):
            folder = version(tmp_path / place / str(side), {"t": f"name,v\n{value},1\n"},
                             {"f": (png(side), f"a\n{side}\n")}, **{"hardware": value})  # fmt: skip
            strange = folder.with_name(name + str(side))
            folder.rename(strange)
            (strange / "tables" / f"{name}.csv").write_text(f"{name},b\n{value},{side}\n")
            for kind in ("png", "svg", "pdf"):
                (strange / "figures" / f"{name}.{kind}").write_bytes(png(side))
            manifest = json.loads((strange / "manifest.json").read_text())
            manifest |= {"command": value, "reports": [{"tables": {name: value}}]}
            manifest["inputs"]["reports"]["rq1"] |= {name: {value: value}}
            (strange / "manifest.json").write_text(json.dumps(manifest))
            both.append(strange)
        return diff_page.page(compare.compare(*both))

    words = EVIL.replace('"', "'").replace(",", "").replace("/", "|")
    hostile = Elements(make(words, NAMED, "hostile"))
    # Names decide the order, so that elements are counted.
    assert Counter(hostile.found) == Counter(Elements(make("plain", "plain", "plain")).found)
    assert NAMED in hostile.words


def test_names_that_are_no_text_are_told_and_written(tmp_path):
    both = []
    for side in (0, 1):
        folder = tmp_path / f"v{side}"
        (folder / "tables").mkdir(parents=True)
        (folder / "tables" / os.fsdecode(b"\xff.csv")).write_text(f"a\n{side}\n")
        both.append(folder)
    page = diff_page.page(compare.compare(*both))
    write_atomically(tmp_path / "page.html", page)
    assert "\\udcff" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_texts_of_a_picture_are_text_in_it_and_in_its_record(tmp_path, kind):
    out = output.open_output(tmp_path, profile=EVIL, provenance={"options": EVIL})
    figure, axes = plt.subplots(figsize=(2, 1))
    axes.set_title(EVIL)
    out.figure(figure, "line", EVIL, sources=EVIL)
    path = tmp_path / "figures" / f"line.{kind}"
    from ffreport.publish import trace

    assert trace.record(path)["profile"] == EVIL
    if kind == "svg":
        tags = {e.tag.rpartition("}")[2] for e in ElementTree.parse(path).iter()}
        assert not tags & {"img", "script", "image", "foreignObject", "a"}


@pytest.mark.parametrize(
    "name", ["../x", "/x", "x\0", "a" * 500 + "/..", "<b>", "=x", "\u202ex", "X"]
)
def test_names_of_figures_and_tables_never_leave_their_folder(tmp_path, name):
    out = output.open_output(tmp_path, profile="p")
    for save in (out.table, out.figure):
        with pytest.raises(FFError, match="use lowercase letters"):
            save(pd.DataFrame({"a": [1]}), name, "c")
    assert not list(tmp_path.iterdir())


def test_what_a_foreign_file_says_moves_no_cursor():
    assert plain("a\x1b[31m\r\n\u202eb\x07 é\u2009−") == "a\\x1b[31m\\r\\n\\u202eb\\x07 é\u2009−"


def test_no_hostile_word_runs_in_a_browser(browser, tmp_path):
    report = {"name": "rq1", "title": EVIL, "figures": {}, "tables": {"t": EVIL}}
    made = {"index": pages.index_html(EVIL, [report], [(EVIL, EVIL)], EVIL, [(EVIL, "x.html")]),
            "explorer": explored.page(explored.networks().assign(origin=EVIL), label=EVIL,
                                      provenance={EVIL: EVIL})}  # fmt: skip
    context = browser.new_context(offline=True)
    for name, page in made.items():
        (tmp_path / f"{name}.html").write_text(page)
        tab, alarms = context.new_page(), []
        tab.on("dialog", lambda d, alarms=alarms: (alarms.append(d.message), d.dismiss()))
        tab.on("pageerror", lambda e, alarms=alarms: alarms.append(str(e)))
        tab.goto((tmp_path / f"{name}.html").as_uri())
        assert not alarms and not tab.query_selector("img[src=x]")
    context.close()


def test_a_version_is_named_inside_of_its_folder(tmp_path):
    assert versions.versions(tmp_path) == []
    profile = SimpleNamespace(name="quick", title=EVIL, paper_scale=False)
    folder = versions.publish({}, [], profile=profile, results=tmp_path, figures=tmp_path / "f")
    assert folder.parent == tmp_path / "reports"
    assert EVIL in Elements((folder / "index.html").read_text()).words
