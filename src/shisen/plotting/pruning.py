"""Pruning curves: what a model with fewer heads can still do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from shisen.errors import UserError
from shisen.plotting.style import CATEGORICAL, Figure, style
from shisen.plotting.text import families_for

#: How the order by each measure is drawn.
MARKS = {"gradient": "o-", "ablation": "s-"}

WORDS = {
    "en": {
        "kept": "heads kept",
        "loss": "loss per token (nats)",
        "gradient": "least important first (gradient)",
        "ablation": "least important first (ablation)",
        "random": "random orders (mean, range)",
    },
    "ja": {
        "kept": "残したヘッドの数",
        "loss": "トークンあたりの損失（nat）",
        "gradient": "重要度の低い順に削除（勾配）",
        "ablation": "重要度の低い順に削除（除去）",
        "random": "ランダムな順（平均と範囲）",
    },
}


@runtime_checkable
class Point(Protocol):
    """What is drawn of a `shisen.inspection.head_importance.PruningPoint`."""

    order: str
    kept: int
    loss: float
    score: float | None


def plot_pruning(points: Sequence[Point], *, score_name: str = "BLEU", language: str = "en") -> Figure:
    """Draw the score, where there is one, and the loss over the number of heads kept.

    Args:
        points: What `pruning_curve` returned.
        score_name: Of the score.
        language: Of the names: ``en`` or ``ja``.

    Raises:
        UserError: There is nothing to draw, or no such language.
    """
    if language not in WORDS:
        raise UserError(f"the language is one of {', '.join(WORDS)}, not {language!r}")
    if not points:
        raise UserError("there is nothing to draw: no points of a pruning curve")
    words = WORDS[language]
    panels = [(words["loss"], [point.loss for point in points])]
    scores = [point.score for point in points if point.score is not None]
    if len(scores) == len(points):
        panels.insert(0, (score_name, scores))
    families, _ = families_for([*words.values(), score_name])
    with style(families):
        figure = Figure(figsize=(3.4 * len(panels), 2.8), layout="constrained")
        for place, (title, values) in enumerate(panels):
            axes = figure.add_subplot(1, len(panels), place + 1)
            _draw(axes, points, values, words)
            axes.set_title(title, loc="left")
            axes.set_xlabel(words["kept"])
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_xlim(max(point.kept for point in points), 0)  # as heads are cut, to the right
            axes.grid(alpha=0.25, linewidth=0.5)
            if title == score_name:
                axes.set_ylim(bottom=0)
            if place == 0:
                axes.legend(frameon=False, fontsize=7)
    return figure


def _draw(axes: Axes, points: Sequence[Point], values: Sequence[float], words: dict[str, str]) -> None:
    """One panel: a line for every measure's order, a mean and a band for the random ones."""
    by_order: dict[str, list[tuple[int, float]]] = {}
    for point, value in zip(points, values, strict=True):
        by_order.setdefault(point.order, []).append((point.kept, value))
    random = [curve for order, curve in by_order.items() if order not in MARKS]
    if random:
        kept = [count for count, _ in random[0]]
        heights = np.array([[value for _, value in curve] for curve in random])
        axes.fill_between(kept, heights.min(0), heights.max(0), color=CATEGORICAL[1], alpha=0.2, linewidth=0)
        axes.plot(kept, heights.mean(0), "--", color=CATEGORICAL[1], label=words["random"])
    for number, (order, mark) in enumerate(MARKS.items()):
        if order in by_order:
            counts, values_of_order = zip(*by_order[order], strict=True)
            colour = CATEGORICAL[2 * number]
            axes.plot(counts, values_of_order, mark, color=colour, markersize=3, label=words[order])
