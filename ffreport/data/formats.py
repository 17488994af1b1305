"""Files of data sets as numpy arrays: gzip and IDX, npz, bundled tables, CIFAR-10's archive.

A parser of a published set returns [train images, train labels, test images, test labels]: uint8
[N, D] and int64 [N], labels from 0.
"""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ffcore.data import fifths
from ffcore.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from ffreport.data.sources import File, Source

LIMIT = 8 * 2**30  # bytes of all images and labels as they are stored
HEADER = 2**16  # bytes; numpy reads none of an array's header that is longer than 10,000
RATIO = 1032  # the most that a byte of a deflate stream can expand to
CIFAR_BATCHES = (*(f"cifar-10-batches-py/data_batch_{i}" for i in range(1, 6)),
                 "cifar-10-batches-py/test_batch")  # fmt: skip


class Fault(Exception):
    """What is wrong with a file or a mirror, as the end of a sentence that begins with its name."""


def shown(text: object) -> str:
    """A name from a file system or a file as it may be printed: what is no visible character, such
    as an escape sequence for the terminal, in its code."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def refuse(path: Path, what: object) -> NoReturn:
    """Raise DataError: a path, and what is wrong with it."""
    raise DataError(f"{shown(path)} {what}")


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


def is_gzip(blob: bytes) -> bool:
    """Whether a file's bytes begin as gzip does."""
    return blob[:2] == b"\x1f\x8b"


def expand(blob: bytes, most: int) -> bytes:
    """A file's content, unpacked where it is gzip: at most ``most`` + 1 bytes, so that who asks
    sees that there are more.

    Raises:
        Fault: it is a gzip file that is damaged or cut off.
    """
    if not is_gzip(blob):
        return blob
    content = bytearray()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(blob)) as stream:
            while chunk := stream.read1(most + 1 - len(content)):
                content += chunk
    except EOFError:
        raise Fault(f"is a gzip file that is truncated after {len(content)} bytes") from None
    except (OSError, zlib.error) as error:
        raise Fault(f"is a damaged gzip file: {error}") from None
    return bytes(content)


def idx_dims(blob: bytes, rank: int) -> tuple[int, ...]:
    """The dimensions that the header of an IDX file of bytes claims; the file may be gzip.

    Raises:
        Fault: it is no IDX file of bytes with so many dimensions.
    """
    start, magic = 4 + 4 * rank, bytes([0, 0, 8, rank])
    head = expand(blob, start)[:start]
    if head[:4] != magic:
        begins = head[:4].hex() or "with nothing"
        raise Fault(f"is no such IDX file: it begins {begins}, not {magic.hex()}")
    if len(head) < start:
        raise Fault("is truncated in its header")
    return struct.unpack(f">{rank}I", head[4:])


def idx_array(blob: bytes, dims: tuple[int, ...]) -> np.ndarray:
    """The uint8 array of an IDX file with these dimensions; the file may be gzip.

    Raises:
        Fault: it holds more, less or nothing.
    """
    import numpy as np

    start, size = 4 + 4 * len(dims), prod(dims)
    if not size:
        raise Fault(f"holds nothing: its header says {' x '.join(map(str, dims))}")
    content = expand(blob, start + size)
    if (found := len(content) - start) != size:
        kind, follow = ("truncated", found) if found < size else ("too long", "more")
        raise Fault(f"is {kind}: its header claims {size} bytes, {follow} follow")
    return np.frombuffer(content, np.uint8, offset=start).reshape(dims)


def read_npz(
    path: Path, forms: Sequence[tuple[str, ...]]
) -> tuple[tuple[np.ndarray, ...], list[str]]:
    """The arrays of an npz file in the first of some forms, each of which is names of arrays, and
    the names of the others. Nothing is unpickled, and what a header claims is compared with the
    file before memory is taken.

    Raises:
        DataError: it holds none of the forms, or is not sound.
    """
    from numpy.lib import format as npy

    try:
        with zipfile.ZipFile(path) as archive:
            members: dict[str, zipfile.ZipInfo] = {}
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                if name in members:
                    refuse(path, f"holds {shown(name)} twice; save it again")
                members[name] = member
            keys = next((form for form in forms if members.keys() >= set(form)), None)
            if keys is None:
                there = ", ".join(map(shown, sorted(members)[:8])) or "nothing"
                legal = "; ".join(", ".join(form) for form in forms)
                refuse(path, f"holds {there}; it must hold {legal}")
            within_limit(path, sum(_claimed(path, archive, members[k]) for k in keys))
            arrays = []
            for key in keys:
                with archive.open(members[key]) as stream:
                    arrays.append(npy.read_array(stream, allow_pickle=False))
    except DataError:
        raise
    except Exception as error:  # a hostile file can raise anything
        refuse(path, f"is no sound npz file: {shown(error):.200}")
    return tuple(arrays), sorted(members.keys() - set(keys))


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


def parse_table(name: str, table: bytes, source: Source) -> list[np.ndarray]:
    """A bundled table with one row an image, its label last; split by ``ffcore.data.FIFTH``."""
    import numpy as np

    rows = np.loadtxt(io.BytesIO(table), delimiter=",", dtype=np.uint8)
    images, labels = rows[:, :-1], rows[:, -1].astype(np.int64)
    if name == "digits":
        images = ((images.astype(np.uint16) * 255 + 8) // 16).astype(np.uint8)
    test = fifths(labels, source.classes)
    return [images[~test], labels[~test], images[test], labels[test]]


def parse_idx(name: str, contents: Sequence[bytes], files: Sequence[File]) -> list[np.ndarray]:
    """Four verified IDX files; EMNIST's images stand transposed in them."""
    import numpy as np

    arrays: list[np.ndarray] = []
    for file, blob in zip(files, contents, strict=True):
        values = idx_array(blob, file.dims)
        if file.labels:
            arrays.append(values.astype(np.int64) - file.labels[0])
            continue
        if name == "emnist-letters":
            values = values.transpose(0, 2, 1)
        arrays.append(values.reshape(len(values), -1).copy())
    return arrays


def parse_cifar(archive: bytes) -> list[np.ndarray]:
    """The six batches of CIFAR-10's verified archive of Python pickles, expanded in memory.

    The caller has compared its checksum: nothing but the published archive is unpickled.
    """
    import numpy as np

    batches: dict[str, Any] = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar:  # in its own order, since going back would expand it again
            if member.name in CIFAR_BATCHES and (stream := tar.extractfile(member)):
                batches[member.name] = _Unpickler(stream, encoding="bytes").load()
    images = [np.ascontiguousarray(batches[name][b"data"]) for name in CIFAR_BATCHES]
    labels = [np.array(batches[name][b"labels"], np.int64) for name in CIFAR_BATCHES]
    return [np.concatenate(images[:5]), np.concatenate(labels[:5]), images[5], labels[5]]


class _Unpickler(pickle.Unpickler):
    """Reads numbers, strings, lists, dicts and numpy's arrays."""

    def find_class(self, module: str, name: str) -> Any:
        import numpy as np

        rebuild = np.empty(0).__reduce__()[0]  # whose module has another name in each numpy
        legal = {"numpy.core.multiarray._reconstruct": rebuild,
                 "numpy.ndarray": np.ndarray, "numpy.dtype": np.dtype}  # fmt: skip
        if (full := f"{module}.{name}") not in legal:
            raise pickle.UnpicklingError(f"it asks for {full}")
        return legal[full]
