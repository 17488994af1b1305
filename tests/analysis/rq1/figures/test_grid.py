"""Figures of RQ1 show what is there, mark what is not, and tell whose results they are."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

mpl.use("agg")
import matplotlib.pyplot as plt  # noqa: E402

from ffreport.analysis.look import origin_look  # noqa: E402
from ffreport.analysis.rq1 import accuracy, contrasts
from ffreport.analysis.rq1.figures import convergence_map, pairs  # noqa: E402
from ffreport.analysis.rq1.figures import grid as plots_rq1
from tests.analysis.rq1.test_convergence import failing_ffa  # noqa: E402
from tests.support.frames import NAN, frame, whole_grid  # noqa: E402


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def lacking(rows, share):
    """Every second, third … row not run."""
    return [
        {**r, "best": NAN, "last": NAN, "epochs_run": NAN, "origin": contrasts.NOT_RUN}
        if i % share == 0 else r for i, r in enumerate(rows)
    ]  # fmt: skip


def legend(figure):
    legends = [*figure.legends, *(a.get_legend() for a in figure.axes if a.get_legend())]
    return {text.get_text() for one in legends for text in one.get_texts()}


def drawn(axis, marker):
    """Number of points of a marker on an axis."""
    return sum(len(line.get_xdata()) for line in axis.lines if line.get_marker() == marker)


def test_a_grid_has_a_map_a_data_set_with_results_and_hatches_what_is_lacking():
    rows = [*lacking(whole_grid(), 3), *whole_grid("kmnist", origin="shipped"),
            *whole_grid("cifar-10", shift=NAN)]  # fmt: skip
    figure = plots_rq1.accuracy_grid(frame(*rows))
    maps = [a for a in figure.axes if a.get_title(loc="left")]
    titles = [a.get_title(loc="left") for a in maps]
    assert titles == ["MNIST", "KMNIST, shipped results"]
    hatched = [sum(p.get_hatch() is not None for p in a.patches) for a in maps]
    assert hatched == [36, 0]
    numbers = [t for t in maps[0].texts if t.get_text().replace(".", "").isdigit()]
    assert len(numbers) == 72
    assert legend(figure) == {"planned, not run"}


def test_a_grid_marks_shipped_and_cut_networks_only_where_they_are_a_part():
    rows = whole_grid()
    mixed = [{**r, "origin": "shipped", "epochs_run": 5.0} if i < 10 else r
             for i, r in enumerate(rows)]  # fmt: skip
    figure = plots_rq1.accuracy_grid(frame(*mixed))
    assert drawn(figure.axes[0], "o") == drawn(figure.axes[0], "v") == 10
    assert legend(figure) == {"shipped result", "trained in part"}
    every = plots_rq1.accuracy_grid(frame(*whole_grid(epochs_run=5.0)))
    assert drawn(every.axes[0], "v") == 0 and not legend(every)
    assert every.axes[0].get_title(loc="left") == "MNIST, after 5 of 50 epochs"


def test_scatter_has_a_point_a_network_and_open_marks_for_shipped_ones():
    rows = [*lacking(whole_grid(), 2), *whole_grid("kmnist", origin="shipped", epochs_run=5.0)]
    figure = plots_rq1.against_published(frame(*rows))
    counts = [sum(drawn(a, m) for m in "os^") for a in figure.axes]
    assert counts == [54, 108]
    styles = [{line.get_fillstyle() for line in a.lines if line.get_marker() in "os^"}
              for a in figure.axes]  # fmt: skip
    assert styles == [{"full"}, {"none"}]
    assert {"own results", "shipped results", "trained in part"} <= legend(figure)
    assert "rank correlation 1.00" in figure.axes[0].get_title()


def test_means_show_the_published_ones_even_where_ours_lack():
    table = frame(*lacking(whole_grid(), 1))
    figure = plots_rq1.factor_means(
        accuracy.means(table, "norm"), accuracy.means(table, "activation")
    )
    assert [drawn(a, "D") for a in figure.axes] == [9, 9]
    assert [drawn(a, "o") for a in figure.axes] == [0, 0]
    assert "published, whole grid" in legend(figure)


def test_ten_seeds_are_sorted_and_have_a_point_a_seed():
    rows = [*whole_grid(), *whole_grid(seed=1, origin="shipped"), *whole_grid("fashion-mnist"),
            *whole_grid("cifar-10")]  # fmt: skip
    figure = pairs.ten_seeds(frame(*rows))
    assert [drawn(a, "o") for a in figure.axes] == [2 * 18, 2 * 18, 18, 18]
    assert figure.axes[2].get_title().startswith("Fashion-MNIST")
    for left in figure.axes[::2]:
        middles = [p.get_x() + p.get_width() / 2 for p in left.patches]
        assert len(middles) == 18 and middles == sorted(middles)
    assert {"own results", "shipped results"} <= legend(figure)


def test_differences_have_a_line_a_pair_and_say_what_was_not_run():
    rows = [*whole_grid(), *whole_grid("kmnist", shift=NAN)]
    figure = pairs.differences(contrasts.paired(frame(*rows)))
    (axis,) = figure.axes
    texts = [t.get_text() for t in axis.texts]
    assert texts.count("not run") == 3 and "MNIST" in texts and "KMNIST" in texts
    assert sum(t.startswith("36 of 36 pairs, Holm p") for t in texts) == 3
    assert drawn(axis, "o") == 3 and drawn(axis, "D") == 6
    assert "published, whole grid" in legend(figure)


def test_selection_has_a_point_a_network_and_the_published_means():
    grid = frame(*whole_grid(), *whole_grid("kmnist", epochs_run=5.0))
    figure = pairs.selection(grid, contrasts.flattery(grid))
    assert [drawn(a, "o") for a in figure.axes] == [108, 108]
    assert [drawn(a, "D") for a in figure.axes] == [3, 3]
    assert "trained in part" in legend(figure)
    none = grid.assign(published_last=NAN)
    figure = pairs.selection(none, contrasts.flattery(none))
    assert [drawn(a, "D") for a in figure.axes] == [0, 0]


def curves(*networks):
    return pd.DataFrame(
        [
            {"dataset": d, "activation": u, "probability": p, "configuration": c, "origin": o,
             "epoch": e, "test_accuracy": a}
            for d, u, p, c, o, values in networks for e, a in enumerate(values, 1)
        ]
    )  # fmt: skip


def test_a_curve_is_the_median_of_configurations_and_stays_where_a_network_stopped():
    shown = curves(
        ("cifar-10", "relu", "sigmoid", "a", "own", [10, 20, 30, 40]),
        ("cifar-10", "relu", "sigmoid", "b", "own", [20, 30]),
        ("cifar-10", "relu", "sigmoid", "c", "own", [30, 50, 70, 90]),
        ("cifar-10", "tanh", "symmetric", "d", "shipped", [1, 2, 3, 4]),
    )
    figure = convergence_map.learning_curves(shown)
    relu, tanh = figure.axes
    assert relu.lines[0].get_ydata().tolist() == [20, 30, 30, 40]
    assert (relu.get_title(), tanh.get_title()) == (
        "CIFAR-10, ReLU, n = 3",
        "CIFAR-10, tanh, n = 1",
    )
    assert len(relu.collections) == 1 and not tanh.collections
    assert relu.lines[0].get_linestyle() != tanh.lines[0].get_linestyle()
    assert {"own results", "shipped results"} <= legend(figure)


def test_convergence_marks_pairs_of_which_one_side_never_learned():
    figure = convergence_map.paired_convergence(failing_ffa())
    for axis in figure.axes:
        assert drawn(axis, "x") == 6 and drawn(axis, "o") + drawn(axis, "^") == 6
        low, high = axis.get_xlim()
        points = np.concatenate([line.get_xdata() for line in axis.lines])
        assert (points >= low).all() and (points <= high).all()
    assert "one side never learns" in legend(figure)


def test_marks_tell_whose_results_they_are():
    styles = [origin_look(o, "red")["fillstyle"] for o in ("own", "shipped", contrasts.MIXED)]
    assert styles == ["full", "none", "left"]
