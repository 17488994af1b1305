"""REPRODUCTION.md says what the shipped results say; its tables cannot drift from them."""

import re
from collections import Counter
from types import SimpleNamespace

import pandas as pd
import pytest

from ffcore import catalogue, claims, predictions, shipped, theorems
from ffcore.study import Study, read_profile
from tests.documents import ROOT, table

TEXT = (ROOT / "REPRODUCTION.md").read_text(encoding="utf-8")
# Draws layers of up to 4,000 units for minutes; `python pipeline.py claims proposition_1` does it.
SLOW = "proposition_1"
PLAIN = {
    claims.REPRODUCED: "replicated",
    claims.NOISE: "partly",
    claims.CONTRADICTED: "failed",
    claims.NOT_RUN: "open",
}


def plain(row: dict) -> str:
    """A verdict of the ledger in the words of the document."""
    so_far = "partly" if row["because"].endswith("so far as claimed") else "open"
    return PLAIN.get(row["verdict"], so_far)


def line(row: dict) -> dict[str, str]:
    """A row of the ledger as the document has it."""
    return {
        "claim": f"`{row['claim']}`", "data": row["dataset"], "verdict": row["verdict"],
        "in plain words": f"*{plain(row)}*", "measured": claims.measured(row),
        "published": row["published"] or "–", "seeds": str(row["seeds"]),
        "over": row["over"] or "–", "what an answer lacks": row["because"] or "–",
    }  # fmt: skip


def markdown(rows: list[dict[str, str]]) -> str:
    """What to put into the document where a comparison fails."""
    cells = [[cell.replace("|", "\\|") for cell in row.values()] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """What a fresh clone has: the shipped tables, and no run of its own."""
    return Study("paper", results=tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def found(study):
    """The ledger's table, but for one claim."""
    return claims.table(study, [c for c in claims.ledger() if c.name != SLOW])


def measured_rows() -> list[dict[str, str]]:
    return table(TEXT, "verdict", "measured", "over")


def test_every_verdict_and_number_is_that_of_the_ledger(found):
    expected = [line(row) for row in found.to_dict("records")]
    written = [row for row in measured_rows() if row["claim"] != f"`{SLOW}`"]
    assert written == expected, f"REPRODUCTION.md should have\n{markdown(expected)}"


def test_the_claim_that_is_not_measured_here_is_told_once_and_as_reproduced():
    (row,) = [row for row in measured_rows() if row["claim"] == f"`{SLOW}`"]
    assert (row["verdict"], row["in plain words"]) == (claims.REPRODUCED, "*replicated*")


def test_the_sentence_of_counts_is_that_of_the_table():
    rows = pd.DataFrame(measured_rows())
    assert f"{len(rows)} rows: {claims.counts(rows)}" in TEXT
    words = Counter(rows["in plain words"].str.strip("*"))
    text = ", ".join(f"{words[word]} {word}" for word in ("replicated", "partly", "failed", "open"))
    assert f"In plain words: {text}." in TEXT


def test_every_claim_is_quoted_with_its_place_bound_and_evidence():
    written = table(TEXT, "what the paper says", "where", "claimed", "evidence")
    assert len(written) == len(claims.ledger())
    reports = {info.name for info in catalogue.catalogue(ROOT / "notebooks")}
    for claim, row in zip(claims.ledger(), written, strict=True):
        report, _, item = claim.evidence.partition("#")
        kind, _, name = item.partition("-")
        whose = "" if claim.bound_is == "the claim's" else f" (bound: {claim.bound_is})"
        assert report in reports
        assert row == {
            "claim": f"`{claim.name}`", "what the paper says": claim.statement,
            "where": claim.place, "claimed": f"{claim.holds} {claim.unit}{whose}",
            "evidence": f"{kind} `{name}` of [{report}](notebooks/{report}.ipynb)",
        }  # fmt: skip


def test_documents_count_what_is_shipped(study):
    networks = list(shipped.read(ROOT / "shipped").values())
    narrow = sum(e.experiment.precision == "bf16" for e in networks)
    runs = len(study.sparsity_runs)
    assert f"{narrow} of the {len(networks)} shipped networks are bf16" in TEXT
    assert f"trains the {runs} runs again" in TEXT
    for name in ("CHECKLIST.md", "CHANGELOG.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert f"{len(networks)} networks and {runs} sparsity runs" in text


def test_what_guesses_about_sparsity_do_is_what_the_shipped_runs_say(study):
    runs = {theorems.label(run): run.summary for run in study.sparsity_runs}
    written = table(TEXT, "sparsity run", "positives", "negatives", "test accuracy")
    assert len(written) > 10
    for row in written:
        summary = runs[row["sparsity run"]]
        shares = {f"{side}s": summary[f"theorem2_{side}_satisfied_training"]
                  for side in ("positive", "negative")}  # fmt: skip
        expected = {**shares, "test accuracy": summary["accuracy"]}
        assert {name: row[name] for name in expected} == {
            name: f"{100 * value:.1f}" for name, value in expected.items()
        }, row["sparsity run"]


def test_networks_and_hours_of_what_is_left_are_counted_and_predicted():
    entries = shipped.read(ROOT / "shipped").values()
    past = [SimpleNamespace(experiment=e.experiment, seconds=e.seconds) for e in entries
            if e.experiment.precision == "bf16"]  # fmt: skip
    written = table(TEXT, "what to type", "networks", "hours")
    assert len(written) > 5
    for row in written:
        given = dict(re.findall(r"--(only|dataset|seeds) ([\w-]+)", row["what to type"]))
        planned = read_profile("paper", root=ROOT).networks(given["only"])
        named = [e for e in planned if e.dataset == given.get("dataset", e.dataset)]
        seeds = {int(given["seeds"])} if "seeds" in given else {e.seed for e in named}
        pending = [e for e in named if e.seed in seeds]
        seconds = predictions.training(pending, past, processes=2)
        assert (row["networks"], row["hours"]) == (str(len(pending)), f"{seconds / 3600:.1f}")
