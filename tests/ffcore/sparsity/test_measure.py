from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ffcore.sparsity import theory
from ffcore.sparsity.losses import activate, derivative
from ffcore.sparsity.measure import QUANTITIES, ROWS, exact, measure, verdicts

ROUNDING = 2e-6  # 32 units in the last place of float32, for sums of a few hundred terms
SEEDS = st.integers(0, 10**6)
COUNTS = st.sampled_from([1, 2, 7, ROWS - 1, ROWS, ROWS + 1, 2 * ROWS + 5])
WIDTHS = st.sampled_from([2, 3, 16, 65, 300])
STEPS = st.floats(-9, 2).map(lambda exponent: 10**exponent)


def layer(seed: int, count: int, width: int):
    """Pre-activations and what moves them, in float32: by row any, toward zero, or none active."""
    draw = torch.Generator().manual_seed(seed)
    z, v = torch.randn(2, count, width, generator=draw)
    kind = torch.randint(8, (count, 1), generator=draw)
    scale = 10 ** (2 * torch.randn(count, 1, generator=draw))
    v = torch.where(kind == 0, z.abs() + 0.5 * v.abs(), v)  # a large enough step silences all
    v = torch.where(kind == 1, z + 0.1 * v, v)  # most of the step only scales the latent
    z = torch.where(kind == 2, -z.abs(), z)
    z = torch.where((kind == 3) & (z < -0.5), 0, z)
    return z * scale, v * scale


def both(z, v, size: float, form: str):
    """``measure`` in float32, ``exact`` of the same step, and the step."""
    moved = v.double() * -size
    if form == "tensor":
        moved = moved.float()
        return measure(z, v, moved), exact(z, v, moved), moved.double()
    return measure(z, v, -size), exact(z, v, moved), moved


def bounds(z, v, moved, change):
    """What float32 may be wrong by: ROUNDING times the terms that are summed, by quantity."""
    z, v, root = z.double(), v.double(), z.shape[1] ** 0.5
    h, after = z.relu(), (z + moved).relu()
    norms = h.sum(1), h.square().sum(1)
    ratio = norms[0] / norms[1].sqrt() / (root - 1)
    later = after.sum(1), after.square().sum(1)
    mask, alive = h > 0, (h > 0) | (after > 0)
    margin = (mask * v.abs()).sum(1) / norms[0] + (h * v.abs()).sum(1) / norms[1]
    first = (mask * moved.abs()).sum(1) / norms[0] + (h * moved.abs()).sum(1) / norms[1]
    terms = (alive * moved.abs()).sum(1) / later[0]
    terms += (alive * (2 * h * moved.abs() + moved.square())).sum(1) / later[1]
    found = {
        "margin": margin,
        "sparsity": ratio,
        "change": change.abs() + terms * later[0] / later[1].sqrt() / (root - 1),
        "first_order": first * ratio,
        "goodness": norms[1],
        "zero_preactivations": torch.ones_like(ratio),
    }
    # A unit that lands within the rounding of zero may switch or not.
    found["switched"] = ((z + moved).abs() < ROUNDING * z.abs()).sum(1) / (ROUNDING * z.shape[1])
    found["switched"] += 1
    return ROUNDING * torch.stack([found[name] for name in QUANTITIES])


@settings(max_examples=150, deadline=None)
@given(SEEDS, COUNTS, WIDTHS, STEPS, st.sampled_from(["number", "tensor"]))
def test_measured_quantities_equal_the_definitions_for_every_size_of_step(
    seed, count, width, size, form
):
    z, v = layer(seed, count, width)
    found, expected, moved = both(z, v, size, form)
    assert found.shape == (len(QUANTITIES), count)
    assert torch.equal(found.isnan(), expected.isnan())
    within = (found - expected).abs() <= bounds(z, v, moved, expected[2])
    assert (within | expected.isnan()).all(1).tolist() == [True] * len(QUANTITIES)


@pytest.mark.parametrize("form", ["number", "tensor"])
@pytest.mark.parametrize("size", [1e-9, 1e-7, 1e-5, 1e-3])
def test_a_tiny_change_has_its_sign_and_digits(size, form):
    draw = torch.Generator().manual_seed(0)
    z, v = torch.randn(2, 500, 100, generator=draw)
    found, expected, _ = both(z, v, size, form)
    assert expected[2].abs().max() < size
    clear = expected[0].abs() > 0.02  # of margins near 0.1
    assert clear.double().mean() > 0.8
    assert (found[2] / expected[2] - 1).abs()[clear].max() < 1e-4
    assert torch.equal((found[2] > 0)[clear], (expected[2] > 0)[clear])
    naive = theory.sparsity((z + v * -size).relu()) - theory.sparsity(z.relu())
    if size < 1e-6:  # what the sums are for
        assert (naive / expected[2] - 1).abs()[clear].median() > 0.1


