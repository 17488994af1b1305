import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffcore.config import FACTORS
from ffcore.errors import ConfigError
from ffreport.analysis.rq2 import measures, taxonomy
from ffreport.analysis.rq2.topology import homology

IMAGES, LABELS, UNITS = 60, 10, 60
HALF = UNITS // 2
IMAGE = np.repeat(np.arange(IMAGES), LABELS)
LABEL = np.tile(np.arange(LABELS), IMAGES)
TRUE = np.repeat(np.arange(IMAGES) % LABELS, LABELS)
POSITIVE = LABEL == TRUE
ROWS = len(LABEL)


def original(rng):
    """Negatives collapse to a cluster at zero, positives in one-class clusters far from it."""
    centres = 5 * np.maximum(rng.standard_normal((LABELS, UNITS)), 0)
    far = centres[TRUE] + np.abs(rng.normal(0, 0.5, (ROWS, UNITS)))
    near = np.maximum(rng.normal(-0.2, 0.1, (ROWS, UNITS)), 0)
    return np.where(POSITIVE[:, None], far, near), UNITS


def sigmoid_activated(rng):
    """Dense, high activity, positives slightly above negatives, clusters by (class, label)."""
    centres = rng.uniform(0.3, 0.6, (LABELS, LABELS, UNITS))
    h = centres[TRUE, LABEL] + rng.normal(0, 0.02, (ROWS, UNITS))
    return h * (1 + 0.15 * POSITIVE[:, None]), UNITS


def perturbation(rng):
    """A tiny cluster an image: the label only perturbs."""
    pixels = np.maximum(rng.standard_normal((IMAGES, UNITS)), 0)
    return pixels[IMAGE] + 0.05 * rng.standard_normal((LABELS, UNITS))[LABEL], UNITS


def sigmoid_polar(rng):
    """Tight positive clusters, negatives in large clouds carried by the negative units."""
    side = np.arange(UNITS) < HALF
    centres = 3 * np.abs(rng.standard_normal((LABELS, UNITS))) * side
    tight = centres[TRUE] + rng.normal(0, 0.1, (ROWS, UNITS))
    cloud = np.abs(rng.normal(0, 3, (ROWS, UNITS))) * ~side + rng.normal(0, 0.3, (ROWS, UNITS))
    return np.where(POSITIVE[:, None], tight, cloud), HALF


def symmetric_polar(rng):
    """Both kinds mix near the origin and separate once normalised; a class is a direction."""
    side = np.arange(UNITS) < HALF
    ways = np.abs(rng.standard_normal((2, LABELS, UNITS))) * np.stack([~side, side])[:, None]
    way = ways[POSITIVE.astype(int), TRUE]
    way = way + 0.2 * np.abs(rng.standard_normal((ROWS, UNITS)))
    return way * 10 ** rng.uniform(-3, 1, (ROWS, 1)), HALF


GENERATORS = dict(
    zip(
        taxonomy.STRUCTURES,
        (original, sigmoid_activated, perturbation, sigmoid_polar, symmetric_polar),
        strict=True,
    )
)


def observe(h, positive_units=UNITS, **options):
    h = h.astype(np.float32)
    return taxonomy.observables(h, POSITIVE, IMAGE, LABEL, TRUE, positive_units, **options)


def made(structure, seed=0):
    return GENERATORS[structure](np.random.default_rng(seed))


@pytest.mark.parametrize("structure", taxonomy.STRUCTURES)
@settings(max_examples=4)
@given(seed=st.integers(0, 10_000))
def test_latents_made_to_a_definition_get_its_structure_with_a_margin(structure, seed):
    found = taxonomy.classify(observe(*made(structure, seed)))
    assert found.structure == structure and found.margin > 0.2
    own = [e for e in found.evidence if e.structure == structure]
    assert sum(e.passed for e in own) >= len(own) - 1


@pytest.mark.parametrize("structure", taxonomy.STRUCTURES)
def test_scale_and_the_order_of_units_within_a_polarity_change_nothing(structure):
    h, half = made(structure)
    rng = np.random.default_rng(1)
    order = np.r_[rng.permutation(half), half + rng.permutation(UNITS - half)]
    expected = observe(h, half)
    for other in (h[:, order], 256 * h, h / 1e20):
        assert observe(other, half) == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("structure", taxonomy.STRUCTURES)
def test_another_sample_gives_the_same_structure(structure):
    h, half = made(structure)
    found = {taxonomy.classify(observe(h, half, points=300, seed=s)).structure for s in range(5)}
    assert found == {structure}


def test_activity_is_excitation_so_that_a_tanh_layer_at_rest_at_minus_one_is_silent():
    h, half = made("original")
    resting = np.where(h > 0, h, -h.max())
    assert taxonomy.classify(observe(resting, half)).structure == "original"
    assert observe(resting, half) == observe(h, half)


