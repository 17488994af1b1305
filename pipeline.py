#!/usr/bin/env python
"""The command line: from nothing to a versioned report, or any single step of it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections import Counter
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffcore.errors import ConfigError, FFError, ReportError, StoreError, of_system, unknown
from ffreport.base.console import duration, plain, say, watch_signals
from ffreport.base.locks import MARKER, alone
from ffreport.cli.options import (
    RESULTS,
    DryRun,
    Figures,
    ProfileName,
    Results,
    figures_folder,
    opened,
    overrides,
    with_pipeline,
)

if TYPE_CHECKING:
    from ffreport.pipeline.plans import Step
    from ffreport.pipeline.stages import Pipeline

ROOT = Path(__file__).resolve().parent
LATEST = "latest"
VERSION = "A version: its name, the beginning of it, or its folder; the latest if none."
app = typer.Typer(
    help="Reproduce Polar-FFA (arXiv 2408.09210) and the sparsity theory of Forward-Forward "
    "(arXiv 2311.05667): train, measure, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Look at the data sets, or download them.", no_args_is_help=True)
app.add_typer(data_app, name="data")


@app.command("all")
@with_pipeline(ROOT, works=True)
def all_(pipeline: Pipeline, dry_run: DryRun = False) -> None:
    """Do whatever is missing for the profile: data, training, notebooks, report."""
    from ffreport.pipeline import plans, publishing

    began = time.monotonic()
    reports = list(pipeline.notebooks)
    if dry_run:
        return _planned(plans.plan(pipeline, reports))
    with alone(pipeline.results):
        pipeline.build(reports)
        version = publishing.publish(pipeline, reports)
    say(f"done in {duration(time.monotonic() - began)}; open the report at:")
    print(version / "index.html")


@app.command()
@with_pipeline(ROOT, works=True)
def train(
    pipeline: Pipeline,
    norm: Annotated[str | None, typer.Option(help="Only this norm: l2sq, l2 or l1.")] = None,
    aggregation: Annotated[str | None, typer.Option(help="Only sum or only mean.")] = None,
    inhibition: Annotated[str | None, typer.Option(help="Only none or only wta.")] = None,
    activation: Annotated[str | None, typer.Option(help="Only relu, sigmoid or tanh.")] = None,
    probability: Annotated[
        str | None, typer.Option(help="Only ffa-sigmoid, sigmoid or symmetric.")
    ] = None,
    only: Annotated[
        str | None, typer.Option(help="Only rq1, polarity, choices (or all networks), or sparsity.")
    ] = None,
    missing: Annotated[
        bool,
        typer.Option(
            "--missing",
            help="Leave out what is shipped, or stored in another number format, "
            "for all its epochs.",
        ),
    ] = False,
    for_claims: Annotated[
        bool,
        typer.Option("--for-claims", help="First what settles most claims of the papers an hour."),
    ] = False,
    hours: Annotated[
        str | None,
        typer.Option(metavar="HOURS", help="Begin only what is predicted to end within so long."),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Train what is missing, and show what came out. Naming a factor leaves out the rest of the
    grid and the sparsity studies."""
    from ffcore.config import legal
    from ffreport.analysis.claims import ledger
    from ffreport.pipeline import plans
    from ffreport.pipeline.training import schedule
    from ffreport.study.profiles import PARTS

    chosen = dict(norm=norm, aggregation=aggregation, inhibition=inhibition,
                  activation=activation, probability=probability)  # fmt: skip
    wanted = {f: v for f, v in chosen.items() if v is not None}
    for factor, value in wanted.items():
        if value not in legal(factor):
            raise unknown(factor, value, legal(factor))
    if only not in (None, "networks", "sparsity", *PARTS):
        raise unknown("part of the profile", only, (*PARTS, "networks", "sparsity"))
    if only == "sparsity" and wanted:
        raise ConfigError("--only sparsity leaves no network; leave out " + ", ".join(
            f"--{f}" for f in wanted))  # fmt: skip
    parts = [only] if only in PARTS else []
    experiments: list[Any] = [
        *([] if only == "sparsity" else pipeline.profile.networks(*parts)),
        *(pipeline.profile.sparsity_runs() if only in (None, "sparsity") else []),
    ]
    if wanted:
        experiments = [
            e for e in experiments
            if e.kind == "network" and all(getattr(e, f) == v for f, v in wanted.items())
        ]  # fmt: skip
    if not experiments:
        named = ", ".join(f"{f} {v}" for f, v in wanted.items())
        raise ConfigError(
            f"profile {pipeline.profile.label} has no {only or 'network'}"
            + (f" with {named}" if named else "")
        )
    limit = schedule.hours(hours)
    chosen_of_them = missing or for_claims or limit is not None
    if dry_run and not chosen_of_them:
        return _planned(plans.training_plan(pipeline, experiments))

    def agenda() -> schedule.Agenda:
        return schedule.agenda(
            pipeline.profile, pipeline.evidence, pipeline.states(experiments),
            pipeline.data_folder, ledger.ledger() if for_claims else None, missing, limit,
        )  # fmt: skip

    if dry_run:
        for line in schedule.lines(agenda(), pipeline.profile):
            print(line)
        return
    with alone(pipeline.results):
        todo = agenda() if chosen_of_them else None
        for line in todo.left_out() if todo else ():
            say(line)
        if not pipeline.train(experiments, todo) and not todo:
            say(f"nothing to train: all {len(experiments)} experiments are stored")
    stored = pipeline.store.usable(experiments) if todo else map(pipeline.store.load, experiments)
    for run in stored:
        e = run.experiment
        if e.kind == "network":
            shown = (f"{k} {100 * run.summary[k]:.2f} %" for k in ("best", "last", "selected")
                     if run.summary[k] is not None)  # fmt: skip
            spent = duration(sum(run.seconds.values()))
            print(f"{e.name}: {', '.join(shown)} test accuracy, trained in {spent}")
        else:
            when = "training" if e.epochs else "initial"
            shares = [f"{100 * run.summary[f'theorem2_{side}_satisfied_{when}']:.1f} % of {side}s"
                      for side in ("positive", "negative")]  # fmt: skip
            during = "in training" if e.epochs else "at initialisation"
            print(f"{e.name}: Theorem 2 holds {during} for {' and '.join(shares)}")
    if todo:
        say(todo.ended())


