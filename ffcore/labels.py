"""Label embeddings and negative labels (Polar-FFA section 3, and Hinton's corner)."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from ffcore import plugins
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
    published) or over all (``any``: one in ``classes`` is the true label), or a plug-in's.

    Args:
        labels: [N] int64 in [0, classes), on the CPU.

    Returns:
        [N] int64.

    Raises:
        ConfigError: fewer than two classes have no wrong label; a plug-in gave no labels.
    """
    if classes < 2:
        raise ConfigError(f"negative samples need two classes or more; there is {classes}")
    if negatives not in plugins.BUILT_IN["negatives"]:
        return _checked(
            plugins.call("negatives", negatives, labels, classes, draw), labels, classes, negatives
        )
    lowest = 1 if negatives == "wrong" else 0
    return (labels + torch.randint(lowest, classes, labels.shape, generator=draw)) % classes


def _checked(found: object, labels: Tensor, classes: int, name: str) -> Tensor:
    """What a plug-in gave, if these are labels."""
    wanted = f"int64 of shape {list(labels.shape)} in [0, {classes}), on the CPU"
    if not isinstance(found, Tensor):
        raise ConfigError(f"negatives {name!r} gave {type(found).__name__}; expected {wanted}")
    if found.shape != labels.shape or found.dtype != labels.dtype or found.device != labels.device:
        seen = f"{str(found.dtype).removeprefix('torch.')} of shape {list(found.shape)}"
        raise ConfigError(f"negatives {name!r} gave {seen} on {found.device}; expected {wanted}")
    if len(found) and not 0 <= int(found.min()) <= int(found.max()) < classes:
        span = f"{int(found.min())} to {int(found.max())}"
        raise ConfigError(f"negatives {name!r} gave labels from {span}; expected {wanted}")
    return found
