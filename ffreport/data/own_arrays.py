"""A user's own arrays checked and brought into the one form that training takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ffcore.data import FIFTH, fifths
from ffreport.data.formats import refuse, shown

if TYPE_CHECKING:
    import numpy as np

CLASSES = (2, 1000)  # fewest and most
LEGAL = "[N, h, w], [N, h, w, c] or [N, c, h, w] with c of 1 or 3, and [N, d]"
PART = 2**24  # numbers that are converted at a time


@dataclass(frozen=True, eq=False)
class Checked:
    """Training images uint8 [N, D] and labels int64 [N], test images and labels; an image's shape,
    channels first where there are three; the classes as they were called, in the order of their
    labels; and what was changed or decided."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    rule: str

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return self.train_images, self.train_labels, self.test_images, self.test_labels


def check(
    place: Path, images: Sequence[np.ndarray], labels: Sequence[np.ndarray], notes: Sequence[str]
) -> Checked:
    """Arrays as they are stored, of training and test or of all in one, as training takes them.

    Pixels: integers within 0..255, or floats within 0..1, which become 0..255. Labels: integers or
    strings, which become 0..C − 1 in sorted order. One part is split by FIFTH.

    Args:
        place: opens every message.
        notes: what reading left out or changed; the rule begins with it.

    Raises:
        DataError: a shape, type or value beyond that, or a class without training or test images;
            says which was found.
    """
    import numpy as np

    rule = list(notes)
    for part, truth in zip(images, labels, strict=True):
        if min(part.shape, default=0) == 0 or part.ndim not in (2, 3, 4):
            refuse(place, f"has images of shape {list(part.shape)}; legal are {LEGAL}")
        if len(part) != len(truth if truth.ndim else ()):
            refuse(place, f"has {len(part)} images, and labels of shape {list(truth.shape)}")
    planes = [_planes(place, part) for part in images]
    if planes[0].shape[1:] != planes[-1].shape[1:]:
        words = " and ".join(str(list(part.shape[1:])) for part in images)
        refuse(place, f"has training and test images of shape {words}; they must be alike")
    if ("f" in images[0].dtype.kind) != ("f" in images[-1].dtype.kind):
        refuse(place, f"has training images of {images[0].dtype} and test images of "
                      f"{images[-1].dtype}; store both alike")  # fmt: skip
    pixels = [_pixels(place, part) for part in planes]
    if images[0].dtype.kind == "f":
        rule.append("values 0 to 1 become 0 to 255, rounded")
    if images[0].ndim == 2:
        rule.append("each row of numbers is an image of one line")
    numbers, classes = _numbered(place, labels, rule)
    if len(pixels) == 1:
        test = fifths(numbers[0], len(classes))
        pixels, numbers = ([part[0][~test], part[0][test]] for part in (pixels, numbers))
        rule.append(FIFTH)
    for part, kind in zip(numbers, ("training", "test"), strict=True):
        lacking = np.flatnonzero(np.bincount(part, minlength=len(classes)) == 0)
        if len(lacking):
            refuse(place, f"has no {kind} image of class {shown(classes[lacking[0]])}; each class "
                          "needs one of either kind, and five where there is no split")  # fmt: skip
    shape = tuple(planes[0].shape[1:])
    return Checked(pixels[0], numbers[0], pixels[1], numbers[1], shape, classes, "; ".join(rule))


def _planes(place: Path, images: np.ndarray) -> np.ndarray:
    """A view of images as [N, h, w] or [N, 3, h, w]; a row of numbers is an image of one line."""
    if images.ndim == 2:
        return images[:, None, :]
    if images.ndim == 3:
        return images
    first, last = images.shape[1] in (1, 3), images.shape[3] in (1, 3)
    if first == last:
        which = "either end may be its channels" if first else "neither end has 1 or 3 channels"
        refuse(place, f"has images of shape {list(images.shape)}: {which}; legal are {LEGAL}")
    images = images.transpose(0, 3, 1, 2) if last else images
    return images[:, 0] if images.shape[1] == 1 else images


def _pixels(place: Path, images: np.ndarray) -> np.ndarray:
    """uint8 [N, D], of its own memory."""
    import numpy as np

    if images.dtype.kind not in "iuf":
        refuse(place, f"has images of {images.dtype}; legal are integers and floats")
    with np.errstate(invalid="ignore"):
        low, high = images.min(), images.max()
    most = 1 if images.dtype.kind == "f" else 255
    if not 0 <= low <= high <= most:  # nan, too
        refuse(place, f"has pixels from {low} to {high}; legal are integers within 0..255, or "
                      "floats within 0..1")  # fmt: skip
    found = np.empty(images.shape, np.uint8)
    rows = max(1, PART // images[0].size)
    for start in range(0, len(images), rows):
        part = images[start : start + rows]
        if most == 1:
            part = np.rint(part.astype(np.float64) * 255)
        found[start : start + rows] = part
    return found.reshape(len(found), -1)


def _numbered(
    place: Path, parts: Sequence[np.ndarray], rule: list[str]
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Labels as int64 [N] from 0, and what they were."""
    import numpy as np

    plain = [_plain(place, part) for part in parts]
    if len({part.dtype.kind for part in plain}) > 1:
        refuse(place, "has training and test labels of different types; store both alike")
    classes = np.unique(plain[0])
    if not CLASSES[0] <= len(classes) <= CLASSES[1]:
        refuse(place, f"has {len(classes)} class{'es' * (len(classes) != 1)}; legal are "
                      f"{CLASSES[0]} to {CLASSES[1]:,}")  # fmt: skip
    strange = np.setdiff1d(plain[-1], classes)
    if len(strange):
        refuse(place, f"has the test label {shown(strange[0])}, which no training image has")
    if classes.dtype.kind == "U" or (classes != np.arange(len(classes))).any():
        ends = f"{shown(classes[0])} to {shown(classes[-1])}"
        rule.append(f"labels {ends} become 0 to {len(classes) - 1} in sorted order")
    numbers = [np.searchsorted(classes, part).astype(np.int64) for part in plain]
    return numbers, tuple(map(str, classes))


def _plain(place: Path, labels: np.ndarray) -> np.ndarray:
    """int64 or str [N]."""
    import numpy as np

    if labels.ndim == 2 and labels.shape[1] == 1:  # as medmnist has them
        labels = labels[:, 0]
    if labels.ndim != 1:
        refuse(place, f"has labels of shape {list(labels.shape)}; legal are [N] and [N, 1], a "
                      "class each and no table of zeros and ones")  # fmt: skip
    if labels.dtype.kind == "S":
        return np.char.decode(labels, "utf-8", "backslashreplace")
    if labels.dtype.kind not in "biuU":
        refuse(place, f"has labels of {labels.dtype}; legal are integers and strings")
    if labels.dtype.kind != "U":
        return labels.astype(np.int64)
    points = np.ascontiguousarray(labels.astype(labels.dtype.newbyteorder("="))).view(np.uint32)
    if points.size and (points.max() > 0x10FFFF or ((points >= 0xD800) & (points < 0xE000)).any()):
        refuse(place, "has labels of text that is damaged: they hold numbers that are no character")
    return labels
