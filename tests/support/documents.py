"""Reading the project's Markdown: its files, its tables, its headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MADE = ("results", "figures", "build", "dist", "venv", "data")  # folders of what is made or fetched


def documents() -> list[Path]:
    """Every Markdown file of the project, without what the pipeline or an installation made."""
    found = []
    for path in ROOT.rglob("*.md"):
        first, *rest = path.relative_to(ROOT).parts
        hidden = any(part.startswith(".") for part in (first, *rest))
        made = first in MADE and rest != ["README.md"]
        if not (hidden or made):
            found.append(path)
    return sorted(found)


def tables(text: str) -> Iterator[list[dict[str, str]]]:
    """The tables of a text, each a list of rows by column; code marks and emphasis stay."""
    for block in re.findall(r"(?:^\|.*\|\n?)+", text, re.M):
        head, _, *rows = [_cells(line) for line in block.strip().splitlines()]
        yield [dict(zip(head, row, strict=True)) for row in rows]


def table(text: str, *columns: str) -> list[dict[str, str]]:
    """All rows of the tables that have these columns."""
    return [row for rows in tables(text) for row in rows if rows and set(columns) <= set(rows[0])]


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a text."""
    found: set[str] = set()
    for title in re.findall(r"^#+ +(.*?) *#*$", _without_blocks(text), re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = 0
        while (name := slug if not number else f"{slug}-{number}") in found:
            number += 1
        found.add(name)
    return found


def links(text: str) -> list[str]:
    """The targets of a text's links and pictures."""
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", _without_blocks(text)))


def _cells(line: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", line.strip())[1:-1]
    return [cell.strip().replace("\\|", "|") for cell in cells]


def _without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
