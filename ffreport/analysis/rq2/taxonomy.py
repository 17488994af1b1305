"""Which of five structures a latent space has, measured (Polar-FFA, Appendix G; DESIGN 4).

The paper assigns structures by eye; ``family`` is its assignment. Ours: ``observables`` measures
what the definitions speak of, and ``classify`` applies RULES to it. Neither sees a configuration's
name; the one structural input is how many units are positive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform
from scipy.stats import rankdata

from ffcore.config import FACTORS, legal
from ffcore.errors import ConfigError, unknown

Floats = NDArray[np.floating[Any]]

STRUCTURES = ("original", "sigmoid-activated", "perturbation", "sigmoid-polar", "symmetric-polar")
NO_FAMILY = "not in the paper"  # of a network with a plug-in among its factors
FAMILIES = (*STRUCTURES, NO_FAMILY)
NEAR_ZERO = 0.1  # a negative is near zero up to this share of the positives' median norm
ASLEEP = 0.05  # variance by labels over that by images in a layer that tells no labels apart
ACTIVE = 0.05  # a unit is active above this share of the sample's largest activation
OBSERVABLES = (
    "near_zero_negatives", "norm_ratio", "norm_auc", "goodness_auc", "negative_auc",
    "positive_floor", "origin_reach", "origin_mixing", "polarity_contrast", "label_image_ratio",
    "same_image_purity", "pair_purity", "class_purity", "h0_image_gap", "separability",
    "separability_gain", "active_share", "activity_floor", "positive_spread", "class_direction",
)  # fmt: skip


class Family(NamedTuple):
    """The paper's structure of a configuration, or NO_FAMILY, and whether the paper states it."""

    structure: str
    stated: bool


class Rule(NamedTuple):
    """A bound on an observable, fully met or missed when ``span`` away from the threshold. A
    structure whose ``needed`` rule is missed is out, whatever its others say."""

    structure: str
    observable: str
    sense: Literal["≥", "≤"]
    threshold: float
    span: float
    reason: str
    needed: bool = False


class Evidence(NamedTuple):
    """How a network stands to one rule; ``score``, in [−1, 1], is not negative where it passed."""

    rule: str
    value: float
    threshold: float
    passed: bool
    structure: str
    score: float


class Decision(NamedTuple):
    """The structure whose rules are met best (None if none is met on balance), its lead in mean
    score over the next one (in [0, 2]), and the evidence, in the order of RULES."""

    structure: str | None
    margin: float
    evidence: list[Evidence]


# Each reason is a clause of the paper's definition, or follows from it. Thresholds were set while
# looking at the 108 configurations on full MNIST, seed 0, after 10 epochs, and at those of the 18
# of which ten seeds are published after 50; see structures.CALIBRATION.
_O, _A, _P, _S, _Y = STRUCTURES
RULES = (
    Rule(_O, "near_zero_negatives", "≥", 0.5, 0.3, "negatives collapse to a cluster at zero"),
    Rule(_O, "norm_auc", "≥", 0.9, 0.05, "positives lie far from it", True),
    Rule(_O, "class_purity", "≥", 0.8, 0.1, "positives form one-class clusters"),
    Rule(_A, "near_zero_negatives", "≤", 0.05, 0.05, "bounded units cannot reach zero"),
    Rule(_A, "active_share", "≥", 0.2, 0.2, "activity is dense and high"),
    Rule(_A, "norm_auc", "≥", 0.7, 0.2, "positives lie above negatives", True),
    Rule(_A, "norm_ratio", "≥", 0.3, 0.3, "but only slightly"),
    Rule(_A, "pair_purity", "≥", 0.3, 0.2, "small clusters by (class, label)", True),
    Rule(_P, "label_image_ratio", "≤", ASLEEP, 0.03, "the label only perturbs W_x x", True),
    Rule(_P, "same_image_purity", "≥", 0.9, 0.1, "one tiny cluster an image; chance is 0.01"),
    Rule(_P, "h0_image_gap", "≥", 0.1, 0.2, "and connected components find these clusters"),
    Rule(_P, "separability", "≤", 0.6, 0.1, "positives and negatives do not separate"),
    Rule(_S, "negative_auc", "≥", 0.7, 0.2, "the negative units carry negatives", True),
    Rule(_S, "polarity_contrast", "≤", 0.8, 0.1, "more than positives, which use them, too"),
    Rule(_S, "positive_spread", "≤", 0.5, 0.2, "positives are tight, negatives large clouds"),
    Rule(_S, "positive_floor", "≥", 0.6, 0.2, "tight along the ray from the origin, too"),
    Rule(_S, "separability", "≥", 0.7, 0.1, "clusters and clouds are apart"),
    Rule(_Y, "polarity_contrast", "≥", 0.85, 0.1, "positives and negatives share no units", True),
    Rule(_Y, "origin_reach", "≤", 0.4, 0.2, "latents come near the origin"),
    Rule(_Y, "origin_mixing", "≥", 0.3, 0.3, "where positives mix with negatives"),
    Rule(_Y, "separability_gain", "≥", 0.01, 0.02, "they separate once normalised"),
    Rule(_Y, "class_direction", "≥", 0.7, 0.1, "each class is a direction"),
)


