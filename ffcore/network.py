"""A block of networks as batched tensors: the layer-wise step, prediction, latents (section 3).

M networks that differ only in θ, α, aggregation and Polar probability share every product. The
label enters layer 1 linearly, W[x; e_y] = W_x x + W_l e_y, so W_x x is computed once for the
positive sample, the negative sample and all candidate labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor

from ffcore import goodness, labels
from ffcore.config import Experiment

SHARED = ("dataset", "seed", "widths", "batch_size", "learning_rate", "label_embedding",
          "label_size", "label_density", "validation", "precision", "epochs")  # fmt: skip
KIND = ("activation", "norm", "inhibition", "wta_k", "positive_fraction")


class Block:
    """M networks of one kind: weights, optimisers, and what is done with them.

    Args:
        experiments: M experiments equal in every field of SHARED and KIND.
        inputs: number of columns of the image part of the input.
        table: [classes, size] label patterns.
        image_first: whether the image's columns come before the label's in the weights.
        device: where the tensors live.
    """

    def __init__(
        self,
        experiments: Sequence[Experiment],
        inputs: int,
        table: Tensor,
        device: torch.device,
    ) -> None:
        first = experiments[0]
        self.experiments = list(experiments)
        self.kind = first
        self.table = table.to(device)
        self.device = device
        self.groups = [first.groups(width) for width in first.widths]
        self.theta = _column([e.theta for e in experiments], device)
        self.alpha = _column([e.alpha for e in experiments], device)
        self.symmetric = _column([e.probability == "symmetric" for e in experiments], device)
        self.scales = [
            [
                _column([goodness.aggregation_scale(e.aggregation, n) for e in experiments], device)
                for n in sizes
                if n
            ]
            for sizes in self.groups
        ]
        size = table.shape[1]
        initial = initial_weights(first, inputs + size)
        stacked = [w.expand(len(experiments), *w.shape).to(device) for w in initial]
        image, label = split_weight(stacked[0], first.label_embedding, size)
        self.layers: list[list[Tensor]] = [[image.contiguous(), label.contiguous()]]
        self.layers += [[w.contiguous()] for w in stacked[1:]]
        self.optimisers = [self._optimiser(layer) for layer in self.layers]

    def step(self, images: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
        """One batch: each layer learns, then passes on what it computes with its new weights.

        Args:
            images: [b, inputs] float, on the device.
            right, wrong: [b] int64, the true and the negative labels.

        Returns:
            [layers, M] losses before each layer's step.
        """
        chosen = torch.cat([right, wrong])
        members = torch.nn.functional.one_hot(chosen, len(self.table)).to(images.dtype)
        losses = []
        inputs = images
        for depth, layer in enumerate(self.layers):
            h = self._activate(self._first(images, chosen) if depth == 0
                               else self._product(inputs, layer[0]))  # fmt: skip
            delta, value = self._learn(h, depth)
            losses.append(value)
            if depth == 0:
                half = len(images)
                layer[0].grad = self._gradient(delta[:, :half] + delta[:, half:], images)
                layer[1].grad = (delta.mT @ members) @ self.table
            else:
                layer[0].grad = self._gradient(delta, inputs)
            self.optimisers[depth].step()
            if depth + 1 < len(self.layers):
                h = self._activate(self._first(images, chosen) if depth == 0
                                   else self._product(inputs, layer[0]))  # fmt: skip
                inputs = goodness.normalise(h, self.groups[depth][0])
        return torch.stack(losses)

    @torch.no_grad()
    def scores(self, images: Tensor) -> Tensor:
        """Sum over the layers of P(positive), for every candidate label.

        Args:
            images: [b, inputs].

        Returns:
            [M, b, classes].
        """
        by_image, by_label = self._parts(images)
        columns = []
        for label in range(len(self.table)):
            h = self._activate(by_image + by_label[:, label : label + 1])
            total = self._probability(h, 0)
            for depth in range(1, len(self.layers)):
                inputs = goodness.normalise(h, self.groups[depth - 1][0])
                h = self._activate(self._product(inputs, self.layers[depth][0]))
                total = total + self._probability(h, depth)
            columns.append(total)
        return torch.stack(columns, dim=-1)

    def predict(self, images: Tensor) -> Tensor:
        """The label with the largest score; the first one of equals.

        Returns:
            [M, b] int64.
        """
        return self.scores(images).argmax(dim=-1)

    @torch.no_grad()
    def latents(self, images: Tensor) -> Tensor:
        """Activations of layer 1 for every candidate label, before inhibition and normalisation.

        Args:
            images: [b, inputs].

        Returns:
            [M, b, classes, width].
        """
        by_image, by_label = self._parts(images)
        return self._activate(by_image[:, :, None] + by_label[:, None])

    def weights(self, member: int) -> dict[str, Tensor]:
        """A copy on the CPU of one network's tensors: ``patterns`` [classes, size] and
        ``layer1`` … [width, inputs] in the column order of ``labels.embed``."""
        image, label = (part[member] for part in self.layers[0])
        order = (label, image) if self.kind.label_embedding == "corner" else (image, label)
        tensors = [torch.cat(order, dim=1), *(layer[0][member] for layer in self.layers[1:])]
        named = {f"layer{i}": w.detach().cpu().clone() for i, w in enumerate(tensors, start=1)}
        return {"patterns": self.table.cpu().clone(), **named}

    def load(self, member: int, weights: dict[str, Tensor]) -> None:
        """The reverse of ``weights``; the patterns must have been given to the constructor."""
        parts = split_weight(weights["layer1"], self.kind.label_embedding, self.table.shape[1])
        for ours, theirs in zip(self.layers[0], parts, strict=True):
            ours[member] = theirs.to(self.device)
        for depth in range(1, len(self.layers)):
            self.layers[depth][0][member] = weights[f"layer{depth + 1}"].to(self.device)

    def keep(self, members: Sequence[int]) -> None:
        """Drop the other networks; the state of the optimisers goes along."""
        index = torch.tensor(members, device=self.device)
        self.experiments = [self.experiments[m] for m in members]
        for name in ("theta", "alpha", "symmetric"):
            setattr(self, name, getattr(self, name)[index])
        self.scales = [[s[index] for s in scales] for scales in self.scales]
        for depth, layer in enumerate(self.layers):
            old = self.optimisers[depth]
            self.layers[depth] = [w[index].contiguous() for w in layer]
            self.optimisers[depth] = new = self._optimiser(self.layers[depth])
            for before, after in zip(layer, self.layers[depth], strict=True):
                state = old.state[before]
                new.state[after] = {
                    k: v[index].contiguous() if v.dim() else v for k, v in state.items()
                }

    def _optimiser(self, layer: list[Tensor]) -> torch.optim.Adam:
        return torch.optim.Adam(layer, lr=self.kind.learning_rate, fused=True)

    def _parts(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The image's and the labels' share of layer 1: [M, b, width] and [M, classes, width]."""
        image, label = self.layers[0]
        return self._product(images, image), self.table @ label.mT

    def _first(self, images: Tensor, chosen: Tensor) -> Tensor:
        """Pre-activations of layer 1, positives then negatives: [M, 2b, width]."""
        by_image, by_label = self._parts(images)
        z = by_label[:, chosen]
        half = len(images)
        z[:, :half] += by_image
        z[:, half:] += by_image
        return z

    def _activate(self, z: Tensor) -> Tensor:
        return goodness.ACTIVATIONS[self.kind.activation].value(z)

    def _visible(self, h: Tensor, depth: int) -> list[tuple[Tensor, Tensor | None, int]]:
        """For each group that has units: the activations that goodness sees, the places of the
        winners, and the group's first unit."""
        positive, negative = self.groups[depth]
        parts = [(h[..., :positive], 0), (h[..., positive:], positive)][: 1 + (negative > 0)]
        if self.kind.inhibition == "none":
            return [(part, None, start) for part, start in parts]
        return [(*goodness.winners(part, self.kind.wta_k), start) for part, start in parts]

    def _goodness(self, visible: list[tuple[Tensor, Tensor | None, int]], depth: int) -> Tensor:
        """[2, M, B]: G⊕ and G⊖; G⊖ is zero where all units are positive."""
        values = [
            goodness.goodness(seen, self.kind.norm, scale)
            for (seen, _, _), scale in zip(visible, self.scales[depth], strict=False)
        ]
        return torch.stack(values if len(values) == 2 else [values[0], torch.zeros_like(values[0])])

    def _probability(self, h: Tensor, depth: int) -> Tensor:
        pair = self._goodness(self._visible(h, depth), depth)
        return goodness.probability(pair[0], pair[1], self.theta, self.alpha, self.symmetric)

    def _learn(self, h: Tensor, depth: int) -> tuple[Tensor, Tensor]:
        """∂L/∂z [M, 2b, width] and the losses [M] of a layer with activations h [M, 2b, width]."""
        visible = self._visible(h, depth)
        pair = self._goodness(visible, depth).requires_grad_()
        with torch.enable_grad():
            p = goodness.probability(pair[0], pair[1], self.theta, self.alpha, self.symmetric)
            losses = goodness.loss(p)
            (upstream,) = torch.autograd.grad(losses.sum(), pair)
        value = pair.detach()
        delta = torch.zeros_like(h) if self.kind.inhibition == "wta" else torch.empty_like(h)
        for side, (seen, places, start) in enumerate(visible):
            slope = goodness.goodness_slope(
                seen, value[side], upstream[side], self.kind.norm, self.kind.activation,
                self.scales[depth][side],
            )  # fmt: skip
            if places is None:
                delta[..., start : start + seen.shape[-1]] = slope
            else:
                delta.scatter_(-1, places + start, slope)
        return delta, losses.detach()

    def _product(self, inputs: Tensor, weight: Tensor) -> Tensor:
        """inputs [b, d] or [M, b, d] times weight [M, n, d]ᵀ: [M, b, n]."""
        return _matmul(inputs, weight.mT, self.kind.precision)

    def _gradient(self, delta: Tensor, inputs: Tensor) -> Tensor:
        """δᵀ·inputs: [M, n, d] from delta [M, b, n] and inputs [b, d] or [M, b, d]."""
        return _matmul(delta.mT, inputs, self.kind.precision)


