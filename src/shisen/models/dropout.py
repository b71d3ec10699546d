"""Dropout whose mask costs little to draw on a CPU.

Drawing one floating-point number for each feature is a visible part of a training step. Here one 64-bit
random integer decides four features, with 16 bits each: a feature is dropped with probability
round(p * 65536) / 65536, at most 65535 / 65536, and what stays is scaled by the inverse of exactly that.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

_LEVELS = 1 << 16


def _dropped_levels(probability: float) -> int:
    """How many of the 65536 values of 16 bits drop a feature; one at least keeps it."""
    return min(round(probability * _LEVELS), _LEVELS - 1)


def keep_mask(like: Tensor, probability: float) -> Bool[Tensor, "..."]:
    """A mask of the shape of `like`, False with `probability` (in steps of 1/65536)."""
    draws = torch.empty((like.numel() + 3) // 4, dtype=torch.int64, device=like.device)
    draws.random_(-(1 << 63), None)
    threshold = _dropped_levels(probability) - _LEVELS // 2  # int16 runs from -32768
    return (draws.view(torch.int16)[: like.numel()] >= threshold).view(like.shape)


class Dropout(nn.Module):
    """Sets features to 0 with `probability` in training and scales the others (Srivastava et al. 2014).

    The same as ``torch.nn.Dropout``, but for how the mask is drawn.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, inputs: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Drop features of `inputs`, of any shape, in training; else give them back."""
        dropped = _dropped_levels(self.probability)
        if not self.training or not dropped:
            return inputs
        scale = _LEVELS / (_LEVELS - dropped)
        return inputs * keep_mask(inputs, self.probability).to(inputs.dtype).mul_(scale)

    def extra_repr(self) -> str:
        """The probability, for ``print(model)``."""
        return f"probability={self.probability}"
