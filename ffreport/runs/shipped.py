"""Result tables that travel with the project: each network's summary and history, no weights.

Parquet files in a folder, small enough for git: ``networks.parquet`` (a row a network: key, name,
accuracies, and the whole record as JSON) and ``histories.parquet`` (a row a network and epoch).
They let every figure of RQ1 be drawn without training. ``latents.parquet``, a row a network, holds
what RQ2 measured of latents, without which its tables would need the weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffcore import files
from ffcore.config import Experiment, build
from ffcore.errors import ConfigError, StoreError
from ffreport.runs.frames import read_table, write_frames

if TYPE_CHECKING:
    import pandas as pd

    from ffreport.runs.store import Run

NETWORKS, HISTORIES = "networks.parquet", "histories.parquet"
LATENTS = "latents.parquet"
RECORDED = ("experiment", "summary", "seconds", "provenance")
ACCURACIES = ("best", "last", "selected")


@dataclass(frozen=True)
class Entry:
    """One shipped network; ``history`` as in ``train.Result``."""

    experiment: Experiment
    summary: dict[str, Any]
    seconds: dict[str, float]
    provenance: dict[str, Any]
    history: pd.DataFrame


def packed(entry: Any) -> dict[str, Any]:
    """Key, name, and the RECORDED of an entry as JSON: columns of its row."""
    e = entry.experiment
    values: Mapping[str, Any] = {
        "experiment": e.model_dump(mode="json"), "summary": entry.summary,
        "seconds": entry.seconds, "provenance": entry.provenance,
    }  # fmt: skip
    texts = {k: json.dumps(v, sort_keys=True) for k, v in values.items()}
    return {"key": e.key, "name": e.name, **texts}


def unpacked(model: type[Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """The RECORDED of a row of ``packed``, its experiment as a ``model``.

    Raises:
        ValueError: the experiment is not that of the row's key.
    """
    values = {name: files.parsed(row[name]) for name in RECORDED}
    values["experiment"] = build(model, values["experiment"])
    if values["experiment"].key != row["key"]:
        raise ValueError(f"the rows of {row['name']} do not fit each other")
    return values


def read(folder: Path) -> dict[str, Entry]:
    """Key → entry of every network in a folder; empty where the folder has no tables.

    Raises:
        StoreError: one table without the other, or one that cannot be read or does not fit.
    """
    paths = [folder / NETWORKS, folder / HISTORIES]
    if not any(p.exists() for p in paths):
        return {}

    try:
        networks, histories = map(read_table, paths)
        rows = dict(iter(histories.drop(columns="key").groupby(histories["key"], sort=False)))
        entries = {}
        for row in networks.to_dict("records"):
            values = unpacked(Experiment, row)
            history = rows[row["key"]].dropna(axis="columns", how="all")
            if len(history) != values["summary"]["epochs"]:
                raise ValueError(f"the rows of {row['name']} do not fit each other")
            entries[row["key"]] = Entry(**values, history=history.reset_index(drop=True))
        return entries
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ConfigError) as error:
        raise StoreError(
            f"the result tables in {folder} cannot be used: {error}; bring both back, such as with "
            f"`git checkout -- {folder.name}`, or remove both"
        ) from None


def read_latents(folder: Path) -> dict[str, dict[str, float]]:
    """Key → measures and observables of every network in a folder's table; empty without one.

    Raises:
        StoreError: a table that cannot be read, or one without keys.
    """
    path = folder / LATENTS
    if not path.exists():
        return {}

    try:
        return {str(k): dict(row) for k, row in
                read_table(path).set_index("key").to_dict("index").items()}  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"the table of latents {path} cannot be used: {error}; bring it back, such as with "
            f"`git checkout -- {folder.name}`, or remove it"
        ) from None


def write_latents(folder: Path, rows: pd.DataFrame) -> int:
    """Add rows (``key`` and numbers, see ``latents.shareable``) to a folder's table of latents;
    those of the same key are replaced. Returns how many networks the table has."""
    import pandas as pd

    new = rows.set_index("key")
    old = pd.DataFrame.from_dict(read_latents(folder), orient="index")
    kept = old.drop(index=new.index, errors="ignore")
    frame = pd.concat([kept, new.astype(float)]).sort_index().rename_axis("key")
    write_frames({folder / LATENTS: frame.reset_index()}, "zstd")
    return len(frame)


def write(folder: Path, runs: Iterable[Run]) -> tuple[int, int]:
    """Add the networks among some runs to a folder's tables; those of the same key are replaced.

    Returns:
        how many were added, and how many replaced others.
    """
    import pandas as pd

    entries = read(folder)
    before = set(entries)
    new = {
        run.experiment.key: Entry(run.experiment, run.summary, run.seconds, run.provenance,
                                  run.table("history"))
        for run in runs
        if isinstance(run.experiment, Experiment)
    }  # fmt: skip
    entries |= new
    ordered = sorted(entries.values(), key=lambda e: e.experiment.name)
    networks = pd.DataFrame([_row(e) for e in ordered])
    histories = pd.concat([e.history.assign(key=e.experiment.key) for e in ordered])
    losses = [c for c in histories if c.startswith("loss")]
    histories = histories.astype({"epoch": "int16", **dict.fromkeys(losses, "float32")})
    # The last is put in place first: killed in between, there are histories of no network.
    write_frames({folder / NETWORKS: networks, folder / HISTORIES: histories}, "zstd")
    return len(new.keys() - before), len(new.keys() & before)


def _row(entry: Entry) -> dict[str, Any]:
    e, row = entry.experiment, packed(entry)
    shown = {"key": row.pop("key"), "name": row.pop("name"), "dataset": e.dataset, "seed": e.seed,
             "configuration": e.configuration, "epochs": e.epochs,
             "precision": e.precision}  # fmt: skip
    return {**shown, **{a: entry.summary[a] for a in ACCURACIES}, **row}
