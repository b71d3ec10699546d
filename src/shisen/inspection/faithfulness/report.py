"""What the tests of faithfulness found: every number, the verdict in words, and the figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from shisen.inspection.faithfulness.comparisons import ComparisonResult
from shisen.inspection.faithfulness.options import FaithfulnessOptions
from shisen.inspection.faithfulness.paired_tests import bootstrap_interval

if TYPE_CHECKING:
    from shisen.plotting.style import Figure


@dataclass(frozen=True, eq=False)
class FaithfulnessReport:
    """Whether attention explains the decisions of a model, as far as each test can tell.

    Attributes:
        options: The settings.
        sentences: How many sentences were measured.
        decisions: How many tokens were produced in them.
        too_long: Sentences that were left out for their length.
        too_short: Sentences that were left out, having fewer than two source tokens to rank.
        layers: Layers with cross-attention that the model has.
        heads: Heads in each.
        measurements: By name (``test.measure.of``), the mean over the decisions of every sentence.
        curves: By name (``test.of``), [sentences, fractions], the change of the decision's probability.
        results: The tests that the verdict rests on.
        seconds: How long it took.
        has_integrated_gradients: Whether the library captum was there to compute them.
        model: The fingerprint of the model; empty if it has none.
        is_own_translation: Whether the model read translations of its own, and not given ones.
    """

    options: FaithfulnessOptions
    sentences: int
    decisions: int
    too_long: int
    too_short: int
    layers: int
    heads: int
    measurements: Mapping[str, np.ndarray]
    curves: Mapping[str, np.ndarray]
    results: tuple[ComparisonResult, ...]
    seconds: float
    has_integrated_gradients: bool
    model: str = ""
    is_own_translation: bool = False

    def about(self, model: str, is_own_translation: bool, too_long: int = 0) -> FaithfulnessReport:
        """The same report, saying which model it is of, and so many more that were too long."""
        return replace(
            self,
            model=model,
            is_own_translation=is_own_translation,
            too_long=self.too_long + too_long,
        )

    def mean(self, name: str) -> float:
        """The mean of a measurement over the sentences."""
        return float(np.nanmean(self.measurements[name]))

    def result(self, test: str, rival: str = "chance") -> ComparisonResult:
        """The result of one test against one rival."""
        for result in self.results:
            if (result.test, result.rival) == (test, rival):
                return result
        made = ", ".join(f"{result.test} ({result.rival})" for result in self.results)
        raise KeyError(f"no test {test} ({rival}) was made; there are {made}")

    def verdict(self, language: str = "en") -> str:
        """One paragraph in plain words: on which tests attention did better, and by how much."""
        from shisen.inspection.faithfulness.verdict import verdict

        return verdict(self, language)

    def plot(self, language: str = "en") -> Figure:
        """The verdict as a figure: the effect of every test, and what erasing tokens does."""
        from shisen.plotting.faithfulness import plot_faithfulness

        return plot_faithfulness(self, language)

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON holds it; means over the sentences with their 95 % bootstrap intervals."""
        generator = np.random.default_rng(self.options.seed)
        means: dict[str, Any] = {}
        for name, values in self.measurements.items():
            there = values[~np.isnan(values)]
            low, high = bootstrap_interval(there, self.options.samples, generator)
            test, measure, side = name.split(".")
            entry = {"mean": float(there.mean()), "low": low, "high": high}
            means.setdefault(test, {}).setdefault(measure, {})[side] = entry
        return {
            "model": self.model,
            "reads": "its own translations" if self.is_own_translation else "given translations",
            "explanation": {
                "attention": "cross",
                "layer": "mean" if self.options.layer is None else self.options.layer,
                "head": "mean" if self.options.head is None else self.options.head,
                "layers": self.layers,
                "heads": self.heads,
            },
            "settings": self.options.as_dict(),
            "sentences": self.sentences,
            "decisions": self.decisions,
            "left_out": {"too_long": self.too_long, "too_short": self.too_short},
            "integrated_gradients": self.has_integrated_gradients,
            "seconds": self.seconds,
            "tests": [result.as_dict() for result in self.results],
            "measurements": means,
            "curves": {name: np.nanmean(rows, axis=0).tolist() for name, rows in self.curves.items()},
            "verdict": {language: self.verdict(language) for language in ("en", "ja")},
        }
