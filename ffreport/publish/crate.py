"""A report version as an RO-Crate: every file, the command that made it, and from what data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from ffreport.base.digests import package_versions

METADATA = "ro-crate-metadata.json"
# The profile of runs, which says how to record what made the files, is one of 1.1. (1.2 asks for a
# web address of the software, which this project does not have.)
SPECIFICATION = "1.1"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
LICENCE = "https://spdx.org/licenses/MIT"
AUTHORS = "The ffcore developers"
SOFTWARE = "ffcore: a reproducible report pipeline for Forward-Forward learning"
PAPERS = {
    "2408.09210": "On the Improvement of Generalization and Stability of Forward-Only Learning "
    "via Neural Polarization",
    "2311.05667": "A theory for the sparsity emerged in the Forward Forward algorithm",
}
FORMATS = {
    ".css": "text/css",
    ".csv": "text/csv",
    ".html": "text/html",
    ".ipynb": "application/x-ipynb+json",
    ".js": "text/javascript",
    ".json": "application/json",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
DEFAULT_FORMAT = "application/octet-stream"


def metadata(manifest: Mapping[str, Any], created: str) -> str:
    """The text of a version's ``ro-crate-metadata.json``.

    Only ``datePublished`` and ``endTime`` change from one publication of a version to another.

    Args:
        manifest: what ``versions.publish`` writes, without what was measured.
        created: when the version was published, ISO 8601.
    """
    # The library builds the graph in memory: nothing is copied or fetched, and the time that it
    # stamps on the root is set to ours.
    from rocrate.rocrate import ROCrate

    crate = ROCrate(version=SPECIFICATION)
    time = datetime.fromisoformat(created).isoformat(timespec="seconds")
    crate.metadata.extra_terms["sha256"] = "http://schema.org/sha256"  # of schema.org, since 1.2
    files = [_add_file(crate, name, manifest) for name in sorted(manifest["files"])]
    files.append(_add_manifest(crate))
    authors = _add(crate, "#authors", "Organization", name=AUTHORS)
    licence = _add(
        crate, LICENCE, "CreativeWork", name="MIT License", identifier="MIT",
        description="Use, change and redistribution with the licence's text.",
    )  # fmt: skip
    papers = [
        _add(crate, f"https://arxiv.org/abs/{number}", "ScholarlyArticle", name=title,
             identifier=[f"arXiv:{number}", f"https://doi.org/10.48550/arXiv.{number}"])
        for number, title in PAPERS.items()
    ]  # fmt: skip
    software = _add(
        crate, "#ffcore", "SoftwareApplication", name="ffcore", description=SOFTWARE,
        softwareVersion=package_versions(["ffcore"])["ffcore"], author=authors, license=licence,
        softwareRequirements=_packages(manifest),
    )  # fmt: skip
    action = _add(
        crate, "#publication", "CreateAction", name=manifest.get("command", "publication"),
        description=_story(manifest), instrument=software, object=_inputs(crate, manifest),
        result=files, endTime=time, actionStatus="http://schema.org/CompletedActionStatus",
    )  # fmt: skip
    profile = _add(crate, PROFILE, "CreativeWork", name="Process Run Crate", version="0.5")
    root = {
        "name": f"{manifest['profile']['title']}: {manifest['version']}",
        "description": "Networks trained by Forward-Forward learning, and what two papers "
        f"claim of them, measured. {_story(manifest)}",
        "identifier": manifest["version"],
        "conformsTo": profile,
        "license": licence,
        "author": authors,
        "publisher": authors,
        "citation": papers,
        "mentions": action,
        "datePublished": time,
    }
    for name, value in root.items():
        crate.root_dataset[name] = value
    content = crate.metadata.generate()
    content["@graph"].sort(key=lambda entity: entity["@id"])
    return json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _add_file(crate: Any, name: str, manifest: Mapping[str, Any]) -> Any:
    from rocrate.model import File

    facts = manifest["files"][name]
    title, description = _title(PurePosixPath(name), manifest)
    properties = {
        "name": title,
        "description": description,
        "encodingFormat": FORMATS.get(PurePosixPath(name).suffix, DEFAULT_FORMAT),
        "contentSize": str(facts["bytes"]),
        "sha256": facts["sha256"],
    }
    return crate.add(File(crate, dest_path=name, properties=properties))


def _add_manifest(crate: Any) -> Any:
    """The manifest holds this crate's checksum, so the crate cannot hold the manifest's."""
    from rocrate.model import File

    properties = {
        "name": "Manifest",
        "description": "Every input, version and checksum; sealed by checksums of its own.",
        "encodingFormat": FORMATS[".json"],
    }
    return crate.add(File(crate, dest_path="manifest.json", properties=properties))


def _add(crate: Any, place: str, kind: str, /, **properties: Any) -> Any:
    from rocrate.model import ContextEntity

    return crate.add(ContextEntity(crate, place, {"@type": kind, **properties}))


def _title(path: PurePosixPath, manifest: Mapping[str, Any]) -> tuple[str, str]:
    """A file's name for people, and what it shows: of a figure or a table, its caption."""
    kind, form = path.parent.name, path.suffix[1:].upper()
    for report in manifest["reports"]:
        if caption := report.get(kind, {}).get(path.stem):
            return f"{kind[:-1].capitalize()} {path.stem}, {form}", caption
        if path.stem == report["name"] and kind == "":
            what = "executed notebook" if path.suffix == ".ipynb" else "page"
            return report["title"], f"The report {report['name']} as {what}."
    if str(path) == "index.html":
        return manifest["profile"]["title"], "The page that shows every figure and table."
    pages = {file: title for title, file in manifest.get("pages", {}).items()}
    return pages.get(str(path), str(path)), "A page of the report that needs no other file."


def _inputs(crate: Any, manifest: Mapping[str, Any]) -> list[Any]:
    """Data sets by the fingerprint of their content, and the values that the command was given."""
    data = sorted(manifest["inputs"].get("data", {}).items())
    datasets = [
        _add(crate, f"#data-{name}", "Dataset", name=name, identifier=fingerprint,
             description="Images and labels, known by a fingerprint of files and split.")
        for name, fingerprint in data
    ]  # fmt: skip
    values = {
        "profile": manifest["profile"]["name"],
        "seeds": ",".join(map(str, manifest.get("seeds", ()))),
    }
    return datasets + [
        _add(crate, f"#{name}", "PropertyValue", name=name, value=value)
        for name, value in values.items()
        if value
    ]


def _story(manifest: Mapping[str, Any]) -> str:
    """Profile, seeds and how much was trained, as sentences."""
    profile, seeds = manifest["profile"], manifest.get("seeds", ())
    parts = [f"Profile {profile['name']}"]
    parts += [f"seeds {_listed(seeds)}"] if seeds else []
    parts += [f"{len(manifest['experiments'])} experiments"] if "experiments" in manifest else []
    scale = "" if profile["paper_scale"] else " Not at the scale of the papers."
    return f"{', '.join(parts)}.{scale}"


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))


def _packages(manifest: Mapping[str, Any]) -> list[str]:
    """``numpy 2.4.6`` and so on, of all that made a report's figures."""
    reports = manifest["inputs"].get("reports", {}).values()
    return sorted({f"{k} {v}" for report in reports for k, v in report.get("packages", {}).items()})
