"""Speed of the checks of the sparsity theorems, beside the training that they check."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection

import torch

from ffcore import data
from ffcore.config import SparsityExperiment
from ffcore.sparsity import runs, theory
from ffreport.compute import memory
from ffreport.data import load
from ffreport.pipeline.bench.training import Row

EPOCHS = 2


def measure(
    dataset: str, tell: Callable[[str], None], width: int = 1000, images: int = 0
) -> Iterator[Row]:
    """Rows as they are measured.

    Args:
        dataset: ``mnist`` for the figures that the README shows.
        images: training images of the runs; 0 for all, as for the pairs at infinite width.
    """
    whole = load.load(dataset)
    for optimizer, rate in (("sgd", 1.0), ("adam", 1e-3)):
        e = SparsityExperiment(dataset=dataset, optimizer=optimizer, rate=rate, width=width,
                               images=images, epochs=EPOCHS)  # fmt: skip
        spent = runs.run(e, whole).seconds
        each = {part: spent[part] / EPOCHS for part in ("training", "checking")}
        tell(f"{optimizer}: an epoch trains in {each['training']:.2f} s")
        name = "SGD" if optimizer == "sgd" else "Adam"
        yield Row(f"{name}: training of an epoch", each["training"], "s",
                  how="batches, forward, loss, gradient, step")  # fmt: skip
        yield Row(f"{name}: check of that epoch over its training",
                  each["checking"] / each["training"], "×", "≤ 1",
                  "Theorem 2 on every datum in every step; Theorem 1 in each fourth")  # fmt: skip
    # In a process of its own, so that its memory is what the pairs need.
    context = get_context("spawn")
    here, there = context.Pipe(duplex=False)
    worker = context.Process(target=_pairs, args=(dataset, images, there))
    worker.start()
    there.close()
    count, seconds, held, before = here.recv()
    worker.join()
    yield Row(f"{count:,} × {count:,} pairs at infinite width", seconds, "s",
              how="every datum's margin, in tiles")  # fmt: skip
    yield Row("their memory, data and PyTorch included", held / 1e9, "GB", "≤ 2")
    yield Row("of which before the first pair", before / 1e9, "GB")


def _pairs(dataset: str, images: int, answer: Connection) -> None:
    whole = load.load(dataset)
    x = data.unit(whole.train_images[: images or None])
    signs, before = torch.ones(len(x)), memory.resident()
    began = time.perf_counter()
    theory.margin_infinite(x, signs)
    answer.send((len(x), time.perf_counter() - began, memory.resident(peak=True), before))
