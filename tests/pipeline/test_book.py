"""doit's book: what is up to date stays so, whatever else fails."""

import pytest

from ffcore.errors import ReportError
from ffreport.pipeline import book as doing


def tasks(folder, inputs, done, failing=()):
    """A task for each entry of ``inputs``, that writes a file and notes that it ran."""

    def act(name):
        if name in failing:
            raise ReportError(f"{name} failed")
        done.append(name)
        (folder / name).write_text("made")

    return [
        {"name": name, "actions": [(act, [name])], "targets": [str(folder / name)],
         "uptodate": [doing.Inputs(lambda v=value: v, lambda: 1.5)]}
        for name, value in inputs.items()
    ]  # fmt: skip


def test_a_task_runs_again_only_when_its_inputs_changed_or_its_file_is_gone(tmp_path):
    book, done = tmp_path / "book.json", []
    inputs = {"a": {"code": {"f": "1"}}, "b": {"code": {"g": "1"}}}
    for _ in range(2):
        doing.run(tasks(tmp_path, inputs, done), book)
    assert done == ["a", "b"]
    doing.run(tasks(tmp_path, {**inputs, "a": {"code": {"f": "2"}}}, done), book)
    assert done == ["a", "b", "a"]
    (tmp_path / "b").unlink()
    doing.run(tasks(tmp_path, {**inputs, "a": {"code": {"f": "2"}}}, done), book)
    assert done == ["a", "b", "a", "b"]
    assert doing.noted(book)["a"] == {"code": {"f": "2"}}
    assert doing.noted(book, doing.Inputs.SECONDS) == {"a": 1.5, "b": 1.5}


@pytest.mark.parametrize(
    ("names", "said"),
    [("ab", "code changed: f.a, f.b"), ("abc", "code changed: f.a, f.b, f.c"),
     ("abcde", "code changed: f.a, f.b, f.c and 2 more")],
)  # fmt: skip
def test_the_first_names_of_what_changed_are_told_and_the_others_counted(names, said):
    then, now = ({"code": {"f": dict.fromkeys(names, value)}} for value in "12")
    assert doing.difference(then, now) == said


def test_a_failing_task_is_raised_and_costs_no_other(tmp_path):
    book, done = tmp_path / "book.json", []
    inputs = {name: {"x": "1"} for name in "abc"}
    with pytest.raises(ReportError, match="b failed"):
        doing.run(tasks(tmp_path, inputs, done, failing="b"), book)
    assert done == ["a", "c"]
    doing.run(tasks(tmp_path, inputs, done), book)
    assert done == ["a", "c", "b"]
    with pytest.raises(ReportError):
        doing.run(tasks(tmp_path, {"train": {"x": "2"}}, done, failing=["train"]), book)
    doing.run(tasks(tmp_path, inputs, done), book)
    assert done == ["a", "c", "b"]


def test_the_difference_names_definitions_keys_and_how_many_more():
    then = {"code": {"m": {"f": "1", "g": "1"}}, "profile": {"rq2": {"images": 1}}, "x": 1}
    now = {"code": {"m": {"f": "2", "g": "1"}}, "profile": {"rq2": {"images": 2}}, "x": 2}
    assert (
        doing.difference(then, now) == "code changed: m.f; profile changed: rq2.images; x changed"
    )
    many = {"code": {f"f{i}": i for i in range(9)}}
    assert doing.difference({"code": {}}, many) == "code changed: f0, f1, f2 and 6 more"
    assert doing.difference(None, now) == "no record of an earlier run"
    assert doing.difference(now, now) == ""
