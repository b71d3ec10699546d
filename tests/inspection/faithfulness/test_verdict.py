"""Outcomes of the comparisons, and the words that are made of them."""

import dataclasses

import numpy as np
import pytest

from shisen.errors import UserError
from shisen.inspection.faithfulness import FaithfulnessOptions, FaithfulnessReport
from shisen.inspection.faithfulness.comparisons import COMPARISONS, compare_all
from shisen.inspection.faithfulness.words import RIVAL_NAMES, TEST_NAMES, two_places

OPTIONS = FaithfulnessOptions(samples=1000)


def measured(sentences: int, attention: float, rival: float) -> dict[str, np.ndarray]:
    """Measurements of every comparison, the same for all but for a little noise."""
    draw = np.random.default_rng(0)
    names = {side for one in COMPARISONS for side in (one.own, one.other) if side}
    return {
        name: draw.normal(attention if name.endswith(".attention") else rival, 1e-3, sentences)
        for name in sorted(names)
    }


def report_of(measurements: dict[str, np.ndarray], options: FaithfulnessOptions = OPTIONS):
    sentences = len(next(iter(measurements.values())))
    curves = {
        f"{test}.attention": np.full((sentences, 4), 0.5) for test in ("comprehensiveness", "sufficiency")
    }
    results = compare_all(measurements, options)
    return FaithfulnessReport(
        options, sentences, 10 * sentences, 0, 0, 2, 4, measurements, curves, results, 1.5, True
    )


def outcomes(report: FaithfulnessReport) -> dict[tuple[str, str], str]:
    return {(one.test, one.rival): one.outcome for one in report.results}


def test_more_is_better_but_for_the_adversary_and_sufficiency():
    found = outcomes(report_of(measured(30, attention=0.6, rival=0.2)))
    worse = {test for (test, _), outcome in found.items() if outcome == "worse"}
    assert worse == {"adversary", "sufficiency"}
    assert set(found.values()) == {"better", "worse"}


def test_a_sure_but_small_difference_is_none():
    # The thousandth is there in every sentence; it is not worth a word.
    values = measured(30, 0.4, 0.4)
    values = {name: np.full(30, 0.401 if name.endswith("attention") else 0.4) for name in values}
    found = outcomes(report_of(values))
    assert {outcome for (_, rival), outcome in found.items() if rival != "threshold"} == {"no difference"}


@pytest.mark.parametrize("sentences", [1, 4, 8])
def test_a_few_sentences_are_too_little_data(sentences):
    report = report_of(measured(sentences, 0.6, 0.2))
    assert set(outcomes(report).values()) == {"too little data"}
    assert f"Too little data to tell ({sentences} sentence" in report.verdict("en")
    assert "better than chance on" not in report.verdict("en")
    assert "データが少なく" in report.verdict("ja")


def test_the_p_values_are_corrected_for_their_number():
    report = report_of(measured(30, 0.6, 0.2))
    assert len(report.results) == len(COMPARISONS)
    smallest = min(one.p_value for one in report.results)
    assert report.results[0].adjusted == pytest.approx(smallest * len(COMPARISONS))


def test_a_comparison_without_measurements_is_left_out():
    values = measured(30, 0.6, 0.2)
    without = {name: value for name, value in values.items() if not name.endswith(".seed")}
    assert ("adversary", "seed") not in outcomes(report_of(without))
    nowhere = {**values, "adversary.weights.seed": np.full(30, np.nan)}
    assert ("adversary", "seed") not in outcomes(report_of(nowhere))


def test_sentences_without_a_measurement_are_left_out_of_its_test():
    values = measured(30, 0.6, 0.2)
    values["adversary.weights.seed"][3:7] = np.nan
    assert report_of(values).result("adversary", "seed").sentences == 26


def test_the_verdict_names_the_numbers_of_its_tests():
    report = report_of(measured(30, 0.6, 0.2))
    text = report.verdict()
    assert "the mean over 2 layers and 4 heads" in text
    assert "300 decisions" in text
    assert "Attention did better than chance on: erasing the largest weight (0.60 against 0.20" in text
    assert "Attention did worse than chance on: keeping tokens: sufficiency" in text
    assert "explains" not in text


def test_the_verdict_says_which_layer_and_head_it_is_of():
    def verdict(language: str, **chosen: int) -> str:
        return report_of(measured(9, 0.6, 0.2), FaithfulnessOptions(samples=1000, **chosen)).verdict(language)

    assert "(layer 1, the mean over 4 heads;" in verdict("en", layer=1)
    assert "(head 3, the mean over 2 layers;" in verdict("en", head=3)
    assert "(layer 0, head 2;" in verdict("en", layer=0, head=2)
    assert "（層 1、全 4 ヘッドの平均。" in verdict("ja", layer=1)


def test_both_languages_name_every_test_and_rival():
    tests, rivals = {one.test for one in COMPARISONS}, {one.rival for one in COMPARISONS}
    for language in ("en", "ja"):
        assert set(TEST_NAMES[language]) == tests
        assert set(RIVAL_NAMES[language]) == rivals
    english, japanese = (report_of(measured(30, 0.6, 0.2)).verdict(language) for language in ("en", "ja"))
    assert english.count("r = ") == japanese.count("r = ") == len(COMPARISONS)


def test_a_language_without_words_is_refused():
    with pytest.raises(UserError, match="there are no words in 'fr'; the languages are en, ja"):
        report_of(measured(3, 0.6, 0.2)).verdict("fr")


def test_a_number_that_rounds_to_zero_has_no_sign():
    assert [two_places(number) for number in (-0.001, 0.404, -0.25)] == ["0.00", "0.40", "-0.25"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"bound": 0.0}, "bound is 0.0; it must lie between 0 and 1"),
        ({"fractions": (0.5, 1.0)}, "a share of fractions is 1.0; it must lie between 0 and 1"),
        ({"fractions": ()}, "fractions is empty"),
        ({"sentences": 0}, "sentences is 0; it must be at least 1"),
        ({"layer": -1}, "layer is -1; it must be at least 0"),
        ({"permutations": 0}, "permutations is 0; it must be at least 1"),
        ({"smallest_difference": 1.0}, "smallest_difference is 1.0"),
    ],
)
def test_settings_out_of_range_are_refused(setting, message):
    with pytest.raises(UserError, match=message):
        FaithfulnessOptions(**setting)


def test_the_settings_are_in_the_json():
    found = report_of(measured(9, 0.6, 0.2)).as_dict()["settings"]
    assert set(found) == {field.name for field in dataclasses.fields(FaithfulnessOptions)}
