"""One decoder step against the papers' equations, in independent NumPy."""

import numpy as np
import pytest
import torch
from tests.models.conftest import small_model

from shisen.models.decoder import lstm_step


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def gru(x: np.ndarray, h: np.ndarray, cell: dict[str, np.ndarray]) -> np.ndarray:
    i, g = x @ cell["weight_ih"].T + cell["bias_ih"], h @ cell["weight_hh"].T + cell["bias_hh"]
    i_r, i_z, i_n = np.split(i, 3, -1)
    h_r, h_z, h_n = np.split(g, 3, -1)
    r, z = 1 / (1 + np.exp(-i_r - h_r)), 1 / (1 + np.exp(-i_z - h_z))
    return (1 - z) * np.tanh(i_n + r * h_n) + z * h


class Case:
    """One step of a model, with all that the equations need in NumPy."""

    def __init__(self, batch, **settings: object) -> None:
        model = small_model(**settings).eval()
        mask = batch.source != 0
        with torch.no_grad():
            memory = model.encode(batch.source, mask)
            state = model.initial_state(memory)
            if state.attentional is not None:
                state = state._replace(attentional=torch.randn_like(state.attentional))
            words = batch.target[:, :1]
            self.output = model.step(words, state, memory)
        p = {name: value.numpy() for name, value in model.decoder.state_dict().items()}
        self.cell = {name.removeprefix("cells.0."): v for name, v in p.items() if name.startswith("cells.0.")}
        self.p, self.mask = p, mask.numpy()
        self.h = memory.encoded.states.numpy()
        self.s = state.hidden[:, 0, 0].numpy()
        self.fed = None if state.attentional is None else state.attentional[:, 0].numpy()
        self.y = p["embedding.weight"][words[:, 0].numpy()]
        self.W_out, self.b_out = (x.detach().numpy() for x in (model.output.weight, model.output.bias))

    def weights(self, scores: np.ndarray) -> np.ndarray:
        return softmax(np.where(self.mask, scores, -np.inf))

    def context(self, weights: np.ndarray) -> np.ndarray:
        return np.einsum("bk,bkf->bf", weights, self.h)

    def check(self, weights: np.ndarray, s: np.ndarray, features: np.ndarray) -> None:
        np.testing.assert_allclose(self.output.attention["cross"][:, 0, 0, 0].numpy(), weights, atol=1e-12)
        np.testing.assert_allclose(self.output.state.hidden[:, 0, 0].numpy(), s, atol=1e-12)
        logits = features @ self.W_out.T + self.b_out
        np.testing.assert_allclose(self.output.logits[:, 0].numpy(), logits, atol=1e-5)  # logits are float32


@pytest.mark.parametrize("readout", ["maxout", "tanh"])
def test_bahdanau_scores_with_the_previous_state(batch, readout):
    c = Case(batch, attention="bahdanau", readout=readout)
    W_a, U_a, v_a = c.p["attention.W_a.weight"], c.p["attention.U_a.weight"], c.p["attention.v_a"]
    scores = np.tanh((c.s @ W_a.T)[:, None] + c.h @ U_a.T) @ v_a
    weights = c.weights(scores)
    context = c.context(weights)
    s = gru(np.concatenate([c.y, context], -1), c.s, c.cell)
    t = np.concatenate([s, c.y, context], -1) @ c.p["readout.weight"].T + c.p["readout.bias"]
    t = np.maximum(t[:, 0::2], t[:, 1::2]) if readout == "maxout" else np.tanh(t)
    c.check(weights, s, t)


@pytest.mark.parametrize("attention", ["luong-dot", "luong-general", "luong-concat"])
@pytest.mark.parametrize("input_feeding", [True, False])
def test_luong_scores_with_the_current_state(batch, attention, input_feeding):
    c = Case(batch, attention=attention, input_feeding=input_feeding)
    x = np.concatenate([c.y, c.fed], -1) if input_feeding else c.y
    s = gru(x, c.s, c.cell)
    if attention == "luong-dot":
        scores = np.einsum("bf,bkf->bk", s, c.h)
    elif attention == "luong-general":
        scores = np.einsum("bf,bkf->bk", s, c.h @ c.p["attention.W_a.weight"].T)
    else:
        both = np.concatenate([np.broadcast_to(s[:, None], (*c.h.shape[:2], s.shape[1])), c.h], -1)
        scores = np.tanh(both @ c.p["attention.W_a.weight"].T) @ c.p["attention.v_a"]
    weights = c.weights(scores)
    attentional = np.tanh(np.concatenate([c.context(weights), s], -1) @ c.p["W_c.weight"].T)
    c.check(weights, s, attentional)
    if input_feeding:
        np.testing.assert_allclose(c.output.state.attentional[:, 0].numpy(), attentional, atol=1e-12)
    else:
        assert c.output.state.attentional is None


def test_without_attention_the_context_is_where_each_direction_ends(batch):
    c = Case(batch, attention="none", readout="tanh")
    ends = c.mask.sum(1) - 1
    context = np.concatenate([c.h[np.arange(5), ends, :8], c.h[:, 0, 8:]], -1)
    s = gru(np.concatenate([c.y, context], -1), c.s, c.cell)
    t = np.tanh(np.concatenate([s, c.y, context], -1) @ c.p["readout.weight"].T + c.p["readout.bias"])
    c.check(np.zeros(c.mask.shape), s, t)


def test_an_lstm_step_is_that_of_torch():
    torch.manual_seed(0)
    cell = torch.nn.LSTMCell(3, 4)
    x, h, c = torch.randn(5, 3), torch.randn(5, 4), torch.randn(5, 4)
    gates = x @ cell.weight_ih.t() + cell.bias_ih + h @ cell.weight_hh.t() + cell.bias_hh
    for ours, theirs in zip(lstm_step(gates, c), cell(x, (h, c)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_initial_state_is_last_mean_or_zero(batch):
    mask = batch.source != 0
    for kind in ("last", "mean", "zero"):
        model = small_model(initial_state=kind)
        memory = model.encode(batch.source, mask)
        state = model.initial_state(memory).hidden[:, 0, 0]
        if kind == "zero":
            assert (state == 0).all()
            continue
        states = memory.encoded.states
        whole = memory.encoded.last if kind == "last" else states.sum(1) / mask.sum(1, keepdim=True)
        torch.testing.assert_close(state, torch.tanh(model.decoder.bridge(whole)))


def test_a_state_selects_sentences_and_beams(batch):
    model = small_model(attention="luong-general", cell="lstm", decoder_layers=2)
    state = model.initial_state(model.encode(batch.source, batch.source != 0))
    rows, beams = torch.tensor([3, 1]), torch.tensor([[0, 0, 0], [0, 0, 0]])
    wide = state.select(rows, beams)
    assert wide.hidden.shape == (2, 3, 2, 8)
    assert torch.equal(wide.hidden[0, 2], state.hidden[3, 0])
    assert torch.equal(wide.cell[1, 1], state.cell[1, 0])
    assert wide.attentional.shape == (2, 3, 8)
