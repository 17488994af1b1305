"""Frames as ``explorer_data`` gathers them, made by hand: 24 networks, one without a projection."""

from itertools import product

import numpy as np
import pandas as pd

from ffreport.analysis.rq2 import taxonomy
from ffreport.analysis.rq2.explorer import page as explorer

POINTS = 40


def networks():
    """Three norms, three probabilities, and so on; measures are drawn, two are undefined."""
    draw = np.random.default_rng(0)
    values = product((0, 1), ("l2sq", "l2"), ("sum",), ("none",), ("relu", "tanh"),
                     ("ffa-sigmoid", "sigmoid", "symmetric"))  # fmt: skip
    rows = []
    for seed, norm, aggregation, inhibition, activation, probability in values:
        name = "-".join((norm, aggregation, inhibition, activation, probability))
        family = taxonomy.family(activation, norm, aggregation, inhibition, probability)
        rows.append({
            "key": f"{name}/{seed}", "configuration": name, "dataset": "mnist", "seed": seed,
            "epochs": 8, "norm": norm, "aggregation": aggregation, "inhibition": inhibition,
            "activation": activation, "probability": probability, "origin": "own",
            "structure": draw.choice([*taxonomy.STRUCTURES, "unclear"]),
            "family": family.structure, "stated": family.stated,
            **{c: draw.uniform(0.2, 0.9) for g in explorer.GROUPS.values() for c in g},
            "published_hoyer": draw.uniform(), "something_new": draw.uniform(),
        })  # fmt: skip
    frame = pd.DataFrame(rows)
    frame.loc[0, "hoyer"], frame.loc[1, "label_image_ratio"] = np.nan, np.inf
    return frame


def projections(frame):
    """Of all networks but the last: a cloud that is twice as wide as it is high."""
    draw = np.random.default_rng(1)
    true, label = np.arange(POINTS) // 10 % 10, np.arange(POINTS) % 10
    about = {"positive": true == label, "true_class": true, "label": label}
    return {key: pd.DataFrame({"x": draw.uniform(-20, 20, POINTS), "y": draw.uniform(3, 23, POINTS),
                               **about}) for key in frame["key"][:-1]}  # fmt: skip


def diagrams(frame):
    """Of all networks but the last: nine finite bars of H0, an infinite one, three of H1."""
    h0 = np.c_[np.zeros(10), np.r_[np.linspace(0.1, 0.9, 9), np.inf]]
    h1 = np.array([[0.5, 0.6], [0.5, 0.8], [0.7, 0.75]])
    bars = pd.DataFrame(np.r_[h0, h1], columns=["birth", "death"])
    bars = bars.assign(dimension=[0] * 10 + [1] * 3, h0_points=10, h1_points=8, h1_radius=0.25)
    return {key: bars for key in frame["key"][:-1]}


def page(frame=None, **changes):
    """The explorer of these."""
    frame = networks() if frame is None else frame
    given = {"label": "quick", "provenance": {"Seeds": "0, 1"}, **changes}
    return explorer.page(frame, projections(frame), diagrams(frame), **given)
