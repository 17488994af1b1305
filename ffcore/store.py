"""The only writer of ``results/runs``: atomic, content-addressed, verified.

A run is a folder named by its experiment's key: ``run.json`` (configuration, summary, seconds,
provenance, and the checksum of every file), one Parquet file a table, ``weights.safetensors``.
Weights are never pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffcore import files
from ffcore.config import AnyExperiment, Experiment, from_record
from ffcore.digests import changed, file_digest
from ffcore.errors import ConfigError, StoreError, advice, shortened
from ffcore.frames import read_frame, read_table, write_frames
from ffcore.reading import json_file
from ffcore.remembered import Remembered

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

FORMAT = 1
RECORD = "run.json"
WEIGHTS = "weights.safetensors"
_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError)


@dataclass(frozen=True)
class State:
    """Whether a run can be used: ``stored``, ``missing``, ``damaged`` or ``outdated``, and why."""

    name: str
    reason: str = ""

    @property
    def usable(self) -> bool:
        return self.name == "stored"


@dataclass(frozen=True)
class Run:
    """A stored run; tables and weights are read when asked for."""

    folder: Path
    experiment: AnyExperiment
    summary: dict[str, Any]
    seconds: dict[str, float]
    provenance: dict[str, Any]
    files: dict[str, Any]

    def table(self, name: str) -> pd.DataFrame:
        """One of the run's tables, such as ``history``."""
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
        self._remembered = Remembered(self.runs / ".verified.json")
        self._read: dict[str, tuple[tuple[int, int], Run]] = {}

    def state(self, experiment: AnyExperiment, expected: Mapping[str, Any] | None = None) -> State:
        """Whether the run is there, intact, and made by what is expected.

        Args:
            expected: entries of the provenance that must be equal now, such as ``code`` (digest
                by module) and ``data`` (fingerprint); None asks for an intact run of any origin.
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
            if then != now:
                return State("outdated", f"{topic} changed{_difference(then, now)}")
        return State("stored")

    def load(self, experiment: AnyExperiment) -> Run:
        """A stored run.

        Raises:
            StoreError: it is missing or damaged; the message has the command that makes it.
        """
        state = self.state(experiment)
        if not state.usable:
            raise StoreError(_advice(experiment, state.reason))
        return self._run(self.runs / experiment.key)

    def usable(self, experiments: Iterable[AnyExperiment]) -> list[Run]:
        """The runs of those experiments that are stored and intact, in their order."""
        found = [self._run(self.runs / e.key) for e in experiments if self.state(e).usable]
        self.save_verified()
        return found

    def all(self) -> list[Run]:
        """Every intact run, sorted by name; temporary and damaged folders are passed over."""
        found = []
        for folder in self._folders():
            with suppress(*_DAMAGE):
                found.append(self._run(folder))
        return sorted(found, key=lambda run: run.experiment.name)

    def experiments(self) -> list[AnyExperiment]:
        """The experiment of every run, in no order that means anything; records that did not
        change since they were last read are not read again."""
        found = []
        for folder in self._folders():
            with suppress(*_DAMAGE):
                kind, values = self._remembered.of(folder / RECORD, lambda f=folder: _planned(f))  # type: ignore[misc]
                found.append(from_record(kind, values))
        return found

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
            record = {
                "format": FORMAT,
                "kind": experiment.kind,
                "key": experiment.key,
                "name": experiment.name,
                "experiment": experiment.model_dump(mode="json"),
                "summary": dict(summary),
                "seconds": dict(seconds),
                "provenance": dict(provenance),
                "files": {p.name: _facts(p) for p in sorted(building.iterdir())},
            }
            record["seal"] = _seal(record)
            (building / RECORD).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
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

    def remove(self, run: Run) -> None:
        """Delete a stored run."""
        self._unlisted.touch()
        shutil.rmtree(run.folder)

    def sweep(self) -> None:
        """Remove what interrupted writers of dead processes left behind. Of a run that was about to
        be replaced, the new one takes its place; it was whole."""
        left = self.runs.glob(".writing-*") if self.runs.exists() else []
        for folder in sorted(left, key=lambda f: "-old-" not in f.name):
            *_, key, pid = folder.name.split("-")
            if files.alive(pid):
                continue
            if folder.name.startswith(".writing-old-") and not (self.runs / key).exists():
                new = folder.with_name(f".writing-{key}-{pid}")
                with suppress(OSError):
                    os.rename(new if new.exists() else folder, self.runs / key)
            shutil.rmtree(folder, ignore_errors=True)
        for folder in (self.results, self.runs, self.results / "cache", self.checkpoints):
            files.sweep(folder)

    @property
    def listed(self) -> bool:
        """Whether ``runs.parquet`` was written since a run was last stored or removed."""
        return not self._unlisted.exists()

    def consolidate(self, runs: Iterable[Run] | None = None) -> Path | None:
        """Write ``runs.parquet``: one row a network, factors, settings and accuracies.

        Returns:
            the file's path, or None where no network is stored.
        """
        frame = summary_table(self.all() if runs is None else runs)
        path = self.results / "runs.parquet"
        if not frame.empty:
            write_frames({path: frame})
        self._unlisted.unlink(missing_ok=True)
        return None if frame.empty else path

    def cached(
        self, name: str, inputs: Mapping[str, Any], compute: Callable[[], pd.DataFrame]
    ) -> pd.DataFrame:
        """A frame that was computed before from the same inputs, or is computed and kept now.

        Args:
            name: what it is; opens the file's name in ``results/cache``.
            inputs: JSON values that determine the frame: checksums, parameters, code digests.
        """
        path = self.cache_path(name, inputs)
        try:
            return read_frame(path)
        except (OSError, ValueError):
            frame = compute()
        write_frames({path: frame})
        return read_frame(path)

    def cache_path(self, name: str, inputs: Mapping[str, Any]) -> Path:
        """Where ``cached`` keeps a frame, whether it is there or not."""
        text = json.dumps([name, inputs], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:24]
        return self.results / "cache" / f"{name}-{digest}.parquet"

    def save_verified(self) -> None:
        """Remember which files were hashed, so that the next start only looks at their times."""
        self._remembered.save()

    def _folders(self) -> list[Path]:
        return sorted(self.runs.glob("[0-9a-f]*")) if self.runs.exists() else []

    def _run(self, folder: Path) -> Run:
        """The run in a folder, read once as long as its record does not change."""
        found = (folder / RECORD).stat()
        stamp = (found.st_size, found.st_mtime_ns)
        if folder.name not in self._read or self._read[folder.name][0] != stamp:
            self._read[folder.name] = (stamp, _as_run(folder))
        return self._read[folder.name][1]

    def _check_file(self, path: Path, facts: Mapping[str, Any]) -> None:
        """Raise ValueError unless the file has its recorded size and content."""
        size = path.stat().st_size
        if not path.is_file():  # a pipe would be read for ever
            raise ValueError(f"{path.name} is no regular file")
        if size != facts["bytes"]:
            raise ValueError(f"{path.name} has {size} bytes instead of {facts['bytes']}")
        if self._remembered.of(path, lambda: file_digest(path)) != facts["sha256"]:
            raise ValueError(f"{path.name} does not have its recorded checksum")


def summary_table(runs: Iterable[Run]) -> pd.DataFrame:
    """One row a network: key, name, configuration, every field, every entry of the summary."""
    import pandas as pd

    rows = []
    for run in runs:
        if not isinstance(run.experiment, Experiment):
            continue
        fields = {
            k: "x".join(map(str, v)) if isinstance(v, list) else v
            for k, v in run.experiment.model_dump(mode="json").items()
        }
        # The run's own count may be smaller than the epochs that were planned.
        summary = {("epochs_run" if k == "epochs" else k): v for k, v in run.summary.items()}
        e = run.experiment
        names = {"key": e.key, "name": e.name, "configuration": e.configuration}
        rows.append({**names, **fields, **summary})
    return pd.DataFrame(rows)


def history_table(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a network and epoch, with the network's key and the columns of its history."""
    import pandas as pd

    frames = [run.table("history").assign(key=run.experiment.key) for run in runs]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _as_run(folder: Path) -> Run:
    record = _read_record(folder)
    experiment = from_record(record["kind"], record["experiment"])
    return Run(folder, experiment, record["summary"], record["seconds"],
               record["provenance"], record["files"])  # fmt: skip


def _planned(folder: Path) -> list[Any]:
    """Kind and settings of the experiment in a folder."""
    record = _read_record(folder)
    return [record["kind"], from_record(record["kind"], record["experiment"]).settings]


def _read_record(folder: Path) -> dict[str, Any]:
    record = json_file(folder / RECORD)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ValueError(f"{RECORD} is not a run record of format {FORMAT}")
    if record.get("seal") != _seal(record):
        raise ValueError(f"{RECORD} was altered: its seal does not fit")
    if strange := [name for name in record["files"] if Path(name).name != name]:
        raise ValueError(f"{RECORD} names a file outside of its folder: {strange[0]!r}")
    return record


def _seal(record: Mapping[str, Any]) -> str:
    text = json.dumps({k: v for k, v in record.items() if k != "seal"}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _facts(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": file_digest(path)}


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
