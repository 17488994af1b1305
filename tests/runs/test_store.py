import json
import os

import pandas as pd
import pytest
import torch

from ffcore.errors import StoreError
from ffreport.runs.index import summary_table
from ffreport.runs.record import RECORD
from ffreport.runs.store import WEIGHTS, Store, history_table
from tests.conftest import tiny

HISTORY = [{"epoch": 1.0, "test_accuracy": 0.5}, {"epoch": 2.0, "test_accuracy": 0.75}]
SUMMARY = {"best": 0.75, "best_epoch": 2, "last": 0.75, "selected": None, "epochs": 2}


def save(store, experiment=None, code="a"):
    return store.save(
        experiment or tiny(), SUMMARY, {"history": HISTORY}, {"layer1": torch.arange(6.0)},
        {"training": 1.5}, {"code": [f"Block {code}", "train c"], "data": "d1"},
    )  # fmt: skip


def test_a_saved_run_comes_back_whole(tmp_path):
    store = Store(tmp_path)
    assert store.state(tiny()).name == "missing"
    save(store)
    assert store.state(tiny()).usable
    run = store.load(tiny())
    assert run.experiment == tiny() and run.summary == SUMMARY
    assert torch.equal(run.weights()["layer1"], torch.arange(6.0))
    pd.testing.assert_frame_equal(run.table("history"), pd.DataFrame(HISTORY))
    assert [p.name for p in (tmp_path / "runs").iterdir()] == [tiny().key]


@pytest.mark.parametrize("file", [WEIGHTS, "history.parquet", RECORD])
@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
def test_any_damage_is_noticed_and_named(tmp_path, file, damage):
    path = save(Store(tmp_path)).folder / file
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "truncate":
        path.write_bytes(content[:-3])
    else:
        path.unlink()
    state = Store(tmp_path).state(tiny())
    assert state.name == "damaged" and file in state.reason
    with pytest.raises(StoreError, match=r"pipeline\.py train"):
        Store(tmp_path).load(tiny())
    save(Store(tmp_path))
    assert Store(tmp_path).state(tiny()).usable


def test_damage_behind_the_verified_list_is_noticed_when_the_time_changed(tmp_path):
    store = Store(tmp_path)
    path = save(store).folder / WEIGHTS
    assert store.state(tiny()).usable
    store.remembered.save()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert Store(tmp_path).state(tiny()).name == "damaged"


def test_a_run_by_other_code_or_data_is_outdated_and_says_which(tmp_path):
    store = Store(tmp_path)
    save(store)
    expected = {"code": ["Block a", "train c"], "data": "d1"}
    assert store.state(tiny(), expected).usable
    state = store.state(tiny(), {**expected, "code": ["Block b", "train c"]})
    assert (state.name, state.reason) == ("outdated", "code changed: Block")
    assert "data" in store.state(tiny(), {**expected, "data": "d2"}).reason


def test_a_record_copied_under_another_key_is_damaged(tmp_path):
    store = Store(tmp_path)
    folder = save(store).folder
    os.rename(folder, folder.with_name(tiny(seed=1).key))
    assert store.state(tiny(seed=1)).name == "damaged"


def test_an_unwritable_folder_gives_a_clear_error_and_leaves_nothing(tmp_path):
    (tmp_path / "runs").write_text("a file where a folder should be")
    with pytest.raises(StoreError, match="cannot write the run"):
        save(Store(tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["runs"]


def test_a_failing_write_leaves_no_half_written_run(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    store = Store(tmp_path)
    monkeypatch.setattr("ffcore.files.flush", full)
    with pytest.raises(StoreError, match="No space left"):
        save(store)
    assert list((tmp_path / "runs").iterdir()) == []


def test_who_holds_the_lock_sweeps_what_any_writer_left_and_others_ask_whether_it_lives(tmp_path):
    store = Store(tmp_path)
    dead, living = (store.runs / f".writing-x-{pid}" for pid in (2**22 + 1, os.getpid()))
    dead.mkdir(parents=True)
    living.mkdir()
    assert store.leftovers() == [dead]
    store.sweep()
    assert not dead.exists() and not living.exists()


def test_a_process_with_the_number_of_one_that_was_killed_goes_on_from_what_that_left(tmp_path):
    store = Store(tmp_path)  # as in a container, where the pipeline is process 1 each time
    run = save(store)
    key = run.folder.name
    half = store.runs / f".writing-{key}-{os.getpid()}"
    run.folder.rename(store.runs / f".writing-old-{key}-{os.getpid()}")
    store.sweep()
    assert Store(tmp_path).state(run.experiment).usable, "the one that was whole is back"
    half.mkdir()
    (half / "history.parquet").write_text("half")
    store.sweep()
    save(store)
    assert Store(tmp_path).state(run.experiment).usable and not store.leftovers()


def test_the_consolidated_table_has_a_row_a_network(tmp_path):
    store = Store(tmp_path)
    for seed in (0, 1):
        save(store, tiny(seed=seed))
    path = store.consolidate()
    frame = pd.read_parquet(path)
    assert frame["seed"].tolist() == [0, 1] and frame["best"].tolist() == [0.75, 0.75]
    assert set(frame["key"]) == {tiny().key, tiny(seed=1).key}
    assert len(summary_table(store.inventory.entries())) == 2
    assert len(history_table(store.all())) == 4


def test_a_record_is_plain_json_with_checksums(tmp_path):
    record = json.loads((save(Store(tmp_path)).folder / RECORD).read_text())
    assert set(record["files"]) == {WEIGHTS, "history.parquet"}
    assert record["name"] == tiny().name and len(record["seal"]) == 64
