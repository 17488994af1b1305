#!/usr/bin/env python
"""The command line: from nothing to a versioned report, or any single step of it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffcore.console import duration, say, watch_signals
from ffcore.errors import ConfigError, FFError, ReportError, StoreError, unknown

if TYPE_CHECKING:
    from ffcore.stages import Pipeline

ROOT = Path(__file__).resolve().parent
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

ProfileName = Annotated[
    str, typer.Option("--profile", "-p", help="smoke, quick, paper, or a YAML file.")
]
Dataset = Annotated[
    str | None, typer.Option(help="Use this data set in every experiment of the profile.")
]
Seeds = Annotated[str | None, typer.Option(help="Seeds instead of the profile's: 0,1,2 or 0-9.")]
Epochs = Annotated[int | None, typer.Option(help="Epochs instead of the profile's.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu or cuda.")]
Precision = Annotated[str | None, typer.Option(help="fp32, tf32 or bf16.")]
Results = Annotated[Path, typer.Option(help="Folder of runs and reports.")]
Figures = Annotated[
    Path | None,
    typer.Option(help="Folder of the newest figures; beside other results, with --results."),
]
RESULTS, FIGURES, MARKER = Path("results"), Path("figures"), ".ffcore"


@app.command("all")
def all_(
    profile: ProfileName = "quick",
    dataset: Dataset = None,
    seeds: Seeds = None,
    epochs: Epochs = None,
    device: Device = None,
    precision: Precision = None,
    results: Results = RESULTS,
    figures: Figures = None,
) -> None:
    """Do whatever is missing for the profile: data, training, notebooks, report."""
    began = time.monotonic()
    changes = _changes(dataset, seeds, epochs, device, precision)
    pipeline = _pipeline(profile, changes, results, figures)
    with _alone(results):
        pipeline.build(list(pipeline.notebooks))
        version = pipeline.publish(list(pipeline.notebooks))
    say(f"done in {duration(time.monotonic() - began)}; open the report at:")
    print(version / "index.html")


@app.command()
def train(
    profile: ProfileName = "quick",
    dataset: Dataset = None,
    seeds: Seeds = None,
    epochs: Epochs = None,
    device: Device = None,
    precision: Precision = None,
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
    results: Results = RESULTS,
) -> None:
    """Train what is missing, and show what came out. Naming a factor leaves out the rest of the
    grid and the sparsity studies."""
    from ffcore.config import legal
    from ffcore.profiles import PARTS

    pipeline = _pipeline(
        profile, _changes(dataset, seeds, epochs, device, precision), results, FIGURES
    )
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
    with _alone(results):
        if not pipeline.train(experiments):
            say(f"nothing to train: all {len(experiments)} experiments are stored")
    for e in experiments:
        run = pipeline.store.load(e)
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


@app.command()
def report(
    names: Annotated[list[str] | None, typer.Argument(help="Reports; all if none.")] = None,
    profile: ProfileName = "quick",
    dataset: Dataset = None,
    seeds: Seeds = None,
    epochs: Epochs = None,
    device: Device = None,
    precision: Precision = None,
    results: Results = RESULTS,
    figures: Figures = None,
) -> None:
    """Make a report from stored results, without training."""
    changes = _changes(dataset, seeds, epochs, device, precision)
    pipeline = _pipeline(profile, changes, results, figures)
    with _alone(results):
        # The explorer shows what rq2_taxonomy tells, and comes with it.
        told = ["rq2_taxonomy" if name == "explorer" else name for name in names or []]
        chosen = list(dict.fromkeys(told)) or list(pipeline.notebooks)
        pipeline.build(chosen, train=False)
        print(pipeline.publish(chosen) / "index.html")


@app.command()
def figure(
    names: Annotated[list[str], typer.Argument(help="Figures, see `list`.")],
    profile: ProfileName = "quick",
    dataset: Dataset = None,
    seeds: Seeds = None,
    epochs: Epochs = None,
    device: Device = None,
    precision: Precision = None,
    results: Results = RESULTS,
    figures: Figures = None,
) -> None:
    """Make single figures again from stored results, in seconds, without training."""
    changes = _changes(dataset, seeds, epochs, device, precision)
    pipeline = _pipeline(profile, changes, results, figures)
    legal = [name for info in pipeline.notebooks.values() for name in info.figures]
    for name in names:
        if name not in legal:
            raise unknown("figure", name, legal)
    with _alone(results):
        for name in names:
            for path in pipeline.figure(name):
                print(path)


@app.command()
def explorer(
    profile: ProfileName = "quick",
    dataset: Dataset = None,
    seeds: Seeds = None,
    epochs: Epochs = None,
    device: Device = None,
    precision: Precision = None,
    results: Results = RESULTS,
) -> None:
    """Make the page that explores every network's latents, from stored results."""
    changes = _changes(dataset, seeds, epochs, device, precision)
    pipeline = _pipeline(profile, changes, results, FIGURES)
    with _alone(results):
        pipeline.build(["explorer"], train=False)
        print(pipeline.made("explorer"))


