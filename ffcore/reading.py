"""Text, JSON and YAML from files that anyone may have written: bounded, and nothing constructed.

What these functions raise is OSError or ValueError, whatever stands in the file.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

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
