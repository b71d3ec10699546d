"""The tests that the verdict speaks of, the same for all models: what is measured, and against what.

A measurement has a name in three parts, ``test.measure.of``: ``comprehensiveness.aopc.attention`` is what
attention reaches, ``comprehensiveness.aopc.chance`` what random orders do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from shisen.inspection.faithfulness.options import FaithfulnessOptions
from shisen.inspection.faithfulness.paired_tests import (
    bootstrap_interval,
    holm,
    rank_biserial,
    sign_flip_p_value,
    smallest_p_value,
)

Rival = Literal["chance", "gradients", "integrated-gradients", "threshold", "seed"]
Outcome = Literal["better", "worse", "no difference", "too little data"]


@dataclass(frozen=True)
class Comparison:
    """One test: attention's measurement against another.

    Attributes:
        test: What is asked.
        rival: What attention is held against.
        own: The measurement of attention.
        other: That of the rival; None: the number `threshold` of the options.
        sign: 1 where more is better for attention, -1 where less is.
    """

    test: str
    rival: Rival
    own: str
    other: str | None
    sign: int = 1


def _agreement(test: str, rival: Rival = "chance", other: str = "chance") -> Comparison:
    name = f"agreement-{test}.kendall"
    return Comparison(f"agreement-{test}", rival, f"{name}.attention", f"{name}.{other}")


def _against_all(test: str, measure: str, sign: int = 1) -> list[Comparison]:
    rivals: tuple[tuple[Rival, str], ...] = (
        ("chance", "chance"),
        ("gradients", "gradient-input"),
        ("integrated-gradients", "integrated-gradients"),
    )
    own = f"{test}.{measure}.attention"
    return [Comparison(test, rival, own, f"{test}.{measure}.{other}", sign) for rival, other in rivals]


COMPARISONS = (
    Comparison("permutation", "threshold", "permutation.output.attention", None),
    Comparison("uniform", "threshold", "uniform.output.attention", None),
    Comparison("adversary", "chance", "adversary.weights.attention", "adversary.weights.chance", -1),
    Comparison("adversary", "seed", "adversary.weights.attention", "adversary.weights.seed", -1),
    *_against_all("weight-erasure", "output"),
    *_against_all("comprehensiveness", "aopc"),
    *_against_all("sufficiency", "aopc", -1),
    _agreement("leave-one-out"),
    _agreement("leave-one-out", "gradients", "gradient-input"),
    _agreement("leave-one-out", "integrated-gradients", "integrated-gradients"),
    _agreement("gradient"),
    _agreement("gradient-input"),
    _agreement("integrated-gradients"),
)
"""In the order in which the verdict reports them. ``gradients`` stands for gradient × input."""


@dataclass(frozen=True)
class ComparisonResult:
    """What came of one test.

    Attributes:
        test: What was asked.
        rival: What attention was held against.
        own: Attention's mean over the sentences.
        other: The rival's.
        difference: The mean difference, its sign such that more is better for attention.
        low: The lower end of the 95 % bootstrap interval of the difference.
        high: The upper end.
        effect: The rank-biserial correlation, from -1 to 1.
        better_in: The share of sentences in which attention did better.
        p_value: Of the sign-flip test, two-sided.
        adjusted: The p-value after Holm's correction.
        sentences: How many sentences it rests on.
        outcome: In words.
    """

    test: str
    rival: Rival
    own: float
    other: float
    difference: float
    low: float
    high: float
    effect: float
    better_in: float
    p_value: float
    adjusted: float
    sentences: int
    outcome: Outcome

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON holds it."""
        return dict(vars(self))


def compare_all(
    measurements: Mapping[str, np.ndarray], options: FaithfulnessOptions
) -> tuple[ComparisonResult, ...]:
    """Make every test whose measurements are there, and correct for their number.

    Args:
        measurements: By name, a number for each sentence; NaN where it could not be measured.
        options: Draws, level, threshold and seed.
    """
    possible = [
        (comparison, *pair)
        for comparison in COMPARISONS
        if (pair := _pair(comparison, measurements, options.threshold)) is not None
    ]
    generator = np.random.default_rng([options.seed, len(possible)])
    differences = [comparison.sign * (own - other) for comparison, own, other in possible]
    p_values = np.array([sign_flip_p_value(row, options.samples, generator) for row in differences])
    smallest = [smallest_p_value(len(row), options.samples) for row in differences]
    return tuple(
        _result(
            *entry, differences[i], p_values[i], adjusted, smallest[i] * len(possible), options, generator
        )
        for i, (entry, adjusted) in enumerate(zip(possible, holm(p_values), strict=True))
    )


def _pair(
    comparison: Comparison, measurements: Mapping[str, np.ndarray], threshold: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Both sides of a test in the sentences that have both; None where no sentence does."""
    if comparison.own not in measurements or (comparison.other or comparison.own) not in measurements:
        return None
    own = measurements[comparison.own]
    other = np.full_like(own, threshold) if comparison.other is None else measurements[comparison.other]
    is_there = ~np.isnan(own) & ~np.isnan(other)
    return (own[is_there], other[is_there]) if is_there.any() else None


def _result(
    comparison: Comparison,
    own: np.ndarray,
    other: np.ndarray,
    differences: np.ndarray,
    p_value: float,
    adjusted: float,
    least_adjusted: float,
    options: FaithfulnessOptions,
    generator: np.random.Generator,
) -> ComparisonResult:
    difference = float(differences.mean())
    low, high = bootstrap_interval(differences, options.samples, generator)
    outcome: Outcome = "no difference"
    if least_adjusted > options.level:
        outcome = "too little data"
    elif adjusted <= options.level and abs(difference) >= options.smallest_difference:
        outcome = "better" if difference > 0 else "worse"
    return ComparisonResult(
        comparison.test,
        comparison.rival,
        float(own.mean()),
        float(other.mean()),
        difference,
        low,
        high,
        rank_biserial(differences),
        float(np.mean(differences > 0)),
        float(p_value),
        float(adjusted),
        len(differences),
        outcome,
    )
