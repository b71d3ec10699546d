"""The precision that scores and weights are computed in: float32, or float64 where that was given."""

from contextlib import AbstractContextManager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor


def widen(tensor: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Half-precision tensors (float16, bfloat16) as float32; float32 and float64 as they are.

    A score of bfloat16 has 8 significant bits: at a score of 20, neighbouring values are 0.125 apart, which
    moves a softmax weight by 13 %.
    """
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


def autocast_off(device: torch.device) -> AbstractContextManager:
    """Return a block in which matrix products keep their operands' precision, also under autocast."""
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
