"""Layers trained with every step checked against the sparsity theorems (2311.05667)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from ffcore import data, labels
from ffcore.config import SparsityExperiment
from ffcore.errors import ConfigError
from ffcore.goodness import CLAMP
from ffcore.sparsity import losses
from ffcore.sparsity.book import Book, Step, over, prefix, summary
from ffcore.sparsity.pairs import Batch, Pairs, Source
from ffcore.sparsity.theory import gaussian_distance


@dataclass(frozen=True)
class SparsityResult:
    """What one run measured.

    Epoch 0 is the initial network, whose steps are taken but not kept; epoch e ≥ 1 measures each
    step of training. Theorem 1 is checked on the positives of each batch (side ``positive``) by a
    plain gradient step that lowers their mean goodness and is not kept, Theorem 2 by the step on
    the loss (sides ``positive`` and ``negative``).

    ``steps``: a row an ``epoch``, ``batch``, ``layer`` (from 1), ``theorem`` and ``side``: number
        of ``data``, of which ``undefined`` have a zero latent before or after the step and are left
        out of the following. Means: ``margin`` Σ_j s_j A_ij (s_j = ∂L/∂G_j times batch size),
        ``margin_infinite`` (epoch 0 of ReLU layers, and losses of the whole layer's goodness),
        ``sparsity`` before the step, its ``change``, its ``first_order`` change by the step as
        taken, ``goodness``, ``zero_preactivations`` and ``switched`` (see ``assumptions``). Shares:
        ``satisfied`` (margin > 0), ``satisfied_infinite``, ``rose`` (change > 0), ``agreement`` of
        satisfied and rose = ``tp`` + ``tn``, ``fp`` (satisfied, fell), ``fn``. Of the batch:
        ``loss``, ``rate_times_width``, ``lowering`` (Σ_j s_j G_j ÷ Σ_j |s_j| G_j: 1 where the step
        lowers all goodness, −1 where it raises all), and in epoch 0 those of ``similarity``.
    ``epochs``: the same over an epoch's data, long: ``epoch``, ``layer``, ``theorem``, ``side``,
        ``quantity``, ``value``; ``undefined`` is a share here.
    ``samples``: the same training images in every epoch, a row each: ``epoch``, ``layer``,
        ``theorem``, ``side``, ``index``, ``label`` (the true one), and ``margin`` to ``agreement``
        as above, measured in float64; verdicts are 0 or 1, NaN where undefined.
    ``curve``: plain gradient steps of many sizes from the same layer, before training and in the
        last epoch: ``epoch``, ``layer``, ``theorem``, ``side``, ``rate`` (times 1/n), and means
        ``agreement``, ``satisfied``, ``rose``, ``switched``, and ``error``, the median of
        |change − first order|/|first order|.
    ``weights``: ``initial`` and ``final`` [n, d] of layer 1, label ``patterns`` [classes, size].
    ``summary``: ``theorem2_negative_satisfied_initial`` and so on, of layer 1 (with ``layer2_``
        before it of layer 2): ``initial`` is epoch 0, ``training`` the mean over the epochs after
        it, ``last`` the last one; ``accuracy`` on the test images after the last epoch, by each
        layer's own score; ``gaussian_distance``, see there, of layer 1's initial weights.
    ``seconds``: wall-clock time of ``training``, of ``checking`` in the same epochs, of all else
        (``initial``: epoch 0, curves, accuracy), and in ``total``.
    """

    experiment: SparsityExperiment
    steps: pd.DataFrame
    epochs: pd.DataFrame
    samples: pd.DataFrame
    curve: pd.DataFrame
    weights: dict[str, Tensor]
    summary: dict[str, float]
    seconds: dict[str, float]


def run(
    experiment: SparsityExperiment,
    dataset: data.Dataset,
    progress: Callable[[int, int, str], object] | None = None,
    device: str | torch.device = "cpu",
) -> SparsityResult:
    """Trains the layers and checks every step.

    W is Gaussian, N(0, 1/d), as the infinite-width form assumes; its scale leaves every margin's
    sign alone. The loss is the mean over the batch, so that ``rate`` means the same for every
    ``batch_size``: the sum that the theory writes is a ``rate`` ``batch_size`` times as large. A
    layer passes on its latents as it has them after its step, each divided by its L2 norm.

    Args:
        dataset: its training images and labels are used, and the test images for ``accuracy``.
        progress: called after each epoch with the epoch, their number and a line of text.

    Raises:
        ConfigError: another data set, or a rate at which goodness or weights become infinite.
    """
    e, began = experiment, time.perf_counter()
    if e.dataset != dataset.name:
        raise ConfigError(f"{e.name} is of {e.dataset}, not of {dataset.name}")
    source, draw = Source(e, dataset, device), labels.generator(e.seed, "weights")
    sizes = [source.size, *[e.width] * (e.layers - 1)]
    initial = [(torch.randn(e.width, d, generator=draw) / math.sqrt(d)).to(device) for d in sizes]
    network = _Network(source, initial)
    book, clock = Book(e, source), _Clock()

    for epoch in range(e.epochs + 1):
        clock.running = epoch > 0
        for number, batch in enumerate(source.batches(epoch, network.scores)):
            for depth, layer in enumerate(network.layers):
                pairs = batch.pairs
                z = pairs.through(layer.weight.detach())
                h = losses.activate(z, e.activation)
                slopes = losses.slopes(e, h)
                gradient = pairs.gradient(slopes.signed)
                moved = layer.step(pairs, gradient)
                if not (math.isfinite(slopes.loss) and layer.weight.isfinite().all()):
                    raise ConfigError(
                        f"{e.name}: goodness or weights became infinite in epoch {epoch} with rate "
                        f"{e.rate:g} (learning rate {layer.rate:g}); choose a lower rate or fewer "
                        "epochs"
                    )
                clock.spent("training")
                place, plain = (epoch, number, depth), layer.plain(pairs)
                step = Step(place, batch, z, h, slopes, gradient, moved, plain)
                book.add(step)
                clock.spent("checking")
                book.probe(step)
                clock.spent("probing")
                if depth + 1 < e.layers:
                    if epoch > 0:
                        h = losses.activate(pairs.through(layer.weight.detach()), e.activation)
                    batch = Batch(batch.indices, Pairs(*_normalised(h).chunk(2)))
            if epoch == 0:  # its steps are not kept
                network.restart()
            clock.spent("training")
        if progress:
            progress(epoch, e.epochs, book.line(epoch))
    steps = book.steps()
    epochs = over(steps)
    found = summary(epochs) | {"gaussian_distance": gaussian_distance(initial[0])}
    found |= network.accuracy(dataset)
    total = time.perf_counter() - began
    spent, checked = clock.seconds["training"], clock.seconds["checking"]
    seconds = {"training": spent, "checking": checked, "initial": total - spent - checked}
    seconds["total"] = total
    weights = {"initial": initial[0], "final": network.layers[0].weight.detach()}
    weights["patterns"] = source.table
    return SparsityResult(
        experiment=e,
        steps=steps,
        epochs=epochs,
        samples=book.samples(),
        curve=book.curve(),
        weights={name: tensor.cpu() for name, tensor in weights.items()},
        summary=found,
        seconds=seconds,
    )


class _Clock:
    """Seconds by what they were spent on, while it is running."""

    def __init__(self) -> None:
        self.seconds = {"training": 0.0, "checking": 0.0, "probing": 0.0}
        self.running, self._since = False, time.perf_counter()

    def spent(self, part: str) -> None:
        """Since the last call."""
        now = time.perf_counter()
        self.seconds[part] += (now - self._since) * self.running
        self._since = now


class _Layer:
    """Weights [n, d] and the rule that steps them."""

    def __init__(self, initial: Tensor, e: SparsityExperiment) -> None:
        self.e, self.rate = e, e.rate / e.width if e.optimizer == "sgd" else e.rate
        self.weight = torch.nn.Parameter(initial.clone())
        rule = torch.optim.SGD if e.optimizer == "sgd" else torch.optim.Adam
        self._rule = rule([self.weight], lr=self.rate)

    def step(self, pairs: Pairs, gradient: Tensor) -> Tensor | float:
        """Take a step; ``moved`` of ``book.Step``."""
        self.weight.grad = gradient * (2 / len(pairs.positive))
        old = None if self.e.optimizer == "sgd" else self.weight.detach().clone()
        self._rule.step()
        if old is None:  # exactly such a step: no weights are rounded
            return self.plain(pairs)
        return pairs.through(self.weight.detach() - old)

    def plain(self, pairs: Pairs) -> float:
        """What v is multiplied by in a step of SGD."""
        return -2 / len(pairs.positive) * self.e.rate / self.e.width


class _Network:
    """Layers, each trained on what the one before passes on."""

    def __init__(self, source: Source, initial: list[Tensor]) -> None:
        self.source, self._initial = source, initial
        self.restart()

    def restart(self) -> None:
        """Initial weights, and fresh optimisers."""
        self.layers = [_Layer(weight, self.source.e) for weight in self._initial]

    def scores(self, images: Tensor, depth: int = 0) -> Tensor:
        """Score [N, classes] of images [N, D] with each label, by the layer of that depth."""
        e, found = self.source.e, []
        for x in self.source.candidates(images):
            for layer in self.layers[: depth + 1]:
                h = losses.activate(x @ layer.weight.detach().T, e.activation)
                x = _normalised(h)
            found.append(losses.score(e, h))
        return torch.stack(found, 1)

    def accuracy(self, dataset: data.Dataset) -> dict[str, float]:
        """Test accuracy by each layer's own score."""
        images, found = self.source.scale(dataset.test_images).to(self.source.images.device), {}
        for depth in range(len(self.layers)):
            right = self.scores(images, depth).argmax(1).cpu() == dataset.test_labels
            found[f"{prefix(depth + 1)}accuracy"] = float(right.double().mean())
        return found


def _normalised(h: Tensor) -> Tensor:
    """Latents [B, n] divided by their L2 norms: the next layer's input."""
    return h / (torch.linalg.vector_norm(h, dim=1, keepdim=True) + CLAMP)
