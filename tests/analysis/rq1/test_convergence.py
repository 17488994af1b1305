"""Area and time of histories that are cut to equal length, and networks that never learn."""

import numpy as np
import pandas as pd
import pytest

from ffreport.analysis import stats
from ffreport.analysis.rq1 import convergence
from ffreport.analysis.rq1.contrasts import CONFIGURATION
from tests.support.frames import NAN, frame, network, trio


def with_history(rows, curves):
    """Frame and histories of networks whose accuracies after each epoch are given."""
    made, parts = [], []
    for row, curve in zip(rows, curves, strict=True):
        ran = curve is not None
        best, last = (max(curve), curve[-1]) if ran else (NAN, NAN)
        made.append({**row, "best": best, "last": last,
                     "epochs_run": len(curve) if ran else NAN})  # fmt: skip
        if ran:
            named = {k: row[k] for k in ("key", "configuration", "seed", "origin", *CONFIGURATION)}
            epochs = {"epoch": range(1, len(curve) + 1), "test_accuracy": curve}
            parts.append(pd.DataFrame(epochs).assign(**named))
    return frame(*made), pd.concat(parts, ignore_index=True)


def test_area_time_and_epochs_by_hand():
    curve = [50.0, 80.0, 90.0, 99.8, 100.0]
    found = convergence.networks(*with_history([network("l2-sum-none-relu-sigmoid", 1.0)], [curve]))
    row = found.iloc[0]
    assert (row["area"], row["time"]) == stats.convergence(np.array(curve) / 100)
    assert row["area"] == pytest.approx((0.2 + 0.1 + 0.002) / 5)
    assert row["time"] == pytest.approx(3 / 5)
    assert (row["epochs_90"], row["epochs_95"]) == (3, 4)
    # Theirs of five epochs: 89.93, 93.18, 94.21, 94.96, 95.52.
    assert row["published_area"] == pytest.approx((2.34 + 1.31 + 0.56 + 0) / 100 / 5)
    assert row["published_time"] == pytest.approx(4 / 5)


def test_histories_are_cut_where_the_frame_was_levelled():
    full, histories = with_history(
        [network("l2-sum-none-relu-sigmoid", 1.0)], [[50.0, 60.0, 70.0, 95.0]]
    )
    cut = full.assign(epochs_run=2.0, best=60.0, last=60.0)
    assert convergence.levelled(cut, histories)["epoch"].tolist() == [1, 2]
    assert convergence.networks(cut, histories)["area"][0] == pytest.approx(0)
    assert convergence.networks(full, histories)["area"][0] == pytest.approx((35 + 25 + 0) / 400)


def test_theirs_are_looked_at_after_as_many_epochs_as_the_data_set_has_of_ours():
    rows = [network("l2-sum-none-relu-sigmoid", 1.0, dataset=d)
            for d in ("mnist", "mnist-5k", "cifar-100")]  # fmt: skip
    curves = [[50.0, 60.0, 70.0], [50.0, 60.0], [1.0, 2.0]]
    found = convergence.networks(*with_history(rows, curves))
    said = found.set_index("dataset")["published_area"]
    assert said["mnist"] == pytest.approx((1.03 + 0) / 100 / 3)
    assert said["mnist-5k"] == pytest.approx(0)
    assert np.isnan(said["cifar-100"])


def test_theirs_are_looked_at_after_as_many_epochs_as_the_seed_has_of_ours():
    name = "l2-sum-none-relu-sigmoid"
    rows = [network(name, 1.0, seed=s) for s in (0, 1)] + [network(name, NAN, seed=2)]
    found = convergence.networks(*with_history(rows, [[50.0, 60.0, 70.0], [50.0, 60.0], None]))
    assert found["seed"].tolist() == [0, 1, 2]
    one, two, lacking = found["published_area"]
    assert one == lacking == pytest.approx((1.03 + 0) / 100 / 3) and two == pytest.approx(0)


def test_a_network_that_was_not_run_keeps_its_row():
    rows = trio("l2-sum-none-relu", 1.0, 1.0, NAN)
    found = convergence.networks(*with_history(rows, [[20.0, 30.0], [20.0, 30.0], None]))
    assert len(found) == 3 and found["area"].isna().tolist() == [False, False, True]
    assert found["key"].tolist() == [r["key"] for r in rows]


def failing_ffa():
    """Six configurations: FFA never learns in three and is slower in the others."""
    rows, curves = [], []
    names = [f"{n}-{a}-none-{u}" for n in ("l2", "l1") for a in ("sum", "mean")
             for u in ("relu", "tanh")][:6]  # fmt: skip
    for i, name in enumerate(names):
        rows += trio(name, 1.0, 1.0, 1.0)
        ffa = [10.0, 10.0, 10.0, 10.0] if i < 3 else [20.0, 40.0, 60.0, 90.0]
        curves += [ffa, [40.0, 60.0, 85.0, 90.0], [50.0, 70.0, 88.0, 90.0]]
    return convergence.networks(*with_history(rows, curves))


def test_networks_that_never_learn_turn_the_comparison_around():
    found = failing_ffa()
    assert found["learned"].sum() == 15
    table = convergence.comparison(found).set_index(["measure", "networks", "first", "second"])
    every = table.loc[("area", convergence.EVERY, "ffa-sigmoid", "sigmoid")]
    learned = table.loc[("area", convergence.LEARNED, "ffa-sigmoid", "sigmoid")]
    assert (every["pairs"], learned["pairs"]) == (6, 3)
    assert (
        learned["difference"]
        < 0
        < table.loc[("time", convergence.EVERY, "ffa-sigmoid", "sigmoid"), "difference"]
    )
    assert every["difference"] > learned["difference"]


def test_tests_are_corrected_within_a_measure():
    table = convergence.comparison(failing_ffa())
    for _, part in table.groupby(["measure", "networks"]):
        smallest = part["p"].min()
        if np.isfinite(smallest):
            assert part["p_holm"].min() == pytest.approx(min(1, smallest * part["p"].notna().sum()))


def test_means_keep_learners_and_the_others_apart():
    table = convergence.means(failing_ffa()).set_index(["learned", "probability"])
    assert table.loc[("below 20 %", "ffa-sigmoid"), "area"] == 0
    assert table.loc[("yes", "ffa-sigmoid"), "area"] > 0
    assert table["networks"].sum() == 18


def test_numbers_stay_numbers_where_no_network_learns():
    rows = trio("l2-sum-none-relu", 1.0, 1.0, 1.0)
    found = convergence.networks(*with_history(rows, [[10.0, 10.1]] * 3))
    table = convergence.comparison(found)
    assert not found["learned"].any() and set(table["networks"]) == {convergence.EVERY}
    assert table["difference"].dtype.kind == "f" and table["pairs"].dtype.kind in "if"
