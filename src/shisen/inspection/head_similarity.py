"""Which heads do the same: the Jensen–Shannon distance between heads over a corpus, and the tree of it.

For two heads with the rows p and q of the same query, m = (p + q) / 2 and H the entropy in bits,

    JSD(p, q) = H(m) − (H(p) + H(q)) / 2                 in [0, 1]: equal rows, rows without a common key
    distance  = √(mean of JSD over all rows of the corpus)

The mean divergence is what Clark et al. compare heads by ("What does BERT look at?", BlackboxNLP 2019,
https://arxiv.org/abs/1906.04341, section 6); its root is a metric (Endres & Schindelin 2003). Rows with one
allowed key have no choice and do not count, nor do those of padding, nor for a pair of heads the rows that
are zero in either.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from shisen.errors import UserError
from shisen.inspection.attention_map import AttentionMap, Kind
from shisen.inspection.row_templates import are_real, key_counts

#: What the distance between two clusters may be: the mean over their pairs, the largest, the smallest.
LINKAGES = ("average", "complete", "single")
#: Heads within this distance of each other count as near-duplicates: a mean divergence of 0.01 bits.
NEAR_DUPLICATE = 0.1
_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class HeadSimilarity:
    """How far the heads of a model are from each other, over a corpus.

    All heads have one number: i is head i % heads of layer i // heads.

    Attributes:
        divergence: The mean Jensen–Shannon divergence in bits; NaN for two heads that share no row.
        kind: Of the maps.
        layers: How many layers.
        heads: How many heads in a layer.
        sentences: How many maps were looked at.
        rows: How many rows each pair was compared on.
    """

    divergence: Float64[np.ndarray, "all_heads all_heads"]
    kind: Kind
    layers: int
    heads: int
    sentences: int
    rows: Int64[np.ndarray, "all_heads all_heads"]

    @property
    def distance(self) -> Float64[np.ndarray, "all_heads all_heads"]:
        """√divergence, in [0, 1]."""
        return np.sqrt(self.divergence)

    @property
    def names(self) -> list[tuple[int, int]]:
        """(layer, head) of every row of the matrix."""
        return [(layer, head) for layer in range(self.layers) for head in range(self.heads)]

    def nearest(self) -> list[tuple[int, float] | None]:
        """For every head the number of the nearest other one and its distance; None where there is none."""
        others = self.distance.copy()
        np.fill_diagonal(others, np.nan)
        result: list[tuple[int, float] | None] = []
        for row in others:
            if np.isnan(row).all():
                result.append(None)
                continue
            best = int(np.nanargmin(row))
            result.append((best, float(row[best])))
        return result

    def linkage(self, method: str = "average") -> Float64[np.ndarray, "merges 4"]:
        """The tree of clusters as SciPy has it: which two merge, at what distance, into how many heads.

        Leaves are ordered so that neighbours are near (Bar-Joseph et al. 2001). Two heads that share no row
        count as far apart as can be.

        Args:
            method: Of `LINKAGES`.
        """
        from scipy.cluster.hierarchy import linkage
        from scipy.spatial.distance import squareform

        if method not in LINKAGES:
            raise UserError(f"clusters are linked by {', '.join(LINKAGES)}, not by {method!r}")
        if len(self.divergence) < 2:
            return np.zeros((0, 4))
        apart = squareform(np.nan_to_num(self.distance, nan=1.0), checks=False)
        return linkage(apart, method, optimal_ordering=True)

    def order(self, method: str = "average") -> list[int]:
        """The heads as the leaves of the tree stand, from left to right."""
        from scipy.cluster.hierarchy import leaves_list

        tree = self.linkage(method)
        return [0] if not len(tree) else [int(leaf) for leaf in leaves_list(tree)]

    def clusters(self, within: float = NEAR_DUPLICATE) -> list[list[int]]:
        """Groups of heads of which any two are within a distance (complete linkage)."""
        from scipy.cluster.hierarchy import fcluster

        if not within >= 0:
            raise UserError(f"a distance is 0 or more, not {within}")
        tree = self.linkage("complete")
        labels = fcluster(tree, within, "distance") if len(tree) else np.ones(1, int)
        groups: dict[int, list[int]] = {}
        for head, label in enumerate(labels):
            groups.setdefault(int(label), []).append(head)
        return list(groups.values())

    def redundant(self, within: float = NEAR_DUPLICATE) -> int:
        """How many heads could go if one were kept of each group of near-duplicates."""
        return len(self.divergence) - len(self.clusters(within))

    def by_layers(self) -> Float64[np.ndarray, "layers layers"]:
        """The mean distance between the heads of two layers, or of one; NaN where there is one head."""
        distance = self.distance.copy()
        np.fill_diagonal(distance, np.nan)
        cells = distance.reshape(self.layers, self.heads, self.layers, self.heads)
        is_known = ~np.isnan(cells)
        count = is_known.sum(axis=(1, 3))
        return np.where(is_known, cells, 0).sum(axis=(1, 3)) / np.where(count > 0, count, np.nan)

    def as_dict(self, within: float = NEAR_DUPLICATE) -> dict[str, Any]:
        """Everything that a table, a dendrogram or another program needs, as JSON holds it."""
        return {
            "kind": self.kind,
            "layers": self.layers,
            "heads": self.heads,
            "sentences": self.sentences,
            "names": [list(name) for name in self.names],
            "distance": self.distance.tolist(),
            "rows": self.rows.tolist(),
            "linkage": self.linkage().tolist(),
            "order": self.order(),
            "near_duplicate": within,
            "clusters": self.clusters(within),
            "by_layers": self.by_layers().tolist(),
        }


def head_similarity(maps: Iterable[AttentionMap]) -> HeadSimilarity:
    """The distances between all heads over a corpus of maps of one kind, each looked at once, then dropped.

    Raises:
        UserError: The maps are of several kinds or sizes, or none has a row to compare.
    """
    distances = HeadDistances()
    for attention_map in maps:
        distances.add(attention_map)
    return distances.result()


class HeadDistances:
    """Sums the divergence between all heads of a corpus, sentence by sentence, in constant memory."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.sentences = 0
        self._kind: Kind | None = None
        self._size = (0, 0)
        self._divergence = np.zeros((0, 0))  # [all_heads, all_heads], summed over rows
        self._rows = np.zeros((0, 0), np.int64)  # [all_heads, all_heads]

    def add(self, attention_map: AttentionMap) -> None:
        """Look at one map.

        Raises:
            UserError: It is of another kind, or has other layers or heads, than those before.
        """
        size = (attention_map.layers, attention_map.heads)
        if self._kind is None:
            self._kind, self._size = attention_map.kind, size
            count = size[0] * size[1]
            self._divergence, self._rows = np.zeros((count, count)), np.zeros((count, count), np.int64)
        self._check_size(attention_map.kind, size)
        has_choice = (key_counts(attention_map) > 1) & are_real(attention_map.query_tokens)  # [queries]
        rows = attention_map.weights.reshape(size[0] * size[1], *attention_map.weights.shape[2:])
        divergence, counts = _summed_divergence(rows[:, has_choice].astype(np.float64))
        self._divergence += divergence
        self._rows += counts
        self.sentences += 1

    def merge(self, other: HeadDistances) -> None:
        """Take in what another has gathered of another part of the corpus.

        Raises:
            UserError: It gathered maps of another kind or size.
        """
        if other._kind is None:
            return
        if self._kind is None:
            self._kind, self._size = other._kind, other._size
            self._divergence, self._rows = np.zeros_like(other._divergence), np.zeros_like(other._rows)
        self._check_size(other._kind, other._size)
        self._divergence += other._divergence
        self._rows += other._rows
        self.sentences += other.sentences

    def result(self) -> HeadSimilarity:
        """The distances over all maps so far.

        Raises:
            UserError: There was no row to compare heads on.
        """
        if self._kind is None or not self._rows.any():
            raise UserError(
                "there is nothing to compare heads on: no attention map has a row with a choice between keys"
            )
        divergence = self._divergence / np.where(self._rows > 0, self._rows, np.nan)
        layers, heads = self._size
        return HeadSimilarity(divergence, self._kind, layers, heads, self.sentences, self._rows.copy())

    def _check_size(self, kind: Kind, size: tuple[int, int]) -> None:
        if (self._kind, self._size) != (kind, size):
            raise UserError(
                f"the maps of a corpus are of one kind and size: the first was {self._kind} "
                f"{list(self._size)} (layers, heads), this one is {kind} {list(size)}"
            )


