"""Which files of a user's own hold its images and labels, and their arrays as they are stored: an
npz file, four IDX or npz files, a tree of images."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from ffcore import files
from ffcore.errors import DataError
from ffreport.data import images
from ffreport.data.formats import (
    LIMIT,
    Fault,
    idx_array,
    idx_dims,
    read_npz,
    refuse,
    shown,
    within_limit,
)

if TYPE_CHECKING:
    import numpy as np

SPLIT = (("x_train", "y_train", "x_test", "y_test"),
         ("train_images", "train_labels", "test_images", "test_labels"))  # fmt: skip
WHOLE = (("X", "y"), ("images", "labels"))
# As MNIST's own files, torchvision's and Kaggle's are called; and as KMNIST's.
IDX = re.compile(r"(train|t10k|test)[-_.](images|labels)[-_.]idx[13]([-_.]ubyte)?(\.gz)?", re.I)
NPZ = re.compile(r"(?:.*[-_])?(train|test)[-_](imgs|images|labels)\.npz", re.I)
PARTS = {"train": "train", "training": "train", "test": "test", "testing": "test",
         "val": "val", "valid": "val", "validation": "val"}  # fmt: skip
TREE = "images lie in train/<class>/ and test/<class>/, or in <class>/ without a split"
FORMS = (
    f"an .npz file; four IDX files under MNIST's names, or .npz files under KMNIST's; or a folder "
    f"of images, where {TREE}"
)
DEEPEST = 4  # folders, each the only one in the one before

# The images of each part, training and test or all in one, with their classes, in order.
Parts = tuple[tuple[tuple[Path, str], ...], ...]


@dataclass(frozen=True)
class Layout:
    """The files that a data set is read from, in order; ``read`` gives their arrays."""

    files: tuple[Path, ...]
    read: Callable[[], Found]


@dataclass(frozen=True, eq=False)
class Found:
    """Arrays as they are stored, checked for nothing but their size: of training and test, or of
    all in one part; ``notes`` say what was left out or changed on the way. ``bytes_of_light``: a
    pixel's white is 255, because its file's format says so."""

    images: tuple[np.ndarray, ...]
    labels: tuple[np.ndarray, ...]
    notes: tuple[str, ...] = ()
    bytes_of_light: bool = False


def layout(path: Path) -> Layout:
    """Which of the forms lies at a path, without reading more than names.

    Raises:
        DataError: nothing, or none of the forms; names what is missing or in the way.
        OSError: a folder cannot be read.
    """
    if path.is_file():
        if path.suffix.lower() != ".npz":
            refuse(path, f"is no data set; it must be {FORMS}")
        return Layout((path,), lambda: _read_npz(path))
    if not path.is_dir():
        raise DataError(f"there is no file or folder {shown(path)}")
    folder = _inner(path)
    notes = () if folder == path else (f"read from {shown(folder.relative_to(path))}",)
    if four := _four(folder):
        return Layout(four, lambda: _read_four(four, notes))
    parts, more = _tree(folder)
    pictures = tuple(file for part in parts for file, _ in part)
    return Layout(pictures, lambda: _read_images(parts, (*notes, *more)))


def _inner(folder: Path) -> Path:
    """The folder that holds the data: where there is nothing but one folder, which is no part of
    a split, that one, as archives unpack; torchvision's ``raw``."""
    for _ in range(DEEPEST):
        there = {e.name: e for e in _entries(folder) if e.name != "__MACOSX"}
        if there.keys() == {"raw", "processed"}:
            there.pop("processed")
        only = next(iter(there.values())) if len(there) == 1 else None
        if only is None or not only.is_dir() or only.name.casefold() in PARTS:
            break
        folder = Path(only.path)
    return folder


def _four(folder: Path) -> tuple[Path, ...]:
    """Training images and labels, test images and labels, as IDX or npz files; none where no name
    is of such a file. Of an IDX file's forms that of ``.gz`` goes before the others."""
    for form, names in (
        (IDX, ("train-images-idx3-ubyte", "train-labels-idx1-ubyte",
               "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")),
        (NPZ, ("train-imgs.npz", "train-labels.npz", "test-imgs.npz", "test-labels.npz")),
    ):  # fmt: skip
        there: dict[tuple[str, str], list[Path]] = {}
        for entry in _entries(folder):
            place = Path(entry.path)
            if entry.is_dir():  # Kaggle's archive has each file in a folder of its name
                place /= entry.name
            if (match := form.fullmatch(entry.name)) and place.is_file():
                part, kind = match[1].lower(), match[2].lower().replace("imgs", "images")
                there.setdefault((part, kind), []).append(place)
        parts = {part for part, _ in there}
        if parts >= {"t10k", "test"}:
            refuse(folder, "has test files under both names, t10k-… and test-…; leave one of them")
        test = "test" if "test" in parts or form is NPZ else "t10k"
        roles = [(part, kind) for part in ("train", test) for kind in ("images", "labels")]
        named = dict(zip(roles, names, strict=True))
        if there and (absent := [name for role, name in named.items() if role not in there]):
            found = ", ".join(sorted(shown(p.name) for places in there.values() for p in places))
            either = " (raw or .gz)" if form is IDX else ""
            refuse(folder, f"has {found}, but no {' and no '.join(absent)}{either}")
        several = [places for places in there.values() if form is NPZ and len(places) > 1]
        if several:
            refuse(folder, f"has {' and '.join(shown(p.name) for p in several[0])}; leave the "
                           "files of one data set")  # fmt: skip
        if there:
            return tuple(sorted(there[role], key=lambda p: p.suffix != ".gz")[0] for role in roles)
    return ()


