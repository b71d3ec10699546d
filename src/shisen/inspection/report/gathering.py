"""Take in the maps of a corpus, one after the other, and keep what a report needs: numbers and few sentences.

Memory does not grow with the corpus: statistics and patterns are sums and histograms, and of the maps only
those that are shown are kept, twelve at most of each kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shisen.errors import UserError
from shisen.inspection.attention_map import KINDS, AttentionMap, Kind
from shisen.inspection.report.contents import AttentionReport
from shisen.inspection.report.faults import FaultGatherer
from shisen.inspection.report.kind import KindGatherer
from shisen.inspection.statistics_settings import StatisticsSettings


class ReportGatherer:
    """Gathers a report on attention, map by map.

    >>> gatherer = ReportGatherer()
    >>> for translation in translations:  # doctest: +SKIP
    ...     gatherer.add(translation.attention)
    >>> gatherer.report().write("report")  # doctest: +SKIP

    Args:
        settings: Of the measures. None: the usual ones.
        examples: How many of the most focused, and of the most diffuse sentences are shown.
    """

    def __init__(self, settings: StatisticsSettings | None = None, examples: int = 3) -> None:
        """Start with nothing seen."""
        self.settings = settings or StatisticsSettings()
        self.sentences = 0
        self._examples = examples
        self._kinds: dict[Kind, KindGatherer] = {}
        self._faults = FaultGatherer()

    def add(self, maps: Mapping[str, AttentionMap], probabilities: Sequence[float] | None = None) -> None:
        """Take in the maps of one sentence, by kind; a sentence without any counts as empty.

        Args:
            maps: They.
            probabilities: Of every target token, by the model; translation faults are found better with them.

        Raises:
            UserError: A map has other layers or heads than those of its kind before.
        """
        self.sentences += 1
        for attention_map in maps.values():
            self._add(self.sentences, attention_map, probabilities)

    def add_map(self, attention_map: AttentionMap) -> None:
        """Take in a map by itself, as saved ones come: of each kind they are numbered from 1."""
        number = self._of_kind(attention_map.kind).added + 1
        self._add(number, attention_map)
        self.sentences = max(self.sentences, number)

    def report(self, facts: Mapping[str, Any] | None = None, **parts: Any) -> AttentionReport:
        """The report on everything so far.

        Args:
            facts: What is known of the run: model, data, command.
            parts: Further parts of `AttentionReport`: ``alignment``, ``faithfulness``.

        Raises:
            UserError: No map with a row of weights was added.
        """
        kinds = {kind: self._kinds[kind] for kind in KINDS if kind in self._kinds}  # type: ignore[index]
        kinds = {kind: one for kind, one in kinds.items() if one.has_rows}
        if not kinds:
            raise UserError("there is no attention to report on: no sentence has a row of weights")
        parts = {"faults": self._faults.as_dict(), **parts}
        return AttentionReport(dict(facts or {}), self.sentences, kinds, self.settings, **parts)

    def _add(
        self, number: int, attention_map: AttentionMap, probabilities: Sequence[float] | None = None
    ) -> None:
        self._of_kind(attention_map.kind).add(number, attention_map)
        if attention_map.kind == "cross":
            self._faults.add(number, attention_map, probabilities)

    def _of_kind(self, kind: Kind) -> KindGatherer:
        if kind not in self._kinds:
            self._kinds[kind] = KindGatherer(self.settings, self._examples)
        return self._kinds[kind]
