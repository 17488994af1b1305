"""An edit reaches what uses the edited definition, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ffcore.errors import ConfigError, ReportError
from ffreport.base import code as module
from ffreport.base.code import BODY, PACKAGES, definitions
from ffreport.publish.notebooks import catalogue

ROOT = Path(__file__).parents[2]
CODE = '''"""Module."""
import math

FACTOR = 2.0

def area(r):
    """Of a circle."""
    return FACTOR * math.pi * r**2  # exact

def other():
    return 1
'''


def package(folder: Path, init: str = "", **modules: str) -> Path:
    home = folder / "pack"
    home.mkdir()
    (home / "__init__.py").write_text(init)
    for name, text in modules.items():
        (home / f"{name}.py").write_text(text)
    return home


def notebook(folder: Path, *cells: tuple[str, str]) -> Path:
    path = folder / "n.ipynb"
    made = [{"cell_type": k, "metadata": {}, "source": s, "outputs": []} for k, s in cells]
    path.write_text(json.dumps({"cells": made, "metadata": {}, "nbformat": 4}))
    return path


def names(found):
    return {f"{m}:{n}" for m, names in found.items() for n in names if n != BODY}


def test_comment_docstring_and_layout_change_no_digest(tmp_path):
    home = package(tmp_path, a=CODE)
    before = definitions(home).digest
    edited = CODE.replace("Of a circle.", "Another text.").replace("# exact", "# roughly")
    edited = edited.replace("FACTOR * math.pi * r**2", "(FACTOR *\n    math.pi * r ** 2)")
    (home / "a.py").write_text(edited.replace('"""Module."""', "# None."))
    assert definitions(home).digest == before


def test_an_edit_changes_its_definition_and_what_reaches_it(tmp_path):
    home = package(
        tmp_path, a=CODE, b="from pack.a import area\n\ndef twice(r):\n    return area(r)"
    )
    before = definitions(home)
    (home / "a.py").write_text(CODE.replace("2.0", "3.0"))
    after = definitions(home)
    changed = {n: before.reached(n) != after.reached(n) for n in ("pack.b:twice", "pack.a:other")}
    assert changed == {"pack.b:twice": True, "pack.a:other": False}
    assert names(after.reached("pack.b:twice")) == {"pack.b:twice", "pack.a:area", "pack.a:FACTOR"}


@pytest.mark.parametrize(
    "one, two, same",
    [
        ("def f(x):\n    return x", "def f(x):\n    return x + 1", False),
        ("x = 'one'", "x = 'two'", False),
        ("x = None", "x = 1", False),
        ("def f(x, y=None): pass", "def f(x, y=()): pass", False),
        ("def f():\n    'a'\n    return 1", "def f():\n    'b'\n    return 1", True),
        ("class A:\n    'a'\n    x: int = 1", "class A:\n    x: int = 1", True),
        ("x = [1, 2]", "x = [1,\n     2]  # two", True),
    ],
)
def test_code_counts_and_words_about_it_do_not(tmp_path, one, two, same):
    home = package(tmp_path, a=one)
    before = definitions(home).digest
    (home / "a.py").write_text(two)
    assert (definitions(home).digest == before) is same


@pytest.mark.parametrize(
    "code, whole",
    [
        ("from pack.b import thing\n\ndef f():\n    return thing()", False),
        ("from pack import b\n\ndef f():\n    return b.thing()", False),
        ("from . import b\n\ndef f():\n    return b.thing()", False),
        ("from .b import thing as other\n\ndef f():\n    return other()", False),
        ("def f():\n    from pack import b\n    return b.thing()", False),
        ("def f():\n    from pack.b import thing\n    return thing", False),
        ("from pack import exported\n\ndef f():\n    return exported()", False),
        ("from pack.b import thing\n\n@thing\ndef f():\n    return 1", False),
        ("from pack.b import thing\n\nclass f(thing):\n    pass", False),
        ("from pack.b import thing\nT = {1: thing}\n\ndef f():\n    return T", False),
        ("from pack import b\n\ndef f(x):\n    return getattr(b, x)", True),
        ("import importlib\n\ndef f():\n    return importlib.import_module('pack.b')", True),
    ],
)
def test_every_way_to_use_another_module_is_followed(tmp_path, code, whole):
    b = "from pack import c\n\ndef thing(*a):\n    return c.deep\n\ndef unused():\n    return 1\n"
    home = package(
        tmp_path,
        "from pack.b import thing as exported\n",
        a=code,
        b=b,
        c="deep = 1\nrest = 2",
        d="",
    )
    found = names(definitions(home).reached("pack.a:f"))
    assert {"pack.a:f", "pack.b:thing", "pack.c:deep"} <= found
    assert ("pack.b:unused" in found) is whole and "pack.c:rest" not in found


def test_a_name_that_a_package_makes_when_asked_counts_with_what_makes_it(tmp_path):
    init = "def __getattr__(name):\n    from pack.b import lazy\n    return lazy\n"
    home = package(tmp_path, init, a="from pack import lazy\nx = lazy()\n", b="def lazy(): pass\n")
    assert "pack.b:lazy" in names(definitions(home).reached("pack.a:x"))


def test_types_foreign_names_and_circles_do_no_harm(tmp_path):
    a = (
        "from typing import TYPE_CHECKING\nimport json\nfrom pack import c\n"
        "if TYPE_CHECKING:\n    import pack.b\n\ndef f():\n    return json.dumps(c.g)\n"
    )
    home = package(tmp_path, a=a, b="x = 1", c="from pack import a\n\ndef g():\n    return a.f\n")
    assert names(definitions(home).reached("pack.a:f")) == {"pack.a:f", "pack.c:g"}


def test_what_runs_on_import_counts_for_every_definition_of_its_module(tmp_path):
    a = "def f():\n    return 1\n\ntry:\n    x = f()\nexcept OSError:\n    x = 2\n"
    home = package(tmp_path, a=a, b="from pack.a import x\ny = x\n")
    before = definitions(home)
    assert {"pack.a:f", "pack.a:x"} <= names(before.reached("pack.b:y"))
    (home / "a.py").write_text(a.replace("x = 2", "x = 3"))
    assert definitions(home).reached("pack.b:y") != before.reached("pack.b:y")


def test_a_data_file_counts_with_the_module_of_its_name(tmp_path):
    home = package(tmp_path, a="def f(): pass", b="def g(): pass")
    (home / "a.yaml").write_text("x: 1")
    before = definitions(home)
    (home / "a.yaml").write_text("x: 2")
    after = definitions(home)
    assert after.reached("pack.a:f") != before.reached("pack.a:f")
    assert after.reached("pack.b:g") == before.reached("pack.b:g")


def test_a_module_that_is_left_out_is_not_followed(tmp_path):
    home = package(
        tmp_path, a="from pack import b\nx = b.y", b="from pack import c\ny = c.z", c="z = 1"
    )
    assert names(definitions(home).reached("pack.a:x", leave=["pack.b"])) == {"pack.a:x"}


def test_a_broken_module_is_named_with_its_line(tmp_path):
    home = package(tmp_path, a="x = 1\ndef (:\n")
    with pytest.raises(ReportError, match=r"a\.py, line 2"):
        definitions(home)


def test_an_unknown_module_names_the_nearest():
    with pytest.raises(ConfigError, match=r"did you mean 'ffreport\.publish\.output'"):
        definitions().reached("ffreport.publish.outputs")


def test_a_notebook_depends_on_what_its_cells_use(tmp_path):
    home = package(tmp_path, a=CODE, b="x = 1", c="y = 2")
    path = notebook(
        tmp_path, ("markdown", "import pack.c"), ("code", "%time\nfrom pack import a"),
        ("code", "a.area(2)"), ("code", "from pack.b import x\nx"),
    )  # fmt: skip
    assert names(definitions(home).of_code(catalogue.code(path))) == {
        "pack.a:area",
        "pack.a:FACTOR",
        "pack.b:x",
    }


def test_a_notebook_cell_that_is_no_python_is_named(tmp_path):
    path = notebook(tmp_path, ("code", "x = 1"), ("code", "for"))
    with pytest.raises(ReportError, match="cell 2 of"):
        catalogue.code(path)


def test_only_changed_modules_are_parsed_again(tmp_path, monkeypatch):
    home = package(tmp_path, a=CODE, b="x = 1")
    book = tmp_path / "book.json"
    first = definitions(home, book=book)
    parsed = []
    plain = module._parsed
    monkeypatch.setattr(
        module, "_parsed", lambda path, *a: parsed.append(path.name) or plain(path, *a)
    )
    assert definitions(home, book=book).digest == first.digest and parsed == []
    (home / "b.py").write_text("x = 22")
    assert definitions(home, book=book).digest != first.digest and parsed == ["b.py"]
    book.write_text("{broken")
    assert definitions(home, book=book).digest == definitions(home).digest


def test_a_book_makes_its_folder_in_a_results_folder_and_in_no_other(tmp_path):
    folder = package(tmp_path, a=CODE)
    book = tmp_path / "results" / "cache" / "definitions.json"
    definitions(folder, book=book)
    assert not book.parent.parent.exists()
    book.parent.parent.mkdir()
    definitions(folder, book=book)
    assert not book.parent.exists(), "a folder that was named by mistake stays as it is"
    (book.parent.parent / ".ffcore").touch()
    definitions(folder, book=book)
    assert book.exists()


def test_a_book_that_cannot_be_written_is_no_obstacle(tmp_path):
    home = package(tmp_path, a=CODE)
    kept = definitions(home, book=tmp_path / "missing" / "book.json")
    assert kept.digest == definitions(home).digest


def edited(folder: Path, name: str, old: str, new: str):
    """The definitions of a copy of both packages with one edit."""
    for package in PACKAGES:
        hidden = shutil.ignore_patterns("__pycache__")
        shutil.copytree(package, folder / package.name, ignore=hidden)
    path = folder / f"{name}.py"
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    return definitions(*(folder / package.name for package in PACKAGES))


def rebuilt(then, now) -> set[str]:
    """The reports whose code differs."""
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    code = {p.stem: catalogue.code(p) for p in paths}
    return {name for name, tree in code.items() if then.of_code(tree) != now.of_code(tree)}


def of_frame(found, place):
    return found.reached(f"ffreport.analysis.rq2.{place}", leave=["ffreport.study.study"])


@pytest.mark.parametrize(
    "old, new, reports, frames",
    [
        ("USED = 0.01", "USED = 0.02", {"rq2_taxonomy", "rq2_topology"},
         {"measures", "units"}),
        ("np.sqrt(n) - 1", "np.sqrt(n) - 1.0", {"rq2_taxonomy"}, {"measures"}),
        ("# of the published Hoyer", "# as in the published Hoyer", set(), set()),
        ("Hoyer sparsity S(h) =", "The Hoyer sparsity S(h) =", set(), set()),
    ],
)  # fmt: skip
def test_an_edit_of_one_measure_of_ours_rebuilds_its_reports_only(
    tmp_path, old, new, reports, frames
):
    measures = "ffreport/analysis/rq2/measures"
    then, now = definitions(), edited(tmp_path, measures, old, new)
    assert rebuilt(then, now) == reports
    made = {"measures": "latents:nine", "observables": "latents:seen",
            "persistence": "latents:persistence", "units": "polarity:units"}  # fmt: skip
    changed = {
        what for what, place in made.items()
        if of_frame(then, place) != of_frame(now, place)
    }  # fmt: skip
    assert changed == frames
    for roots in (["ffcore.train:train"], ["ffcore.sparsity.runs:run"]):
        assert then.reached(*roots) == now.reached(*roots)


def test_an_edit_of_the_engine_outdates_networks_and_leaves_sparsity_runs():
    found = definitions()
    networks = found.reached("ffcore.train:train")
    layers = found.reached("ffcore.sparsity.runs:run")
    assert "Block" in networks["ffcore.network"] and "ffcore.network" not in layers
    assert {
        "ffreport.analysis.look",
        "ffreport.study.study",
        "ffreport.publish.versions",
    }.isdisjoint({*networks, *layers})
