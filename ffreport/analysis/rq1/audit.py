"""What the published Table F3 says of the paper's other tables; computed from its 432 values.

The printed values of Tables F1 and F2 are not in the project. What they claim is quoted from our
notes on the paper; what follows from Table F3 is computed here.
"""

from __future__ import annotations

from itertools import combinations

import pandas as pd

from ffcore.config import FACTORS
from ffreport.analysis import look, published
from ffreport.analysis.estimate import CONTRARY, OPEN, UNPUBLISHED, decided
from ffreport.analysis.rq1.contrasts import NEVER
from ffreport.analysis.rq1.verdicts import WITHIN, in_band
from ffreport.base import words

ALL = "all four"
LEAST = {"mnist": 8.92}  # percent: share of the rarest class, 10 where classes are equal
KEYS = ["dataset", *FACTORS]


def means(factor: str, table: pd.DataFrame | None = None) -> pd.DataFrame:
    """What Table F1 (``norm``) or F2 (``activation``) should say by Table F3.

    Args:
        table: of ``published.best_accuracy``, which is the default.

    Returns:
        A row a choice of data sets (each one, ``all four``, and each three as ``without …``),
        level and probability: ``datasets``, the factor, ``probability``, ``values`` averaged,
        ``mean`` in percent. Every data set weighs the same.
    """
    table = published.best_accuracy() if table is None else table
    rows = []
    for name, chosen in choices(table).items():
        part = table[table["dataset"].isin(chosen)]
        found = part.groupby([factor, "probability"])["published_best"].agg(["size", "mean"])
        for level in FACTORS[factor]:
            for probability in FACTORS["probability"]:
                size, mean = found.loc[(level, probability)]
                rows.append({"datasets": name, factor: level, "probability": probability,
                             "values": int(size), "mean": mean})  # fmt: skip
    return pd.DataFrame(rows)


