"""Total variation and Jensen-Shannon divergence, against their definitions."""

import math

import numpy as np
import torch
from scipy.spatial.distance import jensenshannon

from shisen.inspection.faithfulness.distances import jensen_shannon, total_variation


def distributions(rows: int) -> np.ndarray:
    drawn = np.random.default_rng(0).dirichlet(np.full(6, 0.3), rows)
    drawn[0, :3] = 0
    return drawn / drawn.sum(1, keepdims=True)


def test_total_variation_is_the_largest_difference_of_an_event():
    first, second = distributions(2)
    positive = (first - second)[first > second].sum()
    assert math.isclose(float(total_variation(torch.tensor(first), torch.tensor(second))), positive)


def test_jensen_shannon_is_the_square_of_scipys_distance():
    first, second = distributions(20)[:10], distributions(20)[10:]
    found = jensen_shannon(torch.tensor(first), torch.tensor(second)).numpy()
    np.testing.assert_allclose(found, jensenshannon(first, second, axis=1) ** 2, atol=1e-12)


def test_what_has_nothing_in_common_is_as_far_apart_as_can_be():
    first, second = torch.eye(2, dtype=torch.float64)
    assert math.isclose(float(jensen_shannon(first, second)), math.log(2))
    assert float(total_variation(first, second)) == 1
    assert float(jensen_shannon(first, first)) == 0


def test_the_gradient_is_finite_where_a_probability_is_zero():
    logits = torch.tensor([0.0, -200.0, 3.0], requires_grad=True)
    jensen_shannon(logits.softmax(-1), torch.tensor([0.0, 0.5, 0.5])).backward()
    assert torch.isfinite(logits.grad).all()
