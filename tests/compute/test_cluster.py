"""A real scheduler and real workers, each started by its own command; faults among them."""

import os
import shutil
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ffcore import config, plugins
from ffcore.errors import ClusterError, ConfigError, DataError
from ffreport.compute import cluster, cluster_worker, pool
from ffreport.data import own as own_data
from ffreport.pipeline import latents, stages
from ffreport.pipeline.training import planning
from ffreport.pipeline.training import tasks as training
from ffreport.study import profiles
from tests.compute.test_pool import STUDY
from tests.conftest import tiny
from tests.pipeline.test_latents import kept, opened, trained  # noqa: F401  a fixture
from tests.support import cluster_jobs
from tests.support.clusters import local
from tests.support.measured import note

COMMAND = "pytest tests/compute/test_cluster.py --measured"
PLUGIN = """
from ffcore import plugins


@plugins.activation("softplus")
def softplus(z):
    return z.exp().log1p()
"""

pytest.importorskip("distributed", reason="no distributed; `pip install -e '.[cluster]'` brings it")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A cluster of two workers."""
    with local(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The name of a data set that no worker has."""
    draw = np.random.default_rng(0)
    labels = np.arange(400) % 4
    images = draw.integers(0, 256, (400, 6, 6), dtype=np.uint8) // 4 * (1 + labels)[:, None, None]
    np.savez(tmp_path / "mine.npz", x_train=images[:300], y_train=labels[:300],
             x_test=images[300:], y_test=labels[300:])  # fmt: skip
    monkeypatch.setenv(own_data.VARIABLE, "{}")
    return own_data.identify(tmp_path / "mine.npz")


def run(address, tasks, work=None, poll=None, workers_=1):
    """What tasks give on a cluster of so many workers at least, and what was heard of them."""
    notes = []
    with cluster.joined(address) as away:
        until(lambda: len(away.welcome()) >= workers_)

        def look(look=away.look):
            look()
            if poll:
                poll()

        away.look = look
        return [*pool.run_tasks(tasks, work or training.perform, away, notes.append)], notes


def until(there, seconds=60):
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


def assert_same(found, expected):
    assert {o.experiment.key for o in found} == {o.experiment.key for o in expected}
    mine = {o.experiment.key: o for o in expected}
    for there in found:
        here = mine[there.experiment.key]
        assert there.summary == here.summary
        assert all((there.weights[k] == here.weights[k]).all() for k in here.weights)
        for name, table in here.tables.items():
            same = there.tables[name]
            assert same == table if isinstance(table, list) else same.equals(table)
        assert {k: v for k, v in there.provenance.items() if k != "hardware"} == {
            k: v for k, v in here.provenance.items() if k != "hardware"
        }


def test_networks_studies_and_plugins_come_back_as_from_this_machine(
    two, own, tmp_path, monkeypatch
):
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    monkeypatch.setattr(plugins, "_table", {})
    monkeypatch.setattr(plugins, "_sources", {})
    plugins.load(file)
    experiments = [tiny(), tiny(activation="tanh"), tiny(activation="softplus"), STUDY]
    experiments += [tiny(dataset=own, norm=norm, label_size=10) for norm in ("l1", "l2", "l2sq")]
    tasks = [training.Task((e,), plugins=(str(file),)) for e in experiments]
    packed = []
    pack = cluster_worker.pack
    monkeypatch.setattr(cluster_worker, "pack", lambda f, p=pack: packed.append({*f}) or p(f))
    found, notes = run(two.address, tasks)
    assert_same(found, [*pool.run_tasks(tasks, training.perform)])
    assert packed.count({"mine.npz"}) == 1, "the data set leaves this machine once"
    scratch = list(two.folder.glob("scratch/**/data/*/mine.npz"))
    assert 1 <= len(scratch) <= 2 and not list(two.folder.glob("scratch/**/luggage/*"))
    assert notes and {n.name for n in notes} <= {e.name for e in experiments}
    note("cluster/same", "Networks, a sparsity study, a plug-in and a data set that only the "
         "driver has, on two workers without a shared file system: weights, tables and provenance "
         "equal those of this machine bit by bit", f"{len(found)} of {len(tasks)} equal; the data "
         f"set was sent once for 3 networks", COMMAND)  # fmt: skip


