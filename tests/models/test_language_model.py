"""The language model: step by step as all at once, a prompt read at once, the numbers of GPT-2."""

import pytest
import torch
from small_language_model import TEXTS, WORDS, small_language_model, texts

from shisen.data.vocabulary import BEGIN, END, PADDING
from shisen.decoding import beam_search, force, greedy, sample
from shisen.decoding.options import BeamOptions, LengthLimits, SamplingOptions

VARIANTS = [
    {},
    {"norm": "post"},
    {"positions": "learned", "activation": "gelu"},
    {"positions": "rotary", "activation": "swiglu"},
    {"positions": "alibi", "key_value_heads": 1},
    {"tie_embeddings": False, "layers": 3},
]


def named(settings):
    return "-".join(f"{key}={value}" for key, value in settings.items()) or "default"


every_variant = pytest.mark.parametrize("settings", VARIANTS, ids=named)


def begin(*prompt):
    """<s> and a prompt as a batch of one: source, mask and the token that the first step reads."""
    source = torch.tensor([[BEGIN, *prompt]])
    return source, torch.ones_like(source, dtype=torch.bool), source[:, -1]


def log_probabilities(model, words):
    """[batch, length, vocabulary] of the words that follow, all at once."""
    return model.output(model(words)).log_softmax(-1).float()


def stepped(model, words, read=1):
    """The same one token at a time, after the first `read` tokens but the last of them were read at once."""
    source = words[:, :read]
    memory = model.encode(source, torch.ones_like(source, dtype=torch.bool))
    state = model.initial_state(memory)
    rows = []
    for position in range(read - 1, words.shape[1]):
        out = model.step(words[:, position, None], state, memory)
        state = out.state
        rows.append(out.logits[:, 0].log_softmax(-1))
    return torch.stack(rows, 1)


@every_variant
@pytest.mark.parametrize("read", [1, 2, 5])
def test_the_steps_behind_a_prompt_are_the_model_all_at_once(settings, read):
    model = small_language_model(**settings)
    words = texts().target
    torch.testing.assert_close(
        stepped(model, words, read), log_probabilities(model, words)[:, read - 1 :], atol=1e-6, rtol=0
    )


@every_variant
def test_reading_gives_what_training_reads(settings):
    model = small_language_model(**settings)
    words = texts().target
    torch.testing.assert_close(model.read(words).features, model(words), atol=1e-9, rtol=0)
    torch.testing.assert_close(model.read(words, True).features, model(words), atol=1e-9, rtol=0)


@every_variant
def test_the_loss_is_that_of_the_steps(settings):
    model = small_language_model(**settings)
    batch = texts()
    steps = stepped(model, batch.target[:, :-1])
    targets = batch.target[:, 1:]
    chosen = steps.gather(-1, targets[..., None])[..., 0]
    expected = -(0.9 * chosen + 0.1 * steps.mean(-1))[targets != PADDING].sum()
    found = model.loss(batch, label_smoothing=0.1)
    assert found.tokens == sum(map(len, TEXTS))
    assert found.loss.item() == pytest.approx(expected.item(), abs=1e-4)


@every_variant
def test_a_later_word_never_changes_an_earlier_position(settings):
    model = small_language_model(**settings)
    words = texts().target
    changed = words.clone()
    changed[:, 3] = (changed[:, 3] + 1) % WORDS
    before, after = model(words), model(changed)
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3], after[:, 3])


@every_variant
def test_padding_and_company_change_nothing(settings):
    model = small_language_model(**settings)
    together = log_probabilities(model, texts().target)
    for row, text in enumerate(TEXTS):
        alone = log_probabilities(model, torch.tensor([[BEGIN, *text]]))
        torch.testing.assert_close(together[row, : alone.shape[1]], alone[0], atol=1e-6, rtol=0)


@every_variant
def test_gradients_reach_every_parameter(settings):
    model = small_language_model(**settings).train()
    model.loss(texts()).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0 or name.endswith("key.bias"), name  # softmax does not see it


def test_the_output_layer_and_the_embedding_are_one_matrix_if_they_are_tied():
    tied, untied = small_language_model(), small_language_model(tie_embeddings=False)
    assert tied.output.weight is tied.embedding.words.weight
    assert untied.output.weight is not untied.embedding.words.weight


