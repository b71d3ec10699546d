"""One decoder step against the papers' equations, in independent NumPy."""

import numpy as np
import pytest
import torch
from small_networks import attending, random_state, small_model

from shisen.attention import MECHANISMS
from shisen.models.decoder import lstm_step


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def gru(x: np.ndarray, h: np.ndarray, cell: dict[str, np.ndarray]) -> np.ndarray:
    """h' of Cho et al. (2014), with the reset gate after the product as in torch."""
    i_r, i_z, i_n = np.split(x @ cell["weight_ih"].T + cell["bias_ih"], 3, -1)
    h_r, h_z, h_n = np.split(h @ cell["weight_hh"].T + cell["bias_hh"], 3, -1)
    r, z = sigmoid(i_r + h_r), sigmoid(i_z + h_z)
    return (1 - z) * np.tanh(i_n + r * h_n) + z * h


def lstm(
    x: np.ndarray, h: np.ndarray, c: np.ndarray, cell: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """h' and c' of Hochreiter and Schmidhuber (1997), with the forget gate of Gers et al. (2000)."""
    sums = x @ cell["weight_ih"].T + cell["bias_ih"] + h @ cell["weight_hh"].T + cell["bias_hh"]
    i, f, g, o = np.split(sums, 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


class Case:
    """One step of a model from some state, with all that the equations need in NumPy."""

    def __init__(self, batch, layers: int = 1, **settings: object) -> None:
        model = small_model(decoder_layers=layers, **settings).eval()
        mask = batch.source != 0
        with torch.no_grad():
            memory = model.encode(batch.source, mask)
            state = model.initial_state(memory)
            state = random_state(state)
            words = batch.target[:, :1]
            self.output = model.step(words, state, memory)
        p = {name: value.numpy() for name, value in model.decoder.state_dict().items()}
        self.cells = [
            {name: p[f"cells.{layer}.{name}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
            for layer in range(layers)
        ]
        self.p, self.mask = p, mask.numpy()
        self.h = memory.encoded.states.numpy()
        self.states = state.hidden[:, 0].numpy()  # [batch, layers, hidden]
        self.s = self.states[:, -1]
        self.c = None if state.cell is None else state.cell[:, 0].numpy()
        self.fed = None if state.attentional is None else state.attentional[:, 0].numpy()
        self.t = None if state.positions is None else state.positions[:, 0].numpy()
        self.coverage = None if state.coverage is None else state.coverage[:, 0].numpy()
        self.y = p["embedding.weight"][words[:, 0].numpy()]
        self.W_out, self.b_out = (x.detach().numpy() for x in (model.output.weight, model.output.bias))

    def recur(self, x: np.ndarray) -> np.ndarray:
        """The top layer's new state; every layer's is compared with the model's."""
        for layer, cell in enumerate(self.cells):
            if self.c is None:
                x = gru(x, self.states[:, layer], cell)
            else:
                x, c = lstm(x, self.states[:, layer], self.c[:, layer], cell)
                np.testing.assert_allclose(self.output.state.cell[:, 0, layer].numpy(), c, atol=1e-12)
            np.testing.assert_allclose(self.output.state.hidden[:, 0, layer].numpy(), x, atol=1e-12)
        return x

    def weights(self, scores: np.ndarray) -> np.ndarray:
        return softmax(np.where(self.mask, scores, -np.inf))

    def context(self, weights: np.ndarray) -> np.ndarray:
        return np.einsum("bk,bkf->bf", weights, self.h)

    def check(self, weights: np.ndarray, outputs: np.ndarray) -> None:
        np.testing.assert_allclose(self.output.attention["cross"][:, 0, 0, 0].numpy(), weights, atol=1e-12)
        logits = outputs @ self.W_out.T + self.b_out
        np.testing.assert_allclose(self.output.logits[:, 0].numpy(), logits, atol=1e-5)  # logits are float32


CELLS = pytest.mark.parametrize(("cell", "layers"), [("gru", 1), ("gru", 2), ("lstm", 1), ("lstm", 3)])


@CELLS
@pytest.mark.parametrize("readout", ["maxout", "tanh"])
def test_bahdanau_scores_with_the_previous_state(batch, cell, layers, readout):
    c = Case(batch, layers, cell=cell, attention="bahdanau", readout=readout)
    W_a, U_a, v_a = c.p["attention.W_a.weight"], c.p["attention.U_a.weight"], c.p["attention.v_a"]
    scores = np.tanh((c.s @ W_a.T)[:, None] + c.h @ U_a.T) @ v_a
    weights = c.weights(scores)
    context = c.context(weights)
    s = c.recur(np.concatenate([c.y, context], -1))
    t = np.concatenate([s, c.y, context], -1) @ c.p["readout.weight"].T + c.p["readout.bias"]
    t = np.maximum(t[:, 0::2], t[:, 1::2]) if readout == "maxout" else np.tanh(t)
    c.check(weights, t)


@CELLS
@pytest.mark.parametrize("attention", ["luong-dot", "luong-general", "luong-concat"])
@pytest.mark.parametrize("input_feeding", [True, False])
def test_luong_scores_with_the_current_state(batch, cell, layers, attention, input_feeding):
    c = Case(batch, layers, cell=cell, attention=attention, input_feeding=input_feeding)
    s = c.recur(np.concatenate([c.y, c.fed], -1) if input_feeding else c.y)
    if attention == "luong-dot":
        scores = np.einsum("bf,bkf->bk", s, c.h)
    elif attention == "luong-general":
        scores = np.einsum("bf,bkf->bk", s, c.h @ c.p["attention.W_a.weight"].T)
    else:
        both = np.concatenate([np.broadcast_to(s[:, None], (*c.h.shape[:2], s.shape[1])), c.h], -1)
        scores = np.tanh(both @ c.p["attention.W_a.weight"].T) @ c.p["attention.v_a"]
    weights = c.weights(scores)
    attentional = np.tanh(np.concatenate([c.context(weights), s], -1) @ c.p["W_c.weight"].T)
    outputs = attentional
    c.check(weights, outputs)
    if input_feeding:
        np.testing.assert_allclose(c.output.state.attentional[:, 0].numpy(), attentional, atol=1e-12)
    else:
        assert c.output.state.attentional is None


def sparsemax(x: np.ndarray) -> np.ndarray:
    """Martins and Astudillo (2016), algorithm 1, one row at a time."""
    rows = []
    for row in x:
        z = np.sort(row[np.isfinite(row)])[::-1]
        k = max(n for n in range(1, len(z) + 1) if 1 + n * z[n - 1] > z[:n].sum())
        rows.append(np.maximum(row - (z[:k].sum() - 1) / k, 0))
    return np.stack(rows)


@pytest.mark.parametrize(
    "attention", ["bahdanau coverage", "bahdanau sparsemax", "bahdanau sparsemax coverage"]
)
def test_bahdanau_with_coverage_and_sparsemax(batch, attention):
    c = Case(batch, readout="tanh", **attending(attention))
    inner = (c.s @ c.p["attention.W_a.weight"].T)[:, None] + c.h @ c.p["attention.U_a.weight"].T
    if "coverage" in attention:
        inner = inner + c.coverage[..., None] * c.p["attention.w_c"]
    scores = np.where(c.mask, np.tanh(inner) @ c.p["attention.v_a"], -np.inf)
    weights = sparsemax(scores) if "sparsemax" in attention else softmax(scores)
    context = c.context(weights)
    s = c.recur(np.concatenate([c.y, context], -1))
    t = np.tanh(np.concatenate([s, c.y, context], -1) @ c.p["readout.weight"].T + c.p["readout.bias"])
    c.check(weights, t)
    if "coverage" in attention:
        np.testing.assert_allclose(c.output.state.coverage[:, 0].numpy(), c.coverage + weights, atol=1e-12)


def test_luongs_concat_with_coverage(batch):
    c = Case(batch, **attending("luong-concat coverage"))
    s = c.recur(np.concatenate([c.y, c.fed], -1))
    both = np.concatenate([np.broadcast_to(s[:, None], (*c.h.shape[:2], s.shape[1])), c.h], -1)
    inner = both @ c.p["attention.W_a.weight"].T + c.coverage[..., None] * c.p["attention.w_c"]
    weights = c.weights(np.tanh(inner) @ c.p["attention.v_a"])
    c.check(weights, np.tanh(np.concatenate([c.context(weights), s], -1) @ c.p["W_c.weight"].T))


@CELLS
@pytest.mark.parametrize("attention", ["local-m", "local-p"])
def test_luongs_local_attention_looks_at_a_window(batch, cell, layers, attention):
    c = Case(batch, layers, cell=cell, **attending(attention))
    s = c.recur(np.concatenate([c.y, c.fed], -1))
    lengths, places = c.mask.sum(1), np.arange(7)
    if attention == "local-m":
        middle = c.t
        assert np.array_equal(c.output.state.positions[:, 0].numpy(), c.t + 1)
    else:
        hidden = np.tanh(s @ c.p["attention.W_p.weight"].T)
        middle = lengths * sigmoid(hidden @ c.p["attention.v_p"])
    inside = c.mask & (np.abs(places - middle[:, None]) <= 2)
    scores = np.where(inside, np.einsum("bf,bkf->bk", s, c.h @ c.p["attention.W_a.weight"].T), -np.inf)
    weights = np.zeros(scores.shape)
    some = inside.any(1)
    weights[some] = softmax(scores[some])
    if attention == "local-p":
        weights *= np.exp(-((places - middle[:, None]) ** 2) / 2)  # σ = D / 2 = 1
    c.check(weights, np.tanh(np.concatenate([c.context(weights), s], -1) @ c.p["W_c.weight"].T))


def test_luongs_attentional_state_is_projected_to_tied_embeddings_of_another_size(batch):
    c = Case(batch, attention="luong-general", tie_embeddings=True)
    s = c.recur(np.concatenate([c.y, c.fed], -1))
    weights = c.weights(np.einsum("bf,bkf->bk", s, c.h @ c.p["attention.W_a.weight"].T))
    attentional = np.tanh(np.concatenate([c.context(weights), s], -1) @ c.p["W_c.weight"].T)
    assert np.array_equal(c.W_out, c.p["embedding.weight"])
    c.check(weights, attentional @ c.p["projection.weight"].T)


def test_without_attention_the_context_is_where_each_direction_ends(batch):
    c = Case(batch, attention="none", readout="tanh")
    ends = c.mask.sum(1) - 1
    context = np.concatenate([c.h[np.arange(5), ends, :8], c.h[:, 0, 8:]], -1)
    s = c.recur(np.concatenate([c.y, context], -1))
    t = np.tanh(np.concatenate([s, c.y, context], -1) @ c.p["readout.weight"].T + c.p["readout.bias"])
    c.check(np.zeros(c.mask.shape), t)


def test_an_lstm_step_is_that_of_torch():
    torch.manual_seed(0)
    cell = torch.nn.LSTMCell(3, 4)
    x, h, c = torch.randn(5, 3), torch.randn(5, 4), torch.randn(5, 4)
    gates = x @ cell.weight_ih.t() + cell.bias_ih + h @ cell.weight_hh.t() + cell.bias_hh
    for ours, theirs in zip(lstm_step(gates, c), cell(x, (h, c)), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("attention", ["bahdanau", "luong-dot"])
@pytest.mark.parametrize("kind", ["last", "mean", "zero"])
def test_the_initial_state_is_last_mean_or_zero(batch, cell, attention, kind):
    model = small_model(attention=attention, cell=cell, decoder_layers=2, initial_state=kind)
    mask = batch.source != 0
    memory = model.encode(batch.source, mask)
    state = model.initial_state(memory)
    if attention == "luong-dot":
        assert (state.attentional == 0).all()
    parts = [state.hidden] if cell == "gru" else [state.hidden, state.cell]
    start = torch.stack(parts, 1).flatten(1)  # hidden then cell, each layer after layer
    if kind == "zero":
        assert (start == 0).all()
        return
    states = memory.encoded.states
    whole = memory.encoded.last if kind == "last" else (states.sum(1) / mask.sum(1, keepdim=True))
    torch.testing.assert_close(start, torch.tanh(model.decoder.bridge(whole)))


@pytest.mark.parametrize("attention", ["bahdanau", "luong-general", "local-m", "luong-concat coverage"])
def test_a_state_selects_sentences_and_beams(batch, attention):
    model = small_model(cell="lstm", decoder_layers=2, **attending(attention))
    wide = random_state(model.initial_state(model.encode(batch.source, batch.source != 0)), beams=3)
    assert (wide.positions is not None) == (attention == "local-m")
    assert (wide.coverage is not None) == ("coverage" in attention)
    rows, beams = torch.tensor([3, 1]), torch.tensor([[2, 2, 0, 1], [0, 1, 1, 2]])
    chosen = wide.select(rows, beams)
    for new, old in zip(chosen, wide, strict=True):
        assert (new is None) == (old is None)
        if new is None:
            continue
        for i in range(2):
            for j in range(4):
                assert torch.equal(new[i, j], old[rows[i], beams[i, j]])


@pytest.mark.parametrize(
    "attention",
    [
        *(name for name in MECHANISMS if name != "none"),
        "bahdanau entmax15",
        "local-p sparsemax",
        "luong-concat coverage",
    ],
)
def test_attention_dropout_changes_contexts_in_training_alone(batch, attention):
    model = small_model(attention_dropout=0.6, **attending(attention))
    plain = small_model(**attending(attention))
    plain.load_state_dict(model.state_dict())

    def first_step(network):
        memory = network.encode(batch.source, batch.source != 0)
        return network.step(batch.target[:, :1], network.initial_state(memory), memory)

    dropped, whole = first_step(model), first_step(plain)
    assert not torch.allclose(dropped.logits, whole.logits)
    assert torch.equal(dropped.attention["cross"], whole.attention["cross"])  # before dropout
    assert torch.equal(first_step(model.eval()).logits, whole.logits)
