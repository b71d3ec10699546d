"""Bars of one step: how the weights of a single query lie over the keys."""

from collections.abc import Mapping

import numpy as np
from matplotlib.ticker import FormatStrFormatter, MaxNLocator

from shisen.errors import UserError
from shisen.inspection.attention_map import AttentionMap
from shisen.plotting.layout import LINE, PAD, Layout, Panel
from shisen.plotting.style import CATEGORICAL, FAINT, Figure, style
from shisen.plotting.text import Ruler, families_for, visible, without_missing
from shisen.plotting.weights import (
    SMALLEST_NUMBER,
    STEP_NAMES,
    WEIGHT_NAMES,
    all_texts,
    axis_names,
    labels_of,
    matrix_of,
    scale_end,
)

WIDTH = 170.0  # points, of the longest bar and its number
LABEL_SIZE = 9.0
NUMBER_SIZE = 7.5
ROW = LABEL_SIZE * LINE + 4
FOOTER = 40.0
LEAST_SCALE = 0.05  # where the axis ends at least, even for weights that are all zero


def plot_bars(
    maps: AttentionMap | Mapping[str, AttentionMap],
    query: int,
    *,
    language: str = "en",
    maximum: float | None = None,
) -> Figure:
    """Draw the weights of one query, a bar for each key; several maps stand side by side on one scale.

    Args:
        maps: One map, or several by the title that stands above each. Of several layers or heads, the mean.
        query: The row of the map, counted from 0, or from the end with negative numbers.
        language: Of the names of the axes: ``en`` or ``ja``.
        maximum: The weight at the end of the scale. None: the largest of all, rounded up.
    """
    maps = {"": maps} if isinstance(maps, AttentionMap) else maps
    if not maps:
        raise UserError("there is nothing to draw: no attention maps were given")
    keys_name = axis_names(next(iter(maps.values())).kind, language)[1]
    steps = {title: _step_of(attention_map, query) for title, attention_map in maps.items()}
    rows = {title: matrix_of(maps[title])[step] for title, step in steps.items()}  # each [keys]
    end = scale_end(list(rows.values()), maximum, least=LEAST_SCALE)
    families, missing = families_for(all_texts(maps))
    ruler = Ruler(families)
    panels = []
    for title, attention_map in maps.items():
        labels = labels_of(attention_map.key_tokens, missing, ruler, LABEL_SIZE)
        token = visible(attention_map.query_tokens[steps[title]])
        heading = f"{STEP_NAMES[language]} {steps[title]}: {token}"
        heading = without_missing(f"{title}, {heading}" if title else heading, missing)
        panels.append(Panel(WIDTH, ROW * len(labels), labels, title=heading))
    with style(families):
        layout = Layout(panels, min(4, len(panels)), ruler, LABEL_SIZE, (keys_name, ""), footer=FOOTER)
        figure = layout.figure()
        for number, (panel, weights) in enumerate(zip(panels, rows.values(), strict=True)):
            place = layout.places[number]
            axes = layout.axes(figure, place.left, place.top, panel.width, panel.height)
            positions = np.arange(len(weights))
            axes.barh(positions, weights, height=0.72, color=CATEGORICAL[0])
            for position in np.flatnonzero(weights >= SMALLEST_NUMBER):
                weight = weights[position]
                axes.annotate(
                    f"{weight:.2f}", (weight, position), (3, 0), textcoords="offset points",
                    va="center_baseline", fontsize=NUMBER_SIZE,
                )  # fmt: skip
            axes.set_xlim(0, end * 1.14)  # room for the number of the longest bar
            axes.set_ylim(len(weights) - 0.5, -0.5)
            axes.set_yticks(positions, panel.row_labels if place.shows_rows else [""] * len(weights))
            axes.tick_params(axis="y", length=0, pad=PAD, labelsize=LABEL_SIZE)
            axes.tick_params(axis="x", length=2, labelsize=8)
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
            axes.grid(axis="x", color=FAINT)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_xlabel(WEIGHT_NAMES[language])
            layout.draw_names(axes, number)
    return figure


def _step_of(attention_map: AttentionMap, query: int) -> int:
    size = len(attention_map.query_tokens)
    if not -size <= query < size:
        raise UserError(
            f"there is no step {query}: the map has {size} produced tokens"
            + (f", counted from 0 to {size - 1}" if size else "")
        )
    return query % size
