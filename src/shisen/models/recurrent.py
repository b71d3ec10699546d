"""The recurrent encoder-decoder: encode, take steps, and the loss of a batch of known translations."""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from shisen.attention import MECHANISMS, BahdanauAttention, NoAttention, PreparedKeys, coverage_loss
from shisen.data.vocabulary import PADDING
from shisen.errors import UserError
from shisen.models.attention_edit import AttentionEdit, selected
from shisen.models.bahdanau_gru import unroll_bahdanau_gru
from shisen.models.config import RecurrentConfig
from shisen.models.decoder import DecoderState, DecoderStep, RecurrentDecoder
from shisen.models.encoder import EncoderOutput, RecurrentEncoder
from shisen.models.gru import gru_sequence
from shisen.models.output import output_loss
from shisen.models.products import Precision, linear
from shisen.models.translation import LossOutput, StepOutput, TranslationBatch, draw_forced


class Memory(NamedTuple):
    """An encoded batch: what the decoder attends to, and what it starts from."""

    prepared: PreparedKeys
    encoded: EncoderOutput
    mask: Bool[Tensor, "batch keys"]
    edit: AttentionEdit | None = None  # what changes the attention of the steps

    @property
    def attention(self) -> dict[str, Tensor]:
        """Weights within the source: a recurrent encoder has none."""
        return {}

    def select(self, rows: Int[Tensor, " n"]) -> "Memory":
        """The memory of these sentences of the batch alone, in this order."""
        return Memory(
            self.prepared.select(rows),
            self.encoded.select(rows),
            self.mask[rows],
            selected(self.edit, rows),
        )


class Steps(NamedTuple):
    """All steps of a decoder over known words."""

    features: Float[Tensor, "batch steps features"]
    repeated: Float[Tensor, "batch steps"] | None = None  # the coverage loss of each, where there is coverage


