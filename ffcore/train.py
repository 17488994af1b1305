"""Epochs, evaluation, early stopping and selection for any number of networks (section 3)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from ffcore import data, labels
from ffcore.checkpoints import Checkpoint
from ffcore.config import Experiment
from ffcore.errors import ConfigError
from ffcore.network import KIND, SHARED, Block
from ffcore.plugins import trial

EVALUATED = 512  # images a prediction step; the activations of one candidate label fit the cache


@dataclass(frozen=True)
class Progress:
    """Where a training stands: networks done and in all, and the newest epoch's figures."""

    done: int
    total: int
    name: str
    epoch: int
    epochs: int
    accuracy: float


@dataclass(frozen=True)
class Result:
    """One trained network.

    ``history`` has one row an epoch: ``epoch`` (from 1), ``test_accuracy`` and, with a validation
    set, ``validation_accuracy`` in [0, 1], ``loss1`` … the mean loss of each layer before its
    steps. ``summary`` has ``best`` and ``best_epoch`` (largest test accuracy: selected on the test
    set), ``last`` (no selection), ``selected`` and ``selected_epoch`` (chosen by validation
    accuracy; None without), ``epochs``, ``stopped`` (early). ``weights`` are the last epoch's.
    ``seconds`` are wall-clock times, a share of the block's where networks train together.
    """

    experiment: Experiment
    history: list[dict[str, float]]
    summary: dict[str, float | int | bool | None]
    weights: dict[str, Tensor]
    seconds: dict[str, float]


@dataclass(frozen=True)
class Prepared:
    """Normalised image parts of the inputs and labels, on the device; N rows each."""

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    held_images: Tensor
    held_labels: Tensor
    classes: int


def plan(experiments: Sequence[Experiment], device: torch.device) -> list[list[Experiment]]:
    """The experiments in groups that train together.

    On the CPU a group is one network: its matrices fill the cores by themselves and stay in the
    cache, every network's result is independent of its company, and each is done and stored
    early. On a GPU a group holds all networks of one data set, seed and shape.
    """
    if device.type == "cpu":
        return [[e] for e in experiments]
    ordered = sorted(experiments, key=_shared)
    return [list(group) for _, group in groupby(ordered, key=_shared)]


def train(
    experiments: Sequence[Experiment],
    dataset: data.Dataset,
    device: str | torch.device = "cpu",
    progress: Callable[[Progress], None] | None = None,
    together: bool | None = None,
    checkpoint: Callable[[Sequence[Experiment]], Checkpoint | None] | None = None,
) -> Iterator[Result]:
    """Train networks of one data set and yield each as its group finishes.

    Args:
        experiments: all of the data set ``dataset``.
        progress: called after every epoch of a group.
        together: train all networks that share SHARED as one group also on the CPU; by default
            ``plan`` decides.
        checkpoint: the file of a group that trains together, from which it goes on.

    Raises:
        ConfigError: an experiment of another data set, a precision that the device lacks, or a
            plug-in that does not do what its kind must.
    """
    device = torch.device(device)
    for e in experiments:
        if e.dataset != dataset.name:
            raise ConfigError(f"{e.name} is of {e.dataset}, not of {dataset.name}")
        if e.precision == "tf32" and device.type != "cuda":
            raise ConfigError(f"precision tf32 needs CUDA; the device is {device}; choose fp32")
        trial.check(e)
    groups = plan(experiments, torch.device("cuda") if together else device)
    prepared: tuple[object, Prepared] | None = None
    done = 0
    for group in groups:
        first = group[0]
        wanted = (first.validation, first.label_embedding, first.seed, first.precision)
        if prepared is None or prepared[0] != wanted:
            prepared = (wanted, prepare(dataset, first, device))
        report = _reporter(progress, done, len(experiments))
        kept = checkpoint(group) if checkpoint else None
        yield from _train_group(group, prepared[1], device, report, kept)
        done += len(group)


