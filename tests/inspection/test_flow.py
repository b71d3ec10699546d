"""Attention through layers: the product and the maximum flow, against other ways to the same numbers."""

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog

from shisen.errors import UserError
from shisen.inspection import AttentionMap
from shisen.inspection.flow import RESOLUTION, attention_flow, attention_rollout, cross_rollout


def self_attention(
    layers: int, heads: int, length: int, seed: int = 0, kind: str = "encoder"
) -> AttentionMap:
    random = np.random.default_rng(seed)
    weights = random.dirichlet(np.ones(length), size=(layers, heads, length))
    if kind == "decoder":
        weights = np.tril(weights)
        weights /= weights.sum(axis=-1, keepdims=True)
    tokens = [f"語{i}" for i in range(length - 1)] + ["</s>"]
    return AttentionMap.from_arrays(weights, tokens, tokens, kind)


def step(matrix: np.ndarray, residual: float) -> np.ndarray:
    mixed = (1 - residual) * matrix + residual * np.eye(len(matrix))
    return mixed / mixed.sum(axis=1, keepdims=True)


def test_rollout_is_the_sum_over_all_paths_through_the_layers():
    attention = self_attention(3, 2, 4)
    layers = [step(layer.mean(axis=0), 0.5) for layer in attention.weights.astype(float)]
    expected = np.zeros((4, 4))
    for q, b, a, k in itertools.product(range(4), repeat=4):
        expected[q, k] += layers[2][q, b] * layers[1][b, a] * layers[0][a, k]
    rolled = attention_rollout(attention)
    assert rolled.weights.shape == (1, 1, 4, 4)
    np.testing.assert_allclose(rolled.matrix(), expected, atol=1e-6)


@pytest.mark.parametrize(("residual", "heads"), [(0.0, "mean"), (0.3, "max"), (0.9, "mean")])
def test_rollout_of_one_layer_is_its_weights_with_the_residual(residual: float, heads: str):
    attention = self_attention(1, 3, 5)
    merged = getattr(np, heads)(attention.weights[0].astype(float), axis=0)
    rolled = attention_rollout(attention, residual=residual, heads=heads)
    np.testing.assert_allclose(rolled.matrix(), step(merged, residual), atol=1e-6)


def test_the_rollout_up_to_each_layer_ends_with_the_rollout():
    attention = self_attention(4, 2, 6)
    every = attention_rollout(attention, every_layer=True)
    assert (every.layers, every.heads) == (4, 1)
    np.testing.assert_array_equal(every.weights[-1], attention_rollout(attention).weights[0])
    np.testing.assert_allclose(
        every.weights[1, 0], step(attention.weights[1].mean(axis=0), 0.5) @ every.weights[0, 0], atol=1e-6
    )


def test_rollout_and_flow_stay_normalised_and_never_look_ahead_in_a_decoder():
    attention = self_attention(3, 2, 5, kind="decoder")
    for result in (attention_rollout(attention), attention_flow(attention)):
        assert result.is_normalized
        assert result.kind == "decoder"
        assert result.query_tokens == attention.query_tokens
        assert np.triu(result.matrix(), 1).max() == 0


def flow_by_linear_program(layers: list[np.ndarray], source: int, target: int) -> float:
    """The maximum flow as a linear program: conserve at inner vertices, maximise what arrives."""
    n, depth = len(layers[0]), len(layers)
    edges = [(level, k, q) for level in range(depth) for q in range(n) for k in range(n)]
    gain = [-1.0 if (level == depth - 1 and q == target) else 0.0 for level, _, q in edges]
    rows = [
        [(e[0] == level - 1 and e[2] == v) * 1.0 - (e[0] == level and e[1] == v) for e in edges]
        for level in range(1, depth)
        for v in range(n)
    ]
    bounds = [
        (0, layers[level][q, k] if (level > 0 or k == source) and (level < depth - 1 or q == target) else 0)
        for level, k, q in edges
    ]
    equal = {"A_eq": rows, "b_eq": [0.0] * len(rows)} if rows else {}
    return -linprog(gain, bounds=bounds, **equal).fun


