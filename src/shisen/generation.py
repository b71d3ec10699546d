"""From a prompt to a text: `TextGenerator` loads a language model and goes on with what it is given."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from shisen.data.tokenizer import Tokenizer
from shisen.data.vocabulary import BEGIN, END, PADDING
from shisen.decoding import (
    BeamOptions,
    Constraints,
    Hypothesis,
    LengthLimits,
    SamplingOptions,
    beam_search,
    check_length_penalty,
    greedy,
    length_normaliser,
    sample,
)
from shisen.devices import find_device
from shisen.errors import UserError
from shisen.inspection.attention_map import AttentionMap
from shisen.model_directory import LoadedModel, generation_setting, load_model
from shisen.models import LanguageModel

DEFAULT_BATCH_SIZE = 100
"""Texts that are made or read together."""

DEFAULT_MAX_PROMPT_LENGTH = 1024
"""Tokens in the longest prompt that is continued, and in the longest text that is read."""

_MOST_TOKENS = 16_384  # in a batch, with what is produced: bounds the memory that long texts take
_MOST_LOGITS = 32_000_000  # in a batch that is read: a logit for each token of it and of the vocabulary


class LongPromptError(UserError):
    """A prompt, or a text that is to be read, that is longer than is allowed.

    Attributes:
        index: Where it is in the list that was given, from 0.
        number: Where it is in the whole input, from 1.
        detail: How long it is, how long it may be, and what can be done.
    """

    def __init__(self, index: int, number: int, tokens: int, limit: int) -> None:
        """Say which text is how long, and how long it may be."""
        self.index = index
        self.number = number
        self.detail = (
            f"{tokens:,} tokens; the longest text that is read has {limit:,} "
            "(split it, or raise max_prompt_length)"
        )
        super().__init__(f"text {number:,}: {self.detail}")


@dataclass(frozen=True, eq=False)
class Generation:
    """One text, and how it came about.

    Attributes:
        text: The prompt and what the model made of it, as a person reads it.
        tokens: What the model produced, token by token, ``</s>`` included.
        prompt: The text that was continued.
        prompt_tokens: Its tokens as the model read them, without ``<s>``, which it always reads first.
        score: The sum of `log_probabilities` over the length penalty; what `alternatives` are sorted by.
        log_probabilities: The model's natural log-probability of each of `tokens`, given all before it.
        attention: ``"decoder"``, an `AttentionMap` of the whole text: a row for each of `prompt_tokens` and
            `tokens`, a column for each token read: ``<s>`` and all of these but the last. A row shows where
            the model looked when it was to predict the token, be it given or produced.
        model: The fingerprint of the model.
        alternatives: All texts that were made of the prompt, the best (this one) first.
    """

    text: str
    tokens: tuple[str, ...]
    prompt: str
    prompt_tokens: tuple[str, ...]
    score: float
    log_probabilities: tuple[float, ...]
    attention: Mapping[str, AttentionMap]
    model: str
    alternatives: tuple["Generation", ...] = field(default=(), repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON holds it; `alternatives` where there is more than one."""
        entries: dict[str, Any] = {
            "text": self.text,
            "prompt": self.prompt,
            "tokens": list(self.tokens),
            "prompt_tokens": list(self.prompt_tokens),
            "score": self.score,
            "log_probabilities": list(self.log_probabilities),
            "attention": {  # to the seven decimal places that float32 has
                kind: np.round(one.weights.astype(np.float64), 7).tolist()
                for kind, one in self.attention.items()
            },
            "model": self.model,
        }
        if len(self.alternatives) > 1:
            own = ("text", "tokens", "score", "log_probabilities", "attention")
            others = [one.as_dict() for one in self.alternatives]
            entries["alternatives"] = [{name: one[name] for name in own} for one in others]
        return entries

    def to_json(self) -> str:
        """One line of JSON: `as_dict`, weights ``[layers, heads, queries, keys]`` as nested lists."""
        return json.dumps(self.as_dict(), ensure_ascii=False)


