"""The frames that notebooks show, from real small runs."""

import pandas as pd
import pytest

from ffcore.config import FACTORS
from ffcore.errors import StoreError
from ffreport.analysis import estimate, published
from ffreport.analysis.published import as_published
from ffreport.analysis.rq1 import accuracy, verdicts
from ffreport.analysis.rq2 import latents
from ffreport.analysis.sparsity import geometry, theorems
from ffreport.runs.store import Store
from ffreport.study.study import Study, identity
from tests.conftest import tiny, train_into


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The smoke profile, trained in this process."""
    results = tmp_path_factory.mktemp("study")
    found = Study("smoke", results=results)
    train_into(Store(results), [*found.profile.networks(), *found.profile.sparsity_runs()])
    return found


def test_accuracy_has_a_row_a_network_with_the_published_value_beside(study):
    frame = accuracy.accuracy(study)
    assert len(frame) == len(study.networks) == 13
    assert (frame["best"] >= frame["last"]).all() and frame["best"].between(0, 100).all()
    row = frame.set_index(list(FACTORS)).loc[("l2", "sum", "none", "relu", "sigmoid")]
    assert row["epochs_run"] == 3
    # Theirs after one, two and three epochs: 89.93, 93.18, 94.21.
    assert row["published_best"] == row["published_last"] == 94.21
    assert row["difference"] == pytest.approx(row["best"] - 94.21)
    band = published.ten_seeds(3).set_index(["dataset", *FACTORS])
    band = band.loc[("mnist", "l2", "sum", "none", "relu", "sigmoid")]
    for ours, theirs in (("band_last", "last_mean"), ("band_last_std", "last_std"),
                         ("band_best", "best_mean"), ("band_best_std", "best_std")):  # fmt: skip
        assert row[ours] == band[theirs]
    assert set(frame["verdict"]) == {estimate.NOT_COMPARABLE}


def test_means_are_over_the_configurations_of_a_level(study):
    frame = accuracy.accuracy(study)
    found = accuracy.means(frame, "activation").set_index(["activation", "probability"])
    part = frame[(frame["activation"] == "tanh") & (frame["probability"] == "symmetric")]
    assert found.loc[("tanh", "symmetric"), "best_mean"] == pytest.approx(part["best"].mean())
    assert found["networks"].sum() == len(frame)


def test_a_configuration_counts_once_in_a_mean_however_many_seeds_it_has(study):
    frame = accuracy.accuracy(study)
    again = frame[frame["configuration"] == "l2-sum-none-relu-ffa-sigmoid"].assign(seed=1)
    lacking = frame[frame["activation"] == "tanh"].assign(
        origin=accuracy.NOT_RUN, best=float("nan")
    )
    frame = pd.concat([frame[frame["activation"] != "tanh"], lacking, again])
    found = accuracy.means(frame, "norm").set_index(["norm", "probability"])
    row = found.loc[("l2", "ffa-sigmoid")]
    assert (row["networks"], row["planned"], row["origin"]) == (2, 3, "own")
    part = frame[(frame["norm"] == "l2") & (frame["probability"] == "ffa-sigmoid")]
    part = part.drop_duplicates("configuration")
    assert row["best_mean"] == pytest.approx(part["best"].mean())
    ran = part[part["best"].notna()]
    assert row["published_mean"] == pytest.approx(ran["published_best"].mean())
    assert row["published_all"] == pytest.approx(part["published_best"].mean())
    assert row["published_mean"] != row["published_all"]


def test_every_class_is_among_the_latents_and_one_in_ten_is_positive(study):
    found = latents.latents(study, study.networks[0])
    assert found.values.shape == (640, 48) and found.positive.mean() == 0.1
    assert set(found.true_class) == set(range(10))
    assert (found.positive == (found.label == found.true_class)).all()


def test_measures_and_structures_belong_to_their_own_network(study):
    """Networks that never learn have the same files: their rows must not be each other's."""
    for frame in (latents.latent_measures(study), latents.structures(study)):
        assert frame["key"].tolist() == [r.experiment.key for r in study.networks]
        for row, run in zip(frame.to_dict("records"), study.networks, strict=True):
            assert identity(run).items() <= row.items()


