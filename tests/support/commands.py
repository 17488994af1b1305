"""Run the command line as a user does: ``pipeline.py`` in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def pipeline(*arguments, code=0, root=ROOT, **options):
    """Run a command; returns what it printed, standard error after standard output.

    Args:
        root: the project whose ``pipeline.py`` it is.
        options: of ``subprocess.run``, such as ``cwd``, the project where not given.
    """
    done = subprocess.run(
        [sys.executable, str(root / "pipeline.py"), *map(str, arguments)],
        capture_output=True, text=True, timeout=300, **{"cwd": root, **options},
    )  # fmt: skip
    text = done.stdout + done.stderr
    assert done.returncode == code, text
    assert "Traceback" not in text, text
    return text


def interrupted(arguments, when, sign=signal.SIGINT):
    """Start a command, send it a signal once ``when`` is true; returns exit code and output."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "pipeline.py"), *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not when() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, sign)
    text = process.communicate(timeout=60)[0]
    return process.returncode, text
