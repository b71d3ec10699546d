"""Multi-head attention: Vaswani et al., "Attention is all you need", NeurIPS 2017
(https://arxiv.org/abs/1706.03762), section 3.2.2."""

from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from shisen.attention.dot_product import scaled_dot_product
from shisen.attention.mechanism import require_positive
from shisen.attention.normalization import AttentionFunction, WeightEdit, check_function
from shisen.attention.positions import alibi_bias, relative_scores, rotate_by_position

Positions = Literal["rotary", "alibi", "relative"]
HeadMask = Float[Tensor, " heads"] | Bool[Tensor, " heads"] | Float[Tensor, "batch heads"]


class KeyValueCache(NamedTuple):
    """The keys and values that every head has projected: of a sentence, or of all steps so far."""

    keys: Float[Tensor, "batch key_value_heads keys head_size"]
    values: Float[Tensor, "batch key_value_heads keys head_size"]

    def append(self, step: "KeyValueCache") -> "KeyValueCache":
        """Return this cache with the keys and values of later positions behind it."""
        return KeyValueCache(
            torch.cat([self.keys, step.keys], 2),
            torch.cat([self.values, step.values], 2),
        )

    def select(self, rows: Int[Tensor, " rows"]) -> "KeyValueCache":
        """Return the rows of the batch that ``rows`` names, in that order; a row may be named twice."""
        return KeyValueCache(self.keys.index_select(0, rows), self.values.index_select(0, rows))


