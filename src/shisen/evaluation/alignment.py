"""Which word translates which, by attention: hard alignments, and their error against gold ones.

A gold alignment has sure links S and possible links P ⊇ S; a predicted one has links A (Och & Ney 2003):

    precision = |A ∩ P| / |A|     recall = |A ∩ S| / |S|     AER = 1 − (|A ∩ S| + |A ∩ P|) / (|A| + |S|)

with the counts summed over the test set. Links are (source word, target word), counted from 0.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np
from jaxtyping import Float, Float64

from shisen.errors import UserError

Links = frozenset[tuple[int, int]]


@dataclass(frozen=True)
class AlignmentScores:
    """The error rate of a set of alignments, and the counts that it is made of."""

    predicted: int
    sure: int
    predicted_in_sure: int
    predicted_in_possible: int

    @property
    def precision(self) -> float:
        """|A ∩ P| / |A|; 1 where nothing was predicted."""
        return self.predicted_in_possible / self.predicted if self.predicted else 1.0

    @property
    def recall(self) -> float:
        """|A ∩ S| / |S|; 1 where nothing is sure."""
        return self.predicted_in_sure / self.sure if self.sure else 1.0

    @property
    def error_rate(self) -> float:
        """AER, 0 (best) to 1."""
        total = self.predicted + self.sure
        return 1 - (self.predicted_in_sure + self.predicted_in_possible) / total if total else 0.0

    def __add__(self, other: AlignmentScores) -> AlignmentScores:
        """The scores of both sets taken together."""
        return AlignmentScores(
            self.predicted + other.predicted,
            self.sure + other.sure,
            self.predicted_in_sure + other.predicted_in_sure,
            self.predicted_in_possible + other.predicted_in_possible,
        )

    def as_dict(self) -> dict[str, float]:
        """The scores as JSON holds them."""
        return {
            "aer": self.error_rate,
            "precision": self.precision,
            "recall": self.recall,
            "predicted_links": self.predicted,
            "sure_links": self.sure,
            "predicted_sure_links": self.predicted_in_sure,
            "predicted_possible_links": self.predicted_in_possible,
        }


#: The scores of no sentence at all, to add others to.
NO_ALIGNMENTS = AlignmentScores(0, 0, 0, 0)


def score_alignment(
    predicted: Iterable[tuple[int, int]],
    sure: Iterable[tuple[int, int]],
    possible: Iterable[tuple[int, int]] = (),
) -> AlignmentScores:
    """The counts of one sentence pair. Sure links count as possible, whether or not they are listed again."""
    links, sure_links = frozenset(predicted), frozenset(sure)
    possible_links = sure_links | frozenset(possible)
    return AlignmentScores(len(links), len(sure_links), len(links & sure_links), len(links & possible_links))


def argmax_alignment(weights: Float[np.ndarray, "target_words source_words"], minimum: float = 0.0) -> Links:
    """Each target word with the source word it looked at most.

    A word whose largest weight is zero, or below ``minimum``, stays unaligned. Of equal weights the first
    wins.
    """
    if 0 in weights.shape:
        return frozenset()
    best = weights.argmax(axis=1)
    heights = weights[np.arange(len(weights)), best]
    return frozenset(
        (int(source), target)
        for target, (source, height) in enumerate(zip(best, heights, strict=True))
        if height > 0 and height >= minimum
    )


def threshold_alignment(weights: Float[np.ndarray, "target_words source_words"], threshold: float) -> Links:
    """Every pair whose weight is ``threshold`` or more: a target word may have several links, or none."""
    check_threshold(threshold)
    return frozenset((int(source), int(target)) for target, source in np.argwhere(weights >= threshold))


def check_threshold(threshold: float) -> None:
    """Refuse a threshold that would link every pair of words, or none."""
    if not 0 < threshold <= 1:
        raise UserError(f"the threshold of an alignment lies above 0 and at most at 1; this is {threshold}")


def word_weights(
    weights: Float[np.ndarray, "queries keys"],
    query_words: Sequence[Sequence[int]],
    key_words: Sequence[Sequence[int]],
    target_words: int,
    source_words: int,
) -> Float64[np.ndarray, "target_words source_words"]:
    """Attention between words: the sum over the pieces of a key, the mean over the pieces of a query.

    Args:
        weights: Of the pieces, special tokens included.
        query_words: For every query the words it is part of: none for a special token, one as a rule, several
            for a piece that spans a blank.
        key_words: The same for every key. A piece in several words gives each an equal share.
        target_words: How many words the target has.
        source_words: How many words the source has.
    """
    rows = _membership(query_words, target_words).T  # [target_words, queries]
    rows /= np.maximum(rows.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return rows @ weights.astype(np.float64) @ _membership(key_words, source_words)


def _membership(words: Sequence[Sequence[int]], count: int) -> np.ndarray:
    """``[pieces, words]``: the share that each piece gives to each word."""
    shares = np.zeros((len(words), count))
    for piece, numbers in enumerate(words):
        for number in numbers:
            shares[piece, number] = 1 / len(numbers)
    return shares


def words_of_pieces(text: str, surfaces: Sequence[str]) -> list[tuple[int, ...]]:
    """For every piece the numbers of the words between blanks that it stands in.

    A piece whose spelling is not found (normalisation made several pieces of one character, "…" of "...")
    belongs to the word of the piece before it.

    Args:
        text: The sentence. Its words are what lies between its blanks.
        surfaces: Its pieces, in order, as they are spelled in it, with or without the blanks; Unicode
            normalisation (NFKC) may have changed them.

    Raises:
        UserError: The pieces do not spell the sentence.
    """
    word_of_letter = [number for number, word in enumerate(text.split()) for _ in _letters(word)]
    piece_of_letter = [number for number, surface in enumerate(surfaces) for _ in _letters(surface)]
    written, spelled = _letters("".join(text.split())), _letters("".join(surfaces))
    words: list[set[int]] = [set() for _ in surfaces]
    for begin, piece_begin, length in _common_runs(written, spelled):
        for offset in range(length):
            words[piece_of_letter[piece_begin + offset]].add(word_of_letter[begin + offset])
    if sum(map(bool, words)) < sum(1 for surface in surfaces if _letters(surface)) / 2:
        raise UserError(f"the tokens do not spell the sentence {text[:60]!r}: they read {spelled[:60]!r}")
    last = 0
    for surface, numbers in zip(surfaces, words, strict=True):
        if _letters(surface) and not numbers:
            numbers.add(last)
        last = max(numbers, default=last)
    return [tuple(sorted(numbers)) for numbers in words]


def _letters(text: str) -> str:
    """The characters of a text in normal form, without blanks; each character by itself."""
    return "".join(unicodedata.normalize("NFKC", character) for character in text).replace(" ", "")


def _common_runs(first: str, second: str) -> list[tuple[int, int, int]]:
    """Where both texts read alike: (begin in the first, begin in the second, length)."""
    if first == second:
        return [(0, 0, len(first))]
    matcher = SequenceMatcher(None, first, second, autojunk=False)
    return [(run.a, run.b, run.size) for run in matcher.get_matching_blocks()]
