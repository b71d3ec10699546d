"""Paired tests over sentences, against enumeration and hand-made examples."""

import itertools

import numpy as np
import pytest

from shisen.inspection.faithfulness.paired_tests import (
    bootstrap_interval,
    holm,
    rank_biserial,
    sign_flip_p_value,
    smallest_p_value,
)


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_few_sentences_are_enumerated():
    differences = np.array([0.3, -0.1, 0.4, 0.2, 0.25])
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
            for signs in itertools.product((-1, 1), repeat=5)]  # fmt: skip
    expected = np.mean([found >= abs(differences.sum()) - 1e-12 for found in sums])
    assert sign_flip_p_value(differences, 100, generator()) == pytest.approx(expected)


def test_many_sentences_are_sampled_near_the_exact_value():
    differences = np.random.default_rng(2).normal(0.25, 1, 12)
    exact = sign_flip_p_value(differences, 100, generator())
    with_zero = np.append(differences, 0.0)  # a difference of 0 changes no sum, but the 13th is sampled
    assert sign_flip_p_value(with_zero, 20_000, generator()) == pytest.approx(exact, abs=0.015)


def test_no_difference_is_no_evidence():
    assert sign_flip_p_value(np.zeros(30), 1000, generator()) == 1


def test_under_the_null_small_p_values_are_as_rare_as_they_say():
    draw = np.random.default_rng(3)
    found = [sign_flip_p_value(draw.normal(size=10), 100, generator()) for _ in range(400)]
    assert np.mean(np.array(found) <= 0.1) == pytest.approx(0.1, abs=0.05)


def test_the_smallest_p_value_is_reached_when_all_sentences_agree():
    for sentences in (4, 8, 12, 40):
        found = sign_flip_p_value(np.full(sentences, 0.2), 500, generator())
        assert found == pytest.approx(smallest_p_value(sentences, 500))


def test_holm_multiplies_step_by_step():
    # Holm 1979: 0.01 × 4, then 0.015 × 3, then 0.04 × 2, then 0.03 is not made smaller than those before.
    assert holm(np.array([0.01, 0.04, 0.015, 0.5])) == pytest.approx([0.04, 0.08, 0.045, 0.5])
    assert holm(np.array([0.04, 0.03])) == pytest.approx([0.06, 0.06])
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1, 1])


def test_rank_biserial_runs_from_minus_one_to_one():
    assert rank_biserial(np.array([0.1, 2.0, 0.3])) == 1
    assert rank_biserial(np.array([-0.1, -2.0])) == -1
    assert rank_biserial(np.zeros(3)) == 0
    assert rank_biserial(np.array([1.0, -2.0, 3.0, 0.0])) == pytest.approx((1 - 2 + 3) / 6)


def test_the_interval_holds_the_mean_and_narrows_with_the_data():
    values = np.random.default_rng(4).normal(1, 1, 400)
    low, high = bootstrap_interval(values, 1000, generator())
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.15)  # 1.96 standard errors to either side
    assert bootstrap_interval(np.full(3, 0.5), 100, generator()) == (0.5, 0.5)
