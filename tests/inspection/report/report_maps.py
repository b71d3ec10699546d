"""Small corpora of maps for the report."""

import numpy as np

from shisen.inspection import AttentionMap

SOURCE = ["I", "read", "the", "old", "book", ".", "</s>"]
TARGET = ["私", "は", "古い", "本", "を", "読む", "。", "</s>"]
#: English verb before object, Japanese after it: the fourth row looks left of the ones before.
LOOKS_AT = [0, 0, 3, 4, 4, 1, 5, 6]


def weights_at(columns, keys, weight=0.9):
    """Rows with so much weight on one key and the rest spread over the others."""
    rows = np.full((len(columns), keys), (1 - weight) / (keys - 1))
    rows[np.arange(len(columns)), columns] = weight
    return rows


def cross_map(layers=2, heads=2, weight=0.9, seed=0, kind="cross"):
    """Every head looks at the translated word, the last one a little differently in every sentence."""
    noise = np.random.default_rng(seed).dirichlet(np.ones(len(SOURCE)), size=(layers, heads, len(TARGET)))
    weights = 0.95 * weights_at(LOOKS_AT, len(SOURCE), weight) + 0.05 * noise
    return AttentionMap.from_arrays(weights, TARGET, SOURCE, kind)
