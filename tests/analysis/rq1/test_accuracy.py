"""A network stands beside what the authors' had after as many epochs."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ffcore.config import FACTORS, make_experiment
from ffreport.analysis import published
from ffreport.analysis.rq1 import accuracy as rq1
from ffreport.analysis.rq1 import verdicts

NAME = "l2-sum-none-relu-sigmoid"


def planned(configuration=NAME, dataset="mnist", seed=0):
    factors = dict(zip(FACTORS, configuration.split("-", 4), strict=True))
    return make_experiment(dataset=dataset, seed=seed, **factors)


def record(experiment, curve, stopped=False):
    """What stands for an experiment, trained for as many epochs as its curve has (percent)."""
    fractions = [a / 100 for a in curve]
    epochs = len(curve) if not stopped else experiment.epochs
    return SimpleNamespace(
        planned=experiment, experiment=experiment.model_copy(update={"epochs": epochs}),
        origin="own", table=lambda _: pd.DataFrame({"epoch": range(1, len(curve) + 1),
                                                    "test_accuracy": fractions}),
        summary={"best": max(fractions), "last": fractions[-1], "selected": None,
                 "epochs": len(curve), "best_epoch": int(np.argmax(curve)) + 1, "stopped": stopped},
    )  # fmt: skip


def accuracy(*pairs, **options):
    """``rq1.accuracy`` of experiments and what stands for them."""
    experiments, found = zip(*pairs, strict=True)
    study = SimpleNamespace(
        profile=SimpleNamespace(networks=lambda part: list(experiments)),
        trained=lambda part: list(found),
    )
    return rq1.accuracy(study, **options)


def theirs(epochs, dataset="mnist"):
    """The authors' run of ``NAME``, cut, and the means over its seeds."""
    place = (dataset, *NAME.split("-", 4))
    run = published.curves().set_index(["dataset", *FACTORS])["curve"].loc[place][:epochs]
    seeds = published.seed_curves().set_index(["dataset", *FACTORS])["curve"].loc[[place]]
    cut = seeds.map(lambda curve: curve[:epochs])
    best, last = cut.map(max), cut.map(lambda curve: curve[-1])
    return {"published_best": max(run), "published_last": run[-1], "band_last": last.mean(),
            "band_last_std": last.std(), "band_best": best.mean(),
            "band_best_std": best.std()}  # fmt: skip


def shown(row):
    return {name: row[name] for name in theirs(1)}


RISING = list(np.linspace(60, 96.9, 10))


def test_a_network_of_ten_epochs_stands_beside_theirs_after_ten():
    e = planned()
    (row,) = accuracy((e, record(e, RISING))).to_dict("records")
    assert (row["epochs"], row["epochs_run"]) == (50, 10)
    assert shown(row) == pytest.approx(theirs(10))
    assert row["published_best"] == 96.9 and row["band_last"] == pytest.approx(96.866)
    assert row["difference"] == pytest.approx(0, abs=1e-9)


def test_each_network_stands_beside_as_many_epochs_as_it_has_and_keeps_its_place():
    experiments = [planned(seed=0), planned(dataset="fashion-mnist"), planned(seed=1),
                   planned(seed=2), planned(seed=3)]  # fmt: skip
    lengths = [50, 10, 3, None, 10]
    found = [record(e, np.linspace(50, 90, n)) if n else None
             for e, n in zip(experiments, lengths, strict=True)]  # fmt: skip
    frame = accuracy(*zip(experiments, found, strict=True))
    assert frame["key"].tolist() == [e.key for e in experiments]
    for row, e, n in zip(frame.to_dict("records"), experiments, lengths, strict=True):
        assert shown(row) == pytest.approx(theirs(n, e.dataset))


def test_a_network_that_stopped_early_stands_beside_all_of_theirs():
    e = planned()
    (row,) = accuracy((e, record(e, RISING, stopped=True))).to_dict("records")
    assert row["epochs_run"] == 10 and shown(row) == pytest.approx(theirs(50))


def test_a_levelled_network_stands_beside_as_many_epochs_as_it_was_cut_to():
    other = "l1-sum-none-relu-sigmoid"
    whole, part = planned(), planned(other)
    pairs = [(whole, record(whole, np.linspace(50, 90, 50))), (part, record(part, RISING))]
    plain, level = accuracy(*pairs), accuracy(*pairs, level=True)
    assert plain["epochs_run"].tolist() == [50, 10] and level["epochs_run"].tolist() == [10, 10]
    assert shown(plain.iloc[0]) == pytest.approx(theirs(50))
    assert shown(level.iloc[0]) == pytest.approx(theirs(10))


def test_another_seed_cuts_no_network_and_is_cut_by_none():
    whole, part, third = planned(), planned(seed=1), planned("l1-sum-none-relu-sigmoid", seed=1)
    pairs = [(whole, record(whole, np.linspace(50, 90, 50))), (part, record(part, RISING)),
             (third, record(third, np.linspace(50, 90, 50)))]  # fmt: skip
    assert accuracy(*pairs, level=True)["epochs_run"].tolist() == [50, 10, 10]


@pytest.mark.parametrize(
    ("last", "epochs", "verdict"),
    [(96.9, 10, verdicts.WITHIN), (98.2, 10, verdicts.OUTSIDE), (96.9, 50, verdicts.OUTSIDE),
     (98.2, 50, verdicts.WITHIN)],
)  # fmt: skip
def test_the_verdict_is_by_the_band_after_as_many_epochs(last, epochs, verdict):
    e = planned()
    frame = accuracy((e, record(e, np.linspace(50, last, epochs))))
    assert frame["verdict"].tolist() == [verdict]
