"""One small profile made into a report twice: from nothing, in two folders and two environments."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tests.support.commands import pipeline

ROOT = Path(__file__).parents[2]
PROFILE = """
title: "Made twice"
rq1:
  - {datasets: [digits], norm: [l2], aggregation: [sum], inhibition: [none], activation: [relu],
     probability: [sigmoid, symmetric],
     settings: {epochs: 2, widths: [16, 12], batch_size: 256, label_size: 20}}
rq2: {images: 20}
sparsity: [{dataset: digits, width: 16, epochs: 1, batch_size: 256}]
"""
REPORTS = ("rq1_convergence", "sparsity_theorems")


def make(folder: Path, environment: dict[str, str], umask: int = -1) -> Path:
    """Train the profile and publish REPORTS below ``folder``; returns the version's folder.

    Args:
        environment: variables that replace those of this process.
        umask: of the processes; -1 for this process's own.
    """
    folder.mkdir(parents=True)
    (folder / "twice.yaml").write_text(PROFILE)
    options = ["--profile", folder / "twice.yaml", "--results", folder / "results"]
    said = ""
    for command in (["train"], ["report", *REPORTS]):
        said = pipeline(
            *command, *options, cwd=folder, umask=umask, env={**os.environ, **environment},
            encoding="utf-8", errors="replace",
        )  # fmt: skip
    found = re.search(r"^(/.*)/index\.html$", said, re.M)
    assert found, said
    return Path(found[1])
