"""RQ2: latents of a study's networks, their measures, projections, persistence and structures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product

import numpy as np
import pandas as pd

from ffcore import plugins
from ffcore.config import FACTORS
from ffcore.errors import ConfigError
from ffreport.analysis import published, stats
from ffreport.analysis.published import beside_published
from ffreport.analysis.rq2 import measures, taxonomy
from ffreport.analysis.rq2.topology import homology
from ffreport.analysis.stats import bootstrap_interval, spearman, wilson
from ffreport.base import digests
from ffreport.runs.store import Run
from ffreport.study.study import Study, identity, network

# One example of each of the paper's five structures (Appendix G), in its order. The paper names
# a configuration for the first, third and fourth; for the others it names the family, and these are
# examples whose layer 1 learns (the sigmoid unit's sum of ‖h‖₂, say, never does, in the published
# table either).
PROTOTYPES = {
    "original": "l1-sum-wta-relu-ffa-sigmoid",
    "sigmoid-activated": "l2sq-mean-none-sigmoid-ffa-sigmoid",
    "perturbation": "l2sq-sum-none-relu-ffa-sigmoid",
    "sigmoid-polar": "l2-sum-none-tanh-sigmoid",
    "symmetric-polar": "l2sq-mean-none-relu-symmetric",
}
UNCLEAR = "unclear"  # no structure's rules are fulfilled
JUDGED = ("structure", "margin", "family", "stated")
NINE = plugins.BUILT_IN["measure"]
SHIPPED = {"measure": NINE, "observable": taxonomy.OBSERVABLES}


class Latents:
    """Layer-1 activations of one network, image-major: row i·classes + c is image i with candidate
    label c.

    Args:
        values: [N, n] float32.
        truth: [images] true labels.
        classes: number of candidate labels.
    """

    def __init__(self, values: np.ndarray, truth: np.ndarray, classes: int) -> None:
        self.values = values
        self.image = np.repeat(np.arange(len(truth)), classes)
        self.label = np.tile(np.arange(classes), len(truth))
        self.true_class = np.repeat(truth, classes)
        self.positive = self.label == self.true_class


def latents(study: Study, run: Run, seed: int = 0) -> Latents:
    """Latents of a sample of test images, drawn with ``seed``, with every candidate label (DESIGN
    4); the same images for every network. The newest ones stay in memory: several frames of a
    network are made from them, one after the other."""
    of = [run.experiment.key, run.files, study.profile.rq2.images, seed]
    return study.newest("latents", of, lambda: _latents(study, run, seed))


def _latents(study: Study, run: Run, seed: int) -> Latents:
    from ffcore import train

    experiment = network(run)
    dataset = study.dataset(experiment.dataset)
    rows = stats.sample_rows(len(dataset.test_images), study.profile.rq2.images, seed)
    images = train.image_inputs(dataset.test_images[rows], experiment, dataset.classes)
    values = train.restore(experiment, run.weights()).latents(images)[0]
    truth = dataset.test_labels[rows].numpy()
    return Latents(values.flatten(0, 1).numpy(), truth, dataset.classes)


def latent_measures(study: Study) -> pd.DataFrame:
    """One row a network: factors, ``origin`` (``own`` or ``shipped``), whether it was trained for
    all planned epochs (``whole``), the nine measures, plug-ins that the profile names (NaN of
    shipped networks), and the published ones beside.

    Raises:
        ConfigError: a plug-in has the name of another column, fails or gives no number.
    """
    frame = _every(study, nine, "measure")
    if own := own_names(study):
        if taken := {*frame, *taxonomy.OBSERVABLES, *JUDGED, "last"}.intersection(own):
            raise ConfigError(f"measure {min(taken)!r} has the name of a column; choose another")
        found = {r.experiment.key: own_measures(study, r).iloc[0] for r in study.networks}
        frame = frame.assign(
            **{m: [found[k][m] if k in found else np.nan for k in frame["key"]] for m in own}
        )
    theirs = published.latent_measures()
    names = [c for c in theirs if c not in (*FACTORS, "dataset")]
    return beside_published(frame, theirs.rename(columns={c: f"published_{c}" for c in names}))


def shareable(study: Study, run: Run) -> pd.DataFrame:
    """A row of the shipped table of latents: ``key``, ``measure_…``, ``observable_…``, and what
    they were measured on, ``images`` and ``points``."""
    found = {"measure": nine(study, run), "observable": seen(study, run)}
    row = {f"{kind}_{c}": found[kind][c].iloc[0] for kind, names in SHIPPED.items() for c in names}
    size = {"images": study.profile.rq2.images, "points": study.profile.rq2.neighbour_points}
    return pd.DataFrame([{"key": run.experiment.key, **row, **size}])


def own_names(study: Study) -> list[str]:
    """The plug-in measures that the profile names; those that are built in are shown anyway."""
    return [m for m in dict.fromkeys(study.profile.rq2.measures) if m not in NINE]


def rank_agreement(frame: pd.DataFrame) -> pd.DataFrame:
    """Spearman rank correlation of ours with the published value, measure by measure.

    The published value is of one network; of a configuration with several of ours, such as several
    seeds, the first counts.

    Returns:
        ``trained`` (``as planned``, and ``all`` where some were trained for fewer epochs),
        ``measure``, ``networks`` (that both have), ``rank_correlation`` with its 95 % bootstrap
        interval over networks, ``low`` and ``high``, ``median_ours``, ``median_published``, and
        ``median_difference``, of |ours − published|.
    """
    rows = []
    once = frame.drop_duplicates(["dataset", "configuration"])
    parts = {"as planned": once[once["whole"]], "all": once}
    parts = {k: p for k, p in parts.items() if len(p) and (k != "all" or not p["whole"].all())}
    columns = [c for c in NINE if f"published_{c}" in frame]
    for (trained, part), column in product(parts.items(), columns):
        both = part[[column, f"published_{column}"]].dropna().to_numpy(dtype=float)
        rank = float(spearman(both[None])[0]) if len(both) > 2 else float("nan")
        low, high = bootstrap_interval(both, spearman)
        middle = np.median(both, axis=0) if len(both) else [np.nan, np.nan]
        apart = np.median(np.abs(both[:, 0] - both[:, 1])) if len(both) else np.nan
        rows.append(
            {"trained": trained, "measure": column, "networks": len(both),
             "rank_correlation": rank, "low": low, "high": high, "median_ours": middle[0],
             "median_published": middle[1], "median_difference": apart}
        )  # fmt: skip
    return pd.DataFrame(rows)


def structures(study: Study, own: bool = False) -> pd.DataFrame:
    """One row a network: its measured ``structure``, the ``margin`` of that decision, the paper's
    ``family`` and whether the paper states it (``stated``), and every observable.

    Args:
        own: only of networks with weights, ``study.networks``; else of shipped ones, too.
    """
    if not own:
        return judged(_every(study, seen, "observable"))
    frames = [seen(study, run).assign(origin=run.origin, whole=run.whole)
              for run in study.networks]  # fmt: skip
    columns = ["key", "configuration", "dataset", "seed", "epochs", *FACTORS, "origin", "whole"]
    none = pd.DataFrame(columns=[*columns, *taxonomy.OBSERVABLES])
    return judged(pd.concat(frames, ignore_index=True) if frames else none)


def judged(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame of factors and observables with ``structure``, ``margin``, ``family``, ``stated``."""
    rows = []
    for row in frame.to_dict("records"):
        decision = taxonomy.classify(row)
        family = taxonomy.family(**{f: row[f] for f in FACTORS})
        rows.append({"structure": decision.structure or UNCLEAR, "margin": decision.margin,
                     "family": family.structure, "stated": family.stated})  # fmt: skip
    found = pd.DataFrame(rows, index=frame.index, columns=list(JUDGED))
    return pd.concat([frame.drop(columns=[*taxonomy.OBSERVABLES]), found,
                      frame[[*taxonomy.OBSERVABLES]]], axis=1)  # fmt: skip


