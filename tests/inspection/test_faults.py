"""Words that a translation forgot, and words that it says twice."""

import json

import numpy as np
import pytest

from shisen.errors import UserError
from shisen.inspection.faults import coverage, followed, learn_faults, repetitions

SOURCE = ("the", "old", "dog", "sleeps", ".", "</s>")
TARGET = ("der", "alte", "Hund", "schläft", ".")
SOUND = np.eye(5, 6)


def words_of_sound_sentences(count=40, seed=0):
    """Sentences in which every word gets about as much as it usually does, "dog" twice as much as others."""
    generator = np.random.default_rng(seed)
    for _ in range(count):
        usual = np.array([1.0, 1.0, 2.0, 1.0, 1.0, 0.5])
        yield (usual * generator.uniform(0.9, 1.1, size=6))[None], SOURCE


@pytest.fixture(scope="module")
def finder():
    return learn_faults(words_of_sound_sentences())


def sentence(received):
    """One target word that gave the source words so much."""
    return np.array([received], dtype=np.float64)


def test_coverage_is_what_every_source_word_received_from_all_target_words():
    weights = np.random.default_rng(0).random((4, 3))
    by_hand = [sum(weights[i][j] for i in range(4)) for j in range(3)]
    np.testing.assert_allclose(coverage(weights), by_hand)


def test_what_is_expected_of_a_word_is_its_mean_drawn_towards_that_of_all_words():
    sound = [(sentence([1.0, 3.0]), ("a", "b")), (sentence([2.0, 5.0]), ("a", "c"))]
    learnt = learn_faults(sound, shrinkage=5.0)
    mean = (1 + 3 + 2 + 5) / 4
    assert learnt.mean == pytest.approx(mean)
    assert learnt.expected["a"] == pytest.approx((3 + 5 * mean) / 7)
    assert learnt.expected["b"] == pytest.approx((3 + 5 * mean) / 6)
    assert learnt.sentences == 2
    # A word that was never seen is expected to get what all words get.
    np.testing.assert_allclose(
        learnt.ratios(sentence([mean, mean]), ("z", "a")), [1, mean / learnt.expected["a"]]
    )


def test_the_thresholds_leave_the_given_share_of_sound_words_outside():
    generator = np.random.default_rng(1)
    sound = [(sentence(generator.uniform(0.5, 1.5, 10)), tuple("abcdefghij")) for _ in range(200)]
    learnt = learn_faults(sound, false_alarms=0.1)
    ratios = np.concatenate([learnt.ratios(weights, source) for weights, source in sound])
    assert (ratios < learnt.low).mean() == pytest.approx(0.1, abs=0.001)
    assert (ratios > learnt.high).mean() == pytest.approx(0.1, abs=0.001)


def test_a_word_that_got_little_for_what_it_usually_gets_is_under_translated(finder):
    # "dog" usually gets 2, "old" 1: the same attention of 1 is little for the one only.
    found = finder.find(sentence([1, 1, 0.6, 1, 1, 0.5]), SOURCE, ("x",))
    assert found.under == (2,)
    assert found.over == ()
    assert found.is_suspect
    assert found.under_score == pytest.approx(1 - 0.6 / finder.expected["dog"])


def test_a_word_that_got_much_is_over_translated(finder):
    found = finder.find(sentence([1, 1, 2, 3, 1, 0.5]), SOURCE, ("x",))
    assert (found.under, found.over) == ((), (3,))
    assert found.over_score == pytest.approx(3 / finder.expected["sleeps"] - 1)


def test_punctuation_and_the_end_of_the_sentence_do_not_count(finder):
    found = finder.find(sentence([1, 1, 2, 1, 0, 9]), SOURCE, ("x",))
    assert np.isnan(found.ratios[4:]).all()
    assert not found.is_suspect


def test_a_span_that_comes_twice_and_looks_at_the_same_words_is_a_repetition(finder):
    target = ("der", "alte", "alte", "Hund", "schläft", ".")
    found = finder.find(SOUND[[0, 1, 1, 2, 3, 4]], SOURCE, target)
    assert [(one.first, one.second, one.length) for one in found.repetitions] == [(1, 2, 1)]
    assert found.repetitions[0].overlap == pytest.approx(1)
    assert found.over_score >= 1


