"""Stored runs as a person looks for them: filtered by any setting, judged, and shown as a table."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args, get_origin

from ffcore import plugins
from ffcore.config import (
    FACTORS,
    KINDS,
    PLUGGED,
    AnyExperiment,
    Experiment,
    SparsityExperiment,
    from_record,
)
from ffcore.errors import ConfigError, DataError, unknown
from ffreport.base.code import definitions
from ffreport.base.console import plain
from ffreport.base.digests import digest
from ffreport.data import sources
from ffreport.runs import origin, record
from ffreport.runs.index import ORIGIN, Entry
from ffreport.runs.store import Store

STORED, OUTDATED, DAMAGED, FOREIGN = "stored", "outdated", "damaged", "foreign"
STATES = (STORED, OUTDATED, DAMAGED, FOREIGN)
MODELS = (Experiment, SparsityExperiment)
FIELDS = ("kind", "state", "configuration",
          *dict.fromkeys(name for model in MODELS for name in model.model_fields))  # fmt: skip
RANGE = re.compile(r"(\d+)-(\d+)")
ACCURACIES = ("best", "last", "selected")


@dataclass(frozen=True, slots=True)
class Listed:
    """A run and its state: ``stored``; ``outdated``, made by other code or data than today's;
    ``damaged``; or ``foreign``, sound and with a plug-in, a data set or a setting that is not known
    here. ``reason`` says why it is not the first."""

    entry: Entry
    state: str
    reason: str = ""


def listed(store: Store) -> list[Listed]:
    """Every run of a store, by name. Files are looked at for their size; ``Store.state`` compares
    their content, too."""
    code = definitions(book=store.definitions)
    today: dict[tuple[str, str, str], dict[str, str] | str] = {}
    found = []
    for entry in store.inventory.entries():
        fault, _ = entry.checked()
        state, reason = (DAMAGED, fault) if fault else _compared(entry, today, code)
        found.append(Listed(entry, state, reason))
    store.remembered.save()
    return sorted(found, key=lambda run: (run.entry.name, run.entry.key))


def chosen(
    runs: Sequence[Listed], words: Sequence[str], keys: Collection[str] | None = None
) -> list[Listed]:
    """The runs that agree with every word ``FIELD=VALUE[,VALUE]``, and are among some keys.

    Numbers may be ranges such as 0-9. A field that a kind of run has not agrees with nothing.

    Raises:
        ConfigError: an unknown field or value.
    """
    tests = [_test(word, runs) for word in words]
    return [run for run in runs
            if (keys is None or run.entry.key in keys) and all(t(run) for t in tests)]  # fmt: skip


def table(runs: Sequence[Listed]) -> Iterator[str]:
    """A line a run, the head first: key, state, accuracies in percent, epochs, time, name."""
    width = max((len(run.state) for run in runs), default=0)
    head = f"{'key':16}  {'state':{width}}  {'best':>6}  {'last':>6}  {'epochs':>6}"
    yield f"{head}  {'stored':16}  name"
    for run in runs:
        entry = run.entry
        shown = [_percent(entry.summary.get(column)) for column in ACCURACIES[:2]]
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.written))
        what = plain(entry.name or run.reason)
        yield (f"{entry.key}  {run.state:{width}}  {shown[0]:>6}  {shown[1]:>6}  "
               f"{_epochs(entry):>6}  {when if entry.written else '':16}  {what}")  # fmt: skip


def as_csv(runs: Sequence[Listed]) -> Iterator[str]:
    """Lines of CSV, the head first: what ``table`` shows, why a run is not as it should be, its
    training in seconds, its size in bytes, and every setting."""
    settings = [name for name in FIELDS if name not in ("kind", "state")]
    head = ["key", "name", "kind", "state", "reason", *ACCURACIES, "epochs_run", "seconds", "bytes",
            "stored"]  # fmt: skip
    yield _csv([*head, *settings])
    for run in runs:
        entry = run.entry
        when = datetime.fromtimestamp(entry.written, UTC).isoformat(timespec="seconds")
        yield _csv([entry.key, entry.name, entry.kind, run.state, run.reason,
                    *(entry.summary.get(column) for column in ACCURACIES), _epochs(entry),
                    round(entry.seconds, 3), entry.bytes, when if entry.written else "",
                    *(_value(run, name) for name in settings)])  # fmt: skip


def counted(runs: Sequence[Listed], of: int) -> str:
    """Such as ``12 of 10,027 runs: 10 stored, 2 outdated; 4.3 MB``."""
    states = [run.state for run in runs]
    parts = [f"{states.count(s):,} {s}" for s in STATES if s in states]
    shown = f"{len(runs):,} of {of:,} runs" if len(runs) < of else f"{of:,} runs"
    return "; ".join(filter(None, [
        shown + (": " + ", ".join(parts) if parts else ""),
        size(sum(run.entry.bytes for run in runs)) if runs else "",
    ]))  # fmt: skip


def size(count: float) -> str:
    """``0 bytes``, ``812 bytes``, ``1.2 MB``."""
    units = ("bytes", "kB", "MB", "GB")
    power = min(len(units) - 1, max(0, len(str(int(count))) - 1) // 3)
    return f"{count / 1000**power:.{min(power, 1)}f} {units[power]}"


def _compared(entry: Entry, today: dict[Any, Any], code: Any) -> tuple[str, str]:
    """State and reason of a run whose files are there."""
    try:
        experiment: AnyExperiment = from_record(entry.kind, entry.experiment)
        own = experiment.plugins if isinstance(experiment, Experiment) else {}
        asked = (entry.kind, experiment.dataset, repr(own))
        if asked not in today:
            now = origin.expected(experiment, code)
            today[asked] = now, {topic: digest(now[topic]) for topic in ORIGIN if topic in now}
    except (ConfigError, DataError) as error:
        return FOREIGN, str(error)
    then, (expected, now) = entry.origin, today[asked]
    other = [topic for topic in now if then.get(topic) != now[topic]]
    if "code" in other:
        # The same definitions may be recorded in another form, or with more beside them.
        pair = (then.get("code"), now["code"])
        if pair not in today:
            today[pair] = record.lacking(
                record.read(entry.folder).provenance.get("code"), expected["code"]
            )
        if not today[pair]:
            other.remove("code")
    return (OUTDATED, f"{' and '.join(other)} changed") if other else (STORED, "")


def _test(word: str, runs: Sequence[Listed]) -> Callable[[Listed], bool]:
    """What one word asks of a run."""
    name, equals, text = word.partition("=")
    if not equals or not text:
        raise ConfigError(f"{word!r} is no filter; write FIELD=VALUE, such as norm=l2 or seed=0-9")
    if name not in FIELDS:
        raise unknown("field", name, FIELDS)
    if _is_number(name):
        ranges = [_range(name, part) for part in text.split(",")]

        def number(run: Listed) -> bool:
            value = _value(run, name)
            return value is not None and any(low <= value <= high for low, high in ranges)

        return number
    legal = _legal(name)
    there = {str(value) for run in runs if (value := _value(run, name)) is not None}
    wanted = set()
    for part in text.split(","):
        if part not in there and part not in legal:
            if name != "dataset":
                raise unknown(name, part, [*legal, *sorted(there.difference(legal))] or [part])
            part = sources.resolve(part)
        wanted.add(part)
    return lambda run: str(_value(run, name)) in wanted


def _value(run: Listed, name: str) -> Any:
    """A run's value of a field, None where it has no such field."""
    entry = run.entry
    if name in ("kind", "state"):
        return entry.kind if name == "kind" else run.state
    if name == "configuration":
        network = entry.kind == Experiment.kind
        return "-".join(str(entry.experiment.get(f)) for f in FACTORS) if network else None
    model = KINDS.get(entry.kind)
    if model is None or name not in model.model_fields:
        return None
    field = model.model_fields[name]
    value = entry.experiment.get(name, None if field.is_required() else field.default)
    return "x".join(map(str, value)) if isinstance(value, list | tuple) else value