@app.command()
def share(
    into: Annotated[
        Path, typer.Option(help="Folder of the tables; the project's own is shipped.")
    ] = ROOT / "shipped",
    latents: Annotated[
        bool, typer.Option(help="Measure latents, too, for the tables of RQ2 (needs the data).")
    ] = True,
    results: Results = RESULTS,
) -> None:
    """Add summaries, histories and measures of latents of all stored networks, and what sparsity
    runs measured, to tables that others can report from."""
    from ffcore import sharing, shipped
    from ffcore.store import Store

    with _alone(results):
        stored = Store(results).all()
        runs = [r for r in stored if r.experiment.kind == "network"]
        if not stored:
            raise StoreError(
                f"nothing is stored in {results}; train with `python pipeline.py train`"
            )
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
    version: Annotated[str, typer.Argument(help="A version; the latest if none.")] = "",
    results: Results = RESULTS,
) -> None:
    """The published versions, oldest first, or one of them in the browser."""
    from ffcore import reports

    if action not in ("list", "open"):
        raise unknown("action", action, ("list", "open"))
    if action == "open":
        page = _version(version, results) / "index.html"
        print(page)
        typer.launch(page.resolve().as_uri())
        return
    for found in reports.versions(results):
        print(f"{found.name}  {found.created}  {found.profile}")


@app.command()
def verify(
    report: Annotated[str, typer.Option(help="A version; the latest if none.")] = "",
    results: Results = RESULTS,
) -> None:
    """Check every file of a published version against its manifest; a changed byte is named."""
    from ffcore import reports

    folder = _version(report, results)
    if problems := reports.verify(folder):
        raise ReportError(f"{folder} is not as it was published: {', '.join(problems)}")
    print(f"{folder.name}: every file is as it was published")


@app.command()
def trace(
    file: Annotated[Path, typer.Argument(help="A figure's PNG, SVG or PDF, from anywhere.")],
    results: Results = RESULTS,
) -> None:
    """Where a figure file came from: what it shows, and the command that makes it again."""
    from ffcore import tracing

    for name, value in tracing.record(file).items():
        print(f"{name}: {value if isinstance(value, str) else json.dumps(value)}")
    for place in tracing.published(file, results) or ["none here"]:
        print(f"published in: {place}")


def _version(name: str, results: Path) -> Path:
    """The folder of a published version, the latest for none."""
    from ffcore import reports

    if not name:
        return reports.latest(results)
    found = {version.name: version.folder for version in reports.versions(results)}
    if name not in found:
        raise unknown("version", name, found)
    return found[name]


@app.command("list")
def list_(profile: ProfileName = "quick", figures: Figures = None) -> None:
    """Reports, their figures and tables."""
    pipeline = _pipeline(profile, {}, RESULTS, figures)
    for name, info in pipeline.notebooks.items():
        print(f"{name}: {info.title}")
        for item in info.figures:
            made = pipeline.figures / f"{item}.png"
            state = _when(made) if made.exists() else "not made yet"
            print(f"  figure {item}  ({state})")
        for item in info.tables:
            print(f"  table  {item}")


