"""Translation faults inside a report."""

import html
import re

import numpy as np
import pytest
from report_maps import SOURCE, TARGET, cross_map, weights_at

from shisen.errors import UserError
from shisen.inspection import AttentionMap
from shisen.inspection.faults import learn_faults
from shisen.inspection.report import ReportGatherer
from shisen.inspection.report import faults as faults_part
from shisen.inspection.report.words import WORDS


def of_rows(rows, target=TARGET, kind="cross"):
    return AttentionMap.from_arrays(weights_at(rows, len(SOURCE)), target, SOURCE, kind)


def forgotten():
    """The row of the book looks at what is old: nothing looks at the book."""
    return of_rows([0, 0, 3, 3, 3, 1, 5, 6])


def said_twice():
    return of_rows([0, 0, 3, 4, 3, 4, 1, 6], ["私", "は", "古い", "本", "古い", "本", "読む", "</s>"])


@pytest.fixture(scope="module")
def report():
    gatherer = ReportGatherer()
    for seed in range(38):
        gatherer.add({"cross": cross_map(1, 2, seed=seed), "encoder": cross_map(1, 2, kind="encoder")})
    gatherer.add({"cross": with_two_heads(forgotten())})
    gatherer.add({"cross": with_two_heads(said_twice())})
    return gatherer.report()


def with_two_heads(attention_map):
    """The same map for both heads, as a corpus has maps of one size."""
    weights = np.repeat(attention_map.weights, 2, axis=1)
    return AttentionMap.from_arrays(weights, attention_map.query_tokens, attention_map.key_tokens, "cross")


def test_the_sentence_with_the_forgotten_word_is_first_and_the_word_is_marked(report):
    numbers = report.as_dict()["faults"]
    worst = numbers["under"][0]
    assert worst["sentence"] == 39
    book = SOURCE.index("book")
    assert book in worst["under"]
    assert worst["ratios"][book] == min(one for one in worst["ratios"] if one is not None)


def test_the_ratios_are_those_that_are_learnt_from_the_mean_of_the_heads(report):
    maps = [cross_map(1, 2, seed=seed).weights.mean(axis=(0, 1)) for seed in range(38)]
    learnt_from = [*maps, forgotten().weights[0, 0], said_twice().weights[0, 0]]
    finder = learn_faults([(weights, tuple(SOURCE)) for weights in learnt_from])
    worst = report.as_dict()["faults"]["under"][0]
    received = forgotten().weights[0, 0].sum(axis=0)
    assert worst["ratios"][:5] == pytest.approx(
        [got / finder.expected[word] for got, word in zip(received[:5], SOURCE, strict=False)], abs=1e-6
    )
    assert worst["thresholds"] == pytest.approx({"low": finder.low, "high": finder.high}, abs=1e-6)


def test_the_repeated_span_is_found_and_marked_on_the_page(report):
    over = report.as_dict()["faults"]["over"]
    spans = {one["sentence"]: one["repetitions"] for one in over}[40]
    assert [(span["first"], span["second"], span["length"]) for span in spans] == [(2, 4, 2)]
    section = section_of(report, "en")
    assert section.count("古い</mark>") >= 2
    assert WORDS["en"]["said_twice"] in section


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_page_says_how_many_sentences_are_marked(report, language):
    numbers = report.as_dict()["faults"]
    section = section_of(report, language)
    assert WORDS[language]["faults_note"] in section
    for count in (numbers["sentences"], numbers["marked"]["under"], numbers["marked"]["over"]):
        assert str(count) in section
    assert f"{numbers['thresholds']['low']:.3f}" in section
    ratio = min(one for one in numbers["under"][0]["ratios"] if one is not None)
    assert f'<mark title="{WORDS[language]["received"].format(ratio=f"{ratio:.3f}")}">book</mark>' in section


