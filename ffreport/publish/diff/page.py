"""The differences of two report versions in a few lines, and as a page: one file that loads
nothing."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib import resources
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ffcore import files
from ffcore.errors import ReportError, shortened
from ffreport.publish.diff import causes, tables
from ffreport.publish.diff.compare import Differences, Side
from ffreport.publish.diff.tables import BEYOND, CHANGED, DRAWN, INSIDE, SAME, UNKNOWN
from ffreport.publish.pages import document

if TYPE_CHECKING:
    from jinja2 import Template

FIRST = 3  # problems of a version that are named
LARGEST, BEHIND = 200, 10  # changed cells shown of a table, and of the data behind a figure
ROWS = 50  # added or removed rows, and causes of a topic, that are shown
MARKS = {BEYOND: ("beyond", "▲"), INSIDE: ("inside", "✓"), UNKNOWN: ("unknown", "–")}


def summary(found: Differences) -> list[str]:
    """The differences in a few lines of text: the versions, why, tables, figures."""
    if found.same:
        names = dict.fromkeys(side.name for side in found.sides)
        return [f"{' and '.join(names)}: the same version"]
    lines = [f"{side.mark}: {side.name}" + (f", published {side.created}" if side.created else "")
             for side in found.sides]  # fmt: skip
    return [*lines, *problems(found), *points(found)]


def page(found: Differences) -> str:
    """The whole page, HTML. Changed figures stand in it as images, A left and B right.

    Raises:
        ReportError: a figure vanished since it was compared.
    """
    title = f"What changed: {found.a.name} → {found.b.name}"
    return document(title, _template().render(title=title, found=found), _file("page.css"))


def problems(found: Differences) -> list[str]:
    """Which version is not as it was published, and the first files concerned."""
    return [
        f"{side.mark} is not as it was published: {shortened(side.problems, FIRST)}"
        for side in found.sides
        if side.problems
    ]


def points(found: Differences) -> list[str]:
    """The lines that tell what differs: a cause each, then reports, tables and figures."""
    only = [(side.mark, [report for report in side.reports if report not in found.reports])
            for side in found.sides]  # fmt: skip
    said = [f"only in {mark}: {', '.join(names)}" for mark, names in only if names]
    changed = [table for table in found.tables if table.state == CHANGED]
    cells = Counter(cell.mark for table in changed for cell in table.cells)
    added, removed = (sum(len(rows) for rows in of) for of in (
        [table.added for table in changed], [table.removed for table in changed]))  # fmt: skip
    within = (
        f": {_count(cells.total(), 'cell')} ({cells[BEYOND]} beyond their interval, "
        f"{cells[INSIDE]} inside, {cells[UNKNOWN]} without one), {_count(added, 'row')} added, "
        f"{removed} removed"
    )
    if whole := sum(table.whole for table in changed):
        within += f", {_count(whole, 'table')} compared as a whole"
    drawn = sum(figure.state == DRAWN for figure in found.figures)
    redrawn = f", {drawn} of these {DRAWN} from the same data" if drawn else ""
    return [
        *(f"cause: {line}" for line in reasons(found)),
        "reports: " + "; ".join([f"{len(found.reports) or 'none'} in both", *said]),
        _states("tables", found.tables, within if changed else ""),
        _states("figures", found.figures, redrawn),
    ]


def reasons(found: Differences) -> list[str]:
    """Why the versions differ, as far as their manifests tell."""
    if unread := [side.mark for side in found.sides if not side.manifest]:
        return [f"not known: the manifest of {' and '.join(unread)} cannot be read"]
    lines = causes.words(found.causes)
    if not found.reports:
        lines.append("not known of reports: none is in both, so that their inputs do not compare")
    return lines or ["nothing that the manifests record: all inputs are the same"]


def _states(kind: str, changes: Sequence[tables.Change], within: str) -> str:
    """How many tables or figures changed, and how many are in one version only or lost."""
    if not changes:
        return f"{kind}: none"
    states = Counter(change.state for change in changes)
    changed = states[CHANGED] + states[DRAWN]
    both = changed + states[SAME]
    said = f"{changed} of {both} in both changed{within}" if both else "none in both"
    apart = (tables.ONLY_A, tables.ONLY_B, tables.LOST)
    return f"{kind}: {said}" + "".join(f", {states[s]} {s}" for s in apart if states[s])


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


# Filters of the template


def rest(changes: Sequence[tables.Change]) -> list[tuple[str, list[str]]]:
    """Names of the tables or figures without a part of the page to themselves, by what became of
    them; those that are the same first."""

    def told(change: tables.Change) -> tuple[bool, str, str]:
        return change.state != SAME, change.state, change.note

    groups = groupby(sorted((c for c in changes if not c.told), key=told), told)
    return [(state[0].upper() + state[1:] + (f" ({note})" if note else ""), [c.name for c in some])
            for (_, state, note), some in groups]  # fmt: skip


def largest(change: tables.TableChange) -> str:
    """The largest change of a number, in percent of it; empty where no number changed."""
    most = 100 * max((cell.share or 0 for cell in change.cells), default=0)
    return "" if not most else f"{most:.0f} %" if most >= 1 else f"{most:.2g} %"


def apart(change: tables.TableChange) -> list[str]:
    """The keys of which no value is in both versions, where no row is."""
    if change.matched or not change.added or not change.removed:
        return []
    return [
        key for place, key in enumerate(change.keys)
        if not {row[place] for row in change.added} & {row[place] for row in change.removed}
    ]  # fmt: skip


def written(cell: tables.Cell) -> tuple[str, str, str, str]:
    """Old and new value, difference and interval: numbers with as few digits as tell them apart."""
    x, y = tables.number(cell.old), tables.number(cell.new)
    if x is None or y is None:
        return cell.old or "(empty)", cell.new or "(empty)", "", ""
    interval = "[{}, {}]".format(*_numbers(*cell.interval, least=6)) if cell.interval else ""
    return *_numbers(x, y), f"{y - x:+.3g}".replace("-", "−"), interval


def _numbers(x: float, y: float, least: int = 4) -> tuple[str, str]:
    for digits in range(least, 14, 2):
        shown = f"{x:.{digits}g}".replace("-", "−"), f"{y:.{digits}g}".replace("-", "−")
        if shown[0] != shown[1] or x == y:
            break
    return shown


def by_topic(found: Sequence[causes.Cause]) -> dict[str, list[causes.Cause]]:
    """Topic → causes, in their order."""
    topics = dict.fromkeys(cause.topic for cause in found)
    return {topic: [cause for cause in found if cause.topic == topic] for topic in topics}


def differing(found: Sequence[causes.Cause], report: str) -> int:
    """How many of the causes concern a report."""
    return sum(cause.reports == causes.EVERY or report in cause.reports for cause in found)


def users(cause: causes.Cause, both: Sequence[str]) -> str:
    """The reports that a cause concerns; those that it does not where they are fewer."""
    others = [report for report in both if report not in cause.reports]
    if cause.reports == causes.EVERY or (not others and len(both) > 1):
        return causes.EVERY[0]
    few = len(others) < len(both) / 4
    return f"all but {', '.join(others)}" if few else ", ".join(cause.reports)


def image(side: Side, figure: str) -> str:
    """A figure of a version, base64."""
    path = side.folder / "figures" / f"{figure}.png"
    try:
        return base64.b64encode(files.content(path)).decode()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ReportError(f"cannot read {path}: {why}") from None


def join(names: Sequence[str], between: str) -> str:
    """As text; Jinja's own would be HTML, which ``escaped`` leaves as it is."""
    return between.join(names)


def escaped(value: Any) -> Any:
    """Text as HTML."""
    from markupsafe import Markup, escape

    if isinstance(value, Markup):
        return value
    # Pages are searched for addresses that they would load; one that is only told of is none.
    return Markup(str(escape(value)).replace("//", "/&#47;"))


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    made = Environment(autoescape=True, finalize=escaped, undefined=StrictUndefined,
                       trim_blocks=True, lstrip_blocks=True)  # fmt: skip
    filters = (problems, points, reasons, rest, largest, apart, written, by_topic, differing,
               users, image, join)  # fmt: skip
    made.filters |= {one.__name__: one for one in filters} | {"title_of": causes.title}
    made.globals |= {"LARGEST": LARGEST, "BEHIND": BEHIND, "ROWS": ROWS, "MARKS": MARKS}
    return made.from_string(_file("page.html"))


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
