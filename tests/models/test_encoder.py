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


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_more_padding_changes_no_bit(source, cell):
    torch.manual_seed(1)
    encoder = RecurrentEncoder(20, 5, 7, 2, cell, True)
    wider = torch.nn.functional.pad(source, (0, 4))
    narrow, wide = encoder(source, source != 0), encoder(wider, wider != 0)
    assert torch.equal(wide.states[:, :6], narrow.states)
    assert (wide.states[:, 6:] == 0).all()
    assert torch.equal(wide.last, narrow.last)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_padding_has_no_gradient(source, cell):
    torch.manual_seed(1)
    encoder = RecurrentEncoder(20, 5, 7, 1, cell, True)
    encoded = encoder(source, source != 0)
    (encoded.states.sum() + encoded.last.sum()).backward()
    gradient = encoder.embedding.weight.grad
    assert (gradient[0] == 0).all()
    assert (gradient[source[0]] != 0).any(1).all()


def test_an_lstm_gives_the_last_cell_of_each_direction(source):
    torch.manual_seed(1)
    encoder = RecurrentEncoder(20, 5, 7, 1, "lstm", True).double()
    alone = source[2:3, :4]  # the third sentence, without its padding
    _, (_, cells) = encoder.layers[0](encoder.embedding(alone))
    torch.testing.assert_close(encoder(source, source != 0).last_cell[2], cells[:, 0].flatten())
    assert RecurrentEncoder(20, 5, 7)(source, source != 0).last_cell is None


def test_dropout_acts_on_the_embeddings_and_between_layers(source):
    torch.manual_seed(1)
    encoder = RecurrentEncoder(20, 5, 7, layers=3, dropout=0.5)
    read: list[torch.Tensor] = []
    encoder.dropout.register_forward_hook(lambda _module, _inputs, output: read.append(output))
    encoder(source, source != 0)
    assert [tuple(x.shape[-1:]) for x in read] == [(5,), (14,), (14,)]
    assert all(0.3 < (x[source != 0] == 0).float().mean() < 0.7 for x in read)
    first = encoder.eval()(source, source != 0)
    assert torch.equal(first.states, encoder(source, source != 0).states)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_an_output_selects_sentences(source, cell):
    encoded = RecurrentEncoder(20, 5, 7, 1, cell)(source, source != 0)
    rows = torch.tensor([2, 2, 0])
    for chosen, whole in zip(encoded.select(rows), encoded, strict=True):
        assert chosen is whole is None or torch.equal(chosen, whole[rows])


def test_added_directions_are_the_sum(source):
    torch.manual_seed(1)
    beside = RecurrentEncoder(20, 5, 7).double()
    added = RecurrentEncoder(20, 5, 7, adds_directions=True).double()
    added.load_state_dict(beside.state_dict())
    assert (beside.output_size, added.output_size) == (14, 7)
    a, b = beside(source, source != 0), added(source, source != 0)
    torch.testing.assert_close(b.states, a.states[..., :7] + a.states[..., 7:])
    torch.testing.assert_close(b.last, a.last[..., :7] + a.last[..., 7:])
