"""Local attention against its formula, written out in NumPy; its windows; what they cost."""

import re

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from shisen.attention import LocalAttention, LuongAttention

ALIGNMENTS = ["monotonic", "predictive"]


def local(alignment: str, window: int = 1, **settings) -> LocalAttention:
    torch.manual_seed(3)
    return LocalAttention(6, 6, alignment, window, 7, **settings).double()


def middle_by_formula(attention: LocalAttention, s: np.ndarray, length: int, t: int) -> float:
    """p_t as Luong et al. 2015, section 3.2, print it."""
    if attention.alignment == "monotonic":
        return t
    W_p, v_p = attention.W_p.weight.detach().numpy(), attention.v_p.detach().numpy()
    return length / (1 + np.exp(-v_p @ np.tanh(W_p @ s)))


def weights_by_formula(
    attention: LocalAttention, s: np.ndarray, h: np.ndarray, real: np.ndarray, t: int
) -> np.ndarray:
    """One row over all keys; `real` says where the sentence's keys stand."""
    W_a, D = attention.W_a.weight.detach().numpy(), attention.window
    p = middle_by_formula(attention, s, len(real), t)
    inside = [j for j in range(len(real)) if abs(j - p) <= D]
    weights = np.zeros(len(h))
    if not inside:
        return weights
    e = np.array([s @ W_a @ h[real[j]] for j in inside])
    a = np.exp(e - e.max())
    a /= a.sum()
    if attention.alignment == "predictive":
        a *= np.exp(-((np.array(inside) - p) ** 2) / (2 * (D / 2) ** 2))
    weights[real[inside]] = a
    return weights


MASKS = {
    "padding last": [[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0]],
    "padding first": [[1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0, 1]],
    "holes": [[1, 0, 1, 1, 0, 0, 1], [0, 1, 0, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0, 0]],
}


