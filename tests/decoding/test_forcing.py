"""Forced decoding against a plain walk through the model."""

import numpy as np
import pytest
import torch
from toy_models import ToyModel, sources, walk

from shisen.data.vocabulary import BEGIN
from shisen.decoding import force

SENTENCES = [[5, 6, 3], [4, 3], [4, 4, 5, 6, 3]]
TARGETS = [[4, 6, 3], [3], [5, 5, 5, 1, 6]]  # the last one is not finished


def test_scores_and_attention_are_those_of_a_plain_walk():
    model = ToyModel(seed=1)
    target, _ = sources(*[[BEGIN, *ids] for ids in TARGETS])
    found = force(model, *sources(*SENTENCES), target, length_penalty=0.5)
    for sentence, ids, hypothesis in zip(SENTENCES, TARGETS, found, strict=True):
        assert hypothesis.ids == tuple(ids)
        log_probabilities, attention = walk(model, sentence, ids)
        np.testing.assert_allclose(hypothesis.log_probabilities, log_probabilities, atol=1e-5)
        penalty = ((5 + len(ids)) / 6) ** 0.5
        assert hypothesis.score == pytest.approx(sum(log_probabilities) / penalty, abs=1e-5)
        expected = torch.stack(attention, dim=2).numpy()
        np.testing.assert_array_equal(hypothesis.attention["cross"], expected)


def test_a_target_with_nothing_in_it_is_refused():
    with pytest.raises(ValueError, match="at least one token"):
        force(ToyModel(), *sources([4, 3]), torch.tensor([[BEGIN]]))
