"""The error rate of alignments by its formula, and the hard alignments that attention weights imply."""

import numpy as np
import pytest

from shisen.errors import UserError
from shisen.evaluation.alignment import (
    NO_ALIGNMENTS,
    argmax_alignment,
    score_alignment,
    threshold_alignment,
    word_weights,
    words_of_pieces,
)


def test_the_error_rate_is_that_of_och_and_ney():
    # A = 4 links, S = 3, P = 5; two of A are sure, three possible: AER = 1 − (2 + 3) / (4 + 3).
    sure = {(0, 0), (1, 1), (2, 2)}
    possible = {(3, 1), (4, 4)}
    scores = score_alignment({(0, 0), (1, 1), (3, 1), (5, 5)}, sure, possible)
    assert scores.error_rate == pytest.approx(1 - 5 / 7)
    assert scores.precision == pytest.approx(3 / 4)
    assert scores.recall == pytest.approx(2 / 3)


def test_the_gold_alignment_makes_no_error_and_a_disjoint_one_only_errors():
    gold = {(0, 1), (1, 0)}
    assert score_alignment(gold, gold).error_rate == 0
    assert score_alignment({(0, 0), (1, 1)}, gold).error_rate == 1


def test_a_possible_link_costs_nothing_when_predicted_and_nothing_when_not():
    sure, possible = {(0, 0)}, {(1, 1)}
    assert score_alignment({(0, 0), (1, 1)}, sure, possible).error_rate == 0
    assert score_alignment({(0, 0)}, sure, possible).error_rate == 0


def test_counts_are_summed_over_sentences_not_rates():
    right = score_alignment({(0, 0)}, {(0, 0)})
    wrong = score_alignment({(0, 1), (1, 1), (2, 1)}, {(0, 0), (1, 0), (2, 0)})
    assert (NO_ALIGNMENTS + right + wrong).error_rate == pytest.approx(1 - 2 / 8)


def test_nothing_predicted_against_nothing_sure_is_no_error():
    assert NO_ALIGNMENTS.error_rate == 0
    assert (NO_ALIGNMENTS.precision, NO_ALIGNMENTS.recall) == (1, 1)


def test_argmax_links_each_target_word_once_and_leaves_dark_rows_out():
    weights = np.array([[0.1, 0.9], [0.6, 0.4], [0.0, 0.0]])
    assert argmax_alignment(weights) == {(1, 0), (0, 1)}
    assert argmax_alignment(weights, minimum=0.7) == {(1, 0)}
    assert argmax_alignment(np.zeros((3, 0))) == frozenset()


def test_a_threshold_links_every_pair_that_reaches_it():
    weights = np.array([[0.1, 0.9], [0.5, 0.5]])
    assert threshold_alignment(weights, 0.5) == {(1, 0), (0, 1), (1, 1)}
    assert threshold_alignment(weights, 0.95) == frozenset()
    with pytest.raises(UserError, match="above 0 and at most at 1"):
        threshold_alignment(weights, 1.5)


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
