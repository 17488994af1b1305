"""A user's own images and labels as they are stored: four IDX files, an npz file, an image tree.

Nothing is unpickled, and what a header claims is compared with its file before memory is taken.
"""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ffcore.errors import DataError
from ffreport.data.own_images import decode, find, refuse, shown, within_limit

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
    if files := _idx_files(path):
        return Layout(files, lambda: _read_idx(files))
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


def _read_idx(files: tuple[Path, ...]) -> Found:
    dims = [_idx_dims(path, 1 if i % 2 else 3) for i, path in enumerate(files)]
    within_limit(files[0].parent, sum(map(prod, dims)))
    arrays = [_idx_array(path, d) for path, d in zip(files, dims, strict=True)]
    return Found(tuple(arrays[::2]), tuple(arrays[1::2]))


def _idx_dims(path: Path, rank: int) -> tuple[int, ...]:
    """What an IDX file's header says, of which the file has room for as many bytes."""
    start, due = 4 + 4 * rank, bytes([0, 0, 8, rank])
    with _opened(path) as stream:
        head = stream.read(start)
        if head[:4] != due:
            begins = head[:4].hex() or "with nothing"
            refuse(path, f"is no such IDX file: it begins {begins}, not {due.hex()}")
        if len(head) < start:
            refuse(path, "is truncated in its header")
        dims = struct.unpack(f">{rank}I", head[4:])
        zipped, size = isinstance(stream, gzip.GzipFile), path.stat().st_size
        room = RATIO * size if zipped else size - start
        if prod(dims) > room or (not zipped and prod(dims) != room):
            claimed = " x ".join(map(str, dims))
            refuse(path, f"claims {claimed} bytes after its header, which is not what a file of "
                         f"{size} bytes holds")  # fmt: skip
    return dims


def _idx_array(path: Path, dims: tuple[int, ...]) -> np.ndarray:
    import numpy as np

    array = np.empty(prod(dims), np.uint8)
    with _opened(path) as stream:
        stream.read(4 + 4 * len(dims))
        filled = 0
        while filled < len(array):
            chunk = stream.read(min(2**20, len(array) - filled))
            if not chunk:
                refuse(path, f"is truncated: its header claims {len(array)} bytes, {filled} follow")
            array[filled : filled + len(chunk)] = np.frombuffer(chunk, np.uint8)
            filled += len(chunk)
        if stream.read(1):
            refuse(path, f"is too long: its header claims {len(array)} bytes, more follow")
    if not len(array):
        refuse(path, f"holds nothing: its header says {' x '.join(map(str, dims))}")
    return array.reshape(dims)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """A file's content, unpacked where it is gzip; what is wrong with it names it."""
    try:
        with open(path, "rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not zipped:
                yield raw
                return
            with gzip.GzipFile(fileobj=raw) as stream:
                yield stream  # type: ignore[misc]
    except EOFError:
        refuse(path, "is a truncated gzip file")
    except (OSError, zlib.error) as error:
        refuse(path, f"cannot be read: {getattr(error, 'strerror', None) or error}")


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
