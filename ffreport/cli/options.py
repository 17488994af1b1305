"""The command-line options that many commands share, and the pipeline that they select."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from ffcore.errors import ConfigError
from ffreport.base.console import duration

if TYPE_CHECKING:
    from ffreport.pipeline.plans import Step
    from ffreport.pipeline.stages import Pipeline

RESULTS, FIGURES = Path("results"), Path("figures")
PROJECT: ContextVar[Path] = ContextVar("PROJECT")  # the folder that the command line runs for
MOST = 100_000  # seeds in an option

ProfileName = Annotated[
    str, typer.Option("--profile", "-p", help="smoke, quick, paper, or a YAML file.")
]
Results = Annotated[Path, typer.Option(help="Folder of runs and reports.")]
Figures = Annotated[
    Path | None,
    typer.Option(help="Folder of the newest figures; beside other results, with --results."),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        help="Train and measure on this Dask cluster: tcp://HOST:PORT, or a scheduler file (.json)."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; do nothing.")]


def opened(
    profile: ProfileName = "quick",
    dataset: Annotated[
        str | None,
        typer.Option(help="Use this data set, or your own at a path, in every experiment."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Seeds instead of the profile's: 0,1,2 or 0-9.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs instead of the profile's.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32, tf32 or bf16.")] = None,
    results: Results = RESULTS,
    figures: Figures = None,
    cluster: Cluster = None,
) -> Pipeline:
    """The pipeline that these options select.

    Raises:
        ConfigError: an unknown profile, data set or value.
    """
    from ffreport.pipeline.stages import Pipeline
    from ffreport.study.study import read_profile

    project = PROJECT.get()
    changes = overrides(dataset, seeds, epochs, device, precision)
    return Pipeline(
        project, read_profile(profile, changes, project), results, figures_folder(figures, results),
        os.environ.get("FFCORE_DATA"), cluster,
    )  # fmt: skip


def overrides(
    dataset: str | None = None,
    seeds: str | None = None,
    epochs: int | None = None,
    device: str | None = None,
    precision: str | None = None,
) -> dict[str, Any]:
    """What these options change of a profile, for ``read_profile``.

    Raises:
        ConfigError: an unknown data set, or seeds that are no list.
    """
    from ffreport.data import sources

    dataset = None if dataset is None else sources.resolve(dataset)
    given = dict(dataset=dataset, seeds=_seeds(seeds), epochs=epochs, device=device,
                 precision=precision)  # fmt: skip
    return {k: v for k, v in given.items() if v is not None}


def with_pipeline(works: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options of ``opened`` in the place of its parameter ``pipeline``.

    Args:
        works: the command trains or measures, and may have that done on a cluster.
    """
    left = set() if works else {"cluster"}
    shared = {n: p for n, p in inspect.signature(opened).parameters.items() if n not in left}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = {n: p for n, p in inspect.signature(command).parameters.items() if n != "pipeline"}
        hints: dict[str, Any] = {}
        for function in (opened, command):
            hints |= get_type_hints(function, include_extras=True, localns={"Pipeline": Any})

        @wraps(command)
        def called(**values: Any) -> None:
            mine = {name: values.pop(name) for name in own}
            command(pipeline=opened(**values), **mine)

        parameters = [p.replace(annotation=hints[n]) for n, p in {**own, **shared}.items()]
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {n: hints[n] for n in (*own, *shared)}
        del called.__wrapped__
        return called

    return decorate


def figures_folder(figures: Path | None, results: Path) -> Path:
    """The folder of figures: as said, else beside the results where those lie elsewhere."""
    return figures or (FIGURES if results == RESULTS else results / "figures")


def planned(steps: list[Step]) -> None:
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


def _seeds(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        found: list[int] = []
        for part in text.split(","):
            first, dash, last = part.partition("-")
            named = range(int(first), int(last) + 1) if dash else [int(first)]
            if len(found) + len(named[: MOST + 1]) > MOST:
                raise ConfigError(f"--seeds {text} names more than {MOST:,} seeds")
            found += named
    except ValueError:
        raise ConfigError(f"seeds {text!r} are no list such as 0,1,2 or 0-9") from None
    if not found:
        raise ConfigError(f"seeds {text!r} name no seed")
    return list(dict.fromkeys(found))
