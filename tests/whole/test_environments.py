"""What is installed is the whole program, and says where its own files lie."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from ffcore.errors import ConfigError
from ffreport.base import home
from ffreport.study import study
from tests.rigs import environments
from tests.rigs.environments import ROOT, oldest, requirements


def test_every_requirement_has_an_oldest_version_that_it_admits():
    named = {Requirement(line).name: Requirement(line) for line in oldest()}
    assert named.keys() == requirements().keys() and len(named) > 30
    for name, requirement in named.items():
        (pinned,) = requirement.specifier
        assert Requirement(f"{name}{requirements()[name]}").specifier.contains(pinned.version)
    assert not any(line.startswith("torch") for line in oldest(["torch"]))


def test_the_wheel_takes_every_file_that_the_program_reads():
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert tool["package-dir"] == {"ffreport.project": "."}
    taken = {p for pattern in tool["package-data"]["ffreport.project"] for p in ROOT.glob(pattern)}
    there = {p for name in ("notebooks", "profiles", "shipped") for p in (ROOT / name).iterdir()}
    assert {p for p in there if p.is_file()} <= taken
    own = {p for package, patterns in tool["package-data"].items() for pattern in patterns
           for p in (ROOT / package.replace(".", "/")).glob(pattern)}  # fmt: skip
    data = {p for name in ("ffcore", "ffreport") for p in (ROOT / name).rglob("*.*")
            if p.suffix not in (".py", ".pyc")}  # fmt: skip
    assert data <= own and len(data) == 10


def test_the_quick_tests_are_there():
    assert all(path.is_file() for path in environments.quick())


def project(folder: Path) -> Path:
    for name in ("notebooks", "profiles"):
        (folder / name).mkdir(parents=True)
    return folder


def test_the_project_is_inside_of_the_installed_package_or_beside_it(tmp_path, monkeypatch):
    assert home.home() == ROOT
    inside = tmp_path / "ffreport" / "project"
    monkeypatch.setattr(home, "INSIDE", inside)
    with pytest.raises(ConfigError, match="install ffcore from its wheel"):
        home.home()
    project(tmp_path)
    assert home.home() == tmp_path
    project(inside)
    assert home.home() == inside


def test_a_package_without_its_project_is_one_error(tmp_path):
    command = (
        "import sys; from pathlib import Path; from ffreport.base import home\n"
        f"home.INSIDE = Path({str(tmp_path / 'ffreport' / 'project')!r})\n"
        "from ffreport.cli.main import installed; sys.exit(installed())"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1 and "\nerror: " in f"\n{done.stderr}", done.stderr
    assert "Traceback" not in done.stderr


def test_results_of_an_installed_project_are_where_one_works(tmp_path, monkeypatch):
    inside = project(tmp_path / "ffreport" / "project")
    monkeypatch.setattr(home, "INSIDE", inside)
    monkeypatch.setattr(study, "INSIDE", inside)
    work = tmp_path / "work" / "results" / "reports" / "a"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    assert study.project_root() == inside
    assert home.results_folder(inside, "results") == work / "results"
    (tmp_path / "work" / "results" / ".ffcore").touch()
    assert home.results_folder(inside, "results") == tmp_path / "work" / "results"
    assert home.results_folder(inside, tmp_path / "other") == tmp_path / "other"
    assert home.results_folder(ROOT, "results") == ROOT / "results"


def test_the_command_runs_the_pipeline_from_anywhere(tmp_path):
    command = "import sys; from ffreport.cli.main import installed; sys.exit(installed())"
    done = subprocess.run(
        [sys.executable, "-c", command, "list"], capture_output=True, text=True, timeout=120,
        cwd=tmp_path, env={**environments.os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0 and "figure rq1_means" in done.stdout, done.stdout + done.stderr
    assert not list(tmp_path.iterdir())
