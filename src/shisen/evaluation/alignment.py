"""How far alignments are from those that people made: the alignment error rate and its kin.

A gold alignment has sure links S and possible links P ⊇ S; a predicted one has links A (Och & Ney 2003):

    precision = |A ∩ P| / |A|     recall = |A ∩ S| / |S|     AER = 1 − (|A ∩ S| + |A ∩ P|) / (|A| + |S|)
    F_α = 1 / (α / precision + (1 − α) / recall)     F1 = F_½                       (Fraser & Marcu 2007)

with the counts summed over the test set. Links are (source word, target word), counted from 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shisen.errors import UserError


@dataclass(frozen=True)
class AlignmentScores:
    """The error rate of a set of alignments, and the counts that it is made of."""

    predicted: int
    sure: int
    predicted_in_sure: int
    predicted_in_possible: int

    @property
    def precision(self) -> float:
        """|A ∩ P| / |A|; 1 where nothing was predicted."""
        return self.predicted_in_possible / self.predicted if self.predicted else 1.0

    @property
    def recall(self) -> float:
        """|A ∩ S| / |S|; 1 where nothing is sure."""
        return self.predicted_in_sure / self.sure if self.sure else 1.0

    @property
    def error_rate(self) -> float:
        """AER, 0 (best) to 1."""
        total = self.predicted + self.sure
        return 1 - (self.predicted_in_sure + self.predicted_in_possible) / total if total else 0.0

    def f_measure(self, alpha: float = 0.5) -> float:
        """F_α: the harmonic mean of precision, which has the weight α, and recall.

        AER favours few links where there are possible ones; F_α with α below ½ follows the quality of
        phrase-based translation better (Fraser & Marcu 2007).
        """
        if not 0 <= alpha <= 1:
            raise UserError(f"alpha, the weight of precision, lies between 0 and 1; this is {alpha}")
        parts = ((alpha, self.precision), (1 - alpha, self.recall))
        if any(weight > 0 and value == 0 for weight, value in parts):
            return 0.0
        return 1 / sum(weight / value for weight, value in parts if weight > 0)

    def __add__(self, other: AlignmentScores) -> AlignmentScores:
        """The scores of both sets taken together."""
        return AlignmentScores(
            self.predicted + other.predicted,
            self.sure + other.sure,
            self.predicted_in_sure + other.predicted_in_sure,
            self.predicted_in_possible + other.predicted_in_possible,
        )

    def as_dict(self) -> dict[str, float]:
        """The scores as JSON holds them."""
        return {
            "aer": self.error_rate,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f_measure(),
            "predicted_links": self.predicted,
            "sure_links": self.sure,
            "predicted_sure_links": self.predicted_in_sure,
            "predicted_possible_links": self.predicted_in_possible,
        }


#: The scores of no sentence at all, to add others to.
NO_ALIGNMENTS = AlignmentScores(0, 0, 0, 0)


def score_alignment(
    predicted: Iterable[tuple[int, int]],
    sure: Iterable[tuple[int, int]],
    possible: Iterable[tuple[int, int]] = (),
) -> AlignmentScores:
    """The counts of one sentence pair. Sure links count as possible, whether or not they are listed again."""
    links, sure_links = frozenset(predicted), frozenset(sure)
    possible_links = sure_links | frozenset(possible)
    return AlignmentScores(len(links), len(sure_links), len(links & sure_links), len(links & possible_links))
