"""Predicted times follow from past runs of the same kind, and say so where there are none."""

from types import SimpleNamespace

import pytest

from ffcore.config import SparsityExperiment
from ffreport.pipeline import plans
from ffreport.pipeline.training import planning
from ffreport.runs.store import Store
from tests.conftest import tiny


def past(experiment, seconds):
    return SimpleNamespace(experiment=experiment, seconds={"training": seconds})


def test_a_run_takes_as_long_as_its_like_and_longer_ones_in_proportion():
    runs = [past(tiny(), 1.0), past(tiny(seed=1), 3.0), past(tiny(seed=2), 2.0)]
    assert plans.training([tiny(seed=3)], runs) == pytest.approx(2.0)
    assert plans.training([tiny(epochs=20)], runs) == pytest.approx(20.0)
    assert plans.training([tiny(seed=3), tiny(seed=4)], runs, 2) == pytest.approx(2.0)


def test_another_data_set_is_told_by_its_size_and_another_kind_not_at_all():
    runs = [past(tiny(), 1.0)]
    other = tiny(dataset="mnist-5k")
    ratio = planning.operations(other) / planning.operations(tiny())
    assert plans.training([other], runs) == pytest.approx(ratio) and ratio > 10
    assert plans.training([SparsityExperiment(dataset="digits")], runs) is None
    assert plans.training([tiny()], []) is None


def test_similar_runs_of_the_store_come_from_the_same_data_set_first(tmp_path):
    store = Store(tmp_path)
    for e in (tiny(dataset="mnist-5k"), tiny()):
        store.save(e, {"epochs": 2}, {"history": [{"epoch": 1}]}, {}, {"training": 1.0}, {})
    found = plans.similar([tiny(seed=5)], store)
    assert [r.experiment.dataset for r in found] == ["digits", "mnist-5k"]
    assert plans.similar([SparsityExperiment(dataset="digits")], store) == []


def test_far_smaller_networks_tell_nothing_of_large_ones(tmp_path):
    store = Store(tmp_path)
    store.save(tiny(), {"epochs": 2}, {"history": [{"epoch": 1}]}, {}, {"training": 1.0}, {})
    large = tiny(dataset="mnist", widths=(1000, 1000))
    assert plans.similar([large], store) == [] and plans.similar([tiny(seed=1)], store)
