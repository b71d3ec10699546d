"""Corpus scores are sacrebleu's, intervals included, and perplexity is the formula."""

import math

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF, TER

from shisen.errors import UserError
from shisen.evaluation.scores import build_metrics, choose_tokenization, corpus_scores, perplexity

REFERENCES = [
    "the cat sat on the mat .",
    "i love deep learning .",
    "he is here",
    "what a fine day it is today",
] * 6
HYPOTHESES = ["the cat sat on a mat .", "i love learning .", "he is here", "what a day it is"] * 6


@pytest.fixture(scope="module")
def scores():
    return corpus_scores(HYPOTHESES, REFERENCES, tokenize="none")


@pytest.mark.parametrize(
    ("key", "metric"),
    [("bleu", BLEU(tokenize="none")), ("chrf", CHRF()), ("ter", TER())],
    ids=["bleu", "chrf", "ter"],
)
def test_scores_intervals_and_signatures_are_those_of_sacrebleu(scores, key, metric):
    theirs = metric.corpus_score(HYPOTHESES, [REFERENCES], n_bootstrap=1000)
    ours = getattr(scores, key)
    assert ours.value == pytest.approx(theirs.score, abs=1e-9)
    assert (ours.high - ours.low) / 2 == pytest.approx(theirs._ci, abs=1e-4)  # they sum in float32
    assert ours.signature == metric.get_signature().format()
    assert ours.name == theirs.name


def test_the_interval_holds_the_score_and_another_seed_draws_another(scores):
    assert scores.bleu.low < scores.bleu.value < scores.bleu.high
    other = corpus_scores(HYPOTHESES, REFERENCES, tokenize="none", seed=1)
    assert other.bleu.value == scores.bleu.value
    assert (other.bleu.low, other.bleu.high) != (scores.bleu.low, scores.bleu.high)
    assert "seed:1|" in other.bleu.signature


def test_without_samples_there_is_no_interval_and_the_signature_says_none():
    scores = corpus_scores(HYPOTHESES, REFERENCES, samples=0)
    assert scores.bleu.low == scores.bleu.value == scores.bleu.high
    assert "bs:" not in scores.bleu.signature


def test_a_perfect_translation_scores_100_and_a_half_as_long_one_has_that_ratio():
    perfect = corpus_scores(REFERENCES, REFERENCES, samples=10)
    assert (perfect.bleu.value, perfect.chrf.value, perfect.ter.value) == pytest.approx((100, 100, 0))
    assert perfect.length_ratio == 1
    assert corpus_scores(["a b"], ["a b c d"], samples=0).length_ratio == 0.5


def test_case_counts_unless_it_is_told_not_to():
    cased = corpus_scores(["THE CAT SAT ON IT"], ["the cat sat on it"], samples=0)
    lowered = corpus_scores(["THE CAT SAT ON IT"], ["the cat sat on it"], samples=0, lowercase=True)
    assert cased.bleu.value < 1
    assert lowered.bleu.value == pytest.approx(100)
    assert "case:lc" in lowered.bleu.signature


def test_ter_parts_japanese_where_words_have_no_blanks():
    scores = corpus_scores(["猫が座った。"], ["犬が座った。"], tokenize="char", samples=0)
    assert scores.ter.value == pytest.approx(100 / 5)  # one of 犬 が 座 った 。
    assert "asian:yes" in scores.ter.signature


def test_unequal_counts_nothing_and_unknown_tokenisations_are_user_errors():
    with pytest.raises(UserError, match="2 hypotheses but 3 references"):
        corpus_scores(["a", "b"], ["a", "b", "c"])
    with pytest.raises(UserError, match="nothing to score"):
        corpus_scores([], [])
    with pytest.raises(UserError, match=r"unknown tokenisation '13b'.*13a"):
        corpus_scores(["a"], ["a"], tokenize="13b")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("\nNot installed.\n\n    pip install it\n"), "Not installed. pip install it"),
        (OSError("no network"), "no network"),
    ],
)
def test_a_tokenisation_that_cannot_be_had_is_one_line(monkeypatch, error, reason):
    def fail(self):
        raise error

    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_ja_mecab.TokenizerJaMecab.__init__", fail)
    with pytest.raises(UserError) as caught:
        build_metrics("ja-mecab")
    assert str(caught.value) == f"BLEU's tokenisation 'ja-mecab' cannot be used here: {reason}"


def test_the_tokenisation_follows_the_model_and_the_language_of_the_references():
    assert choose_tokenization(True, ["猫 が 座っ た"]).name == "none"
    assert choose_tokenization(False, ["猫が座った", "OK"]).name in ("ja-mecab", "char")
    assert choose_tokenization(False, ["猫坐在垫子上"]).name == "zh"
    assert choose_tokenization(False, ["the cat sat", "Die Katze saß"]).name == "13a"


def test_perplexity_is_the_inverse_geometric_mean_of_the_probabilities():
    probabilities = [[0.5, 0.25], [0.125]]
    logs = [[math.log(p) for p in sentence] for sentence in probabilities]
    assert perplexity(logs) == pytest.approx((0.5 * 0.25 * 0.125) ** (-1 / 3))
    assert perplexity([[math.log(1 / 7)] * 5]) == pytest.approx(7)  # a uniform model over seven words


def test_perplexity_of_impossible_text_is_infinite_and_of_no_text_an_error():
    assert perplexity([[-800.0]]) == math.inf
    assert perplexity([[-math.inf]]) == math.inf
    with pytest.raises(UserError, match="no token"):
        perplexity([[], []])


def test_statistics_of_many_sentences_fit_in_little_memory():
    import tracemalloc

    from shisen.evaluation.resampling import bootstrap_sums

    table = np.ones((50_000, 10))
    tracemalloc.start()
    sums = bootstrap_sums(table, samples=20, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (sums == 50_000).all()
    assert peak < 5_000_000  # all draws at once would take 20 · 50,000 · 10 · 8 bytes = 80 MB


def test_scoring_in_parts_gives_the_same(monkeypatch, scores):
    monkeypatch.setattr("shisen.evaluation.scores._CHUNK", 5)
    assert corpus_scores(HYPOTHESES, REFERENCES, tokenize="none") == scores
