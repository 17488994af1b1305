"""What a run was made of, and that runs of before remain what they are."""

import json
from pathlib import Path

import pytest

from ffcore.config import SparsityExperiment
from ffreport.runs import origin, record
from ffreport.runs.store import Store
from tests.conftest import tiny

STUDY = SparsityExperiment(dataset="digits", width=8, epochs=1)
# Code of a network and of a sparsity run, as their records had it before the package had rooms: by
# module and definition.
BEFORE = json.loads((Path(__file__).parent / "code_before_the_rooms.json").read_text())


def stored(tmp_path, code, experiment=None):
    experiment = experiment or tiny()
    store = Store(tmp_path)
    provenance = {**origin.expected(experiment), "code": code}
    store.save(experiment, {"best": 0.5}, {"history": [{"epoch": 1.0}]}, {}, {}, provenance)
    return store.state(experiment, origin.expected(experiment))


def test_what_trains_a_kind_is_named_and_what_asks_for_it_is_not():
    network, layer = (
        {entry.partition(" ")[0] for entry in origin.expected(e)["code"]} for e in (tiny(), STUDY)
    )
    assert {"Block", "train", "goodness", "negative_labels", "multiply"} <= network
    assert {"run", "negative_labels"} <= layer and "Block" not in layer
    assert {"Experiment", "Checkpoint", "unknown", "load"}.isdisjoint(network | layer)
    assert origin.expected(tiny())["data"] != origin.expected(tiny(dataset="mnist"))["data"]


@pytest.mark.parametrize("experiment", [tiny(), STUDY], ids=lambda e: e.kind)
def test_a_run_of_before_the_rooms_is_up_to_date(tmp_path, experiment):
    assert stored(tmp_path, BEFORE[experiment.kind], experiment).usable


def test_a_run_that_lacks_a_definition_of_today_is_outdated_and_names_it(tmp_path):
    table = {m: dict(part) for m, part in BEFORE["network"].items()}
    module = next(m for m, part in table.items() if "Block" in part)
    table[module]["Block"] = "0" * 12
    state = stored(tmp_path, table)
    assert (state.name, state.reason) == ("outdated", "code changed: Block")


def test_a_record_with_more_definitions_than_todays_is_up_to_date(tmp_path):
    assert stored(tmp_path, [*origin.expected(tiny())["code"], "gone 0123456789ab"]).usable


@pytest.mark.parametrize("code", [None, "abc", 7, {"m": "x"}])
def test_a_record_without_sound_code_lacks_everything(code):
    assert record.lacking(code, ["a 1", "b 2"]) == ["a", "b"]