def test_latents_come_back_as_from_this_machine(two, trained, tmp_path):  # noqa: F811
    results = [tmp_path / "here", tmp_path / "there"]
    for folder, address in zip(results, (None, two.address), strict=True):
        shutil.copytree(trained / "runs", folder / "runs")
        assert latents.prepare(opened(folder), {"units"}, address) == 4
    here, there = (kept(opened(folder)) for folder in results)
    assert here.keys() == there.keys() and all(here[k].equals(there[k]) for k in here)
    assert not list(two.folder.glob("scratch/**/luggage/*"))


def test_a_worker_that_is_killed_costs_what_it_was_at(two, tmp_path):
    jobs = [cluster_jobs.Job(f"job{i}", str(tmp_path), 0.6) for i in range(8)]
    extra = two.start_workers(1, "--no-nanny")[0]
    killed = []

    def kill():
        own = [p for p in tmp_path.glob(f"*-{extra.pid}-*") if p.read_text() == "began"]
        if own and not killed and time.time() - own[0].stat().st_mtime < 0.3:
            killed.extend(own)
            extra.kill()

    found, _ = run(two.address, jobs, cluster_jobs.wait, kill, workers_=3)
    assert sorted(found) == sorted(job.name for job in jobs) and killed
    began = Counter(path.name.split("-")[0] for path in tmp_path.iterdir())
    assert sum(began.values()) == len(jobs) + len(killed), began
    note("cluster/killed worker", "A worker is killed (SIGKILL) in the middle of a task: all tasks "
         "are done, none twice but the one that it was at", f"{len(killed)} killed; {len(jobs)} "
         f"tasks done, begun {sum(began.values())} times", COMMAND)  # fmt: skip


def test_what_was_lost_with_all_workers_is_sent_again(tmp_path, own, monkeypatch):
    monkeypatch.setattr(cluster, "LOOK", 0.3)
    task = training.Task((tiny(dataset=own, epochs=200, label_size=10),))
    with local(tmp_path / "cluster", workers=1) as found:
        moment = []

        def replace():
            if not moment and list(found.folder.glob("scratch/**/data/*/mine.npz")):
                moment.append(True)
                found.workers[0].kill()
                found.start_workers(1, "--no-nanny")

        again, _ = run(found.address, [task], poll=replace)
    assert moment
    assert_same(again, [*pool.run_tasks([task], training.perform)])


def test_a_lost_scheduler_ends_in_what_can_be_gone_on_with(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cluster, "CONNECT", 4.0)
    profile = profiles.make_profile({"title": "Six", "rq1": [{
        "datasets": ["digits"], "norm": ["l2", "l1"], "aggregation": ["sum"],
        "inhibition": ["none"], "activation": ["relu"], "seeds": [0],
        "probability": ["ffa-sigmoid", "sigmoid", "symmetric"],
        "settings": {"epochs": 12, "widths": [24, 16], "batch_size": 256, "label_size": 20},
    }], "sparsity": [{"dataset": "digits"}]}, "six")  # fmt: skip
    root = Path(__file__).parents[2]
    with local(tmp_path / "cluster") as found:
        away = stages.Pipeline(root, profile, tmp_path, tmp_path, cluster=found.address)
        save, wanted = away.store.save, profile.networks()

        def saved(*arguments, **more):
            found.scheduler.kill()
            return save(*arguments, **more)

        monkeypatch.setattr(away.store, "save", saved)
        with pytest.raises(ClusterError, match="was lost; what was finished is stored; run the"):
            away.train(wanted)
    assert "does not answer; waiting" in capsys.readouterr().err
    monkeypatch.setattr(pool, "cores", lambda: 1)
    here = stages.Pipeline(root, profile, tmp_path, tmp_path)
    stored = [e for e, state in here.states(wanted).items() if state.usable]
    assert 1 <= len(stored) < len(wanted)
    assert here.train(wanted) == len(wanted) - len(stored)
    note("cluster/lost scheduler", "The scheduler is killed after the first network is stored: the "
         "command ends with a message, what was stored stays, and the next run trains the rest",
         f"{len(stored)} of {len(wanted)} stored, the other {len(wanted) - len(stored)} trained "
         "by the next run", COMMAND)  # fmt: skip


