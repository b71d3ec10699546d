"""Attention that other programs hold as arrays: the layers one above the other, with their tokens."""

import numpy as np
import pytest

from shisen.adapters import from_attentions
from shisen.errors import UserError

TOKENS = ["the", "cat", "猫"]


def layers(count=3, heads=2, queries=3, keys=3):
    return np.random.default_rng(1).dirichlet(np.ones(keys), (count, heads, queries)).astype(np.float32)


def test_layers_stand_one_above_the_other():
    expected = layers()
    for attentions in (list(expected), [layer[None] for layer in expected], expected.tolist()):
        found = from_attentions(attentions, TOKENS)
        assert np.array_equal(found.weights, expected)
        assert (found.query_tokens, found.key_tokens, found.kind) == (tuple(TOKENS), tuple(TOKENS), "encoder")


def test_tensors_are_read_off_their_graph():
    torch = pytest.importorskip("torch")
    tensors = [torch.tensor(layer[None], requires_grad=True) for layer in layers()]
    assert np.array_equal(from_attentions(tensors, TOKENS).weights, layers())
    half = [tensor.to(torch.bfloat16) for tensor in tensors]
    np.testing.assert_allclose(from_attentions(half, TOKENS).weights, layers(), rtol=2**-8)


def test_two_sides_are_cross_attention():
    found = from_attentions(layers(keys=2), TOKENS, ["das", "Haus"])
    assert found.kind == "cross"
    assert found.key_tokens == ("das", "Haus")
    assert from_attentions(layers(), TOKENS, kind="decoder").kind == "decoder"


def test_chosen_layers_and_heads_are_a_slice_of_all():
    found = from_attentions(layers(), TOKENS, layers=[-1, 0], heads=[1])
    assert np.array_equal(found.weights, layers()[[2, 0]][:, [1]])


def test_layers_that_are_not_chosen_are_not_looked_at():
    assert from_attentions([None, layers()[1]], TOKENS, layers=[1]).layers == 1


def test_one_token_and_one_layer():
    assert from_attentions([[[[1.0]]]], ["a"]).weights.tolist() == [[[[1.0]]]]


@pytest.mark.parametrize(
    ("attentions", "words"),
    [
        ([], "this one is empty"),
        ([None], "layer 0 has no weights"),
        ([layers()[0], layers(heads=3)[0]], r"layer 0 has \[2, 3, 3\], layer 1 \[3, 3, 3\]"),
        ([layers(count=2)], "layer 0 holds 2 sentences"),
        ([np.eye(3)], r"those of layer 0 are \[3, 3\]"),
        ([layers(keys=2)[0]], "3 query tokens and 3 key tokens need"),
        ([-layers()[0]], "not negative"),
        ([[["a"]]], "layer 0: numbers are expected"),
        ([[[0.5], [0.5, 0.5]]], "layer 0: numbers are expected"),
    ],
)
def test_a_mistake_is_told(attentions, words):
    with pytest.raises(UserError, match=words):
        from_attentions(attentions, TOKENS)
