"""Stored runs trained again: whether they come out bitwise equal, or inside the recorded spread."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from statistics import stdev
from typing import TYPE_CHECKING, Any, TypeVar

from ffcore.config import FACTORS, AnyExperiment, Experiment
from ffcore.errors import StoreError
from ffreport.analysis import published
from ffreport.analysis.published import as_published
from ffreport.base.console import duration, job
from ffreport.base.digests import digest
from ffreport.compute import pool
from ffreport.data import load
from ffreport.pipeline.training import planning
from ffreport.pipeline.training import tasks as training
from ffreport.runs import record
from ffreport.runs.store import Run, Store

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

T = TypeVar("T")

EQUAL, DIFFERS = "bitwise equal", "differs"
INSIDE, OUTSIDE, NO_SPREAD = "inside the spread", "outside the spread", "no spread recorded"
DAMAGED, NOT_VERIFIED = "damaged", "not verified"
SEEDS = 3  # stored seeds that make a spread
CIRCUMSTANCES = ("hardware", "packages", "code", "data")


@dataclass(frozen=True)
class Verification:
    """What came of a stored run: the verdict, what was compared or why nothing was, and the seconds
    that it trained."""

    name: str
    verdict: str
    compared: str
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether the run is not what its record says."""
        return self.verdict in (DIFFERS, OUTSIDE, DAMAGED)

    @property
    def verified(self) -> bool:
        """Whether it was trained again, whatever came out."""
        return self.verdict not in (DAMAGED, NOT_VERIFIED)


def drawn(
    store: Store, count: int, seed: int = 0, only: Collection[AnyExperiment] | None = None
) -> list[Run]:
    """Some stored runs, see ``draw``; all of them where there are fewer than ``count``.

    Args:
        only: the experiments to draw from; every stored one where None.

    Raises:
        StoreError: there is no run to draw from.
    """
    found = draw([r for r in store.all() if only is None or r.experiment in only], count, seed)
    if not found:
        raise StoreError(
            f"there is no run to train again in {store.runs}; train with `python pipeline.py train`"
        )
    return found


def verify(
    store: Store, chosen: Sequence[Run], data_folder: str | None = None
) -> list[Verification]:
    """Train some stored runs again and compare; nothing is written into the store."""
    stored = store.all()
    found = {}
    for run in chosen:
        state = store.state(run.experiment)
        if not state.usable:
            found[run.experiment] = Verification(run.experiment.name, DAMAGED, state.reason)
        elif reason := _lacking(run, data_folder):
            found[run.experiment] = Verification(run.experiment.name, NOT_VERIFIED, reason)
    runs = {run.experiment: run for run in chosen if run.experiment not in found}
    tasks = [
        training.Task((e,), _device(run), data_folder, run.provenance.get("threads", 1))
        for e, run in runs.items()
    ]
    done = 0
    with job(f"training {len(tasks)} stored runs again", len(tasks)) as progress:

        def tell(note: pool.Note) -> None:
            part = note.epoch / max(note.epochs, 1) if len(tasks) == 1 else 0
            progress.update(done + part, f"{note.name}, epoch {note.epoch} of {note.epochs}")

        for outcome in pool.run_tasks(tasks, training.perform, planning.processes(tasks), tell):
            found[outcome.experiment] = judge(runs[outcome.experiment], outcome, stored)
            done += 1
            progress.update(done, outcome.experiment.name)
    return [found[run.experiment] for run in chosen]


def draw(runs: Sequence[Run], count: int, seed: int = 0) -> list[Run]:
    """``count`` runs that follow from their keys and ``seed``: networks and sparsity runs in turn,
    and of each the data sets in turn."""
    groups: dict[str, dict[str, list[Run]]] = {}
    for run in sorted(runs, key=lambda run: digest([seed, run.experiment.key])):
        e = run.experiment
        groups.setdefault(e.kind, {}).setdefault(e.dataset, []).append(run)
    return _in_turn([_in_turn(list(sets.values())) for sets in groups.values()])[:count]


