import numpy as np
import pandas as pd
import pytest

from ffreport.analysis.rq2 import latents as rq2
from ffreport.analysis.rq2 import polarity
from tests.conftest import tiny


def latents(values, truth, classes):
    """Latents [images·classes, n], image-major."""
    return rq2.Latents(np.asarray(values, dtype=np.float32), np.asarray(truth), classes)


def planted(images=30, classes=3):
    """Six units: 0–2 answer to class 0–2 under the true label only (positive units); of the
    negative ones, 3 answers to any wrong label, 4 always, 5 never."""
    truth = np.arange(images) % classes
    found = latents(np.zeros((images * classes, 6)), truth, classes)
    for unit in range(3):
        found.values[found.positive & (found.true_class == unit), unit] = 2.0
    found.values[~found.positive, 3] = 1.0
    found.values[:, 4] = -0.5
    return found


def by_unit(frame, sample, column):
    return frame[frame["sample"] == sample].set_index("unit")[column]


def test_selectivity_of_one_hot_units_is_one_and_of_constant_units_zero():
    found = polarity.selectivity([[3.0, 2.0, 0.0], [0, 2, 0], [0, 2, 0]])
    np.testing.assert_array_equal(found, [1.0, 0.0, np.nan])


def test_selectivity_by_hand():
    # (6 − 2)/(6 + 2): the mean of the others is (1 + 3)/2.
    assert polarity.selectivity([[1.0], [6.0], [3.0]]) == pytest.approx(0.5)


def test_selectivity_depends_on_neither_scale_nor_the_order_of_classes_and_units():
    means = np.random.default_rng(0).uniform(0, 1, (5, 8))
    found = polarity.selectivity(means)
    np.testing.assert_allclose(polarity.selectivity(7 * means[::-1]), found)
    order = np.random.default_rng(1).permutation(8)
    np.testing.assert_allclose(polarity.selectivity(means[:, order]), found[order])


@pytest.mark.parametrize("wrong", [[1.0, 2], [[1.0, 2]], [[-1.0], [2]], [[np.nan], [1]]])
def test_selectivity_wants_means_that_are_not_negative(wrong):
    with pytest.raises(ValueError, match="classes ≥ 2"):
        polarity.selectivity(wrong)


def test_class_means_are_over_the_samples_of_a_class():
    found = polarity.class_means([[1.0, 0], [3, 0], [5, 7]], [4, 4, 9])
    np.testing.assert_array_equal(found, [[2, 0], [5, 7]])


def test_planted_units_are_recognised():
    frame = polarity.unit_table(planted(), 3)
    assert frame.groupby("group")["unit"].unique().map(list).to_dict() == {
        "positive": [0, 1, 2], "negative": [3, 4, 5]}  # fmt: skip
    selective = by_unit(frame, "positive", "selectivity")
    assert selective[[0, 1, 2]].eq(1).all() and selective[4] == 0
    assert selective[[3, 5]].isna().all(), "they never answer to a positive sample"
    assert by_unit(frame, "negative", "selectivity")[3] == 0
    assert by_unit(frame, "positive", "used").tolist() == [True] * 5 + [False]
    np.testing.assert_allclose(by_unit(frame, "positive", "activity"), [2 / 3] * 3 + [0, 0.5, 0])
    np.testing.assert_allclose(by_unit(frame, "negative", "activity"), [0, 0, 0, 1, 0.5, 0])
    np.testing.assert_allclose(by_unit(frame, "negative", "active"), [0, 0, 0, 1, 1, 0])


def test_shuffled_classes_leave_little_selectivity_where_there_is_much():
    frame = polarity.unit_table(planted(images=600), 3)
    chance = by_unit(frame, "positive", "chance")
    assert chance[[0, 1, 2]].max() < 0.3 and chance[4] == 0


def test_a_dead_layer_uses_no_unit():
    frame = polarity.unit_table(latents(np.zeros((12, 4)), [0, 1, 2, 0], 3), 2)
    assert not frame["used"].any() and not frame["active"].any()
    assert frame["selectivity"].isna().all()


