"""The error rate of alignments, and the F-measure, by their formulas."""

import pytest

from shisen.errors import UserError
from shisen.evaluation.alignment import NO_ALIGNMENTS, score_alignment


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


def test_the_f_measure_is_the_harmonic_mean_of_precision_and_recall():
    scores = score_alignment({(0, 0), (1, 1), (3, 1), (5, 5)}, {(0, 0), (1, 1), (2, 2)}, {(3, 1), (4, 4)})
    precision, recall = 3 / 4, 2 / 3
    assert scores.f_measure() == pytest.approx(2 * precision * recall / (precision + recall))
    assert scores.f_measure(0.4) == pytest.approx(1 / (0.4 / precision + 0.6 / recall))
    assert scores.f_measure(1.0) == pytest.approx(precision)
    assert scores.f_measure(0.0) == pytest.approx(recall)
    assert scores.as_dict()["f1"] == scores.f_measure()


def test_without_possible_links_the_error_rate_is_what_f1_leaves():
    scores = score_alignment({(0, 0), (1, 1), (2, 0)}, {(0, 0), (1, 2), (2, 2), (3, 3)})
    assert scores.error_rate == pytest.approx(1 - scores.f_measure())


def test_the_f_measure_of_links_that_are_all_wrong_is_zero_and_its_weight_is_a_share():
    scores = score_alignment({(0, 0)}, {(1, 1)})
    assert scores.f_measure() == 0
    with pytest.raises(UserError, match=r"between 0 and 1; this is 1\.5"):
        scores.f_measure(1.5)