def family(
    activation: str, norm: str, aggregation: str, inhibition: str, probability: str
) -> Family:
    """The paper's assignment, by families of configurations.

    Stated: both Polar probabilities with any activation and norm; FFA with the sigmoid activation;
    ReLU FFA with l1 and WTA (original) and with l2sq, sum and no WTA (perturbation). On the other
    FFA networks with ReLU or tanh the paper is silent; we read them as original. Plug-ins have
    NO_FAMILY. Raises ConfigError for an unknown factor.
    """
    given = {"activation": activation, "norm": norm, "aggregation": aggregation,
             "inhibition": inhibition, "probability": probability}  # fmt: skip
    for factor, value in given.items():
        if value not in legal(factor):
            raise unknown(factor, value, legal(factor))
    if any(value not in FACTORS[factor] for factor, value in given.items()):
        return Family(NO_FAMILY, False)
    if probability != "ffa-sigmoid":
        return Family(_Y if probability == "symmetric" else _S, True)
    if activation == "sigmoid":
        return Family(_A, True)
    if (activation, norm, aggregation, inhibition) == ("relu", "l2sq", "sum", "none"):
        return Family(_P, True)
    return Family(_O, (activation, norm, inhibition) == ("relu", "l1", "wta"))


def observables(
    latents: ArrayLike, positive: ArrayLike, image: ArrayLike, label: ArrayLike,
    true_label: ArrayLike, positive_units: int, *,
    points: int = 1000, neighbours: int = 5, seed: int = 0,
) -> dict[str, float]:  # fmt: skip
    """What the five definitions speak of; nothing depends on scale or on the order of units.

    Activity is excitation, max(h, 0): what winners are found by, and h itself for ReLU and sigmoid
    units. A tanh unit rests where training pushed it, and with WTA that is −1: measured by |h|, a
    layer with 15 active units would count as dense.

    Args:
        latents: [N, n] activations, every image with every candidate label once.
        positive: bool [N], true where ``label`` is ``true_label``.
        image, label, true_label: int [N], of each row.
        positive_units: the first so many units are positive, the others negative.
        points: size of the samples, by ``seed``, that ``neighbours`` are looked up in.

    Returns:
        In [0, 1] if not said otherwise, nan where undefined (as in latents that are all 0):
        ``near_zero_negatives`` share of negatives up to 0.1 of the positives' median norm;
        ``norm_ratio`` median norm of negatives over that of positives, ≥ 0;
        ``norm_auc``, ``goodness_auc`` chance that a positive's norm exceeds a negative's, over all
        units and over the positive ones, and ``negative_auc`` that a negative's over the negative
        units exceeds a positive's (0.5 without such units); ``positive_floor`` 10 % quantile of
        positives' norms over their median; ``origin_reach`` 5 % quantile of all norms over their
        95 % quantile; ``origin_mixing`` share of positives in the tenth of smallest norms over that
        in all, ≥ 0; ``polarity_contrast`` negative units' mean share of a latent's energy, in
        negatives less in positives, ±1; ``label_image_ratio`` variance between an image's labels
        over that between images, ≥ 0;
        ``same_image_purity``, ``pair_purity``, ``class_purity`` share of neighbours of the same
        image (sampling whole images), (true class, label), class (among positives);
        ``h0_image_gap`` 1 − (bar I)/(bar I − 1) of H0, longest first, on I images: how far they are
        connected components; ``separability`` as in measures, ``separability_gain`` what
        normalising adds to it, ±1; ``active_share`` activations above 0.05 of the largest and
        ``activity_floor`` their 5 % quantile over the largest; ``positive_spread`` variance of
        positives within classes over that of negatives, ≥ 0; ``class_direction`` mean cosine of
        positives to their class's mean direction, ±1.

    Raises:
        ConfigError: arrays that do not fit, rows that are not image-major, NaN, too few images.
    """
    h, pos, true, labels = _grid(latents, positive, image, label, true_label)
    h = np.maximum(h, 0)
    images, rng = len(h) // labels, np.random.default_rng(seed)
    whole = min(images, points // labels)
    fewest = min(pos.sum(), (~pos).sum(), points, whole * labels - 1)
    if fewest <= neighbours or whole < 2 or not 1 <= positive_units <= h.shape[1]:
        raise ConfigError(
            f"{images} images × {labels} labels, {pos.sum()} positives, samples of {points} (too "
            f"few for {neighbours} neighbours?), {positive_units} of {h.shape[1]} units positive"
        )
    rows = rng.permutation(len(h))[:points]
    x, near = h[rows].astype(np.float64), pos[rows]
    size, raw = np.abs(x), _squares(x)
    apart = _separability(raw, near, neighbours)
    apart_unit = _separability(_squares(_unit(x)), near, neighbours)
    flat = (rng.permutation(images)[:whole, None] * labels + np.arange(labels)).ravel()
    together = _squares(h[flat])
    bars = linkage(squareform(np.sqrt(together), checks=False), "single")[:, 2]
    own, other = (rng.permutation(np.flatnonzero(kind))[:points] for kind in (pos, ~pos))
    p, cloud = h[own].astype(np.float64), h[other].astype(np.float64)
    member = np.equal.outer(true[own], np.unique(true[own])).astype(np.float64)
    centre = member @ (member / member.sum(axis=0)).T  # replaces a row by the mean of its class
    spread = ((p - centre @ p) ** 2).sum(axis=1).mean()
    return _of_norms(h, pos, positive_units) | {
        "label_image_ratio": _label_image_ratio(h, labels),
        "same_image_purity": float(_shares(together, flat // labels, neighbours).mean()),
        "pair_purity": float(_shares(raw, true[rows] * labels + rows % labels, neighbours).mean()),
        "class_purity": float(_shares(_squares(p), true[own], neighbours).mean()),
        "h0_image_gap": 1 - _ratio(bars[-whole], bars[1 - whole]),
        "separability": apart,
        "separability_gain": apart_unit - apart,
        "active_share": float((size > ACTIVE * size.max()).mean()),
        "activity_floor": _ratio(np.quantile(size, 0.05), size.max()),
        "positive_spread": _ratio(spread, cloud.var(axis=0).sum()),
        "class_direction": float((_unit(p) * _unit(centre @ _unit(p))).sum(axis=1).mean()),
    }


def classify(observed: Mapping[str, float], rules: Sequence[Rule] = RULES) -> Decision:
    """The structure that ``observables`` speak for, with margin and evidence (see Decision).

    A rule's score is (value − threshold)/span toward the passing side, cut at ±1; an undefined
    value misses with −1. A structure's score is the mean over its rules, at most 0 if it misses one
    that it needs; the winner's must be above 0.

    Raises:
        ConfigError: an observable that a rule needs is missing.
    """
    evidence = [_judge(rule, observed) for rule in rules]
    scores = {s: [e.score for e in evidence if e.structure == s] for s in STRUCTURES}
    mean = {s: sum(scores[s]) / len(scores[s]) for s in STRUCTURES}
    for rule, found in zip(rules, evidence, strict=True):
        if rule.needed and not found.passed:
            mean[rule.structure] = min(mean[rule.structure], 0.0)
    second, best = sorted(STRUCTURES, key=lambda s: mean[s])[-2:]
    return Decision(best if mean[best] > 0 else None, mean[best] - mean[second], evidence)


def _judge(rule: Rule, observed: Mapping[str, float]) -> Evidence:
    if rule.observable not in observed:
        raise ConfigError(f"no observable {rule.observable!r}; take them from observables()")
    value = float(observed[rule.observable])
    ahead = (value - rule.threshold if rule.sense == "≥" else rule.threshold - value) / rule.span
    score = -1.0 if np.isnan(value) else min(1.0, max(-1.0, ahead))
    name = f"{rule.observable} {rule.sense} {rule.threshold:g}"
    return Evidence(name, value, rule.threshold, score >= 0, rule.structure, score)


def _grid(latents: Any, positive: Any, image: Any, label: Any, true_label: Any) -> Any:
    """The checked arrays that are needed, and the number of candidate labels."""
    h = np.asarray(latents)
    pos, img, lab, true = arrays = [np.asarray(a) for a in (positive, image, label, true_label)]
    if h.ndim != 2 or h.size == 0 or any(a.shape != h.shape[:1] for a in arrays):
        shapes = ", ".join(str(list(a.shape)) for a in (h, *arrays))
        raise ConfigError(f"shapes are {shapes}; expected latents [N, n] and four arrays [N]")
    if not np.isfinite([h.min(), h.max()]).all():
        raise ConfigError("latents contain NaN or infinity; did the training diverge?")
    if not np.array_equal(pos, lab == true):
        raise ConfigError("positive must be true exactly where label equals true_label")
    images, labels = len(np.unique(img)), len(np.unique(lab))
    grid = [np.repeat(img[::labels], labels), np.tile(lab[:labels], images)]
    if len(h) != images * labels or not np.array_equal([img, lab], grid):
        raise ConfigError("latents must be image-major: each image's labels in turn, one a row")
    return h, pos, true, labels


def _of_norms(h: Floats, pos: Any, positive_units: int) -> dict[str, float]:
    up, down = (np.einsum("ij,ij->i", g, g, dtype=np.float64)
                for g in (h[:, :positive_units], h[:, positive_units:]))  # fmt: skip
    norm, energy = np.sqrt(up + down), up + down
    typical = np.median(norm[pos])
    low, reach, high = np.quantile(norm, [0.05, 0.1, 0.95])
    with np.errstate(invalid="ignore"):
        carried = down / energy  # nan for a latent that is 0
    contrast = [np.nanmean(carried[k]) if (energy[k] > 0).any() else np.nan for k in (~pos, pos)]
    return {
        "near_zero_negatives": float((norm[~pos] <= NEAR_ZERO * typical).mean()),
        "norm_ratio": _ratio(np.median(norm[~pos]), typical),
        "norm_auc": _above(norm, pos),
        "goodness_auc": _above(up, pos),
        "negative_auc": _above(down, ~pos),
        "positive_floor": _ratio(np.quantile(norm[pos], 0.1), typical),
        "origin_reach": _ratio(low, high),
        "origin_mixing": float(pos[norm <= reach].mean() / pos.mean()),
        "polarity_contrast": float(contrast[0] - contrast[1]),
    }


def _label_image_ratio(h: Floats, labels: int) -> float:
    means, within = np.empty((len(h) // labels, h.shape[1])), 0.0
    for i, of_image in enumerate(h.reshape(-1, labels, h.shape[1])):
        means[i] = of_image.mean(axis=0, dtype=np.float64)
        within += ((of_image - means[i]) ** 2).sum()
    return _ratio(within / len(h), means.var(axis=0).sum())


def _squares(points: Floats) -> Floats:
    """Squared distances [N, N]; what rounding leaves of equal columns is removed."""
    x = points - points.mean(axis=0, dtype=np.float64)
    x[np.abs(x) <= 1e-12 * np.abs(points).max()] = 0
    length = np.einsum("ij,ij->i", x, x)
    square = np.maximum(length[:, None] + length - 2 * (x @ x.T), 0)
    np.fill_diagonal(square, 0)
    return square


def _shares(square: Floats, group: Any, neighbours: int) -> Floats:
    """Share [N] of nearest neighbours in one's own group. What ties (up to rounding) for the last
    places counts with the share that drawing among it would give."""
    d, rounding = square.copy(), 1e-12 * square.max()
    np.fill_diagonal(d, np.inf)
    last = np.partition(d, neighbours - 1, axis=1)[:, neighbours - 1 : neighbours]
    nearer, tied = d < last - rounding, np.abs(d - last) <= rounding
    same = group[:, None] == group
    drawn = (neighbours - nearer.sum(axis=1)) * (tied & same).sum(axis=1) / tied.sum(axis=1)
    return ((nearer & same).sum(axis=1) + drawn) / neighbours


def _separability(square: Floats, positive: Any, neighbours: int) -> float:
    share = _shares(square, positive, neighbours)
    return (
        _ratio(share @ positive, positive.sum()) + _ratio(share @ ~positive, (~positive).sum())
    ) / 2


def _above(value: Floats, pos: Any) -> float:  # ties count half
    return float((rankdata(value)[pos].mean() - (pos.sum() + 1) / 2) / (~pos).sum())


def _unit(points: Floats) -> Floats:
    norm = np.linalg.norm(points, axis=1, keepdims=True)
    return points / np.where(norm > 0, norm, 1)


def _ratio(a: Any, b: Any) -> float:  # of values ≥ 0
    return float(a / b) if b > 0 else float("inf" if a > 0 else "nan")
