"""No attention: one fixed context vector for the whole sentence, the bottleneck that attention opens."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from shisen.attention.mechanism import (
    ContextAndWeights,
    Coverage,
    Mask,
    Mechanism,
    PreparedKeys,
    Query,
    StepNumbers,
    check_coverage,
    check_keys,
    check_query,
    weighted_sum,
)
from shisen.attention.normalization import WeightEdit
from shisen.attention.precision import widen


def fixed_context(
    values: Float[Tensor, "batch keys value_size"],
    mask: Bool[Tensor, "batch #queries keys"],
    bidirectional: bool = False,
) -> Float[Tensor, "batch queries value_size"]:
    """Pick where each direction of the encoder has read the whole sentence.

        c = h_n      or, bidirectional,      c = [h→_n; h←_1]

    Args:
        values: the encoder's states; bidirectional: the forward half of the features, then the backward half.
        mask: True at real positions; n is the last of them, 1 the first. Without any, the context is 0.
        bidirectional: whether the second half of the features was read from right to left.
    """
    is_last = mask & (mask.flip(-1).cumsum(-1).flip(-1) == 1)  # [batch, queries, keys], one True a row
    if not bidirectional:
        return weighted_sum(is_last, values)
    is_first = mask & (mask.cumsum(-1) == 1)
    forward, backward = values.chunk(2, dim=-1)
    return torch.cat((weighted_sum(is_last, forward), weighted_sum(is_first, backward)), dim=-1)


class NoAttention(Mechanism):
    """The fixed context vector of the encoder–decoder before attention.

        c_i = h_n      or, after a bidirectional encoder,      c_i = [h→_n; h←_1]      α_ij = 0

    (Sutskever, Vinyals and Le, "Sequence to sequence learning with neural networks", NeurIPS 2014; Cho et
    al., "Learning phrase representations using RNN encoder–decoder", EMNLP 2014.) Every query gets the same
    context whatever it is: h_n, the state after the last real token; a backward direction ends at the first.
    It has the signature of the mechanisms, no parameters, and weights of 0, so there are none to drop.

    Args:
        bidirectional: whether the second half of the values' features was read from right to left.
    """

    def __init__(self, bidirectional: bool = False) -> None:
        """Keep how the encoder reads."""
        super().__init__()
        self.bidirectional = bidirectional

    def prepare(
        self,
        keys: Float[Tensor, "batch keys key_size"],
        values: Float[Tensor, "batch keys value_size"] | None = None,
        mask: Mask | None = None,
    ) -> PreparedKeys:
        """Pick the fixed context, once per sentence; it is the ``projected`` of what is returned.

        Raises:
            ValueError: a shape does not fit, or there is no second half of the features.
        """
        check_keys(keys, values, mask, key_size=keys.shape[-1])
        values = keys if values is None else values
        if self.bidirectional and values.shape[-1] % 2:
            raise ValueError(
                f"expected an even number of features from a bidirectional encoder, got {list(values.shape)}"
            )
        allowed = torch.ones_like(keys[..., 0], dtype=torch.bool) if mask is None else mask  # [batch, keys]
        if allowed.ndim == 2:
            allowed = allowed.unsqueeze(1)  # [batch, 1, keys]
        return PreparedKeys(keys, fixed_context(values, allowed, self.bidirectional), values, mask)

    def attend(
        self,
        query: Query,
        prepared: PreparedKeys,
        positions: StepNumbers | None = None,
        coverage: Coverage | None = None,
        edit: WeightEdit | None = None,
    ) -> ContextAndWeights:
        """Give every query the fixed context, and weights of 0; ``positions`` change nothing.

        Raises:
            ValueError: a shape does not fit, or there is an edit: of no weights.
        """
        if edit is not None:
            raise ValueError("without attention there are no weights to edit")
        check_query(query, prepared, query_size=query.shape[-1])
        check_coverage(coverage, query, prepared, self.has_coverage)
        if query.ndim == 2:
            context, weights = self.attend(query.unsqueeze(1), prepared)
            return context.squeeze(1), weights.squeeze(1)
        batch, queries, _ = query.shape
        weights = widen(query.new_zeros(batch, queries, prepared.keys.shape[1]))
        return prepared.projected.expand(-1, queries, -1), weights
