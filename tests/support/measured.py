"""The tables of docs/robustness.md hold what the tests themselves measured.

A test or a script calls ``note``; with ``pytest --measured`` (or FFCORE_MEASURED=1) the row is kept
in docs/robustness.json. ``python -m tests.support.measured`` puts the kept rows into the page.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).parents[2]
BOOK, PAGE = ROOT / "docs" / "robustness.json", ROOT / "docs" / "robustness.md"
VARIABLE = "FFCORE_MEASURED"
# Part of a row's name → the heading of its table.
PARTS = {
    "faults": "Faults",
    "concurrency": "At the same time",
    "hostile": "Hostile input",
    "cluster": "A cluster",
    "load": "Load",
    "environments": "Environments",
}
BEGIN, END = "<!-- measured: {} -->", "<!-- end -->"


def note(row: str, what: str, measured: str, command: str) -> None:
    """Say what was measured, and keep it as a row of the page where that was asked for.

    Args:
        row: PART/NAME, with a part of PARTS; an earlier row of this name is replaced.
        what: what was done, and what is to be seen.
        measured: numbers, with their units.
        command: what makes the row again, from the project's folder.
    """
    part, _, name = row.partition("/")
    assert part in PARTS and name, f"{row} names no row of {[*PARTS]}"
    print(f"{row}: {measured}")
    if not os.environ.get(VARIABLE):
        return
    with FileLock(Path(tempfile.gettempdir()) / "ffcore-measured.lock"):
        rows = json.loads(BOOK.read_text()) if BOOK.exists() else {}
        rows[row] = {"what": what, "measured": measured, "command": command}
        BOOK.write_text(json.dumps(dict(sorted(rows.items())), indent=1, ensure_ascii=False) + "\n")


def table(part: str, rows: dict[str, dict[str, str]]) -> str:
    """The rows of one part as a Markdown table."""
    lines = ["| what | measured | command |", "|---|---|---|"]
    for name, row in rows.items():
        if name.startswith(f"{part}/"):
            cells = [row["what"], row["measured"], f"`{row['command']}`"]
            lines.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
    return "\n".join(lines)


def filled(page: str, rows: dict[str, dict[str, str]]) -> str:
    """The page with every table made from the kept rows."""
    for part in PARTS:
        begin = BEGIN.format(part)
        head, found, rest = page.partition(begin)
        assert found and END in rest, f"the page has no place for {part}: {begin} … {END}"
        page = f"{head}{begin}\n\n{table(part, rows)}\n\n{END}{rest.partition(END)[2]}"
    return page


def main() -> None:
    if sys.argv[1:]:
        sys.exit(
            f"no arguments are known; run `python -m tests.support.measured`, not {sys.argv[1:]}"
        )
    PAGE.write_text(filled(PAGE.read_text(), json.loads(BOOK.read_text())))


if __name__ == "__main__":
    main()
