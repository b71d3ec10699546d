"""What the weights of a map look like in numbers: how spread, how far away, and on what.

Of a row p over the n keys that its query may attend to, the query at position q, the key at k:

    entropy              H = −Σ p ln p, in nats; in bits with log₂; or divided by ln n
    perplexity           exp H (H in nats): as many equal weights would have this entropy
    max_weight           max p; max_position is its first key, counted from 0 among all columns
    effective_positions  |{k: p > threshold}|
    gini                 Σᵢ (2i − n − 1) p₍ᵢ₎ / (n Σ p), p₍₁₎ ≤ … ≤ p₍ₙ₎: 0 for equal weights, 1 − 1/n for one
    distance             Σ p |q − k| / Σ p, in tokens
    diagonal_mass        Σ p over |k − d| ≤ band: d = q; in cross-attention q (keys − 1) / (queries − 1), so
                         that the diagonal runs from the first to the last token of both sentences
    punctuation_mass, end_mass, first_mass
                         Σ p over punctuation, over the end of the sentence, over the first key

In a decoder a query may attend to the keys up to its own position, elsewhere to all. Columns of padding are
no keys: they have no position and count in no n. Rows of padding, and rows of zeros, are **excluded**: NaN in
every field, −1 as position, and counted. Rows whose weights do not sum to 1 are measured as they are, with
the formulas above, and counted: nothing is repaired in silence (`AttentionMap.normalized` does that).

Gini: Gini (1912), the sample form as in Hurley & Rickard (2009), Table I. The rest: Shannon (1948).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from shisen import __version__
from shisen.errors import UserError
from shisen.inspection import tables
from shisen.inspection.attention_map import ROW_SUM_TOLERANCE, AttentionMap
from shisen.inspection.row_measures import RowMeasures, measure_rows
from shisen.inspection.row_templates import are_real, key_counts, key_templates, query_templates
from shisen.inspection.statistics_settings import (
    END_TOKENS,
    MEASURES,
    StatisticsSettings,
    check_measures,
)
from shisen.inspection.summary import Summary, summarize, tidy_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


@dataclass(frozen=True, eq=False, repr=False)
class AttentionStatistics:
    """The measures of every row of a map, with the map and the settings; for the formulas see the module.

    Attributes:
        attention_map: What was measured.
        settings: How.
        is_valid: The rows that were; the others are NaN everywhere.
        row_sums: Of the weights.
    """

    attention_map: AttentionMap
    settings: StatisticsSettings
    is_valid: Bool[np.ndarray, "layers heads queries"]
    row_sums: Float64[np.ndarray, "layers heads queries"]
    entropy: Float64[np.ndarray, "layers heads queries"]
    perplexity: Float64[np.ndarray, "layers heads queries"]
    max_weight: Float64[np.ndarray, "layers heads queries"]
    max_position: Int64[np.ndarray, "layers heads queries"]
    effective_positions: Float64[np.ndarray, "layers heads queries"]
    distance: Float64[np.ndarray, "layers heads queries"]
    diagonal_mass: Float64[np.ndarray, "layers heads queries"]
    punctuation_mass: Float64[np.ndarray, "layers heads queries"]
    end_mass: Float64[np.ndarray, "layers heads queries"]
    first_mass: Float64[np.ndarray, "layers heads queries"]

    @cached_property
    def gini(self) -> Float64[np.ndarray, "layers heads queries"]:
        """The Gini coefficient of every row; the rows are sorted when this is first asked for."""
        weights = self.attention_map.weights
        keys = weights.shape[3]
        count = self.key_counts
        ranks = (
            2 * np.arange(1, keys + 1) - 2 * keys - 1
        )  # [keys], of all columns; what is no key sorts first
        weighted = np.sort(weights, axis=-1) @ ranks.astype(np.float32) + count * self.row_sums
        return self._of_valid(weighted, np.maximum(count, 1) * self.row_sums)

    @property
    def excluded_rows(self) -> int:
        """How many rows were left out: of zeros, or of padding."""
        return int(self.is_valid.size - self.is_valid.sum())

    @property
    def unnormalized_rows(self) -> int:
        """How many of the measured rows have a sum that is off from 1 by more than 0.01."""
        return int((self._deviations > ROW_SUM_TOLERANCE).sum())

    @property
    def largest_deviation(self) -> float:
        """By how much the sum of a measured row is off from 1 at most; 0 where none was measured."""
        return float(self._deviations.max(initial=0.0))

    @cached_property
    def key_counts(self) -> Int64[np.ndarray, " queries"]:
        """n of every query: how many keys it may attend to."""
        return key_counts(self.attention_map)

    @property
    def uniform_entropy(self) -> Float64[np.ndarray, " queries"]:
        """The entropy of equal weights, in the unit of `entropy`: its upper bound for rows that sum to 1."""
        return _entropy_of_uniform(self.key_counts, self.settings)

    def measure(self, name: str) -> Float64[np.ndarray, "layers heads queries"]:
        """A measure by its name."""
        check_measures([name])
        return getattr(self, name)

    def by_head(self, measures: Sequence[str] = MEASURES) -> dict[str, Summary]:
        """Summaries of ``[layers, heads]`` over the rows of each head, by measure.

        The interval takes the rows for independent. Rows of one sentence are not, so that it is rather too
        narrow; `CorpusStatistics` takes sentences.
        """
        return self._summaries(measures, self.is_valid.shape)

    def by_layer(self, measures: Sequence[str] = MEASURES) -> dict[str, Summary]:
        """Summaries of ``[layers]`` over the rows of all heads of each layer."""
        layers, heads, queries = self.is_valid.shape
        return self._summaries(measures, (layers, heads * queries))

    def overall(self, measures: Sequence[str] = MEASURES) -> dict[str, Summary]:
        """Summaries of shape ``[]`` over all rows of the map."""
        return self._summaries(measures, (self.is_valid.size,))

    def table(self, by: str = "head", measures: Sequence[str] = MEASURES) -> list[dict[str, Any]]:
        """The numbers as rows of a table.

        Args:
            by: ``head``, ``layer`` or ``map``: a row for each measure of each part, with its summary.
                ``row``: a row for each row of the map, with all measures; excluded rows are NaN.
            measures: Which, of `MEASURES`.
        """
        if by == "row":
            return self._rows(measures)
        if by == "head":
            return tidy_rows(self.by_head(measures), ("layer", "head"))
        if by == "layer":
            return tidy_rows(self.by_layer(measures), ("layer",))
        if by == "map":
            return tidy_rows(self.overall(measures), ())
        raise UserError(f"statistics of a map are tables by head, layer, map or row, not by {by!r}")

    def to_pandas(self, by: str = "row", measures: Sequence[str] = MEASURES) -> DataFrame:
        """`table` as a data frame."""
        return tables.to_pandas(self.table(by, measures))

    def to_csv(
        self, path: str | os.PathLike[str], by: str = "row", measures: Sequence[str] = MEASURES
    ) -> None:
        """`table` as a CSV file."""
        tables.write_csv(self.table(by, measures), path)

    def to_json(
        self,
        path: str | os.PathLike[str] | None = None,
        by: str = "row",
        measures: Sequence[str] = MEASURES,
    ) -> str:
        """`table` as JSON, with the settings, what was excluded and where the map comes from."""
        return tables.to_json({**self._provenance(), "by": by, "rows": self.table(by, measures)}, path)

    def plot(self, **options: Any) -> Figure:
        """Panels of the measures along the target; for the options see `plot_statistics`."""
        from shisen.plotting.statistics import plot_statistics

        return plot_statistics(self, **options)

    def __repr__(self) -> str:
        """One line: the size, the mean entropy and maximum weight, and what was excluded."""
        valid = self.is_valid
        means = {
            name: getattr(self, name)[valid].mean() if valid.any() else np.nan for name in MEASURES[:3:2]
        }
        return (
            f"AttentionStatistics({list(valid.shape)} [layers, heads, queries], "
            f"mean entropy {means['entropy']:.3f}, mean max weight {means['max_weight']:.3f}, "
            f"{self.excluded_rows} rows excluded, {self.unnormalized_rows} not normalised)"
        )

    @cached_property
    def _deviations(self) -> np.ndarray:
        return np.abs(self.row_sums[self.is_valid] - 1)

    def _of_valid(self, values: np.ndarray, by: np.ndarray | float = 1.0) -> np.ndarray:
        """The quotients at valid rows, NaN at the others."""
        return np.divide(values, by, out=np.full(self.is_valid.shape, np.nan), where=self.is_valid)

    def _summaries(self, measures: Sequence[str], shape: tuple[int, ...]) -> dict[str, Summary]:
        check_measures(measures)
        return {name: summarize(getattr(self, name).reshape(shape)) for name in measures}

    def _rows(self, measures: Sequence[str]) -> list[dict[str, Any]]:
        check_measures(measures)
        columns = {name: getattr(self, name) for name in measures}
        tokens, keys = self.attention_map.query_tokens, self.attention_map.key_tokens
        rows = []
        for layer, head, query in np.ndindex(self.is_valid.shape):
            place = (layer, head, query)
            best = int(self.max_position[place])
            rows.append(
                {
                    "layer": layer, "head": head, "query": query, "token": tokens[query],
                    "max_position": best, "max_token": keys[best] if best >= 0 else "",
                    **{name: float(column[place]) for name, column in columns.items()},
                    "row_sum": float(self.row_sums[place]),
                }
            )  # fmt: skip
        return rows

    def _provenance(self) -> dict[str, Any]:
        return {
            "shisen": __version__,
            "settings": self.settings.as_dict(),
            "kind": self.attention_map.kind,
            "metadata": dict(self.attention_map.metadata),
            "query_tokens": list(self.attention_map.query_tokens),
            "key_tokens": list(self.attention_map.key_tokens),
            "excluded_rows": self.excluded_rows,
            "unnormalized_rows": self.unnormalized_rows,
            "largest_deviation": self.largest_deviation,
        }


def attention_statistics(
    attention_map: AttentionMap,
    *,
    threshold: float = 0.1,
    unit: str = "nats",
    normalized: bool = False,
    band: int = 1,
    end_tokens: Collection[str] = END_TOKENS,
    punctuation: Collection[str] | None = None,
    threads: int | None = None,
) -> AttentionStatistics:
    """Measure every row of a map: its entropy, largest weight, distance and masses (formulas: the module).

    Args:
        attention_map: Of any model; weights that do not sum to 1 are measured as they are, and counted.
        threshold: What a weight must exceed to count as an effective position.
        unit: Of entropy, ``nats`` or ``bits``.
        normalized: Divide entropy by that of equal weights: 0 to 1 where the row sums to 1.
        band: How many keys to either side of the diagonal belong to it.
        end_tokens: What ends a sentence.
        punctuation: The tokens that are punctuation. None: those of punctuation characters alone.
        threads: How many share the work. None: as many as there are processors, and for small maps one.

    Raises:
        UserError: A setting is out of range.
    """
    settings = StatisticsSettings(
        threshold,
        unit,
        normalized,
        band,
        _tokens(end_tokens, "end_tokens"),
        None if punctuation is None else _tokens(punctuation, "punctuation"),
    )
    return measure_map(attention_map, settings, threads)


def measure_map(
    attention_map: AttentionMap, settings: StatisticsSettings, threads: int | None = None
) -> AttentionStatistics:
    """`attention_statistics` under settings that are there already."""
    layers, heads, queries, keys = attention_map.weights.shape
    found = measure_rows(
        attention_map.weights.reshape(layers * heads, queries, keys),
        query_templates(attention_map, settings.band),
        key_templates(attention_map, settings.end_tokens, settings.punctuation),
        settings.threshold,
        threads,
    )
    return _statistics(attention_map, settings, found)


def _statistics(
    attention_map: AttentionMap, settings: StatisticsSettings, found: RowMeasures
) -> AttentionStatistics:
    """The measures as they are named, NaN where a row is excluded."""
    shape = attention_map.weights.shape[:3]
    sums, first, end, punctuation = np.moveaxis(found.by_key.astype(np.float64), -1, 0).reshape(4, *shape)
    is_valid = (sums > 0) & are_real(attention_map.query_tokens)

    is_whole = bool(is_valid.all())

    def of_valid(values: np.ndarray) -> np.ndarray:
        values = values.reshape(shape).astype(np.float64)
        return values if is_whole else np.where(is_valid, values, np.nan)

    bits = of_valid(found.bits)
    distance, near = found.by_query
    return AttentionStatistics(
        attention_map,
        settings,
        is_valid,
        sums,
        entropy=_in_unit(bits, attention_map, settings),
        perplexity=np.exp2(bits),
        max_weight=of_valid(found.largest),
        max_position=np.where(is_valid, found.position.reshape(shape), -1),
        effective_positions=of_valid(found.above),
        distance=of_valid(distance) / np.where(is_valid, sums, 1),
        diagonal_mass=of_valid(near),
        punctuation_mass=of_valid(punctuation),
        end_mass=of_valid(end),
        first_mass=of_valid(first),
    )


def _in_unit(bits: np.ndarray, attention_map: AttentionMap, settings: StatisticsSettings) -> np.ndarray:
    """Entropy as the settings want it."""
    if settings.normalized:
        most = np.log2(np.maximum(key_counts(attention_map), 1))  # [queries]
        return bits / np.where(most > 0, most, np.nan)
    return bits if settings.unit == "bits" else bits * np.log(2)


def _entropy_of_uniform(counts: np.ndarray, settings: StatisticsSettings) -> np.ndarray:
    if settings.normalized:
        return np.where(counts > 1, 1.0, np.nan)
    return np.log(np.maximum(counts, 1)) / (np.log(2) if settings.unit == "bits" else 1.0)


def _tokens(tokens: Collection[str], name: str) -> tuple[str, ...]:
    if isinstance(tokens, str):
        raise UserError(f"{name} is a list of tokens, not one string: {tokens!r}")
    return tuple(tokens)