def choices(table: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """The choices of data sets that a mean may be over, by name."""
    every = tuple(table["dataset"].unique())
    threes = {f"without {(set(every) - set(c)).pop()}": c
              for c in combinations(every, len(every) - 1)}  # fmt: skip
    return {**{d: (d,) for d in every}, ALL: every, **threes}


def ranking(factor: str, table: pd.DataFrame | None = None) -> pd.DataFrame:
    """The best level of a factor for each choice of data sets and each probability: ``best``, its
    ``mean`` in percent, ``second`` and the ``lead`` over it in percentage points."""
    rows = []
    grouped = means(factor, table).groupby(["datasets", "probability"], sort=False)
    for (name, probability), part in grouped:
        first, second = part.sort_values("mean", ascending=False).head(2).to_dict("records")
        rows.append({"datasets": name, "probability": probability, "best": first[factor],
                     "mean": first["mean"], "second": second[factor],
                     "lead": first["mean"] - second["mean"]})  # fmt: skip
    return pd.DataFrame(rows)


def exchanged(
    claimed: str, probability: str, factor: str = "norm", table: pd.DataFrame | None = None
) -> str | None:
    """The level whose row of a table of means over all data sets would have to stand in the place
    of a claimed best level's for the claim to follow; None where it follows as it is."""
    found = ranking(factor, table)
    row = found[(found["datasets"] == ALL) & (found["probability"] == probability)].iloc[0]
    return None if row["best"] == claimed else str(row["best"])


def three_or_four(factor: str = "activation", table: pd.DataFrame | None = None) -> pd.DataFrame:
    """How far the mean over three data sets is from the mean over all four, cell by cell.

    Returns:
        A row a choice of three: ``datasets``, ``smallest``, ``mean`` and ``largest`` absolute
        difference over the nine cells of the table, in percentage points, and ``higher``: cells
        in which the mean of three is the larger.
    """
    cells = means(factor, table).pivot_table(
        index="datasets", columns=[factor, "probability"], values="mean", sort=False
    )
    gaps = cells.loc[[n for n in cells.index if n.startswith("without")]] - cells.loc[ALL]
    return pd.DataFrame(
        {"datasets": gaps.index, "smallest": gaps.abs().min(axis=1).to_numpy(),
         "mean": gaps.abs().mean(axis=1).to_numpy(), "largest": gaps.abs().max(axis=1).to_numpy(),
         "higher": (gaps > 0).sum(axis=1).to_numpy()}
    )  # fmt: skip


def own_band(table: pd.DataFrame | None = None, seeds: pd.DataFrame | None = None) -> pd.DataFrame:
    """The paper against itself: Table F3 beside the mean and standard deviation of the best
    accuracy over the authors' ten seeds of the same configuration.

    Returns:
        54 rows: data set, factors, ``published_best``, ``best_mean``, ``best_std`` in percent,
        ``z`` (difference in standard deviations) and ``inside`` (at most BAND of them).
    """
    table = published.best_accuracy() if table is None else table
    seeds = published.ten_seeds() if seeds is None else seeds
    both = seeds[[*KEYS, "best_mean", "best_std"]].merge(table, on=KEYS, validate="one_to_one")
    both["z"] = (both["published_best"] - both["best_mean"]) / both["best_std"]
    values = both[["published_best", "best_mean", "best_std"]].to_numpy()
    both["inside"] = [in_band(*row) == WITHIN for row in values]
    return both[[*KEYS, "published_best", "best_mean", "best_std", "z", "inside"]]


def claims(table: pd.DataFrame | None = None) -> pd.DataFrame:
    """Every check in a row: ``table``, ``claim`` (as our notes on the paper quote it), ``follows``
    (what Table F3 gives), ``verdict``."""
    table = published.best_accuracy() if table is None else table
    rows = [_norm(table, p) for p in FACTORS["probability"]]
    rows += [_datasets(table), _consistent(table), _guessing(table), _robust(table)]
    rows += [_logged(), *_short_runs(), *_misfiled()]
    return pd.DataFrame(rows, columns=["table", "claim", "follows", "verdict"])


def summary(table: pd.DataFrame) -> str:
    """A frame of ``claims`` as a Markdown list."""
    return words.bullets(
        f"**{row['table']}.** {row['claim']} *{row['verdict'].capitalize()}.* {row['follows']}"
        for row in table.to_dict("records")
    )


def _norm(table: pd.DataFrame, probability: str) -> dict[str, str]:
    found = means("norm", table)
    found = found[(found["datasets"] == ALL) & (found["probability"] == probability)]
    norms = look.LEVELS["norm"]
    values = ", ".join(
        f"{norms[n].name} {m:.2f}" for n, m in found.set_index("norm")["mean"].items()
    )
    best = ranking("norm", table)
    best = best[best["probability"] == probability].set_index("datasets")
    lead, rule = best.loc[ALL], look.level("probability", probability).short
    singles = [d for d in best.index if d != ALL and not d.startswith("without")]
    agree = [d for d in singles if best.loc[d, "best"] == lead["best"]]
    rest = [f"{d} ({norms[best.loc[d, 'best']].name})" for d in singles if d not in agree]
    text = (
        f"Means over all four data sets: {values} %. {norms[lead['best']].name} leads by "
        f"{lead['lead']:.2f} points; it is best on {', '.join(agree) or 'none by itself'}"
        f"{', not on ' + ', '.join(rest) if rest else ''}."
    )
    if probability != "ffa-sigmoid":
        return {"table": "F1", "claim": f"Which norm is best for {rule}.", "follows": text,
                "verdict": UNPUBLISHED}  # fmt: skip
    other = exchanged("l1", probability, table=table)
    if other:
        text += (
            f" The statement would follow if the rows of {norms['l1'].name} and "
            f"{norms[other].name} were exchanged."
        )
    return {"table": "F1", "claim": f"The L1 norm is best for {rule}.", "follows": text,
            "verdict": decided(not other)}  # fmt: skip


def _datasets(table: pd.DataFrame) -> dict[str, str]:
    found = three_or_four(table=table)
    parts = [
        f"{r['datasets']} {r['smallest']:.2f} to {r['largest']:.2f} (higher in {r['higher']} of 9)"
        for r in found.to_dict("records")
    ]
    apart = found["smallest"].min() >= 0.01
    text = (
        "Means of three data sets differ from the mean of four in every cell; absolute "
        f"differences in points: {'; '.join(parts)}."
        if apart else "In some cell the means of three and of four data sets cannot be told apart."
    )  # fmt: skip
    return {"table": "F2", "claim": "The caption names four data sets; the values are means of "
            "three.", "follows": text,
            "verdict": OPEN if apart else CONTRARY}  # fmt: skip


def _consistent(table: pd.DataFrame) -> dict[str, str]:
    checks = own_band(table)
    outside = checks[~checks["inside"]].sort_values("z", key=abs, ascending=False)
    listed = [
        f"{r['dataset']} {words.configuration(r)}: {r['published_best']:.2f} against "
        f"{r['best_mean']:.2f} ± {r['best_std']:.2f}, z = {r['z']:+.1f}"
        for r in outside.to_dict("records")
    ]
    text = f"{len(outside)} of {len(checks)} lie outside" + (
        f" ({'; '.join(listed)})." if listed else "."
    )
    return {"table": "F3", "claim": "Its one-seed values lie within three standard deviations of "
            "the mean of the authors' own ten seeds.", "follows": text,
            "verdict": decided(outside.empty)}  # fmt: skip


def _guessing(table: pd.DataFrame) -> dict[str, str]:
    least = table["dataset"].map(lambda name: LEAST.get(name, 10.0))
    below = table[table["published_best"] < least].sort_values("published_best")
    listed = ", ".join(
        f"{r['published_best']:.2f} ({r['dataset']} {words.configuration(r)})"
        for r in below.to_dict("records")
    )
    text = f"{len(below)} of {len(table)} values are lower" + (f": {listed}." if listed else ".")
    return {"table": "F3", "claim": "At its best epoch no network is worse than the worst constant "
            "answer (the share of the rarest class).", "follows": text,
            "verdict": decided(below.empty)}  # fmt: skip


def _robust(table: pd.DataFrame) -> dict[str, str]:
    groups = table.groupby("probability")["published_best"]
    never = groups.apply(lambda v: int((v < NEVER).sum()))
    spread = table.groupby(["dataset", "probability"])["published_best"].std().unstack().mean()
    parts = [
        f"{seen.short} {never[p]} of {len(groups.get_group(p))} below {NEVER:g} %, standard "
        f"deviation over configurations {spread[p]:.1f} points"
        for p, seen in look.LEVELS["probability"].items()
    ]
    ffa = FACTORS["probability"][0]
    polar = [p for p in FACTORS["probability"] if p != ffa]
    holds = all(never[p] < never[ffa] and spread[p] < spread[ffa] for p in polar)
    return {"table": "F3", "claim": "Polar-FFA depends less on activation, goodness and "
            "probability than FFA.", "follows": f"{'; '.join(parts)}.",
            "verdict": decided(holds)}  # fmt: skip


def _logged() -> dict[str, str]:
    found = published.best_accuracy().merge(published.table_f3(), on=KEYS)
    same = int((found["published_best"] - found["printed"]).abs().lt(0.005).sum())
    return {"table": "F3", "claim": "Each value is the largest of that run's learning curve in the "
            "authors' logs.", "follows": f"{same} of {len(found)} are.",
            "verdict": decided(same == len(found))}  # fmt: skip


def _short_runs() -> list[dict[str, str]]:
    """Runs over seeds that ended before the others of their folder."""
    rows = []
    for key, runs in published.seed_curves().groupby(KEYS, sort=False)["curve"]:
        length = runs.map(len)
        for epochs in length[length < length.max()]:
            last = runs.map(lambda curve: curve[-1])
            rest = last[length == length.max()]
            text = (
                f"The published {last.mean():.2f} ± {last.std():.2f} % after the last epoch "
                f"includes it; the other {len(rest)} have {rest.mean():.2f} ± {rest.std():.2f} %."
            )
            rows.append({"table": "seeds", "claim": f"Every seed of {key[0]} {'-'.join(key[1:])} "
                         f"was trained for {length.max()} epochs.",
                         "follows": f"One stopped after {epochs}. {text}",
                         "verdict": CONTRARY})  # fmt: skip
    return rows


def _misfiled() -> list[dict[str, str]]:
    """Runs that lie in the folder of another configuration: as far from the runs beside them as
    they are near to those of a configuration that lacks one."""
    rows = []
    seeds = published.seed_curves()
    names = seeds[list(FACTORS)].agg("-".join, axis=1)
    for slip in published.figures()["ten_seeds"]["misfiled"]:
        here = (seeds["dataset"] == slip["dataset"]) & (names == slip["configuration"])
        theirs = (seeds["dataset"] == slip["dataset"]) & (names == slip["of"])
        value = seeds.loc[here & seeds["misfiled"], "curve"].map(max).item()
        parts = [seeds.loc[s & ~seeds["misfiled"], "curve"].map(max) for s in (here, theirs)]
        z = [(value - part.mean()) / part.std() for part in parts]
        rows.append({"table": "seeds", "claim": f"On {slip['dataset']} the folder of "
                     f"{slip['configuration']} holds runs of that configuration.",
                     "follows": f"It holds {len(parts[0]) + 1}, and that of {slip['of']} "
                     f"{len(parts[1])}. Run {slip['run']} has {value:.2f} % at its best, "
                     f"{abs(z[0]):.1f} standard deviations from the others beside it and "
                     f"{abs(z[1]):.1f} from the mean of {slip['of']}. It is left out here.",
                     "verdict": CONTRARY})  # fmt: skip
    return rows
