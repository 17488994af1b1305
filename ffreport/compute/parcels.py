"""Files that travel to another machine, named by what they hold and checked when they arrive."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ffcore.errors import DataError
from ffreport.data import own, sources
from ffreport.data.own_files import layout


@dataclass(frozen=True)
class Parcel:
    """Files by their relative path, and the SHA-256 of paths and contents."""

    checksum: str
    files: Mapping[str, bytes]


def pack(files: Mapping[str, Path]) -> Parcel:
    """A parcel of files on this machine.

    Args:
        files: path in the parcel, with ``/``, → where the file lies.

    Raises:
        DataError: one cannot be read.
    """
    try:
        contents = {name: path.read_bytes() for name, path in sorted(files.items())}
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from None
    return Parcel(_checksum(contents), contents)


def of_data(name: str, data_folder: str | None) -> dict[str, Path]:
    """The files of a data set, by their path below a folder of data sets; none of one that comes
    with a package.

    A user's own lies in a folder, or is a file, of the name from which its own name is made.

    Raises:
        DataError: a file is missing.
    """
    if own.is_name(name):
        place = own.where(name)
        files = [place] if place.is_file() else layout(place).files
        return {f.relative_to(place.parent).as_posix(): f for f in files}
    if sources.lookup(name).package:
        return {}
    found = {}
    for file, there in sources.locate(name, data_folder).items():
        if there is None:
            raise DataError(f"{name}: {file.name} is missing; {sources.remedy(name)}")
        found[f"{name}/{there.name}"] = there
    return found


def unpack(parcel: Parcel, folder: Path) -> Path:
    """The folder that holds a parcel's files, below ``folder``; they are written once.

    Raises:
        DataError: the parcel was damaged on its way, or a path in it leads out of the folder.
    """
    target = folder / parcel.checksum
    if target.is_dir():
        return target
    if _checksum(parcel.files) != parcel.checksum:
        raise DataError(f"a parcel of {len(parcel.files)} files was damaged on its way")
    building = folder / f".{parcel.checksum}-{os.getpid()}"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    for name, content in parcel.files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise DataError(f"a parcel names a file outside of its folder: {name!r}")
        (building / path).parent.mkdir(parents=True, exist_ok=True)
        (building / path).write_bytes(content)
    building.rename(target)
    return target


def _checksum(files: Mapping[str, bytes]) -> str:
    total = hashlib.sha256()
    for name, content in sorted(files.items()):
        total.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\0".encode())
    return total.hexdigest()
