"""The block engine against the plain reference, and what its results may not depend on."""

from itertools import product

import pytest
import torch

from ffcore import labels, train
from ffcore.config import FACTORS
from ffcore.network import Block, initial_weights
from ffreport.study.profiles import Grid
from tests.conftest import tiny
from tests.ffcore.reference import ReferenceNetwork

CPU = torch.device("cpu")
# Largest relative difference of weights, losses and scores after a step that both took from the
# same state. Rounding alone makes about 1e-6; Adam divides by the gradient's size, so that where
# a gradient is nearly zero its rounding shows in full: hence the absolute term, in units of lr.
STEP_TOLERANCE = dict(rtol=2e-4, atol=2e-5)

ALL = [dict(zip(FACTORS, c, strict=True)) for c in product(*FACTORS.values())]


def pair(experiment, pixels=50, classes=10):
    """The block of one network and the reference with the same weights and patterns."""
    table = labels.patterns(
        classes, experiment.label_embedding, experiment.label_size, 0.3,
        labels.generator(experiment.seed, "patterns"),
    )  # fmt: skip
    corner = experiment.label_embedding == "corner"
    inputs = pixels - classes if corner else pixels
    block = Block([experiment], inputs, table, CPU)
    weights = initial_weights(experiment, inputs + table.shape[1])
    return block, ReferenceNetwork(experiment, weights, table)


def batches(experiment, count=4, size=48, pixels=50, classes=10):
    draw = torch.Generator().manual_seed(7)
    for _ in range(count):
        images = torch.randn(size, pixels, generator=draw)
        right = torch.randint(0, classes, (size,), generator=draw)
        yield images, right, labels.negative_labels(right, classes, draw)


def agree(experiment):
    block, plain = pair(experiment)
    for images, right, wrong in batches(experiment):
        part = labels.image_part(images, experiment.label_embedding, 10)
        losses = block.step(part, right, wrong)[:, 0]
        torch.testing.assert_close(
            losses, torch.tensor(plain.step(images, right, wrong)), **STEP_TOLERANCE
        )
        ours = block.weights(0)
        for depth, layer in enumerate(plain.layers, start=1):
            torch.testing.assert_close(ours[f"layer{depth}"], layer.weight.data, **STEP_TOLERANCE)
        torch.testing.assert_close(block.scores(part)[0], plain.scores(images), **STEP_TOLERANCE)
        torch.testing.assert_close(block.latents(part)[0], plain.latents(images), **STEP_TOLERANCE)


@pytest.mark.parametrize("factors", ALL, ids=lambda f: "-".join(f.values()))
def test_each_of_the_108_configurations_steps_as_the_reference_does(factors):
    agree(tiny(**factors))


@pytest.mark.parametrize("factors", ALL[::7], ids=lambda f: "-".join(f.values()))
def test_corner_embedding_steps_as_the_reference_does(factors):
    agree(tiny(**factors, label_embedding="corner"))


@pytest.mark.parametrize("fraction", [0.25, 0.75, 0.9])
@pytest.mark.parametrize("probability", ["sigmoid", "symmetric"])
def test_any_positive_fraction_steps_as_the_reference_does(fraction, probability):
    agree(tiny(probability=probability, positive_fraction=fraction))


@pytest.mark.parametrize("widths", [(24,), (40, 32, 24), (16, 64, 32, 20)])
def test_any_widths_and_depth_step_as_the_reference_does(widths):
    agree(tiny(widths=widths, norm="l1", activation="tanh"))


@pytest.mark.parametrize("normalisation", ["group", "whole", "none"])
@pytest.mark.parametrize("passed_on", ["after", "before"])
@pytest.mark.parametrize("probability", FACTORS["probability"])
def test_what_the_papers_leave_open_steps_as_the_reference_does(
    normalisation, passed_on, probability
):
    open_ = dict(normalisation=normalisation, passed_on=passed_on, widths=(40, 32, 24))
    agree(tiny(**open_, probability=probability))
    agree(tiny(**open_, probability=probability, inhibition="wta", norm="l1"))


@pytest.mark.parametrize("factors", ALL[::5], ids=lambda f: "-".join(f.values()))
@pytest.mark.parametrize("widths", [(40, 32), (40, 32, 24)])
def test_labels_that_cannot_win_are_left_out_of_prediction_without_changing_it(factors, widths):
    experiment = tiny(**factors, widths=widths)
    block, _ = pair(experiment)
    for step, (images, right, wrong) in enumerate(batches(experiment, count=12)):
        scores = block.scores(images)[0]
        chosen = scores[torch.arange(len(images)), block.predict(images)[0]]
        # Equal up to rounding: in a saturated network many labels share the largest score.
        torch.testing.assert_close(chosen, scores.amax(dim=1), rtol=1e-6, atol=1e-6)
        block.step(images, right, wrong)
        if step == 6:
            block.layers[0][0].mul_(4)  # Confident first layers leave few labels to look at.


