"""Data frames as Parquet files that are never half-written."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ffcore import files
from ffcore.errors import StoreError, advice

if TYPE_CHECKING:
    import pandas as pd


def write_frames(
    frames: Mapping[Path, pd.DataFrame], compression: Literal["snappy", "zstd"] = "snappy"
) -> None:
    """Write Parquet files so that a reader sees the old one or the new, never a part, and none
    takes its place before all are written; then the last comes first.

    Raises:
        StoreError: they cannot be written; names them.
    """
    try:
        with ExitStack() as all_written:
            for path, frame in frames.items():
                part = all_written.enter_context(files.whole(path))
                frame.to_parquet(part, index=False, compression=compression)
    except OSError as error:
        names = ", ".join(map(str, frames))
        raise StoreError(f"cannot write {names}: {advice(error)}") from None


def read_frame(path: Path) -> pd.DataFrame:
    """A frame of ``write_frames``, read by one thread: hundreds of small ones take half the time.

    Raises:
        OSError: there is no such file.
        ValueError: it is damaged.
    """
    from pyarrow.parquet import ParquetFile

    with _damage_told(path), ParquetFile(path) as file:
        return file.read(use_threads=False).to_pandas(use_threads=False)


def read_table(path: Path) -> pd.DataFrame:
    """A Parquet file as pandas reads it; raises as ``read_frame``."""
    import pandas as pd

    with _damage_told(path):
        return pd.read_parquet(path)


_NAMED = re.compile(r"[a-z0-9_-]+-(?:([0-9a-f]{16})_)?[0-9a-f]{24}\.parquet")


def frame_name(name: str, inputs: Mapping[str, Any], key: str = "") -> str:
    """The name of the file that keeps a frame.

    Args:
        name: what it is.
        inputs: JSON values that determine it.
        key: of the run that it is a frame of, if of one alone.
    """
    text = json.dumps([name, inputs], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:24]
    return f"{name}-{key and f'{key}_'}{digest}.parquet"


def run_of(file: str) -> str | None:
    """The key in a name of ``frame_name``, empty where it has none; None for any other name."""
    named = _NAMED.fullmatch(file)
    return (named[1] or "") if named else None


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """OSError and ValueError pass; whatever else a damaged file makes its reader raise is a
    ValueError."""
    try:
        yield
    except (OSError, ValueError):
        raise
    except Exception as error:
        words = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path.name} is damaged: {words}") from None
