"""Figures of RQ2: measures, projections, persistence, the map of structures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ffreport.analysis import look
from ffreport.analysis.stats import spearman

POLARITY = {True: ("positive", "#0072B2"), False: ("negative", "#E69F00")}
# Paul Tol's ten muted hues with black for the tenth: digits stay apart in print and in any vision.
CLASSES = ["#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255",
           "#AA4499", "#000000"]  # fmt: skip
MEASURES = {
    "test_accuracy": "best test accuracy",
    "hoyer": "Hoyer, all latents",
    "hoyer_nonzero": "Hoyer, non-zero latents",
    "hoyer_positive": "Hoyer, positive latents",
    "neural_usage_hoyer": "usage: Hoyer over units",
    "neural_usage_fraction": "usage: share of units",
    "separability": "separability",
    "convergence_area": "convergence area",
    "convergence_time": "convergence time",
}


@look.styled
def measures_strip(frame: pd.DataFrame, own: Sequence[str] = ()) -> Figure:
    """The nine measures, ours and published, by probability; the bar is the median.

    Args:
        frame: ``probability``, the nine measures and ``published_`` ones beside; one row a network.
        own: further measures in it, which nothing was published of.
    """
    kinds = look.every("probability", frame["probability"])
    titles = MEASURES | {m: m.replace("_", " ") for m in own}
    rows = math.ceil(len(titles) / 3)
    figure, axes = look.canvas(rows, 3, 8.4 + 1.5 * (len(kinds) - 3), 2.2 * rows)
    draw = np.random.default_rng(0)
    for axis in axes.flat[len(titles) :]:
        axis.set_axis_off()
    for axis, (measure, title) in zip(axes.flat, titles.items(), strict=False):
        for place, probability in enumerate(kinds):
            part = frame[frame["probability"] == probability]
            for shift, column, filled in ((-0.17, measure, True),
                                          (0.17, f"published_{measure}", False)):  # fmt: skip
                if column not in part or (values := part[column].dropna()).empty:
                    continue
                x = place + shift + draw.uniform(-0.1, 0.1, len(values))
                colour = look.level("probability", probability).colour
                axis.scatter(x, values, s=11, lw=0.7, alpha=0.75, edgecolors=colour,
                             facecolors=colour if filled else "none")  # fmt: skip
                axis.hlines(values.median(), place + shift - 0.14, place + shift + 0.14,
                            color="black", lw=1.6, zorder=3)  # fmt: skip
        axis.set_title(title, fontsize=9)
        look.places(axis, [look.level("probability", k).tick for k in kinds])
        if measure in MEASURES:
            axis.set_ylim(-0.04, 1.04)
        look.grid(axis, "y")
    handles = [look.mark("ours"), look.mark("published", mfc="none")]
    look.below(figure, [*handles, look.line("median", "black", lw=1.6)])
    return figure


@look.styled
def against_published(frame: pd.DataFrame) -> Figure:
    """The nine measures, ours over the published value, one point a network, with its rank
    correlation.

    Args:
        frame: of ``latents.latent_measures``; one data set.
    """
    once = frame.drop_duplicates(["dataset", "configuration"])
    if once["published_test_accuracy"].isna().all():
        return look.nothing("latents of networks on this data set", "nothing published")
    figure, axes = look.canvas(3, 3, 8.4, 8.2)
    for axis, (measure, title) in zip(axes.flat, MEASURES.items(), strict=True):
        part = once.dropna(subset=[measure, f"published_{measure}"])
        for (probability, activation), some in part.groupby(["probability", "activation"]):
            axis.plot(some[f"published_{measure}"], some[measure], ls="", ms=4, mew=0.8,
                      marker=look.level("activation", activation).mark, alpha=0.7, mfc="none",
                      color=look.level("probability", probability).colour)  # fmt: skip
        pairs = part[[measure, f"published_{measure}"]].to_numpy(dtype=float)
        low, high = pairs.min(initial=1), pairs.max(initial=0)
        room = 0.05 * ((high - low) or 1.0)
        ends = (low - room, high + room) if len(part) else (0, 1)
        axis.plot(ends, ends, color="0.6", lw=0.8, zorder=0)
        rank = float(spearman(pairs[None])[0]) if len(pairs) > 2 else float("nan")
        axis.set(xlim=ends, ylim=ends, box_aspect=1)
        axis.set_title(f"{title}\nρ = {rank:.2f}, {len(part)} networks", fontsize=8.5)
    look.label(axes, "published", "ours")
    handles = look.entries("probability", look.LEVELS["probability"], marker="s")
    handles += look.entries("activation", look.LEVELS["activation"], colour="0.3", mfc="none")
    look.below(figure, handles, 6)
    return figure


@look.styled
def projections(
    frames: Mapping[str, pd.DataFrame],
    captions: Mapping[str, str],
    titles: Mapping[str, str] | None = None,
) -> Figure:
    """t-SNE projections of some networks: by polarity above, by class below.

    Args:
        frames: by structure, or by any key: ``x``, ``y``, ``positive``, ``true_class``.
        captions: by the same keys, what is shown, in two lines.
        titles: by the same keys; by default the names of structures.
    """
    if not frames:
        return look.nothing("no network is stored with its weights")
    titles = titles or {s: seen.name for s, seen in look.STRUCTURES.items()}
    figure, axes = look.canvas(2, len(frames), 2.1 * len(frames) + 0.9, 5.1)
    for column, (structure, frame) in enumerate(frames.items()):
        upper, lower = axes[0, column], axes[1, column]
        for positive, (_, colour) in sorted(POLARITY.items()):
            part = frame[frame["positive"] == positive]
            upper.scatter(part["x"], part["y"], s=3, color=colour, lw=0, alpha=0.75,
                          rasterized=True)  # fmt: skip
        colours = [CLASSES[int(c) % len(CLASSES)] for c in frame["true_class"]]
        lower.scatter(frame["x"], frame["y"], s=3, c=colours, lw=0, alpha=0.8, rasterized=True)
        upper.set_title(f"{titles[structure]}\n\n", fontsize=8.5, wrap=True)
        upper.text(0.5, 1.01, captions[structure], transform=upper.transAxes, ha="center",
                   va="bottom", fontsize=6.5, color="0.35")  # fmt: skip
        for axis in (upper, lower):
            axis.set(xticks=[], yticks=[])
            axis.set_box_aspect(1)
            for spine in axis.spines.values():
                spine.set(visible=True, color="0.8")
    axes[0, 0].set_ylabel("by polarity")
    axes[1, 0].set_ylabel("by true class")
    count = int(max(frame["true_class"].max() for frame in frames.values())) + 1
    more = ", …" if count > 2 * len(CLASSES) else ""
    alike = [", ".join(map(str, range(i, min(count, 2 * len(CLASSES)), len(CLASSES)))) + more
             for i in range(min(count, len(CLASSES)))]  # fmt: skip
    handles = [look.mark(name, colour=colour) for name, colour in POLARITY.values()]
    handles += [look.mark(t, colour=c) for c, t in zip(CLASSES, alike, strict=False)]
    look.below(figure, handles, len(handles), handletextpad=0.1, columnspacing=0.9)
    return figure


@look.styled
def persistence(frames: Mapping[str, pd.DataFrame]) -> Figure:
    """H0 lifetimes and H1 persistence diagrams of one network a structure.

    Distances are divided by each network's largest H0 death, so that the shapes compare.

    Args:
        frames: by structure: ``dimension``, ``birth``, ``death``, ``points``.
    """
    if not frames:
        return look.nothing("no network is stored with its weights")
    figure, axes = look.canvas(1, 2, 8.6, 3.7)
    left, right = axes[0]
    largest = 0.0
    for structure, frame in frames.items():
        seen = look.STRUCTURES[structure]
        h0 = frame[(frame["dimension"] == 0) & np.isfinite(frame["death"])]["death"].to_numpy()
        unit = h0.max() if len(h0) and h0.max() > 0 else 1.0
        alive = np.sort(h0 / unit)[::-1]
        left.step(alive, np.arange(1, len(alive) + 1) / max(len(alive), 1), where="post",
                  color=seen.colour, lw=1.6, label=seen.name)  # fmt: skip
        h1 = frame[(frame["dimension"] == 1) & np.isfinite(frame["death"])]
        if len(h1):
            right.scatter(h1["birth"] / unit, h1["death"] / unit, s=14, color=seen.colour,
                          alpha=0.8, lw=0)  # fmt: skip
            largest = max(largest, float((h1["death"] / unit).max()))
    left.set(
        xlabel="H0 lifetime / longest finite lifetime",
        ylabel="components that live longer (share)",
        xlim=(0, 1.02),
        ylim=(0, 1.02),
    )
    left.set_title("connected components (H0)")
    edge = largest * 1.05 or 1.0
    right.plot([0, edge], [0, edge], color="0.6", lw=1)
    right.set(xlabel="birth / longest H0 lifetime", ylabel="death / longest H0 lifetime",
              xlim=(0, edge), ylim=(0, edge), aspect="equal")  # fmt: skip
    right.set_title("loops (H1)")
    look.below(figure, left.get_legend_handles_labels()[0])
    return figure


@look.styled
def structure_map(frame: pd.DataFrame) -> Figure:
    """The whole grid as a map of measured structures; a fainter cell has a smaller margin, a cross
    marks where the paper states another structure.

    Args:
        frame: factors, ``structure``, ``margin``, ``family``, ``stated``; one data set and seed.
    """
    figure, axes = look.canvas(1, 1, 8.2, 5.1)
    axis = axes[0, 0]
    margins = look.grid_table(frame, "margin")
    strongest = max(float(np.nanmax(margins.to_numpy())), 1e-9)
    for (x, y), same in look.cells(frame, margins):
        found = same.iloc[-1]
        colour = look.STRUCTURES.get(found["structure"], look.STRUCTURES["unclear"]).colour
        strength = 0.35 + 0.65 * min(max(np.nan_to_num(found["margin"]) / strongest, 0), 1) ** 0.5
        cell = plt.Rectangle((x + 0.04, y + 0.06), 0.92, 0.88, color=colour, alpha=strength, lw=0)
        axis.add_patch(cell)
        if found["stated"] and found["family"] != found["structure"]:
            axis.plot(x + 0.5, y + 0.5, marker="x", color="black", ms=6, mew=1.3)
    axis.set(xlim=(0, margins.shape[1]), ylim=(len(margins), 0))
    look.label_grid(axis, margins)
    axis.spines[:].set_visible(False)
    handles = [look.patch(seen.name, seen.colour) for seen in look.STRUCTURES.values()]
    look.below(figure, [*handles, look.mark("the paper states another", "x", "black")])
    return figure
