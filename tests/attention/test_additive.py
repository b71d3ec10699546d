"""Additive scores in chunks: the formula, its gradients, and the memory that it takes."""

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from shisen.attention import additive, additive_scores, additive_scores_gradients


def plain_scores(
    projected_query: Tensor,
    projected_keys: Tensor,
    v_a: Tensor,
    coverage: Tensor | None = None,
    w_c: Tensor | None = None,
) -> Tensor:
    """The formula in one expression, with the large tensor."""
    sums = projected_query.unsqueeze(2) + projected_keys.unsqueeze(1)
    return torch.tanh(sums if coverage is None else sums + coverage.unsqueeze(-1) * w_c) @ v_a


def arguments(
    batch: int,
    queries: int,
    keys: int,
    size: int,
    dtype: torch.dtype = torch.float64,
    has_coverage: bool = False,
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(7)
    shapes = [(batch, queries, size), (batch, keys, size), (size,)]
    if has_coverage:
        shapes += [(batch, queries, keys), (size,)]
    return [torch.randn(*s, generator=generator, dtype=dtype).requires_grad_() for s in shapes]


class LargestTensor(TorchDispatchMode):
    """Notes the elements of the largest tensor that any operation makes."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        made = [leaf.numel() for leaf in tree_iter(result) if isinstance(leaf, Tensor)]
        self.elements = max([self.elements, *made])
        return result


@pytest.mark.parametrize("chunk_elements", [1, 40, 10**6], ids=["a query each", "two queries", "all"])
@pytest.mark.parametrize("shape", [(2, 5, 3, 4), (1, 1, 1, 1), (2, 1, 4, 3), (2, 3, 0, 4), (2, 0, 3, 4)])
@pytest.mark.parametrize("has_coverage", [False, True])
def test_chunks_of_any_size_give_the_scores_and_gradients_of_the_formula(
    shape, chunk_elements, has_coverage, monkeypatch
):
    monkeypatch.setattr(additive, "CHUNK_ELEMENTS", chunk_elements)
    given = arguments(*shape, has_coverage=has_coverage)
    scores, expected = additive_scores(*given), plain_scores(*given)
    torch.testing.assert_close(scores, expected)

    direction = torch.randn(expected.shape, dtype=torch.float64)
    expected_gradients = torch.autograd.grad(expected, given, direction)
    torch.testing.assert_close(torch.autograd.grad(scores, given, direction), expected_gradients)
    detached = [tensor.detach() for tensor in given]
    torch.testing.assert_close(additive_scores_gradients(direction, *detached), expected_gradients)


@pytest.mark.parametrize("chunk_elements", [1, 10**6])
@pytest.mark.parametrize("has_coverage", [False, True])
def test_gradients_agree_with_finite_differences(chunk_elements, has_coverage, monkeypatch):
    monkeypatch.setattr(additive, "CHUNK_ELEMENTS", chunk_elements)
    assert torch.autograd.gradcheck(additive_scores, arguments(2, 3, 4, 3, has_coverage=has_coverage))


def test_no_order_of_the_axes_in_memory_changes_a_gradient():
    query, keys, v_a = (tensor.detach() for tensor in arguments(3, 4, 5, 6))
    time_major = [query.transpose(0, 1).contiguous().transpose(0, 1), keys.transpose(0, 1).contiguous()]
    time_major[1] = time_major[1].transpose(0, 1)
    gradients = torch.randn(3, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(
        additive_scores_gradients(gradients.mT.contiguous().mT, *time_major, v_a),
        additive_scores_gradients(gradients, query, keys, v_a),
    )


@pytest.mark.parametrize("has_coverage", [False, True])
def test_without_gradients_the_scores_are_the_same(has_coverage):
    given = arguments(2, 5, 3, 4, has_coverage=has_coverage)
    with torch.no_grad():
        assert torch.equal(additive_scores(*given), additive_scores(*(t.detach() for t in given)))
        torch.testing.assert_close(additive_scores(*given), plain_scores(*given))


def test_a_second_derivative_is_refused_by_name():
    given = arguments(1, 2, 2, 2)
    with pytest.raises(RuntimeError, match="additive_scores has no second derivative"):
        torch.autograd.grad(additive_scores(*given).sum(), given, create_graph=True)


@pytest.mark.parametrize("has_coverage", [False, True])
def test_no_tensor_of_queries_times_keys_times_size_is_kept_or_made(has_coverage):
    batch, queries, keys, size = 4, 60, 60, 128
    given = arguments(batch, queries, keys, size, torch.float32, has_coverage)
    kept: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    for scores_of, is_small in [(plain_scores, False), (additive_scores, True)]:
        kept.clear()
        with LargestTensor() as largest, torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            scores_of(*given).sum().backward()
        # the full tensor has 1.8 million elements, a chunk at most 2**18
        assert (max(kept) <= batch * keys * size) is is_small
        assert (largest.elements <= additive.CHUNK_ELEMENTS) is is_small
    assert batch * queries * keys * size / 6 > additive.CHUNK_ELEMENTS


def test_one_chunk_is_never_larger_than_the_keys_even_when_they_are_large(monkeypatch):
    monkeypatch.setattr(additive, "CHUNK_ELEMENTS", 10)
    given = arguments(2, 9, 8, 16, torch.float32)
    with LargestTensor() as largest:
        additive_scores(*given).sum().backward()
    assert largest.elements == max(tensor.numel() for tensor in given)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("has_coverage", [False, True])
def test_half_precision_is_scored_in_float32_and_gradients_come_back_in_half(dtype, has_coverage):
    wide = arguments(2, 5, 3, 4, has_coverage=has_coverage)
    given = [tensor.detach().to(dtype).requires_grad_() for tensor in wide]
    scores = additive_scores(*given)
    scores.sum().backward()
    assert scores.dtype == torch.float32
    assert [tensor.grad.dtype for tensor in given if tensor.grad is not None] == [dtype] * len(given)
    torch.testing.assert_close(scores, plain_scores(*(tensor.float() for tensor in given)))


def test_autocast_changes_neither_scores_nor_gradients():
    given = arguments(2, 5, 3, 64, torch.float32)
    scores = additive_scores(*given)
    gradients = torch.autograd.grad(scores.sum(), given)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert plain_scores(*given).dtype == torch.bfloat16, "autocast does reach the plain formula"
        cast_scores = additive_scores(*given)
        cast_gradients = torch.autograd.grad(cast_scores.sum(), given)
    assert torch.equal(scores, cast_scores)
    assert all(torch.equal(a, b) for a, b in zip(gradients, cast_gradients, strict=True))
