"""The README's measured tables are those of the shipped results."""

from pathlib import Path

from ffcore import rq1, verdicts
from ffcore.study import Study

ROOT = Path(__file__).parent.parent


def test_the_table_of_ten_seeds_is_that_of_the_shipped_networks(tmp_path):
    table = verdicts.ten_seeds(rq1.accuracy(Study("paper", results=tmp_path)))
    assert (table["seeds"] > 0).sum() >= 18
    assert verdicts.markdown(table) in (ROOT / "README.md").read_text()
