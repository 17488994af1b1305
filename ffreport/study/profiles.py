"""What a report covers: a profile of experiments, parsed from YAML and validated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from ffcore import plugins
from ffcore.config import (
    FACTORS,
    Activation,
    Aggregation,
    Experiment,
    Inhibition,
    Measure,
    Norm,
    Probability,
    Seed,
    SparsityExperiment,
    build,
    legal,
    make_experiment,
)
from ffcore.errors import ConfigError, unknown


class Grid(BaseModel):
    """All combinations of some values of the factors, or a list of configurations, with settings
    that they share."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    datasets: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[Seed, ...] = Field((0,), min_length=1)
    norm: tuple[Norm, ...] = FACTORS["norm"]
    aggregation: tuple[Aggregation, ...] = get_args(Aggregation)
    inhibition: tuple[Inhibition, ...] = get_args(Inhibition)
    activation: tuple[Activation, ...] = FACTORS["activation"]
    probability: tuple[Probability, ...] = FACTORS["probability"]
    configurations: tuple[str, ...] = Field(
        (), description="such as l2-sum-none-relu-sigmoid, instead of all combinations"
    )
    positive_fraction: tuple[float, ...] = Field((), description="shares of positive units")
    settings: dict[str, Any] = Field(default_factory=dict)

    @property
    def combinations(self) -> list[dict[str, str]]:
        """The factors of each configuration.

        Raises:
            ConfigError: a configuration that is not five legal values in the order of FACTORS.
        """
        if not self.configurations:
            every = product(*(getattr(self, f) for f in FACTORS))
            return [dict(zip(FACTORS, c, strict=True)) for c in every]
        return [_factors(text) for text in self.configurations]

    @property
    def size(self) -> int:
        """How many networks it asks for, at most; none of them is made to know it."""
        every = math.prod(len(getattr(self, f)) for f in FACTORS)
        each = len(self.datasets) * len(self.seeds) * max(len(self.positive_fraction), 1)
        return each * (len(self.configurations) or every)

    def experiments(self) -> list[Experiment]:
        """One Experiment for each data set, seed, combination and share of positive units, seeds
        outermost."""
        shares = [{"positive_fraction": f} for f in self.positive_fraction] or [{}]
        return [
            make_experiment(dataset=d, seed=s, **c, **share, **self.settings)
            for (d, s), c, share in product(
                product(self.datasets, self.seeds), self.combinations, shares
            )
        ]


class Choices(Grid):
    """Some configurations, each with one setting at a time that the papers leave open changed."""

    vary: dict[str, tuple[Any, ...]] = Field(min_length=1)

    @property
    def size(self) -> int:
        return super().size * (1 + sum(map(len, self.vary.values())))

    def experiments(self) -> list[Experiment]:
        """Each configuration as published, then with every applicable value of every setting."""
        found = []
        for base in super().experiments():
            found.append(base)
            found += [
                make_experiment(**{**base.model_dump(), setting: value})
                for setting, values in self.vary.items()
                for value in values
                if _applies(base, setting, value)
            ]
        return found


class Latents(BaseModel):
    """How much of a network's latent space RQ2 looks at."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    images: int = Field(1024, ge=20, description="test images; ten latents each, one a label")
    neighbour_points: int = Field(1000, ge=50, description="latents in the separability sample")
    tsne_points: int = Field(2000, ge=20, description="latents in a t-SNE projection")
    h0_points: int = Field(5000, ge=10, description="latents in H0 persistence")
    h1_points: int = Field(500, ge=10, description="latents in H1 persistence")
    samples: int = Field(3, ge=0, description="other samples of images, for stability")
    explorer_points: int = Field(
        600, ge=20, description="latents in each of the explorer's projections and diagrams"
    )
    distance_networks: int = Field(
        24, ge=2, description="networks whose diagrams are compared pairwise"
    )
    measures: tuple[Measure, ...] = Field((), description="plug-ins, beside the nine measures")


class Propositions(BaseModel):
    """How many layers at initialisation the appendices' expectations are measured on."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    widths: tuple[Annotated[int, Field(ge=2, multiple_of=2)], ...] = Field(
        (64, 256, 1000, 4000), min_length=1, description="units of a layer, an even number"
    )
    samples: int = Field(2000, ge=2, description="inputs of each layer")
    repeats: int = Field(20, ge=2, description="draws of the weights")


