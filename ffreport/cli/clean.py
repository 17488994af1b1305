"""Remove what the pipeline made."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from ffcore.errors import ConfigError
from ffreport.base.console import say
from ffreport.base.locks import MARKER, alone
from ffreport.cli.options import (
    PROJECT,
    RESULTS,
    DryRun,
    Figures,
    Results,
    figures_folder,
    overrides,
)

app = typer.Typer()


@app.command()
def clean(
    everything: Annotated[
        bool, typer.Option("--all", help="Trained runs and published reports, too.")
    ] = False,
    unused: Annotated[
        bool,
        typer.Option(
            "--unused",
            help="Instead: runs that no profile, no published version and no "
            "--profile asks for, damaged ones, and what belongs to them.",
        ),
    ] = False,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            "--profile",
            "-p",
            help="With --unused: keep what this profile asks for, too, "
            "with and without the options below; may be given several times.",
        ),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Of --profile.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Of --profile: 0,1,2 or 0-9.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Of --profile.")] = None,
    precision: Annotated[str | None, typer.Option(help="Of --profile.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: DryRun = False,
    results: Results = RESULTS,
    figures: Figures = None,
) -> None:
    """Remove what the pipeline made: work files, caches and figures; with --all everything; with
    --unused what nothing refers to any more, and no work file or figure."""
    if results.exists() and not (results / MARKER).exists():
        raise ConfigError(
            f"{results} was not made by this pipeline (it lacks {MARKER}); nothing was removed"
        )
    changes = overrides(dataset, seeds, epochs, precision=precision)
    if (profile or changes) and not unused:
        raise ConfigError("--profile and its options say what --unused keeps; add --unused")
    if changes and not profile:
        raise ConfigError(f"{', '.join(f'--{name}' for name in changes)}: of which --profile?")
    if unused:
        if everything or figures:
            raise ConfigError("choose --unused, or --all and --figures")
        return _clean_unused(results, profile or [], changes, yes, dry_run)
    from ffreport.publish.notebooks.catalogue import catalogue

    parts = ["work", "cache", "failed", "checkpoints", ".book.json", ".doit.json"]
    parts += ["runs", "reports", "diffs", "runs.parquet"] if everything else []
    doomed = [p for p in (results / part for part in parts) if p.exists() or p.is_symlink()]
    named = [name for info in catalogue(PROJECT.get() / "notebooks") for name in info.figures]
    doomed += [
        path for name in named for kind in ("png", "svg", "pdf", "csv")
        if (path := figures_folder(figures, results) / f"{name}.{kind}").exists()
    ]  # fmt: skip
    if not doomed:
        say("nothing to remove")
        return
    if dry_run:
        for path in doomed:
            print(f"remove {path}")
        return
    if not yes:
        for path in doomed[:12]:
            say(f"  {path}")
        if doomed[12:]:
            say(f"  and {len(doomed) - 12} more")
        typer.confirm("Remove these?", abort=True, err=True)
    with alone(results):
        for path in doomed:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:  # another process may have removed it while this one waited
                path.unlink(missing_ok=True)
    say(f"removed {len(doomed)} files and folders")


def _clean_unused(
    results: Path, profiles: list[str], changes: dict[str, Any], yes: bool, dry_run: bool
) -> None:
    """Remove what nothing refers to; what was not shown is not removed."""
    from ffreport.pipeline.upkeep import unused
    from ffreport.runs.listing import size
    from ffreport.runs.store import Store

    store = Store(results)
    found, words = unused.find(store, unused.kept(PROJECT.get(), results, profiles, changes))
    for line in words:
        say(line)
    if not found:
        say("nothing to remove: every run is asked for")
        return
    if dry_run:
        for piece in found:
            print(f"remove {piece.path}  ({piece.what}, {size(piece.bytes)})")
    for line in unused.counted(found):
        say(f"  {line}")
    if dry_run:
        return
    if not yes:
        typer.confirm("Remove these?", abort=True, err=True)
    with alone(results):
        # Another pipeline may have trained, or published, since.
        still, _ = unused.find(store, unused.kept(PROJECT.get(), results, profiles, changes))
        doomed = unused.agreed(found, still)
        freed = unused.remove(store, doomed)
    say(f"removed {len(doomed):,} files and folders: {freed:,} bytes are free ({size(freed)})")