@app.command()
@with_pipeline(ROOT, works=True)
def report(
    pipeline: Pipeline,
    names: Annotated[list[str] | None, typer.Argument(help="Reports; all if none.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Make a report from stored results, without training."""
    from ffreport.pipeline import plans, publishing

    # The explorer shows what rq2_taxonomy tells, and comes with it.
    told = ["rq2_taxonomy" if name == "explorer" else name for name in names or []]
    chosen = list(dict.fromkeys(told)) or list(pipeline.notebooks)
    if dry_run:
        return _planned(plans.plan(pipeline, chosen, train=False))
    with alone(pipeline.results):
        pipeline.build(chosen, train=False)
        print(publishing.publish(pipeline, chosen) / "index.html")


@app.command()
@with_pipeline(ROOT, works=True)
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
@with_pipeline(ROOT, works=True)
def explorer(pipeline: Pipeline, dry_run: DryRun = False) -> None:
    """Make the page that explores every network's latents, from stored results."""
    from ffreport.pipeline import plans

    if dry_run:
        return _planned(plans.plan(pipeline, ["explorer"], train=False))
    with alone(pipeline.results):
        pipeline.build(["explorer"], train=False)
        print(pipeline.made("explorer"))


@app.command()
@with_pipeline(ROOT)
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


@app.command()
def share(
    into: Annotated[
        Path, typer.Option(help="Folder of the tables; the project's own is shipped.")
    ] = ROOT / "shipped",
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
    from ffreport.runs import shipped
    from ffreport.runs.store import Store

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
            added, replaced = shipped.write(into, runs) if runs else (0, 0)
            more, again = sharing.studies(into, stored)
            measured = sharing.latents(into, runs, results) if latents and runs else 0
    print(
        f"{into}: {added} networks added, {replaced} replaced; {more} sparsity runs added, "
        f"{again} replaced; latents of {measured} networks measured"
    )


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
    """Check every file of a published version against its manifest; a changed byte is named. With
    --sample, train stored runs again: bitwise equal where hardware, packages and code are those of
    the run, else inside the recorded spread."""
    from ffreport.publish import versions as reports

    if sample is not None and not report:
        return _verify_sample(sample, seed, profile, results, dry_run)
    if sample is not None or profile is not None:
        raise ConfigError("choose --report VERSION, or --sample N with --profile")
    folder = _version(report or LATEST, results)
    if problems := reports.verify(folder):
        raise ReportError(f"{folder} is not as it was published: {', '.join(problems)}")
    print(f"{folder.resolve().name}: every file is as it was published")


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
    from ffreport.publish.diff import words as diff_words
    from ffreport.publish.notebooks.notebook import write_atomically

    found = compare.compare(_version(a, results), _version(b, results))
    print("\n".join(map(plain, diff_words.summary(found))))
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

    only = {*opened(ROOT, profile, results=results).experiments} if profile else None
    store = Store(results)
    if dry_run:
        for run in verification.drawn(store, count, seed, only):
            spent = duration(sum(run.seconds.values()))
            print(f"train {run.experiment.name} again (it took {spent})")
        return
    with alone(results):
        found = verification.verify(store, count, seed, only, os.environ.get("FFCORE_DATA"))
    print(verification.table(found))
    if failed := [f"{v.name}: {v.verdict}, {v.compared}" for v in found if v.failed]:
        raise StoreError(f"{len(failed)} of {len(found)} are not as stored; first {failed[0]}")
    if lacking := [v for v in found if not v.verified]:
        raise StoreError(f"{len(lacking)} of {len(found)} runs were not verified, see above")


@app.command("list")
def list_(profile: ProfileName = "quick", figures: Figures = None) -> None:
    """Reports, their figures and tables."""
    pipeline = opened(ROOT, profile, figures=figures)
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
    asked = opened(ROOT, profile, results=results).experiments if profile else None
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
@with_pipeline(ROOT)
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
    for name in (*pipeline.notebooks, "explorer"):
        print(f"  report {name}: {pipeline.pending(name) or 'up to date'}")
    latest = pipeline.results / "reports" / "latest"
    print(f"  latest version: {os.path.realpath(latest) if latest.exists() else 'none yet'}")


@app.command()
@with_pipeline(ROOT)
def why(
    pipeline: Pipeline,
    name: Annotated[
        str, typer.Argument(help="A report, a figure, or an experiment's name or key; all if none.")
    ] = "",
) -> None:
    """What would be made again, why, and how long it would take."""
    from ffreport.pipeline import plans

    if not name:
        return _planned(plans.plan(pipeline, list(pipeline.notebooks)))
    owners = {f: n for n, info in pipeline.notebooks.items() for f in (n, *info.figures)}
    owners["explorer"] = "explorer"
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
def bench(
    dataset: Annotated[str, typer.Option(help="mnist for the figures that we quote.")] = "mnist",
    steps: Annotated[int, typer.Option(min=2, help="Training steps timed; 118: an epoch.")] = 118,
    only: Annotated[
        str | None, typer.Option(help="training, latents, sparsity, start or cluster.")
    ] = None,
    dry_run: DryRun = False,
    results: Results = RESULTS,
) -> None:
    """Measure speed side by side: the engine, the plain way to train, the bare machine; RQ2's
    measures and diagrams, beside ripser's; checks of the sparsity theorems, beside training; the
    start of commands with 5,000 runs in the store; what a cluster costs, and a model of what it
    brings (with the extra `cluster`)."""
    from ffreport.base.digests import package_versions
    from ffreport.compute.pool import hardware
    from ffreport.data import load
    from ffreport.pipeline.bench import cluster, sparsity, start
    from ffreport.pipeline.bench import latents as latent_bench
    from ffreport.pipeline.bench import training as benchmark

    parts = {
        "training": ("bench.csv", lambda: benchmark.measure(load.load(dataset), say, steps)),
        "latents": ("bench_latents.csv", lambda: latent_bench.measure(dataset, say, root=ROOT)),
        "sparsity": ("bench_sparsity.csv", lambda: sparsity.measure(dataset, say)),
        "start": ("bench_start.csv", lambda: start.measure(ROOT, say)),
        "cluster": ("bench_cluster.csv", lambda: cluster.measure(dataset, say)),
    }
    if only is None and not find_spec("distributed"):
        del parts["cluster"]
    if only not in (None, *parts):
        raise unknown("part of the benchmark", only, parts)
    if dry_run:
        for part in [only] if only else parts:
            on = "digits" if part == "start" else dataset
            print(f"measure {part} on {on}, write {results / parts[part][0]}")
        return
    say(f"{hardware()}; PyTorch {package_versions(['torch'])['torch']}")
    with alone(results):
        for part in [only] if only else parts:
            file, measure = parts[part]
            rows = []
            for row in measure():
                rows.append(row)
                print(f"{row.what:52} {row.value:9.2f} {row.unit:8} {row.target}")
            benchmark.write(rows, results / file, hardware())


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

    parts = ["work", "cache", "failed", "checkpoints", ".doit.json"]
    parts += ["runs", "reports", "diffs", "runs.parquet"] if everything else []
    doomed = [p for p in (results / part for part in parts) if p.exists() or p.is_symlink()]
    named = [name for info in catalogue(ROOT / "notebooks") for name in info.figures]
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
    found, words = unused.find(store, unused.kept(ROOT, results, profiles, changes))
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
        still, _ = unused.find(store, unused.kept(ROOT, results, profiles, changes))
        doomed = unused.agreed(found, still)
        freed = unused.remove(store, doomed)
    say(f"removed {len(doomed):,} files and folders: {freed:,} bytes are free ({size(freed)})")


@data_app.command()
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


@data_app.command()
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


def _planned(steps: list[Step]) -> None:
    """Print what would be done, and how long all of it would take."""
    for step in steps:
        print(step)
    known = [step.seconds for step in steps if step.seconds is not None]
    new = len(steps) - len(known)
    if not steps:
        print("nothing to do")
    elif len(steps) > 1 and known:
        print(
            f"in all: about {duration(sum(known))}{f', and {new} never done here' if new else ''}"
        )


def _when(path: Path) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))


def main() -> int:
    """Run the command line; every failure that a user can act on is one message."""
    watch_signals()
    if folder := os.environ.get("FFCORE_DATA"):
        # Workers and kernels inherit it, and notebooks run in a folder of their own.
        os.environ["FFCORE_DATA"] = str(Path(folder).resolve())
    try:
        code = app(standalone_mode=False)
        code = code if isinstance(code, int) else 0
    except typer.Exit as done:
        code = done.exit_code
    except KeyboardInterrupt:
        code = 130
    except typer.Abort:
        say("not confirmed; nothing was done")
        return 1
    except FFError as error:
        say(f"error: {error}")
        return 1
    except Exception as error:
        usage = getattr(error, "format_message", None)
        if usage is None:
            if (known := of_system(error)) is None:
                raise
            say(f"error: {known}")
            return 1
        context = getattr(error, "ctx", None)
        say(f"error: {usage()}")
        say(f"try `{context.command_path} --help`" if context else "try `--help`")
        return 2
    if code == 130:
        say("interrupted; what was finished is stored, run the same command again to go on")
    return code


if __name__ == "__main__":
    sys.exit(main())