def initial_weights(experiment: Experiment, inputs: int) -> list[Tensor]:
    """PyTorch's default initialisation of linear layers, U(−1/√d, 1/√d), from the seed alone.

    Returns:
        one [width, d] float32 CPU tensor a layer; networks of one seed and shape share them.
    """
    draw = labels.generator(experiment.seed, "weights")
    sizes = [inputs, *experiment.widths]
    return [
        torch.empty(n, d).uniform_(-1 / sqrt(d), 1 / sqrt(d), generator=draw)
        for d, n in zip(sizes, experiment.widths, strict=False)
    ]


def split_weight(weight: Tensor, embedding: str, size: int) -> tuple[Tensor, Tensor]:
    """The columns of a first layer's weight that see the image and those that see the label."""
    if embedding == "corner":
        return weight[..., size:], weight[..., :size]
    return weight[..., :-size], weight[..., -size:]


def _matmul(a: Tensor, b: Tensor, precision: str) -> Tensor:
    if a.dim() == 3 and b.dim() == 3 and len(a) == len(b) == 1:
        # A batch of one: the plain product writes straight into its result, bmm does not.
        return _matmul(a[0], b[0], precision).unsqueeze(0)
    if a.dim() == 2 and b.dim() == 3 and len(b) == 1:
        return _matmul(a, b[0], precision).unsqueeze(0)
    if a.dim() == 3 and b.dim() == 2 and len(a) == 1:
        return _matmul(a[0], b, precision).unsqueeze(0)
    if precision == "bf16":
        return (a.bfloat16() @ b.bfloat16()).float()
    return a @ b


def _column(values: list[float] | list[bool], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device).unsqueeze(1)
