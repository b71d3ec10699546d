"""What the mechanisms share: keys prepared once per sentence, attending by scores, checks of shapes."""

from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from shisen.attention.gathering import SharedVectors
from shisen.attention.normalization import (
    AttentionFunction,
    WeightEdit,
    attention_weights,
    check_function,
)
from shisen.attention.precision import widen

# One query per sentence, or several; the mask has a row per sentence, or one per query.
Query: TypeAlias = Float[Tensor, "batch query_size"] | Float[Tensor, "batch queries query_size"]
Mask: TypeAlias = Bool[Tensor, "batch keys"] | Bool[Tensor, "batch queries keys"]
StepNumbers: TypeAlias = Int[Tensor, " batch"] | Int[Tensor, "batch queries"]
Coverage: TypeAlias = Float[Tensor, "batch keys"] | Float[Tensor, "batch queries keys"]
ContextAndWeights: TypeAlias = (
    tuple[Float[Tensor, "batch value_size"], Float[Tensor, "batch keys"]]
    | tuple[Float[Tensor, "batch queries value_size"], Float[Tensor, "batch queries keys"]]
)


class PreparedKeys(NamedTuple):
    """What a mechanism knows of a sentence before the first query comes.

    Attributes:
        keys: [batch, keys, key_size].
        projected: what the mechanism made of the keys alone. For Bahdanau U_a h
            [batch, keys, attention_size], for Luong's "general" W_a h [batch, keys, query_size], in the
            precision of the scores; without attention the fixed context [batch, 1 or queries, value_size].
        values: [batch, keys, value_size].
        mask: [batch, keys] or [batch, queries, keys], True = may be attended to; None: all keys.
        shared: ``projected`` as a mechanism takes from it that looks at a few keys a time, in training.
    """

    keys: Float[Tensor, "batch keys key_size"]
    projected: Float[Tensor, "batch positions features"]
    values: Float[Tensor, "batch keys value_size"]
    mask: Mask | None
    shared: SharedVectors | None = None

    def select(self, rows: Int[Tensor, " rows"]) -> "PreparedKeys":
        """Return the sentences of the batch that ``rows`` names, in that order; a row may be named twice."""
        keys = self.keys.index_select(0, rows)
        return PreparedKeys(
            keys=keys,
            projected=keys if self.projected is self.keys else self.projected.index_select(0, rows),
            values=keys if self.values is self.keys else self.values.index_select(0, rows),
            mask=None if self.mask is None else self.mask.index_select(0, rows),
        )


class Mechanism(nn.Module):
    """An attention mechanism: (query, keys, values, mask) → (context, weights).

    Keys are prepared once per sentence and attended to once per decoder step; ``forward`` does both.

    Attributes:
        reads_positions: whether ``attend`` has to know the number of the step.
        has_coverage: whether the scores depend on what the steps before have attended to.
    """

    reads_positions: bool = False
    has_coverage: bool = False

    def prepare(
        self,
        keys: Float[Tensor, "batch keys key_size"],
        values: Float[Tensor, "batch keys value_size"] | None = None,
        mask: Mask | None = None,
    ) -> PreparedKeys:
        """Do once per sentence what depends on the keys alone.

        Args:
            keys: what is scored.
            values: what is summed; None: the keys.
            mask: True = may be attended to; None: all keys.

        Raises:
            ValueError: a shape does not fit; both shapes are named.
        """
        raise NotImplementedError

    def attend(
        self,
        query: Query,
        prepared: PreparedKeys,
        positions: StepNumbers | None = None,
        coverage: Coverage | None = None,
        edit: WeightEdit | None = None,
    ) -> ContextAndWeights:
        """Attend with one query per sentence, or with several.

        Args:
            query: the decoder state s of one step, or of several steps or beams.
            prepared: what ``prepare`` returned.
            positions: the number of each query's step, from 0 on, where ``reads_positions``; None: several
                queries are the first steps, one after the other.
            coverage: the sum of the weights of the steps before each query, where ``has_coverage``; None:
                there were none.
            edit: what changes the weights [batch, queries, keys] before they are used; what it gives for a
                key that may not be attended to has to stay 0.

        Returns:
            The context, in the precision of the values, and the weights, edited, in float32 (float64 for
            float64); without the queries axis if the query has none.

        Raises:
            ValueError: a shape does not fit; both shapes are named.
        """
        raise NotImplementedError

    def forward(
        self,
        query: Query,
        keys: Float[Tensor, "batch keys key_size"],
        values: Float[Tensor, "batch keys value_size"] | None = None,
        mask: Mask | None = None,
        positions: StepNumbers | None = None,
        coverage: Coverage | None = None,
    ) -> ContextAndWeights:
        """Prepare the keys and attend to them; the arguments are those of ``prepare`` and ``attend``."""
        return self.attend(query, self.prepare(keys, values, mask), positions, coverage)


