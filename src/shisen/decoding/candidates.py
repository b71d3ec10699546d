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
    _, groups = _largest(maxima, count)
    groups = groups.sort(dim=-1).values  # [rows, groups]: in order of beam and token again

    group_beams = groups // groups_per_beam
    first = (groups - group_beams * groups_per_beam) * _GROUP
    tokens = first[..., None] + torch.arange(_GROUP, device=logits.device)  # [rows, groups, 64]
    exists = tokens < vocabulary
    places = group_beams[..., None] * vocabulary + tokens.clamp(max=vocabulary - 1)
    values = logits.flatten(1).gather(1, places.flatten(1)).view_as(places)
    values = values + offsets.gather(1, group_beams)[..., None]
    values = values.masked_fill(~exists, float("-inf")).flatten(1)  # [rows, groups * 64]

    values, order = _largest(values, min(count, beams * vocabulary))
    places = places.flatten(1).gather(1, order)
    return values, places // vocabulary, places % vocabulary


def _largest(
    values: Float[Tensor, "rows items"], count: int
) -> tuple[Float[Tensor, "rows count"], Int[Tensor, "rows count"]]:
    """Return the `count` largest of each row in falling order, and where they are; of equals the first.

    `torch.topk` is much faster than a stable sort, and gives the same unless it has a choice between equals.
    """
    largest, places = values.topk(min(count + 1, values.shape[1]), dim=1)
    is_choice = (largest[:, 1:] == largest[:, :-1]) & largest[:, 1:].isfinite()
    if is_choice.any():
        largest, places = values.sort(dim=1, descending=True, stable=True)
    return largest[:, :count], places[:, :count]
