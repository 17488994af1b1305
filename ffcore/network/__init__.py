"""A block of networks as batched tensors: the layer-wise step, prediction, latents (section 3).

M networks that differ only in θ, α, aggregation and Polar probability share every product. The
label enters layer 1 linearly, W[x; e_y] = W_x x + W_l e_y, so W_x x is computed once for the
positive sample, the negative sample and all candidate labels. Plug-ins, whose slopes are not known,
are derived by autograd between pre-activations and loss; the products are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt

import torch
from torch import Tensor

from ffcore import goodness, labels, plugins
from ffcore.config import Experiment
from ffcore.network import products

SHARED = ("dataset", "seed", "widths", "batch_size", "learning_rate", "label_embedding",
          "label_size", "label_density", "negatives", "validation", "precision",
          "epochs")  # fmt: skip
KIND = ("activation", "norm", "inhibition", "wta_k", "positive_fraction", "normalisation",
        "passed_on")  # fmt: skip


class Block:
    """M networks of one kind: weights, optimisers, and what is done with them.

    Args:
        experiments: M experiments equal in every field of SHARED and KIND, and in the probability
            where that is a plug-in.
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
        self.own_probability = first.plugins.get("probability")
        self.by_autograd = bool({"norm", "activation", "probability"} & {*first.plugins})
        self.table = table.to(device)
        self.device = device
        self.groups = [first.groups(width) for width in first.widths]
        self.theta = _column([e.theta for e in experiments], device)
        self.alpha = _column([e.alpha for e in experiments], device)
        self.symmetric = self._rules()
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
        self._space: dict[str, Tensor] = {}
        self._ready()

    def step(self, images: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
        """One batch: each layer learns, then passes on what it computes with its new weights.

        Args:
            images: [b, inputs] float, on the device.
            right, wrong: [b] int64, the true and the negative labels.

        Returns:
            [layers, M] losses before each layer's step.
        """
        chosen = torch.cat([right, wrong])
        members = torch.nn.functional.one_hot(chosen, len(self.table)).float()
        losses = []
        inputs = images
        for depth in range(len(self.layers)):
            z = self._first(images, chosen) if depth == 0 else self._later(inputs, depth)
            h = self._activate(z)
            last = depth + 1 == len(self.layers)
            early = None
            if self.kind.passed_on == "before" and not last:
                early = self._normalise(h.clone(), depth)
            delta, value = self._derive(z, depth) if self.by_autograd else self._learn(h, depth)
            losses.append(value)
            if depth == 0:
                self._gradients(delta, images, members)
            else:
                self._gradient(self.layers[depth][0], delta, inputs)
            self.optimisers[depth].step()
            if early is not None:
                inputs = early
            elif not last:
                z = self._first(images, chosen) if depth == 0 else self._later(inputs, depth)
                inputs = self._normalise(self._activate(z), depth)
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
            columns.append(self._probability(h, 0) + self._rest(h))
        return torch.stack(columns, dim=-1)

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """The label with the largest score; the first one of equals.

        For a single network only those labels pass through the later layers that can still win,
        most promising first: a layer adds at most 1 to a score, so that a label is out once its
        first layer is behind the best whole score by more than the number of other layers.

        Args:
            images: [b, inputs].

        Returns:
            [M, b] int64.
        """
        if len(self.experiments) > 1 or len(self.layers) == 1:
            return self.scores(images).argmax(dim=-1)
        count, classes = len(images), len(self.table)
        by_image, by_label = (part[0] for part in self._parts(images))
        h = self._room("first", 1, count, by_image.shape[-1])
        first = torch.empty(count, classes, device=self.device)
        for label in range(classes):
            torch.add(by_image, by_label[label], out=h[0])
            first[:, label] = self._probability(self._activate(h), 0)[0]
        scores = torch.full_like(first, -1.0)
        open_ = torch.ones_like(first, dtype=torch.bool)
        rows = torch.arange(count, device=self.device)
        while len(rows):
            next_best = first[rows].masked_fill_(~open_[rows], -1.0).argmax(dim=1)
            scores[rows, next_best] = self._total(by_image, by_label, first, rows, next_best)
            open_[rows, next_best] = False
            open_ &= first + (len(self.layers) - 1) >= scores.amax(dim=1, keepdim=True)
            rows = open_.any(dim=1).nonzero()[:, 0]
        return scores.argmax(dim=1).unsqueeze(0)

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

    def double(self) -> None:
        """Compute in float64 from now on; a block that has been made so no longer trains."""
        self.kind = self.kind.model_copy(update={"precision": "fp32"})
        self.layers = [[w.double() for w in layer] for layer in self.layers]
        self.table = self.table.double()
        self._space.clear()

    def keep(self, members: Sequence[int]) -> None:
        """Drop the other networks; the state of the optimisers goes along."""
        index = torch.tensor(members, device=self.device)
        self.experiments = [self.experiments[m] for m in members]
        self.theta, self.alpha, self.symmetric = self.theta[index], self.alpha[index], self._rules()
        self.scales = [[s[index] for s in scales] for scales in self.scales]
        before, self.layers = self.layers, [[w[index].contiguous() for w in layer]
                                            for layer in self.layers]  # fmt: skip
        states = [o.state for o in self.optimisers]
        self._ready()
        for olds, news, state, optimiser in zip(
            before, self.layers, states, self.optimisers, strict=True
        ):
            for old, new in zip(olds, news, strict=True):
                optimiser.state[new] = {
                    k: v[index].contiguous() if v.dim() else v for k, v in state[old].items()
                }

    def _rules(self) -> Tensor | bool:
        """Which networks use the symmetric probability: one answer where all agree."""
        rules = [e.probability == "symmetric" for e in self.experiments]
        return rules[0] if len(set(rules)) == 1 else _column(rules, self.device)

    def _ready(self) -> None:
        """Optimisers for the layers as they are."""
        self.optimisers = [
            torch.optim.Adam(layer, lr=self.kind.learning_rate, fused=True) for layer in self.layers
        ]
        self._space.clear()

    def _room(self, name: str, *shape: int) -> Tensor:
        """A tensor to write into, the same memory at every call: fresh memory costs page faults,
        and a fixed set bounds what a block needs."""
        size = prod(shape)
        flat = self._space.get(name)
        if flat is None or len(flat) < size:
            number = self.layers[0][0].dtype
            flat = self._space[name] = torch.empty(size, dtype=number, device=self.device)
        return flat[:size].view(shape)

    def _multiply(self, a: Tensor, b: Tensor, out: Tensor) -> None:
        products.multiply(a, b, out, self.kind.precision)

    def _parts(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The image's and the labels' share of layer 1: [M, b, width] and [M, classes, width]."""
        weight, by_label = self.layers[0]
        by_image = self._room("half", len(weight), len(images), weight.shape[1])
        self._multiply(images, weight.mT, by_image)
        return by_image, self.table @ by_label.mT

    def _first(self, images: Tensor, chosen: Tensor) -> Tensor:
        """Pre-activations of layer 1, positives then negatives: [M, 2b, width]."""
        by_image, by_label = self._parts(images)
        members, half, width = by_image.shape
        z = self._room("first", members, 2 * half, width)
        torch.index_select(by_label, 1, chosen, out=z)
        z.view(members, 2, half, width).add_(by_image.unsqueeze(1))
        return z

    def _later(self, inputs: Tensor, depth: int) -> Tensor:
        """Pre-activations of a later layer: [M, b, width] from inputs [M, b, units before]."""
        weight = self.layers[depth][0]
        # Neighbouring layers must not share memory: a step reads one while it writes the other.
        z = self._room(f"later{depth % 2}", *inputs.shape[:2], weight.shape[1])
        self._multiply(inputs, weight.mT, z)
        return z

    def _rest(self, h: Tensor) -> Tensor:
        """P summed over the later layers, from the first's activations (used up): [M, b]."""
        total = torch.zeros(h.shape[:2], device=self.device)
        for depth in range(1, len(self.layers)):
            h = self._activate(self._later(self._normalise(h, depth - 1), depth))
            total = total + self._probability(h, depth)
        return total

    def _total(
        self, by_image: Tensor, by_label: Tensor, first: Tensor, rows: Tensor, chosen: Tensor
    ) -> Tensor:
        """Scores [r] of some pairs of image and label, of a single network."""
        h = self._room("first", 1, len(rows), by_image.shape[-1])
        torch.index_select(by_image, 0, rows, out=h[0])
        h[0].add_(by_label[chosen])
        return first[rows, chosen] + self._rest(self._activate(h))[0]

    def _activate(self, z: Tensor) -> Tensor:
        """Activations: in the place of z, unless z is needed to derive the step from."""
        return goodness.activate(z.clone() if self.by_autograd else z, self.kind.activation)

    def _visible(self, h: Tensor, depth: int) -> list[tuple[Tensor, Tensor | None, int]]:
        """For each group that has units: the activations that goodness sees, the places of the
        winners, and the group's first unit."""
        positive, negative = self.groups[depth]
        parts = [(h[..., :positive], 0), (h[..., positive:], positive)][: 1 + (negative > 0)]
        if self.kind.inhibition == "none":
            return [(part, None, start) for part, start in parts]
        return [(*goodness.winners(part, self.kind.wta_k), start) for part, start in parts]

    def _goodness(
        self, visible: list[tuple[Tensor, Tensor | None, int]], depth: int
    ) -> tuple[Tensor, Tensor]:
        """G⊕ and G⊖, [M, B] each; G⊖ is zero where all units are positive."""
        values = [
            goodness.goodness(seen, self.kind.norm, scale)
            for (seen, _, _), scale in zip(visible, self.scales[depth], strict=False)
        ]
        return values[0], values[1] if len(values) == 2 else torch.zeros_like(values[0])

    def _probability(self, h: Tensor, depth: int) -> Tensor:
        values = self._goodness(self._visible(h, depth), depth)
        if own := self.own_probability:
            found: Tensor = plugins.call("probability", own, *values, self.theta, self.alpha)
            return found
        return goodness.probability(*values, self.theta, self.alpha, self.symmetric)

    @torch.enable_grad()
    def _derive(self, z: Tensor, depth: int) -> tuple[Tensor, Tensor]:
        """As ``_learn``, from pre-activations z and by autograd."""
        z = z.detach().requires_grad_()
        losses = goodness.loss(self._probability(self._activate(z), depth))
        (delta,) = torch.autograd.grad(losses.sum(), z)
        return delta, losses.detach()

    def _learn(self, h: Tensor, depth: int) -> tuple[Tensor, Tensor]:
        """∂L/∂z [M, 2b, width], in the place of a layer's activations h, and the losses [M]."""
        visible = self._visible(h, depth)
        values = self._goodness(visible, depth)
        p = goodness.probability(*values, self.theta, self.alpha, self.symmetric)
        losses = goodness.loss(p)
        slope = goodness.loss_slope(p)
        upstream = goodness.probability_slopes(p, *values, self.alpha, self.symmetric)
        slopes = [
            goodness.goodness_slope(
                seen, values[side], slope * upstream[side], self.kind.norm, self.kind.activation,
                self.scales[depth][side],
            )
            for side, (seen, _, _) in enumerate(visible)
        ]  # fmt: skip
        if self.kind.inhibition == "wta":
            h.zero_()
        for slope, (_, places, start) in zip(slopes, visible, strict=True):
            if places is not None:
                h.scatter_(-1, places + start, slope)
        return h, losses

    def _gradients(self, delta: Tensor, images: Tensor, members: Tensor) -> None:
        """Gradients of layer 1 from ∂L/∂z of positives and negatives and their [2b, classes]
        one-hot labels: both halves saw the same images, so that one product serves them."""
        image, label = self.layers[0]
        label.grad = (members.mT @ delta).mT @ self.table
        half = len(images)
        both = self._room("half", len(delta), half, delta.shape[-1])
        torch.add(delta[:, :half], delta[:, half:], out=both)
        self._gradient(image, both, images)

    def _gradient(self, weight: Tensor, delta: Tensor, inputs: Tensor) -> None:
        """Set a weight's gradient δᵀ·inputs: [M, n, d] from delta [M, b, n] and inputs [b, d] or
        [M, b, d]. All layers' gradients take turns in one place."""
        product = self._room("gradient", *weight.shape)
        products.multiply(delta.mT, inputs, product)
        weight.grad = product

    def _normalise(self, h: Tensor, depth: int) -> Tensor:
        return goodness.normalise(h, self.groups[depth][0], self.kind.normalisation)


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


def _column(values: list[float] | list[bool], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device).unsqueeze(1)
