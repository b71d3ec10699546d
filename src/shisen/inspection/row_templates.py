"""Where the keys of a map lie and what they are: what `measure_rows` multiplies the weights with."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float32, Int64

from shisen.inspection.attention_map import AttentionMap
from shisen.inspection.separators import SEPARATORS, is_separator

#: Tokens that fill a batch up: they have no position and are no keys.
PADDING_TOKENS = frozenset(["<pad>", "[PAD]"])


def key_counts(attention_map: AttentionMap) -> Int64[np.ndarray, " queries"]:
    """n for every query: how many keys it may attend to, padding not counted.

    In a decoder those up to the query's own position; but where weights lie beyond it, the map is not causal,
    and every query may attend to all.
    """
    queries, keys = attention_map.weights.shape[2:]
    upto = np.cumsum(are_real(attention_map.key_tokens))  # [keys]
    if not keys:
        return np.zeros(queries, np.int64)
    if attention_map.kind != "decoder" or np.triu(attention_map.weights.max(axis=(0, 1)), 1).any():
        return np.full(queries, upto[-1])
    return upto[np.minimum(np.arange(queries), keys - 1)]


def are_real(tokens: tuple[str, ...]) -> Bool[np.ndarray, " tokens"]:
    """Which tokens are not padding."""
    if PADDING_TOKENS.isdisjoint(tokens):
        return np.ones(len(tokens), bool)
    return np.array([token not in PADDING_TOKENS for token in tokens])


def _positions(tokens: tuple[str, ...]) -> tuple[Int64[np.ndarray, " tokens"], int]:
    """The number of each token among those that are not padding, counted from 0; and how many these are."""
    if PADDING_TOKENS.isdisjoint(tokens):
        return np.arange(len(tokens)), len(tokens)
    upto = np.cumsum(are_real(tokens))
    return np.maximum(upto - 1, 0), int(upto[-1])


def query_templates(attention_map: AttentionMap, band: int) -> Float32[np.ndarray, "2 queries keys"]:
    """|q − k|, and 1 on the band of the diagonal."""
    (query, queries), (key, keys) = (
        _positions(attention_map.query_tokens),
        _positions(attention_map.key_tokens),
    )
    is_scaled = attention_map.kind == "cross" and queries > 1
    diagonal = query * ((keys - 1) / (queries - 1)) if is_scaled else query
    result = np.empty((2, len(query), len(key)), np.float32)
    np.abs(query[:, None] - key, out=result[0], casting="unsafe")
    result[1] = np.abs(diagonal[:, None] - key) <= band + 1e-9  # the scale is a quotient
    return result


def key_templates(
    attention_map: AttentionMap, end_tokens: Collection[str], punctuation: Collection[str] | None
) -> Float32[np.ndarray, "keys 4"]:
    """1 everywhere; 1 at the first key; at ends of sentences; at punctuation."""
    tokens = attention_map.key_tokens
    result = np.zeros((len(tokens), 4), np.float32)
    result[:, 0] = 1
    result[np.flatnonzero(are_real(tokens))[:1], 1] = 1
    result[:, 2] = [token in end_tokens for token in tokens]
    result[:, 3] = [
        _is_punctuation(token) if punctuation is None else token in punctuation for token in tokens
    ]
    return result


@lru_cache(maxsize=2**16)
def _is_punctuation(token: str) -> bool:
    """Whether a token is of punctuation alone; the corpora that are streamed have the same tokens again."""
    return token not in SEPARATORS and is_separator(token)
