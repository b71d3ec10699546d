"""What tells attention where a token stands: a vector added to its
embedding, turned queries and keys, or something added to the scores.

* Sinusoidal: Vaswani et al., "Attention is all you need", NeurIPS 2017 (https://arxiv.org/abs/1706.03762).
* Rotary: Su et al., "RoFormer: Enhanced transformer with rotary position embedding", 2021
  (https://arxiv.org/abs/2104.09864).
* ALiBi: Press, Smith and Lewis, "Train short, test long: attention with linear biases", ICLR 2022
  (https://arxiv.org/abs/2108.12409).
* Relative: Shaw, Uszkoreit and Vaswani, "Self-attention with relative position representations", NAACL 2018
  (https://arxiv.org/abs/1803.02155).
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor


def rotate_by_position(
    vectors: Float[Tensor, "*batch positions size"],
    positions: int | Int[Tensor, " positions"] = 0,
    base: float = 10_000.0,
) -> Float[Tensor, "*batch positions size"]:
    """Turn each pair of features by an angle that grows with the position.

        x'_2i   = x_2i cos(m θ_i) - x_2i+1 sin(m θ_i)
        x'_2i+1 = x_2i sin(m θ_i) + x_2i+1 cos(m θ_i),      θ_i = base^(-2i / size)

    (Su et al. 2021, equations 15 and 34.) The product of a turned query and a turned key then depends on
    their contents and on how far apart they stand, m - n, alone.

    Args:
        vectors: x, queries or keys; ``size`` is even.
        positions: m of the first vector, from which the others count on; or of each.
        base: how slowly the last pair turns.

    Raises:
        ValueError: the size is odd.
    """
    length, size = vectors.shape[-2:]
    if size % 2:
        raise ValueError(f"expected vectors of an even size, got {size}")
    angles = _angles(_places(length, positions, vectors.device), size, base)  # [positions, size / 2]
    cosine, sine = angles.cos().to(vectors.dtype), angles.sin().to(vectors.dtype)
    even, odd = vectors[..., 0::2], vectors[..., 1::2]
    return torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], -1).flatten(-2)


def sinusoidal_positions(
    count: int,
    size: int,
    first_position: int = 0,
    base: float = 10_000.0,
    device: torch.device | None = None,
) -> Float[Tensor, "count size"]:
    """Make a vector for each position, to be added to the embedding of the token that stands there.

        P_(m, 2i) = sin(m θ_i)      P_(m, 2i+1) = cos(m θ_i),      θ_i = base^(-2i / size)

    (Vaswani et al. 2017, section 3.5.) P_(m+k) is a linear function of P_m, the same for every m.

    Args:
        count: how many positions.
        size: features of a vector; even.
        first_position: m of the first vector.
        base: how slowly the last pair of features turns.
        device: where to make them.

    Raises:
        ValueError: the size is odd.
    """
    if size % 2:
        raise ValueError(f"expected vectors of an even size, got {size}")
    angles = _angles(_places(count, first_position, device), size, base)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2).float()


def alibi_slopes(heads: int) -> Float[Tensor, " heads"]:
    """How steeply each head's scores fall with the distance: 2^(-8 i / heads) for the i-th head.

    (Press et al. 2022, section 3.) Where the number of heads is no power of two, the paper's code takes the
    slopes of the power below, and every second slope of twice as many for the rest; so does this.
    """

    def geometric(count: int) -> list[float]:
        return [2.0 ** (-8.0 * i / count) for i in range(1, count + 1)]

    below = 2 ** math.floor(math.log2(heads))
    return torch.tensor(geometric(below) + geometric(2 * below)[0::2][: heads - below])


def alibi_bias(
    heads: int,
    queries: int,
    keys: int,
    query_positions: int | Int[Tensor, " queries"] | None = None,
    key_positions: Int[Tensor, " keys"] | None = None,
    device: torch.device | None = None,
) -> Float[Tensor, "heads queries keys"]:
    """What ALiBi adds to the scores: -slope |i - j| (Press et al. 2022; |i - j| also serves encoders).

    Args:
        heads: how many heads.
        queries: how many queries.
        keys: how many keys.
        query_positions: the position of the first query, or of each; None: the last query stands at the last
            key's position.
        key_positions: the position of each key; None: from 0 on.
        device: where to make it.
    """
    distances = _distances(queries, keys, query_positions, key_positions, device).abs()
    return -alibi_slopes(heads).to(distances.device)[:, None, None] * distances


def relative_scores(
    query: Float[Tensor, "batch heads queries size"],
    embeddings: Float[Tensor, "distances size"],
    keys: int,
    query_positions: int | Int[Tensor, " queries"] | None = None,
    key_positions: Int[Tensor, " keys"] | None = None,
) -> Float[Tensor, "batch heads queries keys"]:
    """Score every distance by the query.

        q_i · a_clip(j - i, -k, k) / √size

    (Shaw et al. 2018, equation 4, which adds this to the scores; the paper finds that what equation 3 adds to
    the values changes nothing.)

    Args:
        query: q, the projected queries.
        embeddings: a, one for each distance from -k to k.
        keys: how many keys.
        query_positions: the position of the first query, or of each; None: the last query stands at the last
            key's position.
        key_positions: the position of each key; None: from 0 on.
    """
    most = len(embeddings) // 2
    distances = _distances(query.shape[-2], keys, query_positions, key_positions, query.device)
    distances = distances.clamp(-most, most) + most
    scores = query @ embeddings.t() * query.shape[-1] ** -0.5  # [batch, heads, queries, distances]
    return scores.gather(-1, distances.expand(*query.shape[:-1], keys))


def _places(count: int, positions: int | Tensor, device: torch.device | None) -> Int[Tensor, " count"]:
    """The position of each of `count` vectors: those given, or one after the other from the first."""
    if isinstance(positions, Tensor):
        return positions
    return torch.arange(positions, positions + count, device=device)


def _angles(places: Int[Tensor, " positions"], size: int, base: float) -> Float[Tensor, "positions pairs"]:
    """m θ_i of every position and pair; in float64: at m = 100,000 a float32 is off by up to 0.004."""
    exponents = torch.arange(0, size, 2, device=places.device, dtype=torch.float64) / size
    return places[:, None] * base**-exponents


def _distances(
    queries: int,
    keys: int,
    query_positions: int | Tensor | None,
    key_positions: Tensor | None,
    device: torch.device | None,
) -> Int[Tensor, "queries keys"]:
    """How far each key stands behind each query: j - i."""
    first = keys - queries if query_positions is None else query_positions
    places = torch.arange(keys, device=device) if key_positions is None else key_positions
    return places - _places(queries, first, device)[:, None]
