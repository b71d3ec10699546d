"""The planted truth: of one model attention is known to decide, of the other it is known not to matter."""

import pytest
import torch

from shisen.decoding.interface import DecodableModel
from shisen.errors import UserError
from shisen.inspection.faithfulness import FaithfulnessOptions, PlantedModel, assess_decisions
from shisen.inspection.faithfulness.edits import decision_with
from shisen.inspection.faithfulness.forward import forced_steps
from shisen.inspection.faithfulness.planted import planted_sentences

OPTIONS = FaithfulnessOptions(
    sentences=14,
    permutations=12,
    random_orders=4,
    integration_steps=8,
    adversarial_decisions=1,
    adversarial_steps=25,
    samples=1000,
)


@pytest.fixture(scope="module")
def reports():
    pairs = planted_sentences(14)
    return {decides: assess_decisions(PlantedModel(decides), pairs, OPTIONS) for decides in (True, False)}


def test_it_takes_steps_like_any_model():
    assert isinstance(PlantedModel(True), DecodableModel)


@pytest.mark.parametrize("attention_decides", [True, False])
def test_both_copy_the_marked_token(attention_decides):
    for source, target in planted_sentences(20):
        forced = forced_steps(
            PlantedModel(attention_decides),
            torch.tensor([source]),
            torch.ones(1, len(source), dtype=torch.bool),
            torch.tensor([[2, *target]]),
        )
        probabilities = forced.log_probabilities[0].exp()
        assert (probabilities[:, target[0]] > 0.95).all()


def test_where_attention_is_noise_no_weights_change_the_output():
    model = PlantedModel(False)
    source, target = planted_sentences(1)[0]
    ids, read = torch.tensor([source]), torch.tensor([[2, *target]])
    forced = forced_steps(model, ids, torch.ones_like(ids, dtype=torch.bool), read)
    others = torch.rand(1, 1, 50, len(source)).softmax(-1)
    output = decision_with(model, ids, read, forced, 1)(others)
    assert torch.equal(output, output[:1].expand_as(output))


def test_a_model_whose_attention_cannot_be_changed_is_refused():
    class Fixed(PlantedModel):
        def encode(self, source, mask, with_attention=True):
            return super().encode(source, mask, with_attention)

    with pytest.raises(UserError, match="the attention of Fixed cannot be changed from outside"):
        assess_decisions(Fixed(True), planted_sentences(3), OPTIONS)


def test_where_attention_decides_the_verdict_says_so(reports):
    report = reports[True]
    outcomes = {(one.test, one.rival): one.outcome for one in report.results}
    against_chance = {test: outcome for (test, rival), outcome in outcomes.items() if rival == "chance"}
    assert set(against_chance.values()) == {"better"}, against_chance
    assert outcomes["permutation", "threshold"] == outcomes["uniform", "threshold"] == "better"
    assert "worse" not in outcomes.values()


def test_where_attention_is_noise_the_verdict_says_so(reports):
    report = reports[False]
    assert "better" not in {one.outcome for one in report.results}
    for test, rival in (
        ("permutation", "threshold"),
        ("uniform", "threshold"),
        ("adversary", "chance"),
        ("comprehensiveness", "gradients"),
        ("sufficiency", "gradients"),
        ("agreement-leave-one-out", "gradients"),
    ):
        assert report.result(test, rival).outcome == "worse", (test, rival)
    assert report.mean("permutation.output.attention") < 1e-6  # what rounding makes
    assert report.mean("uniform.flip.attention") == 0


def test_the_adversary_stays_within_its_bound(reports):
    for report in reports.values():
        assert report.measurements["adversary.weights.moved"].max() <= OPTIONS.bound
    # Where nothing depends on the weights, they can be moved as far as weights can be: ln 2.
    assert reports[False].mean("adversary.weights.attention") > 0.65


def test_the_verdicts_are_told_apart_in_words(reports):
    assert "The output depends on the weights" in reports[True].verdict()
    assert "Attention did better than chance on" in reports[True].verdict()
    assert "The output moves by less than" in reports[False].verdict()
    assert "did better than chance on" not in reports[False].verdict()
