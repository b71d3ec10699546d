"""What is gathered of some sentences: the moments and the histogram of every measure, head by head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from shisen.inspection.streaming import BINS, Moments, histogram_quantiles, log_histogram
from shisen.inspection.summary import QUANTILES, Summary, t_interval

LEVELS = ("head", "layer", "corpus")


@dataclass(frozen=True, eq=False)
class Gathered:
    """The measures of the rows of some sentences; of two sets, `+` gives both together.

    Attributes:
        rows: Moments of the rows of each head. Those of layers and of all follow, pooled.
        sentences: Moments of a sentence's sum S and number n of rows, by level: of each head, of each layer,
            of all. Heads of one sentence vary together, so the levels do not follow from each other.
        counts: The histogram of the rows.
        least: The smallest value of the rows; ∞ of none.
        most: The largest; −∞ of none.
    """

    rows: Moments  # [measures, layers, heads]
    sentences: Mapping[str, Moments]  # [measures, layers, heads], [measures, layers, 1], [measures, 1, 1]
    counts: Int64[np.ndarray, "measures layers heads bins"]
    least: Float64[np.ndarray, "measures layers heads"]
    most: Float64[np.ndarray, "measures layers heads"]

    @classmethod
    def of(cls, sentences: Sequence[Float64[np.ndarray, "measures layers heads _"]]) -> Gathered:
        """Gather sentences, at least one and each with at least one row; NaN is no value."""
        values = np.concatenate(sentences, axis=-1)  # [measures, layers, heads, rows]
        starts = np.cumsum([0, *(sentence.shape[-1] for sentence in sentences[:-1])])
        is_value = ~np.isnan(values)
        known = values if is_value.all() else np.where(is_value, values, 0)
        cells = known.shape[:-1]
        sums = np.add.reduceat(known, starts, axis=-1)  # [measures, layers, heads, sentences]
        numbers = np.add.reduceat(is_value.astype(np.float64), starts, axis=-1)
        pairs = np.stack([sums, numbers])  # S and n
        of_layers = pairs.sum(axis=-2, keepdims=True)
        of_all = of_layers.sum(axis=-3, keepdims=True)
        flat = (-1, values.shape[-1])
        return cls(
            Moments.of(known[None], is_value),
            {
                by: Moments.of(of_level, of_level[1] > 0)
                for by, of_level in zip(LEVELS, (pairs, of_layers, of_all), strict=True)
            },
            log_histogram(known.reshape(flat), is_value.reshape(flat)).reshape(*cells, BINS),
            np.fmin.reduce(values, axis=-1, initial=np.inf),  # fmin and fmax pass over NaN
            np.fmax.reduce(values, axis=-1, initial=-np.inf),
        )

    def __add__(self, other: Gathered) -> Gathered:
        """Both together."""
        return Gathered(
            self.rows + other.rows,
            {by: moments + other.sentences[by] for by, moments in self.sentences.items()},
            self.counts + other.counts,
            np.minimum(self.least, other.least),
            np.maximum(self.most, other.most),
        )

    def summaries(self, by: str) -> list[Summary]:
        """A summary for each measure, of every head, of every layer, or of all (`LEVELS`)."""
        measures, layers, heads = self.least.shape
        shape, axes = {
            "head": ((layers, heads), ()),
            "layer": ((layers,), (-1,)),
            "corpus": ((), (-1, -2)),
        }[by]
        rows, counts, least, most = self.rows, self.counts, self.least, self.most
        for axis in axes:
            rows, counts = rows.pooled(axis), counts.sum(axis=axis - 1, keepdims=True)
            least, most = least.min(axis=axis, keepdims=True), most.max(axis=axis, keepdims=True)
        mean = np.where(rows.count > 0, rows.mean[0], np.nan)
        variance = rows.comoments[0, 0] / np.where(rows.count > 1, rows.count - 1, np.nan)
        quantiles = np.clip(histogram_quantiles(counts, QUANTILES), least[..., None], most[..., None])
        low, high = _interval_of_ratio(mean, self.sentences[by])
        parts = (rows.count.astype(np.int64), mean, np.sqrt(variance), quantiles, low, high)
        names = ("count", "mean", "deviation", "quantiles", "low", "high")
        summaries = []
        for number in range(measures):
            of_measure = [part[number].reshape(shape + part.shape[3:]) for part in parts]
            summaries.append(Summary(**dict(zip(names, of_measure, strict=True)), unit="sentences"))
        return summaries

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON holds it; of the histogram the bins that are not empty."""
        counts = self.counts.reshape(-1)
        filled = np.flatnonzero(counts)
        is_seen = self.rows.count > 0
        return {
            "rows": self.rows.as_dict(),
            "sentences": {by: moments.as_dict() for by, moments in self.sentences.items()},
            "bins": filled.tolist(),
            "bin_counts": counts[filled].tolist(),
            "least": np.where(is_seen, self.least, 0).tolist(),
            "most": np.where(is_seen, self.most, 0).tolist(),
        }

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any], size: tuple[int, int, int]) -> Gathered:
        """What `as_dict` wrote.

        Args:
            entries: That.
            size: How many measures, layers and heads it is of.

        Raises:
            KeyError, TypeError, ValueError, IndexError: It is damaged, or of another size.
        """
        measures, layers, _ = size
        cells = {"head": size, "layer": (measures, layers, 1), "corpus": (measures, 1, 1)}
        rows = _moments(entries["rows"], 1, size, "rows")
        is_seen = rows.count > 0
        return cls(
            rows,
            {by: _moments(entries["sentences"][by], 2, cells[by], f"sentences by {by}") for by in LEVELS},
            _histogram(entries["bins"], entries["bin_counts"], size),
            np.where(is_seen, _shaped(np.array(entries["least"], np.float64), size, "least"), np.inf),
            np.where(is_seen, _shaped(np.array(entries["most"], np.float64), size, "most"), -np.inf),
        )


