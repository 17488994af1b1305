"""Write the measured tables and sentences of the documents from the shipped results.

`python docs/tables.py` fills every block `<!-- NAME -->` … `<!-- / -->` of the documents below; a
test holds that nothing is left to fill.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any

import pandas as pd
from scipy.stats import fisher_exact

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ffreport.analysis import look  # noqa: E402
from ffreport.analysis.claims import ledger as claims  # noqa: E402
from ffreport.analysis.rq1 import accuracy, audit, contrasts, curves, verdicts  # noqa: E402
from ffreport.analysis.rq1 import words as findings  # noqa: E402
from ffreport.analysis.rq2 import latents as rq2  # noqa: E402
from ffreport.analysis.rq2 import structures  # noqa: E402
from ffreport.analysis.rq2 import words as structure_words  # noqa: E402
from ffreport.analysis.sparsity import answers, theorems  # noqa: E402
from ffreport.pipeline import plans  # noqa: E402
from ffreport.runs import shipped  # noqa: E402
from ffreport.study.study import Study, read_profile  # noqa: E402

BLOCK = re.compile(r"<!-- ([\w ]+) -->\n.*?<!-- / -->", re.S)
MOVED = 2.0  # points between two learning curves
LOW = 50.0  # percent: an accuracy that tells a fallen network from a wavering one
SLOW = "proposition_1"  # draws layers of up to 4,000 units for minutes
DOCUMENTS = ("README.md", "REPRODUCTION.md", "docs/results-rq1.md", "docs/results-rq2.md",
             "docs/results-sparsity.md", "docs/speed.md")  # fmt: skip
# What is left to train: the claims that it settles, and the options of `train --profile paper`.
LEFT = (
    ("the comparisons of the grid on MNIST at full length", "--dataset mnist --seeds 0 --only rq1"),
    ("the same; `prototypes`; `stability_over_seeds`", "--dataset mnist --only rq1"),
    ("`polarity_within`, `polarity_balance`", "--only polarity"),
    ("how far the guesses on Polar-FFA matter at the published scale", "--only choices"),
    ("the grid's claims on Fashion-MNIST", "--dataset fashion-mnist --seeds 0 --only rq1"),
    ("the same on KMNIST, and its ten published seeds", "--dataset kmnist --only rq1"),
    ("the same on CIFAR-10", "--dataset cifar-10 --only rq1"),
)
PLAIN = {claims.REPRODUCED: "replicated", claims.NOISE: "partly", claims.CONTRADICTED: "failed",
         claims.NOT_RUN: "open"}  # fmt: skip


def rows(head: str, lines: list[list[str]]) -> str:
    """A Markdown table; ``head`` names its columns, parted by ``|``."""
    columns = [c.strip() for c in head.split("|")]
    cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    table = [columns, ["---"] * len(columns), *cells]
    return (
        "\n".join(f"| {' | '.join(line)} |" for line in table)
        .replace("| --- ", "|---")
        .replace("|--- |", "|---|")
    )


class Material:
    """What a fresh clone has: the shipped tables, and no run of its own."""

    def __init__(self) -> None:
        self.study = Study("paper", results=mkdtemp())

    @cached_property
    def frame(self) -> pd.DataFrame:
        return accuracy.accuracy(self.study)

    @cached_property
    def level(self) -> pd.DataFrame:
        frame = accuracy.accuracy(self.study, level=True)
        there = frame.loc[frame["origin"] != accuracy.NOT_RUN, "dataset"].unique()
        return frame[frame["dataset"].isin(there)]

    @cached_property
    def paths(self) -> pd.DataFrame:
        return curves.networks(self.frame, accuracy.histories(self.study))

    @cached_property
    def ledger(self) -> pd.DataFrame:
        return claims.table(self.study, [c for c in claims.ledger() if c.name != SLOW])

    @cached_property
    def structures(self) -> pd.DataFrame:
        return rq2.structures(self.study)

    @cached_property
    def networks(self) -> list[Any]:
        return list(shipped.read(ROOT / "shipped", "network").values())


def ten_seeds(m: Material) -> str:
    table = verdicts.ten_seeds(m.frame)
    return f"{verdicts.summary(table)}\n\n{verdicts.markdown(table)}"


def grid(m: Material) -> str:
    return f"{findings.grid(m.level)}\n{findings.agreement(contrasts.agreement(m.level))}"


def comparisons(m: Material) -> str:
    table = contrasts.by_accuracy(m.level)
    lines = []
    shown = table[table["low"].notna() & (table["accuracy"] != "selected")]
    for r in shown.to_dict("records"):
        ours = f"{r['difference']:+.1f} [{r['low']:.1f}, {r['high']:.1f}]"
        second, first = (look.level("probability", r[side]).short for side in ("second", "first"))
        lines.append([r["dataset"], f"{second} − {first}",
                      r["accuracy"], ours, f"{r['published_difference']:+.1f}",
                      f"{r['pairs']} of {r['planned']}", f"{r['epochs_run']:.0f}",
                      r["same_direction"]])  # fmt: skip
    return rows("data | difference | accuracy | ours (points) | theirs after as many epochs "
                "| pairs | epochs | same direction", lines)  # fmt: skip


def ledger_rows(found: pd.DataFrame) -> str:
    return rows("claim | data | verdict | in plain words | measured | after the last epoch | "
                "published | seeds | over | what an answer lacks", [
        [f"`{r['claim']}`", r["dataset"], r["verdict"], f"*{plain(r)}*", claims.measured(r),
         r["with_last"] or "–", r["published"] or "–", str(r["seeds"]), r["over"] or "–",
         r["because"] or "–"]
        for r in found.to_dict("records")
    ])  # fmt: skip


def plain(row: Mapping[str, Any]) -> str:
    """A verdict of the ledger in plain words."""
    so_far = "partly" if row["because"].endswith("so far as claimed") else "open"
    return PLAIN.get(row["verdict"], so_far)


def ledger_counts(m: Material) -> str:
    found = m.ledger
    words = Counter(map(plain, found.to_dict("records")))
    said = ", ".join(f"{words[w]} {w}" for w in ("replicated", "partly", "failed", "open"))
    counted = f"The tables below have {len(found)} rows: {claims.counts(found)}."
    return f"{counted} In plain words: {said}."


def quoted(_: Material) -> str:
    lines = []
    for claim in claims.ledger():
        report, _, item = claim.evidence.partition("#")
        kind, _, name = item.partition("-")
        whose = "" if claim.bound_is == "the claim's" else f" (bound: {claim.bound_is})"
        lines.append([f"`{claim.name}`", claim.statement, claim.place,
                      f"{claim.holds} {claim.unit}{whose}",
                      f"{kind} `{name}` of [{report}](notebooks/{report}.ipynb)"])  # fmt: skip
    return rows("claim | what the paper says | where | claimed | evidence", lines)


def formats(m: Material) -> str:
    count = Counter(e.experiment.precision for e in m.networks)
    text = ", ".join(f"{count[p]} in {p}" for p in ("fp32", "tf32", "bf16") if count[p])
    return (
        f"{len(m.networks)} networks and {len(m.study.sparsity_runs)} sparsity runs are shipped; "
        f"of the networks {text}. Those in bf16 are of the old rounding, see the erratum."
    )


def lengths(m: Material) -> str:
    whole = Counter((e.experiment.dataset, e.experiment.epochs, e.experiment.precision)
                    for e in m.networks)  # fmt: skip
    return rows("data | epochs | format | networks", [
        [d, str(n), p, str(k)] for (d, n, p), k in sorted(whole.items())
    ])  # fmt: skip


def guesses(m: Material) -> str:
    lines = []
    for run in sorted(m.study.sparsity_runs, key=theorems.label):
        s = run.summary
        shares = [s[f"theorem2_{side}_satisfied_training"] for side in ("positive", "negative")]
        values = [*shares, s["accuracy"]]
        if run.experiment.loss == "difference" and run.experiment.dataset == "mnist":
            lines.append([theorems.label(run), *(f"{100 * v:.1f}" for v in values)])
    return rows("sparsity run | positives | negatives | test accuracy", lines)


def left(m: Material) -> str:
    past = [SimpleNamespace(experiment=e.experiment, seconds=e.seconds) for e in m.networks
            if e.experiment.precision == "fp32"]  # fmt: skip
    lines = []
    for settles, options in LEFT:
        given = dict(re.findall(r"--(only|dataset|seeds) ([\w-]+)", options))
        planned = read_profile("paper", root=ROOT).networks(given["only"])
        named = [e for e in planned if e.dataset == given.get("dataset", e.dataset)]
        seeds = {int(given["seeds"])} if "seeds" in given else {e.seed for e in named}
        pending = [e for e in named if e.seed in seeds]
        seconds = plans.training(pending, past, processes=2) or 0.0
        lines.append([settles, f"`python pipeline.py train --profile paper {options}`",
                      str(len(pending)), f"{seconds / 3600:.1f}"])  # fmt: skip
    return rows("settles | what to type | networks | hours", lines)


def rounding(_: Material) -> str:
    """What each way to round does to the most unstable network, over seeds."""
    table = pd.read_csv(ROOT / "shipped" / "rounding.csv")
    lines, fallen = [], {"yes": [0, 0], "no": [0, 0]}
    for (what, gradients), part in table.groupby(["rounded", "gradients"], sort=False):
        values = part["accuracy_percent"]
        below = int((values < LOW).sum())
        lines.append([str(what), str(len(values)), f"{values.mean():.1f} ± {values.std():.1f}",
                      str(below)])  # fmt: skip
        fallen[str(gradients)][0] += below
        fallen[str(gradients)][1] += len(values)
    (a, of), (b, others) = fallen["yes"], fallen["no"]
    p = fisher_exact([[a, of - a], [b, others - b]]).pvalue
    said = (
        f"Where a factor of a gradient was rounded, in one way or another, {a} of {of} seeds "
        f"fell below {LOW:g} %; elsewhere {b} of {others} (Fisher's exact test p = {p:.2g})."
    )
    head = f"rounded to bf16 | seeds | mean ± standard deviation (%) | seeds below {LOW:g} %"
    return f"{rows(head, lines)}\n\n{said}"  # fmt: skip


def retrained(_: Material) -> str:
    """What became of networks of the old bf16 that were trained again, from the same seed."""
    table = pd.read_csv(ROOT / "shipped" / "retrained.csv")
    moved = table[table["old_bf16_from_fp32"] > MOVED]
    nearer = (table["fp32_from_published"] < table["old_bf16_from_published"]).sum()
    columns = {"old_bf16_from_fp32": "old bf16 from fp32 (points)",
               "fp32_from_published": "fp32 from theirs",
               "old_bf16_from_published": "old bf16 from theirs", "fp32_last": "last, fp32 (%)",
               "old_bf16_last": "old bf16", "published_last": "theirs"}  # fmt: skip
    lines = [[r["configuration"], *(f"{r[c]:.1f}" for c in columns)]
             for r in moved.to_dict("records")]  # fmt: skip
    return (
        f"{len(table)} networks, seed 0, {table['epochs'].max()} epochs: the old format moved the "
        f"curve by a median of {table['old_bf16_from_fp32'].median():.1f} points, and of "
        f"{len(moved)} networks by more than {MOVED:g}; {nearer} lie nearer to the authors' in "
        f"fp32.\n\n{rows(' | '.join(['configuration', *columns.values()]), lines)}"
    )


def bent(_: Material) -> str:
    """How far each format moves the curves of the 108 configurations, and where it does most."""
    table = pd.read_csv(ROOT / "shipped" / "formats.csv")
    bound = table["other_seed"].quantile(0.95)
    names = {"bf16": "bf16 of today", "old_bf16": "bf16 up to November 2026",
             "other_seed": "fp32, another seed"}  # fmt: skip
    lines = []
    for column, name in names.items():
        far = table.loc[table[column].idxmax()]
        lines.append([name, f"{table[column].median():.1f}", f"{far[column]:.1f}",
                      far["configuration"], str(int((table[column] > bound).sum())),
                      str(int((table[column] > table["other_seed"]).sum()))])  # fmt: skip
    head = ("beside fp32 | median distance (points) | largest | of | farther than 95 % of second "
            f"seeds ({bound:.1f}) | farther than its own second seed")  # fmt: skip
    return rows(head, lines)


def slips(_: Material) -> str:
    return audit.summary(audit.claims())


def theory(m: Material) -> str:
    table = ledger_rows(claims.table(m.study, claims.of_sparsity()))
    return "\n\n".join([table, answers.when(m.study), answers.reach(m.study)])


def latents(m: Material) -> str:
    found = m.structures
    table = structure_words.markdown(rq2.rank_agreement(rq2.latent_measures(m.study)))
    said = [rq2.agreement_rate(found), structure_words.agreement(structures.agreement(found)),
            structure_words.disagreements(found)]  # fmt: skip
    return f"{table}\n\n{' '.join(said)}"


def speeds(part: str) -> Callable[[Material], str]:
    return lambda _: measured(ROOT / "shipped" / f"bench{part}.csv")


def measured(path: Path) -> str:
    """A file of ``bench``."""
    frame = pd.read_csv(path, keep_default_na=False)
    lines = [
        [r["what"], f"{r['value']:.{0 if abs(r['value']) >= 100 else 2}f} {r['unit']}", r["target"]]
        for r in frame.to_dict("records")
    ]
    where = f"{frame['hardware'][0]}; PyTorch {frame['torch'][0]}"
    return rows(f"{where} | measured | target", lines)


# The README's table: a claim, what was published, and where the evidence is told.
SHOWN = (
    ("accuracy_sigmoid", "mnist", "docs/results-rq1.md#ffa-against-polar-ffa"),
    ("accuracy_symmetric", "mnist", "docs/results-rq1.md#ffa-against-polar-ffa"),
    ("failing_symmetric", "mnist", "docs/results-rq1.md#the-grid"),
    ("ten_seeds", "mnist", "docs/results-rq1.md#eighteen-configurations-with-ten-published-seeds"),
    ("ten_seeds", "fashion-mnist",
     "docs/results-rq1.md#eighteen-configurations-with-ten-published-seeds"),
    ("structures", "mnist", "docs/results-rq2.md"),
    ("theorem_1", "mnist", "docs/results-sparsity.md"),
    ("theorem_2_positives", "mnist", "docs/results-sparsity.md"),
    ("prediction", "mnist", "docs/results-sparsity.md"),
)  # fmt: skip


def headlines(m: Material) -> str:
    lines = []
    for name, dataset, link in SHOWN:
        r = m.ledger[(m.ledger["claim"] == name) & (m.ledger["dataset"] == dataset)].iloc[0]
        lines.append([f"[{r['statement']}]({link})", f"{r['claimed']} {r['unit']}",
                      r["published"] or "–", claims.measured(r), f"{dataset}, {r['over']}",
                      r["verdict"]])  # fmt: skip
    return rows("claim | claimed | published | ours | on | verdict", lines)


BLOCKS: dict[str, Callable[[Material], str]] = {
    "findings": headlines,
    "ten seeds": ten_seeds,
    "grid": grid,
    "comparisons": comparisons,
    "curves": lambda m: curves.summary(m.paths),
    "collapses": lambda m: curves.collapses(m.paths),
    "lengths": lengths,
    "rounding": rounding,
    "formats by configuration": bent,
    "trained again": retrained,
    "formats": formats,
    "slips of tables": slips,
    "latents": latents,
    "theory": theory,
    "ledger": lambda m: ledger_rows(m.ledger),
    "ledger counts": ledger_counts,
    "quoted": quoted,
    "guesses": guesses,
    "left": left,
    "speed training": speeds(""),
    "speed latents": speeds("_latents"),
    "speed sparsity": speeds("_sparsity"),
    "speed start": speeds("_start"),
}


def filled(text: str, material: Material) -> str:
    """A document with every block filled.

    Raises:
        KeyError: a block has a name that is none of BLOCKS.
    """
    return BLOCK.sub(
        lambda found: f"<!-- {found[1]} -->\n{BLOCKS[found[1]](material)}\n<!-- / -->", text
    )


def main() -> int:
    material = Material()
    for name in DOCUMENTS:
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        new = filled(text, material)
        if new != text:
            path.write_text(new, encoding="utf-8")
            print(f"{name}: filled")
    return 0


if __name__ == "__main__":
    sys.exit(main())
