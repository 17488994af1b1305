"""Digests change with what a result depends on, and with nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ffcore import digests
from ffcore.errors import ConfigError, ReportError

CODE = '''"""Module."""
import math

def area(r):
    """Of a circle."""
    return math.pi * r**2  # exact
'''


def package(folder: Path, **modules: str) -> Path:
    home = folder / "pack"
    home.mkdir()
    (home / "__init__.py").write_text(modules.pop("init", ""))
    for name, text in modules.items():
        (home / f"{name}.py").write_text(text)
    return home


def notebook(folder: Path, *cells: tuple[str, str], name: str = "n") -> Path:
    path = folder / f"{name}.ipynb"
    made = [{"cell_type": k, "metadata": {}, "source": s, "outputs": []} for k, s in cells]
    path.write_text(json.dumps({"cells": made, "metadata": {}, "nbformat": 4}))
    return path


def test_comment_docstring_and_layout_change_no_digest(tmp_path):
    home = package(tmp_path, a=CODE)
    before = digests.code_digests(home)
    edited = CODE.replace("Of a circle.", "Another text.").replace("# exact", "# roughly")
    (home / "a.py").write_text(edited.replace("math.pi * r**2", "(math.pi\n            * r ** 2)"))
    assert digests.code_digests(home) == before
    assert set(before) == {"pack", "pack.a"}


def test_code_edit_changes_exactly_its_module(tmp_path):
    home = package(tmp_path, a=CODE, b=CODE)
    before = digests.code_digests(home)
    (home / "a.py").write_text(CODE.replace("r**2", "r**3"))
    after = digests.code_digests(home)
    assert {name for name in after if after[name] != before[name]} == {"pack.a"}


def test_string_that_is_no_docstring_counts(tmp_path):
    home = package(tmp_path, a="x = 'one'\n")
    before = digests.code_digests(home)
    (home / "a.py").write_text("x = 'two'\n")
    assert digests.code_digests(home) != before


def test_broken_module_is_named_with_its_line(tmp_path):
    home = package(tmp_path, a="x = 1\ndef (:\n")
    with pytest.raises(ReportError, match=r"a\.py, line 2"):
        digests.code_digests(home)


@pytest.mark.parametrize(
    "statement",
    [
        "import pack.b",
        "from pack import b",
        "from pack.b import thing",
        "from . import b",
        "from .b import thing as other",
        "def f():\n    from pack import b",
        "import pack\npack.b.thing()",
        "from pack import exported",
        "from pack import lazy",
        "import importlib\nimportlib.import_module('pack.b')",
    ],
)
def test_every_form_of_import_is_found_and_followed(tmp_path, statement):
    init = "from pack.b import thing as exported\n_LAZY = {'lazy': 'b'}\n"
    home = package(tmp_path, init=init, a=statement, b="import pack.c", c="", d="")
    assert digests.dependencies("pack.a", home) == {"pack.b", "pack.c"}


def test_foreign_type_only_and_circular_imports_do_no_harm(tmp_path):
    types = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pack.b\n"
    home = package(
        tmp_path, a=types + "import json, os.path\nimport pack.c", b="", c="import pack.a"
    )
    assert digests.dependencies("pack.a", home) == {"pack.c"}
    assert digests.dependencies("pack.b", home) == set()


def test_unknown_module_names_the_nearest():
    with pytest.raises(ConfigError, match=r"did you mean 'ffcore\.outputs'"):
        digests.dependencies("ffcore.output")


def test_reports_code_depends_on_neither_training_nor_data():
    reached = digests.dependencies("ffcore.reports") | digests.dependencies("ffcore.notebooks")
    assert {"ffcore.outputs", "ffcore.errors"} <= reached
    assert not reached & {"ffcore.train", "ffcore.network", "ffcore.data", "ffcore.store"}


def test_notebook_depends_on_what_its_cells_import(tmp_path):
    home = package(tmp_path, a="import pack.b", b="", c="")
    path = notebook(tmp_path, ("markdown", "import pack.c"), ("code", "%time\nfrom pack import a"))
    assert digests.notebook_dependencies(path, home) == {"pack.a", "pack.b"}


def test_notebook_cell_that_is_no_python_is_named(tmp_path):
    path = notebook(tmp_path, ("code", "x = 1"), ("code", "for"))
    with pytest.raises(ReportError, match="cell 2 of"):
        digests.notebook_dependencies(path)


def test_notebook_digest_sees_sources_and_tags_only(tmp_path):
    path = notebook(tmp_path, ("markdown", "# T"), ("code", "x = 1"))
    before = digests.notebook_digest(path)
    content = json.loads(path.read_text())
    content["cells"][1] |= {"id": "random", "execution_count": 7, "outputs": [{}]}
    content["metadata"] = {"kernelspec": {}}
    path.write_text(json.dumps(content))
    assert digests.notebook_digest(path) == before
    content["cells"][1]["metadata"]["tags"] = ["figure:x"]
    path.write_text(json.dumps(content))
    assert digests.notebook_digest(path) != before
    other = notebook(tmp_path, ("markdown", "# U"), ("code", "x = 1"), name="m")
    assert digests.notebook_digest(other) != before


def test_versions_are_read_without_importing_the_package():
    found = digests.package_versions(["pytest", "no-such-package"])
    assert found == {"no-such-package": "not installed", "pytest": pytest.__version__}


def test_digest_ignores_order_of_keys_and_refuses_nan():
    assert digests.digest({"a": 1, "b": [1, 2]}) == digests.digest({"b": [1, 2], "a": 1})
    assert digests.digest([1, 2]) != digests.digest([2, 1])
    with pytest.raises(ValueError, match="JSON compliant"):
        digests.digest(float("nan"))
