"""The plain reference: one network, autograd, a loop over labels, written from DESIGN 3.

Nothing here is fast or shared with ``ffcore.network``; it reads like the paper's algorithm.
"""

from __future__ import annotations

import torch
from torch import Tensor

EPS_PROBABILITY = 1e-6
EPS = 1e-5


def reference_goodness(group: Tensor, experiment, size: int) -> Tensor:
    """G of one polarity group, [B, size] -> [B]."""
    if experiment.inhibition == "wta":
        top = torch.topk(group, experiment.wta_k, dim=1)
        group = torch.zeros_like(group).scatter(1, top.indices, top.values)
    divisor = size if experiment.aggregation == "mean" else 1
    if experiment.norm == "l1":
        return group.abs().sum(dim=1) / divisor
    if experiment.norm == "l2sq":
        return (group**2).sum(dim=1) / divisor
    return torch.linalg.vector_norm(group, dim=1) / divisor**0.5


class ReferenceNetwork:
    def __init__(self, experiment, weights: list[Tensor], patterns: Tensor) -> None:
        self.experiment = experiment
        self.layers = []
        for weight in weights:
            layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
            layer.weight.data.copy_(weight)
            self.layers.append(layer)
        self.optimisers = [
            torch.optim.Adam(layer.parameters(), lr=experiment.learning_rate)
            for layer in self.layers
        ]
        self.patterns = patterns

    def embed(self, images: Tensor, labels: Tensor) -> Tensor:
        rows = self.patterns[labels]
        if self.experiment.label_embedding == "appended":
            return torch.cat([images, rows], dim=1)
        written = images.clone()
        written[:, : rows.shape[1]] = rows
        return written

    def activations(self, depth: int, inputs: Tensor) -> Tensor:
        z = self.layers[depth](inputs)
        return {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}[
            self.experiment.activation
        ](z)

    def probability(self, depth: int, h: Tensor) -> Tensor:
        e = self.experiment
        positive, negative = e.groups(e.widths[depth])
        good = reference_goodness(h[:, :positive], e, positive)
        if e.probability == "ffa-sigmoid":
            return torch.sigmoid(e.alpha * (good - e.theta))
        bad = reference_goodness(h[:, positive:], e, negative)
        if e.probability == "sigmoid":
            return torch.sigmoid(e.alpha * (good - bad - e.theta))
        return (good + EPS_PROBABILITY) / (good + bad + 2 * EPS_PROBABILITY)

    def passed_on(self, depth: int, h: Tensor) -> Tensor:
        e = self.experiment
        positive, negative = e.groups(e.widths[depth])
        if e.normalisation == "none":
            return h
        parts = [h[:, :positive], h[:, positive:]]
        if e.normalisation == "whole" or not negative:
            parts = [h]
        return torch.cat([p / (p.norm(dim=1, keepdim=True) + EPS) for p in parts], dim=1)

    def step(self, images: Tensor, right: Tensor, wrong: Tensor) -> list[float]:
        inputs = torch.cat([self.embed(images, right), self.embed(images, wrong)])
        losses = []
        for depth in range(len(self.layers)):
            h = self.activations(depth, inputs)
            p = self.probability(depth, h).clamp(EPS, 1 - EPS)
            half = len(images)
            loss = torch.cat([-torch.log(p[:half]), -torch.log(1 - p[half:])]).mean()
            self.optimisers[depth].zero_grad()
            loss.backward()
            self.optimisers[depth].step()
            losses.append(loss.item())
            with torch.no_grad():
                late = self.experiment.passed_on == "after"
                inputs = self.passed_on(
                    depth, self.activations(depth, inputs) if late else h.detach()
                )
        return losses

    @torch.no_grad()
    def scores(self, images: Tensor) -> Tensor:
        columns = []
        for label in range(len(self.patterns)):
            inputs = self.embed(images, torch.full((len(images),), label))
            total = torch.zeros(len(images))
            for depth in range(len(self.layers)):
                h = self.activations(depth, inputs)
                total += self.probability(depth, h)
                inputs = self.passed_on(depth, h)
            columns.append(total)
        return torch.stack(columns, dim=1)

    @torch.no_grad()
    def latents(self, images: Tensor) -> Tensor:
        return torch.stack(
            [
                self.activations(0, self.embed(images, torch.full((len(images),), label)))
                for label in range(len(self.patterns))
            ],
            dim=1,
        )
