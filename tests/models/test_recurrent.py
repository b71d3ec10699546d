"""The whole network: its loss is what its steps say, for every variant; teacher forcing; training."""

import itertools

import pytest
import torch
from tests.models.conftest import Pairs, gradients, padded, small_model

from shisen.models import ModelConfig, build_model
from shisen.models.recurrent import _draw

ATTENTIONS = ["none", "bahdanau", "luong-dot", "luong-general", "luong-concat"]
VARIANTS = list(itertools.product(ATTENTIONS, ["gru", "lstm"], [1, 2], [True, False]))


def stepped_loss(model, batch: Pairs) -> torch.Tensor:
    memory = model.encode(batch.source, batch.source != 0)
    state = model.initial_state(memory)
    total = torch.zeros(()).double()
    for step in range(batch.target.size(1) - 1):
        out = model.step(batch.target[:, step : step + 1], state, memory)
        state, wanted = out.state, batch.target[:, step + 1]
        chosen = out.logits.double().log_softmax(-1)[:, 0].gather(1, wanted[:, None])[:, 0]
        total = total - chosen[wanted != 0].sum()
    return total


@pytest.mark.parametrize(("attention", "cell", "layers", "tie"), VARIANTS)
def test_the_loss_is_minus_the_log_probability_of_the_steps(batch, attention, cell, layers, tie):
    for input_feeding in (True, False) if attention.startswith("luong") else (True,):
        model = small_model(
            attention=attention,
            cell=cell,
            encoder_layers=layers,
            decoder_layers=layers,
            tie_embeddings=tie,
            input_feeding=input_feeding,
        )
        loss = model.loss(batch)
        assert loss.tokens == int((batch.target[:, 1:] != 0).sum())
        torch.testing.assert_close(loss.loss, stepped_loss(model, batch), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_batch_is_single_and_padding_changes_nothing(batch, attention):
    model = small_model(attention=attention)
    together = model.loss(batch, 0.1).loss
    alone = sum(
        model.loss(Pairs(s[s != 0][None], t[t != 0][None]), 0.1).loss
        for s, t in zip(batch.source, batch.target, strict=True)
    )
    torch.testing.assert_close(together, alone)
    wider = Pairs(*(torch.nn.functional.pad(x, (0, 3)) for x in batch))
    torch.testing.assert_close(model.loss(wider, 0.1).loss, together)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_the_steps_weights_are_distributions_over_real_tokens(batch, attention):
    model = small_model(attention=attention).float()
    mask = batch.source != 0
    memory = model.encode(batch.source, mask)
    weights = model.step(batch.target[:, :1], model.initial_state(memory), memory).attention["cross"]
    assert weights.shape == (5, 1, 1, 1, 7)
    assert weights.dtype == torch.float32
    expected = torch.zeros(5) if attention == "none" else torch.ones(5)
    torch.testing.assert_close(weights.sum((1, 2, 3, 4)), expected)
    assert (weights[:, 0, 0, 0][~mask] == 0).all()


def test_beams_are_queries_over_one_memory(batch):
    model = small_model()
    memory = model.encode(batch.source, batch.source != 0)
    state = model.initial_state(memory)
    words = torch.randint(4, 60, (5, 3))
    wide = state.select(torch.arange(5), torch.zeros(5, 3, dtype=torch.long))
    together = model.step(words, wide, memory)
    for beam in range(3):
        alone = model.step(words[:, beam : beam + 1], state, memory)
        torch.testing.assert_close(together.logits[:, beam], alone.logits[:, 0])
    chosen = memory.select(torch.tensor([4, 0]))
    again = model.step(words[[4, 0]], wide.select(torch.tensor([4, 0]), torch.arange(3).expand(2, 3)), chosen)
    torch.testing.assert_close(again.logits, together.logits[[4, 0]])


def test_a_ratio_of_nearly_one_reads_the_reference(batch):
    model = small_model()
    torch.testing.assert_close(
        model.loss(batch, teacher_forcing_ratio=1 - 1e-12).loss, model.loss(batch).loss
    )


def test_a_ratio_of_zero_reads_its_own_predictions(batch):
    model = small_model()
    memory = model.encode(batch.source, batch.source != 0)
    state, word = model.initial_state(memory), batch.target[:, :1]
    total = torch.zeros(()).double()
    for step in range(batch.target.size(1) - 1):
        out = model.step(word, state, memory)
        state, word, wanted = out.state, out.logits.argmax(-1), batch.target[:, step + 1]
        chosen = out.logits.double().log_softmax(-1)[:, 0].gather(1, wanted[:, None])[:, 0]
        total = total - chosen[wanted != 0].sum()
    loss = model.loss(batch, teacher_forcing_ratio=0.0).loss
    torch.testing.assert_close(loss, total, rtol=1e-5, atol=1e-4)
    assert abs(loss - model.loss(batch).loss) > 0.1  # the two ways differ on this batch


def test_the_choice_is_drawn_for_steps_or_for_sentences():
    words = torch.zeros(2000, 10)
    by_step, by_sentence = (
        _draw(words, 0.7, unit, torch.Generator().manual_seed(0)) for unit in ("step", "sentence")
    )
    assert abs(by_step.float().mean().item() - 0.7) < 0.02
    assert abs(by_sentence.float().mean().item() - 0.7) < 0.05
    assert set(by_sentence.sum(1).unique().tolist()) == {0, 10}
    assert len(by_step.sum(1).unique()) > 4
    assert torch.equal(by_step, _draw(words, 0.7, "step", torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_every_variant_learns_to_copy(attention, cell):
    torch.manual_seed(0)
    model = build_model(
        ModelConfig(attention=attention, cell=cell, embedding_size=16, hidden_size=32, dropout=0.1), 12, 12
    )
    source = padded([4] * 32, 12)
    target = torch.cat([torch.full((32, 1), 2), source, torch.full((32, 1), 3)], 1)
    batch = Pairs(torch.cat([source, torch.full((32, 1), 3)], 1), target)
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        loss = model.loss(batch, 0.0)
        optimiser.zero_grad()
        (loss.loss / loss.tokens).backward()
        optimiser.step()
        losses.append(loss.loss.item() / loss.tokens)
    assert losses[-1] < 0.5 * losses[0]


def test_dropout_acts_in_training_alone_and_follows_the_seed(batch):
    model = small_model(dropout=0.5, attention_dropout=0.3)
    torch.manual_seed(3)
    first = model.loss(batch).loss
    assert not torch.equal(first, model.loss(batch).loss)
    torch.manual_seed(3)
    assert torch.equal(first, model.loss(batch).loss)
    model.eval()
    assert torch.equal(model.loss(batch).loss, model.loss(batch).loss)


def test_tied_embeddings_are_one_matrix(batch):
    model = small_model(tie_embeddings=True)
    assert model.output.weight is model.decoder.embedding.weight
    assert "output.weight" not in gradients(model, model.loss(batch).loss)


def test_parameters_carry_stable_names():
    model = small_model(attention="bahdanau")
    assert {name for name, _ in model.named_parameters()} == {
        "encoder.embedding.weight",
        *(
            f"encoder.layers.0.{kind}_{side}_l0{direction}"
            for kind in ("weight", "bias")
            for side in ("ih", "hh")
            for direction in ("", "_reverse")
        ),
        "decoder.embedding.weight",
        "decoder.attention.W_a.weight",
        "decoder.attention.U_a.weight",
        "decoder.attention.v_a",
        *(f"decoder.cells.0.{kind}_{side}" for kind in ("weight", "bias") for side in ("ih", "hh")),
        "decoder.bridge.weight",
        "decoder.bridge.bias",
        "decoder.readout.weight",
        "decoder.readout.bias",
        "output.weight",
        "output.bias",
    }
