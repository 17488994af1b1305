"""Speed as ratios, measured side by side in one run: the engine, the plain way, the machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ffcore import data, labels, train
from ffcore.config import Experiment, make_experiment
from ffcore.errors import ConfigError
from ffcore.network import Block, initial_weights
from ffcore.network.products import multiply
from ffreport.compute import memory

WIDTH, BATCH = 1000, 512
QUIET = 0.85  # share of its largest rate that an undisturbed machine keeps
FACTORS: dict[str, Any] = dict(activation="relu", norm="l2", aggregation="sum", inhibition="none",
                               probability="sigmoid")  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One measurement: what, its value and unit, the target where there is one, how it was made."""

    what: str
    value: float
    unit: str
    target: str = ""
    how: str = ""


class PlainNetwork:
    """One ReLU, ‖h‖₂, sigmoid-probability Polar network trained the usual way, as the published
    code does it: separate passes for positives and negatives with autograd, activations computed
    again after each step, a whole forward pass for every candidate label, and the accuracy of
    every training batch.

    Args:
        experiment: its widths, seed and learning rate are used.
        weights: [width, inputs] a layer.
        table: [classes, size] label patterns.
    """

    def __init__(self, experiment: Experiment, weights: list[Tensor], table: Tensor) -> None:
        self.experiment, self.table = experiment, table
        self.layers = [torch.nn.Linear(w.shape[1], w.shape[0], bias=False) for w in weights]
        for layer, weight in zip(self.layers, weights, strict=True):
            layer.weight.data.copy_(weight)
        self.optimisers = [
            torch.optim.Adam(layer.parameters(), lr=experiment.learning_rate)
            for layer in self.layers
        ]

    def step(self, images: Tensor, right: Tensor, wrong: Tensor) -> float:
        """Learn from one batch; returns the accuracy on it."""
        positive = labels.embed(images, right, "appended", self.table)
        negative = labels.embed(images, wrong, "appended", self.table)
        for layer, optimiser in zip(self.layers, self.optimisers, strict=True):
            p = self._probability(torch.relu(layer(positive))).clamp(1e-5, 1 - 1e-5)
            q = self._probability(torch.relu(layer(negative))).clamp(1e-5, 1 - 1e-5)
            loss = torch.cat([-torch.log(p), -torch.log(1 - q)]).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                positive = self._normalised(torch.relu(layer(positive)))
                negative = self._normalised(torch.relu(layer(negative)))
        return float((self.predict(images) == right).float().mean())

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """[b] int64, the label with the largest sum of P over the layers."""
        scores = []
        for label in range(len(self.table)):
            chosen = torch.full((len(images),), label)
            inputs = labels.embed(images, chosen, "appended", self.table)
            total = torch.zeros(len(images))
            for layer in self.layers:
                h = torch.relu(layer(inputs))
                total += self._probability(h)
                inputs = self._normalised(h)
            scores.append(total)
        return torch.stack(scores, dim=1).argmax(dim=1)

    def _groups(self, h: Tensor) -> tuple[Tensor, Tensor]:
        half = h.shape[1] // 2
        return h[:, :half], h[:, half:]

    def _probability(self, h: Tensor) -> Tensor:
        positive, negative = (g.norm(dim=1) for g in self._groups(h))
        return torch.sigmoid(positive - negative - self.experiment.theta)

    def _normalised(self, h: Tensor) -> Tensor:
        return torch.cat([g / (g.norm(dim=1, keepdim=True) + 1e-5) for g in self._groups(h)], 1)


