"""IBM model 1: the E and M steps by hand, the likelihood that never falls, and what it aligns."""

import math
from collections import defaultdict

import numpy as np
import pytest

from shisen.data.embedded.corpus import CorpusRequest, generate_pairs
from shisen.errors import UserError
from shisen.evaluation.alignment import NO_ALIGNMENTS, score_alignment
from shisen.evaluation.ibm_model import fit_both_ways, fit_ibm_model, words_of

TINY = [(["the", "house"], ["das", "haus"]), (["the", "book"], ["das", "buch"])]


def textbook(pairs, iterations, has_null_word):
    """The pseudo-code of the textbooks, with dictionaries: t(f | e) after so many iterations."""
    null = [None] if has_null_word else []
    targets = {f for _, target in pairs for f in target}
    t = defaultdict(lambda: 1 / len(targets))
    for _ in range(iterations):
        count, total = defaultdict(float), defaultdict(float)
        for source, target in pairs:
            for f in target:
                normaliser = sum(t[f, e] for e in null + source)
                for e in null + source:
                    count[f, e] += t[f, e] / normaliser
                    total[e] += t[f, e] / normaliser
        t = defaultdict(float, {(f, e): c / total[e] for (f, e), c in count.items()})
    return t


def test_the_first_iteration_is_that_by_hand():
    # t is 1/3 everywhere at first, so each of a pair's two words gets half of each target word:
    # c(das | the) = 1/2 + 1/2, c(haus | the) = c(buch | the) = 1/2, of 2 together; "house" shares evenly.
    model = fit_ibm_model(TINY, iterations=1, has_null_word=False)
    assert model.probability("das", "the") == pytest.approx(1 / 2)
    assert model.probability("haus", "the") == pytest.approx(1 / 4)
    assert model.probability("das", "house") == pytest.approx(1 / 2)
    assert model.probability("buch", "house") == 0
    # In the second, "das" comes from "the" by (1/2) / (1/2 + 1/2), "haus" by (1/4) / (1/4 + 1/2) = 1/3.
    model = fit_ibm_model(TINY, iterations=2, has_null_word=False)
    assert model.probability("das", "the") == pytest.approx(1 / (1 + 2 / 3))
    assert model.probability("haus", "house") == pytest.approx((2 / 3) / (2 / 3 + 1 / 2))


def test_the_log_likelihood_is_that_of_the_formula():
    # Before the first iteration: every word has Σ_i 1/(l + 1) · 1/3 = 1/3.
    model = fit_ibm_model(TINY, iterations=1)
    assert model.log_likelihoods == pytest.approx([4 * math.log(1 / 3)])


@pytest.mark.parametrize("has_null_word", [True, False])
def test_em_is_that_of_the_textbook(has_null_word):
    random = np.random.default_rng(0)
    pairs = [
        (
            [f"e{i}" for i in random.integers(0, 8, random.integers(1, 7))],
            [f"f{i}" for i in random.integers(0, 9, random.integers(1, 7))],
        )
        for _ in range(40)
    ]
    model = fit_ibm_model(pairs, 4, has_null_word)
    expected = textbook(pairs, 4, has_null_word)
    assert len(expected) == len(model.keys)
    for (f, e), value in expected.items():
        assert model.probability(f, e) == pytest.approx(value, rel=1e-5), (f, e)


@pytest.mark.parametrize("tension", [0.0, 4.0])
def test_the_likelihood_never_falls_and_each_source_word_has_a_distribution(tension):
    pairs = [(words_of(p.source), words_of(p.target)) for p in corpus(60)["train"]]
    model = fit_ibm_model(pairs, 8, diagonal_tension=tension)
    rises = np.diff(model.log_likelihoods)
    assert (rises > -1e-6).all()
    assert rises[0] > 1
    sums = np.bincount(model.keys // len(model.target_ids), model.probabilities)
    np.testing.assert_allclose(sums, 1)


def test_the_posterior_is_gamma_of_the_formula_with_null_last():
    pairs = [*TINY, (["a", "book"], ["ein", "buch"])]
    model = fit_ibm_model(pairs, 3)
    posterior = model.posterior(["the", "book"], ["das", "buch"])
    for row, f in enumerate(["das", "buch"]):
        joint = [model.probability(f, e) for e in ("the", "book", None)]
        np.testing.assert_allclose(posterior[row], np.array(joint) / sum(joint))


def test_the_diagonal_prior_is_that_of_fast_align():
    # One pair only: after uniform t the first E step gives the prior itself.
    model = fit_ibm_model([(["a", "b"], ["x", "y", "z"])], 1, diagonal_tension=4.0)
    prior = np.zeros((3, 3))
    for j in range(3):
        heights = [math.exp(-4 * abs((i + 1) / 2 - (j + 1) / 3)) for i in range(2)]
        prior[j, :2] = 0.92 * np.array(heights) / sum(heights)
        prior[j, 2] = 0.08
    for i, e in enumerate(["a", "b", None]):
        for j, f in enumerate(["x", "y", "z"]):
            assert model.probability(f, e) == pytest.approx(prior[j, i] / prior[:, i].sum(), rel=1e-5)
    joint = prior * [[model.probability(f, e) for e in ("a", "b", None)] for f in "xyz"]
    np.testing.assert_allclose(
        model.posterior(["a", "b"], ["x", "y", "z"]), joint / joint.sum(1, keepdims=True), rtol=1e-5
    )


def test_words_that_always_go_together_are_aligned_and_the_rest_goes_to_null():
    random = np.random.default_rng(1)
    pairs = []
    for _ in range(200):
        numbers = random.permutation(30)[:5]
        pairs.append(([f"e{i}" for i in numbers], [f"f{i}" for i in numbers[::-1]] + ["particle"]))
    model = fit_ibm_model(pairs, 10)
    source, target = pairs[0]
    assert model.align(source, target) == {(i, 4 - i) for i in range(5)}
    assert fit_ibm_model(pairs, 10, has_null_word=False).align(source, target) > model.align(source, target)


def test_unknown_words_and_empty_sentences_align_with_nothing():
    model = fit_ibm_model(TINY, 3)
    assert model.align(["the", "cat"], ["das", "katze"]) == {(0, 0)}
    assert model.align([], ["das"]) == frozenset()
    assert model.align(["the"], []) == frozenset()
    assert not model.posterior(["cat"], ["katze"]).any()
    assert model.probability("katze", "the") == model.probability("das", "cat") == 0


def test_both_ways_together_make_fewer_errors_than_one_on_the_embedded_corpus():
    pairs = corpus(1500)["train"]
    words = [(words_of(pair.source), words_of(pair.target)) for pair in pairs]
    models = fit_both_ways(words, 5)
    one = both = NO_ALIGNMENTS
    for pair, (source, target) in zip(pairs[:300], words[:300], strict=True):
        one += score_alignment(models.forward.align(source, target), pair.alignment.sure)
        both += score_alignment(models.align(source, target), pair.alignment.sure)
    assert both.error_rate < one.error_rate < 0.5


def test_what_cannot_be_learnt_from_is_refused():
    with pytest.raises(UserError, match="no pair has words on both sides"):
        fit_ibm_model([([], ["a"]), (["b"], [])])
    with pytest.raises(UserError, match="1 iteration or more; this is 0"):
        fit_ibm_model(TINY, 0)
    with pytest.raises(UserError, match="0 or more; this is -1"):
        fit_ibm_model(TINY, diagonal_tension=-1.0)


def corpus(pairs):
    return generate_pairs(CorpusRequest(pairs, seed=3, max_words=12, validation_pairs=1, test_pairs=1))
