"""What runs on the workers of a cluster: tasks as local processes do them, on files sent along.

Nothing is read or written outside of the worker's own scratch folder, so that no file system need
be shared.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from ffcore import plugins
from ffcore.errors import ClusterError
from ffreport.base.code import definitions
from ffreport.base.digests import package_versions
from ffreport.compute import pool
from ffreport.compute.parcels import Parcel, unpack
from ffreport.data import own as own_data

EVERY = 1.0  # seconds between two words from a task: a thousand workers talk to one scheduler
_alone = threading.Lock()


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
    work: Callable[..., list[Any]], task: Any, wanted: dict[str, str], topic: str,
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
        for name, parcel in data.items():
            data_folder = unpack(parcel, folder / "data")
            if own_data.is_name(name):
                _register(name, data_folder)
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


def _register(name: str, folder: Path) -> None:
    found = {own_data.identify(path) for path in folder.iterdir()}
    if found != {name}:
        raise ClusterError(f"{name} came as {', '.join(found) or 'nothing'} to a worker")


def _telling(worker: Any, topic: str) -> Callable[[pool.Note], None]:
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
