"""What changed between two versions: every cause, cell and figure, damaged files included."""

from __future__ import annotations

import json
import re
import shutil
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from ffcore.errors import ReportError
from ffreport.analysis import published
from ffreport.analysis.rq1 import verdicts
from ffreport.publish import versions
from ffreport.publish.diff import causes as diff_causes
from ffreport.publish.diff import compare
from ffreport.publish.diff import page as diff_page
from ffreport.publish.diff import tables as diff_tables
from ffreport.publish.diff import words as diff_words
from ffreport.publish.diff.bounds import BEYOND, INSIDE, UNKNOWN
from ffreport.publish.diff.causes import ADDED, NEWLY, REMOVED, REPLACED, UNLIKE
from ffreport.publish.diff.compare import DRAWN
from ffreport.publish.diff.tables import CHANGED, LOST, ONLY_A, ONLY_B, SAME
from ffreport.publish.notebooks.cleaning import clean
from tests.support.commands import pipeline

PROFILE = {"title": "Small", "rq1": [{"seeds": [0], "epochs": 8}]}
INPUTS = {
    "reports": {
        "rq1": {
            "profile": PROFILE,
            "notebook": "n1",
            "code": {"ffreport.analysis.rq1.accuracy": "c1", "ffreport.analysis.look": "c2"},
            "packages": {"numpy": "2.0"},
            "runs": {"network-seed0": "r1"},
        },
        "rq2": {"profile": PROFILE, "notebook": "n2", "code": {"ffreport.analysis.look": "c2"}},
    },
    "data": {"mnist": "d1"},
}


def png(shade=0, text=b"record"):
    """A picture of one grey pixel, with a text inside."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixel = chunk(b"IDAT", zlib.compress(bytes([0, shade])))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"tEXt", text) + pixel + chunk(b"IEND", b"")


def version(folder, tables=(), figures=(), inputs=INPUTS, **measured):
    """Publish one report with these tables (name → CSV text) and figures (name → PNG, CSV or
    None); returns the version's folder."""
    executed = folder / "work" / "rq1"
    captions: dict = {"tables": {}, "figures": {}}
    files = {f"tables/{name}.csv": text.encode() for name, text in dict(tables).items()}
    for name, (picture, data) in dict(figures).items():
        files |= {f"figures/{name}.{kind}": picture for kind in ("png", "svg", "pdf")}
        files |= {f"figures/{name}.csv": data.encode()} if data else {}
        captions["figures"][name] = f"Figure of {name} & more"
    for name in dict(tables):
        captions["tables"][name] = f"Table of {name} & more"
    for name, content in files.items():
        (executed / name).parent.mkdir(parents=True, exist_ok=True)
        (executed / name).write_bytes(content)
    executed.mkdir(parents=True, exist_ok=True)
    (executed / "captions.json").write_text(json.dumps(captions))
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": "# Accuracy"},
        {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "output = ''",
         "outputs": [], "execution_count": 1},
    ]  # fmt: skip
    notebook = {"cells": cells, "metadata": {"language_info": {"name": "python"}}}
    (executed / "rq1.ipynb").write_text(clean(notebook, {}))
    profile = SimpleNamespace(name="quick", title="Quick", paper_scale=False)
    return versions.publish(
        inputs, [executed], profile=profile, results=folder / "results",
        figures=folder / "figures", measured=measured,
    )  # fmt: skip


def changed(old, new, name="t"):
    """The change of a table, both given as CSV text with rows apart by semicolons."""
    rows = [[tuple(line.split(",")) for line in text.split(";")] for text in (old, new)]
    return diff_tables.compare(name, *(diff_tables.Table(r[0], tuple(r[1:])) for r in rows))


def causes(old, new):
    return diff_causes.causes({"inputs": old}, {"inputs": new})


def edited(**parts):
    """INPUTS with parts of report rq1 replaced."""
    first = {**INPUTS["reports"]["rq1"], **parts}
    return {**INPUTS, "reports": {**INPUTS["reports"], "rq1": first}}


# Tables


