"""The latent explorer: one interactive page with every network's measures, projection, diagram.

It does the job of the visual application of Polar-FFA's RQ2. The page is a single file that loads
nothing: style, scripts and data stand in it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ffcore.config import FACTORS
from ffcore.errors import ConfigError, unknown
from ffreport.analysis import look
from ffreport.analysis.look import FAMILIES
from ffreport.analysis.rq2.figures import projections as plots_latents

FILES = {name: Path(__file__).with_name(f"page{name}")
         for name in (".html", ".css", "_tools.js", ".js")}  # fmt: skip
# Label and unit of what can stand on an axis; other numeric columns go by their own names.
ACCURACY = {"last": ("test accuracy, last epoch", "%"),
            "test_accuracy": ("test accuracy, best epoch", "%")}  # fmt: skip
# What stands over a column of the table, where that is not the label.
SHORT = {"last": "last accuracy", "test_accuracy": "best accuracy", "margin": "margin"}
_UNITS = {"hoyer": "1 is sparse", "neural_usage_hoyer": "1 is one unit",
          "convergence_area": "accuracy × share of epochs",
          "convergence_time": "share of epochs"}  # fmt: skip
MEASURES = {m: (label, _UNITS.get(m.removesuffix("_nonzero").removesuffix("_positive"), "share"))
            for m, label in plots_latents.MEASURES.items() if m not in ACCURACY}  # fmt: skip
OBSERVABLES = {
    "margin": ("margin of the measured structure", "mean score"),
    "near_zero_negatives": ("negatives near zero", "share"),
    "norm_ratio": ("norm of negatives over positives", "ratio of medians"),
    "norm_auc": ("positive's norm exceeds a negative's", "chance"),
    "goodness_auc": ("positive's goodness exceeds a negative's", "chance"),
    "negative_auc": ("negative's goodness of negative units exceeds a positive's", "chance"),
    "positive_floor": ("positives' norms, 10 % quantile over median", "ratio"),
    "origin_reach": ("all norms, 5 % over 95 % quantile", "ratio"),
    "origin_mixing": ("positives near the origin over those in all", "ratio of shares"),
    "polarity_contrast": ("negative units' energy, negatives less positives", "difference"),
    "label_image_ratio": ("variance by label over that by image", "ratio"),
    "same_image_purity": ("neighbours of the same image", "share"),
    "pair_purity": ("neighbours of the same class and label", "share"),
    "class_purity": ("positive neighbours of the same class", "share"),
    "h0_image_gap": ("H0 gap after one bar an image", "share of the bar"),
    "separability_observed": ("separability, as the taxonomy samples it", "share"),
    "separability_gain": ("separability gained by normalising", "difference"),
    "active_share": ("active units", "share"),
    "activity_floor": ("activations, 5 % quantile over largest", "ratio"),
    "positive_spread": ("variance of positives in classes over negatives'", "ratio"),
    "class_direction": ("positives along their class's direction", "mean cosine"),
}
GROUPS = {"Accuracy": ACCURACY, "Published measures": MEASURES, "Taxonomy": OBSERVABLES}
FIELDS = {"probability": "Probability", "activation": "Activation", "norm": "Norm",
          "aggregation": "Aggregation", "inhibition": "Inhibition", "dataset": "Data set",
          "seed": "Seed", "structure": "Measured structure", "family": "Paper's family",
          "origin": "Results"}  # fmt: skip
COLOURS = {field: {value: seen.colour for value, seen in look.LEVELS[field].items()}
           for field in ("probability", "activation", "norm", "structure", "family")}  # fmt: skip
OTHERS = ["#D55E00", "#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000", "#999999"]
REQUIRED = ("key", "configuration", "dataset", "seed", "epochs", *FACTORS, "structure", "family",
            "stated", "margin", *ACCURACY)  # fmt: skip
_SAMPLE = ("positive", "true_class", "label")
_STEPS = 32767  # a coordinate's steps on either side of the middle; a bar's ends have twice as many


def page(
    networks: pd.DataFrame,
    projections: Mapping[str, pd.DataFrame],
    diagrams: Mapping[str, pd.DataFrame],
    *,
    label: str,
    provenance: Mapping[str, Any],
    paper_scale: bool = False,
    x: str = "separability",
    y: str = "last",
    colour: str = "probability",
) -> str:
    """The explorer as one HTML document.

    Args:
        networks: one row a network: REQUIRED (accuracies are fractions), and any further numeric
            columns, which can be chosen as axes; ``published_…`` stands beside a measure.
        projections: by key: ``x``, ``y``, ``positive``, ``true_class``, ``label``, a row a latent.
            Networks without one are shown with the words that it was not computed.
        diagrams: by key: as ``networks.homology`` gives them.
        label: of the profile.
        provenance: (what, text) of how it was made, shown at the foot.
        paper_scale: whether the numbers may be called the paper's.
        x, y, colour: what the page shows first.

    Raises:
        ConfigError: no network, a column that is missing, an axis or colour that there is not.
    """
    if networks.empty:
        raise ConfigError(
            "there is no network to explore; train some with `python pipeline.py train`"
        )
    if missing := [c for c in REQUIRED if c not in networks]:
        raise ConfigError(
            f"the networks to explore lack {', '.join(missing)}; take them from "
            "explorer_data.networks(study)"
        )
    axes = _axes(networks)
    fields = _fields(networks)
    for axis in (x, y):
        if axis not in {a["column"] for a in axes}:
            raise unknown("measure", axis, [a["column"] for a in axes])
    if colour not in {f["name"] for f in fields}:
        raise unknown("colour", colour, [f["name"] for f in fields])
    columns = {a["column"] for a in axes}
    columns |= {f"published_{c}" for c in columns} & {*networks}
    samples, drawn = _projections(projections)
    content = {
        "axes": axes,
        "fields": fields,
        "factors": list(FACTORS),
        "columns": {c: _values(networks[c]) for c in networks
                    if c in columns or c in REQUIRED or c in FIELDS},
        "samples": samples,
        "projections": drawn,
        "diagrams": {key: _diagram(frame) for key, frame in diagrams.items()},
        "polarity": [[n, c] for _, (n, c) in sorted(plots_latents.POLARITY.items())],
        "classes": plots_latents.CLASSES,
        "first": {"x": x, "y": y, "colour": colour},
    }  # fmt: skip
    scale = "" if paper_scale else " · not paper scale"
    html, css, tools, js = (file.read_text(encoding="utf-8") for file in FILES.values())
    rows = "".join(
        f"<dt>{escape(str(k))}</dt><dd>{escape(str(v))}</dd>" for k, v in provenance.items()
    )
    # Inside a script element only "<" could end it, or begin a comment.
    data = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    parts = {"css": css, "tools": tools, "js": js, "data": data.replace("<", "\\u003c"),
             "banner": escape(f"{label} profile{scale}"), "provenance": rows}  # fmt: skip
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], html)


def _axes(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """What can stand on an axis: column, label, unit, and the group that it is listed in."""
    found = [
        {"column": c, "label": label, "unit": unit, "group": group,
         "short": SHORT.get(c, label)}
        for group, columns in GROUPS.items()
        for c, (label, unit) in columns.items()
        if c in frame
    ]  # fmt: skip
    known = {a["column"] for a in found} | {"key", "seed", "epochs", "stated"}
    numeric = frame.select_dtypes("number")
    others = [c for c in numeric if c not in known and not c.startswith("published_")]
    return found + [
        {"column": c, "label": c.replace("_", " "), "unit": "", "group": "Other",
         "short": c.replace("_", " ")} for c in others
    ]  # fmt: skip


def _fields(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """What can be filtered and coloured by, with the values that occur: names, colours, and places
    among the legal values, which marks are chosen by."""
    fields = []
    for field, label in FIELDS.items():
        if field not in frame:
            continue
        there = {str(v) for v in frame[field]}
        legal = FAMILIES if field in ("structure", "family") else FACTORS.get(field, ())
        others = there.difference(legal)
        order = [*legal, *sorted(others, key=lambda v: (not v.isdigit(), len(v), v))]
        known: Mapping[str, str] = COLOURS.get(field, {})
        if field == "probability":
            known = {v: look.level(field, v).colour for v in order}
        free = [c for c in OTHERS if c not in known.values()]
        values = [
            {"value": v, "label": look.level(field, v).name, "place": i,
             "colour": known.get(v) or free[(i - len(known)) % len(free)]}
            for i, v in enumerate(order) if v in there
        ]  # fmt: skip
        fields.append({"name": field, "label": label, "values": values})
    return fields


def _values(column: pd.Series) -> list[Any]:
    """A column as JSON values: five digits of a number, null for what is not finite."""
    if column.dtype.kind == "f":
        return [float(f"{v:.5g}") if np.isfinite(v) else None for v in column]
    return [v if isinstance(v, str) else v.item() if hasattr(v, "item") else v for v in column]


def _projections(
    frames: Mapping[str, pd.DataFrame],
) -> tuple[list[dict[str, list[int]]], dict[str, Any]]:
    """The samples that occur (most networks share one) and, by key, which one a network shows and
    its coordinates: int16 steps from the middle, x and y in turn, alike in both directions."""
    samples: dict[str, int] = {}
    drawn = {}
    for key, frame in frames.items():
        about = json.dumps({c: frame[c].astype(int).tolist() for c in _SAMPLE})
        xy = frame[["x", "y"]].to_numpy(dtype=np.float64)
        xy = xy - (xy.min(axis=0) + xy.max(axis=0)) / 2
        reach = np.abs(xy).max()
        steps = np.round(xy / (reach if reach > 0 else 1) * _STEPS)
        place = samples.setdefault(about, len(samples))
        drawn[key] = {"sample": place, "xy": _packed(steps, "<i2")}
    return [json.loads(text) for text in samples], drawn


def _diagram(frame: pd.DataFrame) -> dict[str, Any]:
    """Finite bars as uint16 steps of ``step``: deaths of H0, births and deaths of H1 in turn; with
    the sizes of the samples and the covering radius of the second."""
    finite = frame[np.isfinite(frame["death"])]
    bars = [
        finite.loc[finite["dimension"] == d, ["birth", "death"]].to_numpy(dtype=float)
        for d in (0, 1)
    ]
    largest = max((float(b.max()) for b in bars if b.size), default=0.0)
    step = largest / (2 * _STEPS) if largest > 0 else 1.0
    first = frame.iloc[0]
    return {
        "step": float(f"{step:.6g}"),
        "h0": _packed(np.round(bars[0][:, 1] / step), "<u2"),
        "h1": _packed(np.round(bars[1] / step), "<u2"),
        "points": [int(first["h0_points"]), int(first["h1_points"])],
        "radius": float(f"{first['h1_radius']:.3g}"),
    }


def _packed(values: np.ndarray, kind: str) -> str:
    return base64.b64encode(values.astype(kind).tobytes()).decode()
