"""A product in a number format rounds its factors, and nothing else."""

import pytest
import torch

from ffcore.network import products

FORMATS = ("fp32", "bf16")


def factors(batch=3, seed=0):
    """[M, 5, 40] and [M, 40, 7] float32, none of which bf16 holds."""
    made = torch.Generator().manual_seed(seed)
    return (torch.randn(batch, 5, 40, generator=made), torch.randn(batch, 40, 7, generator=made))


def product(a, b, precision, batch=3):
    out = torch.full((batch, a.shape[-2], b.shape[-1]), float("nan"))
    products.multiply(a, b, out, precision)
    return out


@pytest.fixture(params=["as it is", "without"])
def processor(request, monkeypatch):
    """This one, and one that has no bf16 products of its own."""
    if request.param == "without":
        monkeypatch.setattr(products, "has_bf16", lambda device: False)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_bf16_product_is_the_float32_product_of_rounded_factors(processor, batch):
    a, b = factors(batch)
    found = product(a, b, "bf16", batch)
    rounded = torch.matmul(a.bfloat16().double(), b.bfloat16().double())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), rounded, rtol=0, atol=1e-5)
    assert (found.double() - a.double() @ b.double()).abs().max() > 1e-3


def test_a_bf16_sum_is_not_rounded(processor):
    """Products of ones, 257 of them: bf16 has 256 and 258."""
    ones = torch.ones(1, 2, 257)
    assert (product(ones, ones.mT, "bf16", 1) == 257).all()


def test_a_factor_that_bf16_lacks_is_rounded_in_bf16_and_kept_in_fp32(processor):
    a, b = torch.full((1, 2, 4), 1 + 2.0**-12), torch.ones(1, 4, 2)
    assert (product(a, b, "bf16", 1) == 4).all()
    assert (product(a, b, "fp32", 1) == 4 + 2.0**-10).all()


def test_fp32_is_the_plain_product():
    a, b = factors()
    assert torch.equal(product(a, b, "fp32"), a @ b)


@pytest.mark.parametrize("precision", FORMATS)
def test_a_factor_that_all_share_meets_each_of_the_others(processor, precision):
    a, b = factors()
    for one, other in ((a[0], b), (a, b[0])):
        expanded = (one.expand(3, -1, -1), other.expand(3, -1, -1))
        torch.testing.assert_close(
            product(one, other, precision), product(*expanded, precision), rtol=0, atol=1e-5
        )


@pytest.mark.parametrize("precision", FORMATS)
def test_factors_and_the_setting_of_pytorch_are_as_before(processor, precision):
    a, b = factors()
    before = a.clone(), b.clone(), torch.get_float32_matmul_precision()
    product(a, b, precision)
    assert torch.equal(a, before[0]) and torch.equal(b, before[1])
    assert torch.get_float32_matmul_precision() == before[2]


def test_a_setting_of_pytorch_that_stands_does_not_round_fp32():
    a = torch.full((1, 64, 64), 1 + 2.0**-12)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        exact = product(a, torch.ones(1, 64, 64), "fp32", 1)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert (exact == 64 + 2.0**-6).all()


def test_has_bf16_tells_what_pytorchs_own_product_does_on_a_processor_alone():
    a, b = (torch.randn(96, 96, generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        own = a @ b
    finally:
        torch.set_float32_matmul_precision(before)
    rounds = bool((own - a @ b).abs().max() > 1e-3)
    assert products.has_bf16("cpu") == rounds
    assert not products.has_bf16("cuda") and not products.has_bf16("mps")
    assert torch.get_float32_matmul_precision() == before
