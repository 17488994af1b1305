"""Sparsity runs that travel with the project."""

import pandas as pd
import pytest

from ffcore.config import SparsityExperiment
from ffcore.errors import StoreError
from ffcore.sparsity import runs as sparsity_runs
from ffreport.runs import shipped_studies
from ffreport.runs.store import Store


@pytest.fixture(scope="module")
def runs(digits, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("results"))
    found = []
    for rate in (0.1, 1.0):
        e = SparsityExperiment(dataset="digits", width=16, epochs=1, batch_size=512, rate=rate)
        result = sparsity_runs.run(e, digits)
        tables = {n: getattr(result, n) for n in ("steps", "epochs", "samples", "curve")}
        found.append(store.save(e, result.summary, tables, {}, result.seconds, {"python": "3"}))
    return found


def test_shipped_runs_give_back_what_was_shared_but_for_weights_and_steps(runs, tmp_path):
    first, second = runs
    assert shipped_studies.write(tmp_path, runs, {first.experiment.key}) == (2, 0)
    back = shipped_studies.read(tmp_path)
    assert set(back) == {r.experiment.key for r in runs}
    shared = back[first.experiment.key]
    assert shared.experiment == first.experiment and shared.summary == first.summary
    assert shared.seconds == first.seconds and shared.provenance == first.provenance
    for name in ("epochs", "curve"):
        ours, theirs = shared.table(name), first.table(name)
        pd.testing.assert_frame_equal(ours, theirs, check_dtype=False, rtol=1e-6)
    samples = shared.table("samples")
    assert set(samples["theorem"]) == {2} and len(samples) > 100
    with pytest.raises(StoreError, match="'samples' .* is not shipped"):
        back[second.experiment.key].table("samples")
    with pytest.raises(StoreError, match="'steps' .* is not shipped"):
        shared.table("steps")


def test_sharing_again_replaces_the_same_and_keeps_the_others(runs, tmp_path):
    assert shipped_studies.write(tmp_path, runs[:1]) == (1, 0)
    before = {name: (tmp_path / name).read_bytes() for name in shipped_studies.FILES}
    assert shipped_studies.write(tmp_path, runs[:1]) == (0, 1)
    after = {name: (tmp_path / name).read_bytes() for name in shipped_studies.FILES}
    assert before == after, "the same runs give the same bytes"
    assert shipped_studies.write(tmp_path, runs) == (1, 1)
    assert len(shipped_studies.read(tmp_path)) == 2


def test_no_runs_leave_no_tables(tmp_path):
    assert shipped_studies.write(tmp_path, []) == (0, 0)
    assert not list(tmp_path.iterdir()) and shipped_studies.read(tmp_path) == {}


@pytest.mark.parametrize("name", shipped_studies.FILES)
@pytest.mark.parametrize("damage", ["gone", "cut", "foreign"])
def test_damaged_tables_are_refused_with_what_to_do(runs, tmp_path, name, damage):
    shipped_studies.write(tmp_path, runs, {runs[0].experiment.key})
    path = tmp_path / name
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    else:
        pd.DataFrame({"x": [1]}).to_parquet(path)
    with pytest.raises(StoreError, match="cannot be used: .*bring all back"):
        shipped_studies.read(tmp_path)
