"""RQ2: persistent homology of a study's networks, compared with each other and the taxonomy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ffcore import distances, measures, rq2, taxonomy, topology
from ffcore.config import FACTORS
from ffcore.intervals import holm, t_interval
from ffcore.store import Run
from ffcore.study import Study, identity, network

VIEWS = {
    "raw": "latents as they are, in units of the network's root mean square length",
    "unit": "latents divided by their length",
    "filtered": "raw, without DBSCAN's noise",
}
COMPARED = ("raw", "unit")  # views in which networks are compared with each other
COMPARISONS = ("bottleneck", "wasserstein", "image")
TAXONOMIES = {"structure": "measured structure", "family": "the paper's family"}


def chosen(study: Study) -> list[Run]:
    """The networks that are compared: the prototypes and a sample stratified by the paper's family.

    Of the first data set, one network (the first stored) a configuration; families take turns, each
    in an order drawn with a fixed seed, until ``distance_networks`` of the profile are found. The
    first in the profile's order is the first returned.
    """
    first = network(study.networks[0]).dataset
    there = {network(r).configuration: r for r in reversed(study.networks)
             if network(r).dataset == first}  # fmt: skip
    strata: dict[str, list[str]] = {s: [] for s in taxonomy.STRUCTURES}
    for name, run in sorted(there.items()):
        e = network(run)
        family = taxonomy.family(**{f: getattr(e, f) for f in FACTORS}).structure
        strata[family].append(name)
    rng = np.random.default_rng(0)
    lines = [[names[i] for i in rng.permutation(len(names))] for names in strata.values()]
    taken = [c for c in rq2.PROTOTYPES.values() if c in there]
    turns = [line[i] for i in range(len(there)) for line in lines if i < len(line)]
    taken += [c for c in turns if c not in taken]
    kept = set(taken[: study.profile.rq2.distance_networks])
    return [r for r in study.networks if network(r).configuration in kept
            and r is there.get(network(r).configuration)]  # fmt: skip


def homology(study: Study, run: Run, view: str = "raw") -> pd.DataFrame:
    """Persistence pairs of a sample of latents in one of VIEWS.

    H0 is of ``h0_points`` latents (drawn with a fixed seed), H1 of ``h1_points`` of these by greedy
    permutation: its diagram is within twice the covering radius of the whole sample's.

    Returns:
        ``dimension``, ``birth``, ``death`` (infinite for the component that never dies), and in
        every row: ``h0_points``, ``h1_points``, ``h1_radius`` (covering radius), ``removed`` (share
        that the filter took), ``eps`` (its radius). Distances are in units of the sample's root
        mean square length, but for ``unit``, where a latent has length 1.
    """
    size = study.profile.rq2

    def compute() -> pd.DataFrame:
        values = rq2.latents(study, run).values
        return of_points(values[measures.sample_rows(len(values), size.h0_points, seed=0)], view,
                         size.h1_points)  # fmt: skip

    inputs = {"view": view, "points": (size.h0_points, size.h1_points), "images": size.images}
    return study.cached("homology", inputs, __name__, compute, run)


def of_points(points: np.ndarray, view: str, h1_points: int) -> pd.DataFrame:
    """The frame of ``homology``, of points [N, n]."""
    x, removed, eps = np.asarray(points, dtype=np.float64), 0.0, 0.0
    if view == "unit":
        x = measures.unit_rows(x)
    else:
        length = float(np.sqrt((x**2).sum(axis=1).mean()))
        x = x / (length if length > 0 else 1.0)
    if view == "filtered":
        found = distances.dbscan_filter(x, min(distances.NEIGHBOURS, len(x)))
        x, removed, eps = x[found.kept], 1 - float(found.kept.mean()), found.eps
    h0 = topology.persistence(x)
    h1 = topology.persistence(x, maxdim=1, n_perm=h1_points)
    about = {"h0_points": h0.points, "h1_points": h1.points, "h1_radius": h1.radius,
             "removed": removed, "eps": eps}  # fmt: skip
    parts = [
        pd.DataFrame(d, columns=["birth", "death"]).assign(dimension=i, **about)
        for i, d in enumerate((h0.diagrams[0], h1.diagrams[1]))
    ]
    return pd.concat(parts, ignore_index=True)


def diagram(pairs: pd.DataFrame, dimension: int) -> np.ndarray:
    """[k, 2] finite bars of one dimension of a frame of ``homology``."""
    part = pairs[(pairs["dimension"] == dimension) & np.isfinite(pairs["death"])]
    return part[["birth", "death"]].to_numpy(dtype=float)


def summary(study: Study) -> pd.DataFrame:
    """One row a chosen network, view and dimension: its ``structure`` and ``family``, ``points``,
    finite ``bars``, ``longest`` and ``median`` lifetime, ``entropy`` (nats), ``largest_entropy``
    (that so many points could have, H0 only), covering ``radius``, ``certain`` bars (longer than 4
    radii: they must have a counterpart in the whole sample), ``removed`` and ``eps``."""
    structure = rq2.structures(study).set_index("key")
    rows = []
    for run in chosen(study):
        named = identity(run)
        of = structure.loc[named["key"]]
        for view in VIEWS:
            pairs = homology(study, run, view)
            for dimension in (0, 1):
                bars = diagram(pairs, dimension)
                length = topology.lifetimes(bars)
                points = int(pairs[f"h{dimension}_points"].iloc[0])
                radius = float(pairs["h1_radius"].iloc[0]) if dimension else 0.0
                rows.append({
                    **named, "structure": of["structure"], "family": of["family"], "view": view,
                    "homology": f"H{dimension}", "points": points, "bars": len(bars),
                    "longest": length.max(initial=0.0),
                    "median": float(np.median(length)) if len(length) else 0.0,
                    "entropy": topology.persistence_entropy(bars),
                    "largest_entropy": np.nan if dimension else np.log(max(points - 1, 1)),
                    "radius": radius, "certain": int((length > 4 * radius).sum()),
                    "removed": pairs["removed"].iloc[0], "eps": pairs["eps"].iloc[0],
                })  # fmt: skip
    return pd.DataFrame(rows)


def pairwise(study: Study) -> pd.DataFrame:
    """Distances between all pairs of chosen networks: ``view``, ``homology``, ``comparison`` (one
    of COMPARISONS), ``first`` and ``second`` (keys), ``distance``; each ordered pair once."""
    runs = chosen(study)
    keys = [r.experiment.key for r in runs]

    def compute() -> pd.DataFrame:
        frames = []
        for view in COMPARED:
            pairs = [homology(study, run, view) for run in runs]
            for dimension in (0, 1):
                bars = [diagram(p, dimension) for p in pairs]
                for comparison in COMPARISONS:
                    found = (distances.between_images(distances.images(bars))
                             if comparison == "image" else distances.matrix(bars, comparison))  # fmt: skip
                    frames.append(pd.DataFrame({
                        "view": view, "homology": f"H{dimension}", "comparison": comparison,
                        "first": np.repeat(keys, len(keys)), "second": keys * len(keys),
                        "distance": found.ravel(),
                    }))  # fmt: skip
        return pd.concat(frames, ignore_index=True)

    size = study.profile.rq2
    files = [[r.experiment.key, {n: f["sha256"] for n, f in r.files.items()}] for r in runs]
    inputs = {"runs": files, "points": (size.h0_points, size.h1_points), "images": size.images}
    return study.cached("pairwise", inputs, __name__, compute)


def table(frame: pd.DataFrame, view: str, homology: str, comparison: str) -> pd.DataFrame:
    """One matrix of a frame of ``pairwise``, keys as rows and columns, in the chosen order."""
    part = frame[(frame["view"] == view) & (frame["homology"] == homology)
                 & (frame["comparison"] == comparison)]  # fmt: skip
    keys = list(dict.fromkeys(part["first"]))
    return part.pivot(index="first", columns="second", values="distance").loc[keys, keys]


def agreement(study: Study) -> pd.DataFrame:
    """How far clusters by topological distance are the taxonomy's structures.

    Each dendrogram is cut into as many clusters as there are structures (or families) among the
    chosen networks; networks that fit no rule are left out of the comparison with structures.

    Returns:
        ``against`` (of TAXONOMIES), ``view``, ``homology``, ``comparison``, ``networks``,
        ``clusters``, ``rand_index`` (adjusted), ``p`` (by permutation), ``p_holm`` (over all rows).
    """
    pairs = pairwise(study)
    labels = rq2.structures(study).set_index("key")
    rows = []
    for against in TAXONOMIES:
        for (view, homology_, comparison), _ in pairs.groupby(
            ["view", "homology", "comparison"], sort=False
        ):
            d = table(pairs, view, homology_, comparison)
            label = labels.loc[d.index, against].to_numpy()
            known = label != rq2.UNCLEAR
            row = {"against": against, "view": view, "homology": homology_,
                   "comparison": comparison, "networks": int(known.sum()),
                   "clusters": len(set(label[known])), "rand_index": np.nan, "p": np.nan}  # fmt: skip
            if known.sum() > 1:
                d = d.to_numpy()[np.ix_(known, known)]
                found = distances.clusters(d, row["clusters"])
                row["rand_index"], row["p"] = distances.rand_test(found, label[known])
            rows.append(row)
    frame = pd.DataFrame(rows)
    return frame.assign(p_holm=holm(frame["p"].to_numpy()))


def filter_effect(frame: pd.DataFrame) -> pd.DataFrame:
    """What DBSCAN's filter changes, network by network, from a frame of ``summary``: ``removed``,
    ``eps``, and ``entropy``, ``longest`` and ``median`` before (``…_raw``) and after."""
    wide = frame.pivot_table(
        index=["key", "configuration", "structure", "family", "homology"], columns="view",
        values=["entropy", "longest", "median", "bars"], dropna=False, observed=True,
    )  # fmt: skip
    named = {f"{c}_{v}": wide[(c, v)] for c in ("bars", "entropy", "longest", "median")
             for v in ("raw", "filtered")}  # fmt: skip
    taken = frame[frame["view"] == "filtered"].set_index(list(wide.index.names))
    found = pd.DataFrame(named).join(taken[["removed", "eps"]], how="inner")
    return found.reset_index()


def sample_words(study: Study, frame: pd.DataFrame) -> str:
    """What was sampled, in words: networks, points, covering radii, certain loops."""
    loops = frame[(frame["homology"] == "H1") & (frame["view"] == "raw")]
    parts = frame[(frame["homology"] == "H0") & (frame["view"] == "raw")]
    share = (loops["radius"].to_numpy() / parts["longest"].to_numpy())[parts["longest"] > 0]
    there = len({network(r).configuration for r in study.networks})
    counts = ", ".join(f"{n} {s}" for s, n in loops["structure"].value_counts().items())
    cover = f"{np.median(share):.2f} (at most {share.max():.2f})" if len(share) else "undefined"
    return (
        f"{len(loops)} of {there} trained configurations are compared: the prototypes and a sample "
        f"stratified by family. Measured structures among them: {counts}. H0 is of "
        f"{parts['points'].max():,} latents a network, H1 of {loops['points'].max():,} of these, "
        f"spread by greedy permutation; the others lie within a covering radius that is in the "
        f"median {cover} of the longest H0 lifetime. {int(loops['certain'].sum())} of the "
        f"{int(loops['bars'].sum())} loops are longer than four radii, so that they must be there "
        "in the whole sample, too; the rest describe the subsample."
    )


def agreement_words(frame: pd.DataFrame) -> str:
    """What ``agreement`` found, in words."""
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
            "differ from chance at 5 % after that correction."
        )
    return " ".join(parts)


def entropy_words(frame: pd.DataFrame) -> str:
    """Mean H0 entropy of raw latents by measured structure, in words, with 95 % t intervals."""
    part = frame[(frame["homology"] == "H0") & (frame["view"] == "raw")].dropna(subset=["entropy"])
    found = []
    for structure, group in part.groupby("structure"):
        low, high = t_interval(group["entropy"])
        span = f", interval {low:.2f} to {high:.2f}" if len(group) > 1 else ""
        found.append(f"{structure} {group['entropy'].mean():.2f} ({len(group)} networks{span})")
    top = part["largest_entropy"].max()
    return f"Mean H0 entropy in nats, of at most {top:.2f}: " + "; ".join(found) + "."


def filter_words(frame: pd.DataFrame) -> str:
    """What DBSCAN's filter changes, in words, from a frame of ``filter_effect``."""
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
