"""A user's own images and labels as they are stored: four IDX files, an npz file, an image tree.

Nothing is unpickled, and what a header claims is compared with its file before memory is taken.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffcore import files
from ffcore.errors import DataError
from ffreport.data.formats import Fault, idx_array, idx_dims, refuse, shown
from ffreport.data.own_images import LIMIT, decode, find, within_limit

if TYPE_CHECKING:
    import numpy as np

SPLIT = (("x_train", "y_train", "x_test", "y_test"),
         ("train_images", "train_labels", "test_images", "test_labels"))  # fmt: skip
WHOLE = (("X", "y"), ("images", "labels"))
TESTS = ("t10k", "test")
HEADER = 2**16  # bytes; numpy reads none of an array's header that is longer than 10,000
RATIO = 1032  # the most that a byte of a deflate stream can expand to
FORMS = "the four IDX files under MNIST's names, an .npz file, or a folder of images for each class"


@dataclass(frozen=True)
class Layout:
    """The files that a data set is read from, in order; ``read`` gives their arrays."""

    files: tuple[Path, ...]
    read: Callable[[], Found]


@dataclass(frozen=True, eq=False)
class Found:
    """Arrays as they are stored, checked for nothing but their size: of training and test, or of
    all in one part; ``notes`` say what was left out or changed on the way."""

    images: tuple[np.ndarray, ...]
    labels: tuple[np.ndarray, ...]
    notes: tuple[str, ...] = ()


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
    if paths := _idx_files(path):
        return Layout(paths, lambda: _read_idx(paths))
    tree = find(path)
    return Layout(tree.files, lambda: Found(*decode(tree)))


def _idx_files(folder: Path) -> tuple[Path, ...]:
    """Training images and labels, test images and labels; none where no name is of IDX."""
    there: dict[str, list[Path | None]] = {}
    for part in ("train", *TESTS):
        names = [f"{part}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1")]
        pairs = [(folder / f"{name}.gz", folder / name) for name in names]
        there[part] = [next((p for p in pair if p.is_file()), None) for pair in pairs]
    tests = [part for part in TESTS if any(there[part])]
    if not tests and not any(there["train"]):
        return ()
    if len(tests) == 2:
        refuse(folder, "has test files under both names, t10k-… and test-…; leave one of them")
    test = tests[0] if tests else TESTS[0]
    found = [*there["train"], *there[test]]
    if None in found:
        names = [f"{part}-{kind}" for part in ("train", test) for kind in
                 ("images-idx3-ubyte", "labels-idx1-ubyte")]  # fmt: skip
        absent = [name for name, place in zip(names, found, strict=True) if not place]
        refuse(folder, f"has IDX files, but no {' and no '.join(absent)} (raw or .gz)")
    return tuple(place for place in found if place)


def _read_idx(paths: tuple[Path, ...]) -> Found:
    arrays, need = [], 0
    for number, path in enumerate(paths):
        try:
            blob = files.content(path, LIMIT)
            dims = idx_dims(blob, 1 if number % 2 else 3)
            need += prod(dims)
            within_limit(path, need)
            arrays.append(idx_array(blob, dims))
        except (Fault, ValueError) as error:
            refuse(path, error)
    return Found(tuple(arrays[::2]), tuple(arrays[1::2]))


def _read_npz(path: Path) -> Found:
    from numpy.lib import format as npy

    try:
        with zipfile.ZipFile(path) as archive:
            members: dict[str, zipfile.ZipInfo] = {}
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                if name in members:
                    refuse(path, f"holds {shown(name)} twice; save it again")
                members[name] = member
            keys = next((f for f in (*SPLIT, *WHOLE) if members.keys() >= set(f)), None)
            if keys is None:
                there = ", ".join(map(shown, sorted(members)[:8])) or "nothing"
                forms = "; ".join(", ".join(form) for form in (*SPLIT, *WHOLE))
                refuse(path, f"holds {there}; it must hold {forms}")
            within_limit(path, sum(_claimed(path, archive, members[k]) for k in keys))
            arrays = []
            for key in keys:
                with archive.open(members[key]) as stream:
                    arrays.append(npy.read_array(stream, allow_pickle=False))
    except DataError:
        raise
    except Exception as error:  # a hostile file can raise anything
        refuse(path, f"is no sound npz file: {shown(error):.200}")
    rest = sorted(members.keys() - set(keys))
    named = f"{', '.join(map(shown, rest[:8]))}{' and more' if rest[8:] else ''}"
    notes = (f"not used: {named}",) if rest else ()
    return Found(tuple(arrays[::2]), tuple(arrays[1::2]), notes)


def _claimed(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> int:
    """Bytes of an array by its header, which are those that its member has and can have."""
    from numpy.lib import format as npy

    name = shown(member.filename.removesuffix(".npy"))
    headers: dict[tuple[int, int], Any] = {(1, 0): npy.read_array_header_1_0,
                                           (2, 0): npy.read_array_header_2_0}  # fmt: skip
    # The others expand without a bound, whatever the member says of its size.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        refuse(path, f"has {name} compressed by another method than numpy's; save it with "
                     "numpy.savez_compressed")  # fmt: skip
    with archive.open(member) as packed_stream:
        stream = io.BytesIO(packed_stream.read(HEADER))
        version = npy.read_magic(stream)
        if version not in headers:
            refuse(path, f"has {name} of named fields; store a plain array")
        dims, _, kind = headers[version](stream)
        head = stream.tell()
    if kind.hasobject:
        refuse(path, f"has {name} of Python objects, which are not unpickled; store numbers, or "
                     "labels as integers or fixed-length strings")  # fmt: skip
    size = prod(dims) * kind.itemsize
    packed = min(member.compress_size, path.stat().st_size)
    sound = min(dims, default=0) >= 0 and kind.itemsize and size == member.file_size - head
    if not sound or size > RATIO * packed:
        refuse(path, f"has {name} with a header that claims {kind} {list(dims)}, {size} bytes, "
                     f"which is not what its {packed} stored bytes hold")  # fmt: skip
    return size
