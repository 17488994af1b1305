from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ffcore import data, labels
from ffcore.config import SparsityExperiment
from ffcore.errors import ConfigError
from ffcore.sparsity.pairs import Pairs, Source

SIZE, WIDTH = 20, 10  # of random pairs: their own products are fewer for 15 pairs or less
FEW, MANY = (1, 2, 9, 15), (16, 60)
KINDS = ("wrong", "hardest", "hybrid", "noise")
quick = settings(max_examples=25, deadline=None)


def random_pairs(seed: int, count: int, sparse: bool, changed: int = 4):
    """Pairs that differ in a few columns or in all, and what is multiplied with them."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    positive, negative = normal(count, SIZE), normal(count, SIZE)
    columns = torch.randperm(SIZE, generator=draw)[:changed].sort().values
    if not sparse:
        return Pairs(positive, negative), normal(2 * count, WIDTH), normal(count, WIDTH)
    shift = negative[:, columns] - positive[:, columns]
    negative = positive.clone().index_add(1, columns, shift)
    pairs = Pairs(positive, negative, columns, shift)
    return pairs, normal(2 * count, WIDTH), normal(count, WIDTH)


@quick
@given(st.integers(0, 10**6), st.sampled_from(FEW + MANY), st.booleans(), st.integers(0, SIZE))
def test_products_equal_the_dense_ones(seed, count, sparse, changed):
    pairs, signed, lowered = random_pairs(seed, count, sparse, changed)
    x, draw = torch.cat([pairs.positive, pairs.negative]), torch.Generator().manual_seed(seed)
    matrix = torch.randn(WIDTH, SIZE, generator=draw, dtype=torch.float64)
    gradient = pairs.gradient(signed)
    torch.testing.assert_close(pairs.through(matrix), x @ matrix.T)
    torch.testing.assert_close(gradient, signed.T @ x)
    v, down = pairs.influence(signed, lowered, gradient)
    torch.testing.assert_close(v, x @ x.T @ signed)
    torch.testing.assert_close(down, pairs.positive @ pairs.positive.T @ lowered)


@pytest.mark.parametrize("count", FEW + MANY)
def test_products_of_few_pairs_do_without_the_gradient(count):
    pairs, signed, lowered = random_pairs(0, count, sparse=True)
    unknown = torch.full((WIDTH, SIZE), torch.nan, dtype=torch.float64)
    v, _ = pairs.influence(signed, lowered, unknown)
    assert bool(v.isfinite().all()) == (count in FEW)


def test_products_leave_their_arguments_alone():
    pairs, signed, lowered = random_pairs(1, 9, sparse=True)
    given_ = [*pairs, signed, lowered]
    kept = [part.clone() for part in given_]
    pairs.influence(signed, lowered, pairs.gradient(signed))
    pairs.through(torch.ones(WIDTH, SIZE).double())
    assert all(torch.equal(a, b) for a, b in zip(given_, kept, strict=True))


def experiment(**changes) -> SparsityExperiment:
    values = dict(dataset="digits", batch_size=100, label_embedding="appended", label_size=20)
    return SparsityExperiment(**{**values, **changes})


def random_scores(images):
    """Scores of 10 labels that depend on the image only."""
    draw = torch.Generator().manual_seed(0)
    return images @ torch.randn(images.shape[1], 10, generator=draw)


def epoch_of(e: SparsityExperiment, dataset: data.Dataset, epoch: int = 1):
    return list(Source(e, dataset, "cpu").batches(epoch, random_scores))


def parts(inputs, e: SparsityExperiment):
    """Image and label of inputs, appended or in the corner."""
    if e.label_embedding == "corner":
        return inputs[:, 10:], inputs[:, :10]
    return inputs[:, : -e.label_size], inputs[:, -e.label_size :]


def whole(batches):
    """Indices, positives and negatives of all batches."""
    return (
        torch.cat([b.indices for b in batches]),
        torch.cat([b.pairs.positive for b in batches]),
        torch.cat([b.pairs.negative for b in batches]),
    )


def labelled(dataset: data.Dataset, count: int, shape: tuple[int, ...] = (8, 8)) -> data.Dataset:
    """Images that hold nothing but their own number, from 1, so that every pixel tells its own."""
    pixels = torch.arange(1, count + 1, dtype=torch.uint8)[:, None]
    size = torch.Size(shape).numel()
    return replace(
        dataset,
        train_images=pixels.expand(count, size).contiguous(),
        train_labels=torch.arange(count) % 10,
        shape=shape,
    )


@pytest.mark.parametrize("negatives", KINDS)
@pytest.mark.parametrize("limits", [{}, {"images": 333}, {"batch_classes": 3},
                                    {"images": 500, "batch_classes": 1},
                                    {"batch_classes": 10, "batch_size": 5000}])  # fmt: skip
def test_every_image_comes_once_an_epoch(digits, negatives, limits):
    e = experiment(negatives=negatives, **limits)
    source, count = Source(e, digits, "cpu"), e.images or len(digits.train_labels)
    orders = []
    for epoch in (0, 1):
        batches = list(source.batches(epoch, random_scores))
        indices, positive, negative = whole(batches)
        assert torch.equal(indices.sort().values, source.indices)
        assert len(indices.unique()) == count
        assert all(1 <= len(b.indices) <= e.batch_size for b in batches)
        image, _ = parts(positive, e)
        assert torch.equal(image, data.unit(digits.train_images[indices]))
        assert negative.shape == positive.shape == (count, source.size)
        orders.append(indices)
    assert not torch.equal(*orders)


def test_no_batch_is_empty_where_classes_have_no_image(digits):
    assert all(len(b.indices) for b in epoch_of(experiment(images=8, batch_classes=1), digits))


@pytest.mark.parametrize("count", [1, 2, 3, 9, 10])
def test_a_batch_holds_at_most_the_classes_that_were_asked_for(digits, count):
    e = experiment(batch_classes=count, batch_size=60)
    for epoch in range(3):
        batches = epoch_of(e, digits, epoch)
        classes = [set(digits.train_labels[b.indices].tolist()) for b in batches]
        assert max(map(len, classes)) == count
        groups = set(map(frozenset, classes))
        together = [group for group in groups if len(group) == count]
        assert sum(map(len, together)) == 10 // count * count  # and no class is in two of them
    assert classes != sorted(classes, key=min)  # groups are mixed


@pytest.mark.parametrize("embedding", ["corner", "appended"])
@pytest.mark.parametrize("pixels", ["unit", "standardised"])
@pytest.mark.parametrize("negatives", KINDS)
def test_labels_and_images_of_pairs(digits, embedding, pixels, negatives):
    e = experiment(negatives=negatives, label_embedding=embedding, pixels=pixels)
    source = Source(e, digits, "cpu")
    indices, positive, negative = whole(list(source.batches(1, random_scores)))
    scaled = (data.unit if pixels == "unit" else data.normalise)(digits.train_images[indices])
    true, table = digits.train_labels[indices], source.table
    (image, label), (other, its_label) = parts(positive, e), parts(negative, e)
    assert torch.equal(image, parts(scaled, e)[0] if embedding == "corner" else scaled)
    assert torch.equal(label, table[true])
    if negatives in ("hybrid", "noise"):
        assert torch.equal(its_label, table[true])
        assert (other != image).any(1).double().mean() > 0.9
        return
    assert torch.equal(other, image)
    wrong = (its_label[:, None] == table).all(2)
    assert (wrong.sum(1) == 1).all()  # patterns differ, and each label is one of them
    found = wrong.double().argmax(1)
    assert (found != true).all()
    if negatives == "hardest":
        scores = random_scores(scaled)
        ranked = [row.argsort(descending=True).tolist() for row in scores]
        best = [next(k for k in order if k != t) for order, t in zip(ranked, true, strict=True)]
        assert found.tolist() == best
        assert 0.03 < (scores.argmax(1) == true).double().mean() < 0.3  # so that it is tested
    else:
        steps = torch.bincount((found - true) % 10, minlength=10)[1:].double()
        expected = len(true) / 9  # a χ² of 8 degrees of freedom: above 26 once in 1,000
        assert (steps - expected).square().sum() / expected < 26


@pytest.mark.parametrize("negatives", ["wrong", "hardest"])
@pytest.mark.parametrize("embedding", ["corner", "appended"])
def test_negatives_of_the_same_image_are_given_by_the_columns_that_differ(
    digits, negatives, embedding
):
    e = experiment(negatives=negatives, label_embedding=embedding, pixels="standardised")
    for batch in epoch_of(e, digits):
        positive, negative, columns, shift = batch.pairs
        assert columns is not None and shift is not None
        assert len(columns) <= (10 if embedding == "corner" else e.label_size)
        assert torch.equal(positive.index_add(1, columns, shift), negative)
        x, matrix = torch.cat([positive, negative]), torch.eye(positive.shape[1])
        torch.testing.assert_close(batch.pairs.through(matrix), x)


@pytest.mark.parametrize("negatives", ["wrong", "hardest", "noise", "hybrid"])
@pytest.mark.parametrize("embedding", ["corner", "appended"])
def test_no_negative_is_its_positive(digits, negatives, embedding):
    e = experiment(negatives=negatives, label_embedding=embedding)
    _, positive, negative = whole(epoch_of(e, digits))
    assert (positive != negative).any(1).all()


def test_noise_is_uniform_and_of_the_scale_of_the_pixels(digits):
    for pixels, scale in (("unit", data.unit), ("standardised", data.normalise)):
        e = experiment(negatives="noise", pixels=pixels)
        _, _, negative = whole(epoch_of(e, digits))
        noise = parts(negative, e)[0]
        low, high = scale(torch.tensor([0, 255], dtype=torch.uint8)).tolist()
        share = (noise - low) / (high - low)
        assert share.min() == 0 and share.max() == pytest.approx(1)
        assert float(share.mean()) == pytest.approx(1 / 2, abs=0.01)
        assert float(share.square().mean()) == pytest.approx(1 / 3, abs=0.01)
        assert len(share.unique(dim=0)) == len(share)


@pytest.mark.parametrize("limits", [{}, {"images": 120}, {"batch_classes": 2}])
def test_a_hybrid_is_of_two_images_of_different_classes(digits, limits):
    dataset = labelled(digits, 250)
    e = experiment(negatives="hybrid", **limits)
    source, others = Source(e, dataset, "cpu"), []
    for epoch in range(3):
        indices, positive, negative = whole(list(source.batches(epoch, random_scores)))
        own, mixed = (parts(x, e)[0].mul(255).round().long() - 1 for x in (positive, negative))
        assert torch.equal(own, indices[:, None].expand_as(own))
        for number, row in zip(indices.tolist(), mixed, strict=True):
            strangers = set(row.tolist()) - {number}
            assert len(strangers) <= 1  # none where the mask leaves nothing of the other image
            assert all(k % 10 != number % 10 for k in strangers)
            assert strangers <= set(source.indices.tolist())
            others += strangers
    assert len(set(others)) > 0.8 * len(source.indices)  # any image may be the other


def test_a_hybrid_holds_something_of_both_images(digits):
    _, positive, negative = whole(epoch_of(experiment(negatives="hybrid"), labelled(digits, 250)))
    same = parts(positive == negative, experiment())[0]
    assert same.any(1).all() and not same.all(1).any()


def test_masks_of_hybrids_are_of_large_regions_and_half_of_the_image(digits):
    dataset = labelled(digits, 250, (28, 28))
    e = experiment(negatives="hybrid")
    _, positive, negative = whole(epoch_of(e, dataset))
    image, other = (parts(x, e)[0] for x in (positive, negative))
    mask = (image == other).view(-1, 28, 28)
    assert float(mask.double().mean()) == pytest.approx(1 / 2, abs=0.02)
    assert 0 < mask.flatten(1).double().mean(1).min() and not mask.flatten(1).all(1).any()
    for axis in (1, 2):
        edges = mask.diff(dim=axis).double().mean()  # of independent pixels one in two
        assert 0.02 < edges < 0.15
    assert len(mask.flatten(1).unique(dim=0)) == len(mask)  # every pair has its own


def test_every_colour_of_a_hybrid_has_the_same_mask(digits):
    dataset = labelled(digits, 100, (3, 8, 8))
    e = experiment(negatives="hybrid")
    _, positive, negative = whole(epoch_of(e, dataset))
    image, other = (parts(x, e)[0] for x in (positive, negative))
    mask = (image == other).view(-1, 3, 64)
    assert torch.equal(mask[:, 0], mask[:, 1])
    assert torch.equal(mask[:, 0], mask[:, 2])
    assert 0.2 < mask.double().mean() < 0.8


def test_a_hybrid_needs_images_of_every_class(digits):
    keep = digits.train_labels != 3
    dataset = replace(
        digits, train_images=digits.train_images[keep], train_labels=digits.train_labels[keep]
    )
    with pytest.raises(ConfigError, match="no training image of class 3"):
        epoch_of(experiment(negatives="hybrid"), dataset)


@pytest.mark.parametrize("negatives", KINDS)
@pytest.mark.parametrize("limits", [{}, {"images": 300, "batch_classes": 4}])
def test_the_same_seed_gives_the_same_batches_and_leaves_the_global_generator_alone(
    digits, negatives, limits
):
    e, state = experiment(negatives=negatives, **limits), torch.random.get_rng_state()
    first, again = (epoch_of(e, digits, epoch=4) for _ in range(2))
    assert torch.equal(state, torch.random.get_rng_state())
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.indices, b.indices)
        assert torch.equal(a.pairs.positive, b.pairs.positive)
        assert torch.equal(a.pairs.negative, b.pairs.negative)
    later, other = epoch_of(e, digits, epoch=5), epoch_of(e.model_copy(update={"seed": 1}), digits)
    for batches in (later, other):
        assert not torch.equal(whole(batches)[0], whole(first)[0])
        assert not torch.equal(whole(batches)[2], whole(first)[2])


def test_epochs_do_not_depend_on_those_drawn_before(digits):
    source = Source(experiment(), digits, "cpu")
    alone = whole(list(source.batches(3, random_scores)))
    for epoch in range(3):
        list(source.batches(epoch, random_scores))
    again = whole(list(source.batches(3, random_scores)))
    assert all(torch.equal(a, b) for a, b in zip(alone, again, strict=True))


@pytest.mark.parametrize(
    "limits", [{"images": 1443}, {"batch_classes": 11}, {"images": 10**6, "batch_classes": 99}]
)
def test_more_images_or_classes_than_there_are_is_an_error(digits, limits):
    e = experiment(**limits)
    asked = f"asks for {e.images} images and {e.batch_classes} classes a batch; digits has 1442 "
    with pytest.raises(ConfigError, match=f"{asked}and 10"):
        Source(e, digits, "cpu")


def test_candidates_are_the_images_with_each_label_in_turn(digits):
    source = Source(experiment(), digits, "cpu")
    images = source.images[:5]
    found = torch.stack(list(source.candidates(images)))
    assert found.shape == (10, 5, source.size)
    for label in range(10):
        expected = labels.embed(images, torch.full((5,), label), "appended", source.table)
        assert torch.equal(found[label], expected)
