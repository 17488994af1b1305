"""What code depends on, definition by definition: an edit rebuilds what uses the edited function,
class or constant, and nothing else."""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ffcore import files
from ffcore import files as reading
from ffcore.errors import ReportError, unknown
from ffreport.base.locks import MARKER

BODY = "<module>"  # what a module does when it is imported, and the data files beside it
DIGITS = 12
FORMAT = 1
_ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (_ROOT / "ffcore", _ROOT / "ffreport")
_DEFINE = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_DATA = (".css", ".html", ".js", ".yaml")
_PASSED_OVER = ("ctx", "kind", "type_comment", "lineno")

Found = dict[str, dict[str, str]]


@dataclass(frozen=True, eq=False)
class Definitions:
    """The top-level definitions of some packages.

    Args:
        modules: by dotted name ``digests`` (name → DIGITS hexadecimal digits of the code without
            docstrings, comments and formatting), ``uses`` (name → what it refers to) and
            ``imports`` (name in the module → what it stands for).
    """

    modules: dict[str, dict[str, Any]]

    def reached(self, *roots: str, leave: Collection[str] = ()) -> Found:
        """Module → definition → digest of everything that some definitions depend on, themselves
        included; sorted.

        References are followed by name: what is only reached through an attribute of an object
        counts with the class that it belongs to, and a module that is passed on counts as a whole.

        Args:
            roots: such as ``ffreport.analysis.rq2.latents:latents``, or a module for all of it.
            leave: modules that are not followed.

        Raises:
            ConfigError: no such module.
        """
        found: set[tuple[str, str]] = set()
        waiting = [place for root in roots for place in self._places(root)]
        while waiting:
            place = waiting.pop()
            if place in found or place[0] in leave:
                continue
            found.add(place)
            module, name = place
            waiting.append((module, BODY))
            for reference in self.modules[module]["uses"].get(name, ()):
                waiting += self._resolved(module, reference)
        table: Found = {}
        for module, name in sorted(found):
            table.setdefault(module, {})[name] = self.modules[module]["digests"][name]
        return table

    def of_code(self, tree: ast.Module) -> Found:
        """``reached`` by code that is not of the packages, such as a notebook's."""
        references = _references(tree, "", {*self.modules})
        places = [p for r in references for p in self._resolved("", r)]
        return self.reached(*(f"{module}:{name}" for module, name in places))

    @cached_property
    def digest(self) -> str:
        """Of all packages."""
        text = json.dumps({m: parsed["digests"] for m, parsed in sorted(self.modules.items())})
        return hashlib.sha256(text.encode()).hexdigest()

    def _places(self, root: str) -> list[tuple[str, str]]:
        module, _, name = root.partition(":")
        if module not in self.modules:
            raise unknown("module", module, sorted(self.modules))
        there = self.modules[module]["digests"]
        if not name or (name not in there and name not in self.modules[module]["imports"]):
            return [(module, n) for n in there]  # of a name that is made when asked for, too
        return [(module, name)] if name in there else self._resolved(module, name)

    def _resolved(self, module: str, reference: str) -> list[tuple[str, str]]:
        """The definitions that a reference in a module means; none for what is not ours.

        Args:
            reference: ``name`` or ``name.attribute`` as the module sees it, or ``=module`` or
                ``=module:name`` for what was imported where it is used.
        """
        if reference.startswith("="):
            return self._target(reference[1:])
        name, _, attribute = reference.partition(".")
        parsed = self.modules[module] if module else {"digests": {}, "imports": {}}
        if name in parsed["digests"]:
            return [(module, name)]
        target = parsed["imports"].get(name)
        if target is None:
            return []
        if ":" not in target and attribute:
            return self._target(f"{target}:{attribute}")
        return self._target(target)

    def _target(self, target: str) -> list[tuple[str, str]]:
        module, _, name = target.partition(":")
        if f"{module}.{name}" in self.modules:
            return self._target(f"{module}.{name}")
        if module not in self.modules:
            return []
        return self._places(target)


