"""The page that shows what changed between two report versions: one file that loads nothing."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ffcore import files
from ffcore.errors import ReportError
from ffreport.publish.diff import causes as diff_causes
from ffreport.publish.diff import html, words
from ffreport.publish.diff.causes import EVERY, Cause
from ffreport.publish.diff.compare import DRAWN, Differences, FigureChange
from ffreport.publish.diff.html import ROWS, text
from ffreport.publish.diff.tables import CHANGED, LOST, SAME, TableChange
from ffreport.publish.pages import document

LARGEST, BEHIND = 200, 10  # changed cells shown of a table, and of the data behind a figure
_READ = f"""<p>A is the old version, B the new one. A changed number is <b>inside</b> where B's
value lies in the interval that A's table gives for it (B's, where A has none), <b>beyond</b> where
it does not. Such intervals are <code>low</code> and <code>high</code>, <code>half</code> a width,
three standard deviations, or <code>[low, high]</code> in words; for <code>best</code> and
<code>last</code> of a single network three standard deviations of the ten published seeds, where
its configuration and data set have them. Numbers that agree to 12 significant digits are the same.
The largest changes come first, in parts of the value; at most {LARGEST} of a table are shown.</p>
"""
_CSS = """
body{max-width:84rem}.summary li{max-width:none}.contents{columns:22rem;padding-left:1.2rem}
.contents li{break-inside:avoid}td{vertical-align:top}td.n{text-align:right;white-space:nowrap}
td.text{min-width:9rem;max-width:22rem;overflow-wrap:anywhere}td.mark{white-space:nowrap}
td.row{min-width:11rem;max-width:24rem}.beyond{color:#9a3412;font-weight:600}
.inside{color:#0b57a4}.unknown,.quiet{color:#5a626b}
.problem{border-left:.3rem solid #b86e00;background:#fff4ce;padding:.4rem .8rem;max-width:none}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:1rem;margin:.8rem 0}.pair figure{margin:0;
  border:1px solid #d5d9de;border-radius:.3rem;padding:.5rem;min-width:0}
.pair img{width:100%;display:block}.pair figcaption{font-weight:600}
details{margin:.5rem 0}.cells th:not(:first-child){white-space:nowrap}
.names{max-width:none}.up{text-decoration:none}summary{cursor:pointer}
@media(max-width:46rem){.pair{grid-template-columns:1fr}body{padding:.6rem .7rem 3rem}
  .cells thead{display:none}.cells tr{display:block;padding:.35rem 0;
  border-bottom:1px solid #dfe3e7}.cells td{display:inline-block;border:0;max-width:none;
  padding:0 1em 0 0;min-width:0;text-align:left}.cells td.row{display:block;font-weight:600}
  .cells td:empty{display:none}.cells td[data-of]::before{content:attr(data-of);color:#5a626b}}
@media print{.pair{grid-template-columns:1fr 1fr}}
"""


def page(found: Differences) -> str:
    """The whole page, HTML. Changed figures stand in it as images, A left and B right.

    Raises:
        ReportError: a figure vanished since it was compared.
    """
    title = f"{found.a.name} → {found.b.name}"
    parts = [
        f"<main>\n<h1>What changed: {text(title)}</h1>",
        _versions(found),
        *_summary(found),
        *_contents(found),
        *_causes(found),
        *_tables(found),
        *_figures(found),
        "</main>",
    ]
    return document(f"What changed: {title}", "\n".join(parts), _CSS)


def _versions(found: Differences) -> str:
    rows = []
    for mark, side in (("A", found.a), ("B", found.b)):
        told = [side.manifest.get("command"), _part(side.manifest, "measured", "revision")]
        rows.append([mark, side.name, side.created or "–", *(str(t or "–") for t in told)])
    return html.table(["", "version", "published (UTC)", "command", "revision"], rows)


def _summary(found: Differences) -> Iterator[str]:
    yield "<h2>Summary</h2>"
    for line in words.problems(found):
        yield f'<p class="problem">{text(line)}</p>'
    yield '<ul class="summary">'
    for line in words.points(found):
        yield f"<li>{text(line[0].upper() + line[1:])}</li>"
    yield "</ul>"


def _contents(found: Differences) -> Iterator[str]:
    yield '<h2 id="contents">Contents</h2>\n<ul class="contents">'
    yield '<li><a href="#cause">Cause</a></li>'
    for change in _shown(found.tables):
        told = html.in_words(change) if change.state == CHANGED else change.state
        yield f"<li>Table {_link('table', change.name)}: {told}</li>"
    for figure in _shown(found.figures):
        yield f"<li>Figure {_link('figure', figure.name)}: {_state(figure)}</li>"
    yield "</ul>"


def _causes(found: Differences) -> Iterator[str]:
    yield '<h2 id="cause">Cause</h2>'
    both = found.reports[0]
    if not found.causes:
        yield f"<p>{text('; '.join(words.causes(found)))}.</p>"
        return
    topics = list(dict.fromkeys(cause.topic for cause in found.causes))
    if both:
        yield "<p>How many inputs of each report differ:</p>"
        yield html.table(
            ["report", *topics],
            [[report, *(_number_of(found.causes, topic, report) for topic in topics)]
             for report in both],
        )  # fmt: skip
    for topic in topics:
        here = [cause for cause in found.causes if cause.topic == topic]
        rows = [[c.name, c.what, _users(c, both), c.detail] for c in here[:ROWS]]
        head = ["name", "what", "differs for", "detail"][: 4 if any(r[3] for r in rows) else 3]
        more = f"<p>The first {ROWS} of {len(here)}.</p>" if len(here) > ROWS else ""
        yield (
            f"<details{'' if len(here) > 8 else ' open'}><summary>"
            f"{text(diff_causes.title(topic, len(here)))}: {len(here)}</summary>\n"
            f"{html.table(head, [row[: len(head)] for row in rows])}{more}</details>"
        )


def _tables(found: Differences) -> Iterator[str]:
    yield f'<h2 id="tables">Tables</h2>\n{_READ}'
    for change in _shown(found.tables):
        caption = found.captions.get(f"tables/{change.name}", "")
        yield _heading("table", change.name, "", caption)
        yield from html.table_change(change, LARGEST)
    yield from _rest(found.tables)


def _figures(found: Differences) -> Iterator[str]:
    yield '<h2 id="figures">Figures</h2>'
    for change in _shown(found.figures):
        caption = found.captions.get(f"figures/{change.name}", "")
        yield _heading("figure", change.name, f": {_state(change)}", caption)
        yield html.note(change.note, _lost(change))
        if change.redrawn:
            yield '<div class="pair">'
            for mark, side in (("A", found.a), ("B", found.b)):
                path = side.folder / "figures" / f"{change.name}.png"
                yield (
                    f'<figure><figcaption>{mark}</figcaption><img alt="{mark}: {text(caption)}" '
                    f'src="data:image/png;base64,{_image(path)}"></figure>'
                )
            yield "</div>"
        if change.data and change.data.state == CHANGED:
            yield "<p><b>The data behind it</b></p>"
            yield from html.table_change(change.data, BEHIND)
    yield from _rest(found.figures)


def _shown(changes: Sequence[Any]) -> list[Any]:
    """The tables or figures that have a part of the page to themselves."""
    return [c for c in changes if c.state in (CHANGED, DRAWN, LOST) or _lost(c)]


def _lost(change: TableChange | FigureChange) -> bool:
    """Whether it, or the data behind it, cannot be compared."""
    data = change.data if isinstance(change, FigureChange) else None
    return change.state == LOST or (data is not None and data.state == LOST)


def _state(figure: FigureChange) -> str:
    data = figure.state != LOST and _lost(figure)
    return f"{figure.state}, its data cannot be compared" if data else figure.state


def _rest(changes: Sequence[Any]) -> Iterator[str]:
    """The others in a line for each state."""
    shown = _shown(changes)
    groups: dict[tuple[str, str], list[str]] = {}
    for change in changes:
        if change not in shown:
            groups.setdefault((change.state, change.note), []).append(change.name)
    for (state, note), names in sorted(groups.items(), key=lambda g: (g[0][0] != SAME, g[0])):
        said = f"{state[0].upper()}{state[1:]}" + (f" ({note})" if note else "")
        yield f'<p class="names">{text(said)}, {len(names)}: {text(", ".join(names))}.</p>'


def _number_of(causes: Sequence[Cause], topic: str, report: str) -> str:
    count = sum(c.topic == topic and (c.reports == EVERY or report in c.reports) for c in causes)
    return str(count) if count else "–"


def _users(cause: Cause, both: Sequence[str]) -> str:
    """The reports that a cause concerns; those that it does not where they are fewer."""
    rest = [report for report in both if report not in cause.reports]
    if cause.reports == EVERY or (not rest and len(both) > 1):
        return EVERY[0]
    return f"all but {', '.join(rest)}" if len(rest) < len(both) / 4 else ", ".join(cause.reports)


def _heading(kind: str, name: str, state: str, caption: str) -> str:
    return (
        f'<h3 id="{kind}-{text(name)}">{text(name + state)} <a class="up" href="#contents" '
        f'aria-label="to the contents">↑</a></h3>\n'
        + (f"<p>{text(caption)}</p>" if caption else "")
    )


def _link(kind: str, name: str) -> str:
    return f'<a href="#{kind}-{text(name)}">{text(name)}</a>'


def _image(path: Path) -> str:
    try:
        return base64.b64encode(files.content(path)).decode()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ReportError(f"cannot read {path}: {why}") from None


def _part(manifest: Mapping[str, Any], first: str, second: str) -> Any:
    part = manifest.get(first)
    return part.get(second) if isinstance(part, dict) else None