class RecurrentTranslator(nn.Module):
    """Encoder, decoder with or without attention, output layer.

    Args:
        config: sizes and variant.
        source_vocabulary_size: source tokens.
        target_vocabulary_size: target tokens.
    """

    def __init__(
        self, config: RecurrentConfig, source_vocabulary_size: int, target_vocabulary_size: int
    ) -> None:
        super().__init__()
        self.config = config
        self.encoder = RecurrentEncoder(
            source_vocabulary_size,
            config.embedding_size,
            config.hidden_size,
            config.encoder_layers,
            config.cell,
            config.bidirectional,
            config.dropout,
            adds_directions=MECHANISMS[config.attention].adds_directions,
        )
        self.decoder = RecurrentDecoder(config, self.encoder.output_size, target_vocabulary_size)
        self.output = nn.Linear(self.decoder.output_size, target_vocabulary_size)
        self._initialise()
        if config.tie_embeddings:
            self.output.weight = self.decoder.embedding.weight

    def _initialise(self) -> None:
        """Recurrent weights orthogonal by gate, other weights Xavier, embeddings with a deviation of 1/2.

        Xavier weights keep that deviation at the gates, so that the first states already tell words apart.
        With embeddings nearer to 0 they hardly do, and attention, which has only the states to compare,
        learns nothing for an epoch. A matrix that is also the output layer starts as small as such a layer.
        """
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                is_tied = self.config.tie_embeddings and module is self.decoder.embedding
                nn.init.normal_(module.weight, std=module.embedding_dim**-0.5 if is_tied else 0.5)
                if module.padding_idx is not None:
                    nn.init.zeros_(module.weight[module.padding_idx])
            elif isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.RNNBase | nn.RNNCellBase):
                for name, parameter in module.named_parameters():
                    for gate in parameter.split(module.hidden_size):
                        if "weight_hh" in name:
                            nn.init.orthogonal_(gate)
                        elif "weight_ih" in name:
                            nn.init.xavier_uniform_(gate)
                        else:
                            nn.init.zeros_(gate)

    def encode(
        self,
        source: Int[Tensor, "batch keys"],
        mask: Bool[Tensor, "batch keys"],
        with_attention: bool = True,
        edit: AttentionEdit | None = None,
    ) -> Memory:
        """Read source sentences once; `mask` is True at their tokens, which come before any padding.

        The steps' weights cost nothing here: they are returned whether `with_attention` or not.

        Args:
            source: tokens.
            mask: True at real tokens.
            with_attention: changes nothing.
            edit: what changes the attention of every step; None: nothing does.

        Raises:
            UserError: There is an edit, but no attention.
        """
        if edit is not None and isinstance(self.decoder.attention, NoAttention):
            raise UserError("this model has no attention (model.attention: none) to intervene in")
        encoded = self.encoder(source, mask)
        return Memory(self.decoder.attention.prepare(encoded.states, mask=mask), encoded, mask, edit)

    def initial_state(self, memory: Memory) -> DecoderState:
        """The decoder's state before the first word, with one beam per sentence."""
        return self.decoder.initial_state(memory.encoded, memory.mask, memory.edit is not None)

    def step(self, previous: Int[Tensor, "batch beams"], state: DecoderState, memory: Memory) -> StepOutput:
        """Read the previous word of every beam; give the next word's logits and where the step looked."""
        embedded = self.decoder.embed(previous)
        step = self.decoder.step(
            embedded, self.decoder.input_gates(embedded), state, memory.prepared, memory.edit
        )
        logits = self.output(self.decoder.read_out(step.features)).float()
        return StepOutput(logits, step.state, {"cross": step.weights[:, :, None, None]})

    def decode(
        self, words: Int[Tensor, "batch steps"], memory: Memory
    ) -> Float[Tensor, "batch steps output"]:
        """What the output layer reads at every step, all previous words being known."""
        state = self.initial_state(memory)
        embedded = self.decoder.embed(words)  # [batch, steps, embedding]
        steps = self._step_by_step(embedded, state, memory.prepared, memory.edit)
        return self.decoder.read_out(steps.features)

    @property
    def attention_heads(self) -> dict[str, tuple[int, int]]:
        """How many layers, and heads in each, there are of every kind of attention."""
        return {} if isinstance(self.decoder.attention, NoAttention) else {"cross": (1, 1)}

    def loss(
        self,
        batch: TranslationBatch,
        label_smoothing: float = 0.0,
        teacher_forcing_ratio: float = 1.0,
        teacher_forcing_unit: Literal["step", "sentence"] = "step",
        precision: Precision = "float32",
        generator: torch.Generator | None = None,
    ) -> LossOutput:
        """Label-smoothed cross-entropy of the batch's target words, and the coverage loss as a penalty.

        Args:
            batch: source [batch, keys] and target [batch, steps + 1].
            label_smoothing: share of the probability spread over the vocabulary.
            teacher_forcing_ratio: probability that the decoder reads the reference and not its own
                prediction (scheduled sampling, Bengio et al. 2015).
            teacher_forcing_unit: whether that is drawn for each word or for each sentence.
            precision: the format of the large products' operands.
            generator: what draws those choices; by default torch's own.
        """
        mask = batch.source != PADDING
        words, targets = batch.target[:, :-1], batch.target[:, 1:]  # [batch, steps]
        encoded = self.encoder(batch.source, mask, precision)
        if teacher_forcing_ratio >= 1.0:
            steps = self._teacher_forced(encoded, mask, words, precision)
        else:
            is_forced = draw_forced(words, teacher_forcing_ratio, teacher_forcing_unit, generator)
            steps = self._free_running(encoded, mask, words, is_forced)
        # Only real tokens go on. Time comes first in `features`: without padding nothing is copied.
        is_real = (targets != PADDING).t()
        features, wanted = steps.features.transpose(0, 1).flatten(0, 1), targets.t().flatten()
        if not bool(is_real.all()):
            places = is_real.flatten().nonzero().squeeze(1)
            features, wanted = features.index_select(0, places), wanted[places]
        outputs = self.decoder.read_out(features, precision)  # [tokens, output]
        loss = output_loss(outputs, self.output.weight, self.output.bias, wanted, label_smoothing, precision)
        penalty = None
        if steps.repeated is not None and self.config.coverage_loss:
            penalty = self.config.coverage_loss * (steps.repeated * is_real.t()).sum()
        return LossOutput(loss, len(wanted), penalty)

    def _teacher_forced(
        self, encoded: EncoderOutput, mask: Tensor, words: Tensor, precision: Precision
    ) -> Steps:
        """All steps, by the fastest way this variant has."""
        attention = self.decoder.attention
        is_one_gru = self.config.cell == "gru" and self.config.decoder_layers == 1
        if is_one_gru and not self.decoder.is_luong:
            if type(attention) is NoAttention:
                return Steps(self._unroll_fixed_context(encoded, mask, words, precision))
            if type(attention) is BahdanauAttention and attention.is_plain:
                return Steps(self._unroll_bahdanau(attention, encoded, mask, words, precision))
        return self._unroll_step_by_step(encoded, mask, words, precision)

    def _unroll_bahdanau(
        self,
        attention: BahdanauAttention,
        encoded: EncoderOutput,
        mask: Tensor,
        words: Tensor,
        precision: Precision,
    ) -> Tensor:
        cell = self.decoder.first_cell
        embedded = self.decoder.embed(words.t())  # [steps, batch, embedding]
        unrolled = unroll_bahdanau_gru(
            self.decoder.input_gates(embedded, precision),
            self.decoder.initial_state(encoded, mask).hidden[:, 0, 0],
            linear(encoded.states, attention.U_a.weight, None, precision),
            encoded.states,
            mask,
            attention.W_a.weight,
            attention.v_a,
            cell.weight_ih[:, self.config.embedding_size :],
            cell.weight_hh,
            cell.bias_hh,
            attention.dropout if self.training else 0.0,
            precision,
        )
        return torch.cat([unrolled.states, embedded, unrolled.contexts], -1).transpose(0, 1)

    def _unroll_fixed_context(
        self, encoded: EncoderOutput, mask: Tensor, words: Tensor, precision: Precision
    ) -> Tensor:
        """Without attention the context is the same at every step: nothing but the cell is in the loop."""
        cell = self.decoder.first_cell
        embedded = self.decoder.embed(words.t())  # [steps, batch, embedding]
        initial = self.decoder.initial_state(encoded, mask).hidden[:, 0, 0]
        prepared = self.decoder.attention.prepare(encoded.states, mask=mask)
        context, _ = self.decoder.attention.attend(initial, prepared)  # [batch, values]
        by_context = linear(context, cell.weight_ih[:, self.config.embedding_size :], None, precision)
        gates = self.decoder.input_gates(embedded, precision) + by_context
        states = gru_sequence(
            gates.unsqueeze(1), initial.unsqueeze(0), cell.weight_hh[None], cell.bias_hh[None], precision
        )[:, 0]  # [steps, batch, hidden]
        return torch.cat([states, embedded, context.expand(len(words.t()), -1, -1)], -1).transpose(0, 1)

    def _unroll_step_by_step(
        self, encoded: EncoderOutput, mask: Tensor, words: Tensor, precision: Precision
    ) -> Steps:
        """The definition: one step after the other; only what the words determine is made beforehand."""
        prepared = self.decoder.attention.prepare(encoded.states, mask=mask)
        state = self.decoder.initial_state(encoded, mask)
        embedded = self.decoder.embed(words)  # [batch, steps, embedding]
        return self._step_by_step(embedded, state, prepared, None, precision)

    def _step_by_step(
        self,
        embedded: Float[Tensor, "batch steps embedding"],
        state: DecoderState,
        prepared: PreparedKeys,
        edit: AttentionEdit | None,
        precision: Precision = "float32",
    ) -> Steps:
        gates = self.decoder.input_gates(embedded, precision)
        features, repeated = [], []
        for step in range(embedded.size(1)):
            here = slice(step, step + 1)
            out = self.decoder.step(embedded[:, here], gates[:, here], state, prepared, edit)
            features.append(out.features)
            repeated.append(_repeated(out, state))
            state = out.state
        return _joined(features, repeated)

    def _free_running(self, encoded: EncoderOutput, mask: Tensor, words: Tensor, is_forced: Tensor) -> Steps:
        """Step by step, reading its own best prediction wherever `is_forced` [batch, steps] is False."""
        prepared = self.decoder.attention.prepare(encoded.states, mask=mask)
        state = self.decoder.initial_state(encoded, mask)
        features: list[Tensor] = []
        repeated = []
        for step in range(words.size(1)):
            word = words[:, step : step + 1]
            if features and not bool(is_forced[:, step].all()):
                with torch.no_grad():
                    predicted = self.output(self.decoder.read_out(features[-1])).argmax(-1)
                word = torch.where(is_forced[:, step : step + 1], word, predicted)
            embedded = self.decoder.embed(word)
            out = self.decoder.step(embedded, self.decoder.input_gates(embedded), state, prepared)
            features.append(out.features)
            repeated.append(_repeated(out, state))
            state = out.state
        return _joined(features, repeated)


def _repeated(step: DecoderStep, before: DecoderState) -> Float[Tensor, "batch beams"] | None:
    """The coverage loss of a step."""
    return None if before.coverage is None else coverage_loss(step.weights, before.coverage)


def _joined(features: list[Tensor], repeated: list[Tensor | None]) -> Steps:
    losses = [loss for loss in repeated if loss is not None]
    return Steps(torch.cat(features, 1), torch.cat(losses, 1) if losses else None)
