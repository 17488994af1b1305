"""A whole report as a user makes it: each test runs ``pipeline.py`` in a process of its own."""

import json
import os
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.rigs import leaks
from tests.support import browsing
from tests.support.commands import ROOT, interrupted, pipeline


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A whole smoke report from nothing: the results and figures folders, and what was said."""
    folder = tmp_path_factory.mktemp("made")
    where = ["--results", folder / "results", "--figures", folder / "figures"]
    said = pipeline("all", "--profile", "smoke", *where)
    return folder / "results", folder / "figures", where, said


def test_all_makes_a_report_from_nothing(made):
    results, figures, _, said = made
    index = Path(re.search(r"^(/.*index\.html)$", said, re.M)[1])
    assert index.is_file() and "smoke" in index.read_text()
    assert (results / "reports" / "latest" / "index.html").samefile(index)
    for kind in ("png", "svg", "pdf"):
        assert (figures / f"rq1_accuracy_grid.{kind}").stat().st_size > 1000
    manifest = json.loads((index.parent / "manifest.json").read_text())
    assert set(manifest["files"]) >= {"index.html", "explorer.html", "rq1_accuracy.html",
                                      "rq2_taxonomy.ipynb",
                                      "tables/sparsity_theorem1.csv"}  # fmt: skip
    assert manifest["measured"]["hardware"] and manifest["seeds"] == [0]


def test_every_declared_figure_and_table_is_in_the_version(made):
    results, _, _, _ = made
    latest = results / "reports" / "latest"
    listed = pipeline("list")
    figures = re.findall(r"figure (\S+)", listed)
    tables = re.findall(r"table  (\S+)", listed)
    assert len(figures) >= 12 and len(tables) >= 9
    assert all((latest / "figures" / f"{name}.svg").is_file() for name in figures)
    assert all((latest / "tables" / f"{name}.csv").is_file() for name in tables)


def test_pages_load_nothing_from_outside_and_name_no_path_of_the_machine(made):
    results, _, _, _ = made
    for page in (results / "reports" / "latest").glob("*.html"):
        text = page.read_text()
        loaded = re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=[\"'](?!data:)([^\"']+)",
                            text)  # fmt: skip
        assert [a for a in loaded if re.match(r"(https?:)?//", a)] == []
        assert str(results) not in text and str(Path.home()) + "/" not in text


def test_every_page_works_in_a_browser_without_a_network(made, browser):
    assert not browsing.faults(browser, (made[0] / "reports" / "latest").resolve())


def test_no_published_file_tells_where_or_by_whom_it_was_made(made):
    results = made[0]
    patterns = leaks.private(results.parent, results)
    assert not leaks.leaks((results / "reports" / "latest").resolve(), patterns)


def test_a_quick_or_smoke_report_says_that_it_is_not_paper_scale(made):
    results, _, _, _ = made
    for page in (results / "reports" / "latest").glob("*.html"):
        assert re.search("not (at )?paper.scale", page.read_text(), re.I), page


def test_nothing_to_do_is_quick_and_changes_nothing(made):
    results, _, where, _ = made
    before = sorted((p, p.stat().st_mtime_ns) for p in (results / "reports").rglob("*"))
    said = pipeline("all", "--profile", "smoke", *where)
    assert "notebook" not in said and "training" not in said
    assert sorted((p, p.stat().st_mtime_ns) for p in (results / "reports").rglob("*")) == before


def test_status_and_why_say_that_all_is_up_to_date(made):
    results, _, where, _ = made
    said = pipeline("status", "--profile", "smoke", *where[:2])
    reports = list((ROOT / "notebooks").glob("*.ipynb"))
    assert (
        said.count("up to date") == len(reports) + 1  # and the explorer
        and "missing" not in said
        and "latest version" in said
    )
    said = pipeline("why", "rq1_means", "--profile", "smoke", *where[:2])
    assert said.startswith("report rq1_accuracy: up to date")
    assert pipeline("why", "--profile", "smoke", *where[:2]).strip() == "nothing to do"


def test_a_dry_run_says_what_would_be_done_and_how_long_and_does_nothing(made):
    results, figures, where, _ = made
    kept = [p for p in results.rglob("*") if p.is_file() and not p.name.startswith(".verified")]
    before = sorted((p, p.stat().st_mtime_ns) for p in kept)
    smoke = ["--profile", "smoke", *where[:2], "--dry-run"]
    assert pipeline("all", *smoke).strip() == "nothing to do"
    said = pipeline("all", *smoke, "--seeds", "5")
    line = r"^train \d+ networks on digits: missing: not trained yet \(about .* s\)"
    assert re.search(line, said, re.M)
    assert "report rq1_accuracy: not executed yet" in said and "\nin all: about" in said
    for command in (["train", *smoke, "--epochs", "9"], ["report", "rq1_accuracy", *smoke],
                    ["figure", "rq1_means", *smoke], ["explorer", *smoke],
                    ["share", *where[:2], "--dry-run"], ["bench", *where[:2], "--dry-run"],
                    ["clean", *where, "--dry-run"],
                    ["verify", "--sample", "2", *where[:2], "--dry-run"]):  # fmt: skip
        assert pipeline(*command)
    assert pipeline("data", "fetch", "mnist", "--dry-run").count("mnist: train-images") == 1
    assert sorted((p, p.stat().st_mtime_ns) for p in kept) == before


def test_claims_have_verdicts_and_a_page_that_links_to_their_evidence(made):
    results, _, where, _ = made
    said = pipeline("claims", "accuracy_sigmoid", "--profile", "smoke", *where[:2])
    assert "underpowered" in said and "evidence      rq1_accuracy#figure-rq1_differences" in said
    assert "unknown claim 'acuracy_sigmoid'" in pipeline("claims", "acuracy_sigmoid", code=1)
    latest = results / "reports" / "latest"
    page = (latest / "claims.html").read_text()
    links = set(re.findall(r'href="([a-z0-9_]+\.html)#([a-z0-9_-]+)"', page))
    assert len(links) > 10
    for file, place in links:
        assert f'id="{place}"' in (latest / file).read_text(), (file, place)


def test_one_figure_is_made_again_without_training(made):
    results, figures, where, _ = made
    before = (figures / "rq1_means.png").read_bytes()
    for kind in ("png", "svg", "pdf"):
        (figures / f"rq1_means.{kind}").unlink()
    runs = sorted(p.stat().st_mtime_ns for p in (results / "runs").iterdir())
    said = pipeline("figure", "rq1_means", "--profile", "smoke", *where)
    assert "rq1_means.png" in said
    assert (figures / "rq1_means.png").read_bytes() == before
    assert sorted(p.stat().st_mtime_ns for p in (results / "runs").iterdir()) == runs


def test_a_damaged_run_is_named_retrained_and_the_report_is_the_same(made):
    results, _, where, said = made
    version = os.readlink(results / "reports" / "latest")
    victim = next((results / "runs").glob("*/weights.safetensors"))
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    assert "weights.safetensors" in pipeline("status", "--profile", "smoke", *where[:2])
    said = pipeline("all", "--profile", "smoke", *where)
    assert "damaged" in said and "trained 1 " in said
    assert os.readlink(results / "reports" / "latest") == version


def test_an_interrupted_notebook_leaves_no_report_and_the_next_all_completes(made, tmp_path):
    results, _, _, _ = made
    (tmp_path / "runs").symlink_to(results / "runs")
    where = ["--results", tmp_path, "--figures", tmp_path / "figures"]
    arguments = ["report", "rq1_accuracy", "rq1_convergence", "--profile", "smoke", *where]
    code, said = interrupted(arguments, lambda: any(tmp_path.glob("work/*/.building-*")))
    assert code == 130 and "Traceback" not in said, said
    assert "interrupted; what was finished is stored" in said
    assert not list(tmp_path.glob("reports/*")) and not list(tmp_path.glob("work/*/rq1*"))
    page = Path(pipeline(*arguments).split()[0]).parent / "rq1_accuracy.html"
    assert page.is_file()
    assert not (tmp_path / "reports" / "latest").exists(), "one report is no complete version"


def test_reports_named_twice_or_with_the_explorer_are_made_once(made):
    where = made[2]
    twice = ("rq2_taxonomy", "explorer", "rq2_taxonomy")
    assert "index.html" in pipeline("report", *twice, "--profile", "smoke", *where)


def test_a_damaged_book_costs_only_what_it_knew(made):
    results, _, where, _ = made
    (results / ".book.json").write_text("{bad")
    said = pipeline("report", "sparsity_theorems", "--profile", "smoke", *where)
    assert "is damaged, so reports are made again" in said and "index.html" in said


def test_clean_removes_what_was_made_and_nothing_else(made):
    results, figures, where, _ = made
    keep = figures / "notes.txt"
    keep.write_text("mine")
    pipeline("clean", "--yes", *where)
    assert not (results / "work").exists() and not list(figures.glob("*.png"))
    assert keep.exists() and list((results / "runs").glob("[0-9a-f]*"))
    assert (results / "reports" / "latest" / "index.html").exists()


@pytest.fixture(scope="module")
def shared(made, tmp_path_factory):
    """A project without runs, whose shared tables hold a smoke report's networks."""
    results, _, _, _ = made
    root = tmp_path_factory.mktemp("project")
    for part in ("profiles", "notebooks"):
        shutil.copytree(ROOT / part, root / part)
    shutil.copy(ROOT / "pipeline.py", root)
    said = pipeline("share", "--results", results, "--into", root / "shipped")
    assert "20 networks added, 0 replaced; 7 sparsity runs added, 0 replaced" in said
    return root


