"""What a notebook uses to save: figures and tables, byte-deterministic, with their provenance."""

from __future__ import annotations

import base64
import html
import io
import json
import numbers
import re
import struct
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from ffcore.errors import ReportError, nearest

DPI = 200
SHOWN_ROWS = 500
FOOT_SIZE = 6  # points
FOOT_LETTERS = 27  # an inch of the foot holds, at least
CAPTIONS = "captions.json"
_STYLE = (
    "<style>.ff-table{max-height:34em;overflow:auto}.ff-table table{border-collapse:collapse}"
    ".ff-table th{position:sticky;top:0;background:#f3f4f6;text-align:left}"
    ".ff-table td{text-align:left;white-space:nowrap}.ff-table .n{text-align:right}"
    ".ff-table th,.ff-table td{padding:.15em .6em;border-bottom:1px solid #ddd}</style>"
)


def open_output(
    output: str | Path | None, *, profile: Any, provenance: Mapping[str, Any] | None = None
) -> Output:
    """Where a notebook saves.

    Args:
        output: folder for ``figures/`` and ``tables/``; None or "" shows everything and saves
            nothing (a notebook that someone opened by hand).
        profile: a ``config.Profile``, or its name; with a name, figures count as paper-scale only
            where ``provenance`` says ``paper_scale: True``.
        provenance: JSON values that every figure carries: report, key digest, code revision …
    """
    given = dict(provenance or {})
    name = str(getattr(profile, "label", profile))
    paper_scale = bool(getattr(profile, "paper_scale", given.get("paper_scale", False)))
    given |= {"profile": name, "paper_scale": paper_scale}
    return Output(Path(output) if output else None, given)


@final
@dataclass(frozen=True)
class Shown:
    """What a cell shows: MIME bundles, each with its metadata. Make it the cell's last
    expression, or pass it to ``display``."""

    bundles: tuple[tuple[dict[str, Any], dict[str, Any]], ...]

    def _ipython_display_(self) -> None:
        from IPython.display import display

        for data, metadata in self.bundles:
            display(data, metadata=metadata, raw=True)


@final
class Output:
    """Saves the figures and tables of one notebook; see ``open_output``."""

    def __init__(self, folder: Path | None, provenance: dict[str, Any]) -> None:
        self._folder = folder
        self._provenance = provenance
        self._captions: dict[str, dict[str, Any]] = {"figures": {}, "tables": {}, "columns": {}}

    def figure(
        self, fig: Any, name: str, caption: str, data: Any = None, sources: str = ""
    ) -> Shown:
        """Save ``figures/<name>.png``, ``.svg`` and ``.pdf``, close the figure and show it.

        Args:
            fig: a matplotlib Figure; marked with the profile where that is not paper-scale.
            name: lowercase letters, digits and _; unique in the notebook.
            caption: one or two sentences; also the image's alternative text.
            data: the DataFrame behind the figure, saved as ``figures/<name>.csv``.
            sources: whose results it shows, such as "18 own (50 epochs), 90 not run"; stands at
                its foot and in its metadata.

        Raises:
            ReportError: a bad or repeated name, or a folder that cannot be written.
        """
        self._check("figures", name)
        import matplotlib.pyplot as plt

        note = ""
        if not self._provenance["paper_scale"]:
            note = f"{self._provenance['profile']} profile · not paper scale"
        box = _laid_out(fig, f"results: {sources}" if sources else "", note)
        options = f" {self._provenance.get('options', '')}".rstrip()
        command = {"command": f"python pipeline.py figure {name}{options}"}
        about = {"figure": name, **({"sources": sources} if sources else {})}
        record = json.dumps({**command, **self._provenance, **about}, sort_keys=True)
        files = {kind: _render(fig, kind, box, name, record) for kind in ("png", "svg", "pdf")}
        plt.close(fig)
        if data is not None:
            files["csv"] = _csv(data)
        self._save("figures", name, caption, files)
        width = struct.unpack(">I", files["png"][16:20])[0] * 96 // DPI
        image = {"image/png": base64.b64encode(files["png"]).decode(), "text/plain": caption}
        words = {"text/html": f'<p class="ff-caption">{html.escape(caption)}</p>'}
        told = {"image/png": {"width": width, "alt": caption}, "ffcore": {"figure": name}}
        return Shown(((image, told), ({**words, "text/plain": caption}, {})))

    def table(
        self, frame: Any, name: str, caption: str, formats: Mapping[str, str] | None = None, *,
        keys: Sequence[str] = (),
        intervals: Mapping[str, tuple[str, str] | tuple[str, float]] | None = None,
    ) -> Shown:  # fmt: skip
        """Save ``tables/<name>.csv`` with every row and digit, and show the table.

        Args:
            frame: a DataFrame; an index that is more than a row number becomes columns.
            name: lowercase letters, digits and _; unique in the notebook.
            caption: what the table shows.
            formats: column → format specification for showing it, such as ``.2f``.
            keys: the columns whose values together name a row. A comparison of two versions
                aligns the rows by them.
            intervals: column → the interval of its values, by which a comparison judges a change:
                the columns of its bounds, ``("low", "high")``; or a column and how many of it lie
                on either side of the value, ``("half", 1)``, ``("std", 3)``.

        Raises:
            ReportError: a bad or repeated name, a format, key or interval for no column, two rows
                with the same keys, or a folder that cannot be written.
        """
        self._check("tables", name)
        frame = _flat(frame)
        bounds = {column: list(interval) for column, interval in (intervals or {}).items()}
        used = dict.fromkeys(formats or {}, "to format")
        if len(frame):  # a table of no results may have no columns
            used |= dict.fromkeys(keys, "to name rows")
            for column, parts in bounds.items():
                named = [column, *(part for part in parts if isinstance(part, str))]
                used |= dict.fromkeys(named, "for an interval")
        for column, use in used.items():
            if column not in frame.columns:
                hint = nearest(column, map(str, frame.columns))
                raise ReportError(f"table {name!r} has no column {column!r} {use}{hint}")
        if len(frame) and keys and (twice := frame.duplicated(list(keys))).any():
            row = ", ".join(f"{key} {frame.loc[twice, key].iloc[0]}" for key in keys)
            raise ReportError(f"table {name!r} has two rows of the same keys: {row}")
        if keys or bounds:
            self._captions["columns"][name] = {"keys": list(keys), "intervals": bounds}
        self._save("tables", name, caption, {"csv": _csv(frame)})
        text = _table_html(frame, name, caption, formats or {})
        return Shown((({"text/html": text, "text/plain": caption}, {"ffcore": {"table": name}}),))

    def _check(self, kind: str, name: str) -> None:
        if not re.fullmatch(r"[a-z0-9_]+", name):
            raise ReportError(f"{kind[:-1]} name {name!r}: use lowercase letters, digits and _")
        if name in self._captions[kind]:
            raise ReportError(f"{kind[:-1]} {name!r} is saved twice in this notebook; rename one")

    def _save(self, kind: str, name: str, caption: str, files: dict[str, bytes]) -> None:
        self._captions[kind][name] = caption
        if self._folder is None:
            return
        try:
            (self._folder / kind).mkdir(parents=True, exist_ok=True)
            for suffix, content in files.items():
                (self._folder / kind / f"{name}.{suffix}").write_bytes(content)
            text = json.dumps(self._captions, indent=1, ensure_ascii=False)
            (self._folder / CAPTIONS).write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            where = f"{kind}/{name}"
            raise ReportError(f"cannot save {where} in {self._folder}: {error.strerror}") from error