def _read_four(paths: Sequence[Path], notes: tuple[str, ...]) -> Found:
    arrays: list[np.ndarray] = []
    need = 0
    for number, path in enumerate(paths):
        if path.suffix.lower() == ".npz":
            arrays += read_npz(path, (("arr_0",),))[0]
            continue
        try:
            within_limit(path, path.stat().st_size)
            blob = files.content(path, LIMIT)
            dims = idx_dims(blob, 1 if number % 2 else 3)
            need += prod(dims)
            within_limit(path, need)
            arrays.append(idx_array(blob, dims))
        except (Fault, ValueError) as error:
            refuse(path, error)
    return Found(tuple(arrays[::2]), tuple(arrays[1::2]), notes)


def _read_npz(path: Path) -> Found:
    arrays, rest = read_npz(path, (*SPLIT, *WHOLE))
    named = f"{', '.join(map(shown, rest[:8]))}{' and more' if rest[8:] else ''}"
    return Found(arrays[::2], arrays[1::2], (f"not used: {named}",) if rest else ())


def _tree(folder: Path) -> tuple[Parts, tuple[str, ...]]:
    """The images in ``<class>/``, or in ``train/<class>/`` and ``test/<class>/``, sorted; and what
    was decided. Hidden entries are passed over.

    A folder is a part of a split by its name, such as ``Train`` or ``validation``, where folders
    lie in it or where training and another part are there: a class may be called train, too.

    Raises:
        DataError: an empty folder, or one that holds what does not belong there; names it.
    """
    top = _folders(folder)
    places: dict[str, list[Path]] = {}
    for name, place in top.items():
        places.setdefault(PARTS.get(name.casefold(), ""), []).append(place)
    beside, parts = places.pop("", []), places.keys()
    split = {"train"} < parts or any(map(_holds_folders, sum(places.values(), [])))
    if parts and not beside and not split:
        _refuse_flat(next(iter(top.values())))
    if not split:
        return (_images(top),), ()
    for place in beside:
        refuse(place, "lies beside train and test, and is neither; move it away")
    for same in places.values():
        if len(same) > 1:
            refuse(folder, f"has {' and '.join(shown(p.name) for p in same)}; leave one of them")
    notes = []
    if "test" not in parts and "val" in parts:
        places["test"] = places.pop("val")
        notes.append(f"{shown(places['test'][0].name)} is taken as the test images")
    elif "val" in parts:
        notes.append(f"not used: {shown(places['val'][0].name)}")
    for part in ("train", "test"):
        if part not in places:
            refuse(folder, f"has no folder {part}; add it, or let all classes lie directly in it")
        if not _holds_folders(places[part][0]):
            _refuse_flat(places[part][0])
    return tuple(_images(_folders(places[part][0])) for part in ("train", "test")), tuple(notes)


def _refuse_flat(folder: Path) -> None:
    count = len(_entries(folder))
    refuse(folder, f"holds {count:,} file{'s' * (count != 1)} and no folder of a class; {TREE}")


def _folders(folder: Path) -> dict[str, Path]:
    """Name, in composed characters, → folder or link to one; anything else in there is refused."""
    found: dict[str, Path] = {}
    seen: dict[str, str] = {}
    for entry in _entries(folder):
        if not entry.is_dir():
            refuse(Path(entry.path), f"is no folder of a class; expected is {FORMS}")
        name, real = unicodedata.normalize("NFC", entry.name), os.path.realpath(entry.path)
        if name in found:
            refuse(Path(entry.path), "is there twice, in composed and in decomposed characters")
        if real in seen:
            refuse(Path(entry.path), f"is the same folder as {shown(seen[real])}")
        found[name], seen[real] = Path(entry.path), name
    if not found:
        refuse(folder, f"holds no folder of a class; expected is {FORMS}")
    return dict(sorted(found.items()))


def _holds_folders(folder: Path) -> bool:
    return any(entry.is_dir() for entry in _entries(folder))


def _images(folders: dict[str, Path]) -> tuple[tuple[Path, str], ...]:
    """The image files of some classes, each with its class."""
    found = []
    for label, folder in folders.items():
        entries = _entries(folder)
        if not entries:
            refuse(folder, "holds no image")
        for entry in entries:
            if entry.is_dir():
                refuse(Path(entry.path), f"is a folder where images of one class should be; {TREE}")
            if not entry.is_file():
                refuse(Path(entry.path), "is no regular file; a class's folder holds images alone")
            if not entry.name.lower().endswith(images.SUFFIXES):
                refuse(Path(entry.path), f"is no image; legal are {', '.join(images.SUFFIXES)}")
            found.append((Path(entry.path), label))
    return tuple(found)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)


def _read_images(parts: Parts, notes: tuple[str, ...]) -> Found:
    import numpy as np

    decoded, more = images.decode([[file for file, _ in part] for part in parts])
    labels = tuple(np.array([label for _, label in part]) for part in parts)
    return Found(decoded, labels, (*notes, *more), bytes_of_light=True)
