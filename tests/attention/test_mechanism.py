"""What holds for every mechanism."""

import re

import pytest
import torch

from shisen.attention import MECHANISMS, Mechanism, ScoredAttention, build_attention

# A mechanism, the function that makes its weights if it is not the softmax, and whether it reads coverage.
VARIANTS = [
    *MECHANISMS,
    "bahdanau sparsemax",
    "luong-general entmax15",
    "luong-concat sparsemax coverage",
    "local-m entmax15",
    "local-p sparsemax",
    "bahdanau coverage",
]
SCORED = [name for name in VARIANTS if name != "none"]
SUMS_TO_ONE = [name for name in SCORED if "local-p" not in name]


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


def build(name: str, dropout: float = 0.0, dtype: torch.dtype = torch.float64) -> Mechanism:
    torch.manual_seed(3)
    name, *rest = name.split()
    has_coverage = "coverage" in rest
    function = next((word for word in rest if word != "coverage"), "softmax")
    attention = build_attention(name, 6, 6, 7, dropout, function=function, has_coverage=has_coverage)
    return attention.to(dtype)


def position(step: int) -> torch.Tensor:
    """The number of the step in each of the three sentences."""
    return torch.full((3,), step)


@pytest.mark.parametrize("name", SUMS_TO_ONE)
def test_weights_of_a_query_sum_to_one_and_masked_ones_are_exactly_zero(name, sentences):
    _, weights = build(name)(*sentences)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 4, dtype=torch.float64))
    masked = ~sentences.mask.unsqueeze(1).expand_as(weights)
    assert (weights[masked] == 0).all()
    assert (weights >= 0).all()
    if "sparsemax" not in name and "entmax15" not in name:
        assert (weights[~masked] > 0).all()


@pytest.mark.parametrize("name", SCORED)
def test_the_context_is_the_weighted_sum_of_the_values(name, sentences):
    query, keys, values, mask = sentences
    context, weights = build(name)(query, keys, values, mask)
    torch.testing.assert_close(context, weights @ values)
    context, weights = build(name)(query, keys, mask=mask)
    torch.testing.assert_close(context, weights @ keys)


@pytest.mark.parametrize("name", VARIANTS)
def test_one_step_at_a_time_is_all_queries_at_once(name, sentences):
    attention = build(name)
    query, keys, values, mask = sentences
    context, weights = attention(query, keys, values, mask)
    prepared = attention.prepare(keys, values, mask)
    for step in range(query.shape[1]):
        step_context, step_weights = attention.attend(query[:, step], prepared, position(step))
        assert step_context.shape == (3, 2)
        assert step_weights.shape == (3, 5)
        torch.testing.assert_close(step_context, context[:, step])
        torch.testing.assert_close(step_weights, weights[:, step])


@pytest.mark.parametrize("name", VARIANTS)
def test_a_sentence_alone_and_unpadded_is_the_sentence_in_the_batch(name, sentences):
    attention = build(name)
    query, keys, values, mask = sentences
    context, weights = attention(query, keys, values, mask)
    for b, length in enumerate(mask.sum(-1).tolist()):
        row = slice(b, b + 1)
        alone_context, alone_weights = attention(query[row], keys[row, :length], values[row, :length])
        torch.testing.assert_close(alone_context, context[row])
        torch.testing.assert_close(alone_weights, weights[row, :, :length])


@pytest.mark.parametrize("name", VARIANTS)
def test_what_stands_at_padding_changes_no_result_and_gets_no_gradient(name, sentences):
    attention = build(name)
    query, keys, values, mask = sentences
    other_keys = torch.where(mask.unsqueeze(-1), keys, 1e6).requires_grad_()
    other_values = torch.where(mask.unsqueeze(-1), values, -1e6).requires_grad_()
    context, weights = attention(query, keys, values, mask)
    other_context, other_weights = attention(query, other_keys, other_values, mask)
    assert torch.equal(context, other_context)
    assert torch.equal(weights, other_weights)
    other_context.square().sum().backward()
    for tensor in (other_keys, other_values):
        assert tensor.grad is None or (tensor.grad[~mask] == 0).all()