def _moments(entries: Mapping[str, Any], parts: int, cells: tuple[int, ...], name: str) -> Moments:
    moments = Moments.from_dict(dict(entries))
    _shaped(moments.count, cells, f"count of {name}")
    _shaped(moments.mean, (parts, *cells), f"mean of {name}")
    _shaped(moments.comoments, (parts, parts, *cells), f"comoments of {name}")
    return moments


def _histogram(bins: Any, bin_counts: Any, size: tuple[int, ...]) -> np.ndarray:
    """The histogram whose bins that are not empty are named; ``[measures, layers, heads, bins]``."""
    counts = np.zeros((*size, BINS), np.int64)
    places = np.array(bins, np.int64)
    if places.size and not 0 <= places.min() <= places.max() < counts.size:
        raise ValueError(f"bins are numbered from 0 to {counts.size - 1}")
    counts.reshape(-1)[places] = _shaped(np.array(bin_counts, np.int64), places.shape, "bin_counts")
    return counts


def _shaped(values: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    if values.shape != shape:
        raise ValueError(f"{name} should be of shape {list(shape)}, not {list(values.shape)}")
    return values


def _interval_of_ratio(mean: np.ndarray, sentences: Moments) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval of the ratio m = Σ S / Σ n, by N / (N − 1) · Σ (S − m n)² / (Σ n)²."""
    number = sentences.count  # N
    (sums, cross), (_, sizes) = sentences.comoments
    squares = np.maximum(sums - 2 * mean * cross + mean**2 * sizes, 0)  # the mean of S − m n is 0
    rows = number * sentences.mean[1]
    is_defined = number > 1
    factor = np.where(is_defined, number / np.maximum(number - 1, 1), np.nan)
    error = np.sqrt(factor * squares) / np.where(is_defined, rows, np.nan)
    return t_interval(mean, error, number.astype(np.int64) - 1)