@app.command()
def status(
    profile: ProfileName = "quick",
    dataset: Dataset = None,
    seeds: Seeds = None,
    epochs: Epochs = None,
    device: Device = None,
    precision: Precision = None,
    results: Results = RESULTS,
) -> None:
    """What is trained, what is missing, and which reports are up to date."""
    changes = _changes(dataset, seeds, epochs, device, precision)
    pipeline = _pipeline(profile, changes, results, FIGURES)
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
    latest = results / "reports" / "latest"
    print(f"  latest version: {os.path.realpath(latest) if latest.exists() else 'none yet'}")


@app.command()
def why(
    name: Annotated[
        str, typer.Argument(help="A report, a figure, or an experiment's name or key.")
    ],
    profile: ProfileName = "quick",
    dataset: Dataset = None,
    seeds: Seeds = None,
    epochs: Epochs = None,
    device: Device = None,
    precision: Precision = None,
    results: Results = RESULTS,
) -> None:
    """Why something would be made again."""
    changes = _changes(dataset, seeds, epochs, device, precision)
    pipeline = _pipeline(profile, changes, results, FIGURES)
    owners = {f: n for n, info in pipeline.notebooks.items() for f in (n, *info.figures)}
    owners["explorer"] = "explorer"
    if name in owners:
        print(f"{owners[name]}: {pipeline.pending(owners[name]) or 'up to date'}")
        return
    found = {e.name: e for e in pipeline.experiments} | {e.key: e for e in pipeline.experiments}
    if name not in found:
        raise unknown("report, figure or experiment", name, [*owners, *list(found)[:3]])
    state = pipeline.states([found[name]])[found[name]]
    print(
        f"{found[name].name}: {'up to date' if state.usable else f'{state.name}, {state.reason}'}"
    )


@app.command()
def bench(
    dataset: Annotated[str, typer.Option(help="mnist for the figures that we quote.")] = "mnist",
    steps: Annotated[int, typer.Option(min=2, help="Training steps timed; 118: an epoch.")] = 118,
    only: Annotated[str | None, typer.Option(help="training, latents or sparsity.")] = None,
    results: Results = RESULTS,
) -> None:
    """Measure speed side by side: the engine, the plain way to train, the bare machine; RQ2's
    measures and diagrams, beside ripser's; checks of the sparsity theorems, beside training."""
    from ffcore import bench as benchmark
    from ffcore import data, latent_bench, sparsity_bench
    from ffcore.digests import package_versions
    from ffcore.workers import hardware

    parts = {
        "training": ("bench.csv", lambda: benchmark.measure(data.load(dataset), say, steps)),
        "latents": ("bench_latents.csv", lambda: latent_bench.measure(dataset, say, root=ROOT)),
        "sparsity": ("bench_sparsity.csv", lambda: sparsity_bench.measure(dataset, say)),
    }
    if only not in (None, *parts):
        raise unknown("part of the benchmark", only, parts)
    say(f"{hardware()}; PyTorch {package_versions(['torch'])['torch']}")
    with _alone(results):
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
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    results: Results = RESULTS,
    figures: Figures = None,
) -> None:
    """Remove what the pipeline made: work files, caches and figures; with --all everything."""
    if results.exists() and not (results / MARKER).exists():
        raise ConfigError(
            f"{results} was not made by this pipeline (it lacks {MARKER}); nothing was removed"
        )
    from ffcore.catalogue import catalogue

    parts = ["work", "cache", "failed", ".doit.json"]
    parts += ["runs", "reports", "runs.parquet"] if everything else []
    doomed = [p for p in (results / part for part in parts) if p.exists() or p.is_symlink()]
    named = [name for info in catalogue(ROOT / "notebooks") for name in info.figures]
    doomed += [
        path for name in named for kind in ("png", "svg", "pdf", "csv")
        if (path := _figures(figures, results) / f"{name}.{kind}").exists()
    ]  # fmt: skip
    if not doomed:
        say("nothing to remove")
        return
    if not yes:
        for path in doomed[:12]:
            say(f"  {path}")
        if doomed[12:]:
            say(f"  and {len(doomed) - 12} more")
        typer.confirm("Remove these?", abort=True, err=True)
    with _alone(results):
        for path in doomed:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    say(f"removed {len(doomed)} files and folders")


