"""Words aligned by a model: forced decoding of given translations, and links from what that leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from shisen.data.alignments import Alignment
from shisen.errors import UserError
from shisen.evaluation.alignment_choice import AlignmentChoice, Pair, Reading, choose_reading
from shisen.evaluation.ibm_model import SymmetricIbmModel, words_of
from shisen.evaluation.system import words_of_tokens
from shisen.inspection.alignment import (
    Links,
    argmax_alignment,
    matching_alignment,
    source_argmax_alignment,
    threshold_alignment,
)
from shisen.inspection.attention_map import AttentionMap

METHODS = ("attention", "attribution")
EXTRACTIONS = ("argmax", "source-argmax", "matching", "threshold")

_TOGETHER = 256  # sentences whose maps are in memory at once


MEAN = Reading()


@dataclass(frozen=True, eq=False)
class ModelAligner:
    """Aligns the words of sentence pairs by one model.

    Attributes:
        translator: A `shisen.Translator`.
        method: What is read: "attention", or "attribution" (gradients).
        reading: Which layer and head of the attention, as it is or shifted.
        extraction: How links are made of weights; see `shisen.inspection.alignment`.
        threshold: Of the extraction "threshold".
    """

    translator: Any
    method: str = "attention"
    reading: Reading = MEAN
    extraction: str = "argmax"
    threshold: float = 0.1

    def pairs(self, sources: Sequence[str], targets: Sequence[str]) -> Iterator[Pair]:
        """The maps of sentence pairs, with the words that their pieces are part of.

        Raises:
            UserError: The model has no attention, or a sentence is too long for it.
        """
        for start in range(0, len(sources), _TOGETHER):
            part = slice(start, start + _TOGETHER)
            for source, target, (attention, log_probabilities) in zip(
                sources[part], targets[part], self._maps(sources[part], targets[part], start), strict=True
            ):
                query_words = words_of_tokens(self.translator.target_tokenizer, target)
                count = len(target.split())
                yield Pair(
                    attention,
                    query_words,
                    words_of_tokens(self.translator.source_tokenizer, source),
                    count,
                    len(source.split()),
                    _of_words(log_probabilities, query_words, count),
                )

    def align(self, sources: Sequence[str], targets: Sequence[str]) -> Iterator[Links]:
        """The links (source word, target word) of every pair, words being what lies between blanks."""
        for pair in self.pairs(sources, targets):
            yield self.links(pair.words(self.reading))

    def links(self, weights: Float[np.ndarray, "target_words source_words"]) -> Links:
        """The links that weights between words imply."""
        if self.extraction == "threshold":
            return threshold_alignment(weights, self.threshold)
        makers: dict[str, Callable[[np.ndarray], Links]] = {
            "argmax": argmax_alignment,
            "source-argmax": source_argmax_alignment,
            "matching": matching_alignment,
        }
        if self.extraction not in makers:
            raise UserError(f"links are made by {', '.join(EXTRACTIONS)}, not by {self.extraction!r}")
        return makers[self.extraction](weights)

    def _maps(
        self, sources: Sequence[str], targets: Sequence[str], first: int
    ) -> Iterator[tuple[AttentionMap, Sequence[float]]]:
        """The map of every pair, and the log-probability of every target token; none by attribution."""
        if self.method == "attribution":
            from shisen.inspection.attribution_alignment import attribution_maps

            for found in attribution_maps(self.translator, sources, targets):
                yield found, ()
            return
        if self.method != "attention":
            raise UserError(f"words are aligned by {', '.join(METHODS)}, not by {self.method!r}")
        for forced in self.translator.force(list(sources), list(targets), first_number=first):
            if "cross" not in forced.attention or not forced.attention["cross"].weights.any():
                raise UserError("this model has no attention to the source to align words by")
            yield forced.attention["cross"], forced.log_probabilities


def _of_words(
    log_probabilities: Sequence[float], words: Sequence[Sequence[int]], count: int
) -> Float[np.ndarray, " target_words"] | None:
    """The probability of every word: the least of those of its pieces."""
    if not log_probabilities:
        return None
    found = np.ones(count)
    for log_probability, numbers in zip(log_probabilities, words, strict=True):
        for number in numbers:
            found[number] = min(found[number], np.exp(log_probability))
    return found


def choose_by_gold(
    translator: Any, pairs: Sequence[tuple[str, str]], gold: Sequence[Alignment]
) -> AlignmentChoice:
    """Choose the layer and head of a model on held-out pairs with gold alignments."""
    found = ModelAligner(translator).pairs(*_sides(pairs))
    return choose_reading(zip(found, gold, strict=True), "gold")


def choose_by_ibm(
    translator: Any, pairs: Sequence[tuple[str, str]], model: SymmetricIbmModel
) -> AlignmentChoice:
    """Choose the layer and head of a model on held-out pairs without gold: by IBM model 1.

    Args:
        translator: A `shisen.Translator`.
        pairs: The held-out pairs.
        model: Learnt on as much text as there is, these pairs included. Links of both its directions count
            as sure, those of one as possible.
    """

    def wanted() -> Iterator[Alignment]:
        for source, target in pairs:
            words = words_of(source), words_of(target)
            sure, possible = model.align(*words, "intersection"), model.align(*words, "union")
            yield Alignment(sure, possible)

    found = ModelAligner(translator).pairs(*_sides(pairs))
    return choose_reading(zip(found, wanted(), strict=True), "ibm1")


def _sides(pairs: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [source for source, _ in pairs], [target for _, target in pairs]