def definitions(*folders: Path, book: Path | None = None) -> Definitions:
    """Every definition of some packages.

    Args:
        folders: of the packages, PACKAGES where none is given.
        book: a file that remembers what was parsed, so that only changed modules are parsed again;
            without one all of them are.

    Raises:
        ReportError: a module is no valid Python; names file and line.
    """
    paths = {
        ".".join(parts[:-1] if parts[-1] == "__init__" else parts): path
        for folder in folders or PACKAGES
        for path in sorted(folder.rglob("*.py"))
        if (parts := path.relative_to(folder.parent).with_suffix("").parts)
    }
    stamp = [FORMAT, *sys.version_info[:2], sorted(paths)]
    kept = _kept(book, stamp) if book else {}
    modules, fresh = {}, False
    for module, path in paths.items():
        files = [path, *_beside(path)]
        state = [[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files]
        known = kept.get(module)
        if known is None or known["state"] != state:
            parsed = _parsed(path, module, {*paths})
            known, fresh = {"state": state, **parsed}, True
        modules[module] = known
    if fresh and book:
        _keep(book, {"stamp": stamp, "modules": modules})
    return Definitions(modules)


def of_source(source: str, name: str) -> str:
    """Digest of one definition in a source that stands alone, and of all that it uses there.

    Raises:
        SyntaxError: the source is no valid Python.
    """
    alone = _taken_apart(ast.parse(source), Path("source.py"), "source", {"source"})
    found = Definitions({"source": alone}).reached(f"source:{name}")
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def _parsed(path: Path, module: str, modules: set[str]) -> dict[str, Any]:
    """What ``Definitions.modules`` holds of one module."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise ReportError(f"{path}, line {error.lineno}: {error.msg}") from None
    return _taken_apart(tree, path, module, modules)


def _taken_apart(tree: ast.Module, path: Path, module: str, modules: set[str]) -> dict[str, Any]:
    inside = module if path.name == "__init__.py" else module.rpartition(".")[0] or module
    texts: dict[str, list[str]] = {BODY: [hashlib.sha256(_lines(f.read_bytes())).hexdigest()
                                          for f in _beside(path)]}  # fmt: skip
    uses: dict[str, set[str]] = {BODY: set()}
    imports: dict[str, str] = {}
    for statement in tree.body:
        names = _names(statement)
        if isinstance(statement, ast.Import | ast.ImportFrom):
            imports |= _imported(statement, inside, modules)
            continue
        if _only_for_types(statement):
            continue
        references = _references(statement, inside, modules)
        if names is None:  # no plain definition: it runs when the module is imported
            for node in _runtime(statement):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    imports |= _imported(node, inside, modules)
            texts[BODY].append(_text(statement))
            uses[BODY] |= references
            for name in _stored(statement):
                texts.setdefault(name, [])
                uses.setdefault(name, set())
            continue
        for name in names:
            texts.setdefault(name, []).append(_text(statement))
            uses.setdefault(name, set()).update(references)
    return {
        "digests": {name: hashlib.sha256("\n".join(parts).encode()).hexdigest()[:DIGITS]
                    for name, parts in texts.items()},
        "uses": {name: sorted(found) for name, found in uses.items()},
        "imports": imports,
    }  # fmt: skip


def _lines(content: bytes) -> bytes:
    """A text with the line ends that it has in the repository."""
    return content.replace(b"\r\n", b"\n")


def _names(statement: ast.stmt) -> list[str] | None:
    """What a plain definition defines; None for a statement of another kind."""
    if isinstance(statement, _DEFINE):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    else:
        return [] if _is_text(statement) else None
    flat = [e for t in targets for e in (t.elts if isinstance(t, ast.Tuple | ast.List) else [t])]
    named = [t.id for t in flat if isinstance(t, ast.Name)]
    return named if len(named) == len(flat) else None


def _stored(statement: ast.stmt) -> set[str]:
    """Names that a statement that is no plain definition leaves in its module."""
    found = set()
    for node in ast.walk(statement):
        if isinstance(node, _DEFINE):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def _references(tree: ast.AST, inside: str, modules: set[str]) -> set[str]:
    """What a piece of code refers to, see ``Definitions._resolved``."""
    local: dict[str, str] = {}
    nodes = list(_runtime(tree))
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            local |= _imported(node, inside, modules)
    found: set[str] = set()
    heads: set[int] = set()
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            heads.add(id(node.value))
            name, attribute = node.value.id, node.attr
            if name in local:
                whole = ":" in local[name]
                found.add(f"={local[name]}" if whole else f"={local[name]}:{attribute}")
            else:
                found.add(f"{name}.{attribute}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if "." in node.value and node.value in modules:
                found.add(f"={node.value}")  # import_module("ffcore.x")
    for node in nodes:
        if isinstance(node, ast.Name) and id(node) not in heads:
            found.add(f"={local[node.id]}" if node.id in local else node.id)
    return found


def _imported(node: ast.Import | ast.ImportFrom, inside: str, modules: set[str]) -> dict[str, str]:
    """Name → module, or ``module:name``, of what an import statement takes from the packages."""
    found = {}
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name in modules:
                top = alias.name.partition(".")[0]
                found[alias.asname or top] = alias.name if alias.asname else top
        return found
    base = node.module or ""
    if node.level:
        steps = inside.split(".")[: len(inside.split(".")) - node.level + 1]
        base = ".".join([*steps, *([node.module] if node.module else [])])
    if base.partition(".")[0] in modules:
        for alias in node.names:
            name = f"{base}.{alias.name}"
            found[alias.asname or alias.name] = name if name in modules else f"{base}:{alias.name}"
    return found


def _text(node: Any) -> str:
    """Code as text that no formatting, comment, docstring or version of Python changes."""
    if isinstance(node, list):
        return f"[{','.join(map(_text, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = []
    for field, value in ast.iter_fields(node):
        if field in _PASSED_OVER or (value in (None, []) and field != "value"):
            continue
        if field == "body" and isinstance(node, _DEFINE) and _is_text(value[0]):
            value = value[1:]
        parts.append(f"{field}={_text(value)}")
    return f"{type(node).__name__}({','.join(parts)})"


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _only_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test) and not node.orelse


def _runtime(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those under ``if TYPE_CHECKING``."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            for other in child.orelse:
                yield from _runtime(other)
        else:
            yield from _runtime(child)


def _beside(path: Path) -> list[Path]:
    """Data files of a module: those whose name begins with its own, or with its folder's."""
    stem = path.parent.name if path.stem == "__init__" else path.stem
    return sorted(f for f in path.parent.glob(f"{stem}*") if f.suffix in _DATA)


def _kept(book: Path, stamp: list[Any]) -> dict[str, Any]:
    try:
        content = reading.json_file(book)
        return dict(content["modules"]) if content["stamp"] == stamp else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _keep(book: Path, content: dict[str, Any]) -> None:
    """A cache only: where its folder cannot be written, the next start parses again."""
    with suppress(OSError):
        # `clean` removes the folder of the book.
        if book.parent.exists() or (book.parent.parent / MARKER).exists():
            files.write(book, json.dumps(content))
