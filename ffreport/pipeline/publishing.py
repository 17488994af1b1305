"""A version of executed reports: what goes into its manifest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ffreport.base import digests
from ffreport.base.console import say
from ffreport.compute import pool
from ffreport.data import load
from ffreport.pipeline.stages import EXPLORER, Pipeline
from ffreport.publish import versions


def publish(pipeline: Pipeline, names: Sequence[str]) -> Path:
    """Publish the executed notebooks of these reports as one version; returns its folder."""
    runs = pipeline.store.usable(pipeline.experiments)
    names_of_data = sorted({e.dataset for e in pipeline.experiments})
    complete = set(names) == set(pipeline.notebooks)
    command = "all" if complete else " ".join(["report", *names])
    inputs = {
        "reports": {name: pipeline.inputs(name) for name in names},
        "data": {d: load.fingerprint(d) for d in names_of_data},
    }
    beside = [page for page in [EXPLORER] if page.beside in names]
    inputs["pages"] = {page.name: pipeline.inputs(page.name) for page in beside}
    folder = versions.publish(
        inputs, [pipeline.work / name for name in names], profile=pipeline.profile,
        results=pipeline.results, figures=pipeline.figures,
        pages={page.title: pipeline.made(page.name) for page in beside},
        extra={
            "command": pipeline.profile.command(command),
            "seeds": sorted({e.seed for e in pipeline.experiments}),
            "experiments": {e.key: e.name for e in pipeline.experiments},
            "stand_ins": {
                planned: found for n in names for planned, found in
                pipeline.evidence.stand_ins(pipeline.needed(n), pipeline.weights(n)).items()
            },
            "label": pipeline.profile.label,
        },
        measured={
            "hardware": {
                "trained on": sorted({r.provenance["hardware"] for r in runs}),
                "reported on": [pool.hardware()],
            },
            "run_seconds": {r.experiment.name: r.seconds for r in runs},
            "revision": digests.revision(pipeline.root),
        },
        notify=say, complete=complete,
    )  # fmt: skip
    return folder
