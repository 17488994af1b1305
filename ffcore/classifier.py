"""Polar-FFA and FFA as a scikit-learn classifier of any numbers, trained by ``ffcore.train``."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes
from sklearn import base
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ffcore import data, files, goodness, labels, train
from ffcore.config import Experiment, make_experiment
from ffcore.errors import ConfigError, StoreError, unknown

FORMAT = 1
WATCHED = 1000  # training samples that tell the progress where none are held out
FLOATS = (np.float64, np.float32)


class ClassifierError(ConfigError, ValueError):
    """A parameter, or data, that ``FFClassifier`` cannot use; scikit-learn expects ValueErrors."""


@contextmanager
def _usual_types() -> Iterator[None]:
    """PyTorch with its own default type and device, whatever the process has set."""
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        if device.type != "cpu":
            torch.set_default_device(device)


class FFClassifier(base.ClassNamePrefixFeaturesOutMixin, base.ClassifierMixin,
                   base.TransformerMixin, base.BaseEstimator):  # fmt: skip
    """A network trained layer by layer on samples with right and wrong labels, without
    backpropagation (Polar-FFA, arXiv 2408.09210, section 3).

    Parameters are the fields of ``config.Experiment``, which validates them in ``fit``, with the
    paper's values as defaults; of the five factors, which have none, the configuration that does
    best in the authors' ten seeds on MNIST. ``theta``, ``alpha`` and ``positive_fraction`` follow
    the paper's rules where they are None. Names of plug-ins are legal once ``ffcore.plugins.load``
    was given their file. What has another meaning here, or is new:

    - ``validation``: samples to hold out, stratified. They measure the accuracy of each epoch and
      let ``patience`` stop the training. The weights are those of the last epoch; to have those of
      another, fit with so many ``epochs``, which repeats them exactly.
    - ``random_state``: the experiment's seed, a ``RandomState`` to draw it from, or None for a
      fresh one. No global generator is used.
    - ``device``: ``cpu``, ``cuda``, or ``auto`` for CUDA where there is one.
    - ``progress``: called with (epoch, epochs, accuracy) after every epoch.

    Features are standardised with one mean and one standard deviation for all of them, as the
    published preprocessing does with pixels; put a ``StandardScaler`` before this where features
    have different units. Predictions are computed in float64, whatever the precision of the
    training, so that a sample's do not depend on which others are predicted with it.

    Attributes: ``classes_`` [C], sorted; ``n_features_in_`` D; ``feature_names_in_`` [D] where X
    has names; ``mean_`` and ``scale_``, floats in the features' unit (``scale_`` is 1 where X is
    constant); ``history_``, one dict an epoch: ``epoch`` from 1, ``validation_accuracy`` or, where
    nothing is held out, ``training_accuracy`` of up to 1,000 samples, both in [0, 1], and
    ``loss1`` … of each layer before its steps; ``experiment_``, with all that the rules filled in;
    ``weights_``: float32 arrays ``patterns`` [C, size], ``layer1`` … [width, inputs].
    """

    def __init__(
        self, *, activation: str = "relu", norm: str = "l2", aggregation: str = "sum",
        inhibition: str = "none", probability: str = "sigmoid", theta: float | None = None,
        alpha: float | None = None, positive_fraction: float | None = None,
        widths: Sequence[int] = (1000, 1000), epochs: int = 50, patience: int = 0,
        batch_size: int = 512, learning_rate: float = 1e-3, wta_k: int = 15,
        label_embedding: str = "appended", label_size: int = 100, label_density: float = 0.1,
        negatives: str = "wrong", normalisation: str = "group", passed_on: str = "after",
        validation: int = 0, precision: str = "fp32",
        random_state: int | np.random.RandomState | None = 0, device: str = "auto",
        progress: Callable[[int, int, float], None] | None = None,
    ) -> None:  # fmt: skip
        self.activation, self.norm, self.aggregation = activation, norm, aggregation
        self.inhibition, self.probability, self.theta = inhibition, probability, theta
        self.alpha, self.positive_fraction, self.widths = alpha, positive_fraction, widths
        self.epochs, self.patience, self.batch_size = epochs, patience, batch_size
        self.learning_rate, self.wta_k = learning_rate, wta_k
        self.label_embedding, self.label_size = label_embedding, label_size
        self.label_density, self.negatives = label_density, negatives
        self.normalisation, self.passed_on = normalisation, passed_on
        self.validation, self.precision = validation, precision
        self.random_state, self.device, self.progress = random_state, device, progress

    @_usual_types()
    def fit(self, X: Any, y: Any) -> FFClassifier:
        """Train on X [N, D], finite numbers, and y [N], labels of two classes or more.

        Raises:
            ClassifierError: an impossible parameter, a single class, fewer features than the
                corner embedding overwrites, or a training that diverged.
            ValueError: data that scikit-learn's own checks refuse.
        """
        self.__dict__.pop("weights_", None)  # after a fit that fails, this is not fitted
        X, y = validate_data(self, X, y, dtype=FLOATS)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        with np.errstate(over="ignore", invalid="ignore"):
            self.mean_ = float(X.mean(dtype=np.float64))
            self.scale_ = float(X.std(dtype=np.float64)) or 1.0
        own = {k: v for k, v in self.get_params(deep=False).items() if k in Experiment.model_fields}
        try:
            experiment = make_experiment(dataset="given", seed=self._seed(), **own)
            self._check(experiment)
            result = self._train(experiment, X, torch.from_numpy(codes))
        except ConfigError as error:
            raise ClassifierError(str(error).replace("seed is", "random_state is")) from None
        measured = "validation_accuracy" if self.validation else "training_accuracy"
        self.history_ = [
            {"epoch": int(row.pop("epoch")), measured: row.pop("test_accuracy"), **row}
            for row in map(dict, result.history)
        ]
        if not all(w.isfinite().all() for w in result.weights.values()):
            raise ClassifierError(f"training diverged; lower learning_rate {self.learning_rate}")
        self.weights_ = {name: w.numpy() for name, w in result.weights.items()}
        self.experiment_ = experiment
        return self

    @_usual_types()
    def predict(self, X: Any) -> Any:
        """The class [N] of the largest sum of P(positive) over the layers; the first of equals."""
        scores = self._scores(self._inputs(X))
        return self.classes_[scores.argmax(dim=1).numpy()]

    @_usual_types()
    def predict_proba(self, X: Any) -> Any:
        """Each class's share of the sum over all classes of what ``predict`` compares: [N, C]
        float64, rows sum to 1. A ranking of the classes; nothing calibrates it."""
        scores = self._scores(self._inputs(X)) + np.finfo(float).tiny  # all zero: equal shares
        return (scores / scores.sum(dim=1, keepdim=True)).numpy()

    @_usual_types()
    def transform(self, X: Any) -> Any:
        """Latents of X with its predicted label: the activations of all layers, one after the
        other, before inhibition and normalisation: [N, sum of widths] in the float type of X."""
        inputs, e = self._inputs(X), self.experiment_
        weights = {name: torch.tensor(w).double() for name, w in self.weights_.items()}
        chosen, latents = self._scores(inputs).argmax(dim=1), []
        size = train.EVALUATED
        for rows, label in zip(inputs.split(size), chosen.split(size), strict=True):
            x = labels.embed(rows.double(), label, e.label_embedding, weights["patterns"])
            layers = []
            for i, width in enumerate(e.widths, start=1):
                layers.append(goodness.activate(x @ weights[f"layer{i}"].mT, e.activation))
                x = goodness.normalise(layers[-1].clone(), e.groups(width)[0], e.normalisation)
            latents.append(torch.cat(layers, dim=1).to(inputs.dtype))
        return torch.cat(latents).numpy()

    def save(self, path: str | Path) -> None:
        """Write the fitted classifier to one safetensors file, whole or not at all. ``progress``
        is left out, and ``random_state`` becomes the seed that was used.

        Raises:
            StoreError: it cannot be written, or its class labels are neither text nor numbers.
        """
        check_is_fitted(self, "weights_")
        kind, classes = self.classes_.dtype, self.classes_.tolist()
        if not all(isinstance(c, str | int | float) for c in classes):
            raise StoreError(f"class labels of type {kind} cannot be saved; use text or integers")
        parameters = self.get_params(deep=False) | {"random_state": self.experiment_.seed}
        facts = {
            "format": FORMAT,
            "parameters": {k: v for k, v in parameters.items() if k != "progress"},
            "experiment": self.experiment_.model_dump(mode="json"),
            "classes": [kind.str, classes],
            "features": [self.n_features_in_, list(getattr(self, "feature_names_in_", []))],
            "standard": [self.mean_, self.scale_],
            "history": self.history_,
        }
        text = json.dumps(facts, default=lambda value: value.tolist())
        whole = to_bytes(self.weights_, {"ffcore": text, "sha256": _seal(text, self.weights_)})
        target = Path(path)
        building = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            with building.open("wb") as file:
                file.write(whole)
                file.flush()
                os.fsync(file.fileno())
            os.replace(building, target)
        except OSError as error:
            building.unlink(missing_ok=True)
            raise StoreError(f"cannot write {target}: {error.strerror or error}") from None

    @classmethod
    def load(cls, path: str | Path) -> FFClassifier:
        """A classifier that ``save`` wrote; nothing in the file is executed.

        Raises:
            StoreError: the file is missing, foreign, damaged, or of another version.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                meta, weights = file.metadata() or {}, {k: file.get_tensor(k) for k in file.keys()}
            if "ffcore" not in meta:
                raise ValueError("it was not written by FFClassifier.save")
            if meta.get("sha256") != _seal(meta["ffcore"], weights):
                raise ValueError("its content does not fit its checksum")
            facts = files.parsed(meta["ffcore"])
            if facts["format"] != FORMAT:
                raise ValueError(f"it has format {facts['format']}, this version reads {FORMAT}")
            model = cls(**facts["parameters"])
            model.experiment_ = make_experiment(**facts["experiment"])
            kind = np.dtype(facts["classes"][0])
            if kind.itemsize > 4 * len(meta["ffcore"]):
                raise ValueError(f"its classes are of type {kind}")
            model.classes_ = np.array(facts["classes"][1], dtype=kind)
            model.n_features_in_, names = facts["features"]
            if names:
                model.feature_names_in_ = np.array(names, dtype=object)
            model.mean_, model.scale_ = map(float, facts["standard"])
            model.history_, model.weights_ = facts["history"], weights
            if not model._room(weights):
                raise ValueError("its weights do not fit its experiment, classes and features")
            fitting = model._untrained(model.experiment_).weights(0)
            if {k: w.shape for k, w in weights.items()} != {k: w.shape for k, w in fitting.items()}:
                raise ValueError("its weights do not fit its experiment, classes and features")
        except FileNotFoundError:
            raise StoreError(f"there is no file {path}") from None
        except (OSError, SafetensorError, LookupError, TypeError, AttributeError, ValueError,
                ConfigError) as error:  # fmt: skip
            raise StoreError(f"cannot load {path}: {error}; fit again and save") from None
        return model

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _n_features_out(self) -> int:
        return sum(self.experiment_.widths)

    def _seed(self) -> Any:
        state = self.random_state
        if isinstance(state, np.random.RandomState):
            return int(state.randint(2**32, dtype=np.uint64))
        return secrets.randbits(32) if state is None else state

    def _device(self) -> str:
        if self.device not in ("auto", "cpu", "cuda"):
            raise ClassifierError(str(unknown("device", self.device, ("auto", "cpu", "cuda"))))
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ClassifierError("device is 'cuda' but PyTorch sees none; choose 'cpu' or 'auto'")
        return train.choose_device(self.device)

    def _check(self, e: Experiment) -> None:
        """Refuse what an experiment on images cannot meet."""
        count, features, told = len(self.classes_), self.n_features_in_, self.progress
        corner, sound = e.label_embedding == "corner", told is None or callable(told)
        faults = [
            (count < 2, f"y has one class only, {str(self.classes_[0])!r}; two are needed"),
            (not np.isfinite(self.scale_), "the values of X are too large to be standardised"),
            (not sound, f"progress is {told!r}; choose a function, or None"),
            (e.patience > e.validation == 0, "patience needs held-out samples; set validation"),
            (corner and features <= count, "the corner embedding writes the label over the first "
             f"{count} features, but X has {features}; choose label_embedding='appended'"),
        ]  # fmt: skip
        for wrong, text in faults:
            if wrong:
                raise ClassifierError(text)
        if (different := len(torch.unique(self._untrained(e).table, dim=0))) < count:
            raise ClassifierError(
                f"{count} classes drew {different} different label patterns and cannot be told "
                f"apart; raise label_size, which is {e.label_size}, or label_density"
            )

    def _train(self, experiment: Experiment, X: Any, truth: torch.Tensor) -> train.Result:
        """The engine takes pixels, of which it makes (x/255 − 0.1307)/0.3081: it gets features in
        such units that this is (x − mean_)/scale_. It stops by its test set: what is held out."""
        pixels = self._standardised(X).float().mul_(data.DEVIATION).add_(data.MEAN).mul_(255)
        count = len(self.classes_)
        learned, watched = data.hold_out(truth, experiment.validation, count, experiment.seed)
        if not experiment.validation:
            draw = labels.generator(experiment.seed, "watched")
            watched = torch.randperm(len(X), generator=draw)[:WATCHED]
        dataset = data.Dataset(
            experiment.dataset, pixels[learned], truth[learned], pixels[watched], truth[watched],
            count, (X.shape[1],), "",
        )  # fmt: skip
        told = self.progress or (lambda *_: None)
        plain = experiment.model_copy(update={"validation": 0})
        (result,) = train.train(
            [plain], dataset, self._device(), lambda now: told(now.epoch, now.epochs, now.accuracy)
        )
        return result

    def _room(self, weights: dict[str, Any]) -> bool:
        """Whether a file's weights are as many as its experiment, classes and features claim, so
        that a network of that size takes no more memory than the file."""
        e = self.experiment_
        corner, rows = e.label_embedding == "corner", [len(self.classes_), *e.widths]
        inputs = self.n_features_in_ - (len(self.classes_) if corner else 0)
        names = ["patterns", *(f"layer{i}" for i in range(1, len(e.widths) + 1))]
        if {*names} != {*weights}:
            return False
        patterns = weights["patterns"]
        return (
            [weights[name].shape[0] for name in names] == rows
            and (corner or patterns.shape[1] == e.label_size)
            and weights["layer1"].shape[1] == inputs + patterns.shape[1]
        )

    def _untrained(self, e: Experiment) -> train.Block:
        inputs = self.n_features_in_ - (len(self.classes_) if e.label_embedding == "corner" else 0)
        return train.build([e], inputs, len(self.classes_), torch.device("cpu"))

    def _standardised(self, X: Any) -> torch.Tensor:
        return torch.from_numpy((X - self.mean_) / self.scale_)

    def _inputs(self, X: Any) -> torch.Tensor:
        """X [N, D], checked and standardised."""
        check_is_fitted(self, "weights_")
        return self._standardised(validate_data(self, X, reset=False, dtype=FLOATS))

    def _scores(self, inputs: torch.Tensor) -> torch.Tensor:
        """Sum over the layers of P(positive) with each class's label: [N, C] float64 on the CPU."""
        e, device = self.experiment_, self._device()
        block = train.restore(e, {k: torch.tensor(w) for k, w in self.weights_.items()}, device)
        block.double()  # In float32 a product's rounding depends on the number of its rows.
        rows = labels.image_part(inputs, e.label_embedding, len(self.classes_))
        parts = rows.split(train.EVALUATED)
        return torch.cat([block.scores(part.double().to(device))[0].cpu() for part in parts])


def _seal(text: str, weights: dict[str, Any]) -> str:
    """SHA-256 of a file's facts and weights."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(weights):
        digest.update(weights[name].tobytes())
    return digest.hexdigest()
