"""The most focused and the most diffuse sentences of a corpus, kept while it streams by.

What counts is the mean over the measured rows of H / ln n: the entropy of a row over that of equal weights on
the keys that it may attend to, 0 (one key) to 1 (all alike), so that long and short sentences compare.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from shisen.inspection.attention_map import SPECIAL_TOKENS, AttentionMap
from shisen.inspection.statistics import AttentionStatistics

#: Fewest and most tokens, of either side, of a sentence that is shown: of fewer there is nothing to see, more
#: make a picture too large to read.
SHORTEST, LONGEST = 4, 30


@dataclass(frozen=True, eq=False)
class Example:
    """A sentence that is shown.

    Attributes:
        number: Of the sentence in the data, counted from 1.
        attention_map: Its map.
        spread: The mean over its rows of entropy by that of equal weights.
    """

    number: int
    attention_map: AttentionMap
    spread: float


@dataclass
class Extremes:
    """Keeps the sentences with the least and the greatest spread, so many of each."""

    size: int = 3
    focused: list[Example] = field(default_factory=list, init=False)
    diffuse: list[Example] = field(default_factory=list, init=False)

    def add(self, number: int, statistics: AttentionStatistics) -> None:
        """Look at one sentence; of equal ones the first stays."""
        attention_map = statistics.attention_map
        if not is_showable(attention_map):
            return
        spread = mean_spread(statistics)
        if np.isnan(spread):
            return
        one = Example(number, attention_map, spread)
        self.focused = sorted([*self.focused, one], key=lambda other: other.spread)[: self.size]
        self.diffuse = sorted([*self.diffuse, one], key=lambda other: -other.spread)[: self.size]


def is_showable(attention_map: AttentionMap) -> bool:
    """Whether a sentence has `SHORTEST` to `LONGEST` tokens that are not special ones on both sides."""
    sides = (attention_map.query_tokens, attention_map.key_tokens)
    counts = [sum(token not in SPECIAL_TOKENS for token in side) for side in sides]
    return min(counts) >= SHORTEST and max(counts) <= LONGEST


def relative_entropy(statistics: AttentionStatistics) -> np.ndarray:
    """H / ln n of every row, ``[layers, heads, queries]``; NaN of rows excluded, or with one key."""
    if statistics.settings.normalized:
        return statistics.entropy
    most = statistics.uniform_entropy
    return statistics.entropy / np.where(most > 0, most, np.nan)


def mean_spread(statistics: AttentionStatistics) -> float:
    """The mean of `relative_entropy` over all rows that have one; NaN where none has."""
    values = relative_entropy(statistics)
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
