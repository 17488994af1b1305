import numpy as np
import pandas as pd
import pytest

from ffcore.config import FACTORS
from ffreport.analysis.rq2 import latents, structures, taxonomy, words
from ffreport.analysis.rq2.figures import structure_map

FAMILY = {  # factors whose family the paper states
    "original": ("l1", "sum", "wta", "relu", "ffa-sigmoid"),
    "sigmoid-activated": ("l2sq", "mean", "none", "sigmoid", "ffa-sigmoid"),
    "perturbation": ("l2sq", "sum", "none", "relu", "ffa-sigmoid"),
    "sigmoid-polar": ("l2", "sum", "none", "tanh", "sigmoid"),
    "symmetric-polar": ("l2sq", "mean", "none", "relu", "symmetric"),
}


def observed(structure, strength=1.0):
    """Observables that meet all rules of one structure by ``strength`` spans, and, where these say
    nothing, miss the others'."""
    values = {}
    for rule in taxonomy.RULES:
        side = 1 if rule.sense == "≥" else -1
        if rule.structure == structure:
            values[rule.observable] = rule.threshold + side * strength * rule.span
    for rule in taxonomy.RULES:
        side = 1 if rule.sense == "≥" else -1
        values.setdefault(rule.observable, rule.threshold - side * rule.span)
    return {**dict.fromkeys(taxonomy.OBSERVABLES, 0.5), **values}


def row(family, structure, key, *, dataset="mnist", seed=0, epochs=10, strength=1.0):
    factors = dict(zip(FACTORS, FAMILY[family], strict=True))
    named = {"key": key, "configuration": "-".join(FAMILY[family]), "dataset": dataset,
             "seed": seed, "epochs": epochs, "origin": "own"}  # fmt: skip
    return {**named, **factors, **observed(structure, strength)}


def frame(*rows):
    return latents.judged(pd.DataFrame(rows))


@pytest.fixture
def found():
    return frame(
        *[row(s, s, s) for s in taxonomy.STRUCTURES],
        *[row(s, s, f"{s}1", seed=1) for s in taxonomy.STRUCTURES[:3]],
        row("symmetric-polar", "sigmoid-polar", "off", dataset="fashion-mnist"),
        row("sigmoid-polar", "perturbation", "asleep", dataset="fashion-mnist"),
    )


def test_made_observables_are_judged_as_made(found):
    assert found["structure"].tolist()[:5] == list(taxonomy.STRUCTURES)
    assert found["structure"].tolist()[-2:] == ["sigmoid-polar", "perturbation"]
    assert found["stated"].all()


def test_networks_that_thresholds_were_set_on_are_not_held_out(found):
    assert structures.held_out(found).tolist() == [False] * 5 + [True] * 5
    table = structures.prototypes(found)
    assert set(table["configuration"]) == set(latents.PROTOTYPES.values())
    assert table["paper"].drop_duplicates().tolist() == list(taxonomy.STRUCTURES)
    assert table.loc[table["dataset"] == "fashion-mnist", "agrees"].tolist() == [False, False]
    assert (table["role"] == "held out").sum() == 5


def test_agreement_leaves_out_networks_that_never_learned(found):
    table = structures.agreement(found)
    fashion = table[table["dataset"] == "fashion-mnist"].set_index("learned")
    assert fashion.loc["all", ["networks", "agree"]].tolist() == [2, 0]
    assert fashion.loc["layer 1 learned", ["networks", "agree"]].tolist() == [1, 0]
    own = table[(table["dataset"] == "mnist") & (table["role"] == "held out")].iloc[0]
    assert own["networks"] == own["agree"] == 3 and own["low"] < own["share"] == own["high"] == 1
    text = words.agreement(structures.agreement(found))
    assert "0 of 1 on fashion-mnist (held out; 0 %" in text


def test_a_clear_decision_survives_other_thresholds_and_a_narrow_one_does_not():
    clear, narrow = row("original", "original", "clear"), row("original", "original", "narrow")
    narrow["norm_auc"] = 0.9001  # just above a threshold that decides
    table = structures.by_threshold(frame(clear, narrow)).pivot(
        index="key", columns="change", values="kept"
    )
    assert (table[0.0] == 1).all()
    assert table.loc["clear", 0.05] == 1 and 0.2 < table.loc["narrow", 0.05] < 0.8
    assert table.loc["clear", 0.3] <= table.loc["clear", 0.05]


