"""Learning curves: what `training_log.jsonl` of one or more runs recorded, over steps, epochs or time."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from shisen.errors import UserError
from shisen.plotting.style import CATEGORICAL, Figure, style
from shisen.plotting.text import families_for, visible, without_missing

LOG_NAME = "training_log.jsonl"
HORIZONTALS = ("step", "epoch", "seconds")


@dataclass(frozen=True)
class _Panel:
    """What one panel shows: the title, a quantity of every step, one of every validation."""

    title: str
    line: str | None = None
    dots: str | None = None
    is_noisy: bool = False  # drawn with its running mean, which is what the eye looks for


_PANELS = (
    _Panel("loss per target token (dots: validation)", "loss", "validation_loss"),
    _Panel("validation BLEU", dots="bleu"),
    _Panel("target tokens per second", "target_tokens_per_second", is_noisy=True),
    _Panel("gradient norm", "gradient_norm", is_noisy=True),
    _Panel("learning rate", "learning_rate"),
)
_LINE_STYLES = ("-", "--", "-.", ":")
_STEPS = (1, 2, 2.5, 5, 10)  # between the numbers of an axis, times a power of ten
_MOST_POINTS = 600  # of a line; more are averaged in blocks, or the line becomes a smear

Record = Mapping[str, Any]


def read_training_log(run: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The records of a run, in order; the run is its directory or its ``training_log.jsonl``.

    A last line that was cut off in the middle (the run was killed while it wrote) is left out. Where a
    resumed run went back to an earlier step, the records that it wrote again replace the old ones.

    Raises:
        UserError: There is no log, or a line that is not the last one is damaged.
    """
    path = Path(run)
    if path.is_dir():
        path = path / LOG_NAME
    if not path.is_file():
        raise UserError(f"{path}: no such training log; name a directory that `shisen train` wrote")
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    while lines and not lines[-1].strip():
        lines.pop()
    records: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line.decode("utf-8"))
            if not isinstance(record, dict):
                raise ValueError("not an object")
        except (ValueError, RecursionError):
            if number == len(lines):
                break
            raise UserError(
                f"{path}: line {number} is not a record of a training log (a JSON object)"
            ) from None
        step = _number(record.get("step"))
        while step is not None and records and (_number(records[-1].get("step")) or 0) > step:
            records.pop()
        records.append(record)
    if not records:
        raise UserError(f"{path}: the training log has no records yet")
    return records


def plot_curves(runs: Mapping[str, Sequence[Record]], *, x: str = "step") -> Figure:
    """Draw the learning curves of runs, a panel for each quantity that was recorded, a colour for each run.

    Args:
        runs: The records of each run (see `read_training_log`) by its name.
        x: What runs along the bottom: ``step``, ``epoch`` or ``seconds``.
    """
    if x not in HORIZONTALS:
        raise UserError(f"the horizontal axis of curves is one of {', '.join(HORIZONTALS)}, not {x!r}")
    panels = [panel for panel in _PANELS if any(_has(records, panel, x) for records in runs.values())]
    if not panels:
        raise UserError(f"there is nothing to draw: the training logs hold no quantity together with {x!r}")
    families, missing = families_for([*runs, *(panel.title for panel in panels)])
    divisor, x_name = _horizontal(runs, x)
    columns = min(len(panels), 3)
    rows = math.ceil(len(panels) / columns)
    legend_columns = min(len(runs), 4)
    legend_height = 0.22 * math.ceil(len(runs) / legend_columns) if len(runs) > 1 else 0.0
    with style(families):
        figure = Figure(
            figsize=(0.3 + 2.9 * columns, 0.25 + 2.25 * rows + legend_height), layout="constrained"
        )
        grid = figure.subplots(rows, columns, squeeze=False).flatten()
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        for axes, panel in zip(grid, panels, strict=False):
            for number, records in enumerate(runs.values()):
                look = _look_of(number)
                points = _series(records, x, panel.line) / (divisor, 1)
                is_faint = panel.is_noisy or panel.dots is not None
                _draw_line(axes, _thinned(points), look, is_faint)
                if panel.is_noisy:
                    _draw_line(axes, _thinned(_running_mean(points)), look, is_faint=False)
                _draw_dots(axes, _series(records, x, panel.dots) / (divisor, 1), look)
            _finish(axes, panel.title, x_name)
        ends = np.array([axes.get_xlim() for axes in grid[: len(panels)]])
        for axes in grid[: len(panels)]:
            axes.set_xlim(ends[:, 0].min(), ends[:, 1].max())
        if len(runs) > 1:
            names = [without_missing(" ".join(map(visible, name.split())), missing) for name in runs]
            handles = [Line2D([], [], **_look_of(number)) for number in range(len(runs))]
            figure.legend(handles, names, loc="outside upper left", ncols=legend_columns)
    return figure