def test_the_numbers_are_those_of_gpt2_with_the_same_weights():
    transformers = pytest.importorskip("transformers")
    size, heads, inner, layers, places = 8, 2, 12, 2, 16
    theirs = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=WORDS,
            n_positions=places,
            n_embd=size,
            n_layer=layers,
            n_head=heads,
            n_inner=inner,
            activation_function="gelu",
            attn_implementation="eager",
            bos_token_id=BEGIN,
            eos_token_id=END,
        )
    )
    theirs = theirs.double().eval()
    ours = small_language_model(
        positions="learned", max_positions=places, activation="gelu", tie_embeddings=False
    )
    with torch.no_grad():
        for parameter in theirs.parameters():  # so that biases count too
            parameter.normal_(std=0.3)
        gpt = theirs.transformer
        ours.embedding.words.weight.copy_(gpt.wte.weight / size**0.5)  # ours are scaled when they are read
        ours.embedding.learned.weight.copy_(gpt.wpe.weight)
        ours.output.weight.copy_(gpt.wte.weight)
        ours.output.bias.zero_()
        copies = [(ours.norm, gpt.ln_f)]
        for layer, block in zip(ours.layers, gpt.h, strict=True):
            attention = layer.self_attention
            for part, weight, bias in zip(
                (attention.query, attention.key, attention.value),
                block.attn.c_attn.weight.split(size, 1),
                block.attn.c_attn.bias.split(size),
                strict=True,
            ):
                part.weight.copy_(weight.T)
                part.bias.copy_(bias)
            for part, conv in (
                (attention.out, block.attn.c_proj),
                (layer.feed_forward.inner, block.mlp.c_fc),
                (layer.feed_forward.outer, block.mlp.c_proj),
            ):
                part.weight.copy_(conv.weight.T)
                part.bias.copy_(conv.bias)
            copies += [(layer.self_attention_norm, block.ln_1), (layer.feed_forward_norm, block.ln_2)]
        for one, other in copies:
            one.load_state_dict(other.state_dict())
    words = texts().target
    expected = theirs(words, output_attentions=True)
    found = ours.read(words, with_attention=True)
    torch.testing.assert_close(ours.output(found.features), expected.logits, atol=1e-10, rtol=0)
    torch.testing.assert_close(found.weights, torch.stack(expected.attentions, 1), atol=1e-10, rtol=0)
    labels = words.masked_fill(words == PADDING, -100)
    loss = ours.loss(texts())
    assert float(loss.loss) / loss.tokens == pytest.approx(float(theirs(words, labels=labels).loss), abs=1e-6)


@every_variant
def test_beams_find_what_each_text_scores_by_itself(settings):
    model = small_language_model(**settings)
    prompt = (4, 6, 10)
    source, mask, first = begin(*prompt)
    (found,) = beam_search(
        model,
        source,
        mask,
        BeamOptions(4, n_best=3),
        first=first,
        lengths=LengthLimits(6),
        with_attention=True,
    )
    nothing, nothing_mask, _ = begin()
    for one in found:
        forced = force(
            model, nothing, nothing_mask, torch.tensor([[BEGIN, *prompt, *one.ids]]), length_penalty=0.0
        )[0]
        assert sum(one.log_probabilities) == pytest.approx(
            sum(forced.log_probabilities[len(prompt) :]), abs=1e-5
        )
        whole = torch.tensor(forced.attention["decoder"])  # [layers, heads, tokens, tokens]
        count = len(prompt)
        torch.testing.assert_close(
            torch.tensor(one.attention["prompt"]), whole[:, :, :count, :count], atol=1e-5, rtol=0
        )
        torch.testing.assert_close(
            torch.tensor(one.attention["decoder"]), whole[:, :, count:], atol=1e-5, rtol=0
        )


