"""What in a run that was trained again is not as it is stored, and in which circumstances."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ffreport.pipeline.training.tasks import Outcome
from ffreport.runs import record
from ffreport.runs.store import Run

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

CIRCUMSTANCES = ("hardware", "packages", "code", "data")


def differences(run: Run, outcome: Outcome) -> list[str]:
    """The first tensor, the first epoch of each table and the first number of the summary in which
    a run trained again is not bitwise what is stored; nothing where all are equal."""
    import torch

    made = {k: torch.as_tensor(w) for k, w in outcome.weights.items()}
    weights = run.weights()
    tensors = [
        _tensor_difference(k, weights.get(k), made.get(k)) for k in sorted({*weights, *made})
    ]
    kept = {k.removesuffix(".parquet") for k in run.files if k.endswith(".parquet")}
    frames = {k: _as_stored(t) for k, t in outcome.tables.items()}
    tables = [
        _table_difference(k, run.table(k) if k in kept else None, frames.get(k))
        for k in [*frames, *sorted(kept - frames.keys())]
    ]
    ours, theirs = json.loads(json.dumps(outcome.summary)), run.summary
    # As text, so that NaN equals NaN.
    numbers = [
        f"{k} is {ours.get(k)} instead of {theirs.get(k)}"
        for k in [*theirs, *(ours.keys() - theirs.keys())]
        if json.dumps(ours.get(k)) != json.dumps(theirs.get(k))
    ]
    return [*[t for t in tensors if t][:1], *[t for t in tables if t], *numbers[:1]]


def changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In which circumstances two provenances differ, those on which bits depend."""
    found = []
    for topic in CIRCUMSTANCES:
        old, new = then.get(topic), now.get(topic)
        if topic == "code":
            if lacking := record.lacking(old, new or []):
                found.append(f"other code: {', '.join(lacking)}")
        elif isinstance(old, Mapping) and isinstance(new, Mapping):
            names = sorted(k for k in {*old, *new} if old.get(k) != new.get(k))
            if topic == "packages":
                found += [f"{k} {old.get(k)} → {new.get(k)}" for k in names]
            elif names:
                found.append(f"other {topic}: {', '.join(names)}")
        elif old != new:
            words = f"{topic} {old or 'not recorded'} → {new}"
            found.append("other data" if topic == "data" else words)
    if str(now.get("device")).startswith("cuda"):
        # Networks train there in stacks, whose size sums depend on and no provenance tells.
        found.append("on a GPU")
    return found


def _tensor_difference(name: str, stored: Tensor | None, made: Tensor | None) -> str:
    import torch

    if stored is None or made is None:
        return f"tensor {name} is {'new' if stored is None else 'gone'}"
    if stored.dtype != made.dtype or stored.shape != made.shape:
        kinds = [f"{t.dtype} {list(t.shape)}" for t in (made, stored)]
        return f"tensor {name} is {kinds[0]} instead of {kinds[1]}"
    bits = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[made.element_size()]
    unequal = int((made.view(bits) != stored.view(bits)).sum())
    return f"tensor {name} differs in {unequal:,} of {stored.numel():,} values" if unequal else ""


def _table_difference(name: str, stored: pd.DataFrame | None, made: pd.DataFrame | None) -> str:
    if stored is None or made is None:
        return f"table {name} is {'new' if stored is None else 'gone'}"
    if list(stored.columns) != list(made.columns) or len(stored) != len(made):
        return f"table {name} has other columns or another number of rows"
    for column in stored.columns:
        if stored[column].dtype != made[column].dtype:
            return f"{name}.{column} is {made[column].dtype} instead of {stored[column].dtype}"
    unequal = ~((stored == made) | (stored.isna() & made.isna()))
    rows = unequal.any(axis=1)
    if not rows.any():
        return ""
    first = stored.loc[rows, "epoch"].min() if "epoch" in stored else None
    since = "" if first is None else f" from epoch {first:g} on"
    at = stored["epoch"] == first if first is not None else rows
    columns = ", ".join(map(str, unequal.columns[unequal[rows & at].any()]))
    return f"{name} differs{since} ({columns})"


def _as_stored(table: Any) -> pd.DataFrame:
    """A table as it comes back from the store."""
    import pandas as pd

    file = io.BytesIO()
    frame = table if isinstance(table, pd.DataFrame) else pd.DataFrame(table)
    frame.to_parquet(file, index=False)
    return pd.read_parquet(file)
