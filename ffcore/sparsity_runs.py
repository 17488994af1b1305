"""One ReLU layer, trained with every step checked against the sparsity theorems (2311.05667)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import softplus

from ffcore import data, labels
from ffcore.config import SparsityExperiment
from ffcore.errors import ConfigError
from ffcore.sparsity import fall, first_order, margin_infinite, similarity, sparsity

SAMPLES = 20_000  # most rows of ``samples``
CHUNK = 2**15  # entries measured at a time: they fit the cache, and torch does not split them
KEYS = ["epoch", "theorem", "side"]
MEASURED = ["margin", "margin_infinite", "satisfied_infinite", "sparsity", "change", "first_order",
            "goodness", "zero_preactivations", "switched", "satisfied", "rose", "agreement",
            "tp", "fp", "fn", "tn"]  # fmt: skip


@dataclass(frozen=True)
class SparsityResult:
    """What one run measured.

    Epoch 0 is the initial layer, whose steps are taken but not kept; epoch e ≥ 1 measures each step
    of training. Theorem 1 is checked on the positives of each batch (side ``positive``) by a step
    that lowers their mean goodness and is not kept, Theorem 2 by the step on the loss (sides
    ``positive`` and ``negative``). A step that is not kept starts from a fresh optimiser.

    ``steps``: a row an ``epoch``, ``batch``, ``theorem`` and ``side``: number of ``data``, of which
        ``undefined`` have a zero latent before or after the step and are left out of the following.
        Means: ``margin`` Σ_j s_j A_ij (s_j = ∂L/∂G_j times batch size), ``margin_infinite`` (epoch
        0 only), ``sparsity`` before the step, its ``change``, its ``first_order`` change by the
        step as taken, ``goodness``, ``zero_preactivations`` and ``switched`` (see ``assumptions``).
        Shares: ``satisfied`` (margin > 0), ``satisfied_infinite``, ``rose`` (change > 0),
        ``agreement`` of satisfied and rose = ``tp`` + ``tn``, ``fp`` (satisfied, fell), ``fn``. Of
        the batch: ``loss``, ``rate_times_width``, ``identical``, ``pair_cosine``, ``batch_cosine``.
    ``epochs``: the same over an epoch's data, long: ``epoch``, ``theorem``, ``side``, ``quantity``,
        ``value``; ``undefined`` is a share here.
    ``samples``: the same training images in every epoch, a row each: ``epoch``, ``theorem``,
        ``side``, ``index``, ``label`` (the true one), and ``margin`` to ``rose`` as above;
        verdicts are 0 or 1, NaN where undefined.
    ``weights``: ``initial`` and ``final`` [n, d], label ``patterns`` [classes, size].
    ``summary``: ``theorem2_negative_satisfied_initial`` and so on: ``initial`` is epoch 0,
        ``training`` the mean over the epochs after it, ``last`` the last one.
    ``seconds``: wall-clock time of ``training``, ``checking`` (epoch 0 included) and in ``total``.
    """

    experiment: SparsityExperiment
    steps: pd.DataFrame
    epochs: pd.DataFrame
    samples: pd.DataFrame
    weights: dict[str, Tensor]
    summary: dict[str, float]
    seconds: dict[str, float]


class _Batch(NamedTuple):
    """Training images, and the inputs of both sides, [B, d] each, that differ in some columns."""

    indices: Tensor
    positive: Tensor
    negative: Tensor
    columns: Tensor
    shift: Tensor  # negative − positive in these columns

    def through(self, matrix: Tensor) -> Tensor:
        """[positive; negative] @ matrixᵀ, what the sides share being multiplied once."""
        shared = self.positive @ matrix.T
        return torch.cat([shared, shared + self.shift @ matrix[:, self.columns].T])

    def gradient(self, signed: Tensor) -> Tensor:
        """Σ_j s_j h_j x_jᵀ [n, d] of ``signed`` s_j h_j [2B, n]: half of ∂/∂W Σ_j s_j G_j."""
        positive, negative = signed.chunk(2)
        total = (positive + negative).T @ self.positive
        total[:, self.columns] += negative.T @ self.shift
        return total


def run(
    experiment: SparsityExperiment,
    dataset: data.Dataset,
    progress: Callable[[int, int, str], object] | None = None,
    device: str | torch.device = "cpu",
) -> SparsityResult:
    """Trains the layer and checks every step.

    W is Gaussian, N(0, 1/d), as the infinite-width form assumes; its scale leaves every margin's
    sign alone. The loss is the mean over the batch, so that ``rate`` means the same for every
    ``batch_size``: the sum that the theory writes is a ``rate`` ``batch_size`` times as large.

    Args:
        dataset: its training images and labels are used.
        progress: called after each epoch with the epoch, their number and a line of text.

    Raises:
        ConfigError: another data set, or a rate at which goodness or weights become infinite.
    """
    e, began, training = experiment, time.perf_counter(), 0.0
    if e.dataset != dataset.name:
        raise ConfigError(f"{e.name} is of {e.dataset}, not of {dataset.name}")
    own, draw = dataset.train_labels, labels.generator(e.seed, "patterns")
    table = labels.patterns(
        dataset.classes, e.label_embedding, e.label_size, e.label_density, draw
    ).to(device)
    images = (data.unit if e.pixels == "unit" else data.normalise)(dataset.train_images).to(device)
    size = labels.embed(images[:1], own[:1].to(device), e.label_embedding, table).shape[1]
    draw = labels.generator(e.seed, "weights")
    initial = (torch.randn(e.width, size, generator=draw) / math.sqrt(size)).to(device)
    rate = e.rate / e.width if e.optimizer == "sgd" else e.rate
    draw = labels.generator(e.seed, "samples")
    tracked = torch.randperm(len(own), generator=draw)[: SAMPLES // (3 * (e.epochs + 1))]
    steps: list[dict[str, Any]] = []
    samples: list[pd.DataFrame] = []
    for epoch in range(e.epochs + 1):
        for number, batch in enumerate(_batches(e, images, own, table, epoch)):
            start, count = time.perf_counter(), len(batch.indices)
            if epoch == 0 or (epoch, number) == (1, 0):  # the steps of epoch 0 are not kept
                weight, optimizer = _copy(initial, e.optimizer, rate)
            before, old = batch.through(weight.detach()), weight.detach().clone()
            h = before.relu()
            signs, loss = _loss(e, h.square().sum(1))
            gradient = batch.gradient(signs[:, None] * h)
            weight.grad = gradient * (2 / count)
            optimizer.step()
            training += (time.perf_counter() - start) * (epoch > 0)
            if not (math.isfinite(loss) and weight.isfinite().all()):
                raise ConfigError(
                    f"{e.name}: goodness or weights became infinite in epoch {epoch} with rate "
                    f"{e.rate:g} (learning rate {rate:g}); choose a lower rate or fewer epochs"
                )

            both = _measure(before, batch.through(gradient), batch.through(weight.detach() - old))
            down = h[:count].T @ batch.positive
            v = batch.positive @ down.T
            if e.optimizer == "sgd":
                moved = v * (-2 / count * rate)  # exactly such a step: no weights are rounded
            else:
                lowered, fresh = _copy(old, e.optimizer, rate)
                lowered.grad = down * (2 / count)
                fresh.step()
                moved = batch.positive @ (lowered.detach() - old).T
            whole = _measure(before[:count], v, moved)
            if epoch == 0:
                x, ones = torch.cat([batch.positive, batch.negative]), signs.new_ones(count)
                both[1:3] = _infinite(margin_infinite(x, signs))
                whole[1:3] = _infinite(margin_infinite(batch.positive, ones))
            common = {"loss": loss, "rate_times_width": rate * e.width}
            common |= similarity(batch.positive, batch.negative)
            chosen = torch.isin(batch.indices, tracked)
            for theorem, side, one in (
                (1, "positive", whole),
                (2, "positive", both[:, :count]),
                (2, "negative", both[:, count:]),
            ):
                key = dict(zip(KEYS, (epoch, theorem, side), strict=True))
                steps.append({**key, "batch": number, **common, **_means(one)})
                if chosen.any():
                    key |= {"index": batch.indices[chosen], "label": own[batch.indices[chosen]]}
                    seen = zip(MEASURED[:-5], one[:-5, chosen], strict=True)
                    samples.append(pd.DataFrame({**key, **dict(seen)}))
        if progress:
            now = _summary(_over(pd.DataFrame([step for step in steps if step["epoch"] == epoch])))
            held = [f"{now.get(f'theorem2_{side}_satisfied_last', math.nan):.1%} of {side}s"
                    for side in ("positive", "negative")]  # fmt: skip
            progress(epoch, e.epochs, f"Theorem 2 holds for {' and '.join(held)}")
    weights = {"initial": initial, "final": weight.detach(), "patterns": table}
    epochs, total = _over(pd.DataFrame(steps)), time.perf_counter() - began
    return SparsityResult(
        experiment=e,
        steps=pd.DataFrame(steps),
        epochs=epochs,
        samples=pd.concat(samples, ignore_index=True),
        weights={name: tensor.cpu() for name, tensor in weights.items()},
        summary=_summary(epochs),
        seconds={"training": training, "checking": total - training, "total": total},
    )


def _batches(
    e: SparsityExperiment, images: Tensor, own: Tensor, table: Tensor, epoch: int
) -> Iterator[_Batch]:
    """An epoch's batches, shuffled; the negatives are drawn anew in each."""
    order = torch.randperm(len(own), generator=labels.generator(e.seed, "order", epoch))
    draw = labels.generator(e.seed, "negatives", epoch)
    for index in order.split(e.batch_size):
        image, true = images[index.to(images.device)], own[index]
        positive, negative = (
            labels.embed(image, label.to(image.device), e.label_embedding, table)
            for label in (true, labels.negative_labels(true, len(table), draw))
        )
        columns = (positive != negative).any(0).nonzero()[:, 0]
        shift = negative[:, columns] - positive[:, columns]
        yield _Batch(index, positive, negative, columns, shift)