def test_who_waits_no_more_ends_what_runs_there(two, tmp_path):
    jobs = [cluster_jobs.Job(f"long{i}", str(tmp_path), 600) for i in range(2)]

    def stop():
        if len(list(tmp_path.iterdir())) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(two.address, jobs, cluster_jobs.wait, stop)
    until(lambda: {p.read_text() for p in tmp_path.iterdir()} == {"stopped"})


def test_an_error_of_a_worker_names_the_task(two, tmp_path):
    with pytest.raises(ClusterError, match="broken failed on a worker: ZeroDivisionError: on"):
        run(two.address, [cluster_jobs.Job("broken", str(tmp_path))], cluster_jobs.fail)
    wrong = training.Task((tiny(precision="tf32"),))
    with pytest.raises(ConfigError, match="tf32 needs CUDA"):
        run(two.address, [wrong])


def test_a_worker_of_other_code_or_packages_is_refused(two, tmp_path, monkeypatch):
    other = {**cluster_worker.identity(), "torch": "1.0"}
    with cluster.joined(two.address) as away:
        monkeypatch.setattr(away, "_identity", other)
        with pytest.raises(ClusterError, match="worker tcp://.* has torch 2.*instead of 1.0; inst"):
            away.welcome()
        late = away.submit(cluster_jobs.wait, cluster_jobs.Job("late", str(tmp_path)), print)
        with pytest.raises(ClusterError, match="instead of 1.0"):
            late.result(timeout=60)
    assert not list(tmp_path.iterdir())


def test_it_waits_for_the_first_worker_and_says_so(tmp_path, capsys):
    with local(tmp_path / "cluster", workers=0) as found:
        with cluster.joined(str(found.file)) as away:
            found.start_workers(1, "--no-nanny")
            assert len(away.welcome()) == 1
    said = capsys.readouterr().err
    assert "has no workers; waiting" in said and "1 workers (1 ×" in said


def test_addresses_that_lead_nowhere_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr(cluster, "CONNECT", 0.5)
    with pytest.raises(ClusterError, match="no scheduler answers at tcp://127.*`dask scheduler`"):
        with cluster.joined("tcp://127.0.0.1:9"):
            pass
    (tmp_path / "damaged.json").write_text("[]")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    for name in ("none.json", "damaged.json", "deep.json"):
        with pytest.raises(ClusterError, match=f"{name} is no file that a running scheduler wrote"):
            with cluster.joined(str(tmp_path / name)):
                pass
    for address in ("here", "tcp://host", "tcp://host:"):
        with pytest.raises(ConfigError, match=f"'{address}' is no address of a scheduler; give"):
            with cluster.joined(address):
                pass
    for address in ("tls://127.0.0.1:9", "pigeon://127.0.0.1:9"):
        with pytest.raises(ClusterError, match=f"no scheduler answers at {address}"):
            with cluster.joined(address):
                pass
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(ConfigError, match="needs the package distributed"):
        with cluster.joined("tcp://127.0.0.1:9"):
            pass
    with cluster.joined(None) as away:
        assert away is None


class Client:
    """What ``Cluster`` asks of Dask's, with workers that come one after the other."""

    def __init__(self, *counts, status="running"):
        self.counts, self.status = list(counts), status

    def get_executor(self, pure):
        return None

    def subscribe_topic(self, topic, hear):
        pass

    def nthreads(self, callback_timeout):
        count = self.counts.pop(0) if len(self.counts) > 1 else self.counts[0]
        if count is None:
            raise TimeoutError
        return dict.fromkeys(range(count), 1)

    def run(self, facts):
        gpu = {"free": 8e9, "hardware": "a GPU", "identity": cluster_worker.identity()}
        return dict.fromkeys(range(self.counts[0]), gpu)


