"""The figure of a verdict: a mark for every comparison, a curve for every order, words in both languages."""

import numpy as np
import pytest

from shisen.inspection.faithfulness import FaithfulnessOptions, FaithfulnessReport
from shisen.inspection.faithfulness.comparisons import COMPARISONS, compare_all
from shisen.inspection.faithfulness.words import TEST_NAMES
from shisen.plotting import plot_faithfulness

ORDERS = ("attention", "gradient-input", "integrated-gradients", "leave-one-out", "chance")


def report_of(sentences: int) -> FaithfulnessReport:
    draw = np.random.default_rng(0)
    names = {side for one in COMPARISONS for side in (one.own, one.other) if side}
    values = {
        name: draw.normal(0.6 if name.endswith(".attention") else 0.3, 0.1, sentences)
        for name in sorted(names)
    }
    curves = {
        f"{test}.{order}": draw.random((sentences, 4))
        for test in ("comprehensiveness", "sufficiency")
        for order in ORDERS
    }
    options = FaithfulnessOptions(samples=1000)
    return FaithfulnessReport(
        options, sentences, 99, 0, 0, 1, 1, values, curves, compare_all(values, options), 1.0, True
    )


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_comparison_has_its_mark_and_its_name(language):
    report = report_of(30)
    figure = report.plot(language)
    axes = figure.subfigs[0].axes[0]
    marks = [line for line in axes.lines if line.get_marker() == "o"]
    assert [mark.get_xdata()[0] for mark in marks] == [
        one.effect
        for rival in ("threshold", "seed", "chance", "gradients", "integrated-gradients")
        for one in report.results
        if one.rival == rival
    ]
    for mark, one in zip(marks, sorted_by_row(report), strict=True):
        is_filled = mark.get_markerfacecolor() != "white"
        assert is_filled == (one.outcome in ("better", "worse"))
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert set(TEST_NAMES[language].values()) <= set(labels)


def sorted_by_row(report: FaithfulnessReport) -> list:
    rows = ("threshold", "seed", "chance", "gradients", "integrated-gradients")
    return sorted(report.results, key=lambda one: rows.index(one.rival))


def test_the_curves_are_the_means_over_the_sentences():
    report = report_of(12)
    upper, lower = plot_faithfulness(report).subfigs[1].axes
    for axes, test in ((upper, "comprehensiveness"), (lower, "sufficiency")):
        for line, order in zip(axes.lines, ORDERS, strict=True):
            np.testing.assert_allclose(line.get_ydata(), report.curves[f"{test}.{order}"].mean(0))


def test_without_integrated_gradients_their_curve_is_left_out():
    report = report_of(12)
    for test in ("comprehensiveness", "sufficiency"):
        del report.curves[f"{test}.integrated-gradients"]
    assert len(plot_faithfulness(report).subfigs[1].axes[0].lines) == len(ORDERS) - 1


def test_too_little_data_has_words_in_place_of_marks():
    axes = plot_faithfulness(report_of(3)).subfigs[0].axes[0]
    assert not [line for line in axes.lines if line.get_marker() == "o"]
    texts = [text.get_text() for text in axes.texts]
    assert texts.count("too little data") == len(COMPARISONS)
