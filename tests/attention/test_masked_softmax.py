"""Scores to weights."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shisen.attention import masked_softmax


def softmax_by_formula(scores: np.ndarray, mask: np.ndarray) -> np.ndarray:
    weights = np.zeros_like(scores)
    for row in np.ndindex(scores.shape[:-1]):
        real = np.flatnonzero(mask[row])
        exponentials = np.exp(scores[row][real] - scores[row][real].max(initial=-np.inf))
        weights[row][real] = exponentials / exponentials.sum()
    return weights


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 6)),
    scale=st.sampled_from([0.1, 1.0, 30.0, 1e4]),
    a_row_per_query=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_it_is_the_formula_for_any_shape_scale_and_mask(shape, scale, a_row_per_query, seed):
    generator = np.random.default_rng(seed)
    batch, queries, keys = shape
    scores = generator.normal(size=shape) * scale
    mask = generator.random((batch, queries if a_row_per_query else 1, keys)) < 0.6

    weights = masked_softmax(torch.from_numpy(scores), torch.from_numpy(mask)).numpy()

    everywhere = np.broadcast_to(mask, shape)
    np.testing.assert_allclose(weights, softmax_by_formula(scores, everywhere), rtol=1e-12, atol=1e-300)
    assert (weights[~everywhere] == 0).all()
    np.testing.assert_allclose(weights.sum(-1), everywhere.any(-1), rtol=1e-12)


def test_without_a_mask_every_key_counts():
    scores = torch.tensor([[[0.0, 0.0, 0.0, 0.0]]])
    assert masked_softmax(scores).tolist() == [[[0.25, 0.25, 0.25, 0.25]]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_empty_row_has_gradient_zero_and_others_are_untouched_by_it(dtype):
    scores = torch.randn(1, 2, 3, dtype=dtype, requires_grad=True)
    mask = torch.tensor([[[True, True, False], [False, False, False]]])
    (masked_softmax(scores, mask) * torch.tensor([1.0, 2.0, 3.0], dtype=dtype)).sum().backward()
    assert scores.grad is not None
    assert (scores.grad[0, 1] == 0).all()
    assert scores.grad[0, 0, :2].abs().min() > 0
    assert scores.grad[0, 0, 2] == 0


def test_a_masked_score_may_be_infinite():
    scores = torch.tensor([[[1.0, float("inf"), 1.0]]], requires_grad=True)
    weights = masked_softmax(scores, torch.tensor([[[True, False, True]]]))
    weights[0, 0, 0].backward()
    assert weights.tolist() == [[[0.5, 0.0, 0.5]]]
    assert scores.grad is not None
    assert scores.grad.tolist() == [[[0.25, 0.0, -0.25]]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_scores_give_float32_weights(dtype):
    scores = torch.tensor([[[3.0, 1.0, 2.0]]], dtype=dtype)
    weights = masked_softmax(scores)
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights, masked_softmax(scores.float()), rtol=0, atol=0)
