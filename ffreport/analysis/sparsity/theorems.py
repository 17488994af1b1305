"""The sparsity theorems: what a study's runs measured, beside the published claims."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ffcore.config import SparsityExperiment
from ffcore.errors import StoreError
from ffcore.sparsity.book import KEYS
from ffreport.analysis import look, published
from ffreport.analysis.estimate import Estimate, judge
from ffreport.analysis.stats import wilson
from ffreport.base.words import count
from ffreport.data.sources import lookup
from ffreport.runs.results import Result
from ffreport.study.study import Study

SIDES = ("positive", "negative")
OPTIMIZERS = {"sgd": "SGD", "adam": "Adam"}
LOSSES = {name: seen.name for name, seen in look.LEVELS["loss"].items()}
BINS = 12  # groups of equal size by predicted change
SMALL = 99.0  # percent of data for which prediction and outcome agree at a small step
SIMILAR = 0.95  # mean cosine from which a batch's inputs count as too alike
PAIRED = 0.99  # mean cosine from which positives and their negatives count as too alike
UNLIKELY = 1.63  # of ``theory.gaussian_distance``: 1 of 100 samples of a Gaussian is beyond


def runs(study: Study, part: str = "theorems") -> list[Result]:
    """The runs that nothing is varied in, of the studies of a part of the profile.

    Raises:
        StoreError: there is none.
    """
    bases = {s.base for s in study.profile.sparsity if s.part == part}
    found = [r for r in study.sparsity_runs if r.experiment in bases]
    if not bases:
        raise StoreError(f"profile {study.profile.label} has no sparsity study of part {part}")
    if not found:
        train = study.profile.command("train", "--only sparsity")
        raise StoreError(f"none of the {len(bases)} studies is stored; train them with `{train}`")
    return found


def epochs(study: Study) -> pd.DataFrame:
    """One row a study, epoch, theorem, side and quantity, see ``runs.SparsityResult``."""
    return _tables(runs(study), "epochs")


def samples(study: Study) -> pd.DataFrame:
    """Theorem 2 on the followed data of the first study: a row an epoch, side and datum."""
    return _tables(runs(study)[:1], "samples").query("theorem == 2")


def curves(study: Study) -> pd.DataFrame:
    """One row a study, epoch, theorem, side and size of a step, see ``SparsityResult.curve``;
    ``when``: before training, or in the last epoch."""
    frame = _tables(runs(study), "curve")
    last = frame.groupby("study")["epoch"].transform("max")
    frame["when"] = np.where(frame["epoch"] == 0, "before training", "last epoch")
    return frame[(frame["epoch"] == 0) | (frame["epoch"] == last)]


def experiment(run: Result) -> SparsityExperiment:
    """What a sparsity run is of."""
    assert isinstance(run.experiment, SparsityExperiment)
    return run.experiment


def label(run: Result) -> str:
    """A study in a few words: data set, loss, step, and what is not the default."""
    e = experiment(run)
    epochs = count(e.epochs, "epoch")
    named = ("dataset", "optimizer", "loss", "rate", "epochs")
    rest = [f"{k.replace('_', ' ')} {v}" for k, v in sorted(e.settings.items()) if k not in named]
    return ", ".join([f"{e.dataset}: {LOSSES[e.loss]}", step(e), epochs, *rest])


def step(e: SparsityExperiment) -> str:
    """The rule of the step and its rate; plain gradient steps are of the rate over the width."""
    return f"{OPTIMIZERS[e.optimizer]}, {e.rate:g}{'/n' * (e.optimizer == 'sgd')}"


def elsewhere(e: SparsityExperiment) -> str:
    """How a run differs from the conditions of the published claim on training; empty where it does
    not."""
    claimed = {"activation": "relu", "layers": 1, "negatives": "wrong"}
    other = [
        *([f"on {e.dataset}"] if e.dataset != "mnist" else []),
        *([LOSSES[e.loss]] if e.loss != "difference" else []),
        *([OPTIMIZERS[e.optimizer]] if e.optimizer != "sgd" else []),
        *(f"{k} {getattr(e, k)}" for k, v in claimed.items() if getattr(e, k) != v),
    ]
    return ", ".join(other)


def theorem1(study: Study) -> pd.DataFrame:
    """Theorem 1 at initialisation: shares in percent of the training images, and the verdict on
    the published claim; every width, scale of pixels and seed of the profile's ReLU layers.

    The initial layer does not know the loss: runs that share all else share a row.

    Returns:
        ``dataset``, ``width``, ``pixels``, ``seed``, ``setup`` (all of it in words), ``data``,
        ``finite_width`` and ``infinite_width`` (satisfied), ``low`` and ``high`` (95 % Wilson
        interval of ``finite_width``), ``rose`` (sparsity measured after the step), ``agreement`` of
        prediction and outcome, ``published``, ``verdict``.
    """
    claim = published.figures()["claims"]["theorem1_share"]["value"]
    rows: dict[tuple[object, ...], dict[str, object]] = {}
    for run in study.sparsity_runs:
        e = experiment(run)
        if e.activation != "relu" or e.batch_classes or e.images:
            continue
        setup = f"{e.pixels} pixels, {e.label_embedding} label, batches of {e.batch_size}, "
        setup += f"seed {e.seed}"
        named = e.dataset, e.width, e.pixels, e.label_embedding, e.batch_size, e.seed
        if named in rows:
            continue
        first = _wide(run, epoch=0).query("theorem == 1").iloc[0]
        images = lookup(e.dataset).counts[0]
        defined = round(images * (1 - first["undefined"]))
        found = Estimate.share(round(first["satisfied"] * defined), defined)
        said = judge(found, (claim, 100), closed=True,
                     elsewhere="" if e.dataset == "mnist" else f"on {e.dataset}")  # fmt: skip
        rows[named] = (
            {"dataset": e.dataset, "width": e.width, "pixels": e.pixels, "seed": e.seed,
             "setup": setup, "data": images,
             "finite_width": 100 * first["satisfied"], "low": found.low, "high": found.high,
             "infinite_width": 100 * first["satisfied_infinite"], "rose": 100 * first["rose"],
             "agreement": 100 * first["agreement"], "published": claim,
             "verdict": str(said)}
        )  # fmt: skip
    columns = ["dataset", "width", "pixels", "seed", "setup", "data", "finite_width", "low", "high",
               "infinite_width", "rose", "agreement", "published", "verdict"]  # fmt: skip
    found = pd.DataFrame(list(rows.values()), columns=columns)
    return found.sort_values(["dataset", "setup", "width"], ignore_index=True)


def theorem1_training(study: Study) -> pd.DataFrame:
    """Theorem 1 in training, of which the paper claims nothing: shares in percent of the data of
    the batches that were checked (see ``book.EVERY``).

    Returns:
        ``study``; ``initial`` (satisfied before training), ``training`` (mean over the epochs),
        ``least`` and ``rose_least`` (of the epoch in which fewest satisfy it), ``agreement``.
    """
    rows = []
    for run in runs(study):
        wide = _wide(run).query("theorem == 1")
        later = wide[wide["epoch"] > 0]
        if later.empty:
            continue
        worst = later.loc[later["satisfied"].idxmin()]
        rows.append(
            {"study": label(run), "initial": 100 * wide["satisfied"].iloc[0],
             "training": 100 * later["satisfied"].mean(), "least": 100 * worst["satisfied"],
             "rose_least": 100 * worst["rose"], "agreement": 100 * later["agreement"].mean()}
        )  # fmt: skip
    return pd.DataFrame(rows)


def theorem2(study: Study) -> pd.DataFrame:
    """Theorem 2: shares in percent, at initialisation and as the mean over the training epochs.

    Returns:
        ``study``, ``side``, ``when``, ``satisfied``, ``infinite_width`` (satisfied in the limit,
        before training), ``rose``, ``agreement``, ``least`` (satisfied in the worst of these
        epochs), ``undefined`` (data with a zero latent, left out of all others; worst epoch),
        ``published``, ``verdict`` (of one seed).
    """
    claim = published.figures()["claims"]["theorem2_share"]["value"]
    rows = []
    for run in runs(study):
        wide = _wide(run)
        for side in SIDES:
            part = wide[(wide["theorem"] == 2) & (wide["side"] == side)]
            spans = {"initial": part[part["epoch"] == 0], "training": part[part["epoch"] > 0]}
            for when, span in spans.items():
                if span.empty:
                    continue
                mean = 100 * span[["satisfied", "rose", "agreement"]].mean()
                infinite = span.get("satisfied_infinite", pd.Series(np.nan)).mean()
                said = judge(Estimate.exact(mean["satisfied"]), (claim, 100), lacking="one seed",
                             elsewhere=elsewhere(experiment(run)))  # fmt: skip
                rows.append(
                    {"study": label(run), "side": side, "when": when,
                     "satisfied": mean["satisfied"], "infinite_width": 100 * infinite,
                     "rose": mean["rose"], "agreement": mean["agreement"],
                     "least": 100 * span["satisfied"].min(),
                     "undefined": 100 * span["undefined"].max(), "published": claim,
                     "verdict": str(said)}
                )  # fmt: skip
    return pd.DataFrame(rows)


def mistakes(samples: pd.DataFrame) -> pd.DataFrame:
    """How often prediction and outcome disagree, by the size of the predicted change.

    Args:
        samples: ``side``, ``first_order``, ``agreement``, ``switched``.

    Returns:
        For each ``side`` and ``units`` (whether the step switched some of the datum's units), in
        groups of equal size by |first_order|: ``size`` (median), ``wrong`` in percent with ``low``
        and ``high`` (95 % Wilson), ``data``.
    """
    known = samples.dropna(subset=["agreement", "first_order"])
    units = np.where(known["switched"] > 0, "some switched", "none switched")
    known = known.assign(size=known["first_order"].abs(), units=units)
    rows = []
    for (side, units), part in known.groupby(["side", "units"], sort=False):
        groups = pd.qcut(part["size"].rank(method="first"), min(BINS, len(part)), labels=False)
        for _, some in part.groupby(groups):
            wrong = int((some["agreement"] == 0).sum())
            low, high = wilson(wrong, len(some))
            rows.append(
                {"side": side, "units": units, "size": some["size"].median(), "data": len(some),
                 "wrong": 100 * wrong / len(some), "low": 100 * low, "high": 100 * high}
            )  # fmt: skip
    return pd.DataFrame(rows)


def small_step(curves: pd.DataFrame) -> pd.DataFrame:
    """The largest step at which prediction and outcome agree for SMALL percent of data.

    Args:
        curves: of ``curves``.

    Returns:
        ``study``, ``when``, ``theorem``, ``side``: ``rate`` (times 1/n), up to which every smaller
        one agrees so, NaN where none does; ``agreement`` there and ``best``, in percent.
    """
    rows = []
    keys = ["study", "when", "layer", "theorem", "side"]
    for key, part in curves.groupby(keys, sort=False):
        part = part.sort_values("rate")
        holds = (100 * part["agreement"] >= SMALL).cummin()
        last = part[holds].tail(1)
        rows.append(
            {**dict(zip(keys, key, strict=True)),
             "rate": last["rate"].iloc[0] if len(last) else np.nan,
             "agreement": 100 * last["agreement"].iloc[0] if len(last) else np.nan,
             "best": 100 * part["agreement"].max()}
        )  # fmt: skip
    return pd.DataFrame(rows)


def assumptions(study: Study) -> pd.DataFrame:
    """What the theorems assume, checked on every run; values are the worst epoch's means.

    Returns:
        ``study``; ``zero`` and ``switched`` (pre-activations that are exactly zero, and units that
        a step switches, in percent; assumed 0), ``step`` (``rate/n`` is assumed), ``gaussian``
        (``theory.gaussian_distance`` of the initial weights; below UNLIKELY), ``equal``
        (negatives that equal their positive, in percent; assumed 0), ``pair_cosine`` (between
        them; PAIRED or more is too similar), ``batch_cosine`` (between positives of a batch;
        SIMILAR or more is too little diversity), and ``failed``: the columns that do not pass.
    """
    rows = []
    for run in study.sparsity_runs:
        e, frame = experiment(run), run.table("epochs")
        worst = frame.groupby("quantity")["value"].max()
        sgd = e.optimizer == "sgd"
        values = {
            "zero": 100 * worst["zero_preactivations"], "switched": 100 * worst["switched"],
            "step": f"{e.rate:g}/n" if sgd else f"Adam, {e.rate:g}",
            "gaussian": run.summary["gaussian_distance"], "equal": 100 * worst["identical"],
            "pair_cosine": worst["pair_cosine"],
            "batch_cosine": worst.get("batch_cosine", np.nan),
        }  # fmt: skip
        passed = {
            "zero": values["zero"] == 0, "switched": values["switched"] == 0, "step": sgd,
            "gaussian": values["gaussian"] < UNLIKELY, "equal": values["equal"] == 0,
            "pair_cosine": values["pair_cosine"] < PAIRED,
            "batch_cosine": not values["batch_cosine"] >= SIMILAR,
        }  # fmt: skip
        failed = ", ".join(name for name, ok in passed.items() if not ok)
        rows.append({"study": label(run), **values, "failed": failed or "none"})
    return pd.DataFrame(rows)


def _tables(found: list[Result], name: str) -> pd.DataFrame:
    parts = [r.table(name).assign(study=label(r), dataset=r.experiment.dataset) for r in found]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _wide(run: Result, epoch: int | None = None) -> pd.DataFrame:
    """A run's epochs with a column a quantity; layer 1."""
    frame = run.table("epochs").query("layer == 1")
    if epoch is not None:
        frame = frame[frame["epoch"] == epoch]
    return frame.pivot(index=KEYS, columns="quantity", values="value").reset_index()
