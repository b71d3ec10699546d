"""The mechanisms by name."""

import pytest

from shisen.attention import (
    MECHANISMS,
    BahdanauAttention,
    LocalAttention,
    LuongAttention,
    NoAttention,
    build_attention,
)
from shisen.errors import UserError


@pytest.mark.parametrize(
    ("name", "type_of_it"),
    [
        ("none", NoAttention),
        ("bahdanau", BahdanauAttention),
        ("luong-dot", LuongAttention),
        ("luong-general", LuongAttention),
        ("luong-concat", LuongAttention),
        ("local-m", LocalAttention),
        ("local-p", LocalAttention),
    ],
)
def test_every_name_builds_its_mechanism(name, type_of_it):
    assert type(build_attention(name, 4, 4, 3)) is type_of_it
    assert name in MECHANISMS


def test_sizes_dropout_and_direction_reach_the_mechanism():
    bahdanau = build_attention("bahdanau", 4, 6, 3, dropout=0.25)
    assert isinstance(bahdanau, BahdanauAttention)
    assert (bahdanau.U_a.weight.shape, bahdanau.W_a.weight.shape) == ((3, 6), (3, 4))
    assert bahdanau.dropout == 0.25
    concat = build_attention("luong-concat", 4, 6, 3, dropout=0.5)
    assert isinstance(concat, LuongAttention)
    assert concat.W_a.weight.shape == (3, 10)
    assert concat.dropout == 0.5
    for name, score in [("luong-dot", "dot"), ("luong-general", "general"), ("luong-concat", "concat")]:
        luong = build_attention(name, 4, 4, 3, dropout=0.125)
        assert isinstance(luong, LuongAttention)
        assert (luong.score_name, luong.dropout) == (score, 0.125)
    for name, alignment in [("local-m", "monotonic"), ("local-p", "predictive")]:
        local = build_attention(name, 4, 6, 3, dropout=0.125, window=7)
        assert isinstance(local, LocalAttention)
        assert (local.alignment, local.window, local.dropout) == (alignment, 7, 0.125)
    none = build_attention("none", 4, 6, 3, bidirectional=True)
    assert isinstance(none, NoAttention)
    assert none.bidirectional


@pytest.mark.parametrize("name", [name for name in MECHANISMS if name != "none"])
def test_the_function_reaches_every_mechanism(name):
    assert build_attention(name, 4, 4, 3, function="entmax15").function == "entmax15"


@pytest.mark.parametrize("name", MECHANISMS)
def test_coverage_reaches_the_mechanisms_that_take_it_and_is_refused_by_the_others(name):
    if MECHANISMS[name].takes_coverage:
        assert build_attention(name, 4, 4, 3, has_coverage=True).has_coverage
        assert not build_attention(name, 4, 4, 3).has_coverage
        return
    with pytest.raises(UserError) as error:
        build_attention(name, 4, 4, 3, has_coverage=True)
    assert str(error.value) == f"attention {name!r} reads no coverage; bahdanau, luong-concat do"


def test_an_unknown_name_is_refused_with_the_names_that_exist():
    with pytest.raises(UserError) as error:
        build_attention("bahdanu", 4, 4, 3)
    assert str(error.value) == (
        "unknown attention 'bahdanu'; choose one of none, bahdanau, luong-dot, luong-general, luong-concat, "
        "local-m, local-p"
    )


def test_sizes_that_a_mechanism_does_not_allow_are_the_users_to_mend():
    with pytest.raises(UserError, match=r"attention 'luong-dot': .* equal, got 4 and 6"):
        build_attention("luong-dot", 4, 6, 3)
