"""HTML pages that need nothing from outside: a notebook as a page, and the index of a report."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ffcore.errors import ReportError

Link = tuple[str, str]
NAV = "<!--nav-->"  # where a page that is made elsewhere takes links to its siblings
# Browsers enforce what the check below looks for: nothing is loaded but from this folder.
_POLICY = "default-src 'self' data: blob: file: 'unsafe-inline' 'unsafe-eval'; base-uri 'none'"
_EXTERNAL = re.compile(
    r"""<(?:script|link|img|iframe|source|video|audio|object|embed|use|image)\b[^>]*?
        \s(?:src|href|data|srcset|xlink:href)\s*=\s*["']?\s*(?P<a>(?:https?:)?//[^"'\s>]+)
      | url\(\s*["']?(?P<b>(?:https?:)?//[^"')\s]+)
      | @import\s+["'](?P<c>[^"']+)""",
    re.I | re.X,
)
_TEMPLATE = """{%- extends 'basic/index.html.j2' -%}
{% block input_group %}{% if cell.source.strip() %}<details class="code"><summary>Code</summary>
{{ super() }}</details>{% endif %}{% endblock %}
{% block data_png %}{% set name = output.metadata.get('ffcore', {}).get('figure') %}
<div class="figure"{% if name %} id="figure-{{ name }}"{% endif %}>{{ super() }}</div>
{% endblock %}"""
_CSS = """
:root{color-scheme:light}
body{font:1rem/1.6 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;color:#1b1f24;
  background:#fff;margin:0 auto;padding:1rem 1.25rem 4rem;max-width:60rem;overflow-wrap:break-word}
h1,h2,h3,h4{line-height:1.25;margin:1.8em 0 .5em}h1{font-size:1.9rem;margin-top:.6em}
p,li{max-width:46rem}a{color:#0b57a4}nav{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;
  border-bottom:1px solid #d5d9de;padding-bottom:.6rem}nav [aria-current]{color:inherit;
  font-weight:600;text-decoration:none}
.banner{background:#fff4ce;border-left:.3rem solid #b86e00;padding:.5rem .9rem;margin:1rem 0}
.anchor-link{visibility:hidden;text-decoration:none;padding-left:.4em}
:is(h1,h2,h3,h4):hover .anchor-link,.anchor-link:focus{visibility:visible}
img{max-width:100%;height:auto}.ff-caption,figcaption{color:#454c54;font-size:.92rem}
pre{overflow:auto;background:#f6f7f9;border:1px solid #e3e6ea;border-radius:.3rem;
  padding:.6rem .8rem;font-size:.85rem;line-height:1.45}pre,code{font-family:ui-monospace,
  Menlo,Consolas,"DejaVu Sans Mono",monospace}
details.code{margin:.4rem 0}details.code summary{cursor:pointer;color:#5a626b;font-size:.85rem}
.output_stderr pre{background:#fff8f6;border-color:#f0cfc6}
.output_html,.rendered_html,.scroll{overflow-x:auto}table{border-collapse:collapse;
  font-variant-numeric:tabular-nums;font-size:.9rem}th,td{padding:.2em .6em;text-align:left;
  border-bottom:1px solid #dfe3e7}
.thumbs{display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:1rem;
  padding:0}.thumbs figure{margin:0;border:1px solid #e3e6ea;border-radius:.3rem;padding:.6rem}
@media print{nav,details.code,.anchor-link{display:none}body{max-width:none;padding:0}
  .ff-table{max-height:none!important;overflow:visible!important}
  .figure,figure,tr{break-inside:avoid}h1,h2,h3{break-after:avoid}}
"""


def to_html(notebook: Path, title: str, nav: Sequence[Link] = (), banner: str = "") -> str:
    """An executed notebook as one self-contained page: code folded away, images inside.

    Args:
        notebook: the executed ``.ipynb``.
        title: of the page.
        nav: (label, relative address) of the sibling pages.
        banner: one line at the top, such as "quick profile · not paper scale".

    Raises:
        ReportError: the page would load something from outside; names its address. Or nbconvert's
            own files are not there.
    """
    import nbformat
    from nbconvert import HTMLExporter
    from traitlets import default
    from traitlets.config import Config

    # Script and widget outputs want libraries from a network, and get random ids.
    kinds = ["text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/plain"]

    class OwnExporter(HTMLExporter):
        """Takes templates from nbconvert itself; a user may have others of the same names."""

        def get_prefix_root_dirs(self) -> list[str]:
            return [str(_templates())]

        @default("template_data_paths")
        def _no_further(self) -> list[str]:
            return []

    try:
        exporter = OwnExporter(
            config=Config({"NbConvertBase": {"display_data_priority": kinds}}),
            raw_template=_TEMPLATE,
            embed_images=True,
            exclude_input_prompt=True,
            exclude_output_prompt=True,
        )
    except (ValueError, OSError) as error:  # its templates lie outside of site-packages
        raise ReportError(
            f"nbconvert cannot start: {error}; reinstall it: "
            "pip install --force-reinstall nbconvert"
        ) from error
    node = nbformat.read(notebook, as_version=4)
    for cell in node.cells:
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", ()):
                about = output.metadata.setdefault("image/png", {})
                about.setdefault("alt", "Output of the code above")
    body, _ = exporter.from_notebook_node(node, {"metadata": {"path": str(notebook.parent)}})
    return _page(title, f"<main>\n{body}\n</main>", nav, banner, _highlighting())


def _templates() -> Path:
    """The folder of ``nbconvert/templates`` that was installed with nbconvert.

    Raises:
        FileNotFoundError: it is gone.
    """
    installed = importlib.metadata.files("nbconvert") or []
    mark = "nbconvert/templates/basic/index.html.j2"
    for file in installed:
        if file.as_posix().endswith(mark) and (place := Path(str(file.locate()))).is_file():
            return place.parents[3]
    raise FileNotFoundError(f"it lacks {mark}")


def with_nav(page: str, title: str, nav: Sequence[Link]) -> str:
    """A page that holds NAV, with links to its siblings in that place.

    Raises:
        ReportError: the page would load something from outside; names its address.
    """
    return _checked(page.replace(NAV, _nav(title, nav), 1), title)


def document(title: str, body: str, style: str = "") -> str:
    """A page of this look around HTML that was made elsewhere, with further style.

    Raises:
        ReportError: the page would load something from outside; names its address.
    """
    return _page(title, body, (), "", style)


def index_html(
    title: str,
    reports: Sequence[Mapping[str, Any]],
    made: Sequence[Link],
    banner: str = "",
    further: Sequence[Link] = (),
) -> str:
    """The first page of a report version.

    Args:
        title: of the whole report.
        reports: for each its ``name``, ``title``, and ``figures`` and ``tables`` as name →
            caption; the pages, ``figures/`` and ``tables/`` lie beside the index.
        made: (what, text) rows that tell how the report was made.
        further: (label, address) of interactive pages beside the index.
    """
    parts = [f"<main>\n<h1>{escape(title)}</h1>"]
    links = ", ".join(f'<a href="{escape(a)}">{escape(label)}</a>' for label, a in further)
    parts += [f"<p>Interactive: {links}</p>"] if links else []
    for report in reports:
        page = f"{escape(report['name'])}.html"
        parts.append(f'<h2><a href="{page}">{escape(report["title"])}</a></h2>')
        parts.append('<div class="thumbs">')
        for name, caption in ((escape(n), c) for n, c in report["figures"].items()):
            files = " ".join(
                f'<a href="figures/{name}.{kind}">{kind.upper()}</a>' for kind in ("svg", "pdf")
            )
            parts.append(
                f'<figure><a href="{page}#figure-{name}"><img src="figures/{name}.png" '
                f'alt="{escape(caption)}" loading="lazy"></a>'
                f"<figcaption>{escape(caption)} {files}</figcaption></figure>"
            )
        parts.append("</div>\n<ul>")
        for name, caption in ((escape(n), c) for n, c in report["tables"].items()):
            link = f'<a href="{page}#table-{name}">{escape(caption)}</a>'
            parts.append(f'<li>{link} (<a href="tables/{name}.csv">CSV</a>)</li>')
        parts.append("</ul>")
    rows = "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>\n" for k, v in made)
    parts.append(f'<h2>How it was made</h2>\n<div class="scroll"><table>{rows}</table></div>')
    parts.append('<p><a href="manifest.json">manifest.json</a> lists every input, version and')
    parts.append("checksum.</p>\n</main>")
    return _page(title, "\n".join(parts), (), banner)


def _page(title: str, body: str, nav: Sequence[Link], banner: str, style: str = "") -> str:
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{escape(title)}</title>
<style>{_CSS}{style}</style>
</head>
<body>
{_nav(title, nav)}
{f'<p class="banner">{escape(banner)}</p>' if banner else ""}
{body}
</body>
</html>
"""
    return _checked(page, title)


def _nav(title: str, nav: Sequence[Link]) -> str:
    current = ' aria-current="page"'
    links = "".join(
        f'<a href="{escape(address)}"{current if label == title else ""}>{escape(label)}</a>'
        for label, address in nav
    )
    return f"<nav>{links}</nav>" if links else ""


def _checked(page: str, title: str) -> str:
    if found := _EXTERNAL.search(page):
        raise ReportError(f"page {title!r} would load {next(filter(None, found.groups()))}")
    return page


def _highlighting() -> str:
    from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]

    return str(HtmlFormatter(style="default").get_style_defs(".highlight"))
