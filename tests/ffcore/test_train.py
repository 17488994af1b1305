import pytest
import torch

from ffcore import train
from ffcore.errors import ConfigError
from tests.conftest import tiny

CPU = torch.device("cpu")


def one(experiment, dataset, **options):
    return next(iter(train.train([experiment], dataset, **options)))


def test_training_makes_a_bad_network_good(digits):
    experiment = tiny(epochs=12, widths=(100, 100), batch_size=64, label_size=100)
    prepared = train.prepare(digits, experiment, CPU)
    untrained = train.build([experiment], prepared.images.shape[1], digits.classes, CPU)
    before = float(train.accuracy(untrained, prepared.test_images, prepared.test_labels)[0])
    result = one(experiment, digits)
    assert before < 0.3 and result.summary["last"] > 0.8
    assert result.history[-1]["loss1"] < result.history[0]["loss1"]


def test_the_same_experiment_gives_bitwise_the_same_result(digits):
    first, second = one(tiny(), digits), one(tiny(), digits)
    assert first.history == second.history
    assert all(torch.equal(first.weights[k], second.weights[k]) for k in first.weights)


def test_a_network_does_not_depend_on_its_company(digits):
    alone = one(tiny(norm="l1"), digits)
    company = [tiny(), tiny(norm="l1"), tiny(activation="tanh")]
    found = {r.experiment.key: r for r in train.train(company, digits)}[tiny(norm="l1").key]
    assert found.history == alone.history
    assert all(torch.equal(found.weights[k], alone.weights[k]) for k in alone.weights)


def test_networks_that_train_together_learn_what_they_learn_alone(digits):
    company = [tiny(aggregation=a, theta=t, norm=n) for a in ("sum", "mean") for t in (1.0, 2.0)
               for n in ("l2", "l2sq")]  # fmt: skip
    together = {r.experiment.key: r for r in train.train(company, digits, together=True)}
    assert len(together) == 8
    for alone in train.train(company, digits):
        mine = together[alone.experiment.key]
        for ours, theirs in zip(mine.history, alone.history, strict=True):
            assert ours["loss1"] == pytest.approx(theirs["loss1"], rel=1e-3)
            assert ours["test_accuracy"] == pytest.approx(theirs["test_accuracy"], abs=0.01)


def test_stored_weights_give_the_reported_last_accuracy(digits):
    experiment = tiny()
    result = one(experiment, digits)
    prepared = train.prepare(digits, experiment, CPU)
    block = train.restore(experiment, result.weights)
    again = train.accuracy(block, prepared.test_images, prepared.test_labels)
    assert float(again[0]) == result.summary["last"] == result.history[-1]["test_accuracy"]


def test_best_last_and_selected_follow_from_the_history(digits):
    result = one(tiny(epochs=6, validation=200), digits)
    tested = [row["test_accuracy"] for row in result.history]
    held = [row["validation_accuracy"] for row in result.history]
    s = result.summary
    assert s["best"] == max(tested) and tested[s["best_epoch"] - 1] == s["best"]
    assert s["last"] == tested[-1]
    assert held[s["selected_epoch"] - 1] == max(held)
    assert s["selected"] == tested[s["selected_epoch"] - 1]


def test_without_a_validation_set_nothing_is_selected(digits):
    summary = one(tiny(), digits).summary
    assert summary["selected"] is None and summary["selected_epoch"] is None


def test_held_out_images_are_not_trained_on(digits):
    whole = train.prepare(digits, tiny(), CPU)
    part = train.prepare(digits, tiny(validation=200), CPU)
    assert len(part.held_images) == 200 and len(part.images) == len(whole.images) - 200
    rows = {tuple(r) for r in torch.cat([part.images, part.held_images]).tolist()}
    assert rows == {tuple(r) for r in whole.images.tolist()}
    assert torch.bincount(part.held_labels).tolist() == [20] * 10


@pytest.mark.parametrize(
    ("accuracies", "patience", "stops"),
    [
        ([0.5, 0.6, 0.6, 0.6], 2, True),
        ([0.5, 0.6, 0.6, 0.7], 2, False),
        ([0.7, 0.6], 2, False),
        ([0.7, 0.6, 0.6], 2, True),
        ([0.5] * 50, 0, False),
    ],
)
def test_patience_counts_epochs_without_better_accuracy(accuracies, patience, stops):
    history = [{"test_accuracy": a} for a in accuracies]
    assert train._stops(history, patience) is stops


def test_early_stopping_is_per_network_within_a_group(digits):
    stuck = tiny(norm="l2sq", activation="sigmoid", theta=2000.0, epochs=8, patience=1)
    learns = tiny(norm="l2sq", activation="sigmoid", theta=0.0, epochs=8, patience=1)
    found = {r.experiment.theta: r for r in
             train.train([stuck, learns], digits, together=True)}  # fmt: skip
    assert found[2000.0].summary["stopped"] and found[2000.0].summary["epochs"] == 2
    assert found[0.0].summary["epochs"] > 2
    assert len(found[0.0].history) == found[0.0].summary["epochs"]


def test_corner_embedding_trains(digits):
    assert one(tiny(label_embedding="corner", epochs=4), digits).summary["last"] > 0.15


def test_progress_comes_after_every_epoch(digits):
    seen = []
    list(train.train([tiny(), tiny(seed=1)], digits, progress=seen.append))
    assert [(p.done, p.epoch) for p in seen] == [(0, 1), (0, 2), (1, 1), (1, 2)]


def test_another_data_set_or_a_missing_device_is_an_error(digits):
    with pytest.raises(ConfigError, match="is of mnist, not of digits"):
        list(train.train([tiny(dataset="mnist")], digits))
    with pytest.raises(ConfigError, match="tf32 needs CUDA"):
        list(train.train([tiny(precision="tf32")], digits))
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="--device cpu"):
            train.choose_device("cuda")
    assert train.choose_device("cpu") == "cpu"
