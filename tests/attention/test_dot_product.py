"""Scaled dot-product attention against the formula, and the fused kernel against the explicit product."""

import numpy as np
import pytest
import torch

from shisen.attention import attention_weights, causal_mask, scaled_dot_product

FUNCTIONS = ["softmax", "sparsemax", "entmax15"]


def by_formula(query, key, value, mask, bias, scale, function="softmax"):
    """softmax(Q Kᵀ / √d + B) V over the keys that may be attended to, one query at a time."""
    context = np.zeros((*query.shape[:-1], value.shape[-1]))
    weights = np.zeros((*query.shape[:-1], key.shape[-2]))
    for place in np.ndindex(query.shape[:-1]):
        lead = place[:-1]
        real = np.flatnonzero(mask[place])
        if len(real) == 0:
            continue
        e = key[lead][real] @ query[place] * scale + bias[place][real]
        weights[place][real] = attention_weights(torch.from_numpy(e)[None], None, function)[0].numpy()
        context[place] = weights[place] @ value[lead]
    return context, weights


@pytest.fixture
def tensors():
    """Query, key, value, mask and bias of 2 sentences with 3 heads; one row has nothing to attend to."""
    generator = torch.Generator().manual_seed(2017)
    query, key, value = (
        torch.randn(2, 3, n, size, dtype=torch.float64, generator=generator)
        for n, size in ((4, 6), (5, 6), (5, 2))
    )
    mask = torch.rand(2, 3, 4, 5, generator=generator) > 0.3
    mask[1, 2, 3] = False
    bias = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=generator)
    return query, key, value, mask, bias


@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("return_weights", [True, False])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_context_and_weights_are_the_formula(function, return_weights, scale, tensors):
    query, key, value, mask, bias = tensors
    context, weights = scaled_dot_product(
        query, key, value, mask, bias=bias, scale=scale, function=function, return_weights=return_weights
    )
    expected = by_formula(*(tensor.numpy() for tensor in tensors), scale or 6**-0.5, function)
    np.testing.assert_allclose(context, expected[0], rtol=1e-10, atol=1e-12)
    if return_weights:
        np.testing.assert_allclose(weights, expected[1], rtol=1e-10, atol=1e-12)
        assert (weights[~mask] == 0).all()
    else:
        assert weights is None


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("with_mask", [True, False])
@pytest.mark.parametrize("is_causal", [True, False])
def test_the_fused_kernel_gives_the_same_result_and_gradients(with_bias, with_mask, is_causal, tensors):
    *inputs, mask, bias = tensors
    options = {"bias": bias if with_bias else None, "is_causal": is_causal}
    results = []
    for return_weights in (True, False):
        leaves = [tensor.clone().requires_grad_() for tensor in inputs]
        context, _ = scaled_dot_product(
            *leaves, mask if with_mask else None, return_weights=return_weights, **options
        )
        context.sin().sum().backward()
        results.append([context.detach(), *(leaf.grad for leaf in leaves)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)
        assert one.isfinite().all()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_gradients_are_those_of_finite_differences(function, tensors):
    query, key, value, mask, bias = (tensor[:1, :1] for tensor in tensors)
    leaves = [tensor.clone().requires_grad_() for tensor in (query, key, value, bias)]

    def context_and_weights(query, key, value, bias):
        return scaled_dot_product(query, key, value, mask, bias=bias, function=function, return_weights=True)

    assert torch.autograd.gradcheck(context_and_weights, leaves)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_row_with_nothing_to_attend_to_is_zero_with_gradient_zero(function, tensors):
    query, key, value, mask, _ = tensors
    for return_weights in (True, False):
        leaf = query.clone().requires_grad_()
        context, _ = scaled_dot_product(
            leaf, key, value, mask, function=function, return_weights=return_weights
        )
        context.sum().backward()
        assert (context[1, 2, 3] == 0).all()
        assert (leaf.grad[1, 2, 3] == 0).all()
        assert leaf.grad.isfinite().all()


@pytest.mark.parametrize("return_weights", [True, False])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_later_position_never_changes_an_earlier_one(function, return_weights):
    x = torch.randn(2, 7, 4)
    options = {"is_causal": True, "function": function, "return_weights": return_weights}
    before, _ = scaled_dot_product(x, x, x, **options)
    x[:, 5:] = torch.randn(2, 2, 4)
    after, _ = scaled_dot_product(x, x, x, **options)
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.equal(before[:, 5:], after[:, 5:])


def test_fewer_queries_than_keys_are_the_last_positions():
    expected = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]]).bool()
    assert torch.equal(causal_mask(2, 4), expected)
    x = torch.randn(2, 6, 4)
    whole, _ = scaled_dot_product(x, x, x, is_causal=True)
    last, _ = scaled_dot_product(x[:, 4:], x, x, is_causal=True)
    torch.testing.assert_close(last, whole[:, 4:])


def test_one_row_of_the_mask_serves_all_queries_and_heads(tensors):
    query, key, value, *_ = tensors
    padding = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]]).bool()[:, None, None]
    context, weights = scaled_dot_product(query, key, value, padding, return_weights=True)
    fused, _ = scaled_dot_product(query, key, value, padding)
    torch.testing.assert_close(context, fused)
    short, _ = scaled_dot_product(query[1], key[1, :, :2], value[1, :, :2])
    torch.testing.assert_close(context[1], short)
    assert (weights[1, :, :, 2:] == 0).all()


def test_weights_are_float32_under_reduced_precision():
    x = torch.randn(2, 5, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, weights = scaled_dot_product(x, x, x, return_weights=True)
    assert torch.equal(weights, scaled_dot_product(x, x, x, return_weights=True)[1])
    context, weights = scaled_dot_product(*3 * [x.bfloat16()], return_weights=True)
    assert (context.dtype, weights.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 5))


def test_dropout_drops_weights_and_keeps_their_mean():
    torch.manual_seed(1)
    query, value = torch.zeros(1, 2000, 4), torch.ones(1, 10, 1)
    context, weights = scaled_dot_product(
        query, torch.zeros(1, 10, 4), value, dropout=0.4, return_weights=True
    )
    assert torch.equal(weights, torch.full((1, 2000, 10), 0.1))  # the distribution before dropout
    kept = context.squeeze() * 0.6 * 10  # how many of ten were kept
    torch.testing.assert_close(kept, kept.round(), atol=1e-4, rtol=0)
    assert abs(context.mean() - 1) < 0.02
