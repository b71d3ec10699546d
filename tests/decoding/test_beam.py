"""Beam search: against exhaustive search, against greedy, batch against single, and its limits."""

import math

import numpy as np
import pytest
import torch
from toy_models import ToyModel, every_translation, sources, walk

from shisen.data.vocabulary import BEGIN, END, PADDING, UNKNOWN
from shisen.decoding import BeamOptions, Constraints, LengthLimits, beam_search, force, greedy
from shisen.errors import RunError, UserError

SENTENCES = [[5, 6, 3], [4, 3], [4, 4, 5, 6, 3], [6, 3], [5, 5, 4, 3]]


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_beam_that_holds_everything_finds_what_exhaustive_search_finds(seed, length_penalty):
    model = ToyModel(vocabulary=6, seed=seed)  # three words: <unk>, 4, 5
    translations = every_translation(vocabulary=6, limit=4)
    assert len(translations) == 1 + 3 + 9 + 27 + 81
    scores = {}
    for ids in translations:
        log_probabilities, _ = walk(model, [5, 4, 3], ids)
        scores[tuple(ids)] = sum(log_probabilities) / ((5 + len(ids)) / 6) ** length_penalty
    expected = sorted(scores, key=lambda ids: -scores[ids])[:7]

    options = BeamOptions(beam_size=200, length_penalty=length_penalty, n_best=7)
    (found,) = beam_search(model, *sources([5, 4, 3]), options, lengths=LengthLimits(max_length=4))

    assert [hypothesis.ids for hypothesis in found] == expected
    for hypothesis in found:
        assert hypothesis.score == pytest.approx(scores[hypothesis.ids], abs=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_of_one_is_greedy_decoding(seed):
    model = ToyModel(vocabulary=200, seed=seed, scale=3.0)
    lengths = LengthLimits(max_length=12)
    source, mask = sources(*SENTENCES)
    wide = beam_search(model, source, mask, BeamOptions(beam_size=1), lengths=lengths, with_attention=True)
    narrow = greedy(model, source, mask, lengths=lengths, with_attention=True)
    for (beam,), single in zip(wide, narrow, strict=True):
        assert beam.ids == single.ids
        assert beam.score == single.score
        np.testing.assert_array_equal(beam.attention["cross"], single.attention["cross"])


@pytest.mark.parametrize("beam_size", [1, 2, 5])
def test_a_sentence_is_translated_in_a_batch_as_it_is_alone(beam_size):
    model = ToyModel(vocabulary=150, seed=1, scale=2.0)
    options = BeamOptions(beam_size=beam_size, n_best=beam_size)
    together = beam_search(model, *sources(*SENTENCES), options, with_attention=True)
    for sentence, found in zip(SENTENCES, together, strict=True):
        (alone,) = beam_search(model, *sources(sentence), options, with_attention=True)
        assert [h.ids for h in found] == [h.ids for h in alone]
        assert [h.score for h in found] == [h.score for h in alone]
        for one, other in zip(found, alone, strict=True):
            np.testing.assert_array_equal(one.attention["cross"], other.attention["cross"])


def test_equal_logits_are_resolved_by_the_lower_token_whatever_the_batch():
    model = ToyModel(vocabulary=300)
    model.table[:] = 0.0
    lengths = LengthLimits(max_length=3)
    found = beam_search(model, *sources(*SENTENCES), BeamOptions(4, n_best=4), lengths=lengths)
    assert len({tuple(h.ids for h in hypotheses) for hypotheses in found}) == 1
    assert found[0][0].ids == (END,)  # the shortest is the likeliest of equals ...
    first = greedy(model, *sources([4, 3]), lengths=lengths, constraints=Constraints(forbid_unknown=True))
    assert first[0].ids == (END,)
    first = greedy(model, *sources([4, 3]), lengths=lengths)
    assert first[0].ids == (UNKNOWN,) * 3 + (END,)  # ... but a greedy step takes the lowest id


@pytest.mark.parametrize("seed", range(4))
def test_leaving_early_changes_nothing(seed):
    """With n_best = beam_size a sentence stays longer; the best of its list must be what n_best = 1 gave."""
    model = ToyModel(vocabulary=40, seed=seed, scale=2.0)
    for length_penalty in (0.0, 1.0):
        one = beam_search(model, *sources(*SENTENCES), BeamOptions(6, length_penalty, n_best=1))
        few = model.steps.copy()
        model.steps.clear()
        six = beam_search(model, *sources(*SENTENCES), BeamOptions(6, length_penalty, n_best=6))
        assert [found[0].ids for found in one] == [found[0].ids for found in six]
        assert sum(rows for rows, _ in few) <= sum(rows for rows, _ in model.steps)
        model.steps.clear()


def test_finished_sentences_leave_the_batch_and_finished_hypotheses_the_beam():
    model = ToyModel(vocabulary=12, seed=3, scale=2.0)
    beam_search(model, *sources(*SENTENCES), BeamOptions(beam_size=4, n_best=4))
    rows, beams = zip(*model.steps, strict=True)
    assert model.steps[0] == (5, 1)  # one live beam at first
    assert beams[1] == 4
    assert list(rows) == sorted(rows, reverse=True)
    assert rows[-1] < 5
    assert beams[-1] < 4


def test_the_n_best_are_sorted_and_distinct():
    model = ToyModel(vocabulary=30, seed=2)
    for found in beam_search(model, *sources(*SENTENCES), BeamOptions(8, n_best=8)):
        assert len(found) == 8
        assert len({hypothesis.ids for hypothesis in found}) == 8
        scores = [hypothesis.score for hypothesis in found]
        assert scores == sorted(scores, reverse=True)


def test_a_small_vocabulary_gives_as_many_translations_as_there_are():
    model = ToyModel(vocabulary=5)  # two words
    (found,) = beam_search(
        model, *sources([4, 3]), BeamOptions(10, n_best=10), lengths=LengthLimits(max_length=1)
    )
    assert {hypothesis.ids for hypothesis in found} == {(END,), (UNKNOWN, END), (4, END)}


def test_score_log_probabilities_and_attention_are_those_of_a_plain_walk():
    model = ToyModel(vocabulary=50, seed=4, scale=2.0)
    options = BeamOptions(5, length_penalty=0.8, n_best=3)
    results = beam_search(model, *sources(*SENTENCES), options, with_attention=True)
    for sentence, found in zip(SENTENCES, results, strict=True):
        for hypothesis in found:
            log_probabilities, attention = walk(model, sentence, list(hypothesis.ids))
            np.testing.assert_allclose(hypothesis.log_probabilities, log_probabilities, atol=1e-5)
            penalty = ((5 + len(hypothesis.ids)) / 6) ** 0.8
            assert hypothesis.score == pytest.approx(sum(hypothesis.log_probabilities) / penalty)
            expected = torch.stack(attention, dim=2).numpy()  # [layers, heads, queries, keys]
            np.testing.assert_array_equal(hypothesis.attention["cross"], expected)
            assert expected.shape == (2, 3, len(hypothesis.ids), len(sentence))


def test_what_was_found_keeps_its_score_when_it_is_forced():
    model = ToyModel(vocabulary=50, seed=5, scale=2.0)
    source, mask = sources(*SENTENCES)
    found = [best for (best,) in beam_search(model, source, mask, with_attention=True)]
    target, _ = sources(*[[BEGIN, *hypothesis.ids] for hypothesis in found])
    for one, other in zip(found, force(model, source, mask, target), strict=True):
        assert one.ids == other.ids
        assert one.score == pytest.approx(other.score)
        np.testing.assert_array_equal(one.attention["cross"], other.attention["cross"])


def test_attention_is_kept_only_when_it_is_asked_for():
    (found,) = beam_search(ToyModel(), *sources([5, 3]))
    assert found[0].attention == {}


def test_padding_and_begin_are_never_produced_even_when_they_are_likeliest():
    model = ToyModel(vocabulary=20, seed=6)
    model.table[:, [PADDING, BEGIN]] = 50.0
    for found in beam_search(model, *sources(*SENTENCES), BeamOptions(5, n_best=5)):
        for hypothesis in found:
            assert not {PADDING, BEGIN} & set(hypothesis.ids)
            assert all(
                value < -40 for value in hypothesis.log_probabilities
            )  # the model's own, not renormalised


def test_unknown_is_produced_unless_it_is_forbidden():
    model = ToyModel(vocabulary=20, seed=6)
    model.table[:, UNKNOWN] += 4.0
    source, mask = sources(*SENTENCES)
    allowed = beam_search(model, source, mask)
    forbidden = beam_search(model, source, mask, constraints=Constraints(forbid_unknown=True))
    assert any(UNKNOWN in found[0].ids for found in allowed)
    assert not any(UNKNOWN in found[0].ids for found in forbidden)


def test_lengths_stay_between_minimum_and_maximum():
    model = ToyModel(vocabulary=20, seed=7)
    model.table[:, END] += 3.0
    lengths = LengthLimits(min_length=4, max_length=6)
    for found in beam_search(model, *sources(*SENTENCES), BeamOptions(5, n_best=5), lengths=lengths):
        for hypothesis in found:
            assert hypothesis.ids[-1] == END
            assert 4 <= len(hypothesis.ids) - 1 <= 6


def test_every_translation_ends_by_its_own_limit_even_if_the_model_never_would():
    model = ToyModel(vocabulary=20, seed=7)
    model.table[:, END] = -60.0
    results = beam_search(model, *sources(*SENTENCES), lengths=LengthLimits(max_length_ratio=1.0))
    lengths = [len(found[0].ids) - 1 for found in results]
    assert lengths == [len(sentence) + 10 for sentence in SENTENCES]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_ngram_comes_twice_when_it_must_not(size):
    model = ToyModel(vocabulary=10, seed=8)
    model.table[:, 5] += 3.0  # wants to say 5 5 5 5
    model.table[:, END] -= 2.0
    source, mask = sources(*SENTENCES)

    def repeats(ids):
        ngrams = [ids[i : i + size] for i in range(len(ids) - size + 1)]
        return len(ngrams) - len(set(ngrams))

    free = beam_search(model, source, mask)
    bound = beam_search(
        model, source, mask, BeamOptions(5, n_best=5), constraints=Constraints(no_repeat_ngram=size)
    )
    assert any(repeats(found[0].ids) for found in free)
    assert not any(repeats(hypothesis.ids) for found in bound for hypothesis in found)


def test_a_larger_length_penalty_never_prefers_a_shorter_translation():
    model = ToyModel(vocabulary=6, seed=9)
    previous = 0
    for length_penalty in (0.0, 0.5, 1.0, 2.0, 4.0):
        options = BeamOptions(200, length_penalty)
        (found,) = beam_search(model, *sources([5, 4, 3]), options, lengths=LengthLimits(max_length=4))
        assert len(found[0].ids) >= previous
        previous = len(found[0].ids)
    assert previous == 5


def test_a_model_that_gives_no_numbers_is_reported():
    model = ToyModel()
    model.table[:] = math.nan
    with pytest.raises(RunError, match="not finite"):
        beam_search(model, *sources([5, 3]))
    with pytest.raises(RunError, match="not finite"):
        greedy(model, *sources([5, 3]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BeamOptions(beam_size=0), "beam_size is 0; it must be at least 1"),
        (lambda: BeamOptions(length_penalty=-1.0), "length_penalty is -1"),
        (lambda: BeamOptions(length_penalty=math.nan), "length_penalty is nan"),
        (lambda: BeamOptions(length_penalty=1e308), "length_penalty is 1e[+]308; it must be at most 10"),
        (lambda: BeamOptions(10**9), "beam_size is 1000000000; it must be at most 10000"),
        (lambda: BeamOptions(beam_size=2, n_best=3), "n_best is 3, but a beam of 2"),
        (lambda: LengthLimits(max_length=0), "max_length is 0"),
        (lambda: LengthLimits(max_length=3, min_length=4), "less than min_length"),
        (lambda: LengthLimits(min_length=-1), "min_length is -1"),
        (lambda: Constraints(no_repeat_ngram=-1), "no_repeat_ngram is -1"),
    ],
)
def test_settings_out_of_range_are_refused_with_the_range(make, message):
    with pytest.raises(UserError, match=message):
        make()
