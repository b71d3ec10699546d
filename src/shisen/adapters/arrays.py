"""Attention that other programs hold as arrays: a tensor for each layer, and the tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from shisen.adapters.choice import chosen_numbers
from shisen.errors import UserError
from shisen.inspection.attention_map import AttentionMap, Kind


def from_attentions(
    attentions: Any,
    query_tokens: Sequence[str],
    key_tokens: Sequence[str] | None = None,
    kind: Kind | None = None,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
) -> AttentionMap:
    """The map of what a model gives layer by layer, as BertViz and many notebooks take it.

    Args:
        attentions: For each layer ``[1, heads, queries, keys]`` or ``[heads, queries, keys]``: tensors,
            arrays or nested lists, of one sentence. The ``attentions`` of a transformers model are such.
        query_tokens: The tokens of the rows.
        key_tokens: The tokens of the columns. None: the same.
        kind: ``cross``, ``encoder`` or ``decoder``. None: ``encoder`` where both sides have the same tokens,
            else ``cross``.
        layers: Only these, counted from 0, or from the end with negative numbers. None: all.
        heads: Only these of each layer, counted likewise. None: all.

    Raises:
        UserError: A layer is missing, or of another shape than the others; several sentences; weights and
            tokens do not fit.
    """
    if key_tokens is None:
        key_tokens = query_tokens
    if kind is None:
        kind = "encoder" if list(query_tokens) == list(key_tokens) else "cross"
    if not len(attentions):
        raise UserError("attentions are a list with the weights of each layer; this one is empty")
    numbers = chosen_numbers(layers, len(attentions), "layer")
    stacked = [_layer(attentions[number], number, heads) for number in numbers]
    shapes = [layer.shape for layer in stacked]
    if len(set(shapes)) > 1:
        number = next(number for number, shape in zip(numbers, shapes, strict=True) if shape != shapes[0])
        raise UserError(
            f"the layers of a map have one shape [heads, queries, keys]: layer {numbers[0]} has "
            f"{list(shapes[0])}, layer {number} {list(shapes[numbers.index(number)])}"
        )
    return AttentionMap(np.stack(stacked), tuple(query_tokens), tuple(key_tokens), kind)


def _layer(weights: Any, number: int, heads: Sequence[int] | None) -> np.ndarray:
    """The chosen heads of one layer, ``[heads, queries, keys]``, off their device."""
    if weights is None:
        raise UserError(
            f"layer {number} has no weights: transformers gives none under sdpa and flash attention; "
            'load the model with attn_implementation="eager", or call shisen.adapters.from_huggingface'
        )
    if hasattr(weights, "detach"):
        weights = weights.detach().cpu().float().numpy()
    try:
        array = np.asarray(weights, np.float32)
    except (TypeError, ValueError) as error:
        raise UserError(f"layer {number}: numbers are expected, in rows of one length ({error})") from None
    if array.ndim == 4 and len(array) != 1:
        raise UserError(
            f"layer {number} holds {len(array)} sentences, {list(array.shape)}; a map is of one: hand in "
            "[layer[i : i + 1] for layer in attentions]"
        )
    if array.ndim not in (3, 4):
        raise UserError(
            f"a layer's weights are [1, heads, queries, keys] or [heads, queries, keys]; those of layer "
            f"{number} are {list(array.shape)}"
        )
    array = array.reshape(array.shape[-3:])
    return array[chosen_numbers(heads, len(array), "head")]
