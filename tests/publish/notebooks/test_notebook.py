"""Notebooks run in one known kernel, all or nothing, and leave the same bytes every time."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ffcore.errors import ConfigError, FFError, ReportError
from ffreport.publish.notebooks import catalogue
from ffreport.publish.notebooks import notebook as notebooks
from ffreport.publish.notebooks.cleaning import clean
from ffreport.publish.notebooks.kernel import Run, _keeps_fonts, _short_folder
from tests.support.documents import ROOT

HERE = Path(__file__).parent / "cases"
PARAMETERS = ("code", "wait = 0", "parameters")


def write(folder, *cells, name="made"):
    """A notebook of (kind, source, tag …) cells."""
    made = [
        {"cell_type": kind, "metadata": {"tags": tags}, "source": source}
        | ({"outputs": [], "execution_count": None} if kind == "code" else {})
        for kind, source, *tags in cells
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.ipynb"
    text = {"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(text), encoding="utf-8")
    return path


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z (zombie)" not in Path(f"/proc/{pid}/status").read_text()


@pytest.fixture(autouse=True)
def own_temporary_folder(monkeypatch, tmp_path):
    """Kernels of other processes leave and take their files elsewhere; the path must be short."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


def no_kernel_files_left():
    return not list(Path(tempfile.gettempdir()).glob("ff-*/k.json"))


@pytest.fixture(scope="module")
def foreign_kernel(tmp_path_factory):
    """Another python3 kernel, and start-up code and style of a user, on the machine's paths."""
    folder = tmp_path_factory.mktemp("foreign")
    spec = folder / "jupyter/kernels/python3"
    spec.mkdir(parents=True)
    kernel = {"argv": ["/bin/false"], "display_name": "Foreign", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(kernel))
    (folder / "start.py").write_text("raise SystemExit('a user file ran')")
    (folder / "matplotlibrc").write_text("savefig.facecolor: red\nfigure.dpi: 7\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
        patch.setenv("PYTHONSTARTUP", str(folder / "start.py"))
        patch.setenv("MATPLOTLIBRC", str(folder / "matplotlibrc"))
        patch.setenv("MPLBACKEND", "pdf")
        patch.setenv("PYTHONHASHSEED", "7")
        yield folder


@pytest.fixture(scope="module")
def twice(tmp_path_factory, foreign_kernel):
    """Folders of the good notebook, run twice in different places, and what progress said."""
    folders, said = [], []
    for name in ("root", "a\\b \"c\" 'ü' #%&"):
        root = tmp_path_factory.mktemp("where") / name
        (root / "project/notebooks").mkdir(parents=True)
        source = Path(shutil.copy(HERE / "good.ipynb", root / "project/notebooks"))
        target = root / "results" / "good"
        parameters = {"points": 4, "data": str(root / "elsewhere")}
        folders.append(
            notebooks.execute(source, target, parameters, progress=lambda *s: said.append(s))
        )
        assert folders[-1] == target
    return folders, said


def test_catalogue_tells_what_each_notebook_declares():
    good, fails = sorted(notebooks.catalogue(HERE), key=lambda info: info.name == "fails")
    assert good.title == "Parabolas & lines"
    assert (good.figures, good.tables) == (("parabola", "line"), ("values",))
    assert good.parameters == {"output": "", "profile": "quick", "points": 3, "data": ""}
    assert (fails.name, fails.figures, fails.parameters) == ("fails", (), {"steps": 3})


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([], "wants one cell tagged 'parameters'; cells: none"),
        ([PARAMETERS, PARAMETERS], "cells: 1, 2"),
        ([("code", "x = 1", "parameters"), ("code", "", "figure:a")], "wants a parameter 'output'"),
        ([PARAMETERS, ("code", "", "figure:A-b")], "cell 2: tag 'figure:A-b'"),
        ([PARAMETERS, ("markdown", "", "table:a")], "cell 2: tag 'table:a'"),
        ([("code", "x = len('a')", "parameters")], "cell 1: .*plain values only"),
        ([("code", "import os", "parameters")], "line 1 is no assignment"),
        ([("code", "x = ", "parameters")], "cell 1: .*invalid syntax"),
        ([PARAMETERS, ("sound", "")], "cell 2: no cell type"),
    ],
)
def test_malformed_notebook_is_named_with_its_cell(tmp_path, cells, message):
    path = write(tmp_path, *cells)
    with pytest.raises(ReportError, match=rf"(?s){re.escape(str(path))}.*{message}"):
        notebooks.describe(path)


