"""How much memory networks need, and how stacks and processes are cut to fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ffcore.config import Experiment
from ffreport.base.console import say

SHARE = 0.8  # of the free memory that a plan may use; the rest is the allocator's and others'
PROCESS = 450e6  # bytes of a worker process with PyTorch loaded, before any data


def network_bytes(experiment: Experiment, inputs: int, classes: int) -> float:
    """Bytes of one network in a block, while it trains.

    Weights and Adam's two moments in float32, one gradient as large as the largest layer, and the
    activations that ``network.Block`` keeps: of positives and negatives in layer 1 and in two of
    the later layers, of half of them once more, and a temporary of the same size; with plug-ins
    also what autograd keeps, eight times a layer's activations in float32.

    Args:
        inputs: columns of the image part of the input.
    """
    label = classes if experiment.label_embedding == "corner" else experiment.label_size
    sizes = [inputs, *experiment.widths]
    layers = [a * b for a, b in zip(sizes, sizes[1:], strict=False)]
    weights = sum(layers) + label * experiment.widths[0]
    wide, batch = max(experiment.widths), experiment.batch_size
    rooms = 2 * (1 + min(2, len(layers) - 1)) + 1 + 2
    return (
        weights * 12
        + max(layers) * 4
        + label * experiment.widths[0] * 4
        + rooms * batch * wide * 4
        + (8 * 2 * batch * wide * 4 if experiment.plugins else 0)
    )


def data_bytes(experiment: Experiment, images: int, inputs: int) -> float:
    """Bytes of ``images`` images as pixels and as the inputs of a network."""
    return images * inputs * (1 + 4)


def split(
    group: Sequence[Experiment], inputs: int, classes: int, free: float
) -> list[list[Experiment]]:
    """A stack in as few parts of nearly equal size as fit the memory; one network at the least.

    Args:
        free: bytes that the networks may take, data apart.
    """
    most = max(1, int(SHARE * free / max(network_bytes(e, inputs, classes) for e in group)))
    parts = -(-len(group) // most)
    base, more = divmod(len(group), parts)
    sizes = [base + (i < more) for i in range(parts)]
    starts = [sum(sizes[:i]) for i in range(parts)]
    return [list(group[a : a + n]) for a, n in zip(starts, sizes, strict=True)]


def processes(wanted: int, each: float, free: float | None = None, what: str = "") -> int:
    """How many of the wanted worker processes fit the memory; one at the least.

    Args:
        each: bytes of data and networks of a process.
        free: bytes; what the machine has available where not given.
        what: the work; it is said where memory allows fewer processes than wanted.
    """
    free = available() if free is None else free
    fit = wanted if free is None else max(1, min(wanted, int(SHARE * free / (PROCESS + each))))
    if what and fit < wanted:
        say(f"{what} in {fit} of {wanted} processes: each needs {words(PROCESS + each)} of memory")
    return fit


def available() -> float | None:
    """Bytes of main memory that could be taken now; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return float(found[0]) * 1024 if found else None


def resident(process: int | str = "self", peak: bool = False) -> float:
    """Bytes of main memory that a process holds, or held at most; 0 where the system does not say
    or the process is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    name = "VmHWM:" if peak else "VmRSS:"
    return sum(1024 * float(line.split()[1]) for line in lines if line.startswith(name))


def words(size: float) -> str:
    """``512 MB`` or ``3.2 GB``."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
