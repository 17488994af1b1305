"""A stored run trained again is bitwise the same, or inside the spread, or said to differ."""

import re
from dataclasses import replace

import pandas as pd
import pytest
import torch

from ffcore.config import SparsityExperiment, make_experiment
from ffcore.errors import StoreError
from ffreport.analysis import published
from ffreport.compute import pool
from ffreport.pipeline.training import tasks as training
from ffreport.pipeline.upkeep import verify
from ffreport.runs.store import Store
from tests.conftest import tiny
from tests.support.commands import pipeline

STUDY = SparsityExperiment(dataset="digits", width=32, epochs=1, batch_size=128)


@pytest.fixture(scope="module")
def outcomes():
    tasks = [training.Task((tiny(),)), training.Task((STUDY,))]
    return {o.experiment: o for o in pool.run_tasks(tasks, training.perform)}


@pytest.fixture
def store(tmp_path, outcomes):
    found = Store(tmp_path / "results")
    for outcome in outcomes.values():
        save(found, outcome)
    return found


def save(store, outcome, **changed):
    """Store an outcome, with some of its parts changed."""
    o = replace(outcome, **changed)
    return store.save(o.experiment, o.summary, o.tables, o.weights, o.seconds, o.provenance)


def again(store, count=1, only=None, **options):
    return verify.verify(store, verify.drawn(store, count, only=only), **options)


def altered(outcome, name="layer1"):
    """The outcome's weights with one value changed by one bit."""
    weights = {k: torch.as_tensor(w).clone() for k, w in outcome.weights.items()}
    weights[name].view(torch.int32).view(-1)[0] ^= 1
    return weights


def elsewhere(outcome, **topics):
    """The outcome's provenance as of another machine."""
    return {**outcome.provenance, "hardware": "another processor, 64 cores", **topics}


def files(folder):
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file()}


def test_runs_trained_again_here_are_bitwise_equal_and_nothing_is_written(store):
    before = files(store.results)
    found = again(store, 5)
    assert {v.name for v in found} == {tiny().name, STUDY.name}
    assert {v.verdict for v in found} == {verify.EQUAL}
    assert all(v.verified and not v.failed and v.seconds > 0 for v in found)
    assert {v.compared.partition(",")[0] for v in found} == {"3 tensors"}
    assert files(store.results) == before


def test_one_bit_of_a_weight_is_a_failure_that_names_the_tensor(store, outcomes):
    save(store, outcomes[tiny()], weights=altered(outcomes[tiny()]))
    (found,) = again(store, 1, only={tiny()})
    assert found.failed and found.verdict == verify.DIFFERS
    size = outcomes[tiny()].weights["layer1"].size
    assert found.compared == f"tensor layer1 differs in 1 of {size:,} values"


def test_another_history_is_named_with_its_first_epoch(store, outcomes):
    rows = [dict(row) for row in outcomes[tiny()].tables["history"]]
    rows[1]["loss1"] += 1e-9
    run = save(store, outcomes[tiny()], tables={"history": rows})
    (difference,) = verify.differences(run, outcomes[tiny()])
    assert difference == "history differs from epoch 2 on (loss1)"
    frame = pd.DataFrame(outcomes[tiny()].tables["history"]).astype({"loss1": "float32"})
    run = save(store, outcomes[tiny()], tables={"history": frame})
    (difference,) = verify.differences(run, outcomes[tiny()])
    assert difference == "history.loss1 is float64 instead of float32"


def test_another_summary_or_table_of_a_sparsity_run_is_named(store, outcomes):
    summary = {**outcomes[STUDY].summary, "accuracy": 0.5}
    samples = outcomes[STUDY].tables["samples"].copy()
    samples.loc[samples["epoch"] == 1, "change"] += 1
    tables = {**outcomes[STUDY].tables, "samples": samples}
    found = verify.differences(
        save(store, outcomes[STUDY], summary=summary, tables=tables), outcomes[STUDY]
    )
    assert found == [
        "samples differs from epoch 1 on (change)",
        f"accuracy is {outcomes[STUDY].summary['accuracy']} instead of 0.5",
    ]


