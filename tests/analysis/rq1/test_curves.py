"""Curves lie beside the authors', and what falls where theirs rises is named."""

from itertools import combinations

import numpy as np
import pytest

from ffcore.config import FACTORS
from ffreport.analysis import published, stats
from ffreport.analysis.rq1 import curves
from tests.analysis.rq1.test_convergence import with_history
from tests.support.frames import NAN, network

SEEDED = "l2-sum-none-relu-sigmoid"
ALONE = "l2-mean-wta-relu-symmetric"
# As ours fell when bf16 rounded more than factors.
FALLEN = [79.0, 37.0, 29.0, 22.0, 18.0, 15.0, 13.0, 12.0, 11.0, 10.6]


def place(configuration, dataset="mnist"):
    return (dataset, *configuration.split("-", 4))


def theirs(configuration, dataset="mnist"):
    """The authors' run, from the table itself."""
    table = published.curves().set_index(["dataset", *FACTORS])["curve"]
    return table.loc[place(configuration, dataset)]


def seeds(configuration, dataset="mnist"):
    table = published.seed_curves()
    table = table[~table["misfiled"]].set_index(["dataset", *FACTORS])["curve"]
    return table.loc[[place(configuration, dataset)]].tolist()


def beside(configuration, curve, dataset="mnist", **changes):
    """The row of a network that has this learning curve."""
    (row,) = rows(configuration, curve, dataset, **changes).to_dict("records")
    return row


def rows(configuration, curve, dataset="mnist", **changes):
    made = network(configuration, 1.0, dataset, **changes)
    return curves.networks(*with_history([made], [list(curve)]))


def distances(runs, epochs):
    """Between each two of the runs that are as long."""
    long = [r[:epochs] for r in runs if len(r) >= epochs]
    return [np.sqrt(np.mean((a - b) ** 2)) for a, b in combinations(long, 2)]


def test_distance_is_the_root_mean_square_over_the_epochs_that_both_have():
    run = theirs(SEEDED)
    row = beside(SEEDED, run[:2] + [3.0, -4.0])
    assert row["distance"] == pytest.approx(np.sqrt((9 + 16) / 2))
    assert row["epochs_run"] == 2
    longer = beside(SEEDED, [*run, 1.0, 1.0])
    assert (longer["epochs_run"], longer["distance"]) == (50, 0)


def test_a_network_with_the_authors_curve_is_inside_at_distance_zero():
    row = beside(ALONE, theirs(ALONE))
    assert row["distance"] == 0 and not row["outside"] and not row["collapsed"]
    assert row["lost"] == row["published_lost"] == theirs(ALONE).max() - theirs(ALONE)[-1]


def test_a_network_is_outside_just_beyond_the_range_only():
    run = theirs(SEEDED)[:10]
    limit = beside(SEEDED, run)["range"]
    assert not beside(SEEDED, run - 0.99 * limit)["outside"]
    assert beside(SEEDED, run - 1.01 * limit)["outside"]


def test_a_network_that_falls_is_outside_collapsed_and_named():
    found = rows(ALONE, FALLEN, seed=3, precision="bf16", origin="shipped")
    (row,) = found.to_dict("records")
    assert row["outside"] and row["collapsed"] and not row["published_collapsed"]
    assert row["lost"] == pytest.approx(79 - 10.6)
    first, named = curves.summary(found).splitlines()
    assert first.startswith("- **mnist**, 1 networks after 10 epochs: 0 of the 1 lie as near")
    assert named == (
        f"- Outside on mnist: {ALONE}, seed 3, shipped, bf16: {row['distance']:.1f} points over 10 "
        f"epochs, where 95 % of seeds of the same activation are within {row['range']:.1f}."
    )
    assert curves.collapses(found) == (
        f"- mnist {ALONE}, seed 3, 10 epochs: ours loses 68.4 points (shipped, bf16), theirs 0.0."
    )
    assert curves.counts(found)[["judged", "inside", "collapsed", "published_collapsed"]].to_numpy(
    ).tolist() == [[1, 0, 1, 0]]  # fmt: skip


def test_nothing_is_named_where_nothing_falls():
    found = rows(ALONE, theirs(ALONE)[:10])
    assert "Outside" not in curves.summary(found)
    assert curves.collapses(found) == "- No network loses more than 5 points, ours or theirs."


def test_a_collapse_of_theirs_is_named_though_ours_stays():
    table = published.best_accuracy()
    lost = (table["published_best"] - table["published_last"]).where(table["dataset"] == "mnist")
    row = table.loc[lost.idxmax()]
    name = "-".join(row[f] for f in FACTORS)
    found = rows(name, [row["published_best"]] * 50)
    assert found["published_collapsed"].all() and not found["collapsed"].any()
    assert f"ours loses 0.0 points (own, fp32), theirs {lost.max():.1f}." in curves.collapses(found)