def test_what_is_kept_by_content_is_read_back_and_not_made_again(study, monkeypatch):
    first = latents.persistence(study, study.networks[0])
    monkeypatch.setattr(latents, "latents", None)
    pd.testing.assert_frame_equal(latents.persistence(study, study.networks[0]), first)


def test_all_five_prototypes_are_in_every_profile(study):
    assert list(latents.prototypes(study)) == list(latents.PROTOTYPES)
    for name in ("quick", "paper"):
        found = {e.configuration for e in Study(name).profile.networks()}
        assert set(latents.PROTOTYPES.values()) <= found


def test_projection_shows_as_many_positives_as_negatives(study):
    frame = latents.projection(study, study.networks[0])
    assert len(frame) == 120 - 60 + min(60, 64) and frame["positive"].mean() == 0.5


def test_theorem_tables_carry_the_published_claim_and_a_verdict_that_follows(study):
    for row in theorems.theorem1(study).to_dict("records"):
        found = estimate.Estimate(row["finite_width"], row["low"], row["high"])
        said = estimate.judge(found, (row["published"], 100), closed=True, elsewhere="on digits")
        assert row["verdict"] == str(said) and said.evidence == estimate.SMALL
    for row in theorems.theorem2(study).to_dict("records"):
        assert row["verdict"].startswith(estimate.decided(row["satisfied"] > row["published"]))
        assert row["verdict"].endswith(", one seed)") and "small scale: on digits" in row["verdict"]
    assert len(theorems.theorem2(study)) == 2 * 2 * len(theorems.runs(study))


def test_theorem_1_has_one_row_a_setup_for_it_does_not_know_the_loss(study):
    table = theorems.theorem1(study)
    assert len(table) < len(study.sparsity_runs) and not table.duplicated(["setup", "width"]).any()


def test_studies_that_differ_in_any_setting_have_different_labels(study):
    labels = {theorems.label(r) for r in study.sparsity_runs}
    assert len(labels) == len(study.sparsity_runs) and all("width" in name for name in labels)


def test_a_published_band_gives_a_verdict_under_the_published_conditions(study, monkeypatch):
    """The smoke networks taken for the paper's: far outside, where ten seeds were published."""
    monkeypatch.setattr(accuracy, "as_published", lambda e: True)
    frame = accuracy.accuracy(study).set_index("configuration")
    assert frame.loc["l2-sum-none-relu-sigmoid", "verdict"] == verdicts.OUTSIDE
    assert frame.loc["l2-sum-none-tanh-sigmoid", "verdict"] == estimate.ONE_SEED


def test_agreement_counts_every_network_once_and_stated_families_apart(study):
    frame = latents.structures(study)
    table = latents.agreement(frame)
    counted = table.set_index(["source", "family"]).to_numpy().sum()
    assert counted == len(frame)
    stated = table[table["source"] == "stated by the paper"]
    assert stated.drop(columns=["source", "family"]).to_numpy().sum() == frame["stated"].sum()
    hits = int((frame["structure"] == frame["family"])[frame["stated"]].sum())
    assert f"{hits} of {frame['stated'].sum()} networks" in latents.agreement_rate(frame)


def test_kappa_is_zero_at_the_ends_and_at_a_right_angle():
    theta, kappa = geometry.kappa(181)
    assert abs(kappa[[0, 90, 180]]).max() < 1e-12
    assert (kappa[1:90] > 0).all() and (kappa[91:180] < 0).all()


def test_only_the_papers_settings_count_as_published_conditions():
    paper = dict(widths=(1000, 1000), epochs=50, batch_size=512, label_size=100, wta_k=15)
    assert as_published(tiny(dataset="mnist", **paper))
    assert not as_published(tiny(dataset="mnist", **{**paper, "epochs": 49}))
    assert not as_published(tiny(dataset="mnist-5k", **paper))
    assert not as_published(tiny(dataset="cifar-10", **paper))


def test_an_empty_store_names_the_command(tmp_path):
    with pytest.raises(StoreError, match=r"python pipeline\.py train --profile smoke"):
        accuracy.accuracy(Study("smoke", results=tmp_path))
