"""The fast way through a Bahdanau decoder is the step, in values, weights and every gradient."""

import pytest
import torch
from small_networks import gradients, small_model

from shisen.models.bahdanau_gru import unroll_bahdanau_gru
from shisen.models.decoder import DecoderState


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("initial_state", ["last", "mean", "zero"])
@pytest.mark.parametrize("readout", ["maxout", "tanh"])
@pytest.mark.parametrize("attention", ["bahdanau", "none"])
def test_the_fast_way_is_the_definition(batch, monkeypatch, attention, bidirectional, initial_state, readout):
    model = small_model(
        attention=attention, bidirectional=bidirectional, initial_state=initial_state, readout=readout
    )
    fast = model.loss(batch, 0.1)
    by_fast = gradients(model, fast.loss)
    monkeypatch.setattr(model, "_teacher_forced", model._unroll_step_by_step)
    plain = model.loss(batch, 0.1)
    torch.testing.assert_close(fast.loss, plain.loss)
    for name, gradient in gradients(model, plain.loss).items():
        torch.testing.assert_close(by_fast[name], gradient, msg=lambda m, name=name: f"{name}: {m}")


SOURCE_MASK = torch.tensor([[True, True, True, True], [True, True, False, False], [False] * 4])


@pytest.mark.parametrize("attention_dropout", [0.0, 0.4])
def test_it_is_the_decoders_steps_with_the_same_weights_dropped(monkeypatch, attention_dropout):
    """In states, contexts, weights and every gradient, with a sentence that has no word at all."""
    decoder = small_model(attention_dropout=attention_dropout).decoder
    torch.manual_seed(4)
    states = torch.randn(3, 4, 16).double().requires_grad_()
    initial = torch.randn(3, 8).double().requires_grad_()
    words = torch.randint(4, 60, (5, 3))  # [steps, batch]
    cell, attention = decoder.first_cell, decoder.attention
    leaves = [states, initial, decoder.embedding.weight, *cell.parameters(), *attention.parameters()]

    torch.manual_seed(5)
    embedded = decoder.embed(words)
    unrolled = unroll_bahdanau_gru(
        decoder.input_gates(embedded),
        initial,
        attention.U_a(states),
        states,
        SOURCE_MASK,
        attention.W_a.weight,
        attention.v_a,
        cell.weight_ih[:, 6:],
        cell.weight_hh,
        cell.bias_hh,
        attention_dropout,
    )

    torch.manual_seed(5)
    kept = iter(torch.empty(5, 3, 4).double().bernoulli_(1 - attention_dropout).unsqueeze(2))
    monkeypatch.setattr(torch.nn.functional, "dropout", lambda weights, p: weights * next(kept) / (1 - p))
    prepared = attention.prepare(states, mask=SOURCE_MASK)
    state = DecoderState(initial[:, None, None], None, None)
    stepped = []
    for step in range(5):
        e = decoder.embed(words[step, :, None])
        out = decoder.step(e, decoder.input_gates(e), state, prepared)
        state = out.state
        stepped.append((state.hidden[:, 0, 0], out.features[:, 0, 8 + 6 :], out.weights[:, 0]))
    plain = [torch.stack(parts) for parts in zip(*stepped, strict=True)]

    for fast, slow in zip(unrolled, plain, strict=True):
        torch.testing.assert_close(fast, slow.detach() if not fast.requires_grad else slow)
    by = [torch.randn_like(plain[0]), torch.randn_like(plain[1])]
    for fast, slow in zip(
        torch.autograd.grad(unrolled[:2], leaves, by),
        torch.autograd.grad(plain[:2], leaves, by),
        strict=True,
    ):
        assert slow.abs().max() > 0
        torch.testing.assert_close(fast, slow)
    assert (unrolled.contexts[:, 2] == 0).all()


def parts(mask: torch.Tensor, steps: int = 3) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    batch, keys = mask.shape
    shapes = [(steps, batch, 9), (batch, 3), (batch, keys, 4), (batch, keys, 2), None, (4, 3), (4,)]
    shapes += [(9, 2), (9, 3), (9,)]
    return tuple(mask if shape is None else torch.randn(shape).double().requires_grad_() for shape in shapes)


MASK = torch.tensor([[True, True, True], [True, False, False]])


def test_gradients_check():
    def outputs(*inputs):
        unrolled = unroll_bahdanau_gru(*inputs)
        return unrolled.states, unrolled.contexts

    assert torch.autograd.gradcheck(outputs, parts(MASK))


def test_gradients_check_under_attention_dropout():
    def outputs(*inputs):
        torch.manual_seed(7)  # the same weights dropped each time
        unrolled = unroll_bahdanau_gru(*inputs, attention_dropout=0.4)
        return unrolled.states, unrolled.contexts

    assert torch.autograd.gradcheck(outputs, parts(MASK))


def test_weights_sum_to_one_and_are_zero_where_masked():
    weights = unroll_bahdanau_gru(*parts(MASK)).weights
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2).double())
    assert (weights[:, 1, 1:] == 0).all()
    assert not weights.requires_grad


def test_a_sentence_without_a_word_has_zeros_and_finite_gradients():
    inputs = parts(torch.tensor([[True, True], [False, False]]))
    unrolled = unroll_bahdanau_gru(*inputs)
    assert (unrolled.weights[:, 1] == 0).all()
    assert (unrolled.contexts[:, 1] == 0).all()
    leaves = [x for x in inputs if x.is_floating_point()]
    for gradient in torch.autograd.grad(unrolled.states.sum() + unrolled.contexts.sum(), leaves):
        assert gradient.isfinite().all()


def test_attention_dropout_drops_weights_and_keeps_the_distribution():
    torch.manual_seed(0)
    plain, dropped = (unroll_bahdanau_gru(*parts(MASK, steps=1), attention_dropout=p) for p in (0.0, 0.9))
    assert torch.equal(plain.weights, dropped.weights)
    assert not torch.equal(plain.contexts, dropped.contexts)


def test_nothing_of_the_energies_size_is_kept_for_the_backward():
    steps, batch, keys, attention = 6, 2, 3, 4
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        unroll_bahdanau_gru(*parts(MASK, steps=steps))
    assert sizes
    assert max(sizes) < steps * batch * keys * attention


def test_bfloat16_products_give_nearly_the_same_gradients_and_the_same_weights():
    inputs = [x.detach().float().requires_grad_() if x.is_floating_point() else x for x in parts(MASK)]
    exact, rounded = unroll_bahdanau_gru(*inputs), unroll_bahdanau_gru(*inputs, precision="bfloat16")
    assert torch.equal(exact.weights, rounded.weights)
    leaves = [x for x in inputs if x.is_floating_point()]
    for mine, other in zip(
        torch.autograd.grad(rounded.states.sum(), leaves),
        torch.autograd.grad(exact.states.sum(), leaves),
        strict=True,
    ):
        assert (mine - other).norm() <= 0.02 * other.norm() + 1e-6
