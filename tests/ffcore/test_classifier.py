"""The scikit-learn estimator: the project's engine, scikit-learn's rules, files that are whole."""

import inspect
import json
import os
import pickle
import random
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file, save_file
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import ffcore
from ffcore import data, train
from ffcore.classifier import ClassifierError, FFClassifier, _seal
from ffcore.config import FACTORS, Experiment
from ffcore.errors import ConfigError, StoreError
from tests.conftest import tiny
from tests.ffcore.reference import ReferenceNetwork


def small(**changes) -> FFClassifier:
    values = dict(
        widths=(40, 32), epochs=2, batch_size=128, label_size=30, label_density=0.3, wta_k=5,
        device="cpu",
    )  # fmt: skip
    return FFClassifier(**{**values, **changes})


@pytest.fixture(scope="module")
def images(digits):
    return digits.train_images.numpy().astype(float), digits.train_labels.numpy()


@pytest.fixture(scope="module")
def unseen(digits):
    return digits.test_images.numpy().astype(float), digits.test_labels.numpy()


@pytest.fixture(scope="module")
def fitted(images):
    """Two layers, winners only, so that every part of a prediction has something to do."""
    return small(inhibition="wta", epochs=4).fit(*images)


@parametrize_with_checks(
    [
        FFClassifier(widths=(64,), epochs=20, batch_size=32, device="cpu"),
        FFClassifier(
            widths=(40, 40), epochs=20, batch_size=32, device="cpu", activation="tanh",
            norm="l2sq", inhibition="wta", probability="symmetric",
        ),
    ]
)  # fmt: skip
def test_scikit_learn_finds_no_fault(estimator, check):
    check(estimator)


def test_parameters_are_the_fields_of_an_experiment_with_its_defaults():
    given = {k: p.default for k, p in inspect.signature(FFClassifier).parameters.items()}
    own = {"random_state": 0, "device": "auto", "progress": None}
    assert {k: given.pop(k) for k in own} == own
    fields = {k: f for k, f in Experiment.model_fields.items() if k not in ("dataset", "seed")}
    assert set(given) == set(fields)
    ruled = {"theta", "alpha", "positive_fraction"}
    assert all(given[k] is None for k in ruled)
    plain = set(given) - ruled - set(FACTORS)
    assert {k: given[k] for k in plain} == {k: fields[k].default for k in plain}


def test_training_on_digits_beats_chance_by_far(images, unseen):
    model = small(widths=(100, 100), epochs=12, batch_size=64, label_size=100)
    assert model.fit(*images).score(*unseen) > 0.8  # chance is 0.1
    assert model.history_[-1]["loss1"] < model.history_[0]["loss1"]


@pytest.mark.parametrize("change", [{}, {"label_embedding": "corner", "passed_on": "before"}])
def test_training_is_the_engines(digits, change):
    """Features whose mean and deviation are those of the pipeline give the pipeline's network."""
    spread = digits.train_images.double()
    spread = (spread - spread.mean()) / spread.std(correction=0)
    pixels = (spread * data.DEVIATION + data.MEAN) * 255
    given = data.Dataset("digits", pixels, digits.train_labels, pixels[:9], digits.train_labels[:9],
                         10, (64,), "")  # fmt: skip
    (theirs,) = train.train([tiny(seed=7, label_density=0.3, **change)], given)
    mine = small(label_size=20, random_state=7, **change).fit(pixels, digits.train_labels)
    for name, weights in theirs.weights.items():
        torch.testing.assert_close(torch.tensor(mine.weights_[name]), weights, rtol=1e-3, atol=1e-5)


CONFIGURATIONS = [
    {"inhibition": "wta"},
    {"probability": "symmetric", "norm": "l1", "aggregation": "mean", "widths": (30, 20, 25)},
    {"probability": "ffa-sigmoid", "activation": "sigmoid"},
    {"label_embedding": "corner", "normalisation": "whole", "activation": "tanh"},
    {"precision": "bf16", "normalisation": "none"},
]


