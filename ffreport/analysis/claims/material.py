"""What a claim is measured on, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from ffreport.analysis.appendix import initialisation, propositions
from ffreport.analysis.estimate import Estimate
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
        estimate: in the claim's unit.
        seeds: of ours behind it.
        published: the same figure of the publication, as text; empty for none.
        elsewhere: how the conditions differ from the published ones; empty where they do not.
        lacking: that it is of a part of what the claim is about; empty where it is of all.
        last: the same of accuracies after the last epoch, where this is of the best.
    """

    dataset: str
    estimate: Estimate
    seeds: int = 0
    published: str = ""
    elsewhere: str = ""
    lacking: str = ""
    last: Estimate | None = None


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
        """Every network of RQ1 after the epochs that all of its data set and seed have."""
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
        """Layer 1 of the runs that nothing but the seed is varied in: the columns of
        ``conditions.of_run``, and ``dataset``, ``loss``, ``optimizer`` and ``seed``."""
        chosen = {run.experiment for run in theorems.runs(self.study)}
        for one in self.study.profile.sparsity:
            if "seed" in one.vary:
                chosen |= {one.base, *one.varied("seed")}
        rows = []
        for e, run in ((theorems.experiment(r), r) for r in self.study.sparsity_runs):
            if e in chosen:
                named = {k: getattr(e, k) for k in ("dataset", "loss", "optimizer", "seed")}
                rows += [{**named, **row} for row in conditions.of_run(run) if row["layer"] == 1]
        return pd.DataFrame(rows)
