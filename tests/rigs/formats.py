"""How far a number format bends learning curves: all 108 configurations, fp32 beside bf16.

`python -m tests.rigs.formats` trains each configuration on mnist-5k from one seed in fp32, in
bf16, and with the rounding that bf16 had until November 2026, and from a second seed in fp32; it
takes about fifteen minutes on one core. It writes shipped/formats.csv: a row a configuration, with
the root mean square distance of each curve from the first, in percentage points.
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ffcore import train
from ffcore.config import FACTORS, make_experiment
from ffcore.network import Block
from ffreport.data import load

TABLE = Path(__file__).parents[2] / "shipped" / "formats.csv"
SIZE = dict(dataset="mnist-5k", widths=[128, 128], batch_size=128, epochs=8)


def rounded(t: Tensor) -> Tensor:
    return t.bfloat16().float()


class OldRounding(Block):
    """A block whose products, activations and sums are all in bf16, as it was."""

    def _parts(self, images):
        weight, label = self.layers[0]
        by_image = rounded(rounded(images) @ rounded(weight).mT)
        return by_image, rounded(self.table @ label.mT)

    def _first(self, images, chosen):
        return rounded(super()._first(images, chosen))

    def _later(self, inputs, depth):
        return rounded(inputs @ rounded(self.layers[depth][0]).mT)

    def _activate(self, z):
        return rounded(super()._activate(rounded(z)))

    def _learn(self, h, depth):
        delta, losses = super()._learn(h, depth)
        return rounded(delta), losses

    def _normalise(self, h, depth):
        return rounded(super()._normalise(h, depth))

    def _gradient(self, weight, delta, inputs):
        weight.grad = rounded(rounded(delta).mT @ rounded(inputs))


def curve(dataset, factors: dict[str, str], block=Block, **changes) -> np.ndarray:
    """Test accuracy in percent after each epoch."""
    e = make_experiment(**SIZE, **factors, **changes)
    before, train.Block = train.Block, block
    try:
        (result,) = train.train([e], dataset)
    finally:
        train.Block = before
    return np.array([100 * row["test_accuracy"] for row in result.history])


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2)))


def main() -> int:
    torch.set_num_threads(1)
    dataset = load.load(SIZE["dataset"])
    rows = []
    for values in product(*FACTORS.values()):
        factors = dict(zip(FACTORS, values, strict=True))
        full = curve(dataset, factors)
        others = {
            "bf16": curve(dataset, factors, precision="bf16"),
            "old_bf16": curve(dataset, factors, OldRounding),
            "other_seed": curve(dataset, factors, seed=1),
        }
        found = {name: round(distance(full, other), 2) for name, other in others.items()}
        ends = {f"{name}_last": round(float(c[-1]), 1) for name, c in others.items()}
        rows.append({"configuration": "-".join(values), "fp32_last": round(float(full[-1]), 1),
                     **ends, **found})  # fmt: skip
        print(rows[-1], flush=True)
    pd.DataFrame(rows).to_csv(TABLE, index=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
