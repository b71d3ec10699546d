"""A report on attention: its numbers as one JSON document, from which the page is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from shisen import __version__
from shisen.errors import UserError
from shisen.files import write_atomically
from shisen.inspection import tables
from shisen.inspection.attention_map import AttentionMap, Kind
from shisen.inspection.report.extremes import LONGEST, SHORTEST, Example
from shisen.inspection.report.guide import SHAPES, Illustration
from shisen.inspection.statistics_settings import StatisticsSettings

if TYPE_CHECKING:
    from shisen.inspection.report.kind import KindGatherer
    from shisen.plotting.style import Figure

PAGE_NAME, NUMBERS_NAME = "report.html", "report.json"


@runtime_checkable
class Verdict(Protocol):
    """What is read of a `shisen.inspection.faithfulness.FaithfulnessReport`."""

    def as_dict(self) -> dict[str, Any]:
        """Every number."""

    def verdict(self, language: str = "en") -> str:
        """In words."""

    def plot(self, language: str = "en") -> Figure:
        """As a figure."""


@dataclass(frozen=True)
class AttentionReport:
    """What was found in the attention of a corpus.

    Attributes:
        facts: Where it comes from: model, data, command, versions. Strings and numbers.
        sentences: How many were looked at.
        kinds: What was gathered, by kind; the first is the one whose sentences are shown.
        settings: Of the measures.
        alignment: AER, precision, recall and F1 against gold alignments, as
            `shisen.evaluation.alignment.AlignmentScores.as_dict` gives them.
        faults: What translations forgot and what they repeat, as `FaultGatherer.as_dict` gives it; None
            without cross-attention.
        faithfulness: Whether attention explains the decisions of the model.
    """

    facts: Mapping[str, Any]
    sentences: int
    kinds: Mapping[Kind, KindGatherer]
    settings: StatisticsSettings
    alignment: Mapping[str, float] | None = None
    faults: Mapping[str, Any] | None = None
    faithfulness: Verdict | None = None
    _numbers: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def shown(self) -> Kind:
        """The kind of attention that sentences are shown of: cross, where there is any."""
        return next(iter(self.kinds))

    def as_dict(self) -> dict[str, Any]:
        """Every number, as JSON holds it; the numbers of the page are these."""
        if not self._numbers:
            self._numbers.update(self._counted())
        return self._numbers

    def to_html(self, language: str = "en") -> str:
        """The page: one document with its figures inside, which needs no network.

        Args:
            language: ``en`` or ``ja``.
        """
        from shisen.inspection.report.page import render_page

        return render_page(self, language)

    def write(self, folder: str | Path, language: str = "en") -> None:
        """Write ``report.html`` and ``report.json`` into a folder, which is made where it is missing.

        Raises:
            UserError: There is no such language, or the folder cannot be made.
            RunError: A file could not be written.
        """
        page = self.to_html(language)
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: the folder cannot be made ({error.strerror or error})") from None
        tables.to_json(self.as_dict(), folder / NUMBERS_NAME)
        write_atomically(folder / PAGE_NAME, page)

    def _counted(self) -> dict[str, Any]:
        gathered = self.kinds[self.shown]
        entries: dict[str, Any] = {
            "shisen": __version__,
            "facts": dict(self.facts),
            "sentences": self.sentences,
            "settings": self.settings.as_dict(),
            "kinds": {kind: _numbers_of(one) for kind, one in self.kinds.items()},
            "examples": {
                "kind": self.shown,
                "rule": {"shortest": SHORTEST, "longest": LONGEST},
                "most_focused": [_example(one) for one in gathered.extremes.focused],
                "most_diffuse": [_example(one) for one in gathered.extremes.diffuse],
            },
            "reading_guide": {
                shape: {"least": least, "found": _illustration(gathered.guide.found.get(shape))}
                for shape, least in SHAPES.items()
            },
        }
        if self.alignment is not None:
            entries["alignment"] = dict(self.alignment)
        if self.faults is not None:
            entries["faults"] = dict(self.faults)
        if self.faithfulness is not None:
            entries["faithfulness"] = self.faithfulness.as_dict()
        return entries


def _numbers_of(gathered: KindGatherer) -> dict[str, Any]:
    """The numbers of one kind of attention."""
    statistics, parts = gathered.statistics, gathered.parts
    layers, heads = statistics.by_head()["entropy"].mean.shape
    return {
        "layers": layers,
        "heads": heads,
        "sentences": statistics.sentences,
        "excluded_rows": statistics.excluded_rows,
        "unnormalized_rows": statistics.unnormalized_rows,
        "largest_deviation": statistics.largest_deviation,
        "overall": statistics.table("corpus"),
        "by_layer": statistics.table("layer"),
        "by_head": statistics.table("head"),
        "by_length": _by_group(statistics),
        "by_part": _by_group(parts),
        "patterns": gathered.patterns.result().as_rows() if gathered.patterns.sentences else [],
    }


def _by_group(statistics: Any) -> list[dict[str, Any]]:
    """A row for every group and measure; groups in which no row was measured are left out."""
    rows = []
    for name in statistics.groups:
        try:
            summaries = statistics.overall(name)
        except UserError:  # sentences without a row of weights
            continue
        rows += [{"group": name, "measure": measure, **one.at()} for measure, one in summaries.items()]
    return rows


def _example(one: Example) -> dict[str, Any]:
    return {"sentence": one.number, "spread": one.spread, **_tokens(one.attention_map)}


def _illustration(one: Illustration | None) -> dict[str, Any] | None:
    if one is None:
        return None
    place = {"sentence": one.number, "layer": one.layer, "head": one.head, "row": one.row}
    return {**place, "score": one.score, **_tokens(one.attention_map)}


def _tokens(attention_map: AttentionMap) -> dict[str, list[str]]:
    return {
        "query_tokens": list(attention_map.query_tokens),
        "key_tokens": list(attention_map.key_tokens),
    }
