"""What nothing in a results folder refers to any more: found, and removed without a trace.

Kept is every run that a profile asks for or that may stand in for one, and every run that a
published version shows.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ffcore.config import Experiment, from_record
from ffcore.errors import ConfigError, ReportError, StoreError
from ffreport.publish.versions import MANIFEST, intact_manifest
from ffreport.runs.frames import run_of
from ffreport.runs.index import Entry
from ffreport.runs.results import kin
from ffreport.runs.store import Store
from ffreport.study.study import read_profile

UNASKED, DAMAGED = "runs that nothing asks for", "damaged runs"
FRAMES, STALE = "frames of runs that are gone", "frames older than their run"
LEFT, UNFINISHED = (
    "leftovers of interrupted writers",
    "checkpoints of trainings that nothing asks for",
)
SUFFIX = ".checkpoint"  # checkpoints.SUFFIX, whose module needs torch


class Piece(NamedTuple):
    """A file or a folder that may go, why, and its bytes."""

    path: Path
    what: str
    bytes: int


@dataclass
class Kept:
    """What is asked for: keys of experiments, names of stand-ins that versions show, and what
    planned networks share with their stand-ins → the most epochs that are planned."""

    keys: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    kin: dict[str, int] = field(default_factory=dict)

    def has(self, entry: Entry) -> bool:
        """Whether a run is used, or may be."""
        if entry.key in self.keys or entry.name in self.names:
            return True
        if entry.kind != Experiment.kind:
            return False  # Of networks alone there are stand-ins.
        try:
            experiment = from_record(entry.kind, entry.experiment)
        except ConfigError:
            return False  # A plug-in that no profile here lists: it stands in for nothing.
        most = self.kin.get(kin(experiment), 0) if isinstance(experiment, Experiment) else 0
        return experiment.epochs <= most


def kept(
    root: Path, results: Path, named: Sequence[str] = (), changes: Mapping[str, Any] | None = None
) -> Kept:
    """What the profiles in a project's ``profiles/`` ask for, further profiles, and the versions
    that are published in a results folder.

    Args:
        named: names or files of profiles; with and without ``changes``, see ``read_profile``.

    Raises:
        FFError: a profile or a manifest that cannot be read: what it refers to is not known.
    """
    found = Kept()
    shipped = [path.stem for path in sorted((root / "profiles").glob("*.yaml"))]
    asked = [(name, None) for name in dict.fromkeys([*shipped, *named])]
    for name, options in [*asked, *((name, changes) for name in named if changes)]:
        profile = read_profile(name, options, root)
        networks = profile.networks()
        found.keys |= {e.key for e in networks} | {e.key for e in profile.sparsity_runs()}
        for e in networks:
            shared = kin(e)
            found.kin[shared] = max(e.epochs, found.kin.get(shared, 0))
    for folder in sorted((results / "reports").glob("[!.]*/")):
        if folder.is_symlink():
            continue
        try:
            manifest = intact_manifest(folder)
            found.keys |= {*dict(manifest["experiments"])}
            found.names |= {name for _, name in manifest.get("stand_ins", {}).values()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ReportError(
                f"{folder / MANIFEST} cannot be read ({error or 'empty'}), so that it is not "
                "known which runs this version shows; remove the version, or make it again"
            ) from None
    return found


def find(store: Store, keep: Kept) -> tuple[list[Piece], list[str]]:
    """What may go, and words on what is left alone though it is not known to be used."""
    pieces, words, stay = [], [], {}
    for folder in (store.runs, store.results / "cache", store.checkpoints):
        if folder.is_symlink():
            words.append(f"{folder} is a link, and what it leads to is left alone")
    if not store.runs.is_symlink():
        for entry in store.inventory.entries():
            fault, unread = entry.checked()
            if entry.folder.is_symlink():
                words.append(f"{entry.folder} is a link, and is left alone")
            elif unread:
                words.append(f"{entry.folder} is left alone: {fault}")
            elif fault or not keep.has(entry):
                pieces.append(Piece(entry.folder, DAMAGED if fault else UNASKED, 0))
                continue
            stay[entry.key] = entry
        store.remembered.save()
        pieces += _frames(store, stay) + _checkpoints(store, keep, stay)
    pieces += [Piece(p, LEFT, 0) for p in store.leftovers() if not p.parent.is_symlink()]
    return [piece._replace(bytes=_bytes(piece.path)) for piece in pieces], words


def counted(pieces: Sequence[Piece]) -> list[str]:
    """A line for each reason, with how many and how much."""
    kinds = dict.fromkeys(piece.what for piece in pieces)
    sizes = {kind: [piece.bytes for piece in pieces if piece.what == kind] for kind in kinds}
    return [f"{len(found):,} {kind}: {sum(found):,} bytes" for kind, found in sizes.items()]


def agreed(shown: Sequence[Piece], still: Sequence[Piece]) -> list[Piece]:
    """What was shown and may still go, unchanged."""
    known = {*shown}
    return [piece for piece in still if piece in known]


def remove(store: Store, pieces: Sequence[Piece]) -> int:
    """Remove some pieces, runs whole or not at all; returns the bytes that this frees.

    Raises:
        StoreError: one cannot be removed; those before it are gone.
    """
    freed, gone = 0, []
    try:
        for piece in pieces:
            try:
                if piece.what in (UNASKED, DAMAGED):
                    store.remove(piece.path)
                    gone.append(piece.path.name)
                elif piece.path.is_dir() and not piece.path.is_symlink():
                    shutil.rmtree(piece.path)
                else:
                    piece.path.unlink(missing_ok=True)
            except OSError as error:
                raise StoreError(
                    f"cannot remove {piece.path}: {error.strerror or error}; {freed} bytes before "
                    "it are freed"
                ) from None
            freed += piece.bytes
    finally:
        if gone:
            store.forget(set(gone))
            table = store.results / "runs.parquet"
            if store.consolidate() is None:
                table.unlink(missing_ok=True)
    return freed


def _frames(store: Store, stay: Mapping[str, Entry]) -> list[Piece]:
    """Frames of one run that does not stay, or that is newer than they are. Those of several runs
    are few, and go with the whole cache."""
    found = []
    for path in _files(store.results / "cache"):
        if key := run_of(path.name):
            run = stay.get(key)
            if run is None:
                found.append(Piece(path, FRAMES, 0))
            elif path.stat().st_mtime < run.written:
                found.append(Piece(path, STALE, 0))
    return found


def _checkpoints(store: Store, keep: Kept, stay: Mapping[str, Entry]) -> list[Piece]:
    """Checkpoints of which every experiment is stored, or none is asked for."""
    files = [p for p in _files(store.checkpoints) if p.name.endswith(SUFFIX)]
    if not files:
        return []
    from ffcore import checkpoints  # It needs torch.

    waiting = keep.keys.difference(stay)
    return [Piece(p, UNFINISHED, 0) for p in files if not checkpoints.keys(p) & waiting]


def _files(folder: Path) -> list[Path]:
    """The plain files of a folder that is no link."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    with os.scandir(folder) as found:
        return sorted(Path(e.path) for e in found if e.is_file(follow_symlinks=False))


def _bytes(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    found = 0
    for folder, _, names in os.walk(path):
        found += sum(os.lstat(f"{folder}/{name}").st_size for name in names)
    return found
