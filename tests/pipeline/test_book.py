"""The book of reports: what is up to date stays so."""

import pytest

from ffreport.pipeline.book import Book, difference


def test_a_report_is_up_to_date_until_its_inputs_change(tmp_path):
    inputs = {"code": {"f": "1"}, "runs": {"a": "1"}}
    book = Book(tmp_path / "book.json")
    assert book.why("a", inputs) == "no record of an earlier run" and book.seconds("a") is None
    book.note("a", inputs, 1.5)
    book.note("b", inputs, 2.5)
    for again in (book, Book(tmp_path / "book.json")):
        assert again.why("a", inputs) == "" and again.seconds("a") == 1.5
        assert again.why("b", {**inputs, "code": {"f": "2"}}) == "code changed: f"


@pytest.mark.parametrize(
    ("names", "said"),
    [("ab", "code changed: f.a, f.b"), ("abc", "code changed: f.a, f.b, f.c"),
     ("abcde", "code changed: f.a, f.b, f.c and 2 more")],
)  # fmt: skip
def test_the_first_names_of_what_changed_are_told_and_the_others_counted(names, said):
    then, now = ({"code": {"f": dict.fromkeys(names, value)}} for value in "12")
    assert difference(then, now) == said


def test_the_difference_names_definitions_keys_and_how_many_more():
    then = {"code": {"m": {"f": "1", "g": "1"}}, "profile": {"rq2": {"images": 1}}, "x": 1}
    now = {"code": {"m": {"f": "2", "g": "1"}}, "profile": {"rq2": {"images": 2}}, "x": 2}
    assert difference(then, now) == "code changed: m.f; profile changed: rq2.images; x changed"
    many = {"code": {f"f{i}": i for i in range(9)}}
    assert difference({"code": {}}, many) == "code changed: f0, f1, f2 and 6 more"
    assert difference(None, now) == "no record of an earlier run"
    assert difference(now, now) == ""
