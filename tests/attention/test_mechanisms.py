"""The mechanisms by name."""

import pytest

from shisen.attention import MECHANISMS, BahdanauAttention, LuongAttention, NoAttention, build_attention
from shisen.errors import UserError


@pytest.mark.parametrize(
    ("name", "type_of_it"),
    [
        ("none", NoAttention),
        ("bahdanau", BahdanauAttention),
        ("luong-dot", LuongAttention),
        ("luong-general", LuongAttention),
        ("luong-concat", LuongAttention),
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
    none = build_attention("none", 4, 6, 3, bidirectional=True)
    assert isinstance(none, NoAttention)
    assert none.bidirectional


def test_an_unknown_name_is_refused_with_the_names_that_exist():
    with pytest.raises(UserError) as error:
        build_attention("bahdanu", 4, 4, 3)
    assert str(error.value) == (
        "unknown attention 'bahdanu'; choose one of none, bahdanau, luong-dot, luong-general, luong-concat"
    )


def test_sizes_that_a_mechanism_does_not_allow_are_the_users_to_mend():
    with pytest.raises(UserError, match=r"attention 'luong-dot': .* equal, got 4 and 6"):
        build_attention("luong-dot", 4, 6, 3)