@pytest.mark.parametrize("change", CONFIGURATIONS, ids=lambda c: "-".join(map(str, c.values())))
def test_predictions_and_latents_are_those_of_the_plain_reference(images, unseen, change):
    model = small(**change).fit(*images)
    assert [*model.weights_] == ["patterns", *(f"layer{i + 1}" for i in range(len(model.widths)))]
    table, *layers = (torch.tensor(w) for w in model.weights_.values())
    plain = ReferenceNetwork(model.experiment_, layers, table)
    inputs = torch.from_numpy((unseen[0] - images[0].mean()) / images[0].std()).float()
    scores = plain.scores(inputs)
    shares = scores / scores.sum(dim=1, keepdim=True)
    found = model.predict_proba(unseen[0])
    np.testing.assert_allclose(found, shares, atol=1e-5)
    assert (model.predict(unseen[0]) == found.argmax(axis=1)).all()
    # The latents of the predicted label: from them alone follows the score that won.
    latents = torch.from_numpy(model.transform(unseen[0])).float().split(model.widths, dim=1)
    won = sum(plain.probability(depth, h) for depth, h in enumerate(latents))
    torch.testing.assert_close(won, scores.amax(dim=1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_prediction_does_not_depend_on_its_company(images, unseen, precision):
    model = small(precision=precision).fit(*images)
    alone = np.concatenate([model.predict_proba(row[None]) for row in unseen[0][:20]])
    np.testing.assert_allclose(model.predict_proba(unseen[0])[:20], alone, rtol=1e-12)


def test_a_change_of_unit_changes_nothing(images, unseen, fitted):
    model = clone(fitted).fit(images[0] * 1000 - 5e4, images[1])
    moved = model.predict_proba(unseen[0] * 1000 - 5e4)
    np.testing.assert_allclose(moved, fitted.predict_proba(unseen[0]), atol=1e-3)
    assert model.scale_ == pytest.approx(1000 * fitted.scale_)


def test_labels_may_be_text_and_two_are_enough(images):
    X, y = images
    few = y < 2
    names = np.array(["zero", "one"])[y[few]]
    model = small(epochs=5).fit(X[few], names)
    assert model.classes_.tolist() == ["one", "zero"] and model.score(X[few], names) > 0.9
    assert model.predict_proba(X[:7]).shape == (7, 2)


def test_progress_hears_of_every_epoch_what_the_history_keeps(images):
    heard = []
    model = small(epochs=3, progress=lambda *now: heard.append(now)).fit(*images)
    accuracies = [row["training_accuracy"] for row in model.history_]
    assert heard == [(i, 3, accuracies[i - 1]) for i in (1, 2, 3)]
    assert [*model.history_[0]] == ["epoch", "training_accuracy", "loss1", "loss2"]


def test_held_out_samples_are_measured_and_not_trained_on(images, monkeypatch):
    seen = []
    engine = train.train
    spy = lambda e, d, *rest: seen.append((e[0], d)) or engine(e, d, *rest)  # noqa: E731
    monkeypatch.setattr(train, "train", spy)
    model = small(validation=200).fit(*images)
    ((experiment, dataset),) = seen
    rows = [{tuple(r) for r in part.tolist()} for part in (dataset.train_images,
                                                           dataset.test_images)]  # fmt: skip
    assert len(dataset.test_images) == 200 and not rows[0] & rows[1]
    assert len(dataset.train_images) == len(images[0]) - 200 and experiment.validation == 0
    assert "validation_accuracy" in model.history_[0] and model.experiment_.validation == 200


def test_patience_stops_and_the_epochs_up_to_there_can_be_repeated(images):
    stopping = small(validation=100, patience=1, epochs=60, learning_rate=0.05).fit(*images)
    epochs = len(stopping.history_)
    measured = [row["validation_accuracy"] for row in stopping.history_]
    assert epochs < 60 and measured[-1] <= max(measured[:-1])
    again = clone(stopping).set_params(epochs=epochs, patience=0).fit(*images)
    assert again.history_ == stopping.history_


def test_the_same_random_state_gives_the_same_network_and_no_other(images):
    def first_layer(random_state):
        return small(epochs=1, random_state=random_state).fit(*images).weights_["layer1"]

    assert np.array_equal(first_layer(3), first_layer(3))
    assert not np.array_equal(first_layer(3), first_layer(4))
    draws = [first_layer(np.random.RandomState(5)) for _ in range(2)]
    assert np.array_equal(*draws)
    assert not np.array_equal(first_layer(None), first_layer(None))


@pytest.mark.parametrize("random_state", [0, None])
def test_fitting_leaves_global_state_alone(images, random_state):
    def state():
        numbers = np.random.get_state()
        return (torch.get_rng_state().tolist(), numbers[1].tolist(), numbers[2], random.getstate(),
                torch.get_num_threads(), torch.get_float32_matmul_precision(),
                torch.get_default_dtype(), torch.is_grad_enabled())  # fmt: skip

    before = state()
    small(random_state=random_state, epochs=1).fit(*images).transform(images[0][:5])
    assert state() == before


def test_it_works_in_a_pipeline_and_a_grid_search(images, unseen):
    pipeline = make_pipeline(StandardScaler(), small())
    grid = {"ffclassifier__epochs": [1, 10], "ffclassifier__theta": np.array([1.0, 2.0])}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(*images)
    assert search.best_params_["ffclassifier__epochs"] == 10
    assert search.score(*unseen) > 0.6


def test_latents_feed_another_estimator_and_have_names(images, unseen):
    model = small().set_output(transform="pandas")
    frame = model.fit(pd.DataFrame(images[0]).add_prefix("pixel"), images[1]).transform(
        pd.DataFrame(unseen[0]).add_prefix("pixel")
    )
    assert list(frame.columns) == [f"ffclassifier{i}" for i in range(72)]
    assert list(model.feature_names_in_[:2]) == ["pixel0", "pixel1"]
    chain = make_pipeline(small(), StandardScaler(), RidgeClassifier())
    assert chain.fit(*images).score(*unseen) > 0.6


FAULTS = [
    ({"norm": "l3"}, "unknown norm 'l3'; choose l2sq, l2 or l1; did you mean"),
    ({"epochs": 0}, "epochs is 0: input should be greater than 0"),
    ({"widths": ()}, "widths is"),
    ({"inhibition": "wta", "wta_k": 30}, "lower wta_k or widen the layer"),
    ({"probability": "ffa-sigmoid", "positive_fraction": 0.5}, "positive units only"),
    ({"random_state": -1}, "random_state is -1"),
    ({"random_state": "a"}, "random_state is 'a'"),
    ({"device": "gpu"}, "unknown device 'gpu'; choose auto, cpu or cuda; did you mean 'cpu'"),
    ({"precision": "tf32"}, "tf32 needs CUDA"),
    ({"patience": 3}, "patience needs held-out samples; set validation"),
    ({"validation": 10**6}, "can be held out"),
    ({"progress": 5}, "progress is 5; choose a function"),
    ({"label_size": 1}, "cannot be told apart; raise label_size, which is 1"),
    ({"learning_rate": 1e38}, "diverged; lower learning_rate"),
]


@pytest.mark.parametrize("change, words", FAULTS, ids=lambda v: str(v)[:30])
def test_an_impossible_parameter_is_named_with_what_would_do(images, change, words):
    with pytest.raises(ClassifierError) as caught:
        small(**change).fit(*images)
    assert words in str(caught.value)
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, ConfigError)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_is_missed_in_the_estimators_words(images):
    with pytest.raises(ClassifierError, match="choose 'cpu' or 'auto'"):
        small(device="cuda").fit(*images)


def test_impossible_data_are_refused(images):
    X, y = images
    with pytest.raises(ValueError, match="one class only, '3'"):
        small().fit(X[y == 3], y[y == 3])
    with pytest.raises(ValueError, match="over the first 10 features, but X has 10"):
        small(label_embedding="corner").fit(X[:, 20:30], y)
    with pytest.raises(ValueError, match="too large"):
        small().fit(X * 1e300, y)
    with pytest.raises(ValueError, match="NaN"):
        small().fit(np.where(X > 200, np.nan, X), y)


def test_after_a_fit_that_was_interrupted_it_is_not_fitted(images):
    def interrupt(*_):
        raise KeyboardInterrupt

    model = small().fit(*images).set_params(progress=interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*images)
    with pytest.raises(NotFittedError):
        model.predict(images[0])


LABELS = [np.arange(10) - 4, np.array(list("abcdefghij")), np.array(list("jihgfedcba"), object),
          np.arange(10) / 1.0]  # fmt: skip


@pytest.mark.parametrize("names", LABELS, ids=lambda n: str(n.dtype))
def test_a_saved_classifier_is_the_same_when_loaded(tmp_path, images, unseen, names):
    frame = pd.DataFrame(images[0]).add_prefix("pixel")
    model = small(widths=np.array([20, 12]), progress=print).set_params(progress=lambda *_: None)
    model.set_params(random_state=np.random.RandomState(1)).fit(frame, names[images[1]])
    model.save(tmp_path / "model.safetensors")
    assert os.listdir(tmp_path) == ["model.safetensors"]
    loaded = FFClassifier.load(tmp_path / "model.safetensors")
    seen = pd.DataFrame(unseen[0]).add_prefix("pixel")
    for use in ("predict", "predict_proba", "transform"):
        assert np.array_equal(getattr(loaded, use)(seen), getattr(model, use)(seen))
    assert loaded.classes_.dtype == model.classes_.dtype
    assert loaded.history_ == model.history_ and loaded.experiment_ == model.experiment_
    assert list(loaded.feature_names_in_) == list(model.feature_names_in_)
    assert loaded.progress is None and loaded.random_state == model.experiment_.seed
    again = clone(loaded).fit(frame, names[images[1]])
    assert all(np.array_equal(again.weights_[k], w) for k, w in model.weights_.items())


def test_what_cannot_be_written_leaves_the_old_file(tmp_path, fitted, monkeypatch):
    path = tmp_path / "model.safetensors"
    fitted.save(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StoreError, match="No space left"):
        fitted.save(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]
    with pytest.raises(StoreError, match="No such file"):
        fitted.save(tmp_path / "nowhere" / "model.safetensors")
    with pytest.raises(NotFittedError):
        small().save(path)


def altered(path, change):
    """A file whose facts and weights were changed and sealed anew."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        facts = json.loads(file.metadata()["ffcore"])
    weights = load_file(path)
    change(facts, weights)
    text = json.dumps(facts)
    save_file(weights, path, {"ffcore": text, "sha256": _seal(text, weights)})


CHANGES = [
    (lambda f, w: f.update(format=2), "has format 2, this version reads 1"),
    (lambda f, w: f["parameters"].update(colour=1), "colour"),
    (lambda f, w: f["experiment"].update(norm="l3"), "unknown norm 'l3'"),
    (lambda f, w: f.update(classes=["<i8", [1, 2]]), "do not fit its experiment, classes"),
    (lambda f, w: w.pop("layer2"), "do not fit"),
    (lambda f, w: f.pop("history"), "history"),
]


@pytest.mark.parametrize("change, words", CHANGES, ids=lambda v: v if isinstance(v, str) else "")
def test_a_file_that_does_not_fit_is_refused(tmp_path, fitted, change, words):
    path = tmp_path / "model.safetensors"
    fitted.save(path)
    altered(path, change)
    with pytest.raises(StoreError, match=words):
        FFClassifier.load(path)


def test_a_damaged_missing_or_foreign_file_is_refused(tmp_path, fitted):
    path = tmp_path / "model.safetensors"
    with pytest.raises(StoreError, match="there is no file"):
        FFClassifier.load(path)
    fitted.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(StoreError, match="cannot load"):
        FFClassifier.load(path)
    path.write_bytes(whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:])
    with pytest.raises(StoreError, match="does not fit its checksum"):
        FFClassifier.load(path)
    path.write_bytes(pickle.dumps(fitted))
    with pytest.raises(StoreError, match="cannot load"):
        FFClassifier.load(path)
    save_file({"layer1": np.zeros(3, np.float32)}, path)
    with pytest.raises(StoreError, match="not written by FFClassifier"):
        FFClassifier.load(path)


@pytest.mark.parametrize("dtype, device", [(torch.float64, "cpu"), (torch.float32, "meta")])
def test_settings_of_the_process_change_nothing_and_stay_as_they_are(dtype, device):
    X, y = np.random.default_rng(0).random((60, 16)), np.arange(60) % 3

    def answers():
        model = FFClassifier(widths=(8,), epochs=1, batch_size=16, random_state=0).fit(X, y)
        return model.predict_proba(X), model.transform(X), model.predict(X)

    expected = answers()
    torch.set_default_dtype(dtype)
    torch.set_default_device(device)
    try:
        found = answers()
        assert torch.get_default_dtype() == dtype and torch.empty(1).device.type == device
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert all(map(np.array_equal, found, expected))


def test_a_pickled_classifier_predicts_the_same(fitted, unseen):
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.predict_proba(unseen[0]), fitted.predict_proba(unseen[0]))


def test_the_package_offers_it_and_does_not_import_it_before():
    assert ffcore.FFClassifier is FFClassifier
    with pytest.raises(AttributeError, match="no attribute 'FFClasifier'"):
        _ = ffcore.FFClasifier
    code = "import ffcore, sys; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
