"""Hard alignments from weights: by argmax, threshold and matching, and the rows of the step after."""

from itertools import permutations

import numpy as np
import pytest

from shisen.data.alignments import parse_alignment
from shisen.errors import UserError
from shisen.inspection.alignment import (
    after_reading,
    argmax_alignment,
    flipped,
    format_pharaoh,
    matching_alignment,
    source_argmax_alignment,
    threshold_alignment,
)
from shisen.inspection.attention_map import AttentionMap


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


def test_the_argmax_of_source_words_is_that_of_the_transposed_weights():
    weights = np.random.default_rng(0).random((5, 7))
    by_source = {(source, max(range(5), key=lambda target: weights[target, source])) for source in range(7)}
    assert source_argmax_alignment(weights) == by_source
    assert source_argmax_alignment(weights) == flipped(argmax_alignment(weights.T))


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3), (1, 4)])
def test_a_matching_has_the_largest_sum_of_all_one_to_one_alignments(shape):
    weights = np.random.default_rng(1).random(shape)
    links = matching_alignment(weights)
    wide = weights if shape[0] <= shape[1] else weights.T
    best = max(
        sum(wide[row, column] for row, column in enumerate(columns))
        for columns in permutations(range(wide.shape[1]), wide.shape[0])
    )
    assert sum(weights[target, source] for source, target in links) == pytest.approx(best)
    assert len({source for source, _ in links}) == len({target for _, target in links}) == min(shape)


def test_a_matching_gives_a_contested_word_to_one_and_the_other_its_second_choice():
    weights = np.array([[0.6, 0.4], [0.9, 0.1]])
    assert argmax_alignment(weights) == {(0, 0), (0, 1)}
    assert matching_alignment(weights) == {(1, 0), (0, 1)}
    assert matching_alignment(weights, minimum=0.5) == {(0, 1)}


def test_a_matching_makes_no_link_of_weight_zero():
    assert matching_alignment(np.zeros((2, 3))) == frozenset()
    assert matching_alignment(np.zeros((0, 3))) == frozenset()
    assert matching_alignment(np.eye(2, 3)) == {(0, 0), (1, 1)}


def test_a_line_of_a_pharaoh_file_reads_back_as_the_same_links():
    links = {(10, 2), (2, 10), (0, 0), (2, 1)}
    assert format_pharaoh(links) == "0-0 2-1 2-10 10-2"
    assert parse_alignment(format_pharaoh(links)).sure == links
    assert format_pharaoh([]) == ""


def test_the_row_of_a_token_becomes_that_of_the_step_that_read_it():
    weights = np.random.default_rng(2).dirichlet(np.ones(3), (2, 4, 5)).astype(np.float32)
    given = AttentionMap(weights, ("猫", "が", "座っ", "た", "</s>"), ("the", "cat", "</s>"))
    shifted = after_reading(given)
    for row in range(4):  # y_t is read at the step that produces y_{t+1}
        np.testing.assert_array_equal(shifted.weights[:, :, row], weights[:, :, row + 1])
    assert not shifted.weights[:, :, 4].any()
    assert shifted.query_tokens == given.query_tokens
    assert shifted.metadata["decoder_state"] == "current"


def test_of_a_map_of_one_row_nothing_was_read():
    one = AttentionMap.from_arrays(np.ones((1, 1)), ["</s>"], ["</s>"])
    assert not after_reading(one).weights.any()
