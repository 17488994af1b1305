"""What a claim is measured on, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from ffreport.analysis.appendix import initialisation, propositions
from ffreport.analysis.rq1 import accuracy, convergence
from ffreport.analysis.rq2 import latents
from ffreport.analysis.sparsity import conditions, theorems
from ffreport.runs.results import Result
from ffreport.study.study import Study


@dataclass(frozen=True)
class Measured:
    """What one data set says of a claim.

    Args:
        dataset: on which.
        value, low, high: in the claim's unit, with the ends of its 95 % interval; NaN for none.
        seeds: of ours behind it.
        over: what the interval is over, such as ``36 pairs of configurations``.
        published: the same figure of the publication, as text; empty for none.
        apart: how this was not measured under the published conditions; empty where it was.
        last: the same of accuracies after the last epoch, where this is of the best.
    """

    dataset: str
    value: float
    low: float
    high: float
    seeds: int
    over: str
    published: str = ""
    apart: str = ""
    last: Measured | None = None


@dataclass(frozen=True)
class Material:
    """A study's frames, each made once for all tests."""

    study: Study

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Every network of RQ1 as it is, see ``accuracy.accuracy``."""
        return accuracy.accuracy(self.study)

    @cached_property
    def level(self) -> pd.DataFrame:
        """Every network of RQ1 after the epochs that all of its data set have."""
        return accuracy.accuracy(self.study, level=True)

    @cached_property
    def speeds(self) -> pd.DataFrame:
        """Convergence of every network, see ``convergence.networks``."""
        return convergence.networks(self.level, accuracy.histories(self.study))

    @cached_property
    def structures(self) -> pd.DataFrame:
        """The measured structure of every network, see ``latents.structures``."""
        return latents.structures(self.study)

    @cached_property
    def records(self) -> dict[str, Result]:
        """Whose latents were measured, by key."""
        return {r.experiment.key: r for r in self.study.measured}

    @cached_property
    def slopes(self) -> pd.DataFrame:
        """``propositions.gradients`` of layers on Gaussian inputs."""
        sizes = initialisation.Sizes(**self.study.profile.propositions.model_dump())

        def compute() -> pd.DataFrame:
            drawn = initialisation.draw(
                sizes, initialisation.gaussian_inputs(sizes), initialisation.RANDOM
            )
            return propositions.gradients([drawn])

        named = self.study.profile.propositions.model_dump(mode="json")
        return self.study.cached("slopes", named, compute)

    @cached_property
    def steps(self) -> pd.DataFrame:
        """Layer 1 of each run on G(H⁻) − G(H⁺) by plain steps: the columns of
        ``conditions.sweep`` over seeds, and ``apart``."""
        swept = conditions.sweep(self.study, "seed")
        rows = [] if swept.empty else swept.to_dict("records")
        seen = {row["key"] for row in rows}
        for run in theorems.runs(self.study):
            if run.experiment.key not in seen:
                named = {"study": theorems.label(run), "value": run.experiment.seed}
                rows += [{**named, **row} for row in conditions.of_run(run)]
        claimed = {run.experiment.key: theorems.experiment(run) for run in self.study.sparsity_runs}
        kept = []
        for row in rows:
            e = claimed[row["key"]]
            if (e.loss, e.optimizer, row["layer"]) == ("difference", "sgd", 1):
                apart = "" if e.dataset == "mnist" else f"on {e.dataset}"
                kept.append({**row, "dataset": e.dataset, "apart": apart})
        return pd.DataFrame(kept)
