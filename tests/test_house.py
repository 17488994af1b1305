"""What holds the project together: import arrows, pins, notebooks, files that users rely on."""

import ast
import builtins
import json
import re
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
EVERYONE = {"errors", "files", "reading"}
# DESIGN 7: data flows one way. What a module may import from ffcore, beside those.
ARROWS = {
    "files": set(),
    "reading": set(),
    "faults": set(),
    "plugins": set(),
    "config": {"plugins"},
    "profiles": {"config", "plugins"},
    "own_images": set(),
    "own_formats": {"own_images"},
    "own_arrays": {"data", "own_images"},
    "own_data": {"own_arrays", "own_formats", "own_images"},
    "sources": {"data", "own_data"},
    "formats": {"data", "sources"},
    "download": {"own_images", "sources"},
    "data": set(),
    "datasets": {"data", "download", "formats", "own_data", "sources"},
    "labels": {"plugins"},
    "goodness": {"plugins"},
    "products": set(),
    "network": {"config", "goodness", "labels", "plugins", "products"},
    "trial": {"config", "labels", "plugins"},
    "checkpoints": {"network"},
    "train": {"checkpoints", "config", "data", "labels", "network", "trial"},
    "classifier": {"config", "data", "goodness", "labels", "train"},
    "measures": {"intervals"},
    "matching": set(),
    "topology": {"matching"},
    "taxonomy": {"config"},
    "sparsity": set(),
    "sparsity_losses": {"config", "goodness"},
    "sparsity_pairs": {"config", "data", "labels"},
    "sparsity_steps": {"sparsity", "sparsity_losses"},
    "sparsity_book": {"config", "labels", "sparsity", "sparsity_losses", "sparsity_pairs",
                      "sparsity_steps"},
    "sparsity_runs": {"config", "data", "goodness", "labels", "sparsity", "sparsity_book",
                      "sparsity_losses", "sparsity_pairs"},
    "frames": set(),
    "remembered": set(),
    "sealed": {"config"},
    "inventory": {"config", "digests", "remembered", "sealed"},
    "store": {"config", "digests", "frames", "inventory", "remembered", "sealed"},
    "listing": {"config", "console", "definitions", "digests", "inventory", "origin", "plugins",
                "sealed", "sources", "store"},
    "unused": {"checkpoints", "config", "inventory", "records", "reports", "store", "study"},
    "published": {"config"},
    "digests": {"definitions", "plugins"},
    "definitions": {"locks"},
    "catalogue": set(),
    "cleaning": set(),
    "threads": set(),
    "execution": {"cleaning", "threads"},
    "outputs": set(),
    "notebooks": {"catalogue", "cleaning", "execution", "outputs"},
    "pages": set(),
    "crate": {"digests"},
    "reports": {"catalogue", "crate", "digests", "notebooks", "outputs", "pages"},
    "explorer": {"config", "plots", "plots_latents"},
    "explorer_data": {"rq2", "rq2_topology", "store", "study"},
    "memory": {"config"},
    "planning": {"config", "console", "datasets", "memory", "sources", "train", "training",
                 "workers"},
    "shipped": {"config", "frames"},
    "shipped_studies": {"config", "frames", "shipped"},
    "records": {"config", "store"},
    "evidence": {"config", "digests", "records", "shipped", "shipped_studies", "store"},
    "study": {"config", "data", "datasets", "definitions", "digests", "installed", "own_data",
              "plugins", "profiles", "records", "shipped", "shipped_studies", "sources", "store",
              "threads"},
    "intervals": set(),
    "contrasts": {"config", "intervals", "published", "records"},
    "rq1": {"config", "contrasts", "intervals", "published", "records", "study", "train"},
    "verdicts": {"config", "contrasts", "intervals", "published", "records", "rq1", "study"},
    "audit": {"config", "contrasts", "published"},
    "curves": {"config", "intervals", "published"},
    "convergence": {"config", "contrasts", "curves", "intervals", "published", "rq1"},
    "findings": {"config", "contrasts", "published"},
    "rq2": {"config", "digests", "intervals", "measures", "plugins", "published", "records",
            "store", "study", "taxonomy", "topology", "train"},
    "distances": {"matching", "topology"},
    "topology_words": {"intervals", "rq2_topology", "topology"},
    "rq2_topology": {"config", "distances", "intervals", "measures", "rq2", "store", "study",
                     "taxonomy", "topology"},
    "polarity_view": {"config", "goodness", "intervals", "measures", "rq2", "store", "study",
                      "taxonomy"},
    "structures": {"intervals", "rq2", "study", "taxonomy"},
    "structure_words": {"intervals", "plots_latents", "rq2", "store", "structures"},
    "sharing": {"console", "rq2", "shipped", "shipped_studies", "store", "study"},
    "theorems": {"config", "intervals", "published", "shipped_studies", "sources", "sparsity_book",
                 "store", "study"},
    "conditions": {"data", "datasets", "intervals", "labels", "shipped_studies", "sources",
                   "sparsity", "sparsity_book", "study", "theorems"},
    "sparsity_words": {"conditions", "plots", "shipped_studies", "study", "theorems"},
    "sparsity_answers": {"conditions", "geometry", "published", "sources", "sparsity_words",
                         "study", "theorems"},
    "plots_conditions": {"conditions", "plots", "plots_sparsity"},
    "sparsity_bench": {"bench", "config", "data", "datasets", "memory", "sparsity",
                       "sparsity_runs"},
    "cluster_bench": {"bench", "cluster", "config", "datasets", "parcels", "store", "train",
                      "training", "workers"},
    "start_bench": {"bench", "config", "origin", "store", "study"},
    "influence": {"sparsity"},
    "needs": {"config", "polarity", "profiles", "published", "rq2"},
    "schedule": {"config", "console", "needs", "planning", "predictions", "sources", "training",
                 "workers"},
    "claims": {"claim_material", "claim_networks", "claim_theory", "config", "evidence",
               "intervals", "needs"},
    "claim_material": {"conditions", "convergence", "initialisation", "propositions", "records",
                       "rq1", "rq2", "study", "theorems"},
    "claim_networks": {"claim_material", "config", "contrasts", "convergence", "intervals",
                       "polarity", "published", "rq1", "structures", "verdicts"},
    "claim_theory": {"claim_material", "intervals", "propositions", "theorems"},
    "plots_claims": {"claims", "plots"},
    "geometry": {"data", "datasets", "influence", "intervals", "sparsity", "study"},
    "geometry_words": {"geometry", "study"},
    "initialisation": {"goodness", "threads"},
    "propositions": {"config", "goodness", "initialisation", "threads"},
    "slips": {"initialisation"},
    "parts": {"contrasts", "records"},
    "polarity": {"config", "intervals", "published", "rq1", "sources", "study"},
    "choices": {"config", "intervals", "profiles", "published", "rq1", "sources"},
    "plots": {"config", "intervals", "plugins", "published", "records"},
    "plots_rq1": {"config", "contrasts", "plots", "records"},
    "plots_contrasts": {"config", "contrasts", "plots", "published"},
    "plots_convergence": {"config", "contrasts", "plots", "records"},
    "plots_curves": {"config", "curves", "plots", "published"},
    "plots_latents": {"intervals", "plots"},
    "plots_structures": {"intervals", "plots", "plots_latents"},
    "plots_geometry": {"plots"},
    "plots_topology": {"plots", "plots_latents"},
    "plots_polarity_view": {"plots", "plots_latents", "plots_topology"},
    "plots_sparsity": {"plots"},
    "plots_settings": {"config", "plots"},
    "plots_probability": {"plots"},
    "tracing": {"digests"},
    "locks": {"console"},
    "installed": {"console", "locks"},
    "notebook_work": {"console", "memory", "notebooks", "workers"},
    "options": {"sources", "stages", "study"},
    "predictions": {"config", "planning", "store"},
    "plans": {"config", "console", "doing", "predictions", "stages", "store", "workers"},
    "diff_causes": set(),
    "diff_intervals": {"config", "published"},
    "diff_tables": {"diff_intervals"},
    "differences": {"diff_causes", "diff_tables", "reports"},
    "diff_words": {"diff_causes", "diff_intervals", "diff_tables", "differences"},
    "diff_html": {"diff_intervals", "diff_tables"},
    "diff_page": {"diff_causes", "diff_html", "diff_tables", "diff_words", "differences", "pages"},
    "console": set(),
    "doing": {"console", "digests"},
    "bench": {"config", "data", "labels", "memory", "network", "products", "train"},
    "latent_work": {"cluster", "console", "explorer_data", "faults", "memory", "plugins",
                    "polarity_view", "rq2", "rq2_topology", "sealed", "sources", "store",
                    "structures", "study", "workers"},
    "latent_bench": {"bench", "config", "data", "intervals", "labels", "latent_work", "matching",
                     "memory", "profiles", "rq2", "rq2_topology", "store", "study", "topology",
                     "train", "workers"},
    "origin": {"checkpoints", "config", "datasets", "definitions", "digests", "plugins",
               "sparsity_runs", "train", "trial"},
    "workers": {"faults"},
    "training": {"checkpoints", "config", "datasets", "digests", "origin", "plugins",
                 "sparsity_runs", "train", "workers"},
    "comparison": {"sealed", "store", "training"},
    "verification": {"comparison", "config", "console", "datasets", "digests", "planning",
                     "published", "store", "training", "workers"},
    "parcels": {"own_data", "own_formats", "sources"},
    "cluster_work": {"definitions", "digests", "own_data", "parcels", "plugins", "workers"},
    "cluster": {"cluster_work", "console", "parcels", "workers"},
    "stages": {"catalogue", "checkpoints", "cluster", "config", "console", "definitions", "digests",
               "doing", "evidence", "explorer", "explorer_data", "latent_work", "notebook_work",
               "notebooks", "origin", "planning", "plugins", "profiles", "records", "reports",
               "schedule", "store", "study", "training", "workers"},
    "publishing": {"console", "datasets", "digests", "reports", "stages", "workers"},
}  # fmt: skip


