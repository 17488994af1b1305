"""The pipeline's stages: training, and the reports; and why each would run.

Data flows one way: profile → runs → executed notebooks → a published version. A book keeps what
each report was made from; the store keeps its own for runs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffcore import plugins
from ffcore.config import AnyExperiment, Experiment
from ffcore.errors import FFError, StoreError, unknown
from ffreport.base import digests
from ffreport.base.code import Definitions, definitions
from ffreport.base.console import duration, job, say
from ffreport.compute import pool
from ffreport.pipeline.book import Book
from ffreport.pipeline.training import planning
from ffreport.pipeline.training.tasks import perform
from ffreport.publish.notebooks import catalogue
from ffreport.runs import origin
from ffreport.runs.results import Results
from ffreport.runs.shipped import Tables
from ffreport.runs.store import State, Store
from ffreport.study.profiles import Profile

if TYPE_CHECKING:
    from ffreport.pipeline import notebooks as notebook_work
    from ffreport.pipeline.training import schedule
    from ffreport.study.study import Study

NOTEBOOK_PACKAGES = ("matplotlib", "nbconvert", "numpy", "pandas", "papermill", "persim", "ripser",
                     "scikit-learn", "scipy", "seaborn", "torch")  # fmt: skip


@dataclass(frozen=True)
class Page:
    """A report that is one interactive page and no notebook; it comes with the report ``beside``.

    ``modules`` make it: what they reach is the code that it depends on.
    """

    name: str
    title: str
    beside: str
    modules: tuple[str, ...]
    needs: catalogue.Needs
    figures: tuple[str, ...] = ()


EXPLORER = Page(
    "explorer", "Latent explorer", "rq2_taxonomy",
    ("ffreport.analysis.rq2.explorer.page", "ffreport.analysis.rq2.explorer.material"),
    catalogue.Needs(networks=("rq1",), weights="if any", latents=("measures", "explorer")),
)  # fmt: skip


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

    @cached_property
    def store(self) -> Store:
        return Store(self.results)

    @cached_property
    def book(self) -> Book:
        return Book(self.results / ".book.json")

    @cached_property
    def notebooks(self) -> dict[str, catalogue.NotebookInfo]:
        """The report notebooks by name."""
        return {info.name: info for info in catalogue.catalogue(self.root / "notebooks")}

    @cached_property
    def reports(self) -> dict[str, catalogue.NotebookInfo | Page]:
        """All reports by name."""
        return {**self.notebooks, EXPLORER.name: EXPLORER}

    @cached_property
    def code(self) -> Definitions:
        """Every definition of the package, as this process started with it."""
        return definitions(book=self.store.definitions)

    @cached_property
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
        pending = agenda.trainings if agenda else [e for e, s in states.items() if not s.usable]
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
        from ffreport.pipeline.training import schedule  # it needs pandas

        agenda = agenda or schedule.everything(pending)
        began, device = time.monotonic(), self.profile.device
        with cluster.joined(self.cluster) as away:
            place = planning.on_cluster(away.welcome(), device) if away else planning.here(device)
            tasks = [task for part in agenda.parts for task in planning.tasks(
                part, len(experiments), place, self.data_folder, self.profile.plugins,
                str(self.store.checkpoints),
            )]  # fmt: skip
            on = away or planning.processes(tasks)
            with job(f"training {len(pending)} experiments", len(pending)) as progress:

                def tell(note: pool.Note) -> None:
                    where = f"{note.name}, epoch {note.epoch} of {note.epochs}, {note.text}"
                    part = note.epoch / note.epochs if len(tasks) == 1 else 0
                    progress.update(len(agenda.trained) + part, where)

                try:
                    for outcome in pool.run_tasks(tasks, perform, on, tell, agenda.admits):
                        outcome.save(self.store)
                        agenda.learn(outcome)
                        progress.update(len(agenda.trained), outcome.experiment.name)
                except BaseException:
                    say(f"stopped: {len(agenda.trained)} of {len(pending)} were trained and are "
                        "stored; run again to go on")  # fmt: skip
                    raise
        self._list_runs([*done, *agenda.trained])  # with those of one that was stopped before
        say(f"trained {len(agenda.trained)} in {duration(time.monotonic() - began)}")
        return len(agenda.trained)

    def _list_runs(self, stored: Sequence[AnyExperiment]) -> None:
        """What follows training: the table of runs, and checkpoints that are of no more use go."""
        from ffcore import checkpoints

        checkpoints.remove_done(self.store.checkpoints, {e.key for e in stored})
        self.store.consolidate()

    def make(self, reasons: Mapping[str, str]) -> None:
        """Make reports in the work folder, notebooks at the same time.

        Args:
            reasons: why, by the report's name.

        Raises:
            FFError: the first failure, once the others are made.
        """
        if not reasons:
            return
        from ffreport.pipeline import notebooks as notebook_work
        from ffreport.publish.notebooks import notebook as notebooks

        for name, reason in reasons.items():
            say(f"report {name} runs: {reason}")
        inputs = {name: self.inputs(name) for name in reasons}
        self._measure_latents(*reasons)
        notebooks.sweep(self.work)
        faults = []
        chosen = [self._task(name) for name in reasons if name in self.notebooks]
        pages = (self._explored() for name in reasons if name == EXPLORER.name)
        for done in chain(notebook_work.run(chosen), pages):
            try:
                if done.fault:
                    raise done.fault
                self.book.note(self.entry(done.name), inputs[done.name], done.seconds)
            except FFError as error:
                faults.append(error)
        if faults:
            raise faults[0]

    def _explored(self) -> notebook_work.Executed:
        """Make the latent explorer's page in the work folder."""
        from ffreport.analysis.rq2.explorer import material, page
        from ffreport.pipeline import notebooks as notebook_work
        from ffreport.publish.notebooks import notebook as notebooks

        def explore() -> None:
            html = page.page(**material.material(self.study))
            notebooks.write_atomically(self.made(EXPLORER.name), html)

        return notebook_work.attempt(EXPLORER.name, explore)

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

    def _measure_latents(self, *reports: str) -> None:
        """Compute on all cores, once, what some reports show of latents."""
        topics = {topic for name in reports for topic in self.reports[name].needs.latents}
        if not topics:
            return
        from ffreport.pipeline import latents

        began = time.monotonic()
        if count := latents.prepare(self.study, topics, self.cluster):
            say(f"latents of {count} networks or comparisons: {duration(time.monotonic() - began)}")

    @cached_property
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
            report, source = self.reports[name], {}
            if isinstance(report, Page):
                used = self.code.reached(*report.modules)
            else:
                source["notebook"] = digests.digest(catalogue.content(report.path))
                used = self.code.of_code(catalogue.code(report.path))
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
        needs = self.reports[name].needs
        return [
            *(self.profile.networks(*needs.networks) if needs.networks else []),
            *(self.profile.sparsity_runs() if needs.sparsity else []),
        ]

    @cached_property
    def evidence(self) -> Results:
        """What there is to report from."""
        return Results(self.store, Tables(self.root / "shipped"))

    def run_digests(self, name: str) -> dict[str, str]:
        """Name of each network or study that a report has results of → digest of those."""
        return self.evidence.digests(self.needed(name), self.weights(name))

    def weights(self, name: str) -> bool:
        """Whether a report reads networks' weights where there are any."""
        return self.reports[name].needs.weights != ""

    def pending(self, name: str) -> str:
        """Why a report would be made, or nothing where it is up to date."""
        if not self.made(name).is_file():
            return "not executed yet"
        return self.book.why(self.entry(name), self.inputs(name))

    def made(self, name: str) -> Path:
        """What is made of a report in the work folder: its notebook, or its page."""
        kind = "html" if isinstance(self.reports[name], Page) else "ipynb"
        return self.work / name / f"{name}.{kind}"

    def build(self, reports: Sequence[str], train: bool = True) -> None:
        """Train what is missing, then make those of ``reports`` that need it, nothing else.

        Raises:
            FFError: the first failure; of training, with nothing after it run.
        """
        reports = self.with_pages(reports)
        if train:
            self.train(self.experiments)
        else:
            for name in reports:
                self.require(name)
        self.make({name: reason for name in reports if (reason := self.pending(name))})

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
        if self.reports[name].needs.weights == "needed":
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

    def with_pages(self, reports: Sequence[str]) -> list[str]:
        """Reports, each once, and the pages that come with them.

        Raises:
            ConfigError: a name is no report.
        """
        for name in reports:
            if name not in self.reports:
                raise unknown("report", name, self.reports)
        pages = [EXPLORER.name] if EXPLORER.beside in reports else []
        return list(dict.fromkeys([*reports, *pages]))

    def entry(self, name: str) -> str:
        """A report's name in the book: profiles and overrides have entries of their own."""
        return f"{self.work.name}/{name}"
