"""Files that are small and claim, or unpack to, far more; and a process that may not take more.

``python -m tests.rigs.bombs FOLDER`` reads each that ``write`` made there, within MEMORY, and
prints what was said of it and the most memory that was held, as JSON.
"""

from __future__ import annotations

import gzip
import json
import pickle
import resource
import struct
import sys
import time
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

MEMORY = 2**30  # bytes of address space beside what the readers' libraries take
COLOURS = 2  # RGB, in a PNG's header
IDX = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in
       ("images-idx3", "labels-idx1")]  # fmt: skip


def idx(dims: tuple[int, ...], body: bytes = b"") -> bytes:
    return bytes([0, 0, 8, len(dims)]) + struct.pack(f">{len(dims)}I", *dims) + body


def npy(descr: str, shape: str, body: bytes = b"", fortran: bool = False) -> bytes:
    """A member of an npz file with a header of one's own."""
    head = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + body


def png(width: int, height: int, body: bytes = b"") -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        sealed = kind + content
        return struct.pack(">I", len(content)) + sealed + struct.pack(">I", zlib.crc32(sealed))

    head = struct.pack(">IIBBBBB", width, height, 8, COLOURS, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", body), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def zip_of(
    path: Path | IO[bytes], members: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED
):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)


def write(folder: Path) -> dict[str, str]:
    """Make every bomb; returns a pattern of what is said of each, by its name."""
    said = {}

    def files(name: str, pattern: str, contents: dict[str, bytes]) -> None:
        said[name] = pattern
        for file, content in contents.items():
            (folder / name / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / name / file).write_bytes(content)

    huge, labels = 2**32 - 1, idx((20,), bytes([0, 1] * 10))
    for name, images in {"counts": idx((huge, 28, 28)), "all counts": idx((huge, huge, huge)),
                         "counts of nothing": idx((huge, huge, 0)),
                         "gzip counts": gzip.compress(idx((huge, 28, 28)))}.items():  # fmt: skip
        pattern = "holds nothing" if "nothing" in name else "GiB; the limit is"
        files(f"idx {name}", pattern, dict(zip(IDX, (images, labels) * 2, strict=True)))
    zeros = expanding(idx((20, 2, 2), bytes(80)))
    files("idx gzip that goes on", "too long", dict(zip(IDX, (zeros, labels) * 2, strict=True)))
    members = gzip.compress(idx((20, 2, 2), bytes(80))) + gzip.compress(b"") * 100_000 + zeros
    files(
        "idx gzip of many members", "too long", dict(zip(IDX, (members, labels) * 2, strict=True))
    )

    y = npy("'<i8'", "(20,)", np.arange(20).astype("<i8").tobytes())
    big = 10**8
    for name, x, pattern in (
        ("shape", npy("'|u1'", f"({10**12}, 28, 28)"), "not what its"),
        ("overflowing shape", npy("'<f8'", f"({2**62}, {2**62}, 4)"), "not what its"),
        ("digits", npy("'<f8'", f"({'9' * 5000},)"), "sound npz"),
        ("dimensions", npy("'|u1'", f"({'1,' * 3000})", b"1"), "sound npz"),
        ("brackets", npy("'|u1'", "(" * 4000), "sound npz"),
        ("long header", b"\x93NUMPY\x02\x00" + struct.pack("<I", big) + bytes(big), "sound npz"),
        ("objects", npy("'|O'", "(20,)", pickle.dumps(np.arange(20))), "not unpickled"),
        ("text", npy("'<U500000000'", "(20,)"), "not what its"),
        ("fields", b"\x93NUMPY\x03\x00" + bytes(100), "named fields"),
    ):
        said[f"npz {name}"] = pattern
        (folder / f"npz {name}").mkdir()
        zip_of(folder / f"npz {name}" / "x.npz", [("X.npy", x), ("y.npy", y)])
    packed = [("X.npy", npy("'|u1'", f"(20, {10**6})", bytes(20 * 10**6))), ("y.npy", y)]
    for name, pack in (("bzip2", zipfile.ZIP_BZIP2), ("lzma", zipfile.ZIP_LZMA)):
        said[f"npz {name}"] = "another method"
        (folder / f"npz {name}").mkdir()
        zip_of(folder / f"npz {name}" / "x.npz", packed, pack)
    said["npz twice"] = "holds X twice"
    (folder / "npz twice").mkdir()
    zip_of(folder / "npz twice" / "x.npz", [("X.npy", y), ("y.npy", y), ("X", y)])
    said["npz outside"] = "it must hold"
    (folder / "npz outside").mkdir()
    zip_of(folder / "npz outside" / "x.npz", [("../X.npy", y), ("/y.npy", y)])

    small = png(2, 2, zlib.compress(bytes(2 * 7)))
    for name, image, pattern in (
        ("declared size", png(2**31 - 1, 2**31 - 1), "cannot be read as an image"),
        ("wide", png(9000, 9000, zlib.compress(bytes(9000), 9)), "cannot be read as an image"),
        ("truncated", png(2, 2, zlib.compress(bytes(range(14)))[:9]), "cannot be read"),
    ):
        trees = {f"{c}/{n}.png": small for c in "ab" for n in range(5)}
        files(f"tree {name}", pattern, trees | {"a/0.png": image})
    return said


def expanding(start: bytes, more: int = 100) -> bytes:
    """A gzip file of a megabyte that goes on with a gigabyte of zeros."""
    return gzip.compress(start) + gzip.compress(bytes(10**7)) * more


def read(place: Path) -> str:
    """What is said of one bomb."""
    from ffcore.errors import FFError
    from ffreport.data import own

    try:
        npz = place / "x.npz"
        own.identify(npz if npz.exists() else place)
    except FFError as error:
        return str(error)
    return "it was read"


def main(folder: Path) -> None:
    import PIL.Image  # noqa: F401  what the readers import counts for nothing

    from ffreport.compute.memory import resident
    from ffreport.data import own  # noqa: F401

    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    found = {}
    for place in sorted(folder.iterdir()):
        began = time.monotonic()
        before = resident(peak=True)  # getrusage would tell the parent's, before it became this one
        said = read(place)
        more = resident(peak=True) - before
        found[place.name] = [said, more, time.monotonic() - began]
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
