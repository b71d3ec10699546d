"""The best continuations of a sentence's beams, without a sorted or normalised copy of all logits."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

_GROUP = 64  # tokens whose maximum stands for them in the first pass


def best_candidates(
    logits: Float[Tensor, "rows beams vocabulary"], offsets: Float[Tensor, "rows beams"], count: int
) -> tuple[Float[Tensor, "rows count"], Int[Tensor, "rows count"], Int[Tensor, "rows count"]]:
    """Return the largest ``logits + offsets`` over all beams and tokens of a row, in falling order.

    Of equal values the lower beam, then the lower token, comes first, so that the outcome never depends on
    the batch. Two passes: the maximum of every group of 64 tokens; then the members of the `count` best
    groups, among which the `count` best tokens must be.

    Returns:
        values, beams and tokens, each ``[rows, count]`` (fewer columns where a row has fewer tokens).
    """
    beams, vocabulary = logits.shape[1:]
    groups_per_beam = -(-vocabulary // _GROUP)
    whole = vocabulary // _GROUP * _GROUP
    maxima = logits[..., :whole].unflatten(-1, (-1, _GROUP)).amax(-1)  # [rows, beams, whole groups]
    if whole < vocabulary:
        maxima = torch.cat([maxima, logits[..., whole:].amax(-1, keepdim=True)], dim=-1)
    maxima = (maxima + offsets[..., None]).flatten(1)  # [rows, beams * groups]
    _, groups = maxima.sort(dim=-1, descending=True, stable=True)
    groups = groups[:, :count].sort(dim=-1).values  # in order of beam and token again

    group_beams = groups // groups_per_beam  # [rows, groups]
    first = (groups - group_beams * groups_per_beam) * _GROUP
    tokens = first[..., None] + torch.arange(_GROUP, device=logits.device)  # [rows, groups, 64]
    exists = tokens < vocabulary
    places = group_beams[..., None] * vocabulary + tokens.clamp(max=vocabulary - 1)
    values = logits.flatten(1).gather(1, places.flatten(1)).view_as(places)
    values = values + offsets.gather(1, group_beams)[..., None]
    values = values.masked_fill(~exists, float("-inf")).flatten(1)  # [rows, groups * 64]

    values, order = values.sort(dim=-1, descending=True, stable=True)
    kept = min(count, beams * vocabulary)
    places = places.flatten(1).gather(1, order[:, :kept])
    return values[:, :kept], places // vocabulary, places % vocabulary
