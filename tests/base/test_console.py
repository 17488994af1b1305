import os
import shlex
import signal
import subprocess
import sys

import pytest

from ffreport.base import console

SWALLOWED = """
import os, signal
from ffreport.base import console

class Finalised:
    def __del__(self):
        os.kill(os.getpid(), signal.{signal})

signal.signal(signal.{signal}, signal.SIG_DFL)  # whatever started the tests
console.watch_signals()
Finalised()
print("the exception was dropped")
try:
    console.stop_if_interrupted()
except KeyboardInterrupt:
    print("but not forgotten")
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_that_a_finaliser_swallows_is_not_lost(name):
    done = subprocess.run([sys.executable, "-c", SWALLOWED.format(signal=name)],
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["the exception was dropped", "but not forgotten"]


def test_a_signal_that_was_ignored_when_we_began_is_left_alone():
    code = ("import signal; from ffreport.base import console; console.watch_signals();"
            "print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)")  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    assert done.stdout.strip() == "True", done.stderr


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("utf-8", "≥ 3 − ü 中"), ("cp1252", ">= 3 - ü \\u4e2d"), ("ascii", ">= 3 - \\xfc \\u4e2d")],
)
def test_a_terminal_of_another_encoding_is_written_to_in_ascii(encoding, shown):
    code = ("from ffreport.base import console; console.make_streams_safe();"
            "print('≥ 3 − ü 中'); console.say('≥ 3 − ü 中')")  # fmt: skip
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert [s.decode(encoding).strip() for s in (done.stdout, done.stderr)] == [shown, shown]


@pytest.mark.parametrize("closed", ["2>&-", "2>/dev/full"])
def test_work_goes_on_where_nobody_hears_of_it(closed):
    code = ("from ffreport.base import console; console.make_streams_safe();"
            "console.say('heard'); print('done')")  # fmt: skip
    done = subprocess.run(f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} {closed}",
                          shell=True, capture_output=True, text=True)  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "done\n")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.42, "0.4 s"), (12.4, "12 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_durations_read_as_a_person_says_them(seconds, text):
    assert console.duration(seconds) == text
