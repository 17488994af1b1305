"""Train what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffcore.errors import ConfigError, unknown
from ffreport.base.console import duration, say
from ffreport.base.locks import alone
from ffreport.cli.options import DryRun, planned, with_pipeline

if TYPE_CHECKING:
    from ffreport.pipeline.stages import Pipeline

app = typer.Typer()


@app.command()
@with_pipeline(works=True)
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
        return planned(plans.training_plan(pipeline, experiments))

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