def prepare(dataset: data.Dataset, experiment: Experiment, device: torch.device) -> Prepared:
    """The data set as an experiment sees it, on the device."""
    learned, held = data.hold_out(
        dataset.train_labels, experiment.validation, dataset.classes, experiment.seed
    )
    train_images = dataset.train_images
    train_labels = dataset.train_labels

    def ready(images: Tensor) -> Tensor:
        return image_inputs(images, experiment, dataset.classes).to(device)

    return Prepared(
        ready(train_images if not len(held) else train_images[learned]),
        (train_labels if not len(held) else train_labels[learned]).to(device),
        ready(dataset.test_images),
        dataset.test_labels.to(device),
        ready(train_images[held]),
        train_labels[held].to(device),
        dataset.classes,
    )


def image_inputs(images: Tensor, experiment: Experiment, classes: int) -> Tensor:
    """The image part of a network's inputs, normalised.

    Args:
        images: [N, D] uint8.

    Returns:
        [N, inputs] float32.
    """
    part = labels.image_part(data.normalise(images), experiment.label_embedding, classes)
    return part.contiguous()


def build(
    experiments: Sequence[Experiment], inputs: int, classes: int, device: torch.device
) -> Block:
    """A block of untrained networks; label patterns and weights follow from the seed.

    Args:
        inputs: columns of the image part of the input, see ``labels.image_part``.
    """
    first = experiments[0]
    table = labels.patterns(
        classes, first.label_embedding, first.label_size, first.label_density,
        labels.generator(first.seed, "patterns"),
    )  # fmt: skip
    return Block(experiments, inputs, table, device)


def restore(experiment: Experiment, weights: dict[str, Tensor], device: str = "cpu") -> Block:
    """A block of one network from stored weights, to predict with or to take latents from."""
    table = weights["patterns"]
    inputs = weights["layer1"].shape[1] - table.shape[1]
    block = Block([experiment], inputs, table, torch.device(device))
    block.load(0, weights)
    return block


def accuracy(block: Block, images: Tensor, truth: Tensor) -> Tensor:
    """Share of images whose predicted label is the true one: [M] float64 in [0, 1].

    Args:
        images: [N, inputs] float.
        truth: [N] int64.
    """
    hits = torch.zeros(len(block.experiments), dtype=torch.int64, device=images.device)
    for start in range(0, len(images), EVALUATED):
        part = slice(start, start + EVALUATED)
        hits += (block.predict(images[part]) == truth[part]).sum(dim=-1)
    return hits.double().cpu() / len(images)


