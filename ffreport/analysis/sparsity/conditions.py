"""Where the sparsity theorems hold and where they stop: one condition varied at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import torch

from ffcore import data, labels
from ffcore.errors import StoreError
from ffcore.sparsity import theory
from ffcore.sparsity.book import prefix
from ffreport.analysis.sparsity.theorems import LOSSES, experiment, label
from ffreport.analysis.stats import sample_rows, t_interval
from ffreport.data import load
from ffreport.data.sources import lookup
from ffreport.runs.results import Result
from ffreport.runs.shipped import Shipped
from ffreport.study.study import Study

WIDTHS = tuple(2**k for k in range(6, 14))  # 64 to 8,192
REPEATS = 6  # layers drawn a width
IMAGES = 256  # training images whose margins are compared with the limit
SHARES = ("satisfied", "rose", "agreement", "switched", "undefined", "satisfied_infinite")
QUANTITIES = (*SHARES, "sparsity", "pair_cosine", "batch_cosine")
EDGES = (0, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1)  # of bins of |lowering|
HALF = 50.0  # percent of data: the published claim on training
LIMITS = {"margin": "margin Σⱼ Aᵢⱼ", "norm": "‖h‖₂²/n", "size": "‖h‖₁/n", "overlap": "mᵢ·hⱼ/n",
          "product": "hᵢ·hⱼ/n"}  # fmt: skip


def sweep(study: Study, setting: str) -> pd.DataFrame:
    """The runs of every study that varies a setting, its base among them.

    Returns:
        One row a ``study`` (its base, in words), ``value`` of the setting, ``layer``, ``side`` and
        ``when`` (``initial``: before training; ``training``: mean over its epochs; ``last``): by
        Theorem 2, in percent, ``satisfied``, ``rose``, ``agreement``, ``switched``, ``undefined``,
        and before training ``satisfied_infinite``, in the limit of infinite width; ``sparsity``,
        ``pair_cosine`` and ``batch_cosine``; ``accuracy`` of the layer on the test
        images after the last epoch, and ``all_or_none`` (training steps of layer 1 in which nearly
        all or nearly none of the data became sparser), in percent; ``key`` of the run. Empty where
        the profile varies no such setting, or nothing is stored.
    """
    stored = {r.experiment: r for r in study.sparsity_runs}
    rows: list[dict[str, Any]] = []
    for one in study.profile.sparsity:
        if setting not in one.vary or one.base not in stored:
            continue
        of = label(stored[one.base])
        for e in dict.fromkeys([one.base, *one.varied(setting)]):
            if e in stored:
                value = getattr(e, setting)
                if setting == "batch_classes" and not value:  # all of them
                    value = lookup(e.dataset).classes
                rows += [{"study": of, "value": value, **row} for row in of_run(stored[e])]
    return pd.DataFrame(rows)


def of_run(run: Result) -> list[dict[str, Any]]:
    """The rows of ``sweep`` of one run, without ``study`` and ``value``."""
    frame, e = run.table("epochs"), experiment(run)
    frame = frame[(frame["theorem"] == 2) & frame["quantity"].isin(QUANTITIES)]
    percent = frame["quantity"].isin(SHARES)
    frame = frame.assign(value=frame["value"] * np.where(percent, 100, 1))
    age, rows = frame["epoch"], []
    steps = balance(run).query("when == 'training'")
    even = np.average(steps["all_or_none"], weights=steps["steps"]) if len(steps) else math.nan
    for when, part in (("initial", age == 0), ("training", age > 0), ("last", age == age.max())):
        if when != "initial" and not e.epochs:
            continue
        means = frame[part].groupby(["layer", "side", "quantity"])["value"].mean().unstack()
        for (layer, side), found in means.iterrows():
            accuracy = 100 * run.summary[f"{prefix(layer)}accuracy"]
            rows.append({"layer": layer, "side": side, "when": when, **found.to_dict(),
                         "accuracy": accuracy, "all_or_none": even, "key": e.key})  # fmt: skip
    return rows


def balance(run: Result) -> pd.DataFrame:
    """A run's steps by how much of their goodness they lower, of layer 1.

    Returns:
        For each ``when`` (``initial``: epoch 0, or ``training``) and bin of ``lowering`` with any:
        number of ``steps`` and of their ``data``; means over these steps, weighted by data, of
        ``lowering`` and of the shares ``satisfied`` and ``rose`` of positives and negatives
        together, in percent; ``all_or_none``, percent of the steps in which more than 95 or less
        than 5 percent of the data became sparser.
    """
    if isinstance(run, Shipped):
        return run.table("balance")
    rows = run.table("steps").query("theorem == 2 and layer == 1")
    rows = rows.assign(data=rows["data"] - rows["undefined"])
    shares = rows[["satisfied", "rose"]].fillna(0).mul(100 * rows["data"], axis=0)
    place = [rows["epoch"], rows["batch"]]
    steps = (
        shares.groupby(place)
        .sum()
        .assign(
            data=rows.groupby(place)["data"].sum(), lowering=rows.groupby(place)["lowering"].mean()
        )
    )
    steps = steps[steps["data"] > 0]
    share = steps["rose"] / steps["data"]
    steps["all_or_none"] = 100.0 * ((share > 95) | (share < 5))
    steps["pull"] = steps["lowering"] * steps["data"]
    size = np.searchsorted(EDGES[1:-1], steps["lowering"].abs(), side="right") + 1
    bins = np.where(steps["lowering"] < 0, -size, size)
    when = np.where(steps.index.get_level_values("epoch") == 0, "initial", "training")
    groups = steps.groupby([when, bins])
    total = groups.sum()
    found = pd.DataFrame(
        {"steps": groups.size(), "data": total["data"], "lowering": total["pull"] / total["data"],
         "satisfied": total["satisfied"] / total["data"], "rose": total["rose"] / total["data"],
         "all_or_none": groups["all_or_none"].mean()}
    )  # fmt: skip
    return found.rename_axis(["when", "bin"]).reset_index().drop(columns="bin")


def settings(study: Study) -> list[str]:
    """The settings that the profile's studies vary."""
    return list(dict.fromkeys(s for one in study.profile.sparsity for s in one.vary))