class TextGenerator:
    """A language model that goes on with text, and reads it.

    >>> generator = TextGenerator.load("runs/my-language-model")  # doctest: +SKIP
    >>> generation = generator.generate("The cat", temperature=0.8)  # doctest: +SKIP
    >>> generation.text, generation.attention["decoder"]  # doctest: +SKIP

    Args:
        loaded: A model directory in memory.
        device: Where to compute: ``"cpu"``, ``"cuda"``, ``"cuda:1"``.
        max_prompt_length: Tokens in the longest prompt that is continued, and in the longest text that is
            read; a longer one is a `LongPromptError`.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        device: str | torch.device = "cpu",
        max_prompt_length: int = DEFAULT_MAX_PROMPT_LENGTH,
    ) -> None:
        """Put the model on its device."""
        if max_prompt_length < 1:
            raise UserError(f"max_prompt_length is {max_prompt_length}; it must be at least 1")
        if not isinstance(loaded.model, LanguageModel):
            raise UserError("this model translates; it is no language model, which continues a text")
        self.device = find_device(device)
        self.model: LanguageModel = loaded.model.to(self.device).eval()
        self.tokenizer: Tokenizer = loaded.target_tokenizer
        self.config = loaded.config
        self.generation_config = loaded.generation_config
        self.fingerprint = loaded.fingerprint
        self.max_prompt_length = max_prompt_length

    @classmethod
    def load(
        cls,
        directory: str | Path,
        device: str | torch.device = "cpu",
        max_prompt_length: int = DEFAULT_MAX_PROMPT_LENGTH,
    ) -> "TextGenerator":
        """Load a model directory, what `shisen train --out` wrote for the family ``language-model``.

        Raises:
            UserError: The directory or a file in it is missing or damaged, it is of a model that translates,
                or there is no such device.
        """
        loaded = load_model(directory)
        if not loaded.is_language_model:
            raise UserError(
                f"{directory}: a model that translates, not a language model: use shisen translate"
            )
        return cls(loaded, device, max_prompt_length)

    # ---- writing

    @overload
    def generate(self, prompt: str = ..., **options: Any) -> Generation: ...
    @overload
    def generate(self, prompt: Sequence[str], **options: Any) -> list[Generation]: ...

    def generate(  # type: ignore[misc]  # the options of the overloads are these
        self,
        prompt: str | Sequence[str] = "",
        *,
        max_length: int | None = None,
        min_length: int = 0,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        samples: int = 1,
        beam_size: int | None = None,
        length_penalty: float | None = None,
        no_repeat_ngram: int = 0,
        forbid_unknown: bool = False,
        batch_size: int = DEFAULT_BATCH_SIZE,
        attention: bool = True,
        first_number: int = 0,
    ) -> Generation | list[Generation]:
        """Go on with a prompt, or with each of a list of them; an empty one begins a text.

        Tokens are drawn by their probabilities, unless there is a `beam_size`. What is None is the model's
        own setting (``generation_config.json``).

        Args:
            prompt: The beginning of a text, or several.
            max_length: Most tokens that are produced, ``</s>`` not counted.
            min_length: Fewest tokens that are produced, ``</s>`` not counted.
            temperature: Below 1 sharpens the probabilities, above 1 flattens them.
            top_k: Draw from the k likeliest tokens; 0: all.
            top_p: Draw from the fewest likeliest tokens that make up p; 1: all.
            seed: With the number of the prompt it fixes the draws; None: 0.
            samples: Texts per prompt, in `Generation.alternatives`; with a beam at most `beam_size`.
            beam_size: Search for the likeliest text with so many hypotheses instead of drawing; 1 takes the
                likeliest token each time.
            length_penalty: α in the score Σ log p / ((5 + |y|) / 6)^α; more favours longer texts.
            no_repeat_ngram: No n-gram of this size is produced twice; 0: any may.
            forbid_unknown: Never produce ``<unk>``.
            batch_size: Texts made together; only prompts of as many tokens share a batch.
            attention: Return the attention. Without, a little less work.
            first_number: The number of the first prompt in a longer input, for the draws and for errors.

        Raises:
            LongPromptError: A prompt has more tokens than `max_prompt_length`; nothing was produced.
            UserError: A setting is out of range, or of drawing where nothing is drawn.
        """
        limit = (
            max_length
            if max_length is not None
            else generation_setting(self.generation_config, "max_length", 100, int)
        )
        penalty = (
            length_penalty
            if length_penalty is not None
            else generation_setting(self.generation_config, "length_penalty", 1.0, float)
        )
        common: dict[str, Any] = {
            "lengths": LengthLimits(limit, min_length),
            "constraints": Constraints(no_repeat_ngram, forbid_unknown),
            "with_attention": attention,
        }
        drawing = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
        options: SamplingOptions | BeamOptions
        if beam_size is None:
            options = SamplingOptions(
                temperature
                if temperature is not None
                else generation_setting(self.generation_config, "temperature", 1.0, float),
                top_k if top_k is not None else generation_setting(self.generation_config, "top_k", 0, int),
                top_p
                if top_p is not None
                else generation_setting(self.generation_config, "top_p", 1.0, float),
                samples,
                seed or 0,
                penalty,
            )
        elif given := next((name for name, value in drawing.items() if value is not None), None):
            raise UserError(f"{given} shapes what is drawn; with a beam_size nothing is")
        else:
            options = BeamOptions(beam_size, penalty, samples)

        texts = [prompt] if isinstance(prompt, str) else list(prompt)
        prompts = self._encode(texts, first_number)
        results: dict[int, Generation] = {}
        width = samples if beam_size is None else beam_size
        for rows in _batches(prompts, batch_size, _MOST_TOKENS // width, added=limit):
            source = torch.tensor([[BEGIN, *prompts[row]] for row in rows], device=self.device)
            found = self._decode(source, options, [first_number + row for row in rows], common)
            for row, hypotheses in zip(rows, found, strict=True):
                results[row] = self._generation(texts[row], prompts[row], hypotheses)
        return results[0] if isinstance(prompt, str) else [results[row] for row in range(len(texts))]

    def generate_chunks(self, chunks: Iterable[Sequence[str]], **options: Any) -> Iterator[Generation]:
        """Go on with prompts that come in chunks, one chunk after the other, with `generate`'s options.

        Raises:
            UserError: At the prompt that is too long, or where reading fails; the texts of all prompts before
                it have been given then.
        """
        number = 0
        for chunk in chunks:
            try:
                yield from self.generate(chunk, **options, first_number=number)
            except LongPromptError as error:
                yield from self.generate(chunk[: error.index], **options, first_number=number)
                raise
            number += len(chunk)

    def _decode(
        self,
        source: Tensor,
        options: SamplingOptions | BeamOptions,
        numbers: list[int],
        common: dict[str, Any],
    ) -> list[list[Hypothesis]]:
        """The hypotheses of a batch of prompts of one length, best first; `source` is [batch, length]."""
        is_real = torch.ones_like(source, dtype=torch.bool)
        common = {**common, "first": source[:, -1]}
        if isinstance(options, SamplingOptions):
            return sample(self.model, source, is_real, options, numbers=numbers, **common)
        if options.beam_size == 1:
            found = greedy(self.model, source, is_real, length_penalty=options.length_penalty, **common)
            return [[hypothesis] for hypothesis in found]
        return beam_search(self.model, source, is_real, options, **common)

    def _generation(self, prompt: str, ids: list[int], hypotheses: list[Hypothesis]) -> Generation:
        """Build the result of one prompt from what decoding found."""
        begin, *prompt_tokens = self.tokenizer.tokens([BEGIN, *ids])
        spelled = self.tokenizer.surfaces(
            prompt
        )  # as the prompt spells them, where the model may not know them
        alternatives = []
        for found in hypotheses:
            tokens = self.tokenizer.tokens(found.ids)
            words = [token for token, id in zip(tokens, found.ids, strict=True) if id != END]
            rows = (*prompt_tokens, *tokens)
            maps = {}
            if found.attention:
                metadata: dict[str, str | int | float] = {"model": self.fingerprint, "score": found.score}
                metadata["prompt_tokens"] = len(prompt_tokens)
                keys = (begin, *rows[:-1])
                maps["decoder"] = AttentionMap(_whole(found.attention), rows, keys, "decoder", metadata)
            alternatives.append(
                Generation(
                    self.tokenizer.detokenize([*spelled, *words]),
                    tuple(tokens),
                    prompt,
                    tuple(prompt_tokens),
                    found.score,
                    found.log_probabilities,
                    maps,
                    self.fingerprint,
                )
            )
        return replace(alternatives[0], alternatives=tuple(alternatives))

    # ---- reading

    @overload
    def force(self, text: str, **options: Any) -> Generation: ...
    @overload
    def force(self, text: Sequence[str], **options: Any) -> list[Generation]: ...

    def force(  # type: ignore[misc]  # as above
        self,
        text: str | Sequence[str],
        *,
        batch_size: int = DEFAULT_BATCH_SIZE,
        attention: bool = True,
        first_number: int = 0,
    ) -> Generation | list[Generation]:
        """Take the model through given texts: their log-probabilities and the attention.

        Args:
            text: A text, or several. The result has it as what was produced, ``</s>`` behind it.
            batch_size: Texts read together.
            attention: Return the attention.
            first_number: The number of the first text in a longer input, for errors.

        Raises:
            LongPromptError: A text has more tokens than `max_prompt_length`.
        """
        texts = [text] if isinstance(text, str) else list(text)
        encoded = [[*ids, END] for ids in self._encode(texts, first_number)]
        results: dict[int, Generation] = {}
        for rows in _batches(encoded, batch_size, _MOST_LOGITS // len(self.tokenizer), of_one_length=False):
            found = self._read([encoded[row] for row in rows], attention)
            for row, hypothesis in zip(rows, found, strict=True):
                results[row] = replace(self._generation("", [], [hypothesis]), text=texts[row])
        return results[0] if isinstance(text, str) else [results[row] for row in range(len(texts))]

    @torch.inference_mode()
    def _read(self, texts: list[list[int]], with_attention: bool) -> list[Hypothesis]:
        """What the model makes of a batch of texts, each as if it had produced it."""
        penalty = generation_setting(self.generation_config, "length_penalty", 1.0, float)
        check_length_penalty(penalty)
        longest = max(map(len, texts))
        padded = [[BEGIN, *ids] + [PADDING] * (longest - len(ids)) for ids in texts]
        words = torch.tensor(padded, device=self.device)  # [batch, longest + 1]
        reading = self.model.read(words[:, :-1], with_attention)
        logits = self.model.output(reading.features).float()  # [batch, longest, vocabulary]
        chosen = logits.gather(-1, words[:, 1:, None])[..., 0] - logits.logsumexp(-1)  # [batch, longest]
        hypotheses = []
        for row, ids in enumerate(texts):
            log_probabilities = tuple(chosen[row, : len(ids)].tolist())
            score = sum(log_probabilities) / length_normaliser(float(len(ids)), penalty)
            attention = {}
            if reading.weights is not None:
                weights = reading.weights[row, ..., : len(ids), : len(ids)]
                attention["decoder"] = weights.float().cpu().numpy()
            hypotheses.append(Hypothesis(tuple(ids), score, log_probabilities, attention))
        return hypotheses

    # ---- what both need

    def _encode(self, texts: list[str], first_number: int) -> list[list[int]]:
        """The ids of each text, without special ones."""
        encoded = self.tokenizer.encode_batch(texts)
        for index, ids in enumerate(encoded):
            if len(ids) > self.max_prompt_length:
                number = first_number + index + 1
                raise LongPromptError(index, number, len(ids), self.max_prompt_length)
        return encoded


def _whole(attention: Mapping[str, np.ndarray]) -> np.ndarray:
    """The weights of prompt and continuation as one, ``[layers, heads, tokens, tokens]``."""
    behind = attention["decoder"]
    prompt = attention.get("prompt", behind[:, :, :0, :0])
    given, tokens = prompt.shape[-1], behind.shape[-1]
    before = np.zeros((*behind.shape[:2], given, tokens), np.float32)
    before[..., :given] = prompt
    return np.concatenate([before, behind], axis=2)


def _batches(
    texts: list[list[int]], batch_size: int, most_tokens: int, added: int = 0, of_one_length: bool = True
) -> Iterator[list[int]]:
    """The rows of each batch: of one length, or of similar ones; the longest first.

    A batch has at most `batch_size` rows and, `added` to each, `most_tokens` tokens; or it is a single row.
    """
    if batch_size < 1:
        raise UserError(f"batch_size is {batch_size}; it must be at least 1")
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for row in sorted(range(len(texts)), key=lambda row: -len(texts[row])):
        groups[len(texts[row]) if of_one_length else 0].append(row)
    for rows in groups.values():
        start = 0
        while start < len(rows):
            longest = len(texts[rows[start]]) + 1 + added
            size = max(1, min(batch_size, most_tokens // longest))
            yield rows[start : start + size]
            start += size
