import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ffcore import labels
from ffcore.errors import ConfigError


@given(st.integers(2, 30), st.integers(0, 2**31))
def test_wrong_label_is_never_the_true_label(classes, seed):
    truth = torch.arange(200) % classes
    wrong = labels.negative_labels(truth, classes, labels.generator(seed, "negatives"))
    assert (wrong != truth).all()
    assert wrong.min() >= 0 and wrong.max() < classes


def test_wrong_labels_are_uniform_over_the_other_classes():
    truth = torch.full((90_000,), 3)
    wrong = labels.negative_labels(truth, 10, labels.generator(0, "negatives"))
    counts = torch.bincount(wrong, minlength=10).double()
    assert counts[3] == 0
    others = counts[torch.arange(10) != 3]
    # Chi-square with 8 degrees of freedom: 26.1 is its 0.999 quantile.
    assert ((others - 10_000) ** 2 / 10_000).sum() < 26.1


def test_one_class_has_no_wrong_label():
    with pytest.raises(ConfigError, match="two classes"):
        labels.negative_labels(torch.zeros(3, dtype=torch.int64), 1, labels.generator(0, "x"))


def test_streams_differ_by_seed_purpose_and_epoch_and_repeat_otherwise():
    def first(*key):
        return torch.rand(4, generator=labels.generator(*key)).tolist()

    keys = [(0, "order", 1), (1, "order", 1), (0, "negatives", 1), (0, "order", 2)]
    assert len({tuple(first(*k)) for k in keys}) == 4
    assert first(*keys[0]) == first(*keys[0])


def test_appended_pattern_follows_the_image_and_has_its_density():
    table = labels.patterns(10, "appended", 100, 0.1, labels.generator(0, "patterns"))
    assert table.shape == (10, 100) and set(table.unique().tolist()) == {0.0, 1.0}
    assert 0.05 < table.mean() < 0.15
    images, truth = torch.rand(4, 30), torch.tensor([1, 1, 7, 0])
    full = labels.embed(images, truth, "appended", table)
    assert torch.equal(full[:, :30], images) and torch.equal(full[:, 30:], table[truth])


def test_corner_embedding_replaces_the_first_pixels_by_a_one_hot():
    table = labels.patterns(10, "corner", 100, 0.1, labels.generator(0, "patterns"))
    images, truth = torch.rand(4, 30), torch.tensor([1, 1, 7, 0])
    full = labels.embed(images, truth, "corner", table)
    assert full.shape == images.shape
    assert torch.equal(full[:, :10], torch.eye(10)[truth])
    assert torch.equal(full[:, 10:], images[:, 10:])


def test_negatives_of_any_label_are_the_true_one_as_often_as_chance():
    truth = torch.arange(10).repeat(2000)
    draw = labels.generator(0, "negatives")
    found = labels.negative_labels(truth, 10, draw, "any")
    share = (found == truth).float().mean().item()
    assert abs(share - 0.1) < 4 * (0.1 * 0.9 / len(truth)) ** 0.5
    assert set(found.tolist()) == set(range(10))
