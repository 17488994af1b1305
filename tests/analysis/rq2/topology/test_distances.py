import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from persim import bottleneck as persim_bottleneck

from ffcore.errors import ConfigError
from ffreport.analysis.rq2 import latents
from ffreport.analysis.rq2.topology import distances, homology, matching, networks
from ffreport.analysis.rq2.topology import words as topology_words
from ffreport.runs.store import Store
from ffreport.study.study import Study, network
from tests.conftest import train_into

bars = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), max_size=7).map(
    lambda pairs: np.array([(b / 2, (b + length) / 2) for b, length in pairs]).reshape(-1, 2)
)


def cloud(rows=40, columns=4, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, columns))


def h0(*lengths):
    return np.array([(0.0, d) for d in lengths] + [(0.0, np.inf)])


def two_groups():
    """Diagrams of five tight and five wide clouds: their bars differ by a factor of ten."""
    clouds = [(1 if i < 5 else 10) * cloud(seed=i) for i in range(10)]
    return [homology.persistence(c).diagrams[0] for c in clouds], np.repeat([0, 1], 5)


def with_outliers():
    """Sixty points of a dense square, then three far from it and from each other."""
    dense = np.random.default_rng(0).uniform(0, 1, (60, 2))
    return np.vstack([dense, [[8.0, 8], [-9, 7], [2, -12]]])


@given(bars, bars)
def test_bottleneck_of_loops_equals_persims(a, b):
    # Births are above 0, so that no closed form of H0 answers; persim wants a bar a side.
    if len(a) and len(b):
        assert matching.bottleneck(a, b) == pytest.approx(persim_bottleneck(a, b))


def test_bottleneck_of_loops_by_hand():
    assert matching.bottleneck([[1.0, 5]], [[1.5, 5.25]]) == 0.5
    assert matching.bottleneck([[1.0, 5]], np.zeros((0, 2))) == 2
    assert matching.bottleneck([[1.0, 5], [1, 2]], [[1, 5]]) == 0.5
    # Two long bars compete for one partner: one of them must shrink.
    assert matching.bottleneck([[1.0, 5], [1, 5]], [[1, 5]]) == 2


@pytest.mark.parametrize("metric", sorted(distances.METRICS))
def test_equal_diagrams_are_at_distance_zero_and_others_are_not(metric):
    a, b = h0(1.0, 2, 3), h0(1.0, 2, 4)
    found = distances.matrix([a, b, a], metric)
    assert found[0, 2] == 0 and (np.diag(found) == 0).all()
    assert found[0, 1] == found[1, 0] == pytest.approx(1.0)


@pytest.mark.parametrize("metric", sorted(distances.METRICS))
def test_permuting_and_rotating_units_changes_no_distance(metric):
    points = cloud()
    turn = np.linalg.qr(cloud(4, 4, seed=1))[0]
    order = np.random.default_rng(2).permutation(4)
    views = [homology.persistence(p, maxdim=1) for p in (points, points[:, order], points @ turn)]
    for dimension in (0, 1):
        found = distances.matrix([v.diagrams[dimension] for v in views], metric)
        assert found.max() < 1e-5
    assert distances.dbscan_filter(points).kept.tolist() == (
        distances.dbscan_filter(points[:, order]).kept.tolist()
    )


def test_an_unknown_distance_names_the_legal_ones():
    with pytest.raises(ConfigError, match="wasserstein"):
        distances.matrix([h0(1.0), h0(2.0)], "wassertein")


@pytest.mark.parametrize("comparison", ["bottleneck", "wasserstein", "image"])
def test_two_well_separated_groups_of_diagrams_are_found(comparison):
    diagrams, group = two_groups()
    if comparison == "image":
        found = distances.between_images(distances.images(diagrams))
    else:
        found = distances.matrix(diagrams, comparison)
    index, p = distances.rand_test(distances.clusters(found, 2), group, draws=19_999)
    assert index == 1
    # 2 of the 252 ways to choose five of ten are as good.
    assert p == pytest.approx(2 / 252, abs=0.002)
    leaves = group[distances.order(found)]
    assert (np.diff(leaves) != 0).sum() == 1, "the dendrogram keeps the groups together"


def test_shuffled_labels_agree_no_better_than_chance():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 10)
    drawn = [distances.rand_index(rng.permutation(labels), labels) for _ in range(400)]
    assert abs(np.mean(drawn)) < 0.02
    assert distances.rand_test(np.tile(np.arange(4), 10), labels)[1] > 0.2


