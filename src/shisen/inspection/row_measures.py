"""What is measured of every row of weights, in one pass over blocks that stay in the processor's cache.

Of a row p over the keys k, with templates t given from outside:

    entropy    −Σ p log₂ p               largest    max p, and the first k where it is
    above      |{k: p > threshold}|      products   Σ p t, t the same for all queries or one for each

Reading the weights from memory takes a fraction of the arithmetic, so what counts is that each block is read
once and that nothing as large as the weights is written. Arithmetic is float32, as the weights are.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

#: Weights in a block, 1 MiB: they and their logarithms fit the second-level cache. With smaller ones threads
#: wait for each other: between any two calls of NumPy they take turns.
BLOCK = 2**18
#: Weights of one head in a block: a product of this size with a few columns is too small for BLAS to start
#: threads of its own beside ours.
_OF_A_HEAD = 2**16
#: Queries in a block; the templates of so few stay in the cache while one head after the other passes.
_QUERIES = 64
#: Weights for which a further thread is worth its start.
_WEIGHTS_OF_A_THREAD = 2**22
#: Below the logarithm of the smallest float32, 2⁻¹⁴⁹: what stands for that of 0, which is multiplied by 0.
_LOG_OF_ZERO = np.float32(-150.0)


@dataclass(frozen=True)
class RowMeasures:
    """What `measure_rows` finds; `by_query` and `by_key` hold a number for each template, first axis."""

    bits: Float32[np.ndarray, "heads queries"]
    largest: Float32[np.ndarray, "heads queries"]
    position: Int64[np.ndarray, "heads queries"]
    above: Int64[np.ndarray, "heads queries"]
    by_query: Float32[np.ndarray, "query_templates heads queries"]
    by_key: Float32[np.ndarray, "heads queries key_templates"]

    @classmethod
    def empty(cls, heads: int, queries: int, query_templates: int, key_templates: int) -> RowMeasures:
        """Room for the measures, still all zero."""
        rows = (heads, queries)
        return cls(
            np.zeros(rows, np.float32),
            np.zeros(rows, np.float32),
            np.zeros(rows, np.int64),
            np.zeros(rows, np.int64),
            np.zeros((query_templates, *rows), np.float32),
            np.zeros((*rows, key_templates), np.float32),
        )


def measure_rows(
    weights: Float32[np.ndarray, "heads queries keys"],
    by_query: Float32[np.ndarray, "query_templates queries keys"],
    by_key: Float32[np.ndarray, "keys key_templates"],
    threshold: float,
    threads: int | None = None,
) -> RowMeasures:
    """Measure every row; a row of zeros has zeros everywhere.

    Args:
        weights: Finite and not negative.
        by_query: Templates with a row for each query, as its distance from each key.
        by_key: Templates that are the same for every query, as which keys are punctuation.
        threshold: What a weight must exceed to be counted in `above`.
        threads: How many share the heads. None: as many as there are processors, and for small maps one.
    """
    heads, queries, keys = weights.shape
    found = RowMeasures.empty(heads, queries, len(by_query), by_key.shape[1])
    if not weights.size:
        return found
    if threads is None:
        threads = min(_processors(), weights.size // _WEIGHTS_OF_A_THREAD)
    threads = max(1, min(threads, heads))
    borders = [heads * number // threads for number in range(threads + 1)]

    def measure(begin: int, end: int) -> None:
        _measure(weights, by_query, by_key, np.float32(threshold), begin, end, found)

    if threads == 1:
        measure(0, heads)
    else:
        with ThreadPoolExecutor(threads) as pool:  # NumPy lets go of the interpreter's lock
            list(pool.map(measure, borders[:-1], borders[1:]))
    starts = keys * np.arange(heads * queries).reshape(heads, queries)
    np.take(weights.reshape(-1), starts + found.position, out=found.largest)
    return found


def _measure(
    weights: np.ndarray,
    by_query: np.ndarray,
    by_key: np.ndarray,
    threshold: np.float32,
    begin: int,
    end: int,
    found: RowMeasures,
) -> None:
    """Measure the heads from `begin` to `end`, block by block, into `found`."""
    queries, keys = weights.shape[1:]
    high = min(queries, _QUERIES, max(1, _OF_A_HEAD // keys))
    deep = min(end - begin, max(1, BLOCK // (high * keys)))
    logarithms = np.empty(deep * high * keys, np.float32)
    is_above = np.empty(deep * high * keys, bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        for query in range(0, queries, high):
            rows = slice(query, min(query + high, queries))
            for head in range(begin, end, deep):
                place = (slice(head, min(head + deep, end)), rows)
                block = weights[place]  # [deep, high, keys]
                found.bits[place] = _bits(block, logarithms[: block.size].reshape(block.shape))
                block.argmax(axis=-1, out=found.position[place])
                above = np.greater(block, threshold, out=is_above[: block.size].reshape(block.shape))
                found.above[place] = np.add.reduce(above.view(np.uint8), axis=-1, dtype=np.uint32)
                for number, template in enumerate(by_query):
                    found.by_query[(number, *place)] = np.einsum("hqk,qk->hq", block, template[rows])
                found.by_key[place] = block @ by_key


def _bits(block: np.ndarray, logarithms: np.ndarray) -> np.ndarray:
    """−Σ p log₂ p of every row. Zeros, which a softmax leaves rarely, cost a second pass where they are."""
    np.log2(block, out=logarithms)
    bits = 0 - np.einsum("hqk,hqk->hq", block, logarithms)
    if np.isnan(bits).any():  # 0 · −∞
        np.maximum(logarithms, _LOG_OF_ZERO, out=logarithms)
        bits = 0 - np.einsum("hqk,hqk->hq", block, logarithms)
    return bits


def _processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
