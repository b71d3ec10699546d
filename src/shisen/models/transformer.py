"""The Transformer encoder-decoder: Vaswani et al., "Attention is all you need", NeurIPS 2017
(https://arxiv.org/abs/1706.03762), from the embedding to the loss.

A layer is a row of parts, each with a residual connection around it. With d for dropout and N for layer
normalisation:

    published (post-norm)   x = N(x + d(part(x)))
    pre-norm                x = x + d(part(N(x)))        (Xiong et al. 2020, https://arxiv.org/abs/2002.04745)

An encoder layer has self-attention and a feed-forward part; a decoder layer has cross-attention between them,
and its self-attention looks back only. With pre-norm one more N follows the last layer.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeVar, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from shisen.attention import KeyValueCache, MultiHeadAttention, SparseSelfAttention
from shisen.attention.dot_product import causal_mask
from shisen.attention.multi_head import Positions
from shisen.attention.patterns import parse_pattern
from shisen.attention.positions import sinusoidal_positions
from shisen.data.vocabulary import PADDING
from shisen.errors import UserError
from shisen.models.attention_edit import (
    NO_CHANGE,
    AttentionEdit,
    AttentionPlace,
    Change,
    change_at,
    selected,
)
from shisen.models.config import LayerConfig, TransformerConfig
from shisen.models.dropout import Dropout
from shisen.models.output import output_loss
from shisen.models.products import Precision
from shisen.models.step_cache import DecoderPast, StepCache, by_position
from shisen.models.translation import LossOutput, StepOutput, TranslationBatch, mix_with_predictions

_Extra = TypeVar("_Extra")


class Memory(NamedTuple):
    """An encoded batch: what each decoder layer attends to."""

    layers: tuple[KeyValueCache, ...]  # one for each decoder layer, projected once per sentence
    mask: Bool[Tensor, "batch keys"]
    attention: dict[str, Float[Tensor, "batch layers heads keys keys"]]  # "encoder", if it was asked for
    with_attention: bool  # whether the steps return weights
    edit: AttentionEdit | None = None  # what changes the attention of the steps

    def select(self, rows: Int[Tensor, " n"]) -> "Memory":
        """The memory of these sentences of the batch alone, in this order, for steps: without `attention`."""
        layers = tuple(layer.select(rows) for layer in self.layers)
        return Memory(layers, self.mask[rows], {}, self.with_attention, selected(self.edit, rows))


class FeedForward(nn.Module):
    """Two linear layers at every position by itself.

        FFN(x) = W_2 f(W_1 x + b_1) + b_2,      f = ReLU or GELU
        FFN(x) = W_2 (swish(W_g x + b_g) ⊙ (W_1 x + b_1)) + b_2        "swiglu"

    (Vaswani et al. 2017, equation 2; Hendrycks and Gimpel 2016; Shazeer 2020,
    https://arxiv.org/abs/2002.05202.)
    """

    def __init__(self, config: LayerConfig) -> None:
        super().__init__()
        self.inner = nn.Linear(config.model_size, config.feed_forward_size)
        self.gate = (
            nn.Linear(config.model_size, config.feed_forward_size) if config.activation == "swiglu" else None
        )
        self.outer = nn.Linear(config.feed_forward_size, config.model_size)
        self.activation = nn.functional.gelu if config.activation == "gelu" else nn.functional.relu
        self.dropout = Dropout(config.activation_dropout)

    def forward(self, x: Float[Tensor, "batch length size"]) -> Float[Tensor, "batch length size"]:
        """Apply it at every position."""
        inner = self.inner(x)  # [batch, length, feed_forward_size]
        inner = self.activation(inner) if self.gate is None else nn.functional.silu(self.gate(x)) * inner
        return self.outer(self.dropout(inner))


class LayerOutput(NamedTuple):
    """What a layer gives; weights where they were asked for."""

    x: Float[Tensor, "batch length size"]
    past: StepCache | None  # with this step, where there was a past
    self_weights: Float[Tensor, "batch heads length keys"] | None
    cross_weights: Float[Tensor, "batch heads length keys"] | None


class Layer(nn.Module):
    """Self-attention, cross-attention if it has a memory to look at, and the feed-forward part.

    Args:
        config: sizes and variant.
        has_memory: whether it is a decoder layer.
        pattern: which positions may attend to which in self-attention; None: all to all.
    """

    def __init__(self, config: LayerConfig, has_memory: bool, pattern: str | None = None) -> None:
        super().__init__()
        size = config.model_size
        self.is_pre_norm = config.norm == "pre"
        self.dropout = Dropout(config.dropout)
        self.self_attention: MultiHeadAttention | SparseSelfAttention
        if pattern is None:
            acting: tuple[Positions, ...] = ("rotary", "alibi")
            positions = next((name for name in acting if name == config.positions), None)
            self.self_attention = _attention(config, positions)
        else:
            self.self_attention = SparseSelfAttention(
                size,
                config.heads,
                parse_pattern(pattern),
                config.attention_dropout,
                function=config.attention_function,
            )
        self.self_attention_norm = nn.LayerNorm(size)
        self.cross_attention = _attention(config, None) if has_memory else None
        self.cross_attention_norm = nn.LayerNorm(size) if has_memory else None
        self.feed_forward = FeedForward(config)
        self.feed_forward_norm = nn.LayerNorm(size)

    def forward(
        self,
        x: Float[Tensor, "batch length size"],
        mask: Bool[Tensor, "..."] | None = None,
        *,
        is_causal: bool = False,
        past: StepCache | None = None,
        positions: int | Int[Tensor, " length"] | None = None,
        key_positions: Int[Tensor, " slots"] | None = None,
        memory: KeyValueCache | None = None,
        memory_mask: Bool[Tensor, "batch keys"] | None = None,
        self_change: Change = NO_CHANGE,
        cross_change: Change = NO_CHANGE,
        return_weights: bool = False,
    ) -> LayerOutput:
        """Read the positions of `x`, all at once, or those of one step behind its past.

        Args:
            x: [batch, length, size]; in a step [batch, beams, size].
            mask: what self-attention may attend to: [batch, length]; in a step [batch, beams, slots].
            is_causal: whether self-attention looks back only.
            past: the keys and values of the steps before, to which those of `x` are added; None: all
                positions are in `x`, and nothing is kept.
            positions: with a past, the position at which every row of `x` stands (beams at one step), or that
                of each row.
            key_positions: with a past, the position of the token in each slot, those of `x` included.
            memory: the keys and values of cross-attention.
            memory_mask: True at the memory's real tokens.
            self_change: what is done to self-attention.
            cross_change: what is done to cross-attention.
            return_weights: whether to return the weights.
        """
        attend = self.self_attention
        edit, head_mask = self_change

        def look_at_itself(h: Tensor) -> tuple[Tensor, tuple[StepCache | None, Tensor | None]]:
            if isinstance(attend, SparseSelfAttention):
                context, sparse = attend(
                    h, mask, head_mask=head_mask, edit=edit, return_weights=return_weights
                )
                return context, (None, None if sparse is None else sparse.dense())
            if past is None or positions is None:
                context, weights = attend(
                    h,
                    mask=mask,
                    head_mask=head_mask,
                    is_causal=is_causal,
                    edit=edit,
                    return_weights=return_weights,
                )
                return context, (None, weights)
            at = positions
            if isinstance(at, int):  # every beam is at the same step
                at = torch.full((h.shape[1],), at, device=h.device)
            now = past.append(attend.prepare(h, positions=at))
            context, weights = attend.attend(
                h,
                now.key_values,
                mask,
                head_mask=head_mask,
                is_causal=is_causal,
                positions=at,
                key_positions=key_positions,
                edit=edit,
                return_weights=return_weights,
            )
            return context, (now, weights)

        def look_at_memory(h: Tensor) -> tuple[Tensor, Tensor | None]:
            assert self.cross_attention is not None
            assert memory is not None
            return self.cross_attention.attend(
                h,
                memory,
                memory_mask,
                head_mask=cross_change.head_mask,
                edit=cross_change.weights,
                return_weights=return_weights,
            )

        x, (now, self_weights) = self._around(x, self.self_attention_norm, look_at_itself)
        cross_weights = None
        if self.cross_attention_norm is not None:
            x, cross_weights = self._around(x, self.cross_attention_norm, look_at_memory)
        x, _ = self._around(x, self.feed_forward_norm, lambda h: (self.feed_forward(h), None))
        return LayerOutput(x, now, self_weights, cross_weights)

    def project_memory(self, states: Float[Tensor, "batch keys size"]) -> KeyValueCache:
        """Project the encoder's states once, for the cross-attention of every step."""
        assert self.cross_attention is not None
        return self.cross_attention.prepare(states)

    def _around(
        self, x: Tensor, norm: nn.LayerNorm, part: Callable[[Tensor], tuple[Tensor, _Extra]]
    ) -> tuple[Tensor, _Extra]:
        """A part with its residual connection, its normalisation and its dropout."""
        given, extra = part(norm(x) if self.is_pre_norm else x)
        x = x + self.dropout(given)
        return (x if self.is_pre_norm else norm(x)), extra


class Embedding(nn.Module):
    """√size E y + P, with dropout: words and, if positions are vectors, where they stand (section 3.4, 3.5).

    Of `learned` positions the last serves all positions behind it.
    """

    def __init__(self, config: LayerConfig, vocabulary_size: int) -> None:
        super().__init__()
        self.scale = config.model_size**0.5
        self.words = nn.Embedding(vocabulary_size, config.model_size)
        is_learned = config.positions == "learned"
        self.learned = nn.Embedding(config.max_positions, config.model_size) if is_learned else None
        self.is_sinusoidal = config.positions == "sinusoidal"
        self.dropout = Dropout(config.dropout)

    def forward(
        self, words: Int[Tensor, "batch length"], position: int | None = None
    ) -> Float[Tensor, "batch length size"]:
        """Embed `words` that stand one behind the other from 0 on, or all at `position`."""
        x = self.words(words) * self.scale  # [batch, length, size]
        count, first = (words.shape[1], 0) if position is None else (1, position)
        if self.learned is not None:
            places = torch.arange(first, first + count, device=words.device)
            x = x + self.learned(places.clamp(max=self.learned.num_embeddings - 1))
        elif self.is_sinusoidal:
            x = x + sinusoidal_positions(count, x.shape[-1], first, device=words.device).to(x.dtype)
        return self.dropout(x)


def initialise(model: nn.Module, size: int) -> None:
    """Start matrices Xavier uniform; embeddings with a deviation of 1 / √size, which their scale makes 1."""
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=size**-0.5)
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)


