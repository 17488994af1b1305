"""Look at the data sets, or download them."""

from __future__ import annotations

from typing import Annotated

import typer

from ffcore.errors import unknown
from ffreport.base.console import say
from ffreport.cli.options import DryRun

app = typer.Typer()


@app.command()
def check(
    names: Annotated[
        list[str] | None, typer.Argument(help="Data sets, or paths of your own; all if none.")
    ] = None,
) -> None:
    """Which data sets are there and intact, and how your own are read; fails if a named one is
    not."""
    from ffreport.data import load, sources

    failed = False
    for name in map(sources.resolve, names or load.NAMES):
        found = load.check(name)
        print(f"{name:14} {found.state:8} {found.detail}")
        failed |= found.state == "damaged" or (bool(names) and found.state != "ok")
    if failed:
        raise typer.Exit(1)


@app.command()
def fetch(
    names: Annotated[list[str], typer.Argument(help="Data sets to download.")],
    dry_run: DryRun = False,
) -> None:
    """Download data sets, every file checked."""
    from ffreport.data import load, sources

    for name in names:
        if name not in load.NAMES:
            raise unknown("data set", name, load.NAMES)
    if dry_run:
        for name in names:
            for file, place in sources.locate(name).items():
                where = (
                    f"lies in {place.parent}" if place else f"get it into {sources.folder(name)}"
                )
                print(f"{name}: {file.name}: {where}")
        return
    for name in names:
        load.fetch(name, progress=say)
        print(f"{name}: {load.check(name).detail}")
