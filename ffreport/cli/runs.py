"""Look at stored runs and reports: what there is, what is missing and why."""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ffcore.errors import ConfigError, StoreError, unknown
from ffreport.base.console import say
from ffreport.base.locks import alone
from ffreport.cli.options import (
    PROJECT,
    RESULTS,
    DryRun,
    Figures,
    ProfileName,
    Results,
    opened,
    planned,
    with_pipeline,
)

if TYPE_CHECKING:
    from ffreport.pipeline.stages import Pipeline

app = typer.Typer()


@app.command("list")
def list_(profile: ProfileName = "quick", figures: Figures = None) -> None:
    """Reports, their figures and tables."""
    pipeline = opened(profile, figures=figures)
    for name, info in pipeline.notebooks.items():
        print(f"{name}: {info.title}")
        for item in info.figures:
            made = pipeline.figures / f"{item}.png"
            state = _when(made) if made.exists() else "not made yet"
            print(f"  figure {item}  ({state})")
        for item in info.tables:
            print(f"  table  {item}")


@app.command()
def runs(
    where: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FIELD=VALUE]...",
            help="Only runs of these settings, such as norm=l2,l1 dataset=mnist seed=0-9; also "
            "state=stored, outdated, damaged or foreign (of a plug-in or data set not known here), "
            "kind=network or sparsity, configuration=l2-sum-none-relu-sigmoid.",
        ),
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", "-p", help="Only what this profile asks for.")
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="As CSV, with every setting.")] = False,
    consolidate: Annotated[
        bool, typer.Option("--consolidate", help="Write runs.parquet anew, a row a network.")
    ] = False,
    results: Results = RESULTS,
) -> None:
    """The stored runs: key, state, best and last test accuracy, epochs, when, name."""
    from ffreport.runs import listing
    from ffreport.runs.store import Store

    store = Store(results)
    asked = opened(profile, results=results).experiments if profile else None
    if consolidate:
        if where or profile or csv:
            raise ConfigError("--consolidate writes every network; leave out filters and --csv")
        with alone(results):
            table = store.consolidate()
        if table is None:
            raise StoreError(f"no network is stored in {results}, so there is no table to write")
        print(table)
        return
    found = listing.listed(store)
    if not found:
        raise StoreError(f"nothing is stored in {results}; train with `python pipeline.py train`")
    keys = None if asked is None else {e.key for e in asked}
    shown = listing.chosen(found, where or [], keys)
    for line in listing.as_csv(shown) if csv else listing.table(shown):
        print(line)
    say(listing.counted(shown, len(found)))


@app.command()
@with_pipeline()
def status(pipeline: Pipeline) -> None:
    """What is trained, what is missing, and which reports are up to date."""
    print(f"profile {pipeline.profile.label}: {pipeline.profile.title}")
    states = pipeline.states(pipeline.experiments)
    counts = Counter((e.kind, e.dataset, s.name) for e, s in states.items())
    for (kind, name, found), count in sorted(counts.items()):
        what = "networks" if kind == "network" else "sparsity studies"
        print(f"  {what} on {name}: {count} {found}")
    for text, count in sorted(pipeline.evidence.counted(list(states)).items()):
        print(f"  standing in for what is missing: {count} {text}")
    for e, state in states.items():
        if state.name == "damaged":
            print(f"  damaged: {e.name} ({e.key}), {state.reason}")
    for name in pipeline.reports:
        print(f"  report {name}: {pipeline.pending(name) or 'up to date'}")
    latest = pipeline.results / "reports" / "latest"
    print(f"  latest version: {os.path.realpath(latest) if latest.exists() else 'none yet'}")


@app.command()
@with_pipeline()
def why(
    pipeline: Pipeline,
    name: Annotated[
        str, typer.Argument(help="A report, a figure, or an experiment's name or key; all if none.")
    ] = "",
) -> None:
    """What would be made again, why, and how long it would take."""
    from ffreport.pipeline import plans

    if not name:
        return planned(plans.plan(pipeline, list(pipeline.notebooks)))
    owners = {f: n for n, info in pipeline.reports.items() for f in (n, *info.figures)}
    if name in owners:
        report = owners[name]
        steps = [s for s in plans.plan(pipeline, [report]) if s.what == f"report {report}"]
        print(steps[0] if steps else f"report {report}: up to date")
        return
    found = {e.name: e for e in pipeline.experiments} | {e.key: e for e in pipeline.experiments}
    if name not in found:
        raise unknown("report, figure or experiment", name, [*owners, *list(found)[:3]])
    steps = plans.training_plan(pipeline, [found[name]])
    print(f"{found[name].name}: {steps[0] if steps else 'up to date'}")


@app.command()
def share(
    into: Annotated[
        Path | None, typer.Option(help="Folder of the tables; the project's own is shipped.")
    ] = None,
    latents: Annotated[
        bool, typer.Option(help="Measure latents, too, for the tables of RQ2 (needs the data).")
    ] = True,
    dry_run: DryRun = False,
    results: Results = RESULTS,
) -> None:
    """Add summaries, histories and measures of latents of all stored networks, and what sparsity
    runs measured, to tables that others can report from."""
    from ffreport.base.home import INSIDE
    from ffreport.pipeline.upkeep import share as sharing
    from ffreport.runs.store import Store

    into = into or PROJECT.get() / "shipped"
    if into.resolve().is_relative_to(INSIDE):
        raise ConfigError("an installed package's tables stay as they are; choose --into FOLDER")
    if dry_run:
        kinds = Counter(e.kind for e in Store(results).experiments())
        print(f"{into}: {kinds['network']} networks and {kinds['sparsity']} sparsity runs of "
              f"{results} would be added, or replace those of the same key")  # fmt: skip
        return
    with alone(results):
        stored = Store(results).all()
        runs = [r for r in stored if r.experiment.kind == "network"]
        if not stored:
            raise StoreError(
                f"nothing is stored in {results}; train with `python pipeline.py train`"
            )
        same = into.resolve() == results.resolve()
        with nullcontext() if same else alone(into, marked=False):
            added, replaced = sharing.networks(into, runs)
            more, again = sharing.studies(into, stored)
            measured = sharing.latents(into, runs, results) if latents and runs else 0
    print(
        f"{into}: {added} networks added, {replaced} replaced; {more} sparsity runs added, "
        f"{again} replaced; latents of {measured} networks measured"
    )


def _when(path: Path) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
