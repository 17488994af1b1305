"""The panel of settings that the papers leave open."""

import numpy as np
import pandas as pd
import pytest

from ffreport.analysis.appendix import choices, figures_settings
from ffreport.analysis.estimate import IN_PART, NOT_COMPARABLE
from ffreport.analysis.rq1 import parts, verdicts
from ffreport.study.study import Study, read_profile

BASE = dict(dataset="mnist", configuration="l2-sum-none-relu-sigmoid", norm="l2", aggregation="sum",
            inhibition="none", activation="relu", probability="sigmoid", label_embedding="appended",
            negatives="wrong", theta=2.0, epochs=50, epochs_run=50, origin="own", stopped=False,
            band_last_std=0.1, verdict=verdicts.WITHIN)  # fmt: skip


def row(last, best=None, seed=0, **changes):
    return {**BASE, "seed": seed, "last": last, "best": last if best is None else best, **changes}


def effects(*rows):
    return choices.effects(pd.DataFrame(rows))


def test_each_choice_is_compared_with_the_first_network_and_the_largest_stands_first():
    found = effects(row(98.0, 98.5), row(97.9, negatives="any"), row(90.0, 99.0, theta=4.0))
    assert found["setting"].tolist() == ["theta", "negatives"]
    assert found["difference"].tolist() == pytest.approx([-8, -0.1])
    assert found["difference_best"].tolist() == pytest.approx([0.5, -0.6])
    assert found["choice"].tolist() == ["threshold θ = 4", "negative label: any, even the true one"]
    assert found["instead_of"].tolist() == ["threshold θ = 2", "negative label: always wrong"]


def test_configurations_are_not_compared_with_each_other():
    other = {"configuration": "l1-sum-none-relu-sigmoid", "norm": "l1"}
    rows = row(98.0), row(97.0, theta=4.0), row(50.0, **other), row(53.0, theta=4.0, **other)
    found = effects(*rows)
    assert found["difference"].tolist() == pytest.approx([3, -1])
    assert effects(row(98.0), row(50.0, **other)).empty


def test_seeds_are_paired():
    """Seeds far apart, the same change in each: an unpaired interval would be 60 points wide."""
    rows = [row(base + change, seed=s, **{"theta": 4.0} if change else {})
            for s, base in enumerate((90.0, 50.0, 30.0))
            for change in (0.0, 2.0 + 0.1 * s)]  # fmt: skip
    (found,) = effects(*rows).to_dict("records")
    assert found["seeds"] == 3 and found["interval"] == "seeds"
    assert found["difference"] == pytest.approx(2.1)
    assert 1.8 < found["low"] < 2.1 < found["high"] < 2.4


def test_a_published_spread_is_the_yardstick_where_the_base_was_trained_as_published():
    found = effects(row(98.0), row(97.6, theta=4.0), row(98.2, negatives="any"))
    assert found["threshold"].tolist() == pytest.approx([0.3, 0.3])
    assert found["in_std"].tolist() == pytest.approx([-4, 2])
    assert found["matters"].tolist() == [choices.YES, choices.NO]
    assert "published standard deviations" in choices.findings(found)
    assert "of 2 comparisons of single seeds 0.1 would pass" in choices.findings(found)


@pytest.mark.parametrize("verdict", [NOT_COMPARABLE, IN_PART])
def test_elsewhere_a_point_is_and_the_published_spread_is_not_applied(verdict):
    rows = [row(90.0), row(89.2, theta=4.0), row(70.0, negatives="any")]
    found = effects(*({**r, "verdict": verdict} for r in rows)).set_index("setting")
    assert found["threshold"].tolist() == [choices.POINT] * 2 and found["in_std"].isna().all()
    assert found["matters"].to_dict() == {"negatives": choices.YES, "theta": choices.NO}
    assert "by chance" not in choices.findings(found.reset_index())


def test_a_change_that_a_thousand_images_cannot_show_is_unclear():
    """1.5 points of 90 % have a standard error of 1.4 on mnist-5k, of 0.4 on mnist."""
    rows = [{**row(90.0), "verdict": NOT_COMPARABLE},
            {**row(88.5, theta=4.0), "verdict": NOT_COMPARABLE}]  # fmt: skip
    small = effects(*({**r, "dataset": "mnist-5k"} for r in rows)).iloc[0]
    assert small["matters"] == choices.UNCLEAR and small["interval"] == "test images"
    error = np.sqrt((0.9 * 0.1 + 0.885 * 0.115) / 1000)
    assert small["high"] == pytest.approx(-1.5 + 196 * error, abs=0.01)
    assert effects(*rows).iloc[0]["matters"] == choices.YES


def test_a_large_mean_change_that_seeds_disagree_on_is_unclear():
    rows = []
    for seed, gap in enumerate((9.0, -5.0)):
        rows += [row(90.0, seed=seed), row(90.0 + gap, seed=seed, theta=4.0)]
    assert effects(*rows)["matters"].tolist() == [choices.UNCLEAR]


