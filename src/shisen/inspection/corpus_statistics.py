"""The statistics of a whole corpus: sentence by sentence, in constant memory, joined from parts without loss.

Of every measure, over the rows of a head, of a layer, of all, and the same of each group of sentences:

    mean        over all rows
    deviation   of the rows
    quantiles   of the rows, from a histogram: within 1 % of the value; below 0.001 the least value
    interval    of the mean, with **sentences** as what is independent: rows of one sentence are not. With S
                the sum over a sentence's rows and n their number, m = Σ S / Σ n is a ratio, and its variance
                N / (N − 1) · Σ (S − m n)² / (Σ n)² over N sentences (Cochran 1977, § 6.3); Student's t with
                N − 1 degrees of freedom

Memory, for each group: a histogram of 8.2 KiB for every measure and head (with the default measures 3.5 MiB
for 6 layers of 8 heads), and the rows of the last sentences, 2 MiB or one sentence, that wait to be gathered
together; the same for ten sentences and for a million.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from shisen import __version__
from shisen.errors import UserError
from shisen.inspection import tables
from shisen.inspection.attention_map import AttentionMap, Kind
from shisen.inspection.gathered_rows import LEVELS, Gathered
from shisen.inspection.statistics import AttentionStatistics, measure_map
from shisen.inspection.statistics_settings import MEASURES, StatisticsSettings, check_measures
from shisen.inspection.summary import Summary, tidy_rows

if TYPE_CHECKING:
    from pandas import DataFrame

#: What is streamed unless asked otherwise: all but `gini`, for which every row is sorted.
STREAMED_MEASURES = tuple(name for name in MEASURES if name != "gini")
_FORMAT = 1


class CorpusStatistics:
    """Gathers the statistics of maps of one kind and size, by head, by layer, overall, and by group.

    >>> corpus = CorpusStatistics()
    >>> for attention_map in maps:  # doctest: +SKIP
    ...     corpus.add(attention_map, group=length_group(len(attention_map.key_tokens)))
    >>> corpus.overall()["entropy"].mean  # doctest: +SKIP

    Args:
        settings: Of the measures. None: the usual ones.
        measures: Which measures, of `MEASURES`. ``gini`` has to be asked for: it takes as long as all others.
    """

    def __init__(
        self, settings: StatisticsSettings | None = None, measures: Sequence[str] = STREAMED_MEASURES
    ) -> None:
        """Start with nothing seen."""
        check_measures(measures)
        if not measures:
            raise UserError(f"there is nothing to measure; name measures of {', '.join(MEASURES)}")
        self.settings = settings or StatisticsSettings()
        self.measures = tuple(measures)
        self._kind: Kind | None = None
        self._size: tuple[int, int] = (0, 0)
        self._groups: dict[str | None, _Group] = {}

    def add(self, given: AttentionMap | AttentionStatistics, group: str | None = None) -> None:
        """Take in one sentence.

        Args:
            given: Its map, or the statistics of it, made with the same settings.
            group: What to count it to besides the whole, as a range of lengths (`length_group`).

        Raises:
            UserError: It is of another kind or size than those before, or was measured with other settings.
        """
        if isinstance(given, AttentionMap):
            given = measure_map(given, self.settings)
        if given.settings != self.settings:
            raise UserError(
                f"these statistics were made with {given.settings}, the others with {self.settings}"
            )
        attention_map = given.attention_map
        self._check_size(attention_map.kind, (attention_map.layers, attention_map.heads))
        self._groups.setdefault(group, _Group()).add(given, self.measures)

    def merge(self, other: CorpusStatistics) -> None:
        """Take in what another has gathered, from another part of the corpus or another process.

        Counts and quantiles are those of one pass over everything; means and deviations but for rounding.

        Raises:
            UserError: It gathered other measures, with other settings, or of maps of another kind or size.
        """
        if (other.settings, other.measures) != (self.settings, self.measures):
            raise UserError(
                "statistics of corpora are joined only if made alike: "
                f"{other.settings} of {', '.join(other.measures)} beside "
                f"{self.settings} of {', '.join(self.measures)}"
            )
        if other._kind is None:
            return
        self._check_size(other._kind, other._size)
        for name, group in other._groups.items():
            self._groups.setdefault(name, _Group()).include(group)

    @property
    def kind(self) -> Kind | None:
        """Of the maps; None before the first."""
        return self._kind

    @property
    def groups(self) -> list[str]:
        """The names of the groups, numbers in them by size."""
        return sorted((name for name in self._groups if name is not None), key=_natural_order)

    @property
    def sentences(self) -> int:
        """How many maps were added."""
        return sum(group.sentences for group in self._groups.values())

    @property
    def excluded_rows(self) -> int:
        """How many rows were left out: of zeros, or of padding."""
        return sum(group.excluded_rows for group in self._groups.values())

    @property
    def unnormalized_rows(self) -> int:
        """How many measured rows have a sum that is off from 1 by more than 0.01."""
        return sum(group.unnormalized_rows for group in self._groups.values())

    @property
    def largest_deviation(self) -> float:
        """By how much the sum of a measured row is off from 1 at most."""
        return max((group.largest_deviation for group in self._groups.values()), default=0.0)

    def by_head(self, group: str | None = None) -> dict[str, Summary]:
        """Summaries of ``[layers, heads]`` by measure, of one group or of all sentences."""
        return self._summaries(group, "head")

    def by_layer(self, group: str | None = None) -> dict[str, Summary]:
        """Summaries of ``[layers]`` by measure."""
        return self._summaries(group, "layer")

    def overall(self, group: str | None = None) -> dict[str, Summary]:
        """Summaries of shape ``[]`` by measure."""
        return self._summaries(group, "corpus")

    def by_group(self) -> dict[str, dict[str, Summary]]:
        """`overall` of every group."""
        return {name: self.overall(name) for name in self.groups}

    def table(self, by: str = "head") -> list[dict[str, Any]]:
        """The numbers as rows of a table: one for each part and measure.

        Args:
            by: ``head``, ``layer``, ``corpus`` (everything together) or ``group``.
        """
        if by == "group":
            return [
                {"group": name, **row}
                for name, summaries in self.by_group().items()
                for row in tidy_rows(summaries, ())
            ]
        if by not in _AXES:
            raise UserError(
                f"statistics of a corpus are tables by {', '.join(_AXES)} or group, not by {by!r}"
            )
        return tidy_rows(self._summaries(None, by), _AXES[by])

    def to_pandas(self, by: str = "head") -> DataFrame:
        """`table` as a data frame."""
        return tables.to_pandas(self.table(by))

    def to_csv(self, path: str | os.PathLike[str], by: str = "head") -> None:
        """`table` as a CSV file."""
        tables.write_csv(self.table(by), path)

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """All tables as JSON, with what `from_dict` goes on from."""
        content = {"tables": {by: self.table(by) for by in (*LEVELS, "group")}, **self.as_dict()}
        return tables.to_json(content, path)

    def as_dict(self) -> dict[str, Any]:
        """Everything gathered, as JSON holds it: for a file, or for another process."""
        return {
            "format": _FORMAT,
            "shisen": __version__,
            "settings": self.settings.as_dict(),
            "measures": list(self.measures),
            "kind": self._kind,
            "layers": self._size[0],
            "heads": self._size[1],
            "sentences": self.sentences,
            "excluded_rows": self.excluded_rows,
            "unnormalized_rows": self.unnormalized_rows,
            "largest_deviation": self.largest_deviation,
            "groups": [{"name": name, **group.as_dict()} for name, group in self._groups.items()],
        }

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> CorpusStatistics:
        """What `as_dict` or `to_json` wrote, to go on with.

        Raises:
            UserError: It is something else, or of another version.
        """
        if entries.get("format") != _FORMAT:
            raise UserError(
                f"these are no corpus statistics of format {_FORMAT}: format is {entries.get('format')!r}"
            )
        try:
            corpus = cls(StatisticsSettings.from_dict(entries["settings"]), tuple(entries["measures"]))
            corpus._kind, corpus._size = entries["kind"], (entries["layers"], entries["heads"])
            for group in entries["groups"]:
                corpus._groups[group["name"]] = _Group.from_dict(group, (len(corpus.measures), *corpus._size))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise UserError(f"these corpus statistics are damaged: {error!r}") from None
        return corpus

    def __repr__(self) -> str:
        """One line: the kind, the size and how much was seen."""
        layers, heads = self._size
        return f"CorpusStatistics({self._kind}: {layers} layers, {heads} heads, {self.sentences:,} sentences)"

    def _check_size(self, kind: Kind, size: tuple[int, int]) -> None:
        if self._kind is None:
            self._kind, self._size = kind, size
        if (self._kind, self._size) != (kind, size):
            raise UserError(
                f"the maps of a corpus are of one kind and size: the first was {self._kind} "
                f"{list(self._size)} (layers, heads), this one is {kind} {list(size)}"
            )

    def _summaries(self, group: str | None, by: str) -> dict[str, Summary]:
        if group is not None and group not in self._groups:
            raise UserError(f"there is no group {group!r}; there are: {', '.join(self.groups) or 'none'}")
        chosen = self._groups.values() if group is None else [self._groups[group]]
        gathered = [one for one in (group.all_gathered() for group in chosen) if one is not None]
        if not gathered:
            raise UserError("there are no statistics: no map was added that has a row of weights")
        whole = sum(gathered[1:], gathered[0])
        summaries = dict(zip(self.measures, whole.summaries(by), strict=True))
        for name in _WHOLE_NUMBERS & summaries.keys():
            rounded = np.rint(summaries[name].quantiles)  # exact up to 50, where bins are 1 wide
            summaries[name] = replace(summaries[name], quantiles=rounded)
        return summaries


_AXES: dict[str, tuple[str, ...]] = {"head": ("layer", "head"), "layer": ("layer",), "corpus": ()}


#: Measures that are counts.
_WHOLE_NUMBERS = frozenset(["effective_positions"])
#: Values that wait to be gathered together: the fixed work of a sentence is shared, and they fit the cache.
_WAITING = 2**18


@dataclass
class _Group:
    """One group of sentences: how many there were, what was gathered, and the last of them, which wait."""

    sentences: int = 0
    excluded_rows: int = 0
    unnormalized_rows: int = 0
    largest_deviation: float = 0.0
    gathered: Gathered | None = None
    waiting: list[np.ndarray] = field(default_factory=list)  # each [measures, layers, heads, queries]

    def add(self, given: AttentionStatistics, measures: Sequence[str]) -> None:
        """Take in one sentence."""
        self.sentences += 1
        self.excluded_rows += given.excluded_rows
        self.unnormalized_rows += given.unnormalized_rows
        self.largest_deviation = max(self.largest_deviation, given.largest_deviation)
        if given.is_valid.any():
            self.waiting.append(np.stack([given.measure(name) for name in measures]))
        if sum(values.size for values in self.waiting) >= _WAITING:
            self.all_gathered()

    def include(self, other: _Group) -> None:
        """Take in another group."""
        self.sentences += other.sentences
        self.excluded_rows += other.excluded_rows
        self.unnormalized_rows += other.unnormalized_rows
        self.largest_deviation = max(self.largest_deviation, other.largest_deviation)
        self.gathered = _together(self.all_gathered(), other.all_gathered())

    def all_gathered(self) -> Gathered | None:
        """What was gathered, once nothing waits; None where no row has been seen."""
        if self.waiting:
            self.gathered = _together(self.gathered, Gathered.of(self.waiting))
            self.waiting = []
        return self.gathered

    def as_dict(self) -> dict[str, Any]:
        """The group as JSON holds it."""
        gathered = self.all_gathered()
        return {
            **{name: getattr(self, name) for name in _COUNTERS},
            "gathered": None if gathered is None else gathered.as_dict(),
        }

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any], size: tuple[int, int, int]) -> _Group:
        """What `as_dict` wrote, of so many measures, layers and heads."""
        gathered = entries["gathered"]
        counters = {name: entries[name] for name in _COUNTERS}
        return cls(**counters, gathered=None if gathered is None else Gathered.from_dict(gathered, size))


_COUNTERS = ("sentences", "excluded_rows", "unnormalized_rows", "largest_deviation")


def _together(first: Gathered | None, second: Gathered | None) -> Gathered | None:
    if first is None or second is None:
        return first or second
    return first + second


#: The ends of the ranges of sentence lengths, in tokens.
LENGTH_EDGES = (10, 20, 40, 80)


def length_group(length: int, edges: Sequence[int] = LENGTH_EDGES) -> str:
    """The name of the range of lengths: ``1-10``, ``11-20``, … and ``81+`` for all beyond the last edge."""
    low = 1
    for edge in edges:
        if length <= edge:
            return f"{low}-{edge}"
        low = edge + 1
    return f"{low}+"


def _natural_order(name: str) -> list[tuple[int, str]]:
    """By the numbers in a name where there are any: ``1-10`` before ``11-20`` before ``81+``."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
