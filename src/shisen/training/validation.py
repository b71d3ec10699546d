"""Measuring a model on the validation pairs: cross-entropy of all, BLEU of a sample translated greedily."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from shisen.data.batches import collate
from shisen.data.corpus import TokenizedCorpus
from shisen.data.tokenizer import Tokenizer
from shisen.data.vocabulary import END, PADDING
from shisen.decoding import greedy
from shisen.evaluation.scores import build_metrics, choose_tokenization
from shisen.training.machine import Precision

LONGEST_TRANSLATED = 1024
"""Tokens in the longest sentence that is translated for BLEU, as many as `shisen translate` takes."""

_MOST_SENTENCES = 100  # in a batch
_MOST_TOKENS = 16_384  # in a batch, with its padding: bounds the memory that long sentences take


class Example(NamedTuple):
    """A sentence, its reference, and what the model makes of it; or a text's beginning, and the text."""

    source: str
    reference: str
    hypothesis: str


@dataclass(frozen=True)
class Validation:
    """What one validation found.

    Attributes:
        loss: Cross-entropy per target token of all validation pairs, in nats, without label smoothing.
        bleu: BLEU of the sample, or None if there is no sample.
        example: One of the sample.
        seconds: How long it took.
    """

    loss: float
    bleu: float | None
    example: Example | None
    seconds: float

    @property
    def perplexity(self) -> float:
        """exp of the loss; infinite where it would overflow."""
        return math.exp(self.loss) if self.loss < 700 else math.inf


class Validator:
    """Measures a model, without a trace in it or in the random numbers.

    Args:
        corpus: All validation pairs.
        sample: Sentences and references to translate for BLEU; may be empty.
        source_tokenizer: Of the sentences.
        target_tokenizer: Of the translations.
        precision: As in training.
    """

    def __init__(
        self,
        corpus: TokenizedCorpus,
        sample: Sequence[tuple[str, str]],
        source_tokenizer: Tokenizer,
        target_tokenizer: Tokenizer,
        precision: Precision,
    ):
        self.corpus = corpus
        source, target = corpus.source.lengths, corpus.target.lengths
        order = np.lexsort((source, target))  # pairs of like length share a batch
        longer = np.maximum(source, target)[order].tolist()
        self._batches = [order[rows] for rows in _cut(longer)]
        self.longest = max(int(source.max()) - 1, int(target.max()) - 2)
        """Pieces of the longest sentence, without BEGIN and END."""
        self.source_tokenizer = source_tokenizer
        self.target_tokenizer = target_tokenizer
        self.precision = precision
        # Long sentences first: those of like length share a batch, and the largest batch comes first.
        encoded = zip(source_tokenizer.encode_batch([source for source, _ in sample]), sample, strict=True)
        self._sample = sorted(encoded, key=lambda item: -len(item[0]))
        self.references = [self._as_output(reference) for _, (_, reference) in self._sample]
        self._metric = self._build_metric() if sample else None
        self._shown = 0

    @property
    def signature(self) -> str | None:
        """Return sacrebleu's record of how BLEU is computed; None if it is not."""
        return str(self._metric.get_signature()) if self._metric else None

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> Validation:
        """Measure a model as it is now.

        Args:
            model: Left in the mode in which it came.
        """
        started = time.perf_counter()
        was_training = model.training
        model.eval()
        device = next(model.parameters()).device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            loss = self._loss(model, device)
            bleu, example = self._try_out(model, device)
        model.train(was_training)
        return Validation(loss, bleu, example, time.perf_counter() - started)

    def _loss(self, model: Any, device: torch.device) -> float:
        total = torch.zeros((), dtype=torch.float64, device=device)
        tokens = 0
        for rows in self._batches:
            batch = collate(self.corpus, rows).to(device)
            output = model.loss(batch, label_smoothing=0.0, precision=self.precision)
            total += output.loss
            tokens += output.tokens
        return float(total) / tokens

    def _try_out(self, model: Any, device: torch.device) -> tuple[float | None, Example | None]:
        """Translate the sample, if there is one: its BLEU, and one of the translations."""
        if self._metric is None:
            return None, None
        hypotheses = self._translate(model, device)
        bleu = float(self._metric.corpus_score(hypotheses, [self.references]).score)
        return bleu, self._next_example(hypotheses)

    def _translate(self, model: Any, device: torch.device) -> list[str]:
        hypotheses = []
        for batch in _cut([len(ids) + 1 for ids, _ in self._sample]):
            rows = [[*ids, END] for ids, _ in self._sample[batch]]
            longest = max(map(len, rows))
            padded = [row + [PADDING] * (longest - len(row)) for row in rows]
            source = torch.tensor(padded, device=device)  # [batch, longest]
            found = greedy(model, source, source != PADDING)
            hypotheses += [self.target_tokenizer.decode(hypothesis.ids) for hypothesis in found]
        return hypotheses

    def _next_example(self, hypotheses: list[str]) -> Example:
        """Show another sentence at each validation."""
        index = (7 * self._shown + len(hypotheses) // 2) % len(hypotheses)
        self._shown += 1
        _, (source, reference) = self._sample[index]
        return Example(source, reference, hypotheses[index])

    @property
    def _is_tokenized(self) -> bool:
        """Whether output is words between spaces, as it was given, rather than plain text."""
        settings = self.target_tokenizer.settings
        return not settings.marks_spaces and settings.language is None

    def _as_output(self, reference: str) -> str:
        """Spell a reference as the tokenizer would if it were output: only then are they comparable."""
        normal = self.target_tokenizer.normalize(reference)
        if self.target_tokenizer.settings.marks_spaces or self._is_tokenized:
            return normal
        return self.target_tokenizer.detokenize(normal.split())

    def _build_metric(self) -> Any:
        bleu, *_ = build_metrics(choose_tokenization(self._is_tokenized, self.references).name)
        bleu.corpus_score(self.references, [self.references])  # it has no signature before its first score
        return bleu


def _cut(lengths: Sequence[int]) -> Iterator[slice]:
    """Cut sentences of like length, in their order, into batches; the longest of all are alone in theirs."""
    start = longest = 0
    for end, length in enumerate(lengths):
        longest = max(longest, length)
        size = end - start + 1
        if size > 1 and (size > _MOST_SENTENCES or size * longest > _MOST_TOKENS):
            yield slice(start, end)
            start, longest = end, length
    if lengths:
        yield slice(start, len(lengths))
