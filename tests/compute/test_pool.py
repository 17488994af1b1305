import os
import subprocess
import sys
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ffcore.config import SparsityExperiment
from ffcore.errors import ConfigError
from ffreport.compute import pool as workers
from ffreport.pipeline.training import tasks as training
from ffreport.runs import origin
from tests.conftest import tiny

ROOT = Path(__file__).parents[2]
STUDY = SparsityExperiment(dataset="digits", width=32, epochs=1, batch_size=128)


def tasks(*experiments):
    return [training.Task((e,)) for e in experiments]


def test_networks_and_sparsity_studies_come_back_ready_to_store():
    done = workers.run_tasks(tasks(tiny(), STUDY), training.perform)
    found = {o.experiment.kind: o for o in done}
    assert set(found) == {"network", "sparsity"}
    assert len(found["network"].tables["history"]) == 2
    assert {"curve", "epochs", "samples", "steps"} == set(found["sparsity"].tables)
    for outcome in found.values():
        assert origin.expected(outcome.experiment).items() <= outcome.provenance.items()
        assert outcome.provenance["packages"]["torch"] != "not installed"
        assert outcome.provenance["threads"] == 1


def test_processes_give_bitwise_what_this_process_gives():
    experiments = [tiny(), tiny(norm="l1"), tiny(activation="tanh")]
    todo = tasks(*experiments)
    here = {o.experiment.key: o for o in workers.run_tasks(todo, training.perform)}
    notes = []
    for there in workers.run_tasks(todo, training.perform, 2, notes.append):
        mine = here[there.experiment.key]
        assert there.tables == mine.tables and there.summary == mine.summary
        assert all((there.weights[k] == mine.weights[k]).all() for k in mine.weights)
    assert {n.name for n in notes} <= {e.name for e in experiments} and notes


class Large:
    """What a task gives back, and is to be held no longer than needed."""


def test_what_was_taken_is_not_held_while_the_rest_is():
    made = []

    def work(task, tell):
        result = Large()
        made.append(weakref.ref(result))
        yield result

    with ThreadPoolExecutor(4) as pool:
        alive = []
        for outcome in workers.run_tasks([*range(8)], work, Threads(pool)):
            del outcome
            time.sleep(0.05)  # by then the others are there
            alive.append(sum(ref() is not None for ref in made))
    assert len(made) == 8 and alive[-1] == 1 and sorted(alive, reverse=True) == alive


class Threads:
    """A pool that takes all tasks at once."""

    count, ahead = 4, 8

    def __init__(self, pool):
        self.submit = pool.submit

    def notes(self):
        return ()


def test_a_failing_task_raises_here_and_ends_the_pool():
    wrong = training.Task((tiny(precision="tf32"),))
    with pytest.raises(ConfigError, match="tf32 needs CUDA"):
        list(workers.run_tasks([wrong, *tasks(tiny(epochs=500))], training.perform, 2))


def test_an_interruption_ends_the_pool_long_before_its_tasks():
    stopped = []

    def stop(note):
        stopped.append(time.monotonic())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        todo = tasks(tiny(epochs=3000), tiny(epochs=3001))
        list(workers.run_tasks(todo, training.perform, 2, stop))
    assert time.monotonic() - stopped[0] < 30


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_workers_do_not_outlive_a_parent_that_was_killed(tmp_path):
    script = tmp_path / "train.py"
    script.write_text("""
from ffreport.compute import pool as workers
from ffreport.pipeline.training import tasks as training
from tests.conftest import tiny

if __name__ == "__main__":
    todo = [training.Task((tiny(epochs=100000 + i),)) for i in range(2)]
    def tell(note):
        print(note.name, flush=True)

    list(workers.run_tasks(todo, training.perform, 2, tell))
""")
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert "digits" in parent.stdout.readline()
    children = {p for p in Path("/proc").glob("[0-9]*") if parent_of(p) == parent.pid}
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 30
    while any("spawn_main" in command(p) for p in children) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not [p for p in children if "spawn_main" in command(p)]


def parent_of(process):
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def command(process):
    try:
        return (process / "cmdline").read_bytes().decode()
    except OSError:
        return ""


LATE = """
import os, sys
from ffreport.compute import pool as workers

def there(maker):
    return os.getpid() != maker and "pandas" in sys.modules

class Late:
    def __reduce__(self):
        return there, (os.getpid(),)  # called where it is unpickled: in a thread of the pool

def work(task, tell):
    return [Late()]

if __name__ == "__main__":
    assert "pandas" not in sys.modules, "this process would have it in any case"
    print(*workers.run_tasks([1, 2], work, 2))
"""


def test_what_unpickling_imports_is_there_before_anything_comes_back(tmp_path):
    """Else a thread of the pool and the main one import pandas at once, and one sees half of it."""
    (tmp_path / "late.py").write_text(LATE)
    done = subprocess.run(
        [sys.executable, tmp_path / "late.py"], capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout == "True True\n", done.stdout + done.stderr
