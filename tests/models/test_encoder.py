"""The encoder against torch's own layers over packed sentences; padding changes nothing."""

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from shisen.models.encoder import RecurrentEncoder, reversal


@pytest.fixture
def source() -> torch.Tensor:
    torch.manual_seed(0)
    ids = torch.randint(4, 20, (4, 6))
    for row, length in enumerate([6, 2, 4, 1]):
        ids[row, length:] = 0
    return ids


def test_reversal_starts_at_the_last_real_token():
    mask = torch.tensor([[True, True, True, False], [True, False, False, False]])
    assert reversal(mask).tolist() == [[2, 1, 0, 3], [0, 1, 2, 3]]


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
def test_it_is_torchs_layer_over_packed_sentences(source, cell, bidirectional, layers):
    torch.manual_seed(1)
    encoder = RecurrentEncoder(20, 5, 7, layers, cell, bidirectional).double()
    mask = source != 0
    states = encoder.embedding(source)
    for layer in encoder.layers:
        packed = pack_padded_sequence(states, mask.sum(1), batch_first=True, enforce_sorted=False)
        packed, last = layer(packed)
        states, _ = pad_packed_sequence(packed, batch_first=True)
    last = last[0] if cell == "lstm" else last
    encoded = encoder(source, mask)
    torch.testing.assert_close(encoded.states, states)
    torch.testing.assert_close(encoded.last, last.transpose(0, 1).reshape(4, -1))
    assert (encoded.states[~mask] == 0).all()


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_batch_is_single_and_padding_changes_nothing(source, cell):
    torch.manual_seed(1)
    encoder = RecurrentEncoder(20, 5, 7, 2, cell, True).double()
    together = encoder(source, source != 0)
    for row, ids in enumerate(source):
        alone = ids[ids != 0][None]
        single = encoder(alone, alone != 0)
        torch.testing.assert_close(together.states[row, : alone.size(1)], single.states[0])
        torch.testing.assert_close(together.last[row], single.last[0])


def test_added_directions_are_the_sum(source):
    torch.manual_seed(1)
    beside = RecurrentEncoder(20, 5, 7).double()
    added = RecurrentEncoder(20, 5, 7, adds_directions=True).double()
    added.load_state_dict(beside.state_dict())
    assert (beside.output_size, added.output_size) == (14, 7)
    a, b = beside(source, source != 0), added(source, source != 0)
    torch.testing.assert_close(b.states, a.states[..., :7] + a.states[..., 7:])
    torch.testing.assert_close(b.last, a.last[..., :7] + a.last[..., 7:])