def test_file_that_is_no_notebook_is_named(tmp_path):
    with pytest.raises(ReportError, match="no folder of notebooks"):
        notebooks.catalogue(tmp_path / "none")
    for text, message in (
        ("{", "no valid JSON"),
        ("[]", "format 4"),
        ('{"cells": []}', "format 4"),
    ):
        (tmp_path / "bad.ipynb").write_text(text)
        with pytest.raises(ReportError, match=f"bad.ipynb.*{message}"):
            notebooks.catalogue(tmp_path)


def test_hidden_notebooks_drafts_and_copies_are_no_reports_and_named_once(tmp_path, capsys):
    write(tmp_path, PARAMETERS, name="report")
    write(tmp_path, ("code", "x = 1"), name="draft")
    for stray in ("._report", ".#report", "Untitled", "report-Copy1"):
        (tmp_path / f"{stray}.ipynb").write_bytes(b"\0 not json")
    for _ in range(2):
        assert [info.name for info in notebooks.catalogue(tmp_path)] == ["report"]
    said = capsys.readouterr().err.splitlines()
    assert [Path(line.partition(" is left out: ")[0]).stem for line in said] == [
        "Untitled", "draft", "report-Copy1",
    ]  # fmt: skip


def test_one_name_in_two_notebooks_is_an_error(tmp_path):
    cells = [("code", "output = ''", "parameters"), ("code", "1", "figure:same")]
    write(tmp_path, *cells, name="a")
    write(tmp_path, *cells, name="b")
    with pytest.raises(ReportError, match="figure same is in two notebooks: a and b"):
        notebooks.catalogue(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"parameters": {"pionts": 3}}, "'pionts'; choose .*; did you mean 'points'"),
        ({"parameters": {"output": "x"}}, "unknown parameter of notebook good 'output'"),
        ({"parameters": {"points": {1, 2}}}, "plain values only"),
        ({"only_figure": "parabla"}, "'parabla'; choose .*; did you mean 'parabola'"),
    ],
)
def test_unknown_parameter_or_figure_stops_before_any_kernel(tmp_path, arguments, message):
    start = time.perf_counter()
    with pytest.raises(FFError, match=message):
        notebooks.execute(HERE / "good.ipynb", tmp_path / "out", **arguments)
    assert time.perf_counter() - start < 0.5
    assert not list(tmp_path.iterdir())


def test_two_runs_in_different_places_give_the_same_bytes(twice):
    (first, second), _ = twice
    assert files(first) == files(second)
    made = [f"figures/{n}.{k}" for n in ("line", "parabola") for k in ("pdf", "png", "svg")]
    assert set(files(first)) == {
        "good.ipynb", "captions.json", "tables/values.csv", "figures/parabola.csv", *made,
    }  # fmt: skip


def test_nothing_tells_where_when_or_by_whom_it_ran(twice):
    (folder, _), _ = twice
    root = folder.parent.parent
    for name, content in files(folder).items():
        if not name.endswith((".png", ".pdf")):
            text = content.decode()
            for private in (str(root), sys.prefix, f"/{root.name}", ".building", "ipykernel_"):
                assert private not in text, name
            assert not re.search(r"20\d\d-\d\d-\d\dT|0x[0-9a-f]{4}", text), name
    notebook = json.loads((folder / "good.ipynb").read_text())
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    assert [c["id"] for c in notebook["cells"]] == [f"cell-{i}" for i in range(1, 11)]
    counts = [c["execution_count"] for c in notebook["cells"] if c["cell_type"] == "code"]
    assert counts == list(range(1, 9))
    assert all(set(c["metadata"]) <= {"tags"} for c in notebook["cells"])


