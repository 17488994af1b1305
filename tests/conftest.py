from __future__ import annotations

import os
import shutil
import signal
import site
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from ffcore import data
from ffcore.config import AnyExperiment, Experiment, make_experiment
from ffreport.base.threads import SETTINGS
from ffreport.compute import pool
from ffreport.data import load
from ffreport.pipeline.training import tasks as training
from ffreport.runs.store import Store
from tests.rigs.twice import make
from tests.support.measured import VARIABLE

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# A shell that starts the tests in the background has them ignore Ctrl-C, and so their children.
signal.signal(signal.SIGINT, signal.default_int_handler)
# A busy machine is slow, not wrong; and a commit's tests say the same each time. `many` draws anew.
settings.register_profile("ffcore", deadline=None, derandomize=True)
settings.register_profile("many", deadline=None, max_examples=4000)
settings.load_profile("ffcore")


def pytest_addoption(parser):
    parser.addoption("--measured", action="store_true",
                     help="keep what tests measured for docs/robustness.md")  # fmt: skip


def pytest_configure(config):
    if config.getoption("--measured"):
        os.environ[VARIABLE] = "1"


@pytest.fixture(scope="session")
def digits() -> data.Dataset:
    return load.load("digits")


@pytest.fixture(scope="module")
def browser():
    """A browser of this machine, or the one that playwright installed."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="no playwright; `pip install -e '.[test]'` brings it"
    )
    with sync_api.sync_playwright() as playwright:
        there = next(filter(None, map(shutil.which, BROWSERS)), None)
        there = there or playwright.chromium.executable_path
        if not Path(there).exists():
            pytest.skip("no browser; install Chromium, or run `playwright install chromium`")
        found = playwright.chromium.launch(executable_path=there)
        yield found
        found.close()


@pytest.fixture(autouse=True, scope="session")
def _few_threads():
    # Small tensors gain nothing from threads, and busy-waiting ones slow a shared machine down.
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def twice(tmp_path_factory):
    """Two published versions of one small profile, made from nothing in two environments."""
    folder = tmp_path_factory.mktemp("twice")
    home = folder / "home"
    (home / ".config" / "matplotlib").mkdir(parents=True)
    (home / ".config" / "matplotlib" / "matplotlibrc").write_text("font.size: 20\n")
    other = {"HOME": str(home), "PYTHONUSERBASE": site.getuserbase(), "USER": "else",
             "TZ": "Asia/Tokyo", "LANG": "C", "LC_ALL": "C", "PYTHONHASHSEED": "7",
             "COLUMNS": "40", **dict.fromkeys(SETTINGS, "2")}  # fmt: skip
    with ThreadPoolExecutor(2) as both:  # at the same time, for speed
        a = both.submit(make, folder / "a", {})
        b = both.submit(make, folder / "b" / "deeper", other, 0o077)
        return a.result(), b.result()


def train_into(store: Store, experiments: Sequence[AnyExperiment]) -> None:
    """Train experiments in this process, one at a time, and store them."""
    tasks = [training.Task((e,)) for e in experiments]
    for o in pool.run_tasks(tasks, training.perform):
        store.save(o.experiment, o.summary, o.tables, o.weights, o.seconds, o.provenance)


def tiny(**changes) -> Experiment:
    """A small experiment on the 8x8 digits, changed where a test needs it."""
    values = dict(
        dataset="digits", activation="relu", norm="l2", aggregation="sum", inhibition="none",
        probability="sigmoid", widths=(40, 32), epochs=2, batch_size=128, label_size=20, wta_k=5,
    )  # fmt: skip
    return make_experiment(**{**values, **changes})