def agreement(frame: pd.DataFrame) -> pd.DataFrame:
    """Confusion of the assignment by family (rows) with the measured structure (columns), in
    networks; families that the paper states apart from those that are our reading of it, and from
    networks with plug-ins, which have none."""
    names = [*taxonomy.STRUCTURES, UNCLEAR, taxonomy.NO_FAMILY]
    known = frame["family"] != taxonomy.NO_FAMILY
    by = np.where(frame["stated"], "stated by the paper",
                  np.where(known, "our reading", "not in the paper"))  # fmt: skip
    table = pd.crosstab([by, frame["family"]], frame["structure"], rownames=["source", "family"])
    columns = [n for n in names if n in table.columns]
    order = {n: i for i, n in enumerate(names)}
    table = table[columns].reset_index()
    table["order"] = table["family"].map(order)
    table = table.sort_values(["source", "order"], ascending=[False, True], ignore_index=True)
    return table.drop(columns="order")


def agreement_rate(frame: pd.DataFrame) -> str:
    """How often the measured structure is the family, in words, with 95 % Wilson intervals."""
    parts = []
    known = frame[frame["family"] != taxonomy.NO_FAMILY]
    if known.empty:
        return "No network here has a family: each has a plug-in among its factors."
    for stated, what in ((True, "that the paper states"), (False, "of our reading")):
        part = known[known["stated"] == stated]
        if part.empty:
            continue
        hits = int((part["structure"] == part["family"]).sum())
        low, high = wilson(hits, len(part))
        parts.append(
            f"{hits} of {len(part)} networks ({100 * hits / len(part):.0f} %, interval "
            f"{100 * low:.0f} to {100 * high:.0f} %) whose family is one {what}"
        )
    return "The measured structure agrees with the family for " + ", and for ".join(parts) + "."


