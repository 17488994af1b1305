"""Published pages in a real browser without a network: they load nothing, and work."""

from __future__ import annotations

import shutil

import pytest

from ffcore import diff_page, differences
from tests import browsing


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
    found = differences.compare(twice[0], other)
    (tmp_path / "page").mkdir()
    page = tmp_path / "page" / "diff.html"
    page.write_text(diff_page.page(found), encoding="utf-8")
    assert page.read_text().count("<img ") >= 2 and "beyond" in page.read_text()
    assert not browsing.faults(browser, page.parent)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('<img src="http://example.org/a.png">', "asks for http://example.org/a.png"),
        ('<link rel="stylesheet" href="../outside.css">', "asks for file:"),
        ("<script>fetch('https://example.org/x').catch(() => 0)</script>", "asks for https:"),
        ("<script>nothing.here()</script>", "console: nothing is not defined"),
        ("<script>console.error('bad')</script>", "console: error: bad"),
        ('<img src="data:image/png;base64,AAAA">', "image does not show: data:"),
        ('<a href="missing.html">x</a>', "no such file:"),
        ('<a href="#missing">x</a>', "no such place:"),
        ('<a href="page.html#missing">x</a>', "no such place:"),
        ('<a href="/etc/passwd">x</a>', "leads away:"),
        ('<p style="width:900px">x</p>', "wider than 400 px as it opens: page, "),
        ('<details><p style="width:2000px">x</p></details>', "1280 px with all details open"),
    ],
)
def test_every_kind_of_fault_is_found(browser, tmp_path, body, said):
    page = tmp_path / "folder" / "page.html"
    page.parent.mkdir()
    page.write_text(f"<!DOCTYPE html><meta charset='utf-8'><title>x</title><body>{body}")
    found = browsing.faults(browser, page.parent)
    assert any(said in fault for fault in found), found


def test_links_to_places_and_to_the_web_are_no_faults(browser, tmp_path):
    links = ["#here", "page.html#here", "#%CE%BA", "page.html", "https://example.org/", "#it&#39;s"]
    body = "".join(f'<a href="{link}">x</a>' for link in links)
    body += '<p id="here">x<p id="%CE%BA">y<p id="it\'s">z<p id="κ">'
    page = tmp_path / "page.html"
    page.write_text(f"<!DOCTYPE html><meta charset='utf-8'><title>x</title><body>{body}")
    assert browsing.faults(browser, tmp_path) == []
