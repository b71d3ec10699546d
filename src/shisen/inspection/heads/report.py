"""What is known of the heads of a model: a table, pictures, and a page that holds all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from shisen.files import write_atomically
from shisen.inspection.attention_map import AttentionMap, Kind
from shisen.inspection.head_patterns import PATTERNS, PatternScores
from shisen.inspection.head_similarity import HeadSimilarity
from shisen.inspection.tables import to_json, write_csv


@dataclass(frozen=True, eq=False)
class HeadExample:
    """The sentence in which a head shows its pattern most clearly.

    Attributes:
        number: Of the sentence in the data, counted from 1.
        attention_map: Of this head alone.
        score: Of the pattern, in this sentence.
    """

    number: int
    attention_map: AttentionMap
    score: float


@dataclass(frozen=True, eq=False)
class HeadsOfKind:
    """The heads of one kind of attention.

    Attributes:
        patterns: What they do.
        similarity: How alike they are; None of a single head.
        entropy: The mean entropy of their rows, in nats.
        examples: By layer and head.
        gallery: A sentence, with its number, that shows all of them; None where no sentence is short enough.
    """

    patterns: PatternScores
    similarity: HeadSimilarity | None
    entropy: Float[np.ndarray, "layers heads"]
    examples: Mapping[tuple[int, int], HeadExample]
    gallery: tuple[int, AttentionMap] | None


@dataclass(frozen=True, eq=False)
class HeadsReport:
    """The heads of a model over a corpus.

    Attributes:
        facts: What is known of the run.
        sentences: How many were looked at.
        kinds: By kind of attention.
        importance: Measures of how much the model needs each head (`shisen.inspection.head_importance`).
        pruning: The points of a pruning curve.
    """

    facts: Mapping[str, Any]
    sentences: int
    kinds: Mapping[Kind, HeadsOfKind]
    importance: Sequence[Any] = ()
    pruning: Sequence[Any] = ()

    def rows(self) -> list[dict[str, Any]]:
        """A row for each head: its pattern, confidence, the runner-up, and how much it is needed."""
        return [row for kind, heads in self.kinds.items() for row in self._rows_of(kind, heads)]

    def _rows_of(self, kind: Kind, heads: HeadsOfKind) -> list[dict[str, Any]]:
        nearest = heads.similarity.nearest() if heads.similarity is not None else []
        rows = []
        for number, row in enumerate(heads.patterns.as_rows()):
            layer, head = row["layer"], row["head"]
            scores = heads.patterns.scores[layer, head]
            second = int(np.argsort(-scores, kind="stable")[1])
            example = heads.examples.get((layer, head))
            near = nearest[number] if nearest else None
            per_layer = heads.patterns.scores.shape[1]
            row |= {
                "runner_up": PATTERNS[second],
                "entropy": float(heads.entropy[layer, head]),
                "nearest": None if near is None else f"{near[0] // per_layer}.{near[0] % per_layer}",
                "nearest_distance": None if near is None else near[1],
                "example": None if example is None else example.number,
            }
            for measure in self.importance:
                if kind in measure.scores:
                    row[f"importance_{measure.method}"] = float(measure.scores[kind][layer, head])
            rows.append(row)
        return rows

    def as_dict(self) -> dict[str, Any]:
        """Everything but the pictures as JSON holds it."""
        return {
            "facts": dict(self.facts),
            "sentences": self.sentences,
            "heads": self.rows(),
            "similarity": {
                kind: heads.similarity.as_dict()
                for kind, heads in self.kinds.items()
                if heads.similarity is not None
            },
            "importance": [measure.as_dict() for measure in self.importance],
            "pruning": [vars(point) for point in self.pruning],
        }

    def write(self, folder: str | Path, language: str = "en") -> list[Path]:
        """Write the page, the table and the pictures into a folder, which is made; return what was written.

        Args:
            folder: For ``heads.html``, ``heads.csv``, ``heads.json``, and for every kind of attention
                ``gallery-KIND`` and ``similarity-KIND``, ``pruning`` besides, as .png and .svg.
            language: Of the page and the pictures: ``en`` or ``ja``.

        Raises:
            UserError: The folder cannot be made, or there is no such language.
        """
        from shisen.inspection.heads.page import render_page
        from shisen.inspection.heads.pictures import pictures_of
        from shisen.plotting.style import save_figure

        folder = Path(folder)
        page = render_page(self, language)
        pictures = pictures_of(self, language)
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for name, figure in pictures.items():
            for ending in ("png", "svg"):
                save_figure(figure, folder / f"{name}.{ending}")
                written.append(folder / f"{name}.{ending}")
        write_csv(self.rows(), folder / "heads.csv")
        to_json(self.as_dict(), folder / "heads.json")
        write_atomically(folder / "heads.html", page)
        return [*written, folder / "heads.csv", folder / "heads.json", folder / "heads.html"]
