"""Test sets drawn again from a test set: the bootstrap, and the random exchange of two systems' outputs.

A corpus score is a function of sums over sentences, so a resampled test set is a sum of rows of the table
``[sentences, statistics]``. The draws are those of sacrebleu's `significance` module with the same seed, made
one at a time: memory is that of one draw, not of all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float64


def bootstrap_sums(
    statistics: Float64[np.ndarray, "sentences statistics"], samples: int, seed: int
) -> Float64[np.ndarray, "samples statistics"]:
    """The summed statistics of test sets drawn with replacement (Efron 1979; Koehn 2004)."""
    sentences = len(statistics)
    generator = np.random.default_rng(seed)
    sums = np.empty((samples, statistics.shape[1]))
    for row in sums:
        chosen = generator.choice(sentences, size=sentences, replace=True)
        row[:] = np.bincount(chosen, minlength=sentences) @ statistics
    return sums


def exchange_sums(
    first: Float64[np.ndarray, "sentences statistics"],
    second: Float64[np.ndarray, "sentences statistics"],
    samples: int,
    seed: int,
) -> Iterator[tuple[Float64[np.ndarray, "draws statistics"], Float64[np.ndarray, "draws statistics"]]]:
    """The summed statistics of both systems after their outputs were exchanged by a coin for every sentence.

    They come in blocks of 32 draws (and a rest): NumPy takes 32 coins from one random word, so that blocks of
    whole words make the same coins as drawing all at once.
    """
    generator = np.random.default_rng(seed)
    total = first.sum(axis=0) + second.sum(axis=0)
    for start in range(0, samples, 32):
        draws = min(32, samples - start)
        coins = generator.integers(2, size=(draws, len(first)), dtype=bool)
        kept = coins @ first + ~coins @ second  # [draws, statistics]
        yield kept, total - kept


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The bounds that hold the middle 95 % of the values, a fortieth left out at each end."""
    ordered = sorted(values)
    outside = len(ordered) // 40
    return ordered[outside], ordered[-1 - outside]
