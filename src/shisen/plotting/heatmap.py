"""The annotated heatmap: source along the top, target down the side, weights as colours and as numbers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator

from shisen.errors import UserError
from shisen.inspection.attention_map import AttentionMap
from shisen.plotting.layout import GAP, LINE, PAD, Layout, Panel
from shisen.plotting.style import FAINT, SEQUENTIAL, Figure, style, text_color_on
from shisen.plotting.text import Ruler, families_for, without_missing
from shisen.plotting.weights import (
    PART_NAMES,
    SMALLEST_NUMBER,
    WEIGHT_NAMES,
    all_texts,
    axis_names,
    labels_of,
    matrix_of,
    scale_end,
)

WIDEST_FIGURE = 1300.0  # points; panels that would be wider together go below each other
LARGEST_PANEL = 2400.0  # points; beyond, cells shrink and not every label is written
MOST_VECTOR_CELLS = 2500  # more cells than this are an image, so that an SVG stays small
LEAST_SCALE = 0.5  # where the colours end at least: evenly spread attention stays pale
COLOR_BAR_WIDTH = 9.0
COLOR_BAR_ROOM = 62.0  # with its gap, its numbers and its name


@dataclass(frozen=True)
class _Sizes:
    """How large a cell is, and the fonts of labels and numbers, in points."""

    cell: float
    label: float
    number: float | None


#: By the number of tokens up to which they serve.
_SIZES_OF_ONE = ((14, _Sizes(28.0, 9.5, 7.5)), (32, _Sizes(21.0, 9.0, 6.5)), (60, _Sizes(14.0, 8.5, None)))
_SIZES_OF_MANY = ((14, _Sizes(22.0, 8.5, 6.5)), (30, _Sizes(14.0, 8.0, None)), (60, _Sizes(10.5, 7.5, None)))
_SMALLEST_SIZES = _Sizes(10.0, 7.5, None)


def plot_heatmap(
    attention_map: AttentionMap,
    *,
    title: str = "",
    language: str = "en",
    numbers: bool | None = None,
    maximum: float | None = None,
) -> Figure:
    """Draw a map: one heatmap, or a grid with a row for every layer and a column for every head.

    Args:
        attention_map: The weights and their tokens.
        title: What stands above; a grid names its layers and heads instead.
        language: Of the names of axes, layers and heads: ``en`` or ``ja``.
        numbers: Whether cells hold their weights as numbers. None: where they fit.
        maximum: The weight at the end of the colour scale. None: the largest, rounded up,
            and not below 0.5.
    """
    layers, heads = attention_map.layers, attention_map.heads
    if layers == heads == 1:
        return _draw({title: attention_map}, 1, language, numbers, maximum)
    axis_names(attention_map.kind, language)  # refuses a language that there is not
    layer_name, head_name = PART_NAMES[language]["layer"], PART_NAMES[language]["head"]
    parts = {}
    for layer in range(layers):
        for head in range(heads):
            names = [layer_name.format(layer)] * (layers > 1) + [head_name.format(head)] * (heads > 1)
            parts[", ".join(names)] = attention_map.layer(layer).head(head)
    columns = heads if min(layers, heads) > 1 else min(4, len(parts))
    return _draw(parts, columns, language, numbers, maximum)


def plot_comparison(
    maps: Mapping[str, AttentionMap],
    *,
    language: str = "en",
    numbers: bool | None = None,
    maximum: float | None = None,
) -> Figure:
    """Draw several maps, such as those of different mechanisms for one sentence, on one colour scale.

    They stand side by side, or below each other where that would be too wide. A map of several layers or
    heads is drawn as their mean, and its title says so.

    Args:
        maps: The maps by the title that stands above each.
        language: Of the names of axes, layers and heads: ``en`` or ``ja``.
        numbers: Whether cells hold their weights as numbers. None: where they fit.
        maximum: The weight at the end of the colour scale. None: the largest of all,
            rounded up, and not below 0.5.
    """
    if not maps:
        raise UserError("there is nothing to compare: no attention maps were given")
    axis_names(next(iter(maps.values())).kind, language)  # refuses a language that there is not
    mean = PART_NAMES[language]["heads"]
    titled = {
        title if m.layers == m.heads == 1 else f"{title} ({mean.format(m.layers * m.heads)})": m
        for title, m in maps.items()
    }
    return _draw(titled, None, language, numbers, maximum)


def _draw(
    maps: Mapping[str, AttentionMap],
    columns: int | None,
    language: str,
    numbers: bool | None,
    maximum: float | None,
) -> Figure:
    """One figure of one heatmap or more; ``columns`` None: as many side by side as fit."""
    names = axis_names(next(iter(maps.values())).kind, language)
    matrices = [matrix_of(attention_map) for attention_map in maps.values()]
    end = scale_end(matrices, maximum, least=LEAST_SCALE)
    families, missing = families_for(all_texts(maps))
    ruler = Ruler(families)
    sizes = _sizes_for(max(max(matrix.shape) for matrix in matrices), len(maps), numbers)
    panels = []
    for title, attention_map in maps.items():
        rows = labels_of(attention_map.query_tokens, missing, ruler, sizes.label)
        keys = labels_of(attention_map.key_tokens, missing, ruler, sizes.label)
        title = without_missing(title, missing)
        panels.append(Panel(sizes.cell * len(keys), sizes.cell * len(rows), rows, keys, title))
    if columns is None:
        columns = max(1, min(len(panels), int(WIDEST_FIGURE // max(panel.width for panel in panels))))
    with style(families):
        layout = Layout(panels, columns, ruler, sizes.label, names, right=COLOR_BAR_ROOM)
        bar_height = min(max(panels[0].height, 90.0), 260.0)
        figure = layout.figure(least_height=layout.places[0].top + bar_height + 2 * PAD)
        for number, (panel, matrix) in enumerate(zip(panels, matrices, strict=True)):
            place = layout.places[number]
            axes = layout.axes(figure, place.left, place.top, panel.width, panel.height)
            _draw_cells(axes, matrix, end, sizes.cell)
            if sizes.number is not None:
                _draw_numbers(axes, matrix, end, sizes.number, None if numbers else sizes.cell, ruler)
            _draw_labels(axes, layout, number, sizes.cell)
            layout.draw_names(axes, number)
        _draw_color_bar(figure, layout, end, bar_height, WEIGHT_NAMES[language])
    return figure


def _sizes_for(longest: int, panels: int, numbers: bool | None) -> _Sizes:
    """Cells as large as the longest side allows: with numbers, or small but with labels still legible."""
    steps = _SIZES_OF_MANY if panels > 1 else _SIZES_OF_ONE
    sizes = next((sizes for most, sizes in steps if longest <= most), _SMALLEST_SIZES)
    if numbers:
        sizes = replace(sizes, cell=max(sizes.cell, 21.0), number=sizes.number or 6.5)
    elif numbers is False:
        sizes = replace(sizes, number=None)
    return replace(sizes, cell=min(sizes.cell, LARGEST_PANEL / longest))


def _draw_cells(axes: Axes, matrix: np.ndarray, end: float, cell: float) -> None:
    """The coloured cells, with row 0 on top, and faint lines between them."""
    queries, keys = matrix.shape
    if matrix.size <= MOST_VECTOR_CELLS:
        x, y = np.arange(keys + 1) - 0.5, np.arange(queries + 1) - 0.5
        axes.pcolormesh(x, y, matrix, cmap=SEQUENTIAL, vmin=0, vmax=end, antialiased=False, linewidth=0)
        axes.set_xlim(-0.5, keys - 0.5)
        axes.set_ylim(queries - 0.5, -0.5)
    else:
        axes.imshow(matrix, cmap=SEQUENTIAL, vmin=0, vmax=end, aspect="auto", interpolation="nearest")
    if cell >= 8:
        axes.vlines(np.arange(keys - 1) + 0.5, -0.5, queries - 0.5, color=FAINT, linewidth=0.4)
        axes.hlines(np.arange(queries - 1) + 0.5, -0.5, keys - 0.5, color=FAINT, linewidth=0.4)


def _draw_numbers(
    axes: Axes, matrix: np.ndarray, end: float, size: float, widest: float | None, ruler: Ruler
) -> None:
    """The weights as numbers; none at all if one is wider than a cell, since a gap would read as a zero."""
    cells = [(q, k) for q, k in np.argwhere(matrix >= SMALLEST_NUMBER)]
    texts = [f"{matrix[q, k]:.2f}" if end < 100 else f"{matrix[q, k]:.2g}" for q, k in cells]
    if widest is not None and max((ruler.width(text, size) for text in texts), default=0) > widest - 2:
        return
    for (query, key), text in zip(cells, texts, strict=True):
        color = text_color_on(SEQUENTIAL(float(matrix[query, key] / end)))
        axes.text(key, query, text, color=color, fontsize=size, ha="center", va="center_baseline")


def _draw_labels(axes: Axes, layout: Layout, number: int, cell: float) -> None:
    """The tokens along both sides; every second, third … where cells are lower than a line of text."""
    panel, place = layout.panels[number], layout.places[number]
    every = max(1, math.ceil(layout.label_size * (LINE - 0.1) / cell))
    axes.tick_params(length=0 if every == 1 else 2, pad=PAD - 1, labelsize=layout.label_size)
    axes.xaxis.tick_top()
    shown = {"x": place.shows_columns, "y": place.shows_rows}
    for axis, labels in (("x", panel.column_labels), ("y", panel.row_labels)):
        ticks = range(0, len(labels), every) if shown[axis] else ()
        getattr(axes, f"set_{axis}ticks")(ticks, [labels[i] for i in ticks])
    slanted = {"ha": "left", "va": "baseline"} if layout.rotation == 45 else {"ha": "center", "va": "bottom"}
    if layout.rotation == 90:
        slanted = {"ha": "left", "va": "center"}
    for label in axes.get_xticklabels():
        label.set(rotation=layout.rotation, rotation_mode="anchor", **slanted)


def _draw_color_bar(figure: Figure, layout: Layout, end: float, height: float, name: str) -> None:
    """The scale, to the right of the first row of panels."""
    axes = layout.axes(figure, layout.right_edge + GAP, layout.places[0].top, COLOR_BAR_WIDTH, height)
    scale = ScalarMappable(Normalize(0, end), SEQUENTIAL)
    bar = figure.colorbar(scale, cax=axes, ticks=MaxNLocator(5))
    bar.outline.set_linewidth(0.5)  # type: ignore[operator]
    axes.tick_params(length=2, labelsize=8)
    axes.set_ylabel(name, labelpad=5)
