"""Self-attention under a pattern, with work and memory that grow with what the pattern allows.

The sequence is cut into blocks. For each block of queries the blocks of keys that its pattern allows are
gathered, and attended to under the mask of just these positions. Nothing of size length × length is made,
forward or backward, on any device.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from shisen.attention.block_attention import BlockAttention, RecomputedAttention, gather, in_sequence
from shisen.attention.block_plan import Group, make_plan
from shisen.attention.dot_product import scaled_dot_product
from shisen.attention.multi_head import HeadMask, MultiHeadAttention
from shisen.attention.normalization import AttentionFunction, WeightEdit
from shisen.attention.patterns import Pattern
from shisen.attention.precision import widen

BLOCK_SIZE = 64


class SparseWeights(NamedTuple):
    """The weights of the pairs that a pattern allows; all others are 0."""

    queries: Int[Tensor, " pairs"]
    keys: Int[Tensor, " pairs"]
    values: Float[Tensor, "batch heads pairs"]
    length: int

    def dense(self) -> Float[Tensor, "batch heads length length"]:
        """The whole matrix, for short sequences."""
        whole = self.values.new_zeros(*self.values.shape[:2], self.length, self.length)
        whole[:, :, self.queries, self.keys] = self.values
        return whole


def sparse_dot_product(
    query: Float[Tensor, "batch heads length size"],
    key: Float[Tensor, "batch heads length size"],
    value: Float[Tensor, "batch heads length value_size"],
    pattern: Pattern,
    mask: Bool[Tensor, "batch length"] | None = None,
    *,
    block_size: int = BLOCK_SIZE,
    scale: float | None = None,
    dropout: float = 0.0,
    function: AttentionFunction = "softmax",
    return_weights: bool = False,
) -> tuple[Float[Tensor, "batch heads length value_size"], SparseWeights | None]:
    """Attend within one sequence under a pattern: ``scaled_dot_product`` with the mask of the pattern.

    Args:
        query: Q.
        key: K.
        value: V.
        pattern: which positions may attend to which.
        mask: True at real tokens, to which alone may be attended; None: all are.
        block_size: positions that are computed together.
        scale: what the products are multiplied by; None: 1/√size.
        dropout: probability of dropping a weight, now.
        function: what makes weights of scores; see :func:`~shisen.attention.attention_weights`.
        return_weights: whether to return the weights of the allowed pairs.

    Returns:
        The context, and the weights or None. A query with nothing to attend to has context 0.
    """
    length = query.shape[2]
    size = min(block_size, max(1, length))
    plan = make_plan(pattern, length, size, query.device)
    work = BlockAttention(plan, size, scale, dropout, function)
    if return_weights:
        return _with_weights(query, key, value, mask, work)
    if torch.is_grad_enabled() and any(part.requires_grad for part in (query, key, value)):
        return RecomputedAttention.apply(query, key, value, mask, work), None
    return work.context(query, key, value, mask), None


def _with_weights(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, work: BlockAttention
) -> tuple[Tensor, SparseWeights]:
    """The context and the weights; what they are made of is kept for the backward pass, as they are."""
    batch, heads, length, _ = query.shape
    q, k, v = (work.blocks(part) for part in (query, key, value))
    nothing = torch.zeros(0, dtype=torch.long, device=query.device)
    contexts, order = [], [nothing]
    pairs = [(nothing, nothing, widen(query).new_zeros(batch, heads, 0))]
    for chunk in work.plan.groups:
        parts = gather(q, chunk.rows), gather(k, chunk.columns), gather(v, chunk.columns)
        context, weights = work.attend(*parts, work.allowed(chunk, mask), return_weights=True)
        assert weights is not None
        contexts.append(context)
        order.append(chunk.rows)
        pairs.append(_pairs(chunk, work, weights, batch))
    context = _in_order(contexts, torch.cat(order), v)  # [batch, count, size, heads, features]
    queries, keys, values = (torch.cat(parts, -1) for parts in zip(*pairs, strict=True))
    return in_sequence(context, length), SparseWeights(queries, keys, values, length)


def _in_order(contexts: list[Tensor], found: Tensor, values: Tensor) -> Tensor:
    """The blocks of all groups by their number; those that no group has are 0."""
    count = values.shape[1]
    missing = count - len(found)
    if missing or not contexts:
        contexts = [*contexts, values[:, :missing].masked_fill(values.new_ones((), dtype=torch.bool), 0.0)]
        is_found = torch.zeros(count, dtype=torch.bool, device=values.device)
        is_found[found] = True
        found = torch.cat([found, (~is_found).nonzero().squeeze(1)])
    return torch.cat(contexts, 1).index_select(1, found.argsort())


def _pairs(chunk: Group, work: BlockAttention, weights: Tensor, batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Query and key positions of what a group allows, and its weights [batch, heads, pairs]."""
    size = work.size
    row, query, key = work.plan.allowed(chunk).nonzero(as_tuple=True)
    weights = weights.unflatten(0, (batch, -1)).transpose(1, 2)  # [batch, heads, rows, size, keys]
    queries = chunk.rows[row] * size + query
    keys = chunk.columns[row, key // size] * size + key % size
    return queries, keys, weights[:, :, row, query, key]


class SparseSelfAttention(nn.Module):
    """Multi-head self-attention in which a pattern says who may attend to whom.

        head_i = softmax(Q_i K_iᵀ / √d, where the pattern allows it) V_i

    (Child et al. 2019, https://arxiv.org/abs/1904.10509; Beltagy et al. 2020; Zaheer et al. 2020.) The result
    is that of dense attention under ``pattern.mask``; time and memory grow with the blocks that the pattern
    touches, for bands and blocks linearly with the length. Parameters as
    :class:`~shisen.attention.MultiHeadAttention`, so that either loads the other's.

    Args:
        model_size: features of a position.
        heads: how many heads; divides ``model_size``.
        pattern: of :mod:`shisen.attention.patterns`.
        dropout: probability of dropping a weight in training.
        bias: whether the projections have biases.
        block_size: positions that are computed together: more waste at a band's edges, less overhead.
        function: what makes weights of scores; see :func:`~shisen.attention.attention_weights`.

    Raises:
        ValueError: as MultiHeadAttention, or a block size below 1.
        UserError: as MultiHeadAttention.
    """

    def __init__(
        self,
        model_size: int,
        heads: int,
        pattern: Pattern,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        block_size: int = BLOCK_SIZE,
        function: AttentionFunction = "softmax",
    ) -> None:
        """Make the projections."""
        super().__init__()
        if block_size < 1:
            raise ValueError(f"expected block_size of 1 or more, got {block_size}")
        dense = MultiHeadAttention(model_size, heads, dropout=dropout, bias=bias, function=function)
        self.model_size, self.heads, self.head_size = model_size, heads, dense.head_size
        self.pattern, self.block_size, self.dropout, self.function = pattern, block_size, dropout, function
        self.query, self.key, self.value, self.out = dense.query, dense.key, dense.value, dense.out

    def forward(
        self,
        inputs: Float[Tensor, "batch length model_size"],
        mask: Bool[Tensor, "batch length"] | None = None,
        *,
        head_mask: HeadMask | None = None,
        edit: WeightEdit | None = None,
        return_weights: bool = False,
    ) -> tuple[Float[Tensor, "batch length model_size"], SparseWeights | None]:
        """Attend within the sequences.

        Args:
            inputs: the sequences.
            mask: True at real tokens; None: all are.
            head_mask: what each head's part is multiplied by: [heads] or [batch, heads].
            edit: what changes the weights [batch, heads, length, length] before they are used. All of them
                are made for it, and all pairs are returned: an edit may give weight to any.
            return_weights: whether to return the weights, of the allowed pairs alone.

        Raises:
            ValueError: a shape does not fit; both shapes are named.
        """
        if inputs.ndim != 3 or inputs.shape[-1] != self.model_size:
            raise ValueError(
                f"expected inputs of shape [batch, length, {self.model_size}], got {list(inputs.shape)}"
            )
        query, key, value = (
            layer(inputs).unflatten(-1, (self.heads, self.head_size)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )  # [batch, heads, length, head_size]
        dropout = self.dropout if self.training else 0.0
        if edit is None:
            context, weights = sparse_dot_product(
                query,
                key,
                value,
                self.pattern,
                mask,
                block_size=self.block_size,
                dropout=dropout,
                function=self.function,
                return_weights=return_weights,
            )
        else:
            context, weights = self._edited(query, key, value, mask, edit, dropout)
        if head_mask is not None:
            context = context * head_mask.to(context.dtype)[..., None, None]
        return self.out(context.transpose(1, 2).flatten(2)), weights

    def _edited(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        edit: WeightEdit,
        dropout: float,
    ) -> tuple[Tensor, SparseWeights]:
        """The context under the pattern's mask and the edit, by dense attention, and all weights."""
        length = query.shape[2]
        allowed = self.pattern.mask(length, device=query.device)  # [length, length]
        if mask is not None:
            allowed = allowed & mask[:, None, None]
        context, dense = scaled_dot_product(
            query,
            key,
            value,
            allowed,
            dropout=dropout,
            function=self.function,
            edit=edit,
            return_weights=True,
        )
        assert dense is not None
        place = torch.arange(length, device=query.device)
        queries, keys = place.repeat_interleave(length), place.repeat(length)
        return context, SparseWeights(queries, keys, dense.flatten(2), length)
