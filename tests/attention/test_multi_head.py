"""Multi-head attention against the formula, against torch's own module, and step by step."""

import numpy as np
import pytest
import torch

from shisen.attention import MultiHeadAttention, attention_weights


def softmax(e):
    e = np.exp(e - e.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def weights_of(e, function):
    return softmax(e) if function == "softmax" else attention_weights(torch.from_numpy(e), None, function)


def by_formula(attention, query, keys, values):
    """[head_1; …; head_h] W^O, one head at a time."""
    state = {name: tensor.detach().numpy() for name, tensor in attention.state_dict().items()}
    size, groups = attention.head_size, attention.heads // attention.key_value_heads
    parts, weights = [], []
    for head in range(attention.heads):
        own = slice(head * size, (head + 1) * size)
        shared = slice(head // groups * size, (head // groups + 1) * size)
        q = query @ state["query.weight"][own].T + state["query.bias"][own]
        k = keys @ state["key.weight"][shared].T + state["key.bias"][shared]
        v = values @ state["value.weight"][shared].T + state["value.bias"][shared]
        weights.append(np.asarray(weights_of(q @ np.swapaxes(k, -1, -2) / np.sqrt(size), attention.function)))
        parts.append(weights[-1] @ v)
    context = np.concatenate(parts, -1) @ state["out.weight"].T + state["out.bias"]
    return context, np.stack(weights, 1)


def with_biases(attention):
    """The biases start at 0, where a forgotten one would not show."""
    for parameter in attention.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter)
    return attention


@pytest.mark.parametrize("key_value_heads", [None, 2, 1])
@pytest.mark.parametrize("function", ["softmax", "sparsemax", "entmax15"])
def test_context_and_weights_are_the_formula(function, key_value_heads):
    options = {"key_value_heads": key_value_heads, "function": function}
    attention = with_biases(MultiHeadAttention(8, 4, 5, 3, **options).double())
    query, keys, values = (
        torch.randn(2, n, size, dtype=torch.float64) for n, size in ((3, 8), (6, 5), (6, 3))
    )
    context, weights = attention(query, keys, values, return_weights=True)
    expected = by_formula(attention, query.numpy(), keys.numpy(), values.numpy())
    np.testing.assert_allclose(context.detach(), expected[0], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(weights.detach(), expected[1], rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(attention(query, keys, values)[0], context)


@pytest.mark.parametrize("return_weights", [True, False])
def test_it_is_torchs_own_module_with_the_same_weights(return_weights):
    theirs = torch.nn.MultiheadAttention(12, 3, batch_first=True).double()
    torch.nn.init.normal_(theirs.in_proj_bias)
    ours = MultiHeadAttention(12, 3).double()
    with torch.no_grad():
        for layer, weight, bias in zip(
            (ours.query, ours.key, ours.value),
            theirs.in_proj_weight.chunk(3),
            theirs.in_proj_bias.chunk(3),
            strict=True,
        ):
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
    ours.out.load_state_dict(theirs.out_proj.state_dict())
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]).bool()
    expected = theirs(x, x, x, key_padding_mask=~mask, average_attn_weights=False)
    context, weights = ours(x, mask=mask, return_weights=return_weights)
    torch.testing.assert_close(context, expected[0])
    if return_weights:
        torch.testing.assert_close(weights, expected[1])


def test_parameters_carry_the_names_of_the_design_and_start_as_published():
    attention = MultiHeadAttention(8, 2, key_size=5, value_size=3, key_value_heads=1)
    shapes = {name: tuple(tensor.shape) for name, tensor in attention.state_dict().items()}
    assert shapes == {
        "query.weight": (8, 8),
        "query.bias": (8,),
        "key.weight": (4, 5),
        "key.bias": (4,),
        "value.weight": (4, 3),
        "value.bias": (4,),
        "out.weight": (8, 8),
        "out.bias": (8,),
    }
    assert (attention.out.bias == 0).all()
    assert not [name for name, _ in MultiHeadAttention(8, 2, bias=False).named_parameters() if "bias" in name]


POSITIONS = ["rotary", "alibi", "relative"]


@pytest.mark.parametrize(
    "options", [{}, {"key_value_heads": 1}, *({"positions": kind} for kind in POSITIONS)]
)
def test_step_by_step_with_the_cache_is_all_at_once_with_the_causal_mask(options):
    attention = MultiHeadAttention(8, 2, **options).double().eval()
    x = torch.randn(3, 6, 8, dtype=torch.float64)
    whole, weights = attention(x, is_causal=True, return_weights=True)
    cache = None
    for t in range(6):
        here = x[:, t : t + 1]
        step = attention.prepare(here, positions=t)
        cache = step if cache is None else cache.append(step)
        context, step_weights = attention.attend(here, cache, positions=t, return_weights=True)
        torch.testing.assert_close(context, whole[:, t : t + 1])
        torch.testing.assert_close(step_weights, weights[:, :, t : t + 1, : t + 1])


def test_the_cache_follows_the_beams():
    attention = MultiHeadAttention(8, 2).double()
    x, rows = torch.randn(3, 4, 8, dtype=torch.float64), torch.tensor([2, 0, 0, 1])
    context, _ = attention.attend(x[rows, 3:], attention.prepare(x).select(rows))
    expected, _ = attention(x[rows, 3:], x[rows])
    torch.testing.assert_close(context, expected)


def test_a_rotary_layer_does_not_see_where_a_sentence_begins():
    attention = MultiHeadAttention(8, 2, positions="rotary").double()
    x = torch.randn(1, 5, 8, dtype=torch.float64)
    context, _ = attention(x)
    moved, _ = attention.attend(x, attention.prepare(x, positions=7), positions=7)
    torch.testing.assert_close(moved, context, rtol=1e-5, atol=1e-6)
    swapped, _ = attention(x.flip(1))
    assert not torch.allclose(swapped.flip(1), context)  # without positions it would be


@pytest.mark.parametrize("kind", POSITIONS)
def test_with_positions_the_order_of_the_sentence_matters(kind):
    x = torch.randn(1, 5, 8, dtype=torch.float64)
    for positions in (None, kind):
        attention = MultiHeadAttention(8, 2, positions=positions).double()
        swapped = attention(x[:, [1, 0, 2, 3, 4]])[0][:, [1, 0, 2, 3, 4]]
        assert torch.allclose(swapped, attention(x)[0]) == (positions is None)


def test_relative_distances_are_parameters_that_learn():
    attention = MultiHeadAttention(8, 2, positions="relative", max_distance=3)
    assert attention.distances.shape == (7, 4)
    attention(torch.randn(2, 5, 8))[0].sin().sum().backward()
    assert (attention.distances.grad.abs().sum(1) > 0).all()


def test_a_batch_is_its_sentences_and_padding_changes_nothing():
    attention = MultiHeadAttention(8, 2).double()
    sentences = [torch.randn(1, n, 8, dtype=torch.float64) for n in (5, 3, 1)]
    batch = torch.randn(3, 5, 8, dtype=torch.float64)
    mask = torch.arange(5) < torch.tensor([[5], [3], [1]])
    for row, sentence in zip(batch, sentences, strict=True):
        row[: sentence.shape[1]] = sentence[0]
    together, weights = attention(batch, mask=mask, return_weights=True)
    for number, sentence in enumerate(sentences):
        alone, own_weights = attention(sentence, return_weights=True)
        length = sentence.shape[1]
        torch.testing.assert_close(together[number, :length], alone[0])
        torch.testing.assert_close(weights[number, :, :length, :length], own_weights[0])
        assert (weights[number, :, :, length:] == 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2, 5, dtype=torch.float64))


