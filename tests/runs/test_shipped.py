"""Results that travel with the project: networks and sparsity runs."""

import os
from pathlib import Path

import pandas as pd
import pytest

from ffcore.config import SparsityExperiment
from ffcore.errors import StoreError
from ffcore.sparsity import runs as sparsity_runs
from ffreport.pipeline.upkeep import share
from ffreport.runs import shipped
from ffreport.runs.store import Store
from tests.conftest import tiny
from tests.runs.test_results import save

NETWORKS, HISTORIES = shipped.FORMATS["network"].files
TRAVELLING = Path(__file__).parents[2] / "shipped"


@pytest.fixture(scope="module")
def studies(digits, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("results"))
    found = []
    for rate in (0.1, 1.0):
        e = SparsityExperiment(dataset="digits", width=16, epochs=1, batch_size=512, rate=rate)
        result = sparsity_runs.run(e, digits)
        tables = {n: getattr(result, n) for n in ("steps", "epochs", "samples", "curve")}
        found.append(store.save(e, result.summary, tables, {}, result.seconds, {"python": "3"}))
    return found


@pytest.fixture(scope="module")
def runs(studies, tmp_path_factory):
    """Two of each kind."""
    store = Store(tmp_path_factory.mktemp("networks"))
    networks = [save(store, tiny(epochs=2), 0.1), save(store, tiny(epochs=3, seed=1), 1 / 3)]
    return {"network": networks, "sparsity": studies}


def write(folder, kind, runs):
    """Share runs of a kind; of the sparsity runs, the samples of the first."""
    if kind == "network":
        return share.networks(folder, runs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(share, "followed", lambda: {run.experiment.key for run in runs[:1]})
        return share.studies(folder, runs)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("kind", shipped.FORMATS)
def test_shipped_tables_give_back_what_was_shared(runs, tmp_path, kind):
    assert write(tmp_path, kind, runs[kind]) == (2, 0)
    back = shipped.Tables(tmp_path).of(kind)
    assert set(back) == {r.experiment.key for r in runs[kind]}
    for run in runs[kind]:
        found = back[run.experiment.key]
        assert found.experiment == run.experiment and found.summary == run.summary
        assert found.provenance == run.provenance and found.seconds == run.seconds
        for name in {"history", "epochs", "curve"} & found.tables.keys():
            ours, theirs = found.table(name), run.table(name)
            pd.testing.assert_frame_equal(ours, theirs, check_dtype=False, rtol=1e-6)


def test_accuracies_are_shipped_to_the_last_digit(runs, tmp_path):
    write(tmp_path, "network", runs["network"])
    found = shipped.read(tmp_path, "network")[runs["network"][1].experiment.key]
    assert set(found.table("history")["test_accuracy"]) == {1 / 3}


def test_steps_are_not_shipped_and_samples_of_the_followed_runs_alone(studies, tmp_path):
    write(tmp_path, "sparsity", studies)
    back = shipped.read(tmp_path, "sparsity")
    first, second = (back[run.experiment.key] for run in studies)
    samples = first.table("samples")
    assert set(samples["theorem"]) == {2} and len(samples) > 100
    with pytest.raises(StoreError, match="'samples' .* is not shipped"):
        second.table("samples")
    with pytest.raises(StoreError, match="'steps' .* is not shipped"):
        first.table("steps")


@pytest.mark.parametrize("kind", shipped.FORMATS)
def test_sharing_again_replaces_the_same_and_keeps_the_others(runs, tmp_path, kind):
    assert write(tmp_path, kind, runs[kind][:1]) == (1, 0)
    before = contents(tmp_path)
    assert set(before) == {*shipped.FORMATS[kind].files}
    assert write(tmp_path, kind, runs[kind][:1]) == (0, 1)
    assert contents(tmp_path) == before, "the same runs give the same bytes"
    assert write(tmp_path, kind, runs[kind]) == (1, 1)
    assert len(shipped.read(tmp_path, kind)) == 2


def test_a_network_that_is_shared_again_has_the_new_numbers(tmp_path):
    store, folder = Store(tmp_path), tmp_path / "shipped"
    share.networks(folder, [save(store, tiny(), 0.1), save(store, tiny(seed=1), 0.2)])
    assert share.networks(folder, [save(store, tiny(), 0.9), save(store, tiny(seed=2), 0.3)]) == (
        1, 1,
    )  # fmt: skip
    found = shipped.read(folder, "network").values()
    assert {r.experiment.seed: r.summary["last"] for r in found} == {0: 0.9, 1: 0.2, 2: 0.3}


def test_tables_whose_writer_was_killed_between_the_two_are_those_before(tmp_path, monkeypatch):
    store, folder = Store(tmp_path), tmp_path / "shipped"
    share.networks(folder, [save(store, tiny(), 0.1)])
    replace, replaced = os.replace, []

    def once(part, path):
        if replaced:
            raise KeyboardInterrupt
        replaced.append(path)
        replace(part, path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", once)
        with pytest.raises(KeyboardInterrupt):
            share.networks(folder, [save(store, tiny(seed=1), 0.2)])
    assert replaced == [folder / HISTORIES]
    assert {r.experiment.seed for r in shipped.read(folder, "network").values()} == {0}


def test_the_order_of_runs_does_not_matter(runs, tmp_path):
    for folder, order in (("a", 1), ("b", -1)):
        write(tmp_path / folder, "network", runs["network"][::order])
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize("kind", shipped.FORMATS)
def test_no_runs_leave_no_tables(tmp_path, kind):
    assert write(tmp_path, kind, []) == (0, 0)
    assert not list(tmp_path.iterdir()) and shipped.read(tmp_path, kind) == {}


@pytest.mark.parametrize("kind", shipped.FORMATS)
def test_the_tables_of_the_project_are_rewritten_as_they_are(tmp_path, kind):
    form, found = shipped.FORMATS[kind], shipped.read(TRAVELLING, kind)
    assert shipped.write(tmp_path, kind, found.values()) == (len(found), 0)
    for name in form.files:
        ours, theirs = (pd.read_parquet(folder / name) for folder in (tmp_path, TRAVELLING))
        pd.testing.assert_frame_equal(ours, theirs)


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, f in shipped.FORMATS.items() for name in f.files]
)
@pytest.mark.parametrize("damage", ["gone", "cut", "foreign"])
def test_damaged_tables_are_refused_with_what_to_do(runs, tmp_path, kind, name, damage):
    folder = tmp_path / "shipped"
    write(folder, kind, runs[kind])
    path = folder / name
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        pd.DataFrame({"x": [1]}).to_parquet(path)
    with pytest.raises(StoreError, match="cannot be used: .*bring all back.* checkout -- shipped"):
        shipped.read(folder, kind)


@pytest.mark.parametrize("name", [NETWORKS, HISTORIES])
def test_rows_that_do_not_fit_each_other_are_refused(runs, tmp_path, name):
    write(tmp_path, "network", runs["network"])
    frame = pd.read_parquet(tmp_path / name)
    frame = frame.head(1) if name == HISTORIES else frame.assign(key="0" * 16)
    frame.to_parquet(tmp_path / name)
    with pytest.raises(StoreError, match="cannot be used"):
        shipped.read(tmp_path, "network")
