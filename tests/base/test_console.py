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

console.watch_signals()
Finalised()
print("the exception was dropped")
try:
    console.stop_if_interrupted()
except KeyboardInterrupt:
    print("but not forgotten")
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_that_a_finaliser_swallows_is_not_lost(name):
    done = subprocess.run([sys.executable, "-c", SWALLOWED.format(signal=name)],
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["the exception was dropped", "but not forgotten"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.42, "0.4 s"), (12.4, "12 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_durations_read_as_a_person_says_them(seconds, text):
    assert console.duration(seconds) == text
