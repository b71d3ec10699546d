"""The recurrent decoder, one step at a time: Bahdanau's and Luong's, each as published.

Bahdanau (2015): the **previous** state is the query and the context enters the cell.

    c_t = attend(s_{t-1}),   s_t = cell([E y_{t-1}; c_t], s_{t-1}),   t~_t = U_o s_t + V_o E y_{t-1} + C_o c_t

The output layer reads t_t = maxout of pairs of t~_t (appendix A.2.2), or tanh(t~_t). Eq. (4) of the paper
predicts from s_t, its appendix from s_{t-1}; s_t is what its equations 4 and 5 and the later literature use.

Luong (2015): the **current** state is the query and the attentional state h~_t predicts.

    s_t = cell([E y_{t-1}; h~_{t-1}], s_{t-1}),   c_t = attend(s_t),   h~_t = tanh(W_c [c_t; s_t])

With `input_feeding` off, h~_{t-1} is not read. The list of mechanisms says which of the two a mechanism makes
of its decoder. In both, `embedded` is all that depends on the previous word alone, and what it contributes to
the gates is made for all steps at once where all words are known.
"""

from typing import NamedTuple, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from shisen.attention import MECHANISMS, PreparedKeys, build_attention
from shisen.attention.precision import widen
from shisen.models.attention_edit import AttentionEdit, AttentionPlace, change_at
from shisen.models.config import RecurrentConfig
from shisen.models.dropout import Dropout
from shisen.models.encoder import EncoderOutput
from shisen.models.gru import gru_step
from shisen.models.products import Precision, linear


class DecoderState(NamedTuple):
    """What the decoder carries from one step to the next, for every beam of every sentence."""

    hidden: Float[Tensor, "batch beams layers hidden"]
    cell: Float[Tensor, "batch beams layers hidden"] | None  # LSTM only
    attentional: Float[Tensor, "batch beams hidden"] | None  # Luong with input feeding only: h~_{t-1}
    positions: Int[Tensor, "batch beams"] | None = None  # the step's number, where the attention reads it
    coverage: Float[Tensor, "batch beams keys"] | None = None  # the sum of all weights so far, where it does

    def select(self, rows: Int[Tensor, " n"], beams: Int[Tensor, "n k"]) -> "DecoderState":
        """The state whose entry [i, j] is this one's [rows[i], beams[i, j]]."""
        chosen = (rows[:, None], beams)
        return DecoderState(
            self.hidden[chosen],
            None if self.cell is None else self.cell[chosen],
            None if self.attentional is None else self.attentional[chosen],
            None if self.positions is None else self.positions[chosen],
            None if self.coverage is None else self.coverage[chosen],
        )

    def after(
        self,
        weights: Float[Tensor, "batch beams keys"],
        hidden: Float[Tensor, "batch beams layers hidden"],
        cell: Float[Tensor, "batch beams layers hidden"] | None,
        attentional: Float[Tensor, "batch beams hidden"] | None,
    ) -> "DecoderState":
        """The state after a step that attended with `weights` and made the other three."""
        return DecoderState(
            hidden,
            cell,
            attentional,
            None if self.positions is None else self.positions + 1,
            None if self.coverage is None else self.coverage + weights,
        )


class DecoderStep(NamedTuple):
    """What one step makes."""

    features: Float[Tensor, "batch beams features"]  # what the readout, then the output layer, reads
    state: DecoderState
    weights: Float[Tensor, "batch beams keys"]


def lstm_step(
    gates: Float[Tensor, "*lead gates"], cell: Float[Tensor, "*lead hidden"]
) -> tuple[Float[Tensor, "*lead hidden"], Float[Tensor, "*lead hidden"]]:
    """One LSTM step from the sum of all products, in torch's order i, f, g, o: (h', c')."""
    i, f, g, o = gates.chunk(4, -1)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(cell), cell


