"""What measures the propositions of Polar-FFA and the sparsity theorems, as ``ledger.yaml`` names
it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from ffreport.analysis import stats
from ffreport.analysis.appendix import propositions
from ffreport.analysis.claims.material import Material, Measured
from ffreport.analysis.sparsity import theorems

SMALLEST, LARGEST = -2, 4  # powers of ten of the total goodness in the test of Proposition 2


def proposition_1(material: Material) -> Iterator[Measured]:
    """(E[P] − ½)², by which the two sides differ, of the layer where it is largest."""
    rows = material.slopes
    rows = rows[(rows["probability"] == "sigmoid") & (rows["theta"] == 0)]
    off = (rows["mean_probability"] - 0.5).abs()
    low, high = (off - rows["mean_half"]).clip(lower=0), off + rows["mean_half"]
    yield Measured("Gaussian inputs", float((off**2).max()), float((low**2).max()),
                   float((high**2).max()), material.study.profile.propositions.repeats,
                   f"{len(rows)} kinds of layers")  # fmt: skip


def proposition_2_scale(material: Material) -> Iterator[Measured]:
    """The largest |P(γG) − P(G)| of the symmetric probability."""
    found = propositions.scale_invariance(np.logspace(SMALLEST, LARGEST, 71))
    largest = float(found.loc[found["probability"] == "symmetric", "deviation"].max())
    yield Measured("any", largest, largest, largest, 0, "a grid of goodness, computed exactly")


def proposition_2_slope(material: Material) -> Iterator[Measured]:
    """The largest relative error of the formula of ∂P/∂G⊕ against autograd."""
    found = propositions.symmetric_gradients()
    worst = float((found["without"] / found["slope"] - 1).abs().max())
    yield Measured("any", worst, worst, worst, 0, "a grid of goodness, computed exactly")


def theorem_1(material: Material) -> Iterator[Measured]:
    """Percent of the training images for which Theorem 1 holds in the worst initial layer."""
    table = theorems.theorem1(material.study)
    pixels = table["setup"].str.split(" ").str[0]
    for (dataset, scale), part in table.groupby(["dataset", pixels], sort=False):
        worst = part.loc[part["finite_width"].idxmin()]
        name = str(dataset) if scale == "unit" else f"{dataset}, {scale} pixels"
        apart = "" if name == "mnist" else f"on {name}"
        seeds = part["setup"].str.extract(r"seed (\d+)")[0].nunique()
        yield Measured(name, worst["finite_width"], worst["low"], worst["high"], seeds,
                       f"{worst['data']:,} images, {len(part)} layer{'s' * (len(part) != 1)}",
                       "99.98", apart)  # fmt: skip


def theorem_2(material: Material, side: str) -> Iterator[Measured]:
    """Percent of the data of a side for which Theorem 2 holds, mean over the training epochs."""
    yield from _over_seeds(material, side, "satisfied", "50")


def prediction(material: Material) -> Iterator[Measured]:
    """Percent of the data whose sparsity changed as predicted, of the worse side."""
    sides = [_over_seeds(material, side, "agreement") for side in ("positive", "negative")]
    for found in zip(*sides, strict=True):
        yield min(found, key=lambda measured: measured.value)


def rise(material: Material) -> Iterator[Measured]:
    """Mean sparsity of positives and negatives in the last epoch minus before training."""
    steps = material.steps
    if steps.empty:
        return
    means = steps.groupby(["study", "value", "when"])["sparsity"].mean().unstack("when")
    rises = (means["last"] - means["initial"]).rename("rise").reset_index()
    about = steps[["study", "value", "dataset", "apart"]].drop_duplicates()
    for (dataset, apart), part in rises.merge(about).groupby(["dataset", "apart"], sort=False):
        yield _mean(str(dataset), part["rise"], "rises", str(apart))


TESTS: dict[str, Callable[..., Iterator[Measured]]] = {
    "proposition_1": proposition_1,
    "proposition_2_scale": proposition_2_scale,
    "proposition_2_slope": proposition_2_slope,
    "theorem_1": theorem_1,
    "theorem_2": theorem_2,
    "prediction": prediction,
    "rise": rise,
}


def _over_seeds(
    material: Material, side: str, quantity: str, theirs: str = ""
) -> Iterator[Measured]:
    """Mean over the training epochs of a share in percent, with its t interval over seeds."""
    steps = material.steps
    if steps.empty:
        return
    rows = steps[(steps["side"] == side) & (steps["when"] == "training")]
    for (dataset, apart), part in rows.groupby(["dataset", "apart"], sort=False):
        found = _mean(str(dataset), part[quantity], theirs, str(apart))
        yield replace(found, low=max(found.low, 0.0), high=min(found.high, 100.0))


def _mean(dataset: str, values: pd.Series, theirs: str, apart: str) -> Measured:
    low, high = stats.t_interval(values)
    over = f"{len(values)} seed{'s' * (len(values) != 1)}"
    return Measured(dataset, float(values.mean()), low, high, len(values), over, theirs, apart)
