"""How well a language model foresees a text: perplexity per token and per word, bits per character.

    perplexity        = exp(-∑ ln p / N)           N the tokens, or the words
    bits per character = -∑ log_2 p / N            N the characters

over all tokens of all lines, the end of each included: it is one token, one word and one character more. The
perplexity per token compares models with the same vocabulary only; the other two compare any models that know
every token of the text (an unknown one costs little, and stands for many).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from shisen.data.vocabulary import UNKNOWN
from shisen.errors import UserError
from shisen.evaluation.system import CHUNK, data_fingerprint, versions


@runtime_checkable
class Read(Protocol):
    """What is read of a `shisen.Generation`."""

    @property
    def log_probabilities(self) -> Sequence[float]:
        """Of each token."""


@runtime_checkable
class Reads(Protocol):
    """What is asked of a `shisen.TextGenerator`."""

    @property
    def tokenizer(self) -> Any:
        """A `shisen.data.tokenizer.Tokenizer`."""

    @property
    def fingerprint(self) -> str:
        """Of the model."""

    def force(self, text: Sequence[str], **options: Any) -> Sequence[Read]:
        """Read every text."""


@dataclass(frozen=True)
class LanguageEvaluation:
    """What was measured of a language model on a text, and how.

    Attributes:
        log_probability: Of the whole text, in nats.
        tokens: Of the model's vocabulary, with an end for each line.
        unknown: Of these, such as the vocabulary does not have.
        words: What stands between blanks, with an end for each line.
        characters: Of the text as the tokenizer normalises it, with an end for each line.
        lines: How many.
        provenance: Model, data, settings and versions.
    """

    log_probability: float
    tokens: int
    unknown: int
    words: int
    characters: int
    lines: int
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def perplexity(self) -> float:
        """Per token."""
        return _exponential(-self.log_probability / self.tokens)

    @property
    def word_perplexity(self) -> float:
        """Per word."""
        return _exponential(-self.log_probability / self.words)

    @property
    def bits_per_character(self) -> float:
        """The base-2 cross-entropy per character."""
        return -self.log_probability / math.log(2) / self.characters

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON holds it."""
        return {
            "perplexity": self.perplexity,
            "word_perplexity": self.word_perplexity,
            "bits_per_character": self.bits_per_character,
            "log_probability": self.log_probability,
            "tokens": self.tokens,
            "unknown_tokens": self.unknown,
            "words": self.words,
            "characters": self.characters,
            "lines": self.lines,
            **self.provenance,
        }


def evaluate_language_model(
    generator: Reads,
    lines: Sequence[str],
    batch_size: int = 100,
    on_progress: Callable[[int], None] = lambda lines: None,
) -> LanguageEvaluation:
    """Let a language model read a text.

    Args:
        generator: A `shisen.TextGenerator`.
        lines: The text.
        batch_size: Lines read together.
        on_progress: Told how many more lines are read.

    Raises:
        UserError: There are no lines, or one is too long.
    """
    if not lines:
        raise UserError("there is nothing to evaluate: the text has no line")
    tokenizer = generator.tokenizer
    log_probabilities: list[float] = []
    unknown = 0
    for start in range(0, len(lines), CHUNK):
        chunk = list(lines[start : start + CHUNK])
        readings = generator.force(chunk, batch_size=batch_size, attention=False, first_number=start)
        for reading in readings:
            log_probabilities += reading.log_probabilities
        unknown += sum(ids.count(UNKNOWN) for ids in tokenizer.encode_batch(chunk))
        on_progress(len(chunk))
    return LanguageEvaluation(
        log_probability=math.fsum(log_probabilities),
        tokens=len(log_probabilities),
        unknown=unknown,
        words=sum(len(line.split()) + 1 for line in lines),
        characters=sum(len(tokenizer.normalize(line)) + 1 for line in lines),
        lines=len(lines),
        provenance={
            "model_fingerprint": generator.fingerprint,
            "data_fingerprint": data_fingerprint([("", line) for line in lines]),
            "settings": {"batch_size": batch_size},
            "versions": versions(),
        },
    )


def _exponential(nats: float) -> float:
    """exp, infinite where it would overflow."""
    return math.exp(nats) if nats < 700 else math.inf