def test_rows_are_aligned_by_their_names_whatever_their_order():
    found = changed(
        "name,seed,value;a,0,1.5;a,1,2.5;b,0,3.5", "name,seed,value;b,0,4.5;a,1,2.5;a,0,1.5"
    )
    assert found.keys == ("name", "seed") and found.note == "rows in another order"
    (cell,) = found.cells
    assert (cell.row, cell.column, cell.old, cell.new) == (("b", "0"), "value", "3.5", "4.5")
    assert cell.difference == 1 and cell.mark == UNKNOWN
    assert (found.state, found.matched, found.unchanged) == (CHANGED, 3, 2)


def test_rows_and_columns_more_and_fewer_are_told():
    found = changed("name,x;a,1.5;b,2.5", "name,y;b,2.5;c,3.5")
    assert (found.added, found.removed) == ((("c",),), (("a",),))
    assert (found.added_columns, found.removed_columns) == (("y",), ("x",))
    assert found.cells == () and found.state == CHANGED


@pytest.mark.parametrize(
    ("old", "new", "state"),
    [
        ("0.1", "0.1000000000000001", SAME),
        ("0.3333333333333", "0.33333333333339", SAME),
        ("0.33333333333", "0.33333333339", CHANGED),
        ("1", "1.0", SAME),
        ("nan", "nan", SAME),
        ("", "0", CHANGED),
        ("yes", "no", CHANGED),
    ],
)
def test_numbers_are_equal_to_twelve_digits(old, new, state):
    assert changed(f"name,x;a,{old};b,2.5", f"name,x;a,{new};b,2.5").state == state


def test_the_order_of_rows_and_columns_is_no_change():
    found = changed("name,x,y;a,1.5,2.5;b,3.5,4.5", "name,y,x;b,4.5,3.5;a,2.5,1.5")
    assert found.state == SAME
    assert found.note == "rows in another order and columns in another order"


def test_a_verdict_does_not_name_a_row():
    found = changed("claim,verdict,under;T1,holds,sgd;T1,holds,adam;T2,holds,sgd",
                    "claim,verdict,under;T1,holds,sgd;T1,fails,adam;T2,holds,sgd")  # fmt: skip
    assert found.keys == ("claim", "under")
    assert [(c.row, c.old, c.new) for c in found.cells] == [(("T1", "adam"), "holds", "fails")]


def test_a_setting_that_is_no_whole_number_names_rows_and_a_measured_one_does_not():
    named = changed(
        "kind,theta,x;a,0.5,1.1;a,2.0,1.2;b,0.5,1.3", "kind,theta,x;a,0.5,1.1;a,2.0,9.2;b,0.5,1.3"
    )
    assert named.keys == ("kind", "theta") and len(named.cells) == 1
    measured = changed("kind,x;a,1.1;a,1.2;a,1.3", "kind,x;a,1.4;a,1.5;a,1.3")
    assert measured.keys == () and [c.row for c in measured.cells] == [("row 1",), ("row 2",)]


def test_results_on_other_data_are_other_rows():
    found = changed(
        "dataset,name,x;mnist-5k,a,1.5;mnist-5k,b,2.5", "dataset,name,x;mnist,a,1.5;mnist,b,2.5"
    )
    assert found.keys == ("dataset", "name") and found.matched == 0
    assert len(found.added) == len(found.removed) == 2


def test_digests_and_row_numbers_name_rows_only_where_nothing_else_does():
    a, b = "0123456789abcdef", "fedcba9876543210"
    assert changed(f"key,name;{a},x;{b},y", f"key,name;{a},x;{b},y").keys == ("name",)
    assert changed(f"key,x;{a},1.5;{b},1.5", f"key,x;{b},1.5;{a},1.5").keys == ("key",)
    assert changed("index,name;7,x;9,y", "index,name;7,x;9,y").keys == ("name",)


def test_empty_tables_compare():
    assert changed("a,b", "a,b").state == SAME
    assert changed("a,b", "a,b;1,2").added == (("1",),)


