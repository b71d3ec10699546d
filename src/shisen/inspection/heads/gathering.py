"""Take in the maps of a corpus and keep, of every head, what it does and the sentence that shows it best.

Memory does not grow with the corpus: patterns and distances are sums, and of the maps one head's weights are
kept for every head and pattern, of sentences short enough to be shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shisen.errors import UserError
from shisen.inspection.attention_map import KINDS, AttentionMap, Kind
from shisen.inspection.corpus_statistics import CorpusStatistics
from shisen.inspection.head_patterns import PATTERNS, PatternRecognizer, PatternScores
from shisen.inspection.head_similarity import HeadDistances, HeadSimilarity
from shisen.inspection.heads.report import HeadExample, HeadsOfKind, HeadsReport
from shisen.inspection.report.extremes import is_showable

#: Fewest and most tokens of the sentence that shows all heads side by side.
FEWEST, MOST = 5, 14


@dataclass
class _Kind:
    """What is gathered of one kind of attention."""

    patterns: PatternRecognizer = field(default_factory=PatternRecognizer)
    distances: HeadDistances = field(default_factory=HeadDistances)
    statistics: CorpusStatistics = field(default_factory=CorpusStatistics)
    examples: dict[tuple[int, int, int], HeadExample] = field(default_factory=dict)  # layer, head, pattern
    best: np.ndarray = field(default_factory=lambda: np.zeros(0))
    gallery: tuple[int, AttentionMap] | None = None

    def add(self, number: int, attention_map: AttentionMap) -> None:
        """Take in the map of one sentence."""
        scores = self.patterns.add(attention_map)
        if scores is None:
            return
        self.distances.add(attention_map)
        self.statistics.add(attention_map)
        if self.gallery is None and _fits(attention_map):
            self.gallery = number, attention_map
        if not is_showable(attention_map):
            return
        if not self.examples:
            self.best = np.full(scores.shape, -1.0)
        for layer, head, pattern in np.argwhere(scores > self.best).tolist():
            shown = attention_map.layer(layer).head(head)
            score = float(scores[layer, head, pattern])
            self.best[layer, head, pattern] = score
            self.examples[layer, head, pattern] = HeadExample(number, shown, score)

    def result(self) -> HeadsOfKind:
        """What is known of these heads."""
        patterns = self.patterns.result()
        return HeadsOfKind(
            patterns,
            self._similarity(),
            _mean_entropy(self.statistics, patterns),
            {
                (layer, head): self.examples[layer, head, PATTERNS.index(name)]
                for layer, names in enumerate(patterns.names)
                for head, name in enumerate(names)
                if (layer, head, PATTERNS.index(name)) in self.examples
            },
            self.gallery,
        )

    def _similarity(self) -> HeadSimilarity | None:
        layers, heads = self.patterns.result().scores.shape[:2]
        return self.distances.result() if layers * heads > 1 else None


class HeadsGatherer:
    """Gathers what the heads of a model do, sentence by sentence.

    >>> gatherer = HeadsGatherer()
    >>> for translation in translations:  # doctest: +SKIP
    ...     gatherer.add(translation.attention)
    >>> gatherer.report().write("heads")  # doctest: +SKIP
    """

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.sentences = 0
        self._kinds: dict[Kind, _Kind] = {}
        self._added: dict[Kind, int] = {}

    def add(self, maps: Mapping[str, AttentionMap]) -> None:
        """Take in the maps of one sentence, by kind.

        Raises:
            UserError: A map has other layers or heads than those of its kind before.
        """
        self.sentences += 1
        for attention_map in maps.values():
            self._kinds.setdefault(attention_map.kind, _Kind()).add(self.sentences, attention_map)

    def add_map(self, attention_map: AttentionMap) -> None:
        """Take in a map by itself, as saved ones come: of each kind they are numbered from 1."""
        kind = attention_map.kind
        self._added[kind] = self._added.get(kind, 0) + 1
        self._kinds.setdefault(kind, _Kind()).add(self._added[kind], attention_map)
        self.sentences = max(self.sentences, self._added[kind])

    def report(self, facts: Mapping[str, Any] | None = None, **parts: Any) -> HeadsReport:
        """What the heads did in everything so far.

        Args:
            facts: What is known of the run: model, data, command.
            parts: Further parts of `HeadsReport`: ``importance``, ``pruning``.

        Raises:
            UserError: No map with a row of weights was added.
        """
        kinds = {kind: self._kinds[kind] for kind in KINDS if kind in self._kinds}  # type: ignore[index]
        found = {kind: one.result() for kind, one in kinds.items() if one.patterns.sentences}
        if not found:
            raise UserError("there are no heads to look at: no sentence has a row of attention weights")
        return HeadsReport(dict(facts or {}), self.sentences, found, **parts)


def _fits(attention_map: AttentionMap) -> bool:
    """Whether all heads can be shown side by side on this sentence."""
    sides = len(attention_map.query_tokens), len(attention_map.key_tokens)
    return min(sides) >= FEWEST and max(sides) <= MOST


def _mean_entropy(statistics: CorpusStatistics, patterns: PatternScores) -> np.ndarray:
    """The mean entropy of the rows of every head, in nats, ``[layers, heads]``."""
    return np.asarray(statistics.by_head()["entropy"].mean).reshape(patterns.scores.shape[:2])
