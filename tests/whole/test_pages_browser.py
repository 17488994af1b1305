"""Published pages in a real browser without a network: they load nothing, and work."""

from __future__ import annotations

import pytest

from tests.support import browsing


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
