"""Matrix products in a number format: their factors are rounded, and nothing else is.

All tensors are float32, and so is what a product returns. A network tells right from wrong labels
by small differences between large activations: with pre-activations, activations and sums of
slopes in bf16, networks with the symmetric probability collapse. Rounding the factors of gradient
products makes collapses likelier, too, where networks are unstable; so the formats are those of
forward products, and gradients are float32 throughout.
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