def _series(records: Sequence[Record], x: str, name: str | None) -> np.ndarray:
    """The points ``[points, 2]`` of one quantity where it and the horizontal one were recorded."""
    points = [(_number(record.get(x)), _number(record.get(name))) for record in records] if name else []
    return np.array([point for point in points if None not in point], dtype=float).reshape(-1, 2)


def _number(value: Any) -> float | None:
    """A finite number, or None for anything else that a log may hold."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def _has(records: Sequence[Record], panel: _Panel, x: str) -> bool:
    return any(len(_series(records, x, name)) for name in (panel.line, panel.dots))


def _horizontal(runs: Mapping[str, Sequence[Record]], x: str) -> tuple[float, str]:
    """What the horizontal values are divided by, and their name: long times are minutes or hours."""
    if x != "seconds":
        return 1.0, x
    longest = max(
        (_number(record.get(x)) or 0.0 for records in runs.values() for record in records), default=0
    )
    if longest < 300:
        return 1.0, "time (seconds)"
    return (60.0, "time (minutes)") if longest < 4 * 3600 else (3600.0, "time (hours)")


def _look_of(number: int) -> dict[str, Any]:
    """The colour of a run; when the colours are used up, they come again with dashes."""
    rounds, color = divmod(number, len(CATEGORICAL))
    return {"color": CATEGORICAL[color], "linestyle": _LINE_STYLES[rounds % len(_LINE_STYLES)]}


def _thinned(points: np.ndarray) -> np.ndarray:
    """At most `_MOST_POINTS` points ``[points, 2]``: the means of blocks where there were more."""
    if len(points) <= _MOST_POINTS:
        return points
    return np.stack([block.mean(axis=0) for block in np.array_split(points, _MOST_POINTS)])


def _running_mean(points: np.ndarray) -> np.ndarray:
    """The points with each value the mean of its neighbourhood, a twentieth of the run wide."""
    half = len(points) // 40
    sums = np.concatenate([[0.0], np.cumsum(points[:, 1])])
    first = np.maximum(np.arange(len(points)) - half, 0)
    last = np.minimum(np.arange(len(points)) + half + 1, len(points))
    means = (sums[last] - sums[first]) / (last - first)
    return np.stack([points[:, 0], means], axis=1)


def _draw_line(axes: Axes, points: np.ndarray, look: dict[str, Any], is_faint: bool) -> None:
    width, alpha = (0.9, 0.35) if is_faint else (1.5, 1.0)
    axes.plot(*points.T, linewidth=width, alpha=alpha, **look)


def _draw_dots(axes: Axes, points: np.ndarray, look: dict[str, Any]) -> None:
    every = max(1, len(points) // 20)
    axes.plot(*points.T, marker="o", markersize=3.2, markevery=every, **look)


def _finish(axes: Axes, title: str, x_name: str) -> None:
    """The title, the grid, and numbers that can be read."""
    axes.set_title(title, loc="left", fontsize=9)
    axes.set_xlabel(x_name)
    axes.grid()
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=_STEPS, integer=x_name == "step"))
    axes.xaxis.set_major_formatter(FuncFormatter(_thousands))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=_STEPS))
    axes.yaxis.set_major_formatter(FuncFormatter(_thousands))
    axes.margins(x=0.02)


def _thousands(value: float, _position: int | None = None) -> str:
    """``0.0005``, ``2.5``, ``12,000``: short, and never in powers of ten until it must be."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
