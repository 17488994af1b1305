"""Digests of values, files and plug-ins, and versions of packages: what a stage depends on."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ffcore import plugins
from ffcore.errors import ConfigError
from ffreport.base.code import of_source


def digest(value: Any) -> str:
    """SHA-256, 64 hexadecimal digits, of a JSON value in canonical form (sorted keys, no spaces).

    Raises:
        TypeError: the value is no JSON value.
        ValueError: it holds a number that is not finite.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256, 64 hexadecimal digits, of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Names of what differs between two dictionaries, joined by dots where they are nested."""
    names: list[str] = []
    for key in sorted({*old, *new}):
        then, now = old.get(key), new.get(key)
        if isinstance(then, Mapping) and isinstance(now, Mapping):
            names += [f"{key}.{name}" for name in changed(then, now)]
        elif then != now:
            names.append(key)
    return names


def plugin_digest(kind: str, name: str) -> str:
    """16 hexadecimal digits of the code of a plug-in and of all that it uses of its file, without
    docstrings, comments and formatting.

    Raises:
        ConfigError: there is no such plug-in, or it was registered outside of a loaded file.
    """
    plugin = plugins.found(kind, name)
    if not plugin.file:
        raise ConfigError(
            f"{kind} {name!r} was registered outside of a plug-in file, so that nothing can tell "
            "when it changes; put it into a file and list that under `plugins:` of the profile"
        )
    return _of_source(plugin.source, plugin.function.__name__)[:16]


def plugin_digests(named: Iterable[tuple[str, str]]) -> dict[str, str]:
    """``norm l4`` → digest, for each kind and name."""
    return {f"{kind} {name}": plugin_digest(kind, name) for kind, name in sorted(named)}


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Distribution name → installed version, ``not installed`` where there is none."""
    return {name: _version(name) for name in sorted(names)}


def revision(root: Path) -> str:
    """The commit of the checkout, with ``+`` where it has changes; empty without git, and where the
    project merely lies inside of a repository of something else."""

    def said(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip()

    try:
        top = said("rev-parse", "--show-toplevel")
        own = top and Path(top).resolve() == root.resolve() and said("ls-files", "pipeline.py")
        return said("describe", "--always", "--dirty=+", "--abbrev=12") if own else ""
    except (OSError, subprocess.SubprocessError):
        return ""


@cache
def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


_of_source = cache(of_source)
