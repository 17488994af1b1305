"""RQ2: persistent homology of a study's networks, compared with each other and the taxonomy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ffcore.config import FACTORS
from ffreport.analysis import stats
from ffreport.analysis.rq2 import latents, measures, taxonomy
from ffreport.analysis.rq2.topology import distances
from ffreport.analysis.rq2.topology import homology as topology
from ffreport.analysis.stats import holm
from ffreport.runs.store import WEIGHTS, Run
from ffreport.study.study import Study, content, identity, network

VIEWS = {
    "raw": "latents as they are, in units of the network's root mean square length",
    "unit": "latents divided by their length",
    "filtered": "raw, without DBSCAN's noise",
}
COMPARED = ("raw", "unit")  # views in which networks are compared with each other
PARTS = [(view, dimension) for view in COMPARED for dimension in (0, 1)]
COMPARISONS = ("bottleneck", "wasserstein", "image")
TAXONOMIES = {"structure": "measured structure", "family": "the paper's family"}


def chosen(study: Study) -> list[Run]:
    """The networks that are compared: the prototypes and a sample stratified by the paper's family.

    Of the first data set, one network (the first stored) a configuration, and one of those that are
    the same function of the image because they never learned; families take turns, each in an order
    drawn with a fixed seed, until ``distance_networks`` of the profile are found. They are returned
    in the profile's order.
    """
    first = network(study.networks[0]).dataset
    there = {network(r).configuration: r for r in reversed(study.networks)
             if network(r).dataset == first}  # fmt: skip
    strata: dict[str, list[str]] = {s: [] for s in taxonomy.FAMILIES}
    for name, run in sorted(there.items()):
        e = network(run)
        family = taxonomy.family(**{f: getattr(e, f) for f in FACTORS}).structure
        strata[family].append(name)
    rng = np.random.default_rng(0)
    lines = [[names[i] for i in rng.permutation(len(names))] for names in strata.values()]
    taken = [c for c in latents.PROTOTYPES.values() if c in there]
    turns = [line[i] for i in range(len(there)) for line in lines if i < len(line)]
    taken += [c for c in turns if c not in taken]
    alike: dict[Any, str] = {}
    for name in taken:
        same = there[name].files[WEIGHTS].sha256, network(there[name]).activation
        alike.setdefault(same, name)
    kept = set(list(alike.values())[: study.profile.rq2.distance_networks])
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

    def points() -> np.ndarray:
        values = latents.latents(study, run).values
        return values[stats.sample_rows(len(values), size.h0_points, seed=0)]

    def compute() -> pd.DataFrame:
        if view == "unit":
            return of_cloud(prepared(points(), view), view, size.h1_points)
        # Most of the time goes into distances, which the raw and the filtered view share.
        of = [run.experiment.key, run.files[WEIGHTS], size.h0_points, size.images]
        cloud = study.newest("cloud", of, lambda: prepared(points(), "raw"))
        return of_cloud(cloud, view, size.h1_points)

    inputs = {"view": view, "points": (size.h0_points, size.h1_points), "images": size.images}
    return study.cached("homology", inputs, compute, run)


def of_points(points: np.ndarray, view: str, h1_points: int) -> pd.DataFrame:
    """The frame of ``homology``, of points [N, n]."""
    return of_cloud(prepared(points, view), view, h1_points)


def prepared(points: np.ndarray, view: str) -> topology.Cloud:
    """Points [N, n] in the units of a view, before it filters."""
    x: Any = np.asarray(points, dtype=np.float64)
    if view == "unit":
        return topology.cloud(measures.unit_rows(x))
    length = float(np.sqrt((x**2).sum(axis=1).mean()))
    return topology.cloud(x / (length if length > 0 else 1.0))


def of_cloud(cloud: topology.Cloud, view: str, h1_points: int) -> pd.DataFrame:
    """The frame of ``homology``, of what ``prepared`` gives for that view."""
    removed, eps = 0.0, 0.0
    if view == "filtered":
        points = len(cloud.place)
        found = distances.dbscan_filter(cloud, min(distances.NEIGHBOURS, points))
        cloud, removed, eps = cloud.part(found.kept), 1 - float(found.kept.mean()), found.eps
    h0 = topology.persistence(cloud)
    h1 = topology.persistence(cloud, maxdim=1, n_perm=h1_points)
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
    structure = latents.structures(study, own=True).set_index("key")
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
    """Distances between all pairs of chosen networks, in every view of COMPARED and dimension; see
    ``between``."""
    return pd.concat([between(study, *part) for part in PARTS], ignore_index=True)


def between(study: Study, view: str, dimension: int) -> pd.DataFrame:
    """Distances between all pairs of chosen networks: ``view``, ``homology``, ``comparison`` (one
    of COMPARISONS), ``first`` and ``second`` (keys), ``distance``; each ordered pair once."""
    runs = chosen(study)
    keys = [r.experiment.key for r in runs]

    def compute() -> pd.DataFrame:
        bars = [diagram(homology(study, run, view), dimension) for run in runs]
        frames = []
        for comparison in COMPARISONS:
            if comparison == "image":
                found = distances.between_images(distances.images(bars))
            else:
                found = distances.matrix(bars, comparison)
            frames.append(pd.DataFrame({
                "view": view, "homology": f"H{dimension}", "comparison": comparison,
                "first": np.repeat(keys, len(keys)), "second": keys * len(keys),
                "distance": found.ravel(),
            }))  # fmt: skip
        return pd.concat(frames, ignore_index=True)

    size = study.profile.rq2
    inputs = {"runs": [content(r) for r in runs], "points": (size.h0_points, size.h1_points),
              "images": size.images, "part": (view, dimension)}  # fmt: skip
    return study.cached("pairwise", inputs, compute)


def table(frame: pd.DataFrame, view: str, homology: str, comparison: str) -> pd.DataFrame:
    """One matrix of a frame of ``pairwise``, keys as rows and columns, in the chosen order."""
    part = frame[(frame["view"] == view) & (frame["homology"] == homology)
                 & (frame["comparison"] == comparison)]  # fmt: skip
    keys = list(dict.fromkeys(part["first"]))
    return part.pivot(index="first", columns="second", values="distance").loc[keys, keys]


def agreement(study: Study) -> pd.DataFrame:
    """How far clusters by topological distance are the taxonomy's structures.

    Each dendrogram is cut into as many clusters as there are structures (or families) among the
    chosen networks; networks that fit no rule are left out of the comparison with structures, and
    those with plug-ins out of that with families.

    Returns:
        ``against`` (of TAXONOMIES), ``view``, ``homology``, ``comparison``, ``networks``,
        ``clusters``, ``rand_index`` (adjusted), ``p`` (by permutation), ``p_holm`` (over all rows).
    """
    pairs = pairwise(study)
    labels = latents.structures(study, own=True).set_index("key")
    rows = []
    for against in TAXONOMIES:
        for (view, homology_, comparison), _ in pairs.groupby(
            ["view", "homology", "comparison"], sort=False
        ):
            d = table(pairs, view, homology_, comparison)
            label = labels.loc[d.index, against].to_numpy()
            known = ~np.isin(label, [latents.UNCLEAR, taxonomy.NO_FAMILY])
            row = {"against": against, "view": view, "homology": homology_,
                   "comparison": comparison, "networks": int(known.sum()),
                   "clusters": len(set(label[known])), "rand_index": np.nan,
                   "p": np.nan}  # fmt: skip
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


def sources(runs: Sequence[Run]) -> str:
    """Whose results a figure of these networks shows, such as "24 own (8 epochs)"."""
    if not runs:
        return "none"
    epochs = sorted({int(r.summary["epochs"]) for r in runs})
    return f"{len(runs)} own ({', '.join(map(str, epochs))} epochs)"