def test_negative_units_are_asked_whether_they_carry_the_negatives():
    h, half = made("sigmoid-polar")
    assert observe(h, half)["negative_auc"] > 0.95
    assert observe(h, UNITS)["negative_auc"] == 0.5, "without negative units, chance"
    swapped = np.concatenate([h[:, half:], h[:, :half]], axis=1)
    assert observe(swapped, half)["negative_auc"] < 0.05


def test_names_of_configurations_are_unknown_to_the_decision():
    h, _ = made("original")
    assert taxonomy.classify(observe(h, HALF)).structure == "original"


def test_latents_without_negative_units_are_never_sigmoid_polar():
    h, half = made("sigmoid-polar")
    assert taxonomy.classify(observe(h, half)).structure == "sigmoid-polar"
    assert taxonomy.classify(observe(h, UNITS)).structure != "sigmoid-polar"


def test_latents_that_are_all_zero_have_no_structure():
    seen = observe(np.zeros((ROWS, UNITS)))
    assert seen["near_zero_negatives"] == 1 and math.isnan(seen["norm_ratio"])
    assert seen["norm_auc"] == 0.5 and seen["same_image_purity"] == pytest.approx(9 / 599)
    found = taxonomy.classify(seen)
    assert found.structure is None and len(found.evidence) == len(taxonomy.RULES)


@pytest.mark.parametrize("value", [1 / 3, 1e-30, 1e20])
def test_latents_that_are_all_equal_have_no_structure(value):
    seen = observe(np.full((ROWS, UNITS), value))
    assert seen["norm_ratio"] == pytest.approx(1) and math.isnan(seen["label_image_ratio"])
    assert seen["pair_purity"] < 0.02 and math.isnan(seen["h0_image_gap"])
    assert taxonomy.classify(seen).structure is None


@pytest.mark.parametrize("shape", ["standard_normal", "random", "standard_exponential"])
def test_noise_has_no_structure(shape):
    noise = getattr(np.random.default_rng(0), shape)((ROWS, UNITS))
    assert taxonomy.classify(observe(noise, HALF)).structure is None


def test_observables_by_hand_on_three_images():
    # One unit a polarity. Positives (4, 0), negatives (0, 1) and, the last, (0, 3).
    true, label = np.repeat([0, 1, 2], 3), np.tile([0, 1, 2], 3)
    positive, image = true == label, np.repeat([0, 1, 2], 3)
    h = np.where(positive[:, None], [4.0, 0], [0.0, 1]).astype(np.float32)
    h[7] = 0, 3
    seen = taxonomy.observables(h, positive, image, label, true, 1, neighbours=1)
    assert seen["near_zero_negatives"] == 0 and seen["norm_ratio"] == 0.25
    assert seen["norm_auc"] == seen["goodness_auc"] == 1
    assert seen["positive_floor"] == 1 and seen["origin_mixing"] == 0
    assert seen["polarity_contrast"] == 1 and seen["separability"] == 1
    assert seen["activity_floor"] == 0 and seen["active_share"] == 0.5
    assert seen["positive_spread"] == 0 and seen["class_direction"] == 1
    means = np.array([[4 / 3, 2 / 3], [4 / 3, 2 / 3], [4 / 3, 4 / 3]])
    within = ((h.reshape(3, 3, 2) - means[:, None]) ** 2).sum() / 9
    assert seen["label_image_ratio"] == pytest.approx(within / means.var(axis=0).sum())
    # Neighbours at distance 0 tie: of a positive's two, none is of its image.
    assert seen["class_purity"] == 0 and seen["separability_gain"] == 0


def test_separability_is_that_of_measures():
    h, half = made("symmetric-polar")
    seen = observe(h, half)  # 600 latents: both sample them all
    h = h.astype(np.float32)
    raw, unit = (measures.separability(v, POSITIVE) for v in (h, measures.unit_rows(h)))
    assert seen["separability"] == pytest.approx(raw, abs=1e-9)
    assert seen["separability_gain"] == pytest.approx(unit - raw, abs=1e-3)


def test_the_image_gap_is_between_the_bars_that_topology_finds():
    h, half = made("perturbation")
    excitation = np.maximum(h, 0)
    bars = homology.lifetimes(homology.persistence(excitation).diagrams[0])[::-1]
    expected = 1 - bars[IMAGES - 1] / bars[IMAGES - 2]
    assert observe(h, half)["h0_image_gap"] == pytest.approx(expected, rel=1e-4) and expected > 0.1


def test_observables_are_floats_within_their_ranges():
    anywhere = {"norm_ratio", "label_image_ratio", "positive_spread", "origin_mixing"}
    signed = {"polarity_contrast", "separability_gain", "class_direction"}
    for structure in taxonomy.STRUCTURES:
        for name, value in observe(*made(structure)).items():
            assert type(value) is float, name
            low, high = -1.0 if name in signed else 0.0, math.inf if name in anywhere else 1.0
            assert low <= value <= high + 1e-12, (structure, name)


def test_observables_do_not_change_the_latents():
    h = made("original")[0].astype(np.float32)
    before = h.copy()
    observe(h)
    np.testing.assert_array_equal(h, before)