class RecurrentDecoder(nn.Module):
    """The decoder up to the features that the output layer reads.

    Args:
        config: sizes and variant.
        key_size: features of an encoder state.
        vocabulary_size: target tokens.
    """

    def __init__(self, config: RecurrentConfig, key_size: int, vocabulary_size: int) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.config = config
        self.is_luong = MECHANISMS[config.attention].query == "current"
        self.embedding = nn.Embedding(vocabulary_size, config.embedding_size)
        self.dropout = Dropout(config.dropout)
        self.attention = build_attention(
            config.attention,
            query_size=hidden,
            key_size=key_size,
            attention_size=config.attention_size or hidden,
            dropout=config.attention_dropout,
            bidirectional=config.bidirectional,
            window=config.attention_window,
            function=config.attention_function,
            has_coverage=config.coverage,
        )
        # What the first cell reads beside the embedding: the context, or the last attentional state.
        fed = (hidden if config.input_feeding else 0) if self.is_luong else key_size
        make = nn.GRUCell if config.cell == "gru" else nn.LSTMCell
        self.cells = nn.ModuleList(
            make(config.embedding_size + fed if layer == 0 else hidden, hidden)
            for layer in range(config.decoder_layers)
        )
        states = config.decoder_layers * (2 if config.cell == "lstm" else 1)
        self.bridge = nn.Linear(key_size, states * hidden) if config.initial_state != "zero" else None
        if self.is_luong:
            self.W_c = nn.Linear(key_size + hidden, hidden, bias=False)
            self.projection = (
                nn.Linear(hidden, config.embedding_size, bias=False)
                if config.tie_embeddings and hidden != config.embedding_size
                else None
            )
            self.output_size = config.embedding_size if self.projection is not None else hidden
        else:
            self.output_size = config.embedding_size
            pieces = 2 if config.readout == "maxout" else 1
            self.readout = nn.Linear(
                hidden + config.embedding_size + key_size, pieces * self.output_size
            )  # U_o, V_o and C_o side by side

    def initial_state(
        self, encoded: EncoderOutput, mask: Bool[Tensor, "batch keys"], counts_steps: bool = False
    ) -> DecoderState:
        """The state before the first word: tanh of a projection of the last or the mean state, or 0.

        Args:
            encoded: What the encoder made of the source.
            mask: True at real tokens.
            counts_steps: Whether the state has the number of the step even where the attention does not read
                it, for an edit.
        """
        counts_steps = counts_steps or self.attention.reads_positions
        batch, layers, hidden = encoded.states.size(0), self.config.decoder_layers, self.config.hidden_size
        is_lstm = self.config.cell == "lstm"
        if self.bridge is None:
            start = encoded.states.new_zeros(batch, (2 if is_lstm else 1) * layers * hidden)
        elif self.config.initial_state == "mean":
            count = mask.sum(1, keepdim=True).clamp(min=1)
            start = torch.tanh(self.bridge(encoded.states.sum(1) / count))
        else:
            start = torch.tanh(self.bridge(encoded.last))
        parts = start.view(batch, -1, 1, layers, hidden)  # [batch, hidden and cell, beams, layers, hidden]
        has_feeding = self.is_luong and self.config.input_feeding
        return DecoderState(
            hidden=parts[:, 0],
            cell=parts[:, 1] if is_lstm else None,
            attentional=start.new_zeros(batch, 1, hidden) if has_feeding else None,
            positions=mask.new_zeros(batch, 1, dtype=torch.long) if counts_steps else None,
            coverage=widen(start.new_zeros(batch, 1, mask.size(1))) if self.attention.has_coverage else None,
        )

    @property
    def first_cell(self) -> nn.RNNCellBase:
        """The cell that reads the words."""
        return cast(nn.RNNCellBase, self.cells[0])

    def embed(self, words: Int[Tensor, "*lead"]) -> Float[Tensor, "*lead embedding"]:
        """E y, with dropout in training."""
        return self.dropout(self.embedding(words))

    def input_gates(
        self, embedded: Float[Tensor, "*lead embedding"], precision: Precision = "float32"
    ) -> Float[Tensor, "*lead gates"]:
        """What the embedded word alone contributes to the first cell's gates; for one step or for all."""
        cell = self.first_cell
        return linear(embedded, cell.weight_ih[:, : self.config.embedding_size], cell.bias_ih, precision)

    def step(
        self,
        embedded: Float[Tensor, "batch beams embedding"],
        input_gates: Float[Tensor, "batch beams gates"],
        state: DecoderState,
        prepared: PreparedKeys,
        edit: AttentionEdit | None = None,
    ) -> DecoderStep:
        """Read one word in every beam. This is the definition that every faster way is tested against."""
        cell = self.first_cell
        by_fed = cell.weight_ih[:, self.config.embedding_size :]
        if self.is_luong:
            if state.attentional is not None:
                input_gates = input_gates + nn.functional.linear(state.attentional, by_fed)
            hidden, cells = self._recur(input_gates, state)
            context, weights = self._attend(hidden[:, :, -1], state, prepared, edit)
            attentional = torch.tanh(self.W_c(torch.cat([context, hidden[:, :, -1]], -1)))
            kept = attentional if state.attentional is not None else None
            return DecoderStep(attentional, state.after(weights, hidden, cells, kept), weights)
        context, weights = self._attend(state.hidden[:, :, -1], state, prepared, edit)
        hidden, cells = self._recur(input_gates + nn.functional.linear(context, by_fed), state)
        features = torch.cat([hidden[:, :, -1], embedded, context], -1)
        return DecoderStep(features, state.after(weights, hidden, cells, None), weights)

    def _attend(
        self, query: Tensor, state: DecoderState, prepared: PreparedKeys, edit: AttentionEdit | None
    ) -> tuple[Tensor, Tensor]:
        """The context and the weights of a step; to an edit they are those of layer 0, which has one head."""
        positions = state.positions if self.attention.reads_positions else None
        if edit is None:
            return self.attention.attend(query, prepared, positions=positions, coverage=state.coverage)
        keys = torch.arange(prepared.keys.shape[1], device=query.device)
        steps = None if state.positions is None else state.positions[0]  # the same for every sentence
        allowed = None if prepared.mask is None else prepared.mask[:, None, None]
        change = change_at(edit, AttentionPlace("cross", 0, steps, keys, allowed))
        by_head = change.weights
        context, weights = self.attention.attend(
            query,
            prepared,
            positions=positions,
            coverage=state.coverage,
            edit=None if by_head is None else lambda weights: by_head(weights[:, None])[:, 0],
        )
        if change.head_mask is not None:
            context = context * change.head_mask.to(context.dtype)[..., None]  # [1 or batch, 1, 1]
        return context, weights

    def _recur(self, gates: Tensor, state: DecoderState) -> tuple[Tensor, Tensor | None]:
        """Every layer's new state from the first layer's input gates: [batch, beams, layers, hidden]."""
        hidden: list[Tensor] = []
        cells: list[Tensor] = []
        for layer, cell in enumerate(cast(list[nn.RNNCellBase], self.cells)):
            if layer > 0:
                gates = nn.functional.linear(self.dropout(hidden[-1]), cell.weight_ih, cell.bias_ih)
            previous = state.hidden[:, :, layer]
            if state.cell is None:
                hidden.append(gru_step(gates, previous, cell.weight_hh, cell.bias_hh))
            else:
                gates = gates + nn.functional.linear(previous, cell.weight_hh, cell.bias_hh)
                h, c = lstm_step(gates, state.cell[:, :, layer])
                hidden.append(h)
                cells.append(c)
        return torch.stack(hidden, 2), torch.stack(cells, 2) if cells else None

    def read_out(
        self, features: Float[Tensor, "*lead features"], precision: Precision = "float32"
    ) -> Float[Tensor, "*lead output"]:
        """From a step's features to what the output layer multiplies; for one step or for all real tokens."""
        if self.is_luong:
            outputs = features if self.projection is None else self.projection(features)
        else:
            outputs = linear(features, self.readout.weight, self.readout.bias, precision)
            if self.config.readout == "maxout":
                outputs = outputs.unflatten(-1, (self.output_size, 2)).amax(-1)
            else:
                outputs = torch.tanh(outputs)
        return self.dropout(outputs)