def shares(frame: pd.DataFrame) -> pd.DataFrame:
    """A sweep as a table: a row a study, value and layer; shares of positives and of negatives.

    Returns:
        ``study``, ``value``, ``layer``, ``positive_initial``, ``positive_training``,
        ``negative_initial``, ``negative_training`` (satisfied), ``rose`` (of both sides, in
        training), ``agreement`` (the lower side's, in training), ``undefined`` (the larger
        side's), ``all_or_none``, ``accuracy``; ``key``.
    """
    rows = []
    for key, part in frame.groupby(["study", "value", "layer"], sort=False):
        of = part.set_index(["side", "when"])
        when = "training" if ("positive", "training") in of.index else "initial"
        rows.append(
            {**dict(zip(("study", "value", "layer"), key, strict=True)),
             **{f"{side}_{w}": of["satisfied"].get((side, w), math.nan)
                for side in ("positive", "negative") for w in ("initial", "training")},
             "rose": np.mean([of["rose"][side, when] for side in ("positive", "negative")]),
             "agreement": min(of["agreement"][s, when] for s in ("positive", "negative")),
             "undefined": max(of["undefined"][s, when] for s in ("positive", "negative")),
             **{k: part[k].iloc[0] for k in ("all_or_none", "accuracy", "key")}}
        )  # fmt: skip
    return pd.DataFrame(rows)


def table(study: Study) -> pd.DataFrame:
    """``shares`` of every sweep of the profile but seeds: ``setting``, then its columns. A run that
    several sweeps share, as their base, has a row in each; ``key`` tells."""
    frames = {name: sweep(study, name) for name in settings(study) if name != "seed"}
    parts = [shares(f).assign(setting=name.replace("_", " ")) for name, f in frames.items()
             if not f.empty]  # fmt: skip
    if not parts:
        return pd.DataFrame()
    whole = pd.concat(parts, ignore_index=True)
    whole["value"] = whole["value"].map(named)
    return whole[["setting", *whole.columns.drop("setting")]]


