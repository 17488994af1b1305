"""What the papers print, and what ours says beside it: figures, sources, differences, verdicts."""

from __future__ import annotations

import math
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import yaml

from ffcore.config import FACTORS
from ffcore.errors import unknown

if TYPE_CHECKING:
    import pandas as pd

WITHIN = "within the published band"
OUTSIDE = "outside the published band"
ONE_SEED = "one seed: no verdict"
NOT_RUN = "not run"
NOT_COMPARABLE = "not comparable"
UNPUBLISHED = "nothing published"
IN_PART = "trained in part: no verdict"
BAND = 3.0  # published standard deviations on either side of the published mean


@cache
def figures() -> dict[str, Any]:
    """The whole file of published figures, by group."""
    text = resources.files("ffcore").joinpath("published.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def source(group: str) -> str:
    """Where a group of figures was published.

    Raises:
        ConfigError: there is no such group.
    """
    if group not in figures():
        raise unknown("group of published figures", group, figures())
    return figures()[group]["source"]


def best_accuracy() -> pd.DataFrame:
    """Table F3: 432 rows of data set, the five factors and ``published_best`` in percent."""
    return _table("best_accuracy").melt(
        id_vars=["dataset", "norm", "aggregation", "inhibition", "probability"],
        var_name="activation",
        value_name="published_best",
    )


def ten_seeds() -> pd.DataFrame:
    """36 rows: data set, factors, mean and sample std of best and last accuracy in percent."""
    return _table("ten_seeds")


def latent_measures() -> pd.DataFrame:
    """180 rows: data set, factors and the nine measures of RQ2 as fractions."""
    return _table("latent_measures")


def verdict(
    value: float | None, mean: float, std: float | None = None, comparable: bool = True
) -> str:
    """What a measured figure says about the published one.

    Args:
        value: ours, in the unit of ``mean``; None or NaN where it was not run.
        mean: NaN where nothing was published.
        std: published standard deviation over seeds; None where one seed was published.
        comparable: whether ours was measured under the published conditions.

    Returns:
        NOT_RUN, UNPUBLISHED, NOT_COMPARABLE, ONE_SEED, WITHIN or OUTSIDE (of BAND standard
        deviations).
    """
    if value is None or math.isnan(value):
        return NOT_RUN
    if math.isnan(mean):
        return UNPUBLISHED
    if not comparable:
        return NOT_COMPARABLE
    if std is None or math.isnan(std):
        return ONE_SEED
    return WITHIN if abs(value - mean) <= BAND * std else OUTSIDE


def beside(ours: pd.DataFrame, published: pd.DataFrame, dataset: str | None = None) -> pd.DataFrame:
    """Published rows joined to ours by factors and data set.

    Args:
        ours: has the factors and ``dataset``.
        dataset: the published data set to show beside ours where ours is another one (mnist-5k
            beside mnist); the join is then by factors alone.

    Returns:
        ``ours`` with the published columns appended; NaN where nothing was published.
    """
    keys = [*FACTORS, "dataset"]
    if dataset is not None:
        published = published[published["dataset"] == dataset].drop(columns="dataset")
        keys = [*FACTORS]
    return ours.merge(published, on=keys, how="left", validate="many_to_one")


def counterpart(dataset: str) -> str:
    """The published data set that a data set is shown beside: mnist for mnist-5k and digits; the
    data set itself otherwise, whether or not anything of it was published."""
    return {"mnist-5k": "mnist", "digits": "mnist"}.get(dataset, dataset)


def covers(dataset: str) -> bool:
    """Whether there are published figures to show a data set beside."""
    return counterpart(dataset) in figures()["best_accuracy"]["values"]


def _table(group: str) -> pd.DataFrame:
    import pandas as pd

    content = figures()[group]
    factors = content["row"].split()
    rows = [
        {"dataset": dataset, **dict(zip(factors, row.split(), strict=True)),
         **dict(zip(content["columns"], values, strict=True))}
        for dataset, table in content["values"].items()
        for row, values in table.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)
