from __future__ import annotations

import pandas as pd
import pytest
import torch
from torch.nn.functional import softplus

from ffcore import data, labels
from ffcore import sparsity as theory
from ffcore.config import SparsityExperiment
from ffcore.errors import ConfigError
from ffcore.sparsity_book import EVERY, SAMPLES
from ffcore.sparsity_runs import run


def small(**changes) -> SparsityExperiment:
    values = dict(dataset="digits", width=64, epochs=2, batch_size=128, label_size=20)
    return SparsityExperiment(**{**values, **changes})


@pytest.fixture(scope="module")
def result(digits):
    return run(small(rate=1.0), digits)


def pairs(e: SparsityExperiment, dataset: data.Dataset, epoch: int, patterns):
    """An epoch's batches of positive and negative inputs, drawn as the run draws them."""
    pixels = data.unit if e.pixels == "unit" else data.normalise
    images, own = pixels(dataset.train_images), dataset.train_labels
    order = torch.randperm(len(own), generator=labels.generator(e.seed, "order", epoch))
    draw = labels.generator(e.seed, "negatives", epoch)
    for index in order.split(e.batch_size):
        wrong = labels.negative_labels(own[index], dataset.classes, draw)
        yield (
            index,
            labels.embed(images[index], own[index], e.label_embedding, patterns),
            labels.embed(images[index], wrong, e.label_embedding, patterns),
        )


def loss_of(e: SparsityExperiment, positive, negative):
    """The loss of DESIGN 5, from goodness."""
    if e.loss == "difference":
        return negative.mean() - positive.mean()
    return softplus(e.theta - positive).mean() + softplus(negative - e.theta).mean()


