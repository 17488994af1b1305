"""What nothing refers to is removed; what a profile, a stand-in or a version needs never is."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffcore import checkpoints
from ffcore.config import SparsityExperiment
from ffcore.errors import ConfigError, ReportError, StoreError
from ffreport.pipeline.upkeep import unused
from ffreport.publish import versions
from ffreport.runs.results import kin
from ffreport.runs.store import Store
from tests.conftest import tiny
from tests.runs.test_store import save
from tests.support.commands import ROOT, pipeline

PROFILE = """
title: two networks and a layer
rq1:
  - {datasets: [digits], seeds: [0, 1], norm: [l2], aggregation: [sum], inhibition: [none],
     activation: [relu], probability: [sigmoid],
     settings: {widths: [40, 32], epochs: 2, batch_size: 128, label_size: 20, wta_k: 5}}
sparsity: [{dataset: digits, width: 8, epochs: 1}]
"""
STUDY = SparsityExperiment(dataset="digits", width=8, epochs=1)


@pytest.fixture
def root(tmp_path):
    """A project with one profile."""
    (tmp_path / "project" / "profiles").mkdir(parents=True)
    (tmp_path / "project" / "notebooks").mkdir()
    (tmp_path / "project" / "profiles" / "two.yaml").write_text(PROFILE)
    return tmp_path / "project"


def keys(store):
    return {path.name for path in store.runs.iterdir() if not path.name.startswith(".")}


def clean(root, store, *named, changes=None):
    """Remove what is unused; returns how often each reason was found."""
    pieces, _ = unused.find(store, unused.kept(root, store.results, named, changes))
    assert unused.remove(store, pieces) == sum(piece.bytes for piece in pieces)
    return [piece.what for piece in pieces]


def version(results, name, experiments=(), stand_ins=None):
    folder = results / "reports" / name
    folder.mkdir(parents=True)
    head = {"experiments": {e.key: e.name for e in experiments}, "stand_ins": stand_ins or {}}
    parts = versions._sealed(head) | {"measured": versions._sealed({"created": "2026-01-01"})}
    (folder / "manifest.json").write_text(json.dumps(parts))
    return folder


def test_what_profiles_stand_ins_and_versions_need_stays(root, tmp_path):
    store = Store(tmp_path / "results")
    asked = [tiny(), tiny(seed=1), STUDY]
    stand_ins = [tiny(seed=1, epochs=1), tiny(precision="bf16")]
    shown = [tiny(seed=2), tiny(seed=3)]
    other = [tiny(seed=4), tiny(epochs=3), SparsityExperiment(dataset="digits", width=9)]
    for e in (*asked, *stand_ins, *shown, *other):
        save(store, e)
    version(store.results, "two-1", [shown[0]], {"a network": ["own", shown[1].name]})
    store.consolidate()
    assert clean(root, store) == [unused.UNASKED] * 3
    assert keys(store) == {e.key for e in (*asked, *stand_ins, *shown)}
    index = (store.runs / ".index").read_text().splitlines()
    assert {line.partition("/")[0] for line in index} == keys(store)
    import pandas as pd

    table = pd.read_parquet(store.results / "runs.parquet")
    assert set(table["key"]) == keys(store) - {STUDY.key}
    assert clean(root, store) == []


def test_a_named_profile_is_kept_with_and_without_its_options(root, tmp_path):
    store = Store(tmp_path / "results")
    mine = tmp_path / "mine.yaml"
    mine.write_text(PROFILE.replace("norm: [l2]", "norm: [l1]"))
    for e in (tiny(norm="l1"), tiny(norm="l1", seed=7), tiny(norm="l1", seed=8)):
        save(store, e)
    clean(root, store, str(mine), changes={"seeds": [7]})
    assert keys(store) == {tiny(norm="l1").key, tiny(norm="l1", seed=7).key}
    clean(root, store)
    assert keys(store) == set() and not (store.results / "runs.parquet").exists()


def test_a_profile_or_version_that_cannot_be_read_stops_all(root, tmp_path):
    store = Store(tmp_path / "results")
    save(store, tiny(seed=9))
    with pytest.raises(ConfigError, match="no profile file"):
        unused.kept(root, store.results, ["nope.yaml"])
    folder = version(store.results, "two-1")
    (folder / "manifest.json").write_text('{"experiments": ')
    with pytest.raises(ReportError, match=r"manifest.json cannot be read .*which runs"):
        unused.kept(root, store.results)
    for strange in ("[" * 100_000, "[]", json.dumps({"experiments": {}, "measured": {}}),
                    json.dumps(versions._sealed({"experiments": "abc"})
                               | {"measured": versions._sealed({})})):  # fmt: skip
        (folder / "manifest.json").write_text(strange)
        with pytest.raises(ReportError, match=r"manifest.json cannot be read .*which runs"):
            unused.kept(root, store.results)
    shutil.rmtree(folder)
    (root / "profiles" / "broken.yaml").write_text("title: [")
    with pytest.raises(ConfigError, match="not valid YAML"):
        unused.kept(root, store.results)


def test_outdated_runs_that_are_asked_for_stay_and_damaged_ones_go(root, tmp_path):
    store = Store(tmp_path / "results")
    save(store, tiny(), code="of old")
    (save(store, tiny(seed=1)).folder / "history.parquet").write_bytes(b"short")
    (save(store, tiny(seed=5)).folder / "run.json").unlink()
    assert clean(root, store) == [unused.DAMAGED] * 2 and keys(store) == {tiny().key}


def test_what_the_system_cannot_read_and_links_are_left_alone(root, tmp_path, monkeypatch):
    store = Store(tmp_path / "results")
    away = save(Store(tmp_path / "away"), tiny(seed=5)).folder
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    inside = save(store, tiny(seed=6)).folder
    (inside / "link").symlink_to(precious)
    (inside / "folder").symlink_to(tmp_path / "away")
    (store.runs / away.name).symlink_to(away)
    hidden = save(store, tiny(seed=7)).folder
    plain = store.inventory._read

    def denied(folder):
        if folder == hidden:
            raise PermissionError(13, "Permission denied")
        return plain(folder)

    monkeypatch.setattr(store.inventory, "_read", denied)
    pieces, words = unused.find(store, unused.kept(root, store.results))
    assert [piece.path for piece in pieces] == [inside]
    assert "is a link" in " ".join(words) and "Permission denied" in " ".join(words)
    unused.remove(store, pieces)
    assert precious.read_text() == "mine" and (away / "run.json").exists()
    assert keys(store) == {away.name, hidden.name}


def test_folders_that_are_links_are_not_entered(root, tmp_path):
    away = Store(tmp_path / "away")
    save(away, tiny(seed=5))
    (away.results / "cache").mkdir()
    frame = away.cache_path("measures", {}, tiny(seed=6).key)
    frame.write_bytes(b"frame")
    (away.results / "cache" / f".x.{2**22 + 1}.part").write_bytes(b"part")
    (tmp_path / "results").mkdir()
    for name in ("runs", "cache"):
        (tmp_path / "results" / name).symlink_to(away.results / name)
    store = Store(tmp_path / "results")
    pieces, words = unused.find(store, unused.kept(root, store.results))
    assert pieces == [] and len(words) == 2 and frame.exists()


def test_frames_go_with_their_run_and_those_of_several_runs_stay(root, tmp_path):
    store = Store(tmp_path / "results")
    import pandas as pd

    for e in (tiny(), tiny(seed=5)):
        save(store, e)
        store.cached("own-measures", {"run": e.key}, lambda: pd.DataFrame({"a": [1]}), e.key)
    store.cached("pairwise", {"runs": 2}, lambda: pd.DataFrame({"a": [1]}))
    stale = store.cache_path("projection", {}, tiny().key)
    stale.write_bytes(b"of the run before")
    os.utime(stale, (1, 1))
    found = clean(root, store)
    assert sorted(found) == sorted([unused.UNASKED, unused.FRAMES, unused.STALE])
    left = {p.name.partition(".")[0].rpartition("-")[0]: p for p in
            (store.results / "cache").iterdir()}  # fmt: skip
    assert set(left) == {"own-measures", "pairwise"} and tiny().key in left["own-measures"].name


def test_leftovers_of_the_dead_and_checkpoints_of_nobody_go(root, tmp_path):
    from safetensors.torch import save_file

    store = Store(tmp_path / "results")
    store.checkpoints.mkdir(parents=True)
    store.runs.mkdir()
    save(store, tiny())
    for name, experiments in (("waits", [tiny(), tiny(seed=1)]), ("done", [tiny()]),
                              ("foreign", [tiny(seed=5)])):  # fmt: skip
        about = {"about": json.dumps({"histories": {e.key: [] for e in experiments}})}
        save_file({}, store.checkpoints / f"{name}{checkpoints.SUFFIX}", about)
    for pid in (2**22 + 1, os.getpid()):
        (store.runs / f".writing-x-{pid}").mkdir()
        (store.checkpoints / f".x.checkpoint.{pid}.part").write_bytes(b"part")
        (store.runs / f".index.{pid}.part").write_text("part")
        (store.results / f".runs.parquet.{pid}.part").write_text("part")
    (store.results / "runs.mine.part").write_text("not of a writer")
    found = clean(root, store)
    assert sorted(found) == sorted([unused.UNFINISHED] * 2 + [unused.LEFT] * 4)
    assert [p.stem for p in store.checkpoints.glob("*.checkpoint")] == ["waits"]
    alive = str(os.getpid())
    parts = [p for p in store.results.rglob("*") if p.suffix == ".part" or p.name[:2] == ".w"]
    left = [p.name for p in parts if alive not in p.name]
    assert left == ["runs.mine.part"] and unused.SUFFIX == checkpoints.SUFFIX


def test_a_run_that_cannot_be_removed_is_named_and_the_table_fits_what_is_left(
    root, tmp_path, monkeypatch
):
    store = Store(tmp_path / "results")
    for seed in (5, 6):
        save(store, tiny(seed=seed))
    pieces, _ = unused.find(store, unused.kept(root, store.results))
    plain = store.remove

    def full(folder):
        if folder == pieces[1].path:
            raise PermissionError(13, "Permission denied")
        plain(folder)

    monkeypatch.setattr(store, "remove", full)
    with pytest.raises(StoreError, match=f"cannot remove {pieces[1].path}: Permission denied"):
        unused.remove(store, pieces)
    import pandas as pd

    assert keys(store) == {pieces[1].path.name}
    assert set(pd.read_parquet(store.results / "runs.parquet")["key"]) == keys(store)


RUNS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from(["l1", "l2"]), st.integers(1, 3),
              st.sampled_from(["sound", "short", "no record", "strange"])),
    unique_by=lambda run: run[:3], max_size=6,
)  # fmt: skip


@settings(max_examples=25)
@given(RUNS, st.sets(st.integers(0, 5)), st.sets(st.integers(0, 5)), st.booleans())
def test_just_what_is_asked_for_and_sound_stays(runs, asked, shown, again):
    """Against a plain rule, for any store; and what is not a run's is never touched."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "results")
        keep = unused.Kept()
        expected = set()
        for number, (seed, norm, epochs, damage) in enumerate(runs):
            e = tiny(seed=seed, norm=norm, epochs=epochs)
            place = save(store, e).folder
            if damage == "short":
                (place / "history.parquet").write_bytes(b"")
            elif damage == "no record":
                (place / "run.json").unlink()
            elif damage == "strange":
                (place / "notes.txt").write_text("a file more is no damage")
            if number in asked:
                keep.keys.add(e.key)
                keep.kin[kin(e)] = max(epochs, keep.kin.get(kin(e), 0))
            if number in shown:
                keep.names.add(e.name)
        planned = [runs[number] for number in asked if number < len(runs)]
        for number, (seed, norm, epochs, damage) in enumerate(runs):
            part = any((s, n) == (seed, norm) and epochs <= most for s, n, most, _ in planned)
            if damage in ("sound", "strange") and (part or number in shown):
                expected.add(tiny(seed=seed, norm=norm, epochs=epochs).key)
        store.runs.mkdir(parents=True, exist_ok=True)
        others = [store.runs / "abc", store.runs / "0123456789ABCDEF", store.results / "mine"]
        for other in others:
            other.mkdir()
        for _ in range(1 + again):
            unused.remove(store, unused.find(store, keep)[0])
            assert keys(store) - {"abc", "0123456789ABCDEF"} == expected
        assert all(other.is_dir() for other in others)


