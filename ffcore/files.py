"""Files that a reader sees whole or not at all, and what writers that were killed left of them."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml
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


LARGEST = 64 * 2**20  # bytes of a record, manifest or notebook
LARGEST_YAML = 2**20
DEPTH = 100  # lists and mappings inside each other
NODES = 200_000  # values of a YAML file, each alias counted as all that it stands for
DIGITS = 400  # characters of a number in it
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


def content(path: Path, most: int = LARGEST) -> bytes:
    """The bytes of a regular file.

    Raises:
        OSError: it cannot be read, or is a pipe, a device or a folder.
        ValueError: it is larger than ``most`` bytes.
    """
    # A pipe that nobody writes to would block an ordinary open.
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    with os.fdopen(number, "rb") as file:
        about = os.fstat(number)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "no regular file", str(path))
        found = file.read(min(about.st_size, most) + 1)  # so much memory is taken at once
    if len(found) > most:
        raise ValueError(f"{path.name} has more than {most} bytes")
    return found


def text(path: Path, most: int = LARGEST) -> str:
    """The UTF-8 text of a regular file; raises as ``content``, and ValueError for other bytes."""
    return content(path, most).decode("utf-8")


def json_file(path: Path) -> Any:
    """The value in a JSON file; raises as ``text`` and ``parsed``."""
    return parsed(text(path))


def parsed(words: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is no JSON, or nested deeper than DEPTH.
    """
    try:
        value = json.loads(words)
    except RecursionError:
        raise ValueError(f"nested deeper than {DEPTH}") from None
    if words.count("[") + words.count("{") > DEPTH:
        _check_depth(value)
    return value


def parsed_yaml(words: str) -> Any:
    """The value of a YAML text with plain types alone.

    Raises:
        ValueError: it is no YAML, holds an impossible number or date, is nested deeper than DEPTH,
            or is longer, with its aliases written out, than NODES.
    """
    import yaml

    try:
        loader = yaml.SafeLoader(words)  # already reads: a strange character is an error
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _size(node, {})
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except ArithmeticError as error:
        raise ValueError(f"a number is too large ({error})") from None
    except RecursionError:
        raise ValueError(f"nested deeper than {DEPTH}") from None
    finally:
        loader.dispose()


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level := [
        item
        for outer in level
        if isinstance(outer, list | dict)
        for item in (outer.values() if isinstance(outer, dict) else outer)
    ]:
        depth += 1
        if depth > DEPTH:
            raise ValueError(f"nested deeper than {DEPTH}")


def _size(node: yaml.Node, known: dict[int, tuple[int, int]], above: int = 0) -> tuple[int, int]:
    """Nodes and levels at and below one, an alias counted as all that it stands for."""
    if id(node) not in known:
        if above > DEPTH:  # an alias inside of what it stands for ends here, too
            raise ValueError(f"nested deeper than {DEPTH}")
        inside = node.value if isinstance(node.value, list) else []
        if node.tag in _NUMBERS and len(node.value) > DIGITS:  # 1:59:59 is one, too
            raise ValueError(f"a number of more than {DIGITS} characters")
        parts = [p for part in inside for p in (part if isinstance(part, tuple) else (part,))]
        sizes = [_size(part, known, above + 1) for part in parts]
        known[id(node)] = 1 + sum(n for n, _ in sizes), 1 + max((d for _, d in sizes), default=0)
    nodes, levels = known[id(node)]
    if nodes > NODES:
        raise ValueError(f"more than {NODES:,} values, with its aliases written out")
    if above + levels > DEPTH:
        raise ValueError(f"nested deeper than {DEPTH}")
    return nodes, levels
