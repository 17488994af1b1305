"""Long trainings that go on where they were stopped: a group's networks after an epoch, in a file.

Order, negatives and patterns of an epoch follow from seed and epoch alone, so that weights, Adam's
moments and the histories are all that an epoch hands to the next; a training that goes on from them
is bitwise the one that was never stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ffcore import files
from ffcore.network import Block

EVERY = 60.0  # seconds of training between two checkpoints
SUFFIX = ".checkpoint"


class Checkpoint:
    """The file of one group of networks.

    Args:
        path: the file; its folder is made when something is saved.
        identity: a digest of all that determines the training. A file of another identity, or one
            that cannot be read, counts as none.
        every: seconds between two saves.
    """

    def __init__(self, path: Path, identity: str, every: float = EVERY) -> None:
        self._path, self._identity, self._every = path, identity, every
        self._saved = time.monotonic()

    def load(self, blocks: Sequence[Block]) -> dict[str, Any] | None:
        """Bring untrained blocks to where the file has them.

        Returns:
            ``epoch`` (the last one that is done), ``histories`` and ``seconds`` by key; None where
            there is nothing to go on from, and the blocks are as they were.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self._path, framework="pt") as file:
                about = files.parsed(file.metadata()["about"])
                if about.pop("identity") != self._identity:
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}
            targets = _tensors(blocks)
            if {n: t.shape for n, t in tensors.items()} != {n: t.shape for n, t in targets.items()}:
                return None
        except (OSError, SafetensorError, ValueError, LookupError, TypeError, AttributeError):
            return None
        for name, target in targets.items():
            target.copy_(tensors[name])
        return dict(about)

    def save(
        self, blocks: Sequence[Block], epoch: int, histories: dict[str, Any],
        seconds: dict[str, Any],
    ) -> None:  # fmt: skip
        """Keep the state after an epoch, unless the last one was kept a moment ago. A disk that
        takes nothing costs the checkpoint only."""
        if time.monotonic() - self._saved < self._every:
            return
        about = {"identity": self._identity, "epoch": epoch, "histories": histories,
                 "seconds": seconds}  # fmt: skip
        tensors = {n: t.detach().cpu().contiguous() for n, t in _tensors(blocks).items()}
        with suppress(OSError), files.whole(self._path) as part:
            files.write_tensors(part, tensors, {"about": json.dumps(about)})
        self._saved = time.monotonic()


def remove_done(folder: Path, stored: Collection[str]) -> None:
    """Remove the checkpoints of which all experiments, by key, are stored."""
    for path in folder.glob(f"*{SUFFIX}"):
        if keys(path) <= set(stored):
            path.unlink(missing_ok=True)


def keys(path: Path) -> set[str]:
    """Keys of the experiments of a checkpoint; none where it cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return set(files.parsed(file.metadata()["about"])["histories"])
    except (OSError, SafetensorError, ValueError, LookupError, TypeError, AttributeError):
        return set()


def _tensors(blocks: Sequence[Block]) -> dict[str, Tensor]:
    """Name → weights and Adam's state of every layer, made where no step was taken yet."""
    found: dict[str, Tensor] = {}
    for b, block in enumerate(blocks):
        for depth, (layer, optimiser) in enumerate(
            zip(block.layers, block.optimisers, strict=True)
        ):
            for i, weight in enumerate(layer):
                place = f"{b}.{depth}.{i}"
                found[place] = weight
                state = optimiser.state[weight]
                if not state:
                    state["step"] = torch.zeros((), dtype=torch.float32, device=weight.device)
                    state["exp_avg"] = torch.zeros_like(weight)
                    state["exp_avg_sq"] = torch.zeros_like(weight)
                found |= {f"{place}.{name}": value for name, value in state.items()}
    return found
