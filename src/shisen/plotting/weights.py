"""What every picture of weights shares: labels ready to draw, the names of the axes, the end of the scale."""

from collections.abc import Mapping, Sequence

import numpy as np

from shisen.errors import UserError
from shisen.inspection.attention_map import AttentionMap
from shisen.plotting.layout import WIDEST_LABEL
from shisen.plotting.text import Ruler, visible, without_missing

#: What queries and keys of each kind of map, and their weights, are called, by language.
AXIS_NAMES: dict[str, dict[str, tuple[str, str]]] = {
    "en": {"cross": ("target", "source"), "encoder": ("query", "key"), "decoder": ("query", "key")},
    "ja": {"cross": ("訳文", "原文"), "encoder": ("クエリ", "キー"), "decoder": ("クエリ", "キー")},
}
WEIGHT_NAMES = {"en": "attention weight", "ja": "注意の重み"}
#: A smaller weight would be written 0.00, which says less than the empty place.
SMALLEST_NUMBER = 0.005
STEP_NAMES = {"en": "step", "ja": "ステップ"}
#: What a part of a map is called, by language, for titles.
PART_NAMES: dict[str, dict[str, str]] = {
    "en": {
        "layer": "layer {}",
        "head": "head {}",
        "layers": "mean of {} layers",
        "heads": "mean of {} heads",
    },
    "ja": {"layer": "層 {}", "head": "ヘッド {}", "layers": "{} 層の平均", "heads": "{} ヘッドの平均"},
}
#: What a kind of attention is called, by language, for titles.
KIND_NAMES: dict[str, dict[str, str]] = {
    "en": {"cross": "cross", "encoder": "encoder", "decoder": "decoder"},
    "ja": {"cross": "交差", "encoder": "エンコーダ", "decoder": "デコーダ"},
}


def axis_names(kind: str, language: str) -> tuple[str, str]:
    """What queries and keys are called in a language."""
    if language not in AXIS_NAMES:
        raise UserError(f"the language of a figure is one of {', '.join(AXIS_NAMES)}, not {language!r}")
    return AXIS_NAMES[language][kind]


def matrix_of(attention_map: AttentionMap) -> np.ndarray:
    """The weights to draw, ``[queries, keys]``: of several layers or heads, their mean."""
    if 0 in attention_map.weights.shape:
        raise UserError("there is nothing to draw: one side of the attention map has no tokens")
    return attention_map.matrix()


def scale_end(matrices: Sequence[np.ndarray], maximum: float | None, least: float) -> float:
    """The weight at the end of the scale: as given, or the largest drawn, rounded up to a twentieth.

    It is not below ``least``: weights spread evenly over a sentence are small and should look it.
    """
    if maximum is not None:
        if not (np.isfinite(maximum) and maximum > 0):
            raise UserError(f"the scale of weights ends at a positive number, not at {maximum}")
        return float(maximum)
    largest = max(float(matrix.max()) for matrix in matrices)
    return max(least, float(np.ceil(np.round(largest * 20, 3)) / 20))


def all_texts(maps: Mapping[str, AttentionMap]) -> list[str]:
    """Every text that a picture of these maps may show, to choose fonts by."""
    texts = [text for names in AXIS_NAMES.values() for pair in names.values() for text in pair]
    texts += [*WEIGHT_NAMES.values(), *STEP_NAMES.values(), "…␣0123456789.,:"]
    for title, attention_map in maps.items():
        texts += [title, *map(visible, attention_map.query_tokens), *map(visible, attention_map.key_tokens)]
    return texts


def labels_of(
    tokens: Sequence[str], missing: frozenset[str], ruler: Ruler, size: float, widest: float = WIDEST_LABEL
) -> tuple[str, ...]:
    """Tokens as labels: visible, in glyphs that exist, and not too wide."""
    return tuple(ruler.shorten(without_missing(visible(token), missing), size, widest) for token in tokens)
