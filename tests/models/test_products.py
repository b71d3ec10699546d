"""Products with rounded operands."""

import torch

from shisen.models.products import linear


def test_float32_is_the_plain_product():
    x, W, b = torch.randn(2, 3, 4), torch.randn(5, 4), torch.randn(5)
    assert torch.equal(linear(x, W, b), torch.nn.functional.linear(x, W, b))


def test_bfloat16_rounds_the_operands_alone():
    torch.manual_seed(0)
    x, W, b = torch.randn(2, 3, 64).requires_grad_(), torch.randn(5, 64).requires_grad_(), torch.randn(5)
    exact, rounded = linear(x, W, b), linear(x, W, b, "bfloat16")
    assert rounded.shape == exact.shape
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - exact).norm() < 0.02 * exact.norm()
    by = torch.randn_like(exact)
    for mine, other in zip(
        torch.autograd.grad(rounded, (x, W), by), torch.autograd.grad(exact, (x, W), by), strict=True
    ):
        assert mine.dtype == torch.float32
        assert (mine - other).norm() < 0.02 * other.norm()
