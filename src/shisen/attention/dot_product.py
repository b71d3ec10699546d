"""Scaled dot-product attention: Vaswani et al., "Attention is all you need", NeurIPS 2017
(https://arxiv.org/abs/1706.03762)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from shisen.attention.normalization import AttentionFunction, WeightEdit, attention_weights
from shisen.attention.precision import autocast_off, widen


def scaled_dot_product(
    query: Float[Tensor, "*batch queries size"],
    key: Float[Tensor, "*batch keys size"],
    value: Float[Tensor, "*batch keys value_size"],
    mask: Bool[Tensor, "*#batch #queries keys"] | None = None,
    *,
    bias: Float[Tensor, "*#batch #queries keys"] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
    function: AttentionFunction = "softmax",
    edit: WeightEdit | None = None,
    return_weights: bool = False,
) -> tuple[Float[Tensor, "*batch queries value_size"], Float[Tensor, "*batch queries keys"] | None]:
    """Attend by the similarity of query and key.

        Attention(Q, K, V) = softmax(Q Kᵀ / √d + B) V

    (Vaswani et al. 2017, equation 1; B, what position adds to a score, is of Shaw 2018 and Press 2022.)
    Without weights torch's fused kernel computes this, which keeps nothing of size queries × keys; with them,
    and with another function than the softmax, the product is made as written. Both give the same context.

    Args:
        query: Q. The leading axes are those of batch and heads.
        key: K.
        value: V.
        mask: True where a query may attend to a key; None: everywhere. An axis of size 1 serves all.
        bias: B; None: nothing.
        is_causal: whether a query may attend only to its own position and those before it. The last query
            stands at the last key's position: with fewer queries than keys, the first keys are the past.
        scale: what the products are multiplied by; None: 1/√d.
        dropout: probability of dropping a weight, now; a module passes 0 outside training.
        function: what makes weights of scores; see :func:`~shisen.attention.attention_weights`.
        edit: what changes the weights [*batch, queries, keys] before they are used; None: nothing does.
        return_weights: whether to return the weights.

    Returns:
        The context, in the precision of the values, and the weights, edited, before dropout, in float32
        (float64 for float64), or None where they were not asked for. A query with nothing to attend to has
        context and weights 0.
    """
    if is_causal:
        is_square = query.shape[-2] == key.shape[-2]
        is_plain = mask is None and bias is None and function == "softmax" and edit is None
        if is_square and is_plain and not return_weights:
            context = scaled_dot_product_attention(
                query, key, value, dropout_p=dropout, is_causal=True, scale=scale
            )
            return context, None
        causal = causal_mask(query.shape[-2], key.shape[-2], query.device)
        mask = causal if mask is None else mask & causal
    if return_weights or function != "softmax" or edit is not None:
        context, weights = _explicitly(query, key, value, mask, bias, scale, dropout, function, edit)
        return context, weights if return_weights else None
    return _fused(query, key, value, mask, bias, scale, dropout), None


def causal_mask(queries: int, keys: int, device: torch.device | None = None) -> Bool[Tensor, "queries keys"]:
    """True where a key is not after the query; the last query stands at the last key's position."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


def _explicitly(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    scale: float | None,
    dropout: float,
    function: AttentionFunction,
    edit: WeightEdit | None,
) -> tuple[Tensor, Tensor]:
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    with autocast_off(query.device):
        scores = torch.matmul(widen(query) * scale, widen(key).transpose(-1, -2))  # [*batch, queries, keys]
        if bias is not None:
            scores = scores + widen(bias)
        weights = attention_weights(scores, mask, function)
        if edit is not None:
            weights = edit(weights)
        kept = torch.nn.functional.dropout(weights, dropout) if dropout else weights
        return torch.matmul(kept.to(value.dtype), value), weights


def _fused(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    scale: float | None,
    dropout: float,
) -> Tensor:
    is_empty = None
    added = bias if bias is None else bias.to(query.dtype)
    if mask is not None:
        # The kernel would divide 0 by 0 where a query may attend to nothing: it attends to all, for nothing.
        is_empty = ~mask.any(-1, keepdim=True)  # [*batch, queries or 1, 1]
        allowed = mask | is_empty
        added = allowed if added is None else added.masked_fill(~allowed, float("-inf"))
    context = scaled_dot_product_attention(query, key, value, added, dropout_p=dropout, scale=scale)
    return context if is_empty is None else context.masked_fill(is_empty, 0.0)
