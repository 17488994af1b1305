"""The sparsity theorems: what a study's runs measured, beside the published claims."""

from __future__ import annotations

import pandas as pd

from ffcore import published
from ffcore.config import SparsityExperiment
from ffcore.store import Run
from ffcore.study import Study

HOLDS, FAILS = "holds", "does not hold"
ELSEWHERE = " here, not comparable"  # the published claim is of MNIST, with G(H⁻) − G(H⁺) and SGD


def epochs(study: Study) -> pd.DataFrame:
    """One row a study, epoch, theorem, side and quantity, see ``sparsity_runs.SparsityResult``."""
    parts = [r.table("epochs").assign(study=label(r), dataset=r.experiment.dataset)
             for r in study.sparsity_runs]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def samples(study: Study) -> pd.DataFrame:
    """One row a study, epoch, theorem, side and datum of the sample that was followed."""
    parts = [r.table("samples").assign(study=label(r)) for r in study.sparsity_runs]
    return pd.concat(parts, ignore_index=True)


def label(run: Run) -> str:
    """A study in a few words: optimiser, loss, and seed where it is not 0."""
    e = _experiment(run)
    step = f"SGD, {e.rate:g}/n" if e.optimizer == "sgd" else f"Adam, {e.rate:g}"
    loss = "G(H⁻) − G(H⁺)" if e.loss == "difference" else "logistic"
    named = ("dataset", "optimizer", "loss", "rate", "epochs")
    rest = [f"{k} {v}" for k, v in sorted(e.settings.items()) if k not in named]
    return ", ".join([f"{e.dataset}: {loss}", step, *rest])


def verdict(holds: bool, comparable: bool) -> str:
    """HOLDS or FAILS, and whether under the conditions of the published claim."""
    return (HOLDS if holds else FAILS) + ("" if comparable else ELSEWHERE)


def theorem1(study: Study) -> pd.DataFrame:
    """Theorem 1 at initialisation: shares in percent of the training images, and the verdict on
    the published claim.

    The initial layer does not know the loss: studies that share all else share a row.

    Returns:
        ``setup``, ``data``, ``finite_width`` and ``infinite_width`` (satisfied), ``rose`` (sparsity
        measured after the step), ``agreement`` of prediction and outcome, ``published``,
        ``verdict``.
    """
    claim = published.figures()["claims"]["theorem1_share"]["value"]
    rows = {}
    for run in study.sparsity_runs:
        e = _experiment(run)
        setup = f"{e.dataset}, width {e.width}, {e.pixels} pixels, {e.label_embedding} label"
        setup += f", batches of {e.batch_size}, seed {e.seed}"
        if setup in rows:
            continue
        wide = _wide(run, epoch=0)
        first = wide[wide["theorem"] == 1].iloc[0]
        both = min(first["satisfied"], first["satisfied_infinite"])
        rows[setup] = (
            {"setup": setup, "data": len(study.dataset(run.experiment.dataset).train_images),
             "finite_width": 100 * first["satisfied"],
             "infinite_width": 100 * first["satisfied_infinite"], "rose": 100 * first["rose"],
             "agreement": 100 * first["agreement"], "published": claim,
             "verdict": verdict(100 * both >= claim, e.dataset == "mnist")}
        )  # fmt: skip
    return pd.DataFrame(list(rows.values()))


def theorem2(study: Study) -> pd.DataFrame:
    """Theorem 2: shares in percent, at initialisation and as the mean over the training epochs.

    Returns:
        ``study``, ``side``, ``when``, ``satisfied``, ``rose``, ``agreement``, ``published``,
        ``verdict``.
    """
    claim = published.figures()["claims"]["theorem2_share"]["value"]
    rows = []
    for run in study.sparsity_runs:
        wide = _wide(run)
        for side in ("positive", "negative"):
            part = wide[(wide["theorem"] == 2) & (wide["side"] == side)]
            spans = {"initial": part[part["epoch"] == 0], "training": part[part["epoch"] > 0]}
            for when, span in spans.items():
                mean = 100 * span[["satisfied", "rose", "agreement"]].mean()
                rows.append(
                    {"study": label(run), "side": side, "when": when, **mean, "published": claim,
                     "verdict": verdict(mean["satisfied"] > claim, _as_claimed(run))}
                )  # fmt: skip
    return pd.DataFrame(rows)


def _experiment(run: Run) -> SparsityExperiment:
    assert isinstance(run.experiment, SparsityExperiment)
    return run.experiment


def _as_claimed(run: Run) -> bool:
    e = _experiment(run)
    return (e.dataset, e.loss, e.optimizer) == ("mnist", "difference", "sgd")


def _wide(run: Run, epoch: int | None = None) -> pd.DataFrame:
    """A run's epochs with a column a quantity."""
    frame = run.table("epochs")
    if epoch is not None:
        frame = frame[frame["epoch"] == epoch]
    keys = ["epoch", "theorem", "side"]
    return frame.pivot(index=keys, columns="quantity", values="value").reset_index()
