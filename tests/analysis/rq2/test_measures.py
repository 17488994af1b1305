import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.neighbors import NearestNeighbors

from ffcore.errors import ConfigError
from ffreport.analysis import stats
from ffreport.analysis.rq2 import measures

HAND = np.array([[3.0, 4.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0], [0, -7.0, 0, 0]])
TENTH = np.arange(40) % 10 == 0
matrices = arrays(
    np.float32,
    st.tuples(st.integers(1, 8), st.integers(2, 12)),
    elements=st.floats(-100, 100, width=32).filter(lambda v: v == 0 or abs(v) > 1e-3),
)


def latents(rows=400, units=30, seed=0):
    rng = np.random.default_rng(seed)
    return np.maximum(rng.standard_normal((rows, units)), 0).astype(np.float32)


def flags(rows):
    return np.arange(rows) % 10 == 3


def test_hoyer_by_hand():
    # (2 − 7/5)/(2 − 1), (2 − 4/2)/1, (2 − ε/ε)/1, (2 − 1)/1
    np.testing.assert_allclose(measures.hoyer(HAND), [0.6, 0.0, 1.0, 1.0], atol=1e-6)


@given(matrices)
def test_hoyer_lies_between_zero_and_one(h):
    sparsity = measures.hoyer(h)
    assert (
        sparsity.shape == (len(h),) and (-1e-6 <= sparsity).all() and (sparsity <= 1 + 1e-6).all()
    )


@given(matrices, st.randoms(use_true_random=False))
def test_hoyer_ignores_the_order_sign_and_scale_of_units(h, random):
    order = random.sample(range(h.shape[1]), h.shape[1])
    changed = -2.5 * h[:, order]
    np.testing.assert_allclose(measures.hoyer(changed), measures.hoyer(h), atol=1e-3)


def test_hoyer_does_not_depend_on_the_blocks_that_it_is_computed_in(monkeypatch):
    h = latents(50)
    whole = measures.hoyer(h)
    monkeypatch.setattr(measures, "ROWS", 7)
    np.testing.assert_array_equal(measures.hoyer(h), whole)


def test_the_means_are_over_all_then_nonzero_then_nonzero_positive_latents():
    positive = np.array([True, False, True, False])
    found = measures.hoyer_means(HAND, positive)
    expected = {"hoyer": 2.6 / 4, "hoyer_nonzero": 1.6 / 3, "hoyer_positive": 0.6}
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_mean_over_no_latent_is_nan():
    found = measures.hoyer_means(np.zeros((3, 4)), np.array([True, False, False]))
    assert found["hoyer"] == 1 and math.isnan(found["hoyer_nonzero"])
    assert math.isnan(found["hoyer_positive"])


def test_a_tiny_latent_is_not_a_zero_latent():
    found = measures.hoyer_means(np.array([[1e-20, 0.0], [0.0, 0.0]]), np.array([True, True]))
    assert not math.isnan(found["hoyer_nonzero"])


def test_neural_usage_by_hand():
    sparsity, fraction = measures.neural_usage(np.array([[3.0, 0, 0.02, 0], [0, -4, 0, 0.04]]))
    l1, l2 = 7.06, math.sqrt(9 + 16 + 0.02**2 + 0.04**2)
    assert sparsity == pytest.approx(2 - l1 / l2, abs=1e-6)
    assert fraction == 0.5  # 0.04 is exactly 1 % of 4 and does not exceed it


@pytest.mark.parametrize(
    ("h", "expected"), [(np.zeros((4, 9)), (1.0, 0.0)), (np.ones((4, 9)), (0.0, 1.0))]
)
def test_neural_usage_of_no_unit_and_of_all_units_alike(h, expected):
    assert measures.neural_usage(h) == pytest.approx(expected, abs=1e-6)


def test_separability_equals_a_plain_neighbour_search():
    h, positive = latents(), flags(400)
    h[positive] += 0.3
    _, index = NearestNeighbors(n_neighbors=5).fit(h.astype(float)).kneighbors()
    same = (positive[index] == positive[:, None]).mean(axis=1)
    expected = (same[positive].mean() + same[~positive].mean()) / 2
    assert measures.separability(h, positive) == pytest.approx(expected, abs=1e-12)


def test_separability_by_hand():
    points = np.array([[0.0, 0], [1, 0], [2.5, 0], [10, 0], [11, 0], [12.5, 0]])
    positive = np.array([True, True, False, False, False, True])
    # nearest: 0→1 same, 1→0 same, 2.5→1 other, 10→11 same, 11→10 same, 12.5→11 other
    found = measures.separability(points, positive, neighbours=1)
    assert found == pytest.approx((2 / 3 + 2 / 3) / 2)