def lowering(study: Study) -> pd.DataFrame:
    """How much of its goodness a step lowers, and how many of its data become sparser, over every
    step of every run of one ReLU layer: a row a run and bin of ``lowering``, before training and
    in it.

    Returns:
        ``study``, ``loss``, and the columns of ``balance``.
    """
    parts = []
    for run in study.sparsity_runs:
        e = experiment(run)
        if e.activation == "relu" and e.layers == 1:
            loss = LOSSES[e.loss] if e.optimizer == "sgd" else f"{LOSSES[e.loss]}, Adam"
            parts.append(balance(run).assign(study=label(run), loss=loss))
    if not parts:
        raise StoreError("no run of one ReLU layer is stored or shipped")
    return pd.concat(parts, ignore_index=True)


def finite_width(study: Study, dataset: str) -> pd.DataFrame:
    """How far layers of finite width are from the limit, on training images with labels.

    Returns:
        ``quantity`` (see LIMITS), ``width``, ``repeat``: ``error``, the root mean square distance
        from the limit over the root mean square of the limit.
    """

    def compute() -> pd.DataFrame:
        whole = study.dataset(dataset)
        chosen = sample_rows(len(whole.train_images), IMAGES, seed=0)
        x = labels.embed(data.unit(whole.train_images[chosen]), whole.train_labels[chosen],
                         "corner", torch.eye(whole.classes))  # fmt: skip
        return pd.DataFrame(_errors(x.double()))

    inputs = {"dataset": dataset, "data": load.fingerprint(dataset)}
    return study.cached("finite-width", inputs, compute)


def orders(frame: pd.DataFrame) -> pd.DataFrame:
    """The power of n with which each error of ``finite_width`` falls, fitted over the widths.

    Returns:
        ``quantity``, ``order`` (−½ expected) with ``low`` and ``high``, the 95 % t interval over
        repeats; ``error`` at the widest layer, in percent.
    """
    rows = []
    for quantity, part in frame.groupby("quantity", sort=False):
        slopes = [
            np.polyfit(np.log(one["width"]), np.log(one["error"]), 1)[0]
            for _, one in part.groupby("repeat")
        ]
        low, high = t_interval(slopes)
        widest = part[part["width"] == part["width"].max()]["error"].mean()
        rows.append(
            {"quantity": LIMITS[str(quantity)], "order": np.mean(slopes), "low": low, "high": high,
             "error": 100 * widest}
        )  # fmt: skip
    return pd.DataFrame(rows)


def named(value: object) -> str:
    """A value of a setting."""
    return f"{value:g}" if isinstance(value, float | int | np.number) else str(value)


def _errors(x: torch.Tensor) -> list[dict[str, Any]]:
    """Rows of ``finite_width`` for inputs x [B, d] float64."""
    count, rows = len(x), []
    lengths = x.norm(dim=1)
    theta, apart = theory.angles(x), ~torch.eye(count, dtype=torch.bool)
    cosine, sine = theta.cos(), theta.sin()
    kernel = (sine + (math.pi - theta) * cosine) / (2 * math.pi)
    limits = {
        "margin": theory.margin_infinite(x, x.new_ones(count)),
        "norm": lengths.square() / 2,
        "size": lengths / math.sqrt(2 * math.pi),
        "overlap": ((1 + cosine) / math.sqrt(8 * math.pi) * lengths)[apart],
        "product": (kernel * lengths[:, None] * lengths)[apart],
    }
    for repeat in range(REPEATS):
        draw = torch.Generator().manual_seed(repeat)
        for width in WIDTHS:
            weight = torch.randn(width, x.shape[1], generator=draw, dtype=torch.float32)
            h = (x @ weight.T.double()).relu()
            found = {
                "margin": theory.margin(x, h, x.new_ones(count)),
                "norm": h.square().mean(1),
                "size": h.mean(1),
                "overlap": (h.sign() @ h.T / width)[apart],
                "product": (h @ h.T / width)[apart],
            }
            for quantity, limit in limits.items():
                off = (found[quantity] - limit).square().mean().sqrt()
                rows.append({"quantity": quantity, "width": width, "repeat": repeat,
                             "error": float(off / limit.square().mean().sqrt())})  # fmt: skip
    return rows
