"""What a head does, by the shape of its weights: eleven patterns, a number in [0, 1] and a rule for each.

Most patterns have a template T: to each query a distribution over the keys. With U the uniform distribution
over the keys that a query may attend to, W the weights, and ⟨·,·⟩ the sum over all cells,

    mass  = ⟨W − U, T − U⟩ / ‖T − U‖²             share = ⟨W − U, T − U⟩ / (‖W − U‖ ‖T − U‖)
    score = reach · √(mass · share)                mass and share cut to [0, 1]

`mass` is the weight on the template beyond what uniform rows would put there, so that short and long
sentences compare: for T flat over a set of keys, (weight on the set − |set| / n) / (1 − |set| / n). `share`
is the cosine of the two deviations: how much of what is not uniform has this shape and no narrower one.
Where a part of the rows lies on the template and the others on single keys elsewhere, both are about that
part: so the root of their product is it too, and a pattern names a head that it has for half of the rows.
`reach` is the share of the rows that have a template: the first row has no previous key, and in a decoder a
row cannot see a full stop that comes later. (Rows with one allowed key have no choice and do not count.)

    self, previous, next   T is 1 at key q, q − 1, q + 1                    self-attention only
    local                  T is flat over the keys q − 2 … q + 2            self-attention only
    first                  T is 1 at the first key
    separator              T is on ``</s>``, ``[SEP]``, punctuation, shared out as each row does: it does not
                           matter which mark a row that has nothing to look at rests on
    global                 T is on the other columns, one row for all queries: what they share
    block                  T is flat over half of the keys: the query's own half, or for all the other one
    diagonal               √(r² · mass within one key of the row's largest weight), r the correlation of that
                           key's position with the query's, where positive     cross-attention only
    uniform                (1 − 2 · total variation between W and U) · (1 − the largest score above)
    content                (largest weight of a row − 1 / n) / (1 − 1 / n), the mean over rows,
                           · (1 − the largest score above but uniform), · (1 − what a fixed offset explains)

The last factor is measured over the rows of a whole corpus: content differs between sentences, a fixed offset
does not. A pattern that cannot be (previous in cross-attention) has the score 0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from shisen.errors import UserError
from shisen.inspection.attention_map import AttentionMap, Kind
from shisen.inspection.separators import is_separator

PATTERNS = (
    "self",
    "previous",
    "next",
    "diagonal",
    "local",
    "first",
    "separator",
    "global",
    "block",
    "uniform",
    "content",
)
_NUMBERS = {name: number for number, name in enumerate(PATTERNS)}
_POSITIONAL = slice(0, _NUMBERS["uniform"])

WINDOW = 2  # keys to either side that a local head looks at
NEAR = 1  # keys to either side of a row's largest weight that count as the diagonal
FARTHEST = 16  # offsets of which the corpus is asked whether one explains a head
_TINY = 1e-12


@dataclass(frozen=True)
class PatternScores:
    """How much each head of a map, or of a corpus of maps, is like each pattern.

    Attributes:
        scores: In [0, 1], the last axis in the order of `PATTERNS`; of a corpus the mean over its sentences.
        kind: Of the maps.
        sentences: How many maps were looked at.
        agreement: The share of the sentences that by themselves have the head's pattern.
        skipped: How many maps were left out: without a row of weights, or with one key alone.
    """

    scores: Float[np.ndarray, "layers heads patterns"]
    kind: Kind
    sentences: int
    agreement: Float[np.ndarray, "layers heads"]
    skipped: int = 0

    @property
    def names(self) -> list[list[str]]:
        """The pattern with the largest score, by layer and head."""
        return [[PATTERNS[best] for best in row] for row in self.scores.argmax(axis=-1)]

    @property
    def confidence(self) -> Float[np.ndarray, "layers heads"]:
        """By how much the largest score exceeds the second, in [0, 1]."""
        second, first = np.moveaxis(np.sort(self.scores, axis=-1)[..., -2:], -1, 0)
        return first - second

    def score(self, pattern: str) -> Float[np.ndarray, "layers heads"]:
        """The scores of one pattern."""
        if pattern not in _NUMBERS:
            raise UserError(f"there is no pattern {pattern!r}; there are {', '.join(PATTERNS)}")
        return self.scores[..., _NUMBERS[pattern]]

    def as_rows(self) -> list[dict[str, Any]]:
        """A row for each head, as tables and JSON hold it."""
        names, confidence = self.names, self.confidence
        return [
            {
                "kind": self.kind,
                "layer": layer,
                "head": head,
                "pattern": names[layer][head],
                "confidence": float(confidence[layer, head]),
                "agreement": float(self.agreement[layer, head]),
                **{name: float(score) for name, score in zip(PATTERNS, of_head, strict=True)},
            }
            for layer, of_layer in enumerate(self.scores)
            for head, of_head in enumerate(of_layer)
        ]


def recognize_pattern(
    attention: Any, *, kind: Kind | None = None, separators: Collection[str] | None = None
) -> PatternScores:
    """Recognise what every head of one map does.

    Args:
        attention: An `AttentionMap`; or plain weights ``[queries, keys]``, with heads and layers in front or
            not, which have no tokens and so no separators.
        kind: Of plain weights: ``encoder`` (the default where they are square), ``decoder`` (causal) or
            ``cross``. Of a map, its own.
        separators: The tokens that count as separators. None: see `is_separator`.

    Raises:
        UserError: The map has no row of weights, or one key alone.
    """
    if not isinstance(attention, AttentionMap):
        attention = _without_tokens(attention, kind)
    recognizer = PatternRecognizer(separators)
    recognizer.add(attention)
    if not recognizer.sentences:
        raise UserError(
            "there is nothing to recognise: the attention map has no row of weights, or one key alone"
        )
    return recognizer.result()


def recognize_patterns(
    maps: Iterable[AttentionMap], separators: Collection[str] | None = None
) -> PatternScores:
    """Recognise what every head does over a corpus of maps of one kind, each looked at once, then dropped."""
    recognizer = PatternRecognizer(separators)
    for attention_map in maps:
        recognizer.add(attention_map)
    return recognizer.result()


@dataclass
class PatternRecognizer:
    """Recognises the patterns of the heads of a corpus, sentence by sentence, in constant memory.

    Args:
        separators: The tokens that count as separators. None: see `is_separator`.
    """

    separators: Collection[str] | None = None
    sentences: int = field(default=0, init=False)
    skipped: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Start with nothing seen."""
        self._kind: Kind | None = None
        self._sums = np.zeros(0)  # [layers, heads, patterns], of the scores
        self._wins = np.zeros(0)  # [layers, heads, patterns], sentences by their pattern
        self._offsets = _OffsetSums()

    def add(self, attention_map: AttentionMap) -> Float[np.ndarray, "layers heads patterns"] | None:
        """Look at one map; return the scores of this sentence alone, None where there is nothing to see.

        Raises:
            UserError: It is of another kind, or has other layers or heads, than those before.
        """
        shape = (attention_map.layers, attention_map.heads, len(PATTERNS))
        if self._kind is None:
            self._kind = attention_map.kind
            self._sums, self._wins = np.zeros(shape), np.zeros(shape)
        if (self._kind, self._sums.shape) != (attention_map.kind, shape):
            raise UserError(
                f"the maps of a corpus are of one kind and size: the first was {self._kind} "
                f"{list(self._sums.shape[:2])} (layers, heads), this one is "
                f"{attention_map.kind} {list(shape[:2])}"
            )
        deviation = _Deviation.of(attention_map)
        if deviation is None:
            self.skipped += 1
            return None
        is_mark = np.array([is_separator(token, self.separators) for token in attention_map.key_tokens])
        scores = _scores(deviation, attention_map.kind, is_mark)
        self._sums += scores
        self._wins += scores.argmax(axis=-1)[..., None] == np.arange(len(PATTERNS))
        self._offsets.add(deviation)
        self.sentences += 1
        return scores

    def result(self) -> PatternScores:
        """What the heads do, over all maps so far.

        Raises:
            UserError: There was none.
        """
        if self._kind is None or not self.sentences:
            raise UserError("there is nothing to recognise: no attention maps with a row of weights")
        scores = self._sums / self.sentences
        scores[..., _NUMBERS["content"]] *= 1 - self._offsets.explained()
        best = scores.argmax(axis=-1)[..., None]
        agreement = np.take_along_axis(self._wins, best, axis=-1)[..., 0] / self.sentences
        return PatternScores(scores, self._kind, self.sentences, agreement, self.skipped)


