"""Make reports and figures: everything, or a single one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from ffcore.errors import unknown
from ffreport.base.console import duration, say
from ffreport.base.locks import alone
from ffreport.cli.options import DryRun, planned, with_pipeline

if TYPE_CHECKING:
    from ffreport.pipeline.stages import Pipeline

app = typer.Typer()


@app.command("all")
@with_pipeline(works=True)
def all_(pipeline: Pipeline, dry_run: DryRun = False) -> None:
    """Do whatever is missing for the profile: data, training, notebooks, report."""
    from ffreport.pipeline import plans, publishing

    began = time.monotonic()
    reports = list(pipeline.notebooks)
    if dry_run:
        return planned(plans.plan(pipeline, reports))
    with alone(pipeline.results):
        pipeline.build(reports)
        version = publishing.publish(pipeline, reports)
    say(f"done in {duration(time.monotonic() - began)}; open the report at:")
    print(version / "index.html")


@app.command()
@with_pipeline(works=True)
def report(
    pipeline: Pipeline,
    names: Annotated[list[str] | None, typer.Argument(help="Reports; all if none.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Make a report from stored results, without training."""
    from ffreport.pipeline import plans, publishing
    from ffreport.pipeline.stages import EXPLORER

    told = [EXPLORER.beside if name == EXPLORER.name else name for name in names or []]
    chosen = list(dict.fromkeys(told)) or list(pipeline.notebooks)
    if dry_run:
        return planned(plans.plan(pipeline, chosen, train=False))
    with alone(pipeline.results):
        pipeline.build(chosen, train=False)
        print(publishing.publish(pipeline, chosen) / "index.html")


@app.command()
@with_pipeline(works=True)
def figure(
    pipeline: Pipeline,
    names: Annotated[list[str], typer.Argument(help="Figures, see `list`.")],
    dry_run: DryRun = False,
) -> None:
    """Make single figures again from stored results, in seconds, without training."""
    owners = {f: report for report, info in pipeline.notebooks.items() for f in info.figures}
    for name in names:
        if name not in owners:
            raise unknown("figure", name, owners)
    if dry_run:
        for name in names:
            print(f"figure {name}: run its cells of report {owners[name]}")
        return
    with alone(pipeline.results):
        for name in names:
            for path in pipeline.figure(name):
                print(path)


@app.command()
@with_pipeline(works=True)
def explorer(pipeline: Pipeline, dry_run: DryRun = False) -> None:
    """Make the page that explores every network's latents, from stored results."""
    from ffreport.pipeline import plans

    if dry_run:
        return planned(plans.plan(pipeline, ["explorer"], train=False))
    with alone(pipeline.results):
        pipeline.build(["explorer"], train=False)
        print(pipeline.made("explorer"))
