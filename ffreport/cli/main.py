"""The command line: from nothing to a versioned report, or any single step of it."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from ffcore.errors import ConfigError, FFError, of_system
from ffreport.base.console import make_streams_safe, say, watch_signals
from ffreport.base.home import home
from ffreport.cli import bench, clean, data, make, reports, runs, train
from ffreport.cli.options import PROJECT

app = typer.Typer(
    help="Reproduce Polar-FFA (arXiv 2408.09210) and the sparsity theory of Forward-Forward "
    "(arXiv 2311.05667): train, measure, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for family in (make, train, reports, runs, bench, clean):
    app.add_typer(family.app)
app.add_typer(
    data.app, name="data", help="Look at the data sets, or download them.", no_args_is_help=True
)


def main(project: Path) -> int:
    """Run the command line; every failure that a user can act on is one message.

    Args:
        project: folder of the notebooks, profiles and shipped tables.
    """
    make_streams_safe()
    watch_signals()
    try:
        if folder := os.environ.get("FFCORE_DATA"):
            from ffreport.data.own import at_home

            # Workers and kernels inherit it, and notebooks run in a folder of their own.
            os.environ["FFCORE_DATA"] = str(at_home(folder).resolve())
        PROJECT.set(project)
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


def installed() -> int:
    """The command line of an installed package, with the project that came with it."""
    try:
        project = home()
    except ConfigError as error:
        say(f"error: {error}")
        return 1
    return main(project)
