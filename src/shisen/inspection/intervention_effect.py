"""What an intervention changed: the translation, its score, every token's probability, and the maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

if TYPE_CHECKING:
    from shisen.inspection.interventions import Intervention
    from shisen.translation import Translation


@runtime_checkable
class Intervenes(Protocol):
    """What is asked of a translator, `shisen.Translator` for one."""

    def translate(self, text: Any, **options: Any) -> Any:
        """Translate texts, with `intervention`."""

    def force_tokens(self, translations: Any, **options: Any) -> Any:
        """Take the model through translations, with `intervention`."""


@dataclass(frozen=True, eq=False)
class InterventionEffect:
    """One sentence without an intervention and with it.

    Attributes:
        before: The translation without.
        after: The translation with the intervention.
        read_before: The model taken through the tokens of `before`, without.
        read_after: The same with the intervention: what it made of every single decision, while all that was
            written before that stayed as it was.
    """

    before: Translation
    after: Translation
    read_before: Translation
    read_after: Translation

    @property
    def log_probability_changes(self) -> Float64[np.ndarray, " tokens"]:
        """The change of the log-probability of each token of `before`, in nats; below 0: less likely."""
        return np.subtract(
            self.read_after.log_probabilities, self.read_before.log_probabilities, dtype=np.float64
        )

    @property
    def weight_changes(self) -> Mapping[str, Float64[np.ndarray, "layers heads queries"]]:
        """By kind, the total variation Σ_j |α'_j - α_j| / 2 of every row of the maps of `before`, in [0, 1].

        Rows that the intervention does not name change too, where they come after others that it does.
        """
        return {
            kind: np.abs(self.read_after.attention[kind].weights - own.weights).sum(-1, dtype=np.float64) / 2
            for kind, own in self.read_before.attention.items()
        }

    @property
    def changed_tokens(self) -> tuple[int, ...]:
        """Where `after` has another token than `before`, or one more: positions in `after`."""
        before = self.before.tokens
        return tuple(
            place
            for place, token in enumerate(self.after.tokens)
            if place >= len(before) or before[place] != token
        )

    def as_dict(self) -> dict[str, Any]:
        """Everything but the maps as JSON holds it."""
        return {
            "source": self.before.source,
            "before": _of(self.before),
            "after": _of(self.after),
            "tokens": [
                {"token": token, "before": own, "after": changed, "change": float(change)}
                for token, own, changed, change in zip(
                    self.before.tokens,
                    self.read_before.log_probabilities,
                    self.read_after.log_probabilities,
                    self.log_probability_changes,
                    strict=True,
                )
            ],
        }

    def __str__(self) -> str:
        """Both translations with their scores, and the change of every token."""
        lines = [
            f"before  {self.before.score:8.3f}  {self.before.text}",
            f"after   {self.after.score:8.3f}  {self.after.text}",
            *(
                f"{change:+16.3f}  {token}"
                for token, change in zip(self.before.tokens, self.log_probability_changes, strict=True)
            ),
        ]
        return "\n".join(lines)


def compare_intervention(
    translator: Intervenes,
    texts: Sequence[str],
    intervention: Intervention | Sequence[Intervention | None],
    **options: Any,
) -> list[InterventionEffect]:
    """Translate sentences without an intervention and with it, and compare.

    Args:
        translator: A `shisen.Translator` with a network of PyTorch.
        texts: The sentences.
        intervention: One for all, or one for each.
        options: Those of `Translator.translate`.

    Raises:
        UserError: The intervention names what there is not.
    """
    batch = {name: options[name] for name in ("length_penalty", "batch_size") if name in options}
    before = translator.translate(list(texts), **options)
    after = translator.translate(list(texts), intervention=intervention, **options)
    read_before = translator.force_tokens(before, **batch)
    read_after = translator.force_tokens(before, intervention=intervention, **batch)
    together = zip(before, after, read_before, read_after, strict=True)
    return [InterventionEffect(*of_one) for of_one in together]


def _of(translation: Translation) -> dict[str, Any]:
    return {"text": translation.text, "tokens": list(translation.tokens), "score": translation.score}
