"""From pieces to words: weights between words, and the words that pieces stand in."""

import numpy as np
import pytest

from shisen.errors import UserError
from shisen.inspection.word_weights import word_weights, words_of_pieces


def test_word_weights_sum_over_key_pieces_and_average_over_query_pieces():
    weights = np.array(
        [
            [0.5, 0.3, 0.1, 0.1],
            [0.1, 0.1, 0.6, 0.2],
            [0.0, 0.0, 0.0, 1.0],  # the end of the sentence
        ]
    )
    words = word_weights(weights, [(0,), (0,), ()], [(0,), (0,), (1,), ()], target_words=1, source_words=2)
    np.testing.assert_allclose(words, [[(0.8 + 0.2) / 2, (0.1 + 0.6) / 2]])


def test_a_piece_that_spans_a_blank_gives_each_of_its_words_a_share():
    words = word_weights(np.array([[1.0]]), [(0,)], [(0, 1)], target_words=1, source_words=2)
    np.testing.assert_allclose(words, [[0.5, 0.5]])


@pytest.mark.parametrize(
    ("text", "pieces", "words"),
    [
        ("the cat sat", ["the", "cat", "sat"], [(0,), (1,), (2,)]),
        ("unhappy cats", ["un", "happy", "cat", "s"], [(0,), (0,), (1,), (1,)]),
        ("of the", ["of the"], [(0, 1)]),
        ("猫 が 座った", ["猫", "が", "座", "った"], [(0,), (1,), (2,), (2,)]),
        ("a b", ["a", " ", "b"], [(0,), (), (1,)]),
        ("", [], []),
        ("（ １ つ", ["(", "1", "つ"], [(0,), (1,), (2,)]),  # the pieces in normal form
        ("so … no", ["so", "…", "…", "…", "no"], [(0,), (1,), (1,), (1,), (2,)]),  # "…" cut as "..."
    ],
)
def test_pieces_find_the_words_between_blanks_that_they_stand_in(text, pieces, words):
    assert words_of_pieces(text, pieces) == words


def test_pieces_that_spell_something_else_are_refused():
    with pytest.raises(UserError, match="do not spell"):
        words_of_pieces("the cat", ["wuff", "dog"])
