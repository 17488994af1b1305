"""Report versions: pages, manifest and checksums, published whole or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import Any

from ffcore import files
from ffcore.errors import ReportError, advice
from ffcore.files import json_file
from ffreport.base.digests import digest, file_digest
from ffreport.publish import crate
from ffreport.publish.notebooks.catalogue import describe
from ffreport.publish.notebooks.notebook import building, write_atomically
from ffreport.publish.output import CAPTIONS
from ffreport.publish.pages import index_html, to_html, with_nav

__all__ = ["Version", "latest", "publish", "publish_figures", "to_html", "verify", "versions"]

MANIFEST = "manifest.json"
TOLD = ("figures", "tables", "columns")  # of each report: captions, and what columns mean
# What file systems, browsers of files and editors leave in any folder.
CLUTTER = re.compile(
    r"\.DS_Store|\._.*|Thumbs\.db|desktop\.ini|\.directory|\.ipynb_checkpoints|__pycache__|\.nfs.*"
    r"|.*~|\.#.*|#.*#|\..*\.sw[a-p]|\.~lock\..*#|~\$.*",
    re.I,
)


@dataclass(frozen=True)
class Version:
    """A published report version; ``created`` is ISO 8601, UTC. ``number`` counts the versions of
    a results folder as they were made, whatever the clock said."""

    name: str
    folder: Path
    profile: str
    created: str
    number: int = 0


def publish(
    inputs: Mapping[str, Any],
    executed: Sequence[Path],
    *,
    profile: Any,
    results: Path,
    figures: Path,
    extra: Mapping[str, Any] | None = None,
    measured: Mapping[str, Any] | None = None,
    notify: Callable[[str], None] | None = None,
    complete: bool = True,
    pages: Mapping[str, Path] | None = None,
) -> Path:
    """Publish executed notebooks as ``results/reports/<profile>-<12 hex>/``.

    The hexadecimal digits are a digest of ``inputs`` and of every file in ``executed``: the same
    report has the same version. One that exists and is intact is left as it is; a damaged one is
    built again, with whatever else lies in its folder, and with its changed files under another
    name. ``latest`` then points to it, and ``figures`` holds the newest of each figure. A version
    is an RO-Crate, see ``crate``.

    Args:
        inputs: JSON values that determine the report: profile content, run keys with result
            digests, seeds, data checksums, code and notebook digests, package versions.
        executed: target folders of ``notebook.execute``, in the order of the index.
        profile: a ``config.Profile``; its name, title and paper_scale are used.
        results: the results folder.
        figures: folder for the newest of each figure.
        extra: further entries of the manifest that are the same in every run: ``command`` and
            ``seeds`` are shown on the index.
        measured: times, durations, hardware: what may differ between equal runs.
        notify: told in one line which files were damaged, and under which names they are kept.
        complete: whether every report is in it; ``latest`` points to such a version only.
        pages: title → file of further pages that need nothing else; they lie beside the index.

    Returns:
        The version's folder.

    Raises:
        ReportError: an executed folder is incomplete, two reports save the same name, a page
            would load something from outside, or a folder cannot be written.
    """
    reports = [_executed(folder) for folder in executed]
    further = dict(pages or {})
    outputs = {
        path.relative_to(folder.parent).as_posix(): file_digest(path)
        for folder in executed
        for path in _files(folder)
    } | {path.name: file_digest(path) for path in further.values()}
    identity = {**inputs, "outputs": outputs}
    version = f"{profile.name}-{digest(identity)[:12]}"
    target = results / "reports" / version
    damage = damaged(verify(target)) if target.is_dir() else []
    if damage and notify:
        notify(f"report {version} is damaged, building it again: {', '.join(damage)}")
    if damage or not target.is_dir():
        with building(target) as folder:
            _collect(executed, reports, folder)
            _write_pages(folder, reports, profile, extra or {}, version, further)
            head = {
                **(extra or {}),
                "format": 1,
                "version": version,
                "profile": {k: getattr(profile, k) for k in ("name", "title", "paper_scale")},
                "inputs": identity,
                "reports": reports,
                "pages": {title: path.name for title, path in further.items()},
                "files": {name: _facts(path) for name, path in _named(folder).items()},
            }
            now = datetime.now(UTC).isoformat()
            # It holds the time of publication, so its checksum is a measured one.
            write_atomically(folder / crate.METADATA, crate.metadata(head, now))
            dated: dict[str, Any] = {
                "files": {crate.METADATA: _facts(folder / crate.METADATA)},
                "created": now,
            }
            number = 1 + max((known.number for known in versions(results)), default=0)
            dated["number"] = number
            parts = _sealed(head) | {"measured": _sealed({**(measured or {}), **dated})}
            text = json.dumps(parts, indent=1, ensure_ascii=False)
            write_atomically(folder / MANIFEST, text + "\n")
            kept = _keep(target, folder)
        if kept and notify:
            notify(f"kept in {target}: {', '.join(kept)}")
    if complete:
        _point_latest(results / "reports", version)
    for folder in executed:
        publish_figures(folder / "figures", figures)
    return target


def publish_figures(source: Path, figures: Path) -> list[str]:
    """Copy the figures in ``source`` over those of the same name in ``figures``, each at once.

    Returns:
        Names of the files that changed.

    Raises:
        ReportError: a file cannot be written.
    """
    changed = []
    files.sweep(figures)
    for path in _files(source) if source.is_dir() else ():
        copy = figures / path.name
        content = path.read_bytes()
        if not copy.is_file() or copy.read_bytes() != content:
            write_atomically(copy, content)
            changed.append(path.name)
    return changed


def verify(version_folder: Path) -> list[str]:
    """Every difference between a version and its manifest: ``missing: …``, ``changed: …``,
    ``unreadable: …`` or ``extra: …`` with the file's name. Empty if the version is intact."""
    try:
        expected, intact = _published(version_folder)
    except OSError:
        return [f"missing: {MANIFEST}"]
    except ValueError:
        return [f"changed: {MANIFEST}"]
    found = _named(version_folder)
    problems = [] if intact else [f"changed: {MANIFEST}"]
    for name, value in expected.items():
        if name not in found:
            problems.append(f"missing: {name}")
        elif not found[name].is_file():  # a pipe would be read for ever
            problems.append(f"changed: {name}")
        else:
            try:
                problems += [f"changed: {name}"] if file_digest(found[name]) != value else []
            except OSError:
                problems.append(f"unreadable: {name}")
    return problems + [f"extra: {name}" for name in found if name not in expected]


