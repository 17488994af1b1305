import math

import gudhi
import numpy as np
import persim
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from ripser import ripser
from scipy.spatial.distance import cdist

from ffcore.errors import ConfigError
from ffreport.analysis.rq2.topology import homology, matching

# Few distinct coordinates, so that duplicates and ties are common.
clouds = arrays(
    np.float64, st.tuples(st.integers(2, 12), st.integers(1, 4)), elements=st.integers(-2, 2)
)
deaths = st.lists(st.floats(0.01, 10), max_size=7)


def cloud(rows=60, columns=4, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, columns))


def circle(rows=40):
    turn = np.linspace(0, 2 * np.pi, rows, endpoint=False)
    return np.stack([np.cos(turn), np.sin(turn)], axis=1)


def h0(lengths):
    return np.array([(0.0, d) for d in lengths] + [(0.0, np.inf)])


def exact(points, maxdim=0):
    """Ripser on exact distances."""
    return ripser(cdist(points, points), maxdim=maxdim, distance_matrix=True)["dgms"]


def assert_same_bars(found, expected, atol=1e-5):
    found, expected = (d[np.lexsort((d[:, 0], d[:, 1]))] for d in (found, expected))
    np.testing.assert_allclose(found, expected, atol=atol)


def test_h0_by_hand():
    found = homology.persistence([[0.0, 0], [3, 4], [3, 5], [0, 0]])
    np.testing.assert_array_equal(found.diagrams[0], [[0, 1], [0, 5], [0, np.inf]])
    assert (found.points, found.distinct, found.radius) == (4, 3, 0.0)


@given(clouds)
def test_h0_equals_ripsers_on_exact_distances_duplicates_and_ties_included(points):
    assert_same_bars(homology.persistence(points).diagrams[0], exact(points)[0])


@settings(max_examples=30)
@given(clouds)
def test_higher_dimensions_equal_ripsers_with_duplicates(points):
    found, expected = homology.persistence(points, maxdim=1).diagrams, exact(points, 1)
    assert len(found) == 2
    for ours, theirs in zip(found, expected, strict=True):
        assert_same_bars(ours, theirs)


def test_h0_of_latents_equals_plain_ripsers():
    latents = np.maximum(cloud(1500, 1000), 0).astype(np.float32)
    theirs = ripser(latents, maxdim=0)["dgms"][0]
    np.testing.assert_allclose(homology.persistence(latents).diagrams[0], theirs, rtol=1e-5)


def test_gudhi_agrees_in_h0_and_h1():
    points = cloud(60, 3)
    found = homology.persistence(points, maxdim=1).diagrams
    tree = gudhi.RipsComplex(points=points).create_simplex_tree(max_dimension=2)
    tree.compute_persistence()
    for dimension in (0, 1):
        assert_same_bars(found[dimension], tree.persistence_intervals_in_dimension(dimension))


def test_a_circle_has_one_long_h1_bar():
    _, loops = homology.persistence(circle(), maxdim=1).diagrams
    assert len(loops) == 1
    assert loops[0, 0] == pytest.approx(2 * math.sin(math.pi / 40), abs=1e-5)
    assert math.sqrt(3) - 0.1 < loops[0, 1] < math.sqrt(3) + 0.1  # an inscribed triangle's side


def test_two_clusters_have_one_long_finite_h0_bar():
    points = np.r_[cloud(30, 3, 0), cloud(30, 3, 1) + 50]
    found = homology.persistence(points)
    length = homology.lifetimes(found.diagrams[0])
    assert length[-1] > 10 * length[-2]
    jump, above = homology.gap(found.diagrams[0])
    assert jump > 0.9 and above == 1


def test_a_sphere_has_no_long_loop_and_one_long_h2_bar():
    i = np.arange(60) + 0.5
    polar, turn = np.arccos(1 - 2 * i / 60), np.pi * (1 + 5**0.5) * i
    points = np.stack([np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)])
    _, loops, voids = homology.persistence(points.T, maxdim=2).diagrams
    assert (homology.lifetimes(voids) > 0.5).sum() == 1
    assert homology.lifetimes(loops).max() < 0.5


def test_equal_points_are_one_point():
    found = homology.persistence(np.full((9, 3), 1 / 3), maxdim=1)
    np.testing.assert_array_equal(found.diagrams[0], [[0, np.inf]])
    assert found.diagrams[1].shape == (0, 2) and (found.points, found.distinct) == (9, 1)


