"""Additive attention against its formula, written out in NumPy."""

import numpy as np
import pytest
import torch

from shisen.attention import BahdanauAttention


def bahdanau_by_formula(query, keys, values, mask, W_a, U_a, v_a):
    """e_ij = v_aᵀ tanh(W_a s_i + U_a h_j), one number after the other (Bahdanau et al. 2015, A.1.2)."""
    batch, queries, _ = query.shape
    context = np.zeros((batch, queries, values.shape[-1]))
    weights = np.zeros((batch, queries, keys.shape[1]))
    for b, i in np.ndindex(batch, queries):
        real = np.flatnonzero(mask[b])
        e = np.array([v_a @ np.tanh(W_a @ query[b, i] + U_a @ keys[b, j]) for j in real])
        weights[b, i, real] = np.exp(e) / np.exp(e).sum()
        context[b, i] = sum(weights[b, i, j] * values[b, j] for j in real)
    return context, weights


def test_context_and_weights_are_the_formula(sentences):
    attention = BahdanauAttention(query_size=6, key_size=6, attention_size=7).double()
    context, weights = attention(*sentences)
    parameters = [p.detach().numpy() for p in (attention.W_a.weight, attention.U_a.weight, attention.v_a)]
    expected_context, expected_weights = bahdanau_by_formula(*(t.numpy() for t in sentences), *parameters)
    np.testing.assert_allclose(weights.detach().numpy(), expected_weights, rtol=1e-10)
    np.testing.assert_allclose(context.detach().numpy(), expected_context, rtol=1e-10)


def test_a_case_worked_by_hand():
    # W_a = U_a = 1, v_a = 2, s = 0.5: e_j = 2 tanh(0.5 + h_j) = [0, 2 tanh 1]; tanh 1 = 0.761594
    attention = BahdanauAttention(query_size=1, key_size=1, attention_size=1)
    with torch.no_grad():
        attention.W_a.weight.fill_(1)
        attention.U_a.weight.fill_(1)
        attention.v_a.fill_(2)
    context, weights = attention(torch.tensor([[0.5]]), torch.tensor([[[-0.5], [0.5]]]))
    second = np.exp(2 * 0.76159416) / (1 + np.exp(2 * 0.76159416))
    np.testing.assert_allclose(weights.detach().numpy(), [[1 - second, second]], rtol=1e-6)
    np.testing.assert_allclose(context.detach().numpy(), [[-0.5 * (1 - second) + 0.5 * second]], rtol=1e-5)


def test_parameters_carry_the_names_and_shapes_of_the_paper():
    state = BahdanauAttention(query_size=3, key_size=4, attention_size=5).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert shapes == {"W_a.weight": (5, 3), "U_a.weight": (5, 4), "v_a": (5,)}


def test_the_keys_are_projected_once_per_sentence(sentences):
    attention = BahdanauAttention(6, 6, 7).double()
    prepared = attention.prepare(sentences.keys)
    assert torch.equal(prepared.projected, attention.U_a(sentences.keys))
    calls: list[object] = []
    attention.U_a.register_forward_hook(lambda *call: calls.append(call))
    attention.attend(sentences.query, prepared)
    assert not calls


def test_an_attention_size_below_one_is_refused():
    with pytest.raises(ValueError, match="expected attention_size of 1 or more, got 0"):
        BahdanauAttention(3, 4, attention_size=0)
