"""Attention patterns as pictures: which query may attend to which key."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.ticker import MaxNLocator

from shisen.errors import UserError
from shisen.plotting.style import CATEGORICAL, FAINT, Figure, style
from shisen.plotting.text import families_for

if TYPE_CHECKING:
    from shisen.attention.patterns import Pattern

SIDE = 1.7  # inches, of one panel
LEFT, TOP, BETWEEN, BELOW = 0.55, 0.5, 0.4, 0.35  # inches, of margins
MOST_COLUMNS = 4
MOST_LINES = 40  # positions up to which the cells are drawn apart
AXIS_NAMES = {"en": ("query", "key", "{:.1%} allowed"), "ja": ("クエリ", "キー", "許可 {:.1%}")}


def plot_pattern(pattern: Pattern, length: int = 64, *, language: str = "en") -> Figure:
    """Draw one pattern; see `plot_patterns`."""
    return plot_patterns([pattern], length, language=language)


def plot_patterns(
    patterns: Mapping[str, Pattern] | Sequence[Pattern],
    length: int = 64,
    *,
    columns: int | None = None,
    language: str = "en",
) -> Figure:
    """Draw patterns side by side: queries down, keys across, what may be attended to dark.

    Args:
        patterns: By the title that stands above each, or a sequence, whose titles are how they were made.
        length: Positions of queries and of keys.
        columns: How many stand side by side. None: up to four.
        language: Of the names: ``en`` or ``ja``.

    Raises:
        UserError: There is nothing to draw, or no such language.
    """
    if not isinstance(patterns, Mapping):
        patterns = {repr(pattern): pattern for pattern in patterns}
    if not patterns or length < 1:
        raise UserError("there is nothing to draw: no patterns, or no positions")
    if language not in AXIS_NAMES:
        raise UserError(f"the language is one of {', '.join(AXIS_NAMES)}, not {language!r}")
    query_name, key_name, share = AXIS_NAMES[language]
    columns = min(columns or MOST_COLUMNS, len(patterns))
    rows = math.ceil(len(patterns) / columns)
    width = LEFT + columns * (SIDE + BETWEEN)
    height = rows * (TOP + SIDE + BELOW)
    families, _ = families_for([*patterns, query_name, key_name, share])
    colours = ListedColormap(["white", CATEGORICAL[0]])
    with style(families):
        figure = Figure(figsize=(width, height))
        for number, (title, pattern) in enumerate(patterns.items()):
            row, column = divmod(number, columns)
            left = LEFT + column * (SIDE + BETWEEN)
            bottom = height - row * (TOP + SIDE + BELOW) - TOP - SIDE
            axes = figure.add_axes((left / width, bottom / height, SIDE / width, SIDE / height))
            mask = pattern.mask(length).numpy()
            axes.imshow(mask, cmap=colours, vmin=0, vmax=1, interpolation="nearest", aspect="equal")
            axes.set_title(title, pad=16)
            axes.xaxis.tick_top()
            axes.tick_params(length=2, pad=1)
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(MaxNLocator(4, integer=True))
            if length <= MOST_LINES:
                edges = np.arange(length + 1) - 0.5
                axes.vlines(edges, -0.5, length - 0.5, color=FAINT, linewidth=0.4)
                axes.hlines(edges, -0.5, length - 0.5, color=FAINT, linewidth=0.4)
            axes.set_xlabel(f"{key_name} · {share.format(pattern.density(length))}", labelpad=3)
            if column == 0:
                axes.set_ylabel(query_name)
    return figure
