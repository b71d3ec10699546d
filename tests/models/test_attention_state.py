"""What the attention carries from step to step, through beam search: a batch is its sentences."""

import pytest
import torch
from small_networks import attending, small_model

from shisen.data.vocabulary import END
from shisen.decoding import BeamOptions, beam_search, force, greedy

KINDS = [
    "local-m",
    "local-p",
    "bahdanau coverage",
    "luong-concat coverage",
    "luong-general sparsemax",
    "local-m entmax15",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_sentence_is_translated_in_a_batch_as_it_is_alone(batch, kind, cell):
    model = small_model(cell=cell, **attending(kind)).eval()
    model.output.bias.data[END] -= 2.0  # translations of more than one token
    options = BeamOptions(beam_size=3, n_best=2)
    together = beam_search(model, batch.source, batch.source != 0, options, with_attention=True)
    assert len({len(found[0].ids) for found in together}) > 1, "sentences leave the batch at different steps"
    for sentence, found in zip(batch.source, together, strict=True):
        alone = sentence[sentence != 0][None]
        expected = beam_search(model, alone, alone != 0, options, with_attention=True)[0]
        for one, other in zip(found, expected, strict=True):
            assert one.ids == other.ids
            assert one.score == pytest.approx(other.score, abs=1e-5)
            torch.testing.assert_close(
                torch.as_tensor(one.attention["cross"]), torch.as_tensor(other.attention["cross"])
            )


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_beam_found_has_its_score_and_attention_when_it_is_forced(batch, kind):
    model = small_model(**attending(kind)).eval()
    model.output.bias.data[END] -= 2.0
    mask = batch.source != 0
    found = [best[0] for best in beam_search(model, batch.source, mask, BeamOptions(4), with_attention=True)]
    longest = max(len(one.ids) for one in found)
    target = torch.tensor([[2, *one.ids, *[0] * (longest - len(one.ids))] for one in found])
    for one, other in zip(found, force(model, batch.source, mask, target), strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-5)
        torch.testing.assert_close(
            torch.as_tensor(one.attention["cross"]), torch.as_tensor(other.attention["cross"])
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_beam_of_one_is_greedy(batch, kind):
    model = small_model(**attending(kind)).eval()
    model.output.bias.data[END] -= 2.0
    mask = batch.source != 0
    one = [best[0].ids for best in beam_search(model, batch.source, mask, BeamOptions(1))]
    assert one == [found.ids for found in greedy(model, batch.source, mask)]
