"""Verified bytes of data set files to numpy arrays: bundled tables, IDX files, CIFAR-10's archive.

Each parser returns [train images, train labels, test images, test labels]: uint8 [N, D] and int64
[N], labels from 0.
"""

from __future__ import annotations

import gzip
import io
import pickle
import pickletools
import tarfile
import zlib
from math import prod
from typing import TYPE_CHECKING, Any

from ffcore.data import fifths
from ffreport.data.sources import Fault, Source

if TYPE_CHECKING:
    import numpy as np

ROOM = 2**20  # bytes of an archive beside its batches: headers, padding, names

# All that a batch of numbers and strings is pickled with. Among the others are some that take
# memory before they have its content.
_PLAIN = {
    "PROTO", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "MARK", "BINPUT", "LONG_BINPUT", "BINGET",
    "LONG_BINGET", "BININT", "BININT1", "BININT2", "LONG1", "INT", "NONE", "NEWTRUE", "NEWFALSE",
    "SHORT_BINSTRING", "BINSTRING", "BINUNICODE", "GLOBAL", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
    "REDUCE", "BUILD", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "STOP",
}  # fmt: skip
CIFAR_BATCHES = (*(f"cifar-10-batches-py/data_batch_{i}" for i in range(1, 6)),
                 "cifar-10-batches-py/test_batch")  # fmt: skip


def parse_table(name: str, table: bytes, source: Source) -> list[np.ndarray]:
    """A bundled table with one row an image, its label last; the split is ``data.load``'s."""
    import numpy as np

    rows = np.loadtxt(io.BytesIO(table), delimiter=",", dtype=np.uint8)
    images, labels = rows[:, :-1], rows[:, -1].astype(np.int64)
    if name == "digits":
        images = ((images.astype(np.uint16) * 255 + 8) // 16).astype(np.uint8)
    test = fifths(labels, source.classes)
    return [images[~test], labels[~test], images[test], labels[test]]


def parse_idx(name: str, contents: list[bytes], source: Source) -> list[np.ndarray]:
    """Four IDX files whose headers are verified; EMNIST's images stand transposed in them."""
    import numpy as np

    arrays: list[np.ndarray] = []
    for file, blob in zip(source.files, contents, strict=True):
        values = np.frombuffer(blob, np.uint8, offset=4 + 4 * len(file.dims)).reshape(file.dims)
        if file.labels:
            arrays.append(values.astype(np.int64) - file.labels[0])
            continue
        if name == "emnist-letters":
            values = values.transpose(0, 2, 1)
        arrays.append(values.reshape(len(values), -1).copy())
    return arrays


def parse_cifar(archive: bytes, source: Source) -> list[np.ndarray]:
    """The six batches of CIFAR-10, read from the archive in memory by their exact names.

    Raises:
        Fault: a batch is missing, too large, or pickles anything but numbers and strings.
    """
    import numpy as np

    rows = dict.fromkeys(CIFAR_BATCHES, source.counts[0] // 5)
    rows[CIFAR_BATCHES[-1]] = source.counts[1]
    batches = {}
    try:
        with (
            _Expanded(sum(rows.values()) * (prod(source.shape) + 100) + ROOM, archive) as whole,
            tarfile.open(fileobj=whole, mode="r:") as tar,
        ):
            # In the archive's own order, since going back would expand it again from the start.
            for member in tar:
                if count := rows.get(member.name):
                    small = member.size <= count * (prod(source.shape) + 100) + ROOM // 16
                    stream = tar.extractfile(member) if member.isreg() and small else None
                    if stream is None:
                        raise Fault(f"has a member {member.name} that is no CIFAR-10 batch")
                    batches[member.name] = _unpickle(member.name, stream.read(), count, source)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise Fault(f"is no sound archive of CIFAR-10: {error}") from None
    if absent := [name for name in CIFAR_BATCHES if name not in batches]:
        raise Fault(f"is no sound archive of CIFAR-10: it has no {', '.join(absent)}")
    images, labels = zip(*(batches[name] for name in CIFAR_BATCHES), strict=True)
    return [np.concatenate(images[:5]), np.concatenate(labels[:5]), images[5], labels[5]]


def _unpickle(
    member: str, pickled: bytes, rows: int, source: Source
) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [rows, D] and labels int64 [rows] of one batch, nothing in it executed."""
    import numpy as np

    try:
        _check_plain(pickled)
        batch = _Unpickler(io.BytesIO(pickled), encoding="bytes").load()
        *_, shape, kind, fortran, raw = batch[b"data"].state
        if kind.args[0] != b"u1" or shape != (rows, prod(source.shape)):
            raise ValueError(f"data are no {rows} x {prod(source.shape)} bytes")
        images = np.frombuffer(raw, np.uint8).reshape(shape, order="F" if fortran else "C")
        listed = batch[b"labels"]  # of lists of lists, one could be of any size
        if type(listed) is not list or len(listed) != rows or {*map(type, listed)} - {int}:
            raise ValueError(f"labels are not {rows} numbers")
        labels = np.array(listed, dtype=np.int64)
        if labels.min() < 0 or labels.max() >= source.classes:
            raise ValueError(f"labels are not {rows} of 0..{source.classes - 1}")
    except Exception as error:  # a hostile pickle can raise anything
        raise Fault(f"has a member {member} that is no CIFAR-10 batch: {error}") from None
    return images.copy(order="C"), labels


def _check_plain(pickled: bytes) -> None:
    """Raise ValueError for a pickle that does more than numbers, strings, lists and globals need.

    A place in the memo is a number in the pickle, and the memo takes memory up to it.
    """
    for code, argument, _ in pickletools.genops(pickled):
        if code.name not in _PLAIN:
            raise ValueError(f"it uses {code.name}")
        if code.name in ("BINPUT", "LONG_BINPUT") and int(argument or 0) > len(pickled):
            raise ValueError(f"its memo has the place {argument}")


class _Expanded(gzip.GzipFile):
    """What a gzip file holds, up to a limit: longer is no sound archive."""

    def __init__(self, limit: int, archive: bytes) -> None:
        self._limit = limit
        super().__init__(fileobj=io.BytesIO(archive))

    def read(self, size: int | None = -1) -> bytes:
        most = self._limit - self.tell()
        if size is None or size < 0 or size > most:
            raise tarfile.ReadError("it expands to more than it should")
        return super().read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        # What does not go to a place only asks for the present one.
        if offset > self._limit or (offset and whence != io.SEEK_SET):
            raise tarfile.ReadError("it expands to more than it should")
        return super().seek(offset, whence)


class _Stub:
    """Stands for numpy's array and type in a pickle: keeps what it is given and does nothing."""

    state: Any = None

    def __init__(self, *args: Any):
        self.args = args

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    """Reads numbers, strings, lists, dicts and the three globals that a numpy array needs."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = ("numpy.core.multiarray._reconstruct", "numpy.ndarray", "numpy.dtype")
        if f"{module}.{name}" not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _Stub
