"""Keys and values of all beams in one room: whatever is selected and gone on from, a past stays its own."""

import random

import pytest
import torch

from shisen.attention import KeyValueCache
from shisen.models.step_cache import DecoderPast, StepCache, by_position


def tokens_as_keys(tokens: torch.Tensor) -> KeyValueCache:
    """Keys and values that are the tokens themselves, so that it can be read which of them a past holds."""
    keys = tokens[:, None, :, None].double()  # [batch, heads, beams, head_size]
    return KeyValueCache(keys, -keys)


def step(past: DecoderPast, tokens: torch.Tensor) -> DecoderPast:
    """Read a token in every beam, as a model's step does."""
    is_own, positions, _ = past.with_step()
    layers = tuple(layer.append(tokens_as_keys(tokens)) for layer in past.layers)
    return DecoderPast(layers, is_own, positions)


def histories(past: DecoderPast) -> list[list[list[int]]]:
    """The tokens of each hypothesis's own slots, in order."""
    keys, values = past.layers[0].key_values
    assert torch.equal(keys, -values)
    assert all(torch.equal(layer.key_values.keys, keys) for layer in past.layers)
    return [
        [keys[row, 0, own, 0].int().tolist() for own in past.is_own[row]] for row in range(len(past.is_own))
    ]


@pytest.mark.parametrize("seed", range(20))
def test_every_hypothesis_has_its_own_past_whatever_is_selected_and_gone_on_from(seed, monkeypatch):
    monkeypatch.setattr("shisen.models.step_cache._FIRST_ROOM", 2)  # which is soon full
    draw = random.Random(seed)
    start = torch.tensor([[draw.randrange(100)] for _ in range(3)])
    pasts = [(step(DecoderPast.empty(2, 3, start.device), start), [[[int(token)]] for token in start])]
    for _ in range(30):
        past, expected = draw.choice(pasts[-5:])  # also one that was gone on from before
        rows = sorted(draw.sample(range(len(expected)), draw.choice([len(expected), 1])))
        width = draw.randint(1, 3)
        beams = [[draw.randrange(len(expected[0])) for _ in range(width)] for _ in rows]
        tokens = [[draw.randrange(100) for _ in range(width)] for _ in rows]
        chosen = past.select(torch.tensor(rows), torch.tensor(beams))
        after = [
            [[*expected[row][beam], token] for beam, token in zip(*parts, strict=True)]
            for row, *parts in zip(rows, beams, tokens, strict=True)
        ]
        pasts.append((step(chosen, torch.tensor(tokens)), after))
    for past, expected in pasts:
        assert histories(past) == expected
        assert past.positions.max() == len(expected[0][0]) - 1
        for row in past.is_own:
            for own in row:
                assert past.positions[own].tolist() == list(range(len(expected[0][0])))


def test_beams_that_change_places_move_no_key():
    past = step(DecoderPast.empty(1, 2, torch.device("cpu")), torch.tensor([[1], [2]]))
    past = past.select(torch.tensor([0, 1]), torch.tensor([[0, 0], [0, 0]]))
    past = step(past, torch.tensor([[3, 4], [5, 6]]))
    swapped = past.select(torch.tensor([0, 1]), torch.tensor([[1, 0], [1, 1]]))
    assert swapped.layers is past.layers
    assert histories(swapped) == [[[1, 4], [1, 3]], [[2, 6], [2, 6]]]


def test_a_past_that_is_gone_on_from_once_is_not_copied_until_its_room_is_full():
    cache = StepCache()
    rooms = []
    for token in range(40):
        cache = cache.append(tokens_as_keys(torch.tensor([[token]])))
        rooms.append(cache.key_values.keys.data_ptr())
    assert len(set(rooms)) == 2  # of 32 slots, then of 66


def test_weights_of_slots_become_weights_of_steps():
    is_own = torch.tensor([[[True, False, True, False], [False, True, False, True]]])
    weights = torch.tensor([[[[0.3, 0.0, 0.7, 0.0], [0.0, 0.4, 0.0, 0.6]]]])
    assert by_position(weights, is_own).tolist() == [
        [[pytest.approx([0.3, 0.7])], [pytest.approx([0.4, 0.6])]]
    ]