class TransformerTranslator(nn.Module):
    """Encoder, decoder, output layer.

    Args:
        config: sizes and variant.
        source_vocabulary_size: source tokens.
        target_vocabulary_size: target tokens.

    Raises:
        UserError: one embedding for two vocabularies.
    """

    def __init__(
        self, config: TransformerConfig, source_vocabulary_size: int, target_vocabulary_size: int
    ) -> None:
        super().__init__()
        self.config = config
        size = config.model_size
        self.source_embedding = Embedding(config, source_vocabulary_size)
        self.target_embedding = Embedding(config, target_vocabulary_size)
        self.encoder = nn.ModuleList(
            Layer(config, has_memory=False, pattern=config.encoder_pattern)
            for _ in range(config.encoder_layers)
        )
        self.decoder = nn.ModuleList(Layer(config, has_memory=True) for _ in range(config.decoder_layers))
        is_pre_norm = config.norm == "pre"
        self.encoder_norm = nn.LayerNorm(size) if is_pre_norm else nn.Identity()
        self.decoder_norm = nn.LayerNorm(size) if is_pre_norm else nn.Identity()
        self.output = nn.Linear(size, target_vocabulary_size)
        initialise(self, size)
        if config.tie_embeddings != "none":
            self.output.weight = self.target_embedding.words.weight
        if config.tie_embeddings == "three-way":
            if source_vocabulary_size != target_vocabulary_size:
                raise UserError("model.tie_embeddings three-way needs one vocabulary for both sides")
            self.source_embedding.words.weight = self.target_embedding.words.weight

    @property
    def attention_heads(self) -> dict[str, tuple[int, int]]:
        """How many layers, and heads in each, there are of every kind of attention."""
        heads = self.config.heads
        layers = {"encoder": self.encoder, "decoder": self.decoder, "cross": self.decoder}
        return {kind: (len(those), heads) for kind, those in layers.items()}

    # ------------------------------------------------------------------ all positions at once: training

    def loss(
        self,
        batch: TranslationBatch,
        label_smoothing: float = 0.0,
        teacher_forcing_ratio: float = 1.0,
        teacher_forcing_unit: Literal["step", "sentence"] = "step",
        precision: Precision = "float32",
        generator: torch.Generator | None = None,
    ) -> LossOutput:
        """Label-smoothed cross-entropy of the batch's target words.

        Args:
            batch: source [batch, keys] and target [batch, steps + 1].
            label_smoothing: share of the probability spread over the vocabulary.
            teacher_forcing_ratio: probability that the decoder reads the reference and not a prediction of
                its own, made by a first pass that reads the reference alone (Mihaylova and Martins 2019).
            teacher_forcing_unit: whether that is drawn for each word or for each sentence.
            precision: the format of the products' operands.
            generator: what draws those choices; by default torch's own.
        """
        mask = batch.source != PADDING
        words, targets = batch.target[:, :-1], batch.target[:, 1:]  # [batch, steps]
        with torch.autocast(words.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            memory = self.encode(batch.source, mask)
            if teacher_forcing_ratio < 1.0:
                words = mix_with_predictions(
                    words,
                    lambda read: self.output(self.decode(read, memory)),
                    teacher_forcing_ratio,
                    teacher_forcing_unit,
                    generator,
                )
            features = self.decode(words, memory)  # [batch, steps, size]
        is_real = targets != PADDING
        features, wanted = features[is_real].to(self.output.weight.dtype), targets[is_real]
        loss = output_loss(features, self.output.weight, self.output.bias, wanted, label_smoothing, precision)
        return LossOutput(loss, len(wanted))

    def encode(
        self,
        source: Int[Tensor, "batch keys"],
        mask: Bool[Tensor, "batch keys"],
        with_attention: bool = False,
        edit: AttentionEdit | None = None,
    ) -> Memory:
        """Read source sentences once.

        Args:
            source: tokens.
            mask: True at real tokens.
            with_attention: whether to keep the encoder's weights, and to return those of every step.
            edit: what changes the attention, here and at every step; None: nothing does.
        """
        x = self.source_embedding(source)  # [batch, keys, size]
        weights = []
        only = None if bool(mask.all()) else mask  # without a mask the attention has less to do
        for number, layer in enumerate(cast(list[Layer], self.encoder)):
            change = NO_CHANGE if edit is None else change_at(edit, _within_source(layer, number, mask))
            x, _, self_weights, _ = layer(x, only, self_change=change, return_weights=with_attention)
            weights.append(self_weights)
        x = self.encoder_norm(x)
        attention = {"encoder": torch.stack(weights, 1)} if with_attention else {}
        layers = tuple(layer.project_memory(x) for layer in cast(list[Layer], self.decoder))
        return Memory(layers, mask, attention, with_attention, edit)

    def decode(self, words: Int[Tensor, "batch steps"], memory: Memory) -> Float[Tensor, "batch steps size"]:
        """What the output layer reads at every step, all previous words being known."""
        x = self.target_embedding(words)  # [batch, steps, size]
        memory_mask = None if bool(memory.mask.all()) else memory.mask
        places = torch.arange(words.shape[1], device=words.device)
        past = causal_mask(len(places), len(places), words.device)[None, None]
        for number, (layer, keys) in enumerate(zip(self.decoder, memory.layers, strict=True)):
            x = layer(
                x,
                is_causal=True,
                memory=keys,
                memory_mask=memory_mask,
                self_change=_change(memory, "decoder", number, places, places, past),
                cross_change=_at_source(memory, number, places),
            ).x
        return self.decoder_norm(x)

    # ------------------------------------------------------------------ one position at a time: decoding

    def initial_state(self, memory: Memory) -> DecoderPast:
        """The decoder's state before the first word, with one beam per sentence."""
        return DecoderPast.empty(len(self.decoder), len(memory.mask), memory.mask.device)

    def step(self, previous: Int[Tensor, "batch beams"], state: DecoderPast, memory: Memory) -> StepOutput:
        """Read the previous word of every beam; give the next word's logits and where the step looked."""
        is_own, positions, step = state.with_step()  # [batch, beams, slots], [slots], a number
        x = self.target_embedding(previous, position=step)  # [batch, beams, size]
        has_others = is_own.shape[2] > step + 1  # more slots than steps: some are of other hypotheses
        now, self_weights, cross_weights = [], [], []
        at = positions[-previous.shape[1] :]  # the position of this step, for every beam
        for number, (layer, past, keys) in enumerate(
            zip(self.decoder, state.layers, memory.layers, strict=True)
        ):
            out = layer(
                x,
                is_own if has_others else None,
                past=past,
                positions=step,
                key_positions=positions,
                memory=keys,
                memory_mask=memory.mask,
                self_change=_change(memory, "decoder", number, at, positions, is_own[:, None]),
                cross_change=_at_source(memory, number, at),
                return_weights=memory.with_attention,
            )
            x = out.x
            now.append(out.past)
            if memory.with_attention:
                self_weights.append(by_position(out.self_weights, is_own))
                cross_weights.append(out.cross_weights.transpose(1, 2))
        logits = self.output(self.decoder_norm(x)).float()  # [batch, beams, vocabulary]
        attention = {}
        if memory.with_attention:  # [batch, beams, layers, heads, keys or steps]
            attention = {"cross": torch.stack(cross_weights, 2), "decoder": torch.stack(self_weights, 2)}
        return StepOutput(logits, DecoderPast(tuple(now), is_own, positions), attention)


def _attention(config: LayerConfig, positions: Positions | None) -> MultiHeadAttention:
    return MultiHeadAttention(
        config.model_size,
        config.heads,
        dropout=config.attention_dropout,
        key_value_heads=config.key_value_heads,
        positions=positions,
        drop_head=config.drop_head,
        function=config.attention_function,
    )


def _within_source(layer: Layer, number: int, mask: Bool[Tensor, "batch keys"]) -> AttentionPlace:
    """Where an encoder layer attends."""
    places = torch.arange(mask.shape[1], device=mask.device)
    allowed = mask[:, None, None]
    if isinstance(layer.self_attention, SparseSelfAttention):
        allowed = allowed & layer.self_attention.pattern.mask(len(places), device=mask.device)
    return AttentionPlace("encoder", number, places, places, allowed)


def _at_source(memory: Memory, layer: int, queries: Int[Tensor, " queries"]) -> Change:
    """What is done to a decoder layer's cross-attention."""
    if memory.edit is None:
        return NO_CHANGE
    keys = torch.arange(memory.mask.shape[1], device=memory.mask.device)
    return _change(memory, "cross", layer, queries, keys, memory.mask[:, None, None])


def _change(memory: Memory, kind: str, layer: int, queries: Tensor, keys: Tensor, allowed: Tensor) -> Change:
    """What is done to a layer's attention."""
    if memory.edit is None:
        return NO_CHANGE
    return change_at(memory.edit, AttentionPlace(kind, layer, queries, keys, allowed))
