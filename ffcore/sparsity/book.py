"""What the checked steps of a run leave behind: see ``runs.SparsityResult``."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ffcore import labels
from ffcore.config import SparsityExperiment
from ffcore.sparsity import theory as sparsity
from ffcore.sparsity.losses import Slopes, derivative
from ffcore.sparsity.measure import QUANTITIES, exact, measure, verdicts
from ffcore.sparsity.pairs import Batch, Source

SAMPLES = 20_000  # most rows of ``samples``
RATES = tuple(10 ** (k / 2) for k in range(-8, 5))  # 1e-4 to 1e2, of ``curve``
EVERY = 4  # batches from one that checks Theorem 1 to the next, in training
CURVE = 8  # batches of an epoch that ``curve`` looks at
KEYS = ["epoch", "layer", "theorem", "side"]
VERDICTS = ("satisfied", "rose", "agreement", "tp", "fp", "fn", "tn")
INFINITE = ("margin_infinite", "satisfied_infinite")
MEASURED = (*QUANTITIES, *VERDICTS, *INFINITE)
CHANGE = QUANTITIES.index("change")


class Step(NamedTuple):
    """A step that was just taken: which, on what, and by how much.

    ``place``: epoch, batch and layer (from 0). ``z``, ``h`` [2B, n] before it. ``gradient`` [n, d]:
    Σ_j g_j x_jᵀ. ``moved``: the change of z, [2B, n] or the number that v is multiplied by.
    ``plain``: that number for a plain gradient step on the mean loss of the batch.
    """

    place: tuple[int, int, int]
    batch: Batch
    z: Tensor
    h: Tensor
    slopes: Slopes
    gradient: Tensor
    moved: Tensor | float
    plain: float


class Book:
    """Collects rows as steps are taken."""

    def __init__(self, e: SparsityExperiment, source: Source) -> None:
        self.e, self.own = e, torch.zeros(int(source.indices.max()) + 1, dtype=torch.int64)
        self.own[source.indices] = source.labels
        self.tracked = torch.zeros(len(self.own), dtype=torch.bool)
        order = torch.randperm(len(source.indices), generator=labels.generator(e.seed, "samples"))
        most = max(1, SAMPLES // (3 * (e.epochs + 1) * e.layers))
        self.tracked[source.indices[order[:most]]] = True
        self.rows: list[dict[str, Any]] = []
        self.curves: list[dict[str, Any]] = []
        self._samples: list[tuple[dict[str, Any], Tensor, Tensor]] = []
        self._pulls: list[_Pull] = []

    def add(self, step: Step) -> None:
        """Check one step by Theorem 2, and by Theorem 1 in epoch 0 and in every EVERY-th batch."""
        epoch, number, layer = step.place
        indices, pairs = step.batch
        others = len(indices) > 1 or self.e.activation != "relu"  # with ReLU A_ii = 0
        first = (epoch == 0 or number % EVERY == 0) and others
        self._pulls = self._pull(step, first)
        common = {"loss": step.slopes.loss, "rate_times_width": self._rate_times_width(),
                  "lowering": _lowering(step)}  # fmt: skip
        if epoch == 0:
            common |= sparsity.similarity(pairs.positive, pairs.negative)
        chosen = self.tracked[indices]
        for pull in self._pulls:
            found = self._judged(measure(pull.z, pull.v, pull.moved, self.e.activation))
            if epoch == 0:
                self._infinite(step, pull, found)
            some = self._exact(pull, chosen)
            for side, part, few in zip(pull.sides, *(_split(pull, f) for f in (found, some)),
                                       strict=True):  # fmt: skip
                key = dict(zip(KEYS, (epoch, layer + 1, pull.theorem, side), strict=True))
                self.rows.append({**key, "batch": number, **common, **_means(part)})
                self._samples.append((key, indices[chosen], few))

    def probe(self, step: Step) -> None:
        """Plain steps of many sizes from where the one that was just added started."""
        epoch, number, layer = step.place
        if epoch not in (0, self.e.epochs) or number >= CURVE:
            return
        for rate in RATES:
            plain = step.plain * rate / self.e.rate
            for pull in self._pulls:
                found = self._judged(measure(pull.z, pull.v, plain, self.e.activation))
                for side, part in zip(pull.sides, _split(pull, found), strict=True):
                    key = dict(zip(KEYS, (epoch, layer + 1, pull.theorem, side), strict=True))
                    named = dict(zip(MEASURED, part, strict=True))
                    off = (named["change"] / named["first_order"] - 1).abs()
                    means = {k: float(named[k].nanmean())
                             for k in ("agreement", "satisfied", "rose", "switched")}  # fmt: skip
                    error = float(off.nanmedian())
                    self.curves.append({**key, "rate": rate, **means, "error": error})

    def steps(self) -> pd.DataFrame:
        """A row a step, theorem and side."""
        return pd.DataFrame(self.rows)

    def samples(self) -> pd.DataFrame:
        """A row a followed image, step, theorem and side."""
        names = [*QUANTITIES, *VERDICTS[:3]]
        counts = [len(index) for _, index, _ in self._samples]
        frame = pd.DataFrame([key for key, _, _ in self._samples])
        frame = frame.loc[np.repeat(frame.index, counts)].reset_index(drop=True)
        index = torch.cat([index for _, index, _ in self._samples])
        values = torch.cat([found[: len(names)] for _, _, found in self._samples], 1)
        frame = frame.assign(index=index.numpy(), label=self.own[index].numpy())
        return frame.assign(**dict(zip(names, values.numpy(), strict=True)))

    def curve(self) -> pd.DataFrame:
        """Means over the batches looked at, a row a rate."""
        frame = pd.DataFrame(self.curves)
        return frame.groupby([*KEYS, "rate"], sort=False).mean().reset_index()

    def line(self, epoch: int) -> str:
        """An epoch in a line."""
        last = pd.DataFrame([row for row in self.rows if row["epoch"] == epoch])
        last = last[(last["theorem"] == 2) & (last["layer"] == 1)]
        held = [f"{part['satisfied'].mean():.1%} of {side}s"
                for side, part in last.groupby("side", sort=False)]  # fmt: skip
        return f"Theorem 2 holds for {' and '.join(held)}"

    def _rate_times_width(self) -> float:
        return self.e.rate * (1 if self.e.optimizer == "sgd" else self.e.width)

    def _judged(self, found: Tensor) -> Tensor:
        found = found.cpu()
        unknown = torch.full_like(found[: len(INFINITE)], math.nan)
        return torch.cat([found, verdicts(found), unknown])

    def _pull(self, step: Step, first: bool) -> list[_Pull]:
        count, pairs = len(step.batch.indices), step.batch.pairs
        if not first:
            return [_Pull(2, step.z, pairs.through(step.gradient), step.moved)]
        steep, h = derivative(step.h[:count], self.e.activation), step.h[:count]
        lowered = h if steep is None else h * steep
        v, down = pairs.influence(step.slopes.signed, lowered, step.gradient)
        return [_Pull(1, step.z[:count], down, step.plain), _Pull(2, step.z, v, step.moved)]

    def _infinite(self, step: Step, pull: _Pull, found: Tensor) -> None:
        """Write the margins of an infinitely wide layer, where there are such, into the rows."""
        pairs, signs = step.batch.pairs, step.slopes.signs
        if self.e.activation != "relu" or (pull.theorem == 2 and signs is None):
            return
        x = pairs.positive if pull.theorem == 1 else torch.cat([pairs.positive, pairs.negative])
        ones = x.new_ones(len(x))
        limit = sparsity.margin_infinite(x, ones if pull.theorem == 1 or signs is None else signs)
        found[-2] = limit.cpu().double()
        found[-1] = (found[-2] > 0).double().masked_fill(found[-2].isnan(), math.nan)

    def _exact(self, pull: _Pull, chosen: Tensor) -> Tensor:
        """MEASURED, without what needs an infinite width, of the chosen data."""
        rows = chosen.repeat(len(pull.sides)).nonzero()[:, 0].to(pull.v.device)
        if not len(rows):
            return torch.empty(len(MEASURED), 0, dtype=torch.float64)
        moved = pull.v[rows] * pull.moved if isinstance(pull.moved, float) else pull.moved[rows]
        found = exact(pull.z[rows], pull.v[rows], moved, self.e.activation).cpu()
        return torch.cat([found, verdicts(found)])


class _Pull(NamedTuple):
    """What a theorem's step does to whose pre-activations."""

    theorem: int
    z: Tensor
    v: Tensor  # Σ_j (x_i·x_j) g_j
    moved: Tensor | float  # of Step

    @property
    def sides(self) -> tuple[str, ...]:
        return ("positive",) if self.theorem == 1 else ("positive", "negative")


