"""What is gathered of one kind of attention: its statistics, what its heads do, and the sentences shown."""

from __future__ import annotations

from shisen.inspection.attention_map import AttentionMap
from shisen.inspection.corpus_statistics import CorpusStatistics, length_group
from shisen.inspection.head_patterns import PatternRecognizer
from shisen.inspection.report.extremes import Extremes
from shisen.inspection.report.guide import ReadingGuide
from shisen.inspection.report.parts import only_rows, parts_of
from shisen.inspection.statistics import measure_map
from shisen.inspection.statistics_settings import StatisticsSettings


class KindGatherer:
    """Gathers one kind of maps.

    Attributes:
        statistics: Over all rows, in groups by the number of keys (`length_group`).
        parts: The same over the rows of each third of a sentence, and of its end, as groups.
        patterns: What the heads do.
        extremes: The most focused and the most diffuse sentences.
        guide: The sentences that show a shape best.
        added: How many maps were added.
    """

    def __init__(self, settings: StatisticsSettings, examples: int) -> None:
        """Start with nothing seen."""
        self.statistics = CorpusStatistics(settings)
        self.parts = CorpusStatistics(settings)
        self.patterns = PatternRecognizer()
        self.extremes = Extremes(examples)
        self.guide = ReadingGuide()
        self.added = 0
        self._rows = 0

    @property
    def has_rows(self) -> bool:
        """Whether any row was measured."""
        return self._rows > 0

    def add(self, number: int, attention_map: AttentionMap) -> None:
        """Take in the map of one sentence."""
        measured = measure_map(attention_map, self.statistics.settings)
        self.statistics.add(measured, group=length_group(max(1, len(attention_map.key_tokens))))
        self.added += 1
        self._rows += int(measured.is_valid.sum())
        if not measured.is_valid.any():
            return
        end_tokens = self.statistics.settings.end_tokens
        for part, rows in parts_of(attention_map.query_tokens, end_tokens).items():
            self.parts.add(only_rows(measured, rows), group=part)
        self.patterns.add(attention_map)
        self.extremes.add(number, measured)
        self.guide.add(number, measured)
