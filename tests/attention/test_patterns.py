"""Patterns against their definitions, position by position, and what `blocks` promises."""

import itertools

import pytest
import torch

from shisen.attention import patterns
from shisen.attention.patterns import (
    bigbird,
    block_local,
    causal,
    global_tokens,
    longformer,
    random_blocks,
    strided,
    window,
)

DEFINITIONS = {
    window(3): lambda i, j: abs(i - j) <= 3,
    window(0): lambda i, j: i == j,
    strided(4): lambda i, j: (i - j) % 4 == 0,
    causal(): lambda i, j: j <= i,
    global_tokens([0, 5]): lambda i, j: i in (0, 5) or j in (0, 5),
    global_tokens([-1, 99]): lambda i, j: 16 in (i, j),
    block_local(5): lambda i, j: i // 5 == j // 5,
    (window(2) | strided(5)) & causal(): lambda i, j: j <= i and (i - j <= 2 or (i - j) % 5 == 0),
    longformer(2, [3]): lambda i, j: abs(i - j) <= 2 or 3 in (i, j),
}


@pytest.mark.parametrize("pattern", DEFINITIONS, ids=repr)
def test_the_mask_is_the_definition(pattern):
    expected = [[DEFINITIONS[pattern](i, j) for j in range(17)] for i in range(17)]
    assert pattern.mask(17).tolist() == expected
    assert pattern.density(17) == sum(map(sum, expected)) / 17**2


def test_fewer_queries_than_keys_are_the_last_positions():
    pattern = (window(2) | global_tokens([0])) & causal()
    assert torch.equal(pattern.mask(3, 10), pattern.mask(10)[7:])
    assert pattern.mask(0, 4).shape == (0, 4)
    with pytest.raises(ValueError, match="as many queries as the 3 keys, got 4"):
        pattern.mask(4, 3)


def test_random_blocks_are_whole_blocks_drawn_once_for_a_seed():
    pattern = random_blocks(2, 4, seed=7)
    mask = pattern.mask(18)  # 5 blocks, the last of two positions
    as_blocks = torch.nn.functional.pad(mask, (0, 2, 0, 2)).unflatten(0, (5, 4)).unflatten(2, (5, 4))
    drawn = as_blocks[:, 0, :, 0]
    assert (drawn.sum(1) == 2).all()
    whole = drawn[:, None, :, None].expand(5, 4, 5, 4).flatten(2).flatten(0, 1)
    assert torch.equal(mask, whole[:18, :18])
    assert torch.equal(mask, random_blocks(2, 4, seed=7).mask(18))
    assert not torch.equal(mask, random_blocks(2, 4, seed=8).mask(18))
    assert random_blocks(9, 4).mask(18).all()  # fewer blocks than were asked for: all of them


COMBINED = [bigbird(3, 1, [2], 5), strided(7) & window(9), causal() & strided(3)]
SINGLE = [window(3), strided(4), strided(9), block_local(5), random_blocks(1, 3)]


@pytest.mark.parametrize("pattern", [*DEFINITIONS, *COMBINED, random_blocks(1, 3, 1)], ids=repr)
@pytest.mark.parametrize(("length", "size"), [(17, 4), (16, 4), (17, 1), (3, 8), (17, 6)])
def test_blocks_miss_nothing_that_is_allowed(pattern, length, size):
    count = -(-length // size)
    blocks = pattern.blocks(count, size, length)
    mask = pattern.mask(length)
    for a, b in itertools.product(range(count), repeat=2):
        if mask[a * size : (a + 1) * size, b * size : (b + 1) * size].any():
            assert blocks[a, b]


@pytest.mark.parametrize("pattern", SINGLE, ids=repr)
def test_blocks_of_a_single_pattern_hold_something_that_is_allowed(pattern):
    blocks, mask = pattern.blocks(6, 3, 18), pattern.mask(18)
    held = mask.unflatten(0, (6, 3)).unflatten(2, (6, 3)).any(3).any(1)
    assert torch.equal(blocks, held)


def test_a_band_touches_a_band_of_blocks():
    blocks = window(64).blocks(256, 64, 16384)
    assert blocks.sum() == 3 * 256 - 2


def test_patterns_say_how_they_are_made():
    pattern = (window(2) | global_tokens([0, -1])) & causal()
    assert repr(pattern) == "((window(2) | global_tokens([-1, 0])) & causal())"
    made = eval(repr(pattern), vars(patterns))
    assert made == pattern
    assert hash(made) == hash(pattern)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: window(-1), "expected radius of 0 or more, got -1"),
        (lambda: strided(0), "expected stride of 1 or more, got 0"),
        (lambda: block_local(0), "expected size of 1 or more, got 0"),
        (lambda: random_blocks(0, 4), "expected count of 1 or more, got 0"),
        (lambda: random_blocks(1, 0), "expected block of 1 or more, got 0"),
    ],
)
def test_impossible_numbers_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
