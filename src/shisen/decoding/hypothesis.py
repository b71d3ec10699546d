"""A finished translation as token ids, and the score by which it is ranked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from torch import Tensor

_Length = TypeVar("_Length", float, np.ndarray, Tensor)


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """One translation as decoding found it.

    Attributes:
        ids: The produced token ids in order, ``</s>`` included.
        score: Σ `log_probabilities` / `length_normaliser`(number of ids): what n-best lists are sorted by.
        log_probabilities: The model's own natural log-probability of each id given those before it,
            whatever constraint, temperature or truncation chose it.
        attention: By kind, the weights ``[layers, heads, queries, keys]``, without padding. ``"cross"``: a
            query per id, a key per source token; ``"encoder"``: both are the source tokens; ``"decoder"``: a
            query per id, a key per token read, ``<s>`` and then the ids. A language model has read a prompt
            behind ``<s>``; ``"prompt"`` is the attention within it: a query per token, a key per token read.
            Empty unless it was asked for.
    """

    ids: tuple[int, ...]
    score: float
    log_probabilities: tuple[float, ...]
    attention: Mapping[str, np.ndarray] = field(default_factory=dict)


def length_normaliser(length: _Length, length_penalty: float) -> _Length:
    """Return ((5 + |y|) / 6)^α, the length penalty of Wu et al. (2016, eq. 14).

    |y| counts every produced token, ``</s>`` among them. α = 0 leaves sums as they are.
    """
    return ((5 + length) / 6) ** length_penalty
