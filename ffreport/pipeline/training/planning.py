"""What trains where: experiments as tasks, stacks cut to the GPU's memory, processes to the RAM."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ffcore.config import AnyExperiment, Experiment, SparsityExperiment
from ffcore.errors import ConfigError, DataError
from ffreport.base.console import say
from ffreport.compute import memory, pool
from ffreport.data import sources
from ffreport.pipeline.training import tasks as training


@dataclass(frozen=True)
class Place:
    """Where tasks run: on ``device``, in ``count`` processes at a time at least that have a GPU
    each, with so many ``free`` bytes on every GPU; None asks this machine's."""

    device: str
    count: int = 1
    free: float | None = None


def here(wanted: str) -> Place:
    """This machine.

    Args:
        wanted: ``auto``, ``cpu`` or ``cuda``.
    """
    from ffcore import train

    return Place(train.choose_device(wanted))


def on_cluster(facts: Sequence[dict[str, Any]], wanted: str) -> Place:
    """The workers of a cluster.

    Args:
        facts: of every worker, see ``Cluster.welcome``.
        wanted: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        ConfigError: a GPU is wanted and some lack it, or it is not clear which are to be used.
    """
    free = [f["free"] for f in facts if f["free"] is not None]
    if wanted == "cpu" or (wanted == "auto" and not free):
        return Place("cpu", len(facts))
    if len(free) < len(facts):
        raise ConfigError(
            f"{len(free)} of {len(facts)} workers of the cluster have a GPU; take the others off, "
            "or choose --device cpu"
        )
    return Place("cuda", len(facts), min(free))


def tasks(
    pending: Sequence[AnyExperiment], asked: int, place: Place, data_folder: str | None,
    plugins: tuple[str, ...] = (), checkpoints: str | None = None,
) -> list[training.Task]:  # fmt: skip
    """Training tasks, longest first; a GPU takes what can train together at once, cores take one
    each.

    The threads of a task follow from the number of experiments that were asked for, not from how
    many of them are pending: sums over threads round differently, and a run that is trained again
    must come out bitwise the same.

    Args:
        place: where they run; a stack is cut so that all of its GPUs have work.
        plugins: files of the experiments' plug-ins.
        checkpoints: folder from which long trainings go on.
    """
    from ffcore import train

    device = place.device
    groups: list[list[AnyExperiment]] = []
    most = max(1, math.ceil(sum(isinstance(e, Experiment) for e in pending) / place.count))
    for dataset in dict.fromkeys(e.dataset for e in pending):
        same = [e for e in pending if e.dataset == dataset]
        networks = [e for e in same if isinstance(e, Experiment)]
        for group in train.plan(networks, train.torch.device(device)):
            for part in [group[i : i + most] for i in range(0, len(group), most)]:
                groups += fitting(part, place.free) if device == "cuda" else [list(part)]
        groups += [[e] for e in same if isinstance(e, SparsityExperiment)]
    # Longest first: a long task that starts last would leave the other cores idle.
    groups.sort(key=lambda group: sum(map(operations, group)), reverse=True)
    threads = max(1, pool.cores() // asked) if device == "cpu" else 1
    return [
        training.Task(tuple(g), device, data_folder, threads, plugins, checkpoints) for g in groups
    ]


def require_data(pending: Sequence[AnyExperiment], data_folder: str | None) -> None:
    """Load every data set of some experiments, or say what is missing before any work is done.

    Raises:
        ConfigError: an image has too few pixels for the label that is to be written over them.
        DataError: a data set is missing and cannot be downloaded.
    """
    from ffreport.data import load

    names = sorted({e.dataset for e in pending})
    for name in names:
        try:
            load.load(name, data_folder, progress=say)
        except DataError as error:
            others = ", ".join(n for n in names if n != name)
            hint = f"; to train a part of the profile name it, --dataset with one of {others}"
            raise DataError(f"{error}{hint if others else ''}") from None
    for e in pending:
        source = sources.lookup(e.dataset)
        if e.label_embedding == "corner" and source.pixels <= source.classes:
            raise ConfigError(
                f"{e.name}: label_embedding corner writes the label over the first "
                f"{source.classes} of {source.pixels} pixels, and nothing is left of the image; "
                "choose appended in the profile"
            )


def fitting(group: Sequence[Experiment], free: float | None = None) -> list[list[AnyExperiment]]:
    """A stack in parts that fit the GPU; says so where it has to be cut.

    Args:
        free: bytes; what the GPU has free where not given.
    """
    source = sources.lookup(group[0].dataset)
    if free is None:
        import torch

        free = torch.cuda.mem_get_info()[0]
    free -= memory.data_bytes(group[0], source.images, source.pixels)
    parts = memory.split(group, source.pixels, source.classes, free)
    if len(parts) > 1:
        need = len(group) * memory.network_bytes(group[0], source.pixels, source.classes)
        say(
            f"{len(group)} networks on {group[0].dataset} need {memory.words(need)}, the GPU has "
            f"{memory.words(max(free, 0))}: {len(parts)} stacks of {len(parts[0])} or fewer"
        )
    return [list(part) for part in parts]


def processes(todo: Sequence[training.Task], free: float | None = None) -> int:
    """Local processes for the tasks: one where they train on the GPU, because each stack is cut to
    what that has free; else one a core, and says so where memory allows fewer.

    Args:
        free: bytes; what the machine has available where not given.
    """
    if any(task.device != "cpu" for task in todo):
        return 1
    each = max((_task_bytes(task) for task in todo), default=0.0)
    return memory.processes(min(pool.cores(), len(todo)), each, free, "training")


def _task_bytes(task: training.Task) -> float:
    size = 0.0
    for e in task.experiments:
        source = sources.lookup(e.dataset)
        if isinstance(e, Experiment):
            data = memory.data_bytes(e, source.images, source.pixels)
            size = max(size, data + memory.network_bytes(e, source.pixels, source.classes))
        else:
            size = max(size, source.images * source.pixels * 5)
    return size


def operations(e: AnyExperiment) -> float:
    """Multiplications of a training's matrix products, roughly: to order tasks, and to tell how
    long one will take from others."""
    images = sources.lookup(e.dataset).counts[0]
    if isinstance(e, Experiment):
        passes = e.epochs * (1.3 if e.inhibition == "wta" else 1)
    else:
        images = e.images or images
        passes = e.epochs + 1  # the initial layer is looked at, too
    return passes * images * weights(e)


def weights(e: AnyExperiment) -> int:
    """How many weights an experiment's layers have, roughly: multiplications an image."""
    widths = e.widths if isinstance(e, Experiment) else [e.width] * e.layers
    sizes = [sources.lookup(e.dataset).pixels, *widths]
    return sum(a * b for a, b in zip(sizes, sizes[1:], strict=False))
