"""The coverage loss against its formula; what coverage does to a score is in the tests of the mechanisms."""

import numpy as np
import torch

from shisen.attention import BahdanauAttention, LuongAttention, coverage_loss


def test_it_is_the_sum_of_the_smaller_of_weight_and_coverage():
    weights, coverage = torch.rand(2, 3, 5).softmax(-1), torch.rand(2, 3, 5)
    found = coverage_loss(weights, coverage).numpy()
    for row in np.ndindex(2, 3):
        expected = sum(min(a, c) for a, c in zip(weights[row].tolist(), coverage[row].tolist(), strict=True))
        np.testing.assert_allclose(found[row], expected, rtol=1e-6)


def test_it_is_0_where_nothing_is_covered_and_1_where_all_is():
    weights = torch.tensor([[0.25, 0.75, 0.0]])
    assert coverage_loss(weights, torch.tensor([[0.0, 0.0, 4.0]])).tolist() == [0.0]
    assert coverage_loss(weights, torch.tensor([[1.0, 2.0, 0.0]])).tolist() == [1.0]


def test_its_gradient_reaches_the_weights_of_this_step_or_those_before():
    weights = torch.tensor([0.25, 0.75], requires_grad=True)
    coverage = torch.tensor([0.5, 0.5], requires_grad=True)
    coverage_loss(weights, coverage).backward()
    assert weights.grad is not None
    assert coverage.grad is not None
    assert (weights.grad.tolist(), coverage.grad.tolist()) == ([1.0, 0.0], [0.0, 1.0])


def test_the_additive_scores_with_coverage_are_the_formula(sentences):
    bahdanau = BahdanauAttention(6, 6, 7, has_coverage=True).double()
    concat = LuongAttention(6, 6, "concat", 7, has_coverage=True).double()
    coverage = torch.rand(3, 4, 5, dtype=torch.float64)
    for attention in (bahdanau, concat):
        prepared = attention.prepare(sentences.keys, mask=sentences.mask)
        scores = attention.score(sentences.query, prepared.projected, coverage).detach().numpy()
        p = {name: tensor.numpy() for name, tensor in attention.state_dict().items()}
        for b, i, j in np.ndindex(3, 4, 5):
            s, h, c = sentences.query[b, i].numpy(), sentences.keys[b, j].numpy(), coverage[b, i, j].item()
            if attention is bahdanau:
                inner = p["W_a.weight"] @ s + p["U_a.weight"] @ h + p["w_c"] * c
            else:
                inner = p["W_a.weight"] @ np.concatenate([s, h]) + p["w_c"] * c
            np.testing.assert_allclose(scores[b, i, j], p["v_a"] @ np.tanh(inner), rtol=1e-10)


def test_the_parameter_of_coverage_is_there_only_with_coverage():
    for attention, has_coverage in [
        (BahdanauAttention(3, 3, 5), False),
        (BahdanauAttention(3, 3, 5, has_coverage=True), True),
        (LuongAttention(3, 3, "concat", 5), False),
        (LuongAttention(3, 3, "concat", 5, has_coverage=True), True),
    ]:
        assert ("w_c" in attention.state_dict()) is has_coverage
    torch.manual_seed(0)
    w_c = BahdanauAttention(3, 3, 2000, has_coverage=True).w_c
    bound = (6 / 2001) ** 0.5
    assert 0.99 * bound < w_c.abs().max() <= bound
