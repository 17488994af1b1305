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
from typing import TYPE_CHECKING, Any

from ffcore import plugins
from ffcore.config import AnyExperiment, Experiment
from ffcore.errors import StoreError, unknown
from ffreport.base import digests
from ffreport.base.code import Definitions, definitions
from ffreport.base.console import duration, job, say, stop_if_interrupted
from ffreport.compute import pool
from ffreport.pipeline import book as doing
from ffreport.pipeline.training import planning, schedule
from ffreport.pipeline.training.tasks import Outcome, perform
from ffreport.publish.notebooks import catalogue
from ffreport.runs import origin
from ffreport.runs.results import Results
from ffreport.runs.shipped import Tables
from ffreport.runs.store import State, Store
from ffreport.study.profiles import Profile

if TYPE_CHECKING:
    from ffreport.pipeline import notebooks as notebook_work
    from ffreport.study.study import Study

NOTEBOOK_PACKAGES = ("matplotlib", "nbconvert", "numpy", "pandas", "papermill", "persim", "ripser",
                     "scikit-learn", "scipy", "seaborn", "torch")  # fmt: skip
# The interactive page, the report whose networks it shows, and the modules that make it.
EXPLORER, EXPLORED = "explorer", "rq2_taxonomy"
EXPLORER_CODE = ("ffreport.analysis.rq2.explorer.page", "ffreport.analysis.rq2.explorer.material")
EXPLORER_NEEDS = catalogue.Needs(networks=("rq1",), weights="if any",
                                 latents=("measures", "explorer"))  # fmt: skip