@pytest.mark.parametrize("epochs", [2, 10, 50])
def test_the_range_is_of_its_own_ten_seeds_where_there_are_such(epochs):
    row = beside(SEEDED, theirs(SEEDED)[:epochs])
    pairs = distances(seeds(SEEDED), epochs)
    assert len(pairs) == 45 and row["of"] == curves.OWN_SEEDS
    assert row["range"] == pytest.approx(np.quantile(pairs, 0.95))


@pytest.mark.parametrize("activation", FACTORS["activation"])
def test_the_range_is_else_of_all_seeds_of_its_activation_on_its_data_set(activation):
    name = f"l1-mean-wta-{activation}-ffa-sigmoid"
    row = beside(name, theirs(name, "kmnist")[:10], "kmnist")
    table = published.seed_curves()
    chosen = (table["dataset"] == "kmnist") & (table["activation"] == activation)
    groups = table[chosen].groupby(list(FACTORS))["curve"]
    assert name not in {"-".join(key) for key in groups.groups}
    pairs = [d for _, runs in groups for d in distances(runs.tolist(), 10)]
    assert row["of"] == curves.LIKE
    assert row["range"] == pytest.approx(np.quantile(pairs, 0.95))


def test_a_data_set_without_seeds_has_a_distance_and_no_judgement():
    found = rows(SEEDED, theirs(SEEDED, "cifar-10")[:10] - 30, "cifar-10")
    (row,) = found.to_dict("records")
    assert row["distance"] == pytest.approx(30) and np.isnan(row["range"])
    assert (row["outside"], row["of"]) == (False, "")
    assert curves.counts(found)["judged"].tolist() == [0]
    assert "no seeds were published to judge the distance by" in curves.summary(found)


def test_a_seed_that_ended_early_is_in_the_pairs_of_as_many_epochs_only():
    name = "l2sq-sum-wta-tanh-sigmoid"
    for epochs, pairs in ((10, 45), (11, 36)):
        found = distances(seeds(name), epochs)
        assert len(found) == pairs
        row = beside(name, theirs(name)[:epochs])
        assert row["range"] == pytest.approx(np.quantile(found, 0.95))
        runs = [r[:epochs] for r in seeds(name) if len(r) >= epochs]
        expected = [np.min(runs, axis=0), np.max(runs, axis=0)]
        assert np.array_equal(curves.seed_band(place(name), epochs), expected)


def test_the_misfiled_run_is_in_neither_range_nor_band():
    name, dataset = "l2sq-mean-none-relu-symmetric", "fashion-mnist"
    row = beside(name, theirs(name, dataset), dataset)
    own = distances(seeds(name, dataset), 50)
    assert len(own) == 45 and row["range"] == pytest.approx(np.quantile(own, 0.95))
    table = published.seed_curves()
    stray = table.loc[table["misfiled"], "curve"].item()
    low, high = curves.seed_band(place(name, dataset), 50)
    assert ((stray < low) | (stray > high)).any()
    assert row["range"] < np.quantile(distances([*seeds(name, dataset), stray], 50), 0.95)


def test_there_is_no_band_where_no_seed_is_as_long_or_published():
    assert curves.seed_band(place(SEEDED), 51) is None
    assert curves.seed_band(place(ALONE), 10) is None


def test_a_counterpart_lies_beside_its_data_set_and_another_beside_nothing():
    made = [network(SEEDED, 1.0, d) for d in ("mnist-5k", "cifar-100", "mnist")]
    made.append(network(SEEDED, NAN, "mnist", seed=1))
    found = curves.networks(*with_history(made, [theirs(SEEDED)[:5]] * 2 + [[1.0, 2.0], None]))
    assert found["dataset"].tolist() == ["mnist-5k", "mnist"]
    assert found["distance"][0] == 0
    nothing = curves.networks(*with_history(made[1:2], [[1.0, 2.0]]))
    assert nothing.empty and list(nothing) == list(found)
    assert curves.summary(nothing) == "- No network has a published curve to lie beside."


@pytest.mark.parametrize("epochs", [1, 10, 50])
def test_convergence_after_some_epochs_is_that_of_the_cut_curve(epochs):
    table = curves.convergence("kmnist", epochs)
    assert len(table) == 108 and set(table["dataset"]) == {"kmnist"}
    for row in table.to_dict("records"):
        run = theirs("-".join(row[f] for f in FACTORS), "kmnist")[:epochs]
        said = row["published_area"], row["published_time"]
        assert said == stats.convergence(run / 100)
