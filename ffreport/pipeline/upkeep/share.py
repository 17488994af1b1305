"""What stored runs have for the tables that travel with the project."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ffcore.config import Experiment, SparsityExperiment
from ffcore.errors import DataError
from ffreport.analysis.rq2 import latents as rq2
from ffreport.analysis.sparsity.conditions import balance
from ffreport.base.console import job, say
from ffreport.runs import shipped
from ffreport.runs.store import Run
from ffreport.study.study import Study, network, project_root, read_profile


def networks(into: Path, runs: Sequence[Run]) -> tuple[int, int]:
    """Add the networks among some runs to a folder's tables; returns how many were added, and how
    many replaced others."""
    current = [r for r in runs if r.experiment.kind == Experiment.kind]
    return shipped.write(
        into, Experiment.kind, (shipped.of(r, {"history": r.table("history")}) for r in current)
    )


def studies(into: Path, runs: Sequence[Run]) -> tuple[int, int]:
    """Add the sparsity runs among some runs to a folder's tables, with the data of those that are
    ``followed``; returns how many were added, and how many replaced others."""
    found, keys = [], followed()
    for run in runs:
        if run.experiment.kind != SparsityExperiment.kind or "curve.parquet" not in run.files:
            continue  # a network, or of an older engine
        tables = {"epochs": run.table("epochs"), "curve": run.table("curve"),
                  "balance": balance(run)}  # fmt: skip
        if run.experiment.key in keys:
            tables["samples"] = run.table("samples").query("theorem == 2 and layer == 1")
        found.append(shipped.of(run, tables))
    return shipped.write(into, SparsityExperiment.kind, found)


def followed() -> set[str]:
    """Keys of the runs whose followed data are shipped: the first study's of each profile."""
    profiles = sorted((project_root() / "profiles").glob("*.yaml"))
    return {read_profile(path.stem).sparsity[0].base.key for path in profiles}


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
