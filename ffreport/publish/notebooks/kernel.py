"""One run of a notebook in a fresh kernel through papermill, and whether it can be trusted."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ffcore.errors import ReportError
from ffreport.base.threads import SETTINGS
from ffreport.publish.notebooks.cleaning import KERNEL, without_colours

Progress = Callable[[int, int, str], None]
NUMBER = "ffcore_cell"
# Seconds for a kernel's start; Jupyter reads them off the clock of the day, which may jump.
START = 24 * 3600
_SOCKET_LIMIT = 100  # bytes; a unix socket's path ends at 107, and "-ipc-5" is still to come


@dataclass
class Run:
    """What came of an execution.

    ``document`` is the notebook with outputs, ``finished`` the positions of the code cells whose
    kernel reply was ok, ``current`` the position of the last one that started, ``fault`` what
    stopped it or "".
    """

    document: dict[str, Any]
    finished: set[int] = field(default_factory=set)
    current: int | None = None
    fault: str = ""

    @property
    def cells(self) -> list[dict[str, Any]]:
        """The document's cells."""
        return list(self.document["cells"])


def run(
    document: Mapping[str, Any],
    parameters: Mapping[str, Any],
    folder: Path,
    *,
    timeout: int,
    progress: Progress | None = None,
    environment: Mapping[str, str] | None = None,
) -> Run:
    """Execute a notebook in a kernel of this interpreter that works in ``folder``.

    A failing, dead or late cell is no exception: it is told in ``Run.fault`` or in the outputs;
    see ``problem``. Whatever happens, no kernel is left.

    Raises:
        ReportError: no temporary folder whose path is short enough for a socket.
        KeyboardInterrupt: passed on.
    """
    import logging
    import shutil

    import nbformat
    import papermill
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError
    from traitlets import default
    from traitlets.config import Config

    logging.getLogger("papermill").addHandler(logging.NullHandler())
    node = nbformat.from_dict(dict(document))
    outcome = Run({})
    total = sum(1 for cell in node.cells if _runs(cell)) + bool(parameters)

    def started(notebook: Any) -> None:
        nonlocal node
        node = notebook

    def cell_starts(cell: Any, cell_index: int) -> None:
        outcome.current = cell_index
        if progress:
            progress(len(outcome.finished), total, _label(cell))

    def cell_ended(cell: Any, cell_index: int, execute_reply: Any) -> None:
        if execute_reply["content"]["status"] == "ok":
            outcome.finished.add(cell_index)

    private = _short_folder()
    try:
        _write_kernel(private / "kernels" / KERNEL["name"], private, environment or {})

        class OwnKernel(AsyncKernelManager):
            """Knows one kernel only: no other python3 on this machine can be picked."""

            @default("kernel_spec_manager")
            def _only_ours(self) -> KernelSpecManager:
                return KernelSpecManager(kernel_dirs=[str(private / "kernels")])

        # TCP ports are chosen before the kernel binds them, so parallel kernels can collide.
        transport = "tcp" if sys.platform == "win32" else "ipc"
        connection = {"transport": transport, "connection_file": str(private / "k.json")}
        _in_own_loop(
            papermill.execute_notebook,
            node,
            None,
            dict(parameters),
            kernel_name=KERNEL["name"],
            language="python",
            progress_bar=False,
            execution_timeout=timeout,
            start_timeout=START,
            kernel_manager_class=OwnKernel,
            config=Config({"KernelManager": connection}),
            resources={"metadata": {"path": str(folder)}},
            iopub_timeout=60,  # the default of 4 s fails large outputs on a busy machine
            record_timing=False,
            coalesce_streams=True,
            force_raise_errors=True,
            on_notebook_start=started,
            on_cell_execute=cell_starts,
            on_cell_executed=cell_ended,
        )
    except PapermillExecutionError:
        pass  # the cell's output says it
    except CellTimeoutError:
        outcome.fault = f"the cell ran longer than {timeout} s and was stopped"
    except DeadKernelError:
        outcome.fault = (
            "the kernel died here: killed, out of memory, or ended by the code itself; where "
            "memory is short, run the same command again with nothing beside it"
        )
    except RuntimeError as error:
        if outcome.current is not None:
            raise
        outcome.fault = f"the kernel did not start: {error}"
    finally:
        shutil.rmtree(private, ignore_errors=True)
    document = json.loads(json.dumps(node))
    marker = "papermill-error-cell-tag"
    kept = [c for c in document["cells"] if marker not in c["metadata"].get("tags", [])]
    outcome.document = {**document, "cells": kept}
    return outcome


