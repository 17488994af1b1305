from __future__ import annotations

import pandas as pd
import pytest
import torch
from torch.nn.functional import logsigmoid, softplus

from ffcore import data, labels
from ffcore.config import SparsityExperiment
from ffcore.errors import ConfigError
from ffcore.sparsity import theory
from ffcore.sparsity.book import EVERY, RATES, SAMPLES
from ffcore.sparsity.runs import run
from ffreport.data import load


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


def goodness_of(e: SparsityExperiment, h):
    """[B], or [B, 2] of the positive and of the negative units."""
    squares = h.square()
    return squares.unflatten(1, (2, -1)).sum(2) if "polar" in e.loss else squares.sum(1)


def loss_of(e: SparsityExperiment, positive, negative):
    """The loss of DESIGN 5, or of Polar-FFA, from goodness."""
    if e.loss == "difference":
        return negative.mean() - positive.mean()
    if e.loss == "logistic":
        return softplus(e.theta - positive).mean() + softplus(negative - e.theta).mean()
    if e.loss == "polar-sigmoid":
        logits = [g[:, 0] - g[:, 1] - e.theta for g in (positive, negative)]
        return -logsigmoid(logits[0]).mean() - logsigmoid(-logits[1]).mean()
    chances = [(g[:, 0] + 1e-6) / (g.sum(1) + 2e-6) for g in (positive, negative)]
    return -chances[0].log().mean() - (1 - chances[1]).log().mean()


@pytest.mark.parametrize("loss", ["difference", "logistic", "polar-sigmoid", "polar-symmetric"])
@pytest.mark.parametrize(
    ("optimizer", "rate", "embedding", "pixels", "activation"),
    [
        ("sgd", 2.0, "corner", "unit", "relu"),
        ("adam", 1e-3, "appended", "standardised", "relu"),
        ("sgd", 1.0, "corner", "standardised", "tanh"),
    ],
)
def test_training_equals_plain_autograd(
    digits, loss, optimizer, rate, embedding, pixels, activation
):
    e = small(loss=loss, optimizer=optimizer, rate=rate, label_embedding=embedding, pixels=pixels,
              activation=activation)  # fmt: skip
    found = run(e, digits)
    weight = found.weights["initial"].clone().requires_grad_()
    rule = torch.optim.SGD if optimizer == "sgd" else torch.optim.Adam
    steps = rule([weight], lr=rate / e.width if optimizer == "sgd" else rate)
    losses = []
    for epoch in (1, 2):
        for _, x_pos, x_neg in pairs(e, digits, epoch, found.weights["patterns"]):
            steps.zero_grad()
            goodness = [
                goodness_of(e, getattr(torch, activation)(x @ weight.T)) for x in (x_pos, x_neg)
            ]
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
    monkeypatch.setattr("ffcore.sparsity.book.SAMPLES", 200)
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
    digits = load.load("mnist-5k")
    e = SparsityExperiment(dataset="mnist-5k", pixels=pixels)
    draw = labels.generator(0, "weights")
    weight = torch.randn(e.width, 784, generator=draw)
    finite, infinite = [], []
    for _, x, _ in pairs(e, digits, 0, torch.eye(10)):
        finite.append(theory.theorem1(x, (x @ weight.T).relu()).satisfied)
        infinite.append(theory.margin_infinite(x, torch.ones(len(x))) > 0)
    assert torch.cat(finite).double().mean() >= 0.999
    assert torch.cat(infinite).double().mean() >= 0.999


def layers_of(e: SparsityExperiment, inputs: int):
    """Initial weights of every layer, drawn as the run draws them."""
    draw = labels.generator(e.seed, "weights")
    sizes = [inputs, *[e.width] * (e.layers - 1)]
    return [torch.randn(e.width, size, generator=draw) / size**0.5 for size in sizes]


def passed_on(x, weight):
    h = (x @ weight.T).relu()
    return h / (h.norm(dim=1, keepdim=True) + 1e-5)


@pytest.fixture(scope="module")
def deep(digits):
    return run(small(layers=2, rate=5.0), digits)


