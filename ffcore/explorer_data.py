"""What the latent explorer shows of a study's networks, computed on all cores and cached."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ffcore import explorer, memory, rq2, rq2_topology, sources, workers
from ffcore.store import Run
from ffcore.study import Study, network


def of_study(
    study: Study, tell: Callable[[int, int, str], None] | None = None,
    poll: Callable[[], None] | None = None,
) -> str:  # fmt: skip
    """The page of a study's networks; what is not cached is computed on all cores.

    Args:
        tell: called with networks done, networks in all, and the newest one's name.
        poll: called several times a second; what it raises ends the work.

    Raises:
        StoreError: nothing is measured; names the command that trains.
    """
    prepare(study, tell, poll)
    frame = networks(study)
    size, about = study.profile.rq2, study.provenance
    return explorer.page(
        frame, projections(study), diagrams(study), label=study.profile.label,
        paper_scale=study.profile.paper_scale,
        provenance={
            "Profile": f"{study.profile.label}: {study.profile.title}",
            "Command": study.profile.command("explorer"),
            "Networks": rq2.sources(frame),
            "Latents": f"layer 1, {size.images:,} test images with every candidate label; "
            f"projections and diagrams show {size.explorer_points:,} of them",
            "Seeds": ", ".join(map(str, about["seeds"])),
            "Experiments": about["experiments"],
            "Code": about["code"],
        },
    )  # fmt: skip


def networks(study: Study) -> pd.DataFrame:
    """One row a network: its factors, ``last`` accuracy, the nine measures with the published ones
    beside, structure and observables; see ``rq2.latent_measures`` and ``rq2.structures``."""
    seen = rq2.structures(study).rename(columns={"separability": "separability_observed"})
    frame = rq2.latent_measures(study)
    new = [c for c in seen if c not in frame]
    frame = frame.merge(seen[["key", *new]], on="key", validate="one_to_one")
    last = {record.experiment.key: record.summary["last"] for record in study.measured}
    return frame.assign(last=frame["key"].map(last))


def projections(study: Study) -> dict[str, pd.DataFrame]:
    """Key → t-SNE of ``explorer_points`` latents, see ``rq2.projection``, of each network that has
    its weights."""
    small = _small(study)
    return {run.experiment.key: rq2.projection(small, run) for run in small.networks}


def diagrams(study: Study) -> dict[str, pd.DataFrame]:
    """Key → persistence pairs of ``explorer_points`` latents, see ``rq2_topology.homology``, of
    each network that has its weights."""
    small = _small(study)
    return {run.experiment.key: rq2_topology.homology(small, run) for run in small.networks}


def prepare(
    study: Study, tell: Callable[[int, int, str], None] | None = None,
    poll: Callable[[], None] | None = None,
) -> None:  # fmt: skip
    """Compute and keep what the explorer shows of each network with weights, on all cores; for
    ``tell`` and ``poll`` see ``of_study``."""
    small, runs = _small(study), study.networks
    if not runs:
        return
    count = memory.processes(min(workers.cores(), len(runs)), max(map(_bytes(study), runs)))
    done = 0

    def advance(note: workers.Note) -> None:
        nonlocal done
        done += 1
        if tell:
            tell(done, len(runs), note.name)

    # t-SNE is single-threaded: a process a core, each with every so-many-th network.
    tasks = [(small, runs[i::count]) for i in range(count)]
    for _ in workers.run_tasks(tasks, tell=advance, workers=count, poll=poll, work=_prepare):
        pass


def _prepare(
    task: tuple[Study, Sequence[Run]], tell: Callable[[workers.Note], None]
) -> list[None]:
    """Fill the cache for some networks, in a process of its own."""
    import torch

    study, runs = task
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            for run in runs:
                rq2.shareable(study, run)
                rq2.projection(study, run)
                rq2_topology.homology(study, run)
                tell(workers.Note(network(run).configuration, 1, 1, ""))
    finally:
        torch.set_num_threads(before)
    return []


def _small(study: Study) -> Study:
    """The study with projections and diagrams of ``explorer_points`` latents."""
    size = study.profile.rq2
    points = size.explorer_points
    fewer = {"tsne_points": points, "h0_points": points, "h1_points": min(size.h1_points, points)}
    small = copy.copy(study)
    small.profile = study.profile.model_copy(update={"rq2": size.model_copy(update=fewer)})
    return small


def _bytes(study: Study) -> Callable[[Run], float]:
    """Bytes that a network's data set and latents, with a copy in float64, take in a process."""

    def of(run: Run) -> float:
        e = network(run)
        source = sources.lookup(e.dataset)
        latents = study.profile.rq2.images * source.classes * e.widths[0]
        return source.images * source.pixels + 16.0 * latents

    return of
