"""Variants of one's own, found by name: norms, activations, probabilities, negatives, measures.

A plug-in is one function in a file of one's own, registered by a decorator of this module, whose
file a profile lists under ``plugins:``. Its name is then legal wherever a built-in one is.
"""

from __future__ import annotations

import hashlib
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, TypeVar

from ffcore import files
from ffcore.errors import ConfigError, nearest, unknown

BUILT_IN: dict[str, tuple[str, ...]] = {
    "norm": ("l2sq", "l2", "l1"),
    "activation": ("relu", "sigmoid", "tanh"),
    "probability": ("ffa-sigmoid", "sigmoid", "symmetric"),
    "negatives": ("wrong", "any"),
    "measure": ("test_accuracy", "hoyer", "hoyer_nonzero", "hoyer_positive", "neural_usage_hoyer",
                "neural_usage_fraction", "separability", "convergence_area",
                "convergence_time"),
}  # fmt: skip
NAME = re.compile("[a-z][a-z0-9_]*")  # No hyphen: a configuration is its factors, joined by them.
UNLISTED = (
    "; a plug-in's file must be listed under `plugins:` of the profile, or given to "
    "ffcore.plugins.load"
)

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Plugin:
    """A registered function; ``file`` and its ``source`` are empty for one that was registered
    outside of ``load``, as in a notebook."""

    function: FunctionType
    file: str
    source: str


def norm(name: str) -> Callable[[F], F]:
    """Register ``f(h, scale) -> G``, a goodness that is not negative.

    ``h`` [..., n] float are activations of a polarity group, or of its k winners; ``scale``, which
    broadcasts to [...], is the factor of the aggregation (1 for ``sum``, 1 over the units of the
    group for ``mean``). G [...] is outer(scale · inner(h)), such as (scale · Σh²)^½. Its derivative
    must be finite where all activations are zero: ReLU layers get there.
    """
    return _registering("norm", name)


def activation(name: str) -> Callable[[F], F]:
    """Register ``f(z) -> h``: activations of pre-activations ``z`` float, of the same shape."""
    return _registering("activation", name)


def probability(name: str) -> Callable[[F], F]:
    """Register ``f(positive, negative, theta, alpha) -> P``, the probability that samples are
    positive, in [0, 1].

    ``positive`` and ``negative`` [...] are the goodness of the two polarity groups; ``theta`` and
    ``alpha``, which broadcast to [...], are the experiment's.
    """
    return _registering("probability", name)


def negatives(name: str) -> Callable[[F], F]:
    """Register ``f(labels, classes, generator) -> wrong``: the label of each datum's negative.

    ``labels`` [b] int64 in [0, ``classes``) are the true ones, on the CPU, and so is ``wrong``.
    ``generator`` is the only source of random numbers, so that a training can be repeated.
    """
    return _registering("negatives", name)


def measure(name: str) -> Callable[[F], F]:
    """Register ``f(latents, positive) -> float``, a measure of a network's latents.

    ``latents`` is a float32 NumPy array [N, n] of layer 1, for test images with every candidate
    label; ``positive`` bool [N] marks the rows whose label is the true one.
    """
    return _registering("measure", name)


def load(path: str | Path) -> None:
    """Run a file that registers plug-ins; once, and again where its content changed.

    Raises:
        ConfigError: the file cannot be read, fails (names the line), or registers nothing.
    """
    try:
        file = str(Path(path).resolve())
        source = files.text(Path(file))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"cannot read the plug-in file {path}: {reason}") from None
    if _sources.get(file) == source:
        return
    before = dict(_table)
    for key in [key for key, plugin in before.items() if plugin.file == file]:
        del _table[key]
    digest = hashlib.sha256(source.encode()).hexdigest()[:12]
    module = ModuleType(f"ffcore_plugin_{Path(file).stem}_{digest}")
    module.__file__ = file
    sys.modules[module.__name__] = module  # As an import does: dataclasses look there.
    _reading.append((file, source))
    try:
        # Compiled here and not imported: what is digested is what runs, and no cache is written.
        exec(compile(source, file, "exec", dont_inherit=True), module.__dict__)
        if not any(plugin.file == file for plugin in _table.values()):
            raise ConfigError("it registers nothing; see ffcore.plugins")
    except (Exception, SystemExit) as error:
        _table.clear()
        _table.update(before)
        del sys.modules[module.__name__]
        raise ConfigError(f"plug-in file {file}{_line(error, file)}: {_words(error)}") from error
    finally:
        _reading.pop()
    _sources[file] = source


