"""Is the difference more than luck? Paired tests over sentences, effect sizes, and many tests at once.

The sentence is the unit: decisions of one sentence hang together. With d the differences of n sentences,

    sign flips   p = share of the sign vectors s in {-1, 1}ⁿ with |Σ s_i d_i| ≥ |Σ d_i|     (Fisher 1935)
    effect size  r = (W₊ - W₋) / (W₊ + W₋), the rank-biserial correlation of the signed ranks (Kerby 2014)
    Holm         of m tests in the order of their p-values the k-th is multiplied by m - k + 1 (Holm 1979)

r is 1 where every sentence speaks for attention, -1 where every sentence speaks against it.
"""

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

_EXACT = 12  # so many sentences or fewer: all sign vectors, not a sample of them
_DRAWN_TOGETHER = 1000


def sign_flip_p_value(
    differences: Float[np.ndarray, " sentences"], draws: int, generator: np.random.Generator
) -> float:
    """The two-sided probability of a sum as large if every difference could as well have the other sign."""
    sentences = len(differences)
    observed = abs(differences.sum()) * (1 - 1e-12)  # what rounding makes of equal sums counts as equal
    if observed == 0:
        return 1.0
    if sentences <= _EXACT:
        flips = (np.arange(2**sentences)[:, None] >> np.arange(sentences)) & 1
        return float(np.mean(np.abs((1 - 2 * flips) @ differences) >= observed))
    reached = 0
    for start in range(0, draws, _DRAWN_TOGETHER):
        shape = (min(_DRAWN_TOGETHER, draws - start), sentences)
        signs = 1 - 2 * generator.integers(2, size=shape)
        reached += int(np.sum(np.abs(signs @ differences) >= observed))
    return (reached + 1) / (draws + 1)


def smallest_p_value(sentences: int, draws: int) -> float:
    """The smallest p-value that `sign_flip_p_value` can give: with few sentences not a small one."""
    return 2 / 2**sentences if sentences <= _EXACT else 1 / (draws + 1)


def rank_biserial(differences: Float[np.ndarray, " sentences"]) -> float:
    """r, from -1 to 1; differences of 0 have no sign and are left out (0 if there are no others)."""
    signed = differences[differences != 0]
    if len(signed) == 0:
        return 0.0
    ranks = rankdata(np.abs(signed))
    return float((ranks * np.sign(signed)).sum() / ranks.sum())


def bootstrap_interval(
    values: Float[np.ndarray, " sentences"], draws: int, generator: np.random.Generator
) -> tuple[float, float]:
    """The 95 % percentile interval of the mean, sentences drawn with replacement (Efron 1979)."""
    means = np.empty(draws)
    for start in range(0, draws, _DRAWN_TOGETHER):
        block = means[start : start + _DRAWN_TOGETHER]
        block[:] = values[generator.integers(len(values), size=(len(block), len(values)))].mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def holm(p_values: Float[np.ndarray, " tests"]) -> Float[np.ndarray, " tests"]:
    """The p-values adjusted so that comparing each with α bounds the chance of any false alarm by α."""
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    adjusted = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1.0)
    result = np.empty_like(adjusted)
    result[order] = adjusted
    return result
