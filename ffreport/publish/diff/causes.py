"""Why two report versions differ: what their manifests record of the inputs, compared by topic."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Topic → what one of its changes is called, and several; a topic that a manifest adds goes by its
# own name.
TOPICS = {
    "code": ("module of code", "modules of code"),
    "profile": ("profile setting", "profile settings"),
    "packages": ("package", "packages"),
    "notebook": ("notebook", "notebooks"),
    "page": ("file of an interactive page", "files of interactive pages"),
    "runs": ("run", "runs"),
    "data": ("data set", "data sets"),
    "hardware": ("hardware", "entries of hardware"),
    "revision": ("revision", "revisions"),
}
DIGESTS = ("notebook", "page", "runs", "data")  # whose values say nothing to a reader
EVERY = ("every report",)
ADDED, REMOVED, REPLACED = "added", "removed", "changed"
NEWLY, NO_LONGER = "newly used", "no longer used"  # another report of the version had it, or has
UNLIKE = "recorded in two forms"  # a digest a module beside one a function: they do not compare
_ORDER = (REPLACED, ADDED, REMOVED, NEWLY, NO_LONGER, UNLIKE)
SHOWN = 4  # names in a line of words
Values = Mapping[str, Any]  # name → value


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
    old, new = _inputs(a), _inputs(b)
    used = [{(topic, name) for topics in side.values() for topic, values in topics.items()
             for name in values} for side in (old, new)]  # fmt: skip
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for report in (r for r in old if r in new):
        for topic in (t for t in old[report] if t in new[report]):
            x, y = old[report][topic], new[report][topic]
            for name in (n for n in {**x, **y} if x.get(n) != y.get(n)):
                what, detail = _difference(topic, name, x, y)
                if what == ADDED and (topic, name) in used[0]:
                    what = NEWLY
                elif what == REMOVED and (topic, name) in used[1]:
                    what = NO_LONGER
                found.setdefault((topic, name, what, detail), []).append(report)
    order = {topic: place for place, topic in enumerate(TOPICS)}
    return sorted(
        (Cause(*change, tuple(reports)) for change, reports in found.items()),
        key=lambda c: (order.get(c.topic, len(order)), c.topic, c.name),
    )


def reports_in(manifest: Mapping[str, Any]) -> list[str]:
    """The reports and interactive pages whose inputs a manifest records."""
    return [report for report in _inputs(manifest) if report != EVERY[0]]


def words(found: Sequence[Cause]) -> list[str]:
    """The causes in a line a topic: how many were added, removed, changed, and the first names."""
    lines = []
    for topic in dict.fromkeys(cause.topic for cause in found):
        # A module that changed may also be newly used by another report: it counts once.
        by_name: dict[str, Cause] = {}
        for cause in sorted(found, key=lambda c: _ORDER.index(c.what)):
            if cause.topic == topic:
                by_name.setdefault(cause.name, cause)
        here = list(by_name.values())
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
    return TOPICS.get(topic, (topic, topic))[number != 1]


def _inputs(manifest: Mapping[str, Any]) -> dict[str, dict[str, Values]]:
    """Report → topic → name → value; what is recorded once a version stands under EVERY."""
    inputs, measured = _mapping(manifest.get("inputs")), _mapping(manifest.get("measured"))
    once = {"data": inputs.get("data"), "hardware": measured.get("hardware"),
            "revision": measured.get("revision")}  # fmt: skip
    entries = {
        **_mapping(inputs.get("reports")),
        **_mapping(inputs.get("pages")),
        EVERY[0]: {topic: value for topic, value in once.items() if value},
    }
    return {
        report: {topic: _values(topic, value, topic if report == EVERY[0] else report)
                 for topic, value in _mapping(entry).items()}
        for report, entry in entries.items()
    }  # fmt: skip


def _values(topic: str, value: Any, name: str) -> Values:
    """What is recorded of a topic by name; a single value by the given one."""
    if not isinstance(value, dict):
        return {name: value}
    return dict(_flat(value)) if topic == "profile" else value


def _difference(topic: str, name: str, old: Values, new: Values) -> tuple[str, str]:
    """What happened to an input, and what is to be said of it."""
    x, y = old.get(name), new.get(name)
    what = ADDED if name not in old else REMOVED if name not in new else REPLACED
    if topic in DIGESTS or (topic == "code" and what != REPLACED):
        return what, ""
    if topic == "code":
        if isinstance(x, dict) != isinstance(y, dict):
            return UNLIKE, "whether it differs is not known"
        return what, _definitions(_mapping(x), _mapping(y))
    shown = ("–" if value is None else value if isinstance(value, str) else
             json.dumps(value, ensure_ascii=False) for value in (x, y))  # fmt: skip
    return what, " → ".join(shown)


def _definitions(old: Values, new: Values) -> str:
    """Which functions and classes of a module differ, where each has a digest of its own."""
    parts = {
        REPLACED: [n for n in old if n in new and old[n] != new[n]],
        ADDED: [n for n in new if n not in old],
        REMOVED: [n for n in old if n not in new],
    }
    return "; ".join(f"{what} {', '.join(names)}" for what, names in parts.items() if names)


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
