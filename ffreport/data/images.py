"""Image files as a viewer shows them: turned by their orientation, what is transparent over a
ground, as numpy arrays."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffcore.errors import DataError
from ffreport.data.formats import refuse, shown, within_limit

if TYPE_CHECKING:
    import numpy as np

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
DECODERS = ("PNG", "JPEG", "BMP")
GREY = ("1", "L", "LA")
COLOUR = ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
CONTRAST = 16  # of 255: what differs by less is all alike to a network
WHITE, BLACK = 255, 0
ORIENTATION = 0x0112  # in EXIF; 1 is as it is stored


def decode(parts: Sequence[Sequence[Path]]) -> tuple[tuple[np.ndarray, ...], tuple[str, ...]]:
    """The images of each part, uint8 [N, h, w] where all are grey, else [N, 3, h, w]; and what was
    done to them.

    What is transparent is shown over white; over black where more images keep a contrast so, as
    those of a white shape do.

    Raises:
        DataError: an image that cannot be read whole, is of another size than the first, or has
            more than 8 bits a channel; or more pixels in all than the limit. Names it.
    """
    import numpy as np

    count, first = sum(map(len, parts)), parts[0][0]
    size: tuple[int, int] | None = None
    colour, turned = False, 0
    decoded: list[list[tuple[np.ndarray, np.ndarray | None]]] = []
    for part in parts:
        decoded.append([])
        for file in part:
            with _opened(file) as image:
                _check_depth(file, image)
                colour |= image.mode in COLOUR
                within_limit(first.parent, (3 if colour else 1) * prod(image.size) * count)
                if size and sorted(image.size) != sorted(size):  # before it is decoded
                    _refuse_size(file, image.size, first, size)
                oriented = image.getexif().get(ORIENTATION, 1) in range(2, 9)
                pixels, alpha = _planes(image)
            found = pixels.shape[2], pixels.shape[1]
            size = size or found
            if found != size:
                _refuse_size(file, found, first, size)
            turned += oriented
            decoded[-1].append((pixels, alpha))
    notes = [f"{turned:,} image{'s' * (turned > 1)} turned as EXIF says"] if turned else []
    ground = WHITE
    clear = [pair for part in decoded for pair in part if pair[1] is not None]
    if clear:
        contrast = {g: sum(np.ptp(_over(g, *pair)) >= CONTRAST for pair in clear)
                    for g in (WHITE, BLACK)}  # fmt: skip
        ground = BLACK if contrast[BLACK] > contrast[WHITE] else WHITE
        notes.append(f"transparent pixels are shown over {'white' if ground else 'black'}")
    shape = (3 if colour else 1, *decoded[0][0][0].shape[1:])
    images = tuple(
        np.stack([np.broadcast_to(_over(ground, *pair), shape) for pair in part])
        for part in decoded
    )
    return tuple(part if colour else part[:, 0] for part in images), tuple(notes)


def _check_depth(file: Path, image: Any) -> None:
    # Pillow reads 16 bits of several channels as 8, of which a dark image keeps nothing.
    deep = any("16B" in str(tile[3]) for tile in image.tile)
    if deep or image.mode not in (*GREY, *COLOUR):
        bits = "16 bits a channel" if deep else f"pixels of mode {image.mode}"
        refuse(file, f"has {bits}; save it with 8 bits a channel")


def _refuse_size(file: Path, found: tuple[int, int], first: Path, due: tuple[int, int]) -> None:
    words = [f"{width} x {height}" for width, height in (found, due)]
    refuse(file, f"is {words[0]} pixels, {shown(first)} is {words[1]}; all images must be of one "
                 "size")  # fmt: skip


def _planes(image: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """An image upright, uint8 [1 or 3, h, w], and its opacity [h, w] where it is transparent."""
    import numpy as np
    from PIL import ImageOps

    kind = "RGB" if image.mode in COLOUR else "L"
    clear = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
    image = ImageOps.exif_transpose(image)
    if clear:
        planes = np.asarray(image.convert("RGBA")).transpose(2, 0, 1)
        if (planes[3] < 255).any():
            return planes[: 1 if kind == "L" else 3], planes[3]
    return np.atleast_3d(np.asarray(image.convert(kind))).transpose(2, 0, 1), None


def _over(ground: int, pixels: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """Pixels [c, h, w] over a ground of one grey, as opaque as ``alpha`` [h, w] says; uint8."""
    import numpy as np

    if alpha is None:
        return pixels
    opaque = alpha.astype(np.uint32)
    return ((pixels * opaque + ground * (255 - opaque) + 127) // 255).astype(np.uint8)


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
