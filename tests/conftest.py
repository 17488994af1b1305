from __future__ import annotations

import signal

import pytest
import torch
from hypothesis import settings

from ffcore import data
from ffcore.config import Experiment, make_experiment

# A shell that starts the tests in the background has them ignore Ctrl-C, and so their children.
signal.signal(signal.SIGINT, signal.default_int_handler)
# A busy machine is slow, not wrong.
settings.register_profile("ffcore", deadline=None)
settings.load_profile("ffcore")


@pytest.fixture(scope="session")
def digits() -> data.Dataset:
    return data.load("digits")


@pytest.fixture(autouse=True, scope="session")
def _few_threads():
    # Small tensors gain nothing from threads, and busy-waiting ones slow a shared machine down.
    torch.set_num_threads(1)


def tiny(**changes) -> Experiment:
    """A small experiment on the 8x8 digits, changed where a test needs it."""
    values = dict(
        dataset="digits", activation="relu", norm="l2", aggregation="sum", inhibition="none",
        probability="sigmoid", widths=(40, 32), epochs=2, batch_size=128, label_size=20, wta_k=5,
    )  # fmt: skip
    return make_experiment(**{**values, **changes})