def _split(pull: _Pull, found: Tensor) -> tuple[Tensor, ...]:
    """Columns of each side."""
    return torch.tensor_split(found, len(pull.sides), 1)


def _lowering(step: Step) -> float:
    """How much of the batch's goodness a step lowers, from −1 (raises all) to 1 (lowers all):
    Σ_j s_j G_j ÷ Σ_j |s_j| G_j, which is 0 where both balance."""
    pull = step.slopes.signed * step.h
    return float(pull.sum() / pull.abs().sum().clamp_min(1e-30))


def over(steps: pd.DataFrame) -> pd.DataFrame:
    """``epochs`` from ``steps``; a batch counts by its data, of which the last may have fewer."""
    names = steps.columns.difference([*KEYS, "batch", "data", "undefined"], sort=False)
    groups, defined = [steps[key] for key in KEYS], steps["data"] - steps["undefined"]
    weights = steps[names].notna().mul(defined, axis=0).groupby(groups).sum()
    means = steps[names].mul(defined, axis=0).groupby(groups).sum() / weights
    counts = steps[["undefined", "data"]].groupby(groups).sum()
    means["undefined"] = counts["undefined"] / counts["data"]
    return means.reset_index().melt(KEYS, var_name="quantity").dropna(ignore_index=True)


def prefix(layer: int) -> str:
    """What stands before the names of a layer's figures in a summary; nothing for layer 1."""
    return f"layer{layer}_" if layer > 1 else ""


def summary(epochs: pd.DataFrame) -> dict[str, float]:
    """A run's figures from ``epochs``, see ``runs.SparsityResult``."""
    age = epochs["epoch"]
    parts = {"initial": age == 0, "training": age > 0, "last": age == age.max()}
    return {
        f"{prefix(layer)}theorem{theorem}_{side}_{quantity}_{when}": float(values.mean())
        for when, part in parts.items()
        for (layer, theorem, side, quantity), values in epochs[part].groupby(
            [*KEYS[1:], "quantity"]
        )["value"]
    }


def _means(measured: Tensor) -> dict[str, float]:
    """Means over the data whose sparsity is defined before and after the step."""
    defined = measured[CHANGE].isfinite()
    means = measured.mean(1) if bool(defined.all()) else measured[:, defined].mean(1)
    named = dict(zip(MEASURED, means.tolist(), strict=True))
    return {"data": len(defined), "undefined": len(defined) - int(defined.sum()), **named}
