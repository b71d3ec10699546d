"""Luong's three scores against their formulas, written out in NumPy."""

import numpy as np
import pytest
import torch

from shisen.attention import LuongAttention, dot_scores


def luong_score_by_formula(name, s, h, state):
    """score(s, h) as Luong et al. 2015, section 3.1, print it."""
    if name == "dot":
        return s @ h
    if name == "general":
        return s @ state["W_a.weight"] @ h
    return state["v_a"] @ np.tanh(state["W_a.weight"] @ np.concatenate([s, h]))


@pytest.mark.parametrize("score", ["dot", "general", "concat"])
def test_context_and_weights_are_the_formula(score, sentences):
    attention = LuongAttention(6, 6, score, attention_size=7).double()
    context, weights = attention(*sentences)
    state = {name: tensor.numpy() for name, tensor in attention.state_dict().items()}

    query, keys, values, mask = (tensor.numpy() for tensor in sentences)
    for b, i in np.ndindex(3, 4):
        real = np.flatnonzero(mask[b])
        e = np.array([luong_score_by_formula(score, query[b, i], keys[b, j], state) for j in real])
        expected = np.zeros(5)
        expected[real] = np.exp(e) / np.exp(e).sum()
        np.testing.assert_allclose(weights[b, i].detach().numpy(), expected, rtol=1e-10)
        np.testing.assert_allclose(context[b, i].detach().numpy(), expected @ values[b], rtol=1e-10)


@pytest.mark.parametrize("score", ["general", "concat"])
def test_queries_and_keys_of_different_sizes(score):
    attention = LuongAttention(query_size=3, key_size=5, score=score).double()
    state = {name: tensor.numpy() for name, tensor in attention.state_dict().items()}
    query, keys = torch.randn(2, 1, 3, dtype=torch.float64), torch.randn(2, 4, 5, dtype=torch.float64)
    scores = attention.score(query, attention.prepare(keys).projected).detach().numpy()
    for b, j in np.ndindex(2, 4):
        expected = luong_score_by_formula(score, query[b, 0].numpy(), keys[b, j].numpy(), state)
        np.testing.assert_allclose(scores[b, 0, j], expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        ("dot", {}),
        ("general", {"W_a.weight": (3, 3)}),
        ("concat", {"W_a.weight": (5, 6), "v_a": (5,)}),
    ],
)
def test_parameters_carry_the_names_and_shapes_of_the_paper(score, expected):
    state = LuongAttention(3, 3, score, attention_size=5).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == expected


def test_general_may_map_between_sizes_and_concat_has_the_size_of_the_query_unless_told():
    assert LuongAttention(3, 4, "general").W_a.weight.shape == (3, 4)
    assert LuongAttention(3, 4, "concat").W_a.weight.shape == (3, 7)


def test_dot_prepares_no_second_copy_of_the_keys():
    keys = torch.randn(2, 4, 3)
    prepared = LuongAttention(3, 3, "dot").prepare(keys)
    assert prepared.projected is keys
    chosen = prepared.select(torch.tensor([1]))
    assert chosen.projected is chosen.keys
    assert chosen.values is chosen.keys


def test_dot_scores_keep_float32_under_autocast():
    query, keys = torch.randn(2, 3, 64), torch.randn(2, 5, 64)
    expected = dot_scores(query, keys)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(dot_scores(query, keys), expected)


def test_dot_scores_of_bfloat16_are_not_rounded_to_bfloat16():
    query, keys = torch.randn(2, 3, 64).bfloat16(), torch.randn(2, 5, 64).bfloat16()
    scores = dot_scores(query, keys)
    torch.testing.assert_close(scores, query.float() @ keys.float().mT)
    assert not torch.equal(scores, scores.bfloat16().float())


def test_dot_refuses_sizes_that_differ_and_names_what_allows_them():
    with pytest.raises(ValueError, match=r'"dot" needs .* equal, got 3 and 4; "general" and "concat"'):
        LuongAttention(3, 4, "dot")


@pytest.mark.usefixtures("shapes_unchecked")
def test_an_unknown_score_is_refused_with_the_names_that_exist():
    with pytest.raises(ValueError, match="unknown score 'bilinear'; the scores are dot, general, concat"):
        LuongAttention(3, 3, "bilinear")  # type: ignore[arg-type]


def test_a_concat_size_below_one_is_refused():
    with pytest.raises(ValueError, match="expected attention_size of 1 or more, got -2"):
        LuongAttention(3, 3, "concat", attention_size=-2)
