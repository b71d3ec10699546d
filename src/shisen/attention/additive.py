"""Additive scores, the part that Bahdanau's and Luong's "concat" attention share, without the large tensor.

The formula has an intermediate tanh(…) of shape [batch, queries, keys, attention_size]. Kept for the
backward, it is by far the largest tensor of a translation model. Here the queries are taken in chunks, and
the backward computes tanh again: memory is O(batch · queries · keys) beside the inputs and their gradients.
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from shisen.attention.precision import autocast_off, widen

CHUNK_ELEMENTS = 2**18
"""Elements of the chunk's tanh(…): 1 MB of float32, which stays in a processor's second-level cache."""


def additive_scores(
    projected_query: Float[Tensor, "batch queries attention_size"],
    projected_keys: Float[Tensor, "batch keys attention_size"],
    v_a: Float[Tensor, "attention_size"],
    coverage: Float[Tensor, "batch queries keys"] | None = None,
    w_c: Float[Tensor, "attention_size"] | None = None,
) -> Float[Tensor, "batch queries keys"]:
    """Score every key for every query (Bahdanau, Cho and Bengio 2015, appendix A.1.2).

        e_ij = v_aᵀ tanh(q_i + k_j)      or, with coverage,      e_ij = v_aᵀ tanh(q_i + k_j + w_c c_ij)

    (Coverage: See, Liu and Manning 2017, equation 11.)

    Args:
        projected_query: q, for Bahdanau W_a s_{i-1}.
        projected_keys: k, for Bahdanau U_a h_j.
        v_a: the weight of each component.
        coverage: c, how much of each key the steps before have attended to; None: there is no such term.
        w_c: what coverage adds to each component; given with coverage alone.

    Returns:
        e, in float32 (float64 for float64). It can be differentiated once in each argument.
    """
    given = [projected_query, projected_keys, v_a]
    if coverage is not None and w_c is not None:
        given += [coverage, w_c]
    given = [widen(tensor) for tensor in given]
    if torch.compiler.is_exporting():  # a graph for other programs has no chunks and writes nothing in place
        return _scores_as_written(*given)
    return _AdditiveScores.apply(*given) if torch.is_grad_enabled() else _scores_in_chunks(*given)


def additive_scores_gradients(
    score_gradients: Float[Tensor, "batch queries keys"],
    projected_query: Float[Tensor, "batch queries attention_size"],
    projected_keys: Float[Tensor, "batch keys attention_size"],
    v_a: Float[Tensor, "attention_size"],
    coverage: Float[Tensor, "batch queries keys"] | None = None,
    w_c: Float[Tensor, "attention_size"] | None = None,
) -> tuple[Tensor, ...]:
    """Carry the gradients of :func:`additive_scores` back to its arguments; all of one dtype.

        t_ij = tanh(q_i + k_j + w_c c_ij)      d_ij = g_ij (1 - t_ij²)
        ∂q_i = v_a Σ_j d_ij         ∂k_j = v_a Σ_i d_ij         ∂v_a = Σ_ij g_ij t_ij
        ∂c_ij = (v_a ∘ w_c)ᵀ d_ij   ∂w_c = v_a ∘ Σ_ij c_ij d_ij

    Args:
        score_gradients: g, the gradient of the loss with respect to the scores.
        projected_query: q, as it was given.
        projected_keys: k, as it was given.
        v_a: as it was given.
        coverage: c, as it was given.
        w_c: as it was given.

    Returns:
        ∂q, ∂k and ∂v_a, and with coverage ∂c and ∂w_c: each in the shape of its argument.
    """
    covered = [] if coverage is None or w_c is None else [coverage, w_c]
    made = [torch.zeros_like(given) for given in (projected_query, projected_keys, v_a, *covered)]
    query_gradients, key_gradients, v_a_gradient, *covered_gradients = made
    with autocast_off(v_a.device):
        for chunk, t in _tanh_in_chunks(projected_query, projected_keys, *covered):
            g = score_gradients[:, chunk]  # [batch, chunk, keys]
            v_a_gradient += g.reshape(-1) @ t.view(-1, v_a.shape[0])
            d = torch.ops.aten.tanh_backward.grad_input(g.unsqueeze(-1), t, grad_input=t)  # in place of t
            torch.sum(d, dim=2, out=query_gradients[:, chunk])
            key_gradients += d.squeeze(1) if d.shape[1] == 1 else d.sum(dim=1)
            if covered:
                covered_gradients[0][:, chunk] = torch.matmul(d, v_a * covered[1])
                covered_gradients[1] += covered[0][:, chunk].reshape(-1) @ d.view(-1, v_a.shape[0])
    for gradient in (query_gradients, key_gradients, *covered_gradients[1:]):
        gradient.mul_(v_a)
    return tuple(made)


def _scores_as_written(
    projected_query: Tensor,
    projected_keys: Tensor,
    v_a: Tensor,
    coverage: Tensor | None = None,
    w_c: Tensor | None = None,
) -> Tensor:
    inner = projected_query.unsqueeze(2) + projected_keys.unsqueeze(1)  # [batch, queries, keys, size]
    if coverage is not None and w_c is not None:
        inner = inner + coverage.unsqueeze(-1) * w_c
    return torch.matmul(torch.tanh(inner), v_a)


def _scores_in_chunks(
    projected_query: Tensor,
    projected_keys: Tensor,
    v_a: Tensor,
    coverage: Tensor | None = None,
    w_c: Tensor | None = None,
) -> Tensor:
    batch, queries, _ = projected_query.shape
    scores = projected_query.new_empty(batch, queries, projected_keys.shape[1])
    with autocast_off(v_a.device):
        for chunk, t in _tanh_in_chunks(projected_query, projected_keys, coverage, w_c):
            scores[:, chunk] = torch.matmul(t, v_a)
    return scores


def _tanh_in_chunks(
    projected_query: Tensor,
    projected_keys: Tensor,
    coverage: Tensor | None = None,
    w_c: Tensor | None = None,
) -> Iterator[tuple[slice, Tensor]]:
    """Slices of the queries, and tanh(q_i + k_j + w_c c_ij) for each, [batch, chunk, keys, attention_size].

    All are made in one place: what is made anew for each may not fit where the one before it was, and then
    the process grows as if all were kept. A slice has one query at least, whose tanh(…) is as large as the
    projected keys.
    """
    batch, queries, size = projected_query.shape
    keys = projected_keys.shape[1]
    most = min(queries, max(1, CHUNK_ELEMENTS // max(1, projected_keys.numel())))
    place = projected_query.new_empty(batch * most * keys * size)
    for start in range(0, queries, most or 1):
        chunk = slice(start, min(start + most, queries))
        t = place[: batch * (chunk.stop - start) * keys * size].view(batch, chunk.stop - start, keys, size)
        torch.add(projected_query[:, chunk].unsqueeze(2), projected_keys.unsqueeze(1), out=t)
        if coverage is not None and w_c is not None:
            t.addcmul_(coverage[:, chunk].unsqueeze(-1), w_c)
        yield chunk, t.tanh_()


class _AdditiveScores(torch.autograd.Function):
    """:func:`additive_scores` with :func:`additive_scores_gradients` as its backward."""

    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        ctx.save_for_backward(*given)
        return _scores_in_chunks(*given)

    @staticmethod
    def backward(ctx: Any, score_gradients: Tensor) -> tuple[Tensor, ...]:
        # torch's once_differentiable would take the gradients for constants where score_gradients is one.
        if torch.is_grad_enabled():
            raise RuntimeError("additive_scores has no second derivative; call backward without create_graph")
        return additive_scores_gradients(score_gradients, *ctx.saved_tensors)
