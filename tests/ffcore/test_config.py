import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffcore.config import FACTORS, SparsityExperiment, from_record, make_experiment
from ffcore.errors import ConfigError
from ffreport.study.profiles import Grid, make_profile
from tests.conftest import tiny
from tests.support.documents import ROOT

MINIMAL = {"title": "t", "rq1": [{"datasets": ["digits"]}], "sparsity": [{"dataset": "digits"}]}


def test_the_grid_has_108_distinct_configurations_with_distinct_names_and_keys():
    experiments = Grid(datasets=("mnist",)).experiments()
    assert len(experiments) == 108
    assert len({e.key for e in experiments}) == len({e.name for e in experiments}) == 108


@pytest.mark.parametrize(
    ("activation", "norm", "probability", "expected"),
    [
        ("relu", "l2", "sigmoid", (2.0, 1.0, 0.5)),
        ("relu", "l2", "ffa-sigmoid", (2.0, 1.0, 1.0)),
        ("sigmoid", "l2", "ffa-sigmoid", (0.2, 5.0, 1.0)),
        ("sigmoid", "l2sq", "ffa-sigmoid", (0.2, 5.0, 1.0)),
        ("sigmoid", "l1", "ffa-sigmoid", (0.4, 2.5, 1.0)),
        ("sigmoid", "l1", "symmetric", (2.0, 1.0, 0.5)),
    ],
)
def test_threshold_slope_and_polarity_follow_the_papers_rules(
    activation, norm, probability, expected
):
    e = tiny(activation=activation, norm=norm, probability=probability)
    assert (e.theta, e.alpha, e.positive_fraction) == expected


def test_what_the_rules_give_may_be_written_out_without_changing_the_key():
    assert tiny(theta=2.0, positive_fraction=0.5).key == tiny().key
    assert tiny(theta=1.0).key != tiny().key and "theta=1.0" in tiny(theta=1.0).name


@given(st.sampled_from(["epochs", "batch_size", "seed", "validation"]), st.integers(1, 999))
def test_any_changed_setting_changes_key_and_name(field, value):
    changed = tiny(**{field: value})
    same = getattr(changed, field) == getattr(tiny(), field)
    assert (changed.key == tiny().key) == same == (changed.name == tiny().name)


def test_a_stored_record_gives_the_same_experiment_back():
    for e in (tiny(), SparsityExperiment(dataset="digits", width=64)):
        assert from_record(e.kind, e.model_dump(mode="json")) == e


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(norm="l3"), "unknown norm 'l3'; choose l2sq, l2 or l1; did you mean"),
        (dict(epohcs=3), "unknown key 'epohcs'; did you mean 'epochs'"),
        (dict(epochs=0), "epochs is 0: input should be greater than 0"),
        (dict(learning_rate=float("nan")), "learning_rate is nan"),
        (dict(probability="ffa-sigmoid", positive_fraction=0.5), "positive units only"),
        (dict(positive_fraction=0.001), "leaves a polarity group empty"),
        (dict(inhibition="wta", wta_k=17), "lower wta_k or widen"),
        (dict(widths=[]), "widths is"),
        (dict(seed=-1), "seed is -1"),
    ],
)
def test_an_impossible_experiment_says_what_is_wrong(changes, message):
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        tiny(**changes)


def test_a_missing_factor_is_named():
    with pytest.raises(ConfigError, match="key 'norm' is missing"):
        make_experiment(**{f: v[0] for f, v in FACTORS.items() if f != "norm"}, dataset="mnist")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1], "must be a mapping"),
        ({**MINIMAL, "rq3": 1}, "unknown key 'rq3'; did you mean 'rq"),
        ({**MINIMAL, "rq2": {"imags": 3}}, "unknown key 'rq2.imags'; did you mean 'images'"),
        ({**MINIMAL, "rq1": [{"dataset": ["mnist"]}]}, "unknown key 'rq1.0.dataset'"),
        ({**MINIMAL, "rq1": [{"datasets": ["m"], "norm": ["l3"]}]}, "unknown rq1.0.norm.0 'l3'"),
        ({**MINIMAL, "rq1": [{"datasets": ["m"], "settings": {"widht": 3}}]}, "did you mean 'w"),
        ({**MINIMAL, "sparsity": [{"dataset": "m", "wdith": 3}]}, "did you mean 'width'"),
        ({**MINIMAL, "device": "gpu"}, "choose auto, cpu or cuda"),
        ({**MINIMAL, "changes": {}}, "unknown key 'changes'"),
    ],
)
def test_a_wrong_profile_names_the_key_and_the_nearest_legal_one(values, message):
    with pytest.raises(ConfigError, match=message):
        make_profile(values, "p")


def test_overrides_reach_every_experiment_and_the_label():
    changes = dict(dataset="mnist", seeds=[3, 4], epochs=2, precision="bf16", device="cpu")
    profile = make_profile({**MINIMAL, "paper_scale": True}, "p", changes)
    networks = profile.networks()
    assert len(networks) == 216 and {e.seed for e in networks} == {3, 4}
    assert {(e.dataset, e.epochs, e.precision) for e in networks} == {("mnist", 2, "bf16")}
    assert {(s.seed, s.epochs) for s in profile.sparsity_runs()} == {(3, 2), (4, 2)}
    assert "epochs=2" in profile.label and "seeds=3,4" in profile.label
    assert not profile.paper_scale


