"""Gradients of the probabilities (Polar-FFA, Propositions 1 and 2, Appendix C).

Every probability and slope goes through ``ffcore.goodness`` and autograd, in float64.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
import pandas as pd
import torch
from scipy import optimize
from torch import Tensor

from ffcore import goodness
from ffcore.config import FACTORS, make_experiment
from ffreport.analysis.appendix.initialisation import LEVEL, Floats, Layers, over_networks
from ffreport.base.threads import one_thread
from ffreport.base.words import bullets

THETAS: dict[str, tuple[float | None, ...]] = {"sigmoid": (0.0, None), "ffa-sigmoid": (None,)}
TOLERANCE = 1e-3  # a probability that changes by less counts as scale-invariant
SHARES = (0.1, 0.4, 0.75, 0.99)  # of G⊕ in G⊕ + G⊖


def probability_slope(
    positive: Tensor, negative: Tensor, kind: str, theta: float = 0.0, alpha: float = 1.0
) -> tuple[Tensor, Tensor]:
    """P and ∂P/∂G⊕, by autograd.

    Args:
        positive, negative: [M, B] float64, G⊕ and G⊖.
        kind: ``symmetric``, or ``sigmoid`` with θ and α (FFA where G⊖ is 0).

    Returns:
        [M, B] each.
    """
    plus = positive.detach().clone().requires_grad_()
    column = torch.ones(len(plus), 1, dtype=plus.dtype)
    symmetric = torch.full_like(column, kind == "symmetric", dtype=torch.bool)
    p = goodness.probability(plus, negative, theta * column, alpha * column, symmetric)
    return p.detach(), torch.autograd.grad(p.sum(), plus)[0]


@one_thread()
def gradients(layers: Iterable[Layers]) -> pd.DataFrame:
    """Proposition 1: E[∂P_σ/∂G⊕] by autograd beside ¼ − Var[P_σ], over weights and samples.

    The slope of P = σ(α(G⊕ − G⊖ − θ)) is αP(1 − P). So E[slope]/α = E[P](1 − E[P]) − Var[P] for
    any distribution, and it misses ¼ − Var[P] by exactly (E[P] − ½)²: what the proposition needs,
    and what is tested, is E[P] = ½.

    Returns:
        ``source``, ``probability`` (``sigmoid``: two equal groups, θ = 0 and as trained;
        ``ffa-sigmoid``: one group, θ and α as trained), ``theta``, ``alpha``, ``activation``,
        ``norm``, ``aggregation``, ``width``; E[slope]/α ± its 95 % interval as ``gradient`` and
        ``gradient_half``, ¼ − Var[P] as ``identity`` and ``identity_half``, ``general`` for
        E[P](1 − E[P]) − Var[P], ``mean_probability`` and ``mean_half``, ``p_value`` (t test of
        E[P] = ½); ``network_offset``, mean |E[P | weights] − ½|: how far a single network is from
        symmetry; ``clamped``, the share of samples with P so near 0 or 1 that the loss clamps it
        and has no gradient; ``second_moment`` E[z²] and ``square_variance`` Var[z²] of
        z = G⊕ − G⊖.
    """
    rows = []
    for layer in layers:
        for (width, activation, norm), aggregation in product(layer.sums, FACTORS["aggregation"]):
            factors = {"activation": activation, "norm": norm, "aggregation": aggregation}
            for probability, thetas in THETAS.items():
                sides = ((0,), (1,)) if probability == "sigmoid" else ((0, 1), ())
                plus, minus = (layer.goodness(width, **factors, sides=s) for s in sides)
                z = plus - minus
                moments = {"second_moment": float((z**2).mean()),
                           "square_variance": float((z**2).var(correction=0))}  # fmt: skip
                trained = make_experiment(
                    **factors, dataset="mnist", inhibition="none", probability=probability
                )
                for theta in (trained.theta if t is None else t for t in thetas):
                    p, slope = probability_slope(plus, minus, "sigmoid", theta, trained.alpha)
                    rows.append(
                        {"source": layer.source, "probability": probability, "theta": theta,
                         "alpha": trained.alpha, **factors, "width": width,
                         **_both_sides(p.numpy(), slope.numpy() / trained.alpha), **moments}
                    )  # fmt: skip
    return pd.DataFrame(rows)


def saturation(slopes: pd.DataFrame) -> pd.DataFrame:
    """Where the gradient vanishes as layers widen: a row a rule and goodness of ``gradients``.

    Returns:
        ``source``, ``probability``, ``theta``, ``alpha``, ``activation``, ``norm``,
        ``aggregation``; ``narrow`` and ``wide`` (``gradient`` at the smallest and the largest
        width), ``exponent`` of the width between them (nan where it underflows to zero) and
        ``clamped`` in the widest layer, in percent.
    """
    keys = ["source", "probability", "theta", "alpha", "activation", "norm", "aggregation"]
    rows = []
    for names, part in slopes.groupby(keys, sort=False):
        ordered = part.sort_values("width")
        first, last = ordered.iloc[0], ordered.iloc[-1]
        steps = np.log(last["width"] / first["width"])
        known = last["gradient"] > 0 and steps > 0
        rows.append(
            {**dict(zip(keys, names, strict=True)), "narrow": first["gradient"],
             "wide": last["gradient"], "clamped": 100 * last["clamped"],
             "exponent": np.log(last["gradient"] / first["gradient"]) / steps if known else np.nan}
        )  # fmt: skip
    return pd.DataFrame(rows)


def identity_summary(slopes: pd.DataFrame) -> str:
    """What ``gradients`` says about Proposition 1, in Markdown: a line a source and rule."""
    lines = []
    zero = slopes["theta"] == 0
    for (source, probability, at_zero), part in slopes.groupby(
        ["source", "probability", zero], sort=False
    ):
        rule = f"Polar-FFA, θ = {part['theta'].iloc[0]:g}"
        rule = "FFA, θ and α as trained" if probability == "ffa-sigmoid" else rule
        rejected = int((part["p_value"] * len(part) < LEVEL).sum())
        gap = (part["identity"] - part["gradient"]).abs().max()
        low, high = part["mean_probability"].min(), part["mean_probability"].max()
        lines.append(
            f"*{source}*, {rule}: ¼ − Var[P] **{'fails' if rejected else 'holds'}**"
            f"{'' if rejected else ' as far as these draws can tell'}. E[P] = ½ is rejected for "
            f"{rejected} of {len(part)} layers (E[P] is {low:.3f} to {high:.3f}); the two sides "
            f"differ by at most {gap:.2g}."
        )
        if at_zero:
            lines[-1] += (
                " In a single network, E[P] over the samples is off ½ by up to "
                f"{part['network_offset'].max():.2g} on average."
            )
    return bullets(lines)


def saturation_summary(table: pd.DataFrame) -> str:
    """Where ``saturation`` finds layers without any gradient, in Markdown: a line a source."""
    lines = []
    for source, part in table.groupby("source", sort=False):
        ffa, polar = (part[part["probability"] == p] for p in ("ffa-sigmoid", "sigmoid"))
        dead = [f"{int((p['clamped'] == 100).sum())} of {len(p)}" for p in (ffa, polar)]
        lines.append(
            f"*{source}*, widest layer: **no sample has any gradient** for {dead[0]} kinds of "
            f"FFA layers and {dead[1]} of Polar-FFA layers, where at most "
            f"{polar['clamped'].max():.0f} % of the samples are clamped."
        )
    return bullets(lines)


def scale_invariance(gammas: Floats, shares: Sequence[float] = SHARES) -> pd.DataFrame:
    """Proposition 2: |P(γG) − P(G)| for G⊕ = share and G⊖ = 1 − share.

    Returns:
        ``probability`` (symmetric, or sigmoid with θ = 0), ``share``, ``gamma``, ``deviation``.
    """
    grid = torch.tensor(list(product(shares, gammas)), dtype=torch.float64)
    share, gamma = grid[:, :1], grid[:, 1:]
    parts = []
    for kind in ("symmetric", "sigmoid"):
        scaled, plain = (probability_slope(f * share, f * (1 - share), kind)[0]
                         for f in (gamma, torch.ones_like(gamma)))  # fmt: skip
        found = {
            "share": grid[:, 0],
            "gamma": grid[:, 1],
            "deviation": (scaled - plain).abs()[:, 0],
        }
        parts.append(pd.DataFrame(found).assign(probability=kind))
    return pd.concat(parts, ignore_index=True)


def smallest_scale(share: float, tolerance: float = TOLERANCE) -> float:
    """The γ from which on |P_s(γG) − P_s(G)| < tolerance, for G⊕ = share and G⊖ = 1 − share, found
    numerically; 0 where it is smaller for every γ. It is near ε·|1 − 2·share|/tolerance."""

    def excess(log_gamma: float) -> float:
        frame = scale_invariance(np.exp([log_gamma]), (share,))
        return (
            float(frame.loc[frame["probability"] == "symmetric", "deviation"].iloc[0]) - tolerance
        )

    low = np.log(goodness.EPSILON) - 25
    return float(np.exp(optimize.brentq(excess, low, 0.0))) if excess(low) > 0 else 0.0


def symmetric_gradients(points: int = 41) -> pd.DataFrame:
    """Proposition 2 and C3: ∂P_s/∂G⊕ and ∂log P_s/∂G⊕ by autograd beside their formulas.

    Returns:
        ``positive`` and ``negative`` (G⊕ and G⊖, a grid from 0.1 to 100), ``slope`` and
        ``log_slope`` (by autograd), ``with_epsilon`` (G⊖ + ε)/(G⊕ + G⊖ + 2ε)², ``without``
        G⊖/(G⊕ + G⊖)² and ``c3`` G⊖/(G⊕(G⊕ + G⊖)).
    """
    axis = torch.logspace(-1, 2, points, dtype=torch.float64)
    plus, minus = (g.reshape(1, -1) for g in torch.meshgrid(axis, axis, indexing="ij"))
    _, slope = probability_slope(plus, minus, "symmetric")
    variable = plus.clone().requires_grad_()
    logarithm = goodness.symmetric_probability(variable, minus).log().sum()
    (log_slope,) = torch.autograd.grad(logarithm, variable)
    total, epsilon = plus + minus, goodness.EPSILON
    columns = {
        "positive": plus, "negative": minus, "slope": slope, "log_slope": log_slope,
        "with_epsilon": (minus + epsilon) / (total + 2 * epsilon) ** 2,
        "without": minus / total**2, "c3": minus / (plus * total),
    }  # fmt: skip
    return pd.DataFrame({name: column[0].numpy() for name, column in columns.items()})


def invariance_summary(symmetric: pd.DataFrame) -> str:
    """What is found of Proposition 2, in Markdown, from ``symmetric_gradients``."""
    smallest, enough = max(map(smallest_scale, SHARES)), goodness.EPSILON / TOLERANCE
    errors = {c: (symmetric[c] / symmetric["slope"] - 1).abs().max()
              for c in ("with_epsilon", "without")}  # fmt: skip
    holds = smallest <= enough and errors["without"] < TOLERANCE
    return (
        f"Proposition 2 **{'holds' if holds else 'does not hold'}**: P_s changes by less than "
        f"{TOLERANCE:g} as long as γ(G⊕ + G⊖) is above {smallest:.2g} (found; {enough:.2g} is "
        f"always enough), and autograd's slope is that of the formula to a relative "
        f"{errors['with_epsilon']:.1g} with ε and {errors['without']:.1g} without."
    )


def _both_sides(p: Floats, slope: Floats) -> dict[str, float]:
    """The columns of ``gradients`` that follow from P and its slope, [repeats, S] each."""
    centre, variance = float(p.mean()), float(p.var())
    mean, mean_half, p_value = over_networks(p.mean(axis=1), 0.5)
    gradient, gradient_half, _ = over_networks(slope.mean(axis=1), 0.0)
    _, identity_half, _ = over_networks(((p - centre) ** 2).mean(axis=1), 0.0)
    clamped = (p < goodness.CLAMP) | (p > 1 - goodness.CLAMP)
    return {
        "gradient": gradient, "gradient_half": gradient_half, "identity": 0.25 - variance,
        "identity_half": identity_half, "general": centre * (1 - centre) - variance,
        "mean_probability": mean, "mean_half": mean_half, "p_value": p_value,
        "network_offset": float(np.abs(p.mean(axis=1) - 0.5).mean()),
        "clamped": float(clamped.mean()),
    }  # fmt: skip
