"""The ledger of claims: each claim of the papers beside what was measured of it, with a verdict."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ffcore.config import build
from ffcore.errors import ConfigError, StoreError, unknown
from ffreport.analysis import estimate
from ffreport.analysis.claims.needs import Lack, Networks
from ffreport.analysis.estimate import Estimate
from ffreport.base.words import count

if TYPE_CHECKING:
    import pandas as pd

    from ffcore.config import AnyExperiment
    from ffreport.analysis.claims.material import Measured
    from ffreport.analysis.claims.needs import Need, Stock
    from ffreport.analysis.estimate import Verdict
    from ffreport.study.study import Study

REPRODUCED, NOISE, CONTRADICTED = "reproduced", "within noise", "contradicted"
UNDERPOWERED, NOT_RUN = "underpowered", estimate.NOT_RUN
VERDICTS = (REPRODUCED, NOISE, CONTRADICTED, UNDERPOWERED, NOT_RUN)
DECIDED = {estimate.CLAIMED: REPRODUCED, estimate.OPEN: NOISE, estimate.CONTRARY: CONTRADICTED}


class Holds(BaseModel):
    """The claimed values: above a bound, below one, or between two."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    above: float | None = None
    below: float | None = None
    between: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _one(self) -> Holds:
        if sum(v is not None for v in (self.above, self.below, self.between)) != 1:
            raise ValueError("give one of above, below and between")
        return self

    @property
    def ends(self) -> tuple[float, float]:
        """The claimed interval; infinite on an open side."""
        if self.between:
            return self.between
        low, high = self.above, self.below
        return (-math.inf if low is None else low, math.inf if high is None else high)

    def __str__(self) -> str:
        if self.between:
            return f"{self.between[0]:g} to {self.between[1]:g}"
        return f"> {self.above:g}" if self.above is not None else f"< {self.below:g}"