def test_every_shape_of_mask_means_the_same():
    attention = MultiHeadAttention(8, 2).double()
    x = torch.randn(2, 4, 8, dtype=torch.float64)
    mask = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]]).bool()
    expected, _ = attention(x, mask=mask)
    for same in (mask[:, None].expand(2, 4, 4), mask[:, None, None].expand(2, 2, 4, 4), mask[:, None, None]):
        torch.testing.assert_close(attention(x, mask=same)[0], expected)


def test_a_masked_head_is_a_head_whose_part_of_the_output_layer_is_zero():
    attention = MultiHeadAttention(8, 4).double()
    x = torch.randn(2, 3, 8, dtype=torch.float64)
    masked, _ = attention(x, head_mask=torch.tensor([1.0, 0.0, 1.0, 1.0], dtype=torch.float64))
    as_bool, _ = attention(x, head_mask=torch.tensor([True, False, True, True]))
    per_sentence = torch.tensor([[1.0, 0, 1, 1], [1, 1, 1, 1]], dtype=torch.float64)
    mixed, _ = attention(x, head_mask=per_sentence)
    whole, _ = attention(x)
    with torch.no_grad():
        attention.out.weight[:, 2:4] = 0
    pruned, _ = attention(x)
    torch.testing.assert_close(masked, pruned)
    torch.testing.assert_close(as_bool, pruned)
    torch.testing.assert_close(mixed[0], pruned[0])
    torch.testing.assert_close(mixed[1], whole[1])


