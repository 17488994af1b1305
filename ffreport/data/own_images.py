"""A tree of images, one folder a class, as arrays: what is in it, and every image decoded."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffcore.errors import DataError
from ffreport.data.formats import refuse, shown

if TYPE_CHECKING:
    import numpy as np

LIMIT = 8 * 2**30  # bytes of all images and labels as they are stored
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
DECODERS = ("PNG", "JPEG", "BMP")
GREY = ("1", "L", "LA")
COLOUR = ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
UNUSED = ("val", "valid", "validation")  # folders beside train and test


@dataclass(frozen=True)
class Tree:
    """Images and the class of each, in order: of training and test, or of all in one part."""

    parts: tuple[tuple[tuple[Path, str], ...], ...]
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(file for part in self.parts for file, _ in part)


def find(folder: Path) -> Tree:
    """The images in ``<class>/``, or in ``train/<class>/`` and ``test/<class>/``, sorted.

    Hidden entries are passed over.

    Raises:
        DataError: an empty folder, or one that holds what does not belong there; names it.
    """
    top = _folders(folder)
    if not any(part in top and _holds_folders(top[part]) for part in ("train", "test")):
        return Tree((_images(top),))
    for name in top.keys() - {"train", "test", *UNUSED}:
        refuse(top[name], "lies beside train and test, and is neither; move it away")
    for part in ("train", "test"):
        if part not in top:
            refuse(folder, f"has no folder {part}; add it, or let all classes lie directly in it")
    notes = tuple(f"not used: {name}" for name in UNUSED if name in top)
    return Tree(tuple(_images(_folders(top[part])) for part in ("train", "test")), notes)


def decode(
    tree: Tree,
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...], tuple[str, ...]]:
    """Images uint8 [N, h, w] where all are grey, else [N, 3, h, w]; their classes, str [N]; notes.

    Raises:
        DataError: an image that cannot be read whole, is of another size than the first, or has
            more than 8 bits a channel; or more pixels in all than LIMIT. Names it.
    """
    import numpy as np

    size, colour, clear = _survey(tree.files)
    shape = (3, size[1], size[0]) if colour else (size[1], size[0])
    need = len(tree.files) * int(np.prod(shape, dtype=object))
    within_limit(tree.files[0].parent, need)
    images = []
    for part in tree.parts:
        pixels = np.empty((len(part), *shape), np.uint8)
        for row, (file, _) in zip(pixels, part, strict=True):
            with _opened(file) as image:
                found = np.asarray(image.convert("RGB" if colour else "L"))
            row[...] = found.transpose(2, 0, 1) if colour else found
        images.append(pixels)
    labels = tuple(np.array([label for _, label in part]) for part in tree.parts)
    notes = [*tree.notes, *(["transparency is dropped"] if clear else [])]
    return tuple(images), labels, tuple(notes)


def within_limit(path: Path, size: int) -> None:
    """Raise DataError where images and labels of so many bytes are too many: beyond LIMIT, or a
    third of the machine's memory, since they are checked and converted beside what is stored. A
    small compressed file can claim as much."""
    try:
        most = min(LIMIT, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 3)
    except (AttributeError, ValueError, OSError):  # not every system says
        most = LIMIT
    if size > most:
        refuse(path, f"needs {size / 2**30:.1f} GiB; the limit is {most / 2**30:.2g} GiB")


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


def _survey(files: tuple[Path, ...]) -> tuple[tuple[int, int], bool, bool]:
    """By their headers alone: the size of every image, whether one has colours, and whether one
    can be transparent."""
    size: tuple[int, int] = (0, 0)
    colour = clear = False
    for number, file in enumerate(files):
        with _opened(file) as image:
            if image.mode not in (*GREY, *COLOUR):
                refuse(file, f"has pixels of mode {image.mode}; save it with 8 bits a channel")
            size = size if number else image.size
            if image.size != size:
                words = [f"{width} x {height}" for width, height in (image.size, size)]
                refuse(file, f"is {words[0]} pixels, {shown(files[0])} is {words[1]}; all images "
                             "must be of one size")  # fmt: skip
            colour |= image.mode in COLOUR
            clear |= image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
    return size, colour, clear


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
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