def test_stacks_are_cut_for_all_gpus_that_come_not_for_the_first(monkeypatch, capsys):
    monkeypatch.setattr(cluster, "SETTLE", 0.5)
    away = cluster.Cluster(Client(0, 1, 1, 2, 4, 8), "here")
    assert len(away.welcome()) == 8
    said = capsys.readouterr().err
    assert "waiting for more" in said and "8 workers (8 × a GPU)" in said


def test_a_scheduler_that_is_lost_or_silent_before_the_first_worker_is_told(monkeypatch):
    monkeypatch.setattr(cluster, "SILENT", 0.3)
    with pytest.raises(ClusterError, match="connected and has not answered"):
        cluster.Cluster(Client(None), "here").welcome()
    with pytest.raises(ClusterError, match="the scheduler at here was lost"):
        cluster.Cluster(Client(0, status="closed"), "here").welcome()


def test_words_for_a_task_that_every_worker_died_of():
    from distributed.scheduler import KilledWorker, WorkerState

    last = WorkerState(address="tcp://127.0.0.1:1", status="running", pid=1, name="w", nthreads=1,
                       memory_limit=0, local_directory="", nanny=None,
                       server_id="w")  # fmt: skip
    error = KilledWorker("task", last, 3)
    told = cluster._in_words(error, training.Task((tiny(),)))
    assert isinstance(told, ClusterError) and "every worker that tried" in str(told)
    assert tiny().name in str(told) and "stored" in str(told)


def test_workers_train_on_gpus_where_all_have_one():
    cpu, gpu = {"free": None}, {"free": 8e9}
    assert planning.on_cluster([cpu, cpu], "auto") == planning.Place("cpu", 2)
    assert planning.on_cluster([gpu, {"free": 7e9}], "auto") == planning.Place("cuda", 2, 7e9)
    assert planning.on_cluster([gpu, cpu], "cpu").device == "cpu"
    for facts, wanted in (([gpu, cpu], "auto"), ([cpu], "cuda")):
        with pytest.raises(ConfigError, match="of the cluster have a GPU"):
            planning.on_cluster(facts, wanted)


def test_a_stack_is_cut_so_that_every_gpu_has_work():
    networks = [tiny(theta=float(i)) for i in range(10)]
    for count, sizes in ((1, [10]), (3, [4, 4, 2]), (100, [1] * 10)):
        found = planning.tasks(networks, 10, planning.Place("cuda", count, 1e12), None)
        assert sorted((len(t.experiments) for t in found), reverse=True) == sizes
        assert {e for t in found for e in t.experiments} == {*networks}


def test_a_parcel_arrives_whole_once_and_stays_in_its_folder(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    parcel = cluster_worker.pack({"x/y": tmp_path / "a"})
    there = cluster_worker.unpack(parcel, tmp_path / "there")
    assert (there / "x" / "y").read_bytes() == b"1" and there.name == parcel.checksum
    before = os.stat(there / "x" / "y").st_mtime_ns
    assert cluster_worker.unpack(parcel, tmp_path / "there") == there
    assert os.stat(there / "x" / "y").st_mtime_ns == before
    with pytest.raises(DataError, match="damaged on its way"):
        cluster_worker.unpack(cluster_worker.Parcel("0" * 64, parcel.files), tmp_path / "there")
    for name in ("../out", "/out", "x/../../out"):
        files = {name: b"1"}
        with pytest.raises(DataError, match="outside of its folder"):
            outside = cluster_worker.Parcel(cluster_worker._checksum(files), files)
            cluster_worker.unpack(outside, tmp_path / "there")
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="cannot be read"):
        cluster_worker.pack({"x": tmp_path / "none"})


def test_only_the_plugins_of_a_task_are_there(tmp_path, monkeypatch):
    monkeypatch.setattr(plugins, "_table", {})
    monkeypatch.setattr(plugins, "_sources", {})
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text(PLUGIN)
        plugins.only([tmp_path / name / "mine.py"])
        assert config.legal("activation")[-1] == "softplus"
    plugins.only([])
    assert plugins.names("activation") == ()
