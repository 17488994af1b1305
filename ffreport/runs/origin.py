"""What a run was made of: the code that determines its result, its data, its plug-ins.

A run is up to date while every definition that trains its kind today is one that it was trained
with. Definitions are known by their names and the digests of their text, so that code may move from
module to module: runs that were stored before it moved remain what they are.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from ffcore.config import Experiment, SparsityExperiment
from ffreport.base.code import BODY, Definitions, definitions
from ffreport.base.digests import plugin_digests
from ffreport.data import load

# What trains an experiment of each kind. What loads its data is told by their fingerprint.
ROOTS = {"network": "ffcore.train:train", "sparsity": "ffcore.sparsity.runs:run"}
# Modules that say what is asked for, what goes wrong and where a training goes on from: an edit of
# them leaves results as they are.
APART = ("ffcore.checkpoints", "ffcore.config", "ffcore.errors", "ffcore.files", "ffcore.plugins",
         "ffcore.plugins.trial")  # fmt: skip


def expected(
    experiment: Experiment | SparsityExperiment, code: Definitions | None = None
) -> dict[str, Any]:
    """The entries of a run's provenance by which it is told whether the run is up to date: ``code``
    (a list of ``name digest``), ``data``, and ``plugins`` where it has any.

    Args:
        code: of the package, where it is at hand.
    """
    own = experiment.plugins if isinstance(experiment, Experiment) else {}
    return {
        "code": list(training_code(experiment.kind, code or _code())),
        "data": load.fingerprint(experiment.dataset)[:16],
        **({"plugins": plugin_digests(own.items())} if own else {}),
    }


@cache
def training_code(kind: str, code: Definitions) -> tuple[str, ...]:
    """``name digest`` of every definition that determines the results of a kind of experiment."""
    found = code.reached(ROOTS[kind], leave=APART)
    return tuple(sorted({f"{name} {digest}" for table in found.values()
                         for name, digest in table.items() if name != BODY}))  # fmt: skip


@cache
def _code() -> Definitions:
    """Every definition of the package, as this process started with it."""
    return definitions()