class Sparsity(BaseModel):
    """A sparsity study: one run, and one more for each value of each setting that it varies."""

    model_config = ConfigDict(frozen=True, extra="allow")
    part: Literal["theorems", "conditions"] = Field(
        "theorems", description="the report that shows its base beside the published claims"
    )
    vary: dict[str, tuple[Any, ...]] = Field(default_factory=dict)

    @property
    def base(self) -> SparsityExperiment:
        """The run that nothing is varied in."""
        return self._make({})

    def experiments(self) -> list[SparsityExperiment]:
        """The base, then each variation of it, one setting at a time."""
        return [self.base, *(e for setting in self.vary for e in self.varied(setting))]

    def varied(self, setting: str) -> list[SparsityExperiment]:
        """The runs that differ from the base in one setting."""
        if setting not in SparsityExperiment.model_fields:
            raise unknown("setting to vary", setting, SparsityExperiment.model_fields)
        return [self._make({setting: value}) for value in self.vary[setting]]

    def _make(self, changes: dict[str, Any]) -> SparsityExperiment:
        values = {**(self.model_extra or {}), **changes}
        return build(SparsityExperiment, values)


class Profile(BaseModel):
    """A whole report: which networks, how many latents, which sparsity studies."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    title: str
    paper_scale: bool = Field(
        False, description="true only where numbers may be called the paper's"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    plugins: tuple[str, ...] = Field((), description="files of functions of one's own")
    rq1: tuple[Grid, ...] = Field(min_length=1)
    polarity: tuple[Grid, ...] = Field((), description="appendix E: shares of positive units")
    choices: tuple[Choices, ...] = Field((), description="what the papers leave open")
    rq2: Latents = Latents()
    propositions: Propositions = Propositions()
    sparsity: tuple[Sparsity, ...] = Field(min_length=1)
    changes: dict[str, Any] = Field(default_factory=dict, description="command-line overrides")
    source: str = Field("", description="what --profile was given: a name, or a file's path")

    @property
    def label(self) -> str:
        """What every page and figure calls it: the name, and what was overridden."""
        return " ".join([self.name, *(f"{k}={_short(v)}" for k, v in sorted(self.changes.items()))])

    @property
    def options(self) -> str:
        """The command-line options that select it; empty for ``quick`` as it is."""
        named = self.source in ("", self.name)
        parts = [] if named and self.name == "quick" else [f"--profile {self.name}"]
        parts = parts if named else [f"--profile {self.name}.yaml"]
        parts += [f"--{key} {_short(value)}" for key, value in self.changes.items()]
        return " ".join(parts)

    def command(self, name: str, *words: str) -> str:
        """What to type for a command of the pipeline with this profile; empty words drop out."""
        return " ".join(filter(None, ["python pipeline.py", name, self.options, *words]))

    def networks(self, *parts: str) -> list[Experiment]:
        """Every network of some parts of the profile, of all by default, once and in the order in
        which it names them.

        Args:
            parts: of PARTS.
        """
        grids = [grid for part in parts or PARTS for grid in getattr(self, part)]
        return list(dict.fromkeys(e for grid in grids for e in grid.experiments()))

    def sparsity_runs(self) -> list[SparsityExperiment]:
        """Every sparsity study of the profile once."""
        return list(dict.fromkeys(e for study in self.sparsity for e in study.experiments()))


def make_profile(
    values: Any,
    name: str,
    changes: Mapping[str, Any] | None = None,
    source: str = "",
    limits: tuple[int, int] | None = None,
) -> Profile:
    """A Profile from parsed YAML, every experiment in it checked.

    Args:
        changes: what the command line overrides: ``dataset``, ``seeds``, ``epochs``, ``device``,
            ``precision``. They apply to every grid and study.
        source: what the user named it by, where that is a file's path.
        limits: classes and training images of the ``dataset`` in ``changes``.

    Raises:
        ConfigError: an unknown key, with the nearest legal one, or an impossible value.
    """
    where = f"profile {name!r}, "
    if not isinstance(values, dict):
        raise ConfigError(f"profile {name!r} must be a mapping of keys; it is {values!r:.60}")
    for key in ("changes", "source", "name"):
        if key in values:
            raise ConfigError(f"{where}unknown key {key!r}")
    named = {"name": name, "source": source or name}
    profile = build(Profile, {**named, **values}, where)
    wanted = {k: v for k, v in (changes or {}).items() if v is not None}
    if wanted:
        for key in wanted:
            if key not in CHANGES:
                raise unknown("override", key, CHANGES)
        changed = _override(values, wanted)
        if limits:
            changed["sparsity"] = [_within(study, *limits) for study in changed["sparsity"]]
        profile = build(Profile, {**named, **changed, "changes": wanted}, where)
    asked = sum(grid.size for part in PARTS for grid in getattr(profile, part))
    asked += sum(1 + sum(map(len, study.vary.values())) for study in profile.sparsity)
    if asked > MOST:
        raise ConfigError(
            f"{where}its lists multiply to {asked:,} trainings, and {MOST:,} are the most; shorten "
            "datasets, seeds, configurations, positive_fraction or vary, or make several profiles"
        )
    try:
        profile.networks(), profile.sparsity_runs()
    except ConfigError as error:
        raise ConfigError(f"{where}in the settings of an experiment: {error}") from None
    return profile


MOST = 200_000  # trainings of a profile; each takes some kilobytes, also where it is not trained
PARTS = ("rq1", "polarity", "choices")
CHANGES = ("dataset", "seeds", "epochs", "device", "precision")


def _override(values: dict[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The profile's values with the overrides.

    A data set that some grids name selects those grids; one that none names takes the place of
    the others in every grid. Sparsity studies likewise.
    """
    settings = {k: wanted[k] for k in ("epochs", "precision") if k in wanted}
    dataset, seeds = wanted.get("dataset"), wanted.get("seeds")
    usual = {d for part in PARTS for g in values.get(part, ()) for d in g["datasets"]}
    known = dataset in usual
    changed = {**values}
    for part in PARTS:
        grids = list(values.get(part, ()))
        if dataset is not None:
            same = [g for g in grids if dataset in g["datasets"]]
            grids = same if same or (part != "rq1" and known) else grids
            grids = [{**g, "datasets": [dataset]} for g in grids]
        if seeds is not None:
            grids = [{**g, "seeds": list(seeds)} for g in grids]
        changed[part] = [{**g, "settings": {**g.get("settings", {}), **settings}} for g in grids]
    studies = list(values["sparsity"])
    if dataset is not None:
        studies = [s for s in studies if s.get("dataset") == dataset] or studies
        studies = [{**s, "dataset": dataset} for s in studies]
    if seeds is not None:
        studies = [{**s, "seed": seed} for s in studies for seed in seeds]
    if "epochs" in settings:
        # A study of the initial layer stays one.
        longer = {"epochs": settings["epochs"]}
        studies = [s if s.get("epochs") == 0 else {**s, **longer} for s in studies]
    changed["sparsity"] = studies
    if "epochs" in wanted or wanted.get("dataset", next(iter(usual))) not in usual:
        changed["paper_scale"] = False
    if dataset is not None and not known:
        changed["title"] = f"{values['title']}; here on {dataset}"
    if "device" in wanted:
        changed["device"] = wanted["device"]
    return changed