@pytest.mark.parametrize("name", VARIANTS)
def test_a_query_with_nothing_to_attend_to_gets_zeros_and_finite_gradients(name, sentences):
    attention = build(name)
    query, keys, values, mask = sentences
    leaves = [tensor.clone().requires_grad_() for tensor in (query, keys, values)]
    mask = mask.clone()
    mask[1] = False
    context, weights = attention(*leaves, mask)
    assert (context[1] == 0).all()
    assert (weights[1] == 0).all()
    assert (context[0] != 0).any()
    (context.square().sum() + weights.square().sum()).backward()
    gradients = [leaf.grad for leaf in leaves if leaf.grad is not None]
    gradients += [parameter.grad for parameter in attention.parameters() if parameter.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert all((leaf.grad[1] == 0).all() for leaf in leaves if leaf.grad is not None)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_mask_per_query_is_the_mask_of_that_query(name, sentences):
    attention = build(name)
    query, keys, values, _ = sentences
    mask = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(1)) < 0.5
    context, weights = attention(query, keys, values, mask)
    for step in range(4):
        prepared = attention.prepare(keys, values, mask[:, step])
        step_context, step_weights = attention.attend(query[:, step], prepared, position(step))
        torch.testing.assert_close(step_context, context[:, step])
        torch.testing.assert_close(step_weights, weights[:, step])


@pytest.mark.parametrize("name", SCORED)
def test_gradients_agree_with_finite_differences(name, sentences):
    attention = build(name)
    query, keys, values, mask = sentences
    mask = mask.clone()
    mask[1] = False
    leaves = [t[:2, :2].clone().requires_grad_() for t in (query, keys, values)]
    names = [parameter_name for parameter_name, _ in attention.named_parameters()]
    parameters = [p.detach().requires_grad_() for p in attention.parameters()]

    coverage = torch.rand(2, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    covered = [coverage.requires_grad_()] if attention.has_coverage else []

    def attend(q, k, v, *others):
        state = dict(zip(names, others[len(covered) :], strict=True))
        given = (q, k, v, mask[:2, :2], None, *others[: len(covered)])
        return torch.func.functional_call(attention, state, given)

    assert torch.autograd.gradcheck(attend, (*leaves, *covered, *parameters))


@pytest.mark.parametrize("name", VARIANTS)
def test_no_query_or_no_key_is_allowed(name):
    attention = build(name)
    context, weights = attention(
        torch.zeros(2, 0, 6, dtype=torch.float64), torch.zeros(2, 3, 6, dtype=torch.float64)
    )
    assert (context.shape, weights.shape) == ((2, 0, 6), (2, 0, 3))
    context, weights = attention(
        torch.zeros(2, 4, 6, dtype=torch.float64), torch.zeros(2, 0, 6, dtype=torch.float64)
    )
    assert weights.shape == (2, 4, 0)
    assert torch.equal(context, torch.zeros(2, 4, 6, dtype=torch.float64))


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_are_float32_in_a_half_precision_model(name, dtype, sentences):
    attention = build(name, dtype=dtype)
    query, keys, values = (tensor.to(dtype) for tensor in sentences[:3])
    context, weights = attention(query, keys, values, sentences.mask)
    assert weights.dtype == torch.float32
    assert context.dtype == dtype
    if name != "none":
        assert attention.prepare(keys).projected.dtype == torch.float32, "widened once, not at every step"
        if name in SUMS_TO_ONE:
            torch.testing.assert_close(weights.sum(-1), torch.ones(3, 4))


@pytest.mark.parametrize("name", VARIANTS)
def test_weights_are_float32_under_autocast_and_near_those_without(name, sentences):
    attention = build(name, dtype=torch.float32)
    query, keys, values = (tensor.float().requires_grad_() for tensor in sentences[:3])
    coverage = torch.rand(3, 4, 5) if attention.has_coverage else None
    _, expected = attention(query, keys, values, sentences.mask, coverage=coverage)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        context, weights = attention(query, keys, values, sentences.mask, coverage=coverage)
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights, expected, rtol=0.05, atol=0.01)
    if name in SUMS_TO_ONE:
        torch.testing.assert_close(weights.sum(-1), torch.ones(3, 4))
    context.float().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in attention.parameters())