@pytest.mark.parametrize("loss", ["difference", "logistic"])
@pytest.mark.parametrize(
    ("optimizer", "rate", "embedding", "pixels"),
    [("sgd", 2.0, "corner", "unit"), ("adam", 1e-3, "appended", "standardised")],
)
def test_training_equals_plain_autograd(digits, loss, optimizer, rate, embedding, pixels):
    e = small(loss=loss, optimizer=optimizer, rate=rate, label_embedding=embedding, pixels=pixels)
    found = run(e, digits)
    weight = found.weights["initial"].clone().requires_grad_()
    rule = torch.optim.SGD if optimizer == "sgd" else torch.optim.Adam
    steps = rule([weight], lr=rate / e.width if optimizer == "sgd" else rate)
    losses = []
    for epoch in (1, 2):
        for _, x_pos, x_neg in pairs(e, digits, epoch, found.weights["patterns"]):
            steps.zero_grad()
            goodness = [(x @ weight.T).relu().square().sum(1) for x in (x_pos, x_neg)]
            value = loss_of(e, *goodness)
            value.backward()
            steps.step()
            losses.append(value.item())
    ours = found.steps.query("epoch > 0 and theorem == 2 and side == 'positive'")["loss"]
    assert ours.tolist() == pytest.approx(losses, rel=1e-3, abs=1e-4)
    torch.testing.assert_close(found.weights["final"], weight.detach(), rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("loss", ["difference", "logistic"])
def test_measured_margins_and_changes_equal_those_of_the_explicit_first_step(digits, loss):
    e = small(loss=loss, rate=1.0, batch_size=2000, epochs=1)
    found = run(e, digits)
    weight = found.weights["initial"].double()
    index, x_pos, x_neg = next(pairs(e, digits, 0, found.weights["patterns"]))
    x, count = torch.cat([x_pos, x_neg]).double(), len(index)
    goodness = (x @ weight.T).relu().square().sum(1).requires_grad_()
    loss_of(e, goodness[:count], goodness[count:]).backward()
    signs, h = goodness.grad * count, (x @ weight.T).relu()
    after = (x @ (weight - e.rate / e.width * 2 / count * (signs[:, None] * h).T @ x).T).relu()
    expected = pd.DataFrame(
        {
            "index": index.repeat(2).numpy(),
            "side": ["positive"] * count + ["negative"] * count,
            "margin": theory.margin(x, h, signs),
            "sparsity": theory.sparsity(h),
            "change": theory.sparsity(after) - theory.sparsity(h),
        }
    )
    ours = found.samples.query("epoch == 0 and theorem == 2").merge(expected, on=["index", "side"])
    assert len(ours) == 2 * count
    for name in ("margin", "sparsity", "change"):
        close = ours[f"{name}_y"].abs().max() * 2e-3
        assert (ours[f"{name}_x"] - ours[f"{name}_y"]).abs().max() < close, name
    means = found.steps.query("epoch == 0 and theorem == 2").set_index("side")["margin_infinite"]
    infinite = theory.margin_infinite(x, signs)
    for side, part in zip(("positive", "negative"), infinite.chunk(2), strict=True):
        assert means[side] == pytest.approx(float(part.mean()), rel=1e-3)


def test_same_seed_gives_the_same_bits_and_leaves_the_global_generator_alone(digits, result):
    state = torch.random.get_rng_state()
    again = run(small(rate=1.0), digits)
    assert torch.equal(state, torch.random.get_rng_state())
    for name in ("steps", "epochs", "samples"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(result, name), check_exact=True)
    assert all(torch.equal(again.weights[name], w) for name, w in result.weights.items())
    assert again.summary == result.summary


def test_another_seed_gives_other_weights(digits, result):
    other = run(small(rate=1.0, seed=1, epochs=1), digits)
    assert not torch.equal(other.weights["initial"], result.weights["initial"])


@pytest.mark.parametrize("loss", ["difference", "logistic"])
def test_prediction_and_outcome_agree_at_a_small_step(digits, loss):
    found = run(small(rate=0.01, loss=loss, width=256, epochs=1), digits)
    agreement = found.epochs.query("quantity == 'agreement'")
    assert set(agreement["side"]) == {"positive", "negative"}
    assert set(agreement["theorem"]) == {1, 2}
    assert agreement["value"].min() >= 0.99


def test_a_huge_step_breaks_the_first_order_prediction(digits):
    found = run(small(rate=300.0, epochs=1), digits)
    assert found.summary["theorem2_positive_agreement_initial"] < 0.95
    assert found.summary["theorem2_positive_switched_initial"] > 0.05


def test_confusion_adds_up_to_agreement_satisfaction_and_rise(result):
    s = result.steps
    for found, expected in (
        (s.tp + s.fp + s.fn + s.tn, 1 + 0 * s.tp),
        (s.tp + s.tn, s.agreement),
        (s.tp + s.fp, s.satisfied),
        (s.tp + s.fn, s.rose),
    ):
        pd.testing.assert_series_equal(found, expected, check_names=False)


def test_epochs_are_means_over_all_data_of_an_epoch(digits, result):
    count = len(digits.train_labels)
    second = result.steps[(result.steps["theorem"] == 2) | (result.steps["epoch"] == 0)]
    assert second.groupby(["epoch", "theorem", "side"])["data"].sum().eq(count).all()
    first = result.steps[(result.steps["theorem"] == 1) & (result.steps["epoch"] > 0)]
    assert set(first["batch"]) == {b for b in set(result.steps["batch"]) if b % EVERY == 0}
    # few enough to be all of them
    assert len(result.samples) == 7 * count + first["data"].sum()
    pooled = result.samples.groupby(["epoch", "theorem", "side"])
    wide = result.epochs.pivot_table("value", ["epoch", "theorem", "side"], "quantity")
    for quantity in ("satisfied", "rose", "sparsity", "change", "goodness", "switched"):
        assert (pooled[quantity].mean() - wide[quantity]).abs().max() < 1e-7


def test_samples_are_few_and_of_the_same_images_in_every_epoch(digits, monkeypatch):
    monkeypatch.setattr("ffcore.sparsity_book.SAMPLES", 200)
    found = run(small(), digits).samples
    assert 0 < len(found) <= 200 < SAMPLES
    tracked = found[found["theorem"] == 2].groupby(["epoch", "side"])["index"].agg(sorted)
    assert all(indices == tracked.iloc[0] for indices in tracked)
    assert found["label"].tolist() == digits.train_labels[found["index"].tolist()].tolist()


def test_infinite_width_is_checked_at_initialisation_only(result):
    epochs = result.epochs.query("quantity == 'satisfied_infinite'")
    assert set(epochs["epoch"]) == {0}
    assert len(epochs) == 3


def test_initial_layer_is_gaussian_of_variance_one_over_inputs(digits):
    weight = run(small(width=2000, epochs=1, batch_size=2000), digits).weights["initial"]
    z = weight * weight.shape[1] ** 0.5
    assert abs(float(z.std()) - 1) < 0.01
    assert abs(float((z**4).mean()) - 3) < 0.1


def test_dead_latents_are_counted_and_left_out(digits):
    found = run(small(width=2, epochs=1), digits)
    assert found.epochs.query("quantity == 'undefined'")["value"].max() > 0.1
    assert found.samples["satisfied"].isna().equals(found.samples["change"].isna())
    assert found.samples["change"].isna().any()
    assert found.epochs["value"].notna().all()


def test_a_rate_that_diverges_is_an_error_that_names_it(digits):
    with pytest.raises(ConfigError, match=r"infinite in epoch \d+ with rate 1e\+30"):
        run(small(rate=1e30), digits)


def test_another_data_set_is_refused(digits):
    with pytest.raises(ConfigError, match="is of mnist, not of digits"):
        run(small(dataset="mnist"), digits)


def test_progress_is_told_of_every_epoch(digits):
    told = []
    run(small(), digits, lambda *event: told.append(event))
    assert [event[:2] for event in told] == [(0, 2), (1, 2), (2, 2)]
    assert all("Theorem 2 holds for" in event[2] for event in told)


def test_tables_can_be_stored(result, tmp_path):
    for name in ("steps", "epochs", "samples"):
        frame = getattr(result, name)
        frame.to_parquet(tmp_path / name)
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / name), frame)


def test_seconds_add_up(result):
    seconds = result.seconds
    assert seconds["training"] > 0
    assert seconds["checking"] > 0
    parts = seconds["training"] + seconds["checking"] + seconds["initial"]
    assert parts == pytest.approx(seconds["total"])


@pytest.mark.parametrize("pixels", ["unit", "standardised"])
def test_theorem_1_holds_for_real_digits_at_initialisation(pixels):
    digits = data.load("mnist-5k")
    e = SparsityExperiment(dataset="mnist-5k", pixels=pixels)
    draw = labels.generator(0, "weights")
    weight = torch.randn(e.width, 784, generator=draw)
    finite, infinite = [], []
    for _, x, _ in pairs(e, digits, 0, torch.eye(10)):
        finite.append(theory.theorem1(x, (x @ weight.T).relu()).satisfied)
        infinite.append(theory.margin_infinite(x, torch.ones(len(x))) > 0)
    assert torch.cat(finite).double().mean() >= 0.999
    assert torch.cat(infinite).double().mean() >= 0.999
