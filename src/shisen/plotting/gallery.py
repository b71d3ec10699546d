"""The heads of a model side by side: what each looks at, its pattern, and which heads are alike."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from shisen.errors import UserError
from shisen.inspection.attention_map import AttentionMap
from shisen.inspection.head_patterns import PatternScores
from shisen.inspection.head_similarity import HeadSimilarity
from shisen.inspection.pattern_names import HEAD_WORDS, PATTERN_NAMES
from shisen.plotting.style import CATEGORICAL, FAINT, SEQUENTIAL, Figure, style
from shisen.plotting.text import Ruler, families_for, visible, without_missing

CELL = 9.0  # points
LABEL = 7.0  # points, of tokens
TITLE = 7.5
GAP, HEADING = 14.0, 26.0  # points, between panels, and above each for its name
WIDEST_LABEL = 60.0
MOST_HEADS = 400


def plot_gallery(attention_map: AttentionMap, patterns: PatternScores, *, language: str = "en") -> Figure:
    """Draw every head on one sentence: a row for each layer, a column for each head.

    Above each panel stand its layer and head, the pattern and its confidence (`PatternScores.confidence`).
    Colours are scaled to the largest weight of each panel.

    Args:
        attention_map: Of one sentence, with all layers and heads.
        patterns: Of the same heads, over a corpus.
        language: Of the names: ``en`` or ``ja``.

    Raises:
        UserError: Map and patterns are of different heads, there are too many, or there is no such language.
    """
    words = _words(language)
    layers, heads = attention_map.layers, attention_map.heads
    if patterns.scores.shape[:2] != (layers, heads):
        raise UserError(
            f"the map has {layers} x {heads} heads, the patterns are of "
            f"{' x '.join(map(str, patterns.scores.shape[:2]))}"
        )
    if layers * heads > MOST_HEADS:
        raise UserError(f"a gallery holds {MOST_HEADS} heads at most, not {layers * heads}")
    queries, keys = [
        list(map(visible, side)) for side in (attention_map.query_tokens, attention_map.key_tokens)
    ]
    families, missing = families_for([*queries, *keys, *words.values(), *PATTERN_NAMES[language].values()])
    ruler = Ruler(families)
    labels = [
        [ruler.shorten(without_missing(token, missing), LABEL, WIDEST_LABEL) for token in side]
        for side in (queries, keys)
    ]
    left, below = (max(ruler.width(text, LABEL) for text in side) + 8 for side in labels)
    cell = max(CELL, 70.0 / max(1, len(keys)))
    width, height = cell * len(keys), cell * len(queries)
    titles = [
        [_title(patterns, layer, head, words, language) for head in range(heads)] for layer in range(layers)
    ]
    widest = max(ruler.width(line, TITLE) for row in titles for title in row for line in title)
    pitch = max(width, widest) + GAP  # a title may be wider than its panel
    whole = left + heads * pitch, below + layers * (height + HEADING + 4)
    with style(families):
        figure = Figure(figsize=(whole[0] / 72, whole[1] / 72))
        for layer in range(layers):
            for head in range(heads):
                x = left + head * pitch
                y = whole[1] - (layer + 1) * (height + HEADING + 4) + 4
                place = (x / whole[0], y / whole[1], width / whole[0], height / whole[1])
                axes = figure.add_axes(place)
                _draw_head(axes, attention_map.weights[layer, head])
                axes.set_title("\n".join(titles[layer][head]), fontsize=TITLE, loc="left", pad=3)
                if head == 0:
                    axes.set_yticks(range(len(queries)), labels[0], fontsize=LABEL)
                if layer == layers - 1:
                    axes.set_xticks(range(len(keys)), labels[1], fontsize=LABEL, rotation=90)
    return figure


def plot_similarity(similarity: HeadSimilarity, *, language: str = "en") -> Figure:
    """Draw the tree of the heads and, below it in the same order, the distance between any two.

    Args:
        similarity: What `head_similarity` returned.
        language: Of the names: ``en`` or ``ja``.

    Raises:
        UserError: There is one head alone, or no such language.
    """
    from scipy.cluster.hierarchy import dendrogram

    words = _words(language)
    count = len(similarity.divergence)
    if count < 2:
        raise UserError("there is one head: it has no distance to another")
    tree = similarity.linkage()
    families, _ = families_for(words.values())
    side = max(2.6, min(0.24 * count, 24.0))  # inches
    with style(families):
        figure = Figure(figsize=(side + 1.7, side + 1.9))
        total = figure.get_size_inches()
        top = figure.add_axes((0.75 / total[0], (side + 0.7) / total[1], side / total[0], 0.85 / total[1]))
        drawn = dendrogram(
            tree, ax=top, no_labels=True, color_threshold=0, above_threshold_color=CATEGORICAL[0]
        )
        order = drawn["leaves"]
        top.set_ylabel(words["distance"], fontsize=TITLE)
        for edge in ("top", "right", "bottom"):
            top.spines[edge].set_visible(False)
        axes = figure.add_axes((0.75 / total[0], 0.6 / total[1], side / total[0], side / total[1]))
        shown = similarity.distance[np.ix_(order, order)]
        image = axes.imshow(shown, cmap=SEQUENTIAL.reversed(), vmin=0, vmax=max(0.1, float(np.nanmax(shown))))
        names = [f"{layer}.{head}" for layer, head in (similarity.names[place] for place in order)]
        size = min(LABEL, 72 * side / count)
        axes.set_xticks(range(count), names, fontsize=size, rotation=90)
        axes.set_yticks(range(count), names, fontsize=size)
        axes.tick_params(length=0)
        axes.set_xlabel(words["layer.head"], fontsize=TITLE)
        bar_place = ((side + 0.9) / total[0], 0.6 / total[1], 0.12 / total[0], side / total[1])
        bar = figure.colorbar(image, cax=figure.add_axes(bar_place))
        bar.ax.tick_params(labelsize=LABEL)
        bar.set_label(words["distance"], fontsize=TITLE)
    return figure


def _words(language: str) -> dict[str, str]:
    if language not in HEAD_WORDS:
        raise UserError(f"the language is one of {', '.join(HEAD_WORDS)}, not {language!r}")
    return HEAD_WORDS[language]


def _title(
    patterns: PatternScores, layer: int, head: int, words: dict[str, str], language: str
) -> tuple[str, str]:
    """The lines above a panel."""
    name = PATTERN_NAMES[language][patterns.names[layer][head]]
    place = words["head"].format(layer=layer, head=head)
    return place, f"{name} {patterns.confidence[layer, head]:.2f}"


def _draw_head(axes: Axes, weights: np.ndarray) -> None:
    """One panel, without labels."""
    end = max(float(weights.max(initial=0)), 1e-6)
    axes.imshow(weights, cmap=SEQUENTIAL, vmin=0, vmax=end, aspect="auto", interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.tick_params(length=0, pad=2)
    for spine in axes.spines.values():
        spine.set_color(FAINT)
