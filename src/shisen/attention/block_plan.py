"""Which blocks of a sequence have to be looked at under a pattern, and which of their positions.

A plan holds numbers of blocks, and one mask for each kind of pair of blocks: of a band that is the few along
its edges and the full one, however long the sequence.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from shisen.attention.patterns import Pattern

PAIRS_AT_ONCE = 2**18  # pairs of positions that a pattern is asked about at once
WASTE = 1.25  # blocks of keys, padding among them, to those that a row of blocks has


class Group(NamedTuple):
    """Blocks of queries that attend to about equally many blocks of keys."""

    rows: Int[Tensor, " rows"]  # blocks of queries
    columns: Int[Tensor, "rows columns"]  # the blocks of keys of each, some of them padding
    kinds: Int[Tensor, "rows columns"]  # the mask of each pair of blocks, padding's is 0

    def chunks(self, pairs: int) -> "list[Group]":
        """The group in pieces of about so many pairs of blocks, of one row at least."""
        rows = max(1, pairs // self.columns.shape[1])
        return [Group(*parts) for parts in zip(*(part.split(rows) for part in self), strict=True)]


class Plan(NamedTuple):
    """What is computed for one pattern, length and size of block."""

    groups: tuple[Group, ...]
    masks: Bool[Tensor, "kinds block block"]  # queries × keys; the first allows nothing

    def allowed(self, group: Group) -> Bool[Tensor, "rows block keys"]:
        """Which keys of its blocks each query of a group may attend to."""
        masks = self.masks.index_select(0, group.kinds.flatten()).unflatten(0, group.kinds.shape)
        return masks.transpose(1, 2).flatten(2)


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # the plan is kept, and what comes next may need gradients
def make_plan(pattern: Pattern, length: int, size: int, device: torch.device) -> Plan:
    """Plan the blocks that a pattern needs; blocks in which it allows nothing are left out.

    Args:
        pattern: which positions may attend to which.
        length: of the sequence.
        size: positions in a block; the last may reach past the end.
        device: where the plan will be used.
    """
    count = -(-length // size)
    pairs = pattern.blocks(count, size, length).nonzero()  # [pairs, 2], by row and column
    kinds, masks = _kinds(pattern, pairs, length, size)
    pairs, kinds = pairs[kinds > 0], kinds[kinds > 0]
    rows, columns = pairs.unbind(1)
    widths = rows.bincount(minlength=count)  # blocks of keys of each row
    order = torch.arange(len(rows)) - (widths.cumsum(0) - widths)[rows]  # of a pair within its row
    classes = (widths.clamp(min=1).double().log() / math.log(WASTE)).ceil()
    groups = []
    for number in classes[widths > 0].unique():
        is_member = (classes == number) & (widths > 0)
        members, is_pair = is_member.nonzero().squeeze(1), is_member[rows]
        place = (is_member.cumsum(0) - 1)[rows[is_pair]], order[is_pair]
        parts = []
        for values in (columns, kinds):
            table = torch.zeros(len(members), int(widths[members].max()), dtype=torch.long)
            table[place] = values[is_pair]
            parts.append(table.to(device))
        groups.append(Group(members.to(device), *parts))
    return Plan(tuple(groups), masks.to(device))


def _kinds(pattern: Pattern, pairs: Tensor, length: int, size: int) -> tuple[Tensor, Tensor]:
    """For pairs of blocks [pairs, 2] the number of their mask [pairs], and the masks [kinds, size, size]."""
    inside, last = torch.arange(size), length - 1
    masks = [torch.zeros(size, size, dtype=torch.bool)]
    numbers = {masks[0].numpy().tobytes(): 0}
    kinds = []
    for some in pairs.split(max(1, PAIRS_AT_ONCE // size**2)):
        queries, keys = (some[:, :, None] * size + inside).unbind(1)  # [some, size] each
        queries, keys = queries[:, :, None], keys[:, None]
        allowed = pattern.allows(queries.clamp(max=last), keys.clamp(max=last), length)  # [some, size, size]
        for mask in allowed & (queries < length) & (keys < length):
            number = numbers.setdefault(mask.numpy().tobytes(), len(masks))
            if number == len(masks):
                masks.append(mask.clone())
            kinds.append(number)
    return torch.tensor(kinds, dtype=torch.long), torch.stack(masks)
