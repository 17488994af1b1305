"""Damaged inputs, and a count of them: what every test with hostile input shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from ffcore.errors import FFError
from tests.support.measured import note

EXAMPLES = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
PIECES = [b"null", b"[]", b"{}", b"-1", b"1e999", b'"', b"&a *a", b"!!python/object:os.system",
          b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff", b"PK\x01\x02",
          b"[" * 120, b"../", b"<script>", b"|O", b"\x1f\x8b\x08\x00"]  # fmt: skip
COMMAND = "pytest -n0 --measured --hypothesis-profile many tests/test_hostile*.py"
_counts: dict[str, Counter[str]] = {}


@st.composite
def damaged(draw, content: bytes) -> bytes:
    """Content with some bytes changed, cut out, or put in."""
    raw = bytearray(content)
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, max(len(raw) - 1, 0)))
        what = draw(st.sampled_from(["change", "cut", "insert"]))
        piece = draw(st.binary(min_size=1, max_size=6) | st.sampled_from(PIECES))
        if what == "change":
            raw[place : place + len(piece)] = piece
        elif what == "cut":
            del raw[place : place + draw(st.integers(1, 60))]
        else:
            raw[place:place] = piece
    return bytes(raw)


@contextmanager
def told(reader: str) -> Iterator[None]:
    """Count an input to a reader: it may be read, or refused with a clear error, and nothing else
    passes."""
    count = _counts.setdefault(reader, Counter())
    count["inputs"] += 1
    try:
        yield
    except FFError as error:
        count["refused"] += 1
        assert str(error) and "Traceback" not in str(error)
    except BaseException:
        count["crashes"] += 1
        raise


def note_counts() -> None:
    """A row of the measured page for each reader that was given something."""
    for reader, count in _counts.items():
        note(
            f"hostile/{reader}",
            f"{reader}: hypothesis damages sound files and forges headers; each is read or refused "
            "with one clear error",
            f"{count['inputs']:,} inputs, {count['refused']:,} refused, {count['crashes']} crashes",
            COMMAND,
        )
    _counts.clear()
