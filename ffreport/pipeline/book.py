"""doit as a library: run some tasks, keep its book in one file, raise the first failure."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from doit.cmd_base import TaskLoader2
from doit.dependency import JsonDB
from doit.doit_cmd import DoitMain
from doit.task import dict_to_task

from ffcore import files
from ffcore.errors import FFError, ReportError, StoreError, advice, of_system, shortened
from ffcore.files import json_file
from ffreport.base.console import say
from ffreport.base.digests import changed


class _Loader(TaskLoader2):
    def __init__(self, tasks: Sequence[dict[str, Any]], book: Path) -> None:
        super().__init__()
        self._tasks, self._book = tasks, book

    def setup(self, opt_values: Any) -> None:
        pass

    def load_doit_config(self) -> dict[str, Any]:
        # A task that fails leaves those that do not depend on it to be done, and to be noted.
        return {"dep_file": str(self._book), "backend": "whole", "verbosity": 2,
                "continue": True, "reporter": _Silent}  # fmt: skip

    def load_tasks(self, cmd: Any, pos_args: Any) -> list[Any]:
        return [dict_to_task(task) for task in self._tasks]


class Book(JsonDB):
    """doit's book, written whole or not at all; doit itself writes in place, and answers a full
    disk with a traceback."""

    faults: list[FFError] = []

    def dump(self) -> None:
        try:
            files.write(Path(self.name), self.codec.encode(self._db))
        except OSError as error:
            self.faults.append(StoreError(f"cannot write {self.name}: {advice(error)}"))


class _Silent:
    """A doit reporter that prints nothing: the stages speak for themselves."""

    desc = "silent"

    def __init__(self, outstream: Any, options: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


def run(tasks: Sequence[dict[str, Any]], book: Path) -> None:
    """Run tasks in order; those that are up to date are passed over.

    Args:
        tasks: doit task dictionaries whose actions are (function, arguments).
        book: file in which doit notes what each task was made from.

    Raises:
        FFError: what the first failing task raised, once all others are done.
        ReportError: doit itself could not go on.
    """
    failures: list[BaseException] = []
    book.parent.mkdir(parents=True, exist_ok=True)
    _set_aside_if_damaged(book)
    guarded = [
        {**task, "actions": [_guard(action, failures) for action in task["actions"]]}
        for task in tasks
    ]
    Book.faults.clear()
    own = {"BACKEND": {"whole": f"{__name__}:{Book.__name__}"}}
    code = DoitMain(_Loader(guarded, book), config_filenames=(), extra_config=own).run(["run"])
    failures += Book.faults
    if failures:
        raise failures[0]
    if code:
        raise ReportError(f"doit ended with code {code}; if {book} is damaged, delete it")


class Inputs:
    """An up-to-date check for doit on a dictionary of inputs.

    Args:
        compute: gives the inputs; called late, when the stages before have run.
        spent: seconds that it took, once it has run.
    """

    KEY, SECONDS = "inputs", "seconds"

    def __init__(
        self,
        compute: Callable[[], dict[str, Any]],
        spent: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._compute, self._spent = compute, spent

    def configure_task(self, task: Any) -> None:
        task.value_savers.append(lambda: {self.KEY: self._compute(), self.SECONDS: self._spent()})

    def __call__(self, task: Any, values: Mapping[str, Any]) -> bool:
        why = difference(values.get(self.KEY), self._compute())
        if not all(Path(target).exists() for target in task.targets):
            why = "not executed yet"
        return not why


def noted(book: Path, key: str = Inputs.KEY) -> dict[str, Any]:
    """What doit noted in its book of the inputs of each task, or of its seconds, by the task's
    name."""
    try:
        tasks = json_file(book)
        return {task: entry["_values_:"].get(key) for task, entry in tasks.items()
                if "_values_:" in entry}  # fmt: skip
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def difference(then: Mapping[str, Any] | None, now: Mapping[str, Any]) -> str:
    """What changed between two dictionaries of inputs, in words; empty where nothing did."""
    if not then:
        return "no record of an earlier run"
    parts = []
    for topic in now:
        old, new = then.get(topic), now[topic]
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            parts.append(f"{topic} changed: {shortened(changed(old, new), 3)}")
        else:
            parts.append(f"{topic} changed")
    return "; ".join(parts)


def _set_aside_if_damaged(book: Path) -> None:
    """A book that cannot be read costs what it knew, not the whole pipeline."""
    try:
        damaged = book.exists() and not _sound(json_file(book))
    except (OSError, ValueError):
        damaged = True
    if damaged:
        aside = book.with_name(f"{book.name}.damaged")
        book.replace(aside)
        say(f"{book} is damaged and was set aside as {aside.name}; notebooks run again")


def _sound(content: Any) -> bool:
    """Whether each entry of a book is a mapping, and so are the values in it, if any."""
    return isinstance(content, dict) and all(
        isinstance(entry, dict) and isinstance(entry.get("_values_:", {}), dict)
        for entry in content.values()
    )


def _guard(action: tuple[Any, list[Any]], failures: list[BaseException]) -> tuple[Any, list[Any]]:
    function, arguments = action

    def guarded(*args: Any) -> bool:
        try:
            function(*args)
        except FFError as error:
            failures.append(error)
            return False
        except Exception as error:
            if (known := of_system(error)) is None:
                traceback.print_exc()
            failures.append(known or error)
            return False
        return True

    return guarded, arguments