def damaged(problems: Sequence[str]) -> list[str]:
    """Those of ``verify``'s that make a version another one than was published: not what was added
    beside its files."""
    return [problem for problem in problems if not problem.startswith("extra: ")]


def intact_manifest(version_folder: Path) -> dict[str, Any]:
    """What a version was made of and has, without what was measured.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no manifest, or was altered.
    """
    content, _, intact = _parts(version_folder)
    if not intact:
        raise ValueError("it was altered")
    return content


def versions(results: Path) -> list[Version]:
    """The published versions, oldest first; those without a readable manifest are left out."""
    found = []
    for manifest in (results / "reports").glob(f"[!.]*/{MANIFEST}"):
        try:
            content = json_file(manifest)
            folder = manifest.parent
            if content["version"] == folder.name and not folder.is_symlink():
                about = content["measured"]
                made = str(about["created"]), int(about.get("number", 0))
                found.append(Version(folder.name, folder, str(content["profile"]["name"]), *made))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError):
            continue
    return sorted(found, key=lambda version: (version.number, version.created))


def latest(results: Path) -> Path:
    """Folder of the newest complete version.

    Raises:
        ReportError: nothing was published yet.
    """
    pointer = results / "reports" / "latest"
    folder = pointer.resolve()
    if pointer.is_file():
        folder = pointer.parent / pointer.read_text(encoding="utf-8").strip()
    if not (folder / MANIFEST).is_file():
        raise ReportError(f"no report in {results / 'reports'}; run: python pipeline.py all")
    return folder


def _executed(folder: Path) -> dict[str, Any]:
    """Name, title and captions of one executed report."""
    notebooks = list(folder.glob("*.ipynb"))
    if len(notebooks) != 1:
        raise ReportError(f"{folder} holds {len(notebooks)} notebooks; execute the report again")
    file = folder / CAPTIONS
    captions = json_file(file) if file.exists() else {}
    title = describe(notebooks[0]).title
    return {"name": notebooks[0].stem, "title": title, **{k: captions.get(k, {}) for k in TOLD}}


def _collect(executed: Sequence[Path], reports: list[dict[str, Any]], target: Path) -> None:
    for folder, report in zip(executed, reports, strict=True):
        for path in _files(folder):
            name = path.relative_to(folder)
            if (target / name).exists():
                raise ReportError(f"report {report['name']} saves {name}, as another report does")
            if name.name != CAPTIONS:
                write_atomically(target / name, path.read_bytes())


