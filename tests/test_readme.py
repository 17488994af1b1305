"""The README's measured tables are those of the shipped results."""

from pathlib import Path

from ffcore import published, rq1, verdicts
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
