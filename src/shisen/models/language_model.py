"""The language model: a Transformer decoder that reads one text and predicts each token from those before it.

    p(y_1 … y_n) = ∏_t p(y_t | y_0 … y_{t-1}),      y_0 = <s>, y_n = </s>

(Radford et al. 2018, "Improving language understanding by generative pre-training", and 2019, "Language
models are unsupervised multitask learners"; the layers are those of Vaswani et al. 2017,
https://arxiv.org/abs/1706.03762, without cross-attention.) GPT-2's own choices are ``norm: pre``,
``activation: gelu`` (which it approximates with a tanh), ``positions: learned``.

What decoding calls the source is here the beginning of the text, ``<s>`` and a prompt.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from shisen.data.vocabulary import PADDING
from shisen.models.config import LanguageModelConfig
from shisen.models.output import output_loss
from shisen.models.products import Precision
from shisen.models.step_cache import DecoderPast, StepCache, by_position
from shisen.models.transformer import Embedding, Layer, initialise
from shisen.models.translation import LossOutput, StepOutput, TranslationBatch, mix_with_predictions


class Reading(NamedTuple):
    """What reading some tokens gives."""

    features: Float[Tensor, "batch length size"]  # what the output layer reads at every position
    past: DecoderPast
    weights: Float[Tensor, "batch layers heads length length"] | None


class ReadPrompt(NamedTuple):
    """The beginnings of a batch of texts, read but for their last token, which the first step reads."""

    past: DecoderPast | None  # what the first step goes on from; None where texts have left the batch
    attention: dict[str, Float[Tensor, "batch layers heads queries queries"]]  # "prompt", if it was asked for
    with_attention: bool  # whether the steps return weights

    def select(self, rows: Int[Tensor, " n"]) -> "ReadPrompt":
        """What later steps of these texts need, which have all else in their state: no copy of the past."""
        return ReadPrompt(None, {}, self.with_attention)


class LanguageModel(nn.Module):
    """Embedding, layers, output layer.

    Args:
        config: sizes and variant.
        vocabulary_size: tokens.
    """

    def __init__(self, config: LanguageModelConfig, vocabulary_size: int) -> None:
        super().__init__()
        self.config = config
        size = config.model_size
        self.embedding = Embedding(config, vocabulary_size)
        self.layers = nn.ModuleList(Layer(config, has_memory=False) for _ in range(config.layers))
        self.norm = nn.LayerNorm(size) if config.norm == "pre" else nn.Identity()
        self.output = nn.Linear(size, vocabulary_size)
        initialise(self, size)
        if config.tie_embeddings:
            self.output.weight = self.embedding.words.weight

    # ------------------------------------------------------------------ all positions at once

    def forward(self, words: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length size"]:
        """What the output layer reads at every position; none sees a later one, nor the padding behind."""
        x = self.embedding(words)  # [batch, length, size]
        for layer in self.layers:
            x = layer(x, is_causal=True).x
        return self.norm(x)

    def loss(
        self,
        batch: TranslationBatch,
        label_smoothing: float = 0.0,
        teacher_forcing_ratio: float = 1.0,
        teacher_forcing_unit: Literal["step", "sentence"] = "step",
        precision: Precision = "float32",
        generator: torch.Generator | None = None,
    ) -> LossOutput:
        """Label-smoothed cross-entropy of the batch's words.

        Args:
            batch: the texts are its target, [batch, length + 1]; a source is not read.
            label_smoothing: share of the probability spread over the vocabulary.
            teacher_forcing_ratio: probability that the model reads the text and not a prediction of its own,
                made by a first pass that reads the text alone (Mihaylova and Martins 2019).
            teacher_forcing_unit: whether that is drawn for each word or for each text.
            precision: the format of the products' operands.
            generator: what draws those choices; by default torch's own.
        """
        words, targets = batch.target[:, :-1], batch.target[:, 1:]  # [batch, length]
        with torch.autocast(words.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            if teacher_forcing_ratio < 1.0:
                words = mix_with_predictions(
                    words,
                    lambda read: self.output(self(read)),
                    teacher_forcing_ratio,
                    teacher_forcing_unit,
                    generator,
                )
            features = self(words)  # [batch, length, size]
        is_real = targets != PADDING
        features, wanted = features[is_real].to(self.output.weight.dtype), targets[is_real]
        loss = output_loss(features, self.output.weight, self.output.bias, wanted, label_smoothing, precision)
        return LossOutput(loss, len(wanted))

    def read(self, words: Int[Tensor, "batch length"], with_attention: bool = False) -> Reading:
        """Read texts from their beginning, all at once, and keep what the steps that go on from them need.

        Args:
            words: ``<s>`` and tokens.
            with_attention: whether to keep the weights.
        """
        batch, length = words.shape
        positions = torch.arange(length, device=words.device)
        x = self.embedding(words)  # [batch, length, size]
        past, weights = [], []
        for layer in self.layers:
            out = layer(
                x,
                is_causal=True,
                past=StepCache(),
                positions=positions,
                key_positions=positions,
                return_weights=with_attention,
            )
            x = out.x
            past.append(out.past)
            weights.append(out.self_weights)  # [batch, heads, length, length]
        is_own = torch.ones(batch, 1, length, dtype=torch.bool, device=words.device)
        return Reading(
            self.norm(x),
            DecoderPast(tuple(past), is_own, positions),
            torch.stack(weights, 1) if with_attention else None,
        )

    # ------------------------------------------------------------------ one position at a time: decoding

    def encode(
        self,
        source: Int[Tensor, "batch length"],
        mask: Bool[Tensor, "batch length"],
        with_attention: bool = False,
    ) -> ReadPrompt:
        """Read the beginnings of texts, all at once, but for their last token, which the first step reads.

        Args:
            source: ``<s>`` and the tokens of a prompt, of as many tokens in every row.
            mask: True everywhere.
            with_attention: whether to keep the weights, and to return those of every step.

        Raises:
            ValueError: the prompts are of different lengths.
        """
        if not bool(mask.all()):
            raise ValueError("the prompts of one batch must be of one length")
        if source.shape[1] == 1:
            return ReadPrompt(
                DecoderPast.empty(len(self.layers), len(source), source.device), {}, with_attention
            )
        reading = self.read(source[:, :-1], with_attention)
        attention = {} if reading.weights is None else {"prompt": reading.weights}
        return ReadPrompt(reading.past, attention, with_attention)

    def initial_state(self, memory: ReadPrompt) -> DecoderPast:
        """What the model has read before the first step, with one beam per text."""
        assert memory.past is not None, "a selection is for later steps; it has no state before the first"
        return memory.past

    def step(
        self, previous: Int[Tensor, "batch beams"], state: DecoderPast, memory: ReadPrompt
    ) -> StepOutput:
        """Read the previous word of every beam; give the next word's logits and where the step looked."""
        is_own, positions, step = state.with_step()  # [batch, beams, slots], [slots], a number
        x = self.embedding(previous, position=step)  # [batch, beams, size]
        has_others = is_own.shape[2] > step + 1  # more slots than steps: some are of other hypotheses
        now, weights = [], []
        for layer, past in zip(self.layers, state.layers, strict=True):
            out = layer(
                x,
                is_own if has_others else None,
                past=past,
                positions=step,
                key_positions=positions,
                return_weights=memory.with_attention,
            )
            x = out.x
            now.append(out.past)
            if memory.with_attention:
                weights.append(by_position(out.self_weights, is_own))
        logits = self.output(self.norm(x)).float()  # [batch, beams, vocabulary]
        attention = {"decoder": torch.stack(weights, 2)} if memory.with_attention else {}
        return StepOutput(logits, DecoderPast(tuple(now), is_own, positions), attention)
