"""A user's own data set: read from a path, checked, and named by what it holds.

Its name is ``<stem>@<8 hex>``, such as ``letters@1f2e3d4c``: experiments, runs and pages carry it,
and never the path. Which name lies where is in the variable FFCORE_OWN_DATA, which worker processes
and notebook kernels inherit.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ffcore.data import FIFTH, fifths
from ffcore.errors import ConfigError, DataError
from ffcore.files import parsed
from ffreport.data.formats import refuse, shown
from ffreport.data.images import CONTRAST
from ffreport.data.own_files import Found, layout

if TYPE_CHECKING:
    import numpy as np

    # Training images uint8 [N, D] and labels int64 [N], test images and labels.
    Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

VARIABLE = "FFCORE_OWN_DATA"
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*@[0-9a-f]{8}")
CLASSES = (2, 1000)  # fewest and most
LEGAL = "[N, h, w], [N, h, w, c] or [N, c, h, w] with c of 1 or 3, and [N, d]"
PART = 2**24  # numbers that are converted at a time
LEVELS = (1, 3, 7, 15, 16)  # the largest integers of images of 1 to 4 bits, and of the digits
DARK = 127  # a largest integer up to it may be white, or the light of a dark image
STEM = 40  # letters of a stem at most
KEPT = 2  # data sets that stay in memory


@dataclass(frozen=True)
class Facts:
    """What a data set is: (train, test) images, an image's shape (channels first where there are
    any), its classes as they were called, the smallest and largest number of training images of a
    class, the range of the pixels, what reading changed or decided, and the SHA-256 of it all."""

    name: str
    counts: tuple[int, int]
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    per_class: tuple[int, int]
    pixels: tuple[int, int]
    rule: str
    content: str

    def __str__(self) -> str:
        size = " x ".join(map(str, self.shape))
        each = " to ".join(f"{count:,}" for count in dict.fromkeys(self.per_class))
        few = self.classes if len(self.classes) <= 12 else (*self.classes[:10], "…")
        return (
            f"{self.counts[0]:,} training and {self.counts[1]:,} test images\n"
            f"  of {size} numbers, {self.pixels[0]} to {self.pixels[1]} of 0 to 255\n"
            f"  {len(self.classes)} classes of {each} training images: "
            f"{', '.join(map(shown, few))}\n"
            f"  {self.rule or 'as it is stored'}"
        )


def is_name(text: str) -> bool:
    """Whether a text has the form of a name, such as ``letters@1f2e3d4c``."""
    return bool(NAME.fullmatch(text))


def is_path(text: str, base: Path | None = None) -> bool:
    """Whether a text means a path, relative to ``base``: it looks like one, or something is there.

    What is a name whose path is known is none.
    """
    if is_name(text) and text in _places():
        return False
    looks = text.startswith(("~", ".")) or text.lower().endswith(".npz")
    return looks or "/" in text or os.sep in text or os.path.exists((base or Path()) / text)


def identify(path: str | Path) -> str:
    """Read the data set at a path and return its name, whose path this process and those that it
    starts know from now on.

    Raises:
        DataError: nothing is there, or it is no sound data set; says what is wrong with what.
    """
    place = Path(os.path.abspath(at_home(path)))
    name = _read(place)[0].name
    os.environ[VARIABLE] = json.dumps({**_places(), name: str(place)})
    return name


def at_home(path: str | Path) -> Path:
    """The path with the home folder in the place of ``~``.

    Raises:
        DataError: it is that of a user whom this machine does not know.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        refuse(Path(path), "begins with a home folder that this machine does not have")


def where(name: str) -> Path:
    """The path of a data set of a user's own.

    Raises:
        DataError: it is not known; name the path.
    """
    if name not in (places := _places()):
        raise DataError(
            f"{name} is a data set of your own, and where it lies is not known here; name its path "
            "in place of the name, such as --dataset my.npz"
        )
    return Path(places[name])


def facts(name: str) -> Facts:
    """What a data set is. A name stands for one content, so that it is read once in a process.

    Raises:
        DataError: its path is not known, or something else is there by now.
    """
    if name not in _facts:
        load(name)
    return _facts[name]


def load(name: str) -> Arrays:
    """Training images uint8 [N, D] and labels int64 [N], test images and labels. They stay in
    memory while the files are as they were.

    Raises:
        DataError: its path is not known, or something else is there by now.
    """
    place = where(name)
    found, arrays = _read(place)
    if found.name != name:
        raise DataError(
            f"{name}: {shown(place)} has changed and is {found.name} now; run the command again "
            "with its path"
        )
    return arrays


_facts: dict[str, Facts] = {}
_newest: dict[Path, tuple[object, Facts, Arrays]] = {}


def _places() -> dict[str, str]:
    try:
        places = parsed(os.environ.get(VARIABLE) or "{}")
        return {str(name): str(path) for name, path in places.items()}
    except (ValueError, AttributeError):
        raise ConfigError(f"{VARIABLE} is no JSON object of names and paths") from None


def _read(place: Path) -> tuple[Facts, Arrays]:
    """What lies at a path, from memory where size and time of every file are as they were."""
    try:
        found = layout(place)
        stamp = [(file, (s := file.stat()).st_size, s.st_mtime_ns) for file in found.files]
        if place not in _newest or _newest[place][0] != stamp:
            _newest.pop(place, None)
            while len(_newest) >= KEPT:  # before the next one takes its memory
                _newest.pop(next(iter(_newest)))
            _newest[place] = (stamp, *_checked(place, found.read()))
    except OSError as error:
        refuse(Path(error.filename or place), f"cannot be read: {error.strerror}")
    except MemoryError:
        refuse(place, "needs more memory than there is; take fewer or smaller images")
    _, described, arrays = _newest[place]
    _facts[described.name] = described
    return described, arrays


