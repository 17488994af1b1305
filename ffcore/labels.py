"""Label embeddings and negative labels (Polar-FFA section 3, and Hinton's corner)."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from ffcore.errors import ConfigError


def generator(seed: int, purpose: str, epoch: int = 0) -> torch.Generator:
    """An independent CPU stream of random numbers for each seed, purpose and epoch.

    Streams are on the CPU whatever the device, so that a GPU draws the same numbers; being keyed
    by epoch they need no state to resume from.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}/{epoch}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def patterns(
    classes: int, embedding: str, size: int, density: float, draw: torch.Generator
) -> Tensor:
    """What the label part of the input holds for each class.

    Returns:
        [classes, size] float32 of 0/1, Bernoulli(density), for ``appended``; the identity
        [classes, classes] for ``corner``.
    """
    if embedding == "corner":
        return torch.eye(classes)
    if embedding == "appended":
        return torch.bernoulli(torch.full((classes, size), density), generator=draw)
    raise ConfigError(f"unknown label embedding {embedding!r}; choose appended or corner")


def image_part(images: Tensor, embedding: str, classes: int) -> Tensor:
    """The columns of the input that hold the image: all, or all but the first ``classes`` pixels.

    Args:
        images: [N, D] of any type.
    """
    return images[:, classes:] if embedding == "corner" else images


def embed(images: Tensor, labels: Tensor, embedding: str, table: Tensor) -> Tensor:
    """Inputs with their label written in.

    The published code appends the class's pattern to the image; Hinton's form writes a one-hot
    over the first pixels. Both keep the 0/1 of the pattern whatever the scale of the pixels.

    Args:
        images: [N, D] float.
        labels: [N] int64 in [0, classes).
        table: [classes, size], see ``patterns``.

    Returns:
        [N, D + size] for ``appended``, [N, D] for ``corner``.
    """
    rows = table[labels].to(images.dtype)
    image = image_part(images, embedding, len(table))
    return torch.cat([rows, image] if embedding == "corner" else [image, rows], dim=1)


def negative_labels(
    labels: Tensor, classes: int, draw: torch.Generator, negatives: str = "wrong"
) -> Tensor:
    """A label for each datum, uniform over the classes that are not its own (``wrong``, as
    published) or over all (``any``: one in ``classes`` is the true label).

    Args:
        labels: [N] int64 in [0, classes), on the CPU.

    Returns:
        [N] int64.

    Raises:
        ConfigError: fewer than two classes have no wrong label.
    """
    if classes < 2:
        raise ConfigError(f"negative samples need two classes or more; there is {classes}")
    lowest = 1 if negatives == "wrong" else 0
    return (labels + torch.randint(lowest, classes, labels.shape, generator=draw)) % classes