class ScoredAttention(Mechanism):
    """Attention by scores: weights that sum to 1 over the scores, and a weighted sum of the values.

        e_ij = score(s_i, h_j)      α_i = softmax(e_i)      c_i = Σ_j α_ij v_j

    A mechanism of this form says how it scores (``score``), and what of that depends on the keys alone
    (``project_keys``).

    Args:
        query_size: features of a query.
        key_size: features of a key.
        dropout: probability of dropping a weight in training. The context is made with what dropout leaves,
            scaled by 1 / (1 - dropout); the weights returned are the distribution before dropout.
        function: what makes weights of scores: "softmax", "sparsemax" or "entmax15"; see
            :func:`~shisen.attention.attention_weights`.

    Raises:
        ValueError: a size is below 1, the dropout outside [0, 1), or the function unknown.
        UserError: the function needs a library that is not installed.
    """

    def __init__(
        self,
        query_size: int,
        key_size: int,
        dropout: float = 0.0,
        function: AttentionFunction = "softmax",
    ) -> None:
        """Check the sizes, the dropout and the function, and keep them."""
        super().__init__()
        require_positive(query_size=query_size, key_size=key_size)
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"expected an attention dropout in [0, 1), got {dropout}")
        check_function(function)
        self.query_size = query_size
        self.key_size = key_size
        self.dropout = dropout
        self.function = function

    def project_keys(
        self, keys: Float[Tensor, "batch keys key_size"]
    ) -> Float[Tensor, "batch keys features"]:
        """Do the part of the score that depends on the keys alone."""
        return keys

    def score(
        self,
        query: Float[Tensor, "batch queries query_size"],
        projected: Float[Tensor, "batch keys features"],
        coverage: Float[Tensor, "batch queries keys"] | None = None,
    ) -> Float[Tensor, "batch queries keys"]:
        """Score every projected key for every query."""
        raise NotImplementedError

    def prepare(
        self,
        keys: Float[Tensor, "batch keys key_size"],
        values: Float[Tensor, "batch keys value_size"] | None = None,
        mask: Mask | None = None,
    ) -> PreparedKeys:
        """Check the shapes and project the keys, once per sentence."""
        check_keys(keys, values, mask, self.key_size)
        return PreparedKeys(
            keys=keys,
            projected=widen(self.project_keys(keys)),
            values=keys if values is None else values,
            mask=mask,
        )

    def attend(
        self,
        query: Query,
        prepared: PreparedKeys,
        positions: StepNumbers | None = None,
        coverage: Coverage | None = None,
        edit: WeightEdit | None = None,
    ) -> ContextAndWeights:
        """Score, normalise and sum, for one query per sentence or several; ``positions`` change nothing."""
        check_query(query, prepared, self.query_size)
        check_coverage(coverage, query, prepared, self.has_coverage)
        if query.ndim == 2:
            coverage = None if coverage is None else coverage.unsqueeze(1)
            context, weights = self.attend(query.unsqueeze(1), prepared, None, coverage, edit)
            return context.squeeze(1), weights.squeeze(1)
        mask = prepared.mask
        if mask is not None and mask.ndim == 2:
            mask = mask.unsqueeze(1)  # [batch, 1, keys]
        scores = self.score(query, prepared.projected, coverage)  # [batch, queries, keys]
        weights = attention_weights(scores, mask, self.function)
        if edit is not None:
            weights = edit(weights)
        return weighted_sum(self.drop(weights), prepared.values), weights

    def drop(self, weights: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """What dropout leaves of the weights: in training some of them, scaled; else all."""
        return nn.functional.dropout(weights, self.dropout) if self.training and self.dropout else weights


def weighted_sum(
    weights: Float[Tensor, "batch queries keys"] | Bool[Tensor, "batch queries keys"],
    values: Float[Tensor, "batch keys value_size"],
) -> Float[Tensor, "batch queries value_size"]:
    """Make the context vectors c_i = Σ_j α_ij v_j, in the precision of the values."""
    return torch.bmm(weights.to(values.dtype), values)


def require_positive(**sizes: int) -> None:
    """Raise a ValueError for the first size below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"expected {name} of 1 or more, got {size}")


def check_keys(keys: Tensor, values: Tensor | None, mask: Tensor | None, key_size: int) -> None:
    """Raise a ValueError, naming both shapes, where keys, values and mask do not fit each other.

    Shapes: keys [batch, keys, key_size], values [batch, keys, value_size], mask [batch, keys] or
    [batch, queries, keys].
    """
    if keys.ndim != 3 or keys.shape[-1] != key_size:
        raise ValueError(f"expected keys of shape [batch, keys, {key_size}], got {list(keys.shape)}")
    batch, length, _ = keys.shape
    if values is not None and (values.ndim != 3 or values.shape[:2] != keys.shape[:2]):
        raise ValueError(
            f"expected values of shape [{batch}, {length}, value_size], got {list(values.shape)}"
        )
    if mask is None:
        return
    if mask.dtype != torch.bool:
        raise ValueError(f"expected a mask of torch.bool (True = may be attended to), got {mask.dtype}")
    if mask.ndim not in (2, 3) or mask.shape[0] != batch or mask.shape[-1] != length:
        raise ValueError(
            f"expected a mask of shape [{batch}, {length}] or [{batch}, queries, {length}], "
            f"got {list(mask.shape)}"
        )


def check_query(query: Tensor, prepared: PreparedKeys, query_size: int) -> None:
    """Raise a ValueError, naming both shapes, where a query does not fit the keys.

    Shapes: query [batch, query_size] or [batch, queries, query_size].
    """
    batch, shape = prepared.keys.shape[0], query.shape
    if query.ndim not in (2, 3) or shape[0] != batch or shape[-1] != query_size:
        raise ValueError(
            f"expected a query of shape [{batch}, queries, {query_size}] or [{batch}, {query_size}], "
            f"got {list(shape)}"
        )
    mask = prepared.mask
    queries = shape[1] if query.ndim == 3 else 1
    if mask is not None and mask.ndim == 3 and mask.shape[1] not in (1, queries):
        raise ValueError(
            f"expected {mask.shape[1]} queries, as the mask of shape {list(mask.shape)} has, "
            f"got a query of shape {list(shape)}"
        )


def check_coverage(
    coverage: Tensor | None, query: Tensor, prepared: PreparedKeys, has_coverage: bool
) -> None:
    """Raise a ValueError where a coverage is given that is not read, or that fits not the query and the keys.

    Shapes: coverage [batch, keys] for a query [batch, query_size], else [batch, queries, keys].
    """
    if coverage is None:
        return
    if not has_coverage:
        raise ValueError("this attention reads no coverage")
    expected = [*query.shape[:-1], prepared.keys.shape[1]]
    if list(coverage.shape) != expected:
        raise ValueError(f"expected a coverage of shape {expected}, got {list(coverage.shape)}")