def problem(outcome: Run) -> tuple[int | None, str] | None:
    """Position of the cell that failed (None: no cell) and one line on it; None if all is well.

    An interrupted papermill marks every cell as completed, and ``sys.exit()`` ends a notebook
    early without an error: only a cell with an ok reply of its kernel counts as executed.
    """
    if outcome.fault:
        return outcome.current, outcome.fault
    for position, cell in enumerate(outcome.cells):
        for output in cell.get("outputs", ()):
            if output["output_type"] == "error" and output["ename"] != "SystemExit":
                return position, f"{output['ename']}: {without_colours(output['evalue'])}".strip()
    for position, cell in enumerate(outcome.cells):
        if _runs(cell) and position not in outcome.finished:
            return position, "the cell did not run to its end: the notebook stopped or skipped it"
    return None


def _in_own_loop(function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Call a function of Jupyter's in a context of its own, and close the event loop there.

    Jupyter keeps a loop per context and never closes it, which an interpreter reports on exit.
    """
    import asyncio
    import contextvars

    from jupyter_core.utils import ensure_event_loop

    def call() -> None:
        loop = ensure_event_loop()
        try:
            function(*args, **kwargs)
        finally:
            # Where Ctrl-C struck: nobody asks for the errors of tasks that ended, nor ends others.
            loop.set_exception_handler(lambda *_: None)
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.close()
            asyncio.set_event_loop(None)

    contextvars.Context().run(call)


def _runs(cell: Mapping[str, Any]) -> bool:
    return cell["cell_type"] == "code" and bool(cell["source"].strip())


def _label(cell: Mapping[str, Any]) -> str:
    """What a progress line says of a cell: what it makes, or its first line."""
    made = [t.replace(":", " ") for t in cell["metadata"].get("tags", []) if ":" in t]
    lines = [line.strip() for line in cell["source"].splitlines() if line.strip()]
    code = [line for line in lines if not line.startswith("#")]
    return ", ".join(made) or (code or lines)[0][:60]


def _short_folder() -> Path:
    """A fresh private folder whose path leaves room for a socket's name."""
    import tempfile

    for base in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if len(os.fsencode(base)) + 20 < _SOCKET_LIMIT and os.access(base, os.W_OK):
            return Path(tempfile.mkdtemp(prefix="ff-", dir=base))
    raise ReportError("no writable temporary folder with a short path; set TMPDIR to one")


def _keeps_fonts() -> bool:
    """Whether matplotlib can write where it wants to; where it cannot, it warns in the report."""
    for variable, usual in (("XDG_CONFIG_HOME", "~/.config"), ("XDG_CACHE_HOME", "~/.cache")):
        own = os.environ.get("MPLCONFIGDIR")
        base = os.environ.get(variable) or os.path.expanduser(usual)
        folder = own or os.path.join(base, "matplotlib")
        try:
            if folder.startswith("~"):  # a user whom the system does not know
                return False
            os.makedirs(folder, exist_ok=True)
        except OSError:
            return False
        if not os.access(folder, os.W_OK):
            return False
    return True


def _write_kernel(folder: Path, private: Path, further: Mapping[str, str]) -> None:
    """A kernel specification: this interpreter, and an environment without the user's taste."""
    import importlib.util

    here = Path(__file__).resolve().parents[3]
    matplotlib = importlib.util.find_spec("matplotlib")
    style = Path(str(matplotlib.origin)).parent if matplotlib else Path()
    environment = {
        "PYTHONHASHSEED": "0",
        **dict.fromkeys(SETTINGS, "1"),  # sums in one order; other kernels run beside it
        "PYTHONSTARTUP": "",
        "IPYTHONDIR": str(private / "ipython"),  # no start-up files, no configuration
        "MATPLOTLIBRC": str(style / "mpl-data" / "matplotlibrc"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "SOURCE_DATE_EPOCH": "315532800",  # 1980, the first year that a zip file can hold
        "TZ": "UTC",
        "COLUMNS": "100",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        **further,
    }
    if not _keeps_fonts():
        environment["MPLCONFIGDIR"] = str(private / "matplotlib")
    if "site-packages" not in here.parts:  # the kernel imports these very packages
        others = os.environ.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join([str(here), *([others] if others else [])])
    # Without the level, stopping an idle kernel writes "KeyboardInterrupt caught" to the terminal.
    options = ["-f", "{connection_file}", "--log-level=CRITICAL"]
    command = [sys.executable, "-m", "ipykernel_launcher", *options]
    escaped = {key: value.replace("$", "$$") for key, value in environment.items()}
    folder.mkdir(parents=True)
    text = json.dumps({**KERNEL, "argv": command, "env": escaped})
    (folder / "kernel.json").write_text(text, encoding="utf-8")
