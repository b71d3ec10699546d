"""The reading guide: what shapes of attention mean, each shown by the sentence that has it most.

Each shape has a score in [0, 1] for every head of a sentence and a least score; the head and the sentence of
the corpus with the highest score are the example, and where no score reaches the least there is none. Rows
and keys that are no words (``</s>``, punctuation) do not count as queries:

    diagonal     mean over the rows of the weight within one key of the diagonal                    0.5
    crossing     share of the pairs of rows whose looked-at keys are in the reverse order; only
                 rows whose largest weight is 0.5 or more and lies on a word, at least four         0.25
    spread       H / ln n of the row where it is largest                                            0.8
    end          the largest weight of a row on the end of the sentence                             0.5
    punctuation  the largest weight of a row on punctuation                                         0.5
    first        the largest weight of a row on the first key, of the third row or later            0.5
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from shisen.inspection.attention_map import AttentionMap
from shisen.inspection.report.extremes import is_showable, relative_entropy
from shisen.inspection.separators import is_separator
from shisen.inspection.statistics import AttentionStatistics

#: The shapes and their least scores, in the order of the page.
SHAPES = {"diagonal": 0.5, "crossing": 0.25, "spread": 0.8, "end": 0.5, "punctuation": 0.5, "first": 0.5}
SHARP = 0.5
FEWEST_SHARP = 4


@dataclass(frozen=True, eq=False)
class Illustration:
    """The sentence and the head that show a shape best.

    Attributes:
        number: Of the sentence in the data, counted from 1.
        attention_map: Of the one head.
        layer: Of it, from 0.
        head: Of it, from 0.
        row: The query that shows it; None where all rows together do.
        score: As the shape is scored.
    """

    number: int
    attention_map: AttentionMap
    layer: int
    head: int
    row: int | None
    score: float


@dataclass
class ReadingGuide:
    """Keeps the best example of every shape while a corpus streams by."""

    found: dict[str, Illustration] = field(default_factory=dict, init=False)

    def add(self, number: int, statistics: AttentionStatistics) -> None:
        """Look at one sentence; of equal examples the first stays."""
        attention_map = statistics.attention_map
        if not is_showable(attention_map):
            return
        for shape, (scores, rows) in shape_scores(statistics).items():
            layer, head = np.unravel_index(np.nanargmax(scores), scores.shape)
            score = float(scores[layer, head])
            known = self.found[shape].score if shape in self.found else -1.0
            if score < SHAPES[shape] or score <= known:
                continue
            row = None if rows is None else int(rows[layer, head])
            of_head = attention_map.layer(int(layer)).head(int(head))
            self.found[shape] = Illustration(number, of_head, int(layer), int(head), row, score)


Scores = tuple[Float[np.ndarray, "layers heads"], Int[np.ndarray, "layers heads"] | None]


def shape_scores(statistics: AttentionStatistics) -> dict[str, Scores]:
    """The score of every shape for every head, and the row that has it, where it is one row."""
    attention_map = statistics.attention_map
    is_word = ~_are_separators(attention_map.query_tokens)
    is_late = is_word & (np.arange(len(is_word)) >= 2)
    return {
        "diagonal": (_mean(statistics.diagonal_mass, is_word), None),
        "crossing": (_crossing(statistics, is_word), None),
        "spread": _largest(relative_entropy(statistics), is_word),
        "end": _largest(statistics.end_mass, is_word),
        "punctuation": _largest(statistics.punctuation_mass, is_word),
        "first": _largest(statistics.first_mass, is_late),
    }


def _are_separators(tokens: tuple[str, ...]) -> Bool[np.ndarray, " tokens"]:
    return np.array([is_separator(token) for token in tokens], dtype=bool)


def _mean(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The mean over the rows that count, 0 where none has a value."""
    counts = rows & ~np.isnan(values)
    return np.where(counts, values, 0).sum(axis=-1) / np.maximum(counts.sum(axis=-1), 1)


def _largest(values: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest value among the rows that count, 0 where there is none, and its row."""
    values = np.where(rows & ~np.isnan(values), values, 0)
    return values.max(axis=-1), values.argmax(axis=-1)


def _crossing(statistics: AttentionStatistics, is_word: np.ndarray) -> Float[np.ndarray, "layers heads"]:
    """Discordant pairs by all pairs, among the rows that look sharply at words."""
    position = statistics.max_position  # [layers, heads, queries]
    key_is_word = ~_are_separators(statistics.attention_map.key_tokens)
    sharp = is_word & (np.nan_to_num(statistics.max_weight) >= SHARP) & key_is_word[position]
    pairs = sharp[..., :, None] & sharp[..., None, :] & np.triu(np.ones((len(is_word),) * 2, bool), 1)
    crossed = pairs & (position[..., :, None] > position[..., None, :])
    share = crossed.sum(axis=(-2, -1)) / np.maximum(pairs.sum(axis=(-2, -1)), 1)
    return np.where(sharp.sum(axis=-1) >= FEWEST_SHARP, share, 0.0)
