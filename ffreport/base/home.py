"""Where the project's own files lie: beside the package in a checkout, inside it once installed."""

from __future__ import annotations

from pathlib import Path

from ffcore.errors import ConfigError
from ffreport.base.locks import MARKER

# A wheel has notebooks/, profiles/ and shipped/ here; pyproject.toml puts them there.
INSIDE = Path(__file__).resolve().parents[1] / "project"


def home() -> Path:
    """The folder of ``notebooks/``, ``profiles/`` and ``shipped/`` that belongs to
    this very package.

    Raises:
        ConfigError: the package came without them.
    """
    for folder in (INSIDE, INSIDE.parent.parent):
        if all((folder / name).exists() for name in ("notebooks", "profiles")):
            return folder
    raise ConfigError(
        f"{INSIDE.parent} has no notebooks/ and profiles/ with it; install ffcore "
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