def test_prompts_of_one_length_share_a_batch_without_effect():
    model = small_language_model(positions="rotary")
    prompts = torch.tensor([[BEGIN, 4, 6], [BEGIN, 9, 5], [BEGIN, 16, 7]])
    mask = torch.ones_like(prompts, dtype=torch.bool)
    lengths, drawing = LengthLimits(9), SamplingOptions(samples=3, seed=5)
    greedily = greedy(model, prompts, mask, first=prompts[:, -1], lengths=lengths, with_attention=True)
    drawn = sample(model, prompts, mask, drawing, first=prompts[:, -1], lengths=lengths)
    for row in range(len(prompts)):
        source, one_mask, first = begin(*prompts[row, 1:].tolist())
        alone = greedy(model, source, one_mask, first=first, lengths=lengths, with_attention=True)[0]
        assert alone.ids == greedily[row].ids
        for kind in ("prompt", "decoder"):
            torch.testing.assert_close(
                torch.tensor(alone.attention[kind]),
                torch.tensor(greedily[row].attention[kind]),
                atol=1e-5,
                rtol=0,
            )
        again = sample(model, source, one_mask, drawing, numbers=[row], first=first, lengths=lengths)
        assert [one.ids for one in again[0]] == [one.ids for one in drawn[row]]


def test_prompts_of_different_lengths_are_refused():
    model = small_language_model()
    source = torch.tensor([[BEGIN, 4, 5], [BEGIN, 4, PADDING]])
    with pytest.raises(ValueError, match="of one length"):
        model.encode(source, source != PADDING)


def test_without_attention_no_weights_are_kept():
    model = small_language_model()
    source, mask, first = begin(4, 5)
    memory = model.encode(source, mask)
    assert memory.attention == {}
    assert model.step(first[:, None], model.initial_state(memory), memory).attention == {}


def test_a_prompt_can_be_gone_on_from_twice():
    model = small_language_model()
    source, mask, first = begin(4, 5, 6)
    memory = model.encode(source, mask)
    start = model.step(first[:, None], model.initial_state(memory), memory)
    one = model.step(torch.tensor([[7]]), start.state, memory)
    other = model.step(torch.tensor([[8]]), start.state, memory)  # must not disturb the first way
    for state, word in ((one.state, 7), (other.state, 8)):
        after = model.step(torch.tensor([[9]]), state, memory)
        expected = log_probabilities(model, torch.tensor([[BEGIN, 4, 5, 6, word, 9]]))[:, -1]
        torch.testing.assert_close(after.logits[:, 0].log_softmax(-1), expected, atol=1e-6, rtol=0)


def test_a_teacher_that_is_never_followed_leaves_the_models_own_words():
    model = small_language_model()
    batch = texts()
    words, targets = batch.target[:, :-1], batch.target[:, 1:]
    predicted = model.output(model(words)).argmax(-1)
    read = torch.cat([words[:, :1], predicted[:, :-1]], 1)
    logits = log_probabilities(model, read)
    expected = -logits.gather(-1, targets[..., None])[..., 0][targets != PADDING].sum()
    found = model.loss(batch, teacher_forcing_ratio=0.0)
    assert found.loss.item() == pytest.approx(expected.item(), abs=1e-4)
    assert float(model.loss(batch).loss) != pytest.approx(expected.item(), abs=1e-3)


def test_dropout_acts_in_training_alone():
    model = small_language_model(dropout=0.3)
    torch.manual_seed(1)
    assert float(model.loss(texts()).loss) == float(model.loss(texts()).loss)
    model.train()
    assert float(model.loss(texts()).loss) != float(model.loss(texts()).loss)


def test_bfloat16_products_stay_near_float32():
    model = small_language_model().float()
    exact = float(model.loss(texts()).loss)
    rounded = float(model.loss(texts(), precision="bfloat16").loss)
    assert rounded != exact
    assert rounded == pytest.approx(exact, rel=2e-2)


def test_it_learns_texts_by_heart_and_goes_on_with_them():
    torch.manual_seed(0)
    model = small_language_model().float().train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(200):
        optimizer.zero_grad()
        model.loss(texts()).loss.backward()
        optimizer.step()
    model.eval()
    for text in TEXTS[:3]:  # the first word of the last is not its alone
        source, mask, first = begin(text[0])
        assert list(greedy(model, source, mask, first=first, lengths=LengthLimits(9))[0].ids) == text[1:]