@pytest.mark.parametrize(("layers", "length"), [(1, 3), (2, 4), (3, 4)])
def test_flow_is_the_maximum_that_a_linear_program_finds(layers: int, length: int):
    attention = self_attention(layers, 2, length, seed=layers)
    steps = [step(layer.mean(axis=0), 0.5) for layer in attention.weights.astype(float)]
    flows = np.array([[flow_by_linear_program(steps, k, q) for k in range(length)] for q in range(length)])
    expected = flows / flows.sum(axis=1, keepdims=True)
    result = attention_flow(attention)
    np.testing.assert_allclose(result.matrix(), expected, atol=length**2 * RESOLUTION)
    assert result.metadata["resolution"] == RESOLUTION


def test_flow_agrees_with_networkx():
    networkx = pytest.importorskip("networkx")
    attention = self_attention(3, 2, 5, seed=9)
    graph = networkx.DiGraph()
    for level, layer in enumerate(attention.weights.astype(float)):
        for q, row in enumerate(step(layer.mean(axis=0), 0.5)):
            for k, weight in enumerate(row):
                graph.add_edge((level, k), (level + 1, q), capacity=float(weight))
    flows = np.array(
        [[networkx.maximum_flow_value(graph, (0, k), (3, q)) for k in range(5)] for q in range(5)]
    )
    np.testing.assert_allclose(
        attention_flow(attention).matrix(), flows / flows.sum(axis=1, keepdims=True), atol=1e-4
    )


def test_cross_rollout_is_each_head_times_the_encoders_rollout():
    encoder = self_attention(2, 2, 4)
    weights = np.random.default_rng(1).dirichlet(np.ones(4), size=(3, 2, 5))
    cross = AttentionMap.from_arrays(weights, list("abcde"), encoder.key_tokens)
    result = cross_rollout(cross, encoder)
    rolled = attention_rollout(encoder).matrix()
    expected = np.einsum("lhqm,mk->lhqk", weights, rolled.astype(float))
    np.testing.assert_allclose(result.weights, expected, atol=1e-6)
    assert result.kind == "cross"
    assert result.is_normalized


def test_one_token_flows_to_itself():
    attention = AttentionMap.from_arrays(np.ones((2, 1, 1, 1)), ["猫"], ["猫"], "encoder")
    assert attention_rollout(attention).matrix().tolist() == [[1.0]]
    assert attention_flow(attention).matrix().tolist() == [[1.0]]


def test_a_row_of_zeros_passes_on_what_the_residual_gives():
    weights = np.array([[[[0.0, 0.0], [0.5, 0.5]]]] * 2).reshape(2, 1, 2, 2)
    attention = AttentionMap.from_arrays(weights, ["a", "b"], ["a", "b"], "decoder")
    assert attention_rollout(attention).matrix()[0].tolist() == [1.0, 0.0]
    assert attention_rollout(attention, residual=0.0).matrix()[0].tolist() == [0.0, 0.0]


def test_what_has_no_flow_is_refused():
    square = self_attention(1, 1, 3)
    cross = AttentionMap.from_arrays(np.eye(3), list("abc"), list("abc"))
    with pytest.raises(UserError, match="not cross"):
        attention_rollout(cross)
    with pytest.raises(UserError, match="below 1, not 1"):
        attention_rollout(square, residual=1.0)
    with pytest.raises(UserError, match="mean or max, not 'sum'"):
        attention_flow(square, heads="sum")
    with pytest.raises(UserError, match="as many queries as keys"):
        attention_rollout(AttentionMap.from_arrays(np.ones((2, 3)), list("ab"), list("abc"), "encoder"))
    with pytest.raises(UserError, match="different sentences"):
        cross_rollout(cross, square)
    with pytest.raises(UserError, match="a cross and an encoder map"):
        cross_rollout(square, square)
