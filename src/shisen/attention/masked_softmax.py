"""Scores to weights: a softmax over the keys that may be attended to."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from shisen.attention.precision import widen


def masked_softmax(
    scores: Float[Tensor, "*batch queries keys"],
    mask: Bool[Tensor, "*#batch #queries keys"] | None = None,
) -> Float[Tensor, "*batch queries keys"]:
    """Turn alignment scores into attention weights.

        α_ij = m_ij exp(e_ij) / Σ_k m_ik exp(e_ik)

    Args:
        scores: e, the alignment scores.
        mask: m, True where a query may attend to a key; None: everywhere. One row serves all queries.

    Returns:
        α in float32 (float64 for float64 scores). Where the mask is False it is exactly 0; each row sums to
        1, except that a row with nothing to attend to is all 0, with gradient 0.
    """
    scores = widen(scores)
    if mask is None:
        return torch.softmax(scores, dim=-1)
    # The lowest finite number rather than -∞: a row of -∞ alone is 0/0, in the gradient as well.
    weights = torch.softmax(torch.where(mask, scores, torch.finfo(scores.dtype).min), dim=-1)
    return weights * mask  # an empty row came out uniform
