"""Figures of topology and the polarity view, from small frames: what they show, and no failure
where a network has no bars or no negative units."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from ffreport.analysis.rq2.figures import polarity_views
from ffreport.analysis.rq2.topology import distances, words
from ffreport.analysis.rq2.topology import figures as plots_topology
from ffreport.analysis.rq2.topology import networks as rq2_topology


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def frames():
    cloud = np.random.default_rng(0).standard_normal((40, 3))
    points = {"original": cloud, "perturbation": np.zeros((40, 3)), "sigmoid-polar": 1 + cloud / 9}
    return {s: rq2_topology.of_points(p, "raw", 20) for s, p in points.items()}


def test_diagrams_show_every_finite_bar_and_survive_a_dead_layer(frames):
    figure = plots_topology.diagrams(frames, dict.fromkeys(frames, "a\nb"))
    upper, lower = figure.axes[:3], figure.axes[3:6]
    drawn = [sum(p.get_height() for p in axis.patches) for axis in upper]
    assert drawn == [39, 0, 39]
    for axis, frame in zip(lower, frames.values(), strict=True):
        points = axis.collections[-1].get_offsets()
        assert len(points) == len(rq2_topology.diagram(frame, 1))


def test_survival_curves_start_at_one_and_end_at_the_longest_bar(frames):
    figure = plots_topology.survival({"raw": frames, "unit": frames})
    lines = figure.axes[0].lines
    assert len(lines) == 2, "a layer without bars has no curve"
    length = rq2_topology.diagram(frames["original"], 0)[:, 1]
    assert lines[0].get_xdata().max() == pytest.approx(length.max())
    assert max(lines[0].get_ydata()) == 1


def test_without_a_prototype_figures_and_words_say_so():
    """As in a profile of variants of one's own alone."""
    none = distances.images([])
    figures = [plots_topology.diagrams({}, {}), plots_topology.survival({"raw": {}, "unit": {}}),
               plots_topology.images(none, none, [])]  # fmt: skip
    for figure in figures:
        assert "none of the prototypes" in figure.axes[0].texts[0].get_text()
    assert words.prototypes({}) == "None of the prototypes was trained."


def test_a_map_orders_rows_columns_and_strips_by_the_dendrogram():
    place = np.array([0.0, 10, 1, 11])
    keys = list("abcd")
    table = pd.DataFrame(np.abs(np.subtract.outer(place, place)), index=keys, columns=keys)
    labels = pd.DataFrame(
        {"configuration": [f"net-{k}" for k in keys], "family": "original",
         "structure": ["unclear", "original", "unclear", "original"]}, index=keys,
    )  # fmt: skip
    figure = plots_topology.distance_map(table, distances.tree(table), labels, "title", "units")
    heat = figure.axes[3]
    shown = [t.get_text() for t in heat.get_yticklabels()]
    assert {frozenset(shown[:2]), frozenset(shown[2:])} == {
        frozenset({"net-a", "net-c"}), frozenset({"net-b", "net-d"})}  # fmt: skip
    order = [keys.index(name[-1]) for name in shown]
    np.testing.assert_array_equal(
        heat.images[0].get_array(), table.to_numpy()[np.ix_(order, order)]
    )
    strip = [p.get_facecolor()[:3] for p in figure.axes[2].patches]
    assert strip[0] == strip[1] != strip[2] == strip[3]


def test_images_of_no_loop_are_drawn(frames):
    bars = [[rq2_topology.diagram(f, d) for f in frames.values()] for d in (0, 1)]
    figure = plots_topology.images(*map(distances.images, bars), list(frames))
    assert len(figure.axes) == 7, "six panels and a bar of colours"


def networks():
    rows = [
        {"key": f"{family}-{i}", "family": family, "group": group, "sample": sample,
         "relative_activity": 1.0 + i, "relative_goodness": 1.0, "used": 1.0, "active": 0.5}
        for family, groups in (("original", ["positive"]), ("sigmoid-polar", ["positive",
                                                                              "negative"]))
        for i in range(3) for group in groups for sample in ("positive", "negative")
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_a_family_without_negative_units_says_so():
    figure = polarity_views.activity(networks())
    said = [["none" in t.get_text() for t in axis.texts] for axis in figure.axes]
    assert said == [[True], [], [True], []]
    assert "3 networks" in figure.axes[0].get_title()
    assert len(polarity_views.use(networks()).axes) == 2


def test_selectivity_curves_are_shares_of_units():
    unit = pd.DataFrame({"group": "positive", "sample": "positive", "chance": 0.0,
                         "selectivity": [0.2, 0.4, 0.6, np.nan]})  # fmt: skip
    figure = polarity_views.selectivities({"original": [unit, unit]})
    line = figure.axes[0].lines[0]
    values = dict(zip(np.round(line.get_xdata(), 2), line.get_ydata(), strict=True))
    assert values[0.0] == 1 and values[0.5] == pytest.approx(1 / 3) and values[0.6] == 0
