"""Sparse self-attention is dense attention under the same mask, without anything of its size."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from shisen.attention import MultiHeadAttention, SparseSelfAttention, scaled_dot_product, sparse_dot_product
from shisen.attention.patterns import (
    bigbird,
    block_local,
    causal,
    global_tokens,
    longformer,
    random_blocks,
    strided,
    window,
)

PATTERNS = [
    window(3),
    window(5) & causal(),
    strided(4),
    block_local(5),
    global_tokens([0, 11]),
    longformer(2, [0]),
    bigbird(3, 1, [0]),
    random_blocks(1, 4),
    (window(1) | strided(6)) & causal(),
    window(30),
    global_tokens([99]),  # nothing, at these lengths
]


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics processor")


def inputs(length, heads=2, size=3):
    generator = torch.Generator().manual_seed(length)
    return [torch.randn(2, heads, length, size, dtype=torch.float64, generator=generator) for _ in range(3)]


@pytest.mark.parametrize("pattern", PATTERNS, ids=repr)
@pytest.mark.parametrize("length", [1, 7, 16, 21])  # of one position; below, at and beside whole blocks of 4
@pytest.mark.parametrize("function", ["softmax", "sparsemax"])
def test_values_weights_and_gradients_are_those_of_dense_attention(pattern, length, function):
    real = torch.arange(length) < torch.tensor([[length], [max(1, length - 5)]])
    mask = pattern.mask(length) & real[:, None, None]
    results = []
    for is_sparse in (True, False):
        leaves = [tensor.requires_grad_() for tensor in inputs(length)]
        if is_sparse:
            options = {"block_size": 4, "function": function}
            context, weights = sparse_dot_product(*leaves, pattern, real, **options, return_weights=True)
            whole = weights.dense()
            quick, none = sparse_dot_product(*leaves, pattern, real, **options)
            assert none is None
            torch.testing.assert_close(quick, context)
        else:
            context, whole = scaled_dot_product(*leaves, mask, function=function, return_weights=True)
        (context.sin().sum() + (whole * torch.arange(length)).sum()).backward()
        gradients = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
        results.append((context, whole, *gradients))
    for sparse, dense in zip(*results, strict=True):
        torch.testing.assert_close(sparse, dense, rtol=1e-9, atol=1e-11)


def test_the_fused_kernel_has_the_same_gradients():
    results = []
    for return_weights in (True, False):
        leaves = [tensor.requires_grad_() for tensor in inputs(21)]
        context, _ = sparse_dot_product(
            *leaves, longformer(2, [0]), block_size=4, return_weights=return_weights
        )
        context.sin().sum().backward()
        results.append([leaf.grad for leaf in leaves])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


@pytest.fixture(params=[1, 200, 2**18], ids=lambda elements: f"{elements} at once")
def chunks(request, monkeypatch):
    """A row of blocks at a time, a few, all."""
    monkeypatch.setattr("shisen.attention.block_attention.ELEMENTS_AT_ONCE", {"cpu": request.param})


@pytest.mark.parametrize("function", ["softmax", "sparsemax"])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_the_recomputed_gradients_are_those_of_the_context(chunks, function, dropout):
    real = torch.arange(10) < torch.tensor([[10], [7]])

    def attend(*leaves):
        torch.manual_seed(5)  # what is dropped is the same, whatever the inputs
        options = {"block_size": 4, "dropout": dropout, "function": function}
        return sparse_dot_product(*leaves, longformer(2, [0]), real, **options)[0]

    torch.autograd.gradcheck(attend, [leaf.requires_grad_() for leaf in inputs(10)], fast_mode=True)


def test_recomputation_leaves_the_random_numbers_as_they_would_have_been(chunks):
    leaves = [leaf.requires_grad_() for leaf in inputs(10)]
    context, _ = sparse_dot_product(*leaves, window(2), block_size=4, dropout=0.5)
    before = torch.get_rng_state()
    context.sum().backward()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("function", ["softmax", "sparsemax"])
def test_recomputation_drops_what_was_dropped_in_every_precision(device, precision, function):
    """The context c is linear in the values v: with the same weights dropped, (∂c/∂v) v is c."""
    pattern = longformer(8, [0])
    query, key, value = (part.to(device, precision) for part in inputs(150, size=16))
    value.requires_grad_()
    context, _ = sparse_dot_product(query, key, value, pattern, dropout=0.4, block_size=16, function=function)
    asked = torch.randn(context.shape).to(context)
    (gradient,) = torch.autograd.grad(context, value, asked)
    found, expected = (gradient.double() * value.double()).sum(), (context.double() * asked.double()).sum()
    size = (context.double() * asked.double()).abs().sum()
    assert abs(found - expected) / size < (1e-5 if precision is torch.float32 else 2e-3)


def test_a_plan_made_in_inference_mode_serves_where_there_are_gradients():
    pattern = window(2) | strided(7)  # of which no other test has kept a plan
    with torch.inference_mode():
        expected, _ = sparse_dot_product(*inputs(23), pattern, block_size=4)
    for return_weights in (True, False):
        leaves = [leaf.requires_grad_() for leaf in inputs(23)]
        context, _ = sparse_dot_product(*leaves, pattern, block_size=4, return_weights=return_weights)
        context.sum().backward()
        torch.testing.assert_close(context, expected)


def test_only_queries_keys_and_values_are_kept_for_the_backward_pass():
    kept = []
    leaves = [leaf.requires_grad_() for leaf in inputs(64)]
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()), lambda _: None):
        sparse_dot_product(*leaves, longformer(8, [0]), block_size=8)
    assert kept == [leaf.numel() for leaf in leaves]


@pytest.mark.parametrize("length", [200, 256])
def test_in_single_precision_it_is_dense_attention_to_five_digits(length):
    pattern = longformer(16, [0, -1])
    results = []
    for is_sparse in (True, False):
        leaves = [part.float().requires_grad_() for part in inputs(length, size=16)]
        if is_sparse:
            context, _ = sparse_dot_product(*leaves, pattern)
        else:
            context, _ = scaled_dot_product(*leaves, pattern.mask(length), return_weights=True)
        context.sin().sum().backward()
        results.append([context, *(leaf.grad for leaf in leaves)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_mixed_precision_is_that_of_the_surroundings_backwards_too():
    attention = SparseSelfAttention(16, 2, window(4), block_size=8)
    results = []
    for is_mixed in (True, False):
        x = torch.randn(2, 40, 16, generator=torch.Generator().manual_seed(1)).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_mixed):
            context, _ = attention(x)
        assert context.dtype == (torch.bfloat16 if is_mixed else torch.float32)
        context.float().sin().sum().backward()
        results.append(x.grad)
    torch.testing.assert_close(*results, rtol=0.05, atol=0.05)


def test_a_sentence_of_padding_alone_has_context_and_gradients_of_0():
    attention = SparseSelfAttention(8, 2, longformer(2, [0]), bias=False, block_size=4)
    real = torch.tensor([[True] * 9, [False] * 9])
    for return_weights in (True, False):
        x = torch.randn(2, 9, 8, requires_grad=True)
        context, weights = attention(x, real, return_weights=return_weights)
        assert context[1].eq(0).all()
        assert weights is None or weights.values[1].eq(0).all()
        context.sum().backward()
        assert x.grad[0].isfinite().all()
        assert x.grad[1].eq(0).all()


def test_a_head_mask_may_differ_from_sentence_to_sentence():
    attention = SparseSelfAttention(8, 2, window(2), block_size=4)
    x, parts = torch.randn(2, 9, 8), torch.tensor([[1.0, 0.0], [0.5, 1.0]])
    context, _ = attention(x, head_mask=parts)
    for one in range(2):
        alone, _ = attention(x[one : one + 1], head_mask=parts[one])
        torch.testing.assert_close(context[one : one + 1], alone)


@needs_cuda
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_a_graphics_processor_gives_the_same_and_its_recomputation_drops_the_same(dropout):
    def attend(*leaves):
        torch.manual_seed(5)
        return sparse_dot_product(*leaves, longformer(2, [0]), block_size=4, dropout=dropout)[0]

    leaves = [leaf.cuda().requires_grad_() for leaf in inputs(10)]
    torch.autograd.gradcheck(attend, leaves, fast_mode=True)
    if not dropout:
        torch.testing.assert_close(attend(*leaves).cpu(), attend(*inputs(10)))


def test_weights_are_those_of_the_allowed_pairs_alone():
    pattern = window(2) & causal()
    _, weights = sparse_dot_product(*inputs(50), pattern, block_size=8, return_weights=True)
    assert len(weights.queries) == int(pattern.mask(50).sum())
    assert pattern.mask(50)[weights.queries, weights.keys].all()
    torch.testing.assert_close(weights.dense().sum(-1), torch.ones(2, 2, 50, dtype=torch.float64))


def test_the_module_is_multi_head_attention_with_the_mask_of_the_pattern():
    pattern = longformer(3, [0])
    sparse, dense = SparseSelfAttention(8, 2, pattern, block_size=4), MultiHeadAttention(8, 2)
    dense.load_state_dict(sparse.state_dict())
    x, real = torch.randn(2, 14, 8), torch.arange(14) < torch.tensor([[14], [9]])
    head_mask = torch.tensor([1.0, 0.5])
    mask = pattern.mask(14) & real[:, None]
    context, weights = sparse(x, real, head_mask=head_mask, return_weights=True)
    expected, expected_weights = dense(x, mask=mask, head_mask=head_mask, return_weights=True)
    torch.testing.assert_close(context, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(weights.dense(), expected_weights, rtol=1e-5, atol=1e-6)


class _Elements(TorchDispatchMode):
    """Counts the elements of all tensors that are made, and the most of one."""

    total = largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.total += tensor.numel()
                self.largest = max(self.largest, tensor.numel())
        return result


@pytest.mark.parametrize(
    "pattern", [window(8), block_local(16), longformer(8, [0]), bigbird(16, 1)], ids=repr
)
def test_work_and_memory_grow_with_the_length_and_not_with_its_square(pattern):
    attention = SparseSelfAttention(8, 2, pattern, block_size=16)
    made = []
    for length in (2048, 4096):
        x = torch.randn(1, length, 8, requires_grad=True)
        attention(x)  # the plan is made once
        with _Elements() as elements:
            context, _ = attention(x)
            context.sum().backward()
        made.append(elements)
    assert made[1].total <= 2.2 * made[0].total
    assert made[1].largest < 4096 * 4096 / 20


def test_dropout_acts_in_training_alone():
    attention = SparseSelfAttention(8, 2, window(3), dropout=0.5, block_size=4)
    x = torch.randn(2, 9, 8)
    assert not torch.equal(attention(x)[0], attention(x)[0])
    assert torch.equal(attention.eval()(x)[0], attention(x)[0])


def test_no_position_at_all_is_no_output():
    attention = SparseSelfAttention(8, 2, window(3))
    context, weights = attention(torch.randn(2, 0, 8), return_weights=True)
    assert context.shape == (2, 0, 8)
    assert weights.values.shape == (2, 2, 0)


def test_what_does_not_fit_is_named(shapes_unchecked):
    with pytest.raises(ValueError, match="expected block_size of 1 or more, got 0"):
        SparseSelfAttention(8, 2, window(3), block_size=0)
    with pytest.raises(ValueError, match=r"expected inputs of shape \[batch, length, 8\], got \[2, 8\]"):
        SparseSelfAttention(8, 2, window(3))(torch.randn(2, 8))
