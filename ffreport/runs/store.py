"""The only writer of ``results/runs``: atomic, content-addressed, verified.

A run is a folder named by its experiment's key: ``run.json`` (configuration, summary, seconds,
provenance, and the checksum of every file), one Parquet file a table, ``weights.safetensors``.
Weights are never pickled.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffcore import files
from ffcore.config import AnyExperiment, from_record
from ffcore.errors import StoreError, advice, shortened
from ffreport.base.digests import changed, file_digest
from ffreport.runs import record as sealed
from ffreport.runs.frames import frame_name, read_frame, read_table, write_frames
from ffreport.runs.index import DAMAGE as _DAMAGE
from ffreport.runs.index import Inventory, Remembered, summary_table
from ffreport.runs.record import RECORD, File, RunRecord
from ffreport.runs.results import OWN, E, E_co, Result

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class State:
    """Whether a run can be used: ``stored``, ``missing``, ``damaged`` or ``outdated``, and why."""

    name: str
    reason: str = ""

    @property
    def usable(self) -> bool:
        return self.name == "stored"


@dataclass(frozen=True)
class Run(Result[E_co]):
    """A stored run; tables and weights are read when asked for.

    Args:
        folder: of the run.
        files: bytes and checksum of each of its files but the record, by name.
    """

    folder: Path
    files: dict[str, File]
    origin = OWN

    def table(self, name: str) -> pd.DataFrame:
        path = self.folder / f"{name}.parquet"
        try:
            return read_table(path)
        except (OSError, ValueError) as error:
            raise StoreError(_advice(self.experiment, f"{path.name}: {error}")) from None

    def weights(self) -> dict[str, Tensor]:
        """The tensors of the trained network, on the CPU."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(self.folder / WEIGHTS)
        except (OSError, SafetensorError) as error:
            raise StoreError(_advice(self.experiment, f"{WEIGHTS}: {error}")) from None

    @property
    def content(self) -> Any:
        return {name: facts.sha256 for name, facts in self.files.items()}


