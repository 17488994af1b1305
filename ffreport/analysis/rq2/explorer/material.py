"""What the latent explorer shows of a study's networks, from frames that are computed once."""

from __future__ import annotations

import copy
from typing import Any

import pandas as pd

from ffreport.analysis.rq2 import latents
from ffreport.analysis.rq2.topology import networks as rq2_topology
from ffreport.runs.store import Run
from ffreport.study.study import Study


def material(study: Study) -> dict[str, Any]:
    """The arguments of ``page.page``; what is not kept yet is computed here, in one process
    (``latents.prepare`` does so on all cores).

    Raises:
        StoreError: there are measures of no network; names the command that trains.
    """
    frame = networks(study)
    size, about = study.profile.rq2, study.provenance
    return {
        "networks": frame,
        "projections": {r.experiment.key: projection(study, r) for r in study.networks},
        "diagrams": {r.experiment.key: diagram(study, r) for r in study.networks},
        "label": study.profile.label,
        "paper_scale": study.profile.paper_scale,
        "provenance": {
            "Profile": f"{study.profile.label}: {study.profile.title}",
            "Command": study.profile.command("explorer"),
            "Networks": latents.sources(frame),
            "Latents": f"layer 1, {size.images:,} test images with every candidate label; "
            f"projections and diagrams are of {size.explorer_points:,} of them",
            "Seeds": ", ".join(map(str, about["seeds"])),
            "Experiments": about["experiments"],
            "Code": about["code"],
        },
    }


def networks(study: Study) -> pd.DataFrame:
    """One row a network, shipped ones too: its factors, ``last`` accuracy, the nine measures with
    the published ones beside, structure and observables; see ``latents.latent_measures`` and
    ``latents.structures``, whose ``separability`` is ``separability_observed`` here."""
    seen = latents.structures(study).rename(columns={"separability": "separability_observed"})
    frame = latents.latent_measures(study)
    new = [c for c in seen if c not in frame]
    frame = frame.merge(seen[["key", *new]], on="key", validate="one_to_one")
    last = {record.experiment.key: record.summary["last"] for record in study.measured}
    return frame.assign(last=frame["key"].map(last))


def projection(study: Study, run: Run) -> pd.DataFrame:
    """t-SNE of ``explorer_points`` latents of one network, see ``latents.projection``."""
    return latents.projection(_small(study), run)


def diagram(study: Study, run: Run) -> pd.DataFrame:
    """Persistence pairs of ``explorer_points`` latents of one network, H1 of no more than
    ``h1_points``; see ``rq2_topology.homology``."""
    return rq2_topology.homology(_small(study), run)


def _small(study: Study) -> Study:
    """The study with projections and diagrams of ``explorer_points`` latents."""
    size = study.profile.rq2
    points = size.explorer_points
    fewer = {"tsne_points": points, "h0_points": points, "h1_points": min(size.h1_points, points)}
    small = copy.copy(study)
    small.profile = study.profile.model_copy(update={"rq2": size.model_copy(update=fewer)})
    return small
