"""What the papers print: figures with their sources, curves, and ours beside them."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import yaml

from ffcore.config import FACTORS, Experiment
from ffcore.errors import unknown
from ffreport.analysis.estimate import BAND as BAND
from ffreport.analysis.estimate import NOT_COMPARABLE as NOT_COMPARABLE
from ffreport.analysis.estimate import NOT_RUN as NOT_RUN

if TYPE_CHECKING:
    import pandas as pd


@cache
def figures() -> dict[str, Any]:
    """The whole file of published figures, by group."""
    text = resources.files(__name__).joinpath("published.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def source(group: str) -> str:
    """Where a group of figures was published.

    Raises:
        ConfigError: there is no such group.
    """
    if group not in figures():
        raise unknown("group of published figures", group, figures())
    return figures()[group]["source"]


def table_f3() -> pd.DataFrame:
    """Table F3 as it is printed: 432 rows of data set, the five factors and ``printed`` in
    percent."""
    return _table("best_accuracy").melt(
        id_vars=["dataset", "norm", "aggregation", "inhibition", "probability"],
        var_name="activation",
        value_name="printed",
    )


def curves() -> pd.DataFrame:
    """The authors' learning curves, one run a configuration: 432 rows of data set, the five
    factors and ``curve``, the test accuracy in percent after each epoch, [epochs] float64 (50;
    on CIFAR-10 16 to 100)."""
    found = _runs()
    return found[found["run"] < 0].drop(columns=["run", "misfiled"]).reset_index(drop=True)


def seed_curves() -> pd.DataFrame:
    """The authors' runs over seeds: 540 rows of data set, the five factors, ``run``, ``curve`` as
    in ``curves`` (50 epochs, one run of 10), and ``misfiled``, whether a run lies in the folder of
    a configuration that it is not of."""
    found = _runs()
    return found[found["run"] >= 0].reset_index(drop=True)


def best_accuracy(epochs: int | None = None) -> pd.DataFrame:
    """Table F3: 432 rows of data set, the five factors, ``published_best`` in percent and
    ``published_last``, which the logs alone have.

    Args:
        epochs: what Table F3 would say had training stopped after so many; None for all.
    """
    found = curves()
    cut = found.pop("curve").map(lambda curve: curve[:epochs])
    return found.assign(published_best=cut.map(max), published_last=cut.map(lambda c: c[-1]))


def ten_seeds(epochs: int | None = None) -> pd.DataFrame:
    """54 rows: data set, factors, mean and sample standard deviation of best and last accuracy in
    percent over ``seeds`` runs: ``best_mean``, ``best_std``, ``last_mean``, ``last_std``.

    A misfiled run is left out; one that ended after 10 epochs is not, as the authors' means have
    it, unless it is to be looked at after more.

    Args:
        epochs: looked at after so many; None for all.
    """
    found = seed_curves()
    found = found[~found["misfiled"]]
    if epochs is not None:
        found = found[found["curve"].map(len) >= min(epochs, 50)]
    cut = found["curve"].map(lambda curve: curve[:epochs])
    found = found.assign(best=cut.map(max), last=cut.map(lambda c: c[-1]))
    groups = found.groupby(["dataset", *FACTORS], sort=False)
    table = groups[["best", "last"]].agg(["mean", "std"])
    table.columns = ["_".join(pair) for pair in table.columns]
    return table.assign(seeds=groups.size()).reset_index()


def latent_measures() -> pd.DataFrame:
    """270 rows: data set, factors and the nine measures of RQ2 as fractions."""
    return _table("latent_measures")


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


def as_published(experiment: Experiment) -> bool:
    """Whether a network trained under the published conditions: beside data set, factors, seed
    and number format, nothing differs from the paper's settings."""
    if experiment.plugins:
        return False
    extra = set(experiment.settings) - {*FACTORS, "dataset", "seed", "precision"}
    if experiment.dataset == "cifar-10":
        paper = {"epochs": 100, "patience": 10, "widths": (2000, 2000)}
        return extra == set(paper) and all(getattr(experiment, k) == v for k, v in paper.items())
    own = counterpart(experiment.dataset) == experiment.dataset
    return not extra and own and covers(experiment.dataset)


def beside_published(frame: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Our rows with the published columns of each data set's counterpart."""
    import pandas as pd

    parts = [
        beside(part, table, counterpart(str(dataset)))
        for dataset, part in frame.groupby("dataset", sort=False)
    ]
    return pd.concat(parts, ignore_index=True)


@cache
def _runs() -> pd.DataFrame:
    """Every published curve; read once, for reports ask often."""
    import numpy as np
    import pandas as pd

    with resources.as_file(resources.files(__name__).joinpath(figures()["curves"]["file"])) as path:
        found = pd.read_parquet(path)
    legal = {"dataset": [*figures()["best_accuracy"]["values"]], **FACTORS}
    found[[*legal]] = found[[*legal]].astype(str)
    order = [found[c].map(levels.index) for c, levels in legal.items()]
    found = found.iloc[np.lexsort([found["run"], *order[::-1]])].reset_index(drop=True)
    found["curve"] = [np.asarray(values, float) / 100 for values in found.pop("hundredths")]
    name = found[[*FACTORS]].agg("-".join, axis=1)
    found["misfiled"] = False
    for slip in figures()["ten_seeds"]["misfiled"]:
        here = (found["dataset"] == slip["dataset"]) & (name == slip["configuration"])
        found.loc[here & (found["run"] == slip["run"]), "misfiled"] = True
    return found


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
