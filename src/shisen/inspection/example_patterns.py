"""Maps that show one pattern each, pure or with noise: for pictures, teaching, and tests of the recogniser.

With share ε of noise a row is (1 − ε) · pattern + ε · Dirichlet(1, …, 1), over the keys it may attend to.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from shisen.errors import UserError
from shisen.inspection.attention_map import AttentionMap, Kind
from shisen.inspection.head_patterns import PATTERNS


def kinds_of(pattern: str) -> tuple[Kind, ...]:
    """The kinds of maps in which a pattern is found; the first is that of `example_map`."""
    if pattern not in PATTERNS:
        raise UserError(f"there is no pattern {pattern!r}; there are {', '.join(PATTERNS)}")
    if pattern == "diagonal":
        return ("cross",)
    if pattern == "next":
        return ("encoder",)
    if pattern in ("self", "previous", "local"):
        return ("encoder", "decoder")
    return ("encoder", "decoder", "cross")


def example_map(
    pattern: str, length: int = 16, noise: float = 0.0, seed: int = 0, kind: Kind | None = None
) -> AttentionMap:
    """A map of one head with a pattern.

    Words are ``w0 w1 …``, and the last token is ``</s>``; in a decoder, whose words look back only, the
    separator is a comma after the first quarter.

    Args:
        pattern: One of `PATTERNS`.
        length: How many keys; of queries there are as many, in cross-attention a fifth more.
        noise: The share of every row that is noise, from 0 to 1.
        seed: Of the noise, and of what a pattern leaves open: which keys are global, which have the content.
        kind: None: the first of `kinds_of` the pattern.

    Raises:
        UserError: There is no such pattern, maps of this kind do not have it, or a number is out of range.
    """
    kinds = kinds_of(pattern)
    kind = kind or kinds[0]
    if kind not in kinds:
        raise UserError(f"the pattern {pattern} is not found in {kind} attention")
    if length < 4 or not 0 <= noise <= 1:
        raise UserError(f"a length of 4 or more and noise from 0 to 1 are wanted, not {length} and {noise}")
    random = np.random.default_rng([seed, length, PATTERNS.index(pattern)])
    queries = length + length // 5 if kind == "cross" else length
    allowed = np.tri(queries, length) if kind == "decoder" else np.ones((queries, length))
    tokens = [*(f"w{number}" for number in range(length - 1)), "</s>"]
    mark = length - 1
    if kind == "decoder":
        mark = length // 4
        tokens[mark], tokens[-1] = ",", f"w{length - 1}"
    weights = _pattern(pattern, queries, length, mark, random) * allowed
    sums = weights.sum(axis=1, keepdims=True)
    weights = np.where(sums > 0, weights, allowed)  # a row that the pattern says nothing of is uniform
    drawn = random.exponential(size=allowed.shape) * allowed  # normalised: Dirichlet(1, …, 1)
    parts = [part / part.sum(axis=1, keepdims=True) for part in (weights, drawn)]
    rows = tokens if queries == length else [*(f"v{number}" for number in range(queries - 1)), "</s>"]
    return AttentionMap.from_arrays((1 - noise) * parts[0] + noise * parts[1], rows, tokens, kind)


def _pattern(
    pattern: str, queries: int, keys: int, mark: int, random: np.random.Generator
) -> Float[np.ndarray, "queries keys"]:
    """The pure pattern, its rows not yet normalised; a row of zeros is one that it says nothing of."""
    query, key = np.arange(queries)[:, None], np.arange(keys)
    steps = {"self": 0, "previous": -1, "next": 1}
    if pattern in steps:
        return (key - query == steps[pattern]).astype(float)
    if pattern == "diagonal":
        return (key == np.round(query * (keys - 1) / (queries - 1))).astype(float)
    if pattern == "local":
        return np.maximum(0, 3 - np.abs(key - query)).astype(float)
    if pattern == "first":
        return (key == 0) * np.ones((queries, 1))
    if pattern == "separator":
        return (key == mark) * np.ones((queries, 1))
    if pattern == "global":
        words = np.setdiff1d(np.arange(1, max(3, keys // 2)), [mark])  # early ones, that a decoder sees too
        chosen = random.choice(words, size=max(1, keys // 12), replace=False)
        return np.isin(key, chosen) * np.ones((queries, 1))
    if pattern == "block":
        return ((query >= queries / 2) == (key >= keys / 2)).astype(float)
    if pattern == "content":
        return (key == random.integers(0, keys, size=(queries, 1))).astype(float)
    return np.ones((queries, keys))