@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize("window", [1, 2, 3, 10])
@pytest.mark.parametrize("mask", MASKS)
def test_context_and_weights_are_the_formula(alignment, window, mask):
    attention = local(alignment, window)
    torch.nn.init.normal_(attention.W_a.weight)
    if alignment == "predictive":
        attention.v_p.data.mul_(4)  # predictions all over the sentence
    generator = torch.Generator().manual_seed(1)
    query, keys = (torch.randn(3, n, 6, dtype=torch.float64, generator=generator) for n in (9, 7))
    values = torch.randn(3, 7, 2, dtype=torch.float64, generator=generator)
    mask = torch.tensor(MASKS[mask]).bool()
    context, weights = attention(query, keys, values, mask)
    for b, t in np.ndindex(3, 9):
        real = np.flatnonzero(mask[b].numpy())
        expected = weights_by_formula(attention, query[b, t].numpy(), keys[b].numpy(), real, t)
        np.testing.assert_allclose(weights[b, t].detach().numpy(), expected, rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(
            context[b, t].detach().numpy(), expected @ values[b].numpy(), rtol=1e-9, atol=1e-15
        )


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_without_a_mask_all_keys_are_real(alignment, sentences):
    attention = local(alignment, 2)
    for query_mask in (torch.ones(3, 5), torch.ones(3, 4, 5)):
        for given, expected in zip(
            attention(sentences.query, sentences.keys),
            attention(sentences.query, sentences.keys, mask=query_mask.bool()),
            strict=True,
        ):
            torch.testing.assert_close(given, expected)


def test_a_monotonic_window_as_wide_as_the_sentence_is_luongs_global_attention(sentences):
    attention, whole = local("monotonic", 50), LuongAttention(6, 6, "general").double()
    whole.load_state_dict(attention.state_dict())
    for given, expected in zip(attention(*sentences), whole(*sentences), strict=True):
        torch.testing.assert_close(given, expected)


def test_predictive_weights_sum_to_less_than_1_and_are_largest_about_the_middle(sentences):
    attention = local("predictive", 2)
    attention.W_a.weight.data.zero_()  # equal scores: the Gaussian alone tells keys apart
    _, weights = attention(*sentences)
    sums = weights.sum(-1)
    assert (sums > 0).all()
    assert (sums < 1).all()
    for b, t in np.ndindex(3, 4):
        length = int(sentences.mask[b].sum())
        p = middle_by_formula(attention, sentences.query[b, t].numpy(), length, t)
        nearest = min(range(length), key=lambda j: abs(j - p))
        assert int(weights[b, t].argmax()) == nearest


def test_gradients_reach_the_predicted_position(sentences):
    attention = local("predictive", 3)
    context, _ = attention(*sentences)
    context.square().sum().backward()
    for parameter in (attention.W_p.weight, attention.v_p, attention.W_a.weight):
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_gradients_agree_with_finite_differences(alignment):
    attention = local(alignment, 1)
    generator = torch.Generator().manual_seed(2)
    tensors = [torch.randn(2, n, 6, dtype=torch.float64, generator=generator) for n in (3, 5, 5)]
    leaves = [tensor.requires_grad_() for tensor in tensors]
    mask = torch.tensor([[1, 1, 0, 1, 1], [1, 1, 0, 0, 0]]).bool()
    names = [name for name, _ in attention.named_parameters()]
    parameters = [p.detach().requires_grad_() for p in attention.parameters()]

    def attend(q, k, v, *values_of_parameters):
        state = dict(zip(names, values_of_parameters, strict=True))
        return torch.func.functional_call(attention, state, (q, k, v, mask))

    assert torch.autograd.gradcheck(attend, (*leaves, *parameters))


def test_a_monotonic_step_beyond_the_sentence_and_its_window_sees_nothing(sentences):
    attention = local("monotonic", 2)
    prepared = attention.prepare(sentences.keys, sentences.values, sentences.mask)  # 5, 3 and 1 keys
    context, weights = attention.attend(sentences.query[:, 0], prepared, torch.tensor([6, 5, 1]))
    assert (weights[0, :4] == 0).all()
    assert weights[0, 4] == 1
    assert (weights[1] == 0).all()
    assert (context[1] == 0).all()
    assert weights[2].tolist() == [1, 0, 0, 0, 0]


@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize("length", [1, 2])
def test_a_sentence_shorter_than_the_window(alignment, length):
    attention = local(alignment, 10)
    query, keys = torch.randn(2, 3, 6).double(), torch.randn(2, length, 6).double()
    context, weights = attention(query, keys)
    for b, t in np.ndindex(2, 3):
        expected = weights_by_formula(attention, query[b, t].numpy(), keys[b].numpy(), np.arange(length), t)
        np.testing.assert_allclose(weights[b, t].detach().numpy(), expected, rtol=1e-9)
    torch.testing.assert_close(context, weights @ keys)


def test_the_numbers_of_steps_decide_where_a_monotonic_window_is(sentences):
    attention = local("monotonic", 1)
    positions = torch.tensor([[2, 0, 3, 3], [1, 1, 0, 2], [0, 0, 1, 0]])
    _, weights = attention(*sentences, positions=positions)
    prepared = attention.prepare(sentences.keys, sentences.values, sentences.mask)
    for t in range(4):
        _, row = attention.attend(sentences.query[:, t], prepared, positions[:, t])
        torch.testing.assert_close(row, weights[:, t])
    assert (weights[0, 0] > 0).tolist() == [False, True, True, True, False]


@pytest.mark.parametrize("function", ["sparsemax", "entmax15"])
@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_other_functions_than_the_softmax_act_within_the_window(alignment, function, sentences):
    attention = local(alignment, 1, function=function)
    torch.nn.init.normal_(attention.W_a.weight, std=2)
    _, weights = attention(*sentences)
    inside = local(alignment, 1)(*sentences)[1] > 0
    assert (weights[~inside] == 0).all()
    assert (weights[inside] == 0).any()


class Largest(TorchDispatchMode):
    """Notes the elements of the largest tensor that any operation makes; a view is not made."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        given = {leaf.untyped_storage().data_ptr() for leaf in tree_iter(args) if isinstance(leaf, Tensor)}
        leaves = [leaf for leaf in tree_iter(result) if isinstance(leaf, Tensor)]
        made = [leaf.numel() for leaf in leaves if leaf.untyped_storage().data_ptr() not in given]
        self.elements = max([self.elements, *made])
        return result


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_what_a_step_makes_grows_with_the_window_and_not_with_the_sentence(alignment):
    attention = LocalAttention(64, 64, alignment, window=2).requires_grad_(False)
    sizes = []
    for keys in (50, 5000):
        prepared = attention.prepare(torch.randn(2, keys, 64), mask=torch.ones(2, keys).bool())
        with Largest() as largest:
            attention.attend(torch.randn(2, 64), prepared, torch.tensor([7, 9]))
        sizes.append(largest.elements)
    assert sizes[0] == 2 * 5 * 64  # the keys of the window
    assert sizes[1] == 2 * 5000  # the row of weights that is returned; the keys would be 64 times as many


@pytest.mark.parametrize(
    ("alignment", "expected"),
    [
        ("monotonic", {"W_a.weight": (3, 4)}),
        ("predictive", {"W_a.weight": (3, 4), "W_p.weight": (5, 3), "v_p": (5,)}),
    ],
)
def test_parameters_carry_the_names_and_shapes_of_the_paper(alignment, expected):
    state = LocalAttention(3, 4, alignment, attention_size=5).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == expected
    assert LocalAttention(3, 4).W_p.weight.shape == (3, 3)


@pytest.mark.usefixtures("shapes_unchecked")
def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="expected window of 1 or more, got 0"):
        LocalAttention(2, 2, window=0)
    with pytest.raises(ValueError, match="unknown alignment 'guessed'; choose one of monotonic, predictive"):
        LocalAttention(2, 2, "guessed")
    with pytest.raises(ValueError, match="expected attention_size of 1 or more, got 0"):
        LocalAttention(2, 2, attention_size=0)


def test_a_single_step_without_its_number_is_refused(sentences):
    attention = local("monotonic")
    prepared = attention.prepare(sentences.keys)
    with pytest.raises(ValueError, match="give positions, the number of this step"):
        attention.attend(sentences.query[:, 0], prepared)


@pytest.mark.usefixtures("shapes_unchecked")
@pytest.mark.parametrize("shape", [(3,), (3, 5), (4,)])
def test_positions_that_do_not_fit_are_refused(shape, sentences):
    attention = local("monotonic")
    prepared = attention.prepare(sentences.keys)
    message = f"expected positions of shape [3, 4], got {list(shape)}"
    with pytest.raises(ValueError, match=re.escape(message)):
        attention.attend(sentences.query, prepared, torch.zeros(shape, dtype=torch.long))