def test_the_command_asks_shows_and_frees(tmp_path):
    store = Store(tmp_path / "results")
    save(store, tiny(seed=99))
    where = ["clean", "--unused", "--results", store.results]
    assert "not made by this pipeline" in pipeline(*where, "--yes", code=1)
    (store.results / ".ffcore").touch()
    said = pipeline(*where, "--dry-run")
    assert f"remove {store.runs / tiny(seed=99).key}  (runs that nothing asks for" in said
    assert "not confirmed" in pipeline(*where, code=1, input="n\n") and keys(store)
    said = pipeline(*where, "--yes")
    assert "removed 1 files and folders" in said and not keys(store)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--profile", "quick"], "say what --unused keeps; add --unused"),
        (["--unused", "--seeds", "1"], "--seeds: of which --profile?"),
        (["--unused", "--all"], "choose --unused, or --all"),
        (["--unused", "--profile", "quik"], "unknown profile 'quik'; .* did you mean 'quick'"),
    ],
)
def test_options_that_make_no_sense_together_remove_nothing(tmp_path, monkeypatch, words, message):
    import sys

    from ffreport.cli.main import app
    from ffreport.cli.options import PROJECT

    PROJECT.set(ROOT)
    monkeypatch.setattr(sys, "argv", ["pipeline.py", "clean", *words, "--results", str(tmp_path)])
    (tmp_path / ".ffcore").touch()
    with pytest.raises(ConfigError, match=message):
        app(sys.argv[1:], standalone_mode=False)
