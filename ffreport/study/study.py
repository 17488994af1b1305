"""A profile's stored results, for a notebook: runs, data sets, and frames cached by content."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffcore import data, plugins
from ffcore import files as reading
from ffcore.config import FACTORS, Experiment, SparsityExperiment
from ffcore.errors import ConfigError, StoreError, unknown
from ffreport.base import digests
from ffreport.base.code import Definitions, definitions
from ffreport.base.home import INSIDE, results_folder
from ffreport.base.threads import one_thread
from ffreport.data import load, sources
from ffreport.data import own as own_data
from ffreport.runs.results import Need, Result, Results
from ffreport.runs.shipped import Tables
from ffreport.runs.store import Run, Store
from ffreport.study.profiles import Profile, make_profile

if TYPE_CHECKING:
    import pandas as pd

_NAMED = re.compile(r"[^\W_][\w.+-]*")
CODE = "FFCORE_CODE"  # tells a notebook's kernel the digest of the code that its report depends on


def project_root(start: str | Path = ".") -> Path:
    """The folder that holds ``profiles/`` and ``notebooks/``: ``start`` or one above it, else the
    one that was installed with the package.

    Raises:
        ConfigError: there is none; start from a checkout of the project.
    """
    here = Path(start).resolve()
    for folder in (here, *here.parents):
        if (folder / "profiles").is_dir() and (folder / "notebooks").is_dir():
            return folder
    if (INSIDE / "profiles").is_dir():
        return INSIDE
    raise ConfigError(
        f"no folder at or above {here} holds profiles/ and notebooks/; run from the project"
    )


def read_profile(
    name: str, changes: Mapping[str, Any] | None = None, root: Path | None = None
) -> Profile:
    """The profile ``profiles/<name>.yaml``, or a YAML file's path, with overrides.

    Where it, or an override, names a data set by a path, relative to the YAML file, the data set
    is read and named by its content, see ``own_data``.

    Raises:
        ConfigError: no such profile, not YAML, an illegal key or value in it, or a plug-in file of
            its that fails.
        DataError: a path with no sound data set, or a user's own data set that is not known here.
    """
    folder = (root or project_root()) / "profiles"
    path = Path(name) if name.endswith((".yaml", ".yml")) else folder / f"{name}.yaml"
    if not os.path.isfile(path):
        if path.parent == folder:
            raise unknown("profile", name, sorted(p.stem for p in folder.glob("*.yaml")))
        raise ConfigError(f"there is no profile file {path}")
    if not _NAMED.fullmatch(path.stem) or len(path.stem.encode()) > 100:
        raise ConfigError(
            f"a profile file's name may have letters, digits and . _ + - after a letter or digit, "
            f"at most 100 in all, for versions and commands carry it; rename {str(path)!r:.200}"
        )
    try:
        values = reading.parsed_yaml(reading.text(path, reading.LARGEST_YAML))
    except OSError as error:
        raise ConfigError(f"cannot read profile {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise ConfigError(f"profile {path} is not valid YAML: {error}") from None
    source = path.stem if path.parent == folder else str(path.resolve())
    values = plugins.load_listed(values, path.parent)
    values, changes = _named(values, path.parent), _named(dict(changes or {}), Path())
    limits = None
    if chosen := changes.get("dataset"):
        size = sources.lookup(chosen)
        limits = size.classes, size.counts[0]
    profile = make_profile(values, path.stem, changes, source, limits)
    used = {e.dataset for e in profile.networks()} | {e.dataset for e in profile.sparsity_runs()}
    for dataset in sorted(used):
        try:
            sources.resolve(dataset)
        except ConfigError as error:
            raise ConfigError(f"profile {path.stem!r}, {error}") from None
    own = any(map(own_data.is_name, used))
    return profile.model_copy(update={"paper_scale": profile.paper_scale and not own})


def _named(values: Any, folder: Path, key: str = "") -> Any:
    """Values of a profile in which the path of a data set, relative to ``folder``, is its name."""
    if isinstance(values, dict):
        return {k: _named(value, folder, str(k)) for k, value in values.items()}
    if isinstance(values, list):
        return [_named(value, folder, key) for value in values]
    if key not in ("dataset", "datasets") or not isinstance(values, str):
        return values
    if values in load.NAMES:
        return values
    return sources.resolve(values, folder) if own_data.is_path(values, folder) else values


class Study:
    """What a report looks at; trains nothing.

    Args:
        profile: its name in ``profiles/``, or a YAML file's path.
        changes: what the command line overrode, see ``profiles.make_profile``.
        results: the results folder, relative to the project; see ``home.results_folder``.
        data_folder: the folder of data sets; None for FFCORE_DATA or ``data``.
        root: the project; None for the one that this process works in.
    """

    def __init__(
        self,
        profile: str = "quick",
        changes: Mapping[str, Any] | None = None,
        results: str | Path = "results",
        data_folder: str | None = None,
        root: Path | None = None,
    ) -> None:
        self.root = root or project_root()
        self.profile = read_profile(profile, changes, self.root)
        self.data_folder = data_folder or None
        self._open(results_folder(self.root, results))

    def _open(self, results: Path) -> None:
        self.store = Store(results)
        self.results = Results(self.store, Tables(self.root / "shipped"))
        self._datasets: dict[str, data.Dataset] = {}
        self._needed: dict[str, str] = {}
        self._newest: dict[str, tuple[Any, Any]] = {}
        self._asked: list[Path] | None = None

    def bare(self) -> Study:
        """The same study with nothing loaded, to travel to another process."""
        other = object.__new__(Study)
        other.root, other.profile, other.data_folder = self.root, self.profile, self.data_folder
        other._open(self.store.results)
        return other

    def moved(self, results: Path, data_folder: str | None, definitions: Path) -> Study:
        """The same study with nothing loaded, on another machine.

        Args:
            definitions: the file in which it is remembered what the code is, see ``Store``.
        """
        other = self.bare()
        other.data_folder = data_folder
        other._open(results)
        other.store.definitions = definitions
        return other

    def trained(self, *parts: str) -> list[Result[Experiment] | None]:
        """What there is for each network that parts of the profile plan, see ``Results.of``.

        Raises:
            StoreError: nothing at all; names the command that trains.
        """
        planned = self.profile.networks(*parts)
        found = self.results.of(planned)
        if not any(found):
            raise StoreError(self._nothing(len(planned), " and ".join(parts) or "networks"))
        return found

    @cached_property
    def networks(self) -> list[Run[Experiment]]:
        """The profile's networks of RQ1 that are stored with their weights, in its order; where
        one was not trained as planned, its best stand-in."""
        return [r for r in self._distinct("weights") if isinstance(r, Run)]

    @property
    def measured(self) -> list[Result[Experiment]]:
        """The profile's networks of RQ1 whose latents can be told of, in its order: stored ones,
        which have weights, else shipped ones with measured latents.

        Raises:
            StoreError: none; names the command that trains.
        """
        if found := self._distinct("latents"):
            return found
        raise StoreError(self._nothing(len(self.profile.networks("rq1")), "networks"))

    @cached_property
    def sparsity_runs(self) -> list[Result[SparsityExperiment]]:
        """The profile's sparsity runs that are stored, or else shipped.

        Raises:
            StoreError: none; names the command that trains.
        """
        planned = self.profile.sparsity_runs()
        if found := [r for r in self.results.of(planned) if r]:
            return found
        raise StoreError(self._nothing(len(planned), "sparsity runs"))

    def _distinct(self, need: Need) -> list[Result[Experiment]]:
        """What there is of the networks of RQ1; one that stands for several of them once."""
        found = self.results.of(self.profile.networks("rq1"), need)
        return list({r.experiment: r for r in found if r}.values())

    @property
    def provenance(self) -> dict[str, Any]:
        """What every figure carries in its metadata: label, seeds, digests of experiments and
        code."""
        experiments: list[Experiment | SparsityExperiment]
        experiments = [*self.profile.networks(), *self.profile.sparsity_runs()]
        return {
            "label": self.profile.label,
            "options": self.profile.options,
            "seeds": sorted({e.seed for e in experiments}),
            "experiments": digests.digest(sorted(e.key for e in experiments))[:16],
            "code": os.environ.get(CODE) or self._code.digest[:16],
        }

    def dataset(self, name: str) -> data.Dataset:
        """A data set, loaded once."""
        if name not in self._datasets:
            self._datasets[name] = load.load(name, self.data_folder)
        return self._datasets[name]

    def cached(
        self,
        name: str,
        inputs: Mapping[str, Any],
        compute: Callable[[], pd.DataFrame],
        run: Run | None = None,
    ) -> pd.DataFrame:
        """A frame kept by content: of parameters, a run's files, and of the code of the function
        that ``compute`` is, or is defined in, with all that it uses.

        It is computed by one thread: sums have the same order on every machine, in a worker
        process and in a notebook, and small products spend more on waiting threads than they gain.
        """
        root = f"{compute.__module__}:{compute.__qualname__.partition('.')[0]}"
        if root not in self._needed:
            # This module finds results and data, whose content the other inputs tell.
            self._needed[root] = digests.digest(self._code.reached(root, leave=[__name__]))
        given = {
            **inputs,
            "run": content(run) if run else None,
            "code": self._needed[root],
        }
        key = run.experiment.key if run else ""
        if self._asked is not None:
            import pandas as pd

            self._asked.append(self.store.cache_path(name, given, key))
            return pd.DataFrame()

        def alone() -> pd.DataFrame:
            with one_thread():
                return compute()

        return self.store.cached(name, given, alone, key)

    def lacks(self, ask: Callable[[], Any]) -> bool:
        """Whether ``ask``, which asks for cached frames and returns them, would compute any."""
        self._asked = []
        try:
            ask()
            return not all(path.exists() for path in self._asked)
        finally:
            self._asked = None

    def newest(self, kind: str, of: Any, compute: Callable[[], Any]) -> Any:
        """The newest object of a kind, in memory until another one of it is wanted.

        Several frames of one network are made from the same latents, one after the other.

        Args:
            of: what the object is determined by.
        """
        if kind not in self._newest or self._newest[kind][0] != of:
            self._newest.pop(kind, None)  # Before the next one takes its memory.
            self._newest[kind] = (of, compute())
        return self._newest[kind][1]

    @cached_property
    def _code(self) -> Definitions:
        return definitions(book=self.store.definitions)

    def _nothing(self, planned: int, what: str) -> str:
        return (
            f"none of the {planned} {what} of profile {self.profile.label} is stored in "
            f"{self.store.runs}; train them with `{self.profile.command('train')}`"
        )


def identity(trained: Result) -> dict[str, Any]:
    """A network's key, configuration, data set, seed, epochs and factors."""
    e = network(trained)
    factors = {f: getattr(e, f) for f in FACTORS}
    named = {"key": e.key, "configuration": e.configuration}
    about = {"dataset": e.dataset, "seed": e.seed, "epochs": int(trained.summary["epochs"])}
    return {**named, **about, **factors}


def content(run: Run) -> list[Any]:
    """What a network's latents follow from: its key, for networks that never learn have the same
    files and other factors; its files; and its plug-ins, where it has any."""
    own = digests.plugin_digests(network(run).plugins.items())
    return [run.experiment.key, run.content, *([own] if own else [])]


def network(trained: Result) -> Experiment:
    """The experiment of a run, or of what stands for one, that is a network."""
    if not isinstance(trained.experiment, Experiment):
        raise StoreError(f"{trained.experiment.name} is no network")
    return trained.experiment