def prototypes(study: Study) -> dict[str, Run]:
    """The first stored network of each structure's prototype; those not trained are left out."""
    found = {network(r).configuration: r for r in reversed(study.networks)}
    return {s: found[c] for s, c in PROTOTYPES.items() if c in found}


def sources(frame: pd.DataFrame, runs: Mapping[str, Run] | None = None) -> str:
    """Whose networks a figure shows, such as "24 own (8 epochs), 18 shipped (50 epochs)".

    Args:
        frame: of ``structures``, or of ``latent_measures``.
        runs: only these of them.
    """
    if runs is not None and not frame.empty:
        frame = frame[frame["key"].isin([r.experiment.key for r in runs.values()])]
    if frame.empty:
        return "none"
    counts = frame.groupby(["origin", "epochs"], sort=False).size()
    return ", ".join(f"{n} {origin} ({epochs} epochs)" for (origin, epochs), n in counts.items())


def captions(study: Study) -> dict[str, str]:
    """What stands over each prototype's picture: its configuration, data set, and the structure
    that its latents measure as, which need not be the paper's."""
    if not study.networks:
        return {}
    measured = structures(study, own=True).set_index("key")["structure"]
    return {
        s: f"{network(r).dataset}: {network(r).configuration}\nmeasured: "
        f"{measured[r.experiment.key]}"
        for s, r in prototypes(study).items()
    }


def projection(study: Study, run: Run, normalised: bool = False) -> pd.DataFrame:
    """t-SNE of a sample of latents, half of them positive: ``x``, ``y``, ``positive``,
    ``true_class``, ``label``, ``image``."""
    points = study.profile.rq2.tsne_points

    def compute() -> pd.DataFrame:
        found = latents(study, run)
        rows = _balanced(found.positive, points)
        xy = measures.tsne(found.values[rows], normalised=normalised)
        columns = {"positive": found.positive, "true_class": found.true_class,
                   "label": found.label, "image": found.image}  # fmt: skip
        return pd.DataFrame({"x": xy[:, 0], "y": xy[:, 1],
                             **{k: v[rows] for k, v in columns.items()}})  # fmt: skip

    inputs = {"points": points, "normalised": normalised, "images": study.profile.rq2.images}
    return study.cached("projection", inputs, compute, run)


def persistence(study: Study, run: Run) -> pd.DataFrame:
    """Persistence pairs of a sample of latents: ``dimension``, ``birth``, ``death`` (infinite for
    the component that never dies), ``points`` in the sample."""
    sizes = (study.profile.rq2.h0_points, study.profile.rq2.h1_points)

    def compute() -> pd.DataFrame:
        values = latents(study, run).values
        frames = []
        for dimension, size in enumerate(sizes):
            rows = stats.sample_rows(len(values), size, seed=0)
            found = homology.persistence(values[rows], maxdim=dimension)
            pairs = pd.DataFrame(found.diagrams[dimension], columns=["birth", "death"])
            frames.append(pairs.assign(dimension=dimension, points=len(rows)))
        return pd.concat(frames, ignore_index=True)

    inputs = {"sizes": sizes, "images": study.profile.rq2.images}
    return study.cached("persistence", inputs, compute, run)