@dataclass(frozen=True)
class _Deviation:
    """A map as its deviation from uniform rows; rows without weights have none, and are marked."""

    weights: Float[np.ndarray, "layers heads queries keys"]  # rows sum to 1, or are 0
    deviation: Float[np.ndarray, "layers heads queries keys"]
    allowed: Bool[np.ndarray, "queries keys"]
    has_weights: Bool[np.ndarray, "layers heads queries"]

    @classmethod
    def of(cls, attention_map: AttentionMap) -> _Deviation | None:
        """The deviation; None where there is nothing that could deviate."""
        queries, keys = attention_map.weights.shape[2:]
        sums = attention_map.row_sums.astype(np.float64)
        if keys < 2 or not sums.any():
            return None
        allowed = _allowed(attention_map.kind == "decoder", queries, keys)
        weights = attention_map.weights / np.where(sums > 0, sums, 1)[..., None]
        has_weights = sums > 0
        deviation = (weights - _flat(allowed)) * has_weights[..., None]
        return cls(weights, deviation, allowed, has_weights)

    def mean_over_rows(
        self, of_row: Float[np.ndarray, "layers heads queries"]
    ) -> Float[np.ndarray, "layers heads"]:
        """The mean over the rows that have weights and a choice between keys."""
        rows = self.has_weights & (self.allowed.sum(axis=1) > 1)
        return (of_row * rows).sum(axis=-1) / np.maximum(rows.sum(axis=-1), 1)

    def fit(self, templates: Float[np.ndarray, "*parts queries keys"]) -> Float[np.ndarray, "layers heads"]:
        """The score of a template: reach · √(mass · share).

        Args:
            templates: ``[queries, keys]``, or one for each head; a row of zeros says nothing.
        """
        speaks = templates.any(axis=-1)  # [queries], or [layers, heads, queries]
        shape = (templates - _flat(self.allowed)) * (speaks & self.has_weights)[..., None]
        common = np.einsum("lhqk,lhqk->lh", self.deviation, shape)
        of_shape = np.einsum("lhqk,lhqk->lh", shape, shape)
        of_weights = np.einsum("lhqk,lhqk->lh", self.deviation, self.deviation)
        mass = np.clip(common / np.maximum(of_shape, _TINY), 0, 1)
        share = np.clip(common / np.sqrt(np.maximum(of_shape * of_weights, _TINY)), 0, 1)
        reach = self.mean_over_rows(speaks * np.ones(self.has_weights.shape))
        return reach * np.sqrt(mass * share)


