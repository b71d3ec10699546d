"""Rank correlations: row by row against scipy and against counting, and where there is no order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import kendalltau, spearmanr

from shisen.inspection.faithfulness.agreement import kendall, permuted_rows, spearman, top_overlap

values = st.integers(0, 4).map(float)
pairs = st.integers(2, 9).flatmap(
    lambda keys: st.tuples(
        arrays(float, (3, keys), elements=values), arrays(float, (3, keys), elements=values)
    )
)


@given(pairs)
def test_every_row_is_what_scipy_makes_of_it(pair):
    first, second = pair
    for ours, theirs in ((kendall, kendalltau), (spearman, spearmanr)):
        found = ours(first, second)
        for row in range(len(first)):
            if np.ptp(first[row]) == 0 or np.ptp(second[row]) == 0:
                assert found[row] == 0
            else:
                assert found[row] == pytest.approx(theirs(first[row], second[row]).statistic, abs=1e-12)


def test_kendall_counts_pairs():
    # Of the pairs of (1, 2, 3, 4) and (1, 3, 2, 4), five are in the same order and one is not.
    assert kendall(np.array([[1.0, 2, 3, 4]]), np.array([[1.0, 3, 2, 4]])) == pytest.approx(4 / 6)


def test_the_overlap_is_a_share_of_the_largest():
    first, second = np.array([[0.5, 0.3, 0.1, 0.1]]), np.array([[0.1, 0.3, 0.5, 0.1]])
    assert top_overlap(first, second, 1) == 0
    assert top_overlap(first, second, 2) == 0.5
    assert top_overlap(first, second, 3) == 1
    # Of two tokens, both would always be common: the first alone is compared.
    assert top_overlap(np.array([[0.9, 0.1]]), np.array([[0.2, 0.8]]), 2) == 0


@given(pairs)
def test_agreement_does_not_depend_on_the_order_of_the_tokens(pair):
    first, second = pair
    order = np.random.default_rng(0).permutation(first.shape[1])
    for measure in (kendall, spearman):
        np.testing.assert_allclose(
            measure(first[:, order], second[:, order]), measure(first, second), atol=1e-12
        )


def test_permuted_rows_keep_their_values_and_agree_with_nothing():
    rows = np.random.default_rng(0).random((5, 8))
    permuted = permuted_rows(rows, 2000, np.random.default_rng(1))
    np.testing.assert_allclose(np.sort(permuted, -1), np.broadcast_to(np.sort(rows, -1), permuted.shape))
    agreement = kendall(permuted, np.broadcast_to(rows, permuted.shape))
    assert np.abs(agreement.mean(0)).max() < 0.03
    assert np.ptp(permuted[:, 0].argmax(-1)) == 7