def _within(study: dict[str, Any], classes: int, images: int) -> dict[str, Any]:
    """A sparsity study as a data set allows it: more classes a batch, or more images, than there
    are in it mean all of them, and are not varied."""
    most = {"batch_classes": classes, "images": images}

    def fits(setting: str, value: Any) -> bool:
        return not (setting in most and isinstance(value, int) and value > most[setting])

    vary = {k: [v for v in values if fits(k, v)] for k, values in study.get("vary", {}).items()}
    kept = {k: v for k, v in study.items() if fits(k, v)}
    return {**kept, "vary": {k: values for k, values in vary.items() if values}}


def _short(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _factors(configuration: str) -> dict[str, str]:
    """``l2-sum-none-relu-ffa-sigmoid`` as the five factors; only the last may hold a hyphen."""
    parts = configuration.split("-", len(FACTORS) - 1)
    if len(parts) != len(FACTORS):
        raise ConfigError(
            f"configuration {configuration!r} is not of the form {'-'.join(FACTORS)}, such as "
            "l2-sum-none-relu-sigmoid"
        )
    for factor, value in zip(FACTORS, parts, strict=True):
        if value not in legal(factor):
            what = f"{factor} in configuration {configuration!r}"
            if factor in plugins.BUILT_IN:
                raise plugins.unlisted(what, factor, value)
            raise unknown(what, value, legal(factor))
    return dict(zip(FACTORS, parts, strict=True))


def _applies(experiment: Experiment, setting: str, value: Any) -> bool:
    """Whether a setting's value makes a configuration another one: without WTA there is no k, the
    symmetric probability has no threshold, and one group is the whole layer."""
    if setting not in Experiment.model_fields:
        raise unknown("setting to vary", setting, Experiment.model_fields)
    if setting == "wta_k" and experiment.inhibition == "none":
        return False
    if setting in ("theta", "alpha") and experiment.probability == "symmetric":
        return False
    if (setting, value) == ("normalisation", "whole") and experiment.positive_fraction == 1:
        return False
    return bool(getattr(experiment, setting) != value)