@pytest.mark.parametrize(
    ("columns", "old", "new", "column", "mark"),
    [
        ("difference,low,high", "5,4,6", "5.5,4,6", "difference", INSIDE),
        ("difference,low,high", "5,4,6", "6.5,4,6", "difference", BEYOND),
        ("other,difference,low,high", "9,5,4,6", "9,6.5,4,6", "difference", BEYOND),
        ("low,high,share", "4,6,5", "4,6,7", "share", BEYOND),
        ("share,share_low,share_high,x", "5,4,6,1", "5.5,4,6,1", "share", INSIDE),
        ("gap low,gap high,gap mean", "4,6,5", "4,6,7", "gap mean", BEYOND),
        ("chosen,chosen_gap,chosen_low,chosen_high", "90,5,4,6", "90,7,4,6", "chosen_gap", BEYOND),
        ("chosen,chosen_gap,chosen_low,chosen_high", "90,5,4,6", "99,5,4,6", "chosen", UNKNOWN),
        ("best,best_mean,low,high", "5.5,5,4,6", "7,5,4,6", "best", UNKNOWN),
        ("mean,half", "5,1", "5.9,1", "mean", INSIDE),
        ("mean,half", "5,1", "6.1,1", "mean", BEYOND),
        ("last_mean,last_std", "5,1", "7.9,1", "last_mean", INSIDE),
        ("last_mean,last_std", "5,1", "8.1,1", "last_mean", BEYOND),
        ("difference,std,low,high", "5,9,4,6", "7,9,4,6", "difference", BEYOND),
        ("x,low,high", "5,,", "5.1,,", "x", UNKNOWN),
        ("x,low,high", "5,,", "5.1,4,6", "x", INSIDE),
        ("x,low,high", "5,4,6", "5,4,7", "high", UNKNOWN),
    ],
)
def test_a_change_is_judged_by_the_interval_that_the_table_gives(columns, old, new, column, mark):
    found = changed(f"name,{columns};a,{old}", f"name,{columns};a,{new}")
    assert [cell.mark for cell in found.cells if cell.column == column] == [mark]


@pytest.mark.parametrize(
    ("old", "new", "mark", "difference"),
    [
        ("46.8 % [36.2, 57.4] over 5 seeds", "50.1 % [40.0, 60.0] over 5 seeds", INSIDE, 3.3),
        ("46.8 % [36.2, 57.4] over 5 seeds", "60.1 % [40.0, 70.0] over 5 seeds", BEYOND, 13.3),
        ("46.8 % [36.2, 57.4] over 5 seeds", "50.1 % [40.0, 60.0] over 9 seeds", UNKNOWN, None),
        ("98.18 ± 0.08", "98.40 ± 0.08", INSIDE, 0.22),
        ("98.18 ± 0.08", "98.50 ± 0.08", BEYOND, 0.32),
        ("−1.5 [−2.0, −1.0]", "−0.5 [−2.0, −1.0]", BEYOND, 1.0),
        ("1,000 [900, 1,100]", "1,050 [900, 1,100]", INSIDE, 50),
        ("holds", "does not hold", UNKNOWN, None),
        ("5 runs", "6 runs", UNKNOWN, None),
    ],
)
def test_intervals_in_words_are_read(old, new, mark, difference):
    tables = [diff_tables.Table(("name", "said"), (("a", said), ("b", "x"))) for said in (old, new)]
    (cell,) = diff_tables.compare("t", *tables).cells
    assert cell.mark == mark
    assert cell.difference == (None if difference is None else pytest.approx(difference))


def test_a_single_network_is_judged_by_the_published_seeds():
    row = published.ten_seeds().iloc[0]
    name = "-".join(
        row[f] for f in ("norm", "aggregation", "inhibition", "activation", "probability")
    )
    accuracy, spread = row["last_mean"], row["last_std"]

    def mark(change, dataset=row["dataset"], verdict=verdicts.WITHIN):
        rows = [f"dataset,configuration,last,verdict;{dataset},{name},{value},{verdict}"
                for value in (accuracy, accuracy + change * spread)]  # fmt: skip
        return changed(*rows).cells[0].mark

    assert (mark(2.9), mark(-3.1)) == (INSIDE, BEYOND)
    assert mark(2.9, dataset="mnist-5k") == mark(2.9, verdict=published.NOT_COMPARABLE) == UNKNOWN


