"""What a browser without a network finds wrong with a folder of pages."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

WIDTHS = (1280, 400)  # CSS pixels: a desk's window, and a telephone's
_LOAD = """async () => {
  const images = [...document.images];
  for (const image of images) image.loading = 'eager';
  await Promise.all(images.map(image => image.decode().catch(() => 0)));
  return images.filter(image => !image.naturalWidth).map(image => image.src.slice(0, 200));
}"""
_OPEN = "() => document.querySelectorAll('details').forEach(d => d.open = true)"
# What reaches beyond the window, though nothing around it scrolls or cuts it off.
_WIDE = """() => {
  const room = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= room) return [];
  return ['page, ' + document.documentElement.scrollWidth + ' of ' + room + ' px',
    ...[...document.querySelectorAll('body *')]
      .filter(e => e.getBoundingClientRect().right > room + 1)
      .map(e => `${e.tagName} ${e.id} ${e.className} ${e.textContent.slice(0, 60)}`)
      .slice(0, 6)];
}"""
_LINKS = "() => [...document.querySelectorAll('a[href], area[href]')].map(a => a.href)"


def faults(browser: Any, folder: Path) -> list[str]:
    """What is wrong with the pages of a folder, opened as files: anything asked of another place,
    errors in the console, images that do not show, dead links between pages, sideways scrolling."""
    pages = sorted(folder.glob("*.html"))
    assert pages, folder
    context = browser.new_context(offline=True)
    try:
        return [f"{p.name}: {fault}" for p in pages for fault in _of_page(context, p)]
    finally:
        context.close()


def _of_page(context: Any, path: Path) -> Iterator[str]:
    tab, asked, told = context.new_page(), [], []
    tab.set_default_timeout(60_000)
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda m: told.append(f"{m.type}: {m.text}"))
    tab.on("pageerror", lambda error: told.append(str(error)))
    for width in WIDTHS:
        tab.set_viewport_size({"width": width, "height": 900})
        tab.goto(path.as_uri())
        for image in tab.evaluate(_LOAD):
            yield f"image does not show: {image}"
        for state in ("as it opens", "with all details open"):
            for what in tab.evaluate(_WIDE):
                yield f"wider than {width} px {state}: {what}"
            tab.evaluate(_OPEN)
    home = path.parent.as_uri() + "/"
    for address in dict.fromkeys(asked):
        if not address.startswith((home, "data:", "blob:")):
            yield f"asks for {address[:200]}"
    yield from dict.fromkeys(f"console: {words}" for words in told)
    for link in dict.fromkeys(tab.evaluate(_LINKS)):
        if fault := _dead(link, path.parent):
            yield fault
    tab.close()


def _dead(link: str, folder: Path) -> str:
    """What is wrong with a link; nothing with one to a place on the web, which is not followed."""
    parts = urlsplit(link)
    if parts.scheme in ("http", "https", "mailto"):
        return ""
    target = Path(unquote(parts.path))
    if parts.scheme != "file" or not target.is_relative_to(folder):
        return f"leads away: {link}"
    if not target.is_file():
        return f"no such file: {link}"
    if parts.fragment and not {parts.fragment, unquote(parts.fragment)} & _places(target):
        return f"no such place: {link}"
    return ""


@cache
def _places(page: Path) -> frozenset[str]:
    """Names in a page that a link can lead to."""
    found = re.findall(r"""\s(?:id|name)=("[^"]+"|'[^']+')""", page.read_text(encoding="utf-8"))
    return frozenset(html.unescape(place[1:-1]) for place in found)
