"""What an experiment is: every factor of both papers, validated, named and keyed by content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ffcore import plugins
from ffcore.errors import ConfigError, nearest, unknown


def _known(kind: str) -> AfterValidator:
    """A check that a name of a kind is built in or a plug-in's."""

    def check(name: str) -> str:
        if name not in plugins.legal(kind):
            raise PydanticCustomError("unknown_name", "unknown name", {"kind": kind})
        return name

    return AfterValidator(check)


Norm = Annotated[str, _known("norm")]
Aggregation = Literal["sum", "mean"]
Inhibition = Literal["none", "wta"]
Activation = Annotated[str, _known("activation")]
Probability = Annotated[str, _known("probability")]
Measure = Annotated[str, _known("measure")]
LabelEmbedding = Literal["appended", "corner"]
Negatives = Annotated[str, _known("negatives")]
Normalisation = Literal["group", "whole", "none"]
PassedOn = Literal["after", "before"]
Precision = Literal["fp32", "tf32", "bf16"]
Positive = Annotated[int, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]

# The 108 configurations of the paper. Other built-in names, and plug-ins, are further values, see
# ``legal`` and ``levels``.
FACTORS: dict[str, tuple[str, ...]] = {
    "norm": ("l2sq", "l2", "l1"),
    "aggregation": get_args(Aggregation),
    "inhibition": get_args(Inhibition),
    "activation": ("relu", "sigmoid", "tanh"),
    "probability": ("ffa-sigmoid", "sigmoid", "symmetric"),
}
PLUGGED = ("norm", "activation", "probability", "negatives")  # fields that may name a plug-in


def legal(factor: str) -> tuple[str, ...]:
    """The values of a factor: the paper's, then plug-ins."""
    return plugins.legal(factor) if factor in PLUGGED else FACTORS[factor]


def levels(factor: str, values: Iterable[str]) -> list[str]:
    """Those values of a factor that occur: the paper's in its order, then plug-ins in theirs."""
    there = set(values)
    known = [v for v in legal(factor) if v in there]
    return [*known, *sorted(there.difference(known))]


class Record(BaseModel):
    """A frozen, validated configuration with a readable unique name and a content key."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    kind: ClassVar[str]
    seed: Seed = Field(0, description="seed of weights, order, negatives and label patterns")
    _named: ClassVar[tuple[str, ...]] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """The fields that differ from their default, and all that have none, as JSON values."""
        dumped = self.model_dump(mode="json")
        fields = type(self).model_fields
        return {
            name: value
            for name, value in dumped.items()
            if fields[name].is_required() or value != _plain(fields[name].default)
        }

    @property
    def key(self) -> str:
        """16 hexadecimal digits of the SHA-256 of kind and settings; a new field with a default
        leaves the keys of existing experiments as they are."""
        return _key(self)

    @property
    def name(self) -> str:
        """Readable and unique: the factors, the seed, then each setting that is not the paper's."""
        extra = {k: v for k, v in self.settings.items() if k not in (*self._named, "seed")}
        parts = [str(getattr(self, field)) for field in self._named]
        parts += [f"seed{self.seed}"]
        parts += [f"{field}={_short(value)}" for field, value in sorted(extra.items())]
        return "-".join(parts)


