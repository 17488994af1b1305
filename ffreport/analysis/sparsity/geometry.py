"""The geometry of Theorem 1 (2311.05667): who pushes whom, which data resist, and where it fails.

In a layer of infinite width datum j pushes the sparsity of datum i by ‖x_j‖² κ(θ_ij) when its
goodness is lowered: up at an acute angle, down at an obtuse one (``theory.kappa``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from ffcore import data
from ffcore.sparsity import theory
from ffreport.analysis.sparsity.influence import influence, simplex
from ffreport.analysis.stats import sample_rows
from ffreport.data.load import fingerprint
from ffreport.study.study import Study

SCALES = {"unit": data.unit, "standardised": data.normalise}
# Below 0 as shares of the largest obtuse angle's; at a right angle nothing pushes.
COSINES = (-1.0, -0.5, -0.2, -0.05, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9)
WIDTHS = (64, 256, 1000, 4000)
REPEATS = 20  # layers drawn a width
CORNERS = 6  # data of the simplex; their largest obtuse angle has cos θ = −1/5


def constructed(seed: int = 0) -> pd.DataFrame:
    """Theorem 1 on simplices from obtuse to acute, predicted and measured.

    A layer is drawn (Gaussian), the goodness of the whole set lowered by one small step, and
    sparsity measured before and after, in float64.

    Returns:
        ``cosine`` of every pair, ``width``, ``repeat``; shares of data ``satisfied`` (finite
        width), ``satisfied_infinite``, and ``rose``; ``undefined`` of silent data, left out.
    """
    rows = []
    for share in COSINES:
        cosine = share / (CORNERS - 1) if share < 0 else share
        x = simplex(CORNERS, cosine)
        ones = x.new_ones(len(x))
        limit = theory.margin_infinite(x, ones) > 0
        for width in WIDTHS:
            for repeat in range(REPEATS):
                draw = torch.Generator().manual_seed(seed + repeat)
                weight = torch.randn(width, x.shape[1], generator=draw, dtype=torch.float64)
                h = (x @ weight.T).relu()
                after = (x @ (weight - 1e-6 * h.T @ x).T).relu()
                change = theory.sparsity(after) - theory.sparsity(h)
                known = change.isfinite()
                found = theory.theorem1(x, h).satisfied[known].double()
                rows.append(
                    {"cosine": cosine, "width": width, "repeat": repeat,
                     "satisfied": float(found.mean()),
                     "satisfied_infinite": float(limit.double().mean()),
                     "rose": float((change[known] > 0).double().mean()),
                     "undefined": int((~known).sum())}
                )  # fmt: skip
    return pd.DataFrame(rows)


def kappa(points: int = 721) -> tuple[np.ndarray, np.ndarray]:
    """Angles from 0 to π and κ at each."""
    theta = torch.linspace(0, torch.pi, points, dtype=torch.float64)
    return theta.numpy(), theory.kappa(theta).numpy()


def angles(study: Study, dataset: str, images: int = 600) -> pd.DataFrame:
    """Angles of all pairs in a sample of training images, ``pixels`` (the data set, and how they
    are scaled), ``angle`` in radians."""
    everything = study.dataset(dataset).train_images
    raw = everything[sample_rows(len(everything), images, seed=0)]
    upper = torch.triu_indices(len(raw), len(raw), offset=1)
    parts = [
        pd.DataFrame({"pixels": f"{dataset}, {name}",
                      "angle": theory.angles(scale(raw))[*upper].numpy()})
        for name, scale in SCALES.items()
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def by_class(study: Study, dataset: str) -> pd.DataFrame:
    """``influence`` of the training images of a data set, without labels embedded.

    Returns:
        ``pixels`` (see SCALES), ``pushed`` and ``pushing`` (classes), ``influence``, ``obtuse``.
    """
    frames = []
    for scale in SCALES:
        found = _influence(study, dataset, scale)
        frames.append(found[found["kind"] == "class"].drop(columns=["kind", "index", "margin"])
                      .assign(pixels=scale))  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def margins(study: Study, dataset: str) -> pd.DataFrame:
    """Margin of Theorem 1 of every training image: ``pixels``, ``index``, ``margin``, ``label``."""
    frames = []
    for scale in SCALES:
        found = _influence(study, dataset, scale)
        part = found[found["kind"] == "datum"][["index", "margin", "pushed"]]
        frames.append(part.rename(columns={"pushed": "label"}).assign(pixels=scale))
    return pd.concat(frames, ignore_index=True)


def summary(study: Study, dataset: str) -> pd.DataFrame:
    """Shares in percent: ``pixels``, ``data``, ``satisfied`` (Theorem 1, infinite width),
    ``obtuse`` (pairs), ``smallest`` and ``median`` margin."""
    rows, pairs = [], by_class(study, dataset)
    for scale, part in margins(study, dataset).groupby("pixels", sort=False):
        counts = part.groupby("label").size()
        found = pairs[pairs["pixels"] == scale]
        weight = counts.loc[found["pushed"]].to_numpy() * counts.loc[found["pushing"]].to_numpy()
        rows.append(
            {"dataset": dataset, "pixels": scale, "data": len(part),
             "satisfied": 100 * float((part["margin"] > 0).mean()),
             "obtuse": 100 * float(np.average(found["obtuse"], weights=weight)),
             "smallest": part["margin"].min(), "median": part["margin"].median()}
        )  # fmt: skip
    return pd.DataFrame(rows)


def resisting(study: Study, names: Sequence[str], count: int = 16) -> tuple[np.ndarray, list[str]]:
    """``smallest`` of several data sets, one after the other; those of another shape than the
    first are left out."""
    found = {name: smallest(study, name, count) for name in names}
    shape = found[names[0]][0].shape
    same = {name: pair for name, pair in found.items() if pair[0].shape == shape}
    titles = [f"{name}\n{t}" for name, pair in same.items() for t in pair[1]]
    return np.concatenate([pair[0] for pair in same.values()]), titles


def smallest(study: Study, dataset: str, count: int = 16) -> tuple[np.ndarray, list[str]]:
    """The training images with the smallest margins, standardised pixels: [count, rows, columns]
    and a line on each."""
    frame = margins(study, dataset)
    found = frame[frame["pixels"] == "standardised"].nsmallest(count, "margin")
    whole = study.dataset(dataset)
    places = found["index"].to_numpy(copy=True)  # PyTorch wants an array that may be written
    images = whole.train_images[places].numpy().reshape(-1, *whole.shape)
    if images.ndim == 4:  # channels first
        images = images.mean(axis=1)
    titles = [f"{r['label']}: {r['margin']:+.3f}" for r in found.to_dict("records")]
    return images, titles


def datasets(study: Study) -> list[str]:
    """The data sets of a profile's sparsity runs."""
    return list(dict.fromkeys(e.dataset for e in study.profile.sparsity_runs()))


def _influence(study: Study, name: str, scale: str) -> pd.DataFrame:
    """``influence`` as a frame: rows of ``kind`` class (a pair) and datum (``index``)."""

    def compute() -> pd.DataFrame:
        dataset = study.dataset(name)
        found = influence(SCALES[scale](dataset.train_images), dataset.train_labels,
                          dataset.classes)  # fmt: skip
        each = np.arange(dataset.classes)
        pushed, pushing = (g.ravel() for g in np.meshgrid(each, each, indexing="ij"))
        pairs = pd.DataFrame({"kind": "class", "pushed": pushed, "pushing": pushing,
                              "influence": found.by_class.ravel().numpy(),
                              "obtuse": found.obtuse.ravel().numpy()})  # fmt: skip
        data_ = pd.DataFrame({"kind": "datum", "index": np.arange(len(found.margin)),
                              "pushed": dataset.train_labels.numpy(),
                              "margin": found.margin.numpy()})  # fmt: skip
        return pd.concat([pairs, data_], ignore_index=True)

    inputs = {"dataset": name, "scale": scale, "data": fingerprint(name)}
    return study.cached("influence", inputs, compute)
