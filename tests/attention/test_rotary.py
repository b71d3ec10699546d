"""Rotary positions against the formula, and what they are for."""

import numpy as np
import pytest
import torch

from shisen.attention import rotate_by_position


def test_each_pair_is_turned_by_the_angle_of_the_formula():
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    turned = rotate_by_position(x, first_position=3, base=100.0).numpy()
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