def test_zeros_of_either_sign_are_equal():
    assert homology.persistence([[0.0, 1.0], [-0.0, 1.0]]).distinct == 1


def test_distinct_points_far_closer_than_their_norm_keep_their_bars():
    points = 1e4 + 1e-4 * cloud(50, 20)
    found = homology.lifetimes(homology.persistence(points).diagrams[0])
    assert len(found) == 49
    np.testing.assert_allclose(np.sort(found), exact(points)[0][:-1, 1], rtol=1e-3)


@settings(max_examples=15)
@given(st.integers(0, 1000))
def test_order_and_rotation_of_coordinates_and_order_of_points_change_nothing(seed):
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((25, 4))
    expected = homology.persistence(points, maxdim=1).diagrams
    rotation = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    moved = points @ rotation + rng.standard_normal(4)
    for other in (points[:, rng.permutation(4)], points[rng.permutation(25)], moved):
        for found, diagram in zip(homology.persistence(other, maxdim=1)[0], expected, strict=True):
            assert_same_bars(found, diagram)


@settings(max_examples=15)
@given(st.integers(0, 1000), st.sampled_from([1e-6, 7.0, 1e6]))
def test_scaling_points_scales_diagrams(seed, scale):
    points = cloud(20, 3, seed)
    found = homology.persistence(scale * points, maxdim=1)[0]
    for ours, diagram in zip(found, homology.persistence(points, maxdim=1)[0], strict=True):
        assert_same_bars(ours / scale, diagram)


def test_greedy_permutation_is_ripsers():
    points = cloud(80, 3)
    found = homology.persistence(points, maxdim=1, n_perm=20)
    expected = ripser(points, maxdim=1, n_perm=20)
    assert (found.points, found.distinct) == (20, 20)
    assert found.radius == pytest.approx(expected["r_cover"], rel=1e-5)
    for ours, theirs in zip(found.diagrams, expected["dgms"], strict=True):
        assert_same_bars(ours, theirs)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(2, 30))
def test_diagrams_of_a_greedy_sample_are_within_twice_its_radius(seed, kept):
    points = cloud(30, 2, seed)
    whole, part = (homology.persistence(points, 1, n) for n in (None, kept))
    assert (part.radius == 0) == (kept == 30)
    for a, b in zip(whole.diagrams, part.diagrams, strict=True):
        assert matching.bottleneck(a, b) <= 2 * part.radius + 1e-5


def test_lifetimes_are_of_finite_bars_in_ascending_order():
    diagram = [[1.0, 4.0], [0.0, np.inf], [0.5, 1.0]]
    np.testing.assert_array_equal(homology.lifetimes(diagram), [0.5, 3.0])


def test_entropy_by_hand():
    assert homology.persistence_entropy([[0, 1], [1, 2], [5, 6], [0, np.inf]]) == pytest.approx(
        math.log(3)
    )
    share = np.array([0.25, 0.75])
    expected = -(share * np.log(share)).sum()
    assert homology.persistence_entropy([[0, 1], [0, 3]]) == pytest.approx(expected)
    assert homology.persistence_entropy([[2, 9], [0, np.inf]]) == 0
    assert math.isnan(homology.persistence_entropy([[0, np.inf]]))


def test_distances_by_hand():
    assert matching.bottleneck(h0([4.0]), h0([])) == 2
    assert matching.bottleneck(h0([4.0, 1.0]), h0([3.0])) == 1
    assert matching.wasserstein(h0([4.0]), h0([])) == pytest.approx(4 / math.sqrt(2))
    assert matching.wasserstein(h0([4.0, 1.0]), h0([3.0])) == pytest.approx(1 + 1 / math.sqrt(2))
    # matching 5 with 5 and leaving 10 alone costs less than matching 5 with 10 (5 + 5/√2)
    assert matching.wasserstein(h0([5, 10.0]), h0([5.0])) == pytest.approx(10 / math.sqrt(2))