def test_the_longest_span_counts_and_not_its_parts_too():
    target = ("der", "alte", "Hund", "der", "alte", "Hund", "schläft")
    found = repetitions(SOUND[[0, 1, 2, 0, 1, 2, 3]], SOURCE, target)
    assert [(one.first, one.second, one.length) for one in found] == [(0, 3, 3)]


def test_the_same_word_for_other_source_words_is_no_repetition():
    target = ("der", "Hund", "sieht", "der", "Katze")
    source = ("the", "dog", "sees", "a", "cat")
    assert repetitions(np.eye(5), source, target) == []


def test_what_the_source_says_twice_may_be_said_twice():
    source = ("very", "very", "old")
    blurred = np.array([[0.6, 0.4, 0], [0.4, 0.6, 0], [0, 0, 1]])
    assert repetitions(blurred, source, ("sehr", "sehr", "alt")) == []
    assert len(repetitions(blurred, ("very", "so", "old"), ("sehr", "sehr", "alt"))) == 1


def test_punctuation_alone_is_no_repetition():
    assert repetitions(np.ones((2, 1)), ("a",), (".", ".")) == []


def test_a_sentence_without_words_has_no_faults(finder):
    found = finder.find(np.zeros((0, 0)), (), ())
    assert not found.is_suspect
    assert found.as_dict()["under_score"] is None
    only_end = finder.find(np.ones((1, 1)), ("</s>",), ("</s>",))
    assert not only_end.is_suspect


def test_a_translation_that_looked_at_nothing_misses_every_word(finder):
    found = finder.find(np.zeros((1, 6)), SOURCE, ("x",))
    assert found.under == (0, 1, 2, 3)
    assert found.under_score == 1


def test_japanese_words_and_punctuation_are_read_alike():
    source = ("古い", "犬", "が", "眠る", "。", "</s>")
    learnt = learn_faults([(np.ones((1, 6)), source)] * 5)
    found = learnt.find(sentence([1, 0, 1, 1, 0, 0]), source, ("x",))
    assert found.under == (1,)


def test_everything_can_be_written_as_json(finder):
    found = finder.find(SOUND[[0, 1, 1, 2, 3]], SOURCE, ("a", "b", "b", "c", "d")).as_dict()
    read = json.loads(json.dumps(found, allow_nan=False))
    assert read["ratios"][4] is None
    assert read["thresholds"] == {"low": finder.low, "high": finder.high}
    assert read["repetitions"][0]["first"] == 1


def test_weights_of_other_words_are_refused(finder):
    with pytest.raises(UserError, match=r"\[1, 6\].* 1 target and 2 source words"):
        finder.find(np.ones((1, 6)), ("a", "b"), ("x",))


def test_there_must_be_words_to_learn_from():
    with pytest.raises(UserError, match="no words to learn coverage from"):
        learn_faults([(np.ones((1, 2)), (".", "</s>"))])
    with pytest.raises(UserError, match=r"between 0 and 0\.5; this is 0\.6"):
        learn_faults(words_of_sound_sentences(), false_alarms=0.6)
    with pytest.raises(UserError, match="no word received attention"):
        learn_faults([(np.zeros((1, 1)), ("a",))])


def test_what_was_looked_at_counts_as_much_as_it_was_written():
    weights = np.random.default_rng(0).random((3, 4))
    probabilities = np.array([1.0, 0.5, 0.0])
    expected = [[weights[i][j] * probabilities[i] for j in range(4)] for i in range(3)]
    np.testing.assert_allclose(followed(weights, probabilities), expected)


def test_a_span_said_twice_at_once_is_a_repetition_wherever_the_second_looks():
    found = repetitions(np.eye(3, 4), ("a", "b", "c", "d"), ("x", "x", "y"))
    assert [(one.first, one.second, one.length, one.source) for one in found] == [(0, 1, 1, 0)]
    assert found[0].overlap == 0
    assert repetitions(np.eye(3, 4), ("a", "b", "c", "d"), ("x", "y", "x")) == []
