"""Parameters of a Transformer as other engines want them."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from shisen.attention.multi_head import MultiHeadAttention
from shisen.attention.positions import sinusoidal_positions
from shisen.models.transformer import Embedding


class Projection(NamedTuple):
    """A linear layer's parameters."""

    weight: Float[Tensor, "outputs inputs"]
    bias: Float[Tensor, " outputs"]


def projection(layer: nn.Linear) -> Projection:
    """The parameters of a layer, apart from it."""
    return Projection(layer.weight.detach().clone(), layer.bias.detach().clone())


def keys_and_values(attention: MultiHeadAttention) -> tuple[Projection, Projection]:
    """The projections of keys and values with as many heads as the queries have.

    Shared heads (`key_value_heads`) are written out once for each head that shares them, which computes the
    same.
    """
    groups = attention.heads // attention.key_value_heads

    def repeated(layer: nn.Linear) -> Projection:
        by_head = [
            part.unflatten(0, (attention.key_value_heads, attention.head_size))
            .repeat_interleave(groups, 0)
            .flatten(0, 1)
            for part in projection(layer)
        ]
        return Projection(*by_head)

    return repeated(attention.key), repeated(attention.value)


def position_table(embedding: Embedding, count: int) -> Float[Tensor, "count size"] | None:
    """What is added to the embedding at each of the first `count` positions; None: nothing is.

    Behind the learned positions the last of them goes on.
    """
    if embedding.learned is not None:
        learned = embedding.learned.weight.detach()
        return learned[torch.arange(count).clamp(max=len(learned) - 1)].clone()
    if embedding.is_sinusoidal:
        return sinusoidal_positions(count, embedding.words.embedding_dim)
    return None
