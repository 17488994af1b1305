"""Results that travel with the project: records and tables, no weights, small enough for git.

Each kind of experiment has Parquet files in a folder: one with a row a result (key, name, and the
record as JSON), and one a table, the rows of all results with their keys. Every figure of RQ1 and
of the sparsity theory can be drawn from them without training. ``latents.parquet``, a row a
network, holds what RQ2 measured of latents, without which its tables would need the weights.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ffcore import files
from ffcore.config import KINDS, Experiment, SparsityExperiment, build
from ffcore.errors import ConfigError, StoreError
from ffreport.runs.frames import read_table, write_frames
from ffreport.runs.results import SHIPPED, E, E_co, Result

if TYPE_CHECKING:
    import pandas as pd

RECORDED = ("experiment", "summary", "seconds", "provenance")
LATENTS = "latents.parquet"
COUNTS = {"epoch": "int16", "layer": "int8", "theorem": "int8"}


class Format(NamedTuple):
    """The files of one kind of experiment.

    Args:
        head: with a row a result.
        tables: file of each table.
        some: tables that only some results have.
        shown: columns of the head for people: settings, then entries of the summary.
        single: columns of tables that are kept in single precision.
        ragged: whether columns that a result has not are empty in the table, as losses of layers.
    """

    head: str
    tables: dict[str, str]
    some: tuple[str, ...]
    shown: tuple[tuple[str, ...], tuple[str, ...]]
    single: re.Pattern[str]
    ragged: bool

    @property
    def files(self) -> tuple[str, ...]:
        return (self.head, *self.tables.values())


FORMATS = {
    Experiment.kind: Format(
        "networks.parquet", {"history": "histories.parquet"}, (),
        (("dataset", "seed", "configuration", "epochs", "precision"), ("best", "last", "selected")),
        re.compile("loss.*"), ragged=True,
    ),
    # Without the steps, which are too many; ``balance`` counts them, see ``conditions.balance``.
    # ``samples`` are of Theorem 2 on followed images. What is reported has four digits.
    SparsityExperiment.kind: Format(
        "sparsity.parquet",
        {"epochs": "sparsity_epochs.parquet", "curve": "sparsity_curves.parquet",
         "balance": "sparsity_balances.parquet", "samples": "sparsity_samples.parquet"},
        ("samples",), ((), ()), re.compile("(?!rate$).*"), ragged=False,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Shipped(Result[E_co]):
    """A shipped result."""

    tables: Mapping[str, pd.DataFrame]
    origin = SHIPPED

    def table(self, name: str) -> pd.DataFrame:
        if name not in self.tables:
            raise StoreError(
                f"table {name!r} of {self.experiment.name} is not shipped; train it with "
                "`python pipeline.py train`"
            )
        return self.tables[name]

    @property
    def content(self) -> Any:
        return [self.summary, self.table("history")["test_accuracy"].tolist()]


def of(run: Result[E], tables: Mapping[str, pd.DataFrame]) -> Shipped[E]:
    """What is shipped of a run: its record, and tables made of its."""
    return Shipped(run.experiment, run.summary, run.seconds, run.provenance, tables)


class Tables:
    """The shipped tables in a folder, each read when it is asked for first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[str, dict[str, Shipped]] = {}

    def of(self, kind: str) -> dict[str, Shipped]:
        """Key → result of every experiment of a kind; raises as ``read``."""
        if kind not in self._read:
            self._read[kind] = read(self.folder, kind)
        return self._read[kind]

    def files(self, kind: str) -> list[Path]:
        """The files of a kind of experiment."""
        return [self.folder / name for name in FORMATS[kind].files]

    @property
    def measured(self) -> Path:
        """The table of latents."""
        return self.folder / LATENTS

    @cached_property
    def latents(self) -> dict[str, dict[str, float]]:
        """Key → measures of the latents of a network; raises as ``read_latents``."""
        return read_latents(self.folder)


