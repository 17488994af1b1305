"""Download of missing data set files: from the first mirror whose file is the published one."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from queue import Empty, SimpleQueue
from threading import Event, Thread
from uuid import uuid4

from ffcore import files
from ffcore.errors import DataError
from ffreport.data.own_images import shown
from ffreport.data.sources import Fault, File, content, folder, locate, lookup, remedy

Progress = Callable[[str], None]
TIMEOUT = (10, 30)  # seconds to connect, seconds of silence
CHUNK = 2**16  # bytes that are received at a time
SLOWEST = 60.0  # seconds for each of them
WAITING = 64  # chunks that may wait for the disk
ARCHIVE_LIMIT = 2**30  # bytes of a .zip that a mirror may send


class Unreachable(Fault):
    """A mirror that answers nothing, so that its other files need not be tried."""


def fetch(
    name: str,
    path: str | Path | None = None,
    mirrors: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> None:
    """Download the files of a data set that are missing or damaged, each verified before it gets
    its name, from the first mirror that has it right.

    Raises:
        DataError: no mirror had a file (each one's failure is named), or the folder is read-only.
    """
    source, target, say = lookup(name), folder(name, path), progress or (lambda text: None)
    wanted = [file for file, place in locate(name, path).items() if not _sound(file, place)]
    if wanted and source.package:
        raise DataError(f"{name}: {wanted[0].name} is missing or damaged; {remedy(name)}")
    if not wanted:
        return
    made = [place for place in (target, *target.parents) if not place.exists()]
    failures: list[str] = []
    try:
        target.mkdir(parents=True, exist_ok=True)
        files.sweep(target)
        for mirror in source.mirrors if mirrors is None else mirrors:
            take = _take_archive if mirror.endswith(".zip") else _take_files
            if wanted:
                wanted = take(mirror, wanted, target, failures, lambda text: say(f"{name}: {text}"))
    except OSError as error:
        raise DataError(
            f"{name}: cannot write to {target}: {error.strerror or error}; free some space there, "
            "or set FFCORE_DATA to a folder that you can write to"
        ) from None
    finally:
        for place in made:
            with suppress(OSError):  # those in use stay
                place.rmdir()
    if wanted:
        raise DataError(
            f"{name}: could not download {', '.join(file.name for file in wanted)} into {target} "
            f"({'; '.join(failures) or 'no mirror is known'}). With a network {remedy(name)}"
        )


def _sound(file: File, place: Path | None) -> bool:
    with suppress(Fault):
        return place is not None and bool(content(file, place))
    return False


def _take_files(
    mirror: str, wanted: list[File], target: Path, failures: list[str], say: Progress
) -> list[File]:
    """Fetch each file from a mirror's folder; returns those that are still wanted."""
    left = list(wanted)
    for file in wanted:
        url = f"{mirror.rstrip('/')}/{file.name}"
        try:
            with _Part(target / file.name, file.limit, say) as part:
                _download(url, part)
                _place(file, part, target)
            left.remove(file)
        except Unreachable as fault:
            failures.append(f"{mirror} {fault}")
            break
        except Fault as fault:
            failures.append(f"{url} {fault}")
    return left


def _take_archive(
    url: str, wanted: list[File], target: Path, failures: list[str], say: Progress
) -> list[File]:
    """Fetch the files out of a mirror's zip archive; returns those that are still wanted."""
    left = list(wanted)
    try:
        with _Part(target / PurePosixPath(url).name, ARCHIVE_LIMIT, say) as archive:
            _download(url, archive)
            with zipfile.ZipFile(archive.path) as members:
                places = {PurePosixPath(n).name: n for n in members.namelist()}
                for file in wanted:
                    part = _Part(target / file.name, file.limit, say)
                    with part, members.open(places[file.name]) as member:
                        part.write(member.read(file.limit + 1))
                        _place(file, part, target)
                    left.remove(file)
    except KeyError as error:
        failures.append(f"{url} has no {error}")
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        failures.append(f"{url} is not a sound zip archive")
    except Fault as fault:
        failures.append(f"{url} {fault}")
    return left


def _place(file: File, part: _Part, target: Path) -> None:
    part.close()
    content(file, part.path, published=True)
    os.replace(part.path, target / file.name)


class _Part:
    """A temporary file beside its target which limits and reports what is written to it."""

    def __init__(self, target: Path, limit: int, say: Progress):
        # Two threads may fetch the same file.
        self.path = files.temporary(target.with_name(f"{target.name}.{uuid4().hex}"))
        self.total = 0  # bytes that the server announces
        self._name, self._limit, self.say = target.name, limit, say
        self._written = self._reported = 0
        self._stream = open(self.path, "xb")

    def __enter__(self) -> _Part:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self.path.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        self._written += len(chunk)
        if self._written > self._limit:
            raise Fault(f"is too long: more than {self._limit} bytes")
        self._stream.write(chunk)
        if self._written - self._reported >= max(self.total // 10, 2**20):
            self._reported = self._written
            of = f" of {self.total / 1e6:.1f}" if self.total else ""
            self.say(f"{self._name} {self._written / 1e6:.1f}{of} MB")

    def close(self) -> None:
        self._stream.close()


def _download(url: str, part: _Part) -> None:
    """Write what a URL answers into a file, in the time that SLOWEST allows each CHUNK."""
    part.say(f"downloading {url}")
    chunks: SimpleQueue[bytes | Exception] = SimpleQueue()
    given_up = Event()
    # Silence ends by itself, but a byte now and then would keep a read waiting for weeks. A thread
    # that is given up ends with its connection, or with this process.
    Thread(target=_receive, args=(url, part, chunks, given_up), daemon=True).start()
    try:
        while True:
            try:
                found = chunks.get(timeout=SLOWEST)
            except Empty:
                raise Unreachable(f"sends less than {CHUNK} bytes in {SLOWEST:g} s") from None
            if isinstance(found, Exception):
                raise found
            if not found:
                return
            part.write(found)
    finally:
        given_up.set()


def _receive(
    url: str, part: _Part, chunks: SimpleQueue[bytes | Exception], given_up: Event
) -> None:
    """Put the bytes of an answer into a queue, then an empty chunk, or what went wrong."""
    import requests
    from urllib3.exceptions import HTTPError, ReadTimeoutError

    # What a server compresses once more would not be the published bytes, and nothing expands it.
    plain = {"Accept-Encoding": "identity"}
    try:
        with requests.get(url, headers=plain, stream=True, timeout=TIMEOUT) as response:
            response.raise_for_status()
            announced = response.headers.get("Content-Length", "")
            part.total = int(announced) if announced.isdecimal() and len(announced) < 16 else 0
            for chunk in response.raw.stream(CHUNK, decode_content=False):
                if given_up.is_set():
                    return
                chunks.put(chunk)
                while chunks.qsize() > WAITING and not given_up.wait(0.01):
                    pass
        chunks.put(b"")
    except requests.HTTPError as error:
        code = "an error" if error.response is None else error.response.status_code
        chunks.put(Fault(f"answers HTTP {code}"))
    except requests.exceptions.SSLError:
        chunks.put(Unreachable("has no valid certificate"))
    except (requests.Timeout, ReadTimeoutError):
        chunks.put(Unreachable("does not answer in time"))
    except requests.ConnectionError:
        chunks.put(Unreachable("cannot be reached"))
    except HTTPError:
        chunks.put(Fault("broke off before the end"))
    except Exception as error:  # the server's words, or a redirection to no address at all
        chunks.put(Fault(f"cannot be used: {shown(str(error)[:200])}"))
