"""Why two report versions differ: what their manifests record of the inputs, compared by topic."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Topic → what one of its changes is called; a topic that a manifest adds goes by its own name.
TOPICS = {
    "code": "module of code",
    "profile": "profile setting",
    "packages": "package",
    "notebook": "notebook",
    "page": "file of an interactive page",
    "runs": "run",
    "data": "data set",
    "hardware": "hardware",
    "revision": "revision",
}
PLURAL = {"code": "modules of code", "hardware": "entries of hardware",
          "page": "files of interactive pages"}  # fmt: skip
EVERY = ("every report",)
ADDED, REMOVED, REPLACED = "added", "removed", "changed"
NEWLY, NO_LONGER = "newly used", "no longer used"  # another report of the version had it, or has
UNLIKE = "recorded in two forms"  # a digest a module beside one a function: they do not compare
_ORDER = (REPLACED, ADDED, REMOVED, NEWLY, NO_LONGER, UNLIKE)
SHOWN = 4  # names in a line of words


@dataclass(frozen=True)
class Cause:
    """An input that differs. ``what`` is REPLACED, ADDED, REMOVED, NEWLY, NO_LONGER or UNLIKE,
    ``detail`` the old and new value or the functions concerned, where the manifests tell;
    ``reports`` are those that it differs for."""

    topic: str
    name: str
    what: str
    detail: str
    reports: tuple[str, ...]


def causes(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Cause]:
    """What differs in the inputs of the reports that are in both versions, and in the machine.

    Args:
        a: the old version's manifest, whatever stands in it.
        b: the new one's.

    Returns:
        Sorted by topic, then name; empty where the manifests record no difference. A topic that
        one of them does not record is left out.
    """
    inputs_a, inputs_b = _reports(a), _reports(b)
    known_a, known_b = _known(inputs_a), _known(inputs_b)
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for report in (r for r in inputs_a if r in inputs_b):
        old, new = _inputs(inputs_a[report], report), _inputs(inputs_b[report], report)
        for topic in (t for t in old if t in new):
            for name, what, detail in _compared(topic, old[topic], new[topic]):
                if what == ADDED and (topic, name) in known_a:
                    what = NEWLY
                elif what == REMOVED and (topic, name) in known_b:
                    what = NO_LONGER
                found.setdefault((topic, name, what, detail), []).append(report)
    whole_a, whole_b = _of_the_version(a), _of_the_version(b)
    for topic in (t for t in whole_a if t in whole_b):
        for change in _compared(topic, whole_a[topic], whole_b[topic]):
            found[(topic, *change)] = list(EVERY)
    order = list(TOPICS)
    return sorted(
        (Cause(*change, tuple(reports)) for change, reports in found.items()),
        key=lambda c: (order.index(c.topic) if c.topic in order else len(order), c.topic, c.name),
    )


def reports_in(manifest: Mapping[str, Any]) -> list[str]:
    """The reports and interactive pages whose inputs a manifest records."""
    return list(_reports(manifest))


def words(found: Sequence[Cause]) -> list[str]:
    """The causes in a line a topic: how many were added, removed, changed, and the first names."""
    lines = []
    for topic in dict.fromkeys(cause.topic for cause in found):
        # A module that changed may also be newly used by another report: it counts once.
        ranked = sorted((c for c in found if c.topic == topic), key=lambda c: _ORDER.index(c.what))
        here = [c for n, c in enumerate(ranked) if c.name not in {r.name for r in ranked[:n]}]
        if [c.name for c in here] == [topic]:
            lines.append(f"{topic}: {here[0].detail or here[0].what}")
            continue
        counts = {w: sum(c.what == w for c in here) for w in _ORDER}
        said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        shown = [c.name + (f" ({c.detail})" if 0 < len(c.detail) < 60 else "")
                 for c in here[:SHOWN]]  # fmt: skip
        shown += [f"{len(here) - SHOWN} more"] if len(here) > SHOWN else []
        # The name of a run is a line by itself.
        names = "" if topic == "runs" else f" – {', '.join(shown)}"
        lines.append(f"{title(topic, len(here))}: {said}{names}")
    return lines


def title(topic: str, number: int = 2) -> str:
    """What one or several changes of a topic are called."""
    one = TOPICS.get(topic, topic)
    return one if number == 1 or topic not in TOPICS else PLURAL.get(topic, f"{one}s")


def _reports(manifest: Mapping[str, Any]) -> dict[str, Any]:
    inputs = _mapping(manifest.get("inputs"))
    return {**_mapping(inputs.get("reports")), **_mapping(inputs.get("pages"))}


def _inputs(entry: Any, report: str) -> dict[str, dict[str, Any]]:
    """Topic → name → value of one report's inputs."""
    return {
        topic: value if isinstance(value, dict) else {report: value}
        for topic, value in _mapping(entry).items()
    }


def _known(reports: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Topic and name of whatever any report of a version uses."""
    return {
        (topic, name)
        for report, entry in reports.items()
        for topic, values in _inputs(entry, report).items()
        for name in (dict(_flat(values)) if topic == "profile" else values)
    }


def _of_the_version(manifest: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The topics that are recorded once a version."""
    measured = _mapping(manifest.get("measured"))
    revision, hardware = measured.get("revision"), measured.get("hardware")
    found = {
        "data": _mapping(_mapping(manifest.get("inputs")).get("data")),
        "hardware": hardware if isinstance(hardware, dict) else {"hardware": hardware},
        "revision": {"revision": revision},
    }
    return {topic: values for topic, values in found.items() if any(values.values())}


def _compared(
    topic: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """Name, what happened and detail of each difference within a topic."""
    if topic == "profile":
        old, new = dict(_flat(old)), dict(_flat(new))
    for name in {**old, **new}:
        x, y = old.get(name), new.get(name)
        if x == y:
            continue
        what = ADDED if name not in old else REMOVED if name not in new else REPLACED
        if topic != "code":
            yield name, what, _detail(topic, x, y)
        elif what == REPLACED and isinstance(x, dict) != isinstance(y, dict):
            yield name, UNLIKE, "whether it differs is not known"
        else:
            yield name, what, _definitions(_mapping(x), _mapping(y)) if what == REPLACED else ""


def _definitions(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Which functions and classes of a module differ, where each has a digest of its own."""
    parts = {
        REPLACED: [n for n in old if n in new and old[n] != new[n]],
        ADDED: [n for n in new if n not in old],
        REMOVED: [n for n in old if n not in new],
    }
    return "; ".join(f"{what} {', '.join(names)}" for what, names in parts.items() if names)


def _detail(topic: str, old: Any, new: Any) -> str:
    """Old and new value of a setting, a package, a machine; digests say nothing to a reader."""
    if topic in ("notebook", "page", "runs", "data"):
        return ""
    shown = [
        "–" if value is None else value if isinstance(value, str) else
        json.dumps(value, ensure_ascii=False)
        for value in (old, new)
    ]  # fmt: skip
    return " → ".join(shown)


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of each setting; a list of plain values is one."""
    if isinstance(value, Mapping) and value:
        for name, part in value.items():
            yield from _flat(part, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and any(isinstance(part, Mapping) for part in value):
        for place, part in enumerate(value):
            yield from _flat(part, f"{path}[{place}]")
    else:
        yield path, value


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
