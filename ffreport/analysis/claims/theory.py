"""What measures the propositions of Polar-FFA and the sparsity theorems, as ``ledger.yaml`` names
it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from ffreport.analysis.appendix import propositions
from ffreport.analysis.claims.material import Material, Measured
from ffreport.analysis.estimate import Estimate
from ffreport.analysis.sparsity import conditions, theorems
from ffreport.data.sources import lookup

SMALLEST, LARGEST = -2, 4  # powers of ten of the total goodness in the test of Proposition 2
LEARNED = 1.5  # times the accuracy of chance
COMPUTED = "a grid of goodness, computed exactly"


def proposition_1(material: Material) -> Iterator[Measured]:
    """(E[P] − ½)², by which the two sides differ, of the layer where it is largest."""
    rows = material.slopes
    rows = rows[(rows["probability"] == "sigmoid") & (rows["theta"] == 0)]
    off = (rows["mean_probability"] - 0.5).abs()
    low, high = (off - rows["mean_half"]).clip(lower=0), off + rows["mean_half"]
    value, low, high = (float((x**2).max()) for x in (off, low, high))
    found = Estimate(value, low, high, len(rows), "kinds of layers")
    yield Measured("Gaussian inputs", found, material.study.profile.propositions.repeats)


def proposition_2_scale(material: Material) -> Iterator[Measured]:
    """The largest |P(γG) − P(G)| of the symmetric probability."""
    found = propositions.scale_invariance(np.logspace(SMALLEST, LARGEST, 71))
    largest = float(found.loc[found["probability"] == "symmetric", "deviation"].max())
    yield Measured("any", Estimate.exact(largest, COMPUTED))


def proposition_2_slope(material: Material) -> Iterator[Measured]:
    """The largest relative error of the formula of ∂P/∂G⊕ against autograd."""
    found = propositions.symmetric_gradients()
    worst = float((found["without"] / found["slope"] - 1).abs().max())
    yield Measured("any", Estimate.exact(worst, COMPUTED))


def theorem_1(material: Material) -> Iterator[Measured]:
    """Percent of the training images for which Theorem 1 holds in the worst initial layer."""
    table = theorems.theorem1(material.study)
    for (dataset, pixels), part in table.groupby(["dataset", "pixels"], sort=False):
        worst = part.loc[part["finite_width"].idxmin()]
        name = dataset if pixels == "unit" else f"{dataset}, {pixels} pixels"
        layers = f"images, {len(part)} layer{'s' * (len(part) != 1)}"
        interval = worst["finite_width"], worst["low"], worst["high"]
        found = Estimate(*interval, worst["data"], layers)
        yield Measured(name, found, part["seed"].nunique(), f"{worst['published']:g}",
                       "" if name == "mnist" else f"on {name}")  # fmt: skip


def theorem_2(
    material: Material, side: str, when: str = "training", quantity: str = "satisfied"
) -> Iterator[Measured]:
    """Percent of the data of a side for which Theorem 2 holds: the mean over the training epochs,
    or before training."""
    yield from _over_seeds(_plain(material), side, quantity, when, "50")


def prediction(material: Material) -> Iterator[Measured]:
    """Percent of the data whose sparsity changed as predicted, of the worse side."""
    sides = [_over_seeds(_plain(material), side, "agreement") for side in theorems.SIDES]
    for found in zip(*sides, strict=True):
        yield min(found, key=lambda measured: measured.estimate.value)


def rise(material: Material) -> Iterator[Measured]:
    """Mean sparsity of positives and negatives in the last epoch minus before training."""
    yield from _rises(_plain(material))


def rise_otherwise(material: Material) -> Iterator[Measured]:
    """The same with every other loss and rule of the step."""
    steps = material.steps
    yield from _rises(steps[(steps["loss"] != "difference") | (steps["optimizer"] != "sgd")])


def rates(material: Material) -> Iterator[Measured]:
    """Percent of the data for which Theorem 2 holds in training, of the worse side, at each
    learning rate that the profile tries: the paper names none."""
    swept = conditions.sweep(material.study, "rate")
    if swept.empty:
        return
    swept = swept[(swept["layer"] == 1) & (swept["when"] == "training")]
    runs = {run.experiment.key: theorems.experiment(run) for run in material.study.sparsity_runs}
    for key, part in swept.sort_values("value").groupby("key", sort=False):
        e, accuracy = runs[str(key)], part["accuracy"].iloc[0]
        learned = accuracy > LEARNED * 100 / lookup(e.dataset).classes
        found = Estimate(part["satisfied"].min(), n=1, over="seed")
        yield Measured(f"{e.dataset}, {theorems.step(e)}", found, 1, "50",
                       theorems.elsewhere(e),
                       "" if learned else f"nothing is learned ({accuracy:.1f} %)")  # fmt: skip


TESTS: dict[str, Callable[..., Iterator[Measured]]] = {
    "proposition_1": proposition_1,
    "proposition_2_scale": proposition_2_scale,
    "proposition_2_slope": proposition_2_slope,
    "theorem_1": theorem_1,
    "theorem_2": theorem_2,
    "prediction": prediction,
    "rise": rise,
    "rise_otherwise": rise_otherwise,
    "rates": rates,
}


def _plain(material: Material) -> pd.DataFrame:
    """The steps on G(H⁻) − G(H⁺) without momentum, of which the paper speaks."""
    steps = material.steps
    return steps[(steps["loss"] == "difference") & (steps["optimizer"] == "sgd")]


def _over_seeds(
    steps: pd.DataFrame, side: str, quantity: str, when: str = "training", theirs: str = ""
) -> Iterator[Measured]:
    """A share in percent, with its t interval over seeds, a data set after the other."""
    rows = steps[(steps["side"] == side) & (steps["when"] == when)].dropna(subset=[quantity])
    for dataset, part in rows.groupby("dataset", sort=False):
        yield _measured(part, str(dataset), _mean(part[quantity]).within(0, 100), theirs)


def _rises(steps: pd.DataFrame) -> Iterator[Measured]:
    means = steps.groupby(["key", "when"])["sparsity"].mean().unstack("when")
    rises = (means["last"] - means["initial"]).rename("rise")
    about = steps.drop_duplicates("key").join(rises, on="key")
    for (dataset, loss, optimizer), part in about.groupby(
        ["dataset", "loss", "optimizer"], sort=False
    ):
        plain = (loss, optimizer) == ("difference", "sgd")
        rule = "" if plain else f", {theorems.LOSSES[loss]}, {theorems.OPTIMIZERS[optimizer]}"
        yield _measured(part, f"{dataset}{rule}", _mean(part["rise"]), "rises")


def _measured(part: pd.DataFrame, name: str, found: Estimate, theirs: str) -> Measured:
    dataset = part["dataset"].iloc[0]
    return Measured(name, found, part["seed"].nunique(), theirs,
                    "" if dataset == "mnist" else f"on {dataset}")  # fmt: skip


def _mean(values: pd.Series) -> Estimate:
    return Estimate.mean(values, f"seed{'s' * (len(values) != 1)}")