def only(files: Iterable[str]) -> None:
    """Have the plug-ins of these files and of no other: a process may serve one pipeline after the
    other.

    Raises:
        ConfigError: as in ``load``.
    """
    wanted = [str(Path(file).resolve()) for file in files]
    for key in [key for key, plugin in _table.items() if plugin.file and plugin.file not in wanted]:
        _sources.pop(_table.pop(key).file, None)
    for file in wanted:
        load(file)


def load_listed(values: Any, folder: Path) -> Any:
    """Load the files that a parsed profile lists under ``plugins``, relative to its folder; returns
    the profile with their whole paths.

    Raises:
        ConfigError: as in ``load``, or it is no list of files.
    """
    if not isinstance(values, dict) or "plugins" not in values:
        return values
    listed = values["plugins"]
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise ConfigError(f"plugins is {listed!r:.80}: list files, such as `plugins: [mine.py]`")
    for name in listed:
        load(folder / name)
    files = [str((folder / name).resolve()) for name in listed]
    return {**values, "plugins": files}


def names(kind: str) -> tuple[str, ...]:
    """The plug-ins of a kind, in the order in which they were registered."""
    return tuple(name for of, name in _table if of == kind)


def legal(kind: str) -> tuple[str, ...]:
    """The names of a kind: built-in ones, then plug-ins."""
    return (*BUILT_IN[kind], *names(kind))


def unlisted(what: str, kind: str, name: object) -> ConfigError:
    """A ConfigError for a name that is neither built in nor a plug-in's.

    Args:
        what: is unknown, such as ``norm``.
    """
    return ConfigError(f"{unknown(what, name, legal(kind))}{UNLISTED}")


def call(kind: str, name: str, *arguments: Any) -> Any:
    """What a plug-in makes of these arguments.

    Raises:
        ConfigError: there is no such plug-in, or it failed; names its file and line.
    """
    function = found(kind, name).function
    try:
        return function(*arguments)
    except Exception as error:
        file = function.__code__.co_filename
        where = f"{file}{_line(error, file)}"
        raise ConfigError(f"{kind} {name!r} failed in {where}: {_words(error)}") from error


def found(kind: str, name: str) -> Plugin:
    """A registered plug-in.

    Raises:
        ConfigError: there is none of this name.
    """
    if (kind, name) not in _table:
        raise ConfigError(
            f"there is no plug-in {kind} {name!r}{nearest(name, names(kind))}{UNLISTED}"
        )
    return _table[kind, name]


def of_files(files: Iterable[str]) -> list[tuple[str, str]]:
    """Kind and name of each plug-in that some loaded files registered."""
    wanted = set(files)
    return [key for key, plugin in _table.items() if plugin.file in wanted]


_table: dict[tuple[str, str], Plugin] = {}
_sources: dict[str, str] = {}
_reading: list[tuple[str, str]] = []


def _registering(kind: str, name: str) -> Callable[[F], F]:
    def register(function: F) -> F:
        if not (isinstance(name, str) and NAME.fullmatch(name)):
            raise ConfigError(f"{kind} {name!r}: a name has lower-case letters, digits and _ only")
        if not isinstance(function, FunctionType):
            raise ConfigError(f"{kind} {name!r} is {function!r:.60}, not a function")
        if name in BUILT_IN[kind]:
            raise ConfigError(f"{kind} {name!r} is built in; choose another name")
        file, source = _reading[-1] if _reading else ("", "")
        earlier = _table.get((kind, name))
        # What is registered by hand may be registered again, as when a notebook's cell runs again.
        if earlier and (earlier.file or file):
            where = earlier.file or "a function outside of plug-in files"
            raise ConfigError(f"{kind} {name!r} is registered by {where} already")
        _table[kind, name] = Plugin(function, file, source)
        return function

    return register


def _line(error: BaseException, file: str) -> str:
    """``, line 3``: where in a file an error arose; nothing where that is elsewhere."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return f", line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == file]
    return f", line {lines[-1]}" if lines else ""


def _words(error: BaseException) -> str:
    """An error in a line: the text of a user's error, the type of others before it."""
    if isinstance(error, ConfigError):
        return str(error)
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {text}".rstrip(": ")
