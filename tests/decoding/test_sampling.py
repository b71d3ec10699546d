"""Sampling: the distribution drawn from, truncation, and seeds."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from toy_models import ToyModel, sources, walk

from shisen.data.vocabulary import BEGIN, END, PADDING
from shisen.decoding import Constraints, LengthLimits, SamplingOptions, greedy, sample
from shisen.decoding.sampling import truncate
from shisen.errors import UserError

SENTENCES = [[5, 6, 3], [4, 3], [4, 4, 5, 6, 3], [6, 3], [5, 5, 4, 3]]


def first_tokens(model: ToyModel, count: int, **options) -> Counter:
    (found,) = sample(
        model,
        *sources([5, 4, 3]),
        SamplingOptions(samples=count, **options),
        lengths=LengthLimits(max_length=1),
    )
    return Counter(hypothesis.ids[0] for hypothesis in found)


def first_distribution(model: ToyModel, temperature: float = 1.0) -> np.ndarray:
    memory = model.encode(*sources([5, 4, 3]))
    logits = model.step(torch.tensor([[BEGIN]]), model.initial_state(memory), memory).logits[0, 0].clone()
    logits[[PADDING, BEGIN]] = float("-inf")
    return (logits.double() / temperature).softmax(-1).numpy()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_tokens_come_as_often_as_the_model_says(temperature):
    model = ToyModel(vocabulary=8, seed=1)
    count = 20_000
    counts = first_tokens(model, count, temperature=temperature)
    expected = first_distribution(model, temperature)
    for token, probability in enumerate(expected):
        deviation = math.sqrt(probability * (1 - probability) / count)
        assert abs(counts[token] / count - probability) <= 5 * deviation, token


def test_top_k_draws_from_the_k_likeliest_alone():
    model = ToyModel(vocabulary=50, seed=2)
    likeliest = first_distribution(model).argsort()[::-1][:3]
    assert set(first_tokens(model, 2000, top_k=3)) == set(likeliest.tolist())


def test_top_p_keeps_the_fewest_that_make_up_p():
    logits = torch.tensor([[[0.5, 0.3, 0.15, 0.05]]]).log()
    for top_p, kept in ((0.4, 1), (0.6, 2), (0.81, 3), (0.96, 4), (1.0, 4)):
        assert truncate(logits, 0, top_p).isfinite().sum() == kept, top_p


def test_a_temperature_near_zero_and_a_top_k_of_one_are_greedy():
    model = ToyModel(vocabulary=30, seed=3)
    source, mask = sources(*SENTENCES)
    expected = [hypothesis.ids for hypothesis in greedy(model, source, mask)]
    for options in (SamplingOptions(top_k=1), SamplingOptions(temperature=1e-4), SamplingOptions(top_p=1e-6)):
        assert [found[0].ids for found in sample(model, source, mask, options)] == expected


def test_the_seed_and_the_number_of_the_sentence_fix_its_samples_whatever_the_batch():
    model = ToyModel(vocabulary=40, seed=4)
    options = SamplingOptions(samples=3, seed=7)
    together = sample(model, *sources(*SENTENCES), options)
    for number, sentence in enumerate(SENTENCES):
        (alone,) = sample(model, *sources(sentence), options, numbers=[number])
        assert [h.ids for h in alone] == [h.ids for h in together[number]]
    other = sample(model, *sources(*SENTENCES), SamplingOptions(samples=3, seed=8))
    assert [[h.ids for h in found] for found in other] != [[h.ids for h in found] for found in together]


def test_a_sample_reports_the_log_probabilities_and_attention_of_the_model_itself():
    model = ToyModel(vocabulary=30, seed=5)
    options = SamplingOptions(temperature=2.0, top_k=10, samples=4)
    for sentence, found in zip(
        SENTENCES, sample(model, *sources(*SENTENCES), options, with_attention=True), strict=True
    ):
        assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
        for hypothesis in found:
            log_probabilities, attention = walk(model, sentence, list(hypothesis.ids))
            np.testing.assert_allclose(hypothesis.log_probabilities, log_probabilities, atol=1e-5)
            expected = torch.stack(attention, dim=2).numpy()
            np.testing.assert_array_equal(hypothesis.attention["cross"], expected)


def test_limits_and_constraints_hold():
    model = ToyModel(vocabulary=12, seed=6)
    found = sample(
        model,
        *sources(*SENTENCES),
        SamplingOptions(samples=20, temperature=3.0),
        lengths=LengthLimits(min_length=2, max_length=5),
        constraints=Constraints(no_repeat_ngram=1, forbid_unknown=True),
    )
    for hypothesis in (hypothesis for samples in found for hypothesis in samples):
        assert hypothesis.ids[-1] == END
        assert 2 <= len(hypothesis.ids) - 1 <= 5
        assert len(set(hypothesis.ids)) == len(hypothesis.ids)
        assert not {PADDING, 1, BEGIN} & set(hypothesis.ids)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature is 0.0; it must be above 0"),
        ({"temperature": 1e300}, "temperature is 1e[+]300; it must be from 1e-06 to 1,000,000"),
        ({"temperature": 1e-300}, "temperature is 1e-300; it must be from 1e-06"),
        ({"length_penalty": 11.0}, "length_penalty is 11.0; it must be at most 10"),
        ({"samples": 200_000}, "samples is 200000; it must be at most 100000"),
        ({"top_k": -1}, "top_k is -1"),
        ({"top_p": 0.0}, "top_p is 0.0; it must be above 0 and at most 1"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"samples": 0}, "samples is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_settings_out_of_range_are_refused_with_the_range(options, message):
    with pytest.raises(UserError, match=message):
        SamplingOptions(**options)
