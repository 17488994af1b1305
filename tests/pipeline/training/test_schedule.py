"""Trainings begin in the order that settles claims, and only where they are predicted to fit."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from ffcore import checkpoints
from ffcore.config import SparsityExperiment
from ffcore.errors import ConfigError
from ffreport.analysis.claims import ledger, needs
from ffreport.compute import pool as workers
from ffreport.pipeline.stages import Pipeline
from ffreport.pipeline.training import planning, schedule, tasks
from ffreport.pipeline.upkeep import share
from ffreport.runs.results import Results
from ffreport.runs.shipped import Tables
from ffreport.runs.store import State, Store
from ffreport.study.profiles import make_profile
from tests.conftest import tiny, train_into
from tests.support.commands import ROOT, pipeline

SPREAD = ["l2-sum-none-relu-ffa-sigmoid", "l2-sum-none-relu-sigmoid"]
SHARES = [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95]
# Under the published conditions, so that claims can be settled; nothing of it is trained here.
SMALL = {
    "title": "Small",
    "rq1": [
        {"datasets": ["mnist", "fashion-mnist"], "aggregation": ["sum"], "inhibition": ["none"],
         "norm": ["l2"], "activation": ["relu"]},
        {"datasets": ["mnist"], "configurations": SPREAD, "seeds": [0, 1, 2, 3, 4, 5]},
    ],
    "polarity": [{"datasets": ["mnist"], "configurations": SPREAD[1:],
                  "positive_fraction": SHARES, "settings": {"epochs": 10}}],
    "choices": [{"datasets": ["mnist"], "configurations": SPREAD, "vary": {"theta": [1]}}],
    "sparsity": [{"dataset": "mnist", "rate": 1, "vary": {"seed": [1, 2]}}],
}  # fmt: skip
NOTHING = needs.Stock(frozenset())
MISSING, STORED = State("missing"), State("stored")


def small(**changes):
    return make_profile({**SMALL, **changes}, "small")


def wanted(profile, there=NOTHING):
    found = needs.needs(ledger.ledger(), profile, there)
    return [need for need in found if not need.obstacle]


def seeds(bundle):
    return [(e.dataset, e.seed) for e in bundle.trainings]


def test_first_comes_what_settles_most_claims_and_last_what_none_needs():
    profile = small()
    pending = [*profile.networks(), *profile.sparsity_runs()]
    found = schedule.order(
        pending, wanted(profile), planning.operations, profile.networks("choices")
    )
    assert sorted(e.name for b in found for e in b.trainings) == sorted(e.name for e in pending)
    settled = [{(n.claim, n.dataset) for n in b.settles} for b in found]
    place = {row: i for i, rows in enumerate(settled) for row in rows}
    grid, polarity = place["accuracy_sigmoid", "mnist"], place["polarity_within", "mnist"]
    stability = place["stability_over_seeds", "mnist"]
    elsewhere = place["accuracy_sigmoid", "fashion-mnist"]
    (choices,) = [i for i, b in enumerate(found) if any(e.theta == 1 for e in b.trainings
                                                        if e.kind == "network")]  # fmt: skip
    assert (
        place["convergence_sigmoid", "mnist"] == place["order_of_configurations", "mnist"] == grid
    )
    assert grid < polarity < stability < choices < elsewhere < len(found) - 1
    assert seeds(found[stability]) == [("mnist", s) for s in (1, 2, 3, 4) for _ in SPREAD]
    assert seeds(found[-1]) == [("mnist", 5)] * 2 and not settled[-1]


def test_the_first_data_set_comes_before_a_cheaper_one():
    profile = small()
    planned = profile.networks("rq1")
    done = next(e for e in planned if e.dataset == "fashion-mnist")
    pending = [e for e in planned if e != done]
    there = needs.Stock(frozenset({done}))
    found = schedule.order(pending, wanted(profile, there), planning.operations)
    (elsewhere,) = [b for b in found if {e.dataset for e in b.trainings} == {"fashion-mnist"}]
    assert len(elsewhere.trainings) < len(found[0].trainings)
    assert {*seeds(found[0])} == {("mnist", 0)}, "another seed's networks are cut by themselves"


def test_a_row_waits_for_no_network_that_is_whole_or_of_which_too_few_seeds_are_planned():
    profile = small()
    done = frozenset(e for e in profile.networks("rq1") if e.seed in (2, 5))
    (need,) = [n for n in wanted(profile, needs.Stock(done))
               if n.claim == "stability_over_seeds"]  # fmt: skip
    assert {e.seed for e in need.trainings} >= {2, 5} and len(need.trainings) == 5 * len(SPREAD)
    fewer = small(rq1=[{**SMALL["rq1"][1], "seeds": [0, 1]}])
    (need,) = [n for n in needs.needs(ledger.ledger(), fewer, NOTHING)
               if n.claim == "stability_over_seeds"]  # fmt: skip
    assert need.obstacle == "it plans 2 of 5 seeds"


def test_what_is_not_trained_under_the_published_conditions_settles_nothing():
    profile = small(rq1=[{**SMALL["rq1"][0], "settings": {"epochs": 3}}], polarity=[])
    found = wanted(profile)
    assert {n.claim for n in found} == {
        c.name for c in ledger.ledger() if c.networks == "theory"
    }  # fmt: skip
    pending = profile.networks()
    (bundle,) = schedule.order(pending, [], planning.operations, profile.networks("choices"))
    assert list(bundle.trainings) == pending, "the profile's order"


def states(*experiments, stored=()):
    return {e: STORED if e in stored else MISSING for e in experiments}


def agenda(profile, folder, found, **options):
    results = Results(Store(folder / "results"), Tables(folder / "shipped"))
    return schedule.agenda(profile, results, found, str(folder / "data"), **options)


def test_data_that_are_not_here_come_last_and_with_hours_are_left_out(tmp_path):
    profile = small()
    near = tiny()
    found = states(*profile.networks("rq1"), near)
    both = agenda(profile, tmp_path, found, claims=ledger.ledger())
    assert both.trainings[0] == near and len(both.trainings) == len(found)
    timed = agenda(profile, tmp_path, found, claims=ledger.ledger(), limit=1.0)
    assert timed.trainings == [near] and len(timed.absent) == len(found) - 1
    (line,) = timed.left_out()
    assert line.endswith("data fetch mnist fashion-mnist`")


def test_missing_leaves_out_whole_trainings_in_any_format_but_no_part(tmp_path):
    whole, part = tiny(precision="bf16"), tiny(norm="l1")
    train_into(Store(tmp_path / "made"), [whole, part])
    share.networks(tmp_path / "shipped", Store(tmp_path / "made").all())
    planned = [tiny(), tiny(norm="l1", epochs=3), tiny(norm="l2sq")]
    profile = small()
    found = agenda(profile, tmp_path, states(*planned), missing=True)
    assert found.trainings == planned[1:] and found.whole == 1
    assert agenda(profile, tmp_path, states(*planned)).trainings == planned
    assert agenda(profile, tmp_path, states(*planned, stored=planned[1:2]), missing=True
                  ).trainings == planned[2:]  # fmt: skip
    outdated = {**states(*planned), planned[0]: State("outdated", "code changed")}
    assert agenda(profile, tmp_path, outdated, missing=True).trainings == planned


def ran(experiment, seconds):
    return SimpleNamespace(experiment=experiment, seconds={"training": seconds})


def test_a_task_begins_only_where_its_predicted_time_fits():
    now = [0.0]
    clock = schedule.Clock(1.0, [], lambda: now[0])
    short, long = tasks.Task((tiny(),)), tasks.Task((tiny(epochs=20),))
    assert clock.admits(long), "nothing is known: the first tells"
    clock.learn(ran(tiny(epochs=20), 3000.0))
    now[0] = 1000.0
    assert not clock.admits(long) and clock.admits(short)
    both = tasks.Task((tiny(), tiny(seed=1)))
    now[0] = 3600 - 500.0
    assert clock.admits(short) and not clock.admits(both), "a stack takes the time of all of it"
    study = tasks.Task((SparsityExperiment(dataset="digits"),))
    assert clock.admits(study)
    now[0] = 3600.0
    assert not clock.admits(study), "the time is over, whatever is known"
    assert clock.refused == 1 + 2 + 1


class Pool:
    """One that would take all tasks at once, as a cluster of two workers does."""

    ahead, count = 8, 2

    def __init__(self, pool):
        self.submit = pool.submit

    def notes(self):
        return ()


def test_tasks_are_asked_for_as_they_begin():
    running, lock, seen = [0], threading.Lock(), []

    def work(task, tell):
        time.sleep(0.05)
        with lock:
            running[0] -= 1
        return [task]

    def admits(task):
        with lock:
            seen.append(running[0])
            running[0] += task % 2
        return bool(task % 2)

    with ThreadPoolExecutor(2) as pool:
        done = workers.run_tasks([*range(8)], work, Pool(pool), admits=admits)
        assert sorted(done) == [1, 3, 5, 7]
    assert len(seen) == 8 and max(seen) < 2


@pytest.fixture
def four(tmp_path, monkeypatch):
    """A pipeline of four small networks, in one process."""
    monkeypatch.setattr(workers, "cores", lambda: 1)
    settings = {"epochs": 1, "widths": [16, 16], "label_size": 20, "wta_k": 5}
    grid = {"datasets": ["digits"], "aggregation": ["sum"], "norm": ["l2"], "activation": ["relu"],
            "probability": ["sigmoid", "symmetric"], "settings": settings}  # fmt: skip
    profile = make_profile({**SMALL, "rq1": [grid], "polarity": [], "choices": []}, "four")
    return Pipeline(ROOT, profile, tmp_path / "results", tmp_path / "figures")


def test_training_stops_beginning_when_the_time_is_over_and_says_what_is_left(four, monkeypatch):
    planned = four.profile.networks()
    hour = iter(range(100))  # an hour passes from each look to the next
    clock = schedule.Clock(5.0, [], lambda: 3600.0 * next(hour))
    reversed_ = tuple(reversed(planned))
    todo = schedule.Agenda([schedule.Bundle(reversed_[:3]), schedule.Bundle(reversed_[3:])],
                           clock=clock, ordered=True)  # fmt: skip
    kept = four.store.checkpoints / f"left{checkpoints.SUFFIX}"
    gone = four.store.checkpoints / f"done{checkpoints.SUFFIX}"
    held = {kept: {planned[0].key}, gone: {planned[3].key}}
    four.store.checkpoints.mkdir(parents=True)
    for path in held:
        path.touch()
    monkeypatch.setattr(checkpoints, "keys", held.__getitem__)
    assert four.train(planned, todo) == len(todo.trained) == 2
    assert todo.ended().startswith("2 trained; 2 are left: none would have ended within 5 hours")
    assert {e for e, s in four.states(planned).items() if s.usable} == {*todo.trained}
    assert set(todo.trained) < set(reversed_[:3]), "the first bundle begins first"
    assert kept.exists() and not gone.exists()


def test_tasks_begin_in_the_order_of_bundles_however_long_they_are(four):
    # Winner-take-all takes longer, and would begin first.
    planned = sorted(four.profile.networks(), key=lambda e: e.inhibition)
    todo = schedule.Agenda([schedule.Bundle((e,)) for e in planned], ordered=True)
    four.train(planned, todo)
    assert todo.trained == planned and todo.ended() == "4 trained; none is left"


def test_the_order_is_shown_with_times_and_where_the_hours_end(monkeypatch):
    monkeypatch.setattr(workers, "cores", lambda: 2)
    profile = small()
    pending = profile.networks()
    bundles = schedule.order(
        pending, wanted(profile), planning.operations, profile.networks("choices")
    )
    past = [ran(e, 1800.0) for e in profile.networks("rq1")]
    todo = schedule.Agenda(bundles, past, schedule.Clock(1.0, past), True)
    shown = list(schedule.lines(todo, profile))
    assert len(shown) == len(bundles) + 1 and shown[2].startswith("   the 1 hours end here, after")
    assert shown[0].startswith("1. mnist-relu-l2-sum-none-ffa-sigmoid-seed0, ")
    assert " here, " in shown[0] and "unlocks accuracy_sigmoid, " in shown[0]
    assert "8 networks of rq1 on mnist (seeds 1-4)" in "".join(shown)
    assert shown[-1].endswith("settles no claim")
    unknown = list(schedule.lines(schedule.Agenda(bundles, [], schedule.Clock(1.0, [])), profile))
    assert "time unknown here" in unknown[0] and "1 hours end is unknown" in unknown[-1]
    assert list(schedule.lines(schedule.Agenda([]), profile)) == ["nothing to train"]


def test_trainings_are_counted_by_part_data_set_and_seed():
    parts = {e: "rq1" for s in range(4) for e in (tiny(seed=s), tiny(seed=s, norm="l1"))}
    some = [*parts][1:]
    assert needs.counted(some, parts) == (
        "7 networks of rq1 on digits (1 of seed 0, 2 each of seeds 1-3)"
    )
    run = SparsityExperiment(dataset="digits", seed=3)
    assert needs.counted([run], parts) == "1 sparsity run on digits (seed 3)"


@pytest.mark.parametrize("text", ["0", "-1", "x", "nan", "inf", ""])
def test_hours_that_are_none_are_refused(text):
    with pytest.raises(ConfigError, match="hours"):
        schedule.hours(text)
    assert schedule.hours("2.5") == 2.5 and schedule.hours(None) is None


def test_a_user_trains_for_a_time_and_goes_on_later(tmp_path):
    where = ["--profile", "smoke", "--only", "choices", "--results", tmp_path]
    assert "--hours is '0'" in pipeline("train", *where, "--hours", "0", code=1)
    said = pipeline("train", *where, "--hours", "0.000001", "--for-claims")
    assert "0 trained; 4 are left" in said
    said = pipeline("train", *where, "--hours", "1", "--missing", "--for-claims")
    assert "4 trained; none is left" in said
    said = pipeline("train", *where, "--hours", "1", "--dry-run")
    assert said == "nothing to train\n"
