"""What became of one table, as HTML: in words, then its changed cells, then rows more and fewer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from ffreport.publish.diff.bounds import BEYOND, INSIDE, UNKNOWN, number
from ffreport.publish.diff.tables import LOST, Cell, TableChange

ROWS = 50  # added or removed rows, and causes of a topic, that are shown
_MARKS = {BEYOND: ("beyond", "▲"), INSIDE: ("inside", "✓"), UNKNOWN: ("unknown", "–")}


def table_change(change: TableChange, limit: int) -> Iterator[str]:
    """The change of a table.

    Args:
        change: of ``compare.compare``.
        limit: at most as many changed cells are shown, the first ones.
    """
    yield note(change.note, change.state == LOST)
    if change.state == LOST:
        return
    changed = change.matched - change.unchanged
    said = f"Rows in both: {change.matched}; {change.unchanged} unchanged, {changed} changed"
    if change.cells:
        said += f" in {in_words(change)}"
        sizes = [size for cell in change.cells if (size := cell.share) is not None]
        said += f", the largest by {_percent(max(sizes))} of the value" if sizes else ""
    yield f"<p>{said}. {_naming(change)}</p>"
    for where, columns in (("B", change.added_columns), ("A", change.removed_columns)):
        if columns:
            yield f"<p>Columns only in {where}: {_codes(columns)}.</p>"
    if change.cells:
        head = [" · ".join(change.keys) or "row", "column", "A", "B", "B − A", "interval", "mark"]
        yield table(head, map(_cell, change.cells[:limit]), "cells")
        if len(change.cells) > limit:
            yield f"<p>The {limit} largest of {len(change.cells)} changed cells.</p>"
    for what, rows in (("added", change.added), ("removed", change.removed)):
        if rows:
            more = f"<p>The first {ROWS} of {len(rows)}.</p>" if len(rows) > ROWS else ""
            yield (
                f"<details><summary>Rows {what}: {len(rows)}</summary>\n"
                f"{table(change.keys or ['row'], rows[:ROWS])}{more}</details>"
            )


def in_words(change: TableChange) -> str:
    """Changed cells with their marks; rows and columns more or fewer where there are none."""
    if change.cells:
        marks = ((mark, change.marked(mark)) for mark in (BEYOND, INSIDE, UNKNOWN))
        told = (f'<span class="{_MARKS[m][0]}">{count} {m}</span>' for m, count in marks if count)
        plural = "" if len(change.cells) == 1 else "s"
        return f"{len(change.cells)} cell{plural} ({', '.join(told)})"
    counts = {"rows added": change.added, "rows removed": change.removed,
              "columns added": change.added_columns,
              "columns removed": change.removed_columns}  # fmt: skip
    return ", ".join(f"{len(names)} {what}" for what, names in counts.items() if names)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], css: str = "") -> str:
    """A table of text; with a class its cells are ``<td>`` elements already."""
    body = ("".join(row if css else (f"<td>{text(cell)}</td>" for cell in row)) for row in rows)
    lines = "\n".join(f"<tr>{row}</tr>" for row in body)
    top = "".join(f"<th>{text(name)}</th>" for name in head)
    return (
        f'<div class="scroll"><table class="{css}"><thead><tr>{top}</tr></thead>\n'
        f"<tbody>{lines}</tbody></table></div>"
    )


def note(words: str, problem: bool) -> str:
    """A remark, or what went wrong; nothing for no words."""
    return f'<p class="{"problem" if problem else "quiet"}">{text(words)}</p>' if words else ""


def text(value: str) -> str:
    """Text as HTML."""
    # Pages are searched for addresses that they would load; one that is only told of is none.
    return escape(value).replace("//", "/&#47;")


def _naming(change: TableChange) -> str:
    if not change.keys:
        return (
            "No columns name the rows, which are compared by their place: a row more shifts all "
            "that follow."
        )
    named = f"Rows are named by {_codes(change.keys)}."
    if change.matched or not change.added or not change.removed:
        return named
    apart = [
        key for place, key in enumerate(change.keys)
        if not {row[place] for row in change.added} & {row[place] for row in change.removed}
    ]  # fmt: skip
    return f"{named} No value of {_codes(apart)} is in both." if apart else named


def _cell(cell: Cell) -> list[str]:
    """A row of the table of changed cells, HTML."""
    css, sign = _MARKS[cell.mark]
    old, new = _pair(cell.old, cell.new)
    kind = "text" if number(cell.old) is None or number(cell.new) is None else "n"
    difference = "" if cell.difference is None else f"{cell.difference:+.3g}".replace("-", "−")
    interval = "[{}, {}]".format(*_numbers(*cell.interval, least=6)) if cell.interval else ""
    return [
        f'<td class="row">{text(" · ".join(cell.row))}</td>',
        f"<td><code>{text(cell.column)}</code></td>",
        f'<td class="{kind}" data-of="A ">{text(old or "(empty)")}</td>',
        f'<td class="{kind}" data-of="B ">{text(new or "(empty)")}</td>',
        f'<td class="n" data-of="B − A ">{difference}</td>',
        f'<td class="n" data-of="interval ">{interval}</td>',
        f'<td class="mark {css}">{sign} {cell.mark}</td>',
    ]


def _pair(old: str, new: str) -> tuple[str, str]:
    """Two numbers with as few digits as tell them apart; words as they are."""
    x, y = number(old), number(new)
    return (old, new) if x is None or y is None else _numbers(x, y)


def _numbers(x: float, y: float, least: int = 4) -> tuple[str, str]:
    for digits in range(least, 14, 2):
        shown = f"{x:.{digits}g}".replace("-", "−"), f"{y:.{digits}g}".replace("-", "−")
        if shown[0] != shown[1] or x == y:
            break
    return shown


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else f"{100 * share:.2g} %"


def _codes(names: Sequence[str]) -> str:
    return ", ".join(f"<code>{text(name)}</code>" for name in names)
