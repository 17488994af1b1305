"""The measured tables and sentences of the documents are those of the shipped results."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _script():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TABLES = _script()


@pytest.fixture(scope="module")
def material():
    return TABLES.Material()


@pytest.mark.parametrize("name", TABLES.DOCUMENTS)
def test_a_document_says_what_the_shipped_results_say(name, material):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert TABLES.BLOCK.search(text), "it has a block to fill"
    assert TABLES.filled(text, material) == text, "run `python docs/tables.py`"


def test_every_block_is_shown_in_some_document():
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in TABLES.DOCUMENTS]
    shown = {found[1] for text in texts for found in TABLES.BLOCK.finditer(text)}
    assert shown == {*TABLES.BLOCKS}


def test_a_changed_number_is_noticed():
    class Other:
        pass

    text = "a\n<!-- quoted -->\n| claim |\n<!-- / -->\nb\n"
    new = TABLES.filled(text, Other())
    assert new != text and new.startswith("a\n<!-- quoted -->\n| claim |")
    assert TABLES.filled(new, Other()) == new


def test_the_library_example_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = (ROOT / "README.md").read_text().split("```python\n")[1].split("```")[0]
    found: dict = {}
    exec(code, found)  # noqa: S102
    assert found["accuracy"] > 0.9 and found["latents"].shape == (450, 400)
    assert (found["model"].predict(found["X_test"]) == found["y_test"]).mean() == found["accuracy"]