def test_seeds_are_compared_within_a_configuration_and_length_only(found):
    table = structures.by_seed(found).set_index("configuration")
    assert len(table) == 3 and (table["kept"] == 1).all() and (table["seeds"] == 2).all()
    other = frame(row("original", "original", "a"), row("original", "perturbation", "b", seed=1))
    assert structures.by_seed(other)["kept"].tolist() == [0.5]
    longer = frame(row("original", "original", "a"),
                   row("original", "original", "b", seed=1, epochs=50))  # fmt: skip
    assert structures.by_seed(longer).empty


def test_disagreements_name_the_clauses_that_are_missed_worst_first(found):
    table = structures.disagreements(found)
    assert set(table["key"]) == {"off", "asleep"}
    assert table["margin"].is_monotonic_decreasing
    missed = table.set_index("key").loc["off", "missed"]
    assert "polarity_contrast ≥ 0.85" in missed and "share no units" in missed
    text = words.disagreements(found)
    assert "1 of the 2 disagreements" in text and "1 of Symmetric Polar-FFA measured as" in text


def test_without_disagreement_nothing_is_made_up(found):
    agreeing = found[found["structure"] == found["family"]]
    assert structures.disagreements(agreeing).empty
    assert "Every network" in words.disagreements(agreeing)


def test_pictures_show_each_kind_of_disagreement_before_a_second_of_any():
    class Stored:
        networks = [type("Run", (), {"experiment": type("E", (), {"key": k})}) for k in "abcd"]

    table = pd.DataFrame({"key": list("abxcd"), "paper": ["p", "p", "q", "q", "q"],
                          "structure": ["s"] * 5})  # fmt: skip
    assert structures.pictured(Stored, table, most=3) == ["a", "c", "b"]


def test_words_on_ranks_name_the_network_that_is_furthest_off():
    table = pd.DataFrame([
        {"measure": "hoyer", "rank_correlation": 0.99, "low": 0.9, "high": 1.0},
        {"measure": "separability", "rank_correlation": 0.5, "low": 0.1, "high": 0.8},
    ]).assign(trained="all", networks=9, median_difference=0.1)  # fmt: skip
    measured = pd.DataFrame({
        "configuration": ["near", "next", "third", "far"], "dataset": "mnist", "whole": True,
        "separability": [0.5, 0.6, 0.7, 0.9], "published_separability": [0.5, 0.61, 0.72, 0.6],
        "test_accuracy": [0.9, 0.9, 0.9, 0.8], "published_test_accuracy": [0.9, 0.9, 0.9, 0.95],
    })  # fmt: skip
    text = words.ranks(table, measured)
    assert "1 of 2 measures" in text and "furthest off is far (0.900 here" in text
    assert "without it the rank correlation is 1.00" in text
    nothing = words.ranks(table.assign(rank_correlation=np.nan), measured)
    assert "no order to compare" in nothing


def test_stability_in_words_counts_what_the_frames_hold(found):
    thresholds = structures.by_threshold(found)
    samples = pd.DataFrame({"key": ["a", "b"], "structure": ["original"] * 2, "samples": 3,
                            "kept": [1.0, 2 / 3]})  # fmt: skip
    text = words.stability(thresholds, samples, structures.by_seed(found))
    assert "1 of 2 keep it in every redraw (3 each)" in text
    assert "Of 3 configurations with several seeds, 3 have" in text
    assert "No configuration has more than one seed" in words.stability(
        thresholds, samples.iloc[:0], structures.by_seed(found).iloc[:0]
    )


def test_figures_draw_what_the_frames_hold_and_say_where_there_is_nothing(found):
    import matplotlib.pyplot as plt

    evidence = structures.evidence(found.head(2))
    titles = {k: k for k in found["key"].head(2)}
    figure = structure_map.evidence(evidence, titles)
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert len(texts) == 2 * len(taxonomy.RULES) and texts[0] == f"{evidence['value'][0]:.2f}"
    empty = structure_map.evidence(evidence.iloc[:0], {})
    assert "not run" in empty.axes[0].texts[0].get_text()
    samples = structures.by_seed(found)
    drawn = structure_map.stability(structures.by_threshold(found), samples, samples)
    lines = [line for line in drawn.axes[0].lines if len(line.get_xdata()) > 1]
    assert len(lines) == found["structure"].nunique()
    plt.close("all")
