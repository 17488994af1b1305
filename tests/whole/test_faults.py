"""Full disks, killed processes, memory that runs out, a clock that jumps: what each costs. The long
ones are in ``tests/rigs/faults.py`` and ``tests/rigs/together.py``."""

import asyncio
import errno
import gc
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from nbclient.exceptions import DeadKernelError
from safetensors import SafetensorError

from ffcore import checkpoints, errors, files
from ffcore.errors import FFError, ReportError, ResourceError, StoreError
from ffreport.base import locks
from ffreport.compute import pool
from ffreport.data import download
from ffreport.pipeline import notebooks as notebook_work
from ffreport.pipeline.book import Book
from ffreport.pipeline.stages import Pipeline
from ffreport.pipeline.training import tasks as training
from ffreport.publish import versions
from ffreport.publish.notebooks import notebook as notebooks
from ffreport.publish.notebooks.kernel import _in_own_loop
from ffreport.runs import frames
from ffreport.runs.store import Store
from tests.conftest import tiny
from tests.rigs.injection import notebook
from tests.rigs.struck import work
from tests.runs.test_store import save
from tests.support.commands import ROOT

DEAD = 2**22 + 1  # no process has this number


def no_space(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_worker_that_is_killed_is_named_and_takes_nothing_with_it_that_is_done():
    tasks = [SimpleNamespace(name="done"), SimpleNamespace(name="struck")]
    found = []
    with pytest.raises(ResourceError, match=r"worked on struck was .* \(SIGKILL\).*run the same"):
        found.extend(iter_into(found, pool.run_tasks(tasks, work, 2)))
    assert found == ["done"]


def iter_into(found, outcomes):
    for outcome in outcomes:
        found.append(outcome)
    return ()


@pytest.mark.parametrize(
    "allocate",
    [lambda: torch.empty(10**14), lambda: np.empty(10**14), lambda: bytearray(10**17)],
)
def test_memory_that_runs_out_is_told_with_the_experiment(allocate):
    def taking(task, tell):
        allocate()

    with pytest.raises(ResourceError, match="no memory was left for digits-.* run the same"):
        list(pool.run_tasks([training.Task((tiny(),))], taking))


def test_a_gpu_without_memory_is_no_traceback_and_a_bug_stays_one():
    gpu = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    assert "2.00 GiB" in str(pool.of_memory(gpu, training.Task((tiny(), tiny(seed=1)))))
    loader = ImportError("x.so: failed to map segment from shared object")
    assert "x.so" in str(pool.of_memory(loader, training.Task((tiny(),))))
    assert pool.of_memory(RuntimeError("mat1 and mat2 do not fit"), None) is None
    assert errors.of_system(RuntimeError("wrong")) is errors.of_system(OSError("wrong")) is None


def test_tensors_on_a_full_disk_are_an_ordinary_error_of_the_system(tmp_path, monkeypatch):
    def full(*_):
        raise SafetensorError("Error while serializing: I/O error: No space left (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError) as found:
        files.write_tensors(tmp_path / "w", {"a": torch.zeros(1)})
    assert found.value.errno == errno.ENOSPC and found.value.filename == str(tmp_path / "w")


def test_weights_that_find_no_room_are_one_message_and_leave_no_part_of_a_run(
    tmp_path, monkeypatch, digits
):
    monkeypatch.setattr(files, "write_tensors", no_space)
    with pytest.raises(StoreError, match="No space left.*free some space"):
        save(Store(tmp_path))
    assert not list((tmp_path / "runs").iterdir())
    kept = checkpoints.Checkpoint(tmp_path / "c", "x", 0.0)
    kept.save([], 1, {}, {})  # costs the checkpoint only
    assert not (tmp_path / "c").exists()


def test_frames_on_a_full_disk_replace_none(tmp_path, monkeypatch):
    a, b = tmp_path / "a.parquet", tmp_path / "b.parquet"
    frames.write_frames({a: pd.DataFrame({"x": [1]})})
    before = a.read_bytes()
    real, calls = pd.DataFrame.to_parquet, []

    def second(frame, *args, **options):
        calls.append(1)
        return real(frame, *args, **options) if len(calls) == 1 else no_space()

    monkeypatch.setattr(pd.DataFrame, "to_parquet", second)
    with pytest.raises(StoreError, match="No space left"):
        frames.write_frames({a: pd.DataFrame({"x": [2]}), b: pd.DataFrame()})
    assert a.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.parquet"]


def test_the_book_of_reports_on_a_full_disk_is_one_message_and_keeps_what_it_had(
    tmp_path, monkeypatch
):
    path = tmp_path / "book.json"
    Book(path).note("a", {"x": 1}, 1.0)
    before = path.read_bytes()
    monkeypatch.setattr(files, "write", no_space)
    with pytest.raises(StoreError, match="cannot write .*book.json: No space left"):
        Book(path).note("b", {"x": 1}, 1.0)
    assert path.read_bytes() == before


def test_a_report_that_meets_a_full_disk_has_that_for_its_fault():
    done = notebook_work.attempt("a", no_space)
    assert "report a: No space left on device; free some space" in str(done.fault)


def test_a_process_that_ended_is_dead_before_anybody_asked_how():
    ended = subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.PIPE)
    ended.stdout.read()
    deadline = time.monotonic() + 20
    while files.alive(str(ended.pid)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not files.alive(str(ended.pid)) and files.alive(str(os.getpid()))
    if Path("/proc").exists():
        assert Path(f"/proc/{ended.pid}").exists(), "it is still in the system's table"
    ended.wait()
    ended.stdout.close()


def test_parts_of_dead_writers_go_and_those_of_living_ones_stay(tmp_path):
    for pid in (DEAD, os.getpid()):
        (tmp_path / f".a.png.{pid}.part").write_text("half")
    versions.publish_figures(tmp_path / "none", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [f".a.png.{os.getpid()}.part"]
    with locks.alone(tmp_path / "results"):
        pass
    left = tmp_path / "results" / "work" / "x" / f".b.{DEAD}.part"
    left.parent.mkdir(parents=True)
    left.write_text("half")
    with locks.alone(tmp_path / "results"):
        assert not left.exists()
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / f".train.gz.0f.{DEAD}.part").write_text("half")
    with pytest.raises(FFError):
        download.fetch("mnist", tmp_path, [])
    assert not list((tmp_path / "mnist").glob(".*"))


def test_a_run_that_was_being_replaced_is_found_again(tmp_path):
    for whole in (True, False):
        store = Store(tmp_path / str(whole))
        run = save(store)
        key = run.folder.name
        os.rename(run.folder, store.runs / f".writing-old-{key}-{DEAD}")
        if whole:
            newer = save(store)
            (newer.folder / "newer").touch()
            os.rename(newer.folder, store.runs / f".writing-{key}-{DEAD}")
        store.sweep()
        assert store.state(tiny()).usable and (run.folder / "newer").exists() == whole
        assert [p.name for p in store.runs.glob("*")] == [key]


def test_a_kill_between_the_last_run_and_their_table_costs_no_table(tmp_path, monkeypatch):
    store = Store(tmp_path)
    save(store)
    assert not store.listed and not (tmp_path / "runs.parquet").exists()
    asked = Pipeline(tmp_path, None, tmp_path, tmp_path)
    stored = {tiny(): SimpleNamespace(usable=True, name="stored")}
    monkeypatch.setattr(Pipeline, "states", lambda self, experiments: stored)
    done = tmp_path / "checkpoints" / f"a{checkpoints.SUFFIX}"
    about = {"about": json.dumps({"histories": {tiny().key: []}})}
    done.parent.mkdir()
    files.write_tensors(done, {"a": torch.zeros(1)}, about)
    assert asked.train([tiny()]) == 0 and not done.exists()
    assert store.listed and len(pd.read_parquet(tmp_path / "runs.parquet")) == 1
    written = (tmp_path / "runs.parquet").stat().st_mtime_ns
    assert asked.train([tiny()]) == 0
    assert (tmp_path / "runs.parquet").stat().st_mtime_ns == written


def test_checkpoints_of_networks_stored_before_a_kill_go_with_the_others(tmp_path, monkeypatch):
    stored, lacking = tiny(), tiny(seed=1)
    states = {stored: SimpleNamespace(usable=True, name="stored"),
              lacking: SimpleNamespace(usable=False, name="missing")}  # fmt: skip
    monkeypatch.setattr(Pipeline, "states", lambda self, experiments: states)
    done = tmp_path / "checkpoints" / f"a{checkpoints.SUFFIX}"
    done.parent.mkdir()
    files.write_tensors(done, {"a": torch.zeros(1)},
                        {"about": json.dumps({"histories": {stored.key: []}})})  # fmt: skip
    asked = Pipeline(tmp_path, SimpleNamespace(device="cpu", plugins=()), tmp_path, tmp_path)
    assert asked.train([stored, lacking]) == 1 and not done.exists()


def test_a_notebook_whose_process_is_killed_leaves_those_that_are_done(tmp_path, monkeypatch):
    tasks = [notebook_work.Task(tmp_path / f"{n}.ipynb", tmp_path, {}, tmp_path, {}) for n in "abc"]

    def broken(*args, **options):
        yield notebook_work.Executed("a", 1.0)
        raise ResourceError("a process was ended from outside")

    monkeypatch.setattr(pool, "run_tasks", broken)
    found = {done.name: done for done in notebook_work.run(tasks)}
    assert found["a"].fault is None
    assert isinstance(found["b"].fault, ResourceError) and found["c"].fault is found["b"].fault


def test_a_notebook_that_finds_no_room_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("ffreport.publish.notebooks.notebook.execute", no_space)
    task = notebook_work.Task(tmp_path / "a.ipynb", tmp_path, {}, tmp_path, {})
    (done,) = notebook_work.perform(task, lambda note: None)
    assert "report a: No space left on device; free" in str(done.fault)


def test_versions_are_in_the_order_in_which_they_were_made_whatever_the_clock_said(tmp_path):
    made = {"first": ("2031-01-01", 1), "second": ("2026-01-01", 2), "third": ("1999-01-01", 3)}
    for name, (created, number) in made.items():
        folder = tmp_path / "reports" / name
        folder.mkdir(parents=True)
        about = {"created": created, "number": number}
        content = {"version": name, "profile": {"name": "p"}, "measured": about}
        (folder / versions.MANIFEST).write_text(json.dumps(content))
    assert [v.name for v in versions.versions(tmp_path)] == [*made]
    (folder / versions.MANIFEST).write_text(
        json.dumps({**content, "measured": {"created": "2000"}})
    )
    assert [v.name for v in versions.versions(tmp_path)] == ["third", "first", "second"]


HOLDER = """
import sys, time
from pathlib import Path
from ffreport.base.locks import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_who_waits_is_told_for_whom_and_goes_on_when_that_one_is_killed(tmp_path, capsys):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    killer = subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -9 {holder.pid}"])
    with locks.alone(tmp_path):
        owner = json.loads((tmp_path / ".lock.json").read_text())
        assert owner["pid"] == os.getpid()
    holder.communicate()
    killer.wait()
    assert f"waiting for another pipeline in {tmp_path} (process {holder.pid}: " in (
        capsys.readouterr().err
    )
    (tmp_path / ".lock.json").write_text(json.dumps({"pid": DEAD, "command": "all"}))
    assert locks._owner(tmp_path / ".lock.json") == {}


def test_clean_beside_another_clean_and_two_shares_into_one_folder_wait_and_end_well(tmp_path):
    results, into = tmp_path / "results", tmp_path / "tables"
    save(Store(results))
    (results / "runs.parquet").touch()
    words = {
        results: ["clean", "--all", "--yes", "--figures", tmp_path / "figures"],
        into: ["share", "--into", into, "--no-latents"],
    }
    for folder, arguments in words.items():
        with locks.alone(folder):
            waiting = subprocess.Popen(
                [sys.executable, "pipeline.py", *arguments, "--results", results], cwd=ROOT,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            said = ""
            while "waiting for another pipeline in" not in said and waiting.poll() is None:
                said += waiting.stderr.readline()
            assert f"waiting for another pipeline in {folder} (process {os.getpid()}:" in said
            (results / "runs.parquet").unlink(missing_ok=True)
        assert waiting.wait(timeout=60) == 0, waiting.stderr.read()
        waiting.communicate()
        save(Store(results))


def test_a_lock_that_finds_no_room_is_let_go(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "write", no_space)
    with pytest.raises(FFError, match="cannot write to the results folder .*No space left"):
        with locks.alone(tmp_path):
            pass
    monkeypatch.undo()
    with locks.alone(tmp_path):
        pass


def test_a_report_on_a_full_disk_is_one_message(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "write", no_space)
    with pytest.raises(ReportError, match="cannot write .*p.html: No space left.*free some space"):
        versions.write_atomically(tmp_path / "p.html", "x")


def test_a_home_that_cannot_be_written_says_nothing_in_a_report(tmp_path, monkeypatch):
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    (tmp_path / "home").write_text("a file where a folder should be")
    for variable in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    cells = [(["parameters"], 'output = ""'), ([], "import matplotlib.pyplot")]
    notebook(tmp_path / "fonts.ipynb", "Fonts", cells)
    made = notebooks.execute(tmp_path / "fonts.ipynb", tmp_path / "made") / "fonts.ipynb"
    assert [c["outputs"] for c in json.loads(made.read_text())["cells"][1:]] == [[], [], []]


def test_an_error_that_nobody_asks_for_after_ctrl_c_is_not_told(caplog):
    tasks = []

    def interrupted():
        loop = asyncio.get_event_loop_policy().get_event_loop()

        async def dies():
            raise DeadKernelError("Kernel died")

        tasks.append(loop.create_task(dies()))
        loop.run_until_complete(asyncio.sleep(0))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _in_own_loop(interrupted)
    tasks.clear()
    gc.collect()
    assert "never retrieved" not in caplog.text
