"""Digests change with what a result depends on, and with nothing else."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from ffreport.base import digests
from ffreport.publish.notebooks import catalogue


def notebook(folder: Path, *cells: tuple[str, str], name: str = "n") -> Path:
    path = folder / f"{name}.ipynb"
    made = [{"cell_type": k, "metadata": {}, "source": s, "outputs": []} for k, s in cells]
    path.write_text(json.dumps({"cells": made, "metadata": {}, "nbformat": 4}))
    return path


def test_what_changed_is_named_by_dots_where_it_is_nested():
    then = {"a": {"f": 1, "g": 2}, "b": 1, "c": 3}
    assert digests.changed(then, {"a": {"f": 1, "g": 3, "h": 1}, "c": 3}) == ["a.g", "a.h", "b"]
    assert digests.changed(then, then) == []


def test_content_of_a_notebook_is_its_needs_sources_and_tags_only(tmp_path):
    path = notebook(tmp_path, ("markdown", "# T"), ("code", "x = 1"))
    before = catalogue.content(path)
    content = json.loads(path.read_text())
    content["cells"][1] |= {"id": "random", "execution_count": 7, "outputs": [{}]}
    content["metadata"] = {"kernelspec": {}}
    path.write_text(json.dumps(content))
    assert catalogue.content(path) == before
    content["metadata"]["needs"] = {"networks": ["rq1"]}
    path.write_text(json.dumps(content))
    assert catalogue.content(path) != before
    del content["metadata"]["needs"]
    content["cells"][1]["metadata"]["tags"] = ["figure:x"]
    path.write_text(json.dumps(content))
    assert catalogue.content(path) != before
    other = notebook(tmp_path, ("markdown", "# U"), ("code", "x = 1"), name="m")
    assert catalogue.content(other) != before


def test_versions_are_read_without_importing_the_package():
    found = digests.package_versions(["pytest", "no-such-package"])
    assert found == {"no-such-package": "not installed", "pytest": pytest.__version__}


def test_digest_ignores_order_of_keys_and_refuses_nan():
    assert digests.digest({"a": 1, "b": [1, 2]}) == digests.digest({"b": [1, 2], "a": 1})
    assert digests.digest([1, 2]) != digests.digest([2, 1])
    with pytest.raises(ValueError, match="JSON compliant"):
        digests.digest(float("nan"))


def test_a_revision_is_that_of_the_projects_own_checkout_alone(tmp_path):
    outer, project = tmp_path, tmp_path / "project"
    project.mkdir()
    (project / "pipeline.py").touch()

    def git(folder, *words):
        subprocess.run(["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@b", *words],
                       check=True, capture_output=True)  # fmt: skip

    assert digests.revision(project) == ""
    for folder in (outer, project):
        git(folder, "init")
        git(folder, "add", "-A")
        git(folder, "commit", "--allow-empty", "-m", "x")
        assert bool(digests.revision(project)) == (folder == project)
    (project / "pipeline.py").write_text("changed")
    assert digests.revision(project).endswith("+")