def read(folder: Path, kind: str) -> dict[str, Shipped]:
    """Key → result of every experiment of a kind in a folder; empty where it has no such tables.

    Raises:
        StoreError: one table without the others, or one that cannot be read or does not fit.
    """
    form = FORMATS[kind]
    if not any((folder / name).exists() for name in form.files):
        return {}

    try:
        heads = read_table(folder / form.head).to_dict("records")
        tables = {name: _by_key(folder / file, form) for name, file in form.tables.items()}
        found = {}
        for row in heads:
            key, name = row["key"], row["name"]
            values = {topic: files.parsed(row[topic]) for topic in RECORDED}
            values["experiment"] = build(KINDS[kind], values["experiment"])
            own = {name: of[key] for name, of in tables.items() if key in of}
            if not {*own} >= {*form.tables}.difference(form.some):
                raise ValueError(f"{name} lacks a table")
            whole = "history" not in own or len(own["history"]) == values["summary"]["epochs"]
            if values["experiment"].key != key or not whole:
                raise ValueError(f"the rows of {name} do not fit each other")
            found[key] = Shipped(**values, tables=own)
        return found
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ConfigError) as error:
        raise _unusable("tables", folder, ", ".join(form.files), error) from None


def read_latents(folder: Path) -> dict[str, dict[str, float]]:
    """Key → measures and observables of every network in a folder's table; empty without one.

    Raises:
        StoreError: a table that cannot be read, or one without keys.
    """
    if not (folder / LATENTS).exists():
        return {}

    try:
        rows = read_table(folder / LATENTS).set_index("key").to_dict("index")
        return {str(key): dict(row) for key, row in rows.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unusable("table of latents", folder, LATENTS, error) from None


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


def write(folder: Path, kind: str, results: Iterable[Shipped]) -> tuple[int, int]:
    """Add results of a kind of experiment to a folder's tables; those of the same key are replaced.

    Returns:
        how many were added, and how many replaced others.
    """
    import pandas as pd

    form, before = FORMATS[kind], read(folder, kind)
    new = {r.experiment.key: r for r in results}
    if not new:
        return 0, 0
    ordered = sorted({**before, **new}.values(), key=lambda r: r.experiment.name)
    # The last is put in place first: killed in between, there are tables of no result.
    frames = {folder / form.head: pd.DataFrame([_head(r, form) for r in ordered])}
    for name, file in form.tables.items():
        parts = [r.tables[name].assign(key=r.experiment.key) for r in ordered if name in r.tables]
        none = pd.DataFrame({"key": pd.Series(dtype="str")})
        frame = pd.concat(parts, ignore_index=True) if parts else none
        types = {c: "float32" for c in frame.select_dtypes("float64") if form.single.fullmatch(c)}
        types |= {c: count for c, count in COUNTS.items() if c in frame}
        frames[folder / file] = frame.astype(types)
    write_frames(frames, "zstd")
    return len(new.keys() - before.keys()), len(new.keys() & before.keys())


def _by_key(path: Path, form: Format) -> dict[str, pd.DataFrame]:
    """Key → rows of a table."""
    frame = read_table(path)
    groups = iter(frame.drop(columns="key").groupby(frame["key"], sort=False))
    return {key: (part.dropna(axis="columns", how="all") if form.ragged else part)
            .reset_index(drop=True) for key, part in groups}  # fmt: skip


def _head(result: Shipped, form: Format) -> dict[str, Any]:
    """A result's row."""
    e, (settings, figures) = result.experiment, form.shown
    record = {"experiment": e.model_dump(mode="json"),
              **{topic: getattr(result, topic) for topic in RECORDED[1:]}}  # fmt: skip
    return {
        "key": e.key, "name": e.name, **{name: getattr(e, name) for name in settings},
        **{name: result.summary[name] for name in figures},
        **{topic: json.dumps(value, sort_keys=True) for topic, value in record.items()},
    }  # fmt: skip


def _unusable(what: str, folder: Path, names: str, error: Exception) -> StoreError:
    return StoreError(
        f"the shipped {what} in {folder} cannot be used: {error}; bring all back, such as "
        f"with `git checkout -- {folder.name}`, or remove all ({names})"
    )