def test_prediction_looks_at_few_labels_once_the_first_layer_is_sure(monkeypatch):
    block, _ = pair(tiny(theta=0.0))
    images = torch.zeros(5, 50)
    sure = torch.full((5, 10), 0.01)
    sure[torch.arange(5), torch.tensor([3, 1, 4, 1, 5])] = 0.999
    columns = iter(sure.T)
    seen = []
    monkeypatch.setattr(
        block, "_probability", lambda h, depth: next(columns)[None] if depth == 0 else
        seen.append(h.shape[1]) or torch.full(h.shape[:2], 0.9)
    )  # fmt: skip
    assert block.predict(images)[0].tolist() == [3, 1, 4, 1, 5]
    assert seen == [5], "one label an image"


def test_a_block_of_many_networks_trains_each_as_if_alone():
    kind = dict(activation="tanh", norm="l2sq", inhibition="wta")
    probabilities = (("sigmoid", 2.0), ("sigmoid", 0.5), ("symmetric", 2.0))
    members = [
        tiny(**kind, aggregation=a, probability=p, theta=t)
        for a in ("sum", "mean")
        for p, t in probabilities
    ]
    table = pair(members[0])[0].table
    together = Block(members, 50, table, CPU)
    alone = [Block([m], 50, table, CPU) for m in members]
    for images, right, wrong in batches(members[0], count=6):
        together.step(images, right, wrong)
        for block in alone:
            block.step(images, right, wrong)
    for place, block in enumerate(alone):
        for name, tensor in block.weights(0).items():
            torch.testing.assert_close(together.weights(place)[name], tensor, **STEP_TOLERANCE)


def test_dropping_networks_from_a_block_leaves_the_others_unchanged():
    members = [tiny(aggregation=a, theta=t) for a in ("sum", "mean") for t in (1.0, 2.0)]
    table = pair(members[0])[0].table
    whole, cut = Block(members, 50, table, CPU), Block(members, 50, table, CPU)
    for step, (images, right, wrong) in enumerate(batches(members[0], count=6)):
        whole.step(images, right, wrong)
        cut.step(images, right, wrong)
        if step == 2:
            cut.keep([1, 3])
    for place, member in enumerate([1, 3]):
        for name, tensor in whole.weights(member).items():
            torch.testing.assert_close(cut.weights(place)[name], tensor, rtol=1e-5, atol=1e-6)


def test_networks_of_one_seed_share_weights_and_of_two_do_not():
    first, same, other = tiny(), tiny(norm="l1"), tiny(seed=1)
    assert torch.equal(initial_weights(first, 70)[0], initial_weights(same, 70)[0])
    assert not torch.equal(initial_weights(first, 70)[0], initial_weights(other, 70)[0])


def test_initial_weights_follow_pytorchs_default_bounds():
    weight = initial_weights(tiny(widths=(400, 300)), 100)[0]
    assert weight.abs().max() <= 0.1 and weight.abs().max() > 0.0999
    assert abs(weight.var() - 0.1**2 / 3) < 1e-4


def test_saving_and_loading_weights_gives_the_same_scores():
    experiment = tiny(label_embedding="corner")
    block, _ = pair(experiment)
    images = torch.randn(9, 40)
    restored = train.restore(experiment, block.weights(0))
    assert torch.equal(block.scores(images), restored.scores(images))


def test_bf16_scores_stay_near_fp32():
    images = torch.randn(64, 50)
    full = pair(tiny())[0].scores(images)
    rounded = pair(tiny(precision="bf16"))[0].scores(images)
    assert (full - rounded).abs().max() < 0.05
    assert not torch.equal(full, rounded)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_trains_as_the_cpu_does(digits):
    experiments = [e.model_copy(update={"epochs": 2}) for e in Grid(
        datasets=("digits",), inhibition=("none",),
        settings=dict(widths=[64, 64], epochs=2, batch_size=128)).experiments()]  # fmt: skip
    cpu = {r.experiment.key: r.summary["last"] for r in train.train(experiments, digits)}
    gpu = {r.experiment.key: r.summary["last"] for r in train.train(experiments, digits, "cuda")}
    assert max(abs(cpu[k] - gpu[k]) for k in cpu) < 0.05
