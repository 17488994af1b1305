"""A small trial of an experiment's plug-ins before it trains: a slip becomes one clear message."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ffcore import labels, plugins
from ffcore.config import Experiment
from ffcore.errors import ConfigError


def check(experiment: Experiment) -> None:
    """Try what an experiment's plug-ins do with a few numbers.

    Raises:
        ConfigError: one fails, gives another shape than it should or values out of range, has no
            derivative, one that is not finite, or random numbers of its own.
    """
    for kind, name in experiment.plugins.items():
        TRIALS[kind](name)


def _activation(name: str) -> None:
    z = torch.linspace(-4, 4, 49)[:48].view(2, 3, 8)  # 0 is among them
    _derivable("activation", name, (z,), ())


def _norm(name: str) -> None:
    h = torch.linspace(-1, 2, 48).view(2, 3, 8).clone()
    h[0, 1] = 0  # a layer that is silent for a sample
    value = _derivable("norm", name, (h,), (torch.tensor([[1.0], [0.125]]),), h.shape[:-1])
    if value.min() < 0:
        raise ConfigError(f"norm {name!r} gave {float(value.min()):.3g}; goodness is not negative")


def _probability(name: str) -> None:
    goodness = torch.tensor([0, 1e-3, 0.5, 1, 2, 30, 1000])
    groups = torch.meshgrid(goodness, goodness, indexing="ij")
    theta, alpha = torch.full((7, 1), 2.0), torch.ones(7, 1)
    value = _derivable("probability", name, groups, (theta, alpha))
    low, high = float(value.min()), float(value.max())
    if low < 0 or high > 1:
        raise ConfigError(
            f"probability {name!r} gave values from {low:.3g} to {high:.3g}; expected [0, 1]"
        )


def _negatives(name: str) -> None:
    truth = torch.arange(10).repeat(3)
    first, again = (
        labels.negative_labels(truth, 10, torch.Generator().manual_seed(0), name) for _ in range(2)
    )
    if not torch.equal(first, again):
        raise ConfigError(
            f"negatives {name!r} gave two answers for one seed; draw from the generator that it "
            "is given, so that a training can be repeated"
        )


TRIALS = {"activation": _activation, "norm": _norm, "probability": _probability,
          "negatives": _negatives}  # fmt: skip


@torch.enable_grad()
def _derivable(
    kind: str, name: str, inputs: tuple[Tensor, ...], more: tuple[Any, ...],
    shape: torch.Size | None = None,
) -> Tensor:  # fmt: skip
    """What a plug-in gives for float inputs and more arguments, if that is finite, has this shape
    (by default that of the first input) and finite derivatives."""
    wanted = list(inputs[0].shape if shape is None else shape)
    leaves = [x.clone().requires_grad_() for x in inputs]
    value = plugins.call(kind, name, *leaves, *more)
    if not isinstance(value, Tensor) or list(value.shape) != wanted:
        seen = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ConfigError(
            f"{kind} {name!r} gave {seen} for an input of shape {list(inputs[0].shape)}; "
            f"expected a tensor of shape {wanted}"
        )
    if not value.isfinite().all():
        raise ConfigError(f"{kind} {name!r} gave values that are not finite")
    if not value.requires_grad:
        raise ConfigError(
            f"{kind} {name!r} has no derivative; compute with PyTorch, without detach or no_grad"
        )
    try:
        slopes = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
    except RuntimeError as error:
        raise ConfigError(f"{kind} {name!r} cannot be derived: {error}") from None
    if not all(slope is None or slope.isfinite().all() for slope in slopes):
        raise ConfigError(
            f"{kind} {name!r} has a derivative that is not finite, as a root has at 0; add a small "
            "constant under it"
        )
    return value.detach()
