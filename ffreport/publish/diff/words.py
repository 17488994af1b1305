"""The differences of two report versions in a few lines of plain text."""

from __future__ import annotations

from collections.abc import Sequence

from ffcore.errors import shortened
from ffreport.publish.diff import causes as diff_causes
from ffreport.publish.diff.bounds import BEYOND, INSIDE
from ffreport.publish.diff.compare import DRAWN, Differences, FigureChange, marked
from ffreport.publish.diff.tables import CHANGED, LOST, ONLY_A, ONLY_B, SAME, TableChange

FIRST = 3  # problems of a version that are named


def summary(found: Differences) -> list[str]:
    """The differences in a few lines of text: the versions, why, tables, figures."""
    if found.same:
        names = dict.fromkeys((found.a.name, found.b.name))
        return [f"{' and '.join(names)}: the same version"]
    lines = [f"{mark}: {side.name}" + (f", published {side.created}" if side.created else "")
             for mark, side in marked(found.a, found.b)]  # fmt: skip
    return [*lines, *problems(found), *points(found)]


def points(found: Differences) -> list[str]:
    """The lines that tell what differs: a cause each, then reports, tables and figures."""
    told = [_reports(found), _tables(found.tables), _figures(found.figures)]
    return [*(f"cause: {line}" for line in causes(found)), *told]


def problems(found: Differences) -> list[str]:
    """Which version is not as it was published, and the first files concerned."""
    return [
        f"{mark} is not as it was published: {shortened(side.problems, FIRST)}"
        for mark, side in marked(found.a, found.b)
        if side.problems
    ]


def causes(found: Differences) -> list[str]:
    """Why the versions differ, as far as their manifests tell."""
    unread = [mark for mark, side in marked(found.a, found.b) if not side.manifest]
    if unread:
        return [f"not known: the manifest of {' and '.join(unread)} cannot be read"]
    lines = diff_causes.words(found.causes)
    if not found.reports[0]:
        lines.append("not known of reports: none is in both, so that their inputs do not compare")
    return lines or ["nothing that the manifests record: all inputs are the same"]


def _reports(found: Differences) -> str:
    """How many reports are in both versions, and which are in one only."""
    both, only_a, only_b = found.reports
    only = [f"only in {mark}: {', '.join(names)}"
            for mark, names in (("A", only_a), ("B", only_b)) if names]  # fmt: skip
    return "reports: " + "; ".join([f"{len(both) or 'none'} in both", *only])


def _tables(changes: Sequence[TableChange]) -> str:
    """How many tables and cells changed, and how many of these lie beyond their interval."""
    if not changes:
        return "tables: none"
    changed = [t for t in changes if t.state == CHANGED]
    both = len(changed) + sum(t.state == SAME for t in changes)
    said = f"tables: {len(changed)} of {both} in both changed" if both else "tables: none in both"
    cells = sum(len(t.cells) for t in changed)
    if changed:
        beyond, inside = (sum(t.marked(m) for t in changed) for m in (BEYOND, INSIDE))
        rows = sum(len(t.added) for t in changed), sum(len(t.removed) for t in changed)
        said += (
            f": {_count(cells, 'cell')} ({beyond} beyond their interval, {inside} inside, "
            f"{cells - beyond - inside} without one), {_count(rows[0], 'row')} added, "
            f"{rows[1]} removed"
        )
    return said + _elsewhere([t.state for t in changes])


def _figures(changes: Sequence[FigureChange]) -> str:
    """How many figures changed, and how many only in their drawing."""
    if not changes:
        return "figures: none"
    states = [f.state for f in changes]
    changed, drawn = states.count(CHANGED), states.count(DRAWN)
    both = changed + drawn + states.count(SAME)
    said = f"figures: {changed + drawn} of {both} in both changed"
    said = said if both else "figures: none in both"
    said += f", {drawn} of these {DRAWN} from the same data" if drawn else ""
    return said + _elsewhere(states)


def _elsewhere(states: Sequence[str]) -> str:
    counts = {state: states.count(state) for state in (ONLY_A, ONLY_B, LOST)}
    return "".join(f", {count} {state}" for state, count in counts.items() if count)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
