"""Download of missing data set files: from the first mirror whose file is the published one."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from uuid import uuid4

from ffcore import files
from ffcore.errors import DataError
from ffreport.data.formats import Fault, shown
from ffreport.data.sources import File, content, folder, locate, lookup, remedy

Progress = Callable[[str], None]
TIMEOUT = (10, 30)  # seconds to connect, seconds of silence
CHUNK = 2**16  # bytes that are received at a time
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
            _place(file, _answer(url, say), target)
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
    name = PurePosixPath(url).name
    try:
        with (
            _received(_answer(url, say), target / name, ARCHIVE_LIMIT) as archive,
            zipfile.ZipFile(archive) as members,
        ):
            places = {PurePosixPath(n).name: n for n in members.namelist()}
            for file in wanted:
                with members.open(places[file.name]) as member:
                    _place(file, [member.read(file.limit + 1)], target)
                left.remove(file)
    except KeyError as error:
        failures.append(f"{url} has no {error}")
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        failures.append(f"{url} is not a sound zip archive")
    except Fault as fault:
        failures.append(f"{url} {fault}")
    return left


def _place(file: File, chunks: Iterable[bytes], target: Path) -> None:
    """Write a file, which gets its name once it is verified."""
    with _received(chunks, target / file.name, file.limit) as part:
        content(file, part, published=True)
        os.replace(part, target / file.name)


@contextmanager
def _received(chunks: Iterable[bytes], target: Path, limit: int) -> Iterator[Path]:
    """A temporary file beside ``target`` with these bytes; it goes when the block ends.

    Raises:
        Fault: there are more than ``limit``.
    """
    # Two threads may fetch the same file.
    part = files.temporary(target.with_name(f"{target.name}.{uuid4().hex}"))
    try:
        with open(part, "xb") as stream:
            for chunk in chunks:
                if stream.tell() + len(chunk) > limit:
                    raise Fault(f"is too long: more than {limit} bytes")
                stream.write(chunk)
        yield part
    finally:
        part.unlink(missing_ok=True)


def _answer(url: str, say: Progress) -> Iterator[bytes]:
    """What a URL answers, told as it comes.

    Raises:
        Unreachable: the server cannot be reached, or is silent for TIMEOUT.
        Fault: it answers anything but a whole file.
    """
    import requests
    from urllib3.exceptions import HTTPError, ReadTimeoutError

    say(f"downloading {url}")
    received = told = 0
    # What a server compresses once more would not be the published bytes, and nothing expands it.
    plain = {"Accept-Encoding": "identity"}
    try:
        with requests.get(url, headers=plain, stream=True, timeout=TIMEOUT) as response:
            response.raise_for_status()
            announced = response.headers.get("Content-Length", "")
            total = int(announced) if announced.isdecimal() and len(announced) < 16 else 0
            for chunk in response.raw.stream(CHUNK, decode_content=False):
                yield chunk
                received += len(chunk)
                if received - told >= max(total // 10, 2**20):
                    told = received
                    of = f" of {total / 1e6:.1f}" if total else ""
                    say(f"{PurePosixPath(url).name} {received / 1e6:.1f}{of} MB")
    except requests.HTTPError as error:
        code = "an error" if error.response is None else error.response.status_code
        raise Fault(f"answers HTTP {code}") from None
    except requests.exceptions.SSLError:
        raise Unreachable("has no valid certificate") from None
    except (requests.Timeout, ReadTimeoutError):
        raise Unreachable("does not answer in time") from None
    except requests.ConnectionError:
        raise Unreachable("cannot be reached") from None
    except HTTPError:
        raise Fault("broke off before the end") from None
    except Exception as error:  # the server's words, or a redirection to no address at all
        raise Fault(f"cannot be used: {shown(str(error)[:200])}") from None