def test_two_layers_are_each_measured_and_summarised(digits, deep):
    assert set(deep.steps["layer"]) == {1, 2}
    for name in ("steps", "epochs", "samples", "curve"):
        frame = getattr(deep, name)
        keys = frame[["epoch", "theorem", "side", "layer"]].drop_duplicates()
        assert (keys.groupby(["epoch", "theorem", "side"])["layer"].agg(set) == {1, 2}).all(), name
    first = {k for k in deep.summary if not k.startswith("layer2_")} - {"gaussian_distance"}
    assert {k.removeprefix("layer2_") for k in set(deep.summary) - first} == first | {
        "gaussian_distance"
    }
    assert {"accuracy", "theorem1_positive_satisfied_last", "theorem2_negative_change_initial",
            "theorem2_positive_margin_infinite_initial"} <= first  # fmt: skip
    assert deep.summary["layer2_accuracy"] != deep.summary["accuracy"]
    alone = run(small(rate=5.0), digits)  # layer 1 does not see the one after it
    assert torch.equal(alone.weights["final"], deep.weights["final"])
    assert alone.summary["accuracy"] == deep.summary["accuracy"]


def test_a_second_layer_learns_from_what_the_first_passes_on_after_its_step(digits, deep):
    e, patterns = deep.experiment, deep.weights["patterns"]
    weights = [w.requires_grad_() for w in layers_of(e, 64)]
    assert torch.equal(weights[0], deep.weights["initial"])
    rules, expected = [torch.optim.SGD([w], lr=e.rate / e.width) for w in weights], []
    for epoch in (1, 2):
        for _, *x in pairs(e, digits, epoch, patterns):
            for weight, rule in zip(weights, rules, strict=True):
                rule.zero_grad()
                value = loss_of(e, *(goodness_of(e, (a @ weight.T).relu()) for a in x))
                value.backward()
                rule.step()
                expected.append(value.item())
                x = [passed_on(a, weight.detach()) for a in x]
    ours = deep.steps.query("epoch > 0 and theorem == 2 and side == 'positive'")["loss"]
    assert ours.tolist() == pytest.approx(expected, rel=1e-3, abs=1e-4)
    images, scores = data.unit(digits.test_images), []
    for label in range(10):
        x = labels.embed(images, torch.full((len(images),), label), e.label_embedding, patterns)
        h = (passed_on(x, weights[0].detach()) @ weights[1].detach().T).relu()
        scores.append(h.square().sum(1))
    right = torch.stack(scores, 1).argmax(1) == digits.test_labels
    assert deep.summary["layer2_accuracy"] == pytest.approx(float(right.float().mean()), abs=0.01)


def test_a_second_layer_is_measured_on_normalised_latents_of_the_first(digits):
    e = small(layers=2, rate=1.0, batch_size=2000, epochs=0)
    found = run(e, digits)
    weights = [w.double() for w in layers_of(e, 64)]
    index, *x = next(pairs(e, digits, 0, found.weights["patterns"]))
    x = passed_on(torch.cat(x).double(), weights[0])  # before a step, in epoch 0
    assert torch.allclose(x.norm(dim=1), torch.ones(1).double(), atol=1e-4)
    h, count = (x @ weights[1].T).relu(), len(index)
    signs = torch.cat([-torch.ones(count), torch.ones(count)]).double()
    expected = pd.DataFrame(
        {
            "index": index.repeat(2).numpy(),
            "side": ["positive"] * count + ["negative"] * count,
            "margin": theory.margin(x, h, signs),
            "goodness": h.square().sum(1),
        }
    )
    ours = found.samples.query("layer == 2 and theorem == 2").merge(expected, on=["index", "side"])
    assert len(ours) == 2 * count
    for name in ("margin", "goodness"):
        close = ours[f"{name}_y"].abs().max() * 1e-4
        assert (ours[f"{name}_x"] - ours[f"{name}_y"]).abs().max() < close, name
    infinite = found.steps.query("layer == 2 and theorem == 2").set_index("side")["margin_infinite"]
    limits = theory.margin_infinite(x, signs).chunk(2)
    assert infinite["positive"] == pytest.approx(float(limits[0].mean()), rel=1e-3)
    assert infinite["negative"] == pytest.approx(float(limits[1].mean()), rel=1e-3)


