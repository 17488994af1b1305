from pathlib import Path

import pandas as pd
import pytest
import torch

from ffcore import labels, train
from ffcore.config import make_experiment
from ffcore.errors import ConfigError
from ffcore.network import initial_weights
from ffreport.pipeline.bench import training
from tests.conftest import tiny

ROOT = Path(__file__).parents[3]


def test_the_plain_network_learns_what_the_engine_learns(digits):
    """The two sides of the ratio do the same work: same weights after the same batches."""
    e = make_experiment(dataset="digits", **training.FACTORS, widths=(60, 40), epochs=1)
    ready = train.prepare(digits, e, torch.device("cpu"))
    block = train.build([e], ready.images.shape[1], 10, torch.device("cpu"))
    plain = training.PlainNetwork(e, initial_weights(e, ready.images.shape[1] + 100), block.table)
    draw = labels.generator(0, "test")
    for start in range(0, 500, 100):
        images, right = ready.images[start : start + 100], ready.labels[start : start + 100]
        wrong = labels.negative_labels(right, 10, draw)
        block.step(images, right, wrong)
        plain.step(images, right, wrong)
    for name, layer in zip(("layer1", "layer2"), plain.layers, strict=True):
        torch.testing.assert_close(block.weights(0)[name], layer.weight.data, rtol=2e-4, atol=2e-5)
    agree = block.predict(ready.test_images)[0] == plain.predict(ready.test_images)
    assert agree.double().mean() > 0.99


def test_operations_of_a_step_are_counted_as_the_products_are_made():
    expected = 2 * 512 * (3 * 784 * 1000 + 2 * 2 * 1000 * 1000)
    assert training.step_operations(784) == expected


def test_too_few_images_are_an_error(digits):
    with pytest.raises(ConfigError, match="too few images"):
        next(training.measure(digits, lambda text: None, steps=1))


def test_engine_and_plain_reference_are_timed_on_the_same_steps(digits):
    e = tiny(epochs=1)
    ready = train.prepare(digits, e, torch.device("cpu"))
    assert all(
        t > 0 for t in (*training.engine_epoch(e, ready, 2), *training.plain_epoch(e, ready, 2))
    )


def test_stacks_and_growth_are_measured_on_real_steps(digits):
    ready = train.prepare(digits, tiny(), torch.device("cpu"))
    spent, held = training.stack_step(tiny(widths=(400, 400)), ready, 20, 2)
    assert spent > 0 and held > 10 * (64 * 400 + 400 * 400) * 4
    rows = list(training.growth(tiny(), ready, 2))
    assert len(rows) == 3 and all(0.01 < r.value < 100 for r in rows)


def test_a_written_table_comes_back_with_the_machine_in_every_row(tmp_path):
    rows = [training.Row("speed", 5.125, "×", "≥ 5"), training.Row("rate", 196.4, "Gflop/s")]
    training.write(rows, tmp_path / "bench.csv", "a machine")
    found = pd.read_csv(tmp_path / "bench.csv", keep_default_na=False)
    assert found[["what", "value", "unit", "target"]].values.tolist() == [
        ["speed", 5.125, "×", "≥ 5"], ["rate", 196.4, "Gflop/s", ""]
    ]  # fmt: skip
    assert set(found["hardware"]) == {"a machine"} and set(found["torch"]) == {torch.__version__}