def _summed_divergence(
    weights: Float64[np.ndarray, "all_heads queries keys"],
) -> tuple[Float64[np.ndarray, "all_heads all_heads"], Int64[np.ndarray, "all_heads all_heads"]]:
    """Σ JSD in bits over the rows that both heads have, and how many these are.

    With H(m) = ln 2 − ½ Σ (p + q) ln (p + q), as p + q sums to 2:

        JSD = 1 + (Σ p ln p + Σ q ln q − Σ (p + q) ln (p + q)) / (2 ln 2)
    """
    sums = weights.sum(axis=-1, keepdims=True)
    rows = weights / np.where(sums > 0, sums, 1)  # [all_heads, queries, keys]
    has_weights = sums[..., 0] > 0  # [all_heads, queries]
    negentropy = _sum_of_logs(rows)  # [all_heads, queries]
    result = np.zeros((len(rows), len(rows)))
    for head in range(len(rows) - 1):
        others = slice(head + 1, None)
        both: Bool[np.ndarray, "others queries"] = has_weights[head] & has_weights[others]
        mixed = _sum_of_logs(rows[head] + rows[others])  # [others, queries], of p + q = 2 m
        divergence = 1 + (negentropy[head] + negentropy[others] - mixed) / (2 * np.log(2))
        result[head, others] = result[others, head] = (divergence.clip(0, 1) * both).sum(axis=-1)
    counts = has_weights.astype(np.int64)
    return result, counts @ counts.T


def _sum_of_logs(
    rows: Float64[np.ndarray, "some_heads queries keys"],
) -> Float64[np.ndarray, "some_heads queries"]:
    """Σ x ln x of every row, 0 ln 0 being 0."""
    return np.einsum("hqk,hqk->hq", rows, np.log(np.maximum(rows, _TINY)))