def test_a_data_set_selects_the_grids_that_name_it_or_replaces_those_of_all():
    grids = [
        {"datasets": ["mnist", "kmnist"]},
        {"datasets": ["cifar-10"], "settings": {"epochs": 9}},
    ]
    values = {**MINIMAL, "rq1": grids}
    for dataset, epochs, count in (("kmnist", {50}, 108), ("cifar-10", {9}, 108),
                                   ("digits", {50, 9}, 216)):  # fmt: skip
        networks = make_profile(values, "p", {"dataset": dataset}).networks()
        assert len(networks) == count
        assert {(e.dataset, e.epochs) for e in networks} == {(dataset, n) for n in epochs}


def test_an_unknown_override_is_an_error():
    with pytest.raises(ConfigError, match="did you mean 'epochs'"):
        make_profile(MINIMAL, "p", {"epoch": 2})


def test_a_grid_named_twice_trains_each_network_once():
    profile = make_profile({**MINIMAL, "rq1": MINIMAL["rq1"] * 2}, "p")
    assert len(profile.networks()) == 108


def test_configurations_are_a_list_in_place_of_all_combinations():
    grid = {"datasets": ["m"], "configurations": ["l2-sum-none-relu-ffa-sigmoid",
                                                  "l1-mean-wta-tanh-symmetric"]}  # fmt: skip
    networks = make_profile({**MINIMAL, "rq1": [grid]}, "p").networks()
    assert [e.configuration for e in networks] == grid["configurations"]


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"configurations": ["l2-sum-none-relu"]}, "not of the form norm-aggregation"),
        ({"configurations": ["l2-sum-none-rleu-sigmoid"]}, "did you mean 'relu'"),
        ({"positive_fraction": [0.0]}, "positive_fraction is 0.0"),
    ],
)
def test_an_impossible_grid_says_what_is_wrong(grid, message):
    with pytest.raises(ConfigError, match=message):
        make_profile({**MINIMAL, "rq1": [{"datasets": ["m"], **grid}]}, "p")


def test_shares_of_positive_units_multiply_a_grid_and_a_half_is_the_usual_network():
    datasets = MINIMAL["rq1"][0]["datasets"]
    grid = {"datasets": datasets, "probability": ["symmetric"], "positive_fraction": [0.25, 0.5]}
    profile = make_profile({**MINIMAL, "polarity": [grid]}, "p")
    shares = profile.networks("polarity")
    assert len(shares) == 2 * 36 and {e.positive_fraction for e in shares} == {0.25, 0.5}
    assert len(profile.networks()) == 108 + 36, "a half is already in the grid"


def choices(configuration, **vary):
    grid = {"datasets": ["m"], "configurations": [configuration], "vary": vary}
    base, *others = make_profile({**MINIMAL, "choices": [grid]}, "p").networks("choices")
    assert set(base.settings) == {*FACTORS, "dataset"}
    return [{k: v for k, v in e.settings.items() if k not in (*FACTORS, "dataset")} for e in others]


def test_choices_change_one_setting_at_a_time():
    assert choices("l2-sum-wta-relu-sigmoid", negatives=["any"], theta=[1, 2, 4], wta_k=[5]) == [
        {"negatives": "any"}, {"theta": 1.0}, {"theta": 4.0}, {"wta_k": 5},
    ]  # fmt: skip


def test_choices_that_change_nothing_are_left_out():
    assert choices("l2-sum-none-relu-symmetric", theta=[1], wta_k=[5], negatives=["wrong"]) == []
    assert choices("l2-sum-none-relu-ffa-sigmoid", normalisation=["whole", "none"]) == [
        {"normalisation": "none"}
    ]


def test_a_setting_that_does_not_exist_cannot_be_varied():
    with pytest.raises(ConfigError, match="did you mean 'theta'"):
        choices("l2-sum-none-relu-sigmoid", thta=[1])


def test_a_data_set_of_one_part_leaves_out_parts_that_do_not_name_it():
    grid = {"datasets": ["mnist"], "probability": ["symmetric"], "positive_fraction": [0.25]}
    values = {**MINIMAL, "rq1": [{"datasets": ["mnist", "kmnist"]}], "polarity": [grid]}
    found = make_profile(values, "p", {"dataset": "kmnist"})
    assert len(found.networks("rq1")) == 108 and not found.networks("polarity")
    assert len(make_profile(values, "p", {"dataset": "digits"}).networks("polarity")) == 36


def test_a_changed_copy_has_a_key_of_its_own():
    first = tiny()
    assert first.key != first.model_copy(update={"seed": 7}).key == tiny(seed=7).key


def test_a_further_built_in_norm_is_legal_and_leaves_the_published_grid_as_it_is():
    code = (
        "from ffcore import plugins; plugins.BUILT_IN['norm'] += ('l4',)\n"
        "from ffcore.config import FACTORS, legal, make_experiment\n"
        "from ffreport.study.profiles import Grid\n"
        "assert 'l4' in legal('norm') and 'l4' not in FACTORS['norm']\n"
        "make_experiment(dataset='digits', norm='l4', aggregation='sum', inhibition='none',\n"
        "                activation='relu', probability='sigmoid')\n"
        "print(len({e.configuration for e in Grid(datasets=('mnist',)).experiments()}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "108", done.stderr
