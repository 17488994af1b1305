"""What a notebook saves is complete, the same byte for byte, and tells where it comes from."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from ffcore.errors import ReportError
from ffreport.publish import trace
from ffreport.publish.output import open_output

mpl.use("agg")
import matplotlib.pyplot as plt  # noqa: E402

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
LIGHT = (
    "ffreport.base.digests",
    "ffreport.publish.notebooks.catalogue",
    "ffreport.publish.notebooks.cleaning",
    "ffreport.publish.notebooks.notebook",
    "ffreport.publish.output",
    "ffreport.publish.pages",
    "ffreport.publish.versions",
)


def line_figure():
    fig, ax = plt.subplots(figsize=(2, 1.5))
    ax.plot([0, 1], [0, 1], label="a line")
    ax.legend()
    return fig


def save(folder, profile="quick", **provenance):
    out = open_output(folder, profile=profile, provenance=provenance)
    return out.figure(
        line_figure(), "line", caption='A "line" & more', data=pd.DataFrame({"x": [1]})
    )


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_importing_is_light():
    heavy = "torch numpy pandas matplotlib papermill nbconvert nbformat jupyter_client pydantic"
    code = f"import sys, {', '.join(LIGHT)};print(set('{heavy}'.split()) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_figures_are_the_same_bytes_every_time(tmp_path):
    save(tmp_path / "a")
    save(tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")
    names = sorted(str(name) for name in files(tmp_path / "a"))
    kinds = [f"figures/line.{kind}" for kind in ("csv", "pdf", "png", "svg")]
    assert names == ["captions.json", *kinds]


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_figure_files_carry_their_provenance(tmp_path, kind):
    save(tmp_path, report="rq1", keys="0123", revision="abc (modified) \\ é")
    assert trace.record(tmp_path / f"figures/line.{kind}") == {
        "command": "python pipeline.py figure line",
        "figure": "line",
        "keys": "0123",
        "paper_scale": False,
        "profile": "quick",
        "report": "rq1",
        "revision": "abc (modified) \\ é",
    }
    assert b"Date" not in (tmp_path / f"figures/line.{kind}").read_bytes()


def test_foreign_figure_has_no_provenance(tmp_path):
    line_figure().savefig(tmp_path / "other.png")
    plt.close("all")
    for path in (tmp_path / "other.png", tmp_path / "none.svg"):
        with pytest.raises(ReportError, match="carries no record|cannot read"):
            trace.record(path)


def test_only_a_paper_scale_figure_is_without_a_note(tmp_path):
    def text_of(profile):
        fig = line_figure()
        open_output(None, profile=profile).figure(fig, "line", caption="c")
        return [text.get_text() for text in fig.texts]

    assert text_of("quick") == ["quick profile · not paper scale"]
    assert text_of("paper") == ["paper profile · not paper scale"]
    assert text_of(SimpleNamespace(name="paper", paper_scale=True)) == []


def foot(sources, width=2.0, profile="quick"):
    """The texts at the foot of a figure, in its pixels."""
    fig, ax = plt.subplots(figsize=(width, 1.5), layout="constrained")
    ax.plot([0, 1], [0, 1], label="a line")
    fig.legend(loc="outside lower center")
    open_output(None, profile=profile).figure(fig, "line", caption="c", sources=sources)
    fig.set_dpi(100)
    return fig, [t for t in fig.texts if t.get_text()]


@pytest.mark.parametrize("width", [2.0, 4.0, 9.0])
@pytest.mark.parametrize("sources", ["108 own", ", ".join(["90 shipped (5 epochs)"] * 7)])
def test_notes_at_the_foot_never_overlap(sources, width):
    fig, texts = foot(sources, width)
    assert texts[0].get_text().replace("\n", " ") == f"results: {sources}"
    left, right = (t.get_window_extent() for t in texts)
    # The last line of the right note, which may begin with empty ones; lines of both are alike.
    below = right.y0 + left.height / (texts[0].get_text().count("\n") + 1)
    assert left.x1 < right.x0 or below <= left.y0 + 1
    assert left.x1 <= fig.bbox.x1 + 1 and left.y1 <= 1
    assert fig.legends[0].get_window_extent().y0 >= 0
    assert fig.legends[0].get_bbox_to_anchor() is not fig.bbox, "it would move with the foot"


def test_sources_stand_in_the_metadata_and_nothing_does_without(tmp_path):
    out = open_output(tmp_path, profile=SimpleNamespace(name="paper", paper_scale=True))
    out.figure(line_figure(), "with", caption="c", sources="18 own, 90 not run")
    assert trace.record(tmp_path / "figures/with.pdf")["sources"] == "18 own, 90 not run"
    out.figure(line_figure(), "without", caption="c")
    assert "sources" not in trace.record(tmp_path / "figures/without.svg")
    assert foot("", profile=SimpleNamespace(name="paper", paper_scale=True))[1] == []


def test_figure_is_shown_with_its_caption_and_closed(tmp_path):
    shown = save(tmp_path)
    (image, about), (words, _) = shown.bundles
    assert about["ffcore"] == {"figure": "line"}
    assert about["image/png"]["alt"] == 'A "line" & more'
    assert "A &quot;line&quot; &amp; more" in words["text/html"]
    assert image["image/png"].startswith("iVBOR")
    assert not plt.get_fignums()
    assert json.loads((tmp_path / "captions.json").read_text()) == {
        "figures": {"line": 'A "line" & more'},
        "tables": {},
        "columns": {},
    }


@pytest.mark.parametrize("nowhere", [None, ""])
def test_without_an_output_folder_nothing_is_written(tmp_path, monkeypatch, nowhere):
    monkeypatch.chdir(tmp_path)
    assert save(nowhere).bundles
    out = open_output(nowhere, profile="quick")
    assert out.table(pd.DataFrame({"a": [1]}), "t", caption="c").bundles
    assert not files(tmp_path)


def test_names_are_checked_and_unique(tmp_path):
    out = open_output(tmp_path, profile="quick")
    frame = pd.DataFrame({"a": [1]})
    out.table(frame, "same", caption="")
    with pytest.raises(ReportError, match="table 'same' is saved twice"):
        out.table(frame, "same", caption="")
    for name in ("Upper", "../up", "", "a-b"):
        with pytest.raises(ReportError, match="use lowercase letters, digits and _"):
            out.figure(line_figure(), name, caption="")
    plt.close("all")
    out.figure(line_figure(), "same", caption="a figure may share a table's name")


def test_csv_holds_every_row_and_digit(tmp_path):
    values = np.random.default_rng(0).normal(size=700) * 1e-7
    frame = pd.DataFrame({"v": values, "w": values.astype("float32")})
    frame.index = pd.Index([f"r{i}" for i in range(700)], name="row")
    shown = open_output(tmp_path, profile="quick").table(frame, "all", caption="all")
    with (tmp_path / "tables/all.csv").open(newline="") as file:
        back = list(csv.DictReader(file))
    assert [row["row"] for row in back] == list(frame.index)
    assert (np.array([float(row["v"]) for row in back]) == values).all()
    assert (np.array([row["w"] for row in back], "float32") == frame["w"]).all()
    text = shown.bundles[0][0]["text/html"]
    assert text.count("<tr>") == 501
    assert "First 500 of 700 rows; all of them: tables/all.csv" in text


def test_shown_table_is_escaped_aligned_and_formatted(tmp_path):
    columns = pd.MultiIndex.from_tuples([("acc", "mean"), ("acc", "n"), ("<b>", "")])
    frame = pd.DataFrame([[98.1849, 3, "x<y"], [np.nan, 4, None]], columns=columns)
    out = open_output(tmp_path, profile="quick")
    text = out.table(frame, "t", caption="a<b", formats={"acc mean": ".2f"}).bundles[0][0][
        "text/html"
    ]
    assert '<td class="n">98.18</td><td class="n">3</td><td>x&lt;y</td>' in text
    assert '<td class="n">–</td><td class="n">4</td><td>–</td>' in text
    assert "<th>&lt;b&gt;</th>" in text
    assert "a&lt;b</p>" in text


def test_format_for_no_column_names_the_nearest(tmp_path):
    out = open_output(tmp_path, profile="quick")
    with pytest.raises(ReportError, match="no column 'accurcy' to format; did you mean 'accuracy'"):
        out.table(pd.DataFrame({"accuracy": [1.0]}), "t", caption="", formats={"accurcy": ".1f"})


BOUNDED = pd.DataFrame({"name": ["a", "a", "b"], "seed": [0, 1, 0], "x": [1.0, 2.0, 3.0],
                        "low": 0.0, "high": 4.0, "std": 0.5})  # fmt: skip


def test_keys_and_intervals_of_a_table_stand_beside_the_captions(tmp_path):
    out = open_output(tmp_path, profile="quick")
    intervals = {"x": ("low", "high"), "seed": ("std", 3)}
    out.table(BOUNDED, "t", "c", keys=["name", "seed"], intervals=intervals)
    out.table(BOUNDED, "plain", "c")
    assert json.loads((tmp_path / "captions.json").read_text()) == {
        "figures": {},
        "tables": {"t": "c", "plain": "c"},
        "columns": {
            "t": {"keys": ["name", "seed"],
                  "intervals": {"x": ["low", "high"], "seed": ["std", 3]}},
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"keys": ["name", "sed"]}, "no column 'sed' to name rows; did you mean 'seed'"),
        ({"intervals": {"y": ("low", "high")}}, "no column 'y' for an interval"),
        ({"intervals": {"x": ("lwo", "high")}}, "no column 'lwo' for an interval"),
        ({"intervals": {"x": ("sdt", 3)}}, "no column 'sdt' for an interval"),
        ({"keys": ["name"]}, "table 't' has two rows of the same keys: name a"),
    ],
)
def test_keys_and_intervals_are_checked(tmp_path, declared, words):
    with pytest.raises(ReportError, match=words):
        open_output(tmp_path, profile="quick").table(BOUNDED, "t", "c", **declared)
    assert not files(tmp_path)


def test_a_table_of_nothing_keeps_its_declaration(tmp_path):
    out = open_output(tmp_path, profile="quick")
    out.table(pd.DataFrame([]), "t", "c", keys=["name"], intervals={"x": ("low", "high")})
    assert json.loads((tmp_path / "captions.json").read_text())["columns"]["t"]["keys"] == ["name"]


def test_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="cannot save figures/line in .*file"):
        save(tmp_path / "file")


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda p: p.stem)
def test_every_table_of_the_notebooks_names_its_rows(path):
    cells = ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]]
    assert all("keys=" in cell for cell in cells if "out.table(" in cell)
