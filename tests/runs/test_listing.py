"""Stored runs are listed, filtered and consolidated as they are, with work that grows evenly."""

import csv
import json
import os
import shutil
import sys

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ffcore.config import FACTORS, SparsityExperiment
from ffcore.errors import ConfigError, FFError
from ffreport.pipeline.upkeep import unused
from ffreport.runs import index as inventory
from ffreport.runs import listing
from ffreport.runs import origin as origins
from ffreport.runs import record as sealed
from ffreport.runs.results import Results
from ffreport.runs.shipped import Tables
from ffreport.runs.store import Store
from tests.conftest import tiny
from tests.support.commands import pipeline

SUMMARY = {"best": 0.75, "best_epoch": 2, "last": 0.5, "selected": None, "epochs": 2}
HISTORY = [{"epoch": 1, "test_accuracy": 0.5}, {"epoch": 2, "test_accuracy": 0.75}]


def save(store, experiment, **origin):
    provenance = {"hardware": "a machine", **origins.expected(experiment), **origin}
    return store.save(experiment, SUMMARY, {"history": HISTORY}, {"0": torch.zeros(3)},
                      {"training": 1.5}, provenance)  # fmt: skip


def fill(store, count):
    for seed in range(count):
        save(store, tiny(seed=seed))
    return store


def stand_ins(store, planned):
    return Results(store, Tables(store.results)).of([planned], "weights")


STUDY = SparsityExperiment(dataset="digits", width=8, epochs=1)


@pytest.fixture(autouse=True, scope="module")
def _parsed_once():
    """The package's code is parsed once for all listings here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "definitions", lambda book: origins._code())
        yield


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A store with a run of every state and kind."""
    store = Store(tmp_path_factory.mktemp("mixed"))
    for seed in range(3):
        save(store, tiny(seed=seed))
    save(store, tiny(norm="l1", theta=1.5))
    save(store, tiny(norm="l2sq", epochs=7), data="other")
    save(store, tiny(activation="tanh"), code={"ffcore.train": {"train": "other"}})
    save(store, STUDY)
    (save(store, tiny(seed=8)).folder / "history.parquet").unlink()
    (save(store, tiny(seed=9)).folder / "run.json").write_text("{")
    plugged = save(store, tiny(seed=7)).folder
    record = json.loads((plugged / "run.json").read_text())
    record["experiment"]["norm"], record["key"] = "l4_of_mine", "0123456789abcdef"
    record["name"] = record["name"].replace("l2", "l4_of_mine")
    record["seal"] = sealed.seal(record)
    (plugged / "run.json").write_text(json.dumps(record))
    plugged.rename(plugged.with_name(record["key"]))
    for stranger in ("notes", "abc", ".hidden"):  # no run's names
        (store.runs / stranger).mkdir()
    return store.results


def test_every_run_is_listed_with_its_state_and_nothing_else_is(mixed):
    runs = listing.listed(Store(mixed))
    states = {run.entry.key: (run.state, run.reason) for run in runs}
    assert len(runs) == 10 and listing.counted(runs, 10).startswith(
        "10 runs: 5 stored, 2 outdated, 2 damaged, 1 foreign; ")  # fmt: skip
    assert states[tiny().key] == states[STUDY.key] == ("stored", "")
    assert states[tiny(norm="l2sq", epochs=7).key] == ("outdated", "data changed")
    assert states[tiny(activation="tanh").key] == ("outdated", "code changed")
    assert states[tiny(seed=8).key] == ("damaged", "history.parquet is missing")
    assert states[tiny(seed=9).key][0] == "damaged" and "run.json" in states[tiny(seed=9).key][1]
    state, reason = states["0123456789abcdef"]
    assert state == "foreign" and "l4_of_mine" in reason


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ([], 10),
        (["norm=l2"], 5),
        (["norm=l2", "seed=0-1"], 3),
        (["norm=l1,l2sq"], 2),
        (["norm=l4_of_mine"], 1),
        (["seed=0,2", "state=stored", "kind=network"], 3),
        (["epochs=7"], 1),
        (["theta=1.5"], 1),
        (["theta=2"], 8),
        (["learning_rate=1e-3"], 8),
        (["widths=40x32"], 8),
        (["precision=fp32"], 8),
        (["kind=sparsity"], 1),
        (["width=8"], 1),
        (["configuration=l1-sum-none-relu-sigmoid"], 1),
        (["dataset=mnist"], 0),
        (["state=damaged"], 2),
        (["state=outdated,damaged"], 4),
    ],
)
def test_filters_choose_the_runs_that_agree_with_all_of_them(mixed, words, count):
    assert len(listing.chosen(_once(mixed), words)) == count


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("nrom=l2", "unknown field 'nrom'.*did you mean 'norm'"),
        ("norm=l3", "unknown norm 'l3'; choose .*l2.*l4_of_mine"),
        ("norm", "'norm' is no filter; write FIELD=VALUE"),
        ("norm=", "is no filter"),
        ("seed=one", "seed 'one' is no number and no range such as 0-9"),
        ("seed=0-", "no range"),
        ("state=good", "unknown state 'good'; choose stored, outdated, damaged or foreign"),
        ("dataset=mnits", "unknown data set 'mnits'; .* did you mean 'mnist'"),
        ("inhibition=wtf", "did you mean 'wta'"),
    ],
)
def test_an_unknown_field_or_value_names_the_legal_ones(mixed, word, message):
    with pytest.raises(ConfigError, match=message):
        listing.chosen(_once(mixed), [word])


