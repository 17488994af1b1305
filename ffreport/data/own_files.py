"""A user's own images and labels as they are stored: four IDX files, an npz file, an image tree.

Nothing is unpickled, and what a header claims is compared with its file before memory is taken.
"""

from __future__ import annotations

import io
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffcore import files
from ffcore.errors import DataError
from ffreport.data.formats import Fault, idx_array, idx_dims, refuse, shown

if TYPE_CHECKING:
    import numpy as np

SPLIT = (("x_train", "y_train", "x_test", "y_test"),
         ("train_images", "train_labels", "test_images", "test_labels"))  # fmt: skip
WHOLE = (("X", "y"), ("images", "labels"))
TESTS = ("t10k", "test")
HEADER = 2**16  # bytes; numpy reads none of an array's header that is longer than 10,000
RATIO = 1032  # the most that a byte of a deflate stream can expand to
LIMIT = 8 * 2**30  # bytes of all images and labels as they are stored
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
DECODERS = ("PNG", "JPEG", "BMP")
GREY = ("1", "L", "LA")
COLOUR = ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
UNUSED = ("val", "valid", "validation")  # folders beside train and test
FORMS = "the four IDX files under MNIST's names, an .npz file, or a folder of images for each class"


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
    parts, notes = _tree(path)
    files = tuple(file for part in parts for file, _ in part)
    return Layout(files, lambda: _read_images(parts, notes))


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
            _within_limit(path, path.stat().st_size)
            blob = files.content(path, LIMIT)
            dims = idx_dims(blob, 1 if number % 2 else 3)
            need += prod(dims)
            _within_limit(path, need)
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
            _within_limit(path, sum(_claimed(path, archive, members[k]) for k in keys))
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


def _tree(folder: Path) -> tuple[Parts, tuple[str, ...]]:
    """The images in ``<class>/``, or in ``train/<class>/`` and ``test/<class>/``, sorted; and what
    is not used. Hidden entries are passed over.

    Raises:
        DataError: an empty folder, or one that holds what does not belong there; names it.
    """
    top = _folders(folder)
    if not any(part in top and _holds_folders(top[part]) for part in ("train", "test")):
        return (_images(top),), ()
    for name in top.keys() - {"train", "test", *UNUSED}:
        refuse(top[name], "lies beside train and test, and is neither; move it away")
    for part in ("train", "test"):
        if part not in top:
            refuse(folder, f"has no folder {part}; add it, or let all classes lie directly in it")
    notes = tuple(f"not used: {name}" for name in UNUSED if name in top)
    return tuple(_images(_folders(top[part])) for part in ("train", "test")), notes


def _folders(folder: Path) -> dict[str, Path]:
    """Name → folder; anything else in there is refused."""
    found = {}
    for entry in _entries(folder):
        if not entry.is_dir(follow_symlinks=False):
            refuse(Path(entry.path), "is no folder of a class; images lie in one folder a class")
        found[entry.name] = Path(entry.path)
    if not found:
        refuse(folder, "holds no folder of a class")
    return found


def _holds_folders(folder: Path) -> bool:
    return any(entry.is_dir(follow_symlinks=False) for entry in _entries(folder))


def _images(folders: dict[str, Path]) -> tuple[tuple[Path, str], ...]:
    """The image files of some classes, each with its class."""
    found = []
    for label, folder in folders.items():
        entries = _entries(folder)
        if not entries:
            refuse(folder, "holds no image")
        for entry in entries:
            if not entry.is_file():
                refuse(Path(entry.path), "is no regular file; a class's folder holds images alone")
            if not entry.name.lower().endswith(SUFFIXES):
                refuse(Path(entry.path), f"is no image; legal are {', '.join(SUFFIXES)}")
            found.append((Path(entry.path), label))
    return tuple(found)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)


def _read_images(parts: Parts, notes: Sequence[str]) -> Found:
    """Images uint8 [N, h, w] where all are grey, else [N, 3, h, w]; their classes, str [N].

    Raises:
        DataError: an image that cannot be read whole, is of another size than the first, or has
            more than 8 bits a channel; or more pixels in all than LIMIT. Names it.
    """
    import numpy as np

    count, (first, _) = sum(map(len, parts)), parts[0][0]
    size: tuple[int, int] | None = None
    colour = clear = False
    decoded: list[list[np.ndarray]] = []
    for part in parts:
        decoded.append([])
        for file, _ in part:
            with _image(file) as image:
                if image.mode not in (*GREY, *COLOUR):
                    refuse(file, f"has pixels of mode {image.mode}; save it with 8 bits a channel")
                size = size or image.size
                if image.size != size:
                    words = [f"{width} x {height}" for width, height in (image.size, size)]
                    refuse(file, f"is {words[0]} pixels, {shown(first)} is {words[1]}; all images "
                                 "must be of one size")  # fmt: skip
                colour |= image.mode in COLOUR
                _within_limit(first.parent, (3 if colour else 1) * prod(size) * count)
                clear |= image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
                pixels = np.asarray(image.convert("RGB" if image.mode in COLOUR else "L"))
            decoded[-1].append(np.atleast_3d(pixels).transpose(2, 0, 1))
    shape = (3, *decoded[0][0].shape[1:])
    images = tuple(
        np.stack([np.broadcast_to(image, shape) if colour else image[0] for image in part])
        for part in decoded
    )
    labels = [np.array([label for _, label in part]) for part in parts]
    notes = (*notes, *(["transparency is dropped"] if clear else []))
    return Found(images, tuple(labels), notes)


@contextmanager
def _image(file: Path) -> Iterator[Any]:
    """An image of which nothing but the header is read yet."""
    from PIL import Image, UnidentifiedImageError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(file, formats=DECODERS) as image:
                yield image
        except DataError:
            raise
        except UnidentifiedImageError:
            refuse(file, "is no PNG, JPEG or BMP image")
        except Exception as error:  # a hostile image can raise anything
            refuse(file, f"cannot be read as an image: {shown(error):.200}")


def _within_limit(path: Path, size: int) -> None:
    """Raise DataError where images and labels of so many bytes are too many: beyond LIMIT, or a
    third of the machine's memory, since they are checked and converted beside what is stored. A
    small compressed file can claim as much."""
    try:
        most = min(LIMIT, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 3)
    except (AttributeError, ValueError, OSError):  # not every system says
        most = LIMIT
    if size > most:
        refuse(path, f"needs {size / 2**30:.1f} GiB; the limit is {most / 2**30:.2g} GiB")