def test_rand_index_by_hand_and_against_sklearns():
    from sklearn.metrics import adjusted_rand_score

    assert distances.rand_index([0, 0, 1, 1], ["b", "b", "a", "a"]) == 1
    assert distances.rand_index([0, 0, 1, 1], [0, 1, 0, 1]) == pytest.approx(-0.5)
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.integers(0, 4, (2, 15))
        assert distances.rand_index(a, b) == pytest.approx(adjusted_rand_score(a, b))


def test_where_there_is_one_group_agreement_is_undefined():
    assert np.isnan(distances.rand_test([0, 0, 0], [1, 1, 1])).all()


def test_a_tree_wants_a_symmetric_matrix():
    for wrong in ([[0.0, 1], [2, 0]], [[0.0]], [[0.0, np.nan], [np.nan, 0]]):
        with pytest.raises(ConfigError, match="symmetric matrix"):
            distances.tree(wrong)


def test_images_share_their_ranges_and_an_empty_diagram_is_a_blank():
    found = distances.images([h0(1.0), h0(4.0), h0()])
    assert found.shape[:2] == (3, 1) and not found[2].any()
    assert found[0, 0].argmax() < found[1, 0].argmax()
    assert not distances.images([h0(), h0()]).any()


def test_dbscan_removes_planted_noise_and_nothing_else():
    found = distances.dbscan_filter(with_outliers())
    assert not found.kept[60:].any()
    assert found.kept[:60].mean() > 0.9
    assert 0 < found.eps < 1


def test_coinciding_points_are_not_filtered():
    points = np.vstack([np.zeros((50, 3)), cloud(3, 3)])
    found = distances.dbscan_filter(np.zeros((20, 3)))
    assert found.kept.all() and found.eps == 0
    assert distances.dbscan_filter(points).kept[:50].all()


def test_knee_by_hand():
    assert distances.knee([1.0, 1, 1, 1, 9]) == 1
    assert distances.knee([0.0, 1, 2, 3]) == 3
    assert distances.knee([2.0, 2]) == 2


@pytest.mark.parametrize("neighbours", [1, 5])
def test_a_filter_wants_enough_points(neighbours):
    with pytest.raises(ConfigError, match="neighbours"):
        distances.dbscan_filter(cloud(4), neighbours)


def test_views_do_not_depend_on_scale_and_only_the_unit_one_forgets_length():
    points = np.abs(cloud(30)) + 0.1
    lengths = np.random.default_rng(3).uniform(1, 5, (30, 1))
    for view, stretched in (("raw", points * 7), ("unit", points * lengths)):
        first, second = (networks.of_points(p, view, 20) for p in (points, stretched))
        pd.testing.assert_frame_equal(first, second, rtol=1e-4, atol=1e-5)
    first, second = (networks.of_points(p, "raw", 20) for p in (points, points * lengths))
    assert matching.bottleneck(*(networks.diagram(f, 0) for f in (first, second))) > 0.05


def test_the_filtered_view_is_the_raw_one_without_noise():
    points = with_outliers()
    raw, filtered = (networks.of_points(points, v, 20) for v in ("raw", "filtered"))
    assert raw["removed"].eq(0).all() and raw["h0_points"].eq(63).all()
    kept = distances.dbscan_filter(points).kept
    assert filtered["h0_points"].eq(kept.sum()).all()
    assert filtered["removed"].iloc[0] == pytest.approx(1 - kept.mean())
    longest = [homology.lifetimes(networks.diagram(f, 0)).max() for f in (raw, filtered)]
    assert longest[1] < longest[0] / 5
    assert (raw["h1_points"].iloc[0], raw["h1_radius"].iloc[0] > 0) == (20, True)


def test_a_dead_layer_has_one_component_and_no_distance_to_another():
    pairs = networks.of_points(np.zeros((30, 4)), "raw", 10)
    assert len(pairs) == 1 and np.isinf(pairs["death"]).all()
    assert not distances.matrix([networks.diagram(pairs, 0)] * 2, "wasserstein").any()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The smoke profile's networks of RQ1, trained in this process."""
    results = tmp_path_factory.mktemp("distances")
    found = Study("smoke", results=results)
    train_into(Store(results), found.profile.networks("rq1"))
    return found


