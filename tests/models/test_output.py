"""The output layer's loss against torch's cross-entropy."""

import pytest
import torch

from shisen.models.output import output_loss


def case(rows: int, dtype: torch.dtype, scale: float = 1.0) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    x = (torch.randn(rows, 5) * scale).to(dtype).requires_grad_()
    W = torch.randn(30, 5, dtype=dtype).requires_grad_()
    b = torch.randn(30, dtype=dtype).requires_grad_()
    return x, W, b, torch.randint(0, 30, (rows,))


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("rows", [1, 128, 300])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_the_label_smoothed_cross_entropy(rows, label_smoothing, dtype):
    x, W, b, y = case(rows, dtype)
    ours = output_loss(x, W, b, y, label_smoothing)
    theirs = torch.nn.functional.cross_entropy(
        x @ W.t() + b, y, label_smoothing=label_smoothing, reduction="sum"
    )
    torch.testing.assert_close(ours, theirs)
    for mine, other in zip(
        torch.autograd.grad(ours * 3, (x, W, b)), torch.autograd.grad(theirs * 3, (x, W, b)), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


def test_improbable_targets_do_not_underflow():
    x, W, b, y = case(40, torch.float32, scale=100.0)
    ours = output_loss(x, W, b, y, 0.1)
    theirs = torch.nn.functional.cross_entropy(x @ W.t() + b, y, label_smoothing=0.1, reduction="sum")
    assert (x @ W.t()).softmax(1).gather(1, y[:, None]).min() == 0  # the case is as hard as it should be
    torch.testing.assert_close(ours, theirs)
    assert all(g.isfinite().all() for g in torch.autograd.grad(ours, (x, W, b)))


def test_bfloat16_operands_stay_near_float32():
    x, W, b, y = case(200, torch.float32)
    exact, rounded = output_loss(x, W, b, y, 0.1), output_loss(x, W, b, y, 0.1, "bfloat16")
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=5e-3, atol=0)
    for mine, other in zip(
        torch.autograd.grad(rounded, (x, W, b)), torch.autograd.grad(exact, (x, W, b)), strict=True
    ):
        assert (mine - other).norm() < 0.02 * other.norm()
