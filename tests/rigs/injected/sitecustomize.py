"""Faults at exact points: Python runs this first where the tests put its folder on PYTHONPATH.

FFCORE_FAULT, a JSON object, says what happens; see ``tests.rigs.injection.Place``. Each call that
changes a file below one of the watched folders is a point: ``call place occurrence``.
"""

import builtins
import errno
import functools
import io
import json
import os
import re
import time

from ffreport.pipeline.training import tasks

VARIABLE, GROUP = "FFCORE_FAULT", "FFCORE_FAULT_GROUP"
PLAIN = re.compile(r"[0-9a-f]{32}|(?<=\.building-)\d+-[0-9a-f]{8}|(?<=[.-])\d{2,}(?=[./-]|$)")
fault = json.loads(os.environ.get(VARIABLE, "{}"))
seen: dict[str, int] = {}


def place_of(path) -> str:
    """A path below a watched folder, without numbers of processes; empty where it is elsewhere."""
    if isinstance(path, int):
        try:
            path = os.readlink(f"/proc/self/fd/{path}")
        except OSError:
            return ""
    whole = os.path.abspath(os.fsdecode(path))
    for name, folder in fault["below"].items():
        if whole.startswith(folder + os.sep):
            return f"{name}/{PLAIN.sub('N', os.path.relpath(whole, folder))}"
    return ""


def strike(point: str, moment: str) -> None:
    """Do what was asked for at a point, if it is this one."""
    if fault.get("at") != [point, moment]:
        return
    try:
        os.close(os.open(fault["fired"], os.O_CREAT | os.O_EXCL))
    except OSError:
        return
    os.killpg(int(os.environ[GROUP]), fault["signal"])
    time.sleep(0.2)  # a signal to another thread's process takes a moment


def watched(call: str, function, which: int, writes=lambda args, options: True):
    @functools.wraps(function)
    def wrapped(*args, **options):
        place = ""
        if len(args) > which and writes(args, options):
            place = place_of(args[which])
        if not place:
            return function(*args, **options)
        if fault.get("full"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(args[which]))
        seen[f"{call} {place}"] = count = seen.get(f"{call} {place}", 0) + 1
        point = f"{call} {place} {count}"
        strike(point, "before")
        found = function(*args, **options)
        if fault.get("log"):
            log = os.open(fault["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(log, f"{point}\n".encode())
            os.close(log)
        strike(point, "after")
        return found

    return wrapped


def opens_to_write(args, options) -> bool:
    mode = args[1] if len(args) > 1 else options.get("mode", "r")
    return isinstance(mode, str) and bool(set(mode) & set("wax+"))


def published_small() -> None:
    """Let ``mnist`` be a few images of a mirror of the tests'."""
    from ffreport.data import sources

    checksums = [f"sha256:{digest}" for digest in fault["mirror"]["checksums"]]
    sources.SOURCES["mnist"] = sources.idx(
        checksums, (fault["mirror"]["url"],), tuple(fault["mirror"]["counts"])
    )


def checkpoints_at_once() -> None:
    from ffreport.compute import pool

    perform = tasks._perform

    def performed(*args):
        from ffcore import checkpoints

        if "memory" in fault and pool.in_worker():
            import resource

            pages = int(open("/proc/self/statm").read().split()[0])
            most = pages * resource.getpagesize() + fault["memory"]
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        checkpoints.Checkpoint.__init__.__defaults__ = (0.0,)
        return perform(*args)

    tasks._perform = performed


def jumping(clock: list[float]) -> None:
    """Let the clock of the day be off by another number of hours at each look."""
    real, real_ns, looks = time.time, time.time_ns, iter(range(1 << 62))

    def off() -> float:
        return 3600.0 * clock[next(looks) % len(clock)]

    time.time = lambda: real() + off()
    time.time_ns = lambda: real_ns() + int(1e9 * off())


if fault:
    os.environ.setdefault(GROUP, str(os.getpgrp()))
    if fault.get("below"):
        for name, which in (("replace", 1), ("rename", 1), ("symlink", 1), ("fsync", 0),
                            ("unlink", 0), ("mkdir", 0)):  # fmt: skip
            setattr(os, name, watched(name, getattr(os, name), which))
        opened = watched("open", io.open, 0, opens_to_write)
        io.open = builtins.open = opened
    if fault.get("mirror"):
        published_small()
    if fault.get("checkpoints"):
        checkpoints_at_once()
    if fault.get("cores"):
        from ffreport.compute import pool

        pool.cores = lambda: fault["cores"]
    if fault.get("clock"):
        jumping(fault["clock"])