def _scores(given: _Deviation, kind: Kind, is_mark: np.ndarray) -> Float[np.ndarray, "layers heads patterns"]:
    """The scores of one map by the rules at the top, without the offsets of a corpus."""
    scores = np.zeros((*given.has_weights.shape[:2], len(PATTERNS)))
    queries, keys = given.allowed.shape
    for name, templates in _templates(kind, queries, keys).items():
        scores[..., _NUMBERS[name]] = np.max([given.fit(template) for template in templates], axis=0)
    is_first = np.arange(keys) == 0
    scores[..., _NUMBERS["separator"]] = given.fit(_own_columns(given, is_mark & ~is_first))
    scores[..., _NUMBERS["global"]] = given.fit(_shared_columns(given, ~is_mark & ~is_first))
    if kind == "cross":
        scores[..., _NUMBERS["diagonal"]] = _diagonal(given)
    left = 1 - scores[..., _POSITIONAL].max(axis=-1)
    choice = 1 - 1 / np.maximum(given.allowed.sum(axis=1), 2)  # [queries], 1 − 1 / n
    variation = given.mean_over_rows(0.5 * np.abs(given.deviation).sum(axis=-1) / choice)
    scores[..., _NUMBERS["uniform"]] = np.clip(1 - 2 * variation, 0, 1) * left
    focus = given.mean_over_rows((given.weights.max(axis=-1) - (1 - choice)) / choice)
    scores[..., _NUMBERS["content"]] = np.clip(focus, 0, 1) * left
    return scores


def _shared_columns(given: _Deviation, columns: np.ndarray) -> Float[np.ndarray, "layers heads queries keys"]:
    """A template on some columns, the same for all queries: as they exceed uniform weights on the mean."""
    allowing = np.maximum(given.allowed.sum(axis=0), 1)  # [keys], rows that may attend to each
    excess = given.deviation.sum(axis=2) / allowing  # [layers, heads, keys]
    excess = np.maximum(excess, 0) * columns
    template = excess[:, :, None] * given.allowed  # [layers, heads, queries, keys]
    sums = template.sum(axis=-1, keepdims=True)
    return template / np.where(sums > 0, sums, 1)


def _own_columns(given: _Deviation, columns: np.ndarray) -> Float[np.ndarray, "layers heads queries keys"]:
    """A template on some columns, in the shares that each row gives them; evenly where it gives them none."""
    chosen = given.weights * columns
    sums = chosen.sum(axis=-1, keepdims=True)
    return np.where(sums > 0, chosen / np.where(sums > 0, sums, 1), _flat(given.allowed & columns))


