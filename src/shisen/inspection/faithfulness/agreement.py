"""Do two explanations rank the source tokens alike? Rank correlations and overlap, row by row.

    τ_b = (C - D) / √((n₀ - n₁)(n₀ - n₂))      C, D: pairs in the same, in the other order; n₁, n₂: tied pairs
    ρ   = Pearson's correlation of the ranks    (ties share the mean of their ranks)
    overlap_k = |top_k(a) ∩ top_k(b)| / k

(Kendall 1945, Spearman 1904; Jain & Wallace 2019 use τ, Serrano & Smith 2019 discuss why ties blur it.) A row
without any order (all values equal) agrees with nothing: 0.
"""

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata


def kendall(
    first: Float[np.ndarray, "*rows keys"], second: Float[np.ndarray, "*rows keys"]
) -> Float[np.ndarray, "*rows"]:
    """Kendall's τ_b of every row; 0 where one side is constant."""
    signs = [np.sign(side[..., :, None] - side[..., None, :]) for side in (first, second)]
    concordance = (signs[0] * signs[1]).sum((-1, -2))
    untied = [np.abs(sign).sum((-1, -2)) for sign in signs]
    return _ratio(concordance, np.sqrt(untied[0] * untied[1]))


def spearman(
    first: Float[np.ndarray, "*rows keys"], second: Float[np.ndarray, "*rows keys"]
) -> Float[np.ndarray, "*rows"]:
    """Spearman's ρ of every row; 0 where one side is constant."""
    ranks = [rankdata(side, axis=-1) for side in (first, second)]
    centred = [side - side.mean(-1, keepdims=True) for side in ranks]
    norms = [np.sqrt((side**2).sum(-1)) for side in centred]
    return _ratio((centred[0] * centred[1]).sum(-1), norms[0] * norms[1])


def top_overlap(
    first: Float[np.ndarray, "*rows keys"], second: Float[np.ndarray, "*rows keys"], top: int
) -> Float[np.ndarray, "*rows"]:
    """The share of the `top` largest that both have in common; of fewer keys, of all but one of them."""
    top = max(1, min(top, first.shape[-1] - 1))
    chosen = [np.argsort(-side, axis=-1, kind="stable")[..., :top] for side in (first, second)]
    is_common = chosen[0][..., :, None] == chosen[1][..., None, :]
    return is_common.sum((-1, -2)) / top


def permuted_rows(
    rows: Float[np.ndarray, "rows keys"], permutations: int, generator: np.random.Generator
) -> Float[np.ndarray, "permutations rows keys"]:
    """The rows with their values in random places, each row on its own: what agrees by chance alone."""
    copies = np.broadcast_to(rows, (permutations, *rows.shape))
    return generator.permuted(copies, axis=-1)


def _ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    return np.where(under > 0, over / np.where(under > 0, under, 1), 0.0)
