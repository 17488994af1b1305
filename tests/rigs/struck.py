"""What worker processes of the tests do; imports nothing that takes time."""

import os
import signal
import time


def work(task, tell):
    """Return a task's name, or die as the system has a process die where memory runs out."""
    if task.name == "struck":
        time.sleep(0.5)  # the other one is done by then
        os.kill(os.getpid(), signal.SIGKILL)
    return [task.name]