class Store:
    """The runs under a results folder.

    Args:
        results: the folder; made when something is saved.
    """

    def __init__(self, results: str | Path) -> None:
        self.results = Path(results)
        self.runs = self.results / "runs"
        # What is remembered of the package's code, see definitions.definitions.
        self.definitions = self.results / "cache" / "definitions.json"
        # Of trainings that were stopped; each goes once its networks are stored.
        self.checkpoints = self.results / "checkpoints"
        # There while ``runs.parquet`` lacks what was stored since.
        self._unlisted = self.results / ".unlisted"
        # Checksums of files, and what records say, as long as these do not change.
        self.remembered = Remembered(self.runs / ".index")
        self.inventory = Inventory(self.runs, sealed.read, self.remembered)
        self._read: dict[str, tuple[tuple[int, int], Run]] = {}
        self._known: tuple[int, list[AnyExperiment]] | None = None

    def state(self, experiment: AnyExperiment, expected: Mapping[str, Any] | None = None) -> State:
        """Whether the run is there, intact, and made by what is expected.

        Args:
            expected: entries of the provenance that must be equal now, such as ``data``
                (fingerprint); of ``code``, definitions that it must have, see ``sealed.lacking``.
                None asks for an intact run of any origin.
        """
        folder = self.runs / experiment.key
        if not folder.exists():
            return State("missing", "not trained yet")
        try:
            run = self._run(folder)
            if run.experiment.name != experiment.name:
                return State("damaged", f"{RECORD} is of {run.experiment.name!r}")
            for name, facts in run.files.items():
                self._check_file(folder / name, facts)
        except _DAMAGE as error:
            return State("damaged", _words(error, folder))
        for topic, now in (expected or {}).items():
            then = run.provenance.get(topic)
            if topic == "code":
                if other := sealed.lacking(then, now):
                    return State("outdated", f"code changed: {shortened(other, 4)}")
            elif then != now:
                return State("outdated", f"{topic} changed{_difference(then, now)}")
        return State("stored")

    def load(self, experiment: E) -> Run[E]:
        """A stored run.

        Raises:
            StoreError: it is missing or damaged; the message has the command that makes it.
        """
        state = self.state(experiment)
        if not state.usable:
            raise StoreError(_advice(experiment, state.reason))
        return self._run(self.runs / experiment.key)

    def usable(self, experiments: Iterable[E]) -> list[Run[E]]:
        """The runs of those experiments that are stored and intact, in their order."""
        found = [self._run(self.runs / e.key) for e in experiments if self.state(e).usable]
        self.remembered.save()
        return found

    def all(self) -> list[Run]:
        """Every intact run, sorted by name; temporary and damaged folders are passed over."""
        found = []
        for folder in self._folders():
            with suppress(*_DAMAGE):
                found.append(self._run(folder))
        return sorted(found, key=lambda run: run.experiment.name)

    def experiments(self) -> list[AnyExperiment]:
        """The experiment of every run, in no order that means anything; the same list until a run
        comes or goes."""
        stamp = self.runs.stat().st_mtime_ns if self.runs.exists() else 0
        if self._known is None or self._known[0] != stamp:
            found = []
            for entry in self.inventory.entries():
                with suppress(*_DAMAGE):
                    found.append(from_record(entry.kind, entry.experiment))
            self._known = (stamp, found)
        return self._known[1]

    def save(
        self,
        experiment: AnyExperiment,
        summary: Mapping[str, Any],
        tables: Mapping[str, Any],
        weights: Mapping[str, Any],
        seconds: Mapping[str, float],
        provenance: Mapping[str, Any],
    ) -> Run:
        """Write a run whole or not at all; a damaged or outdated one of the same key is replaced.

        Args:
            tables: data frames, or lists of rows, by name.
            weights: tensors or numpy arrays by name.

        Raises:
            StoreError: the folder cannot be written, or the disk is full; nothing is left behind.
        """
        import pandas as pd
        import torch

        folder = self.runs / experiment.key
        building = self.runs / f".writing-{experiment.key}-{os.getpid()}"
        try:
            building.mkdir(parents=True)
            for name, table in tables.items():
                frame = table if isinstance(table, pd.DataFrame) else pd.DataFrame(table)
                frame.to_parquet(building / f"{name}.parquet", index=False)
            tensors = {k: torch.as_tensor(w) for k, w in weights.items()}
            files.write_tensors(building / WEIGHTS, tensors)
            record = RunRecord(
                kind=experiment.kind, key=experiment.key, name=experiment.name,
                experiment=experiment.model_dump(mode="json"), summary=dict(summary),
                seconds=dict(seconds), provenance=dict(provenance),
                files={p.name: _facts(p) for p in sorted(building.iterdir())},
            )  # fmt: skip
            (building / RECORD).write_text(record.text())
            for path in building.iterdir():
                files.flush(path)
            self._unlisted.touch()
            _replace(building, folder)
        except OSError as error:
            raise StoreError(
                f"cannot write the run {experiment.name} to {self.runs}: "
                f"{advice(error)} (or choose another --results)"
            ) from None
        finally:
            shutil.rmtree(building, ignore_errors=True)
        return _as_run(folder)

    def remove(self, folder: Path) -> None:
        """Delete a run's folder; one that is stopped halfway is no run any more, and is swept."""
        self._unlisted.touch()
        doomed = self.runs / f".writing-gone-{folder.name}-{os.getpid()}"
        os.rename(folder, doomed)
        shutil.rmtree(doomed)

    def forget(self, keys: Collection[str]) -> None:
        """Remember nothing of runs that are gone."""
        self.remembered.forget(keys)
        self.remembered.save()

    def leftovers(self, alone: bool = False) -> list[Path]:
        """What interrupted writers of dead processes left behind.

        Args:
            alone: this process holds the folder's lock, so that no other writes runs. Else the
                number in a folder's name decides, which in a container may be our own.
        """
        folders = [
            f
            for f in self.runs.glob(".writing-*")
            if alone or not files.alive(f.name.rpartition("-")[2])
        ]
        places = (self.results, self.runs, self.results / "cache", self.checkpoints)
        return folders + [path for place in places for path in files.left(place)]

    def sweep(self) -> None:
        """Remove the leftovers; to be called by who holds the folder's lock. Of a run that was
        about to be replaced, the new one takes its place; it was whole."""
        left = sorted(self.leftovers(alone=True), key=lambda p: "-old-" not in p.name)
        former = [self.runs / name for name in (".index.json", ".verified.json")]
        for path in [*left, *former]:
            if path.name.startswith(".writing-old-"):
                *_, key, pid = path.name.split("-")
                new = path.with_name(f".writing-{key}-{pid}")
                with suppress(OSError):
                    if not (self.runs / key).exists():
                        os.rename(new if new.exists() else path, self.runs / key)
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    path.unlink(missing_ok=True)

    @property
    def listed(self) -> bool:
        """Whether ``runs.parquet`` was written since a run was last stored or removed."""
        return not self._unlisted.exists()

    def consolidate(self) -> Path | None:
        """Write ``runs.parquet``: one row a network, factors, settings and accuracies.

        Returns:
            the file's path, or None where no network is stored.
        """
        frame = summary_table(self.inventory.entries())
        self.remembered.save()
        path = self.results / "runs.parquet"
        if not frame.empty:
            write_frames({path: frame})
        self._unlisted.unlink(missing_ok=True)
        return None if frame.empty else path

    def cached(
        self,
        name: str,
        inputs: Mapping[str, Any],
        compute: Callable[[], pd.DataFrame],
        key: str = "",
    ) -> pd.DataFrame:
        """A frame that was computed before from the same inputs, or is computed and kept now.

        Args:
            name: what it is; opens the file's name in ``results/cache``.
            inputs: JSON values that determine the frame: checksums, parameters, code digests.
            key: of the run that it is a frame of, if of one alone; it goes with that run.
        """
        path = self.cache_path(name, inputs, key)
        try:
            return read_frame(path)
        except (OSError, ValueError):
            frame = compute()
        write_frames({path: frame})
        return read_frame(path)

    def cache_path(self, name: str, inputs: Mapping[str, Any], key: str = "") -> Path:
        """Where ``cached`` keeps a frame, whether it is there or not."""
        return self.results / "cache" / frame_name(name, inputs, key)

    def _folders(self) -> list[Path]:
        return sorted(self.runs.glob("[0-9a-f]*")) if self.runs.exists() else []

    def _run(self, folder: Path) -> Run:
        """The run in a folder, read once as long as its record does not change."""
        found = (folder / RECORD).stat()
        stamp = (found.st_size, found.st_mtime_ns)
        if folder.name not in self._read or self._read[folder.name][0] != stamp:
            self._read[folder.name] = (stamp, _as_run(folder))
        return self._read[folder.name][1]

    def _check_file(self, path: Path, facts: File) -> None:
        """Raise ValueError unless the file has its recorded size and content."""
        size = path.stat().st_size
        if not path.is_file():  # a pipe would be read for ever
            raise ValueError(f"{path.name} is no regular file")
        if size != facts.bytes:
            raise ValueError(f"{path.name} has {size} bytes instead of {facts.bytes}")
        if self.remembered.of(path, lambda: file_digest(path)) != facts.sha256:
            raise ValueError(f"{path.name} does not have its recorded checksum")