class MultiHeadAttention(nn.Module):
    """Several attentions side by side, each on its own projections.

        MultiHead(Q, K, V) = [head_1; …; head_h] W^O
        head_i = softmax(Q W_i^Q (K W_i^K)ᵀ / √d) V W_i^V,      d = model_size / heads

    (Vaswani et al. 2017, section 3.2.2.) Self-attention is ``attention(x)``, cross-attention
    ``attention(x, memory)``. Step by step::

        cache = attention.prepare(x[:, :1])                                    # the first position
        cache = cache.append(attention.prepare(x[:, t : t + 1], positions=t))
        context, _ = attention.attend(x[:, t : t + 1], cache, positions=t)

    Parameters: ``query``, ``key``, ``value`` and ``out`` are linear layers, W^Q, W^K, W^V and W^O of all
    heads side by side. They start as in the paper's own code: Xavier uniform, biases 0.

    Args:
        model_size: features of a query and of the context.
        heads: how many heads; divides ``model_size``.
        key_size: features of a key; None: ``model_size``.
        value_size: features of a value; None: as the keys.
        dropout: probability of dropping a weight in training.
        bias: whether the projections have biases.
        key_value_heads: heads of the keys and values, each shared by heads / key_value_heads heads of the
            queries: 1 is multi-query attention (Shazeer 2019), fewer than ``heads`` grouped-query attention
            (Ainslie et al. 2023); None: ``heads``.
        positions: what tells the heads where a token stands, for self-attention: "rotary" turns queries and
            keys (Su et al. 2021), "alibi" lowers the scores with the distance (Press et al. 2022), "relative"
            learns a vector for each distance (Shaw et al. 2018; parameter ``distances``); None: nothing does.
        max_distance: of "relative": from there on all distances are one.
        drop_head: probability of dropping a whole head in training, the others scaled up (Zhou et al. 2020).
        function: what makes weights of scores: "softmax", "sparsemax" or "entmax15"; see
            :func:`~shisen.attention.attention_weights`.

    Raises:
        ValueError: a size below 1, heads that do not divide what they have to, a probability outside [0, 1),
            or an unknown function.
        UserError: the function needs a library that is not installed.
    """

    def __init__(
        self,
        model_size: int,
        heads: int,
        key_size: int | None = None,
        value_size: int | None = None,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        key_value_heads: int | None = None,
        positions: Positions | None = None,
        max_distance: int = 16,
        drop_head: float = 0.0,
        function: AttentionFunction = "softmax",
    ) -> None:
        """Make the four projections."""
        super().__init__()
        key_size = model_size if key_size is None else key_size
        value_size = key_size if value_size is None else value_size
        key_value_heads = heads if key_value_heads is None else key_value_heads
        require_positive(
            model_size=model_size,
            heads=heads,
            key_size=key_size,
            value_size=value_size,
            key_value_heads=key_value_heads,
            max_distance=max_distance,
        )
        if model_size % heads:
            raise ValueError(f"expected heads that divide model_size {model_size}, got {heads}")
        if heads % key_value_heads:
            raise ValueError(f"expected key_value_heads that divide heads {heads}, got {key_value_heads}")
        if positions is not None and positions not in get_args(Positions):
            allowed = ", ".join(get_args(Positions))
            raise ValueError(f"unknown positions {positions!r}; choose one of {allowed}, or None")
        if positions == "rotary" and model_size // heads % 2:
            raise ValueError(f"rotary positions need heads of an even size, got {model_size // heads}")
        for name, probability in (("dropout", dropout), ("drop_head", drop_head)):
            if not 0.0 <= probability < 1.0:
                raise ValueError(f"expected {name} in [0, 1), got {probability}")
        check_function(function)
        self.model_size, self.key_size, self.value_size = model_size, key_size, value_size
        self.heads, self.key_value_heads = heads, key_value_heads
        self.head_size = model_size // heads
        self.dropout, self.positions, self.drop_head = dropout, positions, drop_head
        self.function = function
        self.query = nn.Linear(model_size, model_size, bias)
        self.key = nn.Linear(key_size, key_value_heads * self.head_size, bias)
        self.value = nn.Linear(value_size, key_value_heads * self.head_size, bias)
        self.out = nn.Linear(model_size, model_size, bias)
        for layer in (self.query, self.key, self.value, self.out):
            nn.init.xavier_uniform_(layer.weight)
            if bias:
                nn.init.zeros_(layer.bias)
        if positions == "relative":
            self.distances = nn.Parameter(torch.empty(2 * max_distance + 1, self.head_size))
            nn.init.xavier_uniform_(self.distances)

    def prepare(
        self,
        keys: Float[Tensor, "batch keys key_size"],
        values: Float[Tensor, "batch keys value_size"] | None = None,
        positions: int | Int[Tensor, " keys"] = 0,
    ) -> KeyValueCache:
        """Project keys and values, once per sentence or once per step.

        Args:
            keys: what is compared with the queries.
            values: what is summed; None: the keys.
            positions: the position of the first key, or of each, for rotary positions.

        Raises:
            ValueError: a shape does not fit; both shapes are named.
        """
        values = keys if values is None else values
        for name, given, size in (("keys", keys, self.key_size), ("values", values, self.value_size)):
            if given.ndim != 3 or given.shape[-1] != size or given.shape[:2] != keys.shape[:2]:
                expected = f"[{', '.join(map(str, keys.shape[:2]))}, {size}]"
                raise ValueError(f"expected {name} of shape {expected}, got {list(given.shape)}")
        projected = self._split(self.key(keys), self.key_value_heads)
        if self.positions == "rotary":
            projected = rotate_by_position(projected, positions)
        return KeyValueCache(projected, self._split(self.value(values), self.key_value_heads))

    def attend(
        self,
        query: Float[Tensor, "batch queries model_size"],
        cache: KeyValueCache,
        mask: Bool[Tensor, "..."] | None = None,
        *,
        bias: Float[Tensor, "..."] | None = None,
        head_mask: HeadMask | None = None,
        is_causal: bool = False,
        positions: int | Int[Tensor, " queries"] | None = None,
        key_positions: Int[Tensor, " keys"] | None = None,
        edit: WeightEdit | None = None,
        return_weights: bool = False,
    ) -> tuple[Float[Tensor, "batch queries model_size"], Float[Tensor, "batch heads queries keys"] | None]:
        """Attend to projected keys; arguments and results as ``forward`` has them.

        Args:
            query: what asks.
            cache: what ``prepare`` returned, of all positions that may be attended to.
            mask: as ``forward``. bias, head_mask, is_causal, return_weights: the same.
            positions: the position of the first query, or of each; None: the last query stands at the last
                key's position.
            key_positions: the position of each key; None: from 0 on.
            edit: what changes the weights [batch, heads, queries, keys] before they are used.
        """
        if query.ndim != 3 or query.shape[-1] != self.model_size or query.shape[0] != cache.keys.shape[0]:
            raise ValueError(
                f"expected a query of shape [{len(cache.keys)}, queries, {self.model_size}], "
                f"got {list(query.shape)}"
            )
        projected = self._split(self.query(query), self.heads)  # [batch, heads, queries, head_size]
        keys, values = (self._shared(part) for part in cache)  # [batch, heads, keys, head_size]
        if positions is None:
            positions = keys.shape[2] - query.shape[1]
        if self.positions == "rotary":
            projected = rotate_by_position(projected, positions)
        by_position = self._by_position(projected, keys.shape[2], positions, key_positions)
        if by_position is not None:
            bias = by_position if bias is None else bias + by_position
        context, weights = scaled_dot_product(
            projected,
            keys,
            values,
            _with_heads(mask),
            bias=bias,
            is_causal=is_causal,
            dropout=self.dropout if self.training else 0.0,
            function=self.function,
            edit=edit,
            return_weights=return_weights,
        )  # [batch, heads, queries, head_size]
        if head_mask is not None:
            context = context * head_mask.to(context.dtype)[..., None, None]
        if self.training and self.drop_head:
            context = context * self._kept_heads(context)
        return self.out(context.transpose(1, 2).flatten(2)), weights

    def forward(
        self,
        query: Float[Tensor, "batch queries model_size"],
        keys: Float[Tensor, "batch keys key_size"] | None = None,
        values: Float[Tensor, "batch keys value_size"] | None = None,
        mask: Bool[Tensor, "..."] | None = None,
        *,
        bias: Float[Tensor, "..."] | None = None,
        head_mask: HeadMask | None = None,
        is_causal: bool = False,
        edit: WeightEdit | None = None,
        return_weights: bool = False,
    ) -> tuple[Float[Tensor, "batch queries model_size"], Float[Tensor, "batch heads queries keys"] | None]:
        """Attend with all queries at once.

        Args:
            query: what asks.
            keys: what is compared with it; None: the queries themselves (self-attention).
            values: what is summed; None: the keys.
            mask: True = may be attended to: [batch, keys], [batch, queries, keys] or
                [batch, heads, queries, keys], with 1 in place of any but the last axis; None: everything.
            bias: added to the scores, [heads, queries, keys] or with a batch in front.
            head_mask: what each head's part is multiplied by before it is projected: 0 takes the head away.
                [heads], or [batch, heads].
            is_causal: whether a query may attend only to its own position and those before it.
            edit: what changes the weights [batch, heads, queries, keys] before they are used; what it gives
                for a key that may not be attended to has to stay 0.
            return_weights: whether to return the weights; without, a softmax uses the fused kernel.

        Returns:
            The context, and the weights [batch, heads, queries, keys], edited, before dropout and
            ``head_mask``, in float32 (float64 for float64), or None.

        Raises:
            ValueError: a shape does not fit; both shapes are named.
        """
        cache = self.prepare(query if keys is None else keys, values)
        return self.attend(
            query,
            cache,
            mask,
            bias=bias,
            head_mask=head_mask,
            is_causal=is_causal,
            edit=edit,
            return_weights=return_weights,
        )

    def _split(self, projected: Tensor, heads: int) -> Tensor:
        """[batch, length, heads * head_size] as [batch, heads, length, head_size]."""
        return projected.unflatten(-1, (heads, self.head_size)).transpose(1, 2)

    def _shared(self, part: Tensor) -> Tensor:
        """Keys or values with as many heads as the queries have."""
        groups = self.heads // self.key_value_heads
        return part if groups == 1 else part.repeat_interleave(groups, 1)

    def _by_position(
        self, query: Tensor, keys: int, positions: int | Tensor, key_positions: Tensor | None
    ) -> Tensor | None:
        """What the distance between query and key adds to the scores, [… heads, queries, keys]."""
        if self.positions == "alibi":
            bias = alibi_bias(self.heads, query.shape[2], keys, positions, key_positions, query.device)
            return bias.to(query.dtype)
        if self.positions == "relative":
            return relative_scores(query, self.distances, keys, positions, key_positions)
        return None

    def _kept_heads(self, context: Tensor) -> Tensor:
        """Which heads of a sentence are kept, [batch, heads, 1, 1], scaled by their number; one at least."""
        device, sentences = context.device, len(context)
        kept = torch.rand(context.shape[:2], device=device) >= self.drop_head  # [batch, heads]
        one = torch.randint(self.heads, (sentences,), device=device)  # for sentences that would lose all
        kept[torch.arange(sentences, device=device), one] |= ~kept.any(1)
        scale = self.heads / kept.sum(1, keepdim=True)
        return (kept * scale).to(context.dtype)[..., None, None]


def _with_heads(mask: Tensor | None) -> Tensor | None:
    """The mask with an axis for the heads."""
    if mask is None or mask.ndim == 4:
        return mask
    if mask.dtype != torch.bool or mask.ndim not in (2, 3):
        raise ValueError(
            "expected a mask of torch.bool (True = may be attended to) and of shape [batch, keys], [batch, "
            f"queries, keys] or [batch, heads, queries, keys], got {mask.dtype} {list(mask.shape)}"
        )
    return mask[:, None, None] if mask.ndim == 2 else mask[:, None]