def test_executed_copy_opens_without_writing_and_keeps_warnings_only(twice):
    (folder, _), _ = twice
    cells = json.loads((folder / "good.ipynb").read_text())["cells"]
    injected = next(c for c in cells if "injected-parameters" in c["metadata"].get("tags", []))
    assert injected["source"] == [
        "# Parameters\n", "points = 4\n", 'data = "<data>"\n', 'output = ""\n',
    ]  # fmt: skip
    stdout, stderr = ("".join(o["text"]) for o in cells[4]["outputs"])
    assert re.match(r"<env>/bin/python[\d.]* notebooks ~", stdout)
    assert "seed 0" in stdout
    assert stderr.splitlines()[0] == "<cell>:4: UserWarning: a warning to keep"
    assert "it/s" not in stderr


def test_progress_counts_code_cells_and_names_figures(twice):
    _, said = twice
    assert [done for done, _, _ in said] == [*range(8), *range(8)]
    assert {total for _, total, _ in said} == {8}
    assert "figure parabola" in {text for _, _, text in said}


def test_one_figure_runs_only_its_cells_and_set_up(tmp_path):
    target = tmp_path / "one"
    target.mkdir()
    (target / "old.txt").write_text("replaced as a whole")
    found = notebooks.execute(HERE / "good.ipynb", target, only_figure="line")
    assert set(files(target)) == {
        "good.ipynb", "captions.json", "figures/line.pdf", "figures/line.png", "figures/line.svg",
    }  # fmt: skip
    tags = {
        t
        for c in json.loads((found / "good.ipynb").read_text())["cells"]
        for t in c["metadata"].get("tags", [])
    }
    assert tags == {"parameters", "injected-parameters", "figure:line"}
    assert [p.name for p in tmp_path.iterdir()] == ["one"]


def test_failing_notebook_is_explained_and_kept_aside(tmp_path):
    target = tmp_path / "fails"
    target.mkdir()
    (target / "old.txt").write_text("the last good state stays")
    with pytest.raises(ReportError) as caught:
        notebooks.execute(HERE / "fails.ipynb", target, failed_folder=tmp_path / "aside")
    text = str(caught.value)
    assert text.startswith("notebook fails failed in cell 3:\n    for step in range(steps):")
    assert "its output ended with:\n    step 0\n    step 1\n    step 2\n" in text
    assert "ValueError: ('boom at step', 3)" in text
    assert str(tmp_path / "aside/fails.ipynb") in text
    assert "\x1b" not in text
    assert set(files(tmp_path)) == {"fails/old.txt", "aside/fails.ipynb"}
    cells = json.loads((tmp_path / "aside/fails.ipynb").read_text())["cells"]
    assert "Failed in cell 3" in cells[0]["source"][0]
    marked = next(i for i, c in enumerate(cells) if c["source"] == ["**The next cell failed.**"])
    assert cells[marked + 1]["outputs"][-1]["ename"] == "ValueError"
    assert not any("papermill" in "".join(c["source"]) for c in cells)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "import sys\nprint('bye')\nsys.exit()",
            r"in cell 2:(.|\n)*bye(.|\n)*did not run to its end",
        ),
        ("import os\nos._exit(3)", r"in cell 2:(.|\n)*the kernel died here"),
        ("import time\ntime.sleep(60)", r"in cell 2:(.|\n)*ran longer than 1 s"),
    ],
    ids=["exit", "death", "timeout"],
)
def test_cell_that_ends_badly_without_an_error_is_noticed(tmp_path, source, message):
    path = write(tmp_path / "nb", PARAMETERS, ("code", source), ("code", "print('after')"))
    timeout = 1 if "sleep" in source else 60
    with pytest.raises(ReportError, match=message):
        notebooks.execute(path, tmp_path / "out/made", timeout=timeout)
    assert set(files(tmp_path / "out")) == {"failed/made.ipynb"}
    assert no_kernel_files_left()