def test_two_far_clusters_are_fully_separable_and_a_mixture_is_at_a_half():
    positive = flags(1000)
    h = latents(1000)
    assert measures.separability(h + 100 * positive[:, None], positive) == 1
    assert measures.separability(h, positive) == pytest.approx(0.5, abs=0.06)


def test_collapsed_latents_share_the_tied_places_fairly():
    # All zero: a neighbour is any of the other 39 with equal chance.
    expected = (3 / 39 + 35 / 39) / 2
    assert measures.separability(np.zeros((40, 6)), TENTH) == pytest.approx(expected)


@pytest.mark.parametrize("value", [0.0, 1 / 3, -1e4])
def test_equal_latents_tie_exactly_whatever_their_value(value):
    h = np.full((40, 7), value, dtype=np.float32)
    assert measures.separability(h, TENTH) == pytest.approx((3 / 39 + 35 / 39) / 2)


def test_a_latent_is_not_its_own_neighbour_even_among_its_duplicates():
    # Pairs of equal latents, one positive and one negative: the nearest is always the other kind.
    h = np.repeat(latents(20), 2, axis=0)
    assert measures.separability(h, np.arange(40) % 2 == 0, neighbours=1) == 0


def test_separability_does_not_depend_on_the_order_of_rows():
    h, positive = latents(), flags(400)
    h[::3] = 0
    order = np.random.default_rng(1).permutation(400)
    found = measures.separability(h[order], positive[order])
    assert found == pytest.approx(measures.separability(h, positive), abs=1e-12)


@settings(max_examples=15)
@given(st.integers(0, 1000))
def test_separability_ignores_rotation_and_scale(seed):
    rng = np.random.default_rng(seed)
    h, positive = rng.standard_normal((60, 5)), flags(60)
    rotation = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    found = measures.separability(3 * h @ rotation + 1, positive)
    assert found == pytest.approx(measures.separability(h, positive))


def test_neighbours_far_closer_than_the_norm_are_told_apart():
    # Differences 1e-4 of the norm, which float32 products would round away.
    rng = np.random.default_rng(0)
    small = rng.standard_normal((200, 100))
    small[flags(200)] += 3
    h = (1e4 + small).astype(np.float64)
    found = measures.separability(h, flags(200))
    assert found == pytest.approx(measures.separability(small, flags(200)))


def test_separability_of_one_kind_is_nan_and_the_sample_is_that_of_the_seed():
    h, positive = latents(), flags(400)
    assert math.isnan(measures.separability(h, np.ones(400, dtype=bool)))
    rows = stats.sample_rows(400, 100, 7)
    expected = measures.separability(h[rows], positive[rows])
    assert measures.separability(h, positive, points=100, seed=7) == expected


def test_convergence_by_hand():
    # a* = 0.9; walk: e=1 adds 0.4, e=2 adds 0.1, e=3 adds 0.004 and stops.
    area, when = stats.convergence([0.1, 0.5, 0.8, 0.896, 0.9])
    assert area == pytest.approx((0.4 + 0.1 + 0.004) / 5) and when == pytest.approx(3 / 5)


def test_the_walk_starts_at_the_second_epoch():
    assert stats.convergence([0.9, 0.9, 0.2]) == pytest.approx((0.0, 1 / 3))