def test_permuting_units_within_a_group_changes_no_group():
    values = np.random.default_rng(0).uniform(0, 1, (60, 6))
    order = [2, 0, 1, 5, 3, 4]
    tables = [polarity.unit_table(latents(v, np.arange(20) % 3, 3), 3).assign(goodness=1.0)
              for v in (values, values[:, order])]  # fmt: skip
    first, second = map(polarity.by_group, tables)
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize(
    ("norm", "aggregation", "inhibition", "expected"),
    [
        ("l2sq", "sum", "none", 25.0),
        ("l2", "sum", "none", 5.0),
        ("l1", "sum", "none", 7.0),
        ("l1", "mean", "none", 7 / 4),
        ("l1", "sum", "wta", 4.0),  # the one winner by signed activation
        ("l1", "mean", "wta", 1.0),  # still divided by all four
    ],
)
def test_goodness_is_the_one_that_the_network_was_trained_with(
    norm, aggregation, inhibition, expected
):
    e = tiny(norm=norm, aggregation=aggregation, inhibition=inhibition, wta_k=1, activation="tanh")
    found = polarity.group_goodness([[4.0, -3, 0, 0]], e)
    assert found == pytest.approx([expected])


def activities(**means):
    """A frame of ``networks`` by hand: of each network four means, positive units first."""
    cells = [(g, s) for g in polarity.GROUPS for s in polarity.SAMPLES]
    rows = []
    for name, values in means.items():
        for (group, sample), value in zip(cells, values, strict=False):
            rows.append({"key": name, "family": "sigmoid-polar", "group": group, "sample": sample,
                         "units": 2, "activity": value, "goodness": value, "active": 0.5,
                         "used": 1.0, "selectivity": value / 10, "chance": 0.0,
                         "relative_activity": value, "relative_goodness": value})  # fmt: skip
    return pd.DataFrame(rows)


def test_contrast_by_hand():
    found = polarity.contrasts(activities(a=(3, 1, 1, 4), b=(2, 2, 0, 0)))
    value = found.set_index(["key", "group"])["goodness_contrast"]
    assert value["a", "positive"] == 0.5 and value["a", "negative"] == pytest.approx(-0.6)
    assert value["b", "positive"] == 0 and np.isnan(value["b", "negative"])


def test_words_count_the_groups_that_answer_to_their_own_sign():
    frame = activities(a=(3, 1, 1, 4), b=(3, 1, 4, 1), c=(1, 3, 1, 3))
    words = polarity.activity_words(polarity.contrasts(frame))
    assert "sigmoid-polar, positive units: 2 of 3 networks" in words
    assert "sigmoid-polar, negative units: 2 of 3 networks" in words


def test_words_say_which_groups_never_answer():
    frame = activities(a=(3, 1, 0, 0), b=(3, 1, 1, 3))
    words = polarity.activity_words(polarity.contrasts(frame))
    assert "negative units: 1 of 1 network (mean contrast -0.50; 1 more never answer)" in words


def test_what_is_shown_has_one_data_set_and_a_configuration_once():
    named = [("a", "x", "mnist"), ("b", "y", "mnist"), ("c", "x", "mnist"), ("d", "z", "digits")]
    rows = [{"key": k, "configuration": c, "dataset": d, "group": g}
            for k, c, d in named for g in polarity.GROUPS]  # fmt: skip
    found = polarity.shown(pd.DataFrame(rows))
    assert found["key"].tolist() == ["a", "a", "b", "b"]


def test_family_means_have_intervals_over_networks():
    frame = activities(a=(1, 1, 1, 1), b=(3, 1, 1, 1))
    row = polarity.families(frame).iloc[0]
    assert (row["group"], row["sample"], row["networks"]) == ("positive", "positive", 2)
    assert row["relative_goodness"] == 2
    # t with one degree of freedom: 12.706 · √2/√2.
    assert row["relative_goodness_high"] == pytest.approx(2 + 12.706, abs=1e-3)
    alone = polarity.families(activities(a=(1, 1))).iloc[0]
    assert np.isnan(alone["relative_goodness_low"])


def test_a_network_without_negative_units_has_no_rows_for_them():
    found = polarity.by_group(polarity.unit_table(planted(), 6).assign(goodness=1.0))
    assert set(found["group"]) == {"positive"} and len(found) == 2


def test_relative_activity_is_one_on_average():
    found = polarity.by_group(polarity.unit_table(planted(), 3).assign(goodness=2.0))
    assert found["relative_activity"].mean() == pytest.approx(1)
    assert found["relative_goodness"].eq(1).all()
