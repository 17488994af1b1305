"""What a store remembers holds as long as files do."""

import os

import pytest

from ffreport.runs.index import Remembered


def test_a_file_is_looked_at_again_only_when_size_or_time_changed(tmp_path):
    file, book, asked = tmp_path / "a", tmp_path / "book.json", []
    file.write_text("one")

    def compute():
        asked.append(file.read_text())
        return asked[-1]

    memory = Remembered(book)
    assert memory.of(file, compute) == memory.of(file, compute) == "one" and asked == ["one"]
    memory.save()
    assert Remembered(book).of(file, compute) == "one" and asked == ["one"]
    file.write_text("two")
    os.utime(file, ns=(1, 1))
    assert Remembered(book).of(file, compute) == "two"


def test_what_fails_is_not_remembered_and_a_broken_book_is_empty(tmp_path):
    file, book = tmp_path / "a", tmp_path / "book.json"
    file.write_text("x")
    book.write_text("[broken\na/b\t[broken")
    memory = Remembered(book)
    with pytest.raises(ValueError, match="no"):
        memory.of(file, lambda: (_ for _ in ()).throw(ValueError("no")))
    assert memory.of(file, lambda: 1) == 1
    with pytest.raises(FileNotFoundError):
        memory.of(tmp_path / "missing", lambda: 1)
