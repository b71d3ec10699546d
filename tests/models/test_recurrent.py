"""The whole network: its loss is what its steps say, for every variant; teacher forcing; training."""

import itertools

import pytest
import torch
from small_networks import Pairs, attending, gradients, padded, small_model

from shisen.attention import MECHANISMS
from shisen.models import RecurrentConfig, build_model
from shisen.models.bahdanau_gru import unroll_bahdanau_gru

ATTENTIONS = [
    *MECHANISMS,
    "bahdanau sparsemax",
    "luong-general entmax15",
    "local-p sparsemax",
    "bahdanau coverage",
    "luong-concat sparsemax coverage",
]
VARIANTS = [
    *itertools.product(MECHANISMS, ["gru", "lstm"], [1, 2], [True, False]),
    *((attention, "gru", 1, False) for attention in ATTENTIONS if attention not in MECHANISMS),
]


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
    for input_feeding in (True, False) if attention.startswith("l") else (True,):
        model = small_model(
            **attending(attention),
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
    model = small_model(**attending(attention))
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
    model = small_model(**attending(attention)).float()
    mask = batch.source != 0
    memory = model.encode(batch.source, mask)
    weights = model.step(batch.target[:, :1], model.initial_state(memory), memory).attention["cross"]
    assert weights.shape == (5, 1, 1, 1, 7)
    assert weights.dtype == torch.float32
    sums = weights.sum((1, 2, 3, 4))
    if attention.startswith("local-p"):  # the Gaussian takes some away, as published
        assert ((sums > 0) & (sums < 1)).all()
    else:
        torch.testing.assert_close(sums, torch.zeros(5) if attention == "none" else torch.ones(5))
    assert (weights[:, 0, 0, 0][~mask] == 0).all()


@pytest.mark.parametrize("attention", ["bahdanau", "local-m", "local-p", "bahdanau coverage"])
def test_beams_are_queries_over_one_memory(batch, attention):
    model = small_model(**attending(attention))
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


def words_read(ratio: float, unit: str, seed: int) -> torch.Tensor:
    """Where the decoder reads the reference, [batch, steps]; a model that always predicts one word shows."""
    predicted = 5
    model = small_model()
    with torch.no_grad():
        model.output.bias[predicted] = 1e3
    target = torch.randint(6, 60, (400, 11))
    read: list[torch.Tensor] = []
    model.decoder.embedding.register_forward_hook(lambda _module, inputs, _output: read.append(inputs[0]))
    generator = torch.Generator().manual_seed(seed)
    batch = Pairs(torch.full((400, 1), 3), target)
    model.loss(batch, 0.0, ratio, unit, generator=generator)
    words = torch.cat(read, 1)
    assert ((words == target[:, :-1]) | (words == predicted)).all()
    return words == target[:, :-1]


def test_the_reference_is_read_with_the_ratios_probability_at_each_step():
    is_forced = words_read(0.7, "step", seed=0)
    assert is_forced[:, 0].all()  # the first word is always BEGIN
    assert abs(is_forced[:, 1:].float().mean().item() - 0.7) < 0.03  # four standard deviations
    assert len(is_forced[:, 1:].sum(1).unique()) > 4


def test_the_reference_is_read_with_the_ratios_probability_in_whole_sentences():
    is_forced = words_read(0.7, "sentence", seed=0)[:, 1:]
    assert abs(is_forced.float().mean().item() - 0.7) < 0.1
    assert set(is_forced.sum(1).unique().tolist()) == {0, 9}


@pytest.mark.parametrize("unit", ["step", "sentence"])
def test_the_generator_determines_the_words_read(unit):
    assert torch.equal(words_read(0.5, unit, seed=1), words_read(0.5, unit, seed=1))
    assert not torch.equal(words_read(0.5, unit, seed=1), words_read(0.5, unit, seed=2))


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_ratio_of_a_half_has_gradients_everywhere(batch, attention):
    model = small_model(**attending(attention), cell="lstm", decoder_layers=2)
    loss = model.loss(batch, 0.1, 0.5, generator=torch.Generator().manual_seed(0)).loss
    for name, gradient in gradients(model, loss).items():
        assert gradient.isfinite().all(), name
        assert gradient.abs().max() > 0, name


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_every_variant_learns_to_copy(attention, cell):
    torch.manual_seed(0)
    model = build_model(
        RecurrentConfig(**attending(attention), cell=cell, embedding_size=16, hidden_size=16, dropout=0.1),
        12,
        12,
    )
    source = padded([3] * 16, 12)
    target = torch.cat([torch.full((16, 1), 2), source, torch.full((16, 1), 3)], 1)
    batch = Pairs(torch.cat([source, torch.full((16, 1), 3)], 1), target)
    optimiser = torch.optim.Adam(model.parameters(), 2e-2)
    losses = []
    for _ in range(30):
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


@pytest.mark.parametrize("attention", ["bahdanau coverage", "luong-concat sparsemax coverage"])
@pytest.mark.parametrize("ratio", [1.0, 1 - 1e-12])
def test_the_penalty_is_the_coverage_loss_of_the_real_steps(batch, attention, ratio):
    model = small_model(**attending(attention), coverage_loss=0.5)
    memory = model.encode(batch.source, batch.source != 0)
    state, coverage, total = model.initial_state(memory), torch.zeros(5, 7).double(), 0.0
    for step in range(batch.target.size(1) - 1):
        out = model.step(batch.target[:, step : step + 1], state, memory)
        state, weights = out.state, out.attention["cross"][:, 0, 0, 0]
        is_real = batch.target[:, step + 1] != 0
        total += 0.5 * torch.minimum(weights, coverage)[is_real].sum().item()
        coverage = coverage + weights
    loss = model.loss(batch, teacher_forcing_ratio=ratio)
    assert loss.penalty.item() == pytest.approx(total)
    assert loss.objective.item() == pytest.approx(loss.loss.item() + total)
    torch.testing.assert_close(state.coverage[:, 0], coverage)


def test_the_loss_itself_does_not_know_the_weight_of_the_coverage_loss(batch):
    settings = attending("bahdanau coverage")
    weighed, without = (small_model(**settings, coverage_loss=weight).loss(batch) for weight in (1.0, 0.0))
    assert torch.equal(weighed.loss, without.loss)
    assert without.penalty is None
    assert small_model().loss(batch).penalty is None
    assert small_model().loss(batch).objective.requires_grad


def test_the_penalty_makes_steps_look_where_none_has_looked():
    torch.manual_seed(0)
    config = RecurrentConfig(coverage=True, coverage_loss=20.0, embedding_size=8, hidden_size=8, dropout=0.0)
    model = build_model(config, 12, 12)
    batch = Pairs(padded([6] * 8, 12), torch.cat([torch.full((8, 1), 2), padded([6] * 8, 12)], 1))
    optimiser = torch.optim.Adam(model.parameters(), 2e-2)
    penalties = []
    for _ in range(80):
        loss = model.loss(batch)
        optimiser.zero_grad()
        loss.objective.backward()
        optimiser.step()
        penalties.append(loss.penalty.item())
    assert penalties[-1] < 0.6 * penalties[0]


def test_tied_embeddings_are_one_matrix(batch):
    model = small_model(tie_embeddings=True)
    assert model.output.weight is model.decoder.embedding.weight
    assert "output.weight" not in gradients(model, model.loss(batch).loss)


@pytest.mark.parametrize("attention", ATTENTIONS[1:])
def test_attention_dropout_is_off_in_evaluation(batch, attention):
    model = small_model(**attending(attention), attention_dropout=0.5)
    torch.manual_seed(3)
    trained = model.loss(batch).loss
    evaluated = model.eval().loss(batch).loss
    assert not torch.allclose(trained, evaluated)
    torch.testing.assert_close(evaluated, stepped_loss(model, batch), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_label_smoothing_mixes_the_target_with_the_mean_over_the_vocabulary(batch, attention):
    model = small_model(**attending(attention))
    memory = model.encode(batch.source, batch.source != 0)
    state, mean = model.initial_state(memory), torch.zeros(()).double()
    for step in range(batch.target.size(1) - 1):
        out = model.step(batch.target[:, step : step + 1], state, memory)
        state, is_real = out.state, batch.target[:, step + 1] != 0
        mean = mean - out.logits.double().log_softmax(-1)[is_real, 0].mean(1).sum()
    expected = 0.8 * model.loss(batch).loss + 0.2 * mean
    torch.testing.assert_close(model.loss(batch, 0.2).loss, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_bfloat16_products_give_nearly_the_same_loss_and_gradients(batch, attention, cell):
    # tanh: where a maxout's two pieces nearly tie, rounding chooses the other and the gradient jumps
    model = small_model(**attending(attention), cell=cell, readout="tanh").float()
    exact, rounded = (model.loss(batch, 0.1, precision=p).loss for p in ("float32", "bfloat16"))
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=1e-2, atol=0)
    one, other = gradients(model, rounded), gradients(model, exact)
    flat, reference = (torch.cat([g.flatten() for g in x.values()]) for x in (one, other))
    assert 0 < (flat - reference).norm() < 0.03 * reference.norm()


def test_bfloat16_products_give_the_same_attention_weights(batch, monkeypatch):
    """Those of the unrolled decoder in training against those of the step, which translation shows."""
    model = small_model().float()
    kept = {}

    def unroll(*arguments):
        kept["weights"] = unroll_bahdanau_gru(*arguments).weights
        return unroll_bahdanau_gru(*arguments)

    monkeypatch.setattr("shisen.models.recurrent.unroll_bahdanau_gru", unroll)
    model.loss(batch, precision="bfloat16")
    memory = model.encode(batch.source, batch.source != 0)
    state = model.initial_state(memory)
    for step, weights in enumerate(kept["weights"]):
        out = model.step(batch.target[:, step : step + 1], state, memory)
        state = out.state
        torch.testing.assert_close(weights, out.attention["cross"][:, 0, 0, 0], rtol=0, atol=0.02)


def test_a_teacher_forced_loss_keeps_nothing_of_the_energies_size():
    model = small_model(attention_size=64)
    batch = Pairs(padded([20] * 4, 50), padded([30] * 4, 60))
    sizes: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        model.loss(batch)
    assert max(sizes) < 29 * 4 * 20 * 64 / 10  # steps, batch, keys, attention


def test_initialisation_is_what_the_docstring_says():
    torch.manual_seed(0)
    model = build_model(RecurrentConfig(embedding_size=64, hidden_size=32), 400, 400)
    source, target = model.encoder.embedding.weight, model.decoder.embedding.weight
    assert (source[0] == 0).all()
    for embedding in (source[1:], target):
        assert embedding.std().item() == pytest.approx(0.5, rel=0.05)
    tied = build_model(RecurrentConfig(embedding_size=64, hidden_size=64, tie_embeddings=True), 400, 400)
    assert tied.encoder.embedding.weight[1:].std().item() == pytest.approx(0.5, rel=0.05)
    assert tied.output.weight.std().item() == pytest.approx(64**-0.5, rel=0.05)
    for gate in model.decoder.first_cell.weight_hh.split(32):
        torch.testing.assert_close(gate @ gate.t(), torch.eye(32), rtol=0, atol=1e-5)
    limit = (6 / (64 + 64 + 32)) ** 0.5  # Xavier: of the embedding and the context, into one gate
    for gate in model.decoder.first_cell.weight_ih.split(32):
        assert 0.9 * limit < gate.abs().max() <= limit
    assert (model.decoder.first_cell.bias_ih == 0).all()


RECURRENT = [f"{kind}_{side}" for kind in ("weight", "bias") for side in ("ih", "hh")]
ENCODER = ["encoder.embedding.weight"]
ONE_LAYER = [f"encoder.layers.0.{name}_l0{side}" for name in RECURRENT for side in ("", "_reverse")]
DECODER = ["decoder.embedding.weight", *(f"decoder.cells.0.{name}" for name in RECURRENT)]
BRIDGE = ["decoder.bridge.weight", "decoder.bridge.bias"]
READOUT = ["decoder.readout.weight", "decoder.readout.bias"]
OUTPUT = ["output.weight", "output.bias"]
PLAIN = [*ENCODER, *ONE_LAYER, *DECODER, *OUTPUT]
W_A, U_A, V_A = "decoder.attention.W_a.weight", "decoder.attention.U_a.weight", "decoder.attention.v_a"
W_P, V_P, C = "decoder.attention.W_p.weight", "decoder.attention.v_p", "decoder.attention.w_c"
W_C = "decoder.W_c.weight"


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, [*PLAIN, *BRIDGE, *READOUT, W_A, U_A, V_A]),
        ({"attention": "none", "readout": "tanh"}, [*PLAIN, *BRIDGE, *READOUT]),
        ({"attention": "luong-dot"}, [*PLAIN, *BRIDGE, W_C]),
        ({"attention": "local-m"}, [*PLAIN, *BRIDGE, W_C, W_A]),
        ({"attention": "local-p"}, [*PLAIN, *BRIDGE, W_C, W_A, W_P, V_P]),
        (
            {"coverage": True, "attention_function": "sparsemax"},
            [*PLAIN, *BRIDGE, *READOUT, W_A, U_A, V_A, C],
        ),
        ({"attention": "luong-concat", "initial_state": "zero"}, [*PLAIN, W_A, V_A, W_C]),
        (
            {
                "attention": "luong-general",
                "cell": "lstm",
                "encoder_layers": 2,
                "decoder_layers": 2,
                "bidirectional": False,
                "tie_embeddings": True,
            },
            [
                *ENCODER,
                *(f"encoder.layers.{layer}.{name}_l0" for layer in (0, 1) for name in RECURRENT),
                *DECODER,
                *(f"decoder.cells.1.{name}" for name in RECURRENT),
                *BRIDGE,
                W_A,
                W_C,
                "decoder.projection.weight",
                *OUTPUT,
            ],
        ),
    ],
)
def test_saved_parameters_carry_stable_names(settings, names):
    """Model directories hold these names: a change here makes older directories unreadable."""
    assert set(small_model(**settings).state_dict()) == set(names)
