"""Plug-ins from a profile to a report, as a user meets them."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from ffcore import plugins
from ffreport.pipeline.stages import Pipeline
from ffreport.study.study import read_profile
from tests.whole.test_pipeline import pipeline

ROOT = Path(__file__).parents[2]
# As examples/plugins.yaml, with less of everything.
PROFILE = """
title: "Variants"
plugins: [mine/plugins.py]
rq1:
  - datasets: [digits]
    norm: [l2, l4]
    aggregation: [sum]
    inhibition: [none]
    activation: [relu, leaky]
    probability: [symmetric, squared_share]
    settings: &tiny {epochs: 1, widths: [16, 16], batch_size: 128, label_size: 20, wta_k: 5}
  - datasets: [digits]
    configurations: [l1-sum-none-relu-symmetric]
    settings: {negatives: neighbour, epochs: 1, widths: [16, 16], batch_size: 128, label_size: 20}
rq2: {images: 20, neighbour_points: 50, tsne_points: 20, h0_points: 40, h1_points: 20, samples: 0,
      explorer_points: 20, measures: [participation_ratio]}
sparsity:
  - {dataset: digits, width: 16, epochs: 0}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A profile of one's own, trained and reported: its file, its plug-ins', the results and the
    published version."""
    folder = tmp_path_factory.mktemp("variants")
    (folder / "mine").mkdir()
    shutil.copy(ROOT / "examples" / "plugins.py", folder / "mine" / "plugins.py")
    profile, results = folder / "variants.yaml", folder / "results"
    profile.write_text(PROFILE)
    where = ["--profile", profile, "--results", results]
    pipeline("train", *where, "--only", "rq1")
    said = pipeline("report", "rq1_accuracy", "rq2_taxonomy", *where)
    version = Path(re.search(r"^(/.*)/index\.html$", said, re.M)[1])
    return profile, folder / "mine" / "plugins.py", results, version


@pytest.fixture
def opened(made, monkeypatch):
    """Opens the profile as a new process would."""
    profile, _, results, _ = made

    def opened():
        monkeypatch.setattr(plugins, "_table", {})
        monkeypatch.setattr(plugins, "_sources", {})
        found = read_profile(str(profile), root=ROOT)
        return Pipeline(ROOT, found, results, results / "figures")

    return opened


def table(made, name):
    return pd.read_csv(made[3] / "tables" / f"{name}.csv")


def test_tables_of_rq1_and_rq2_name_the_plug_ins(made):
    rows = table(made, "rq1_accuracy")
    assert {"l4-sum-none-leaky-squared_share", "l1-sum-none-relu-symmetric"} <= set(
        rows["configuration"]
    )
    assert rows["last"].notna().all() and len(rows) == 9
    own = rows["configuration"].str.contains("l4|leaky|squared_share")
    assert own.sum() == 7 and set(rows[own]["verdict"]) == {"nothing published"}
    assert set(table(made, "rq1_means_by_norm")["norm"]) == {"l2", "l1", "l4"}
    pairs = table(made, "rq1_comparisons")
    assert {("symmetric", "squared_share")} == set(
        zip(pairs["first"], pairs["second"], strict=True)
    )
    assert (pairs["same_direction"] == "nothing published").all()
    measured = table(made, "rq2_measures")
    assert set(measured["probability"]) == {"symmetric", "squared_share"}
    assert (measured["participation_ratio"].between(1, 16)).all()
    families = table(made, "rq2_structures")["family"]
    assert families.value_counts().to_dict() == {"not in the paper": 7, "symmetric-polar": 2}
    assert set(table(made, "rq2_agreement")["source"]) == {"stated by the paper",
                                                           "not in the paper"}  # fmt: skip


def test_no_path_of_the_machine_is_in_runs_pages_or_the_manifest(made):
    profile, _, results, version = made
    files = [*results.glob("runs/*/run.json"), *version.glob("*.html"), *version.glob("*.ipynb"),
             version / "manifest.json", *version.glob("tables/*.csv")]  # fmt: skip
    assert len(files) > 15
    assert [p.name for p in files if str(profile.parent) in p.read_text()] == []
    stored = [json.loads(p.read_text()) for p in results.glob("runs/*/run.json")]
    kinds = {k for run in stored for k in run["provenance"].get("plugins", {})}
    assert kinds == {"norm l4", "activation leaky", "probability squared_share",
                     "negatives neighbour"}  # fmt: skip


def test_a_comment_changes_nothing_and_a_formula_what_uses_it(made, opened):
    file = made[1]
    text = file.read_text()

    def outdated():
        states = opened().states(opened().experiments).items()
        assert {s.reason for _, s in states if s.name == "outdated"} <= {"plugins changed: norm l4"}
        return {e.name for e, s in states if s.name == "outdated"}

    try:
        file.write_text(text.replace("# The constant", "# This constant").replace("Five", "Some"))
        assert not outdated() and opened().pending("rq2_taxonomy") == ""
        file.write_text(text.replace("h.pow(4)", "h.abs().pow(4)"))
        assert outdated() == {e.name for e in opened().profile.networks() if e.norm == "l4"}
        assert opened().pending("rq1_accuracy") == "plugins changed: norm l4"
        file.write_text(text.replace("float(np.trace", "2 * float(np.trace"))
        assert not outdated()
        assert opened().pending("rq2_taxonomy") == "plugins changed: measure participation_ratio"
    finally:
        file.write_text(text)


def test_results_of_plug_ins_are_passed_over_where_these_are_not_loaded(made, monkeypatch):
    """Another profile can use the same results folder."""
    monkeypatch.setattr(plugins, "_table", {})
    said = pipeline("status", "--profile", "smoke", "--results", made[2])
    assert "networks on digits: 20 missing" in said


def test_training_can_be_narrowed_to_a_plug_in(made):
    profile, _, results, _ = made
    where = ["--profile", profile, "--results", results]
    said = pipeline("train", *where, "--norm", "l4", "--activation", "leaky")
    assert said.count("test accuracy") == 2 and "nothing to train" in said
    said = pipeline("train", *where, "--norm", "l5", code=1)
    assert "unknown norm 'l5'; choose l2sq, l2, l1 or l4" in said