def test_the_evidence_names_every_rule_with_value_threshold_and_verdict():
    seen = observe(*made("original"))
    found = taxonomy.classify(seen)
    for rule, e in zip(taxonomy.RULES, found.evidence, strict=True):
        value, sign = seen[rule.observable], 1 if rule.sense == "≥" else -1
        assert e.rule == f"{rule.observable} {rule.sense} {rule.threshold:g}"
        assert (e.value, e.threshold, e.structure) == (value, rule.threshold, rule.structure)
        assert e.passed == (sign * value >= sign * rule.threshold) and -1 <= e.score <= 1


def test_a_structure_that_misses_its_needed_rule_is_out():
    for rule in (r for r in taxonomy.RULES if r.needed):
        seen = observe(*made(rule.structure))
        assert taxonomy.classify(seen).structure == rule.structure
        missed = {**seen, rule.observable: rule.threshold + (-0.01 if rule.sense == "≥" else 0.01)}
        assert taxonomy.classify(missed).structure != rule.structure


def test_an_infinite_or_undefined_observable_is_judged():
    seen = observe(*made("perturbation"))
    infinite = taxonomy.classify({**seen, "label_image_ratio": math.inf}).evidence
    undefined = taxonomy.classify({**seen, "label_image_ratio": math.nan}).evidence
    for evidence in (infinite, undefined):
        [e] = [e for e in evidence if e.rule.startswith("label_image_ratio")]
        assert not e.passed and e.score == -1


def test_every_structure_has_a_needed_rule_and_others_with_a_reason_and_a_scale():
    assert {r.structure for r in taxonomy.RULES if r.needed} == set(taxonomy.STRUCTURES)
    assert {r.observable for r in taxonomy.RULES} <= set(taxonomy.OBSERVABLES)
    assert all(r.reason and r.span > 0 for r in taxonomy.RULES)


@pytest.mark.parametrize(
    ("configuration", "structure", "stated"),
    [
        ("relu-l1-sum-wta-ffa-sigmoid", "original", True),
        ("relu-l1-mean-wta-ffa-sigmoid", "original", True),
        ("relu-l2-sum-none-ffa-sigmoid", "original", False),
        ("tanh-l2sq-sum-none-ffa-sigmoid", "original", False),
        ("relu-l2sq-sum-none-ffa-sigmoid", "perturbation", True),
        ("relu-l2sq-mean-none-ffa-sigmoid", "original", False),
        ("sigmoid-l2sq-sum-none-ffa-sigmoid", "sigmoid-activated", True),
        ("tanh-l2-sum-none-sigmoid", "sigmoid-polar", True),
        ("sigmoid-l1-mean-wta-sigmoid", "sigmoid-polar", True),
        ("relu-l2sq-sum-none-symmetric", "symmetric-polar", True),
    ],
)
def test_the_family_of_a_configuration_is_the_papers(configuration, structure, stated):
    activation, norm, aggregation, inhibition, probability = configuration.split("-", 4)
    found = taxonomy.family(activation, norm, aggregation, inhibition, probability)
    assert found == (structure, stated)


def test_all_108_configurations_have_a_family():
    found = [
        taxonomy.family(**dict(zip(FACTORS, values, strict=True)))
        for values in product(*FACTORS.values())
    ]
    assert len(found) == 108
    counts = {s: sum(f.structure == s for f in found) for s in taxonomy.STRUCTURES}
    assert list(counts.values()) == [23, 12, 1, 36, 36]
    assert sum(not f.stated for f in found) == 21


def test_an_unknown_factor_names_the_legal_ones():
    with pytest.raises(ConfigError, match="unknown norm 'l3'; choose l2sq, l2 or l1"):
        taxonomy.family("relu", "l3", "sum", "none", "symmetric")


def refused(message, **changes):
    given = dict(
        latents=np.ones((ROWS, UNITS)), positive=POSITIVE, image=IMAGE, label=LABEL,
        true_label=TRUE, positive_units=HALF,
    )  # fmt: skip
    with pytest.raises(ConfigError, match=message):
        taxonomy.observables(**{**given, **changes})


def test_impossible_input_is_refused_with_its_reason():
    nan = np.full((ROWS, UNITS), np.nan)
    few = dict(positive=POSITIVE[:40], image=IMAGE[:40], label=LABEL[:40], true_label=TRUE[:40])
    refused("NaN or infinity", latents=nan)
    refused(r"shapes are \[600, 60\], \[5\]", positive=POSITIVE[:5])
    refused("exactly where label equals true_label", positive=~POSITIVE)
    refused("image-major", image=IMAGE[::-1].copy() % 7)
    order = np.random.default_rng(0).permutation(ROWS)
    shuffled = dict(positive=POSITIVE, label=LABEL, true_label=TRUE, image=IMAGE)
    refused("image-major", **{k: v[order] for k, v in shuffled.items()})
    refused("4 positives", latents=np.ones((40, UNITS)), **few)
    refused("0 of 60 units positive", positive_units=0)
    refused("samples of 10", points=10)
    with pytest.raises(ConfigError, match="no observable 'near_zero_negatives'"):
        taxonomy.classify({})
