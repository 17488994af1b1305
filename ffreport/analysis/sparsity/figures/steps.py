"""Figures of the sparsity theorems: satisfaction, prediction and outcome, sparsity, κ(θ)."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ffreport.analysis import look

SIDE = {"positive": "#0072B2", "negative": "#D55E00"}
STUDY = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#B8A800"]


@look.styled
def shares(epochs: pd.DataFrame) -> Figure:
    """Share that satisfies Theorem 2 and share whose sparsity really rose, over training.

    Args:
        epochs: ``study``, ``epoch``, ``layer``, ``theorem``, ``side``, ``quantity``, ``value`` in
            [0, 1].
    """
    studies = list(dict.fromkeys(epochs["study"]))
    columns = min(4, len(studies))
    rows = -(-len(studies) // columns)
    figure, axes = look.canvas(rows, columns, 2.4 * columns + 0.6, 2.5 * rows + 0.9, sharey=True)
    for axis in axes.flat[len(studies) :]:
        axis.set_axis_off()
    second = epochs[(epochs["theorem"] == 2) & (epochs["layer"] == 1)]
    for axis, study in zip(axes.flat, studies, strict=False):
        axis.axhline(50, color="0.65", lw=1, ls=":")
        for side, colour in SIDE.items():
            for quantity, dash in (("satisfied", "-"), ("rose", "--")):
                part = second[(second["study"] == study) & (second["side"] == side)
                              & (second["quantity"] == quantity)]  # fmt: skip
                axis.plot(part["epoch"], 100 * part["value"], color=colour, ls=dash, lw=1.7,
                          marker="o", ms=3)  # fmt: skip
        axis.set_title(textwrap.fill(study, 30), fontsize=8)
        axis.set(xlabel="epoch (0: before training)", ylim=(-2, 102))
        look.whole_numbers(axis)
    for axis in axes[:, 0]:
        axis.set_ylabel("share of data (%)")
    handles = [look.line(f"{s} data", c, lw=1.7) for s, c in SIDE.items()]
    handles += [
        look.line("inequality satisfied", lw=1.7),
        look.line("sparsity rose in the step", lw=1.7, ls="--"),
        look.line("published: above 50 %", "0.65", lw=1, ls=":"),
    ]
    look.below(figure, handles)
    return figure


@look.styled
def margin_against_change(samples: pd.DataFrame) -> Figure:
    """Measured change of sparsity over the first-order prediction, a point a datum and step.

    Args:
        samples: ``side``, ``first_order`` and ``change`` of Hoyer sparsity.
    """
    sides = [s for s in SIDE if s in set(samples["side"])]
    figure, axes = look.canvas(1, len(sides), 3.9 * len(sides) + 0.4, 3.9)
    for axis, side in zip(axes[0], sides, strict=True):
        part = samples[samples["side"] == side].dropna(subset=["first_order", "change"])
        scale = float(np.quantile(part[["first_order", "change"]].abs(), 0.995)) or 1e-12
        power = 10.0 ** np.floor(np.log10(scale))
        x, y = part["first_order"] / power, part["change"] / power
        limit = 1.1 * scale / power
        axis.axhline(0, color="0.6", lw=0.8)
        axis.axvline(0, color="0.6", lw=0.8)
        axis.plot([-limit, limit], [-limit, limit], color="0.6", lw=0.8, ls=":")
        axis.scatter(x, y, s=4, color=SIDE[side], alpha=0.35, lw=0, rasterized=True)
        for right in (True, False):
            for up in (True, False):
                share = float((((x > 0) == right) & ((y > 0) == up)).mean())
                # Right predictions lie on the diagonal: their shares stand beside it.
                outer, inner = (0.96, 0.56) if up else (0.04, 0.44)
                axis.text(
                    0.97 if right else 0.03, inner if right == up else outer,
                    f"{100 * share:.1f} %", transform=axis.transAxes, fontsize=8.5,
                    ha="right" if right else "left", va="top" if up else "bottom",
                )  # fmt: skip
        unit = f"10$^{{{int(np.log10(power))}}}$"
        axis.set(
            xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal",
            xlabel=f"change predicted to first order ({unit})",
            ylabel=f"measured change of sparsity ({unit})",
        )  # fmt: skip
        axis.set_title(f"{side} data, {len(part):,} checks")
    return figure


@look.styled
def sparsity_over_training(epochs: pd.DataFrame) -> Figure:
    """Mean Hoyer sparsity of positive and negative latents at the start of each epoch's steps.

    Args:
        epochs: as in ``shares``.
    """
    figure, axes = look.canvas(1, 2, 8.4, 3.2, sharey=True)
    part = epochs[(epochs["quantity"] == "sparsity") & (epochs["theorem"] == 2)]
    for axis, side in zip(axes[0], SIDE, strict=True):
        for number, study in enumerate(dict.fromkeys(part["study"])):
            colour, dash = STUDY[number % len(STUDY)], "-" if number < len(STUDY) else "--"
            curve = part[(part["study"] == study) & (part["side"] == side)]
            axis.plot(
                curve["epoch"], curve["value"], color=colour, ls=dash, lw=1.8, marker="o", ms=3,
                label=study,
            )  # fmt: skip
        axis.set_title(f"{side} data")
        axis.set(xlabel="epoch (0: before training)")
        look.whole_numbers(axis)
        axis.grid(axis="y", color="0.92")
    axes[0, 0].set_ylabel("mean Hoyer sparsity of h")
    look.below(figure, axes[0, 0].get_legend_handles_labels()[0], 2)
    return figure


@look.styled
def kappa_curve(theta: np.ndarray, kappa: np.ndarray, angles: pd.DataFrame) -> Figure:
    """κ(θ) above, and below where the pairs of a data set lie.

    Args:
        theta: [K] radians in [0, π].
        kappa: [K].
        angles: ``pixels`` (how they are scaled) and ``angle`` in radians, a pair a row.
    """
    figure, axes = look.canvas(2, 1, 5.8, 4.8, sharex=True, height_ratios=[1.5, 1])
    upper, lower = axes[:, 0]
    degrees = np.degrees(theta)
    upper.axhline(0, color="0.5", lw=0.8)
    upper.fill_between(degrees, kappa, 0, where=kappa >= 0, color="#0072B2", alpha=0.25, lw=0)
    upper.fill_between(degrees, kappa, 0, where=kappa < 0, color="#D55E00", alpha=0.25, lw=0)
    upper.plot(degrees, kappa, color="black", lw=1.8)
    upper.set_ylabel("κ(θ)")
    upper.text(55, float(kappa.max()) * 0.35, "makes i sparser", ha="center", fontsize=8.5,
               color="#0072B2")  # fmt: skip
    upper.text(125, float(kappa.min()) * 0.5, "makes i denser", ha="center", fontsize=8.5,
               color="#D55E00")  # fmt: skip
    bins = np.linspace(0, 180, 91)
    for colour, (pixels, part) in zip(STUDY[2:], angles.groupby("pixels"), strict=False):
        lower.hist(
            np.degrees(part["angle"]), bins=bins, weights=np.full(len(part), 100 / len(part)),
            histtype="step", lw=1.5, color=colour, label=f"{pixels} pixels",
        )  # fmt: skip
    lower.set(xlabel="angle θ between two data (degrees)", ylabel="pairs (%)", xlim=(0, 180))
    lower.set_xticks(range(0, 181, 30))
    lower.legend(loc="upper right")
    return figure
