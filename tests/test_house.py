"""What holds the project together: rooms and their size, pins, notebooks, files that users rely
on. The arrows between rooms are contracts in pyproject.toml, which ``./check`` keeps."""

import ast
import builtins
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from ffcore.config import FACTORS
from ffreport.analysis import published
from ffreport.publish.notebooks import catalogue
from ffreport.study.profiles import make_profile
from ffreport.study.study import read_profile

ROOT = Path(__file__).parents[1]
PRODUCT = ("ffcore", "ffreport")
# Lines at most, as `git ls-files | xargs cat | wc -l` counts them.
MOST = {"product": 28_900, "ffcore": 3_900, "tests": 21_500}
FLOOR, TOP_OF_FFCORE, LENGTH = 9, 12, 400


def lines(*patterns: str) -> int:
    """Lines of the project's files of these patterns."""
    command = ["git", "ls-files", "-co", "--exclude-standard", *patterns]
    named = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    there = [ROOT / n for n in named.splitlines() if (ROOT / n).is_file()]
    return sum(len(p.read_text(encoding="utf-8").splitlines()) for p in there)


def floors() -> dict[str, list[str]]:
    """Folder of a package → its modules, packages and data files."""
    folders = [f for name in PRODUCT for f in [ROOT / name, *(ROOT / name).rglob("*/")]
               if (f / "__init__.py").exists()]  # fmt: skip
    apart = ("__init__.py", "__pycache__", "py.typed")
    return {f.relative_to(ROOT).as_posix(): sorted(p.name for p in f.iterdir()
                                                   if p.name not in apart)
            for f in folders}  # fmt: skip


needs_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="lines are those of a checkout")


@needs_git
def test_the_project_stays_small():
    code = ("*.py", "*.js", "*.css", "*.html")
    found = {
        "product": lines("pipeline.py", *(f"{p}/**/{c}" for p in PRODUCT for c in code)),
        "ffcore": lines("ffcore/**/*.py"),
        "tests": lines("tests/**/*.py"),
    }
    assert {name: n for name, n in found.items() if n > MOST[name]} == {}


def test_no_floor_is_crowded_and_no_file_long():
    found = floors()
    assert len(found.pop("ffcore")) <= TOP_OF_FFCORE
    assert {name: there for name, there in found.items() if len(there) > FLOOR} == {}
    lengths = {
        p: len(p.read_text().splitlines()) for n in PRODUCT for p in (ROOT / n).rglob("*.py")
    }
    assert {p.name: n for p, n in lengths.items() if n > LENGTH} == {}


def test_each_room_says_what_it_is_for():
    for name in floors():
        text = (ROOT / name / "__init__.py").read_text(encoding="utf-8")
        assert len(ast.get_docstring(ast.parse(text)) or "") > 20, name


def test_each_test_stands_where_what_it_tests_stands():
    """``ffreport/x/y.py`` → ``tests/x/test_y.py``; what tests the whole, or helps, lies apart."""
    apart = {"whole", "rigs", "support", "cli"}
    lost = []
    for path in (ROOT / "tests").glob("*/**/test_*.py"):
        first, *rest = path.relative_to(ROOT / "tests").parts
        if first not in apart and path.stem != "test_number_formats":
            base = ROOT / first if first == "ffcore" else ROOT / "ffreport" / first
            module = base.joinpath(*rest[:-1], path.stem.removeprefix("test_"))
            if not (module.with_suffix(".py").exists() or (module / "__init__.py").exists()):
                lost.append(path.relative_to(ROOT).as_posix())
    assert lost == []


def test_the_wheel_has_every_package():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert sorted(listed) == sorted([*(n.replace("/", ".") for n in floors()), "ffreport.project"])


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_environment_yml_has_the_pins_of_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = [d["pip"] for d in environment["dependencies"] if isinstance(d, dict)]
    assert sorted(pip) == sorted(project()["dependencies"])
    (python,) = [d for d in environment["dependencies"] if str(d).startswith("python")]
    assert python == f"python{project()['requires-python']}"