def elsewhere(root, *arguments, code=0):
    """Run a command of the project in ``root``."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return pipeline(*arguments, code=code, root=root, env=env)


def test_a_report_is_made_from_shared_tables_without_training(shared):
    said = elsewhere(shared, "report", "rq1_accuracy", "--profile", "smoke")
    folder = shared / re.search(r"^(\S*)/index\.html$", said, re.M)[1]
    assert not list((shared / "results").glob("runs/[0-9a-f]*"))
    table = pd.read_csv(folder / "tables" / "rq1_accuracy.csv")
    assert len(table) == 13 and table["best"].notna().all()
    stand_ins = json.loads((folder / "manifest.json").read_text())["stand_ins"]
    assert len(stand_ins) == 13 and {origin for origin, _ in stand_ins.values()} == {"shipped"}
    assert "13 shipped" in (folder / "figures" / "rq1_accuracy_grid.svg").read_text()


def test_shared_latents_give_the_taxonomy_and_say_which_pictures_need_weights(shared):
    said = elsewhere(shared, "report", "rq2_taxonomy", "--profile", "smoke")
    folder = shared / re.search(r"^(\S*)/index\.html$", said, re.M)[1]
    table = pd.read_csv(folder / "tables" / "rq2_structures.csv")
    assert len(table) == 13 and set(table["origin"]) == {"shipped"}
    assert pd.read_csv(folder / "tables" / "rq2_measures.csv")["hoyer"].between(0, 1).all()
    assert "not run" in (folder / "figures" / "rq2_projections_raw.svg").read_text()
    assert "13 shipped" in (folder / "figures" / "rq2_structure_map.svg").read_text()


def test_status_says_what_stands_in_and_reports_that_need_weights_say_so(shared):
    said = elsewhere(shared, "status", "--profile", "smoke")
    assert "standing in for what is missing: 20 shipped, 3 epochs, fp32" in said
    said = elsewhere(shared, "report", "rq2_topology", "--profile", "smoke", code=1)
    assert "needs the weights" in said and "pipeline.py train --profile smoke" in said


def test_sparsity_reports_are_made_from_shared_runs(shared):
    said = elsewhere(shared, "report", "sparsity_answers", "--profile", "smoke")
    folder = shared / re.search(r"^(\S*)/index\.html$", said, re.M)[1]
    stand_ins = json.loads((folder / "manifest.json").read_text())["stand_ins"]
    assert len(stand_ins) == 7 and {origin for origin, _ in stand_ins.values()} == {"shipped"}
    page = (folder / "sparsity_answers.html").read_text()
    assert "7 of 7 runs (7 of them shipped with the project)" in page
    assert len(pd.read_csv(folder / "tables" / "answers_claims.csv")) > 5


def test_versions_are_listed_and_verified_and_their_figures_traced(made, tmp_path):
    results = made[0]
    listed = pipeline("reports", "--results", results)
    version = json.loads((results / "reports" / "latest" / "manifest.json").read_text())["version"]
    assert version in listed
    assert "as it was published" in pipeline("verify", "--results", results)
    copy = tmp_path / "elsewhere.svg"
    shutil.copy(results / "reports" / version / "figures" / "answers_kappa.svg", copy)
    said = pipeline("trace", copy, "--results", results)
    assert "command: python pipeline.py figure answers_kappa --profile smoke" in said
    assert f"published in: {version}/figures/answers_kappa.svg" in said
    damaged = tmp_path / "results" / "reports" / version
    shutil.copytree(results / "reports" / version, damaged)
    page = damaged / "index.html"
    page.write_bytes(page.read_bytes().replace(b"<", b"(", 1))
    where = ("--report", version, "--results", tmp_path / "results")
    assert "changed: index.html" in pipeline("verify", *where, code=1)
    assert "unknown version" in pipeline("verify", "--report", "x", *where[2:], code=1)
