"""Measuring the latents of stored networks for the table that travels with the project."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ffcore.errors import DataError
from ffreport.analysis.rq2 import latents as rq2
from ffreport.base.console import job, say
from ffreport.runs import shipped, shipped_studies
from ffreport.runs.store import Run
from ffreport.study.study import Study, network, project_root, read_profile


def studies(into: Path, runs: Sequence[Run]) -> tuple[int, int]:
    """Add the sparsity runs among some runs to a folder's tables, with the followed data of each
    profile's first study; returns how many were added, and how many replaced others."""
    profiles = sorted((project_root() / "profiles").glob("*.yaml"))
    followed = {read_profile(path.stem).sparsity[0].base.key for path in profiles}
    current = [r for r in runs if "curve.parquet" in r.files]  # not of an older engine
    return shipped_studies.write(into, current, followed)


def latents(into: Path, runs: Sequence[Run], results: Path) -> int:
    """Add what RQ2 measures of some networks, on the paper profile's sample of images, to a
    folder's table; returns of how many. Networks whose data set is not there are left out, and
    named."""
    study = Study("paper", results=results.resolve())
    there = set()
    for name in sorted({network(run).dataset for run in runs}):
        try:
            study.dataset(name)
            there.add(name)
        except DataError as error:
            say(f"latents on {name} are not measured: {error}")
    chosen = [run for run in runs if network(run).dataset in there]
    rows = []
    with job(f"measuring latents of {len(chosen)} networks", len(chosen)) as progress:
        for run in chosen:
            rows.append(rq2.shareable(study, run))
            progress.update(len(rows), run.experiment.name)
    if rows:
        shipped.write_latents(into, pd.concat(rows, ignore_index=True))
    return len(rows)
