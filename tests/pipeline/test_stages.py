"""Reports are made where their inputs changed; whichever fails, the others are made and noted."""

import subprocess
import sys

import pytest

from ffcore.errors import ReportError
from ffreport.base.code import definitions
from ffreport.pipeline import notebooks as notebook_work
from ffreport.pipeline.book import Book
from ffreport.pipeline.stages import EXPLORER, Pipeline
from ffreport.study.study import project_root, read_profile
from tests.support.commands import ROOT

NAMES = ("rq1_accuracy", "rq1_convergence", "claims")


@pytest.fixture(scope="module")
def code():
    return definitions()


@pytest.fixture
def made(tmp_path, monkeypatch, code):
    """A pipeline whose notebooks are files with a word, and the names of those that ran; the ones
    in ``failing`` raise."""
    ran, failing = [], set()

    def run(tasks):
        for task in tasks:
            if task.name in failing:
                yield notebook_work.Executed(task.name, 0.1, ReportError(f"{task.name} failed"))
                continue
            ran.append(task.name)
            task.target.mkdir(parents=True, exist_ok=True)
            (task.target / f"{task.name}.ipynb").write_text("made")
            yield notebook_work.Executed(task.name, 1.5)

    monkeypatch.setattr(notebook_work, "run", run)
    monkeypatch.setattr(Pipeline, "require", lambda self, name: None)

    def opened(**changes):
        profile = read_profile("smoke", changes, project_root())
        pipeline = Pipeline(project_root(), profile, tmp_path, tmp_path / "figures")
        pipeline.code = code
        return pipeline

    return opened, ran, failing


def test_a_report_is_made_again_only_when_its_inputs_changed_or_its_file_is_gone(made):
    opened, ran, _ = made
    for _ in range(2):
        opened().build(NAMES, train=False)
    assert ran == [*NAMES]
    opened(epochs=2).build(["claims"], train=False)
    assert ran.pop() == "claims", "other settings have entries of their own"
    pipeline = opened()
    assert pipeline.book.seconds(pipeline.entry("claims")) == 1.5
    pipeline.made("claims").unlink()
    assert pipeline.pending("claims") == "not executed yet"
    opened().build(NAMES, train=False)
    assert ran == [*NAMES, "claims"]


def test_a_failing_report_is_raised_and_costs_no_other(made):
    opened, ran, failing = made
    failing.add("rq1_accuracy")
    with pytest.raises(ReportError, match="rq1_accuracy failed"):
        opened().build(NAMES, train=False)
    assert ran == [*NAMES[1:]]
    failing.clear()
    opened().build(NAMES, train=False)
    assert ran == [*NAMES[1:], "rq1_accuracy"]


def test_what_was_made_before_an_interruption_is_not_made_again(made, monkeypatch):
    opened, ran, _ = made
    whole = notebook_work.run

    def stopped(tasks):
        yield next(whole(tasks))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(notebook_work, "run", stopped)
        opened().build(NAMES, train=False)
    assert ran == ["rq1_accuracy"] and len(Book(opened().book.path).entries) == 1
    opened().build(NAMES, train=False)
    assert ran == [*NAMES]


def test_the_explorer_comes_with_the_report_whose_networks_it_shows(made):
    pipeline = made[0]()
    assert pipeline.with_pages(["rq2_taxonomy", "claims", "rq2_taxonomy"]) == [
        "rq2_taxonomy", "claims", EXPLORER.name
    ]  # fmt: skip
    assert pipeline.with_pages(["claims"]) == ["claims"]
    assert pipeline.made(EXPLORER.name).name == "explorer.html"


def test_a_command_starts_without_what_only_work_needs():
    script = "import sys, ffreport.cli.main, ffreport.pipeline.stages; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout and not {"numpy", "pandas", "papermill", "torch"} & {*done.stdout.split()}
