"""The attention of one sentence: which key each query looked at, in every layer and head, with the tokens."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from jaxtyping import Float32

from shisen.errors import UserError
from shisen.inspection.words import join_words, word_numbers

if TYPE_CHECKING:
    import os

    from matplotlib.figure import Figure
    from pandas import DataFrame

Kind = Literal["cross", "encoder", "decoder"]
KINDS: tuple[str, ...] = get_args(Kind)

#: Tokens that stand for no word of the sentence. ``<unk>`` does, so it is not among them.
SPECIAL_TOKENS = ("<pad>", "<s>", "</s>")

#: How far from 1 (or 0) the sum of a row may be and still count as it: what bfloat16 rounding leaves.
ROW_SUM_TOLERANCE = 1e-2


@dataclass(frozen=True, eq=False, repr=False)
class AttentionMap:
    """Attention weights ``[layers, heads, queries, keys]`` with the tokens they belong to.

    A row is a token that was produced (there is none for the beginning of the sentence), a column a token
    that was looked at. The weights are a read-only float32 copy, finite and not negative. A row of a softmax
    sums to 1, or is all zero where nothing may be attended to; maps from elsewhere may do otherwise, and are
    kept as they came: `is_normalized` and `row_sums` tell, `normalized()` mends on request.

    Args:
        weights: ``[layers, heads, queries, keys]``.
        query_tokens: The tokens of the rows.
        key_tokens: The tokens of the columns.
        kind: ``cross`` (target looks at source), ``encoder`` or ``decoder`` (a sentence looks at itself).
        metadata: Where the map comes from: model, sentence, score. Strings and finite numbers.

    Raises:
        UserError: Weights and tokens do not fit, or a weight is negative, infinite or not a number.
    """

    weights: Float32[np.ndarray, "layers heads queries keys"]
    query_tokens: tuple[str, ...]
    key_tokens: tuple[str, ...]
    kind: Kind = "cross"
    metadata: Mapping[str, str | int | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every part and make it immutable."""
        set_field = object.__setattr__  # the dataclass is frozen
        set_field(self, "query_tokens", _tokens(self.query_tokens, "query_tokens"))
        set_field(self, "key_tokens", _tokens(self.key_tokens, "key_tokens"))
        set_field(self, "weights", _weights(self.weights, len(self.query_tokens), len(self.key_tokens)))
        set_field(self, "metadata", MappingProxyType(_metadata(self.metadata)))
        if self.kind not in KINDS:
            raise UserError(f"the kind of an attention map is one of {', '.join(KINDS)}, not {self.kind!r}")

    @classmethod
    def from_arrays(
        cls,
        weights: Any,
        query_tokens: Sequence[str],
        key_tokens: Sequence[str],
        kind: Kind = "cross",
        metadata: Mapping[str, str | int | float] | None = None,
    ) -> AttentionMap:
        """Make a map of any array (NumPy, nested lists, a tensor) and its tokens.

        Args:
            weights: ``[queries, keys]``, ``[heads, queries, keys]`` or ``[layers, heads, queries, keys]``.
            query_tokens: The tokens of the rows.
            key_tokens: The tokens of the columns.
            kind: ``cross``, ``encoder`` or ``decoder``.
            metadata: Where the map comes from.
        """
        array = _as_array(weights)
        if array.ndim not in (2, 3, 4):
            raise UserError(
                "attention weights are [queries, keys], [heads, queries, keys] or "
                f"[layers, heads, queries, keys]; this array has {array.ndim} dimensions, {list(array.shape)}"
            )
        array = array.reshape((1,) * (4 - array.ndim) + array.shape)  # [layers, heads, queries, keys]
        queries, keys = _tokens(query_tokens, "query_tokens"), _tokens(key_tokens, "key_tokens")
        return cls(array, queries, keys, kind, metadata or {})

    @property
    def layers(self) -> int:
        """The number of layers."""
        return self.weights.shape[0]

    @property
    def heads(self) -> int:
        """The number of heads in a layer."""
        return self.weights.shape[1]

    @property
    def row_sums(self) -> Float32[np.ndarray, "layers heads queries"]:
        """The sum of every row."""
        return self.weights.sum(axis=-1)

    @property
    def is_normalized(self) -> bool:
        """Whether every row sums to 1, or to 0 where nothing may be attended to (within 0.01)."""
        sums = self.row_sums
        return bool(np.all(np.minimum(np.abs(sums - 1), np.abs(sums)) <= ROW_SUM_TOLERANCE))

    def normalized(self) -> AttentionMap:
        """This map with every row divided by its sum; rows of zeros stay zeros."""
        sums = self.row_sums[..., None]
        return self._with(weights=self.weights / np.where(sums > 0, sums, 1))

    def layer(self, number: int) -> AttentionMap:
        """One layer, ``[1, heads, queries, keys]``; counted from 0, or from the end with negative numbers."""
        index = _index(number, self.layers, "layer")
        return self._with(weights=self.weights[index : index + 1], metadata=self._noting("layer", index))

    def head(self, number: int) -> AttentionMap:
        """One head of every layer, ``[layers, 1, queries, keys]``; counted like `layer`."""
        index = _index(number, self.heads, "head")
        return self._with(weights=self.weights[:, index : index + 1], metadata=self._noting("head", index))

    def mean_layers(self) -> AttentionMap:
        """The mean over the layers, ``[1, heads, queries, keys]``."""
        mean = self.weights.mean(axis=0, keepdims=True)
        return self._with(weights=mean, metadata=self._noting("layer", "mean"))

    def mean_heads(self) -> AttentionMap:
        """The mean over the heads, ``[layers, 1, queries, keys]``."""
        mean = self.weights.mean(axis=1, keepdims=True)
        return self._with(weights=mean, metadata=self._noting("head", "mean"))

    def matrix(self) -> Float32[np.ndarray, "queries keys"]:
        """The mean over layers and heads as a plain array; of a map with one of each, that one."""
        return self.weights.mean(axis=(0, 1))

    def without_special_tokens(self, special_tokens: Collection[str] = SPECIAL_TOKENS) -> AttentionMap:
        """This map without the rows and columns of tokens that stand for no word.

        The weights that stay are untouched, so a row may now sum to less than 1: what is missing went to the
        columns that were dropped.
        """
        rows = [i for i, token in enumerate(self.query_tokens) if token not in special_tokens]
        columns = [i for i, token in enumerate(self.key_tokens) if token not in special_tokens]
        return self._with(
            weights=self.weights[:, :, rows][..., columns],
            query_tokens=tuple(self.query_tokens[i] for i in rows),
            key_tokens=tuple(self.key_tokens[i] for i in columns),
        )

    def merge_words(
        self, query_words: Sequence[int] | None = None, key_words: Sequence[int] | None = None
    ) -> AttentionMap:
        """The map between whole words: the sum over the pieces of a key, the mean over the pieces of a query.

        Args:
            query_words: For every query token the number of its word, ``[0, 0, 1, …]``. None: read from the
                marks that tokenizers leave (see `shisen.inspection.words.word_numbers`).
            key_words: The same for the key tokens.
        """
        query_starts, query_tokens = _merge(self.query_tokens, query_words, "query_words")
        key_starts, key_tokens = _merge(self.key_tokens, key_words, "key_words")
        weights = self.weights
        if key_starts:
            weights = np.add.reduceat(weights, key_starts, axis=3)  # [layers, heads, queries, key words]
        if query_starts:
            lengths = np.diff([*query_starts, len(self.query_tokens)]).astype(np.float32)
            weights = np.add.reduceat(weights, query_starts, axis=2) / lengths[:, None]
        return self._with(weights=weights, query_tokens=query_tokens, key_tokens=key_tokens)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one file, ``.attn.safetensors``: the weights, and the tokens as JSON in its header."""
        from shisen.inspection.map_file import save_maps

        save_maps(path, [self])

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> AttentionMap:
        """Read the map that `save` wrote; the bytes that come back are those that were saved."""
        from shisen.inspection.map_file import load_maps

        maps = load_maps(path)
        if len(maps) != 1:
            raise UserError(f"{path}: holds {len(maps)} attention maps, not one; read them with load_maps")
        return maps[0]

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """The map as JSON, weights as nested lists; also written where a path is given."""
        from shisen.inspection.interchange import to_json

        return to_json(self, path)

    @classmethod
    def from_json(cls, text: str) -> AttentionMap:
        """The map that `to_json` wrote, to the last bit.

        Raises:
            UserError: The text is something else, or damaged.
        """
        from shisen.inspection.interchange import from_json
        from shisen.inspection.readers import parse_json

        return from_json(parse_json(text, "the text"))

    def to_pandas(self) -> DataFrame:
        """A row for every weight: ``layer, head, query, query_token, key, key_token, weight``."""
        from shisen.inspection.interchange import to_pandas

        return to_pandas(self)

    def plot(self, **options: Any) -> Figure:
        """The annotated heatmap of this map, a grid of them where there are several layers or heads.

        A notebook shows the figure that comes back; ``figure.savefig("attention.pdf")`` writes it. For the
        options see `shisen.plotting.plot_heatmap`.
        """
        from shisen.plotting.heatmap import plot_heatmap

        return plot_heatmap(self, **options)

    def __eq__(self, other: object) -> bool:
        """Whether both maps hold the same weights, tokens, kind and metadata."""
        if not isinstance(other, AttentionMap):
            return NotImplemented
        return (
            self.query_tokens == other.query_tokens
            and self.key_tokens == other.key_tokens
            and self.kind == other.kind
            and self.metadata == other.metadata
            and np.array_equal(self.weights, other.weights)
        )

    def __hash__(self) -> int:
        """Of the tokens, the kind and the size: equal maps agree, and large weights cost nothing."""
        return hash((self.query_tokens, self.key_tokens, self.kind, self.weights.shape))

    def __repr__(self) -> str:
        """One line: the kind, the size and the first words of both sides."""
        size = f"{self.layers} layers, {self.heads} heads, {self.weights.shape[2]} queries"
        sides = f"{_shorten(self.query_tokens)} <- {_shorten(self.key_tokens)}"
        return f"AttentionMap({self.kind}: {size}, {self.weights.shape[3]} keys: {sides})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and worker processes rebuild the map from its parts (a view of a dict cannot be copied)."""
        parts = (self.weights, self.query_tokens, self.key_tokens, self.kind, dict(self.metadata))
        return type(self), parts

    def _with(self, **changes: Any) -> AttentionMap:
        return dataclasses.replace(self, **changes)

    def _noting(self, axis: Literal["layer", "head"], value: int | str) -> dict[str, str | int | float]:
        """The metadata, saying which layer or head was taken of several."""
        size = self.layers if axis == "layer" else self.heads
        return {**self.metadata, axis: value} if size > 1 else dict(self.metadata)


