"""Gradients, integrated gradients and leave-one-out, each against its definition."""

import pytest
import torch
from explained_models import DECIDED, SOURCE, TARGET, explained_model, log_probabilities

from shisen.errors import UserError
from shisen.inspection.faithfulness.attributions import (
    embedded_scores,
    gradients,
    integrated_gradients,
    leave_one_out,
)
from shisen.inspection.faithfulness.forward import forced_steps, source_embedding
from shisen.inspection.faithfulness.planted import PlantedModel, planted_sentences

every_family = pytest.mark.parametrize("family", ["bahdanau", "luong", "transformer"])


@every_family
def test_the_steps_are_those_of_the_step_interface(family):
    model = explained_model(family)
    forced = forced_steps(model, SOURCE[None], torch.ones(1, 6, dtype=torch.bool), TARGET[None])
    torch.testing.assert_close(forced.log_probabilities[0], log_probabilities(model, SOURCE))
    torch.testing.assert_close(forced.weights.sum(-1), torch.ones_like(forced.weights[..., 0]))
    assert len(forced.states) == len(TARGET) - 1


@every_family
def test_rows_of_all_decisions_score_what_each_decision_scores(family):
    model = explained_model(family)
    words = source_embedding(model)(SOURCE).detach()
    decisions = torch.tensor([3, 0, 2, 0, 1])
    scores = embedded_scores(model, SOURCE, TARGET, DECIDED)(words.expand(5, -1, -1), decisions)
    expected = log_probabilities(model, SOURCE)[decisions, DECIDED[decisions]]
    torch.testing.assert_close(scores.detach().float(), expected.float())


@every_family
def test_the_gradient_is_that_of_small_differences(family):
    model = explained_model(family)
    found = gradients(model, SOURCE, TARGET, DECIDED)
    words = source_embedding(model)(SOURCE).detach()  # [keys, size]
    scores = embedded_scores(model, SOURCE, TARGET, DECIDED)
    step, small = 2, 3e-3  # the steps' logits are float32
    by_hand = torch.empty_like(words)
    for key in range(len(SOURCE)):
        for feature in range(words.shape[1]):
            moved = words.expand(2, -1, -1).clone()
            moved[:, key, feature] += torch.tensor([small, -small])
            both = scores(moved, torch.tensor([step, step])).detach()
            by_hand[key, feature] = (both[0] - both[1]) / (2 * small)
    torch.testing.assert_close(found.gradient[step], by_hand.norm(dim=-1), atol=2e-4, rtol=2e-3)
    torch.testing.assert_close(found.gradient_input[step], (by_hand * words).sum(-1), atol=3e-4, rtol=2e-3)


@every_family
def test_integrated_gradients_add_up_to_what_the_words_change(family):
    pytest.importorskip("captum")
    model = explained_model(family)
    found = integrated_gradients(model, SOURCE, TARGET, DECIDED, points=64)
    words = source_embedding(model)(SOURCE).detach()
    decisions = torch.arange(len(DECIDED))
    scores = embedded_scores(model, SOURCE, TARGET, DECIDED)
    with_words = scores(words.expand(4, -1, -1), decisions)
    unknown = source_embedding(model)(torch.tensor([1, 1, 1, 1, 1, 3]))  # <unk> five times, </s>
    without = scores(unknown.expand(4, -1, -1), decisions)
    torch.testing.assert_close(
        found.attributions.sum(1), (with_words - without).detach().double(), atol=2e-2, rtol=0
    )
    assert found.deltas.abs().max() < 2e-2


@every_family
def test_leave_one_out_is_the_distance_to_the_output_without_the_token(family):
    model = explained_model(family)
    probabilities = log_probabilities(model, SOURCE).exp()
    found = leave_one_out(model, SOURCE, TARGET, probabilities, 5)
    for left_out in range(5):
        rest = torch.cat([SOURCE[:left_out], SOURCE[left_out + 1 :]])
        without = log_probabilities(model, rest).exp()
        expected = 0.5 * (probabilities - without).abs().sum(-1)
        torch.testing.assert_close(found[:, left_out], expected, atol=1e-6, rtol=0)


def test_a_token_that_nothing_depends_on_gets_nothing():
    model = PlantedModel(attention_decides=False)
    for source, target in planted_sentences(3):
        ids, read = torch.tensor(source), torch.tensor([2, *target])
        decided = torch.full((len(target),), target[0])
        is_marked = ids == target[0]
        found = gradients(model, ids, read, decided).gradient_input
        assert (found[:, is_marked] > 0).all()
        assert (found[:, ~is_marked] == 0).all()


def test_the_hook_on_the_embedding_does_not_stay():
    model = explained_model("bahdanau")
    before = log_probabilities(model, SOURCE)
    gradients(model, SOURCE, TARGET, DECIDED)
    torch.testing.assert_close(log_probabilities(model, SOURCE), before, atol=0, rtol=0)


def test_a_model_without_a_known_embedding_is_refused():
    class Elsewhere(PlantedModel):
        def __init__(self) -> None:
            super().__init__(True)
            self.reader = self.encoder
            del self.encoder

    with pytest.raises(UserError, match=r"Elsewhere has no source embedding at encoder\.embedding or"):
        source_embedding(Elsewhere())
