"""How accuracy depends on the share of positive units (Polar-FFA, appendix E)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ffcore.config import FACTORS, Experiment, levels, make_experiment
from ffreport.analysis import published
from ffreport.analysis.estimate import IN_PART, NOT_COMPARABLE, NOT_RUN, ROUNDING, Estimate, judge
from ffreport.analysis.published import as_published
from ffreport.base.words import bullets, signed
from ffreport.data import sources
from ffreport.study.study import Study

BAND = 8.0  # percentage points: the published band of ±0.08
EPOCHS = 10  # as in appendix E
NEAR = 0.25  # a share of positive units so far from one half, or nearer, is near balance
STUCK = 5.0  # percentage points: who never comes further above chance has not learnt
PROBABILITIES = {"all": "Both probabilities", "sigmoid": "Sigmoid probability",
                 "symmetric": "Symmetric probability"}  # fmt: skip
CONFIGURATION = ["dataset", "configuration", *FACTORS]


def deviations(frame: pd.DataFrame, column: str = "best") -> pd.DataFrame:
    """Accuracy minus its configuration's mean over the shares of positive units.

    Configurations lacking a share, or with shares trained for unequal numbers of epochs, are left
    out; ``left_out`` counts them.

    Args:
        frame: of ``accuracy.accuracy``, of the part ``polarity``.
        column: ``best`` or ``last``, in percent.

    Returns:
        The rows of whole configurations with ``accuracy`` and ``mean`` in percent, ``deviation``
        in percentage points, and ``learns``: whether the configuration's mean is STUCK or more
        above chance.
    """
    kept = frame[_whole(frame, column)].copy()
    kept["accuracy"] = kept[column]
    kept["mean"] = kept.groupby([*CONFIGURATION, "seed"])["accuracy"].transform("mean")
    kept["deviation"] = kept["accuracy"] - kept["mean"]
    chance = kept["dataset"].map(lambda name: 100 / sources.lookup(name).classes).astype(float)
    kept["learns"] = kept["mean"] >= chance + STUCK
    return kept.reset_index(drop=True)


def left_out(frame: pd.DataFrame, column: str = "best") -> str:
    """How many configurations ``deviations`` leaves out, in a sentence."""
    whole = _whole(frame, column).groupby([frame[c] for c in [*CONFIGURATION, "seed"]]).all()
    if whole.all():
        return f"All {len(whole)} configurations have every share of positive units."
    return (
        f"{(~whole).sum()} of {len(whole)} configurations are left out: not every share of "
        "positive units was run, or not for equally many epochs."
    )


def within(found: pd.DataFrame, band: float = BAND) -> Estimate:
    """Percentage of deviations within ± ``band`` percentage points.

    The interval is a bootstrap over configurations, for the results of one are not independent:
    their deviations sum to zero. Each configuration counts the same.
    """
    edge = band * (1 + ROUNDING)
    return over_configurations(100.0 * (found["deviation"].abs() <= edge), found)


def shares(frame: pd.DataFrame, study: Study) -> pd.DataFrame:
    """The published claim for ``best`` and ``last``: all configurations, then those that learn.

    Returns:
        ``accuracy``, ``of``, ``configurations``, ``results``, ``within`` with ``low`` and ``high``
        (percent, see ``within``), ``published``, ``verdict``.
    """
    claim = published.figures()["claims"]["polarity_share"]["value"]
    rows = []
    for column in ("best", "last"):
        found = deviations(frame, column)
        for of, part in (("all", found), ("those that learn", found[found["learns"]])):
            share = within(part)
            said = judge(share, claim, lacking=lacking(frame, study, column))
            rows.append(
                {"accuracy": column, "of": of, "configurations": _count(part),
                 "results": len(part), **share.columns("within"), "published": claim,
                 "verdict": NOT_RUN if np.isnan(share.value) else said.word()}
            )  # fmt: skip
    return pd.DataFrame(rows)


def lacking(frame: pd.DataFrame, study: Study, column: str = "best") -> str:
    """Why the published claim cannot be judged: NOT_COMPARABLE, IN_PART or nothing."""
    if not all(as_in_appendix(e) for e in study.profile.networks("polarity")):
        return NOT_COMPARABLE
    return "" if _planned(frame, column) else IN_PART


def as_in_appendix(experiment: Experiment) -> bool:
    """Whether a network is of appendix E: beside share and epochs, as the paper trains MNIST."""
    usual = {"epochs": 50, "positive_fraction": None}
    other = make_experiment(**{**experiment.model_dump(), **usual})
    return other.dataset == "mnist" and experiment.epochs == EPOCHS and as_published(other)


def balance(found: pd.DataFrame) -> pd.DataFrame:
    """One row a configuration and seed: how its accuracy depends on the share f of positive units.

    Accuracy is fitted by least squares as a + b·|f − ½| + c·(f − ½).

    Args:
        found: of ``deviations``.

    Returns:
        Factors, ``mean``, ``lowest`` and ``highest`` accuracy in percent; ``best_share``, of ties
        all; ``near`` (percent of the best that are NEAR balance); and in percentage points
        ``inequality`` (b times the largest |f − ½|: what the most unequal groups change against
        equal ones) and ``tilt`` (c times the range of f: what the most positive units change
        against the fewest), NaN where the shares do not tell them apart.
    """
    rows = []
    for keys, part in found.groupby([*CONFIGURATION, "seed"], sort=False):
        part = part.sort_values("positive_fraction")
        share, accuracy = part["positive_fraction"].to_numpy(), part["accuracy"].to_numpy()
        top = share[accuracy == accuracy.max()]
        inequality, tilt = _fit(share - 0.5, accuracy)
        rows.append(
            {**dict(zip([*CONFIGURATION, "seed"], keys, strict=True)), "mean": accuracy.mean(),
             "lowest": accuracy.min(), "highest": accuracy.max(),
             "best_share": ", ".join(f"{100 * s:g} %" for s in top),
             "near": 100 * float((abs(top - 0.5) <= NEAR).mean()),
             "inequality": inequality, "tilt": tilt}
        )  # fmt: skip
    columns = [*CONFIGURATION, "seed", "mean", "lowest", "highest", "best_share", "near",
               "inequality", "tilt"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """``within``, ``near``, ``inequality`` and ``tilt`` by probability and activation, with 95 %
    bootstrap intervals over configurations (``…_low``, ``…_high``).

    Args:
        found: of ``deviations``.

    Returns:
        ``probability`` and ``activation`` (``all`` where they are pooled), ``configurations``,
        ``results``, ``spread`` (mean of highest minus lowest accuracy, percentage points) and the
        four measures of ``balance`` and ``within``.
    """
    per = balance(found)
    rows = []
    for named in _groups(found):
        part, fits = (_select(f, named) for f in (found, per))
        row: dict[str, Any] = {**named, "configurations": _count(part), "results": len(part)}
        row["spread"] = (fits["highest"] - fits["lowest"]).mean()
        row |= within(part).columns("within", "within_")
        for measure in ("near", "inequality", "tilt"):
            row |= over_configurations(fits[measure], fits).columns(measure, f"{measure}_")
        rows.append(row)
    return pd.DataFrame(rows)


def grid(frame: pd.DataFrame, column: str = "best") -> pd.DataFrame:
    """Accuracy in percent, or ``not run``: a row a configuration and seed, a column a share of
    positive units."""
    keys = ["dataset", "seed", *FACTORS]
    table = frame.pivot(index=keys, columns="positive_fraction", values=column)
    table = table.reindex(pd.MultiIndex.from_frame(frame[keys].drop_duplicates()))
    table.columns = [f"{100 * share:g} %" for share in table.columns]
    return table.astype(object).where(table.notna(), NOT_RUN).reset_index()


def findings(frame: pd.DataFrame, study: Study) -> str:
    """The claim and the test for balance in computed sentences, as a Markdown list."""
    found = deviations(frame)
    if found.empty:
        return bullets([f"{left_out(frame)} Nothing can be said."])
    table = shares(frame, study).set_index(["accuracy", "of"])
    first = table.loc[("best", "all")]
    lines = [
        f"{first['within']:.0f} % of {first['results']} best accuracies lie within ±{BAND:g} "
        f"percentage points of their configuration's mean{_ends(first, '')}, over "
        f"{first['configurations']} configurations; of the last accuracies "
        f"{table.loc[('last', 'all'), 'within']:.0f} %. Published: about "
        f"{first['published']:.0f} %. Verdict: {first['verdict']}. {left_out(frame)}"
    ]
    stuck = _count(found) - _count(found[found["learns"]])
    if stuck:
        learnt = table.loc[("best", "those that learn")]
        lines.append(
            f"{stuck} of them stay within {STUCK:g} points of chance on average and so inside the "
            f"band by themselves; without them the share is {learnt['within']:.0f} %."
        )
    rows = summary(found)
    expected = 100 * np.mean([abs(f - 0.5) <= NEAR for f in set(found["positive_fraction"])])
    for row in rows[rows["activation"] == "all"].to_dict("records"):
        near = (
            f"The best share of positive units is within {100 * NEAR:g} points of one half for "
            f"{row['near']:.0f} % of the configurations{_ends(row, 'near_')}; {expected:.0f} % "
            "would be if the share made no difference. "
        )
        name = PROBABILITIES.get(row["probability"], row["probability"])
        lines.append(
            f"**{name}**: within the band {row['within']:.0f} %"
            f"{_ends(row, 'within_')}. {near if expected < 100 else ''}"
            f"{_direction(row, 'inequality', 'The most unequal groups', 'equal ones')} "
            f"{_direction(row, 'tilt', 'The most positive units', 'the fewest')}"
        )
    worst = found.loc[found["deviation"].abs().idxmax()]
    lines.append(
        f"The largest deviation is {signed(worst['deviation'], '.1f')} points: "
        f"{worst['configuration']} on {worst['dataset']} with "
        f"{100 * worst['positive_fraction']:g} % positive units."
    )
    return bullets(lines)


def _whole(frame: pd.DataFrame, column: str) -> pd.Series:
    """For each row, whether its configuration has every share, for equally many epochs."""
    groups = frame.groupby([*CONFIGURATION, "seed"])
    several = groups["positive_fraction"].transform("nunique") > 1
    even = groups["epochs_run"].transform("nunique") == 1
    every = groups[column].transform("count") == groups[column].transform("size")
    return every & several & even


def _planned(frame: pd.DataFrame, column: str) -> bool:
    """Whether every planned network is there, trained for the planned epochs."""
    return bool((_whole(frame, column) & (frame["epochs_run"] == frame["epochs"])).all())


def over_configurations(values: pd.Series, of: pd.DataFrame) -> Estimate:
    """Mean over configurations of their means; seeds of one configuration stay together."""
    keys = [of[c] for c in ("dataset", "configuration")]
    return Estimate.bootstrap(values.groupby(keys).mean().to_numpy(float), over="configurations")


def _fit(offset: np.ndarray, accuracy: np.ndarray) -> tuple[float, float]:
    """Change by inequality and by tilt, see ``balance``."""
    design = np.column_stack([np.ones_like(offset), abs(offset), offset])
    if np.linalg.matrix_rank(design) < 3:
        return float("nan"), float("nan")
    _, unequal, tilted = np.linalg.lstsq(design, accuracy)[0]
    return float(unequal * abs(offset).max()), float(tilted * np.ptp(offset))


def _groups(found: pd.DataFrame) -> Iterator[dict[str, str]]:
    """All, each probability, each probability and activation; in the order of FACTORS."""
    probabilities, activations = (levels(f, found[f]) for f in ("probability", "activation"))
    yield {"probability": "all", "activation": "all"}
    for probability in probabilities:
        for activation in ("all", *activations):
            yield {"probability": probability, "activation": activation}


def _select(frame: pd.DataFrame, named: dict[str, str]) -> pd.DataFrame:
    for factor, value in named.items():
        frame = frame if value == "all" else frame[frame[factor] == value]
    return frame


def _count(found: pd.DataFrame) -> int:
    return len(found[["dataset", "configuration", "seed"]].drop_duplicates())


def _ends(row: Any, prefix: str) -> str:
    low, high = row[f"{prefix}low"], row[f"{prefix}high"]
    return "" if np.isnan(low) else f" (95 % interval {low:.0f}–{high:.0f} %)"


def _direction(row: dict[str, Any], measure: str, more: str, less: str) -> str:
    """A sentence on a fitted change and whether its interval excludes zero."""
    change, low, high = (row[f"{measure}{end}"] for end in ("", "_low", "_high"))
    if np.isnan(low):
        return f"{more} change accuracy by {signed(change, '.1f')} points against {less}."
    known = "" if low > 0 or high < 0 else ", an interval that includes zero"
    return (f"{more} change accuracy by {signed(change, '.1f')} points against {less} "
            f"({signed(low, '.1f')} to {signed(high, '.1f')}{known}).")  # fmt: skip