@lru_cache(maxsize=2**16)
def _key(record: Record) -> str:
    """Of a frozen record, and so remembered; a property that pydantic remembers would travel along
    with ``model_copy``."""
    text = json.dumps([record.kind, record.settings], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Experiment(Record):
    """One network of the RQ1 grid and its training (Polar-FFA, sections 3 and 4, supplement F).

    ``theta`` (in units of goodness), ``alpha`` (per unit of goodness) and ``positive_fraction``
    are filled in by the paper's rules where they are not given.
    """

    kind: ClassVar[str] = "network"
    _named: ClassVar[tuple[str, ...]] = ("dataset", *("activation", "norm", "aggregation",
                                                      "inhibition", "probability"))  # fmt: skip

    dataset: str = Field(description="name of a data set, see ffcore.data")
    activation: Activation = Field(description="nonlinearity of every layer")
    norm: Norm = Field(description="norm of a group's activations that is its goodness")
    aggregation: Aggregation = Field(description="sum over a group's units, or mean")
    inhibition: Inhibition = Field(description="whether goodness sees only the k most active units")
    probability: Probability = Field(description="map from goodness to P(sample is positive)")
    theta: float = Field(2.0, description="threshold on goodness")
    alpha: float = Field(1.0, gt=0, description="slope of the sigmoid probabilities")
    positive_fraction: float = Field(0.5, gt=0, le=1, description="share of positive units")
    widths: tuple[Positive, ...] = Field((1000, 1000), min_length=1, description="units a layer")
    epochs: Positive = Field(50, description="passes over the training images")
    patience: int = Field(0, ge=0, description="stop after so many epochs without better accuracy")
    batch_size: Positive = Field(512, description="images a step; the last batch may be smaller")
    learning_rate: float = Field(1e-3, gt=0, description="step size of Adam")
    wta_k: Positive = Field(15, description="most active units of a group that goodness sees")
    label_embedding: LabelEmbedding = Field("appended", description="where the label is written")
    label_size: Positive = Field(100, description="length of an appended label pattern")
    label_density: float = Field(0.1, gt=0, lt=1, description="share of ones in a label pattern")
    negatives: Negatives = Field(
        "wrong", description="negative labels: wrong, any (perhaps the true one), or a plug-in's"
    )
    normalisation: Normalisation = Field(
        "group", description="what is brought to unit norm before the next layer"
    )
    passed_on: PassedOn = Field(
        "after", description="activations for the next layer: after the layer's step, or before"
    )
    validation: int = Field(0, ge=0, description="training images held out to select an epoch")
    precision: Precision = Field(
        "fp32", description="number format of the factors of forward products"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        return cls._by_the_rules(values) if isinstance(values, dict) else values

    @staticmethod
    def _by_the_rules(values: dict[str, Any]) -> dict[str, Any]:
        """The values with the paper's θ, α and positive fraction where none is given."""
        ffa = values.get("probability") == "ffa-sigmoid"
        theta, alpha = 2.0, 1.0
        if ffa and values.get("activation") == "sigmoid":
            theta, alpha = (0.4, 2.5) if values.get("norm") == "l1" else (0.2, 5.0)
        rules = {"theta": theta, "alpha": alpha, "positive_fraction": 1.0 if ffa else 0.5}
        return {**values, **{k: v for k, v in rules.items() if values.get(k) is None}}

    @model_validator(mode="after")
    def _check_groups(self) -> Experiment:
        if self.probability == "ffa-sigmoid" and self.positive_fraction != 1.0:
            raise ValueError(
                f"positive_fraction is {self.positive_fraction} but the ffa-sigmoid probability "
                "has positive units only; leave it out, or choose sigmoid or symmetric"
            )
        for width in self.widths:
            groups = self.groups(width)
            if self.probability != "ffa-sigmoid" and min(groups) == 0:
                raise ValueError(
                    f"positive_fraction {self.positive_fraction} of {width} units leaves a "
                    "polarity group empty; widen the layer or move the fraction toward 0.5"
                )
            if self.inhibition == "wta" and self.wta_k > min(g for g in groups if g):
                raise ValueError(
                    f"wta_k is {self.wta_k} but a layer of {width} units has a polarity group of "
                    f"{min(g for g in groups if g)}; lower wta_k or widen the layer"
                )
        return self

    @property
    def settings(self) -> dict[str, Any]:
        """As in Record; what the paper's rules give counts as default."""
        ruled = self._by_the_rules({f: getattr(self, f) for f in FACTORS})
        ours = super().settings
        for field in ("theta", "alpha", "positive_fraction"):
            ours.pop(field, None)
            if getattr(self, field) != ruled[field]:
                ours[field] = getattr(self, field)
        return ours

    @property
    def plugins(self) -> dict[str, str]:
        """Kind → name of those of its functions that are plug-ins."""
        named = {field: getattr(self, field) for field in PLUGGED}
        return {f: name for f, name in named.items() if name not in plugins.BUILT_IN[f]}

    @property
    def configuration(self) -> str:
        """The five factors in the paper's order, without data set and seed."""
        return "-".join(getattr(self, f) for f in FACTORS)

    def groups(self, width: int) -> tuple[int, int]:
        """Number of positive and of negative units in a layer of ``width`` units."""
        positive = round(width * self.positive_fraction)
        return positive, width - positive


class SparsityExperiment(Record):
    """Layers of which every step is measured (sparsity theory, Theorems 1 and 2); one ReLU layer
    trained by SGD on the difference of goodness is the paper's.

    The step size is ``rate / width`` for SGD, as the theory has it, and ``rate`` for Adam.
    """

    kind: ClassVar[str] = "sparsity"
    _named: ClassVar[tuple[str, ...]] = ("dataset", "optimizer", "loss")

    dataset: str = Field(description="name of a data set, see ffcore.data")
    optimizer: Literal["sgd", "adam"] = Field("sgd", description="rule of the step")
    loss: Literal["difference", "logistic", "polar-sigmoid", "polar-symmetric"] = Field(
        "difference", description="G(H⁻) − G(H⁺), the logistic loss on G − θ, or Polar-FFA's"
    )
    activation: Literal["relu", "sigmoid", "tanh"] = Field(
        "relu", description="nonlinearity of every layer"
    )
    width: Positive = Field(1000, description="units n of each layer")
    layers: Positive = Field(1, description="layers, each trained on what the one before passes on")
    rate: float = Field(0.1, gt=0, description="step size: rate/n for SGD, rate itself for Adam")
    theta: float = Field(2.0, description="threshold on goodness, of logistic and polar-sigmoid")
    negatives: Literal["wrong", "hardest", "hybrid", "noise"] = Field(
        "wrong", description="a uniform wrong label, that of the highest score, or another image"
    )
    pixels: Literal["standardised", "unit"] = Field(
        "unit", description="(x − 0.1307)/0.3081, or x in [0, 1]"
    )
    label_embedding: LabelEmbedding = Field("corner", description="where the label is written")
    label_size: Positive = Field(100, description="length of an appended label pattern")
    label_density: float = Field(0.1, gt=0, lt=1, description="share of ones in a label pattern")
    batch_size: Positive = Field(512, description="images a step")
    batch_classes: int = Field(0, ge=0, description="classes in each batch; 0 for all")
    images: int = Field(0, ge=0, description="training images, drawn at random; 0 for all")
    epochs: int = Field(10, ge=0, description="passes over the training images; 0 for none")


def make_experiment(**values: Any) -> Experiment:
    """An Experiment, or a ConfigError that names the field, the value and the legal ones."""
    return build(Experiment, values)


def from_record(kind: str, values: dict[str, Any]) -> AnyExperiment:
    """The experiment that was stored as ``kind`` and ``values``."""
    if kind not in KINDS:
        raise unknown("kind of experiment", kind, KINDS)
    return build(KINDS[kind], values)


AnyExperiment = Experiment | SparsityExperiment
KINDS: dict[str, type[Any]] = {"network": Experiment, "sparsity": SparsityExperiment}


def build(model: type[Any], values: dict[str, Any], where: str = "") -> Any:
    """A validated model, or a ConfigError in the words of the file rather than of the library.

    Args:
        where: opens the message, such as ``profile 'quick', ``.
    """
    try:
        return model(**values)
    except ValidationError as error:
        raise ConfigError(where + _explain(error, model)) from None


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The gravest fault of a validation: an unknown key often explains a missing one."""
    faults = error.errors(include_url=False)
    grave = ("extra_forbidden", "literal_error", "unknown_name")
    fault = min(faults, key=lambda f: f["type"] not in grave)
    path = ".".join(str(part) for part in fault["loc"])
    field = str(fault["loc"][-1]) if fault["loc"] else ""
    if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        owner = _owner(model, fault["loc"][:-1])
        return f"unknown key {path!r}{nearest(field, owner.model_fields)}"
    if fault["type"] == "literal_error":
        legal = [w.strip(" '") for w in fault["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return str(unknown(path, fault["input"], legal))
    if fault["type"] == "unknown_name":
        return str(plugins.unlisted(path, fault["ctx"]["kind"], fault["input"]))
    if fault["type"] == "missing":
        return f"key {path!r} is missing"
    if fault["type"] == "value_error":
        return f"{path + ': ' if path else ''}{fault['ctx']['error']}"
    return f"{path} is {fault['input']!r:.80}: {fault['msg'][0].lower()}{fault['msg'][1:]}"


def _owner(model: type[BaseModel], path: tuple[Any, ...]) -> type[BaseModel]:
    """The model that owns the key at the end of a path through nested models."""
    for part in path:
        if isinstance(part, str) and part in model.model_fields:
            for candidate in (model.model_fields[part].annotation, *get_args(
                    model.model_fields[part].annotation)):  # fmt: skip
                if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                    model = candidate
    return model


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _short(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)
