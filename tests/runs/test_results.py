"""What stands for a planned experiment, of all that there is."""

from pathlib import Path

import pytest
import torch

from ffreport.pipeline.upkeep import share
from ffreport.runs import results, shipped
from ffreport.runs.store import Store
from tests.conftest import tiny

NOTHING = shipped.Tables(Path("no such folder"))


def save(store, experiment, accuracy=0.5):
    rows = [{"epoch": float(i + 1), "test_accuracy": accuracy, "loss1": 0.25}
            for i in range(experiment.epochs)]  # fmt: skip
    summary = {"best": accuracy, "best_epoch": 1, "last": accuracy, "selected": None,
               "selected_epoch": None, "epochs": experiment.epochs, "stopped": False}  # fmt: skip
    return store.save(experiment, summary, {"history": rows}, {"layer1": torch.zeros(2)},
                      {"training": 1.0}, {"code": {}, "data": "d"})  # fmt: skip


def tables(tmp_path, *runs):
    """A folder of shipped tables."""
    share.networks(tmp_path / "shipped", runs)
    return shipped.Tables(tmp_path / "shipped")


def best(store, entries, planned):
    (found,) = results.Results(store, entries).of([planned])
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
    found = best(ours, NOTHING, tiny(epochs=9))
    assert str(found) == "own, 4 of 9 epochs, fp32" and not found.whole


def test_the_planned_number_format_comes_first_and_another_will_do(tmp_path):
    store = Store(tmp_path)
    save(store, tiny(precision="bf16"))
    found = best(store, NOTHING, tiny())
    assert found.experiment.precision == "bf16" and found.stands_in and found.whole
    save(store, tiny())
    assert best(store, NOTHING, tiny()).experiment == tiny()


@pytest.mark.parametrize(
    "other", [dict(epochs=5), dict(seed=1), dict(theta=3.0), dict(negatives="any"), dict(norm="l1")]
)
def test_another_experiment_or_a_longer_one_stands_for_nothing(tmp_path, other):
    store = Store(tmp_path)
    save(store, tiny(**other))
    assert best(store, NOTHING, tiny()) is None


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
