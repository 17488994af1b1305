"""Tables and sentences of the sparsity reports, from the smoke profile's runs on real digits."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ffcore.config import SparsityExperiment
from ffcore.errors import StoreError
from ffcore.sparsity import runs as sparsity_runs
from ffreport.analysis.claims import ledger, theory
from ffreport.analysis.sparsity import answers, conditions, theorems, words
from ffreport.study.study import Study


@pytest.fixture(scope="module")
def study(digits, tmp_path_factory):
    study = Study("smoke", results=tmp_path_factory.mktemp("results"))
    for e in study.profile.sparsity_runs():
        found = sparsity_runs.run(e, digits)
        tables = {n: getattr(found, n) for n in ("steps", "epochs", "samples", "curve")}
        study.store.save(e, found.summary, tables, {}, found.seconds, {})
    return study


def test_theorem_1_has_a_row_a_layer_with_its_interval(study):
    table = theorems.theorem1(study)
    assert set(table["width"]) == {32, 64} and not table.duplicated(["setup", "width"]).any()
    assert (table["low"] <= table["finite_width"]).all()
    assert (table["finite_width"] <= table["high"] + 1e-9).all()
    assert table["verdict"].str.endswith("(small scale: on digits)").all(), "digits are no MNIST"
    assert set(table["pixels"]) == {"unit"} and set(table["seed"]) == {0}
    assert set(table["data"]) == {len(study.dataset("digits").train_labels)}


def test_theorem_2_is_told_before_and_in_training_with_its_worst_epoch(study):
    table = theorems.theorem2(study)
    assert len(table) == 2 * 2 * len(theorems.runs(study))
    assert (table["least"] <= table["satisfied"] + 1e-9).all()
    assert len(theorems.runs(study)) == 2, "the runs that conditions vary are another report's"
    assert len(theorems.runs(study, "conditions")) == 1
    said = words.theorem2(table)
    assert said.count("\n") == 1 and "before training" in said


def test_mistakes_are_counted_by_size_and_by_switched_units():
    size = np.linspace(1e-6, 1e-3, 400)
    frame = pd.DataFrame(
        {"side": "positive", "first_order": size * np.where(np.arange(400) % 2, 1, -1),
         "agreement": np.where(size < 5e-4, 0.0, 1.0), "switched": np.repeat([0.0, 0.01], 200)}
    )  # fmt: skip
    found = theorems.mistakes(frame)
    assert found["data"].sum() == 400 and set(found["units"]) == {"none switched", "some switched"}
    small = found[found["size"] < 4e-4]
    assert (small["wrong"] == 100).all() and (found[found["size"] > 6e-4]["wrong"] == 0).all()
    assert ((found["low"] <= found["wrong"]) & (found["wrong"] <= found["high"])).all()
    said = words.mistakes(frame)
    assert said.startswith("200 of 400 predictions were wrong (50 %). 100 % of these are of data")
    assert words.mistakes(frame.assign(agreement=1.0)).startswith("None of 400")


def test_a_small_step_is_one_up_to_which_all_smaller_ones_agree():
    rates = [1e-3, 1e-2, 1e-1, 1.0]
    shared = {"study": "s", "when": "last epoch", "layer": 1, "theorem": 2}
    parts = [
        pd.DataFrame({**shared, "side": side, "rate": rates, "agreement": agreement})
        for side, agreement in (
            ("positive", [1.0, 0.995, 0.98, 0.999]),
            ("negative", [0.9, 1.0, 1.0, 1.0]),
        )
    ]
    found = theorems.small_step(pd.concat(parts)).set_index("side")
    assert found["rate"]["positive"] == 1e-2 and found["agreement"]["positive"] == 99.5
    assert np.isnan(found["rate"]["negative"]) and found["best"]["negative"] == 100
    assert "at no step size" in words.small_step(found.reset_index())


def test_assumptions_are_passed_or_failed_with_their_values(study):
    table = theorems.assumptions(study)
    assert len(table) == len(study.sparsity_runs) and table["study"].is_unique
    failed = table["failed"].str.split(", ")
    adam = table["step"].str.startswith("Adam")
    assert adam.any() and ["step" in f for f in failed] == adam.tolist()
    assert (table["gaussian"] > 0).all() and not any("gaussian" in f for f in failed)
    assert ["switched" in f for f in failed] == (table["switched"] > 0).tolist()
    assert "*step* in 1" in words.assumptions(table)
    sound = table.assign(failed="none")
    assert words.assumptions(sound).startswith("All assumptions hold")


def test_curves_are_of_the_layer_before_training_and_in_its_last_epoch(study):
    found = theorems.curves(study)
    assert set(found["when"]) == {"before training", "last epoch"}
    counts = found[found["theorem"] == 2].groupby(["study", "when", "side", "rate"]).size()
    assert (counts == 1).all()


def test_a_sweep_holds_the_base_and_each_value_and_nothing_that_is_not_varied(study):
    found = conditions.sweep(study, "negatives")
    assert set(found["value"]) == {"wrong", "hardest"}
    assert set(found["when"]) == {"initial", "training", "last"}
    assert found[["satisfied", "rose", "agreement"]].stack().between(0, 100).all()
    table = conditions.shares(found)
    assert len(table) == 2 and table["accuracy"].between(0, 100).all()
    row = found[(found["value"] == "hardest") & (found["side"] == "negative")]
    satisfied = row.set_index("when")["satisfied"]
    ours = table.set_index("value").loc["hardest"]
    assert ours["negative_initial"] == satisfied["initial"]
    assert ours["negative_training"] == satisfied["training"]
    assert conditions.sweep(study, "theta").empty
    assert "varies no threshold" in words.sweep(conditions.sweep(study, "theta"),
                                                         "threshold")  # fmt: skip
    assert set(conditions.table(study)["setting"]) == {"width", "negatives", "rate", "batch size"}


def test_the_balance_of_a_step_is_between_raising_and_lowering_all(study):
    found = conditions.lowering(study)
    assert found["lowering"].between(-1, 1).all() and found["rose"].between(0, 100).all()
    initial = found[(found["when"] == "initial") & (found["loss"] == theorems.LOSSES["difference"])]
    assert initial["lowering"].abs().max() < 0.2, "the difference of goodness is balanced"
    runs = [r for r in study.sparsity_runs if r.experiment.layers == 1]
    batches = sum(len(r.table("steps").query("theorem == 2")) // 2 for r in runs)
    assert found["steps"].sum() == batches
    assert found["all_or_none"].between(0, 100).all()
    frame = pd.DataFrame({"lowering": [0.5, 0.4, -0.5, 0.01], "rose": [100.0, 80.0, 10.0, 50.0],
                          "steps": [3, 1, 7, 2], "data": [300, 100, 7, 2],
                          "when": "training"})  # fmt: skip
    said = words.law(frame)
    assert "95 % in the 4 steps that lower goodness in all" in said
    assert "10 % in the 7 steps that raise it in all" in said


def test_errors_of_finite_width_fall_with_the_root_of_the_width(study, monkeypatch):
    monkeypatch.setattr(conditions, "WIDTHS", (64, 256, 1024, 4096))
    monkeypatch.setattr(conditions, "IMAGES", 40)
    frame = conditions.finite_width(study, "digits")
    fitted = conditions.orders(frame)
    assert len(fitted) == len(conditions.LIMITS)
    assert fitted["order"].between(-0.6, -0.4).all()
    exact = pd.DataFrame(
        {"quantity": "margin", "width": [64, 256, 1024] * 2, "repeat": [0] * 3 + [1] * 3,
         "error": [0.5, 0.25, 0.125, 0.4, 0.2, 0.1]}
    )  # fmt: skip
    assert conditions.orders(exact)["order"].iloc[0] == pytest.approx(-0.5)
    assert "1 of 1 intervals hold −½" in words.orders(conditions.orders(exact))


def test_claims_and_what_is_told_beside_them_are_rows_of_the_ledger(study):
    table = ledger.table(study, ledger.of_sparsity())
    assert set(table["claim"]) == {claim.name for claim in ledger.of_sparsity()}
    beside = {claim.name for claim in ledger.of_sparsity() if not claim.counted}
    assert {"theorem_2_rates", "theorem_2_limit_negatives"} < beside
    assert not beside & {claim.name for claim in ledger.ledger()}
    assert set(table["verdict"]) == {ledger.UNDERPOWERED}, "nothing here is the paper's"
    there = table[table["value"].notna()]
    assert there["because"].str.startswith("on digits").all() and set(beside) <= set(there["claim"])
    rates = table[table["claim"] == "theorem_2_rates"]["dataset"].tolist()
    assert len(rates) == 2 and rates[1] == "digits, SGD, 100/n", "the smaller one first"


@pytest.mark.parametrize(
    ("values", "verdict"),
    [((60, 65, 70), ledger.REPRODUCED), ((20, 25, 30), ledger.CONTRADICTED),
     ((40, 50, 60), ledger.NOISE), ((60, 70), ledger.UNDERPOWERED)],
)  # fmt: skip
def test_a_verdict_over_seeds_is_open_while_the_interval_holds_the_claim(values, verdict):
    named = {"dataset": "mnist", "loss": "difference", "optimizer": "sgd", "side": "positive"}
    steps = [{**named, "when": "training", "seed": seed, "satisfied": v}
             for seed, v in enumerate(values)]  # fmt: skip
    material = SimpleNamespace(steps=pd.DataFrame(steps))
    (found,) = theory.theorem_2(material, "positive")
    (claim,) = [c for c in ledger.ledger() if c.name == "theorem_2_positives"]
    assert ledger.word(ledger.judge(claim, found)) == verdict


def test_a_run_tells_how_it_differs_from_the_published_conditions():
    e = SparsityExperiment(dataset="mnist")
    assert theorems.elsewhere(e) == ""
    other = e.model_copy(update={"dataset": "digits", "loss": "logistic", "optimizer": "adam",
                                 "layers": 2})  # fmt: skip
    assert theorems.elsewhere(other) == "on digits, logistic, Adam, layers 2"
    assert theorems.elsewhere(e.model_copy(update={"width": 64, "seed": 3})) == ""


def test_answers_are_sentences_with_numbers(study):
    assert "6 runs here" in answers.when(study)
    said = answers.reach(study)
    assert "hardest" in said and "accuracy" in said


def test_theorem_1_in_training_has_its_worst_epoch(study):
    table = theorems.theorem1_training(study)
    assert len(table) == 2 and (table["least"] <= table["training"]).all()
    assert table[["initial", "training", "least", "rose_least"]].stack().between(0, 100).all()


def test_runs_that_sweeps_share_are_counted_once(study):
    table = conditions.table(study)
    assert table["key"].duplicated().any(), "the base of several sweeps"
    said = answers.when(study)
    first = table[table["layer"] == 1].dropna(subset=["positive_training"])
    assert f" of {first['key'].nunique()} runs here" in said


def test_profiles_without_sweeps_or_relu_layers_say_so(study, monkeypatch):
    bare = [s.model_copy(update={"vary": {}}) for s in study.profile.sparsity]
    monkeypatch.setattr(study, "profile", study.profile.model_copy(update={"sparsity": bare}))
    assert "varies no condition" in answers.when(study)
    assert "varies neither" in answers.reach(study)
    only = [s for s in bare if s.part == "conditions"]
    monkeypatch.setattr(study, "profile", study.profile.model_copy(update={"sparsity": only}))
    with pytest.raises(StoreError, match="has no sparsity study of part theorems"):
        theorems.runs(study)
