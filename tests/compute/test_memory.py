import pytest
import torch

from ffcore import train
from ffreport.compute import memory, pool
from ffreport.data import sources
from ffreport.pipeline.training import planning, tasks
from tests.conftest import tiny


def held(block):
    """Bytes of everything that a block keeps between steps."""
    tensors = [w for layer in block.layers for w in layer]
    tensors += [v for o in block.optimisers for s in o.state.values() for v in s.values()]
    tensors += [*block._space.values()]
    return sum(t.numel() * t.element_size() for t in tensors)


@pytest.mark.parametrize("change", [{}, {"precision": "bf16"}, {"widths": (300, 200, 100)}])
@pytest.mark.parametrize("members", [1, 3])
def test_the_planned_memory_is_what_a_block_holds(change, members):
    e = tiny(**{"widths": (256, 256), "batch_size": 512, **change})
    others = [e.model_copy(update={"theta": 2.0 + i}) for i in range(members)]
    block = train.build(others, 784, 10, torch.device("cpu"))
    images, labels = torch.rand(512, 784), torch.arange(512) % 10
    for _ in range(2):
        block.step(images, labels, (labels + 1) % 10)
    planned = members * memory.network_bytes(e, 784, 10)
    assert 0.75 * planned < held(block) <= planned


@pytest.mark.parametrize("fit", [1, 2, 5, 107, 108, 500])
def test_a_stack_is_cut_evenly_and_no_more_than_needed(fit):
    group = [tiny(theta=float(i)) for i in range(108)]
    each = memory.network_bytes(group[0], 64, 10)
    parts = memory.split(group, 64, 10, (fit + 0.5) * each / memory.SHARE)
    sizes = [len(p) for p in parts]
    assert sum(parts, []) == group
    assert max(sizes) <= fit and max(sizes) - min(sizes) <= 1
    assert len(parts) == -(-108 // fit)


def test_one_network_trains_however_little_memory_there_is():
    assert memory.split([tiny(), tiny(theta=3.0)], 64, 10, 0.0) == [[tiny()], [tiny(theta=3.0)]]
    assert memory.processes(8, 1e9, free=0.0) == 1


def test_processes_fit_the_memory():
    each = 1e9
    assert memory.processes(8, each, free=1e12) == 8
    fitting = memory.processes(8, each, free=6e9)
    assert fitting == int(memory.SHARE * 6e9 / (memory.PROCESS + each))


def test_data_are_counted_as_they_are_held():
    source = sources.lookup("mnist")
    assert (source.images, source.pixels) == (70000, 784)
    assert memory.data_bytes(tiny(), 70000, 784) == 70000 * 784 * 5


def test_stacks_that_are_cut_for_a_gpu_have_it_one_after_the_other(monkeypatch):
    monkeypatch.setattr(pool, "cores", lambda: 8)
    todo = [tasks.Task((tiny(seed=seed),), "cuda") for seed in range(6)]
    assert planning.processes(todo, free=1e12) == 1
    here = [tasks.Task((tiny(seed=seed),), "cpu") for seed in range(6)]
    assert planning.processes(here, free=1e12) == 6


def test_a_plan_that_cuts_says_so(capsys):
    group = [tiny(dataset="mnist", theta=float(i)) for i in range(6)]
    each = memory.network_bytes(group[0], 784, 10)
    data = memory.data_bytes(group[0], 70000, 784)
    assert len(planning.fitting(group, data + 100 * each)) == 1
    assert capsys.readouterr().err == ""
    parts = planning.fitting(group, data + 3.9 * each)
    assert [len(p) for p in parts] == [3, 3]
    assert "6 networks on mnist need" in (said := capsys.readouterr().err)
    assert "2 stacks of 3 or fewer" in said


def test_fewer_processes_where_memory_is_short(capsys, monkeypatch):
    monkeypatch.setattr(pool, "cores", lambda: 4)
    todo = [tasks.Task((tiny(theta=float(i)),)) for i in range(6)]
    assert planning.processes(todo, free=1e12) == 4
    assert planning.processes(todo, free=1.3e9) == 2
    assert "training in 2 of 4 processes: each needs" in capsys.readouterr().err
