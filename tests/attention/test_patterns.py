"""Patterns against their definitions, position by position, and what `blocks` promises."""

import itertools
import operator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shisen.attention.patterns import (
    LONGEST_TEXT,
    PATTERNS,
    bigbird,
    block_local,
    causal,
    global_tokens,
    longformer,
    parse_pattern,
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
    assert repr(pattern) == "(window(2) | global_tokens([-1, 0])) & causal()"
    made = parse_pattern(str(pattern))
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


WRITTEN = {
    "window(64)": window(64),
    " longformer(32, [0])\n": longformer(32, [0]),
    "longformer()": longformer(),
    "bigbird(block=3, count=1, positions=(0, -1), seed=5)": bigbird(3, 1, [0, -1], 5),
    "window(16) | global_tokens([0])": window(16) | global_tokens([0]),
    "window(1) | strided(2) & causal()": window(1) | (strided(2) & causal()),
    "(window(1) | strided(2))\n  & causal()": (window(1) | strided(2)) & causal(),
    "global_tokens([])": global_tokens([]),
    "random_blocks(2, 4, -7)": random_blocks(2, 4, -7),
}


@pytest.mark.parametrize("text", WRITTEN)
def test_a_pattern_is_read_from_text(text):
    assert parse_pattern(text) == WRITTEN[text]


def numbers(least=1, most=10**6):
    return st.integers(least, most)


PLACES = st.lists(st.integers(-50, 50), max_size=4)
ALL_PATTERNS = st.recursive(
    st.one_of(
        st.builds(window, numbers(0)),
        st.builds(strided, numbers()),
        st.builds(causal),
        st.builds(global_tokens, PLACES),
        st.builds(block_local, numbers()),
        st.builds(random_blocks, numbers(), numbers(), st.integers(-(2**63) + 1, 2**63 - 1)),
        st.builds(longformer, numbers(), PLACES),
        st.builds(bigbird, numbers(), numbers(), PLACES, numbers()),
    ),
    lambda parts: st.builds(operator.or_, parts, parts) | st.builds(operator.and_, parts, parts),
    max_leaves=5,
)


@given(ALL_PATTERNS)
def test_a_pattern_as_text_is_read_as_an_equal_pattern(pattern):
    text = str(pattern)
    assert text == repr(pattern)
    if len(text) <= LONGEST_TEXT:
        assert parse_pattern(text) == pattern
        assert hash(parse_pattern(text)) == hash(pattern)


@given(st.text(alphabet="window(1)|&[],=- causl_0", max_size=60) | st.text(max_size=20))
def test_any_other_text_is_refused_by_a_value_error(text):
    try:
        pattern = parse_pattern(text)
    except ValueError:  # and by no other error
        return
    assert parse_pattern(str(pattern)) == pattern


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot read the pattern '': .*write calls such as window"),
        ("window(64", "cannot read the pattern 'window\\(64': "),
        (
            "windows(64)",
            "no pattern 'windows' \\(did you mean window\\?\\); there are window, strided, causal,",
        ),
        ("zigzag", "no pattern 'zigzag'; there are window"),
        ("causal", r"causal lacks its parentheses: causal\(\)"),
        ("window()", r"wrong arguments in window\(\): expected window\(radius\)"),
        ("window([1])", r"wrong arguments in window\(\[1\]\): expected window\(radius\)"),
        ("window(True)", "wrong arguments"),
        ("window(9223372036854775808)", "wrong arguments"),
        ("global_tokens(0)", "wrong arguments"),
        ("global_tokens([[0]])", "wrong arguments"),
        ("random_blocks(1, size=2)", r"expected random_blocks\(count, block, seed=0\) with integers"),
        ("bigbird(1, 2, [0], 0, 5)", r"expected bigbird\(block=64, count=3, positions=\(0,\), seed=0\)"),
        ("window(-1)", r"window\(-1\): expected radius of 0 or more, got -1"),
        ("window(1) - causal()", "is not a pattern"),
        ("window(1) and causal()", "is not a pattern"),
        ("window(1), causal()", "is not a pattern"),
        ("window(1)(2)", "is not a pattern"),
        ("window(window(1))", "wrong arguments"),
        ("window(1) # | causal()", "'#' has no meaning here"),
        ("__import__('os')", '"\'" has no meaning here'),
        ("window.__globals__", r"'\.' has no meaning here"),
        ("window(1)" + " | causal()" * 100, "at most 1,000 characters, got 1,109"),
        ("(" * 450 + "causal()" + ")" * 450, "cannot read"),
        ("window(" + "-" * 900 + "1)", "cannot read|wrong arguments"),
    ],
)
def test_what_cannot_be_read_is_named_with_what_can(text, message):
    with pytest.raises(ValueError, match=message):
        parse_pattern(text)


def test_every_pattern_has_its_name_in_the_list():
    names = "window strided causal global_tokens block_local random_blocks longformer bigbird"
    assert list(PATTERNS) == names.split()
