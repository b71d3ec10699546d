"""A whole model on a whole test set: its translations and their scores, its perplexity, its alignments."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import islice
from typing import Any, Protocol, runtime_checkable

from shisen import __version__
from shisen.data.alignments import Alignment
from shisen.data.pieces import SPACE
from shisen.data.vocabulary import SPECIAL_TOKENS, UNKNOWN
from shisen.errors import UserError
from shisen.evaluation.alignment import NO_ALIGNMENTS, AlignmentScores, score_alignment
from shisen.evaluation.scores import (
    DEFAULT_SAMPLES,
    DEFAULT_SEED,
    CorpusScores,
    build_metrics,
    choose_tokenization,
    corpus_scores,
    perplexity,
)
from shisen.inspection.alignment import Links, argmax_alignment, check_threshold, threshold_alignment
from shisen.inspection.attention_map import AttentionMap
from shisen.inspection.word_weights import word_weights, words_of_pieces

Pairs = Sequence[tuple[str, str]]

#: Sentences whose translations, with their attention, are in memory at once.
CHUNK = 1024


@runtime_checkable
class Cuts(Protocol):
    """What is asked of a `shisen.data.tokenizer.Tokenizer`."""

    @property
    def settings(self) -> Any:
        """How it cuts."""

    def surfaces(self, text: str) -> list[str]:
        """The pieces of a sentence as the text spells them."""


@runtime_checkable
class Translated(Protocol):
    """What is read of a `shisen.Translation`."""

    @property
    def text(self) -> str:
        """As a person reads it."""

    @property
    def tokens(self) -> Sequence[str]:
        """As the model made it, its end included."""

    @property
    def log_probabilities(self) -> Sequence[float]:
        """Of each token."""

    @property
    def attention(self) -> Mapping[str, AttentionMap]:
        """By kind, of which ``cross`` is read."""


@runtime_checkable
class Translates(Protocol):
    """What is asked of a `shisen.Translator`."""

    @property
    def source_tokenizer(self) -> Cuts:
        """Of the source."""

    @property
    def target_tokenizer(self) -> Cuts:
        """Of the target."""

    @property
    def generation_config(self) -> Mapping[str, Any]:
        """How the model decodes unless told otherwise."""

    @property
    def fingerprint(self) -> str:
        """Of the model."""

    def translate(self, text: Sequence[str], **options: Any) -> Sequence[Translated]:
        """Translate every text."""

    def force(
        self, source: Sequence[str], translation: Sequence[str], **options: Any
    ) -> Sequence[Translated]:
        """Read every given translation: its log-probabilities and its attention."""

    def check_lengths(self, sources: Sequence[str], translations: Sequence[str] = ()) -> None:
        """Refuse sentences that are too long for the two above."""


@dataclass(frozen=True)
class Evaluation:
    """What was measured of a model on a test set, and how.

    Attributes:
        hypotheses: The model's translations, as they were scored.
        scores: Their BLEU, chrF and TER, with intervals.
        perplexity: Of the references, under the model: per token of its own vocabulary, the end included. It
            compares models with the same vocabulary only.
        alignment: The alignment error rate, where gold alignments were given.
        provenance: Model, data, settings and versions.
    """

    hypotheses: tuple[str, ...]
    scores: CorpusScores
    perplexity: float
    alignment: AlignmentScores | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The evaluation as JSON holds it, without the hypotheses."""
        entries = {"sentences": len(self.hypotheses), **self.scores.as_dict(), "perplexity": self.perplexity}
        if self.alignment is not None:
            entries["alignment"] = self.alignment.as_dict()
        return entries | self.provenance