def _laid_out(fig: Any, left: str, right: str) -> Any:
    """Lay a figure out, once for all its formats, with two small notes under it; the part of it
    that is drawn on, a Bbox in inches. The left note wraps, and the right one goes below it where
    they do not fit side by side."""
    import matplotlib

    fig.set_dpi(DPI)
    loose = [legend for legend in fig.legends if legend.get_bbox_to_anchor() is fig.bbox]
    fig.draw_without_rendering()
    with matplotlib.rc_context(
        {"figure.constrained_layout.use": False, "figure.autolayout": False}
    ):
        fig.set_layout_engine(None)  # what draws later moves nothing
    for legend in loose:  # The notes enlarge the box that these hang in.
        legend.set_bbox_to_anchor((0, 0, 1, 1), fig.transFigure)
    letters = int(fig.get_figwidth() * FOOT_LETTERS)
    lines = textwrap.wrap(left, letters)
    look = {"va": "top", "fontsize": FOOT_SIZE, "color": "0.4"}
    if lines:
        fig.text(0, 0, "\n".join(lines), ha="left", **look)
    if right:
        together = len(lines) < 2 and len(left) + len(right) + 4 <= letters
        fig.text(1, 0, right if together else "\n" * len(lines) + right, ha="right", **look)
    return fig.get_tightbbox().padded(matplotlib.rcParams["savefig.pad_inches"])


def _render(fig: Any, kind: str, box: Any, title: str, record: str) -> bytes:
    """One file of a figure: fixed salt, no dates, so that the same figure has the same bytes."""
    import matplotlib

    metadata: dict[str, dict[str, str | None]] = {
        "png": {"Title": title, "Description": record},
        "svg": {"Title": title, "Description": record, "Date": None},
        "pdf": {"Title": title, "Subject": record, "CreationDate": None},
    }
    target = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "ffcore", "pdf.fonttype": 3}):
        fig.savefig(target, format=kind, dpi=DPI, bbox_inches=box, metadata=metadata[kind])
    return target.getvalue()


def _flat(frame: Any) -> Any:
    """The frame with its named or non-trivial index as columns, and one header row."""
    import pandas as pd

    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index()
    if frame.columns.nlevels > 1:
        names = [" ".join(str(part) for part in column if part != "") for column in frame.columns]
        frame = frame.set_axis(names, axis=1)
    return frame


def _csv(frame: Any) -> bytes:
    return str(_flat(frame).to_csv(index=False, lineterminator="\n")).encode()


def _table_html(frame: Any, name: str, caption: str, formats: Mapping[str, str]) -> str:
    import pandas as pd

    shown = frame.head(SHOWN_ROWS)
    number = [pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]
    mark = [' class="n"' if right else "" for right in number]
    head = "".join(
        f"<th{m}>{html.escape(str(c))}</th>" for m, c in zip(mark, frame.columns, strict=True)
    )
    columns = [
        [f"<td{mark[i]}>{html.escape(_text(v, formats.get(c)))}</td>" for v in shown.iloc[:, i]]
        for i, c in enumerate(frame.columns)
    ]
    rows = "".join(f"<tr>{''.join(cells)}</tr>\n" for cells in zip(*columns, strict=True))
    more = ""
    if len(frame) > SHOWN_ROWS:
        more = f" First {SHOWN_ROWS} of {len(frame)} rows; all of them: tables/{name}.csv"
    return (
        f'{_STYLE}<p class="ff-caption" id="table-{name}">{html.escape(caption)}{more}</p>\n'
        f'<div class="ff-table"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _text(value: Any, spec: str | None) -> str:
    import pandas as pd

    if pd.api.types.is_scalar(value) and pd.isna(value):
        return "–"
    if spec and isinstance(value, numbers.Number):
        return format(value, spec)
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        return f"{float(value):.4g}"
    return str(value)