def measure(dataset: data.Dataset, tell: Callable[[str], None], steps: int = 118
            ) -> Iterator[Row]:  # fmt: skip
    """Rows as they are measured, on the CPU with all threads.

    Args:
        dataset: 28 × 28 images; MNIST for the figures that the README shows.
        steps: training batches of an epoch that are timed; 118 is all of MNIST.
    """
    steps = min(steps, -(-len(dataset.train_images) // BATCH))
    if steps < 2:
        raise ConfigError(f"{dataset.name} has too few images to time a step of {BATCH}")
    base = make_experiment(dataset=dataset.name, **FACTORS, widths=[WIDTH, WIDTH], epochs=1)
    ready = train.prepare(dataset, base, torch.device("cpu"))
    rates: dict[str, list[float]] = {"fp32": [], "bf16": []}

    def look() -> None:
        for precision, found in rates.items():
            found.append(machine_rate(precision))

    look()
    plain_time = sum(plain_epoch(base, ready, steps))
    tell(f"plain: {plain_time:.1f} s an epoch")
    look()
    epochs: dict[str, tuple[float, float]] = {}
    for precision in rates:
        experiment = base.model_copy(update={"precision": precision})
        own = train.prepare(dataset, experiment, torch.device("cpu"))
        epochs[precision] = engine_epoch(experiment, own, steps)
        tell(f"engine, {precision}: {sum(epochs[precision]):.1f} s an epoch")
        look()
    if any(min(found) < QUIET * max(found) for found in rates.values()):
        tell("the machine's own rate changed while this ran: other work disturbs these figures")
    yield Row("plain reference, an epoch with evaluation", plain_time, "s",
              how=f"{steps} training steps with batch accuracy, and the test set")  # fmt: skip
    operations = step_operations(len(ready.images[0])) * steps / 1e9
    targets = {"fp32": ("≥ 5", "≥ 85"), "bf16": ("≥ 9 with AMX or AVX512-BF16", "")}
    for precision, (training, evaluation) in epochs.items():
        rate = max(rates[precision])
        yield Row(f"engine, {precision}, an epoch with evaluation", training + evaluation, "s")
        yield Row(f"engine against plain, {precision}", plain_time / (training + evaluation), "×",
                  targets[precision][0])  # fmt: skip
        yield Row(f"matrix products of this machine, {precision}", rate, "Gflop/s",
                  how="plain products at a step's shapes, all threads")  # fmt: skip
        yield Row(f"share of that rate in training, {precision}",
                  100 * operations / training / rate, "%", targets[precision][1])  # fmt: skip
    few = max(2, min(6, steps))
    alone = 0.0
    for members in (1, 6, 18, 54, 108):
        spent, held = stack_step(base, ready, members, min(steps, max(few, 60 // members)))
        alone = alone or spent
        planned = memory.network_bytes(base, ready.images.shape[1], ready.classes)
        tell(f"{members} networks: {spent * 1e3:.1f} ms a network and step, "
             f"{memory.words(held)} in all")  # fmt: skip
        yield Row(f"{members} networks: step of one", spent * 1e3, "ms",
                  how="each with its own weights, one after the other")  # fmt: skip
        yield Row(f"{members} networks: time against linear growth", spent / alone, "×", "≤ 1")
        if members > 1:  # One fits into memory that earlier measurements gave back.
            yield Row(f"{members} networks: memory of one", held / members / 1e6, "MB",
                      f"{planned / 1e6:.0f} planned")  # fmt: skip
    yield from growth(base, ready, few)


def growth(base: Experiment, ready: train.Prepared, steps: int) -> Iterator[Row]:
    """How a step's time grows with width and with the batch, against its operations: 1 is linear,
    less is better."""
    inputs = ready.images.shape[1]
    times: dict[tuple[int, int], float] = {}
    for width, batch in ((500, BATCH), (1000, BATCH), (2000, BATCH), (1000, 2 * BATCH)):
        changed = base.model_copy(update={"widths": (width, width), "batch_size": batch})
        block = train.build([changed], inputs, ready.classes, torch.device("cpu"))
        spent = _timed_steps(lambda *b, block=block: block.step(*b), ready, steps, batch) / steps
        times[width, batch] = spent / step_operations(inputs, width, batch)
    usual = times[WIDTH, BATCH]
    for (width, batch), spent in times.items():
        if (width, batch) != (WIDTH, BATCH):
            what = f"step of width {width}, batch {batch}: time an operation"
            yield Row(what, spent / usual, "×", how=f"against width {WIDTH}, batch {BATCH}")


def write(rows: list[Row], path: Path, hardware: str) -> None:
    """The rows as CSV, with hardware and PyTorch version in every row."""
    import pandas as pd

    frame = pd.DataFrame([asdict(row) for row in rows])
    frame.assign(hardware=hardware, torch=torch.__version__).to_csv(path, index=False)


def step_operations(inputs: int, width: int = WIDTH, batch: int = BATCH) -> float:
    """Floating-point operations of one step of two layers: three image products in layer 1, four
    products of both halves in layer 2."""
    return 3 * 2 * batch * inputs * width + 4 * 2 * batch * width * width


def machine_rate(precision: str, inputs: int = 784, seconds: float = 1.5) -> float:
    """Gflop/s that plain matrix products reach at the shapes of a training step, one after the
    other and nothing between them; the best of several spans, as a rate that the machine can reach.
    """
    images, half = torch.randn(BATCH, inputs), torch.randn(1, BATCH, WIDTH)
    first, later = torch.randn(1, WIDTH, inputs), torch.randn(1, WIDTH, WIDTH)
    whole, out = torch.randn(1, 2 * BATCH, WIDTH), torch.empty(1, 2 * BATCH, WIDTH)

    def products() -> None:
        for a, b, into in (
            (images, first.mT, half), (half.mT, images, first), (images, first.mT, half),
            (whole, later.mT, out), (out.mT, whole, later),
        ):  # fmt: skip
            multiply(a, b, into, precision)

    best, stop = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < stop:
        for tensor in (images, first, later, whole):
            tensor.normal_()  # Products of products would leave the range of numbers.
        began = time.perf_counter()
        products()
        best = min(best, time.perf_counter() - began)
    return step_operations(inputs) / best / 1e9


def engine_epoch(experiment: Experiment, ready: train.Prepared, steps: int) -> tuple[float, float]:
    """Seconds of ``steps`` training steps and of the evaluation of the test set."""
    block = train.build([experiment], ready.images.shape[1], ready.classes, torch.device("cpu"))
    spent = _timed_steps(lambda *batch: block.step(*batch), ready, steps)
    began = time.perf_counter()
    train.accuracy(block, ready.test_images, ready.test_labels)
    return spent, time.perf_counter() - began


def plain_epoch(experiment: Experiment, ready: train.Prepared, steps: int) -> tuple[float, float]:
    """The same of the plain reference, with the same weights, patterns and batches."""
    table = labels.patterns(ready.classes, "appended", experiment.label_size,
                            experiment.label_density, labels.generator(0, "patterns"))  # fmt: skip
    inputs = ready.images.shape[1] + table.shape[1]
    network = PlainNetwork(experiment, initial_weights(experiment, inputs), table)
    spent = _timed_steps(network.step, ready, steps)
    began = time.perf_counter()
    for start in range(0, len(ready.test_images), train.EVALUATED):
        network.predict(ready.test_images[start : start + train.EVALUATED])
    return spent, time.perf_counter() - began


def stack_step(
    base: Experiment, ready: train.Prepared, members: int, steps: int
) -> tuple[float, float]:
    """Seconds of a step of one network among ``members``, each with its own weights in memory, and
    the bytes by which the process grew for all of them."""
    before = memory.resident()
    blocks: list[Block] = [
        train.build([base], ready.images.shape[1], ready.classes, torch.device("cpu"))
        for _ in range(members)
    ]

    def step(*batch: Tensor) -> None:
        for block in blocks:
            block.step(*batch)

    spent = _timed_steps(step, ready, steps) / (members * steps)
    return spent, max(0.0, memory.resident() - before)


def _timed_steps(
    step: Callable[[Tensor, Tensor, Tensor], Any],
    ready: train.Prepared,
    steps: int,
    batch: int = BATCH,
) -> float:
    """Seconds of the steps, after two that warm up caches and thread pools."""
    draw = labels.generator(0, "order", 1)
    order = torch.randperm(len(ready.images), generator=draw)
    wrong = labels.negative_labels(ready.labels[order], ready.classes, draw)
    spent = 0.0
    for number in range(-2, steps):
        part = slice(max(number, 0) * batch, (max(number, 0) + 1) * batch)
        rows = order[part]
        began = time.perf_counter()
        step(ready.images[rows], ready.labels[rows], wrong[part])
        spent += (time.perf_counter() - began) * (number >= 0)
    return spent
