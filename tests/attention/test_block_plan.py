"""The plan of sparse attention: all that a pattern allows, little else, and few masks."""

import pytest
import torch

from shisen.attention.block_plan import WASTE, make_plan
from shisen.attention.patterns import (
    bigbird,
    block_local,
    causal,
    global_tokens,
    longformer,
    strided,
    window,
)

PATTERNS = [
    window(3),
    causal(),
    strided(4),
    block_local(5),
    longformer(2, [0]),
    bigbird(3, 1),
    strided(7) & window(9),
]
CPU = torch.device("cpu")


def planned(pattern, length, size):
    """The mask that a plan comes to."""
    plan, count = make_plan(pattern, length, size, CPU), -(-length // size)
    whole = torch.zeros(count * size, count * size, dtype=torch.long)
    for group in plan.groups:
        allowed = plan.allowed(group).unflatten(2, (-1, size))  # [rows, size, columns, size]
        for row, columns, masks in zip(group.rows, group.columns, allowed, strict=True):
            for column, mask in zip(columns, masks.unbind(1), strict=True):
                whole[row * size : (row + 1) * size, column * size : (column + 1) * size] += mask
    return whole


@pytest.mark.parametrize("pattern", PATTERNS, ids=repr)
@pytest.mark.parametrize(("length", "size"), [(17, 4), (16, 4), (17, 1), (3, 3), (1, 1)])
def test_a_plan_comes_to_the_mask_of_the_pattern_each_pair_once(pattern, length, size):
    whole = planned(pattern, length, size)
    assert torch.equal(whole[:length, :length], pattern.mask(length).long())
    assert whole.sum() == pattern.mask(length).sum()  # and nothing past the end


def test_blocks_in_which_nothing_is_allowed_are_left_out():
    plan = make_plan(strided(8) & window(9), 64, 4, CPU)  # j − i = −8, 0 and 8
    assert [group.columns.shape[1] for group in plan.groups] == [2, 3]
    assert make_plan(global_tokens([99]), 20, 4, CPU).groups == ()


def test_a_band_has_as_many_masks_however_long_the_sequence():
    assert [len(make_plan(window(8), length, 8, CPU).masks) for length in (64, 1024)] == [4, 4]


@pytest.mark.parametrize("pattern", [causal(), bigbird(8, 2, [0], 1)], ids=repr)
def test_little_is_computed_for_nothing(pattern):
    plan = make_plan(pattern, 1024, 8, CPU)
    sizes = [(group.kinds.numel(), int((group.kinds > 0).sum())) for group in plan.groups]
    assert all(numel <= WASTE * real for numel, real in sizes)
    assert len(plan.groups) < 25


def test_a_group_comes_in_chunks_of_a_row_at_least():
    (_, group) = make_plan(window(8), 256, 8, CPU).groups  # 30 rows of 3 blocks between those at the ends
    assert [len(chunk.rows) for chunk in group.chunks(36)] == [12, 12, 6]
    assert [len(chunk.rows) for chunk in group.chunks(0)] == [1] * 30
