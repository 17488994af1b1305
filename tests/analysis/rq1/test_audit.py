"""The audit follows from Table F3: it notices what is there, and nothing that is not."""

import re

import pytest

from ffcore.config import FACTORS
from ffreport.analysis import published
from ffreport.analysis.estimate import CLAIMED, CONTRARY, OPEN
from ffreport.analysis.rq1 import audit

F3 = published.best_accuracy()


def swapped(table=F3):
    """Table F3 with the norms l1 and l2 exchanged."""
    return table.assign(norm=table["norm"].replace({"l1": "l2", "l2": "l1"}))


def claim(table, start):
    (row,) = [r for r in audit.claims(table).to_dict("records") if r["claim"].startswith(start)]
    return row


def test_means_of_all_four_are_the_means_of_the_four():
    found = audit.means("norm").set_index(["datasets", "norm", "probability"])["mean"]
    single = [found[d, "l1", "symmetric"] for d in F3["dataset"].unique()]
    assert found[audit.ALL, "l1", "symmetric"] == pytest.approx(sum(single) / 4)
    assert found["without cifar-10", "l1", "symmetric"] == pytest.approx(sum(single[:3]) / 3)
    assert len(found) == 9 * 9 and len(audit.choices(F3)) == 9
    part = F3[(F3["dataset"] == "mnist") & (F3["norm"] == "l2") & (F3["probability"] == "sigmoid")]
    assert found["mnist", "l2", "sigmoid"] == pytest.approx(part["published_best"].mean())


def test_l1_is_not_best_for_ffa_and_would_be_with_exchanged_rows():
    assert audit.exchanged("l1", "ffa-sigmoid") == "l2"
    row = claim(F3, "The L1 norm is best for FFA")
    assert row["verdict"] == CONTRARY and "‖h‖₁ and ‖h‖₂ were exchanged" in row["follows"]


def test_no_exchange_is_found_where_the_claim_follows():
    assert audit.exchanged("l1", "ffa-sigmoid", table=swapped()) is None
    row = claim(swapped(), "The L1 norm is best for FFA")
    assert row["verdict"] == CLAIMED and "exchanged" not in row["follows"]


def test_ranking_names_the_best_and_its_lead():
    found = audit.ranking("norm").set_index(["datasets", "probability"])
    row = found.loc[("mnist", "ffa-sigmoid")]
    means = audit.means("norm")
    means = means[(means["datasets"] == "mnist") & (means["probability"] == "ffa-sigmoid")]
    first, second = sorted(means["mean"], reverse=True)[:2]
    assert (row["best"], row["mean"]) == ("l2", pytest.approx(first))
    assert row["lead"] == pytest.approx(first - second)


def test_three_data_sets_differ_from_four_unless_all_are_equal():
    found = audit.three_or_four().set_index("datasets")
    assert len(found) == 4 and (found["smallest"] > 0.5).all()
    assert found.loc["without cifar-10", "higher"] == 9
    assert (found["smallest"] <= found["mean"]).all() and (found["mean"] <= found["largest"]).all()
    assert claim(F3, "The caption")["verdict"] == OPEN
    mnist = F3[F3["dataset"] == "mnist"].set_index(list(FACTORS))["published_best"]
    equal = F3.assign(published_best=mnist.loc[list(zip(*(F3[f] for f in FACTORS), strict=True))]
                      .to_numpy())  # fmt: skip
    assert audit.three_or_four(table=equal)["largest"].max() == pytest.approx(0, abs=1e-9)
    assert claim(equal, "The caption")["verdict"] == CONTRARY


def test_table_f3_fits_the_authors_own_seeds_and_a_shifted_one_does_not():
    checks = audit.own_band()
    assert len(checks) == 54 and checks["inside"].all()
    assert claim(F3, "Its one-seed values")["verdict"] == CLAIMED
    moved = F3.assign(published_best=F3["published_best"] - 5)
    outside = audit.own_band(moved)
    assert not outside["inside"].all()
    row = claim(moved, "Its one-seed values")
    assert row["verdict"] == CONTRARY
    assert row["follows"].startswith(f"{(~outside['inside']).sum()} of 54 lie outside")


def test_values_below_a_constant_answer_are_counted():
    row = claim(F3, "At its best epoch")
    assert row["verdict"] == CONTRARY
    assert row["follows"].startswith("9 of 432") and "4.07 (mnist" in row["follows"]
    above = F3.assign(published_best=F3["published_best"].clip(lower=10))
    assert claim(above, "At its best epoch")["verdict"] == CLAIMED


def test_robustness_is_a_claim_that_can_fail():
    assert claim(F3, "Polar-FFA depends less")["verdict"] == CLAIMED
    names = {"ffa-sigmoid": "symmetric", "symmetric": "ffa-sigmoid"}
    other = F3.assign(probability=F3["probability"].replace(names))
    assert claim(other, "Polar-FFA depends less")["verdict"] == CONTRARY


def test_table_f3_is_the_best_of_the_logs_and_a_misprint_would_be_counted(monkeypatch):
    start = "Each value is the largest"
    row = claim(F3, start)
    assert (row["follows"], row["verdict"]) == ("432 of 432 are.", CLAIMED)
    printed = published.table_f3()
    printed.loc[7, "printed"] += 0.01
    monkeypatch.setattr(published, "table_f3", lambda: printed)
    row = claim(F3, start)
    assert (row["follows"], row["verdict"]) == ("431 of 432 are.", CONTRARY)


def test_the_run_that_ended_after_ten_epochs_is_named_and_its_effect_told(monkeypatch):
    row = claim(F3, "Every seed of mnist l2sq-sum-wta-tanh-sigmoid was trained for 50 epochs")
    assert row["verdict"] == CONTRARY
    assert row["follows"] == (
        "One stopped after 10. The published 97.75 ± 0.30 % after the last epoch includes it; "
        "the other 9 have 97.85 ± 0.07 %."
    )
    runs = published.seed_curves()
    monkeypatch.setattr(published, "seed_curves", lambda: runs[runs["curve"].map(len) == 50])
    assert not audit.claims()["claim"].str.startswith("Every seed of").any()


def test_the_misfiled_run_is_far_from_its_folder_and_near_to_where_one_lacks():
    row = claim(F3, "On fashion-mnist the folder of l2sq-mean-none-relu-symmetric")
    assert row["verdict"] == CONTRARY
    assert row["follows"].startswith("It holds 11, and that of l1-sum-wta-tanh-sigmoid 9.")
    far, near = map(float, re.findall(r"([\d.]+) (?:standard deviations|from the mean)",
                                      row["follows"]))  # fmt: skip
    assert (far, near) == (5.2, 1.1)


def test_every_claim_is_a_line_of_the_summary():
    checks = audit.claims()
    lines = audit.summary(checks).splitlines()
    assert len(lines) == len(checks) == 10
    assert all(
        str(v).capitalize() in line for v, line in zip(checks["verdict"], lines, strict=True)
    )
