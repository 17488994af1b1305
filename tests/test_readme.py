"""The README's measured tables are those of the shipped results."""

from pathlib import Path

from ffcore import (
    contrasts,
    published,
    rq1,
    rq2,
    sparsity_answers,
    structure_words,
    structures,
    verdicts,
)
from ffcore.study import Study

ROOT = Path(__file__).parent.parent


def test_the_table_of_ten_seeds_is_that_of_the_shipped_networks(tmp_path):
    table = verdicts.ten_seeds(rq1.accuracy(Study("paper", results=tmp_path)))
    assert (table["seeds"] > 0).sum() >= 18
    readme = (ROOT / "README.md").read_text()
    assert verdicts.markdown(table) in readme
    run = table[table["seeds"] > 0]
    within = int((run["verdict"] == published.WITHIN).sum())
    share = f"{within} of {len(run)} lie within the band ({100 * within / len(run):.0f} %)"
    assert share in readme


def test_what_the_readme_says_of_number_formats_is_that_of_the_shipped_networks(tmp_path):
    found = rq1.precisions(Study("paper", results=tmp_path))["difference"]
    words = f"differ by {found.min():+.2f} to {found.max():+.2f} points".replace("-", "−")
    assert words in (ROOT / "README.md").read_text() and len(found) == 4


def test_what_the_readme_says_of_latents_is_what_the_shipped_table_says(tmp_path):
    study, readme = Study("paper", results=tmp_path), (ROOT / "README.md").read_text()
    found = rq2.structures(study)
    assert structure_words.markdown(rq2.rank_agreement(rq2.latent_measures(study))) in readme
    assert rq2.agreement_rate(found) in readme and len(found) >= 128
    assert structure_words.agreement(structures.agreement(found)) in readme
    assert structure_words.disagreements(found) in readme


def test_the_three_comparisons_in_the_readme_are_those_of_the_shipped_grid(tmp_path):
    frame = rq1.accuracy(Study("paper", results=tmp_path), level=True)
    table = contrasts.paired(frame[frame["dataset"] == "mnist"])
    readme = (ROOT / "README.md").read_text()
    for row in table.to_dict("records"):
        ours = f"{row['difference']:+.1f} [{row['low']:.1f}, {row['high']:.1f}]"
        assert f"{ours} | {row['published_difference']:+.1f} |" in readme
    rank = contrasts.agreement(frame[frame["dataset"] == "mnist"]).iloc[0]
    low, high = rank["spearman_low"], rank["spearman_high"]
    assert f"ρ = {rank['spearman']:.2f} [{low:.2f}, {high:.2f}]" in readme
    assert len(table) == 3 and (table["pairs"] == 36).all()


def test_what_the_readme_says_of_fashion_mnist_is_that_of_the_shipped_networks(tmp_path):
    frame = rq1.accuracy(Study("paper", results=tmp_path))
    run = frame[(frame["dataset"] == "fashion-mnist") & (frame["epochs_run"] == 50)]
    near = int((run["difference"].abs() <= 1).sum())
    rank = run["best"].corr(run["published_best"], method="spearman")
    readme = (ROOT / "README.md").read_text()
    assert f"{near} of {len(run)} best accuracies lie within one point" in readme
    mean = f"{run['difference'].mean():+.2f}".replace("-", "−")
    assert f"the mean difference is {mean} points, and they rank with ρ = {rank:.2f}" in readme
    worst = run.loc[run["difference"].abs().idxmax()]
    assert f"({worst['best']:.1f} against {worst['published_best']:.1f} %)" in readme


def test_what_the_readme_says_of_the_sparsity_theorems_is_what_the_shipped_runs_say(tmp_path):
    study, readme = Study("paper", results=tmp_path), (ROOT / "README.md").read_text()
    assert len(study.sparsity_runs) == len(study.profile.sparsity_runs())
    claims = sparsity_answers.comparable(sparsity_answers.claims(study))
    assert sparsity_answers.markdown(claims) in readme and len(claims) >= 15
    assert sparsity_answers.when(study) in readme
    assert sparsity_answers.reach(study) in readme


def test_the_library_example_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = (ROOT / "README.md").read_text().split("```python\n")[1].split("```")[0]
    found: dict = {}
    exec(code, found)  # noqa: S102
    assert found["accuracy"] > 0.9 and found["latents"].shape == (450, 400)
    assert (found["model"].predict(found["X_test"]) == found["y_test"]).mean() == found["accuracy"]
