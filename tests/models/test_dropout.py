"""Dropout with its cheap mask."""

import pytest
import torch

from shisen.models.dropout import Dropout, keep_mask


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_the_share_dropped_is_the_probability(probability):
    torch.manual_seed(0)
    kept = keep_mask(torch.empty(1000, 1000), probability).float().mean().item()
    assert abs(kept - (1 - probability)) < 0.002  # four standard deviations


def test_what_stays_is_scaled_and_the_gradient_goes_where_it_stays():
    torch.manual_seed(0)
    x = torch.ones(40, 5, requires_grad=True)  # 200 features: the last draw is used in full
    y = Dropout(0.25)(x)
    assert set(y.unique().tolist()) == {0.0, y.max().item()}
    assert y.max().item() == pytest.approx(1 / 0.75)
    y.sum().backward()
    assert torch.equal(x.grad, y)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_any_size_is_drawn(size):
    assert Dropout(0.5)(torch.ones(size)).shape == (size,)


def test_the_mean_is_preserved():
    torch.manual_seed(0)
    x = torch.full((1000, 1000), 3.0)
    assert Dropout(0.2)(x).mean().item() == pytest.approx(3.0, abs=0.006)  # four standard deviations


@pytest.mark.parametrize("probability", [0.99999, 0.9999999])
def test_a_probability_near_one_keeps_a_feature_in_65536(probability):
    torch.manual_seed(0)
    y = Dropout(probability)(torch.ones(4 << 20))
    assert set(y.unique().tolist()) == {0.0, 65536.0}
    assert 20 < (y > 0).sum() < 120  # 64 expected


def test_neighbours_are_independent():
    torch.manual_seed(0)
    kept = keep_mask(torch.empty(500_000), 0.5).float() - 0.5
    for distance in (1, 2, 3, 4):
        assert abs((kept[distance:] * kept[:-distance]).mean().item()) < 0.0015  # four deviations


def test_it_is_off_in_evaluation_and_at_zero():
    x = torch.randn(3, 4)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_the_seed_determines_it():
    x = torch.ones(100)
    drawn = []
    for _ in range(2):
        torch.manual_seed(5)
        drawn.append(Dropout(0.5)(x))
    assert torch.equal(*drawn)
    assert not torch.equal(drawn[0], Dropout(0.5)(x))
