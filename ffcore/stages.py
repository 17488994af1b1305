"""The pipeline's stages as doit tasks: training, notebooks, publishing; and why each would run.

Data flows one way: profile → runs → executed notebooks → a published version. doit keeps the book
of what each stage was made from; the store keeps its own for runs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ffcore import catalogue, digests, doing, planning, plugins, records, workers
from ffcore.config import AnyExperiment, Experiment
from ffcore.console import duration, job, say, stop_if_interrupted
from ffcore.errors import StoreError, unknown
from ffcore.evidence import Evidence
from ffcore.profiles import Profile
from ffcore.store import State, Store

NOTEBOOK_PACKAGES = ("matplotlib", "nbconvert", "numpy", "pandas", "papermill", "persim", "ripser",
                     "scikit-learn", "scipy", "seaborn", "torch")  # fmt: skip
# Modules through which a notebook reads networks of a part of the profile; rq1 serves all parts.
OWN_PARTS = {"ffcore.polarity": "polarity", "ffcore.choices": "choices"}
# The interactive page, the report whose networks it shows, and the modules that make it.
EXPLORER, EXPLORED = "explorer", "rq2_taxonomy"
EXPLORER_CODE = ("ffcore.explorer", "ffcore.explorer_data")
# What reads networks' weights, which are not shipped, where there are any; and what has nothing to
# say without them.
WEIGHTS, WEIGHTS_ONLY = "ffcore.rq2", "ffcore.rq2_topology"


@dataclass
class Pipeline:
    """One call's profile, folders and options; the methods are the stages.

    Args:
        root: the project, with ``profiles/`` and ``notebooks/``.
        results, figures: output folders.
        data_folder: the folder of data sets; None for FFCORE_DATA or ``data``.
    """

    root: Path
    profile: Profile
    results: Path
    figures: Path
    data_folder: str | None = None
    _fixed: dict[str, dict[str, Any]] = field(default_factory=dict)
    _imports: dict[str, set[str]] = field(default_factory=dict)
    _asked: list[str] = field(default_factory=list)

    @cached_property
    def store(self) -> Store:
        return Store(self.results)

    @cached_property
    def notebooks(self) -> dict[str, catalogue.NotebookInfo]:
        """The report notebooks by name."""
        return {info.name: info for info in catalogue.catalogue(self.root / "notebooks")}

    @property
    def experiments(self) -> list[AnyExperiment]:
        return [*self.profile.networks(), *self.profile.sparsity_runs()]

    @property
    def work(self) -> Path:
        """Where this profile's executed notebooks wait to be published."""
        label = digests.digest([self.profile.name, self.profile.changes])[:8]
        return self.results / "work" / f"{self.profile.name}-{label}"

    def states(self, experiments: Sequence[AnyExperiment]) -> dict[AnyExperiment, State]:
        """Each experiment's state in the store, checked against today's code and data."""
        found = {e: self.store.state(e, workers.expected(e)) for e in experiments}
        self.store.save_verified()
        return found

    def train(self, experiments: Sequence[AnyExperiment]) -> int:
        """Train and store what is missing, damaged or outdated; returns how many that was.

        Each network is stored as soon as it is done, so that an interruption loses only those in
        the making.
        """
        states = self.states(experiments)
        pending = [e for e, state in states.items() if not state.usable]
        for state in sorted({states[e] for e in pending if states[e].name != "missing"}, key=str):
            same = [e for e in pending if states[e] == state]
            others = f" and {len(same) - 1} more" if len(same) > 1 else ""
            say(f"retraining {same[0].name}{others}: {state.name}, {state.reason}")
        if not pending:
            return 0
        planning.require_data(pending, self.data_folder)
        self.store.sweep()
        tasks = planning.tasks(pending, len(experiments), self.profile.device, self.data_folder,
                               self.profile.plugins)  # fmt: skip
        began = time.monotonic()
        with self._storing(len(pending), len(tasks)) as (tell, keep):
            for outcome in workers.run_tasks(
                tasks, tell=tell, workers=planning.processes(tasks), poll=stop_if_interrupted
            ):
                keep(outcome)
        self.store.consolidate()
        say(f"trained {len(pending)} in {duration(time.monotonic() - began)}")
        return len(pending)

    def execute(self, name: str) -> Path:
        """Run one report's notebook into the work folder."""
        began = time.monotonic()
        folder = self._execute(name, self.work / name, f"notebook {name}")
        say(f"notebook {name}: {duration(time.monotonic() - began)}")
        return folder

    def _execute(
        self, report: str, target: Path, title: str, only_figure: str | None = None
    ) -> Path:
        """Run a report's notebook, or what one of its figures needs, with progress."""
        from ffcore import notebooks

        self._measure_latents(report)
        with job(title, 1) as progress:
            return notebooks.execute(
                self.notebooks[report].path, target, self.parameters, only_figure=only_figure,
                failed_folder=self.results / "failed",
                progress=lambda done, total, text: progress.update(done, text, total),
            )  # fmt: skip

    def explore(self) -> None:
        """Make the latent explorer's page in the work folder."""
        from ffcore import explorer, explorer_data, notebooks

        self._measure_latents(EXPLORER)
        page = explorer.page(**explorer_data.material(self._study()))
        notebooks.write_atomically(self.made(EXPLORER), page)

    def _measure_latents(self, report: str) -> None:
        """Compute on all cores what a report shows of latents, and what others of this call do: a
        network's latents are made once for all of them."""
        if WEIGHTS not in self.inputs_of_code(report)["code"]:
            return
        from ffcore import latent_work

        asked = {report, *self._asked}
        used = {m for name in asked - {EXPLORER} for m in self.inputs_of_code(name)["code"]}
        used |= {*EXPLORER_CODE} if EXPLORER in asked else set()
        began = time.monotonic()
        if count := latent_work.prepare(self._study(), used):
            say(f"latents of {count} networks or comparisons: {duration(time.monotonic() - began)}")

    def _study(self) -> Any:
        from ffcore.study import Study

        return Study(self.profile.source, self.profile.changes, self.results.resolve(),
                     self.data_folder, self.root)  # fmt: skip

    @property
    def parameters(self) -> dict[str, Any]:
        """What every notebook is told; ``output`` is added where it is executed. Where the data
        lie is not said but inherited, in FFCORE_DATA: a report does not depend on it."""
        return {
            "profile": self.profile.source,
            "changes": self.profile.changes,
            "results": str(self.results.resolve()),
        }

    def inputs(self, name: str) -> dict[str, Any]:
        """Everything that a report's notebook depends on, by topic, as JSON values."""
        return {**self.inputs_of_code(name), "runs": self.run_digests(name)}

    def inputs_of_code(self, name: str) -> dict[str, Any]:
        """The inputs that stay the same while this process runs: all but the runs."""
        if name not in self._fixed:
            source: Any
            if name == EXPLORER:
                files = sorted(Path(__file__).parent.glob("explorer*.[hcj]*"))
                source = {"page": {f.name: digests.file_digest(f) for f in files}}
                used = {*EXPLORER_CODE}.union(
                    *(digests.dependencies(m, imports=self._imports) for m in EXPLORER_CODE)
                )
            else:
                path = self.notebooks[name].path
                source = {"notebook": digests.notebook_digest(path)}
                used = digests.notebook_dependencies(path, imports=self._imports)
                used |= {"ffcore.outputs"}
            self._fixed[name] = {
                # Without the paths of this machine; what plug-ins do stands for their files.
                "profile": self.profile.model_dump(mode="json", exclude={"source", "plugins"}),
                **source,
                "code": {m: workers.code()[m] for m in sorted(used)},
                "packages": digests.package_versions(NOTEBOOK_PACKAGES),
            }
            if own := plugins.of_files(self.profile.plugins):
                self._fixed[name]["plugins"] = plugins.digest_table(own)
        return self._fixed[name]

    def needed(self, name: str) -> list[AnyExperiment]:
        """The experiments whose runs a report reads, by what its notebook imports."""
        used = self.inputs_of_code(name)["code"]
        parts = [part for module, part in OWN_PARTS.items() if module in used]
        if "ffcore.rq2" in used or ("ffcore.rq1" in used and not parts):
            parts = ["rq1"]
        return [
            *(self.profile.networks(*parts) if parts else []),
            *(self.profile.sparsity_runs() if "ffcore.theorems" in used else []),
        ]

    @cached_property
    def evidence(self) -> Evidence:
        """What there is to report from."""
        return Evidence(self.store, self.root / "shipped")

    def run_digests(self, name: str) -> dict[str, str]:
        """Name of each network or study that a report has results of → digest of those."""
        return self.evidence.digests(self.needed(name), self._weights(name))

    def _weights(self, name: str) -> bool:
        return WEIGHTS in self.inputs_of_code(name)["code"]

    def pending(self, name: str) -> str:
        """Why a report's notebook would run, or nothing where it is up to date."""
        if not self.made(name).is_file():
            return "not executed yet"
        book = doing.noted(self.results / ".doit.json")
        return doing.difference(book.get(self._task_name(name)), self.inputs(name))

    def made(self, name: str) -> Path:
        """What a report's stage makes in the work folder: its notebook, or the explorer's page."""
        return self.work / name / f"{name}.{'html' if name == EXPLORER else 'ipynb'}"

    def build(self, reports: Sequence[str], train: bool = True) -> None:
        """Run through doit: training, the notebooks of ``reports`` that need it, nothing else.

        Raises:
            FFError: the first failure, with nothing after it run.
        """
        for name in reports:
            if name not in (*self.notebooks, EXPLORER):
                raise unknown("report", name, self.notebooks)
        reports = [*reports, *([EXPLORER] if EXPLORED in reports else [])]
        if not train:
            for name in reports:
                self.require(EXPLORED if name == EXPLORER else name)
        self._asked = list(reports)
        doing.run(self._doit_tasks(reports, train), self.results / ".doit.json")

    def figure(self, name: str) -> list[Path]:
        """Make one figure again from stored results; returns its files in the figures folder."""
        from ffcore import reports

        report = next(r for r, info in self.notebooks.items() if name in info.figures)
        self.require(report)
        folder = self._execute(report, self.work / f"figure-{name}", f"figure {name}", name)
        reports.publish_figures(folder / "figures", self.figures)
        return sorted(self.figures.glob(f"{name}.*"))

    def publish(self, names: Sequence[str]) -> Path:
        """Publish the executed notebooks of these reports as one version; returns its folder."""
        from ffcore import data, reports

        runs = self.store.usable(self.experiments)
        datasets = sorted({e.dataset for e in self.experiments})
        complete = set(names) == set(self.notebooks)
        command = "all" if complete else " ".join(["report", *names])
        inputs = {
            "reports": {name: self.inputs(name) for name in names},
            "data": {d: data.fingerprint(d) for d in datasets},
        }
        pages = {"Latent explorer": self.made(EXPLORER)} if EXPLORED in names else {}
        inputs["pages"] = {EXPLORER: self.inputs(EXPLORER)} if pages else {}
        folder = reports.publish(
            inputs, [self.work / name for name in names], profile=self.profile,
            results=self.results, figures=self.figures, pages=pages,
            extra={
                "command": self.profile.command(command),
                "seeds": sorted({e.seed for e in self.experiments}),
                "experiments": {e.key: e.name for e in self.experiments},
                "stand_ins": {
                    planned: found for n in names for planned, found in
                    self.evidence.stand_ins(self.needed(n), self._weights(n)).items()
                },
                "label": self.profile.label,
            },
            measured={
                "hardware": {
                    "trained on": sorted({r.provenance["hardware"] for r in runs}),
                    "reported on": [workers.hardware()],
                },
                "run_seconds": {r.experiment.name: r.seconds for r in runs},
                "revision": digests.revision(self.root),
            },
            notify=say, complete=complete,
        )  # fmt: skip
        return folder

    def require(self, name: str) -> None:
        """Raise StoreError unless there are results for a report, some networks or some sparsity
        runs; says where runs were made by other code."""
        needed = self.needed(name)
        if not needed:
            return
        states = self.states(needed)
        outdated = [s for s in states.values() if s.name == "outdated"]
        if outdated:
            say(f"{len(outdated)} of {len(states)} runs are used as they are: {outdated[0].reason}")
        lacking = [e for e, s in states.items() if not s.usable and s.name != "outdated"]
        if WEIGHTS_ONLY in self.inputs_of_code(name)["code"]:
            planned = [e for e in needed if isinstance(e, Experiment)]
            if not any(records.find(planned, self.store, {})):
                raise StoreError(
                    f"{name} needs the weights of networks, which no shipped table has, and none "
                    f"is stored in {self.store.runs}; run `{self.profile.command('train')}`"
                )
        if lacking and not self.evidence.anything(needed):
            raise StoreError(
                f"{len(lacking)} of {len(states)} runs of profile {self.profile.label} are not "
                f"usable, the first is {lacking[0].name}: {states[lacking[0]].reason}; "
                f"run `{self.profile.command('train')}`"
            )

    @contextmanager
    def _storing(self, total: int, tasks: int) -> Iterator[tuple[Any, Any]]:
        done = 0
        with job(f"training {total} experiments", total) as progress:

            def tell(note: workers.Note) -> None:
                where = f"{note.name}, epoch {note.epoch} of {note.epochs}, {note.text}"
                progress.update(done + (note.epoch / note.epochs if tasks == 1 else 0), where)

            def keep(outcome: workers.Outcome) -> None:
                nonlocal done
                self.store.save(
                    outcome.experiment, outcome.summary, outcome.tables, outcome.weights,
                    outcome.seconds, outcome.provenance,
                )  # fmt: skip
                done += 1
                progress.update(done, outcome.experiment.name)

            try:
                yield tell, keep
            except BaseException:
                say(f"stopped: {done} of {total} were trained and are stored; run again to go on")
                raise

    def _doit_tasks(self, reports: Sequence[str], train: bool) -> list[dict[str, Any]]:
        tasks: list[dict[str, Any]] = []
        if train:
            tasks.append(
                {
                    "name": "train",
                    "actions": [(self.train, [self.experiments])],
                    "uptodate": [False],  # The store keeps this stage's book.
                }
            )
        for name in reports:
            tasks.append(
                {
                    "name": self._task_name(name),
                    "actions": [(self.explore, []) if name == EXPLORER else (self.execute, [name])],
                    "targets": [str(self.made(name))],
                    "task_dep": ["train"] if train else [],
                    "uptodate": [doing.Inputs(partial(self.inputs, name), f"report {name}")],
                }
            )
        return tasks

    def _task_name(self, name: str) -> str:
        """A notebook's entry in doit's book: profiles and overrides have entries of their own."""
        return f"notebook:{self.work.name}/{name}"