def _as_array(weights: Any) -> np.ndarray:
    """A float32 array of anything array-like; a tensor leaves its graph and its device."""
    if hasattr(weights, "detach"):
        weights = weights.detach().cpu().float().numpy()
    try:
        array = np.asarray(weights)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{array.dtype} is not a number type")
        with np.errstate(over="ignore"):  # a float64 too large becomes inf, and is then refused by name
            return array.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise UserError(f"attention weights are an array of numbers: {error}") from None


def _weights(weights: Any, queries: int, keys: int) -> np.ndarray:
    """The weights, checked, as a read-only float32 array of their own."""
    array = _as_array(weights)
    if array.ndim != 4:
        raise UserError(
            "the weights of an AttentionMap are [layers, heads, queries, keys]; this array is "
            f"{list(array.shape)} (AttentionMap.from_arrays takes 2, 3 or 4 dimensions)"
        )
    if array.shape[2:] != (queries, keys):
        raise UserError(
            f"{queries} query tokens and {keys} key tokens need weights [..., {queries}, {keys}], "
            f"but these are {list(array.shape)}"
        )
    if 0 in array.shape[:2]:
        raise UserError(
            f"an attention map has at least one layer and one head; this one is {list(array.shape)}"
        )
    wrong = ~(np.isfinite(array) & (array >= 0))
    if wrong.any():
        layer, head, query, key = (int(i) for i in np.argwhere(wrong)[0])
        raise UserError(
            f"attention weights are finite and not negative, but the weight at layer {layer}, head {head}, "
            f"query {query}, key {key} is {array[layer, head, query, key]}"
        )
    array.setflags(write=False)
    return array


