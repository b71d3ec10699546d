"""Attention through layers: how much of each token arrives at each position of the last layer.

The layers of self-attention are a graph: position k of a layer feeds position q of the next with the weight
A[q, k], and by the residual connection with itself. With r the share that goes by the residual connection
(Abnar & Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, https://arxiv.org/abs/2005.00928,
equation 1, where r = 1/2):

    Â_l = (1 − r) A_l + r I,   rows divided by their sums
    rollout   R = Â_L … Â_2 Â_1
    flow      R[q, k] = the maximum flow from position k below the first layer to position q above the last,
              the capacity of every edge its weight in Â; rows divided by their sums

Of cross-attention (`cross_rollout`): the weights of each layer of the decoder, which look at the encoder's
last layer, times the encoder's rollout.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from shisen.errors import UserError
from shisen.inspection.attention_map import AttentionMap

RESIDUAL = 0.5
#: Capacities are whole multiples of this in the flow's algorithm.
RESOLUTION = 1e-6


def attention_rollout(
    attention: AttentionMap,
    *,
    residual: float = RESIDUAL,
    heads: str = "mean",
    every_layer: bool = False,
) -> AttentionMap:
    """The product of the layers' weights: which tokens the positions of the last layer are made of.

    Args:
        attention: Of self-attention, ``encoder`` or ``decoder``. A row of zeros passes on its residual.
        residual: The share r of the residual connection, from 0 (weights alone) up to below 1.
        heads: How the heads of a layer become one: their ``mean``, or the ``max`` of each weight.
        every_layer: Whether to return the rollout up to each layer, ``[layers, 1, queries, keys]``, not up to
            the last alone.

    Returns:
        A map of the same kind with one head. Its rows sum to 1.

    Raises:
        UserError: The map is of cross-attention, or an option is out of range.
    """
    steps = _steps(attention, residual, heads)  # [layers, positions, positions]
    rolled = steps[0]
    every = [rolled]
    for step in steps[1:]:
        rolled = step @ rolled
        every.append(rolled)
    weights = np.stack(every if every_layer else every[-1:])[:, None]
    return _described(attention, weights, "rollout", residual, heads)


def attention_flow(
    attention: AttentionMap, *, residual: float = RESIDUAL, heads: str = "mean"
) -> AttentionMap:
    """The maximum flow from each token to each position of the last layer; see the top of this module.

    Capacities are rounded to `RESOLUTION`; before its row is divided, a flow is right to within half of that
    for each edge of the smallest cut, positions² edges at most. The work is one maximum flow for each pair of
    positions: for short sentences.

    Args:
        attention: As `attention_rollout`.
        residual: As there.
        heads: As there.

    Returns:
        A map of the same kind with one layer and one head; its rows are divided by their sums.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_flow

    steps = _steps(attention, residual, heads)  # [layers, positions, positions]
    layers, positions = steps.shape[:2]
    capacities = np.rint(steps / RESOLUTION).astype(np.int32)
    layer, query, key = np.nonzero(capacities)
    # Vertex (layer, position) is layer * positions + position; layer 0 is below the first.
    tails, heads_of_edges = layer * positions + key, (layer + 1) * positions + query
    size = (layers + 1) * positions
    graph = csr_array((capacities[layer, query, key], (tails, heads_of_edges)), shape=(size, size))
    flows = np.zeros((positions, positions))
    for target in range(positions):
        for source in range(positions):
            found = maximum_flow(graph, source, layers * positions + target)
            flows[target, source] = found.flow_value * RESOLUTION
    sums = flows.sum(axis=1, keepdims=True)
    weights = (flows / np.where(sums > 0, sums, 1))[None, None]
    described = _described(attention, weights, "flow", residual, heads)
    return AttentionMap(
        described.weights,
        described.query_tokens,
        described.key_tokens,
        described.kind,
        {**described.metadata, "resolution": RESOLUTION},
    )


def cross_rollout(
    cross: AttentionMap, encoder: AttentionMap, *, residual: float = RESIDUAL, heads: str = "mean"
) -> AttentionMap:
    """Cross-attention traced back to the source tokens: its weights times the encoder's rollout.

    Args:
        cross: ``cross``, its keys the positions of the encoder's last layer. Layers and heads stay.
        encoder: ``encoder``, of the same source sentence.
        residual: Of the encoder's rollout.
        heads: Of the encoder's rollout.

    Raises:
        UserError: The kinds are others, or the source tokens of the two maps differ.
    """
    if cross.kind != "cross" or encoder.kind != "encoder":
        raise UserError(f"a cross and an encoder map are wanted, not {cross.kind} and {encoder.kind}")
    if cross.key_tokens != encoder.key_tokens:
        raise UserError(
            f"the two maps are of different sentences: the cross map has {len(cross.key_tokens)} source "
            f"tokens {' '.join(cross.key_tokens)[:40]!r}, the encoder map {len(encoder.key_tokens)} "
            f"{' '.join(encoder.key_tokens)[:40]!r}"
        )
    rolled = attention_rollout(encoder, residual=residual, heads=heads).matrix()
    return _described(cross, cross.weights @ rolled, "cross rollout", residual, heads)


def _steps(
    attention: AttentionMap, residual: float, heads: str
) -> Float[np.ndarray, "layers positions positions"]:
    """Â of every layer, in float32 as the weights are."""
    if attention.kind == "cross":
        raise UserError("flow through layers is that of self-attention: encoder or decoder, not cross")
    queries, keys = attention.weights.shape[2:]
    if queries != keys or not queries:
        raise UserError(f"self-attention has as many queries as keys, one at least, not {queries} and {keys}")
    if not 0 <= residual < 1:
        raise UserError(f"the share of the residual connection is 0 or more and below 1, not {residual}")
    if heads not in ("mean", "max"):
        raise UserError(f"the heads of a layer are merged by mean or max, not {heads!r}")
    merged = _mean_of_heads(attention.weights) if heads == "mean" else attention.weights.max(axis=1)
    steps = merged * np.float32(1 - residual)  # [layers, positions, positions]
    diagonal = np.arange(queries)
    steps[:, diagonal, diagonal] += np.float32(residual)
    sums = steps.sum(axis=-1, keepdims=True)
    return steps / np.where(sums > 0, sums, np.float32(1))


def _mean_of_heads(
    weights: Float[np.ndarray, "layers heads positions positions"],
) -> Float[np.ndarray, "layers positions positions"]:
    """The mean over the heads as one product, which reads the weights once; ``mean(axis=1)`` takes longer."""
    layers, heads, positions, _ = weights.shape
    shares = np.full(heads, 1 / heads, weights.dtype)
    return (shares @ weights.reshape(layers, heads, -1)).reshape(layers, positions, positions)


def _described(
    attention: AttentionMap, weights: np.ndarray, what: str, residual: float, heads: str
) -> AttentionMap:
    """The result as a map that says what it is."""
    metadata = {**attention.metadata, "measure": what, "residual": residual, "heads_merged_by": heads}
    weights = weights.astype(np.float32)
    return AttentionMap(weights, attention.query_tokens, attention.key_tokens, attention.kind, metadata)