def test_quantities_of_a_step_by_hand():
    z = torch.tensor([[3.0, 4.0, 0.0, -1.0]])
    v = torch.tensor([[2.0, -1.0, 5.0, 0.0]])
    moved = torch.tensor([[-3.0, 0.0, -1.0, 3.0]])
    # before (3, 4, 0, 0), after (0, 4, 0, 2); norms (7, 5), (6, √20); sparsity 2 − ‖h‖₁/‖h‖₂
    expected = {
        "margin": 1 / 7 - 2 / 25,
        "sparsity": 2 - 7 / 5,
        "change": 7 / 5 - 6 / 20**0.5,
        "first_order": -7 / 5 * (-3 / 7 + 9 / 25),
        "goodness": 25,
        "zero_preactivations": 1 / 4,
        "switched": 1 / 2,
    }
    found = exact(z, v, moved)[:, 0]
    assert dict(zip(QUANTITIES, found.tolist(), strict=True)) == pytest.approx(expected)


def test_a_latent_that_is_zero_before_or_after_the_step_has_no_change():
    z = torch.tensor([[-1.0, -2, 0], [1, 2, -1], [-1, -1, -1], [1, 2, 3]])
    v = torch.tensor([[1.0, 1, 1], [9, 9, 1], [-9, -9, 1], [1, 0, 0]])
    for moved in (-0.5, -0.5 * v):
        for found in (measure(z, v, moved), exact(z, v, v * -0.5)):
            assert found[2].isnan().tolist() == [True, True, True, False]
            assert found[0].isnan().tolist() == [True, False, True, False]  # zero before it
            assert found[4].tolist() == [0, 5, 0, 14]
            assert found[5].tolist() == pytest.approx([1 / 3, 0, 0, 0])
            assert found[6].tolist() == pytest.approx([0, 2 / 3, 2 / 3, 0])


@pytest.mark.parametrize("size", [0.5, 0.99, 0.999999, 1.01, 3.0])
def test_a_latent_that_all_but_dies_keeps_its_digits(size):
    # Its norm after the step is what is left of a difference, to be measured from the start.
    draw = torch.Generator().manual_seed(1)
    z = torch.randn(50, 40, generator=draw)
    v = z * (1 + 1e-3 * torch.rand(50, 40, generator=draw))
    moved = v * -size
    expected = exact(z, v, moved)[2]
    for found in (measure(z, v, -size), measure(z, v, moved)):
        torch.testing.assert_close(found[2], expected, rtol=1e-3, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
@pytest.mark.parametrize("size", [1e-9, 1e-2, 10.0])
def test_other_activations_are_measured_by_definition_in_float64(activation, size):
    draw = torch.Generator().manual_seed(2)
    z, v = torch.randn(2, ROWS + 9, 30, generator=draw)
    found = measure(z, v, -size, activation)
    assert torch.equal(found, measure(z, v, v * -size, activation))
    start, step = z.double(), (v * -size).double()
    h, after = activate(start, activation), activate(start + step, activation)
    change = theory.sparsity(after) - theory.sparsity(h)
    torch.testing.assert_close(found[2], change, rtol=1e-6, atol=1e-15)
    margin = theory.fall(h, v.double(), derivative(h, activation))
    torch.testing.assert_close(found[0], margin, rtol=1e-6, atol=1e-12)
    expected = ((start > 0) != (start + step > 0)).double().mean(1)
    torch.testing.assert_close(found[6], expected)


def test_measuring_leaves_its_arguments_alone():
    for activation in ("relu", "tanh"):
        z, v = layer(3, 20, 30)
        moved = -1e-2 * v
        kept = [part.clone() for part in (z, v, moved)]
        measure(z, v, moved, activation)
        measure(z, v, -10.0, activation)
        assert all(torch.equal(a, b) for a, b in zip((z, v, moved), kept, strict=True))


@settings(max_examples=60, deadline=None)
@given(SEEDS, COUNTS, WIDTHS, STEPS)
def test_verdicts_add_up(seed, count, width, size):
    z, v = layer(seed, count, width)
    found = measure(z, v, -size)
    satisfied, rose, agreement, tp, fp, fn, tn = result = verdicts(found)
    undefined = found[2].isnan()
    assert torch.equal(result.isnan(), undefined.expand(7, -1))
    known = ~undefined
    assert torch.equal((tp + fp + fn + tn)[known], torch.ones(int(known.sum())).double())
    for total, parts in ((satisfied, tp + fp), (rose, tp + fn), (agreement, tp + tn)):
        assert torch.equal(total[known], parts[known])
    assert torch.equal(satisfied[known] == 1, (found[0] > 0)[known])
    assert torch.equal(rose[known] == 1, (found[2] > 0)[known])


def test_verdicts_of_the_four_cases_and_of_no_case():
    nan = float("nan")
    found = torch.zeros(len(QUANTITIES), 7, dtype=torch.float64)
    found[0] = torch.tensor([1, 1, -1, -1, 1, nan, 0])
    found[2] = torch.tensor([1, -1, 1, -1, nan, nan, 0])
    torch.testing.assert_close(
        verdicts(found),
        torch.tensor(
            [
                [1, 1, 0, 0, nan, nan, 0],
                [1, 0, 1, 0, nan, nan, 0],
                [1, 0, 0, 1, nan, nan, 1],
                [1, 0, 0, 0, nan, nan, 0],
                [0, 1, 0, 0, nan, nan, 0],
                [0, 0, 1, 0, nan, nan, 0],
                [0, 0, 0, 1, nan, nan, 1],
            ]
        ).double(),
        equal_nan=True,
    )