def _train_group(
    group: Sequence[Experiment],
    ready: Prepared,
    device: torch.device,
    report: Callable[[str, int, int, float], None],
    checkpoint: Checkpoint | None = None,
) -> Iterator[Result]:
    first = group[0]
    blocks = [
        build(list(kind), ready.images.shape[1], ready.classes, device)
        for _, kind in groupby(sorted(group, key=_kind), key=_kind)
    ]
    histories: dict[str, list[dict[str, float]]] = {e.key: [] for e in group}
    seconds = {e.key: {"training": 0.0, "evaluation": 0.0} for e in group}
    count = len(ready.images)
    cpu_labels = ready.labels.cpu()
    done = 0
    if checkpoint and (kept := checkpoint.load(blocks)):
        done, histories, seconds = kept["epoch"], kept["histories"], kept["seconds"]
    for epoch in range(done + 1, first.epochs + 1):
        order = torch.randperm(count, generator=labels.generator(first.seed, "order", epoch))
        draw = labels.generator(first.seed, "negatives", epoch)
        wrong = labels.negative_labels(cpu_labels[order], ready.classes, draw, first.negatives).to(
            device
        )
        order = order.to(device)
        totals = [torch.zeros(len(first.widths), len(b.experiments), device=device) for b in blocks]
        started = _now(device)
        for start in range(0, count, first.batch_size):
            rows = order[start : start + first.batch_size]
            images, right = ready.images[rows], ready.labels[rows]
            for block, total in zip(blocks, totals, strict=True):
                losses = block.step(images, right, wrong[start : start + first.batch_size])
                total += losses * len(rows)
        trained = _now(device)
        tested = [accuracy(b, ready.test_images, ready.test_labels) for b in blocks]
        held = [
            accuracy(b, ready.held_images, ready.held_labels) if first.validation else None
            for b in blocks
        ]
        evaluated = _now(device)
        living = sum(len(b.experiments) for b in blocks)
        for block, total, test, valid in zip(blocks, totals, tested, held, strict=True):
            for m, e in enumerate(block.experiments):
                row = {"epoch": float(epoch), "test_accuracy": float(test[m])}
                if valid is not None:
                    row["validation_accuracy"] = float(valid[m])
                row |= {f"loss{i}": float(v) for i, v in enumerate(total[:, m] / count, start=1)}
                histories[e.key].append(row)
                seconds[e.key]["training"] += (trained - started) / living
                seconds[e.key]["evaluation"] += (evaluated - trained) / living
        ending = epoch == first.epochs or any(_stops(histories[e.key], e.patience) for e in group)
        if checkpoint and not ending:
            checkpoint.save(blocks, epoch, histories, seconds)
        report(first.name, epoch, first.epochs, float(torch.cat(tested).mean()))
        for block in list(blocks):
            ended = [
                m for m, e in enumerate(block.experiments)
                if epoch == first.epochs or _stops(histories[e.key], e.patience)
            ]  # fmt: skip
            for m in ended:
                e = block.experiments[m]
                yield Result(
                    e, histories[e.key], summarise(histories[e.key], e),
                    block.weights(m), seconds[e.key],
                )  # fmt: skip
            going = [m for m in range(len(block.experiments)) if m not in ended]
            if not going:
                blocks.remove(block)
            elif ended:
                block.keep(going)
        if not blocks:
            return


def summarise(
    history: list[dict[str, float]], experiment: Experiment
) -> dict[str, float | int | bool | None]:  # noqa: E501
    """``best``, ``last``, ``selected`` and their epochs, from a history; see ``Result``."""
    tested = [row["test_accuracy"] for row in history]
    best = max(range(len(tested)), key=tested.__getitem__)
    chosen = None
    if experiment.validation:
        chosen = max(range(len(tested)), key=lambda i: history[i]["validation_accuracy"])
    return {
        "best": tested[best],
        "best_epoch": best + 1,
        "last": tested[-1],
        "selected": None if chosen is None else tested[chosen],
        "selected_epoch": None if chosen is None else chosen + 1,
        "epochs": len(tested),
        "stopped": len(tested) < experiment.epochs,
    }


def choose_device(wanted: str) -> str:
    """``cuda`` or ``cpu`` for ``auto``, ``cpu`` or ``cuda``.

    Raises:
        ConfigError: CUDA was asked for and there is none.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "device cuda was asked for, but this PyTorch sees no CUDA device; use --device cpu"
        )
    return wanted


def _stops(history: list[dict[str, float]], patience: int) -> bool:
    """Whether the last ``patience`` epochs all failed to exceed what came before them."""
    if not patience or len(history) <= patience:
        return False
    tested = [row["test_accuracy"] for row in history]
    return max(tested[-patience:]) <= max(tested[:-patience])


def _shared(experiment: Experiment) -> tuple[str, ...]:
    return tuple(str(getattr(experiment, field)) for field in SHARED)


def _kind(experiment: Experiment) -> tuple[str, ...]:
    own = experiment.plugins.get("probability", "")
    return (*(str(getattr(experiment, field)) for field in KIND), own)


def _reporter(
    progress: Callable[[Progress], None] | None, done: int, total: int
) -> Callable[[str, int, int, float], None]:
    def report(name: str, epoch: int, epochs: int, value: float) -> None:
        if progress:
            progress(Progress(done, total, name, epoch, epochs, value))

    return report


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
