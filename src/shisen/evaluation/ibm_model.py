"""IBM model 1, a statistical aligner learnt from sentence pairs alone: what attention has to beat.

With a source sentence e_1 … e_l, e_0 the empty word NULL, and a target sentence f_1 … f_m
(Brown et al. 1993):

    P(f | e) = ∏_j Σ_i p(i | j, l, m) · t(f_j | e_i)               p = 1 / (l + 1) in model 1
    E step   γ_ji = p t(f_j | e_i) / Σ_i' p t(f_j | e_i')          how probable it is that e_i makes f_j
    M step   t(f | e) = c(f | e) / Σ_f' c(f' | e)                  c: γ summed over the corpus

With a diagonal tension λ, p favours words at the same relative place, as `fast_align` does
(Dyer et al. 2013), but for a given λ: p(i | j, l, m) = (1 − p_0) · exp(−λ |i / l − j / m|) / Z, and
p_0 = 0.08 for NULL.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64

from shisen.errors import UserError
from shisen.inspection.alignment import Links, flipped
from shisen.inspection.symmetrization import symmetrize

Words = Sequence[str]

_NULL = 0  # the id of the empty word; its text is no word, so no text is it
_NULL_PROBABILITY = 0.08  # of model 2 with a diagonal, as fast_align has it


@dataclass(frozen=True, eq=False)
class IbmModel:
    """The probabilities t(f | e) that EM found, and the alignments that they imply.

    Attributes:
        source_ids: The numbers of the source words, counted from 1; 0 is NULL.
        target_ids: The numbers of the target words, counted from 0.
        keys: Of every pair of words that stood in a sentence pair together, source number × target words +
            target number, ascending.
        probabilities: t of those pairs.
        has_null_word: Whether a target word may come from no source word.
        diagonal_tension: λ; 0 is model 1.
        log_likelihoods: log P of the corpus before each iteration, in nats; it never falls.
    """

    source_ids: Mapping[str, int]
    target_ids: Mapping[str, int]
    keys: Int64[np.ndarray, " entries"]
    probabilities: Float64[np.ndarray, " entries"]
    has_null_word: bool
    diagonal_tension: float
    log_likelihoods: tuple[float, ...]

    def probability(self, target_word: str, source_word: str | None) -> float:
        """t(f | e); `source_word` None is NULL. Words that never met have 0."""
        source = _NULL if source_word is None else self.source_ids.get(source_word, -1)
        target = self.target_ids.get(target_word, -1)
        return float(self._lookup(np.array([source]), np.array([target]))[0, 0])

    def posterior(
        self, source: Words, target: Words
    ) -> Float64[np.ndarray, "target_words source_words_and_null"]:
        """γ of a sentence pair; the last column is NULL (zero where there is none).

        A row sums to 1, or to 0 where the target word never met any of these source words.
        """
        sources = np.array([self.source_ids.get(word, -1) for word in source] + [_NULL], np.int64)
        targets = np.array([self.target_ids.get(word, -1) for word in target], np.int64)
        joint = self._lookup(sources, targets)  # [target words, source words and NULL]
        if self.diagonal_tension:
            diagonal = _diagonal(len(source), len(target), self.diagonal_tension)
            joint[:, :-1] *= (1 - _NULL_PROBABILITY) * diagonal
            joint[:, -1] *= _NULL_PROBABILITY
        if not self.has_null_word:
            joint[:, -1] = 0
        sums = joint.sum(axis=1, keepdims=True)
        return np.divide(joint, sums, out=joint, where=sums > 0)

    def align(self, source: Words, target: Words) -> Links:
        """Every target word with its most probable source word; with none where that is NULL."""
        posterior = self.posterior(source, target)
        best = posterior.argmax(axis=1)  # NULL is last: it wins only where it is more probable
        return frozenset((int(i), j) for j, i in enumerate(best) if i < len(source) and posterior[j, i] > 0)

    def _lookup(self, sources: np.ndarray, targets: np.ndarray) -> Float64[np.ndarray, "targets sources"]:
        """t of every target with every source; 0 for those that never met, and for unknown words (-1)."""
        wanted = sources[None, :] * len(self.target_ids) + targets[:, None]
        wanted[(sources[None, :] < 0) | (targets[:, None] < 0)] = -1
        place = np.minimum(np.searchsorted(self.keys, wanted), max(len(self.keys) - 1, 0))
        return np.where(self.keys[place] == wanted, self.probabilities[place], 0.0)


@dataclass(frozen=True, eq=False)
class SymmetricIbmModel:
    """Two models of one corpus, from source to target and back."""

    forward: IbmModel
    backward: IbmModel

    def align(self, source: Words, target: Words, method: str = "grow-diag-final-and") -> Links:
        """The alignments of both joined; for the methods see `symmetrize`."""
        back = flipped(self.backward.align(target, source))
        return symmetrize(self.forward.align(source, target), back, method)


def fit_ibm_model(
    pairs: Iterable[tuple[Words, Words]],
    iterations: int = 5,
    has_null_word: bool = True,
    diagonal_tension: float = 0.0,
) -> IbmModel:
    """Learn which words translate which, by expectation maximisation from t uniform.

    Time and memory grow with the sum of source words × target words over the pairs: 12 bytes for each such
    cell, and 24 more while they are counted.

    Args:
        pairs: (source words, target words); pairs of which a side is empty teach nothing.
        iterations: Of EM.
        has_null_word: Whether a target word may come from no source word.
        diagonal_tension: λ; 0 is model 1, 4 is where `fast_align` begins.

    Raises:
        UserError: There is no pair with words on both sides, or an option is out of range.
    """
    if iterations < 1:
        raise UserError(f"EM takes 1 iteration or more; this is {iterations}")
    if not 0 <= diagonal_tension < np.inf:
        raise UserError(f"the diagonal tension is 0 or more; this is {diagonal_tension}")
    corpus = _Corpus.of(pairs, has_null_word)
    cells = _cells(corpus, diagonal_tension)
    first_of_source = np.flatnonzero(np.diff(cells.keys // len(corpus.target_ids), prepend=-1))
    entries_of_source = np.diff(first_of_source, append=len(cells.keys))
    t = np.full(len(cells.keys), 1 / len(corpus.target_ids))
    log_likelihoods = []
    for _ in range(iterations):
        joint = t[cells.entry] * cells.prior  # [cells]
        likelihoods = np.add.reduceat(joint, cells.row_start)  # [target tokens]
        log_likelihoods.append(float(np.log(likelihoods).sum()))
        joint /= np.repeat(likelihoods, cells.row_length)  # γ
        counts = np.bincount(cells.entry, joint, len(t))
        t = counts / np.repeat(np.add.reduceat(counts, first_of_source), entries_of_source)
    return IbmModel(
        corpus.source_ids,
        corpus.target_ids,
        cells.keys,
        t,
        has_null_word,
        diagonal_tension,
        tuple(log_likelihoods),
    )


def fit_both_ways(
    pairs: Sequence[tuple[Words, Words]],
    iterations: int = 5,
    has_null_word: bool = True,
    diagonal_tension: float = 0.0,
) -> SymmetricIbmModel:
    """`fit_ibm_model` from source to target and from target to source."""
    options = (iterations, has_null_word, diagonal_tension)
    return SymmetricIbmModel(
        fit_ibm_model(pairs, *options),
        fit_ibm_model([(target, source) for source, target in pairs], *options),
    )


def words_of(text: str) -> list[str]:
    """The words of a sentence as the model counts them: between blanks, in lower case."""
    return text.lower().split()


@dataclass(frozen=True, eq=False)
class _Corpus:
    """The words of all pairs as numbers, one sentence after the other."""

    source_ids: dict[str, int]
    target_ids: dict[str, int]
    sources: Int64[np.ndarray, " source_tokens"]  # NULL before every sentence, where there is one
    targets: Int64[np.ndarray, " target_tokens"]
    source_lengths: Int64[np.ndarray, " pairs"]  # NULL included
    target_lengths: Int64[np.ndarray, " pairs"]
    has_null_word: bool

    @classmethod
    def of(cls, pairs: Iterable[tuple[Words, Words]], has_null_word: bool) -> _Corpus:
        source_ids: dict[str, int] = {}
        target_ids: dict[str, int] = {}
        sources, targets = [], []
        null = [_NULL] if has_null_word else []
        for source, target in pairs:
            if source and target:
                sources.append(null + [source_ids.setdefault(word, len(source_ids) + 1) for word in source])
                targets.append([target_ids.setdefault(word, len(target_ids)) for word in target])
        if not sources:
            raise UserError("there is nothing to learn alignments from: no pair has words on both sides")
        return cls(
            source_ids,
            target_ids,
            np.fromiter(chain.from_iterable(sources), np.int64),
            np.fromiter(chain.from_iterable(targets), np.int64),
            np.array([len(sentence) for sentence in sources]),
            np.array([len(sentence) for sentence in targets]),
            has_null_word,
        )


@dataclass(frozen=True, eq=False)
class _Cells:
    """Every source token beside every target token of its pair; the cells of a target token are a row."""

    keys: Int64[np.ndarray, " entries"]  # of the pairs of words that there are, ascending
    entry: Int32[np.ndarray, " cells"]  # which of them a cell is
    prior: Float32[np.ndarray, " cells"]
    row_start: Int64[np.ndarray, " target_tokens"]
    row_length: Int64[np.ndarray, " target_tokens"]


def _cells(corpus: _Corpus, tension: float) -> _Cells:
    pair = np.repeat(np.arange(len(corpus.target_lengths)), corpus.target_lengths)  # [target tokens]
    row_length = corpus.source_lengths[pair]
    row_start = np.cumsum(row_length) - row_length
    first_source = (np.cumsum(corpus.source_lengths) - corpus.source_lengths)[pair]
    place = np.arange(row_length.sum()) - np.repeat(row_start, row_length)  # [cells]: i, in its sentence
    keys = corpus.sources[place + np.repeat(first_source, row_length)] * len(corpus.target_ids)
    keys += np.repeat(corpus.targets, row_length)
    unique, entry = np.unique(keys, return_inverse=True)
    if tension == 0:
        prior = np.repeat(1 / row_length, row_length)
    else:
        prior = _diagonal_priors(corpus, pair, place, row_start, row_length, tension)
    return _Cells(unique, entry.astype(np.int32), prior.astype(np.float32), row_start, row_length)


def _diagonal_priors(
    corpus: _Corpus,
    pair: np.ndarray,
    place: np.ndarray,
    row_start: np.ndarray,
    row_length: np.ndarray,
    tension: float,
) -> np.ndarray:
    """p(i | j, l, m) of every cell."""
    first_target = np.cumsum(corpus.target_lengths) - corpus.target_lengths
    j = (np.arange(len(pair)) - first_target[pair] + 1) / corpus.target_lengths[pair]  # [target tokens]
    words = row_length - corpus.has_null_word
    i = (place + (not corpus.has_null_word)) / np.repeat(words, row_length)  # [cells]
    heights = np.exp(-tension * np.abs(i - np.repeat(j, row_length)))
    if corpus.has_null_word:
        heights[row_start] = 0
    share = 1 - _NULL_PROBABILITY if corpus.has_null_word else 1.0
    heights *= share / np.repeat(np.add.reduceat(heights, row_start), row_length)
    if corpus.has_null_word:
        heights[row_start] = _NULL_PROBABILITY
    return heights


def _diagonal(
    source_words: int, target_words: int, tension: float
) -> Float64[np.ndarray, "target_words source_words"]:
    """p(i | j, l, m) of one pair, but for the share of NULL."""
    i = np.arange(1, source_words + 1) / max(source_words, 1)
    j = np.arange(1, target_words + 1) / max(target_words, 1)
    heights = np.exp(-tension * np.abs(i - j[:, None]))
    return heights / np.maximum(heights.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
