"""How long a command takes to start is measured on a store of real-looking runs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ffcore.errors import ReportError
from ffreport.pipeline.bench import start
from ffreport.runs import origin
from ffreport.runs.store import Store
from ffreport.study.study import read_profile

ROOT = Path(__file__).parents[3]


@pytest.fixture
def results(tmp_path):
    """A store of the profile's networks, none of them trained."""
    store = Store(tmp_path / "results")
    summary = {"best": 0.5, "best_epoch": 1, "last": 0.5, "selected": None, "epochs": 1}
    history = pd.DataFrame({"epoch": [1], "test_accuracy": [0.5]})
    for e in read_profile(start.PROFILE, root=ROOT).networks():
        store.save(e, summary, {"history": history}, {"0": np.ones((2, 3), np.float32)},
                   {"training": 1.0}, {"hardware": "a machine"})  # fmt: skip
    return tmp_path / "results"


def test_the_store_is_filled_with_runs_that_a_start_takes_for_its_own(results):
    before = Store(results).all()
    seconds = start.fill(ROOT, results, 25)
    runs = Store(results).all()
    assert len(runs) == len(before) + 25 and 0 < seconds < 10
    new = [run for run in runs if run.experiment.seed]
    assert len(new) == 25 and {run.experiment.seed for run in new} == {1, 2}
    for run in new:
        assert Store(results).state(run.experiment, origin.expected(run.experiment)).usable
        assert len(run.table("history")) == 1 and run.provenance["hardware"] == "a machine"


def test_a_command_is_timed_and_one_that_fails_is_not(tmp_path):
    assert 0 < start._seconds(ROOT, ["--help"], tmp_path) < 60
    with pytest.raises(ReportError, match="`pipeline.py stats` failed.*No such command 'stats'"):
        start._seconds(ROOT, ["stats"], tmp_path)


def test_every_command_is_measured_warm_and_cold(monkeypatch):
    asked = []
    times = iter([9.0, 3.0, 1.0, 2.0] * 100)  # the first start is no warm one

    def seconds(root, words, results):
        asked.append(" ".join(words))
        return 60.0 if len(asked) == 1 else next(times)

    monkeypatch.setattr(start, "_seconds", seconds)
    monkeypatch.setattr(start, "fill", lambda root, results, runs: 0.002)
    said: list[str] = []
    size = start.Size(runs=7, starts=3)
    rows = {row.what: row for row in start.measure(ROOT, said.append, size)}
    assert rows["storing a run, of 7"].value == 2.0 and "7 further networks" in said[-1]
    for command, target in (("--help", "≤ 0.3"), ("status", "≤ 1.0"), ("all", "≤ 2.0")):
        row = rows[f"{command}, 7 runs stored"]
        assert row.value == 2.0 and row.target == target
    assert rows["status, nothing remembered"].value == 9.0
    assert asked[0] == "all" and asked.count("status") == 5
