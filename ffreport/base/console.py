"""What a person sees while work goes on: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import codecs
import io
import os
import signal
import sys
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_ASCII = {"≤": "<=", "≥": ">=", "−": "-", "–": "-", "—": "-", "·": "*", "→": "->", "±": "+-",
          "×": "x", "…": "...", "‖": "||", "ρ": "rho", "σ": "sigma", "θ": "theta"}  # fmt: skip
PLAIN_EVERY = 10.0  # seconds between plain progress lines of one job


class Job:
    """One long piece of work with a known number of parts."""

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total = title, total
        self._shown = time.monotonic()
        self._bar = _bar(title, total) if sys.stderr.isatty() else None

    def update(self, done: float, text: str, total: int | None = None) -> None:
        """Show that ``done`` of the total parts are done; plain lines come at intervals.

        Args:
            total: the number of parts, where only the work itself knows it.
        """
        self.total = total or self.total
        if self._bar:
            progress, task = self._bar
            progress.update(task, completed=done, total=self.total, note=text)
        elif time.monotonic() - self._shown >= PLAIN_EVERY:
            self._shown = time.monotonic()
            say(f"{self.title}: {done:.0f} of {self.total}, {text}")

    def close(self) -> None:
        if self._bar:
            self._bar[0].stop()


@contextmanager
def job(title: str, total: int) -> Iterator[Job]:
    """A Job that is closed whatever happens.

    Example:
        >>> with job("training", 108) as progress:
        ...     progress.update(1, "mnist-relu-l2")
    """
    work = Job(title, total)
    try:
        yield work
    finally:
        work.close()


_interrupted = False


def watch_signals() -> None:
    """Answer SIGINT and SIGTERM with KeyboardInterrupt, and remember them.

    Python drops an exception that a handler raises while a finaliser runs; whoever waits in a loop
    therefore asks ``stop_if_interrupted``, too.
    """

    def interrupt(*_: Any) -> None:
        global _interrupted
        _interrupted = True
        raise KeyboardInterrupt

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # Who started us with a signal ignored, as `nohup` and `&` do, wants it ignored.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)


def make_streams_safe() -> None:
    """Let standard output and error take any text: what their encoding lacks is written in ASCII,
    and a closed one swallows."""
    codecs.register_error("in-ascii", _in_ascii)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="in-ascii")


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    """What stands for letters that an encoding lacks."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    return "".join(_ASCII.get(c, c.encode("unicode_escape").decode()) for c in text), error.end


def stop_if_interrupted() -> None:
    """Raise KeyboardInterrupt where a signal came in since ``watch_signals``."""
    if _interrupted:
        raise KeyboardInterrupt


def say(text: str) -> None:
    """One line to the person at the terminal (standard error, so that output can be piped)."""
    with suppress(OSError):  # Nobody may listen any more: work goes on.
        print(text, file=sys.stderr, flush=True)


def plain(text: str) -> str:
    """A foreign text for the terminal: what would move its cursor or change its colours, or the
    direction of the text, in its code."""
    strange = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in strange else c
        for c in text
    )


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _bar(title: str, total: int):
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    progress = Progress(
        TextColumn("{task.description}"), BarColumn(bar_width=24),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
        console=Console(stderr=True), transient=True,
    )  # fmt: skip
    task = progress.add_task(title, total=total, note="")
    progress.start()
    return progress, task
