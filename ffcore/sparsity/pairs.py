"""Batches of positive inputs and their negatives, for runs that check the sparsity theorems.

Negatives are the same image with a wrong label, uniform (``wrong``) or of the highest score
(``hardest``); or another image with the true label: a ``hybrid`` of two images of different classes
through a mask of large regions (Hinton 2022), or uniform ``noise``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from ffcore import data, labels
from ffcore.config import SparsityExperiment
from ffcore.errors import ConfigError

BLURS = 8  # passes of a [¼ ½ ¼] filter over the random bits of a mask, in each direction


class Pairs(NamedTuple):
    """Inputs of positives and of their negatives, [B, d] each; where they differ in a few columns
    only, products are of what they share."""

    positive: Tensor
    negative: Tensor
    columns: Tensor | None = None
    shift: Tensor | None = None  # negative − positive in these columns

    def through(self, matrix: Tensor) -> Tensor:
        """[positive; negative] @ matrixᵀ, [2B, n]."""
        first = self.positive @ matrix.T
        if self.shift is None:
            return torch.cat([first, self.negative @ matrix.T])
        return torch.cat([first, first + self.shift @ matrix[:, self.columns].T])

    def gradient(self, signed: Tensor) -> Tensor:
        """Σ_j g_j x_jᵀ [n, d] of ``signed`` g_j [2B, n]: half of a loss's ∂/∂W by ∂/∂z = 2g."""
        first, second = signed.chunk(2)
        if self.shift is None:
            return first.T @ self.positive + second.T @ self.negative
        total = (first + second).T @ self.positive
        total[:, self.columns] += second.T @ self.shift
        return total

    def influence(self, signed: Tensor, lowered: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Σ_j (x_i·x_j) g_j of ``signed`` [2B, n] over all data, and of ``lowered`` [B, n] over the
        positives and for them; by the pairs' products where those are fewer operations.

        Args:
            gradient: of ``signed``, see there.
        """
        x, (count, size), width = self.positive, self.positive.shape, signed.shape[1]
        if self.shift is None or count * (size + 2 * width) > 3 * size * width:
            return self.through(gradient), x @ (lowered.T @ x).T
        products, part = x @ x.T, x[:, self.columns]
        first, second = signed.chunk(2)
        total, extra = first + second, self.shift.T @ second
        shared = (products @ total).addmm_(part, extra)
        apart = torch.addmm(shared, self.shift, extra.addmm(part.T, total))
        return torch.cat([shared, apart]), products @ lowered


class Batch(NamedTuple):
    """Training images by index, and their inputs."""

    indices: Tensor
    pairs: Pairs


class Source:
    """Where a run's batches come from: images, labels, and random numbers by seed and epoch."""

    def __init__(self, e: SparsityExperiment, dataset: data.Dataset, device: str | torch.device):
        """Raises ConfigError for more images or classes than there are."""
        self.e, self.classes, self.shape = e, dataset.classes, dataset.shape
        if e.images > len(dataset.train_labels) or e.batch_classes > dataset.classes:
            raise ConfigError(
                f"{e.name} asks for {e.images} images and {e.batch_classes} classes a batch; "
                f"{e.dataset} has {len(dataset.train_labels)} and {dataset.classes}"
            )
        self.scale = data.unit if e.pixels == "unit" else data.normalise
        draw = labels.generator(e.seed, "patterns")
        self.table = labels.patterns(
            dataset.classes, e.label_embedding, e.label_size, e.label_density, draw
        ).to(device)
        whole = torch.arange(len(dataset.train_labels))
        if e.images:
            order = torch.randperm(len(whole), generator=labels.generator(e.seed, "images"))
            whole = order[: e.images].sort().values
        self.indices, self.labels = whole, dataset.train_labels[whole]
        self.images = self.scale(dataset.train_images[whole]).to(device)
        self.size = self.embed(self.images[:1], self.labels[:1]).shape[1]

    def embed(self, images: Tensor, label: Tensor) -> Tensor:
        """Inputs [N, d] of images with their labels [N] written in."""
        return labels.embed(images, label.to(images.device), self.e.label_embedding, self.table)

    def candidates(self, images: Tensor) -> Iterator[Tensor]:
        """The inputs [N, d] with each label in turn."""
        for label in range(self.classes):
            yield self.embed(images, torch.full((len(images),), label))

    def batches(self, epoch: int, scores: Callable[[Tensor], Tensor]) -> Iterator[Batch]:
        """An epoch's batches, shuffled; the negatives are drawn anew in each.

        Args:
            scores: [N, classes] of images [N, D] by the layer as it is; asked for ``hardest``.
        """
        draw = labels.generator(self.e.seed, "negatives", epoch)
        for index in self._order(epoch):
            image, true = self.images[index.to(self.images.device)], self.labels[index]
            positive = self.embed(image, true)
            if self.e.negatives == "hybrid":
                negative = self.embed(self._hybrid(image, true, draw), true)
            elif self.e.negatives == "noise":
                noise = self.scale(torch.randint(256, image.shape, generator=draw).byte())
                negative = self.embed(noise.to(image.device), true)
            else:
                wrong = labels.negative_labels(true, self.classes, draw)
                if self.e.negatives == "hardest":
                    found = scores(image).cpu()
                    found[torch.arange(len(true)), true] = -torch.inf
                    wrong = found.argmax(1)
                negative = self.embed(image, wrong)
            pairs = Pairs(positive, negative)
            if self.e.negatives in ("wrong", "hardest"):
                columns = (positive != negative).any(0).nonzero()[:, 0]
                shift = negative[:, columns] - positive[:, columns]
                pairs = Pairs(positive, negative, columns, shift)
            yield Batch(self.indices[index], pairs)

    def _order(self, epoch: int) -> Iterator[Tensor]:
        """Rows of an epoch's batches: any, or of ``batch_classes`` classes each."""
        draw = labels.generator(self.e.seed, "order", epoch)
        order = torch.randperm(len(self.labels), generator=draw)
        if not self.e.batch_classes:
            yield from order.split(self.e.batch_size)
            return
        batches: list[Tensor] = []
        for group in torch.randperm(self.classes, generator=draw).split(self.e.batch_classes):
            own = order[torch.isin(self.labels[order], group)]
            batches += own.split(self.e.batch_size) if len(own) else ()
        for number in torch.randperm(len(batches), generator=draw).tolist():
            yield batches[number]

    def _hybrid(self, image: Tensor, true: Tensor, draw: torch.Generator) -> Tensor:
        """Each image [B, D] and one of another class, mixed through a mask of large regions."""
        other = labels.negative_labels(true, self.classes, draw)
        rows = torch.empty_like(other)
        for label in other.unique():
            pool, wanted = (self.labels == label).nonzero()[:, 0], other == label
            if not len(pool):
                raise ConfigError(f"{self.e.name}: no training image of class {int(label)}")
            picks = torch.randint(len(pool), (int(wanted.sum()),), generator=draw)
            rows[wanted] = pool[picks]
        bits = torch.rand(len(true), 1, *self.shape[-2:], generator=draw).round()
        for _ in range(BLURS):
            for kernel in ((1, 1, 3, 1), (1, 1, 1, 3)):
                padding = (0, 0, 1, 1) if kernel[2] == 3 else (1, 1, 0, 0)
                weights = torch.tensor([0.25, 0.5, 0.25]).view(kernel)
                bits = conv2d(pad(bits, padding, mode="replicate"), weights)
        mask = (bits > 0.5).flatten(1).to(image.device)
        others = self.images[rows.to(image.device)]
        apart = image != others
        if self.e.label_embedding == "corner":
            apart[:, : self.classes] = False  # the label will stand there
        apart = apart.unflatten(1, (-1, mask.shape[1])).any(1)
        # A mask that shows nothing of one of the images gives way to halves of where they differ.
        one_sided = ~(mask & apart).any(1) | ~(~mask & apart).any(1)
        order = apart[one_sided].cumsum(1)
        mask[one_sided] = 2 * order <= order[:, -1:]
        mask = mask.repeat(1, image.shape[1] // mask.shape[1])  # every colour by the same mask
        return torch.where(mask, image, others)
