"""The recurrent encoder: source tokens in, one state per token out. Padding never changes a result."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from shisen.data.vocabulary import PADDING
from shisen.models.dropout import Dropout
from shisen.models.gru import gru_sequence
from shisen.models.products import Precision, linear


class EncoderOutput(NamedTuple):
    """What the encoder knows of a batch of sentences."""

    states: Float[Tensor, "batch keys features"]  # 0 at padding
    last: Float[Tensor, "batch features"]  # the last state of each direction, side by side
    last_cell: Float[Tensor, "batch features"] | None  # the same of an LSTM's cell

    def select(self, rows: Int[Tensor, " n"]) -> "EncoderOutput":
        """These sentences of the batch alone, in this order."""
        last_cell = None if self.last_cell is None else self.last_cell[rows]
        return EncoderOutput(self.states[rows], self.last[rows], last_cell)


def reversal(mask: Bool[Tensor, "batch keys"]) -> Int[Tensor, "batch keys"]:
    """For each position the one that a reader from right to left meets there; padding stays where it is.

    Its own inverse: gathering twice gives back the sentence.
    """
    positions = torch.arange(mask.size(1), device=mask.device).expand(mask.shape)
    return torch.where(mask, mask.sum(1, keepdim=True) - 1 - positions, positions)


class RecurrentEncoder(nn.Module):
    """Embedding, then 1-n recurrent layers that read in one or both directions (Bahdanau 2015, section 3.2).

    The layers hold their parameters as ``torch.nn.GRU`` and ``torch.nn.LSTM`` do, under the same names. The
    backward direction starts at the last real token of each sentence.

    Args:
        vocabulary_size: source tokens.
        embedding_size: features of an embedding.
        hidden_size: features of a state, in each direction.
        layers: recurrent layers.
        cell: "gru" or "lstm".
        bidirectional: whether it also reads from right to left.
        dropout: of the embeddings and between layers.
        adds_directions: whether the two directions of the last layer are added, not put side by side, so
            that a state is as large as a decoder's: what a plain dot product of the two asks for.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_size: int,
        hidden_size: int,
        layers: int = 1,
        cell: str = "gru",
        bidirectional: bool = True,
        dropout: float = 0.0,
        adds_directions: bool = False,
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.adds_directions = adds_directions and bidirectional
        layer_size = hidden_size * (2 if bidirectional else 1)
        self.output_size = hidden_size if self.adds_directions else layer_size
        self.embedding = nn.Embedding(vocabulary_size, embedding_size, padding_idx=PADDING)
        self.dropout = Dropout(dropout)
        make = nn.GRU if cell == "gru" else nn.LSTM
        self.layers = nn.ModuleList(
            make(
                embedding_size if layer == 0 else layer_size,
                hidden_size,
                batch_first=True,
                bidirectional=bidirectional,
            )
            for layer in range(layers)
        )

    def forward(
        self,
        source: Int[Tensor, "batch keys"],
        mask: Bool[Tensor, "batch keys"],
        precision: Precision = "float32",
    ) -> EncoderOutput:
        """Read `source` where `mask` is True (a sentence's tokens come first, its padding last)."""
        states = self.embedding(source)  # [batch, keys, embedding]
        last_cell = None
        for layer in self.layers:
            states = self.dropout(states)
            if isinstance(layer, nn.GRU):
                states, last = self._gru_layer(layer, states, mask, precision)
            elif isinstance(layer, nn.LSTM):
                states, last, last_cell = self._lstm_layer(layer, states, mask)
        if not self.adds_directions:
            return EncoderOutput(states, last, last_cell)
        return EncoderOutput(
            self._add(states), self._add(last), None if last_cell is None else self._add(last_cell)
        )

    def _add(self, sides: Float[Tensor, "*lead both"]) -> Float[Tensor, "*lead hidden"]:
        """The sum of the two directions that stand side by side."""
        return sides.unflatten(-1, (2, self.hidden_size)).sum(-2)

    def _gru_layer(
        self, layer: nn.GRU, inputs: Tensor, mask: Tensor, precision: Precision
    ) -> tuple[Tensor, Tensor]:
        """All directions side by side: [batch, keys, output_size], and the last states."""
        batch, keys, _ = inputs.shape
        suffixes = ["_l0", "_l0_reverse"] if layer.bidirectional else ["_l0"]
        part = {name: [getattr(layer, name + s) for s in suffixes] for name in _PARTS}
        order = reversal(mask) if layer.bidirectional else None
        inputs = inputs.transpose(0, 1)  # [keys, batch, inputs]
        sides = [inputs]
        if order is not None:
            places = order.t().unsqueeze(-1)  # [keys, batch, 1]
            sides.append(inputs.gather(0, places.expand_as(inputs)))
        input_gates = torch.stack(
            [
                linear(x, w, b, precision)
                for x, w, b in zip(sides, part["weight_ih"], part["bias_ih"], strict=True)
            ],
            1,
        )  # [keys, directions, batch, 3 * hidden]
        initial = inputs.new_zeros(len(suffixes), batch, self.hidden_size)
        states = gru_sequence(
            input_gates, initial, torch.stack(part["weight_hh"]), torch.stack(part["bias_hh"]), precision
        )  # [keys, directions, batch, hidden]
        ends = (mask.sum(1) - 1).clamp(min=0)  # [batch]
        last = states[ends, :, torch.arange(batch, device=ends.device)]  # [batch, directions, hidden]
        both = [states[:, 0]]
        if order is not None:
            both.append(states[:, 1].gather(0, places.expand(keys, batch, self.hidden_size)))
        joined = torch.cat(both, -1).transpose(0, 1)  # [batch, keys, output_size]
        if not bool(mask.all()):
            joined = joined * mask.unsqueeze(-1)
        return joined.contiguous(), last.reshape(batch, -1)

    def _lstm_layer(self, layer: nn.LSTM, inputs: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """torch's own LSTM over the packed sentences."""
        lengths = mask.sum(1).clamp(min=1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        outputs, (last, last_cell) = layer(packed)
        states, _ = nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True, total_length=inputs.size(1))
        batch = inputs.size(0)
        return states, last.transpose(0, 1).reshape(batch, -1), last_cell.transpose(0, 1).reshape(batch, -1)


_PARTS = ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
