"""The statistics of a map as panels along the target: a point for every token, what is remarkable marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from shisen.errors import UserError
from shisen.inspection.statistics_settings import MEASURES, StatisticsSettings, check_measures
from shisen.inspection.summary import QUANTILES, summarize
from shisen.plotting.layout import WIDEST_LABEL
from shisen.plotting.style import CATEGORICAL, INK, Figure, style
from shisen.plotting.text import Ruler, families_for
from shisen.plotting.weights import PART_NAMES, all_texts, axis_names, labels_of

if TYPE_CHECKING:
    from shisen.inspection.statistics import AttentionStatistics

PANELS = ("entropy", "max_weight", "effective_positions")
#: What measures are called, by language.
MEASURE_NAMES: dict[str, dict[str, str]] = {
    "en": {name: name.replace("_", " ") for name in MEASURES}
    | {"max_weight": "maximum weight", "gini": "Gini"},
    "ja": {
        "entropy": "エントロピー",
        "perplexity": "パープレキシティ",
        "max_weight": "最大の重み",
        "effective_positions": "有効な位置の数",
        "gini": "ジニ係数",
        "distance": "平均距離",
        "diagonal_mass": "対角線上の重み",
        "punctuation_mass": "句読点への重み",
        "end_mass": "文末記号への重み",
        "first_mass": "先頭への重み",
    },
}
_WORDS: dict[str, dict[str, str]] = {
    "en": {
        "unit": " ({})",
        "nats": "nats",
        "bits": "bits",
        "normalized": "share of the maximum",
        "uniform": "equal weights",
        "threshold": "threshold {:g}",
        "mean": "mean of {} heads; band: 5 % to 95 % of them",
    },
    "ja": {
        "unit": "（{}）",
        "nats": "ナット",
        "bits": "ビット",
        "normalized": "最大値に対する割合",
        "uniform": "一様な重み",
        "threshold": "しきい値 {:g}",
        "mean": "{} ヘッドの平均（帯：5〜95 % 点）",
    },
}
_LABEL_SIZE = 8.5
_COLUMN, _NARROWEST, _WIDEST = 0.42, 4.8, 16.0  # inches, of a token and of the panels
_PANEL = 1.45  # inches
_HANDLE = 44.0  # points, of what stands before a name of the legend, and the gap after it
_MARKERS = "osD^vPX"


def plot_statistics(
    statistics: AttentionStatistics,
    *,
    measures: Sequence[str] = PANELS,
    thresholds: Mapping[str, float] | None = None,
    language: str = "en",
    title: str = "",
) -> Figure:
    """Draw measures along the target, a panel for each: a line for every head, or their mean with a band.

    There is a line for each of up to seven heads. Of more the mean is drawn, and a band from the 5 % to the
    95 % quantile of the heads. Rows that were excluded are gaps. A dotted line is what equal weights would
    have; a dashed one is a threshold: what a weight must exceed to be counted, in the panel of maximum
    weights, and what `thresholds` says.

    Args:
        statistics: Of one map.
        measures: One panel for each, from top to bottom.
        thresholds: Lines to draw, by measure; in place of the one drawn by itself where it is the same panel.
        language: Of the names: ``en`` or ``ja``.
        title: What stands above.

    Raises:
        UserError: There is no such measure or language, or no row to draw.
    """
    attention_map, settings = statistics.attention_map, statistics.settings
    queries_name, _ = axis_names(attention_map.kind, language)
    lines = {"max_weight": settings.threshold, **(thresholds or {})}
    check_measures([*measures, *lines])
    if not measures or not statistics.is_valid.any():
        raise UserError("there is nothing to draw: no measures, or no row that has weights")
    words, names = _WORDS[language], MEASURE_NAMES[language]
    families, missing = families_for([*all_texts({title: attention_map}), *words.values(), *names.values()])
    ruler = Ruler(families)
    tokens = labels_of(attention_map.query_tokens, missing, ruler, _LABEL_SIZE)
    widest = max(ruler.width(token, _LABEL_SIZE) for token in tokens)
    width = min(max(_NARROWEST, _COLUMN * len(tokens)), _WIDEST)
    is_flat = widest + 4 < 72 * (width - 1) / len(tokens)
    height = _PANEL * len(measures) + 0.9 + (0 if is_flat else min(widest, WIDEST_LABEL) / 72)
    with style(families):
        figure = Figure(figsize=(width + 0.6, height), layout="constrained")
        panels = figure.subplots(len(measures), 1, sharex=True, squeeze=False)[:, 0]
        for axes, name in zip(panels, measures, strict=True):
            _draw_lines(axes, statistics.measure(name), language)
            _draw_bounds(axes, name, statistics, lines.get(name), words)
            _finish(axes, names[name], _unit(name, settings, words))
        _label_tokens(panels[-1], tokens, width, is_flat)
        panels[-1].set_xlabel(queries_name)
        if title:
            figure.suptitle(title, fontsize=10)
        handles, labels = panels[0].get_legend_handles_labels()
        if handles:
            room = max(ruler.width(label, _LABEL_SIZE) for label in labels) + _HANDLE
            columns = max(1, min(len(labels), int(72 * width / room)))
            figure.legend(handles, labels, loc="outside lower left", ncols=columns)
    return figure


def _draw_lines(axes: Axes, values: np.ndarray, language: str) -> None:
    """Every head along the queries, or their mean and a band, of values ``[layers, heads, queries]``."""
    layers, heads, queries = values.shape
    if layers * heads > len(CATEGORICAL):
        summary = summarize(np.moveaxis(values.reshape(layers * heads, queries), 0, -1))
        low, high = summary.quantiles[:, 0], summary.quantiles[:, len(QUANTILES) - 1]
        axes.fill_between(np.arange(queries), low, high, color=CATEGORICAL[0], alpha=0.2, linewidth=0)
        label = _WORDS[language]["mean"].format(layers * heads)
        axes.plot(summary.mean, color=CATEGORICAL[0], marker="o", markersize=3.5, label=label)
        return
    names = PART_NAMES[language]
    for number, (layer, head) in enumerate(np.ndindex(layers, heads)):
        parts = [names["layer"].format(layer)] * (layers > 1) + [names["head"].format(head)] * (heads > 1)
        axes.plot(
            values[layer, head],
            color=CATEGORICAL[number],
            marker=_MARKERS[number],
            markersize=3.5,
            linewidth=1.2,
            label=", ".join(parts) or None,
        )


def _draw_bounds(
    axes: Axes,
    name: str,
    statistics: AttentionStatistics,
    threshold: float | None,
    words: Mapping[str, str],
) -> None:
    """What equal weights would have, dotted, and a threshold, dashed; each named at its right end."""
    uniform = {
        "entropy": statistics.uniform_entropy,
        "max_weight": 1 / np.maximum(statistics.key_counts, 1),
    }.get(name)
    heights: dict[str, float] = {}  # of the names
    if uniform is not None:
        axes.plot(np.arange(len(uniform)), uniform, ":", color=INK, linewidth=1.1)
        known = uniform[~np.isnan(uniform)]
        if len(known):
            heights[words["uniform"]] = float(known[-1])
    if threshold is not None:
        axes.axhline(threshold, linestyle="--", color=INK, linewidth=1.1)
        heights[words["threshold"].format(threshold)] = threshold
    highest = max(heights, key=heights.__getitem__, default="")
    for text, height in heights.items():
        side = "center" if len(heights) == 1 else "bottom" if text == highest else "top"
        axes.annotate(
            text, (1, height), (4, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            va=side, fontsize=7.5,
        )  # fmt: skip


def _unit(name: str, settings: StatisticsSettings, words: Mapping[str, str]) -> str:
    """The unit of a measure, in brackets, where it has one."""
    if name != "entropy":
        return ""
    return words["unit"].format(words["normalized" if settings.normalized else settings.unit])


def _finish(axes: Axes, name: str, unit: str) -> None:
    axes.set_title(name + unit, loc="left", fontsize=9)
    axes.set_ylim(bottom=0)
    axes.margins(x=0.02)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=(1, 2, 2.5, 5, 10), integer=name in _COUNTS))
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


_COUNTS = frozenset(names["effective_positions"] for names in MEASURE_NAMES.values())


def _label_tokens(axes: Axes, tokens: Sequence[str], width: float, is_flat: bool) -> None:
    """The tokens below, upright where they do not fit side by side, some left out where there are many."""
    step = max(1, round(len(tokens) * 1.4 * _LABEL_SIZE / (72 * width)))
    options: dict[str, Any] = {} if is_flat else {"rotation": 90}
    axes.set_xticks(range(0, len(tokens), step), tokens[::step], fontsize=_LABEL_SIZE, **options)
    axes.tick_params(axis="x", length=2)