def test_what_was_not_run_or_trained_for_other_epochs_has_no_difference():
    lacking = {"origin": "not run", "epochs_run": np.nan}
    found = effects(
        row(98.0), row(np.nan, theta=4.0, **lacking), row(97.0, theta=1.0, epochs_run=5),
        row(97.0, negatives="any"),
    )  # fmt: skip
    by = found.set_index("choice")
    assert by.loc["threshold θ = 4", "matters"] == choices.NOT_RUN
    assert by.loc[["threshold θ = 4", "threshold θ = 1"], "difference"].isna().all()
    assert found["choice"].iloc[0].startswith("negative label")
    assert by["base_last"].tolist() == [98.0] * 3
    assert "2 of 3 choices are not run" in choices.findings(found)
    assert choices.by_setting(found)["choices"].tolist() == [1]


def test_nothing_run_is_said():
    found = effects(row(98.0), row(np.nan, theta=4.0, origin="not run", epochs_run=np.nan))
    assert choices.findings(found) == "- No choice was run together with its base."


def test_two_settings_changed_at_once_are_both_named():
    found = effects(row(98.0), row(97.0, theta=4.0, negatives="any"))
    assert found["setting"].item() == "negatives and theta"
    assert "threshold θ = 4" in found["choice"].item() and "even" in found["choice"].item()


def test_settings_are_ranked_by_what_they_can_do():
    table = choices.by_setting(
        effects(row(98.0), row(97.0, theta=4.0), row(88.0, theta=1.0), row(95.0, negatives="any"))
    )
    assert table["setting"].tolist() == ["threshold θ", "negative label"]
    assert table["largest"].tolist() == pytest.approx([10, 3])
    assert table["median"].tolist() == pytest.approx([5.5, 3])
    assert "θ = 1" in table["where"][0]


def test_sentences_name_what_moves_and_bound_the_rest():
    said = choices.findings(effects(row(98.0), row(90.0, theta=4.0), row(98.2, negatives="any")))
    assert "1 of 2 choices moves" in said and "threshold θ = 4 (−8.00)" in said
    assert "The others move it by at most 0.20 points" in said


@pytest.mark.parametrize("name", ["smoke", "quick", "paper"])
def test_every_planned_choice_differs_from_its_base_in_one_setting(name):
    profile = read_profile(name)
    planned = profile.networks("choices")
    frame = pd.DataFrame(
        [{**e.model_dump(), "widths": str(e.widths), "configuration": e.configuration, "last": 90.0,
          "best": 90.0, "epochs_run": e.epochs, "origin": "own", "verdict": verdicts.WITHIN,
          "band_last_std": np.nan} for e in planned]
    )  # fmt: skip
    found = choices.effects(frame, choices.varied(profile))
    bases = sum(len(p.combinations) * len(p.datasets) * len(p.seeds) for p in profile.choices)
    assert len(found) == len(planned) - bases
    assert set(found["setting"]) <= set(choices.SETTINGS)
    assert set(found["setting"]) == set(choices.varied(profile))


def test_values_are_in_words():
    assert choices.words("normalisation", "whole") == "normalisation: the whole layer"
    assert choices.words("theta", 0.5) == "threshold θ = 0.5"
    assert choices.words("learning_rate", 0.01) == "learning rate = 0.01"


def test_the_figure_has_a_row_a_choice_and_says_what_was_not_run():
    other = {"configuration": "l1-sum-none-relu-ffa-sigmoid", "norm": "l1",
             "probability": "ffa-sigmoid"}  # fmt: skip
    found = effects(
        row(98.0), row(90.0, theta=4.0), row(97.9, theta=1.0), row(98.1, negatives="any"),
        row(50.0, **other), row(np.nan, theta=4.0, origin="not run", epochs_run=np.nan, **other),
    )  # fmt: skip
    first, second = figures_settings.choice_effects(found).axes
    assert first.get_title().startswith("FFA") and second.get_title().endswith("mnist: 98.0 %")
    labels = [t.get_text() for t in first.get_yticklabels()]
    assert labels[0].startswith("negative label")
    assert labels[1:] == ["threshold θ = 1", "threshold θ = 4"]
    assert [t.get_text() for t in first.texts] == ["–", "–", "not run"]
    assert second.get_xscale() == "linear" and not second.texts


def test_one_large_change_does_not_hide_the_others():
    small = [row(98.0 + 0.1 * i, theta=float(i)) for i in range(3, 8)]
    axis = figures_settings.choice_effects(effects(row(98.0), *small, row(38.0, theta=1.0))).axes[0]
    assert axis.get_xscale() == "symlog" and "log beyond ±5" in axis.get_xlabel()


def test_the_command_selects_the_profile_and_the_part(tmp_path):
    study = Study("smoke", {"epochs": 1}, results=tmp_path)
    line = "python pipeline.py train --profile smoke --epochs 1 --only choices"
    assert study.profile.command("train", "--only", "choices") == line
    frame = pd.DataFrame([row(98.0), row(97.0, origin="shipped"), row(96.0, epochs_run=3)])
    said = parts.lacking(frame, study, "choices")
    assert said == f"2 of 3 were not trained here as planned; `{line}` trains them."
    assert "Every planned network" in parts.lacking(frame.iloc[:1], study, "choices")
