"""Plug-ins: registered and loaded, digested, legal in experiments, and trained as built-ins are."""

import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import torch

from ffcore import labels, plugins, train
from ffcore.classifier import ClassifierError, FFClassifier
from ffcore.config import FACTORS, levels, make_experiment
from ffcore.errors import ConfigError, StoreError
from ffcore.plugins import trial
from ffreport.analysis.rq1 import accuracy
from ffreport.analysis.rq2 import taxonomy
from ffreport.base import digests
from ffreport.compute import pool as workers
from ffreport.pipeline.training import tasks
from ffreport.runs import origin
from ffreport.study.study import read_profile
from tests.conftest import tiny
from tests.ffcore.test_network import CPU, batches

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "plugins.py"
FILE = '''"""Variants."""
import torch
from ffcore import plugins

SLOPE = 0.1

def _bent(z):
    return torch.where(z > 0, z, SLOPE * z)  # a comment

@plugins.activation("bent")
def bent(z):
    """A docstring."""
    return _bent(z)

@plugins.norm("l3")
def l3(h, scale):
    return scale * h.abs().pow(3).sum(-1)
'''


@pytest.fixture(autouse=True)
def _nothing_registered(monkeypatch):
    monkeypatch.setattr(plugins, "_table", {})
    monkeypatch.setattr(plugins, "_sources", {})


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


# Built-in formulas once more, in plain PyTorch.
COPIES = {
    "norm": {
        "l2sq": lambda h, scale: scale * h.square().sum(-1),
        "l2": lambda h, scale: (scale * h.square().sum(-1) + 1e-20).sqrt(),
        "l1": lambda h, scale: scale * h.abs().sum(-1),
    },
    "activation": {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh},
    "probability": {
        "sigmoid": lambda p, n, theta, alpha: torch.sigmoid(alpha * (p - n - theta)),
        "symmetric": lambda p, n, theta, alpha: (p + 1e-6) / (p + n + 2e-6),
    },
}


def copied(kind, name):
    """A plug-in that does what a built-in name does; returns its name."""
    formula = COPIES[kind][name]

    def copy(*arguments):
        return formula(*arguments)

    getattr(plugins, kind)(f"my_{name}")(copy)
    return f"my_{name}"


def after_steps(experiment):
    """Losses, weights, scores and latents of a network after four steps."""
    table = labels.patterns(10, "appended", experiment.label_size, 0.3,
                            labels.generator(0, "patterns"))  # fmt: skip
    block = train.Block([experiment], 50, table, CPU)
    losses = [block.step(*batch) for batch in batches(experiment)]
    images = next(batches(experiment))[0]
    assert torch.equal(block.predict(images), block.scores(images).argmax(-1))
    return [*losses, *block.weights(0).values(), block.scores(images), block.latents(images)]


PLUGGED = [
    *({"norm": n} for n in COPIES["norm"]),
    *({"activation": a} for a in COPIES["activation"]),
    *({"probability": p} for p in COPIES["probability"]),
    {"norm": "l2", "activation": "tanh", "probability": "sigmoid"},
]
SETTINGS = [
    {},
    {"inhibition": "wta", "aggregation": "mean", "passed_on": "before", "positive_fraction": 0.25},
]


