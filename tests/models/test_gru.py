"""The gated recurrent unit: the formula, torch's own cell, a whole sequence, gradients."""

import numpy as np
import pytest
import torch

from shisen.models.gru import gru_sequence, gru_step


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.fixture
def cell() -> torch.nn.GRUCell:
    torch.manual_seed(0)
    return torch.nn.GRUCell(3, 4).double()


def test_a_step_is_the_formula(cell):
    x, h = torch.randn(5, 3).double(), torch.randn(5, 4).double()
    new = gru_step(x @ cell.weight_ih.t() + cell.bias_ih, h, cell.weight_hh, cell.bias_hh)

    W_i, W_h = (w.detach().numpy().reshape(3, 4, -1) for w in (cell.weight_ih, cell.weight_hh))
    b_i, b_h = (b.detach().numpy().reshape(3, 4) for b in (cell.bias_ih, cell.bias_hh))
    x_, h_ = x.numpy(), h.numpy()
    r = sigmoid(x_ @ W_i[0].T + b_i[0] + h_ @ W_h[0].T + b_h[0])
    z = sigmoid(x_ @ W_i[1].T + b_i[1] + h_ @ W_h[1].T + b_h[1])
    n = np.tanh(x_ @ W_i[2].T + b_i[2] + r * (h_ @ W_h[2].T + b_h[2]))
    np.testing.assert_allclose(new.detach().numpy(), (1 - z) * n + z * h_, atol=1e-12)


def test_a_step_is_that_of_torch(cell):
    x, h = torch.randn(5, 3).double(), torch.randn(5, 4).double()
    new = gru_step(x @ cell.weight_ih.t() + cell.bias_ih, h, cell.weight_hh, cell.bias_hh)
    torch.testing.assert_close(new, cell(x, h))


@pytest.mark.parametrize("directions", [1, 2])
def test_a_sequence_is_its_steps_in_values_and_gradients(directions):
    torch.manual_seed(2)
    gates = torch.randn(6, directions, 3, 12).double().requires_grad_()
    initial = torch.randn(directions, 3, 4).double().requires_grad_()
    weight = torch.randn(directions, 12, 4).double().requires_grad_()
    bias = torch.randn(directions, 12).double().requires_grad_()
    inputs = (gates, initial, weight, bias)
    whole = gru_sequence(*inputs)
    sides = []
    for d in range(directions):
        state, states = initial[d], []
        for step in range(6):
            state = gru_step(gates[step, d], state, weight[d], bias[d])
            states.append(state)
        sides.append(torch.stack(states))
    stepped = torch.stack(sides, 1)
    torch.testing.assert_close(whole, stepped)
    by = torch.randn_like(whole)
    for fast, plain in zip(
        torch.autograd.grad(whole, inputs, by), torch.autograd.grad(stepped, inputs, by), strict=True
    ):
        torch.testing.assert_close(fast, plain)


def test_bfloat16_rounds_the_weight_gradient_alone():
    torch.manual_seed(4)
    shapes = ((6, 2, 3, 12), (2, 3, 4), (2, 12, 4), (2, 12))
    inputs = [torch.randn(shape).requires_grad_() for shape in shapes]
    exact, rounded = gru_sequence(*inputs), gru_sequence(*inputs, precision="bfloat16")
    assert torch.equal(exact, rounded)
    by = torch.randn_like(exact)
    mine, other = torch.autograd.grad(rounded, inputs, by), torch.autograd.grad(exact, inputs, by)
    for index in (0, 1, 3):
        assert torch.equal(mine[index], other[index])
    assert 0 < (mine[2] - other[2]).norm() < 0.02 * other[2].norm()


def test_gradients_check():
    torch.manual_seed(3)
    shapes = ((3, 2, 2, 9), (2, 2, 3), (2, 9, 3), (2, 9))
    inputs = tuple(torch.randn(shape).double().requires_grad_() for shape in shapes)
    assert torch.autograd.gradcheck(gru_sequence, inputs)
