"""What the tests of faithfulness look at, how often they draw, and what counts as a change."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from shisen.errors import UserError


@dataclass(frozen=True)
class FaithfulnessOptions:
    """The settings of `assess_faithfulness`; together with the data they fix every number.

    Args:
        sentences: Most sentences that are looked at, from the first on; None: all.
        longest: Sentences with more source or target tokens than this, ``</s>`` not counted, are left out
            and counted.
        layer: The layer whose weights are tested; None: the mean over all.
        head: The head whose weights are tested; None: the mean over all.
        includes_end: Whether ``</s>`` is one of the source tokens that are ranked and erased.
        fractions: Shares of the source tokens that are erased or kept, in (0, 1).
        random_orders: Random orders of erasing that stand for chance.
        permutations: Permutations of the weights for each decision.
        integration_steps: Points on the path of integrated gradients.
        adversarial_decisions: Decisions of a sentence for which an adversary looks for other weights, drawn
            at random; 0: none.
        adversarial_steps: Steps of gradient that the adversary takes.
        bound: How far the adversary may move the output, in total variation, in (0, 1).
        threshold: The change of the output, in total variation, from which on it counts as one, in (0, 1).
        smallest_difference: A mean difference below this is none, however sure; all measures lie within
            [-1, 1].
        top: How many tokens the overlap of two rankings compares.
        samples: Draws of the bootstrap, and of the sign-flip test: 1,000 or more, or no p-value is small.
        level: The probability of one or more false alarms among all tests, in (0, 1).
        seed: Of every draw.

    Raises:
        UserError: A setting is out of range.
    """

    sentences: int | None = 50
    longest: int = 40
    layer: int | None = None
    head: int | None = None
    includes_end: bool = False
    fractions: tuple[float, ...] = (0.1, 0.2, 0.3, 0.5)
    random_orders: int = 5
    permutations: int = 30
    integration_steps: int = 16
    adversarial_decisions: int = 3
    adversarial_steps: int = 40
    bound: float = 0.05
    threshold: float = 0.05
    smallest_difference: float = 0.01
    top: int = 2
    samples: int = 10_000
    level: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        least = {"longest": 1, "random_orders": 1, "permutations": 1, "integration_steps": 2, "top": 1}
        least |= {"adversarial_decisions": 0, "adversarial_steps": 1, "samples": 1000, "seed": 0}
        least |= {name: 0 for name in ("layer", "head") if getattr(self, name) is not None}
        if self.sentences is not None:
            least["sentences"] = 1
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least {smallest}")
        shares = [(name, getattr(self, name)) for name in ("bound", "threshold", "level")]
        for name, share in [*shares, *(("a share of fractions", share) for share in self.fractions)]:
            if not 0 < share < 1:
                raise UserError(f"{name} is {share}; it must lie between 0 and 1")
        if not 0 <= self.smallest_difference < 1:
            raise UserError(f"smallest_difference is {self.smallest_difference}; it must lie in [0, 1)")
        if not self.fractions:
            raise UserError("fractions is empty; name one share of the tokens to erase, or more")

    def as_dict(self) -> dict[str, Any]:
        """The settings as JSON holds them."""
        return dataclasses.asdict(self) | {"fractions": list(self.fractions)}
