"""The translation faults of a corpus, gathered while it streams by: what was forgotten, what is said twice.

What words receive is learnt from the first sentences of the corpus itself, so that a word is marked if it got
less, or more, than is usual *here*: the report says which sentences to look at, not how many are wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from shisen.errors import UserError
from shisen.inspection.attention_map import AttentionMap
from shisen.inspection.faults import (
    FaultFinder,
    Repetition,
    TranslationFaults,
    counted,
    followed,
    learn_faults,
)
from shisen.inspection.words import word_numbers

#: Sentences that are learnt from, and the most weights between words that wait meanwhile: 32 MiB.
LEARNT_ON, _WAITING = 1000, 2**22
#: Fewer words than these say nothing about what is usual.
FEWEST_WORDS = 50
#: The share of words that is marked on each side among those learnt from.
FALSE_ALARMS = 0.02


@dataclass(frozen=True, eq=False)
class Waiting:
    """A sentence by its words, before it is looked at."""

    number: int
    weights: np.ndarray  # [target words, source words]
    source: tuple[str, ...]
    target: tuple[str, ...]


@dataclass
class FaultGatherer:
    """Keeps the sentences with the highest scores, so many for each fault.

    Attributes:
        size: How many.
        sentences: How many were looked at.
        under: Those with the least covered words: number and faults.
        over: Those with the most covered words or repeated spans.
        counts: Sentences in which words are marked, by fault.
    """

    size: int = 5
    sentences: int = 0
    under: list[tuple[int, TranslationFaults]] = field(default_factory=list, init=False)
    over: list[tuple[int, TranslationFaults]] = field(default_factory=list, init=False)
    counts: dict[str, int] = field(default_factory=lambda: {"under": 0, "over": 0}, init=False)
    _finder: FaultFinder | None = field(default=None, init=False)
    _is_followed: bool = field(default=False, init=False)
    _waiting: list[Waiting] = field(default_factory=list, init=False)

    def add(
        self, number: int, attention_map: AttentionMap, probabilities: Sequence[float] | None = None
    ) -> None:
        """Take in the cross-attention of one sentence: the mean over its layers and heads, by words.

        Args:
            number: Of the sentence, counted from 1.
            attention_map: Its cross-attention.
            probabilities: Of every query token. With them weights count as much as what was looked at was
                written (`shisen.inspection.faults.followed`), by which forgotten words are found far better.

        Raises:
            UserError: There are more or fewer probabilities than query tokens.
        """
        merged = attention_map.mean_layers().mean_heads().merge_words()
        weights = merged.weights[0, 0]
        if probabilities is not None:
            weights = followed(weights, _of_words(probabilities, attention_map.query_tokens))
            self._is_followed = True
        one = Waiting(number, weights, merged.key_tokens, merged.query_tokens)
        if not one.weights.any():
            return
        if self._finder is not None:
            self._look(self._finder, one)
            return
        self._waiting.append(one)
        weights = sum(waiting.weights.size for waiting in self._waiting)
        if len(self._waiting) >= LEARNT_ON or weights >= _WAITING:
            self._learn()

    def as_dict(self) -> dict[str, Any] | None:
        """Everything as JSON holds it; None where there were too few words to learn from."""
        self._learn()
        if self._finder is None:
            return None
        return {
            "reading": "the mean over layers and heads",
            "times_probability": self._is_followed,
            "learnt_on": self._finder.sentences,
            "false_alarms": FALSE_ALARMS,
            "thresholds": {"low": self._finder.low, "high": self._finder.high},
            "sentences": self.sentences,
            "marked": dict(self.counts),
            "under": [{"sentence": number, **faults.as_dict()} for number, faults in self.under],
            "over": [{"sentence": number, **faults.as_dict()} for number, faults in self.over],
        }

    def _learn(self) -> None:
        """Learn from what waits, and look at it."""
        if self._finder is not None or not self._waiting:
            return
        if sum(int(counted(one.source).sum()) for one in self._waiting) < FEWEST_WORDS:
            return
        try:
            self._finder = learn_faults(((one.weights, one.source) for one in self._waiting), FALSE_ALARMS)
        except UserError:  # all attention is on punctuation and end marks
            return
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            self._look(self._finder, one)

    def _look(self, finder: FaultFinder, one: Waiting) -> None:
        faults = finder.find(one.weights, one.source, one.target)
        faults = replace(faults, repetitions=tuple(filter(_is_telling, faults.repetitions)))
        self.sentences += 1
        if faults.under:
            self.counts["under"] += 1
            self.under = self._best([*self.under, (one.number, faults)], "under_score")
        if faults.over or faults.repetitions:
            self.counts["over"] += 1
            self.over = self._best([*self.over, (one.number, faults)], "over_score")

    def _best(
        self, found: list[tuple[int, TranslationFaults]], score: str
    ) -> list[tuple[int, TranslationFaults]]:
        """The highest scores; of equal ones the first stays."""
        return sorted(found, key=lambda one: -getattr(one[1], score))[: self.size]


def _of_words(probabilities: Sequence[float], tokens: Sequence[str]) -> np.ndarray:
    """The probability of every word: the least of those of its pieces."""
    if len(probabilities) != len(tokens):
        raise UserError(f"there are {len(probabilities)} probabilities of {len(tokens)} target tokens")
    numbers = word_numbers(tokens)
    words = np.ones(max(numbers, default=-1) + 1)
    np.minimum.at(words, numbers, np.asarray(probabilities, np.float64))
    return words


def _is_telling(repetition: Repetition) -> bool:
    """Not a single token, unless it stutters: where writing has no blanks, tokens are parts of words."""
    return repetition.length > 1 or repetition.second == repetition.first + 1