def test_the_weightiest_change_comes_first():
    found = changed("name,x,low,high,y,said;a,5,4,6,1.5,yes;b,5,4,6,1.5,yes",
                    "name,x,low,high,y,said;a,5.5,4,6,9.5,no;b,7,4,6,2.5,yes")  # fmt: skip
    order = [(c.row[0], c.column) for c in found.cells]
    assert order == [("b", "x"), ("a", "said"), ("a", "y"), ("b", "y"), ("a", "x")]
    assert (found.marked(BEYOND), found.marked(INSIDE), found.marked(UNKNOWN)) == (1, 1, 3)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a,b\n1,2\n3\n", "row 2 has 1 cells, not 2"),
        (b"a,b\n\xff,2\n", "no UTF-8"),
        (b'a,b\n1,"2\n', "damaged"),
        (b"a,a\n1,2\n", "two columns"),
    ],
)
def test_a_damaged_table_is_named(tmp_path, content, words):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(
        ReportError, match=f"x.csv is damaged.*{words}|x.csv is damaged: .*"
    ) as error:
        diff_tables.read(tmp_path / "x.csv")
    assert words in str(error.value)


# Causes


@pytest.mark.parametrize(
    ("parts", "cause"),
    [
        (
            {"code": {"ffreport.analysis.rq1.accuracy": "x", "ffreport.analysis.look": "c2"}},
            ("code", "ffreport.analysis.rq1.accuracy", REPLACED, ""),
        ),
        ({"packages": {"numpy": "2.1"}}, ("packages", "numpy", REPLACED, "2.0 → 2.1")),
        ({"notebook": "x"}, ("notebook", "rq1", REPLACED, "")),
        ({"runs": {"network-seed0": "x"}}, ("runs", "network-seed0", REPLACED, "")),
        ({"runs": {}}, ("runs", "network-seed0", REMOVED, "")),
        (
            {"profile": {**PROFILE, "rq1": [{"seeds": [0, 1], "epochs": 8}]}},
            ("profile", "rq1[0].seeds", REPLACED, "[0] → [0, 1]"),
        ),
        ({"profile": {**PROFILE, "rq2": {"x": 1}}}, ("profile", "rq2.x", ADDED, "– → 1")),
    ],
)
def test_what_differs_in_a_report_is_its_cause(parts, cause):
    (found,) = causes(INPUTS, edited(**parts))
    assert (found.topic, found.name, found.what, found.detail) == cause
    assert found.reports == ("rq1",)


def test_a_module_is_told_with_every_report_that_uses_it():
    new = json.loads(json.dumps(INPUTS).replace('"c2"', '"x"'))
    (found,) = causes(INPUTS, new)
    assert (found.name, found.reports) == ("ffreport.analysis.look", ("rq1", "rq2"))


def test_changed_functions_are_named_where_they_are_known():
    old = edited(code={"ffreport.analysis.rq1.accuracy": {"f": "1", "g": "2", "h": "3"}})
    new = edited(code={"ffreport.analysis.rq1.accuracy": {"f": "1", "g": "x", "k": "4"}})
    (found,) = causes(old, new)
    assert found.detail == "changed g; added k; removed h"
    (mixed,) = causes(edited(code={"ffreport.analysis.rq1.accuracy": "c1"}), new)
    assert mixed.what == UNLIKE and "not known" in mixed.detail


def test_what_another_report_used_before_is_newly_used():
    second = {**INPUTS["reports"]["rq2"], "code": INPUTS["reports"]["rq1"]["code"]}
    new = {**INPUTS, "reports": {**INPUTS["reports"], "rq2": second}}
    (found,) = causes(INPUTS, new)
    assert (found.name, found.what, found.reports) == (
        "ffreport.analysis.rq1.accuracy",
        NEWLY,
        ("rq2",),
    )