def _tokens(tokens: Sequence[str], name: str) -> tuple[str, ...]:
    if isinstance(tokens, str):
        raise UserError(f"{name} is a list of tokens, not one string: {tokens[:40]!r}")
    tokens = tuple(tokens)
    for token in tokens:
        if not isinstance(token, str):
            raise UserError(f"{name} is a list of strings; {token!r} is a {type(token).__name__}")
    return tuple(str(token) for token in tokens)


def _metadata(metadata: Mapping[str, Any]) -> dict[str, str | int | float]:
    """A plain copy, of what a JSON file can hold."""
    result = {}
    for name, value in metadata.items():
        value = value.item() if isinstance(value, np.generic) else value
        if not isinstance(name, str) or not isinstance(value, str | int | float):
            raise UserError(f"metadata are strings and numbers by name; {name!r} is a {type(value).__name__}")
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"metadata are strings and finite numbers; {name!r} is {value}")
        result[name] = value
    return result


def _index(number: int, size: int, name: str) -> int:
    """The number counted from 0, with negative ones counted from the end."""
    if not -size <= number < size:
        raise UserError(f"there is no {name} {number}: the map has {size}, counted from 0 to {size - 1}")
    return number % size


def _merge(
    tokens: tuple[str, ...], numbers: Sequence[int] | None, name: str
) -> tuple[list[int], tuple[str, ...]]:
    """Where each word begins, and the words' texts."""
    numbers = word_numbers(tokens) if numbers is None else list(numbers)
    steps = np.diff([-1, *numbers])
    if len(numbers) != len(tokens) or not np.isin(steps, (0, 1)).all() or (len(steps) and steps[0] != 1):
        raise UserError(
            f"{name} has the number of a word for each of the {len(tokens)} tokens, counted from 0 upwards "
            f"without gaps, like [0, 0, 1]; it is {list(numbers)[:20]}"
        )
    starts = [i for i, step in enumerate(steps) if step == 1]
    return starts, join_words(tokens, starts)


def _shorten(tokens: tuple[str, ...]) -> str:
    return repr(" ".join(tokens[:4]) + (" …" if len(tokens) > 4 else ""))