def _is_number(name: str) -> bool:
    kinds = {m.model_fields[name].annotation for m in MODELS if name in m.model_fields}
    return bool(kinds) and kinds <= {int, float}


def _range(name: str, text: str) -> tuple[float, float]:
    """``3`` or ``0-9`` as the smallest and the largest value."""
    try:
        if found := RANGE.fullmatch(text):
            return float(found[1]), float(found[2])
        return float(text), float(text)
    except ValueError:
        raise ConfigError(f"{name} {text!r} is no number and no range such as 0-9") from None


def _legal(name: str) -> list[str]:
    """The values that a field of words may have, as far as they can be listed."""
    if name in ("kind", "state"):
        return list(KINDS if name == "kind" else STATES)
    found = [*plugins.legal(name)] if name in PLUGGED else []
    for model in MODELS:
        if name in model.model_fields:
            annotation = model.model_fields[name].annotation
            found += get_args(annotation) if get_origin(annotation) is Literal else []
    return list(dict.fromkeys(found))


def _epochs(entry: Entry) -> Any:
    """Epochs that were run; of sparsity runs, which stop at none, those planned."""
    found = entry.summary.get("epochs", entry.experiment.get("epochs"))
    return "" if found is None else found


def _percent(share: Any) -> str:
    return f"{100 * share:.2f}" if isinstance(share, int | float) else ""


def _csv(cells: Sequence[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()
