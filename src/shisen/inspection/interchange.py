"""Attention maps as what other programs read: JSON, and a table with a row for every weight."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from shisen.errors import UserError
from shisen.files import write_atomically
from shisen.inspection.attention_map import KINDS, AttentionMap

if TYPE_CHECKING:
    from pandas import DataFrame

FORMAT = "shisen attention map"
VERSION = 1


def to_json(attention_map: AttentionMap, path: str | os.PathLike[str] | None = None) -> str:
    """A map as JSON, weights as nested lists ``[layers][heads][queries][keys]``, to the last bit.

    Args:
        attention_map: The map.
        path: Where to write it, besides.
    """
    content = {
        "format": FORMAT,
        "version": VERSION,
        "kind": attention_map.kind,
        "query_tokens": attention_map.query_tokens,
        "key_tokens": attention_map.key_tokens,
        "metadata": dict(attention_map.metadata),
        "weights": attention_map.weights.tolist(),
    }
    text = json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n"
    if path is not None:
        write_atomically(path, text)
    return text


def is_own(content: Any) -> bool:
    """Whether parsed JSON is what `to_json` wrote."""
    return isinstance(content, dict) and content.get("format") == FORMAT


def from_json(content: Any) -> AttentionMap:
    """The map of what `to_json` wrote, parsed already.

    Raises:
        UserError: It is something else, or damaged.
    """
    if not is_own(content):
        raise UserError('this is no attention map as to_json writes it (no "format" of that name)')
    if content.get("version") != VERSION:
        raise UserError(f"version {content.get('version')!r} of the format; this shisen reads {VERSION}")
    entries = {name: content.get(name) for name in ("query_tokens", "key_tokens", "metadata", "weights")}
    for name, value in entries.items():
        wanted = dict if name == "metadata" else list
        if not isinstance(value, wanted):
            raise UserError(f'"{name}" of an attention map is missing, or not a {wanted.__name__}')
    for name in ("query_tokens", "key_tokens"):
        check_tokens(entries[name], f'"{name}"')
    kind = content.get("kind")
    check_kind(kind)
    weights: Any = entries["weights"]
    if not (entries["query_tokens"] and entries["key_tokens"]):  # lists do not say how long empty ones are
        weights = _without_tokens(weights, len(entries["query_tokens"]), len(entries["key_tokens"]))
    return AttentionMap.from_arrays(
        weights, entries["query_tokens"], entries["key_tokens"], kind, entries["metadata"]
    )


def check_tokens(tokens: list[Any], name: str) -> None:
    """Refuse what is no text in a list of tokens."""
    wrong = next((token for token in tokens if not isinstance(token, str)), None)
    if wrong is not None or None in tokens:
        raise UserError(f"{name} is a list of strings; it holds {wrong!r}")


def check_kind(kind: Any) -> None:
    """Refuse a kind of attention that there is not."""
    if not isinstance(kind, str) or kind not in KINDS:
        raise UserError(f"the kind of an attention map is one of {', '.join(KINDS)}, not {kind!r}")


def _without_tokens(weights: list[Any], queries: int, keys: int) -> np.ndarray:
    """Weights of a map with an empty side: as many layers and heads as the lists hold."""
    heads = weights[0] if weights else []
    if not weights or not isinstance(heads, list) or not heads:
        raise UserError("the weights of an attention map are lists of layers, of heads, of queries, of keys")
    return np.zeros((len(weights), len(heads), queries, keys), np.float32)


def to_pandas(attention_map: AttentionMap) -> DataFrame:
    """A row for every weight: ``layer, head, query, query_token, key, key_token, weight``."""
    import pandas

    layer, head, query, key = np.indices(attention_map.weights.shape).reshape(4, -1)
    query_tokens = np.array(attention_map.query_tokens, dtype=object)
    key_tokens = np.array(attention_map.key_tokens, dtype=object)
    return pandas.DataFrame(
        {
            "layer": layer,
            "head": head,
            "query": query,
            "query_token": query_tokens[query],
            "key": key,
            "key_token": key_tokens[key],
            "weight": attention_map.weights.reshape(-1),
        }
    )
