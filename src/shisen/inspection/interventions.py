"""What could be done to a model's attention, said without a model: cut heads or edges, give other weights.

>>> from shisen.inspection import cut_edge, cut_heads
>>> nothing_of_the_cat = cut_edge(key="cat") & cut_heads(heads=2, layers=1)

An intervention is a value. `Translator.translate(text, intervention=…)` and `Translator.force` carry it out;
`compare_intervention` says what it changed. Where tokens are named by their text, they are looked for in the
sentence, and in the translation that the model makes of it without the intervention.

What an intervention does to a row α of weights, in the layers and heads that it names:

    cut_edge            α'_j = 0 for the key j, the others divided by their sum
    scale_edge          α'_j = f α_j, the others scaled so that the row sums to what it did
    uniform_attention   α'_j = 1 / (how many keys the query may attend to)
    replace_map         α'_j = (1 - s) α_j + s β_j with the weights β of a given map
    force_alignment     the same, with β_j = 1 / (how many words the word is linked to)

and cut_heads, scale_heads and head_mask multiply what a head adds to the context (Michel, Levy and Neubig
2019, https://arxiv.org/abs/1905.10650): 0 takes it away, and the weights stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Bool, Float32

from shisen.errors import UserError
from shisen.inspection.attention_map import KINDS, AttentionMap, Kind

if TYPE_CHECKING:
    from shisen.data.alignments import Alignment

Numbers = int | Sequence[int] | None
"""Layers or heads, counted from 0: one, several, or all (None)."""

Places = int | str | Sequence[int | str] | None
"""Tokens: by position from 0 on, or by their text, every one that reads so; None: all."""


@dataclass(frozen=True)
class Where:
    """The heads that an intervention is about: those of these layers, of one kind of attention; None: all."""

    kind: Kind = "cross"
    layers: tuple[int, ...] | None = None
    heads: tuple[int, ...] | None = None

    def has_layer(self, kind: str, layer: int) -> bool:
        """Whether any head of that layer is meant."""
        return kind == self.kind and (self.layers is None or layer in self.layers)


@dataclass(frozen=True)
class ScaleHeads:
    """Multiply what heads add to the context."""

    where: Where
    factor: float


@dataclass(frozen=True)
class ScaleEdge:
    """Multiply the weight of keys for queries; `renormalize`: the row keeps its sum."""

    where: Where
    query: Places
    key: Places
    factor: float = 0.0
    renormalize: bool = True


@dataclass(frozen=True)
class UniformAttention:
    """The same weight for all keys that a query may attend to."""

    where: Where
    query: Places = None


@dataclass(frozen=True, eq=False)
class GivenWeights:
    """Other weights in rows of the map.

    Attributes:
        where: The heads.
        weights: One layer or one head serves all.
        rows: The rows that are given.
        strength: s: 0 leaves the model's own weights, 1 puts the given ones in their place.
    """

    where: Where
    weights: Float32[np.ndarray, "layers heads queries keys"]
    rows: Bool[np.ndarray, " queries"]
    strength: float = 1.0


@dataclass(frozen=True, eq=False)
class ForcedAlignment:
    """Weights from links between words or tokens, which only the tokens can be made of."""

    where: Where
    alignment: Alignment
    unit: Literal["token", "word"]
    strength: float


Part = ScaleHeads | ScaleEdge | UniformAttention | GivenWeights | ForcedAlignment


@dataclass(frozen=True, eq=False)
class Intervention:
    """Things done to the attention of a model, one after the other; `&` joins two interventions.

    Made by the functions of this module.
    """

    parts: tuple[Part, ...] = field(default=())

    def __and__(self, other: Intervention) -> Intervention:
        """Both: first this, then the other."""
        return Intervention(self.parts + other.parts)


def head_mask(mask: Sequence[Sequence[float]] | np.ndarray, kind: Kind = "cross") -> Intervention:
    """Multiply what every head adds to the context by its entry of a mask, ``[layers, heads]``."""
    array = np.asarray(mask, dtype=np.float64)
    if array.ndim != 2 or not np.isfinite(array).all():
        raise UserError(f"a head mask is finite numbers of shape [layers, heads], got {list(array.shape)}")
    return Intervention(
        tuple(
            ScaleHeads(_where(kind, int(layer), int(head)), float(array[layer, head]))
            for layer, head in np.ndindex(*array.shape)
            if array[layer, head] != 1
        )
    )


def cut_heads(heads: Numbers = None, layers: Numbers = None, kind: Kind = "cross") -> Intervention:
    """Take heads away: their part of the context becomes 0."""
    return scale_heads(0.0, heads, layers, kind)


def scale_heads(
    factor: float, heads: Numbers = None, layers: Numbers = None, kind: Kind = "cross"
) -> Intervention:
    """Multiply what heads add to the context."""
    return Intervention((ScaleHeads(_where(kind, layers, heads), _finite("factor", factor)),))


def cut_edge(
    query: Places = None,
    key: Places = None,
    kind: Kind = "cross",
    layers: Numbers = None,
    heads: Numbers = None,
    *,
    renormalize: bool = True,
) -> Intervention:
    """Keep queries from looking at keys: `cut_edge("猫", "cat")`, or `cut_edge(key="cat")` for all queries.

    Args:
        query: The tokens that look: of the translation; for "encoder" of the source.
        key: The tokens that are looked at: of the source; for "decoder" what was read, ``<s>`` first.
        kind: Which attention.
        layers: In which layers.
        heads: In which heads.
        renormalize: Whether the other weights are divided by their sum, as if the key were masked. Where all
            weight was on the key nothing is left, and the context is 0.

    Raises:
        UserError: All queries and all keys.
    """
    return scale_edge(0.0, query, key, kind, layers, heads, renormalize=renormalize)


def scale_edge(
    factor: float,
    query: Places = None,
    key: Places = None,
    kind: Kind = "cross",
    layers: Numbers = None,
    heads: Numbers = None,
    *,
    renormalize: bool = True,
) -> Intervention:
    """Multiply the weights with which queries look at keys; arguments as of `cut_edge`.

    Raises:
        UserError: The factor is negative, or no key and no query is named.
    """
    if _finite("factor", factor) < 0:
        raise UserError(f"an edge is scaled by a factor of 0 or more, not by {factor}")
    if query is None and key is None:
        raise UserError("an edge has a query or a key; to take whole heads away, use cut_heads")
    return Intervention(
        (ScaleEdge(_where(kind, layers, heads), _places(query), _places(key), float(factor), renormalize),)
    )


def uniform_attention(
    kind: Kind = "cross", layers: Numbers = None, heads: Numbers = None, query: Places = None
) -> Intervention:
    """Look at everything alike, in the rows of `query` (None: all)."""
    return Intervention((UniformAttention(_where(kind, layers, heads), _places(query)),))


def replace_map(
    attention: AttentionMap, layers: Numbers = None, heads: Numbers = None, *, strength: float = 1.0
) -> Intervention:
    """Attend with the weights of a given map: of another model, another sentence, another head.

    Args:
        attention: ``[layers, heads, queries, keys]``; one layer or one head serves all. It has the keys of
            the sentence; rows that it does not have keep the model's own weights.
        layers: In which layers.
        heads: In which heads.
        strength: s; less than 1 mixes the given weights with the model's own.
    """
    where = _where(attention.kind, layers, heads)
    rows = np.ones(len(attention.query_tokens), dtype=bool)
    return Intervention((GivenWeights(where, attention.weights, rows, _share(strength)),))


def force_alignment(
    alignment: Alignment,
    layers: Numbers = None,
    heads: Numbers = None,
    *,
    unit: Literal["token", "word"] = "token",
    strength: float = 1.0,
) -> Intervention:
    """Make every target word look at the source words that it is linked to, at each alike.

    Args:
        alignment: The links (source, target); the possible ones count too. A target word without a link
            keeps the model's own weights.
        layers: In which layers of the cross-attention.
        heads: In which heads.
        unit: Whether links join tokens, or words, whose tokens they then join.
        strength: s, as of `replace_map`.
    """
    if unit not in ("token", "word"):
        raise UserError(f'the unit of an alignment is "token" or "word", not {unit!r}')
    return Intervention((ForcedAlignment(_where("cross", layers, heads), alignment, unit, _share(strength)),))


def _where(kind: Kind, layers: Numbers, heads: Numbers) -> Where:
    if kind not in KINDS:
        raise UserError(f"the kind of an attention is one of {', '.join(KINDS)}, not {kind!r}")
    return Where(kind, _numbers("layer", layers), _numbers("head", heads))


def _numbers(name: str, given: Numbers) -> tuple[int, ...] | None:
    if given is None:
        return None
    numbers = (given,) if isinstance(given, int | np.integer) else tuple(given)
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 0:
            raise UserError(f"a {name} is a number from 0 on, not {number!r}")
    return tuple(map(int, numbers))


def _places(given: Places) -> Places:
    """The same, a list as a tuple."""
    if given is None or isinstance(given, int | str):
        return given
    return tuple(given)


def _finite(name: str, value: float) -> float:
    if not np.isfinite(value):
        raise UserError(f"{name} is {value}; it must be a finite number")
    return float(value)


def _share(strength: float) -> float:
    if not 0 <= _finite("strength", strength) <= 1:
        raise UserError(f"strength is {strength}; it must be between 0 and 1")
    return float(strength)
