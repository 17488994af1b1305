"""What RQ2's topological tables show, in sentences with their numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ffreport.analysis.rq2.topology import homology as topology
from ffreport.analysis.rq2.topology.networks import TAXONOMIES, diagram
from ffreport.analysis.stats import t_interval
from ffreport.base.words import count


def prototypes(frames: Mapping[str, pd.DataFrame]) -> str:
    """How alike the gaps between neighbouring components are in each prototype, from frames of
    ``networks.homology`` by structure."""
    if not frames:
        return "None of the prototypes was trained."
    parts = []
    for structure, pairs in frames.items():
        length = topology.lifetimes(diagram(pairs, 0))
        if len(length) == 0 or length[-1] <= 0:
            parts.append(f"{structure} none (all latents coincide)")
            continue
        median, top = np.median(length), length[-1]
        loops = topology.lifetimes(diagram(pairs, 1))
        parts.append(
            f"{structure} {median / top:.2f} of {top:.2f}, with {len(loops)} loops, the longest "
            f"{loops.max(initial=0.0):.2f}"
        )
    return (
        "Median H0 lifetime as a share of the longest one (in RMS lengths): "
        + "; ".join(parts)
        + ". A share near one half or above is an even cloud, one near zero is dense clusters with "
        "few far-apart groups."
    )


def sampled(frame: pd.DataFrame, trained: int) -> str:
    """Networks, points, covering radii and certain loops of a frame of ``networks.summary``.

    Args:
        trained: configurations that the networks were chosen from.
    """
    loops = frame[(frame["homology"] == "H1") & (frame["view"] == "raw")]
    parts = frame[(frame["homology"] == "H0") & (frame["view"] == "raw")]
    share = (loops["radius"].to_numpy() / parts["longest"].to_numpy())[parts["longest"] > 0]
    counts = ", ".join(f"{n} {s}" for s, n in loops["structure"].value_counts().items())
    cover = f"{np.median(share):.2f} (at most {share.max():.2f})" if len(share) else "undefined"
    return (
        f"{len(loops)} of {trained} trained configurations are compared: the prototypes and a "
        f"sample stratified by family. Measured structures among them: {counts}. H0 is of "
        f"{parts['points'].max():,} latents a network, H1 of {loops['points'].max():,} of these, "
        f"spread by greedy permutation; the others lie within a covering radius that is in the "
        f"median {cover} of the longest H0 lifetime. {int(loops['certain'].sum())} of the "
        f"{int(loops['bars'].sum())} loops are longer than four radii, so that they must be there "
        "in the whole sample, too; the rest describe the subsample."
    )


def agreement(frame: pd.DataFrame) -> str:
    """What a frame of ``networks.agreement`` shows."""
    parts = []
    for against, name in TAXONOMIES.items():
        part = frame[frame["against"] == against].dropna(subset=["rand_index"])
        if part.empty:
            parts.append(f"For {name} no comparison is possible: there is a single group.")
            continue
        best = part.loc[part["rand_index"].idxmax()]
        sure = int((part["p_holm"] < 0.05).sum())
        parts.append(
            f"Against {name} ({best['networks']} networks, {best['clusters']} groups) the best of "
            f"{len(part)} dendrograms is that of the {best['view']} latents' {best['homology']} by "
            f"{best['comparison']}: adjusted Rand index {best['rand_index']:.2f}, "
            f"p = {best['p']:.2g} by permutation, {best['p_holm']:.2g} after Holm's correction; "
            f"the median index is {part['rand_index'].median():.2f}, and {sure} of {len(part)} "
            "are better than chance at 5 % after that correction."
        )
    return " ".join(parts)


def entropies(frame: pd.DataFrame) -> str:
    """Mean H0 entropy of raw latents by measured structure, with 95 % t intervals, from a frame of
    ``networks.summary``."""
    part = frame[(frame["homology"] == "H0") & (frame["view"] == "raw")].dropna(subset=["entropy"])
    found = []
    for structure, group in part.groupby("structure"):
        low, high = t_interval(group["entropy"])
        span = f", interval {low:.2f} to {high:.2f}" if len(group) > 1 else ""
        found.append(
            f"{structure} {group['entropy'].mean():.2f} ({count(len(group), 'network')}{span})"
        )
    top = part["largest_entropy"].max()
    return f"Mean H0 entropy in nats, of at most {top:.2f}: " + "; ".join(found) + "."


def filtering(frame: pd.DataFrame) -> str:
    """What DBSCAN's filter changes, from a frame of ``networks.filter_effect``."""
    parts = [_changed(frame, "H0", "longest"), _changed(frame, "H0", "entropy"),
             _changed(frame, "H1", "longest"), _changed(frame, "H1", "entropy")]  # fmt: skip
    removed = frame[frame["homology"] == "H0"]["removed"]
    return (
        f"The filter removes {100 * removed.median():.1f} % of the latents in the median network "
        f"({100 * removed.min():.1f} to {100 * removed.max():.1f} %). " + " ".join(parts)
    )


def _changed(frame: pd.DataFrame, homology: str, column: str) -> str:
    part = frame[frame["homology"] == homology]
    if column == "entropy":
        change: Any = part["entropy_filtered"] - part["entropy_raw"]
        show: Callable[[float], str] = "{:+.2f} nats".format
    else:
        change = 100 * (part["longest_filtered"] / part["longest_raw"].replace(0, np.nan) - 1)
        show = "{:+.0f} %".format
    change = change.replace([np.inf, -np.inf], np.nan).dropna()
    if change.empty:
        return f"{homology} has no bars to compare."
    low, high = t_interval(change)
    span = f" (mean {show(change.mean())}, interval {show(low)} to {show(high)})"
    what = "persistence entropy" if column == "entropy" else "longest lifetime"
    return f"{homology}'s {what} changes by {show(change.median())} in the median network{span}."
