"""A translation, and how it came about."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shisen.inspection.attention_map import AttentionMap


@dataclass(frozen=True, eq=False)
class Translation:
    """One translation, and how it came about.

    Attributes:
        text: The translation as a person reads it: detokenised, without special tokens.
        tokens: What the model produced, token by token, ``</s>`` included.
        source: The text that was translated.
        source_tokens: Its tokens as the model read them, ``</s>`` included.
        score: The sum of `log_probabilities` over the length penalty; what n-best lists are sorted by.
        log_probabilities: The model's natural log-probability of each of `tokens`, given those before it.
        attention: By kind, an `AttentionMap`. ``"cross"``: `tokens` as rows, `source_tokens` as columns. Of a
            Transformer also ``"encoder"``, `source_tokens` both ways, and ``"decoder"``, `tokens` as rows and
            what was read before each as columns: ``<s>`` and the tokens up to the last but one.
        model: The fingerprint of the model.
        hypotheses: The n-best list, the best (this one) first.

    An empty source has an empty translation: no tokens, no attention, score 0.
    """

    text: str
    tokens: tuple[str, ...]
    source: str
    source_tokens: tuple[str, ...]
    score: float
    log_probabilities: tuple[float, ...]
    attention: Mapping[str, AttentionMap]
    model: str
    hypotheses: tuple["Translation", ...] = field(default=(), repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON holds it; `hypotheses` where there is more than one."""
        entries = {
            "text": self.text,
            "source": self.source,
            "tokens": list(self.tokens),
            "source_tokens": list(self.source_tokens),
            "score": self.score,
            "log_probabilities": list(self.log_probabilities),
            "attention": {kind: _nested(one.weights) for kind, one in self.attention.items()},
            "model": self.model,
        }
        if len(self.hypotheses) > 1:
            own = ("text", "tokens", "score", "log_probabilities", "attention")
            alternatives = [hypothesis.as_dict() for hypothesis in self.hypotheses]
            entries["hypotheses"] = [{name: one[name] for name in own} for one in alternatives]
        return entries

    def to_json(self) -> str:
        """One line of JSON: `as_dict`, weights ``[layers, heads, queries, keys]`` as nested lists."""
        return json.dumps(self.as_dict(), ensure_ascii=False)


def _nested(weights: np.ndarray) -> list[Any]:
    """Weights as nested lists, to the seven decimal places that float32 has."""
    return np.round(weights.astype(np.float64), 7).tolist()