def _write_pages(
    folder: Path, reports: list[Any], profile: Any, extra: Mapping[str, Any], version: str,
    further: Mapping[str, Path],
) -> None:  # fmt: skip
    scale = "" if profile.paper_scale else " · not paper scale"
    banner = f"{getattr(profile, 'label', profile.name)} profile{scale}"
    links = [(title, path.name) for title, path in further.items()]
    nav = [("Index", "index.html"), *((r["title"], f"{r['name']}.html") for r in reports), *links]
    for report in reports:
        page = to_html(folder / f"{report['name']}.ipynb", report["title"], nav, banner)
        write_atomically(folder / f"{report['name']}.html", page)
    for title, path in further.items():
        write_atomically(folder / path.name, with_nav(path.read_text("utf-8"), title, nav))
    made = [("Version", version), ("Profile", f"{profile.name}: {profile.title}")]
    made.append(
        ("Command", extra.get("command", f"python pipeline.py all --profile {profile.name}"))
    )
    made += [("Seeds", ", ".join(map(str, extra["seeds"])))] if "seeds" in extra else []
    write_atomically(folder / "index.html", index_html(profile.title, reports, made, banner, links))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if not path.is_dir())


def _named(folder: Path) -> dict[str, Path]:
    """Relative name → path of every file of a version but its manifest, and but what systems and
    editors leave in any folder."""
    named = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    return {
        name: path for name, path in named.items()
        if name != MANIFEST and not any(map(CLUTTER.fullmatch, name.split("/")))
    }  # fmt: skip


def _keep(old: Path, new: Path) -> list[str]:
    """Copy into a version that is built again what its folder held and the pipeline did not write:
    files that were added, and those that were changed, under another name. Their names.

    Raises:
        ReportError: one cannot be read, so that it would be lost.
    """
    try:
        ours, _ = _published(old)
    except (OSError, ValueError):
        ours = {}
    kept = []
    for path in sorted(p for p in old.rglob("*") if p.is_symlink() or p.is_file()):
        name = path.relative_to(old)
        made = new / name
        try:
            if made.is_file() and not path.is_symlink():
                digests = file_digest(made), ours.get(name.as_posix())
                # A manifest is another one whenever its version is built.
                if name.as_posix() == MANIFEST or file_digest(path) in digests:
                    continue
            numbered = (name.with_name(f"{name.stem}.changed-{n}{name.suffix}") for n in count(1))
            place = next(p for n in chain([name], numbered) if not os.path.lexists(p := new / n))
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place, follow_symlinks=False)
            kept.append(place.relative_to(new).as_posix())
        except OSError as error:
            raise ReportError(
                f"{path} is none of the report's files, and cannot be kept: {advice(error)}; "
                "move it away and run the same command again"
            ) from error
    return kept


def _facts(path: Path) -> dict[str, Any]:
    return {"sha256": file_digest(path), "bytes": path.stat().st_size}


def _published(version_folder: Path) -> tuple[dict[str, str], bool]:
    """Relative name → SHA-256 of the files of a version, and whether its manifest is unaltered.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no manifest.
    """
    content, measured, intact = _parts(version_folder)
    try:
        facts = {**content["files"], **measured.get("files", {})}
        return {name: str(entry["sha256"]) for name, entry in facts.items()}, intact
    except (KeyError, TypeError, AttributeError):
        raise ValueError("it is no manifest") from None


def _parts(version_folder: Path) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """The parts of a manifest, and whether their seals fit."""
    try:
        content = json_file(version_folder / MANIFEST)
        measured = content.pop("measured")
        return content, measured, (content == _sealed(content) and measured == _sealed(measured))
    except (KeyError, TypeError, AttributeError):
        raise ValueError("it is no manifest") from None


def _sealed(part: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping with a checksum of its other entries."""
    rest = {key: value for key, value in part.items() if key != "checksum"}
    rest = json.loads(json.dumps(rest))  # as it will be read: keys are text
    return {**rest, "checksum": digest(rest)}


def _point_latest(folder: Path, version: str) -> None:
    """``latest`` → version: a symlink, or a file with the name where links are not possible."""
    pointer = folder / "latest"
    if pointer.is_symlink() and os.readlink(pointer) == version:
        return
    try:
        with files.whole(pointer) as part:
            try:
                os.symlink(version, part, target_is_directory=True)
            except (OSError, NotImplementedError):
                part.write_text(version + "\n", encoding="utf-8")
    except OSError as error:
        raise ReportError(f"cannot point {pointer} to {version}: {advice(error)}") from error
