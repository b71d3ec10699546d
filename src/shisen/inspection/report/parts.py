"""The rows of a sentence by where they stand: first, middle and last third of its words, and its end."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np

from shisen.inspection.statistics import AttentionStatistics
from shisen.inspection.statistics_settings import MEASURES

PARTS = ("first", "middle", "last", "end")


def parts_of(tokens: Sequence[str], end_tokens: Collection[str]) -> dict[str, list[int]]:
    """The rows of each of `PARTS` that has any.

    Word i of n, from 0, is in third ⌊3 i / n⌋; what ends a sentence is no word and has a part of its own.
    """
    words = [row for row, token in enumerate(tokens) if token not in end_tokens]
    parts: dict[str, list[int]] = {name: [] for name in PARTS}
    for number, row in enumerate(words):
        parts[PARTS[3 * number // len(words)]].append(row)
    parts["end"] = [row for row, token in enumerate(tokens) if token in end_tokens]
    return {name: rows for name, rows in parts.items() if rows}


def only_rows(statistics: AttentionStatistics, rows: Sequence[int]) -> AttentionStatistics:
    """The measures of some rows, as they were measured; the others are gone, not excluded.

    (Measured again, the rows of a map that was cut would be at other positions.)
    """
    attention_map = statistics.attention_map
    chosen = np.array(rows, dtype=np.int64)
    cut = dataclasses.replace(
        attention_map,
        weights=attention_map.weights[:, :, chosen],
        query_tokens=tuple(attention_map.query_tokens[row] for row in rows),
    )
    names = [*(name for name in MEASURES if name != "gini"), "max_position", "is_valid", "row_sums"]
    return dataclasses.replace(
        statistics, attention_map=cut, **{name: getattr(statistics, name)[:, :, chosen] for name in names}
    )