def test_a_walk_that_never_stops_takes_the_whole_length():
    assert stats.convergence([0.9, 0.5, 0.6, 0.5]) == pytest.approx((1.1 / 4, 1.0))
    assert stats.convergence([0.3]) == (0.0, 1.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_convergence_equals_the_walk_as_it_is_told(accuracies):
    best, total, e = max(accuracies), 0.0, 0
    for e in range(1, len(accuracies)):
        total += best - accuracies[e]
        if abs(accuracies[e] - best) < 0.005:
            break
    else:
        e = len(accuracies)
    area, when = stats.convergence(accuracies)
    assert area == pytest.approx(total / len(accuracies)) and when == e / len(accuracies)


def test_all_measures_have_the_names_of_the_published_table_and_the_values_of_their_functions():
    h, positive, accuracies = latents(), flags(400), [0.1, 0.8, 0.85, 0.84]
    found = measures.all_measures(h, positive, accuracies, points=300, seed=5)
    header = (
        "test_accuracy hoyer hoyer_nonzero hoyer_positive neural_usage_hoyer "
        "neural_usage_fraction separability convergence_area convergence_time"
    )
    assert list(found) == header.split()
    usage, course = measures.neural_usage(h), stats.convergence(accuracies)
    expected = measures.hoyer_means(h, positive) | dict(
        test_accuracy=0.85, neural_usage_hoyer=usage[0], neural_usage_fraction=usage[1],
        separability=measures.separability(h, positive, points=300, seed=5),
        convergence_area=course[0], convergence_time=course[1],
    )  # fmt: skip
    assert found == expected


def test_measures_do_not_change_their_input():
    h = latents(60)
    before = h.copy()
    measures.all_measures(h, flags(60), [0.5])
    measures.tsne(h), measures.unit_rows(h)
    np.testing.assert_array_equal(h, before)


def test_a_network_of_full_size_is_measured_in_about_a_second():
    h = np.zeros((10240, 1000), dtype=np.float32)
    h[::2] = latents(1, 1000)
    start = time.process_time()
    measures.all_measures(h, flags(10240), [0.5])
    assert time.process_time() - start < 3  # 0.2 s here; 108 networks have 3 minutes on 2 cores


def test_tsne_gives_the_same_bits_for_the_same_seed_and_others_for_another():
    h = latents(120)
    h[::4] = 0
    first = measures.tsne(h, seed=1)
    assert first.shape == (120, 2) and first.dtype == np.float32
    np.testing.assert_array_equal(first, measures.tsne(h.copy(), seed=1))
    assert not np.array_equal(first, measures.tsne(h, seed=2))


def test_tsne_keeps_two_far_clusters_apart_and_does_not_pile_up_equal_latents():
    h = np.repeat([[0.0, 0, 0], [5.0, 5, 0]], 60, axis=0)
    y = measures.tsne(h, perplexity=10)
    assert len(np.unique(y, axis=0)) == 120
    assert measures.separability(y, np.arange(120) < 60) > 0.99


def test_tsne_normalised_sees_directions_only():
    h = latents(80, 10) + 0.1
    scaled = h * np.float32(2) ** (np.arange(80) % 5)[:, None].astype(np.float32)
    one, other = measures.tsne(h, normalised=True), measures.tsne(scaled, normalised=True)
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("h", [np.zeros((30, 4)), np.full((30, 4), 1 / 3), np.eye(3)])
def test_tsne_of_equal_or_few_latents_is_all_zero(h):
    assert not measures.tsne(h).any()


@pytest.mark.parametrize("scale", [1e-18, 1.0, 1e15])
def test_tsne_is_finite_on_a_line_at_any_scale(scale):
    h = np.zeros((40, 6), dtype=np.float32)
    h[:, 2] = np.arange(40) * scale
    y = measures.tsne(h, perplexity=5)
    assert np.isfinite(y).all() and len(np.unique(y, axis=0)) == 40


@given(matrices)
def test_unit_rows_have_norm_one_or_stay_zero(h):
    norm = np.linalg.norm(measures.unit_rows(h), axis=1)
    np.testing.assert_allclose(norm, h.any(axis=1).astype(float), rtol=1e-5)


def test_unit_rows_survive_values_whose_squares_underflow():
    h = np.array([[3e-30, 4e-30]], dtype=np.float32)
    np.testing.assert_allclose(measures.unit_rows(h), [[0.6, 0.8]], rtol=1e-6)


@given(st.integers(1, 200), st.integers(1, 250), st.integers(0, 9))
def test_sampled_rows_are_sorted_distinct_and_repeatable(n, size, seed):
    rows = stats.sample_rows(n, size, seed)
    assert len(rows) == min(n, size) and (np.diff(rows) > 0).all() and rows[-1] < n
    np.testing.assert_array_equal(rows, stats.sample_rows(n, size, seed))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: measures.hoyer(np.array([[1.0, np.nan]])), "NaN or infinity"),
        (lambda: measures.hoyer(np.array([[-np.inf, np.inf]])), "NaN or infinity"),
        (lambda: measures.hoyer(np.zeros((3, 1))), r"shape \[3, 1\]"),
        (lambda: measures.neural_usage(np.zeros((0, 5))), r"shape \[0, 5\]"),
        (lambda: measures.hoyer_means(HAND, np.ones(4)), r"float64 \[4\]; expected bool \[4\]"),
        (lambda: measures.separability(HAND, np.ones(3, dtype=bool)), r"expected bool \[4\]"),
        (lambda: measures.separability(HAND, np.ones(4, dtype=bool)), "choose 1 to 3"),
        (lambda: stats.convergence([]), "at least one"),
        (lambda: stats.convergence([97.3, 98.1]), "divide percent by 100"),
        (lambda: stats.convergence([float("nan")]), "one fraction in"),
        (lambda: stats.sample_rows(10, 0, 0), "a sample of 0 of 10"),
    ],
)
def test_impossible_input_is_refused_with_its_reason(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
