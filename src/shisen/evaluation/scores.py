"""BLEU, chrF and TER of a test set by sacrebleu, each with its signature and a bootstrap interval."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from shisen.errors import UserError
from shisen.evaluation.resampling import bootstrap_sums, interval

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

#: The share of resampled test sets whose score lies inside the interval that is reported.
CONFIDENCE = 0.95
DEFAULT_SAMPLES = 1000
#: sacrebleu's own default seed: with it, its command line prints the same intervals.
DEFAULT_SEED = 12345

#: sacrebleu keeps every n-gram of the references that it is given at once, so they are given in parts.
_CHUNK = 1000

#: The tokenisations of BLEU under which characters, not blanks, bound the words of Chinese and Japanese.
_UNSPACED = ("ja-mecab", "zh", "char")


@dataclass(frozen=True)
class Score:
    """One number and how it was made.

    Attributes:
        name: ``BLEU``, ``chrF2``, ``TER`` …, as sacrebleu names it.
        value: 0 to 100; for TER lower is better, and it can exceed 100.
        low: The lower bound of the 95 % bootstrap interval; equal to ``value`` where none was asked for.
        high: The upper bound.
        signature: sacrebleu's record of every setting that shaped the number.
    """

    name: str
    value: float
    low: float
    high: float
    signature: str

    def as_dict(self) -> dict[str, object]:
        """The score as JSON holds it."""
        return {
            "name": self.name,
            "score": self.value,
            "interval": [self.low, self.high],
            "confidence": CONFIDENCE,
            "signature": self.signature,
        }

    def __str__(self) -> str:
        """``BLEU 31.05 [29.12, 32.96] nrefs:1|bs:1000|…``."""
        return f"{self.name} {self.value:.2f} [{self.low:.2f}, {self.high:.2f}] {self.signature}"


@dataclass(frozen=True)
class CorpusScores:
    """The three scores of one set of hypotheses, and how long these are beside the references."""

    bleu: Score
    chrf: Score
    ter: Score
    length_ratio: float

    def as_dict(self) -> dict[str, object]:
        """The scores as JSON holds them."""
        return {
            "bleu": self.bleu.as_dict(),
            "chrf": self.chrf.as_dict(),
            "ter": self.ter.as_dict(),
            "length_ratio": self.length_ratio,
        }


class Tokenization(NamedTuple):
    """A tokenisation of BLEU that was chosen, and why, in words for the user."""

    name: str
    reason: str


def corpus_scores(
    hypotheses: Sequence[str],
    references: Sequence[str],
    tokenize: str = "13a",
    lowercase: bool = False,
    samples: int = DEFAULT_SAMPLES,
    seed: int = DEFAULT_SEED,
) -> CorpusScores:
    """BLEU, chrF and TER of hypotheses against one reference each.

    The statistics of every sentence are sacrebleu's; the bootstrap draws the test sets that sacrebleu would
    draw from the same seed, but one at a time: memory grows with the sentences and not with the samples.

    Args:
        hypotheses: One translation a sentence.
        references: The reference of each.
        tokenize: BLEU's tokenisation, one of sacrebleu's names: ``13a``, ``none``, ``intl``, ``char``,
            ``ja-mecab`` …
        lowercase: Whether BLEU and chrF ignore case. (TER does by its definition.)
        samples: How many test sets to draw for the intervals; 0 draws none.
        seed: Of that drawing.

    Raises:
        UserError: The two sides differ in length, there is nothing to score, or the tokenisation is unknown.
    """
    metrics = build_metrics(tokenize, lowercase)
    statistics = corpus_statistics(metrics, hypotheses, references)
    sums = bootstrap_sums(np.concatenate(statistics, axis=1), samples, seed)  # [samples, all statistics]
    starts = np.cumsum([0, *(part.shape[1] for part in statistics)])
    scores = []
    for metric, part, start in zip(metrics, statistics, starts[:-1], strict=True):
        value = score_of(metric, part.sum(axis=0))
        low = high = value
        if samples:
            metric.n_bootstrap, metric.seed = samples, str(seed)  # sacrebleu's signature reads them
            drawn = [score_of(metric, row) for row in sums[:, start : start + part.shape[1]]]
            low, high = interval(drawn)
        scores.append(Score(metric_name(metric), value, low, high, metric.get_signature().format()))
    hypothesis_length, reference_length = statistics[0][:, :2].sum(axis=0)  # BLEU's first two statistics
    ratio = hypothesis_length / reference_length if reference_length else math.nan
    bleu, chrf, ter = scores
    return CorpusScores(bleu, chrf, ter, length_ratio=float(ratio))


def build_metrics(tokenize: str = "13a", lowercase: bool = False) -> tuple[Metric, ...]:
    """sacrebleu's BLEU, chrF and TER, in this order.

    Where BLEU's tokenisation says that blanks do not bound the words, TER parts Chinese and Japanese text too
    (its ``asian_support``: every Chinese character, every run of kana); its signature says so.

    Raises:
        UserError: The tokenisation is unknown, or what it needs is not installed.
    """
    from sacrebleu.metrics import BLEU, CHRF, TER

    if tokenize not in BLEU.TOKENIZERS:
        known = ", ".join(sorted(BLEU.TOKENIZERS))
        raise UserError(f"unknown tokenisation {tokenize!r} for BLEU; sacrebleu knows {known}")
    try:
        bleu = BLEU(tokenize=tokenize, lowercase=lowercase, force=True)
    except (RuntimeError, ImportError, OSError) as error:  # no analyser, or no way to fetch its model
        reason = " ".join(str(error).split())
        raise UserError(f"BLEU's tokenisation {tokenize!r} cannot be used here: {reason}") from error
    is_unspaced = tokenize in _UNSPACED
    return bleu, CHRF(lowercase=lowercase), TER(normalized=is_unspaced, asian_support=is_unspaced)


def corpus_statistics(
    metrics: Sequence[Metric], hypotheses: Sequence[str], references: Sequence[str]
) -> list[np.ndarray]:
    """The sufficient statistics of every sentence, ``[sentences, statistics]``, for each metric."""
    if len(hypotheses) != len(references):
        raise UserError(
            f"{len(hypotheses)} hypotheses but {len(references)} references: there is one for each"
        )
    if not hypotheses:
        raise UserError("there is nothing to score: no hypothesis was given")
    tables: list[list[list[float]]] = [[] for _ in metrics]
    for start in range(0, len(hypotheses), _CHUNK):
        part = slice(start, start + _CHUNK)
        for table, metric in zip(tables, metrics, strict=True):
            table += metric._extract_corpus_statistics(hypotheses[part], [references[part]])
    return [np.array(table, dtype=np.float64) for table in tables]


def score_of(metric: Metric, sums: np.ndarray) -> float:
    """The corpus score from the summed statistics ``[statistics]``."""
    return float(metric._compute_score_from_stats(sums.tolist()).score)


def metric_name(metric: Metric) -> str:
    """The name that sacrebleu prints, chrF with its beta: ``BLEU``, ``chrF2``, ``TER``."""
    from sacrebleu.metrics import CHRF

    return f"chrF{metric.beta}" if isinstance(metric, CHRF) else type(metric).__name__


def choose_tokenization(is_tokenized: bool, references: Iterable[str]) -> Tokenization:
    """The tokenisation of BLEU that suits the text when the user has named none.

    Args:
        is_tokenized: Whether hypotheses and references are words between blanks already.
        references: The references, or the first of them: they show the language.
    """
    if is_tokenized:
        return Tokenization("none", "the model's words are split by blanks, so they are compared as they are")
    text = "".join(references)
    if any("\u3041" <= character <= "\u30ff" for character in text):  # hiragana and katakana
        if _has_mecab():
            return Tokenization("ja-mecab", "the references are Japanese")
        reason = 'the references are Japanese and MeCab is missing (pip install "sacrebleu[ja]" for ja-mecab)'
        return Tokenization("char", reason)
    han = sum("\u4e00" <= character <= "\u9fff" for character in text)
    if 2 * han > len(text):
        return Tokenization("zh", "the references are Chinese")
    return Tokenization("13a", "sacrebleu's default")


def _has_mecab() -> bool:
    from importlib.util import find_spec

    return find_spec("MeCab") is not None and find_spec("ipadic") is not None


def perplexity(log_probabilities: Iterable[Sequence[float]]) -> float:
    """exp(−1/N Σ log p): of the N target tokens of all sentences, the end of each included.

    Args:
        log_probabilities: For every sentence the natural log-probability of each of its tokens.
    """
    total, count = 0.0, 0
    for sentence in log_probabilities:
        total += math.fsum(sentence)
        count += len(sentence)
    if not count:
        raise UserError("there is no token to take the perplexity of")
    mean = -total / count
    return math.exp(mean) if mean < 709 else math.inf  # the largest exponent of a double