def evaluate_system(
    translator: Translates,
    pairs: Pairs,
    gold: Sequence[Alignment] | None = None,
    *,
    tokenize: str | None = None,
    lowercase: bool = False,
    batch_size: int = 100,
    samples: int = DEFAULT_SAMPLES,
    seed: int = DEFAULT_SEED,
    threshold: float | None = None,
    decoding: Mapping[str, Any] | None = None,
    gold_name: str = "gold alignments",
    on_progress: Callable[[int], None] = lambda sentences: None,
) -> Evaluation:
    """Translate the sources, read the references, score both.

    Args:
        translator: A `shisen.Translator`.
        pairs: (source, reference), the test set.
        gold: The alignment of every pair, in words between blanks, for the alignment error rate. The model's
            alignment is that of the given pair: from the attention while it reads the reference.
        tokenize: BLEU's tokenisation; None chooses by model and language (`choose_tokenization`).
        lowercase: Whether BLEU and chrF ignore case.
        batch_size: Sentences decoded together.
        samples: Test sets drawn for the intervals.
        seed: Of that drawing.
        threshold: Align every pair of words whose attention is at least this; None aligns each target word
            with the source word it looks at most.
        decoding: Options of `Translator.translate`, ``beam_size`` and the like.
        gold_name: The file of the gold alignments, for errors.
        on_progress: Told how many more sentences are done; each counts twice, translated and read.

    Raises:
        UserError: No pairs; gold alignments that do not fit them; settings that are out of range; a sentence
            that is too long. Nothing has been translated then.
    """
    if not pairs:
        raise UserError("there is nothing to evaluate: the data hold no sentence pair")
    if gold is not None:
        check_gold(gold, pairs, gold_name)
    if threshold is not None:
        check_threshold(threshold)
    sources, targets = [source for source, _ in pairs], [target for _, target in pairs]
    tokenizer = translator.target_tokenizer
    references = comparable_references(tokenizer, targets)
    decoding = dict(decoding or {})
    tokenize = tokenize or choose_tokenization(has_word_tokens(tokenizer), references[:1000]).name
    build_metrics(tokenize, lowercase)  # what cannot be measured is refused here, not after the translating
    translator.check_lengths(sources, targets)
    hypotheses = translate_all(translator, sources, batch_size, decoding, on_progress)
    log_probabilities, alignment = read_references(
        translator, pairs, gold, batch_size, threshold, on_progress
    )
    settings = {
        "decoding": {**translator.generation_config, **decoding},
        "batch_size": batch_size,
        "tokenize": tokenize,
        "lowercase": lowercase,
        "compared": "tokens" if has_word_tokens(tokenizer) else "text",
        "bootstrap_samples": samples,
        "seed": seed,
    }
    if gold is not None:
        settings["alignment"] = "argmax" if threshold is None else f"weight at least {threshold}"
    return Evaluation(
        tuple(hypotheses),
        corpus_scores(hypotheses, references, tokenize, lowercase, samples, seed),
        perplexity(log_probabilities),
        alignment,
        {
            "model_fingerprint": translator.fingerprint,
            "data_fingerprint": data_fingerprint(pairs),
            "settings": settings,
            "versions": versions(),
        },
    )


def has_word_tokens(tokenizer: Cuts) -> bool:
    """Whether the tokens of a model's target are words as the data gave them, between blanks."""
    return not tokenizer.settings.marks_spaces


def comparable_references(tokenizer: Cuts, references: Sequence[str]) -> list[str]:
    """The references as the model's output can be: of a model of words between blanks, with single blanks."""
    if has_word_tokens(tokenizer):
        return [" ".join(reference.split()) for reference in references]
    return list(references)


def comparable_text(tokenizer: Cuts, tokens: Sequence[str], text: str) -> str:
    """A translation as it is scored: its words between blanks, or the plain text that it reads as."""
    if not has_word_tokens(tokenizer):
        return text
    unspoken = {token for id, token in enumerate(SPECIAL_TOKENS) if id != UNKNOWN}
    return " ".join(token for token in tokens if token not in unspoken)


def translate_all(
    translator: Translates,
    sources: Sequence[str],
    batch_size: int = 100,
    decoding: Mapping[str, Any] | None = None,
    on_progress: Callable[[int], None] = lambda sentences: None,
) -> list[str]:
    """The translations of many sentences, as they are scored; their attention is dropped chunk by chunk."""
    tokenizer = translator.target_tokenizer
    hypotheses: list[str] = []
    for chunk in _chunks(sources):
        translations = translator.translate(
            chunk,
            batch_size=batch_size,
            attention=False,
            first_number=len(hypotheses),
            **(decoding or {}),
        )
        hypotheses += [comparable_text(tokenizer, one.tokens, one.text) for one in translations]
        on_progress(len(chunk))
    return hypotheses


