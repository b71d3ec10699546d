"""Scores to weights: by the softmax, or by a function that gives unlikely keys a weight of exactly 0.

sparsemax: Martins and Astudillo, "From softmax to sparsemax", ICML 2016 (https://arxiv.org/abs/1602.02068).
1.5-entmax: Peters, Niculae and Martins, "Sparse sequence-to-sequence models", ACL 2019
(https://arxiv.org/abs/1905.05702). Both come from the authors' library, the extra ``entmax``.
"""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from shisen.attention.masked_softmax import masked_softmax
from shisen.attention.precision import widen
from shisen.errors import UserError

AttentionFunction = Literal["softmax", "sparsemax", "entmax15"]

WeightEdit = Callable[[Tensor], Tensor]
"""What puts other weights in the place of those of a mechanism, of the same shape, before dropout."""


def attention_weights(
    scores: Float[Tensor, "*batch queries keys"],
    mask: Bool[Tensor, "*#batch #queries keys"] | None = None,
    function: AttentionFunction = "softmax",
) -> Float[Tensor, "*batch queries keys"]:
    """Turn alignment scores into attention weights, over the keys that the mask allows.

        softmax:   α_j = exp(e_j) / Σ_k exp(e_k)
        sparsemax: α_j = max(e_j - τ, 0)
        entmax15:  α_j = max(e_j / 2 - τ, 0)²

    with the τ that makes a row sum to 1 (Martins and Astudillo 2016, proposition 1; Peters et al. 2019, with
    α = 1.5). Sparsemax gives 0 to every key that scores 1 or more below the best, entmax15 to every key that
    scores 2 or more below it.

    Args:
        scores: e, the alignment scores.
        mask: True where a query may attend to a key; None: everywhere. One row serves all queries.
        function: "softmax", "sparsemax" or "entmax15".

    Returns:
        α in float32 (float64 for float64 scores). Where the mask is False it is exactly 0; each row sums to
        1, except that a row with nothing to attend to is all 0, with gradient 0.

    Raises:
        ValueError: an unknown function.
        UserError: the library ``entmax`` is not installed.
    """
    if function == "softmax":
        return masked_softmax(scores, mask)
    return _sparse_weights(widen(scores), mask, _sparse_function(function))


def check_function(function: str) -> None:
    """Raise now what :func:`attention_weights` would raise of this function."""
    if function != "softmax":
        _sparse_function(function)


def _sparse_weights(scores: Tensor, mask: Tensor | None, function: Callable[[Tensor], Tensor]) -> Tensor:
    if scores.shape[-1] == 0:
        return scores
    if mask is not None:
        # So far below the best key that it has weight 0, and near enough that no square of it overflows.
        best = torch.where(mask, scores, torch.finfo(scores.dtype).min).amax(-1, keepdim=True).detach()
        scores = torch.where(mask, scores, best - 4)
    # The library looks for τ at an index that does not exist where a score is not a number.
    is_number = scores.isfinite().all(-1, keepdim=True)
    weights = function(torch.where(is_number, scores, 0.0))
    weights = torch.where(is_number, weights, torch.nan)
    return weights if mask is None else weights * mask  # an empty row came out uniform


def _sparse_function(name: str) -> Callable[[Tensor], Tensor]:
    """The library's function, over the last axis."""
    if name not in get_args(AttentionFunction):
        raise ValueError(f"unknown function {name!r}; choose one of {', '.join(get_args(AttentionFunction))}")
    try:
        import entmax
    except ImportError:
        raise UserError(
            f'the attention function {name} needs an extra: pip install "shisen[entmax]"'
        ) from None
    return getattr(entmax, name)
