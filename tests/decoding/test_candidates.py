"""The two-pass selection against sorting everything."""

import pytest
import torch

from shisen.decoding.candidates import best_candidates


@pytest.mark.parametrize("vocabulary", [1, 5, 63, 64, 65, 128, 1000])
@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("count", [1, 4, 9])
def test_it_is_the_head_of_a_stable_sort_of_everything(vocabulary, beams, count):
    generator = torch.Generator().manual_seed(vocabulary + beams + count)
    # Few different values, so that there are many equals to resolve.
    logits = torch.randint(0, 9, (5, beams, vocabulary), generator=generator).float()
    logits[logits == 0] = float("-inf")
    offsets = torch.randint(-3, 1, (5, beams), generator=generator).float()
    everything = (logits + offsets[..., None]).flatten(1)
    expected, order = everything.sort(dim=1, descending=True, stable=True)

    values, parents, tokens = best_candidates(logits, offsets, count)

    kept = min(count, beams * vocabulary)
    torch.testing.assert_close(values, expected[:, :kept], rtol=0, atol=0)
    is_real = values.isfinite()
    assert torch.equal((parents * vocabulary + tokens)[is_real], order[:, :kept][is_real])
    assert ((parents < beams) & (tokens < vocabulary)).all()


def test_a_beam_with_nothing_in_it_is_never_chosen():
    logits = torch.tensor([[[5.0, 4.0, 3.0], [0.0, -1.0, -2.0]]])
    offsets = torch.tensor([[float("-inf"), 0.0]])
    values, parents, tokens = best_candidates(logits, offsets, 3)
    assert parents.tolist() == [[1, 1, 1]]
    assert tokens.tolist() == [[0, 1, 2]]
    assert values.tolist() == [[0.0, -1.0, -2.0]]
