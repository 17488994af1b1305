"""Digests of code, notebooks and packages: what a stage depends on, so that only a real change
rebuilds it."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ffcore.catalogue import read
from ffcore.errors import ReportError, unknown

_PACKAGE = Path(__file__).parent


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


def code_digests(package_folder: Path = _PACKAGE) -> dict[str, str]:
    """Module name → digest of its code without docstrings, comments and formatting.

    Raises:
        ReportError: a module is no valid Python; names file and line.
    """
    return {
        module: digest(ast.dump(_without_docstrings(_parse(path))))
        for module, path in sorted(_modules(package_folder).items())
    }


def definition_digest(source: str, name: str) -> str:
    """Digest of one definition of a module's source, without docstrings, comments and formatting.

    It is of the statements that define the name and all that they use of the module, at any depth,
    and of those that define nothing, such as a call: what else the module holds may change.

    Raises:
        SyntaxError: the source is no valid Python.
    """
    statements = _without_docstrings(ast.parse(source)).body
    defined = [_defined(s) for s in statements]
    used = {name}
    while True:
        kept = [
            s for s, names in zip(statements, defined, strict=True) if not names or names & used
        ]
        more = used | {n.id for s in kept for n in ast.walk(s) if isinstance(n, ast.Name)}
        if more == used:
            return digest([ast.dump(s) for s in kept])
        used = more


def dependencies(
    module: str, package_folder: Path = _PACKAGE, imports: dict[str, set[str]] | None = None
) -> set[str]:
    """Modules of the package that ``module`` imports, at any depth, without itself.

    Imports inside functions count, those under ``if TYPE_CHECKING`` do not. A name imported from
    the package itself counts as the module that defines it, where ``__init__`` tells which.

    Args:
        imports: as in ``notebook_dependencies``.

    Raises:
        ConfigError: no such module.
        ReportError: a module is no valid Python.
    """
    modules = _modules(package_folder)
    if module not in modules:
        raise unknown("module", module, sorted(modules))
    return _closure({module}, modules, {} if imports is None else imports) - {module}


def notebook_dependencies(
    path: Path, package_folder: Path = _PACKAGE, imports: dict[str, set[str]] | None = None
) -> set[str]:
    """Modules of the package that a notebook's code cells import, at any depth.

    Args:
        imports: what modules import themselves, as far as it is known; more is added, so that
            several notebooks of one package have each module read once.

    Raises:
        ReportError: the notebook cannot be read, or a cell is no valid Python; names the cell.
    """
    modules = _modules(package_folder)
    found: set[str] = set()
    trees = []
    for number, cell in enumerate(read(path)["cells"], 1):
        if cell["cell_type"] == "code":
            lines = cell["source"].split("\n")
            plain = ("pass" if line[:1] in ("%", "!") else line for line in lines)
            try:
                trees.append(ast.parse("\n".join(plain)))
            except SyntaxError as error:
                raise ReportError(
                    f"cell {number} of {path} is no valid Python: {error.msg}, line {error.lineno}"
                ) from None
    whole = ast.Module([statement for tree in trees for statement in tree.body], [])
    found = _direct(whole, f"{package_folder.name}.__notebook__", modules)
    return _closure(found, modules, {} if imports is None else imports)


def notebook_digest(path: Path) -> str:
    """Digest of a notebook's cells: kind, source and tags; outputs, ids and the rest do not count.

    Raises:
        ReportError: the file is missing or no notebook.
    """
    cells = read(path)["cells"]
    return digest([[c["cell_type"], c["source"], c["metadata"]["tags"]] for c in cells])


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Distribution name → installed version, ``not installed`` where there is none."""
    versions = {}
    for name in sorted(names):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def revision(root: Path) -> str:
    """The commit of the checkout, with ``+`` where it has changes; empty without git."""
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=12"]
        return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _modules(folder: Path) -> dict[str, Path]:
    """Dotted name → file of every module in a package folder."""
    found = {}
    for path in folder.rglob("*.py"):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise ReportError(f"{path}, line {error.lineno}: {error.msg}") from None


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                if isinstance(first.value.value, str):
                    node.body = node.body[1:] or [ast.Pass()]
    return tree


def _defined(statement: ast.stmt) -> set[str]:
    """Names that a statement of a module defines."""
    if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return {statement.name}
    found: set[str] = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name.partition(".")[0])
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def _closure(found: set[str], modules: dict[str, Path], imports: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    while found - reached:
        module = (found - reached).pop()
        reached.add(module)
        if module not in imports:
            imports[module] = _direct(_parse(modules[module]), module, modules)
        found = found | imports[module]
    return reached


def _direct(tree: ast.AST, module: str, modules: dict[str, Path]) -> set[str]:
    """Modules that one syntax tree imports, names of the package resolved."""
    package = module.partition(".")[0]
    inside = module if modules.get(module, Path()).name == "__init__.py" else _parent(module)
    found: set[str] = set()
    bound: set[str] = set()
    for node in _runtime(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == package:
                    found |= {alias.name} & modules.keys() - {package}
                    bound.add(alias.asname or package)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                steps = inside.split(".")[: len(inside.split(".")) - node.level + 1]
                base = ".".join([*steps, *([node.module] if node.module else [])])
            if base.partition(".")[0] == package:
                found |= {_defined_in(base, alias.name, modules) for alias in node.names}
        elif isinstance(node, ast.Constant) and node.value in modules and node.value != package:
            found.add(str(node.value))  # import_module("ffcore.x")
    for node in _runtime(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in bound and node.value.id == package:
                found.add(_defined_in(package, node.attr, modules))
    return found


def _defined_in(base: str, name: str, modules: dict[str, Path]) -> str:
    """The module that ``from base import name`` needs."""
    if f"{base}.{name}" in modules:
        return f"{base}.{name}"
    if base in modules and modules[base].name == "__init__.py":
        return _exports(base, modules).get(name, base)
    return base


def _exports(package: str, modules: dict[str, Path]) -> dict[str, str]:
    """Name → module for what a package's ``__init__`` imports, or lists in a table of strings."""
    found: dict[str, str] = {}
    for node in _runtime(_parse(modules[package])):
        if isinstance(node, ast.ImportFrom):
            base = f"{package}.{node.module}" if node.level else str(node.module)
            found |= {a.asname or a.name: base for a in node.names if base in modules}
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(value, ast.Constant):
                    for base in (str(value.value), f"{package}.{str(value.value).lstrip('.')}"):
                        if base in modules:
                            found[str(key.value)] = base
    return found


def _runtime(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those under ``if TYPE_CHECKING``."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            for other in child.orelse:
                yield from _runtime(other)
        else:
            yield from _runtime(child)


def _parent(module: str) -> str:
    return module.rpartition(".")[0] or module
