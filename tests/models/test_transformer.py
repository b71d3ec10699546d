"""The Transformer: the same network step by step and all at once, and what its parts promise."""

import math

import pytest
import torch
from small_transformer import SOURCE_WORDS, TARGET_WORDS, batch_of, small_transformer

from shisen.data.vocabulary import BEGIN, END, PADDING
from shisen.decoding import beam_search, force, greedy
from shisen.decoding.options import BeamOptions, LengthLimits

VARIANTS = [
    {},
    {"norm": "post"},
    {"positions": "learned", "activation": "gelu"},
    {"positions": "rotary", "activation": "swiglu"},
    {"positions": "alibi", "key_value_heads": 1},
    {"tie_embeddings": "three-way"},
    {"tie_embeddings": "none", "encoder_layers": 1, "decoder_layers": 3},
    {"encoder_pattern": "window(2)"},
    {"attention_function": "entmax15", "positions": "rotary"},
]


def named(settings):
    return "-".join(f"{key}={value}" for key, value in settings.items()) or "default"


every_variant = pytest.mark.parametrize("settings", VARIANTS, ids=named)


def log_probabilities_of_steps(model, source, target):
    """[batch, steps, vocabulary], one step after the other."""
    mask = source != PADDING
    memory = model.encode(source, mask)
    state = model.initial_state(memory)
    rows = []
    for step in range(target.shape[1] - 1):
        out = model.step(target[:, step, None], state, memory)
        state = out.state
        rows.append(out.logits[:, 0].log_softmax(-1))
    return torch.stack(rows, 1)


@every_variant
def test_the_steps_with_their_cache_are_the_decoder_all_at_once(settings):
    model = small_transformer(**settings)
    batch = batch_of()
    at_once = model.output(
        model.decode(batch.target[:, :-1], model.encode(batch.source, batch.source != PADDING))
    )
    steps = log_probabilities_of_steps(model, batch.source, batch.target)
    is_real = batch.target[:, 1:] != PADDING
    torch.testing.assert_close(steps[is_real], at_once.log_softmax(-1)[is_real].float(), atol=1e-6, rtol=0)


@every_variant
def test_the_gradient_through_the_steps_is_that_of_the_decoder_all_at_once(settings):
    model = small_transformer(**settings)
    batch = batch_of()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    wanted = batch.target[:, 1:, None]
    at_once = model.output(
        model.decode(batch.target[:, :-1], model.encode(batch.source, batch.source != PADDING))
    )
    steps = log_probabilities_of_steps(model, batch.source, batch.target)
    both = [
        torch.autograd.grad(scores.log_softmax(-1).gather(-1, wanted)[wanted != PADDING].sum(), parameters)
        for scores in (at_once, steps)
    ]
    for expected, found in zip(*both, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)  # the steps' logits are float32


@every_variant
def test_the_loss_is_that_of_the_steps(settings):
    model = small_transformer(**settings)
    batch = batch_of()
    steps = log_probabilities_of_steps(model, batch.source, batch.target)
    targets = batch.target[:, 1:]
    chosen = steps.gather(-1, targets[..., None])[..., 0]
    expected = -(0.9 * chosen + 0.1 * steps.mean(-1))[targets != PADDING].sum()
    found = model.loss(batch, label_smoothing=0.1)
    assert found.tokens == int((targets != PADDING).sum())
    assert float(found.loss) == pytest.approx(float(expected), abs=1e-4)


@every_variant
def test_a_later_word_never_changes_an_earlier_step(settings):
    model = small_transformer(**settings)
    batch = batch_of()
    memory = model.encode(batch.source, batch.source != PADDING)
    words = batch.target[:, :-1]
    changed = words.clone()
    changed[:, 3] = (changed[:, 3] + 1) % TARGET_WORDS
    before, after = model.decode(words, memory), model.decode(changed, memory)
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3], after[:, 3])


@every_variant
def test_padding_and_company_change_nothing(settings):
    model = small_transformer(**settings)
    batch = batch_of()
    together = log_probabilities_of_steps(model, batch.source, batch.target)
    for row, (source, target) in enumerate(zip(batch.source, batch.target, strict=True)):
        alone = log_probabilities_of_steps(
            model, source[source != PADDING][None], target[target != PADDING][None]
        )
        torch.testing.assert_close(together[row, : alone.shape[1]], alone[0], atol=1e-6, rtol=0)