@pytest.mark.parametrize(("kinds", "settings"), [*product(PLUGGED, SETTINGS)], ids=str)
def test_a_copy_of_a_built_in_function_trains_as_the_closed_form_does(kinds, settings):
    copies = {kind: copied(kind, name) for kind, name in kinds.items()}
    closed = after_steps(tiny(**kinds, **settings))
    ours = after_steps(tiny(**copies, **settings))
    for a, b in zip(ours, closed, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_beside_a_plug_in_built_in_functions_are_derived_right_where_all_is_silent():
    """‖h‖₂ of a silent group has no derivative at zero: autograd alone would give NaN."""
    name = copied("activation", "relu")
    for norm, probability in product(FACTORS["norm"], FACTORS["probability"]):
        factors = dict(norm=norm, probability=probability)
        blocks = [train.build([tiny(activation=a, **factors)], 50, 10, CPU) for a in ("relu", name)]
        for block in blocks:
            block.layers[0][0].fill_(-1.0)  # with images of ones no unit of layer 1 is active
            block.layers[0][1].zero_()
            right = torch.arange(20) % 10
            block.step(torch.ones(20, 50), right, (right + 1) % 10)
        for closed, ours in zip(*(b.weights(0).values() for b in blocks), strict=True):
            assert ours.isfinite().all()
            torch.testing.assert_close(ours, closed, rtol=1e-5, atol=1e-5)


def test_plug_ins_train_in_bf16_near_fp32(digits):
    plugins.load(EXAMPLE)
    factors = dict(norm="l4", activation="leaky", probability="squared_share", epochs=6)
    found = [
        next(iter(train.train([tiny(**factors, precision=p)], digits))).summary["best"]
        for p in ("fp32", "bf16")
    ]
    assert found[0] > 0.5 and abs(found[0] - found[1]) < 0.05


def test_networks_with_different_plug_in_probabilities_train_together_as_alone(digits):
    plugins.load(EXAMPLE)
    copied("probability", "symmetric")
    experiments = [tiny(probability=p) for p in ("squared_share", "my_symmetric", "symmetric",
                                                 "sigmoid")]  # fmt: skip
    alone = {r.experiment: r for r in train.train(experiments, digits)}
    for r in train.train(experiments, digits, together=True):
        assert abs(r.summary["best"] - alone[r.experiment].summary["best"]) < 0.02


def test_negatives_of_ones_own_are_used_and_repeat(digits):
    plugins.load(EXAMPLE)
    truth = torch.arange(10).repeat(50)
    wrong = labels.negative_labels(truth, 10, labels.generator(0, "n"), "neighbour")
    assert set(((wrong - truth) % 10).tolist()) == {1, 9}
    assert torch.equal(
        wrong, labels.negative_labels(truth, 10, labels.generator(0, "n"), "neighbour")
    )
    (ours,) = train.train([tiny(negatives="neighbour")], digits)
    (published,) = train.train([tiny()], digits)
    assert ours.history != published.history


def test_rq1_says_that_negatives_are_compared_elsewhere():
    accuracy._require_distinct([tiny(), tiny(seed=1), tiny(norm="l1")])
    with pytest.raises(ConfigError, match="two values of negatives; vary a setting under `choices"):
        accuracy._require_distinct([tiny(), tiny(negatives="any")])


def test_the_measure_of_the_example_counts_dimensions():
    plugins.load(EXAMPLE)
    draw = torch.Generator().manual_seed(0)
    flat = torch.zeros(2000, 8)
    flat[:, :3] = torch.randn(2000, 3, generator=draw)
    everything = torch.ones(2000, dtype=torch.bool).numpy()
    ratio = plugins.call("measure", "participation_ratio", flat.numpy(), everything)
    assert ratio == pytest.approx(3, abs=0.05)


def test_names_of_plug_ins_are_legal_and_change_no_other_key(file):
    keys = [e.key for e in read_profile("smoke", root=ROOT).networks()]
    with pytest.raises(ConfigError, match="unknown norm 'l3'; choose l2sq, l2 or l1; did you mean "
                       ".*must be listed under `plugins:`"):  # fmt: skip
        tiny(norm="l3")
    plugins.load(file)
    e = tiny(norm="l3", activation="bent")
    assert e.plugins == {"norm": "l3", "activation": "bent"} and tiny().plugins == {}
    assert e.configuration == "l3-sum-none-bent-sigmoid" and e.positive_fraction == 0.5
    assert [e.key for e in read_profile("smoke", root=ROOT).networks()] == keys
    assert FACTORS["norm"] == ("l2sq", "l2", "l1")
    assert levels("norm", ["l3", "l1", "l2"]) == ["l2", "l1", "l3"]
    factors = {f: getattr(e, f) for f in FACTORS}
    assert taxonomy.family(**factors) == (taxonomy.NO_FAMILY, False)
    with pytest.raises(ConfigError, match="unknown activation 'benr'; choose .*tanh or bent"):
        make_experiment(**{**e.model_dump(), "activation": "benr"})


def test_the_paper_profile_has_the_keys_that_it_had():
    """Of the day before plug-ins: shipped results are found by these."""
    from ffreport.base.digests import digest

    found = read_profile("paper", root=ROOT)
    every = [[e.key, e.name] for e in (*found.networks(), *found.sparsity_runs())]
    assert digest(every).startswith("8f3f4954ecaabf2428f0c2a1fca5630e")


FAULTS = [
    ("x = 1\n", "registers nothing"),
    ("import torch\n1 / 0\n", "line 2: ZeroDivisionError"),
    ("def f(:\n", "line 1: SyntaxError"),
    ("raise SystemExit(3)\n", "line 1: SystemExit: 3"),
    (FILE.replace('"l3"', '"l2"'), r"line 15: norm 'l2' is built in; choose another"),
    (FILE.replace('"l3"', '"my-norm"'), "lower-case letters, digits and _ only"),
    (FILE + FILE, r"activation 'bent' is registered by .*mine.py already"),
    ("from ffcore import plugins\nplugins.norm('l3')(3)\n", "line 2: norm 'l3' is 3, not a func"),
]


@pytest.mark.parametrize(("text", "words"), FAULTS, ids=[w for _, w in FAULTS])
def test_a_faulty_file_is_named_with_its_line_and_leaves_nothing(file, text, words):
    file.write_text(text)
    with pytest.raises(ConfigError, match=rf"plug-in file .*mine\.py.*{words}"):
        plugins.load(file)
    assert not any(plugins.names(kind) for kind in plugins.BUILT_IN)


def test_two_files_cannot_have_one_name_and_a_missing_file_is_named(file, tmp_path):
    plugins.load(file)
    other = tmp_path / "other.py"
    other.write_text(FILE)
    with pytest.raises(ConfigError, match="'bent' is registered by .*mine.py already"):
        plugins.load(other)
    assert plugins.names("norm") == ("l3",)
    with pytest.raises(ConfigError, match="cannot read the plug-in file .*none.py: No such file"):
        plugins.load(tmp_path / "none.py")


def test_a_file_runs_once_and_again_when_it_changed(file, tmp_path):
    file.write_text(FILE + f"with open({str(tmp_path / 'runs')!r}, 'a') as f: f.write('run ')\n")
    plugins.load(file)
    plugins.load(str(file))
    assert (tmp_path / "runs").read_text() == "run "
    file.write_text(FILE.replace("SLOPE = 0.1", "SLOPE = 0.5").replace("l3", "l6"))
    plugins.load(file)
    assert plugins.names("norm") == ("l6",)
    assert plugins.call("activation", "bent", torch.tensor([-2.0])).item() == -1
    assert not list(tmp_path.glob("__pycache__"))


def test_a_function_registered_by_hand_may_be_registered_again_and_has_no_digest():
    copied("norm", "l2")
    copied("norm", "l2")
    with pytest.raises(ConfigError, match="put it into a file"):
        digests.plugin_digest("norm", "my_l2")


CHANGES = {
    "a comment and a docstring": (FILE.replace("a comment", "another").replace("A doc", "B doc"),
                                  set()),
    "formatting": (FILE.replace("SLOPE * z)", "SLOPE\n    * z)"), set()),
    "a constant that a helper uses": (FILE.replace("0.1", "0.2"), {"bent"}),
    "the function": (FILE.replace("pow(3)", "pow(5)"), {"l3"}),
    "another function, new": (FILE + "\ndef g():\n    return 3\n", set()),
    "a statement that may do anything": (FILE + "\nprint(end='')\n", {"bent", "l3"}),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_outdates_the_networks_that_use_it_and_no_others(file, change):
    plugins.load(file)
    experiments = {"bent": tiny(activation="bent"), "l3": tiny(norm="l3"), "": tiny()}
    before = {name: origin.expected(e) for name, e in experiments.items()}
    assert list(before["l3"]["plugins"]) == ["norm l3"] and "plugins" not in before[""]
    text, changed = CHANGES[change]
    file.write_text(text)
    plugins.load(file)
    assert {n for n, e in experiments.items() if origin.expected(e) != before[n]} == changed


TRIALS = {
    "(h * h).sum(-1).sqrt()": "derivative that is not finite, as a root has at 0",
    "h.square().sum()": r"gave \[\] for an input of shape \[2, 3, 8\].*of shape \[2, 3\]",
    "h.sum(-1)": "goodness is not negative",
    "h.detach().square().sum(-1)": "has no derivative",
    "3.0": "gave float for an input",
    "(h + 1).log().sum(-1)": "not finite",
    "nothing": r"failed in .*test_plugins.py, line \d+: NameError",
}


@pytest.mark.parametrize("formula", TRIALS)
def test_a_norm_that_cannot_train_is_found_before_training(digits, formula):
    @plugins.norm("mine")
    def mine(h, scale):
        return eval(formula)

    with pytest.raises(ConfigError, match=f"norm 'mine' .*{TRIALS[formula]}"):
        list(train.train([tiny(norm="mine")], digits))


def test_probabilities_and_negatives_out_of_range_are_found_before_training():
    plugins.probability("twice")(lambda p, n, theta, alpha: 2 * p / (p + n + 1e-6))
    with pytest.raises(ConfigError, match=r"'twice' gave values from 0 to 2; expected \[0, 1\]"):
        trial.check(tiny(probability="twice"))
    plugins.negatives("next")(lambda labels, classes, generator: labels + 1)
    with pytest.raises(ConfigError, match=r"'next' gave labels from 1 to 10; expected int64 of"):
        trial.check(tiny(negatives="next"))
    plugins.negatives("wild")(lambda labels, classes, generator: torch.randint_like(labels, 10))
    with pytest.raises(ConfigError, match="two answers for one seed"):
        trial.check(tiny(negatives="wild"))
    plugins.negatives("real")(lambda labels, classes, generator: labels.float())
    with pytest.raises(ConfigError, match=r"gave float32 of shape \[30\] on cpu"):
        trial.check(tiny(negatives="real"))
    plugins.activation("flat")(lambda z: z.sum(-1))
    with pytest.raises(ConfigError, match="'flat' gave"):
        trial.check(tiny(activation="flat"))


def test_the_example_passes_its_trial():
    plugins.load(EXAMPLE)
    trial.check(tiny(norm="l4", activation="leaky", probability="squared_share",
                     negatives="neighbour"))  # fmt: skip


def test_the_plug_in_of_the_documents_passes_its_trial(tmp_path):
    blocks = (ROOT / "docs" / "plugins.md").read_text().split("```python\n")[1:]
    (code,) = [c for c in (block.split("```")[0] for block in blocks) if "@plugins" in c]
    (tmp_path / "my_file.py").write_text(code)
    plugins.load(tmp_path / "my_file.py")
    trial.check(tiny(norm="l4"))


def test_worker_processes_load_the_files_of_their_task(file):
    plugins.load(file)
    experiments = [tiny(norm="l3", epochs=1), tiny(activation="bent", epochs=1)]
    todo = [tasks.Task((e,), plugins=(str(file),)) for e in experiments]
    here = {o.experiment: o for o in workers.run_tasks(todo, tasks.perform)}
    for there in workers.run_tasks(todo, tasks.perform, 2):
        assert there.tables == here[there.experiment].tables
        assert there.provenance["plugins"] == origin.expected(there.experiment)["plugins"]
        assert str(file) not in str(there.provenance)


def test_the_classifier_takes_plug_ins_and_is_loaded_where_they_are(digits, tmp_path, monkeypatch):
    images = digits.train_images.numpy().astype(float), digits.train_labels.numpy()
    factors = dict(norm="l4", activation="leaky", probability="squared_share")
    model = FFClassifier(**factors, negatives="neighbour", widths=(40, 32), epochs=6,
                         batch_size=128, label_size=30, device="cpu")  # fmt: skip
    with pytest.raises(ClassifierError, match="unknown activation 'leaky'.*ffcore.plugins"):
        model.fit(*images)
    plugins.load(EXAMPLE)
    model.fit(*images)
    unseen = digits.test_images.numpy().astype(float)
    assert (model.predict(unseen) == digits.test_labels.numpy()).mean() > 0.5
    latents = model.transform(unseen)
    assert latents.shape == (len(unseen), 72) and (latents < 0).any()
    model.save(tmp_path / "model.safetensors")
    again = FFClassifier.load(tmp_path / "model.safetensors")
    assert (again.transform(unseen) == latents).all()
    monkeypatch.setattr(plugins, "_table", {})
    with pytest.raises(StoreError, match="unknown activation 'leaky'.*ffcore.plugins.load"):
        FFClassifier.load(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("plugins: [none.py]", "cannot read the plug-in file .*none.py"),
        ("plugins: none.py", "plugins is 'none.py'"),
        ("rq2: {measures: [hoier]}", "unknown rq2.measures.0 'hoier'.*did you mean 'hoyer'"),
        ("rq1: [{datasets: [digits], norm: [l7]}]", "unknown rq1.0.norm.0 'l7'; choose .*or l4"),
        ("rq1: [{datasets: [digits], configurations: [l7-sum-none-relu-sigmoid]}]",
         "unknown norm in configuration.*'l7'.*must be listed"),
    ],
)  # fmt: skip
def test_a_profile_names_what_is_wrong_with_its_plug_ins(tmp_path, change, words):
    import yaml

    values = yaml.safe_load((ROOT / "examples" / "plugins.yaml").read_text())
    values = {**values, "plugins": [str(EXAMPLE)], **yaml.safe_load(change)}
    profile = tmp_path / "mine.yaml"
    profile.write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError, match=words):
        read_profile(str(profile), root=ROOT)


def test_the_module_of_plug_ins_brings_no_pytorch_with_it():
    code = "import sys, ffcore.plugins; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
