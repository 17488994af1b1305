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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ffcore.errors import ConfigError, DataError
from ffcore.files import parsed
from ffreport.data.formats import refuse, shown
from ffreport.data.own_arrays import Checked, check
from ffreport.data.own_files import layout

if TYPE_CHECKING:
    import numpy as np

VARIABLE = "FFCORE_OWN_DATA"
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*@[0-9a-f]{8}")
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


def load(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images uint8 [N, D] and labels int64 [N], test images and labels. They stay in
    memory while the files are as they were.

    Raises:
        DataError: its path is not known, or something else is there by now.
    """
    place = where(name)
    found, checked = _read(place)
    if found.name != name:
        raise DataError(
            f"{name}: {shown(place)} has changed and is {found.name} now; run the command again "
            "with its path"
        )
    return checked.arrays


_facts: dict[str, Facts] = {}
_newest: dict[Path, tuple[object, Facts, Checked]] = {}


def _places() -> dict[str, str]:
    try:
        places = parsed(os.environ.get(VARIABLE) or "{}")
        return {str(name): str(path) for name, path in places.items()}
    except (ValueError, AttributeError):
        raise ConfigError(f"{VARIABLE} is no JSON object of names and paths") from None


def _read(place: Path) -> tuple[Facts, Checked]:
    """What lies at a path, from memory where size and time of every file are as they were."""
    try:
        found = layout(place)
        stamp = [(file, (s := file.stat()).st_size, s.st_mtime_ns) for file in found.files]
        if place not in _newest or _newest[place][0] != stamp:
            _newest.pop(place, None)
            while len(_newest) >= KEPT:  # before the next one takes its memory
                _newest.pop(next(iter(_newest)))
            raw = found.read()
            checked = check(place, raw.images, raw.labels, raw.notes)
            _newest[place] = (stamp, _described(place, checked), checked)
    except OSError as error:
        refuse(Path(error.filename or place), f"cannot be read: {error.strerror}")
    except MemoryError:
        refuse(place, "needs more memory than there is; take fewer or smaller images")
    _, described, checked = _newest[place]
    _facts[described.name] = described
    return described, checked


def _described(place: Path, found: Checked) -> Facts:
    import numpy as np

    counts = len(found.train_labels), len(found.test_labels)
    digest = hashlib.sha256(json.dumps([counts, found.shape, len(found.classes)]).encode())
    for array in found.arrays:
        digest.update((array if array.dtype == np.uint8 else array.astype("<i8")).data)
    content = digest.hexdigest()
    sizes = np.bincount(found.train_labels)
    pixels = found.train_images
    return Facts(
        f"{_stem(place)}@{content[:8]}", counts, found.shape, found.classes,
        (int(sizes.min()), int(sizes.max())), (int(pixels.min()), int(pixels.max())), found.rule,
        content,
    )  # fmt: skip


def _stem(place: Path) -> str:
    """Lower-case letters, digits and hyphens of a file's or folder's name."""
    name = place.stem if place.suffix.lower() == ".npz" else place.name
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:STEM].strip("-") or "data"
