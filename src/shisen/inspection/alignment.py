"""Which word translates which, by attention: hard alignments from weights ``[target words, source words]``.

    argmax       each target word with the source word that it looks at most; or the other way round
    threshold    every pair with at least so much weight
    matching     the one-to-one alignment with the largest sum of weights

Links are (source word, target word), counted from 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from shisen.errors import UserError
from shisen.inspection.attention_map import AttentionMap

Links = frozenset[tuple[int, int]]


def argmax_alignment(weights: Float[np.ndarray, "target_words source_words"], minimum: float = 0.0) -> Links:
    """Each target word with the source word it looked at most.

    A word whose largest weight is zero, or below ``minimum``, stays unaligned. Of equal weights the first
    wins.
    """
    if 0 in weights.shape:
        return frozenset()
    best = weights.argmax(axis=1)
    heights = weights[np.arange(len(weights)), best]
    return frozenset(
        (int(source), target)
        for target, (source, height) in enumerate(zip(best, heights, strict=True))
        if height > 0 and height >= minimum
    )


def source_argmax_alignment(
    weights: Float[np.ndarray, "target_words source_words"], minimum: float = 0.0
) -> Links:
    """Each source word with the target word that looked at it most; otherwise as `argmax_alignment`."""
    return flipped(argmax_alignment(weights.T, minimum))


def threshold_alignment(weights: Float[np.ndarray, "target_words source_words"], threshold: float) -> Links:
    """Every pair whose weight is ``threshold`` or more: a target word may have several links, or none."""
    check_threshold(threshold)
    return frozenset((int(source), int(target)) for target, source in np.argwhere(weights >= threshold))


def matching_alignment(
    weights: Float[np.ndarray, "target_words source_words"], minimum: float = 0.0
) -> Links:
    """The one-to-one alignment with the largest sum of weights: a maximum matching of the two sentences.

    Of the longer sentence some words stay unaligned, and so does a pair whose weight is zero or below
    ``minimum``. Found by `scipy.optimize.linear_sum_assignment`, in cubic time.
    """
    if 0 in weights.shape:
        return frozenset()
    from scipy.optimize import linear_sum_assignment

    targets, sources = linear_sum_assignment(weights, maximize=True)
    heights = weights[targets, sources]
    is_link = (heights > 0) & (heights >= minimum)
    return frozenset(zip(sources[is_link].tolist(), targets[is_link].tolist(), strict=True))


def check_threshold(threshold: float) -> None:
    """Refuse a threshold that would link every pair of words, or none."""
    if not 0 < threshold <= 1:
        raise UserError(f"the threshold of an alignment lies above 0 and at most at 1; this is {threshold}")


def flipped(links: Iterable[tuple[int, int]]) -> Links:
    """The links seen from the other language: of a model that translates back, (target, source)."""
    return frozenset((second, first) for first, second in links)


def format_pharaoh(links: Iterable[tuple[int, int]]) -> str:
    """The line of a Pharaoh file, ``0-0 1-2``: source-target, counted from 0, ordered by source word."""
    return " ".join(f"{source}-{target}" for source, target in sorted(links))


def after_reading(attention_map: AttentionMap) -> AttentionMap:
    """The map whose row of a token is the step that *read* it, not the one that produced it.

    With forced decoding the step that produces y_{t+1} is the first whose decoder state knows y_t, so its row
    aligns y_t better (Chen et al. 2020, "Accurate Word Alignment Induction from Neural Machine Translation",
    SHIFT-ATT). The last token of the map, usually ``</s>``, is never read: its row is zero.

    A Transformer and a decoder in Luong's manner read y_t at that step. In Bahdanau's manner the weights are
    computed from the state *before* y_t is read, and the shifted row is about the word after.
    """
    weights = np.zeros_like(attention_map.weights)
    weights[:, :, :-1] = attention_map.weights[:, :, 1:]
    return dataclasses.replace(
        attention_map, weights=weights, metadata={**attention_map.metadata, "decoder_state": "current"}
    )
