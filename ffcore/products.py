"""Matrix products in a number format: the factors are rounded, and nothing else is.

All tensors are float32, and so is what a product returns. A network tells right from wrong labels
by small differences between large activations, and Adam scales what is left of a gradient to full
steps, its rounding included: with pre-activations, activations and sums of slopes in bf16 ReLU
networks collapsed. Where the rows of a gradient's product nearly cancel, rounding the slopes alone
does the same, see ``gradient``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor

# How PyTorch calls a format in which a float32 product may round its factors.
_HINT = {"fp32": "highest", "tf32": "high", "bf16": "medium"}


def multiply(a: Tensor, b: Tensor, out: Tensor, precision: str = "fp32") -> None:
    """out = a @ b, with factors rounded to a number format and summed in float32.

    Args:
        a: [b, d] or [M, b, d] float32.
        b: [d, n] or [M, d, n] float32.
        out: [M, b, n] float32; a batch of one is a plain product.
        precision: ``fp32``; ``tf32``, on CUDA; ``bf16``, by the processor where it has such
            products (``has_bf16``), else by rounding first, which gives the same at no gain.
    """
    if precision == "bf16" and not has_bf16(out.device.type):
        a, b = a.bfloat16(), b.bfloat16()
        if out.device.type == "cuda":
            whole = (a.expand(len(out), *a.shape[-2:]), b.expand(len(out), *b.shape[-2:]))
            out.copy_(torch.bmm(*whole, out_dtype=torch.float32))
            return
        a, b = a.float(), b.float()
    with _hint(_HINT[precision]):
        if len(out) == 1:
            torch.mm(a.view(a.shape[-2:]), b.view(b.shape[-2:]), out=out[0])
        else:
            torch.matmul(a, b, out=out)


def gradient(delta: Tensor, inputs: Tensor, out: Tensor, precision: str = "fp32") -> None:
    """out = δᵀ·inputs, a weight's gradient.

    The slopes of a batch nearly cancel. An input that is the same in all of its rows, as the black
    around a digit, multiplies their sum, and so does each of hundreds of such inputs: what rounding
    leaves of the sum moves them all one way. So what the rows have in common meets the sum of the
    slopes in float32, δᵀX = δᵀ(X − x̄) + (Σδ) x̄ᵀ, and rounded factors only what differs.

    Args:
        delta: [M, b, n] float32, ∂L/∂z.
        inputs: [b, d] or [M, b, d] float32.
        out: [M, n, d] float32.
    """
    if precision == "fp32":
        return multiply(delta.mT, inputs, out)
    mean = inputs.mean(-2, keepdim=True)
    multiply(delta.mT, inputs - mean, out, precision)
    out.addcmul_(delta.sum(-2).unsqueeze(-1), mean)


@cache
def has_bf16(device: str) -> bool:
    """Whether this processor's float32 products can round their factors to bf16 by themselves,
    found out by a product whose result tells."""
    if device != "cpu":
        return False
    near = torch.full((64, 64), 1 + 2.0**-12)
    with _hint("medium"):
        return bool((near @ near)[0, 0] == 64)


@contextmanager
def _hint(precision: str) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    if before == precision:
        yield
        return
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