def direct_imports() -> dict[str, set[str]]:
    """Module → modules of the package that it imports."""
    paths = [p for p in (ROOT / "ffcore").glob("*.py") if p.stem != "__init__"]
    return {p.stem: imports_of(ast.parse(p.read_text(encoding="utf-8"))) for p in paths}


def imports_of(tree: ast.Module) -> set[str]:
    """Modules of the package that import statements name, or strings, wherever they stand."""
    there = {path.stem for path in (ROOT / "ffcore").glob("*.py")}
    named: set[str] = set()
    for node in ast.walk(without_type_checking(tree)):
        if isinstance(node, ast.Import):
            named |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            named |= {f"{node.module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            named.add(node.value)  # import_module("ffcore.x"), or the name of an entry point
    parts = [n.partition(":")[0].split(".") for n in named]
    return {p[1] for p in parts if len(p) > 1 and p[0] == "ffcore" and p[1] in there}


def without_type_checking(tree: ast.Module) -> ast.Module:
    """The tree without what is only imported for annotations."""

    class Remove(ast.NodeTransformer):
        def visit_If(self, node):
            return None if "TYPE_CHECKING" in ast.dump(node.test) else self.generic_visit(node)

    return Remove().visit(tree)


def test_modules_import_only_along_the_arrows():
    found = direct_imports()
    found.pop("errors")
    assert set(found) == set(ARROWS), "a new module needs its row in ARROWS"
    wrong = {
        name: sorted(imports - ARROWS[name] - EVERYONE - {name})
        for name, imports in found.items()
        if imports - ARROWS[name] - EVERYONE - {name}
    }
    assert not wrong, f"imports against the arrows: {wrong}"


def test_an_import_is_noticed_wherever_it_stands_but_not_for_types():
    inside = "def f():\n    from ffcore import network\n"
    types = "if TYPE_CHECKING:\n    from ffreport.study import study\n"
    plain = "from ffcore.errors import unknown\nimport json\nimport_module('ffcore.data')\n"
    assert imports_of(ast.parse(inside + types + plain)) == {"network", "errors", "data"}


def test_arrows_have_no_circle():
    reached: dict[str, set[str]] = {}

    def below(name: str, path: tuple[str, ...] = ()) -> set[str]:
        assert name not in path, f"circle: {' → '.join((*path, name))}"
        if name not in reached:
            steps = ARROWS.get(name, set())
            reached[name] = steps.union(*(below(m, (*path, name)) for m in steps))
        return reached[name]

    for name in ARROWS:
        below(name)


def test_modules_stay_small():
    lengths = {p.name: len(p.read_text().splitlines()) for p in (ROOT / "ffcore").glob("*.py")}
    assert {n: k for n, k in lengths.items() if k > 400} == {}


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
