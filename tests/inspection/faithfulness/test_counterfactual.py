"""Permuted, uniform and adversarial weights."""

import math

import pytest
import torch

from shisen.inspection.faithfulness.counterfactual import (
    LayersAndHeads,
    adversarial_weights,
    permuted_weights,
    uniform_weights,
)
from shisen.inspection.faithfulness.distances import jensen_shannon


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def some_weights(layers: int = 2, heads: int = 3, keys: int = 5) -> torch.Tensor:
    return torch.randn(layers, heads, keys, generator=generator()).softmax(-1)


def test_permuted_weights_move_alike_in_all_layers_and_heads():
    weights = some_weights()
    permuted = permuted_weights(weights, 40, generator())
    assert permuted.shape == (2, 3, 40, 5)
    for draw in range(40):
        places = [(weights[0, 0] == value).nonzero().item() for value in permuted[0, 0, draw]]
        assert sorted(places) == [0, 1, 2, 3, 4]
        assert torch.equal(permuted[:, :, draw], weights[..., places])


def test_uniform_weights_are_all_the_same():
    assert torch.equal(uniform_weights(some_weights()), torch.full((2, 3, 5), 0.2))


@pytest.mark.parametrize(("layer", "head"), [(None, None), (1, None), (None, 2), (0, 1)])
def test_layers_and_heads_choose_what_is_explained_and_what_is_replaced(layer, head):
    weights = some_weights()
    where = LayersAndHeads(layer, head)
    layers = [0, 1] if layer is None else [layer]
    heads = [0, 1, 2] if head is None else [head]
    expected = torch.stack([weights[one, other] for one in layers for other in heads]).mean(0)
    torch.testing.assert_close(where.explanation(weights[..., None, :])[0], expected)
    replaced = where.replaced(weights[:, :, None], torch.zeros(2, 3, 4, 5))
    for one in range(2):
        for other in range(3):
            rows = replaced[one, other]
            is_chosen = one in layers and other in heads
            assert torch.equal(rows, torch.zeros(4, 5) if is_chosen else weights[one, other].expand(4, 5))


def copying(weights: torch.Tensor) -> torch.Tensor:
    """A decision that is the first head's weights."""
    return weights[0, 0]


def test_the_adversary_finds_no_way_where_the_output_is_the_weights():
    weights = some_weights(1, 1)
    found = adversarial_weights(copying, weights, LayersAndHeads(), 0.05, 60, generator())
    assert found.moved <= 0.05
    # Within a total variation of 0.05 the divergence is at most 0.05 · ln 2 (Lin 1991, theorem 3).
    assert 0 < found.divergence <= 0.05 * math.log(2)


def test_the_adversary_goes_as_far_as_can_be_where_the_output_does_not_care():
    weights = torch.tensor([[[0.9, 0.05, 0.03, 0.02]]])

    def constant(weights: torch.Tensor) -> torch.Tensor:
        return torch.full((weights.shape[2], 3), 1 / 3) + 0 * weights.sum()

    found = adversarial_weights(constant, weights, LayersAndHeads(), 0.05, 60, generator())
    opposite = torch.tensor([[[0.0, 0.0, 0.0, 1.0]]])
    assert found.divergence > 0.9 * float(jensen_shannon(opposite, weights))


def test_the_adversary_may_change_the_chosen_head_alone():
    weights = some_weights(1, 2)
    seen = []

    def first_head(weights: torch.Tensor) -> torch.Tensor:
        seen.append(weights.detach())
        return copying(weights)

    found = adversarial_weights(first_head, weights, LayersAndHeads(head=1), 0.05, 30, generator())
    assert all(torch.equal(one[0, 0], weights[0, 0].expand_as(one[0, 0])) for one in seen)
    assert found.moved == 0
    assert found.divergence > 0.2