def _diagonal(given: _Deviation) -> Float[np.ndarray, "layers heads"]:
    """√(r² · mass near the largest weight of each row), for a correlation r > 0."""
    queries, keys = given.allowed.shape
    best = given.weights.argmax(axis=-1)  # [layers, heads, queries]
    steps = (np.arange(queries) - (queries - 1) / 2) * np.ones(best.shape)
    rows = given.has_weights
    counts = np.maximum(rows.sum(axis=-1, keepdims=True), 1)
    x = (steps - (steps * rows).sum(axis=-1, keepdims=True) / counts) * rows
    y = (best - (best * rows).sum(axis=-1, keepdims=True) / counts) * rows
    scale = np.sqrt((x * x).sum(axis=-1) * (y * y).sum(axis=-1))
    correlation = np.clip((x * y).sum(axis=-1) / np.maximum(scale, _TINY), 0, 1)
    distance = np.abs(np.arange(keys) - best[..., None])  # [layers, heads, queries, keys]
    near = distance <= NEAR
    chance = np.minimum(near.sum(axis=-1) / keys, 1 - 1 / keys)
    mass = ((given.weights * near).sum(axis=-1) - chance) / (1 - chance)
    return correlation * np.sqrt(np.clip(given.mean_over_rows(mass), 0, 1))


def _allowed(is_causal: bool, queries: int, keys: int) -> Bool[np.ndarray, "queries keys"]:
    """Which keys a query may attend to: all, or in a decoder those up to its own position."""
    return np.tri(queries, keys, dtype=bool) if is_causal else np.ones((queries, keys), dtype=bool)


def _flat(chosen: Bool[np.ndarray, "queries keys"]) -> Float[np.ndarray, "queries keys"]:
    """Every row spread evenly over its chosen keys; zero where there are none."""
    return chosen / np.maximum(chosen.sum(axis=1, keepdims=True), 1)


@lru_cache(maxsize=256)
def _templates(kind: Kind, queries: int, keys: int) -> dict[str, list[np.ndarray]]:
    """The templates that depend on positions alone, ``[queries, keys]``; of several the best counts."""
    allowed = _allowed(kind == "decoder", queries, keys)
    offset = np.arange(keys) - np.arange(queries)[:, None]  # [queries, keys]
    is_late_query = np.arange(queries)[:, None] >= queries / 2
    is_late_key = np.arange(keys) >= keys / 2
    chosen = {
        "first": [np.broadcast_to(np.arange(keys) == 0, offset.shape)],
        "block": [is_late_query == is_late_key, is_late_query != is_late_key],
    }
    if kind != "cross":
        chosen |= {
            "self": [offset == 0],
            "previous": [offset == -1],
            "local": [np.abs(offset) <= WINDOW],
        }
    if kind == "encoder":
        chosen["next"] = [offset == 1]
    return {name: [_flat(cells & allowed) for cells in every] for name, every in chosen.items()}


class _OffsetSums:
    """How much weight lies at each distance between key and query, beyond uniform rows, over a corpus."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self._excess: np.ndarray | float = 0.0  # [offsets, layers, heads]
        self._room: np.ndarray | float = 0.0  # [layers, heads], what one key could have at most
        self._rows: np.ndarray | float = 0.0

    def add(self, given: _Deviation) -> None:
        """Add the rows of one map."""
        offsets = range(-FARTHEST, FARTHEST + 1)
        self._excess = self._excess + np.stack(
            [np.trace(given.deviation, offset, axis1=2, axis2=3) for offset in offsets]
        )
        choice = 1 - 1 / np.maximum(given.allowed.sum(axis=1), 1)  # [queries]
        self._room = self._room + (given.has_weights * choice).sum(axis=-1)
        self._rows = self._rows + given.has_weights.sum(axis=-1)

    def explained(self) -> Float[np.ndarray, "layers heads"]:
        """The share of the weight that the best fixed offset explains, beyond chance (1 / √rows)."""
        share = np.max(self._excess / np.maximum(self._room, _TINY), axis=0)
        return np.clip(share - 1 / np.sqrt(np.maximum(self._rows, 1)), 0, 1)


def _without_tokens(weights: Any, kind: Kind | None) -> AttentionMap:
    """A map of plain weights, its tokens their numbers."""
    shape = np.shape(weights)
    queries, keys = shape[-2:] if len(shape) >= 2 else (0, 0)
    kind = kind or ("encoder" if queries == keys else "cross")
    return AttentionMap.from_arrays(weights, _numbers(queries), _numbers(keys), kind)


def _numbers(count: int) -> Sequence[str]:
    return [str(number) for number in range(count)]