class Claim(BaseModel):
    """One claim of a paper, and what settles it; the fields are described in ``ledger.yaml``."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    name: str = Field(pattern=r"^[a-z0-9_]+$")
    short: str
    statement: str
    place: str
    test: str
    arguments: dict[str, Any] = Field(default_factory=dict, alias="with")
    unit: str
    holds: Holds
    bound_is: str = "the claim's"
    seeds: int = Field(ge=0)
    where: Literal["paper", "anywhere"]
    networks: Networks
    evidence: str = Field(pattern=r"^[a-z0-9_]+#(figure|table)-[a-z0-9_]+$")
    paper: str = ""
    source: str = ""
    counted: bool = True

    @property
    def link(self) -> str:
        """Address of the evidence, from another page of the same report."""
        report, _, item = self.evidence.partition("#")
        return f"{report}.html#{item}"


def ledger() -> tuple[Claim, ...]:
    """Every claim that is counted, in the order of the file.

    Raises:
        ConfigError: an unknown key or test, or two claims of one name.
    """
    return tuple(claim for claim in every() if claim.counted)


def of_sparsity() -> tuple[Claim, ...]:
    """The claims of the theory of sparsity, and what is told beside them."""
    return tuple(claim for claim in every() if claim.networks == "theory")


@cache
def every() -> tuple[Claim, ...]:
    """The claims of ``ledger``, and those that are not counted; it raises the same."""
    text = resources.files(__package__).joinpath("ledger.yaml").read_text(encoding="utf-8")
    return read(yaml.safe_load(text))


def read(content: Any) -> tuple[Claim, ...]:
    """The claims of a parsed ledger file, see ``ledger``; it raises the same."""
    found: dict[str, Claim] = {}
    groups = content.values() if isinstance(content, Mapping) else [content]
    for group in groups:
        if not isinstance(group, Mapping) or not {"title", "source", "claims"} <= {*group}:
            raise ConfigError("each paper of a ledger has a title, a source and claims")
        common = group.get("common", {})
        if not isinstance(common, Mapping):
            raise ConfigError(f"what claims have in common is a mapping; it is {common!r:.60}")
        for values in group["claims"] if isinstance(group["claims"], list) else [None]:
            if not isinstance(values, Mapping):
                raise ConfigError(f"a claim is a mapping of keys; it is {values!r:.60}")
            named = {**common, **values, "paper": group["title"], "source": group["source"]}
            claim = build(Claim, named, f"claim {values.get('name', '?')!r}, ")
            if claim.name in found:
                raise unknown("claim, for the name is taken", claim.name, ["another name"])
            found[claim.name] = claim
    return tuple(found.values())


def judge(claim: Claim, measured: Measured) -> Verdict:
    """What was measured says of a claim.

    Seeds and conditions come first: what was measured in another place cannot settle a claim,
    however clear it is.
    """
    lacking = [measured.lacking] if measured.lacking else []
    if measured.seeds < claim.seeds and not math.isnan(measured.estimate.value):
        lacking.append(f"{measured.seeds} of {claim.seeds} seeds")
    elsewhere = measured.elsewhere if claim.where == "paper" else ""
    return estimate.judge(
        measured.estimate, claim.holds.ends, elsewhere=elsewhere, lacking=", ".join(lacking)
    )


def word(verdict: Verdict) -> str:
    """One of VERDICTS."""
    if verdict.evidence == estimate.NONE:
        return NOT_RUN
    return DECIDED[verdict.direction] if verdict.evidence == estimate.FULL else UNDERPOWERED


def table(study: Study, claims: Sequence[Claim] | None = None) -> pd.DataFrame:
    """Every claim beside what a study has of it: a row a claim and data set.

    Returns:
        ``claim``, ``paper``, ``short``, ``statement``, ``verdict``, ``dataset``, ``value`` with its
        95 % interval ``low`` and ``high``, ``unit``, ``claimed``, ``bound`` (whose it is),
        ``published``, ``with_last`` (the same of accuracies after the last epoch, and the verdict
        where that is another), ``seeds``, ``over`` (what the interval is over: ``n`` of what),
        ``n``, ``needs``,
        ``because`` (of an *underpowered*: what is lacking, and where the interval lies so far),
        ``lacking`` (of an open one: which trainings would settle it), ``evidence``.
    """
    import pandas as pd

    from ffreport.analysis.claims.material import Material

    material = Material(study)
    rows = [row for claim in claims or ledger() for row in _rows(claim, material)]
    frame = pd.DataFrame(rows)
    words = [one.words for one in lacks(study, frame)]
    frame.insert(frame.columns.get_loc("evidence"), "lacking", words)
    return frame


def lacks(study: Study, found: pd.DataFrame) -> list[Lack]:
    """What each row of a frame of ``table`` lacks; nothing where it is decided."""
    from ffreport.analysis.claims import needs

    profile = study.profile
    planned: list[AnyExperiment] = [*profile.networks("rq1", "polarity"), *profile.sparsity_runs()]
    there = needs.stock(planned, study.results)
    needed = needs.needs(ledger(), profile, there)
    claims, parts = {claim.name: claim for claim in every()}, needs.parts(profile)
    return [_lack(claims[row["claim"]], row, needed, there, parts)
            for row in found.to_dict("records")]  # fmt: skip


def _lack(
    claim: Claim, row: Mapping[str, Any], needed: Sequence[Need], there: Stock,
    parts: Mapping[AnyExperiment, str],
) -> Lack:  # fmt: skip
    from ffreport.analysis.claims import needs

    if row["verdict"] in (REPRODUCED, CONTRADICTED) or not claim.counted:
        return Lack((), "")
    if claim.networks == "none":
        return Lack((), "nothing to train: more draws, `propositions` in the profile")
    # Where nothing was measured there is no data set: the first that the profile plans.
    same = [n for n in needed if n.claim == claim.name and row["dataset"] in (n.dataset, "–")]
    if claim.test == "within_bands" and row["verdict"] == NOISE:
        best = Estimate.share(int(row["n"]), int(row["n"]), "configurations")
        if best.low <= claim.holds.ends[0]:
            return Lack((), f"more seeds cannot reproduce it under this test: the interval of "
                            f"{best.n} of {best} would begin at {best.low:.0f} %")  # fmt: skip
    return needs.lack(next(iter(same), None), there, row["verdict"] == NOISE, parts)


def counts(found: pd.DataFrame) -> str:
    """``7 reproduced, 2 within noise, …``, of a frame of ``table``."""
    number = Counter(found["verdict"])
    return ", ".join(f"{number[v]} {v}" for v in VERDICTS if number[v])


def markdown(found: pd.DataFrame) -> str:
    """A frame of ``table`` as a Markdown table with links to the evidence, a paper after the
    other."""
    links = {claim.name: claim.link for claim in every()}
    lines = []
    for paper, part in found.groupby("paper", sort=False):
        lines += ["", f"**{paper}**", "",
                  "| verdict | claim | measured | last epoch | claimed | on | seeds | over "
                  "| because |", "|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
        for r in part.to_dict("records"):
            bound = "" if r["bound"] == Claim.model_fields["bound_is"].default else r["bound"]
            cells = [f"**{r['verdict']}**", f"[{r['statement']}]({links[r['claim']]})", measured(r),
                     r["with_last"],
                     f"{r['claimed']} {r['unit']}{f' (bound: {bound})' if bound else ''}",
                     r["dataset"], str(r["seeds"]), r["over"], r["because"]]  # fmt: skip
            lines.append(f"| {' | '.join(c.replace('|', chr(92) + '|') for c in cells)} |")
    return "\n".join(lines)


def plain(found: pd.DataFrame, here: Sequence[str] = ()) -> str:
    """A frame of ``table`` in lines for a terminal.

    Args:
        here: how long what each row lacks would take, in words; it is of a machine, and no part of
            the table that reports show.
    """
    lines: list[str] = []
    took = dict(zip(found.index, here, strict=False))
    for (paper, claim), part in found.groupby(["paper", "claim"], sort=False):
        if not any(line == paper for line in lines):
            lines.append(paper)
        lines.append(f"  {claim}: {part['statement'].iloc[0]}")
        for number, r in zip(part.index, part.to_dict("records"), strict=True):
            seeds = f"{count(r['seeds'], 'seed')}, " if r["seeds"] else ""
            because = f"; {r['because']}" if r["because"] else ""
            lines.append(
                f"    {r['verdict']:13} {r['dataset']}: {measured(r)} {r['unit']}, claimed "
                f"{r['claimed']} ({seeds}{r['over'] or 'nothing'}{because})"
            )
            if r["with_last"]:
                lines.append(f"    {'':13} after the last epoch instead of the best: "
                             f"{r['with_last']}")  # fmt: skip
            if r["lacking"]:
                time = f": {took[number]}" if took.get(number) else ""
                lines.append(f"    {'':13} lacking: {r['lacking']}{time}")
        lines.append(f"    {'evidence':13} {part['evidence'].iloc[0]}")
    return "\n".join(lines)


def measured(row: Mapping[str, Any]) -> str:
    """``+17.1 [4.3, 29.8]`` of a row of ``table``; a dash where there is nothing."""
    if math.isnan(row["value"]):
        return "–"
    digits = ".3g" if max(abs(row["value"]), abs(row["high"])) < 1 else ".1f"
    digits = ".3f" if 99.9 < row["value"] < 100.1 and row["low"] > 99 else digits
    text = f"{row['value']:{digits}}"
    if math.isnan(row["low"]) or row["low"] == row["high"]:
        return text
    return f"{text} [{row['low']:{digits}}, {row['high']:{digits}}]"


def _rows(claim: Claim, material: Any) -> Iterator[dict[str, Any]]:
    from ffreport.analysis.claims import networks as claim_networks
    from ffreport.analysis.claims import theory
    from ffreport.analysis.claims.material import Measured

    tests = {**claim_networks.TESTS, **theory.TESTS}

    if claim.test not in tests:
        raise unknown(f"test of claim {claim.name}", claim.test, tests)
    try:
        found = list(tests[claim.test](material, **claim.arguments))
    except StoreError:
        found = []
    # What can settle the claim comes first.
    found.sort(key=lambda one: bool(one.elsewhere or one.lacking))
    for one in found or [Measured("–", Estimate())]:
        verdict = judge(claim, one)
        yield {
            "claim": claim.name, "paper": claim.paper, "short": claim.short,
            "statement": claim.statement, "verdict": word(verdict), "dataset": one.dataset,
            **one.estimate.columns("value"), "unit": claim.unit, "claimed": str(claim.holds),
            "bound": claim.bound_is, "published": one.published,
            "with_last": _with_last(claim, one, word(verdict)), "seeds": one.seeds,
            "over": str(one.estimate), "n": one.estimate.n, "needs": _needs(claim),
            "because": _because(verdict, one.estimate), "evidence": claim.evidence,
        }  # fmt: skip


def _with_last(claim: Claim, one: Measured, verdict: str) -> str:
    if one.last is None:
        return ""
    other = word(judge(claim, replace(one, estimate=one.last)))
    return measured(one.last.columns("value")) + ("" if other == verdict else f", {other}")


def _needs(claim: Claim) -> str:
    seeds = count(claim.seeds, "seed") if claim.seeds else "no training"
    return seeds if claim.where == "anywhere" else f"{seeds}, published conditions"


def _because(verdict: Verdict, found: Estimate) -> str:
    """What an answer lacks, and where the interval lies so far."""
    if verdict.evidence in (estimate.FULL, estimate.NONE):
        return "no result" if verdict.evidence == estimate.NONE else ""
    if math.isnan(found.value):
        return f"{verdict.lacking}; nothing to compare"
    if math.isnan(found.low):
        return verdict.lacking
    return f"{verdict.lacking}; so far {verdict.direction}"
