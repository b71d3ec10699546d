"""Words that a translation forgot, and words that it says twice, by the attention that source words received.

The coverage of source word j is the attention that it got from all target words (Tu et al., "Modeling
coverage for neural machine translation", ACL 2016, https://arxiv.org/abs/1601.04811):

    c_j = Σ_i α_ij          with weights between words, [target words, source words]

Words differ in how much they get from a sound translation: an article little, a word that becomes three much
(their fertility). So c_j is divided by what sound translations give to the word,

    r_j = c_j / e(word),      e = (n · mean c of the word + k · mean c of all words) / (n + k),      k = 5

with n occurrences in the sentences that it is learnt from. A word with a small r was hardly translated
(under-translation), one with a large r too much (over-translation). For the first, weights count more truly
that are multiplied by the probability of what was written (`followed`). Besides, a span of target words
that comes twice, at once or looking at the same source words both times, is a repetition, unless the source
says it twice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64

from shisen.errors import UserError
from shisen.inspection.separators import is_separator

Words = Sequence[str]
Weights = Float[np.ndarray, "target_words source_words"]

SHRINKAGE = 5.0  # k: as how many occurrences the mean of all words counts
LONGEST_SPAN = 8  # words of a repeated span
SAME_SOURCE = 0.5  # the overlap of what both looked at from which on spans count as a repetition


def coverage(weights: Weights) -> Float64[np.ndarray, " source_words"]:
    """The attention that every source word received."""
    return weights.sum(axis=0, dtype=np.float64)


def followed(
    weights: Weights, probabilities: Float[np.ndarray, " target_words"]
) -> Float64[np.ndarray, "target_words source_words"]:
    """Weights that count as much as what was looked at was written: α_ij p(y_i).

    A model attends before it knows the word that is written. Where a source word is left out, it is looked at
    all the same, by the step at which it should have been translated; but the model finds the word that
    comes there instead improbable. So for under-translation give these weights to `learn_faults` and `find`.

    Args:
        weights: Between words.
        probabilities: Of every target word, by forced decoding.
    """
    return weights * np.asarray(probabilities, dtype=np.float64)[:, None]


@dataclass(frozen=True)
class Repetition:
    """A span of target words that comes twice.

    Attributes:
        first: Where it begins the first time.
        second: Where it begins the second time.
        length: How many words it has.
        overlap: How much of what both looked at is the same, Σ_j min(p_j, q_j) of the mean rows made to sum
            to 1, in [0, 1].
        source: The source word that the first looked at most.
    """

    first: int
    second: int
    length: int
    overlap: float
    source: int


@dataclass(frozen=True, eq=False)
class TranslationFaults:
    """What may be wrong with one translation.

    Attributes:
        source: Its source words.
        target: Its target words.
        ratios: r of every source word; NaN of those that do not count.
        under: Source words with a ratio below `low`: hardly translated.
        over: Source words with a ratio above `high`: translated too much.
        repetitions: Spans that come twice.
        low: The threshold.
        high: The threshold.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    ratios: Float64[np.ndarray, " source_words"]
    under: tuple[int, ...]
    over: tuple[int, ...]
    repetitions: tuple[Repetition, ...]
    low: float
    high: float

    @property
    def under_score(self) -> float:
        """How little the least covered word got, 1 - its ratio: up to 1 (nothing); -inf without words."""
        known = self.ratios[~np.isnan(self.ratios)]
        return float(1 - known.min()) if len(known) else -np.inf

    @property
    def over_score(self) -> float:
        """The largest of: the ratio of the most covered word less 1; 1 and the overlap of a repetition."""
        known = self.ratios[~np.isnan(self.ratios)]
        most = float(known.max() - 1) if len(known) else -np.inf
        return max([most, *(1 + one.overlap for one in self.repetitions)])

    @property
    def is_suspect(self) -> bool:
        """Whether anything was found."""
        return bool(self.under or self.over or self.repetitions)

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON holds it."""
        return {
            "source": list(self.source),
            "target": list(self.target),
            "ratios": [None if np.isnan(ratio) else float(ratio) for ratio in self.ratios],
            "under": list(self.under),
            "over": list(self.over),
            "repetitions": [vars(one) for one in self.repetitions],
            "thresholds": {"low": self.low, "high": self.high},
            "under_score": self.under_score if np.isfinite(self.under_score) else None,
            "over_score": self.over_score if np.isfinite(self.over_score) else None,
        }


@dataclass(frozen=True, eq=False)
class FaultFinder:
    """Finds faults by what sound translations gave to the same words.

    Made by `learn_faults`.

    Attributes:
        expected: e of every word that was seen.
        mean: e of a word that was not.
        low: Ratios below are under-translation.
        high: Ratios above are over-translation.
        sentences: How many it was learnt from.
    """

    expected: Mapping[str, float]
    mean: float
    low: float
    high: float
    sentences: int

    def ratios(self, weights: Weights, source: Words) -> Float64[np.ndarray, " source_words"]:
        """r of every source word; NaN of punctuation and special tokens."""
        found = coverage(weights) / np.array([self.expected.get(word, self.mean) for word in source])
        return np.where(counted(source), found, np.nan)

    def find(self, weights: Weights, source: Words, target: Words) -> TranslationFaults:
        """What may be wrong with one translation.

        Args:
            weights: Between its words: of the head or mean that was learnt from.
            source: Source words.
            target: Target words.

        Raises:
            UserError: The weights are not of these words.
        """
        _check(weights, source, target)
        ratios = self.ratios(weights, source)
        with np.errstate(invalid="ignore"):
            under, over = np.flatnonzero(ratios < self.low), np.flatnonzero(ratios > self.high)
        return TranslationFaults(
            tuple(source),
            tuple(target),
            ratios,
            tuple(under.tolist()),
            tuple(over.tolist()),
            tuple(repetitions(weights, source, target)),
            self.low,
            self.high,
        )


def learn_faults(
    sound: Iterable[tuple[Weights, Words]], false_alarms: float = 0.02, shrinkage: float = SHRINKAGE
) -> FaultFinder:
    """Learn from translations that are sound what every source word receives, and where faults begin.

    Args:
        sound: For every sentence its weights between words, and its source words.
        false_alarms: The share of these words that is to lie below `low`, and above `high`.
        shrinkage: k.

    Raises:
        UserError: There are no words, none received attention, or the share is not between 0 and ½.
    """
    if not 0 < false_alarms < 0.5:
        raise UserError(f"the share of false alarms lies between 0 and 0.5; this is {false_alarms}")
    sums: dict[str, float] = defaultdict(float)
    counts: Counter[str] = Counter()
    seen: list[tuple[list[str], np.ndarray]] = []
    for weights, source in sound:
        _check(weights, source, None)
        is_counted = counted(source)
        words, received = [*compress(source, is_counted)], coverage(weights)[is_counted]
        seen.append((words, received))
        counts.update(words)
        for word, share in zip(words, received.tolist(), strict=True):
            sums[word] += share
    if not counts:
        raise UserError("there are no words to learn coverage from: no sentence has any but punctuation")
    mean = sum(sums.values()) / sum(counts.values())
    if not mean > 0:
        raise UserError("there is nothing to learn coverage from: no word received attention")
    expected = {word: (sums[word] + shrinkage * mean) / (count + shrinkage) for word, count in counts.items()}
    ratios = [received / [expected[word] for word in words] for words, received in seen if words]
    low, high = np.quantile(np.concatenate(ratios), [false_alarms, 1 - false_alarms])
    return FaultFinder(expected, mean, float(low), float(high), len(seen))


def counted(words: Words) -> Bool[np.ndarray, " words"]:
    """Which words count: all but punctuation and special tokens."""
    return np.array([not is_separator(word, None) for word in words], dtype=bool)


def repetitions(weights: Weights, source: Words, target: Words) -> list[Repetition]:
    """Spans that come twice, at once or looking at the same source words; longer first, none inside another.

    A span whose source words are said as often in the source is no repetition. A span of punctuation alone
    does not count.
    """
    _check(weights, source, target)
    if not source:
        return []
    words = counted(target)
    taken: set[int] = set()
    found = []
    for length in range(min(LONGEST_SPAN, len(target) // 2), 0, -1):
        begins: dict[tuple[str, ...], list[int]] = {}
        for begin in range(len(target) - length + 1):
            begins.setdefault(tuple(target[begin : begin + length]), []).append(begin)
        for places in begins.values():
            for first, second in pairwise(places):
                span = range(second, second + length)
                if second < first + length or taken & set(span) or not words[first : first + length].any():
                    continue
                overlap = _overlap(weights, first, second, length)
                is_alike = overlap >= SAME_SOURCE or second == first + length
                if is_alike and not _is_said_twice(weights, source, first, second, length):
                    looked_at = int(_mean_row(weights, first, length).argmax())
                    found.append(Repetition(first, second, length, overlap, looked_at))
                    taken |= set(span)
    return found


def _mean_row(weights: Weights, begin: int, length: int) -> Float64[np.ndarray, " source_words"]:
    row = weights[begin : begin + length].sum(axis=0, dtype=np.float64)
    return row / row.sum() if row.sum() > 0 else row


def _overlap(weights: Weights, first: int, second: int, length: int) -> float:
    rows = [_mean_row(weights, begin, length) for begin in (first, second)]
    return float(np.minimum(*rows).sum())


def _is_said_twice(weights: Weights, source: Words, first: int, second: int, length: int) -> bool:
    """Whether both look at different places in which the source has the same word."""
    one, other = (int(_mean_row(weights, begin, length).argmax()) for begin in (first, second))
    return one != other and source[one] == source[other]


def _check(weights: Weights, source: Words, target: Words | None) -> None:
    wanted = (weights.shape[0] if target is None else len(target), len(source))
    if weights.shape != wanted:
        raise UserError(
            f"the weights between words are {list(weights.shape)}, but there are {wanted[0]} target and "
            f"{wanted[1]} source words"
        )
