"""Figures of RQ2's topology: diagrams, lifetimes, distances, images, entropy, the filter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import dendrogram

from ffreport.analysis import look

VIEWS = {"raw": "raw latents", "unit": "normalised latents", "filtered": "raw, filtered"}
UNITS = {"raw": "RMS lengths of a latent", "unit": "lengths of a latent"}
NO_PROTOTYPE = "none of the prototypes of the paper's structures"
BEFORE, AFTER = "#999999", "#0072B2"


@look.styled
def diagrams(frames: Mapping[str, pd.DataFrame], captions: Mapping[str, str]) -> Figure:
    """Persistence diagrams of one network a structure: distribution of H0 deaths above, H1 below.

    Args:
        frames: by structure, of ``networks.homology``.
        captions: by structure, what is shown, in two lines.
    """
    if not frames:
        return look.nothing(NO_PROTOTYPE)
    figure, axes = look.canvas(2, len(frames), 2.05 * len(frames) + 0.6, 4.9)
    finite = {s: f[np.isfinite(f["death"])] for s, f in frames.items()}
    every = pd.concat(list(finite.values()))
    last, edge = (
        1.04 * (of["death"].max() if len(of) else 1.0)
        for of in (every[every["dimension"] == dimension] for dimension in (0, 1))
    )
    for column, (structure, frame) in enumerate(finite.items()):
        upper, lower = axes[0, column], axes[1, column]
        _, _, name, colour, _ = look.STRUCTURES[structure]
        deaths = frame.loc[frame["dimension"] == 0, "death"].to_numpy()
        if len(deaths):
            upper.hist(deaths, bins=np.linspace(0, last, 41), color=colour, alpha=0.85)
        else:
            upper.text(0.5, 0.5, "all latents\ncoincide", transform=upper.transAxes, ha="center",
                       va="center", fontsize=7.5, color="0.5")  # fmt: skip
        upper.set(xlim=(0, last), ylim=(0.7, max(map(len, finite.values()))))
        upper.set_yscale("log")
        upper.minorticks_off()
        loops = frame[frame["dimension"] == 1]
        lower.plot([0, edge], [0, edge], color="0.6", lw=0.9)
        radius = float(frames[structure]["h1_radius"].iloc[0])
        certain = np.array([0, edge])
        lower.fill_between(certain, certain, certain + 4 * radius, color="0.93", lw=0)
        lower.scatter(loops["birth"], loops["death"], s=9, color=colour, alpha=0.75, lw=0)
        lower.set(xlim=(0, edge), ylim=(0, edge), aspect="equal")
        upper.set_title(f"{name}\n\n", fontsize=8.5)
        upper.text(0.5, 1.02, captions[structure], transform=upper.transAxes, ha="center",
                   va="bottom", fontsize=5.8, color="0.35")  # fmt: skip
        upper.set_xlabel("death of a component", fontsize=8)
        lower.set_xlabel("birth of a loop", fontsize=8)
    for axis in axes[:, 1:].flat:
        axis.sharey(axes[0, 0] if axis in axes[0] else axes[1, 0])
    axes[0, 0].set_ylabel("components")
    axes[1, 0].set_ylabel("death of a loop")
    look.below(figure, [look.patch("shorter than four covering radii", "0.9")], 1, fontsize=7.5)
    return figure


@look.styled
def survival(frames: Mapping[str, Mapping[str, pd.DataFrame]]) -> Figure:
    """Share of bars that live longer than a given length: H0 and H1, raw and normalised.

    Args:
        frames: by view, then by structure, of ``networks.homology``.
    """
    if not all(frames.values()):
        return look.nothing(NO_PROTOTYPE)
    figure, axes = look.canvas(2, len(frames), 8.2, 5.6)
    for column, (view, of) in enumerate(frames.items()):
        for dimension, axis in enumerate(axes[:, column]):
            for structure, frame in of.items():
                seen = look.STRUCTURES[structure]
                part = frame[(frame["dimension"] == dimension) & np.isfinite(frame["death"])]
                length = np.sort((part["death"] - part["birth"]).to_numpy())[::-1]
                if len(length) == 0:
                    continue
                share = np.arange(1, len(length) + 1) / len(length)
                axis.step(np.r_[length, 0], np.r_[share, 1], where="post", color=seen.colour,
                          lw=1.5, label=seen.name)  # fmt: skip
            axis.set(yscale="log", xlim=(0, None), ylim=(None, 1.15))
            axis.minorticks_off()
            axis.set_xlabel(f"lifetime ({UNITS[view]})", fontsize=8)
            axis.set_title(f"H{dimension}, {VIEWS[view]}")
            look.grid(axis)
        axes[0, column].sharey(axes[0, 0])
    for axis in axes[:, 0]:
        axis.set_ylabel("bars that live longer (share)", fontsize=8.5)
    drawn = [look.STRUCTURES[s] for s in next(iter(frames.values()))]
    look.below(figure, [look.line(s.name, s.colour, lw=1.8) for s in drawn])
    return figure


@look.styled
def distance_map(
    table: pd.DataFrame, tree: np.ndarray, labels: pd.DataFrame, title: str, unit: str
) -> Figure:
    """A matrix of distances in the order of its dendrogram, with strips of family and structure.

    Args:
        table: [k, k] distances, keys as rows and columns.
        tree: its linkage [k − 1, 4].
        labels: by key: ``configuration``, ``structure`` (measured), ``family``.
        title: which latents, dimension and distance.
        unit: what distances are measured in.
    """
    side = 0.165 * len(table) + 1.2
    figure, axes = look.canvas(1, 4, side + 4.0, side + 1.5,
                          width_ratios=[0.22 * side, 0.14, 0.14, side])  # fmt: skip
    branches, family, structure, heat = axes[0]
    with plt.rc_context({"lines.linewidth": 0.9}):
        found = dendrogram(tree, orientation="left", ax=branches, no_labels=True,
                           color_threshold=0, above_threshold_color="0.35")  # fmt: skip
    branches.set_axis_off()
    branches.invert_yaxis()
    order = found["leaves"]
    shown = table.to_numpy()[np.ix_(order, order)]
    picture = heat.imshow(shown, cmap="cividis", aspect="auto", interpolation="nearest")
    keys = [table.index[i] for i in order]
    heat.set_xticks([])
    heat.yaxis.tick_right()
    heat.set_yticks(range(len(keys)), labels.loc[keys, "configuration"], fontsize=6.5)
    heat.tick_params(length=0)
    for axis, column, name in ((family, "family", "paper's family"),
                               (structure, "structure", "measured")):  # fmt: skip
        for row, key in enumerate(keys):
            of = str(labels.loc[key, column])
            colour = look.FAMILIES.get(of, look.FAMILIES["unclear"]).colour
            axis.add_patch(plt.Rectangle((0, row - 0.5), 1, 1, color=colour, lw=0))
        axis.set(xlim=(0, 1), ylim=(len(keys) - 0.5, -0.5), xticks=[], yticks=[])
        axis.text(0.5, 1.01, name, rotation=90, ha="center", va="bottom", fontsize=7,
                  transform=axis.transAxes)  # fmt: skip
        axis.spines[:].set_visible(False)
    heat.set_title(title)
    bar = figure.colorbar(picture, ax=heat, orientation="horizontal", pad=0.02, aspect=40,
                          shrink=0.8)  # fmt: skip
    bar.set_label(f"distance ({unit})", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    used = [*dict.fromkeys([*labels.loc[keys, "family"], *labels.loc[keys, "structure"]])]
    look.below(figure, _patches(used))
    return figure


@look.styled
def images(h0: np.ndarray, h1: np.ndarray, structures: list[str]) -> Figure:
    """Persistence images of one network a structure: H0 as a profile, H1 as an image.

    Args:
        h0: [structures, 1, lifetimes], over a shared range.
        h1: [structures, births, lifetimes], over shared ranges.
    """
    if not structures:
        return look.nothing(NO_PROTOTYPE)
    figure, axes = look.canvas(2, len(structures), 1.9 * len(structures) + 0.8, 4.1,
                          gridspec_kw={"height_ratios": [1, 1.7]})  # fmt: skip
    top = float(h1.max()) or 1.0
    picture = None
    for column, structure in enumerate(structures):
        upper, lower = axes[0, column], axes[1, column]
        profile = h0[column].sum(axis=0)
        upper.fill_between(np.linspace(0, 1, len(profile)), profile, step="mid",
                           color=look.STRUCTURES[structure].colour, lw=0)  # fmt: skip
        upper.set(xlim=(0, 1), ylim=(0, None), yticks=[])
        upper.set_xlabel("lifetime / longest", fontsize=7.5)
        upper.set_title(look.STRUCTURES[structure].tick, fontsize=8.5)
        roots = (h1[column].clip(min=0) / top).T ** 0.5
        picture = lower.imshow(roots, origin="lower", cmap="cividis", vmin=0,
                               vmax=1, aspect="auto", extent=(0, 1, 0, 1))  # fmt: skip
        lower.set_xlabel("birth / range", fontsize=7.5)
        for axis in (upper, lower):
            axis.set_xticks([0, 0.5, 1], ["0", "½", "1"], fontsize=7)
        lower.set_yticks([0, 0.5, 1], ["0", "½", "1"] if column == 0 else [], fontsize=7)
    axes[0, 0].set_ylabel("H0 weight")
    axes[1, 0].set_ylabel("H1 lifetime / longest", fontsize=8)
    if picture is not None:
        bar = figure.colorbar(picture, ax=axes[1, :], shrink=0.9, pad=0.01, aspect=18)
        bar.set_label("√(weight / largest)", fontsize=7.5)
        bar.ax.tick_params(labelsize=7)
    return figure


@look.styled
def entropy(frame: pd.DataFrame) -> Figure:
    """Persistence entropy by measured structure: networks, and means with 95 % t intervals.

    Args:
        frame: of ``networks.summary``.
    """
    figure, axes = look.canvas(2, 2, 9.6, 5.4)
    there = [s for s in look.STRUCTURES if (frame["structure"] == s).any()]
    draw = np.random.default_rng(0)
    for row, homology in enumerate(("H0", "H1")):
        for column, view in enumerate(("raw", "unit")):
            axis = axes[row, column]
            part = frame[(frame["homology"] == homology) & (frame["view"] == view)]
            for place, structure in enumerate(there):
                values = part.loc[part["structure"] == structure, "entropy"].dropna()
                dots(axis, place, values, look.STRUCTURES[structure].colour, draw)
            if homology == "H0" and len(part):
                axis.axhline(part["largest_entropy"].max(), color="0.5", lw=0.9, ls="--")
            look.places(axis, [look.STRUCTURES[s].tick for s in there], fontsize=6.5)
            axis.set_title(f"{homology}, {VIEWS[view]}")
            look.grid(axis, "y")
        axes[row, 0].set_ylabel("persistence entropy (nats)")
    handles = [look.mark("a network", "o", "0.45", ms=4),
               look.mark("mean, 95 % interval", "_", "black"),
               look.line("largest possible", "0.5", ls="--")]  # fmt: skip
    look.below(figure, handles)
    return figure


@look.styled
def filtering(frame: pd.DataFrame) -> Figure:
    """What DBSCAN's filter removes, and changes in entropy and longest lifetime.

    Args:
        frame: of ``networks.filter_effect``.
    """
    figure, axes = look.canvas(1, 3, 9.4, 0.17 * frame["key"].nunique() + 1.6, sharey=True)
    h0 = frame[frame["homology"] == "H0"].sort_values("removed", ignore_index=True)
    place = {key: i for i, key in enumerate(h0["key"])}
    axes[0, 0].barh(range(len(h0)), 100 * h0["removed"],
                    color=[look.STRUCTURES[s].colour for s in h0["structure"]])  # fmt: skip
    axes[0, 0].set(xlabel="latents (%)", ylim=(-0.7, len(h0) - 0.3))
    axes[0, 0].set_title("removed")
    axes[0, 0].set_yticks(range(len(h0)), h0["configuration"], fontsize=6.5)
    for axis, column, title, label in (
        (axes[0, 1], "entropy", "persistence entropy", "nats"),
        (axes[0, 2], "longest", "longest lifetime", "RMS lengths of a latent"),
    ):
        for homology, marker in (("H0", "o"), ("H1", "^")):
            part = frame[frame["homology"] == homology]
            y = [place[k] for k in part["key"]]
            before, after = part[f"{column}_raw"], part[f"{column}_filtered"]
            axis.hlines(y, before, after, color="0.75", lw=1)
            axis.scatter(before, y, marker=marker, s=17, facecolors="white", edgecolors=BEFORE,
                         lw=1, zorder=3)  # fmt: skip
            axis.scatter(after, y, marker=marker, s=15, color=AFTER, lw=0, zorder=4)
        axis.set_title(title)
        axis.set_xlabel(label)
        axis.set_xlim(left=0)
        look.grid(axis, "y")
    handles = _patches([*h0["structure"]])
    for homology, marker in (("H0", "o"), ("H1", "^")):
        handles += [look.mark(f"{homology}, all latents", marker, BEFORE, mfc="white", ms=5),
                    look.mark(f"{homology}, filtered", marker, AFTER, ms=5)]  # fmt: skip
    look.below(figure, handles, 4, fontsize=7.5)
    return figure


def dots(
    axis: Axes, place: float, values: pd.Series, colour: str, draw: Any, room: float = 0.9
) -> None:
    """Single values, jittered, and beside them their mean with its 95 % t interval (the mean alone
    where there is one value), within ``room`` around a place on the x axis."""
    if values.empty:
        return
    x = place + room * (draw.uniform(-0.2, 0.2, len(values)) - 0.25)
    axis.scatter(x, values, s=13, color=colour, alpha=0.6, lw=0)
    mean, half = look.interval(values)
    x_mean = place + 0.3 * room
    axis.hlines(mean, x_mean - 0.13 * room, x_mean + 0.13 * room, color="black", lw=1.6)
    if len(values) > 1:
        axis.errorbar(x_mean, mean, half, fmt="none", ecolor="black", capsize=2.5, elinewidth=1.1)


def _patches(structures: list[str]) -> list[Any]:
    seen = [found for structure, found in look.FAMILIES.items() if structure in structures]
    return [look.patch(found.name, found.colour) for found in seen]
