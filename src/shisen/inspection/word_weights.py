"""From pieces to words: whose word a token is part of, and the weights between words.

Words are what stands between the blanks of a text, as the links of an alignment count them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from difflib import SequenceMatcher

import numpy as np
from jaxtyping import Float, Float64

from shisen.errors import UserError


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