def test_the_torch_range_admits_the_versions_that_we_promise():
    from packaging.requirements import Requirement

    (torch,) = [r for r in map(Requirement, project()["dependencies"]) if r.name == "torch"]
    assert all(v in torch.specifier for v in ("2.11.0", "2.13.0", "2.13.0+cpu"))


def test_citation_names_both_papers():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    found = {i["value"] for r in citation["references"] for i in r["identifiers"]}
    assert found == {"arXiv:2408.09210", "arXiv:2311.05667"}
    assert citation["version"] == project()["version"]


@pytest.mark.parametrize("path", sorted((ROOT / "profiles").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_profile_is_valid_and_only_paper_claims_paper_scale(path):
    profile = read_profile(path.stem, root=ROOT)
    assert profile.networks() and profile.sparsity_runs()
    assert profile.paper_scale == (path.stem == "paper")


def test_the_paper_profile_is_the_published_grid():
    profile = read_profile("paper", root=ROOT)
    experiments = profile.networks("rq1")
    assert {e.dataset for e in experiments} == {"mnist", "kmnist", "fashion-mnist", "cifar-10"}
    assert len([e for e in experiments if e.dataset == "mnist" and e.seed == 0]) >= 108
    for e in experiments:
        cifar = e.dataset == "cifar-10"
        assert e.widths == ((2000, 2000) if cifar else (1000, 1000))
        assert (e.epochs, e.patience) == ((100, 10) if cifar else (50, 0))
        assert (e.batch_size, e.learning_rate, e.label_embedding) == (512, 1e-3, "appended")
    ten = {(e.dataset, e.configuration) for e in experiments if e.seed == 9}
    seeds = published.ten_seeds().to_dict("records")
    logged = {(r["dataset"], "-".join(r[f] for f in FACTORS)) for r in seeds}
    assert logged <= ten and len(ten) == 54
    shares = profile.networks("polarity")
    assert {e.positive_fraction for e in shares} == {0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95}
    assert {(e.epochs, e.inhibition) for e in shares} == {(10, "none")} and len(shares) == 252


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_thin_and_stripped(path):
    cells = json.loads(path.read_text())["cells"]
    code = [c for c in cells if c["cell_type"] == "code"]
    source = "\n".join("".join(c["source"]) for c in code)
    assert all(not c["outputs"] and c["execution_count"] is None for c in code)
    assert not re.search(r"^\s*(def|class) ", source, re.M)
    assert "train(" not in source
    words = sum(len("".join(c["source"]).split()) for c in cells if c["cell_type"] == "markdown")
    assert words > 200, "prose with evidence, not evidence alone"


def test_the_readme_has_the_commands_that_ci_and_users_run():
    readme = (ROOT / "README.md").read_text()
    assert "@@" not in readme, "a placeholder is left"
    assert "pip install -e . && python pipeline.py all" in readme
    assert "pip install -e '.[test]' && pytest" in readme
    assert "pip install -e '.[test]' && pytest" in (ROOT / ".ci" / "run").read_text()


def test_no_profile_key_hides_behind_a_default(tmp_path):
    values = yaml.safe_load((ROOT / "profiles" / "quick.yaml").read_text())
    assert make_profile(values, "quick").rq2.images == values["rq2"]["images"]


def names(source: str) -> tuple[set[str], set[str]]:
    """Names that a cell reads, and those that it sets."""
    read: set[str] = set()
    written: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else written).add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            written |= {a.asname or a.name for a in node.names}
        elif isinstance(node, ast.arg):
            written.add(node.arg)
    return read, written


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_each_figure_needs_only_the_set_up_cells(path):
    """What ``pipeline.py figure`` runs is enough: no name comes from another figure's cell."""
    known = set(dir(builtins))
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] != "code":
            continue
        tags = cell["metadata"].get("tags", [])
        read, written = names("".join(cell["source"]))
        if catalogue.FINDING in tags or any(tag.startswith("table:") for tag in tags):
            continue
        assert not read - written - known, f"{tags or 'set-up'}: {cell['source'][:2]}"
        if not any(tag.startswith("figure:") for tag in tags):
            known |= written
