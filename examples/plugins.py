"""Five variants of one's own, one of each kind, for ``examples/plugins.yaml``.

Each is a plain function under a decorator that gives it its name in profiles. Derivatives follow by
autograd, and a change of a function trains again the networks that use it, and no others.
"""

import numpy as np
import torch

from ffcore import plugins


@plugins.norm("l4")
def l4(h: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """G = (s Σ h⁴)^¼: few large activations count for more than in ‖h‖₂."""
    # The constant keeps the derivative finite where every unit of a group is silent.
    return (scale * h.pow(4).sum(dim=-1) + 1e-12).pow(0.25)


@plugins.activation("leaky")
def leaky(z: torch.Tensor) -> torch.Tensor:
    """h = z for z > 0, else z/10: units that cannot die."""
    return torch.nn.functional.leaky_relu(z, 0.1)


@plugins.probability("squared_share")
def squared_share(
    positive: torch.Tensor, negative: torch.Tensor, theta: torch.Tensor, alpha: torch.Tensor
) -> torch.Tensor:
    """P = G⊕² / (G⊕² + G⊖²): as the symmetric probability blind to scale, and twice as steep where
    the groups are equal. It has no threshold θ and no slope α."""
    first, second = positive.square() + 1e-6, negative.square() + 1e-6
    return first / (first + second)


@plugins.negatives("neighbour")
def neighbour(labels: torch.Tensor, classes: int, generator: torch.Generator) -> torch.Tensor:
    """The class before or after the true one, with equal chance."""
    step = 2 * torch.randint(0, 2, labels.shape, generator=generator) - 1
    return (labels + step) % classes


@plugins.measure("participation_ratio")
def participation_ratio(latents: np.ndarray, positive: np.ndarray) -> float:
    """(Σλ)² / Σλ² over the eigenvalues λ of the covariance of positive latents: the number of
    dimensions that they take, from 1 to n (Gao et al. 2017, bioRxiv 214262); nan where they
    coincide."""
    centred = latents[positive].astype(np.float64)
    centred -= centred.mean(axis=0)
    covariance = centred.T @ centred
    spread = np.square(covariance).sum()  # Σλ², without the eigenvalues
    return float(np.trace(covariance) ** 2 / spread) if spread > 0 else float("nan")
