"""Attention maps and training logs as publication-ready figures, all in one style.

The figures are Matplotlib's, made without ``pyplot``: the user's settings stay, threads take turns, no screen
is needed. A notebook shows them; ``figure.savefig("attention.pdf")`` or `save_figure` writes them. The names
below are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shisen.plotting.bars import plot_bars
    from shisen.plotting.curves import plot_curves, read_training_log
    from shisen.plotting.faithfulness import plot_faithfulness
    from shisen.plotting.gallery import plot_gallery, plot_similarity
    from shisen.plotting.heatmap import plot_comparison, plot_heatmap
    from shisen.plotting.patterns import plot_pattern, plot_patterns
    from shisen.plotting.pruning import plot_pruning
    from shisen.plotting.statistics import plot_statistics
    from shisen.plotting.style import Figure, save_figure

_HOMES = {
    "Figure": "shisen.plotting.style",
    "plot_bars": "shisen.plotting.bars",
    "plot_comparison": "shisen.plotting.heatmap",
    "plot_curves": "shisen.plotting.curves",
    "plot_faithfulness": "shisen.plotting.faithfulness",
    "plot_gallery": "shisen.plotting.gallery",
    "plot_heatmap": "shisen.plotting.heatmap",
    "plot_pattern": "shisen.plotting.patterns",
    "plot_patterns": "shisen.plotting.patterns",
    "plot_pruning": "shisen.plotting.pruning",
    "plot_similarity": "shisen.plotting.gallery",
    "plot_statistics": "shisen.plotting.statistics",
    "read_training_log": "shisen.plotting.curves",
    "save_figure": "shisen.plotting.style",
}

__all__ = [
    "Figure",
    "plot_bars",
    "plot_comparison",
    "plot_curves",
    "plot_faithfulness",
    "plot_gallery",
    "plot_heatmap",
    "plot_pattern",
    "plot_patterns",
    "plot_pruning",
    "plot_similarity",
    "plot_statistics",
    "read_training_log",
    "save_figure",
]


def __getattr__(name: str) -> Any:
    """Import a public name from where it lives, the first time it is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'shisen.plotting' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