def _stem(place: Path) -> str:
    """Lower-case letters, digits and hyphens of a file's or folder's name."""
    name = place.stem if place.suffix.lower() == ".npz" else place.name
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:STEM].strip("-") or "data"


def _checked(place: Path, found: Found) -> tuple[Facts, Arrays]:
    """Arrays as they are stored, of training and test or of all in one, as training takes them.

    Pixels: integers or floats; 0 to what ``_white`` finds becomes 0..255. Labels: integers or
    strings, which become 0..C − 1 in sorted order. One part is split by FIFTH.

    Raises:
        DataError: a shape, type or value beyond that, a class without training or test images, or
            images that are all alike; says which was found.
    """
    import numpy as np

    images, labels, rule = found.images, found.labels, list(found.notes)
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
    white = _white(place, planes, found.bytes_of_light)
    pixels = [_pixels(part, white) for part in planes]
    if white != 255:
        rule.append(f"values 0 to {white} become 0 to 255, rounded")
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
    _check_contrast(place, pixels[0], numbers[0])
    arrays = pixels[0], numbers[0], pixels[1], numbers[1]
    shape, counts = tuple(planes[0].shape[1:]), (len(numbers[0]), len(numbers[1]))
    digest = hashlib.sha256(json.dumps([counts, shape, len(classes)]).encode())
    for array in arrays:
        digest.update((array if array.dtype == np.uint8 else array.astype("<i8")).data)
    content = digest.hexdigest()
    sizes = np.bincount(numbers[0])
    return Facts(
        f"{_stem(place)}@{content[:8]}", counts, shape, classes,
        (int(sizes.min()), int(sizes.max())), (int(pixels[0].min()), int(pixels[0].max())),
        "; ".join(rule), content,
    ), arrays  # fmt: skip


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


def _white(place: Path, parts: Sequence[np.ndarray], known: bool) -> int:
    """The stored value that is white: 1 of floats and booleans; of integers 255, or the largest of
    all where it is one of LEVELS.

    Args:
        known: the format of the files says that 255 is white, so that images may be dark.

    Raises:
        DataError: another type or range, or one of which the white is not plain; says what to do.
    """
    import numpy as np

    kinds = {part.dtype.kind for part in parts}
    if strange := [part.dtype for part in parts if part.dtype.kind not in "biuf"]:
        refuse(place, f"has images of {strange[0]}; legal are integers and floats")
    with np.errstate(invalid="ignore"):
        low = min(+part.min().item() for part in parts)
        tops = [+part.max().item() for part in parts]
    top = max(tops)
    limit = 1 if "f" in kinds else 255
    if not all(0 <= part.min() <= part.max() <= limit for part in parts):  # nan, too
        refuse(place, f"has pixels from {low} to {top}; legal are integers within 0..255, or "
                      "floats within 0..1: store (x - black) / (white - black) as floats, with the "
                      "values that black and white have")  # fmt: skip
    white = limit if limit == 1 or top > DARK or (known and top > max(LEVELS)) else int(top)
    if white not in (0, limit, *LEVELS):
        refuse(place, f"has integers from {low} to {top} as pixels, and what is white among them "
                      f"is not plain; store floats, x / {top} where {top} is white, or x / 255 "
                      "where 255 is")  # fmt: skip
    if min(tops) <= white * max(LEVELS) / 255 and 4 * min(tops) < top:
        refuse(place, f"has pixels up to {tops[0]} in its training images and up to {tops[-1]} in "
                      "its test images; store both on one scale")  # fmt: skip
    return white or 255


def _pixels(images: np.ndarray, white: int) -> np.ndarray:
    """uint8 [N, D], of its own memory, with ``white`` as 255."""
    import numpy as np

    found = np.empty(images.shape, np.uint8)
    rows = max(1, PART // images[0].size)
    for start in range(0, len(images), rows):
        part = images[start : start + rows]
        if white != 255:
            part = np.rint(part.astype(np.float64) * (255 / white))
        found[start : start + rows] = part
    return found.reshape(len(found), -1)


def _check_contrast(place: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Raise DataError where nothing in the training images, uint8 [N, D], tells their classes."""
    low, high = int(images.min()), int(images.max())
    flat = images.shape[1] > 1 and (images.max(1) == images.min(1)).all()
    if high - low < CONTRAST or flat:
        each = ", each of one value alone" if flat else ""
        refuse(place, f"has training images without contrast: their pixels are {low} to {high} of "
                      f"0 to 255{each}; look at some, and at how they were saved")  # fmt: skip
    classes: dict[bytes, set[int]] = {}
    for image, label in zip(images, labels.tolist(), strict=True):
        classes.setdefault(hashlib.blake2b(image.data).digest(), set()).add(label)
    if all(len(of) > 1 for of in classes.values()):
        refuse(place, "has training images that are the same in several classes, every one of "
                      "them; look at some, and at how they were saved")  # fmt: skip


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
        labels = np.char.decode(labels, "utf-8", "backslashreplace")
    if labels.dtype.kind not in "biuU":
        refuse(place, f"has labels of {labels.dtype}; legal are integers and strings")
    if labels.dtype.kind != "U":
        return labels.astype(np.int64)
    points = np.ascontiguousarray(labels.astype(labels.dtype.newbyteorder("="))).view(np.uint32)
    if points.size and (points.max() > 0x10FFFF or ((points >= 0xD800) & (points < 0xE000)).any()):
        refuse(place, "has labels of text that is damaged: they hold numbers that are no character")
    return np.array([unicodedata.normalize("NFC", label) for label in labels.tolist()])
