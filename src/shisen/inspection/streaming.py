"""Means, deviations and quantiles of a stream in constant memory; of parts of it, joined without loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64


@dataclass(frozen=True, eq=False)
class Moments:
    """How many vectors x came, their mean, and C = Σ (x − mean) (x − mean)ᵀ; each cell by itself.

    Two sets a and b are joined by Chan, Golub & LeVeque (1979), with δ = mean_b − mean_a and n = n_a + n_b:

        mean = mean_a + δ n_b / n          C = C_a + C_b + δ δᵀ n_a n_b / n

    which neither loses digits to large sums nor depends on the order but in the last of them.
    """

    count: Float64[np.ndarray, "*cells"]
    mean: Float64[np.ndarray, parts * cells]
    comoments: Float64[np.ndarray, "parts parts *cells"]

    @classmethod
    def of(
        cls, vectors: Float64[np.ndarray, "parts *cells vectors"], is_in: Bool[np.ndarray, "*cells vectors"]
    ) -> Moments:
        """The moments of the vectors that are in; what the others hold does not matter, NaN excepted."""
        count = is_in.sum(axis=-1).astype(np.float64)
        mean = (vectors * is_in).sum(axis=-1) / np.maximum(count, 1)
        deviations = (vectors - mean[..., None]) * is_in
        return cls(count, mean, np.einsum("i...v,j...v->ij...", deviations, deviations))

    def __add__(self, other: Moments) -> Moments:
        """The moments of both sets together."""
        count = self.count + other.count
        share = other.count / np.maximum(count, 1)  # n_b / n, 0 where both are empty
        delta = other.mean - self.mean
        between = delta[:, None] * delta[None] * (self.count * share)
        return Moments(count, self.mean + delta * share, self.comoments + other.comoments + between)

    def pooled(self, axis: int) -> Moments:
        """The moments of all cells along an axis (counted from the end) taken for one, which stays as 1."""
        count = self.count.sum(axis, keepdims=True)
        mean = (self.count * self.mean).sum(axis, keepdims=True) / np.maximum(count, 1)
        delta = self.mean - mean
        between = self.count * delta[:, None] * delta[None]
        return Moments(count, mean, (self.comoments + between).sum(axis, keepdims=True))

    def as_dict(self) -> dict[str, Any]:
        """The moments as JSON holds them, to the last digit."""
        return {name: getattr(self, name).tolist() for name in ("count", "mean", "comoments")}

    @classmethod
    def from_dict(cls, entries: dict[str, Any]) -> Moments:
        """The moments that `as_dict` wrote."""
        return cls(*(np.array(entries[name], np.float64) for name in ("count", "mean", "comoments")))


#: The ratio γ of neighbouring bins, and the powers of it that are the lowest and the highest bin: 0.001, 10⁶.
RATIO = 1.02
_LOWEST, _HIGHEST = -349, 698
#: The first bin is for what is smaller.
BINS = _HIGHEST - _LOWEST + 2


def log_histogram(
    values: Float64[np.ndarray, "cells values"], is_value: Bool[np.ndarray, "cells values"]
) -> Int64[np.ndarray, "cells bins"]:
    """How many values of each cell fall into bins of equal ratio, for quantiles within 1 % of the value.

    Bin i holds the values nearest, by ratio, to γⁱ, γ = 1.02 (1 is itself such a value), from 0.001 to a
    million; what is smaller counts as 0. A quantile is the γⁱ of the bin in which it lies, so that it is off
    by 1 % at most (as in DDSketch: Masson, Rim & Lee 2019). Counts are whole numbers, so that histograms of
    the parts of a stream add up to that of the whole, exactly.

    Args:
        values: What to count.
        is_value: Which; the others are 0 and no values.
    """
    with np.errstate(divide="ignore"):
        bins = np.log(np.maximum(values, 0))
    bins *= 1 / math.log(RATIO)
    np.rint(bins, out=bins)
    bins -= _LOWEST - 1
    np.clip(bins, 0, BINS - 1, out=bins)  # of 0: −∞
    cells = len(values)
    bins += BINS * np.arange(cells)[:, None]
    counts = np.bincount(bins.astype(np.int64).reshape(-1), minlength=cells * BINS).reshape(cells, BINS)
    counts[:, 0] -= (~is_value).sum(axis=-1)
    return counts


def histogram_quantiles(
    counts: Int64[np.ndarray, "*cells bins"], shares: Sequence[float]
) -> Float64[np.ndarray, "*cells shares"]:
    """For each share the smallest value with at least that share of all values up to it; NaN of none."""
    values = RATIO ** np.arange(_LOWEST - 1.0, _HIGHEST + 1)
    values[0] = 0
    upto = np.cumsum(counts, axis=-1)  # [*cells, bins]
    total = upto[..., -1]
    result = np.empty((*total.shape, len(shares)))
    for number, share in enumerate(shares):
        rank = np.maximum(np.ceil(share * total), 1)
        result[..., number] = values[(upto < rank[..., None]).sum(axis=-1).clip(max=BINS - 1)]
    result[total == 0] = np.nan
    return result
