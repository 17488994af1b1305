import os

import pandas as pd
import pytest
import torch

from ffcore.errors import StoreError
from ffreport.runs import results, shipped
from ffreport.runs.store import Store
from tests.conftest import tiny


def save(store, experiment, accuracy=0.5):
    rows = [{"epoch": float(i + 1), "test_accuracy": accuracy, "loss1": 0.25}
            for i in range(experiment.epochs)]  # fmt: skip
    summary = {"best": accuracy, "best_epoch": 1, "last": accuracy, "selected": None,
               "selected_epoch": None, "epochs": experiment.epochs, "stopped": False}  # fmt: skip
    return store.save(experiment, summary, {"history": rows}, {"layer1": torch.zeros(2)},
                      {"training": 1.0}, {"code": {}, "data": "d"})  # fmt: skip


def tables(tmp_path, *runs):
    shipped.write(tmp_path / "shipped", runs)
    return shipped.read(tmp_path / "shipped")


def test_shipped_tables_give_back_what_was_shared(tmp_path):
    store = Store(tmp_path)
    runs = [save(store, tiny(epochs=2), 0.1), save(store, tiny(epochs=3, seed=1), 1 / 3)]
    assert shipped.write(tmp_path / "shipped", runs) == (2, 0)
    entries = shipped.read(tmp_path / "shipped")
    for run in runs:
        entry = entries[run.experiment.key]
        assert entry.experiment == run.experiment and entry.summary == run.summary
        assert entry.provenance == run.provenance and entry.seconds == run.seconds
        pd.testing.assert_frame_equal(entry.history, run.table("history"), check_dtype=False)


def test_sharing_again_replaces_the_same_and_keeps_the_others(tmp_path):
    store, folder = Store(tmp_path), tmp_path / "shipped"
    shipped.write(folder, [save(store, tiny(), 0.1), save(store, tiny(seed=1), 0.2)])
    assert shipped.write(folder, [save(store, tiny(), 0.9), save(store, tiny(seed=2), 0.3)]) == (
        1, 1,
    )  # fmt: skip
    lasts = {e.experiment.seed: e.summary["last"] for e in shipped.read(folder).values()}
    assert lasts == {0: 0.9, 1: 0.2, 2: 0.3}
    assert sorted(p.name for p in folder.iterdir()) == [shipped.HISTORIES, shipped.NETWORKS]


def test_tables_whose_writer_was_killed_between_the_two_are_those_before(tmp_path, monkeypatch):
    store, folder = Store(tmp_path), tmp_path / "shipped"
    shipped.write(folder, [save(store, tiny(), 0.1)])
    replace, replaced = os.replace, []

    def once(part, path):
        if replaced:
            raise KeyboardInterrupt
        replaced.append(path)
        replace(part, path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", once)
        with pytest.raises(KeyboardInterrupt):
            shipped.write(folder, [save(store, tiny(seed=1), 0.2)])
    assert replaced == [folder / shipped.HISTORIES]
    assert {e.experiment.seed for e in shipped.read(folder).values()} == {0}


def test_the_same_runs_give_the_same_bytes(tmp_path):
    runs = [save(Store(tmp_path), tiny(seed=s)) for s in (0, 1)]
    shipped.write(tmp_path / "a", runs)
    shipped.write(tmp_path / "b", runs[::-1])
    for name in (shipped.NETWORKS, shipped.HISTORIES):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_no_tables_are_no_entries(tmp_path):
    assert shipped.read(tmp_path) == {}


@pytest.mark.parametrize("damage", ["truncate", "delete", "foreign", "shorten"])
@pytest.mark.parametrize("name", [shipped.NETWORKS, shipped.HISTORIES])
def test_damaged_tables_are_refused_with_what_to_do(tmp_path, name, damage):
    tables(tmp_path, save(Store(tmp_path), tiny()))
    path = tmp_path / "shipped" / name
    if damage == "delete":
        path.unlink()
    elif damage == "truncate":
        path.write_bytes(path.read_bytes()[:-9])
    elif damage == "foreign":
        pd.DataFrame({"a": [1]}).to_parquet(path)
    elif name == shipped.HISTORIES:
        pd.read_parquet(path).head(1).to_parquet(path)
    else:
        pd.read_parquet(path).assign(key="0" * 16).to_parquet(path)
    with pytest.raises(StoreError, match="git checkout -- shipped"):
        shipped.read(tmp_path / "shipped")


def best(store, entries, planned):
    (found,) = results.find([planned], store, lambda: entries)
    return found


def test_ones_own_run_comes_before_a_shipped_one(tmp_path):
    entries = tables(tmp_path, save(Store(tmp_path / "theirs"), tiny(), 0.1))
    assert best(Store(tmp_path / "none"), entries, tiny()).origin == "shipped"
    ours = Store(tmp_path / "ours")
    save(ours, tiny(), 0.9)
    found = best(ours, entries, tiny())
    assert found.origin == "own" and found.summary["last"] == 0.9 and not found.stands_in


def test_a_whole_training_comes_before_a_part_whoever_made_it(tmp_path):
    entries = tables(tmp_path, save(Store(tmp_path / "theirs"), tiny(epochs=9), 0.1))
    ours = Store(tmp_path / "ours")
    save(ours, tiny(epochs=4))
    found = best(ours, entries, tiny(epochs=9))
    assert found.origin == "shipped" and found.whole and found.stands_in
    found = best(ours, {}, tiny(epochs=9))
    assert str(found) == "own, 4 of 9 epochs, fp32" and not found.whole


def test_the_planned_number_format_comes_first_and_another_will_do(tmp_path):
    store = Store(tmp_path)
    save(store, tiny(precision="bf16"))
    found = best(store, {}, tiny())
    assert found.experiment.precision == "bf16" and found.stands_in and found.whole
    save(store, tiny())
    assert best(store, {}, tiny()).experiment == tiny()


@pytest.mark.parametrize(
    "other", [dict(epochs=5), dict(seed=1), dict(theta=3.0), dict(negatives="any"), dict(norm="l1")]
)
def test_another_experiment_or_a_longer_one_stands_for_nothing(tmp_path, other):
    store = Store(tmp_path)
    save(store, tiny(**other))
    assert best(store, {}, tiny()) is None


def test_a_damaged_run_gives_way_to_a_shipped_one(tmp_path):
    entries = tables(tmp_path, save(Store(tmp_path / "theirs"), tiny()))
    ours = Store(tmp_path / "ours")
    run = save(ours, tiny())
    (run.folder / "history.parquet").write_bytes(b"")
    assert best(ours, entries, tiny()).origin == "shipped"


def test_equal_numbers_are_equal_contents_and_others_are_not(tmp_path):
    entries = tables(tmp_path, save(Store(tmp_path / "a"), tiny(), 0.25))
    again = tables(tmp_path / "x", save(Store(tmp_path / "b"), tiny(), 0.25))
    other = tables(tmp_path / "y", save(Store(tmp_path / "c"), tiny(), 0.5))
    empty = Store(tmp_path / "none")
    first, second, third = (best(empty, e, tiny()).content for e in (entries, again, other))
    assert first == second != third
