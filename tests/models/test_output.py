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


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_logits_of_200_and_minus_200_are_torchs(precision, label_smoothing):
    """Targets at both ends; 200 and the features are exact in bfloat16."""
    x = torch.eye(3).repeat(50, 1).requires_grad_()  # several blocks
    W = torch.tensor([[200.0, -200.0, 0.0], [-200.0, 200.0, 0.0], [0.0, 200.0, -200.0]]).requires_grad_()
    b = torch.zeros(3, requires_grad=True)
    y = torch.arange(150) // 3 % 3
    ours = output_loss(x, W, b, y, label_smoothing, precision)
    theirs = torch.nn.functional.cross_entropy(x @ W.t(), y, label_smoothing=label_smoothing, reduction="sum")
    torch.testing.assert_close(ours, theirs)
    assert theirs > 1000
    mine, other = torch.autograd.grad(ours, (x, W)), torch.autograd.grad(theirs, (x, W))
    for a, c in zip(mine, other, strict=True):
        torch.testing.assert_close(a, c, rtol=1e-2 if precision == "bfloat16" else 1e-4, atol=0.5)


def test_gradients_check():
    x, W, b, y = case(4, torch.float64)
    assert torch.autograd.gradcheck(lambda *inputs: output_loss(*inputs, y, 0.1), (x, W, b))


def test_nothing_but_the_probabilities_is_kept_of_the_vocabularys_size():
    x, W, b, y = case(300, torch.float32)
    sizes: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        output_loss(x, W, b, y, 0.1)
    assert sizes.count(300 * 30) == 1
    assert sum(sizes) == 300 * 30 + x.numel() + W.numel()


def test_bfloat16_operands_stay_near_float32():
    x, W, b, y = case(200, torch.float32)
    exact, rounded = output_loss(x, W, b, y, 0.1), output_loss(x, W, b, y, 0.1, "bfloat16")
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=5e-3, atol=0)
    for mine, other in zip(
        torch.autograd.grad(rounded, (x, W, b)), torch.autograd.grad(exact, (x, W, b)), strict=True
    ):
        assert (mine - other).norm() < 0.02 * other.norm()