@pytest.mark.parametrize("name", ["bottleneck", "wasserstein"])
@given(a=deaths, b=deaths)
def test_the_closed_forms_for_h0_equal_persims(name, a, b):
    ours, theirs = (getattr(module, name) for module in (matching, persim))
    if a or b:
        expected = theirs(h0(a)[:-1], h0(b)[:-1])
        assert ours(h0(a), h0(b)) == pytest.approx(expected, abs=1e-9)
    assert ours(h0(a), h0(a)) == pytest.approx(0, abs=1e-12)
    assert ours(h0(a), h0(b)) == pytest.approx(ours(h0(b), h0(a)))


@pytest.mark.parametrize("name", ["bottleneck", "wasserstein"])
def test_distances_of_loops_ignore_infinite_bars_and_accept_empty_diagrams(name):
    distance, loops = getattr(matching, name), np.array([[1.0, 3.0], [2.0, 2.5]])
    with_infinite = np.r_[loops, [[0.5, np.inf]]]
    assert distance(with_infinite, loops) == pytest.approx(0)
    assert distance(loops, np.zeros((0, 2))) == distance(np.zeros((0, 2)), loops) > 0
    assert distance(np.zeros((0, 2)), np.zeros((0, 2))) == 0


def test_distances_of_thousands_of_h0_bars_are_feasible():
    rng = np.random.default_rng(0)
    a, b = h0(rng.random(5000)), h0(rng.random(4000))
    assert matching.bottleneck(a, b) <= matching.wasserstein(a, b)


def test_an_image_has_its_mass_where_the_bar_is_and_as_much_as_it_lives():
    image = homology.persistence_image([[2.5, 9.0], [0, np.inf]], (0, 10), (0, 10), spread=0.1)
    assert image.shape == (20, 20) and image.sum() == pytest.approx(6.5, rel=1e-3)
    birth, length = np.unravel_index(image.argmax(), image.shape)
    assert birth in (4, 5) and length in (12, 13)  # 2.5 and 6.5 lie on pixel borders


def test_an_image_of_h0_is_one_pixel_wide_and_an_empty_diagram_gives_a_black_one():
    assert homology.persistence_image(h0([1.0, 2.0]), (0, 0), (0, 3), pixels=15).shape == (1, 15)
    black = homology.persistence_image(np.zeros((0, 2)), (0, 1), (0, 3), pixels=30)
    assert black.shape == (10, 30) and not black.any()


def test_a_summary_has_the_same_names_for_every_network():
    found = homology.summary(homology.persistence(circle(), maxdim=1).diagrams)
    empty = homology.summary([h0([]), np.zeros((0, 2))])
    assert list(found) == list(empty)
    assert found["h0_bars"] == 39 and found["h1_bars"] == 1 and found["h1_longest"] > 1.4
    assert found["h0_total"] == pytest.approx(39 * 2 * math.sin(math.pi / 40))
    assert found["h0_entropy"] == pytest.approx(math.log(39))
    assert empty["h0_longest"] == 0 and math.isnan(empty["h1_entropy"])


def test_the_gap_by_hand():
    assert homology.gap(h0([1.0, 2.0, 8.0, 9.0])) == pytest.approx((6 / 9, 2))
    jump, above = homology.gap(h0([3.0]))
    assert math.isnan(jump) and above == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: homology.persistence(np.zeros((0, 3))), r"shape \[0, 3\]"),
        (lambda: homology.persistence(np.zeros((1, 3))), r"shape \[1, 3\]; expected \[N, n\]"),
        (lambda: homology.persistence(np.zeros(5)), r"shape \[5\]"),
        (lambda: homology.persistence(np.zeros((30_000, 1))), "sample the latents first"),
        (lambda: homology.persistence([[0.0, np.nan], [1, 1]]), "NaN or infinity"),
        (lambda: homology.persistence(circle(), maxdim=3), "choose 0, 1 or 2"),
        (lambda: homology.persistence(circle(), n_perm=1), "keep at least 2"),
        (lambda: homology.lifetimes([1.0, 2.0]), r"expected \[k, 2\]"),
        (lambda: matching.bottleneck([[0.0, np.nan]], h0([1.0])), "without NaN"),
        (lambda: homology.persistence_image(h0([1.0]), (0, 0), (1, 1)), "has no area"),
        (lambda: homology.persistence_image(h0([1.0]), (0, 1), (0, 1), pixels=0), "0 pixels"),
    ],
)
def test_impossible_input_is_refused_with_its_reason(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
