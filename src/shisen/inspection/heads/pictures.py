"""The pictures of a report on heads, by the name of their file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shisen.inspection.heads.words import WORDS

if TYPE_CHECKING:
    from shisen.inspection.heads.report import HeadsReport
    from shisen.plotting.style import Figure


def pictures_of(report: HeadsReport, language: str) -> dict[str, Figure]:
    """The gallery and the distances of every kind of attention, and the pruning curve."""
    from shisen.plotting.gallery import plot_gallery, plot_similarity
    from shisen.plotting.pruning import plot_pruning

    pictures = {}
    for kind, heads in report.kinds.items():
        if heads.gallery is not None:
            pictures[f"gallery-{kind}"] = plot_gallery(heads.gallery[1], heads.patterns, language=language)
        if heads.similarity is not None:
            pictures[f"similarity-{kind}"] = plot_similarity(heads.similarity, language=language)
    if report.pruning:
        name = WORDS[language]["score"]
        pictures["pruning"] = plot_pruning(report.pruning, score_name=name, language=language)
    return pictures