def history_table(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a network and epoch, with the network's key and the columns of its history."""
    import pandas as pd

    frames = [run.table("history").assign(key=run.experiment.key) for run in runs]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _as_run(folder: Path) -> Run:
    record = sealed.read(folder)
    experiment = from_record(record.kind, record.experiment)
    return Run(experiment, record.summary, record.seconds, record.provenance, folder, record.files)


def _facts(path: Path) -> File:
    return File(bytes=path.stat().st_size, sha256=file_digest(path))


def _replace(building: Path, folder: Path) -> None:
    """Put a finished folder in its place; the old one goes only once the new one is whole."""
    if folder.exists():
        old = building.with_name(f".writing-old-{folder.name}-{os.getpid()}")
        os.rename(folder, old)
        os.rename(building, folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.rename(building, folder)


def _difference(then: Any, now: Any) -> str:
    """``: ffcore.network.Block, ffcore.train.train`` for two tables of digests, else nothing."""
    if not (isinstance(then, Mapping) and isinstance(now, Mapping)):
        return ""
    return f": {shortened(changed(then, now), 4)}"


def _words(error: Exception, folder: Path) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{Path(error.filename).name if error.filename else folder.name} is missing"
    if isinstance(error, json.JSONDecodeError):
        return f"{RECORD} is not valid JSON"
    if isinstance(error, KeyError):
        return f"{RECORD} lacks the key {error}"
    return str(error)


def _advice(experiment: AnyExperiment, reason: str) -> str:
    return (
        f"the run {experiment.name} ({experiment.key}) cannot be used: {reason}; "
        "train it with `python pipeline.py train`"
    )