def test_chosen_networks_are_the_prototypes_and_every_family(study):
    found = [network(r) for r in networks.chosen(study)]
    names = [e.configuration for e in found]
    assert set(latents.PROTOTYPES.values()) <= set(names)
    assert len(names) == len(set(names)) == study.profile.rq2.distance_networks == 10
    planned = [network(r).configuration for r in study.networks]
    assert names == [n for n in planned if n in names], "in the profile's order"


def test_pairwise_tables_are_symmetric_and_kept(study, monkeypatch):
    pairs = networks.pairwise(study)
    keys = [r.experiment.key for r in networks.chosen(study)]
    for view in networks.COMPARED:
        for comparison in networks.COMPARISONS:
            d = networks.table(pairs, view, "H0", comparison)
            assert list(d.index) == list(d.columns) == keys
            np.testing.assert_allclose(d.to_numpy(), d.to_numpy().T)
            assert (np.diag(d) == 0).all() and d.to_numpy().max() > 0
    monkeypatch.setattr(networks, "homology", None)
    pd.testing.assert_frame_equal(networks.pairwise(study), pairs)


def test_summary_and_filter_effect_have_a_row_a_network_and_dimension(study):
    frame = networks.summary(study)
    assert len(frame) == 10 * len(networks.VIEWS) * 2
    assert frame.loc[frame["homology"] == "H0", "radius"].eq(0).all()
    assert (frame["entropy"].dropna() <= np.log(frame["bars"].clip(lower=1))[
        frame["entropy"].notna()] + 1e-9).all()  # fmt: skip
    effect = networks.filter_effect(frame)
    assert len(effect) == 20 and effect["removed"].between(0, 1).all()
    row = effect[effect["homology"] == "H0"].iloc[0]
    raw = frame[(frame["key"] == row["key"]) & (frame["view"] == "raw")]
    assert row["entropy_raw"] == raw[raw["homology"] == "H0"]["entropy"].item()
    assert "10 of 13 trained configurations" in topology_words.sampled(frame, 13)


def test_agreement_tests_both_taxonomies_and_corrects_for_all(study):
    frame = networks.agreement(study)
    assert len(frame) == 2 * len(networks.COMPARED) * 2 * len(networks.COMPARISONS)
    tested = frame.dropna(subset=["p"])
    assert len(tested) and (tested["p_holm"] >= tested["p"]).all()
    assert frame["rand_index"].dropna().le(1).all()


def test_words_say_what_the_table_says():
    row = {"against": "family", "view": "raw", "homology": "H1", "comparison": "image",
           "networks": 9, "clusters": 3, "rand_index": 0.5, "p": 0.01, "p_holm": 0.02}  # fmt: skip
    worse = {**row, "rand_index": 0.1, "p": 0.4, "p_holm": 0.4, "homology": "H0"}
    words = topology_words.agreement(pd.DataFrame([worse, row]))
    assert "For measured structure no comparison is possible" in words
    assert "9 networks, 3 groups" in words and "index 0.50, p = 0.01" in words
    assert "1 of 2 are better than chance" in words


def test_words_tell_even_clouds_from_clusters_and_from_a_dead_layer():
    even = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0)), axis=-1).reshape(-1, 2)
    clusters = np.vstack([cloud(20) / 1000, cloud(20) / 1000 + 5])
    frames = {name: networks.of_points(p, "raw", 10) for name, p in
              (("even", even), ("clusters", clusters), ("dead", np.zeros((20, 3))))}  # fmt: skip
    words = topology_words.prototypes(frames)
    assert "even 1.00 of" in words and "clusters 0.00 of" in words and "dead none" in words


def test_words_on_the_filter_are_the_median_change():
    frame = pd.DataFrame([
        {"homology": h, "removed": r, "entropy_raw": 2.0, "entropy_filtered": 2.0 + change,
         "longest_raw": 4.0, "longest_filtered": 2.0}
        for h in ("H0", "H1") for r, change in ((0.1, 0.5), (0.2, 1.0), (0.3, 1.5))
    ])  # fmt: skip
    words = topology_words.filtering(frame)
    assert "removes 20.0 % of the latents in the median network (10.0 to 30.0 %)" in words
    assert "H0's longest lifetime changes by -50 % in the median" in words
    assert "H1's persistence entropy changes by +1.00 nats in the median" in words