@pytest.mark.parametrize(
    ("tags", "saved", "shown", "message"),
    [
        (["table:t"], [], [], "the tag promises table t, but nothing saved it"),
        (["table:t"], ["t"], [], "table t is saved but not shown: end the cell with it"),
        ([], ["t"], ["t"], "table t is saved, but no cell is tagged table:t"),
        (["table:t"], ["t"], ["t"], None),
    ],
)
def test_what_is_tagged_saved_and_shown_must_agree(tmp_path, tags, saved, shown, message):
    outputs = [{"output_type": "display_data", "metadata": {"ffcore": {"table": n}}} for n in shown]
    cell = {"cell_type": "code", "metadata": {"tags": tags}, "source": "x", "outputs": outputs}
    (tmp_path / "captions.json").write_text(json.dumps({"tables": dict.fromkeys(saved, "c")}))
    found = notebooks._unsaved(Run({"cells": [cell]}), tmp_path)
    assert found == ((0, message) if message else None)


def test_ctrl_c_ends_the_kernel_and_leaves_nothing(tmp_path):
    source = f"import os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
    path = write(tmp_path / "nb", PARAMETERS, ("code", f"{source}time.sleep(60)"))

    def interrupt():
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        notebooks.execute(path, tmp_path / "out/made")
    thread.join()
    assert not alive(int((tmp_path / "pid").read_text()))
    assert not list((tmp_path / "out").iterdir())
    assert no_kernel_files_left()


def test_parallel_runs_do_not_meet(tmp_path):
    path = write(tmp_path / "nb", PARAMETERS, ("code", "print(wait)"))
    with ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(notebooks.execute, path, tmp_path / f"out{n}", {"wait": n})
            for n in range(3)
        ]
        for number, each in enumerate(runs):
            cells = json.loads((each.result() / "made.ipynb").read_text())["cells"]
            assert cells[-1]["outputs"][0]["text"] == [f"{number}\n"]


def test_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="cannot write in .*file"):
        notebooks.execute(HERE / "good.ipynb", tmp_path / "file" / "out")


def test_building_takes_away_what_dead_processes_left(tmp_path):
    pid = next(p for p in range(2**22 - 1, 0, -1) if not Path(f"/proc/{p}").exists())
    # Ours: left by a process that had our number, as each first process of a container has.
    for name in (f".building-{pid}-a", f".building-{pid}-a-old", f".building-{os.getpid()}-b",
                 f".building-{os.getppid()}-c"):  # fmt: skip
        (tmp_path / name).mkdir()
    with notebooks.building(tmp_path / "other"), notebooks.building(tmp_path / "new") as folder:
        (folder / "a").write_text("1")
    living = f".building-{os.getppid()}-c"
    assert {p.name for p in tmp_path.iterdir()} == {"new", "other", living}
    with notebooks.building(tmp_path / "third"):
        notebooks.sweep(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"new", "other", "third"}
    with pytest.raises(RuntimeError), notebooks.building(tmp_path / "new") as folder:
        raise RuntimeError
    assert files(tmp_path / "new") == {"a": b"1"}


def test_socket_path_stays_short_where_the_temporary_folder_is_deep(tmp_path, monkeypatch):
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    folder = _short_folder()
    folder.rmdir()
    assert len(str(folder / "k-ipc-5")) < 107


