"""Which tokens, layers and heads an intervention means, in one sentence and one model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from shisen.errors import UserError
from shisen.inspection.interventions import (
    ForcedAlignment,
    GivenWeights,
    Intervention,
    Part,
    Places,
    ScaleEdge,
    UniformAttention,
)
from shisen.inspection.words import join_words, word_numbers


def names_target(intervention: Intervention) -> bool:
    """Whether tokens of the translation are named by their text, or words of it by their number.

    Then the translation has to be known before.
    """
    return any(map(_names_target, intervention.parts))


def resolved(
    intervention: Intervention, source_tokens: Sequence[str], target_tokens: Sequence[str]
) -> Intervention:
    """The intervention for one sentence: tokens by their positions, links as weights.

    Args:
        intervention: Which.
        source_tokens: Those of the sentence, ``</s>`` included.
        target_tokens: Those of its translation, ``</s>`` included; they need not be given where the
            intervention does not name any (`names_target`).

    Raises:
        UserError: There is no such token, or a map is not of this sentence.
    """
    source, target = tuple(source_tokens), tuple(target_tokens)
    axes = {
        "cross": (target, source),
        "encoder": (source, source),
        "decoder": (target, ("<s>", *target[:-1])),
    }
    return Intervention(tuple(_resolved(part, *axes[part.where.kind]) for part in intervention.parts))


def check_heads(intervention: Intervention, attention_heads: dict[str, tuple[int, int]]) -> None:
    """Refuse layers and heads that a model does not have.

    Args:
        intervention: Which.
        attention_heads: How many layers, and heads in each, the model has of every kind.

    Raises:
        UserError: There is none of the kind, or none of the number.
    """
    for part in intervention.parts:
        _check_heads(part, attention_heads)


def _names_target(part: Part) -> bool:
    if isinstance(part, ForcedAlignment):
        return True
    if part.where.kind == "encoder":
        return False
    if isinstance(part, ScaleEdge):
        named = [part.query, *([part.key] if part.where.kind == "decoder" else [])]
        return any(map(_has_text, named))
    return isinstance(part, UniformAttention) and _has_text(part.query)


def _has_text(places: Places) -> bool:
    if isinstance(places, str):
        return True
    return not isinstance(places, int | type(None)) and any(isinstance(one, str) for one in places)


def _resolved(part: Part, queries: Sequence[str], keys: Sequence[str]) -> Part:
    if isinstance(part, ScaleEdge):
        return replace(part, query=_found(part.query, queries, "query"), key=_found(part.key, keys, "key"))
    if isinstance(part, UniformAttention):
        return replace(part, query=_found(part.query, queries, "query"))
    if isinstance(part, GivenWeights):
        given = part.weights.shape[3]
        if part.where.kind != "decoder" and given != len(keys):
            raise UserError(
                f"the map has {given} keys, but the sentence has {len(keys)} tokens: {' '.join(keys)}"
            )
    if isinstance(part, ForcedAlignment):
        return _weights_of_links(part, queries, keys)
    return part


def _found(places: Places, tokens: Sequence[str], name: str) -> tuple[int, ...] | None:
    """The positions that are meant; a text is that of a token, or of a word in all of its pieces."""
    if places is None:
        return None
    found: list[int] = []
    for place in (places,) if isinstance(places, int | str) else places:
        if isinstance(place, str):
            at = [number for number, token in enumerate(tokens) if token == place] or _pieces(place, tokens)
            if not at:
                raise UserError(f"{name} {place!r} is not among the tokens: {' '.join(tokens)}")
            found += at
        elif place < 0:
            raise UserError(f"{name} {place}: positions are counted from 0")
        else:
            found.append(int(place))
    return tuple(dict.fromkeys(found))


def _pieces(word: str, tokens: Sequence[str]) -> list[int]:
    """The positions of all pieces of every word that reads so."""
    numbers = word_numbers(tokens)
    starts = [place for place, number in enumerate(numbers) if place == 0 or number != numbers[place - 1]]
    meant = {number for number, text in enumerate(join_words(tokens, starts)) if text == word}
    return [place for place, number in enumerate(numbers) if number in meant]


def _weights_of_links(part: ForcedAlignment, queries: Sequence[str], keys: Sequence[str]) -> GivenWeights:
    """Rows that share their weight among what they are linked to."""
    units = {"token": lambda tokens: list(range(len(tokens))), "word": word_numbers}
    of_unit: Callable[[Sequence[str]], list[int]] = units[part.unit]
    target, source = np.array(of_unit(queries), dtype=int), np.array(of_unit(keys), dtype=int)
    weights = np.zeros((len(queries), len(keys)), dtype=np.float32)
    for source_unit, target_unit in part.alignment.possible:
        for name, number, units_of in (("source", source_unit, source), ("target", target_unit, target)):
            if number not in units_of:
                count = int(units_of.max(initial=-1)) + 1
                raise UserError(
                    f"link {source_unit}-{target_unit}: the {name} has {count} {part.unit}s, counted from 0"
                )
        weights[np.ix_(target == target_unit, source == source_unit)] = 1
    totals = weights.sum(axis=1, keepdims=True)
    rows = totals[:, 0] > 0
    weights = weights / np.maximum(totals, 1)
    return GivenWeights(part.where, weights[None, None], rows, part.strength)


def _check_heads(part: Part, attention_heads: dict[str, tuple[int, int]]) -> None:
    where = part.where
    if where.kind not in attention_heads:
        there_are = ", ".join(attention_heads) or "none"
        raise UserError(f"this model has no {where.kind} attention to intervene in; it has {there_are}")
    layers, heads = attention_heads[where.kind]
    for name, chosen, count in (("layer", where.layers, layers), ("head", where.heads, heads)):
        for number in chosen or ():
            if number >= count:
                raise UserError(f"{name} {number}: the {where.kind} attention has {count}, counted from 0")
    if isinstance(part, GivenWeights):
        for name, given, count in (
            ("layers", part.weights.shape[0], layers),
            ("heads", part.weights.shape[1], heads),
        ):
            if given not in (1, count):
                raise UserError(
                    f"the map has {given} {name}, the {where.kind} attention {count}: give a map with one, "
                    "or with all"
                )
