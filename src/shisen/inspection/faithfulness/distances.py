"""How far two distributions are from each other."""

import torch
from jaxtyping import Float
from torch import Tensor


def total_variation(
    first: Float[Tensor, "*#shape outcomes"], second: Float[Tensor, "*#shape outcomes"]
) -> Float[Tensor, "*shape"]:
    """TVD(p, q) = ½ Σ_i |p_i - q_i|: the most by which the probability of any event differs, from 0 to 1."""
    return (first - second).abs().sum(-1) / 2


def jensen_shannon(
    first: Float[Tensor, "*#shape outcomes"], second: Float[Tensor, "*#shape outcomes"]
) -> Float[Tensor, "*shape"]:
    """JSD(p, q) = ½ KL(p ‖ m) + ½ KL(q ‖ m),  m = ½ (p + q): in nats, from 0 to ln 2 (Lin 1991)."""
    middle = (first + second) / 2
    # A gradient of xlogy at 0 is infinite: outcomes of probability 0 are moved by less than counts.
    least = torch.finfo(middle.dtype).tiny
    log_middle = middle.clamp_min(least).log()
    sides = [side * (side.clamp_min(least).log() - log_middle) for side in (first, second)]
    return ((sides[0] + sides[1]).sum(-1) / 2).clamp_min(0.0)