@pytest.mark.parametrize("loss", ["difference", "polar-symmetric"])
@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_prediction_and_outcome_agree_for_other_activations(digits, activation, loss):
    e = small(rate=0.01, activation=activation, loss=loss, width=128, epochs=1)
    found = run(e, digits)
    agreement = found.epochs.query("quantity == 'agreement' and theorem == 2")
    assert len(agreement) == 4
    assert agreement["value"].min() >= 0.99
    assert found.epochs.query("quantity == 'undefined'")["value"].max() == 0
    assert not found.epochs["quantity"].str.contains("infinite").any()


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_theorem_1_is_measured_on_an_explicit_step_down_the_goodness_of_positives(
    digits, activation
):
    e = small(activation=activation, loss="polar-sigmoid", rate=1.0, batch_size=2000, epochs=0)
    found, value = run(e, digits), getattr(torch, activation)
    index, x, _ = next(pairs(e, digits, 0, found.weights["patterns"]))
    x, weight = x.double(), found.weights["initial"].double().requires_grad_()
    z = x @ weight.T
    h = value(z)
    (steep,) = torch.autograd.grad(h.sum(), z, retain_graph=True)
    (slope,) = torch.autograd.grad(h.square().sum(1).mean(), weight)
    h, after = h.detach(), value(x @ (weight - e.rate / e.width * slope).T).detach()
    expected = {
        "margin": theory.margin(x, h, torch.ones(len(x)).double(), steep),
        "change": theory.sparsity(after) - theory.sparsity(h),
        "goodness": h.square().sum(1),
    }
    ours = found.samples.query("theorem == 1").set_index("index").loc[index.tolist()]
    assert set(ours["side"]) == {"positive"}
    for name, values in expected.items():
        error = (torch.tensor(ours[name].to_numpy()) - values).abs().max()
        assert error < 1e-4 * values.abs().max(), name
        mean = found.steps.query("theorem == 1")[name].item()
        assert mean == pytest.approx(float(values.mean()), rel=1e-4)


@pytest.mark.parametrize("changes", [{}, {"optimizer": "adam"}, {"layers": 2}])
def test_no_epochs_measure_the_initial_network_only(digits, changes):
    found = run(small(epochs=0, **changes), digits)
    for name in ("steps", "epochs", "samples", "curve"):
        assert set(getattr(found, name)["epoch"]) == {0}
    assert (
        found.steps["data"]
        .groupby([found.steps["layer"], found.steps["theorem"], found.steps["side"]])
        .sum()
        .tolist()
        == [len(digits.train_labels)] * 3 * found.experiment.layers
    )
    assert not any(name.endswith("_training") for name in found.summary)
    for name, value in found.summary.items():
        if name.endswith("_initial"):
            assert found.summary[name.removesuffix("_initial") + "_last"] == value
    assert found.seconds["training"] == found.seconds["checking"] == 0


def test_no_epochs_leave_the_weights_alone(digits):
    found = run(small(epochs=0, rate=3.0), digits)
    assert torch.equal(found.weights["final"], found.weights["initial"])


def test_hardest_negatives_before_training_are_by_the_initial_layer(digits):
    # Steps of epoch 0 are not kept: whatever their size, the next batch has the same negatives.
    slow, fast = (run(small(epochs=0, rate=rate, negatives="hardest"), digits) for rate in (1, 30))
    assert slow.steps["loss"].tolist() == fast.steps["loss"].tolist()


@pytest.mark.parametrize("changes", [{}, {"optimizer": "adam", "rate": 1e-3}, {"layers": 2}])
def test_curve_has_a_row_a_rate_and_agreement_falls_with_it(digits, changes):
    curve = run(small(width=128, **changes), digits).curve
    keys = ["epoch", "layer", "theorem", "side"]
    groups = curve.groupby(keys)["rate"].agg(list)
    sides = [(1, "positive"), (2, "negative"), (2, "positive")]
    layers = range(1, changes.get("layers", 1) + 1)
    assert groups.index.tolist() == [(e, n, *s) for e in (0, 2) for n in layers for s in sides]
    assert all(rates == list(RATES) for rates in groups)
    assert not curve.isna().any().any()
    for (_, _, theorem, _), part in curve.groupby(keys):
        agreement, error, switched = part["agreement"], part["error"], part["switched"]
        assert agreement.iloc[:4].min() > 0.99
        if theorem == 2:  # one down the goodness makes nearly all sparser, of any size
            assert agreement.iloc[-1] < 0.95
            assert agreement.iloc[-4:].is_monotonic_decreasing
        assert error.iloc[:9].is_monotonic_increasing
        assert error.iloc[0] < 1e-3 < 0.1 < error.iloc[-1]
        assert switched.is_monotonic_increasing
        assert part["satisfied"].iloc[:8].nunique() == 1  # the prediction is of no rate


def test_curve_at_the_rate_of_a_run_is_what_its_plain_steps_did(digits):
    found = run(small(rate=1.0, batch_size=2000, epochs=1), digits)
    for _, row in found.steps.query("epoch == 0").iterrows():
        place = f"epoch == 0 and theorem == {row['theorem']} and side == '{row['side']}'"
        curve = found.curve.query(f"{place} and 0.99 < rate < 1.01").iloc[0]
        for name in ("agreement", "satisfied", "rose", "switched"):
            assert curve[name] == pytest.approx(row[name])
