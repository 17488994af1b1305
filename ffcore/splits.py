"""The split of images that have none of their own into training and test images."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

FIFTH = "of each class, in the order of the file, every fifth image is a test image"


def fifths(labels: np.ndarray, classes: int) -> np.ndarray:
    """Which images are test images by the rule FIFTH: bool [N], of labels [N] in [0, classes)."""
    import numpy as np

    test = np.zeros(len(labels), dtype=bool)
    for label in range(classes):
        test[np.flatnonzero(labels == label)[4::5]] = True
    return test
