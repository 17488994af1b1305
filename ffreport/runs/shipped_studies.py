"""Sparsity runs that travel with the project: their records and tables, no weights, no steps.

Parquet files in a folder: ``theory.parquet`` (a row a run: key, name, and the whole record as
JSON), ``sparsity_epochs.parquet`` and ``sparsity_curves.parquet`` (all of these tables of
``runs.SparsityResult``), ``sparsity_balances.parquet`` (of ``balance``, for steps are too
many), and ``sparsity_samples.parquet`` (Theorem 2 on followed images, of some runs only).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffcore.config import SparsityExperiment
from ffcore.errors import ConfigError, StoreError
from ffreport.runs.frames import read_table, write_frames
from ffreport.runs.shipped import packed, unpacked

if TYPE_CHECKING:
    import pandas as pd

    from ffreport.runs.store import Run

RUNS = "sparsity.parquet"
TABLES = {
    "epochs": "sparsity_epochs.parquet",
    "curve": "sparsity_curves.parquet",
    "balance": "sparsity_balances.parquet",
    "samples": "sparsity_samples.parquet",
}
FILES = (RUNS, *TABLES.values())
EDGES = (0, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1)  # of bins of |lowering|
COUNTS = {"epoch": "int16", "layer": "int8", "theorem": "int8"}


@dataclass(frozen=True)
class SharedRun:
    """A shipped sparsity run; reads like a ``store.Run``."""

    experiment: SparsityExperiment
    summary: dict[str, Any]
    seconds: dict[str, float]
    provenance: dict[str, Any]
    tables: Mapping[str, pd.DataFrame]

    def table(self, name: str) -> pd.DataFrame:
        """One of its tables.

        Raises:
            StoreError: it was not shipped; train the run to have it.
        """
        if name not in self.tables:
            raise StoreError(
                f"table {name!r} of {self.experiment.name} is not shipped; train it with "
                "`python pipeline.py train --only sparsity`"
            )
        return self.tables[name]


def balance(run: Run | SharedRun) -> pd.DataFrame:
    """A run's steps by how much of their goodness they lower, of layer 1.

    Returns:
        For each ``when`` (``initial``: epoch 0, or ``training``) and bin of ``lowering`` with any:
        number of ``steps`` and of their ``data``; means over these steps, weighted by data, of
        ``lowering`` and of the shares ``satisfied`` and ``rose`` of positives and negatives
        together, in percent; ``all_or_none``, percent of the steps in which more than 95 or less
        than 5 percent of the data became sparser.
    """
    if isinstance(run, SharedRun):
        return run.table("balance")
    import numpy as np
    import pandas as pd

    rows = run.table("steps").query("theorem == 2 and layer == 1")
    rows = rows.assign(data=rows["data"] - rows["undefined"])
    shares = rows[["satisfied", "rose"]].fillna(0).mul(100 * rows["data"], axis=0)
    place = [rows["epoch"], rows["batch"]]
    steps = (
        shares.groupby(place)
        .sum()
        .assign(
            data=rows.groupby(place)["data"].sum(), lowering=rows.groupby(place)["lowering"].mean()
        )
    )
    steps = steps[steps["data"] > 0]
    share = steps["rose"] / steps["data"]
    steps["all_or_none"] = 100.0 * ((share > 95) | (share < 5))
    steps["pull"] = steps["lowering"] * steps["data"]
    size = np.searchsorted(EDGES[1:-1], steps["lowering"].abs(), side="right") + 1
    bins = np.where(steps["lowering"] < 0, -size, size)
    when = np.where(steps.index.get_level_values("epoch") == 0, "initial", "training")
    groups = steps.groupby([when, bins])
    total = groups.sum()
    found = pd.DataFrame(
        {"steps": groups.size(), "data": total["data"], "lowering": total["pull"] / total["data"],
         "satisfied": total["satisfied"] / total["data"], "rose": total["rose"] / total["data"],
         "all_or_none": groups["all_or_none"].mean()}
    )  # fmt: skip
    return found.rename_axis(["when", "bin"]).reset_index().drop(columns="bin")


def read(folder: Path) -> dict[str, SharedRun]:
    """Key → run of every sparsity run in a folder; empty where the folder has no such tables.

    Raises:
        StoreError: one table without the others, or one that cannot be read or does not fit.
    """
    if not any((folder / name).exists() for name in FILES):
        return {}

    try:
        rows = read_table(folder / RUNS).to_dict("records")
        parts = {
            name: {key: part.drop(columns="key").reset_index(drop=True)
                   for key, part in read_table(folder / file).groupby("key", sort=False)}
            for name, file in TABLES.items()
        }  # fmt: skip
        found = {}
        for row in rows:
            values = unpacked(SparsityExperiment, row)
            tables = {name: of[row["key"]] for name, of in parts.items() if row["key"] in of}
            if not {"epochs", "curve", "balance"} <= set(tables):
                raise ValueError(f"{row['name']} lacks a table")
            found[row["key"]] = SharedRun(**values, tables=tables)
        return found
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ConfigError) as error:
        raise StoreError(
            f"the sparsity tables in {folder} cannot be used: {error}; bring all back, such as "
            f"with `git checkout -- {folder.name}`, or remove all"
        ) from None


def write(folder: Path, runs: Iterable[Run], followed: Collection[str] = ()) -> tuple[int, int]:
    """Add the sparsity runs among some runs to a folder's tables; same keys are replaced.

    Args:
        followed: keys of runs whose ``samples`` are shipped.

    Returns:
        how many were added, and how many replaced others.
    """
    import pandas as pd

    entries = read(folder)
    before = set(entries)
    new = {}
    for run in runs:
        e = run.experiment
        if not isinstance(e, SparsityExperiment):
            continue
        tables = {"epochs": run.table("epochs"), "curve": run.table("curve"),
                  "balance": balance(run)}  # fmt: skip
        if e.key in followed:
            samples = run.table("samples")
            tables["samples"] = samples[(samples["theorem"] == 2) & (samples["layer"] == 1)]
        new[e.key] = SharedRun(e, run.summary, run.seconds, run.provenance, tables)
    if not new:
        return 0, 0
    entries |= new
    ordered = sorted(entries.values(), key=lambda r: r.experiment.name)
    frames = {folder / RUNS: pd.DataFrame([packed(run) for run in ordered])}
    for name, file in TABLES.items():
        parts = [r.tables[name].assign(key=r.experiment.key) for r in ordered if name in r.tables]
        if parts:
            frames[folder / file] = _small(pd.concat(parts, ignore_index=True))
        else:
            frames[folder / file] = pd.DataFrame({"key": pd.Series(dtype="str")})
    write_frames(frames, "zstd")
    return len(new.keys() - before), len(new.keys() & before)


def _small(frame: pd.DataFrame) -> pd.DataFrame:
    """Short integers and single precision: what is reported has four digits."""
    counts = {k: v for k, v in COUNTS.items() if k in frame}
    wide = {c: "float32" for c in frame.select_dtypes("float64") if c != "rate"}
    return frame.astype({**wide, **counts})
