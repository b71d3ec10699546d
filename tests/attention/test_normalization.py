"""Scores to weights by each of the three functions."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shisen.attention import LuongAttention, attention_weights, masked_softmax
from shisen.errors import UserError

SPARSE = ["sparsemax", "entmax15"]
FUNCTIONS = ["softmax", *SPARSE]


def weights_by_formula(scores: np.ndarray, function: str) -> np.ndarray:
    """One row without a mask; τ by bisection, where the library sorts."""
    if function == "softmax":
        exponentials = np.exp(scores - scores.max())
        return exponentials / exponentials.sum()
    power, scores = (1, scores) if function == "sparsemax" else (2, scores / 2)
    low, high = scores.max() - 1, scores.max()
    for _ in range(100):
        tau = (low + high) / 2
        total = (np.maximum(scores - tau, 0) ** power).sum()
        low, high = (tau, high) if total > 1 else (low, tau)
    return np.maximum(scores - tau, 0) ** power


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 6)),
    scale=st.sampled_from([0.1, 1.0, 30.0, 1e4]),
    a_row_per_query=st.booleans(),
    function=st.sampled_from(FUNCTIONS),
    seed=st.integers(0, 2**31),
)
def test_it_is_the_formula_for_any_shape_scale_and_mask(shape, scale, a_row_per_query, function, seed):
    generator = np.random.default_rng(seed)
    batch, queries, keys = shape
    scores = generator.normal(size=shape) * scale
    mask = generator.random((batch, queries if a_row_per_query else 1, keys)) < 0.6

    weights = attention_weights(torch.from_numpy(scores), torch.from_numpy(mask), function).numpy()

    everywhere = np.broadcast_to(mask, shape)
    for row in np.ndindex(batch, queries):
        real = np.flatnonzero(everywhere[row])
        if len(real):
            expected = weights_by_formula(scores[row][real], function)
            np.testing.assert_allclose(weights[row][real], expected, rtol=1e-9, atol=1e-9)
    assert (weights[~everywhere] == 0).all()
    np.testing.assert_allclose(weights.sum(-1), everywhere.any(-1), rtol=1e-9)


def test_the_softmax_is_masked_softmax():
    scores, mask = torch.randn(2, 3, 4), torch.rand(2, 1, 4) < 0.5
    assert torch.equal(attention_weights(scores, mask), masked_softmax(scores, mask))
    assert torch.equal(attention_weights(scores), masked_softmax(scores))


@pytest.mark.parametrize(("function", "gap"), [("sparsemax", 1.0), ("entmax15", 2.0)])
def test_a_key_that_scores_so_far_below_the_best_has_weight_zero(function, gap):
    weights = attention_weights(torch.tensor([[[3.0, 3.0 - gap]]]), None, function)
    assert weights.tolist() == [[[1.0, 0.0]]]
    assert attention_weights(torch.tensor([[[3.0, 3.01 - gap]]]), None, function)[0, 0, 1] > 0


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_empty_row_has_gradient_zero_and_others_are_untouched_by_it(function, dtype):
    scores = torch.tensor([[[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]], dtype=dtype, requires_grad=True)
    mask = torch.tensor([[[True, True, False], [False, False, False]]])
    weights = attention_weights(scores, mask, function)
    (weights * torch.tensor([1.0, 2.0, 3.0], dtype=dtype)).sum().backward()
    assert (weights[0, 1] == 0).all()
    assert scores.grad is not None
    assert (scores.grad[0, 1] == 0).all()
    assert scores.grad[0, 0, :2].abs().min() > 0
    assert scores.grad[0, 0, 2] == 0


@pytest.mark.parametrize("function", FUNCTIONS)
def test_gradients_agree_with_finite_differences(function):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 3, 5, dtype=torch.float64, generator=generator).requires_grad_()
    mask = torch.rand(2, 3, 5, generator=generator) < 0.7
    mask[0, 0] = False
    assert torch.autograd.gradcheck(lambda e: attention_weights(e, mask, function), scores)
    assert torch.autograd.gradcheck(lambda e: attention_weights(e, None, function), scores)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_masked_score_may_be_infinite(function):
    scores = torch.tensor([[[1.0, float("inf"), 1.0]]], requires_grad=True)
    weights = attention_weights(scores, torch.tensor([[[True, False, True]]]), function)
    weights[0, 0, 0].backward()
    torch.testing.assert_close(weights, torch.tensor([[[0.5, 0.0, 0.5]]]))
    assert weights[0, 0, 1] == 0
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert scores.grad[0, 0, 1] == 0


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_makes_its_row_no_number_and_no_other(function, score):
    weights = attention_weights(torch.tensor([[[1.0, score], [1.0, 1.0]]]), None, function)
    assert weights[0, 0].isnan().any()
    torch.testing.assert_close(weights[0, 1], torch.tensor([0.5, 0.5]))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_scores_give_float32_weights(function, dtype):
    scores = torch.tensor([[[3.0, 2.5, 2.0]]], dtype=dtype)
    weights = attention_weights(scores, None, function)
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights, attention_weights(scores.float(), None, function), rtol=0, atol=0)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_query_or_no_key_is_allowed(function):
    for shape in [(2, 0, 3), (2, 3, 0), (0, 2, 3)]:
        mask = torch.ones(shape, dtype=torch.bool)
        assert attention_weights(torch.zeros(shape), mask, function).shape == shape


@pytest.mark.usefixtures("shapes_unchecked")
def test_an_unknown_function_is_refused_with_the_names_that_exist():
    message = "unknown function 'hardmax'; choose one of softmax, sparsemax, entmax15"
    with pytest.raises(ValueError, match=message):
        LuongAttention(2, 2, function="hardmax")  # at once, not at the first sentence


@pytest.mark.parametrize("function", SPARSE)
def test_without_the_library_the_extra_is_named_at_once(function, monkeypatch):
    monkeypatch.setitem(sys.modules, "entmax", None)
    with pytest.raises(UserError) as error:
        LuongAttention(2, 2, function=function)
    assert str(error.value) == (
        f'the attention function {function} needs an extra: pip install "shisen[entmax]"'
    )
    LuongAttention(2, 2)