def _copy(weight: Tensor, rule: str, rate: float) -> tuple[Tensor, torch.optim.Optimizer]:
    """A layer that can be stepped without touching ``weight``, and a fresh optimiser of it."""
    layer = torch.nn.Parameter(weight.clone())
    return layer, (torch.optim.SGD if rule == "sgd" else torch.optim.Adam)([layer], lr=rate)


def _loss(e: SparsityExperiment, goodness: Tensor) -> tuple[Tensor, float]:
    """∂L/∂G of each datum times the batch size, positives first, and L, the mean over pairs."""
    sign = torch.ones_like(goodness)
    sign[: len(sign) // 2] = -1
    if e.loss == "difference":
        return sign, 2 * float((sign * goodness).double().mean())
    excess = sign * (goodness - e.theta)
    return sign * excess.sigmoid(), 2 * float(softplus(excess).double().mean())


def _measure(before: Tensor, v: Tensor, moved: Tensor) -> Tensor:
    """MEASURED of each datum: what the theorem predicts, and what the step did to it.

    Args:
        before: [B, n] pre-activations; v: [B, n], Σ_j s_j (x_i·x_j) h_j.
        moved: [B, n], change of the pre-activations by the step that was taken.

    Returns:
        [16, B] float64 on the CPU; verdicts are 0, 1, or NaN where sparsity is undefined; the
        infinite width is left NaN.
    """
    rows = max(1, CHUNK // before.shape[1]) if before.device.type == "cpu" else len(before)
    columns = []
    for a, toward, step in zip(*(t.split(rows) for t in (before, v, moved)), strict=True):
        h, start = a.relu(), a.double()  # float32 has no digits for a change of 1e-9
        after, now = start + step, sparsity(start.relu())
        columns.append(torch.stack([
            fall(h, toward).double(), now, sparsity(after.relu()) - now,
            first_order(h, step).double(), h.square().sum(1).double(),
            (a == 0).double().mean(1), ((a > 0) != (after > 0)).double().mean(1),
        ]))  # fmt: skip
    margin, *others = torch.cat(columns, 1).cpu()
    yes, rose, unknown = margin > 0, others[1] > 0, others[1].isnan()
    verdicts = [yes, rose, yes == rose, yes & rose, yes & ~rose, ~yes & rose, ~yes & ~rose]
    judged = [verdict.double().masked_fill(unknown, math.nan) for verdict in verdicts]
    return torch.stack([margin, *_infinite(torch.full_like(margin, math.nan)), *others, *judged])


def _infinite(margin: Tensor) -> Tensor:
    margin = margin.cpu().double()
    return torch.stack([margin, (margin > 0).double().masked_fill(margin.isnan(), math.nan)])


def _means(measured: Tensor) -> dict[str, float]:
    """Means over the data whose sparsity is defined before and after the step."""
    defined = measured[MEASURED.index("change")].isfinite()
    means = dict(zip(MEASURED, measured[:, defined].mean(1).tolist(), strict=True))
    return {"data": len(defined), "undefined": len(defined) - int(defined.sum()), **means}


def _over(steps: pd.DataFrame) -> pd.DataFrame:
    """``epochs`` from ``steps``; a batch counts by its data, of which the last may have fewer."""
    names = steps.columns.difference([*KEYS, "batch", "data", "undefined"], sort=False)
    groups, defined = [steps[key] for key in KEYS], steps["data"] - steps["undefined"]
    weights = steps[names].notna().mul(defined, axis=0).groupby(groups).sum()
    means = steps[names].mul(defined, axis=0).groupby(groups).sum() / weights
    counts = steps[["undefined", "data"]].groupby(groups).sum()
    means["undefined"] = counts["undefined"] / counts["data"]
    return means.reset_index().melt(KEYS, var_name="quantity").dropna(ignore_index=True)


def _summary(epochs: pd.DataFrame) -> dict[str, float]:
    age = epochs["epoch"]
    parts = {"initial": age == 0, "training": age > 0, "last": age == age.max()}
    return {
        f"theorem{theorem}_{side}_{quantity}_{when}": float(values.mean())
        for when, part in parts.items()
        for (theorem, side, quantity), values in epochs[part].groupby(
            [*KEYS[1:], "quantity"]
        )["value"]
    }  # fmt: skip
