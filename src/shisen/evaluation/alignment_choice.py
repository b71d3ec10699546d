"""Which layer and head of a model to read alignments from, chosen on held-out sentences and stated.

A reading is a layer, a head or a mean, of the map as it is or shifted by a step (`after_reading`). Of all
readings the one is chosen whose links, by argmax, have the lowest alignment error rate on the held-out
sentences: against gold alignments, or, without any, against those of IBM model 1 in both directions. (Chen et
al. 2020, https://arxiv.org/abs/2004.14837, choose the layer by the agreement of two models, which needs no
gold either.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from shisen.data.alignments import Alignment
from shisen.errors import UserError
from shisen.evaluation.alignment import NO_ALIGNMENTS, AlignmentScores, score_alignment
from shisen.inspection.alignment import after_reading, argmax_alignment
from shisen.inspection.attention_map import AttentionMap
from shisen.inspection.word_weights import word_weights


class Reading(NamedTuple):
    """What is read of a map.

    Attributes:
        layer: None: the mean over the layers.
        head: None: the mean over the heads.
        is_shifted: Whether a token's row is that of the step that reads it.
    """

    layer: int | None = None
    head: int | None = None
    is_shifted: bool = False

    def weights(self, attention: AttentionMap) -> Float[np.ndarray, "queries keys"]:
        """The weights that are read.

        Raises:
            UserError: The map does not have the layer or the head.
        """
        if self.is_shifted:
            attention = after_reading(attention)
        attention = attention.mean_layers() if self.layer is None else attention.layer(self.layer)
        attention = attention.mean_heads() if self.head is None else attention.head(self.head)
        return attention.weights[0, 0]

    def __str__(self) -> str:
        """In words."""
        layer = "the mean over layers" if self.layer is None else f"layer {self.layer}"
        head = "the mean over heads" if self.head is None else f"head {self.head}"
        return f"{layer}, {head}" + (", shifted" if self.is_shifted else "")


class Pair(NamedTuple):
    """A sentence pair whose attention is known.

    Attributes:
        attention: Of the pieces, with the ends of the sentences.
        query_words: For each row the target words that it is part of.
        key_words: For each column the source words.
        target_words: How many there are.
        source_words: How many there are.
        probabilities: Of each target word, the least of its pieces; None where they are not known.
    """

    attention: AttentionMap
    query_words: Sequence[Sequence[int]]
    key_words: Sequence[Sequence[int]]
    target_words: int
    source_words: int
    probabilities: Float[np.ndarray, " target_words"] | None = None

    def words(self, reading: Reading) -> Float[np.ndarray, "target_words source_words"]:
        """The weights between words."""
        return word_weights(
            reading.weights(self.attention),
            self.query_words,
            self.key_words,
            self.target_words,
            self.source_words,
        )


@dataclass(frozen=True)
class AlignmentChoice:
    """The reading that was chosen, and what all others would have given.

    Attributes:
        reading: What is read.
        criterion: What the held-out sentences were compared with: "gold", "ibm1".
        sentences: How many there were.
        candidates: Every reading with its scores, the best first.
    """

    reading: Reading
    criterion: str
    sentences: int
    candidates: tuple[tuple[Reading, AlignmentScores], ...]

    def __str__(self) -> str:
        """What was chosen and why, in one line."""
        against = {"gold": "gold alignments", "ibm1": "IBM model 1"}.get(self.criterion, self.criterion)
        return (
            f"alignments are read from {self.reading}: of {len(self.candidates)} readings the one with the "
            f"lowest error rate ({self.candidates[0][1].error_rate:.3f}) against {against} on "
            f"{self.sentences:,} held-out sentences"
        )

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON holds it."""
        return {
            "reading": self.reading._asdict(),
            "criterion": self.criterion,
            "sentences": self.sentences,
            "candidates": [{**reading._asdict(), **scores.as_dict()} for reading, scores in self.candidates],
        }


def reading_from_dict(entries: Mapping[str, Any]) -> Reading:
    """The reading in what `AlignmentChoice.as_dict` wrote.

    Raises:
        UserError: It is not that.
    """
    given = entries.get("reading") if isinstance(entries, Mapping) else None
    if not isinstance(given, Mapping) or set(given) != set(Reading._fields):
        raise UserError(f"a choice of layer and head has an entry reading with {', '.join(Reading._fields)}")
    for name in ("layer", "head"):
        value = given[name]
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise UserError(f"the {name} of a reading is a number from 0 on, or null, not {value!r}")
    if not isinstance(given["is_shifted"], bool):
        raise UserError("is_shifted of a reading is true or false")
    return Reading(**given)


def all_readings(layers: int, heads: int) -> list[Reading]:
    """Every mean and head, as they are and shifted: the simplest first."""
    places: list[tuple[int | None, int | None]] = [(None, None)]
    if layers > 1:
        places += [(layer, None) for layer in range(layers)]
    if heads > 1:
        places += [(layer, head) for layer in range(layers) for head in range(heads)]
    return [Reading(layer, head, is_shifted) for is_shifted in (False, True) for layer, head in places]


def choose_reading(held_out: Iterable[tuple[Pair, Alignment]], criterion: str = "gold") -> AlignmentChoice:
    """Choose what alignments are read from.

    Args:
        held_out: Pairs that are not those to be aligned or tested, with what their links should be.
        criterion: What these are, for the record: "gold", or "ibm1" for the links of IBM model 1.

    Raises:
        UserError: There are no sentences, or their maps have different layers or heads.
    """
    scores: dict[Reading, AlignmentScores] = {}
    size = None
    sentences = 0
    for pair, wanted in held_out:
        this = pair.attention.layers, pair.attention.heads
        if size is None:
            size = this
            scores = dict.fromkeys(all_readings(*size), NO_ALIGNMENTS)
        if this != size:
            raise UserError(
                f"the maps are of {size} and of {this} layers and heads; they must be of one model"
            )
        for reading in scores:
            links = argmax_alignment(pair.words(reading))
            scores[reading] += score_alignment(links, wanted.sure, wanted.possible)
        sentences += 1
    if size is None:
        raise UserError("there are no held-out sentences to choose a layer and a head on")
    candidates = sorted(
        scores.items(), key=lambda candidate: candidate[1].error_rate
    )  # stable: simplest first
    return AlignmentChoice(candidates[0][0], criterion, sentences, tuple(candidates))
