"""A training that was stopped goes on, and comes out as if it had not been."""

import pytest
import torch

from ffcore import train
from ffcore.checkpoints import SUFFIX, Checkpoint, remove_done
from tests.conftest import tiny

CASES = [
    dict(),
    dict(precision="bf16"),
    dict(inhibition="wta", probability="symmetric", activation="tanh"),
    dict(validation=100, label_embedding="corner"),
]


class Stop(Exception):
    pass


def stopped(experiments, digits, path, after, **options):
    """Train until an epoch has been reported, with a checkpoint after each."""

    def progress(p):
        if p.epoch == after:
            raise Stop

    options["checkpoint"] = lambda group: Checkpoint(path, "same", every=0)
    with pytest.raises(Stop):
        list(train.train(experiments, digits, progress=progress, **options))


def finished(experiments, digits, path=None, identity="same", **options):
    epochs = []
    kept = None if path is None else (lambda group: Checkpoint(path, identity, every=0))
    found = list(train.train(experiments, digits, progress=lambda p: epochs.append(p.epoch),
                             checkpoint=kept, **options))  # fmt: skip
    return found, epochs


def same(first, second):
    for a, b in zip(first, second, strict=True):
        assert a.experiment == b.experiment and a.history == b.history and a.summary == b.summary
        assert a.weights.keys() == b.weights.keys()
        assert all(torch.equal(a.weights[k], b.weights[k]) for k in a.weights)


@pytest.mark.parametrize("changes", CASES)
def test_a_stopped_training_goes_on_and_is_bitwise_the_same(digits, tmp_path, changes):
    e, path = tiny(epochs=5, **changes), tmp_path / f"one{SUFFIX}"
    whole, _ = finished([e], digits)
    stopped([e], digits, path, after=3)
    again, epochs = finished([e], digits, path)
    assert epochs == [4, 5]
    same(whole, again)


def test_a_group_of_networks_goes_on_together(digits, tmp_path):
    group = [tiny(epochs=4), tiny(epochs=4, theta=1.0), tiny(epochs=4, probability="symmetric")]
    path = tmp_path / f"group{SUFFIX}"
    whole, _ = finished(group, digits, together=True)
    stopped(group, digits, path, after=2, together=True)
    again, epochs = finished(group, digits, path, together=True)
    assert epochs == [3, 4]
    same(
        sorted(whole, key=lambda r: r.experiment.key), sorted(again, key=lambda r: r.experiment.key)
    )


@pytest.mark.parametrize("fault", ["identity", "cut", "foreign", "other shape", "missing"])
def test_what_does_not_fit_is_not_gone_on_from(digits, tmp_path, fault):
    e, path = tiny(epochs=4), tmp_path / f"one{SUFFIX}"
    stopped([e], digits, path, after=2)
    identity = "same"
    if fault == "identity":
        identity = "other"
    elif fault == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif fault == "foreign":
        path.write_bytes(b"hello")
    elif fault == "other shape":
        stopped([tiny(epochs=4, widths=(30, 30))], digits, path, after=2)
    else:
        path.unlink()
    again, epochs = finished([e], digits, path, identity)
    assert epochs == [1, 2, 3, 4]
    same(finished([e], digits)[0], again)


def test_saves_keep_their_distance_and_a_full_disk_costs_the_checkpoint_only(digits, tmp_path):
    path = tmp_path / "no folder" / f"one{SUFFIX}"
    (tmp_path / "no folder").write_text("a file")
    found, epochs = finished([tiny(epochs=3)], digits, path)
    assert len(found) == 1 and epochs == [1, 2, 3]
    seldom = tmp_path / f"seldom{SUFFIX}"
    list(train.train([tiny(epochs=3)], digits, checkpoint=lambda g: Checkpoint(seldom, "x", 3600)))
    assert not seldom.exists()


def test_checkpoints_of_stored_runs_go_and_others_stay(digits, tmp_path):
    first, second = tiny(epochs=3), tiny(epochs=3, seed=1)
    stopped([first], digits, tmp_path / f"a{SUFFIX}", after=2)
    stopped([second], digits, tmp_path / f"b{SUFFIX}", after=2)
    (tmp_path / f"c{SUFFIX}").write_bytes(b"broken")
    remove_done(tmp_path, {first.key})
    assert [p.name for p in sorted(tmp_path.iterdir())] == [f"b{SUFFIX}"]