def test_a_tensor_of_another_shape_or_kind_or_name_is_named(store, outcomes):
    weights = {k: torch.as_tensor(w) for k, w in outcomes[tiny()].weights.items()}
    halved = {**weights, "layer2": weights["layer2"].double()}
    run = save(store, outcomes[tiny()], weights=halved)
    assert "layer2 is torch.float32" in verify.differences(run, outcomes[tiny()])[0]
    run = save(store, outcomes[tiny()], weights={**weights, "layer3": torch.ones(2)})
    assert verify.differences(run, outcomes[tiny()]) == ["tensor layer3 is gone"]


def test_a_run_of_an_older_engine_lacks_a_table_and_is_compared_all_the_same(store, outcomes):
    o = outcomes[STUDY]
    tables = {k: t for k, t in o.tables.items() if k != "curve"}
    assert verify.differences(save(store, o, tables=tables), o) == ["table curve is new"]
    older = replace(o, tables=tables)
    assert verify.differences(save(store, o), older) == ["table curve is gone"]


def test_elsewhere_without_other_seeds_a_difference_is_said_and_is_no_failure(store, outcomes):
    o = outcomes[tiny()]
    summary = {**o.summary, "last": o.summary["last"] - 0.01}
    save(store, o, weights=altered(o), summary=summary, provenance=elsewhere(o))
    (found,) = again(store, 1, only={tiny()})
    assert found.verdict == verify.NO_SPREAD and not found.failed
    assert found.compared.startswith("no spread recorded; differs by 1.00 points: last")
    assert "hardware another processor, 64 cores → " in found.compared


@pytest.mark.parametrize(("away", "verdict"), [(0.02, verify.INSIDE), (0.04, verify.OUTSIDE)])
def test_elsewhere_the_spread_of_stored_seeds_decides(store, outcomes, away, verdict):
    o = outcomes[tiny()]
    for seed, beside in enumerate((0.0, -0.01, 0.01)):
        last = o.summary["last"] - away + beside
        changed = dict(summary={**o.summary, "last": last}, provenance=elsewhere(o))
        save(store, o, experiment=tiny(seed=seed), **changed)
    (found,) = again(store, 1, only={tiny()})
    assert found.verdict == verdict and found.failed == (verdict == verify.OUTSIDE)
    assert "3 standard deviations of 3 stored seeds: 3.00 points" in found.compared


def test_elsewhere_a_sparsity_run_is_compared_by_the_shares_satisfied(store, outcomes):
    o, share = outcomes[STUDY], "theorem2_positive_satisfied_training"
    for seed, shift in enumerate((0.2, 0.21, 0.22)):
        summary = {**o.summary, share: o.summary[share] + shift}
        changed = dict(summary=summary, provenance=elsewhere(o))
        save(store, o, experiment=STUDY.model_copy(update={"seed": seed}), **changed)
    (found,) = again(store, 1, only={STUDY})
    assert found.verdict == verify.OUTSIDE and found.compared.startswith(share)


def test_a_published_configuration_has_the_spread_of_the_ten_published_seeds(store, outcomes):
    row = published.ten_seeds().query("dataset == 'mnist'").iloc[0]
    factors = {k: row[k] for k in ("activation", "norm", "aggregation", "inhibition")}
    e = make_experiment(dataset="mnist", probability=row["probability"], **factors)
    o = replace(outcomes[tiny()], experiment=e)
    limit = published.BAND * row["last_std"] / 100
    for share, verdict in ((0.9, verify.INSIDE), (1.1, verify.OUTSIDE)):
        summary = {**o.summary, "last": o.summary["last"] - share * limit}
        found = verify.judge(save(store, o, summary=summary, provenance=elsewhere(o)), o)
        assert found.verdict == verdict and "ten published seeds" in found.compared