@every_variant
def test_beams_find_what_each_hypothesis_scores_by_itself(settings):
    model = small_transformer(**settings)
    batch = batch_of()
    mask = batch.source != PADDING
    found = beam_search(
        model, batch.source, mask, BeamOptions(4, n_best=3), lengths=LengthLimits(8), with_attention=True
    )
    for row, hypotheses in enumerate(found):
        source = batch.source[row][mask[row]][None]
        for one in hypotheses:
            forced = force(model, source, source != PADDING, torch.tensor([[BEGIN, *one.ids]]))[0]
            assert one.score == pytest.approx(forced.score, abs=1e-5)
            assert one.attention.keys() == {"cross", "encoder", "decoder"}
            for kind, weights in one.attention.items():
                torch.testing.assert_close(
                    torch.tensor(weights), torch.tensor(forced.attention[kind]), atol=1e-5, rtol=0
                )


def test_a_beam_of_one_is_greedy_decoding():
    model = small_transformer()
    batch = batch_of()
    mask = batch.source != PADDING
    lengths = LengthLimits(9)
    beam = beam_search(model, batch.source, mask, BeamOptions(1), lengths=lengths)
    assert [one[0].ids for one in beam] == [
        one.ids for one in greedy(model, batch.source, mask, lengths=lengths)
    ]


@every_variant
def test_the_weights_are_distributions_over_what_was_there(settings):
    model = small_transformer(**settings)
    batch = batch_of()
    mask = batch.source != PADDING
    layers, heads = model.config.decoder_layers, model.config.heads
    for row, one in enumerate(
        greedy(model, batch.source, mask, lengths=LengthLimits(6), with_attention=True)
    ):
        steps, keys = len(one.ids), int(mask[row].sum())
        assert one.attention["cross"].shape == (layers, heads, steps, keys)
        assert one.attention["decoder"].shape == (layers, heads, steps, steps)
        assert one.attention["encoder"].shape == (model.config.encoder_layers, heads, keys, keys)
        for weights in one.attention.values():
            torch.testing.assert_close(
                torch.tensor(weights.sum(-1)), torch.ones(weights.shape[:-1]), atol=1e-5, rtol=0
            )
        future = torch.ones(steps, steps, dtype=torch.bool).triu(1).numpy()
        assert (one.attention["decoder"][..., future] == 0).all()


def test_a_pattern_keeps_the_encoder_within_it():
    model = small_transformer(encoder_pattern="window(1)")
    source = torch.tensor([[4, 5, 6, 7, 8, 9, END]])
    weights = model.encode(source, source != PADDING, with_attention=True).attention["encoder"][0]
    far = (torch.arange(7)[:, None] - torch.arange(7)).abs() > 1
    assert (weights[..., far] == 0).all()
    assert (weights[..., ~far] > 0).all()


def test_without_attention_no_weights_are_kept():
    model = small_transformer()
    batch = batch_of()
    memory = model.encode(batch.source, batch.source != PADDING)
    assert memory.attention == {}
    first = torch.full_like(batch.source[:, :1], BEGIN)
    assert model.step(first, model.initial_state(memory), memory).attention == {}


