"""Is one system better than another, or was it the luck of the test set? Two paired tests, as in sacrebleu.

*Bootstrap* (Koehn 2004): draw test sets with replacement; how often does the difference stray from its mean
as far as the difference that was observed lies from none?
*Randomisation* (Riezler & Maxwell 2005): were the systems the same, exchanging their outputs at random would
not matter; how often does an exchange make a difference larger than the one observed?
Both are two-sided, p = (c + 1) / (draws + 1), and 1 where no difference was observed: every difference is at
least as large. (There sacrebleu, which counts larger ones only, gives two equal systems its smallest p.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shisen.errors import UserError
from shisen.evaluation.resampling import bootstrap_sums, exchange_sums, interval
from shisen.evaluation.scores import (
    DEFAULT_SAMPLES,
    DEFAULT_SEED,
    Score,
    build_metrics,
    corpus_statistics,
    metric_name,
    score_of,
)

#: The tests, and how many draws each makes unless told: sacrebleu's numbers.
DRAWS = {"bootstrap": 1000, "randomisation": 10_000}


@dataclass(frozen=True)
class SystemComparison:
    """One system's scores, and for each the probability of its difference from the baseline by chance.

    Attributes:
        name: The system.
        scores: BLEU, chrF and TER.
        differences: Each score less the baseline's; empty for the baseline itself.
        p_values: Of each difference; empty for the baseline itself.
    """

    name: str
    scores: tuple[Score, ...]
    differences: tuple[float, ...] = ()
    p_values: tuple[float, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """The comparison as JSON holds it."""
        entries: dict[str, object] = {"system": self.name}
        for index, (key, score) in enumerate(zip(("bleu", "chrf", "ter"), self.scores, strict=True)):
            entry = score.as_dict()
            if self.p_values:
                entry |= {"difference": self.differences[index], "p_value": self.p_values[index]}
            entries[key] = entry
        return entries


def compare(
    systems: Sequence[tuple[str, Sequence[str]]],
    references: Sequence[str],
    test: str = "bootstrap",
    draws: int | None = None,
    tokenize: str = "13a",
    lowercase: bool = False,
    seed: int = DEFAULT_SEED,
) -> list[SystemComparison]:
    """Test every system against the first.

    Args:
        systems: Names and hypotheses; the first is the baseline.
        references: One for each hypothesis.
        test: ``bootstrap`` or ``randomisation``.
        draws: How many test sets or exchanges to draw; None takes sacrebleu's number for the test.
        tokenize: BLEU's tokenisation.
        lowercase: Whether BLEU and chrF ignore case.
        seed: Of the draws.

    Raises:
        UserError: Fewer than two systems, an unknown test, or a system with another number of lines.
    """
    if len(systems) < 2:
        raise UserError("a comparison needs two systems or more, the baseline first")
    check_test(test)
    draws = DRAWS[test] if draws is None else draws
    for name, hypotheses in systems:
        if len(hypotheses) != len(references):
            raise UserError(f"{name} has {len(hypotheses)} lines, but the references have {len(references)}")

    metrics = build_metrics(tokenize, lowercase)
    statistics = [corpus_statistics(metrics, hypotheses, references) for _, hypotheses in systems]
    samples = draws if test == "bootstrap" else DEFAULT_SAMPLES  # of the intervals
    comparisons: list[SystemComparison] = []
    resampled: list[list[np.ndarray]] = []  # for each system and metric the scores of the drawn test sets
    for (name, _), tables in zip(systems, statistics, strict=True):
        scores, drawn_scores = [], []
        sums = np.split(
            bootstrap_sums(np.concatenate(tables, axis=1), samples, seed), _bounds(tables), axis=1
        )
        for metric, table, drawn in zip(metrics, tables, sums, strict=True):
            value = score_of(metric, table.sum(axis=0))
            drawn_scores.append(np.array([score_of(metric, row) for row in drawn]))
            low, high = interval(drawn_scores[-1].tolist())
            signature = _signature(metric, test, draws, samples, seed)
            scores.append(Score(metric_name(metric), value, low, high, signature))
        resampled.append(drawn_scores)
        if not comparisons:
            comparisons.append(SystemComparison(name, tuple(scores)))
            continue
        baseline = comparisons[0].scores
        differences = tuple(score.value - base.value for score, base in zip(scores, baseline, strict=True))
        if test == "bootstrap":
            p_values = tuple(
                _bootstrap_p(own, base, difference)
                for own, base, difference in zip(drawn_scores, resampled[0], differences, strict=True)
            )
        else:
            p_values = _randomisation_p(metrics, statistics[0], tables, differences, draws, seed)
        comparisons.append(SystemComparison(name, tuple(scores), differences, p_values))
    return comparisons


def check_test(test: str) -> None:
    """Refuse the name of a test that there is not."""
    if test not in DRAWS:
        raise UserError(f"unknown test {test!r}; there are {' and '.join(DRAWS)}")


def _bootstrap_p(own: np.ndarray, baseline: np.ndarray, difference: float) -> float:
    """Of the scores ``[draws]`` of two systems on the same drawn test sets."""
    distances = np.abs(own - baseline)
    return _p_value(distances - distances.mean(), abs(difference))


def _randomisation_p(
    metrics: Sequence,
    baseline: Sequence[np.ndarray],
    own: Sequence[np.ndarray],
    differences: Sequence[float],
    draws: int,
    seed: int,
) -> tuple[float, ...]:
    """Of the tables ``[sentences, statistics]`` of two systems, one for each metric."""
    bounds = _bounds(baseline)
    distances: list[list[float]] = [[] for _ in metrics]
    tables = np.concatenate(baseline, axis=1), np.concatenate(own, axis=1)
    for first, second in exchange_sums(*tables, samples=draws, seed=seed):
        parts = zip(metrics, distances, np.split(first, bounds, 1), np.split(second, bounds, 1), strict=True)
        for metric, collected, firsts, seconds in parts:
            collected += [
                abs(score_of(metric, a) - score_of(metric, b)) for a, b in zip(firsts, seconds, strict=True)
            ]
    return tuple(
        _p_value(np.array(collected), abs(difference))
        for collected, difference in zip(distances, differences, strict=True)
    )


def _p_value(drawn: np.ndarray, observed: float) -> float:
    if observed == 0:
        return 1.0
    return (int(np.sum(drawn > observed)) + 1) / (len(drawn) + 1)


def _bounds(tables: Sequence[np.ndarray]) -> np.ndarray:
    """Where the metrics' columns part in the tables laid side by side."""
    return np.cumsum([table.shape[1] for table in tables])[:-1]


def _signature(metric: object, test: str, draws: int, samples: int, seed: int) -> str:
    signature = metric.get_signature()  # type: ignore[attr-defined]
    signature.update("seed", str(seed))
    signature.update("bs", samples)
    if test == "randomisation":
        signature.update("ar", draws)
    return signature.format()