def test_what_changed_is_named_and_threads_are_no_part_of_it(outcomes):
    now = outcomes[tiny()].provenance
    then = {
        **now,
        "packages": {**now["packages"], "torch": "2.0"},
        "code": [c for c in now["code"] if not c.startswith("train ")] + ["train 0"],
        "data": "0",
        "threads": 7,
    }
    torch_now = now["packages"]["torch"]
    assert verify.changes(then, now) == [
        f"torch 2.0 → {torch_now}", "other code: train", "other data",
    ]  # fmt: skip
    assert verify.changes(now, now) == []


def test_a_sample_takes_kinds_and_data_sets_in_turn_and_follows_from_its_seed(store, outcomes):
    names = ("digits", "mnist", "mnist-5k")
    for e in [tiny(dataset=d, seed=s) for d in names for s in range(4)]:
        save(store, outcomes[tiny()], experiment=e)
    for s in range(4):
        e = STUDY.model_copy(update={"seed": s, "dataset": "mnist"})
        save(store, outcomes[STUDY], experiment=e)
    runs = store.all()
    drawn = [r.experiment for r in verify.draw(runs, 6)]
    assert sorted(e.kind for e in drawn) == ["network"] * 3 + ["sparsity"] * 3
    assert {e.dataset for e in drawn if e.kind == "network"} == set(names)
    assert {e.dataset for e in drawn if e.kind == "sparsity"} == {"digits", "mnist"}
    assert drawn == [r.experiment for r in verify.draw(runs[::-1], 6)]
    assert any(verify.draw(runs, 6, seed) != verify.draw(runs, 6) for seed in (1, 2))
    assert len(verify.draw(runs, 100)) == len(runs)


def test_what_cannot_be_trained_is_said_and_not_counted_as_verified(store, outcomes, tmp_path):
    o = outcomes[tiny()]
    save(store, o, experiment=tiny(dataset="mnist"))
    (found,) = again(store, 1, only={tiny(dataset="mnist")}, data_folder=str(tmp_path))
    assert found.verdict == verify.NOT_VERIFIED and not found.failed and not found.verified
    assert "data set missing" in found.compared
    folder = store.load(tiny()).folder
    (folder / "history.parquet").write_bytes(b"")
    (found,) = again(store, 1, only={tiny()})
    assert found.verdict == verify.DAMAGED and found.failed
    with pytest.raises(StoreError, match="no run to train again .* pipeline.py train"):
        again(Store(tmp_path / "empty"), 1)


def test_the_command_prints_a_table_and_fails_where_a_run_differs(store, outcomes):
    said = pipeline("verify", "--sample", 1, "--results", store.results)
    assert re.search(r"^digits-.*  bitwise equal  +\d.* s  +3 tensors", said, re.M)
    for e, tensor in ((tiny(), "layer1"), (STUDY, "final")):
        save(store, outcomes[e], weights=altered(outcomes[e], tensor))
    said = pipeline("verify", "--sample", 1, "--results", store.results, code=1)
    assert re.search(r"error: 1 of 1 are not as stored; first digits-.*, tensor \w+ differs", said)
    said = pipeline("verify", "--sample", 1, "--report", "x", "--results", store.results, code=1)
    assert "choose --report VERSION, or --sample N" in said


def test_a_figure_without_spread_or_without_counterpart_does_not_decide(store, outcomes):
    o = outcomes[STUDY]
    shares = [f"theorem{t}_satisfied_last" for t in ("1_positive", "2_positive", "9_positive")]
    for seed in range(3):
        # without spread, undefined in the stored runs, and of another engine
        summary = {**o.summary, **dict(zip(shares, (0.5, float("nan"), 0.5), strict=True))}
        changed = dict(summary=summary, provenance=elsewhere(o))
        run = save(store, o, experiment=STUDY.model_copy(update={"seed": seed}), **changed)
    found = verify.judge(run, o, store.all())
    assert found.verdict == verify.NO_SPREAD and shares[0] in found.compared
