"""The fixed context vector."""

import pytest
import torch

from shisen.attention import NoAttention


def test_the_context_is_the_value_at_the_last_real_key(sentences):
    context, weights = NoAttention()(*sentences)
    lengths = [5, 3, 1]
    for b, length in enumerate(lengths):
        for i in range(4):
            assert torch.equal(context[b, i], sentences.values[b, length - 1])
    assert weights.shape == (3, 4, 5)
    assert (weights == 0).all()


def test_a_bidirectional_encoder_gives_the_end_of_each_direction(sentences):
    context, _ = NoAttention(bidirectional=True)(*sentences)
    for b, length in enumerate([5, 3, 1]):
        forward_end, backward_end = sentences.values[b, length - 1, :1], sentences.values[b, 0, 1:]
        assert torch.equal(context[b, 0], torch.cat([forward_end, backward_end]))


def test_padding_on_the_left_is_skipped_by_the_backward_direction():
    keys = torch.arange(8.0).view(1, 4, 2)
    mask = torch.tensor([[False, True, True, False]])
    context, _ = NoAttention(bidirectional=True)(torch.zeros(1, 3), keys, mask=mask)
    assert context.tolist() == [[4.0, 3.0]]


def test_a_mask_per_query_gives_a_context_per_query():
    keys = torch.tensor([[[1.0], [2.0], [3.0]]])
    mask = torch.tensor([[[True, False, False], [True, True, False], [False, False, False]]])
    context, _ = NoAttention()(torch.zeros(1, 3, 5), keys, mask=mask)
    assert context.tolist() == [[[1.0], [2.0], [0.0]]]


def test_without_a_mask_the_last_key_is_the_end():
    keys = torch.tensor([[[1.0], [2.0], [3.0]]])
    context, weights = NoAttention()(torch.zeros(1, 5), keys)
    assert context.tolist() == [[3.0]]
    assert weights.tolist() == [[0.0, 0.0, 0.0]]


def test_the_gradient_reaches_the_last_real_key_alone():
    keys = torch.randn(1, 4, 2, requires_grad=True)
    context, _ = NoAttention()(torch.zeros(1, 3), keys, mask=torch.tensor([[True, True, False, False]]))
    context.sum().backward()
    assert keys.grad is not None
    assert keys.grad.sum(-1).tolist() == [[0.0, 2.0, 0.0, 0.0]]


def test_it_has_no_parameters():
    assert NoAttention(bidirectional=True).state_dict() == {}


def test_an_odd_number_of_features_has_no_two_directions():
    with pytest.raises(ValueError, match=r"even number of features .* got \[2, 4, 3\]"):
        NoAttention(bidirectional=True).prepare(torch.zeros(2, 4, 3))
