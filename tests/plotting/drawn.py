"""Maps to draw, and what can be read off a figure."""

import numpy as np
from matplotlib.text import Text

from shisen import AttentionMap

ENGLISH = ["I", "love", "deep", "learning", "</s>"]
JAPANESE = ["私", "は", "深層", "学習", "が", "好き", "です", "</s>"]


def make_map(query_tokens=JAPANESE, key_tokens=ENGLISH, layers=1, heads=1, seed=0):
    weights = np.random.default_rng(seed).dirichlet(
        np.full(len(key_tokens), 0.3), (layers, heads, len(query_tokens))
    )
    return AttentionMap.from_arrays(weights, query_tokens, key_tokens)


def texts_of(figure):
    """Every text that the figure draws."""
    figure.draw_without_rendering()
    return [text.get_text() for text in figure.findobj(Text) if text.get_visible() and text.get_text()]


def overflow(figure):
    """How far, in inches, anything that is drawn reaches beyond the figure's edge."""
    drawn = figure.get_tightbbox(figure.canvas.get_renderer())
    width, height = figure.get_size_inches()
    return max(0, -drawn.x0, -drawn.y0, drawn.x1 - width, drawn.y1 - height)