@data_app.command()
def check(
    names: Annotated[list[str] | None, typer.Argument(help="Data sets; all if none.")] = None,
) -> None:
    """Which data sets are there and intact; fails if a named one is not."""
    from ffcore import data

    failed = False
    for name in names or data.NAMES:
        found = data.check(name)
        print(f"{name:14} {found.state:8} {found.detail}")
        failed |= found.state == "damaged" or (bool(names) and found.state != "ok")
    if failed:
        raise typer.Exit(1)


@data_app.command()
def fetch(names: Annotated[list[str], typer.Argument(help="Data sets to download.")]) -> None:
    """Download data sets, every file checked."""
    from ffcore import data

    for name in names:
        if name not in data.NAMES:
            raise unknown("data set", name, data.NAMES)
    for name in names:
        data.fetch(name, progress=say)
        print(f"{name}: {data.check(name).detail}")


def _changes(
    dataset: str | None, seeds: str | None, epochs: int | None, device: str | None,
    precision: str | None,
) -> dict[str, Any]:  # fmt: skip
    """The overrides of the command line, checked as far as no profile is needed."""
    from ffcore import data

    if dataset is not None and dataset not in data.NAMES:
        raise unknown("data set", dataset, data.NAMES)
    given = dict(dataset=dataset, seeds=_seeds(seeds), epochs=epochs, device=device,
                 precision=precision)  # fmt: skip
    return {k: v for k, v in given.items() if v is not None}


def _seeds(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        found: list[int] = []
        for part in text.split(","):
            first, dash, last = part.partition("-")
            found += range(int(first), int(last) + 1) if dash else [int(first)]
    except ValueError:
        raise ConfigError(f"seeds {text!r} are no list such as 0,1,2 or 0-9") from None
    if not found:
        raise ConfigError(f"seeds {text!r} name no seed")
    return list(dict.fromkeys(found))


def _pipeline(
    profile: str, changes: dict[str, Any], results: Path, figures: Path | None
) -> Pipeline:
    from ffcore.stages import Pipeline
    from ffcore.study import read_profile

    return Pipeline(
        ROOT, read_profile(profile, changes, ROOT), results, _figures(figures, results),
        os.environ.get("FFCORE_DATA"),
    )  # fmt: skip


def _when(path: Path) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))


@contextmanager
def _alone(results: Path) -> Iterator[None]:
    """Hold the results folder's lock; wait for another pipeline, and say for which."""
    from filelock import FileLock, Timeout

    try:
        results.mkdir(parents=True, exist_ok=True)
        (results / MARKER).touch()
        owner = results / ".lock.json"
        lock = FileLock(results / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            who = _owner(owner)
            say(f"waiting for another pipeline in {results} (process {who.get('pid', 'unknown')}: "
                f"{who.get('command', 'unknown')})")  # fmt: skip
            lock.acquire()
        owner.write_text(json.dumps({"pid": os.getpid(), "command": " ".join(sys.argv[1:])}))
    except OSError as error:
        raise ConfigError(
            f"cannot write to the results folder {results}: {error.strerror or error}; "
            "make it writable or choose another with --results"
        ) from None
    try:
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _owner(path: Path) -> dict[str, Any]:
    """Who holds the lock, as far as it can be read."""
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def _figures(figures: Path | None, results: Path) -> Path:
    """The folder of figures: as said, else beside the results where those lie elsewhere."""
    return figures or (FIGURES if results == RESULTS else results / "figures")


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
            raise
        context = getattr(error, "ctx", None)
        say(f"error: {usage()}")
        say(f"try `{context.command_path} --help`" if context else "try `--help`")
        return 2
    if code == 130:
        say("interrupted; what was finished is stored, run the same command again to go on")
    return code


if __name__ == "__main__":
    sys.exit(main())