def test_tokens_are_written_as_text(report):
    gatherer = ReportGatherer()
    source = ["<b>", "two", "three", "four", "five", "six"]
    for missing in [None] * 12 + [0]:
        weights = np.eye(6)
        if missing is not None:
            weights[missing] = np.eye(6)[1]
        gatherer.add({"cross": AttentionMap.from_arrays(weights, [*"abcdef"], source)})
    section = section_of(gatherer.report(), "en", unescape=False)
    assert "&lt;b&gt;</mark>" in section
    assert "<b>" not in section


def test_a_report_without_cross_attention_or_with_few_words_has_no_such_part():
    gatherer = ReportGatherer()
    gatherer.add({"cross": cross_map(1, 1)})
    report = gatherer.report()
    assert "faults" not in report.as_dict()
    assert 'id="faults"' not in report.to_html()
    gatherer = ReportGatherer()
    for seed in range(30):
        gatherer.add({"encoder": cross_map(1, 1, seed=seed, kind="encoder")})
    assert "faults" not in gatherer.report().as_dict()


def test_sentences_after_those_learnt_from_are_looked_at_as_they_come(monkeypatch):
    monkeypatch.setattr(faults_part, "LEARNT_ON", 20)
    gatherer = faults_part.FaultGatherer(size=2)
    for seed in range(60):
        gatherer.add(seed + 1, cross_map(1, 1, seed=seed))
    gatherer.add(61, forgotten())
    numbers = gatherer.as_dict()
    assert (numbers["learnt_on"], numbers["sentences"]) == (20, 61)
    assert numbers["under"][0]["sentence"] == 61
    assert len(numbers["under"]) <= 2
    assert numbers["marked"]["under"] >= 1
    assert gatherer.as_dict() == numbers  # asked again, the same


def test_what_is_looked_at_counts_as_much_as_what_is_written_is_probable():
    gatherer = ReportGatherer()
    for seed in range(39):
        gatherer.add({"cross": cross_map(1, 1, seed=seed)}, [0.9] * len(TARGET))
    # The row of the book looks at it as always, but writes what the model finds improbable.
    probabilities = [0.9, 0.9, 0.9, 0.01, 0.01, 0.9, 0.9, 0.9]
    gatherer.add({"cross": cross_map(1, 1, seed=39)}, probabilities)
    numbers = gatherer.report().as_dict()["faults"]
    assert numbers["times_probability"]
    assert numbers["under"][0]["sentence"] == 40
    assert SOURCE.index("book") in numbers["under"][0]["under"]
    with pytest.raises(UserError, match="2 probabilities of 8 target tokens"):
        gatherer.add({"cross": cross_map(1, 1)}, [0.5, 0.5])


def test_the_probability_of_a_word_is_the_least_of_its_pieces():
    found = faults_part._of_words([0.5, 0.9, 0.2, 1.0], ["▁two", "▁tr", "ans", "</s>"])
    assert found.tolist() == [0.5, 0.2, 1.0]


def test_a_token_that_comes_twice_counts_only_if_it_stutters():
    gatherer = faults_part.FaultGatherer(size=50)
    for seed in range(40):
        gatherer.add(seed + 1, cross_map(1, 1, seed=seed))
    apart = ["私", "は", "本", "古い", "本", "を", "読む", "</s>"]
    stutters = ["私", "は", "古い", "本", "本", "を", "読む", "</s>"]
    gatherer.add(41, of_rows([0, 0, 4, 3, 4, 4, 1, 6], apart))
    gatherer.add(42, of_rows([0, 0, 3, 4, 4, 4, 1, 6], stutters))
    spans = {one["sentence"]: one["repetitions"] for one in gatherer.as_dict()["over"]}
    assert not spans.get(41)
    assert [(span["first"], span["second"]) for span in spans[42]] == [(3, 4)]


def section_of(report, language, unescape=True):
    section = re.search(r'<section id="faults">(.*?)</section>', report.to_html(language), re.S)[1]
    return html.unescape(section) if unescape else section