def test_data_hardware_and_revision_concern_every_report():
    old = {"inputs": INPUTS, "measured": {"hardware": {"trained on": ["x"]}, "revision": "1"}}
    new = {"inputs": {**INPUTS, "data": {"mnist": "x"}},
           "measured": {"hardware": {"trained on": ["y"]}, "revision": "2"}}  # fmt: skip
    found = diff_causes.causes(old, new)
    assert [c.topic for c in found] == ["data", "hardware", "revision"]
    assert {c.reports for c in found} == {diff_causes.EVERY}
    words = diff_causes.words(found)
    assert words[1:] == ['hardware: 1 changed – trained on (["x"] → ["y"])', "revision: 1 → 2"]


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        {"inputs": 3},
        {"inputs": {"reports": ["x"]}},
        {"inputs": {"reports": {"rq1": 5}}, "measured": []},
    ],
)
def test_a_foreign_manifest_breaks_nothing(manifest):
    assert diff_causes.causes(manifest, {"inputs": {}}) == []
    assert isinstance(diff_causes.causes(manifest, {"inputs": INPUTS}), list)


# Versions


TABLE = "name,x,low,high\na,5,4,6\nb,7,6,8\n"
DATA, OTHER = "name,x\na,1.5\n", "name,x\na,2\n"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two published versions with every kind of difference."""
    folder = tmp_path_factory.mktemp("versions")
    a = version(
        folder,
        {"kept": TABLE, "moved": TABLE, "gone": TABLE},
        {"kept": (png(1), DATA), "drawn": (png(1), DATA), "moved": (png(1), DATA),
         "bare": (png(1), None), "told": (png(1), DATA), "behind": (png(1), DATA),
         "gone": (png(1), None)},
        hardware={"reported on": ["a machine"]}, revision="0123",
    )  # fmt: skip
    shutil.rmtree(folder / "work")
    b = version(
        folder,
        {"kept": TABLE, "moved": TABLE.replace("a,5", "a,9").replace("b,7", "<script>,7"),
         "come": TABLE},
        {"kept": (png(1), DATA), "drawn": (png(2), DATA), "moved": (png(2), OTHER),
         "bare": (png(2), None), "told": (png(1, b"other"), DATA), "behind": (png(1), OTHER),
         "come": (png(1), None)},
        inputs=edited(packages={"numpy": "2.1"}),
        hardware={"reported on": ["a machine"]}, revision="4567",
    )  # fmt: skip
    assert versions.verify(a) == versions.verify(b) == []
    return a, b


@pytest.fixture
def copied(pair, tmp_path):
    """The second version, copied to where a test may damage it."""
    return Path(shutil.copytree(pair[1], tmp_path / "copy"))


def test_every_table_and_figure_has_its_state(pair):
    found = compare.compare(*pair)
    assert {t.name: t.state for t in found.tables} == {
        "kept": SAME, "moved": CHANGED, "gone": ONLY_A, "come": ONLY_B,
    }  # fmt: skip
    states = {f.name: (f.state, f.redrawn, f.note) for f in found.figures}
    assert states == {
        "kept": (SAME, False, ""),
        "told": (SAME, False, "only the record inside the file differs"),
        "drawn": (DRAWN, True, ""),
        "moved": (CHANGED, True, ""),
        "bare": (CHANGED, True, "its data were not published"),
        "behind": (CHANGED, False, "the same picture of other data"),
        "gone": (ONLY_A, False, ""),
        "come": (ONLY_B, False, ""),
    }
    assert [(c.topic, c.detail) for c in found.causes] == [
        ("packages", "2.0 → 2.1"), ("revision", "0123 → 4567"),
    ]  # fmt: skip
    assert found.captions["tables/moved"] == "Table of moved & more"


def test_the_summary_counts_what_changed(pair):
    lines = diff_words.summary(compare.compare(*pair))
    assert [line.split(", published")[0] for line in lines[:2]] == [
        f"A: {pair[0].name}",
        f"B: {pair[1].name}",
    ]
    assert lines[2:] == [
        "cause: package: 1 changed – numpy (2.0 → 2.1)",
        "cause: revision: 0123 → 4567",
        "reports: 2 in both",
        "tables: 1 of 2 in both changed: 1 cell (1 beyond their interval, 0 inside, 0 without "
        "one), 1 row added, 1 removed, 1 only in A, 1 only in B",
        "figures: 4 of 6 in both changed, 1 of these drawn differently from the same data, "
        "1 only in A, 1 only in B",
    ]


def test_a_version_and_its_intact_copy_are_the_same(pair, copied):
    for other in (pair[1], copied):
        found = compare.compare(pair[1], other)
        assert found.same and diff_words.summary(found)[0].endswith("the same version")
    with (copied / "index.html").open("a") as file:
        file.write("x")
    assert not compare.compare(pair[1], copied).same


def test_equal_inputs_are_said_to_be_equal(pair, copied):
    (copied / "tables" / "moved.csv").write_text(TABLE)
    found = compare.compare(pair[1], copied)
    assert diff_words.causes(found) == [
        "nothing that the manifests record: all inputs are the same"
    ]
    (moved,) = (t for t in found.tables if t.name == "moved")
    assert moved.state == CHANGED and moved.note == "altered in B since it was published"


def test_what_is_missing_or_damaged_is_named_and_the_rest_is_compared(pair, copied):
    (copied / "figures" / "drawn.png").unlink()
    (copied / "figures" / "moved.png").write_bytes(png(2)[:-20])
    (copied / "figures" / "kept.csv").write_text("a,b\n1\n")
    (copied / "tables" / "moved.csv").write_bytes(b"\xff\xfe")
    (copied / "tables" / "kept.csv").unlink()
    found = compare.compare(pair[0], copied)
    figures = {f.name: f for f in found.figures}
    assert (figures["drawn"].state, figures["drawn"].note) == (
        LOST,
        "figures/drawn.png is missing in B",
    )
    assert (figures["moved"].state, figures["moved"].note) == (
        LOST,
        "figures/moved.png is damaged in B",
    )
    assert figures["kept"].state == SAME and "kept.csv is damaged: row 1" in figures["kept"].note
    tables = {t.name: t for t in found.tables}
    assert tables["moved"].state == LOST and "in B: moved.csv is damaged" in tables["moved"].note
    assert (tables["kept"].state, tables["kept"].note) == (LOST, "tables/kept.csv is missing in B")
    assert figures["bare"].state == CHANGED and tables["come"].state == ONLY_B
    assert len(found.b.problems) == 5
    page = diff_page.page(found)
    for words in ("drawn.png is missing in B", "moved.png is damaged in B", "moved.csv is damaged",
                  "kept.csv is damaged", "B is not as it was published"):  # fmt: skip
        assert words in page


@pytest.mark.parametrize("text", [None, "{", "[]", '{"other": "program"}'])
def test_without_a_readable_manifest_tables_and_figures_are_compared(pair, copied, text):
    (copied / "manifest.json").unlink()
    if text:
        (copied / "manifest.json").write_text(text)
    found = compare.compare(pair[0], copied)
    assert found.b.problems and found.causes == ()
    assert {t.name: t.state for t in found.tables}["moved"] == CHANGED
    lines = diff_words.summary(found)
    assert any("manifest.json" in line for line in lines)
    assert any(line.startswith("cause: not known") for line in lines)
    assert "not known" in diff_page.page(found)


def test_an_altered_manifest_is_said_to_be_so(pair, copied):
    file = copied / "manifest.json"
    file.write_text(file.read_text().replace('"numpy": "2.1"', '"numpy": "9.9"'))
    found = compare.compare(pair[0], copied)
    assert found.b.problems == ("changed: manifest.json",)
    assert "2.0 → 9.9" in [c.detail for c in found.causes]


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(ReportError, match="no report version"):
        compare.compare(tmp_path, tmp_path)


# The page


def test_the_page_escapes_what_it_shows_and_its_links_lead_somewhere(pair):
    page = diff_page.page(compare.compare(*pair))
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "Table of moved &amp; more" in page
    anchors = set(re.findall(r' id="([^"]+)"', page))
    links = re.findall(r'<a [^>]*href="#([^"]+)"', page)
    assert {"table-moved", "figure-moved", "cause"} <= set(links) <= anchors
    assert re.search(r'class="mark beyond">▲ beyond interval', page)


def test_only_figures_with_another_picture_are_embedded(pair):
    page = diff_page.page(compare.compare(*pair))
    pictures = re.findall(r'alt="([AB]): Figure of (\w+) ', page)
    assert pictures == [(side, name) for name in ("bare", "drawn", "moved") for side in "AB"]
    assert page.count("data:image/png;base64,") == 6


def test_addresses_in_cells_are_shown_and_never_loaded(tmp_path):
    folders = []
    for value in ("url(http://x.org/a)", "src=//x.org"):
        folders.append(tmp_path / str(len(folders)))
        (folders[-1] / "tables").mkdir(parents=True)
        (folders[-1] / "tables" / "t.csv").write_text(f'name,x\na,"{value}"\nb,1\n')
    page = diff_page.page(compare.compare(*folders))
    assert "url(http:/&#47;x.org/a)" in page


def test_of_long_tables_the_largest_changes_are_shown_and_all_counted(tmp_path):
    number = diff_page.LARGEST + 50
    folders = [tmp_path / side for side in "ab"]
    for sign, folder in zip((1, -1), folders, strict=True):
        (folder / "tables").mkdir(parents=True)
        rows = "".join(f"n{i},{100 + sign * i / 1000}\n" for i in range(1, number + 1))
        (folder / "tables" / "t.csv").write_text(f"name,x\n{rows}")
    page = diff_page.page(compare.compare(*folders))
    assert page.count('<td class="row">') == diff_page.LARGEST
    assert f"The {diff_page.LARGEST} largest of {number} changed cells" in page
    assert f">n{number}<" in page and ">n1<" not in page


@pytest.mark.parametrize(("width", "beside"), [(1280, True), (400, False)])
def test_in_a_browser_nothing_is_asked_for_and_the_page_fits(
    pair, browser, tmp_path, width, beside
):
    file = tmp_path / "page.html"
    file.write_text(diff_page.page(compare.compare(*pair)), encoding="utf-8")
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
    tab, asked, wrong = context.new_page(), [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: wrong.append(message.text))
    tab.goto(file.as_uri())
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
    assert wrong == []
    a, b = (tab.locator(f'img[alt^="{side}: Figure of moved"]').bounding_box() for side in "AB")
    assert (a["y"] == b["y"] and a["x"] < b["x"]) if beside else (a["x"] == b["x"])
    assert a["y"] <= b["y"] and b["x"] + b["width"] <= width
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    context.close()


# The command


def test_the_command_takes_names_beginnings_latest_and_folders(pair, tmp_path):
    a, b = pair
    results = a.parents[1]
    said = pipeline("diff", a.name, "latest", "--results", results)
    page = results / "diffs" / f"{a.name}--{b.name}.html"
    assert said.rstrip().endswith(str(page)) and "tables: 1 of 2 in both changed" in said
    length = next(n for n in range(len(a.name)) if a.name[:n] != b.name[:n])
    again = pipeline(
        "diff", a.name[:length], b, "--results", results, "--into", tmp_path / "page.html"
    )
    assert (tmp_path / "page.html").read_bytes() == page.read_bytes()
    assert again.splitlines()[:-1] == said.splitlines()[:-1]
    assert (
        pipeline("diff", "latest", b.name, "--results", results) == f"{b.name}: the same version\n"
    )


def test_verify_takes_the_same_names_and_tells_what_is_damaged(pair, tmp_path):
    a, b = pair
    results = tmp_path / "results"
    shutil.copytree(a.parents[1], results, symlinks=True)
    length = next(n for n in range(len(a.name)) if a.name[:n] != b.name[:n]) + 1
    for name in (a.name[:length], a):
        said = pipeline("verify", "--report", name, "--results", results)
        assert said == f"{a.name}: every file is as it was published\n"
    (results / "reports" / a.name / "manifest.json").write_text("{")
    said = pipeline("verify", "--report", a.name, "--results", results, code=1)
    assert "is not as it was published: changed: manifest.json" in said
    (results / "reports" / a.name / "index.html").unlink()
    assert "no page to open" in pipeline("reports", "open", a.name, "--results", results, code=1)


def test_the_command_names_what_it_cannot_find(pair):
    results = pair[0].parents[1]
    for name in ("quack", ""):
        assert pair[0].name in pipeline("diff", name, "latest", "--results", results, code=1)
    said = pipeline("diff", "quick-", "latest", "--results", results, code=1)
    assert pair[0].name in said and pair[1].name in said and "more of its name" in said
