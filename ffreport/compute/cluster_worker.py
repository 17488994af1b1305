"""What runs on the workers of a cluster: tasks as local processes do them, on files sent along.

Nothing is read or written outside of the worker's own scratch folder, so that no file system need
be shared.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from ffcore import plugins
from ffcore.errors import ClusterError, DataError
from ffreport.base.code import definitions
from ffreport.base.digests import package_versions
from ffreport.compute import pool

EVERY = 1.0  # seconds between two words from a task: a thousand workers talk to one scheduler
_alone = threading.Lock()


@dataclass(frozen=True)
class Parcel:
    """Files by their relative path, and the SHA-256 of paths and contents."""

    checksum: str
    files: Mapping[str, bytes]


@cache
def identity() -> dict[str, str]:
    """What must be the same on every machine for the results to be: the code of this package, as
    this process started with it, and the packages that compute."""
    return {"ffcore's code": definitions().digest[:16], **package_versions(pool.PACKAGES)}


def facts() -> dict[str, Any]:
    """This worker's identity and hardware; ``free`` bytes of its GPU, None where it has none."""
    import torch

    gpu = torch.cuda.is_available()
    return {
        "identity": identity(),
        "hardware": pool.hardware("cuda" if gpu else "cpu"),
        "free": torch.cuda.mem_get_info()[0] if gpu else None,
    }


def differing(here: dict[str, str], there: dict[str, str]) -> str:
    """In words what two identities differ in, or nothing."""
    return ", ".join(
        f"{name} {there.get(name)} instead of {here.get(name)}"
        for name in {**here, **there}
        if here.get(name) != there.get(name)
    )


def perform(
    work: pool.Work, task: Any, wanted: dict[str, str], topic: str,
    data: dict[str, Parcel], luggage: Parcel | None,
) -> list[Any]:  # fmt: skip
    """Do a task on this worker, one at a time in a process.

    Args:
        work: what is done with the task; told whom to tell.
        wanted: the driver's identity.
        topic: under which the task is heard of.
        data: data sets by name.
        luggage: the task's own files; removed when it is done.

    Raises:
        ClusterError: this worker would compute something else.
    """
    from distributed import get_worker

    worker = get_worker()
    with _alone:
        if found := differing(wanted, identity()):
            raise ClusterError(f"worker {worker.address} has {found}; {REMEDY}")
        folder = Path(worker.local_directory) / "ffcore"
        data_folder = None
        for parcel in data.values():
            data_folder = unpack(parcel, folder / "data")
        own = unpack(luggage, folder / "luggage") if luggage else folder / "luggage" / "none"
        moved = task.moved(own, str(data_folder) if data_folder else None)
        try:
            plugins.only(moved.plugins)
            return work(moved, _telling(worker, topic))
        finally:
            if luggage:
                shutil.rmtree(own, ignore_errors=True)


REMEDY = (
    "install the same versions there as here, from the same commit, and start the workers again"
)


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


def _telling(worker: Any, topic: str) -> pool.Tell:
    """Passes on what a task says, not too often, and ends the task once nobody waits for it."""
    key, last = worker.get_current_task(), 0.0

    def tell(note: pool.Note) -> None:
        nonlocal last
        state = worker.state.tasks.get(key)
        if state is None or state.state in ("cancelled", "released", "forgotten"):
            raise pool.Stopped
        if time.monotonic() - last >= EVERY:
            last = time.monotonic()
            worker.log_event(topic, {"note": asdict(note)})

    return tell
