"""Look at published versions: list, check, compare, trace them; the ledger of claims."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ffcore.errors import ConfigError, ReportError, StoreError, unknown
from ffreport.base.console import duration, plain
from ffreport.base.locks import alone
from ffreport.cli.options import RESULTS, DryRun, Results, opened, with_pipeline

if TYPE_CHECKING:
    from ffreport.pipeline.stages import Pipeline

LATEST = "latest"
VERSION = "A version: its name, the beginning of it, or its folder; the latest if none."
app = typer.Typer()


@app.command()
@with_pipeline()
def claims(
    pipeline: Pipeline,
    names: Annotated[list[str] | None, typer.Argument(help="Claims; all if none.")] = None,
) -> None:
    """Every claim of the papers beside what stored results say of it, with a verdict; where it is
    open, what is lacking, and how long that takes here."""
    from ffreport.analysis.claims import ledger
    from ffreport.pipeline.training import schedule

    known = {claim.name: claim for claim in ledger.ledger()}
    for name in names or []:
        if name not in known:
            raise unknown("claim", name, known)
    with alone(pipeline.results):
        found = ledger.table(pipeline.study, [known[name] for name in names or known])
        lacks = ledger.lacks(pipeline.study, found)
        here = schedule.times([lack.trainings for lack in lacks], pipeline.store)
    print(ledger.plain(found, here))
    print(f"profile {pipeline.profile.label}: {ledger.counts(found)}")


@app.command("reports")
def reports_(
    action: Annotated[str, typer.Argument(help="list, or open.")] = "list",
    version: Annotated[str, typer.Argument(help=VERSION)] = "",
    results: Results = RESULTS,
) -> None:
    """The published versions, oldest first, or one of them in the browser."""
    from ffreport.publish import versions as reports

    if action not in ("list", "open"):
        raise unknown("action", action, ("list", "open"))
    if action == "open":
        page = _version(version or LATEST, results) / "index.html"
        if not page.is_file():
            raise ReportError(f"{page.parent} has no page to open; see what is left with `verify`")
        print(page)
        typer.launch(page.resolve().as_uri())
        return
    for found in reports.versions(results):
        print(plain(f"{found.name}  {found.created}  {found.profile}"))


@app.command()
def verify(
    report: Annotated[str, typer.Option(help=VERSION)] = "",
    sample: Annotated[
        int | None, typer.Option(min=1, help="Train so many stored runs again, and compare.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another one draws another sample.")] = 0,
    profile: Annotated[
        str | None, typer.Option("--profile", "-p", help="Sample only what this profile trains.")
    ] = None,
    dry_run: DryRun = False,
    results: Results = RESULTS,
) -> None:
    """Check every file of a published version against its manifest; a changed byte is named, and
    what was added is listed. With --sample, train stored runs again: bitwise equal where hardware,
    packages and code are those of the run, else inside the recorded spread."""
    from ffreport.publish import versions as reports

    if sample is not None and not report:
        return _verify_sample(sample, seed, profile, results, dry_run)
    if sample is not None or profile is not None:
        raise ConfigError("choose --report VERSION, or --sample N with --profile")
    folder = _version(report or LATEST, results)
    problems = reports.verify(folder)
    if reports.damaged(problems):
        raise ReportError(f"{folder} is not as it was published: {', '.join(problems)}")
    print(f"{folder.resolve().name}: every file is as it was published")
    for extra in problems:
        print(plain(f"not of the report: {extra.removeprefix('extra: ')}"))


@app.command()
def trace(
    file: Annotated[Path, typer.Argument(help="A figure's PNG, SVG or PDF, from anywhere.")],
    results: Results = RESULTS,
) -> None:
    """Where a figure file came from: what it shows, and the command that makes it again."""
    from ffreport.publish import trace as tracing

    for name, value in tracing.record(file).items():
        print(plain(f"{name}: {value if isinstance(value, str) else json.dumps(value)}"))
    for place in tracing.published(file, results) or ["none here"]:
        print(plain(f"published in: {place}"))


@app.command()
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="The old version.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The new version.")],
    results: Results = RESULTS,
    into: Annotated[
        Path | None, typer.Option(help="File of the page; results/diffs/<A>--<B>.html if none.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print only; write no page.")] = False,
) -> None:
    """What changed between two published versions, and why: a summary, and a page that shows the
    changed cells and figures. A version is named by its name, the beginning of it, latest, or its
    folder."""
    from ffreport.publish.diff import compare
    from ffreport.publish.diff import page as diff_page
    from ffreport.publish.notebooks.notebook import write_atomically

    found = compare.compare(_version(a, results), _version(b, results))
    print("\n".join(map(plain, diff_page.summary(found))))
    if not found.same and not dry_run:
        page = into or results / "diffs" / f"{found.a.name}--{found.b.name}.html"
        write_atomically(page, diff_page.page(found))
        print(page)


def _version(name: str, results: Path) -> Path:
    """The folder of a published version, intact or not, by name, beginning or place."""
    from ffreport.publish import versions as reports

    if name == LATEST:
        return reports.latest(results)
    folders = sorted(p for p in (results / "reports").glob("[!.]*/") if not p.is_symlink())
    found = [p for p in folders if p.name == name]
    found = found or ([Path(name)] if (Path(name) / reports.MANIFEST).is_file() else [])
    found = found or [p for p in folders if name and p.name.startswith(name)]
    found = found or ([Path(name)] if name and Path(name).is_dir() else [])
    if not found:
        raise unknown("version", name, [*(p.name for p in folders), LATEST])
    if len(found) > 1:
        raise ConfigError(
            f"version {name!r} may be {' or '.join(p.name for p in found)}; give more of its name"
        )
    return found[0]


def _verify_sample(
    count: int, seed: int, profile: str | None, results: Path, dry_run: bool
) -> None:
    """Train a sample of stored runs again; an error unless all could be, and came out as stored."""
    from ffreport.pipeline.upkeep import verify as verification
    from ffreport.runs.store import Store

    only = {*opened(profile, results=results).experiments} if profile else None
    store = Store(results)
    chosen = verification.drawn(store, count, seed, only)
    if dry_run:
        for run in chosen:
            spent = duration(sum(run.seconds.values()))
            print(f"train {run.experiment.name} again (it took {spent})")
        return
    with alone(results):
        found = verification.verify(store, chosen, os.environ.get("FFCORE_DATA"))
    print(verification.table(found))
    if failed := [f"{v.name}: {v.verdict}, {v.compared}" for v in found if v.failed]:
        raise StoreError(f"{len(failed)} of {len(found)} are not as stored; first {failed[0]}")
    if lacking := [v for v in found if not v.verified]:
        raise StoreError(f"{len(lacking)} of {len(found)} runs were not verified, see above")
