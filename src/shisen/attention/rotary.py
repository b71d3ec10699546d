"""Rotary positions: Su et al., "RoFormer: Enhanced transformer with rotary position embedding", 2021
(https://arxiv.org/abs/2104.09864)."""

import torch
from jaxtyping import Float
from torch import Tensor


def rotate_by_position(
    vectors: Float[Tensor, "*batch positions size"], first_position: int = 0, base: float = 10_000.0
) -> Float[Tensor, "*batch positions size"]:
    """Turn each pair of features by an angle that grows with the position.

        x'_2i   = x_2i cos(m θ_i) - x_2i+1 sin(m θ_i)
        x'_2i+1 = x_2i sin(m θ_i) + x_2i+1 cos(m θ_i),      θ_i = base^(-2i / size)

    (Su et al. 2021, equations 15 and 34.) The product of a turned query and a turned key then depends on
    their contents and on how far apart they stand, m - n, alone.

    Args:
        vectors: x, queries or keys; ``size`` is even.
        first_position: m of the first vector.
        base: how slowly the last pair turns.

    Raises:
        ValueError: the size is odd.
    """
    positions, size = vectors.shape[-2:]
    if size % 2:
        raise ValueError(f"expected vectors of an even size, got {size}")
    # In float64: at position 100,000 an angle of float32 is off by up to 0.004.
    exponents = torch.arange(0, size, 2, device=vectors.device, dtype=torch.float64) / size
    places = torch.arange(first_position, first_position + positions, device=vectors.device)
    angles = places[:, None] * base**-exponents  # [positions, size / 2]
    cosine, sine = angles.cos().to(vectors.dtype), angles.sin().to(vectors.dtype)
    even, odd = vectors[..., 0::2], vectors[..., 1::2]
    return torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], -1).flatten(-2)
