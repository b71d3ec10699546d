"""Greedy decoding against a plain loop."""

import numpy as np
import torch
from toy_models import ToyModel, sources, walk

from shisen.data.vocabulary import BEGIN, END, PADDING
from shisen.decoding import Constraints, LengthLimits, greedy

SENTENCES = [[5, 6, 3], [4, 3], [4, 4, 5, 6, 3], [6, 3], [5, 5, 4, 3]]


def plain_greedy(model: ToyModel, sentence: list[int], limit: int) -> tuple[int, ...]:
    memory = model.encode(*sources(sentence))
    state, previous, ids = model.initial_state(memory), BEGIN, []
    while len(ids) < limit:
        output = model.step(torch.tensor([[previous]]), state, memory)
        logits = output.logits[0, 0].clone()
        logits[[PADDING, BEGIN]] = float("-inf")
        state, previous = output.state, int(logits.argmax())
        ids.append(previous)
        if previous == END:
            return tuple(ids)
    return (*ids, END)


def test_it_takes_the_likeliest_token_at_every_step():
    model = ToyModel(vocabulary=30, seed=1, scale=2.0)
    found = greedy(model, *sources(*SENTENCES), max_length=9, with_attention=True)
    assert [h.ids for h in found] == [plain_greedy(model, sentence, 9) for sentence in SENTENCES]
    for sentence, hypothesis in zip(SENTENCES, found, strict=True):
        log_probabilities, attention = walk(model, sentence, list(hypothesis.ids))
        np.testing.assert_allclose(hypothesis.log_probabilities, log_probabilities, atol=1e-5)
        expected = torch.stack(attention, dim=2).numpy()
        np.testing.assert_array_equal(hypothesis.attention["cross"], expected)


def test_finished_sentences_leave_the_batch():
    model = ToyModel(vocabulary=12, seed=3, scale=2.0)
    found = greedy(model, *sources(*SENTENCES))
    rows = [rows for rows, _ in model.steps]
    assert rows == [sum(len(h.ids) > step for h in found) for step in range(len(rows))]
    assert rows[-1] < rows[0]


def test_limits_and_constraints_hold():
    model = ToyModel(vocabulary=10, seed=8)
    model.table[:, END] = -60.0
    found = greedy(
        model,
        *sources(*SENTENCES),
        lengths=LengthLimits(max_length=5),
        constraints=Constraints(no_repeat_ngram=1, forbid_unknown=True),
    )
    for hypothesis in found:
        assert len(hypothesis.ids) == 6
        assert len(set(hypothesis.ids)) == 6
        assert 1 not in hypothesis.ids


def test_the_default_limit_is_twice_the_source_and_ten():
    model = ToyModel(vocabulary=10, seed=8)
    model.table[:, END] = -60.0
    found = greedy(model, *sources(*SENTENCES))
    assert [len(h.ids) - 1 for h in found] == [2 * len(sentence) + 10 for sentence in SENTENCES]