@pytest.mark.parametrize("name", SCORED)
def test_dropout_thins_the_context_in_training_and_leaves_the_returned_weights(name, sentences):
    attention = build(name, dropout=0.5)
    query, keys, _, mask = sentences
    one = torch.ones(3, 5, 1, dtype=torch.float64)  # with values of 1 the context is the sum of what is kept
    torch.manual_seed(11)
    context, weights = attention.train()(query, keys, one, mask)
    _, expected = build(name)(query, keys, one, mask)
    assert torch.equal(weights, expected)
    # One real key: its weight is dropped, or kept and doubled.
    whole = weights.sum(-1, keepdim=True)
    assert torch.where(context[2] == 0, 2 * whole[2], context[2]).equal(2 * whole[2])
    assert not torch.allclose(context, whole)

    kept_on_average = torch.stack([attention(query, keys, one, mask)[0] for _ in range(400)]).mean(0)
    torch.testing.assert_close(kept_on_average, whole, rtol=0, atol=0.25)


@pytest.mark.parametrize("name", SCORED)
def test_dropout_is_off_in_evaluation(name, sentences):
    context, weights = build(name, dropout=0.9).eval()(*sentences)
    expected_context, expected_weights = build(name)(*sentences)
    assert torch.equal(context, expected_context)
    assert torch.equal(weights, expected_weights)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("per_query", [False, True])
def test_selected_sentences_attend_as_they_did_before(name, per_query, sentences):
    attention = build(name)
    query, keys, values, mask = sentences
    if per_query:
        mask = mask.unsqueeze(1).expand(3, 4, 5)
    rows = torch.tensor([2, 0, 0])
    context, weights = attention(query, keys, values, mask)
    chosen = attention.prepare(keys, values, mask).select(rows)
    chosen_context, chosen_weights = attention.attend(query[rows], chosen)
    torch.testing.assert_close(chosen_context, context[rows])
    torch.testing.assert_close(chosen_weights, weights[rows])


def test_selecting_keeps_the_absence_of_a_mask():
    prepared = build("bahdanau").prepare(torch.zeros(2, 3, 6, dtype=torch.float64))
    assert prepared.select(torch.tensor([1])).mask is None