def test_dropped_heads_are_left_out_whole_in_training_alone():
    torch.manual_seed(3)
    attention = MultiHeadAttention(4, 4, drop_head=0.5)
    torch.nn.init.eye_(attention.out.weight)
    x = torch.randn(1, 2, 4).expand(4000, 2, 4)
    expected, _ = attention.eval()(x)
    dropped, _ = attention.train()(x)
    is_kept = (dropped[:, 0] != 0).float()  # one feature a head
    assert torch.equal(is_kept, (dropped[:, 1] != 0).float())  # of all queries, or of none
    assert (is_kept.sum(1) >= 1).all()
    torch.testing.assert_close(dropped, expected * (is_kept * 4 / is_kept.sum(1, keepdim=True))[:, None])
    assert abs(is_kept.mean() - 0.516) < 0.02  # 1/2, and 1/4 more of the 1/16 in which none was left


@pytest.mark.parametrize("kind", POSITIONS)
def test_gradients_are_those_of_finite_differences(kind):
    attention = MultiHeadAttention(4, 2, positions=kind).double()
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]]).bool()
    assert torch.autograd.gradcheck(lambda x: attention(x, mask=mask, return_weights=True), [x])


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((8, 3), {}, "expected heads that divide model_size 8, got 3"),
        ((8, 0), {}, "expected heads of 1 or more, got 0"),
        ((8, 4), {"key_value_heads": 3}, "expected key_value_heads that divide heads 4, got 3"),
        (
            (8, 2),
            {"positions": "sin"},
            "unknown positions 'sin'; choose one of rotary, alibi, rel",
        ),
        ((6, 2), {"positions": "rotary"}, "rotary positions need heads of an even size, got 3"),
        ((8, 2), {"dropout": 1.0}, r"expected dropout in \[0, 1\), got 1.0"),
        ((8, 2), {"drop_head": -0.1}, r"expected drop_head in \[0, 1\), got -0.1"),
    ],
)
def test_impossible_sizes_are_refused(arguments, options, message, shapes_unchecked):
    with pytest.raises(ValueError, match=message):
        MultiHeadAttention(*arguments, **options)


def test_shapes_that_do_not_fit_are_named(shapes_unchecked):
    attention = MultiHeadAttention(8, 2, key_size=5)
    keys = torch.randn(2, 3, 5)
    with pytest.raises(ValueError, match=r"expected keys of shape \[2, 3, 5\], got \[2, 3, 4\]"):
        attention.prepare(torch.randn(2, 3, 4))
    with pytest.raises(ValueError, match=r"expected values of shape \[2, 3, 5\], got \[2, 4, 5\]"):
        attention.prepare(keys, torch.randn(2, 4, 5))
    with pytest.raises(ValueError, match=r"expected a query of shape \[2, queries, 8\], got \[3, 1, 8\]"):
        attention(torch.randn(3, 1, 8), keys)
    with pytest.raises(ValueError, match=r"expected a mask of torch.bool .* got torch.int64 \[2, 3\]"):
        attention(torch.randn(2, 1, 8), keys, mask=torch.ones(2, 3, dtype=torch.int64))
