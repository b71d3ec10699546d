"""The figures of a report, each as an address that holds the picture itself (a ``data:`` URI)."""

from __future__ import annotations

import base64
import io
import warnings
from typing import TYPE_CHECKING

from shisen.inspection.statistics import measure_map
from shisen.inspection.statistics_settings import StatisticsSettings

if TYPE_CHECKING:
    from shisen.inspection.attention_map import AttentionMap
    from shisen.inspection.report.contents import Verdict
    from shisen.plotting.style import Figure


def heatmap(attention_map: AttentionMap, language: str) -> str:
    """The mean over layers and heads."""
    from shisen.plotting.heatmap import plot_heatmap

    return embedded(plot_heatmap(attention_map.mean_layers().mean_heads(), language=language))


def panels(attention_map: AttentionMap, settings: StatisticsSettings, language: str) -> str:
    """The statistics along the target."""
    from shisen.plotting.statistics import plot_statistics

    return embedded(plot_statistics(measure_map(attention_map, settings), language=language))


def verdict(faithfulness: Verdict, language: str) -> str:
    """The tests of an explanation."""
    return embedded(faithfulness.plot(language))


def embedded(figure: Figure) -> str:
    """A figure as a ``data:`` URI of an SVG, letters as outlines: no file, no font, no network is needed."""
    picture = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a glyph that no font has: a box is drawn
        figure.savefig(picture, format="svg")
    return "data:image/svg+xml;base64," + base64.b64encode(picture.getvalue()).decode()
