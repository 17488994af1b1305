"""A data set in memory: its tensors, their normalisation, the images that are held out.

This module imports in milliseconds: torch and numpy are imported by the functions that use them.
Source: Polar-FFA, section 4, and its published code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ffcore.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    import torch

MEAN, DEVIATION = 0.1307, 0.3081  # of MNIST's pixels; the published code uses them for every set
FIFTH = "of each class, in the order of the file, every fifth image is a test image"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images as flat vectors, on the CPU, in the order of the published files.

    ``train_images`` and ``test_images``: uint8 [N, D], 0 to 255, with D the product of ``shape``
    (channels first where there are any); ``train_labels`` and ``test_labels``: int64 [N], 0 to
    ``classes`` − 1. ``fingerprint``: 64 hexadecimal digits that stand for the content and split.
    """

    name: str
    train_images: torch.Tensor
    train_labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor
    classes: int
    shape: tuple[int, ...]
    fingerprint: str


def normalise(images: torch.Tensor) -> torch.Tensor:
    """uint8 [..., D] to float32 [..., D]: (x/255 − 0.1307)/0.3081, for every data set.

    Source: the published code of Polar-FFA.
    """
    return unit(images).sub_(MEAN).div_(DEVIATION)


def unit(images: torch.Tensor) -> torch.Tensor:
    """uint8 [..., D] to float32 [..., D] in [0, 1]: x/255."""
    return images.float() / 255


def hold_out(
    labels: torch.Tensor, count: int, classes: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Split training images into (training, validation) indices, int64 and ascending.

    ``labels`` is int64 [N]; ``count`` of them are held out, as evenly over the ``classes`` as
    their sizes allow, one image of each class at least staying for training. The same arguments
    give the same split.

    Raises:
        ConfigError: ``count`` is negative or more than can be held out.
    """
    import numpy as np
    import torch

    values = labels.cpu().numpy()
    if len(values) and not 0 <= values.min() <= values.max() < classes:
        raise ConfigError(f"labels {values.min()} to {values.max()} do not fit {classes} classes")
    spare = np.maximum(np.bincount(values, minlength=classes) - 1, 0)
    if not 0 <= count <= spare.sum():
        raise ConfigError(
            f"validation is {count} but of {len(values)} training images in {classes} classes "
            f"0 to {spare.sum()} can be held out"
        )
    generator = np.random.default_rng(np.random.SeedSequence(seed))
    level = count // classes
    while level < spare.max() and np.minimum(spare, level + 1).sum() <= count:
        level += 1
    quota = np.minimum(spare, level)
    open_classes = generator.permutation(np.flatnonzero(spare > level))
    quota[open_classes[: count - quota.sum()]] += 1
    held = np.zeros(len(values), dtype=bool)
    for label, take in enumerate(quota):
        held[generator.permutation(np.flatnonzero(values == label))[:take]] = True
    return torch.from_numpy(np.flatnonzero(~held)), torch.from_numpy(np.flatnonzero(held))


def fifths(labels: np.ndarray, classes: int) -> np.ndarray:
    """Which images are test images by the rule FIFTH: bool [N], of labels [N] in [0, classes)."""
    import numpy as np

    test = np.zeros(len(labels), dtype=bool)
    for label in range(classes):
        test[np.flatnonzero(labels == label)[4::5]] = True
    return test