def judge(run: Run, outcome: training.Outcome, stored: Sequence[Run] = ()) -> Verification:
    """What a stored run trained again says of it.

    Bitwise equal weights, tables and summary are expected where hardware, packages, code and data
    are those of the run's provenance. Elsewhere the last accuracy, or the shares of data that
    satisfy the theorems, must lie within three standard deviations: of the stored seeds of the
    same configuration, else of the ten published ones. (Processors of one name may still differ.)

    Args:
        stored: the runs among which other seeds are looked for.
    """
    name = run.experiment.name
    seconds = outcome.seconds.get("total", math.fsum(outcome.seconds.values()))
    unequal = differences(run, outcome)
    if not unequal:
        parts = {"tensor": run.weights(), "table": outcome.tables, "number": run.summary}
        counts = [f"{len(p)} {what}{'s' if len(p) != 1 else ''}" for what, p in parts.items()]
        return Verification(name, EQUAL, ", ".join(counts), seconds)
    changed = changes(run.provenance, outcome.provenance)
    if not changed:
        return Verification(name, DIFFERS, "; ".join(unequal), seconds)
    verdict, compared = _beside_spread(run, outcome.summary, stored)
    return Verification(name, verdict, f"{compared}; {'; '.join(changed)}", seconds)


def differences(run: Run, outcome: training.Outcome) -> list[str]:
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


def table(found: Sequence[Verification]) -> str:
    """Aligned lines: name, verdict, seconds, what was compared."""
    rows = [("run", "verdict", "trained in", "compared")]
    rows += [(v.name, v.verdict, duration(v.seconds), v.compared) for v in found]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(
        "  ".join([*(f"{c:{w}}" for c, w in zip(row, widths, strict=False)), row[3]])
        for row in rows
    )


def _in_turn(groups: Sequence[Sequence[T]]) -> list[T]:
    """The first of each group, then the second of each, and so on."""
    return [item for turn in zip_longest(*groups) for item in turn if item is not None]


def _lacking(run: Run, data_folder: str | None) -> str:
    """Why a run cannot be trained here, or nothing."""
    status = load.check(run.experiment.dataset, data_folder)
    if status.state != "ok":
        return f"data set {status.state}: {status.detail}"
    if (device := _device(run)) != "cpu":
        import torch

        return "" if torch.cuda.is_available() else f"it was trained on {device}, which is not here"
    return ""


def _device(run: Run) -> str:
    return str(run.provenance.get("device", "cpu"))


def _figures(summary: Mapping[str, Any]) -> dict[str, float]:
    """What is compared with a spread: the last accuracy, or the shares that satisfy a theorem, as
    far as they are defined."""
    figures = {k: v for k, v in summary.items() if k == "last" or "_satisfied_" in k}
    return {k: v for k, v in figures.items() if math.isfinite(v)}


def _beside_spread(run: Run, summary: Mapping[str, Any], stored: Sequence[Run]) -> tuple[str, str]:
    """Verdict and words; of several figures, those of the one furthest out."""
    then, now = _figures(run.summary), _figures(summary)
    apart = {k: abs(now[k] - then[k]) for k in then if k in now}
    if not apart:
        return NO_SPREAD, "no figure in common"
    limits, source = _spread(run, stored)
    # A spread of zero says nothing of rounding.
    measured = {k: d / limits[k] for k, d in apart.items() if limits.get(k)}
    worst = max(measured or apart, key=(measured or apart).__getitem__)
    words = f"{worst} {100 * now[worst]:.2f} % instead of {100 * then[worst]:.2f} %"
    if not measured:
        return NO_SPREAD, f"no spread recorded; differs by {100 * apart[worst]:.2f} points: {words}"
    band = f"{published.BAND:g} standard deviations of {source}: {100 * limits[worst]:.2f} points"
    return (INSIDE if all(m <= 1 for m in measured.values()) else OUTSIDE), f"{words}, {band}"


def _spread(run: Run, stored: Sequence[Run]) -> tuple[dict[str, float], str]:
    """Figure → three standard deviations over seeds, as a share; and whose."""
    e = run.experiment
    same = e.model_copy(update={"seed": 0}).key
    kin = [
        _figures(r.summary)
        for r in stored
        if r.experiment.model_copy(update={"seed": 0}).key == same
    ]
    if len(kin) >= SEEDS:
        values = {k: [other.get(k, math.nan) for other in kin] for k in kin[0]}
        limits = {
            k: published.BAND * stdev(v) for k, v in values.items() if all(map(math.isfinite, v))
        }
        return limits, f"{len(kin)} stored seeds"
    if isinstance(e, Experiment) and as_published(e):
        seeds = published.ten_seeds()
        for factor in (*FACTORS, "dataset"):
            seeds = seeds[seeds[factor] == getattr(e, factor)]
        if len(seeds):
            return {"last": published.BAND * seeds["last_std"].item() / 100}, "ten published seeds"
    return {}, ""


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