def read_references(
    translator: Translates,
    pairs: Pairs,
    gold: Sequence[Alignment] | None = None,
    batch_size: int = 100,
    threshold: float | None = None,
    on_progress: Callable[[int], None] = lambda sentences: None,
) -> tuple[list[Sequence[float]], AlignmentScores | None]:
    """Force the model along the references.

    Returns:
        The log-probability of every token of every reference, and the alignments' scores if there is gold.
    """
    log_probabilities: list[Sequence[float]] = []
    scores = NO_ALIGNMENTS
    number = 0
    for chunk in _chunks(pairs):
        sources, references = map(list, zip(*chunk, strict=True))
        readings = translator.force(
            sources,
            references,
            batch_size=batch_size,
            attention=gold is not None,
            first_number=number,
        )
        for (source, reference), reading in zip(chunk, readings, strict=True):
            log_probabilities.append(reading.log_probabilities)
            if gold is not None:
                links = attended_links(translator, source, reference, reading.attention["cross"], threshold)
                scores += score_alignment(links, gold[number].sure, gold[number].possible)
            number += 1
        on_progress(len(chunk))
    return log_probabilities, scores if gold is not None else None


def attended_links(
    translator: Translates,
    source: str,
    target: str,
    attention: AttentionMap,
    threshold: float | None = None,
) -> Links:
    """The links between words that the attention over the pieces of a pair implies.

    The mean over layers and heads is taken; ``attention`` has rows and columns for the ends of the sentences.
    """
    key_words = words_of_tokens(translator.source_tokenizer, source)
    query_words = words_of_tokens(translator.target_tokenizer, target)
    weights = attention.matrix()
    if weights.shape != (len(query_words), len(key_words)):
        raise UserError(
            f"the attention of {source[:60]!r} has {weights.shape[0]} rows and {weights.shape[1]} columns, "
            f"but the pair has {len(query_words)} and {len(key_words)} tokens"
        )
    words = word_weights(weights, query_words, key_words, len(target.split()), len(source.split()))
    return argmax_alignment(words) if threshold is None else threshold_alignment(words, threshold)


def words_of_tokens(tokenizer: Cuts, text: str) -> list[tuple[int, ...]]:
    """For every token the words that it stands in; the end of the sentence, which comes last, in none."""
    surfaces = [surface.removeprefix(SPACE) for surface in tokenizer.surfaces(text)]
    return [*words_of_pieces(text, surfaces), ()]


def check_gold(gold: Sequence[Alignment], pairs: Pairs, name: str = "gold alignments") -> None:
    """Refuse gold alignments that are not those of the pairs."""
    if len(gold) != len(pairs):
        raise UserError(f"{name} has {len(gold)} lines, but the data have {len(pairs)} sentence pairs")
    for line, (alignment, (source, target)) in enumerate(zip(gold, pairs, strict=True), start=1):
        sides = (("source", source), ("target", target))
        for side, (what, text) in enumerate(sides):
            words = len(text.split())
            last = max((link[side] for link in alignment.possible), default=-1)
            if last >= words:
                raise UserError(
                    f"{name}, line {line}: a link names {what} word {last} (from 0), but the {what} sentence "
                    f"has {words} words; are the links counted from 1 (--one-based)?"
                )


def data_fingerprint(pairs: Pairs) -> str:
    """16 hexadecimal digits that change when any sentence does, whatever kind of file it came from."""
    digest = hashlib.sha256()
    for source, target in pairs:
        digest.update(f"{source}\t{target}\n".encode())
    return digest.hexdigest()[:16]


def versions() -> dict[str, str]:
    """The versions that a number may depend on."""
    packages = {name: version(name) for name in ("torch", "tokenizers", "sacrebleu", "numpy")}
    return {"shisen": __version__, "python": platform.python_version(), **packages}


def _chunks(items: Sequence[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
