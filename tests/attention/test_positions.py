"""Positions against their formulas, and what they are for."""

import numpy as np
import pytest
import torch

from shisen.attention import alibi_bias, alibi_slopes, relative_scores, rotate_by_position


def test_each_pair_is_turned_by_the_angle_of_the_formula():
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    turned = rotate_by_position(x, positions=3, base=100.0).numpy()
    for b, t, i in np.ndindex(2, 5, 3):
        angle = (t + 3) * 100.0 ** (-2 * i / 6)
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        expected = rotation @ x[b, t, 2 * i : 2 * i + 2].numpy()
        np.testing.assert_allclose(turned[b, t, 2 * i : 2 * i + 2], expected, rtol=1e-10)


def test_a_product_depends_on_the_distance_alone():
    query, key = torch.randn(2, 1, 8, dtype=torch.float64).unbind(0)
    products = [
        rotate_by_position(query, m) @ rotate_by_position(key, n).t() for m, n in ((5, 2), (9, 6), (103, 100))
    ]
    torch.testing.assert_close(products[0], products[1])
    torch.testing.assert_close(products[0], products[2])
    assert not torch.allclose(products[0], rotate_by_position(query, 5) @ rotate_by_position(key, 3).t())


def test_the_first_position_is_not_turned_and_lengths_stay():
    x = torch.randn(3, 4, 6)
    turned = rotate_by_position(x)
    assert torch.equal(turned[:, 0], x[:, 0])
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))


def test_an_odd_size_is_refused():
    with pytest.raises(ValueError, match="expected vectors of an even size, got 5"):
        rotate_by_position(torch.randn(2, 5))


def test_alibi_slopes_are_those_of_the_paper():
    assert alibi_slopes(8).tolist() == [2.0**-i for i in range(1, 9)]
    torch.testing.assert_close(alibi_slopes(16)[:3], torch.tensor([2**-0.5, 2**-1.0, 2**-1.5]))
    # Of 6 heads: those of 4, then every second of those of 8 (the paper's `get_slopes`).
    assert alibi_slopes(6).tolist() == [2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8, 2.0**-1, 2.0**-3]
    assert len(alibi_slopes(1)) == 1


def test_alibi_falls_with_the_distance_from_the_query():
    bias = alibi_bias(8, 2, 4)
    expected = -np.abs(np.arange(4) - np.array([[2], [3]])) / 2.0
    np.testing.assert_allclose(bias[0], expected)
    np.testing.assert_allclose(bias[2], expected / 4)
    assert torch.equal(alibi_bias(8, 1, 4, query_positions=2), bias[:, :1])


def test_relative_scores_are_the_formula():
    query = torch.randn(2, 3, 4, 6, dtype=torch.float64)
    embeddings = torch.randn(5, 6, dtype=torch.float64)  # distances from -2 to 2
    scores = relative_scores(query, embeddings, keys=7, query_positions=1).numpy()
    for b, h, i, j in np.ndindex(2, 3, 4, 7):
        distance = np.clip(j - (i + 1), -2, 2)
        expected = query[b, h, i].numpy() @ embeddings[distance + 2].numpy() / np.sqrt(6)
        np.testing.assert_allclose(scores[b, h, i, j], expected, rtol=1e-10)