@pytest.mark.parametrize("name", [name for name in VARIANTS if "coverage" in name])
def test_coverage_moves_the_weights_and_none_is_a_coverage_of_zero(name, sentences):
    attention = build(name)
    query, keys, values, mask = sentences
    nothing = torch.zeros(3, 4, 5, dtype=torch.float64)
    _, weights = attention(*sentences)
    assert torch.equal(attention(*sentences, coverage=nothing)[1], weights)
    coverage = torch.rand(3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    context, covered = attention(*sentences, coverage=coverage)
    assert not torch.allclose(covered, weights)
    prepared = attention.prepare(keys, values, mask)
    for step in range(4):
        step_context, step_weights = attention.attend(query[:, step], prepared, coverage=coverage[:, step])
        torch.testing.assert_close(step_context, context[:, step])
        torch.testing.assert_close(step_weights, covered[:, step])


@pytest.mark.parametrize("name", MECHANISMS)
def test_a_coverage_that_is_not_read_is_refused(name, sentences):
    with pytest.raises(ValueError, match=exactly("this attention reads no coverage")):
        build(name)(*sentences, coverage=torch.zeros(3, 4, 5, dtype=torch.float64))


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_a_dropout_outside_its_range_is_refused(dropout):
    with pytest.raises(ValueError, match=r"expected an attention dropout in \[0, 1\), got"):
        ScoredAttention(2, 2, dropout)


def test_sizes_below_one_are_refused():
    with pytest.raises(ValueError, match="expected query_size of 1 or more, got 0"):
        ScoredAttention(0, 2)
    with pytest.raises(ValueError, match="expected key_size of 1 or more, got -1"):
        ScoredAttention(2, -1)


@pytest.mark.usefixtures("shapes_unchecked")
class TestShapesThatDoNotFit:
    """Each is a ValueError that names the expected and the given shape."""

    @pytest.mark.parametrize("name", SCORED)
    @pytest.mark.parametrize("shape", [(2, 3, 5), (3, 6), (2, 3, 4, 6)])
    def test_keys(self, name, shape):
        message = f"expected keys of shape [batch, keys, 6], got {list(shape)}"
        with pytest.raises(ValueError, match=exactly(message)):
            build(name).prepare(torch.zeros(shape))

    def test_keys_without_attention(self):
        with pytest.raises(ValueError, match=r"expected keys of shape \[batch, keys, 6\], got \[3, 6\]"):
            build("none").prepare(torch.zeros(3, 6))

    @pytest.mark.parametrize("name", MECHANISMS)
    @pytest.mark.parametrize("shape", [(2, 4, 6), (1, 3, 6), (2, 3)])
    def test_values(self, name, shape):
        message = f"expected values of shape [2, 3, value_size], got {list(shape)}"
        with pytest.raises(ValueError, match=exactly(message)):
            build(name).prepare(torch.zeros(2, 3, 6), torch.zeros(shape))

    @pytest.mark.parametrize("name", MECHANISMS)
    @pytest.mark.parametrize("shape", [(2, 4), (3, 3), (3,), (2, 1, 1, 3), (1, 2, 3)])
    def test_mask(self, name, shape):
        message = f"expected a mask of shape [2, 3] or [2, queries, 3], got {list(shape)}"
        with pytest.raises(ValueError, match=exactly(message)):
            build(name).prepare(torch.zeros(2, 3, 6), mask=torch.ones(shape, dtype=torch.bool))

    @pytest.mark.parametrize("name", MECHANISMS)
    @pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
    def test_a_mask_of_numbers(self, name, dtype):
        with pytest.raises(ValueError, match=rf"a mask of torch.bool .* got {dtype}"):
            build(name).prepare(torch.zeros(2, 3, 6), mask=torch.ones(2, 3, dtype=dtype))

    @pytest.mark.parametrize("name", SCORED)
    @pytest.mark.parametrize("shape", [(2, 4, 5), (3, 4, 6), (1, 4, 6), (2, 2, 4, 6), (6,), (3, 6), (2, 5)])
    def test_query(self, name, shape):
        attention = build(name, dtype=torch.float32)
        message = f"expected a query of shape [2, queries, 6] or [2, 6], got {list(shape)}"
        with pytest.raises(ValueError, match=exactly(message)):
            attention.attend(torch.zeros(shape), attention.prepare(torch.zeros(2, 3, 6)))

    @pytest.mark.parametrize("name", MECHANISMS)
    @pytest.mark.parametrize("shape", [(2, 5, 6), (2, 6)])
    def test_queries_of_the_mask(self, name, shape):
        attention = build(name, dtype=torch.float32)
        prepared = attention.prepare(torch.zeros(2, 3, 6), mask=torch.ones(2, 4, 3, dtype=torch.bool))
        message = (
            f"expected 4 queries, as the mask of shape [2, 4, 3] has, got a query of shape {list(shape)}"
        )
        with pytest.raises(ValueError, match=exactly(message)):
            attention.attend(torch.zeros(shape), prepared)

    @pytest.mark.parametrize("shape", [(2, 4, 2), (2, 3), (4, 3)])
    def test_coverage(self, shape):
        attention = build("bahdanau coverage", dtype=torch.float32)
        prepared = attention.prepare(torch.zeros(2, 3, 6))
        message = f"expected a coverage of shape [2, 4, 3], got {list(shape)}"
        with pytest.raises(ValueError, match=exactly(message)):
            attention.attend(torch.zeros(2, 4, 6), prepared, coverage=torch.zeros(shape))