@settings(max_examples=60)
@given(st.lists(st.text("=,-0123456789.einfaseds[ ", max_size=12), max_size=3))
def test_any_words_are_a_filter_or_one_clear_error(mixed, words):
    runs = _once(mixed)
    try:
        found = listing.chosen(runs, [f"seed={word}" for word in words])
    except FFError as error:
        assert "seed" in str(error)
    else:
        assert all(run in runs for run in found)


def _once(results, known={}):  # noqa: B006
    return known.setdefault(results, listing.listed(Store(results)))


@settings(max_examples=40)
@given(st.fixed_dictionaries({}, optional={
    "norm": st.sets(st.sampled_from(FACTORS["norm"]), min_size=1),
    "activation": st.sets(st.sampled_from(FACTORS["activation"]), min_size=1),
    "seed": st.sets(st.integers(0, 10), min_size=1),
}))  # fmt: skip
def test_a_filter_is_what_a_plain_loop_says(mixed, wanted):
    runs = _once(mixed)
    words = [f"{name}={','.join(map(str, values))}" for name, values in wanted.items()]
    plain = [run for run in runs
             if all(run.entry.experiment.get(name) in v for name, v in wanted.items())]  # fmt: skip
    assert listing.chosen(runs, words) == plain


def test_the_csv_has_a_row_a_run_and_every_setting(mixed):
    runs = listing.listed(Store(mixed))
    rows = {row["key"]: row for row in csv.DictReader(listing.as_csv(runs))}
    assert len(rows) == len(runs)
    row = rows[tiny(norm="l1", theta=1.5).key]
    assert (row["best"], row["norm"], row["theta"], row["widths"]) == ("0.75", "l1", "1.5", "40x32")
    assert row["seconds"] == "1.5" and int(row["bytes"]) > 1000 and row["state"] == "stored"
    assert rows[STUDY.key]["norm"] == "" and rows[tiny(seed=9).key]["reason"]
    lines = list(listing.table(runs))
    assert len(lines) == len(runs) + 1 and any("75.00   50.00" in line for line in lines)


def test_sizes_read_as_a_person_says_them():
    assert [listing.size(n) for n in (0, 999, 1000, 1_250_000, 999_999_999, 5.2e12)] == [
        "0 bytes", "999 bytes", "1.0 kB", "1.2 MB", "1000.0 MB", "5200.0 GB"]  # fmt: skip


def test_the_consolidated_table_says_what_the_runs_say_and_leaves_out_the_damaged(mixed):
    store = Store(mixed)
    frame = pd.read_parquet(store.consolidate()).set_index("key")
    runs = {r.experiment.key: r for r in store.all() if r.experiment.kind == "network"}
    sound = {*runs, "0123456789abcdef"}  # a run of a plug-in that is not loaded counts, too
    assert set(frame.index) == sound and frame["name"].is_monotonic_increasing
    for key, run in runs.items():
        row, e = frame.loc[key], run.experiment
        assert row["configuration"] == e.configuration and row["theta"] == e.theta
        assert row["widths"] == "40x32" and row["best"] == 0.75 and row["epochs_run"] == 2


