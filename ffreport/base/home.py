"""Where the project's own files lie, beside the package in a checkout and inside it once installed;
and the command ``ffcore``, which is ``pipeline.py`` from there."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ffcore.errors import ConfigError
from ffreport.base.locks import MARKER

# A wheel has pipeline.py, notebooks/, profiles/ and shipped/ here; pyproject.toml puts them there.
INSIDE = Path(__file__).resolve().parent / "project"


def home() -> Path:
    """The folder of ``pipeline.py``, ``notebooks/``, ``profiles/`` and ``shipped/`` that belongs to
    this very package.

    Raises:
        ConfigError: the package came without them.
    """
    for folder in (INSIDE, INSIDE.parent.parent):
        if all((folder / name).exists() for name in ("pipeline.py", "notebooks", "profiles")):
            return folder
    raise ConfigError(
        f"{INSIDE.parent} has no pipeline.py, notebooks/ and profiles/ with it; install ffcore "
        "from its wheel, its sdist or a checkout"
    )


def results_folder(root: Path, results: str | Path) -> Path:
    """A results folder, relative to the project in ``root``.

    An installed project holds no results. Its results are those in the current folder, or in the
    nearest one above it that has some: a published notebook is opened from inside of them.
    """
    if root != INSIDE:
        return root / results
    here = Path.cwd()
    made = (f / results for f in (here, *here.parents) if (f / results / MARKER).exists())
    return next(made, here / results)


def main() -> int:
    """The command line, with the package's own project."""
    from ffreport.base.console import say

    try:
        path = home() / "pipeline.py"
    except ConfigError as error:
        say(f"error: {error}")
        return 1
    # By its path: no other module named pipeline can take its place.
    spec = importlib.util.spec_from_file_location("ffcore_pipeline", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return int(module.main())