@dataclass
class Pipeline:
    """One call's profile, folders and options; the methods are the stages.

    Args:
        root: the project, with ``profiles/`` and ``notebooks/``.
        results, figures: output folders.
        data_folder: the folder of data sets; None for FFCORE_DATA or ``data``.
        cluster: where networks train and latents are measured; None for this machine.
    """

    root: Path
    profile: Profile
    results: Path
    figures: Path
    data_folder: str | None = None
    cluster: str | None = None
    _fixed: dict[str, dict[str, Any]] = field(default_factory=dict)
    _asked: list[str] = field(default_factory=list)
    _spent: dict[str, float] = field(default_factory=dict)
    _executed: dict[str, notebook_work.Executed] = field(default_factory=dict)

    @cached_property
    def store(self) -> Store:
        return Store(self.results)

    @cached_property
    def notebooks(self) -> dict[str, catalogue.NotebookInfo]:
        """The report notebooks by name."""
        return {info.name: info for info in catalogue.catalogue(self.root / "notebooks")}

    @cached_property
    def code(self) -> Definitions:
        """Every definition of the package, as this process started with it."""
        return definitions(book=self.store.definitions)

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
        found = {e: self.store.state(e, origin.expected(e, self.code)) for e in experiments}
        self.store.remembered.save()
        return found

    def train(
        self, experiments: Sequence[AnyExperiment], agenda: schedule.Agenda | None = None
    ) -> int:
        """Train and store what is missing, damaged or outdated, or what an agenda names of that;
        returns how many that was.

        Each network is stored as soon as it is done, so that an interruption loses only those in
        the making.
        """
        self.store.sweep()
        states = self.states(experiments)
        done = [e for e, state in states.items() if state.usable]
        agenda = agenda or schedule.everything(states)
        pending = agenda.trainings
        for state in sorted({states[e] for e in pending if states[e].name != "missing"}, key=str):
            same = [e for e in pending if states[e] == state]
            others = f" and {len(same) - 1} more" if len(same) > 1 else ""
            say(f"retraining {same[0].name}{others}: {state.name}, {state.reason}")
        if not pending:
            if not self.store.listed:  # it was stopped between the last run and their list
                self._list_runs(done)
            return 0
        planning.require_data(pending, self.data_folder)
        from ffreport.compute import cluster

        began, device = time.monotonic(), self.profile.device
        with cluster.joined(self.cluster) as away:
            place = planning.on_cluster(away.welcome(), device) if away else planning.here(device)
            tasks = [task for part in agenda.parts for task in planning.tasks(
                part, len(experiments), place, self.data_folder, self.profile.plugins,
                str(self.store.checkpoints),
            )]  # fmt: skip
            with self._storing(len(pending), len(tasks)) as (tell, keep):
                for outcome in pool.run_tasks(
                    tasks, perform, away, tell,
                    None if away else planning.processes(tasks),
                    away.look if away else stop_if_interrupted, admits=agenda.admits,
                ):  # fmt: skip
                    keep(outcome)
                    agenda.learn(outcome)
        self._list_runs([*done, *agenda.trained])  # with those of one that was stopped before
        say(f"trained {len(agenda.trained)} in {duration(time.monotonic() - began)}")
        return len(agenda.trained)

    def _list_runs(self, stored: Sequence[AnyExperiment]) -> None:
        """What follows training: the table of runs, and checkpoints that are of no more use go."""
        from ffcore import checkpoints

        checkpoints.remove_done(self.store.checkpoints, {e.key for e in stored})
        self.store.consolidate()

    def execute(self, name: str) -> Path:
        """Run one report's notebook into the work folder, and at the same time those others of
        this call that are to be run."""
        from ffreport.pipeline import notebooks as notebook_work
        from ffreport.publish.notebooks import notebook as notebooks

        if name not in self._executed:
            asked = {n: self.pending(n) for n in self._asked if n in self.notebooks}
            names = [n for n, reason in asked.items() if n == name or reason] or [name]
            for report in names:
                say(f"report {report} runs: {asked.get(report) or 'asked for'}")
            self._measure_latents(*names)
            notebooks.sweep(self.work)
            self._executed |= notebook_work.run([self._task(n) for n in names])
        done = self._executed.pop(name)
        if done.fault:
            raise done.fault
        self._spent[name] = done.seconds
        return self.work / name

    def _task(self, name: str) -> notebook_work.Task:
        from ffreport.pipeline import notebooks as notebook_work

        return notebook_work.Task(
            self.notebooks[name].path, self.work / name, self.parameters,
            self.results / "failed", self._environment(name),
        )  # fmt: skip

    def _environment(self, report: str) -> dict[str, str]:
        """Variables of a report's kernel."""
        from ffreport.study.study import CODE

        return {CODE: digests.digest(self.inputs_of_code(report)["code"])[:16]}

    def explore(self) -> None:
        """Make the latent explorer's page in the work folder."""
        from ffreport.analysis.rq2.explorer import material
        from ffreport.analysis.rq2.explorer import page as explorer
        from ffreport.publish.notebooks import notebook as notebooks

        say(f"report {EXPLORER} runs: {self.pending(EXPLORER)}")
        began = time.monotonic()
        self._measure_latents(EXPLORER)
        page = explorer.page(**material.material(self.study))
        notebooks.write_atomically(self.made(EXPLORER), page)
        self._spent[EXPLORER] = time.monotonic() - began

    def _measure_latents(self, *reports: str) -> None:
        """Compute on all cores, once, what all reports of this call show of latents."""
        if not any(map(self.weights, reports)):
            return
        from ffreport.pipeline import latents

        asked = {topic for name in {*reports, *self._asked} for topic in self.needs(name).latents}
        began = time.monotonic()
        if count := latents.prepare(self.study, asked, self.cluster):
            say(f"latents of {count} networks or comparisons: {duration(time.monotonic() - began)}")

    @property
    def study(self) -> Study:
        """What the reports of this profile look at."""
        from ffreport.study.study import Study

        return Study(self.profile.source, self.profile.changes, self.results.resolve(),
                     self.data_folder, self.root)  # fmt: skip

    @property
    def parameters(self) -> dict[str, Any]:
        """What every notebook is told; where the data lie is inherited, in FFCORE_DATA."""
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
            source = {}
            if name == EXPLORER:
                used = self.code.reached(*EXPLORER_CODE)
            else:
                path = self.notebooks[name].path
                source["notebook"] = digests.digest(catalogue.content(path))
                used = self.code.of_code(catalogue.code(path))
            self._fixed[name] = {
                # Without the paths of this machine; what plug-ins do stands for their files.
                "profile": self.profile.model_dump(mode="json", exclude={"source", "plugins"}),
                **source,
                "code": used,
                "packages": digests.package_versions(NOTEBOOK_PACKAGES),
            }
            if own := plugins.of_files(self.profile.plugins):
                self._fixed[name]["plugins"] = digests.plugin_digests(own)
        return self._fixed[name]

    def needed(self, name: str) -> list[AnyExperiment]:
        """The experiments whose runs a report reads, as it declares."""
        needs = self.needs(name)
        return [
            *(self.profile.networks(*needs.networks) if needs.networks else []),
            *(self.profile.sparsity_runs() if needs.sparsity else []),
        ]

    def needs(self, name: str) -> catalogue.Needs:
        """What a report reads."""
        return EXPLORER_NEEDS if name == EXPLORER else self.notebooks[name].needs

    @cached_property
    def evidence(self) -> Results:
        """What there is to report from."""
        return Results(self.store, Tables(self.root / "shipped"))

    def run_digests(self, name: str) -> dict[str, str]:
        """Name of each network or study that a report has results of → digest of those."""
        return self.evidence.digests(self.needed(name), self.weights(name))

    def weights(self, name: str) -> bool:
        """Whether a report reads networks' weights where there are any."""
        return self.needs(name).weights != ""

    def pending(self, name: str) -> str:
        """Why a report's notebook would run, or nothing where it is up to date."""
        if not self.made(name).is_file():
            return "not executed yet"
        book = doing.noted(self.results / ".doit.json")
        return doing.difference(book.get(self.task_name(name)), self.inputs(name))

    def made(self, name: str) -> Path:
        """What a report's stage makes in the work folder: its notebook, or the explorer's page."""
        return self.work / name / f"{name}.{'html' if name == EXPLORER else 'ipynb'}"

    def build(self, reports: Sequence[str], train: bool = True) -> None:
        """Run through doit: training, the notebooks of ``reports`` that need it, nothing else.

        Raises:
            FFError: the first failure, with nothing after it run.
        """
        self.check_known(reports)
        reports = with_explorer(reports)
        if not train:
            for name in reports:
                self.require(EXPLORED if name == EXPLORER else name)
        self._asked = list(reports)
        book = self.results / ".doit.json"
        if train:
            # Apart: doit forgets what it noted of tasks that depend on a failed one.
            always = {"actions": [(self.train, [self.experiments])], "uptodate": [False]}
            doing.run([{"name": "train", **always}], book)
        doing.run(self._doit_tasks(reports), book)

    def figure(self, name: str) -> list[Path]:
        """Make one figure again from stored results; returns its files in the figures folder."""
        from ffreport.publish import versions as reports
        from ffreport.publish.notebooks import notebook as notebooks

        report = next(r for r, info in self.notebooks.items() if name in info.figures)
        self.require(report)
        self._measure_latents(report)
        with job(f"figure {name}", 1) as progress:
            folder = notebooks.execute(
                self.notebooks[report].path, self.work / f"figure-{name}", self.parameters,
                only_figure=name, failed_folder=self.results / "failed",
                environment=self._environment(report),
                progress=lambda done, total, text: progress.update(done, text, total),
            )  # fmt: skip
        reports.publish_figures(folder / "figures", self.figures)
        return sorted(self.figures.glob(f"{name}.*"))

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
        if self.needs(name).weights == "needed":
            planned = [e for e in needed if isinstance(e, Experiment)]
            if not any(self.evidence.of(planned, "weights")):
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

            def tell(note: pool.Note) -> None:
                where = f"{note.name}, epoch {note.epoch} of {note.epochs}, {note.text}"
                progress.update(done + (note.epoch / note.epochs if tasks == 1 else 0), where)

            def keep(outcome: Outcome) -> None:
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

    def _doit_tasks(self, reports: Sequence[str]) -> list[dict[str, Any]]:
        tasks: list[dict[str, Any]] = []
        for name in reports:
            tasks.append(
                {
                    "name": self.task_name(name),
                    "actions": [(self.explore, []) if name == EXPLORER else (self.execute, [name])],
                    "targets": [str(self.made(name))],
                    "uptodate": [
                        doing.Inputs(partial(self.inputs, name), partial(self._spent.get, name))
                    ],  # fmt: skip
                }
            )
        return tasks

    def check_known(self, reports: Sequence[str]) -> None:
        """Raise ConfigError for a name that is no report."""
        for name in reports:
            if name not in (*self.notebooks, EXPLORER):
                raise unknown("report", name, [*self.notebooks, EXPLORER])

    def task_name(self, name: str) -> str:
        """A notebook's entry in doit's book: profiles and overrides have entries of their own."""
        return f"notebook:{self.work.name}/{name}"


def with_explorer(reports: Sequence[str]) -> list[str]:
    """Reports, and the explorer where the report is among them whose networks it shows."""
    return list(dict.fromkeys([*reports, *([EXPLORER] if EXPLORED in reports else [])]))
