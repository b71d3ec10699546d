"""Self-attention under a pattern, with work and memory that grow with what the pattern allows.

The sequence is cut into blocks. For each block of queries the blocks of keys that its pattern allows are
gathered, and attended to under the pattern's mask of just these positions. Nothing of size length × length is
made, forward or backward, on any device.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from shisen.attention.dot_product import scaled_dot_product
from shisen.attention.multi_head import HeadMask, MultiHeadAttention
from shisen.attention.normalization import AttentionFunction
from shisen.attention.patterns import Pattern

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


class _Group(NamedTuple):
    """Blocks of queries that attend to equally many blocks of keys, some of them padding."""

    rows: Tensor  # [rows], blocks of queries
    columns: Tensor  # [rows, columns], the blocks of keys of each
    allowed: Tensor  # [rows, block, columns * block], which of their positions


@lru_cache(maxsize=16)
def _plan(pattern: Pattern, length: int, size: int, device: torch.device) -> tuple[_Group, ...]:
    """Which blocks are attended to; rows with up to 1, 2, 4, 8 … blocks of keys go together."""
    count = -(-length // size)
    blocks = pattern.blocks(count, size, length)  # [count, count]
    numbers = blocks.sum(1)
    padded = 2 ** numbers.clamp(min=1).double().log2().ceil().long()
    groups = []
    for width in padded.unique().tolist():
        rows = ((padded == width) & (numbers > 0)).nonzero().squeeze(1)
        if len(rows) == 0:
            continue
        width = min(width, count)
        # The allowed blocks of each row first, in order; what follows them is padding.
        is_real, columns = blocks[rows].sort(dim=1, descending=True, stable=True)
        is_real, columns = is_real[:, :width], columns[:, :width]
        inside = torch.arange(size)
        query_positions = (rows[:, None] * size + inside)[:, :, None]  # [rows, block, 1]
        key_positions = (columns[:, :, None] * size + inside).flatten(1)[
            :, None
        ]  # [rows, 1, columns * block]
        exists = (query_positions < length) & (key_positions < length)
        exists &= is_real.repeat_interleave(size, 1)[:, None]
        last = length - 1
        allowed = pattern.allows(query_positions.clamp(max=last), key_positions.clamp(max=last), length)
        groups.append(_Group(rows.to(device), columns.to(device), (allowed & exists).to(device)))
    return tuple(groups)


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
    batch, heads, length, _ = query.shape
    size = min(block_size, max(1, length))
    count = -(-length // size)
    # [batch, count, size, heads, features]: a block is one piece of memory
    q, k, v = (
        nn.functional.pad(part.transpose(1, 2), (0, 0, 0, 0, 0, count * size - length)).unflatten(
            1, (count, size)
        )
        for part in (query, key, value)
    )
    is_real = None
    if mask is not None:
        is_real = nn.functional.pad(mask, (0, count * size - length)).unflatten(1, (count, size))
    contexts, order, weights = [], [], []
    for rows, columns, allowed in _plan(pattern, length, size, query.device):
        of_rows = (
            q.index_select(1, rows).flatten(0, 1).transpose(1, 2)
        )  # [batch * rows, heads, size, features]
        # [batch * rows, heads, columns * size, features]
        k_of_columns, v_of_columns = (
            part.index_select(1, columns.flatten())
            .unflatten(1, columns.shape)
            .flatten(2, 3)
            .flatten(0, 1)
            .transpose(1, 2)
            for part in (k, v)
        )
        allowed_here = allowed.expand(batch, *allowed.shape)  # [batch, rows, size, columns * size]
        if is_real is not None:
            keys_are_real = is_real.index_select(1, columns.flatten()).unflatten(1, columns.shape).flatten(2)
            allowed_here = allowed_here & keys_are_real[:, :, None]
        context, row_weights = scaled_dot_product(
            of_rows,
            k_of_columns,
            v_of_columns,
            allowed_here.flatten(0, 1)[:, None],
            scale=scale,
            dropout=dropout,
            function=function,
            return_weights=return_weights,
        )  # [batch * rows, heads, size, features]
        contexts.append(context.transpose(1, 2).unflatten(0, (batch, len(rows))))
        order.append(rows)
        if row_weights is not None:
            weights.append(_pairs(rows, columns, allowed, row_weights, batch, size))
    context = _in_order(contexts, order, count, v)  # [batch, count, size, heads, features]
    context = context.flatten(1, 2)[:, :length].transpose(1, 2)
    if not return_weights:
        return context, None
    if not weights:
        nothing = torch.zeros(0, dtype=torch.long, device=query.device)
        weights = [(nothing, nothing, query.new_zeros(batch, heads, 0))]
    queries, keys, values = (torch.cat(parts, -1) for parts in zip(*weights, strict=True))
    return context, SparseWeights(queries, keys, values, length)


def _in_order(contexts: list[Tensor], order: list[Tensor], count: int, values: Tensor) -> Tensor:
    """The blocks of all groups by their number; those that no group has are 0."""
    found = torch.cat(order) if order else torch.zeros(0, dtype=torch.long, device=values.device)
    missing = count - len(found)
    if missing or not contexts:
        contexts = [*contexts, values[:, :missing].masked_fill(values.new_ones((), dtype=torch.bool), 0.0)]
        is_found = torch.zeros(count, dtype=torch.bool, device=values.device)
        is_found[found] = True
        found = torch.cat([found, (~is_found).nonzero().squeeze(1)])
    return torch.cat(contexts, 1).index_select(1, found.argsort())


def _pairs(
    rows: Tensor, columns: Tensor, allowed: Tensor, weights: Tensor, batch: int, size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Query and key positions of what a group allows, and its weights [batch, heads, pairs]."""
    row, query, key = allowed.nonzero(as_tuple=True)
    weights = weights.unflatten(0, (batch, len(rows))).transpose(1, 2)  # [batch, heads, rows, size, keys]
    queries = rows[row] * size + query
    keys = columns[row, key // size] * size + key % size
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
        return_weights: bool = False,
    ) -> tuple[Float[Tensor, "batch length model_size"], SparseWeights | None]:
        """Attend within the sequences.

        Args:
            inputs: the sequences.
            mask: True at real tokens; None: all are.
            head_mask: what each head's part is multiplied by: [heads] or [batch, heads].
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
        context, weights = sparse_dot_product(
            query,
            key,
            value,
            self.pattern,
            mask,
            block_size=self.block_size,
            dropout=self.dropout if self.training else 0.0,
            function=self.function,
            return_weights=return_weights,
        )
        if head_mask is not None:
            context = context * head_mask.to(context.dtype)[..., None, None]
        return self.out(context.transpose(1, 2).flatten(2)), weights
