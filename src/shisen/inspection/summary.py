"""Many values in a few: mean, deviation, quantiles, and how sure the mean is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64, Int64

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
#: Of the intervals: the share of samples whose interval would hold the mean that is estimated.
CONFIDENCE = 0.95


@dataclass(frozen=True, eq=False)
class Summary:
    """Values of some parts (heads, layers, or all at once), each part by itself; NaN where there were none.

    Attributes:
        count: How many values.
        mean: Their mean.
        deviation: Their standard deviation, √(Σ (x − mean)² / (count − 1)).
        quantiles: At `QUANTILES`, last axis.
        low: The lower bound of the 95 % interval of the mean, by Student's t.
        high: The upper bound.
        unit: What was taken as independent for that: ``rows`` or ``sentences``.
    """

    count: Int64[np.ndarray, "*parts"]
    mean: Float64[np.ndarray, "*parts"]
    deviation: Float64[np.ndarray, "*parts"]
    quantiles: Float64[np.ndarray, "*parts quantiles"]
    low: Float64[np.ndarray, "*parts"]
    high: Float64[np.ndarray, "*parts"]
    unit: Literal["rows", "sentences"]

    def at(self, *part: int) -> dict[str, float | int]:
        """The numbers of one part by name: ``at(layer, head)``, ``at(layer)``, ``at()``."""
        quantiles = {f"q{round(100 * share):02}": i for i, share in enumerate(QUANTILES)}
        return {
            "count": int(self.count[part]),
            "mean": float(self.mean[part]),
            "deviation": float(self.deviation[part]),
            **{name: float(self.quantiles[(*part, i)]) for name, i in quantiles.items()},
            "low": float(self.low[part]),
            "high": float(self.high[part]),
        }


def summarize(values: Float64[np.ndarray, "*parts rows"]) -> Summary:
    """The summary of every part; NaN values are left out. Rows count as independent for the interval."""
    shape = values.shape[:-1]
    flat = values.reshape(math.prod(shape), values.shape[-1])  # [all parts, rows]
    is_value = ~np.isnan(flat)
    count = is_value.sum(axis=-1)
    mean = _divided(np.where(is_value, flat, 0).sum(axis=-1), count)
    squares = (np.where(is_value, flat - mean[:, None], 0) ** 2).sum(axis=-1)
    deviation = np.sqrt(_divided(squares, count - 1))
    low, high = t_interval(mean, _divided(deviation, np.sqrt(count)), count - 1)
    quantiles = _quantiles(flat, count).reshape(*shape, len(QUANTILES))
    count, mean, deviation, low, high = (part.reshape(shape) for part in (count, mean, deviation, low, high))
    return Summary(count, mean, deviation, quantiles, low, high, "rows")


def t_interval(
    mean: Float64[np.ndarray, "*parts"],
    standard_error: Float64[np.ndarray, "*parts"],
    degrees: Int64[np.ndarray, "*parts"],
) -> tuple[Float64[np.ndarray, "*parts"], Float64[np.ndarray, "*parts"]]:
    """The bounds mean ± t · standard error, t of Student's distribution; NaN without a degree of freedom."""
    from scipy.special import stdtrit

    reach = stdtrit(np.where(degrees > 0, degrees, np.nan), (1 + CONFIDENCE) / 2) * standard_error
    return mean - reach, mean + reach


def tidy_rows(summaries: Mapping[str, Summary], axes: Sequence[str]) -> list[dict[str, Any]]:
    """A row for every part and measure: where it is (``layer``, ``head``), the measure, its numbers."""
    shape = next(iter(summaries.values())).count.shape
    return [
        {**dict(zip(axes, part, strict=True)), "measure": name, **summary.at(*part)}
        for part in np.ndindex(shape)
        for name, summary in summaries.items()
    ]


def _divided(
    values: Float64[np.ndarray, " parts"], by: Int64[np.ndarray, " parts"] | Float64[np.ndarray, " parts"]
) -> Float64[np.ndarray, " parts"]:
    """The quotients, NaN where the divisor is not positive."""
    return values / np.where(by > 0, by, np.nan)


def _quantiles(
    values: Float64[np.ndarray, "parts rows"], count: Int64[np.ndarray, " parts"]
) -> Float64[np.ndarray, "parts quantiles"]:
    """Quantiles of the values that are numbers, between neighbours on a line; NaN of none."""
    if not values.shape[-1]:
        return np.full((len(count), len(QUANTILES)), np.nan)
    ordered = np.sort(values, axis=-1)  # NaN last
    place = np.maximum(count - 1, 0)[:, None] * np.array(QUANTILES)
    below = np.floor(place).astype(np.int64)
    left = np.take_along_axis(ordered, below, axis=-1)
    right = np.take_along_axis(ordered, np.ceil(place).astype(np.int64), axis=-1)
    return left + (right - left) * (place - below)
