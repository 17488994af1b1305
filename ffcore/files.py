"""Files that a reader sees whole or not at all, and what writers that were killed left of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

SUFFIX = ".part"


def temporary(path: Path) -> Path:
    """Where this process writes a file before it takes its place; hidden, and beside it."""
    return path.with_name(f".{path.name}.{os.getpid()}{SUFFIX}")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary file to write, which takes the place of ``path`` when the block ends well, and
    else goes. The folder is made.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = temporary(path)
    try:
        yield part
        os.replace(part, path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def write(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    with whole(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], about: dict[str, str] | None = None
) -> None:
    """Write tensors in the format of safetensors, in place.

    Raises:
        OSError: it cannot be written. (safetensors has an error of its own for a full disk.)
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(dict(tensors), path, about)
    except SafetensorError as error:
        if found := re.search(r"\(os error (\d+)\)", str(error)):
            raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from None
        raise OSError(f"{path.name}: {error}") from None


def flush(path: Path) -> None:
    """Have the system write a file to its disk now."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def left(folder: Path) -> list[Path]:
    """The temporary files in a folder whose writers are dead."""
    found = folder.glob(f".*{SUFFIX}")
    return [p for p in found if not alive(p.name.removesuffix(SUFFIX).rpartition(".")[2])]


def sweep(folder: Path) -> None:
    """Remove them."""
    for path in left(folder):
        with suppress(OSError):
            path.unlink(missing_ok=True)


def alive(pid: str) -> bool:
    """Whether a process with this number runs on this machine; one that ended does not, though
    nobody may have asked how."""
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        return True
    with suppress(OSError):  # the state is behind the command's name, in brackets
        return not Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].startswith(b" Z")
    return True