def test_a_user_whom_the_system_does_not_know_has_no_home_and_gets_no_folder_of_that_name(
    tmp_path, monkeypatch
):
    def unknown(*_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    for variable in ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    assert not _keeps_fonts()
    assert json.loads(clean({"cells": [], "metadata": {}}, {}))["cells"] == []
    assert not list(tmp_path.iterdir())


def test_cleaning_leaves_embedded_data_and_words_alone(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "node-17")
    image = "data:image/png;base64,AAA/home/ada/x+AAAA/tmp/AAA=="
    text = f"see <img src='{image}'> in /home/ada/p/x.csv, file:///home/ada/p. /home/adams node-17"
    output = {"output_type": "display_data", "metadata": {},
              "data": {"text/html": text, "image/png": "/tmp/AAAA"}}  # fmt: skip
    cell = {"cell_type": "code", "metadata": {}, "source": "open('/tmp/x')", "outputs": [output]}
    document = {"cells": [cell], "metadata": {}}
    data = json.loads(clean(document, {Path("/home/ada/p"): "."}))["cells"][0]
    text = "".join(data["outputs"][0]["data"]["text/html"])
    assert text == f"see <img src='{image}'> in x.csv, .. /home/adams <host>"
    assert data["outputs"][0]["data"]["image/png"].strip() == "/tmp/AAAA"
    assert data["source"] == ["open('/tmp/x')"]


@pytest.mark.parametrize("name", ["/app", "/mnt/ü", '/a"b', "/a\\b", "/a b#%", "/a'b"])
def test_no_spelling_of_a_folder_is_left_in_what_is_published(name):
    place = Path(name)
    spelt = [name, repr(name), json.dumps(name), urllib.parse.quote(name), html.escape(name)]
    output = {"output_type": "stream", "name": "stdout", "text": "|".join(spelt)}
    cell = {"cell_type": "code", "metadata": {"tags": ["injected-parameters"]},
            "source": f"results = {name!r}", "outputs": [output]}  # fmt: skip
    cleaned = clean({"cells": [cell], "metadata": {}}, {place: "results"}, {"results": "results"})
    found = json.loads(cleaned)["cells"][0]
    assert "".join(found["source"]) == '# Parameters\nresults = "results"\n'
    said = "".join(found["outputs"][0]["text"]).split("|")
    assert [word.strip("'\"") for word in said] == ["results"] * 5


def test_error_for_a_misspelt_parameter_is_a_configuration_error(tmp_path):
    with pytest.raises(ConfigError):
        notebooks.execute(HERE / "good.ipynb", tmp_path / "out", {"x": 1})


@pytest.mark.parametrize(
    ("needs", "message"),
    [
        ({"network": ["rq1"]}, "unknown key 'network'.*did you mean 'networks'"),
        ({"networks": ["rq3"]}, "unknown networks 'rq3'.*rq1"),
        ({"networks": "rq1"}, "networks is 'rq1'; give a list"),
        ({"weights": "perhaps"}, "unknown weights 'perhaps'"),
        ({"latents": ["tsne"]}, "unknown latents 'tsne'"),
        (["rq1"], "is no table"),
    ],
)
def test_what_a_notebook_needs_is_one_of_what_there_is(tmp_path, needs, message):
    source = next((ROOT / "notebooks").glob("claims.ipynb"))
    document = json.loads(source.read_text(encoding="utf-8"))
    document["metadata"]["needs"] = needs
    path = tmp_path / "claims.ipynb"
    path.write_text(json.dumps(document))
    with pytest.raises(ReportError, match=message):
        catalogue.describe(path)


def test_every_notebook_declares_what_its_code_reads():
    """One that imports what reads networks or sparsity runs says so; the others say nothing."""
    infos = catalogue.catalogue(ROOT / "notebooks")
    assert {i.name for i in infos if i.needs.networks} == {
        "appendix_polarity", "claims", "rq1_accuracy", "rq1_convergence", "rq2_taxonomy",
        "rq2_topology", "unstated_choices"}  # fmt: skip
    assert {i.name for i in infos if i.needs.sparsity} == {
        "claims", "sparsity_answers", "sparsity_conditions", "sparsity_theorems"}  # fmt: skip
    assert {i.name for i in infos if i.needs.weights} == {"claims", "rq2_taxonomy", "rq2_topology"}
