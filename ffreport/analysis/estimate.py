"""A measured value with its interval, and the one rule that judges a claim by it.

A verdict has two axes. Its direction follows from the interval alone: as claimed, contrary, or not
decided. Its evidence says how much that is worth: full, partial (and what is lacking), or small
scale (and how the conditions differ from the claimed ones).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

CLAIMED, CONTRARY, OPEN = "as claimed", "contrary", "not decided"
FULL, PARTIAL, SMALL, NONE = "full", "partial", "small scale", "none"
YES, NO = "yes", "no"
ANSWERS = {CLAIMED: YES, CONTRARY: NO}  # the directions in a column that asks a question
# What is lacking, in the words of every table.
NOT_RUN = "not run"
UNPUBLISHED = "nothing published"
NOT_COMPARABLE = "not comparable"
ONE_SEED = "one seed: no verdict"
IN_PART = "trained in part"
TOO_FEW = "too few for an interval"

BAND = 3.0  # published standard deviations on either side of the published mean
ROUNDING = 1e-9  # a bound so near to an end, relative to both, is met: floats are not exact


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval.

    Args:
        value, low, high: in the unit of the caller; NaN for none.
        n: over how many; None where it is not a number of things.
        over: of what, such as ``configurations``.
    """

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int | None = None
    over: str = ""

    @classmethod
    def exact(cls, value: float, over: str = "") -> Estimate:
        """A value without an error."""
        return cls(value, value, value, None, over)

    @classmethod
    def share(cls, hits: int, of: int, over: str = "") -> Estimate:
        """A share in percent, with its Wilson interval."""
        from ffreport.analysis.stats import wilson

        low, high = wilson(hits, of)
        return cls(100 * hits / of if of else math.nan, 100 * low, 100 * high, of, over)

    @classmethod
    def mean(cls, values: Any, over: str = "") -> Estimate:
        """The mean of [n] values, with its t interval; none of one value, nothing of none."""
        import numpy as np

        from ffreport.analysis.stats import t_interval

        x = np.asarray(values, dtype=float)
        return cls(float(x.mean()) if len(x) else math.nan, *t_interval(x), len(x), over)

    @classmethod
    def bootstrap(
        cls, values: Any, statistic: Callable[[Any], Any] | None = None, over: str = ""
    ) -> Estimate:
        """A statistic of [n, …] values, the mean by default, with its bootstrap interval, see
        ``stats.bootstrap_interval``."""
        import numpy as np

        from ffreport.analysis.stats import bootstrap_interval

        x = np.asarray(values)
        value = math.nan
        if len(x):
            value = float(statistic(x[None])[0]) if statistic else float(x.mean(axis=0))
        return cls(value, *bootstrap_interval(x, statistic), len(x), over)

    def within(self, low: float, high: float) -> Estimate:
        """The same with an interval that ends where values do."""
        return replace(self, low=max(self.low, low), high=min(self.high, high))

    def columns(self, name: str, prefix: str = "") -> dict[str, float]:
        """The value under a name, and its interval as ``{prefix}low`` and ``{prefix}high``."""
        return {name: self.value, f"{prefix}low": self.low, f"{prefix}high": self.high}

    def holds(self, point: float) -> bool:
        """Whether the interval holds a value, its ends included."""
        near = _rounding(self, point)
        return self.low - near <= point <= self.high + near

    def __str__(self) -> str:
        """What it is over: ``36 configurations``."""
        return self.over if self.n is None else f"{self.n:,} {self.over}"


@dataclass(frozen=True)
class Verdict:
    """What an estimate says of a claim.

    Args:
        direction: CLAIMED, CONTRARY, or OPEN.
        evidence: FULL, PARTIAL, SMALL, or NONE where nothing was run.
        lacking: why the evidence is not full, in words.
    """

    direction: str = OPEN
    evidence: str = FULL
    lacking: str = ""

    def word(self, names: Mapping[str, str] | None = None) -> str:
        """The direction, by a table's own names of it; what is lacking where the evidence is not
        full."""
        if self.evidence != FULL:
            return self.lacking
        return (names or {}).get(self.direction, self.direction)

    def __str__(self) -> str:
        if self.evidence in (FULL, NONE):
            return self.word()
        return f"{self.direction} ({self.evidence}: {self.lacking})"


def judge(
    estimate: Estimate,
    claimed: float | tuple[float, float],
    *,
    closed: bool = False,
    elsewhere: str = "",
    lacking: str = "",
) -> Verdict:
    """What an estimate says of a claim.

    Args:
        claimed: an interval, infinite on an open side: as claimed where the whole interval of the
            estimate lies in it, contrary where it lies outside. Or a value: as claimed where the
            interval of the estimate holds it, contrary where not.
        closed: whether the ends of the claimed interval belong to it.
        elsewhere: how the conditions differ from those of the claim; empty where they do not.
        lacking: what else the evidence lacks; a missing interval is added to it.
    """
    reasons = [reason for reason in (elsewhere, lacking) if reason]
    if math.isnan(estimate.value) and not reasons:
        return Verdict(OPEN, NONE, NOT_RUN)
    if math.isnan(estimate.low) and not math.isnan(estimate.value):
        reasons.append(TOO_FEW)
    evidence = SMALL if elsewhere else PARTIAL if reasons else FULL
    return Verdict(_direction(estimate, claimed, closed), evidence, ", ".join(reasons))


def decided(true: bool) -> str:
    """CLAIMED or CONTRARY, of a claim that a computation decides without an estimate."""
    return CLAIMED if true else CONTRARY


def beyond_zero(sign: float) -> float | tuple[float, float]:
    """The claim that a difference has the sign of another one."""
    return (0.0, math.inf) if sign > 0 else (-math.inf, 0.0) if sign < 0 else 0.0


def _direction(estimate: Estimate, claimed: float | tuple[float, float], closed: bool) -> str:
    if math.isnan(estimate.low):
        return OPEN
    if not isinstance(claimed, tuple):
        return CLAIMED if estimate.holds(claimed) else CONTRARY
    low, high = claimed
    above, below = _rounding(estimate, low), _rounding(estimate, high)
    if estimate.high < low - above or estimate.low > high + below:
        return CONTRARY
    margin = -1 if closed else 1
    inside = estimate.low > low + margin * above and estimate.high < high - margin * below
    return CLAIMED if inside else OPEN


def _rounding(estimate: Estimate, bound: float) -> float:
    """How near an end of the interval is to a bound that it meets."""
    sizes = [abs(x) for x in (estimate.low, estimate.high, bound) if math.isfinite(x)]
    return ROUNDING * max(sizes, default=0.0)