def test_a_past_can_be_gone_on_from_twice():
    model = small_transformer()
    source = torch.tensor([[4, 5, 6, END]])
    memory = model.encode(source, source != PADDING)
    begin = model.step(torch.tensor([[BEGIN]]), model.initial_state(memory), memory)
    one = model.step(torch.tensor([[5]]), begin.state, memory)
    other = model.step(torch.tensor([[6]]), begin.state, memory)  # must not disturb the first way
    after_one = model.step(torch.tensor([[7]]), one.state, memory)
    after_other = model.step(torch.tensor([[7]]), other.state, memory)
    target = torch.tensor([[BEGIN, 5, 7], [BEGIN, 6, 7]])
    twice = model.encode(source.expand(2, -1), source.expand(2, -1) != PADDING)
    expected = model.output(model.decode(target, twice))[:, -1].float()
    torch.testing.assert_close(after_one.logits[0, 0], expected[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(after_other.logits[0, 0], expected[1], atol=1e-6, rtol=0)


def test_long_translations_outgrow_the_room_of_the_cache():
    model = small_transformer()
    source = torch.tensor([[4, 5, 6, END]])
    target = torch.cat([torch.tensor([[BEGIN]]), torch.randint(4, TARGET_WORDS, (1, 90))], 1)
    at_once = model.output(model.decode(target[:, :-1], model.encode(source, source != PADDING)))
    steps = log_probabilities_of_steps(model, source, target)
    torch.testing.assert_close(steps, at_once.log_softmax(-1).float(), atol=1e-5, rtol=0)


def test_beyond_the_learned_positions_the_last_one_serves():
    model = small_transformer(positions="learned", max_positions=4)
    embedded = model.source_embedding(torch.full((1, 7), 5))
    assert torch.equal(embedded[0, 3], embedded[0, 6])
    assert not torch.equal(embedded[0, 2], embedded[0, 3])


def test_sinusoids_are_added_to_scaled_embeddings():
    model = small_transformer()
    words = torch.tensor([[7, 8]])
    size = model.config.model_size
    expected = model.target_embedding.words.weight[words[0]] * math.sqrt(size)
    for position in range(2):
        for i in range(size // 2):
            angle = position / 10_000 ** (2 * i / size)
            expected[position, 2 * i] += math.sin(angle)
            expected[position, 2 * i + 1] += math.cos(angle)
    torch.testing.assert_close(model.target_embedding(words)[0], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("name", "parameters"), [("none", 3), ("two-way", 2), ("three-way", 1)])
def test_tied_matrices_are_one(name, parameters):
    model = small_transformer(tie_embeddings=name)
    matrices = {
        tensor.data_ptr()
        for tensor in (
            model.source_embedding.words.weight,
            model.target_embedding.words.weight,
            model.output.weight,
        )
    }
    assert len(matrices) == parameters


@every_variant
def test_gradients_reach_every_parameter(settings):
    model = small_transformer(**settings).train()
    model.loss(batch_of()).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0 or name.endswith("key.bias"), name  # softmax does not see it


def test_dropout_acts_in_training_alone():
    model = small_transformer(dropout=0.3, attention_dropout=0.2, activation_dropout=0.2, drop_head=0.3)
    batch = batch_of()
    torch.manual_seed(1)
    assert float(model.loss(batch).loss) == float(model.loss(batch).loss)
    model.train()
    assert float(model.loss(batch).loss) != float(model.loss(batch).loss)


def test_a_teacher_that_is_never_followed_leaves_the_models_own_words():
    model = small_transformer()
    batch = batch_of()
    memory = model.encode(batch.source, batch.source != PADDING)
    words = batch.target[:, :-1]
    predicted = model.output(model.decode(words, memory)).argmax(-1)
    read = torch.cat([words[:, :1], predicted[:, :-1]], 1)
    logits = model.output(model.decode(read, memory)).log_softmax(-1)
    targets = batch.target[:, 1:]
    expected = -logits.gather(-1, targets[..., None])[..., 0][targets != PADDING].sum()
    found = model.loss(batch, teacher_forcing_ratio=0.0)
    assert float(found.loss) == pytest.approx(float(expected), abs=1e-4)
    assert float(model.loss(batch, teacher_forcing_ratio=1.0).loss) != pytest.approx(
        float(expected), abs=1e-3
    )


def test_the_first_pass_of_scheduled_sampling_keeps_no_narrow_weights():
    """In many versions of torch the second pass takes them, and the parameters get no gradient."""
    model = small_transformer().float().train()
    keeps = {}

    def note(*_):
        keeps[torch.is_grad_enabled()] = torch.is_autocast_cache_enabled()

    model.decoder_norm.register_forward_hook(note)
    model.loss(batch_of(), teacher_forcing_ratio=0.5, precision="bfloat16").loss.backward()
    assert keeps == {False: False, True: True}
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_bfloat16_products_stay_near_float32():
    model = small_transformer().float()
    batch = batch_of()
    exact = float(model.loss(batch).loss)
    rounded = float(model.loss(batch, precision="bfloat16").loss)
    assert rounded != exact
    assert rounded == pytest.approx(exact, rel=2e-2)


def test_the_loss_falls_on_a_small_task():
    torch.manual_seed(0)
    model = small_transformer().float().train()
    batch = batch_of()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        out = model.loss(batch)
        out.loss.backward()
        optimizer.step()
        losses.append(float(out.loss) / out.tokens)
    assert losses[-1] < 0.2 * losses[0]
    model.eval()
    found = greedy(model, batch.source, batch.source != PADDING)
    assert [list(one.ids) for one in found] == [
        [id for id in row.tolist() if id not in (PADDING, BEGIN)] for row in batch.target
    ]


def test_vocabularies_that_differ_cannot_share_one_matrix():
    from shisen.errors import UserError
    from shisen.models import TransformerConfig, build_model

    with pytest.raises(UserError, match="three-way needs one vocabulary"):
        build_model(TransformerConfig(tie_embeddings="three-way"), SOURCE_WORDS, TARGET_WORDS + 1)