def test_a_record_is_read_again_only_when_it_changed_and_a_broken_index_is_no_damage(
    tmp_path, monkeypatch
):
    fill(Store(tmp_path), 4)
    read = []
    plain = sealed.read
    monkeypatch.setattr(sealed, "read", lambda f: read.append(f.name) or plain(f))
    store = Store(tmp_path)
    listing.listed(store)
    listing.listed(store)
    store.consolidate()
    store.experiments()
    assert len(read) == 4, "each record is read once in a process"
    assert len(listing.listed(Store(tmp_path))) == 4 and len(read) == 4, "and by none after it"
    save(store, tiny(seed=2), data="other")
    del read[:]
    runs = listing.listed(Store(tmp_path))
    assert read == [tiny(seed=2).key] and sorted(r.state for r in runs)[0] == "outdated"
    index = store.runs / ".index"
    facts = dict(line.split("\t") for line in index.read_text().splitlines())
    strange = "".join(f"{k}\t{json.dumps([json.loads(v)[0], '?'])}\n" for k, v in facts.items())
    for broken in ('{"x', "a\tb", strange.replace("]", ""), strange):
        index.write_text(broken)
        assert [r.state for r in listing.listed(Store(tmp_path))].count("damaged") == 0


def test_a_run_that_comes_or_goes_is_seen_by_the_same_store(tmp_path):
    store = fill(Store(tmp_path), 2)
    assert len(store.experiments()) == 2 and store.experiments() is store.experiments()
    assert stand_ins(store, tiny(seed=5, epochs=9)) == [None]
    save(store, tiny(seed=5))
    assert len(store.experiments()) == 3
    (found,) = stand_ins(store, tiny(seed=5, epochs=9))
    assert found.experiment == tiny(seed=5)
    shutil.rmtree(store.runs / tiny(seed=5).key)
    assert stand_ins(store, tiny(seed=5, epochs=9)) == [None]


def test_a_run_that_the_system_cannot_read_is_damaged_and_says_so(tmp_path, monkeypatch):
    store = fill(Store(tmp_path), 1)

    def denied(folder):
        raise PermissionError(13, "Permission denied", str(folder / "run.json"))

    monkeypatch.setattr(store.inventory, "_read", denied)
    (run,) = listing.listed(store)
    assert (run.state, run.reason) == ("damaged", "run.json cannot be read: Permission denied")
    assert run.entry.unread


def calls(work):
    """How many functions, of Python and of C, are called in some work."""
    count = 0

    def seen(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


WORK = {
    "list": lambda store: [*listing.table(listing.listed(store))],
    "filter": lambda store: [*listing.as_csv(listing.chosen(listing.listed(store), ["seed=0-9"]))],
    "consolidate": lambda store: inventory.summary_table(store.inventory.entries()),
    "stand-ins": lambda store: stand_ins(store, tiny(norm="l1")),
    "unused": lambda store: unused.agreed(*(unused.find(store, unused.Kept())[0] for _ in "ab")),
}


@pytest.mark.parametrize("remembered", [False, True])
def test_twice_as_many_runs_are_twice_the_work_and_no_more(tmp_path, remembered):
    """The calls that further runs cost are as many beside many runs as beside few."""
    steps = []
    store = Store(tmp_path)
    for size in (12, 24, 48):
        fill(store, size)
        counts = {}
        for name, work in WORK.items():
            if not remembered:
                (store.runs / ".index").unlink(missing_ok=True)
            else:
                listing.listed(Store(tmp_path))
            work(Store(tmp_path))  # imports, and caches of the process
            if not remembered:
                (store.runs / ".index").unlink(missing_ok=True)
            counts[name] = calls(lambda work=work: work(Store(tmp_path)))
        steps.append(counts)
    for name in WORK:
        n, twice, four = (counts[name] for counts in steps)
        assert 10 * 12 < twice - n, "work is counted"
        assert four - twice <= 2.1 * (twice - n), f"{name}: {n}, {twice}, {four} calls"


def test_the_command_lists_filters_and_consolidates(mixed, tmp_path):
    where = ["--results", mixed]
    said = pipeline("runs", "norm=l2", "seed=0-2", *where)
    assert "4 of 10 runs: 3 stored, 1 outdated" in said and tiny(seed=2).name in said
    said = pipeline("runs", "--consolidate", *where)
    assert said.strip() == str(mixed / "runs.parquet")
    assert "nothing is stored in" in pipeline("runs", "--results", tmp_path, code=1)
    assert os.listdir(tmp_path) == []
