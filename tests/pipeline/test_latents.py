import shutil
from types import SimpleNamespace

import pandas as pd
import pytest
from threadpoolctl import threadpool_info

from ffcore.config import make_experiment
from ffcore.errors import ReportError, ResourceError, StoreError
from ffreport.analysis.rq2 import latents as rq2
from ffreport.analysis.rq2 import measures, polarity
from ffreport.analysis.rq2.topology import networks
from ffreport.compute import memory
from ffreport.compute import pool as workers
from ffreport.pipeline import latents as latent_work
from ffreport.study.profiles import make_profile
from ffreport.study.study import Study
from tests.conftest import tiny, train_into

TOPICS = {"measures", "pictures", "topology", "units"}
PROFILE = {
    "title": "Four networks",
    "rq1": [{
        "datasets": ["digits"],
        "configurations": [*list(rq2.PROTOTYPES.values())[:3], "l1-mean-none-tanh-sigmoid"],
        "settings": {"epochs": 1, "widths": [24, 16], "batch_size": 256, "label_size": 20,
                     "wta_k": 5},
    }],
    "rq2": {"images": 30, "neighbour_points": 80, "tsne_points": 40, "h0_points": 60,
            "h1_points": 30, "samples": 1},
    "sparsity": [{"dataset": "digits"}],
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Results with four small networks, trained in this process."""
    results = tmp_path_factory.mktemp("latent_work")
    study = opened(results)
    train_into(study.store, study.profile.networks())
    return results


@pytest.fixture
def study(trained, tmp_path, monkeypatch):
    """A study of copies of these, of which nothing is measured, that works in this process."""
    shutil.copytree(trained / "runs", tmp_path / "runs")
    monkeypatch.setattr(workers, "cores", lambda: 1)
    return opened(tmp_path)


def opened(results):
    found = Study("smoke", results=results)
    found.profile = make_profile(PROFILE, "four")
    return found


def kept(study):
    """What the cache holds, by the name of its file."""
    files = (study.store.results / "cache").iterdir()
    return {path.name: pd.read_parquet(path) for path in files}


def test_processes_keep_just_what_a_notebook_alone_would_compute(study, trained, monkeypatch):
    """Same files under the same names, to the bit: a notebook finds them all."""
    rq2.latent_measures(study)
    rq2.structures(study)
    for run in rq2.prototypes(study).values():
        rq2.projection(study, run)
        rq2.projection(study, run, normalised=True)
        rq2.persistence(study, run)
    networks.summary(study)
    networks.pairwise(study)
    polarity.networks(study)
    alone = kept(study)

    other = opened(study.store.results / "other")
    shutil.copytree(trained / "runs", other.store.runs)
    monkeypatch.setattr(workers, "cores", lambda: 2)
    assert latent_work.prepare(other, TOPICS) == 4 + len(networks.PARTS)
    found = kept(other)
    assert found.keys() == alone.keys()
    for name, frame in found.items():
        pd.testing.assert_frame_equal(frame, alone[name], check_exact=True)


def test_what_is_kept_is_not_made_again(study, monkeypatch):
    latent_work.prepare(study, TOPICS)
    before = kept(study)
    victim = next(name for name in before if name.startswith("units-"))
    (study.store.results / "cache" / victim).unlink()
    asked = []
    run_tasks = workers.run_tasks
    monkeypatch.setattr(
        workers, "run_tasks", lambda tasks, *more: asked.append(tasks) or run_tasks(tasks, *more)
    )
    assert latent_work.prepare(study, TOPICS) == 1
    (task,) = [task for tasks in asked for task in tasks]
    assert [piece.what for piece in task.pieces] == ["activity of units"]
    pd.testing.assert_frame_equal(kept(study)[victim], before[victim])
    asked.clear()
    assert latent_work.prepare(study, TOPICS) == 0 and not asked


def test_only_what_the_notebooks_import_is_made(study):
    latent_work.prepare(study, {"measures", "pictures"})
    kinds = {name.rpartition("-")[0] for name in kept(study)}
    assert kinds == {"measures", "observables", "projection", "persistence"}
    assert latent_work.prepare(study, {"ffreport.analysis.rq1.accuracy"}) == 0


def test_an_interruption_loses_what_is_in_the_making_and_nothing_else(study, monkeypatch):
    calls = []

    def stop(*args, all_measures=measures.all_measures):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return all_measures(*args)

    monkeypatch.setattr(measures, "all_measures", stop)
    with pytest.raises(KeyboardInterrupt):
        latent_work.prepare(study, {"measures", "pictures"})
    assert sum(name.startswith("measures-") for name in kept(study)) == 2
    # What a writer leaves that was killed has another name than the frame, and goes.
    cache = study.store.results / "cache"
    (cache / ".measures-0123.parquet.999999999.part").write_bytes(b"PAR1")
    latent_work.prepare(study, {"measures", "pictures"})
    assert sum(name.startswith("measures-") for name in kept(study)) == 4
    assert not list(cache.glob("*.part"))


def test_a_network_that_fails_names_itself_and_the_frame(study, monkeypatch, capsys):
    runs = study.networks
    (runs[-1].folder / "weights.safetensors").unlink()
    with pytest.raises(StoreError, match=rf"of {runs[-1].experiment.name}: .*weights"):
        latent_work.prepare(study, {"units"})
    assert len(kept(study)) == 3
    assert "stopped: 3 of 4" in capsys.readouterr().err

    def wrong(*args):
        raise ValueError("no such thing")

    monkeypatch.setattr(measures, "all_measures", wrong)
    with pytest.raises(ReportError, match=r"measures of digits-.* ValueError: no such thing"):
        latent_work.prepare(study, {"measures", "pictures"})


def test_a_process_that_is_killed_is_no_traceback(study, monkeypatch, capsys):
    def killed(*args, **options):
        raise ResourceError("a process was ended from outside")

    monkeypatch.setattr(workers, "run_tasks", killed)
    with pytest.raises(ResourceError, match="ended from outside"):
        latent_work.prepare(study, {"measures", "pictures"})
    assert "stopped: 0 of 4" in capsys.readouterr().err


def test_processes_stay_within_the_budget_and_within_free_memory(monkeypatch, capsys):
    full = make_experiment(**{**tiny().settings, "dataset": "mnist", "widths": (1000, 1000)})
    paper = SimpleNamespace(profile=Study("paper").profile,
                            networks=[SimpleNamespace(experiment=full)])  # fmt: skip
    each = latent_work.network_bytes(paper, paper.networks[0])
    assert 4 * 10_240 * 1000 + 4 * 5000**2 < each < 1e9
    monkeypatch.setattr(workers, "cores", lambda: 64)
    monkeypatch.setattr(memory, "available", lambda: 500e9)
    count = latent_work.processes(paper, 100)
    assert count >= 2 and (count + 1) * memory.PROCESS + count * each < latent_work.BUDGET
    monkeypatch.setattr(memory, "available", lambda: 1e9)
    assert latent_work.processes(paper, 100) == 1
    assert "in 1 of 64 processes" in capsys.readouterr().err


def test_a_frame_is_computed_by_one_thread_and_asking_whether_it_is_there_computes_nothing(study):
    seen = []

    def compute():
        seen.append({pool["num_threads"] for pool in threadpool_info()})
        return pd.DataFrame({"x": [1.0]})

    def ask():
        return study.cached("frame", {}, compute)

    compute.__module__, compute.__qualname__ = "ffreport.analysis.rq2.latents", "nine"

    assert study.lacks(ask) and not seen
    assert ask()["x"].tolist() == [1.0] and seen == [{1}]
    assert not study.lacks(ask) and len(seen) == 1


def test_only_the_newest_latents_stay_in_memory(study):
    first, second = study.networks[:2]
    found = rq2.latents(study, first)
    assert rq2.latents(study, first) is found
    assert rq2.latents(study, first, seed=1) is not found
    assert rq2.latents(study, second).values.shape == found.values.shape
    again = rq2.latents(study, first)
    assert again is not found and (again.values == found.values).all()