def persistence_table(study: Study, runs: dict[str, Run]) -> pd.DataFrame:
    """Bars, longest lifetime and persistence entropy of each structure's prototype."""
    rows = []
    for structure, run in runs.items():
        pairs = persistence(study, run)
        for dimension, part in pairs.groupby("dimension"):
            diagram = part[["birth", "death"]].to_numpy()
            lengths = homology.lifetimes(diagram)
            lengths = lengths[np.isfinite(lengths)]
            rows.append(
                {"structure": structure, "network": network(run).configuration,
                 "homology": f"H{dimension}", "points": int(part["points"].iloc[0]),
                 "finite_bars": len(lengths),
                 "longest": lengths.max() if len(lengths) else 0.0,
                 "median": float(np.median(lengths)) if len(lengths) else 0.0,
                 "entropy": homology.persistence_entropy(diagram)}
            )  # fmt: skip
    columns = ["structure", "network", "homology", "points", "finite_bars", "longest", "median",
               "entropy"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def nine(study: Study, run: Run) -> pd.DataFrame:
    """Identity and the nine measures of one network."""
    points = study.profile.rq2.neighbour_points

    def compute() -> pd.DataFrame:
        found = latents(study, run)
        accuracies = run.table("history")["test_accuracy"].to_numpy()
        values = measures.all_measures(found.values, found.positive, accuracies, points)
        return pd.DataFrame([{**identity(run), **values}])

    inputs = {"points": points, "images": study.profile.rq2.images}
    return study.cached("measures", inputs, compute, run)


def own_measures(study: Study, run: Run) -> pd.DataFrame:
    """Key and the profile's plug-in measures of one network."""
    names = own_names(study)

    def compute() -> pd.DataFrame:
        found = latents(study, run)
        values = {m: plugins.call("measure", m, found.values, found.positive) for m in names}
        return pd.DataFrame(
            [{"key": run.experiment.key} | {m: _number(m, values[m]) for m in names}]
        )

    inputs = {"measures": digests.plugin_digests(("measure", m) for m in names),
              "images": study.profile.rq2.images}  # fmt: skip
    return study.cached("own-measures", inputs, compute, run)


def seen(study: Study, run: Run, seed: int = 0) -> pd.DataFrame:
    """Identity and observables of one network, on a sample of latents drawn with ``seed``."""
    points = study.profile.rq2.neighbour_points

    def compute() -> pd.DataFrame:
        e = network(run)
        found = latents(study, run, seed)
        seen = taxonomy.observables(
            found.values, found.positive, found.image, found.label, found.true_class,
            e.groups(e.widths[0])[0], points=points, seed=seed,
        )  # fmt: skip
        return pd.DataFrame([{**identity(run), **seen}])

    inputs = {"points": points, "images": study.profile.rq2.images, "seed": seed}
    return study.cached("observables", inputs, compute, run)


def _number(name: str, value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ConfigError(f"measure {name!r} gave {value!r:.60}; expected a number") from None


def _every(study: Study, compute: Callable[[Study, Run], pd.DataFrame], kind: str) -> pd.DataFrame:
    """One row of each network that there are measures of: computed, or from the shipped table."""
    frames = []
    for record in study.measured:
        if isinstance(record, Run):
            frame = compute(study, record)
        else:
            row = study.results.shipped.latents[record.experiment.key]
            values = {c: row[f"{kind}_{c}"] for c in SHIPPED[kind]}
            frame = pd.DataFrame([{**identity(record), **values}])
        frames.append(frame.assign(origin=record.origin, whole=record.whole))
    return pd.concat(frames, ignore_index=True)


def _balanced(positive: np.ndarray, points: int) -> np.ndarray:
    """Sorted rows: half positives, half negatives, as far as there are enough of each. Positives
    are a tenth of all latents, and would hardly be seen in a plain sample."""
    sides = [np.flatnonzero(positive), np.flatnonzero(~positive)]
    chosen = [s[stats.sample_rows(len(s), points // 2, seed=0)] for s in sides]
    return np.sort(np.concatenate(chosen))
