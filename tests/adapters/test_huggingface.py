"""Models of transformers as attention maps: what the model itself gives, and the model left as it was."""

import numpy as np
import pytest
import torch
from small_models import (
    OTHERS,
    SENTENCE,
    SENTENCES,
    image_processor,
    make,
    picture,
    tokenizer_of,
    transformers,
    word_tokenizer,
)

from shisen.adapters import from_huggingface
from shisen.errors import UserError

ENCODERS = ["bert", "bert-classifier", "distilbert", "albert"]
DECODERS = ["gpt2", "llama"]
TWO_SIDES = ["t5", "bart", "marian", "mbart"]
VISION = ["vit-gpt2", "vit-bert", "vit-trocr"]
TARGET = "a dog read books"
WORDS = tuple(SENTENCE.split())


def own_attention(name, inputs, part):
    """What the model gives by itself, made eager: [layers, heads, queries, keys] of one sentence."""
    model = make(name, attn_implementation="eager").eval()
    with torch.no_grad():
        output = model(**inputs, output_attentions=True)
    return np.stack([layer[0].numpy() for layer in output[part]])


def implementations(model):
    return [module.config._attn_implementation for module in model.modules() if hasattr(module, "config")]


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, atol=2e-6, rtol=0)


# ---------------------------------------------------------------- the same as the model's own


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_gives_its_own_attention(name):
    tokenizer = tokenizer_of(name)
    maps = from_huggingface(make(name), tokenizer, SENTENCE)
    expected = own_attention(name, tokenizer(SENTENCE, return_tensors="pt"), "attentions")
    assert list(maps) == ["encoder"]
    assert maps["encoder"].query_tokens == maps["encoder"].key_tokens == ("<s>", *WORDS, "</s>")
    assert_close(maps["encoder"].weights, expected)


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_gives_its_own_attention_with_a_row_for_each_token_it_foresees(name):
    tokenizer = tokenizer_of(name)
    found = from_huggingface(make(name), tokenizer, SENTENCE)["decoder"]
    expected = own_attention(name, tokenizer(SENTENCE, return_tensors="pt"), "attentions")
    tokens = ("<s>", *WORDS) if name == "llama" else WORDS
    assert (found.query_tokens, found.key_tokens) == (tokens[1:], tokens[:-1])
    assert found.weights.shape[:2] == (3, 4)  # all heads of queries, where keys are shared by two
    assert_close(found.weights, expected[:, :, :-1, :-1])


@pytest.mark.parametrize("name", DECODERS)
def test_rows_are_the_tokens_read_if_asked_for(name):
    tokenizer = tokenizer_of(name)
    found = from_huggingface(make(name), tokenizer, SENTENCE, rows="read")["decoder"]
    assert found.query_tokens == found.key_tokens
    assert_close(found.weights, own_attention(name, tokenizer(SENTENCE, return_tensors="pt"), "attentions"))


@pytest.mark.parametrize("name", TWO_SIDES)
def test_both_sides_give_their_own_attention_for_a_given_target(name):
    tokenizer = tokenizer_of(name)
    model = make(name)
    maps = from_huggingface(model, tokenizer, SENTENCE, TARGET)
    labels = tokenizer(TARGET, return_tensors="pt")["input_ids"]
    inputs = tokenizer(SENTENCE, return_tensors="pt")
    read = model.prepare_decoder_input_ids_from_labels(labels=labels)
    for kind, part in {
        "encoder": "encoder_attentions",
        "decoder": "decoder_attentions",
        "cross": "cross_attentions",
    }.items():
        assert_close(maps[kind].weights, own_attention(name, {**inputs, "decoder_input_ids": read}, part))
    produced = tuple(tokenizer.convert_ids_to_tokens(labels[0]))
    assert maps["cross"].query_tokens == maps["decoder"].query_tokens == produced
    assert maps["decoder"].key_tokens == tuple(tokenizer.convert_ids_to_tokens(read[0]))
    assert maps["cross"].key_tokens == tuple(tokenizer.convert_ids_to_tokens(inputs["input_ids"][0]))


def test_patches_of_an_image_are_named_by_row_and_column():
    processor = image_processor()
    found = from_huggingface(make("vit"), processor, picture())["encoder"]
    inputs = processor(images=picture(), return_tensors="pt")
    assert_close(found.weights, own_attention("vit", inputs, "attentions"))
    grid = tuple(f"{row},{column}" for row in range(3) for column in range(3))
    assert found.query_tokens == found.key_tokens == ("[CLS]", *grid)
    about = {"patch_rows": 3, "patch_columns": 3, "first_patch": 1}
    assert {name: found.metadata[name] for name in about} == about


@pytest.mark.parametrize("name", VISION)
def test_a_vision_encoder_decoder_looks_at_patches(name):
    tokenizer, processor = word_tokenizer(), image_processor()
    maps = from_huggingface(make(name), (processor, tokenizer), picture(), TARGET)
    produced = (*TARGET.split(), "</s>")
    ids = torch.tensor([tokenizer.convert_tokens_to_ids(["<s>", *TARGET.split()])])
    inputs = {**processor(images=picture(), return_tensors="pt"), "decoder_input_ids": ids}
    for kind in ("encoder", "decoder", "cross"):
        part = f"{kind}_attentions"
        assert_close(maps[kind].weights, own_attention(name, inputs, part))
    assert maps["cross"].query_tokens == maps["decoder"].query_tokens == produced
    assert maps["cross"].key_tokens == maps["encoder"].key_tokens
    assert maps["cross"].key_tokens[:3] == ("[CLS]", "0,0", "0,1")
    assert maps["decoder"].key_tokens == ("<s>", *TARGET.split())


@pytest.mark.parametrize("name", OTHERS)
def test_other_architectures_give_their_own_attention(name):
    config = getattr(transformers, f"{name}Config")(**OTHERS[name])
    network = getattr(transformers, f"{name}Model")
    model = network(config).eval()
    expected = network(type(config)(**OTHERS[name], attn_implementation="eager")).eval()
    expected.load_state_dict(model.state_dict())
    inputs = word_tokenizer()(SENTENCE, return_tensors="pt")
    with torch.no_grad():
        output = expected(
            **{key: inputs[key] for key in ("input_ids", "attention_mask")}, output_attentions=True
        )
    (found,) = from_huggingface(model, word_tokenizer(), SENTENCE, rows="read").values()
    assert_close(found.weights, np.stack([layer[0].numpy() for layer in output.attentions]))


def test_a_slow_tokenizer_gives_what_a_fast_one_gives(tmp_path):
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "the", "cat", "trans", "##former"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    slow = BertTokenizerLegacy(str(tmp_path / "vocab.txt"))
    fast = transformers.BertTokenizer(vocab=str(tmp_path / "vocab.txt"))
    texts = ["the transformer", "cat"]
    assert not slow.is_fast
    assert from_huggingface(make("bert"), slow, texts) == from_huggingface(make("bert"), fast, texts)


# ---------------------------------------------------------------- generation


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("name", [*TWO_SIDES, "vit-bert"])
def test_every_step_of_the_best_beam_is_what_generation_saw(name, beams):
    options = {"num_beams": beams, "max_new_tokens": 6, "min_new_tokens": 3}
    reads = image_processor() if name == "vit-bert" else tokenizer_of(name)
    what = picture() if name == "vit-bert" else SENTENCE
    inputs = (
        reads(images=what, return_tensors="pt") if name == "vit-bert" else reads(what, return_tensors="pt")
    )
    model = make(name, attn_implementation="eager").eval()
    written = model.generate(**inputs, **options, return_dict_in_generate=True, output_attentions=True)
    found = from_huggingface(make(name), (reads, word_tokenizer()), what, generation=options)["cross"]
    steps = len(found.query_tokens)
    assert steps >= 3
    for step in range(steps):
        beam = int(written.beam_indices[0, step]) if beams > 1 else 0
        expected = np.stack([layer[beam, :, -1].numpy() for layer in written.cross_attentions[step]])
        assert_close(found.weights[:, :, step], expected)
    ids = written.sequences[0, 1 : steps + 1]
    assert found.query_tokens == tuple(word_tokenizer().convert_ids_to_tokens(ids))
    assert found.metadata["output"] == word_tokenizer().decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_goes_on_with_its_text(name):
    tokenizer = tokenizer_of(name)
    options = {"max_new_tokens": 4, "min_new_tokens": 2}
    several = from_huggingface(make(name), tokenizer, SENTENCES, generation=options)
    for text, maps in zip(SENTENCES, several, strict=True):
        read = tokenizer(text, return_tensors="pt")["input_ids"]
        ids = make(name).eval().generate(read, attention_mask=torch.ones_like(read), **options)
        assert maps["decoder"].query_tokens == tuple(tokenizer.convert_ids_to_tokens(ids[0, 1:]))
        assert maps["decoder"].metadata["prompt_tokens"] == read.shape[1]
        expected = own_attention(name, {"input_ids": ids}, "attentions")
        assert_close(maps["decoder"].weights, expected[:, :, :-1, :-1])


def test_without_generation_nothing_is_written():
    found = from_huggingface(make("gpt2"), tokenizer_of("gpt2"), SENTENCE)["decoder"]
    assert "output" not in found.metadata
    assert len(found.query_tokens) == len(WORDS) - 1


# ---------------------------------------------------------------- properties


@pytest.mark.parametrize("name", [*ENCODERS, *DECODERS, *TWO_SIDES])
def test_rows_sum_to_one(name):
    for maps in from_huggingface(make(name), tokenizer_of(name), SENTENCES):
        for one in maps.values():
            np.testing.assert_allclose(one.row_sums, 1, atol=1e-5)


@pytest.mark.parametrize("name", [*DECODERS, *TWO_SIDES])
def test_nothing_looks_at_what_comes_later(name):
    found = from_huggingface(make(name), tokenizer_of(name), SENTENCE)["decoder"]
    assert not np.triu(found.weights, 1).any()
    assert np.tril(found.weights).any(axis=(2, 3)).all()


@pytest.mark.parametrize("name", [*ENCODERS, *DECODERS, *TWO_SIDES])
def test_a_batch_gives_what_each_text_gives_alone(name):
    targets = None if name in (*ENCODERS, *DECODERS) else ["the dog", "a", "I love books on the mat", "cat"]
    model, tokenizer = make(name), tokenizer_of(name)
    together = from_huggingface(model, tokenizer, SENTENCES, targets, batch_size=3)
    for i, maps in enumerate(together):
        alone = from_huggingface(model, tokenizer, SENTENCES[i], targets and targets[i])
        assert maps.keys() == alone.keys()
        for kind, one in maps.items():
            assert (one.query_tokens, one.key_tokens) == (alone[kind].query_tokens, alone[kind].key_tokens)
            assert_close(one.weights, alone[kind].weights)


@pytest.mark.parametrize("name", ["bert", "albert", "llama", "bart", "vit-trocr"])
def test_chosen_layers_and_heads_are_a_slice_of_all(name):
    is_vision = name == "vit-trocr"
    reads = (image_processor(), word_tokenizer()) if is_vision else tokenizer_of(name)
    what = picture() if is_vision else SENTENCE
    every = from_huggingface(make(name), reads, what)
    some = from_huggingface(make(name), reads, what, layers=[-1, 0], heads=[3, 1])
    assert some.keys() == every.keys()
    for kind, one in some.items():
        assert np.array_equal(one.weights, every[kind].weights[[-1, 0]][:, [3, 1]])
        assert (one.metadata["layers"], one.metadata["heads"]) == ("-1 0", "3 1")


def test_chosen_kinds_are_a_part_of_all():
    every = from_huggingface(make("bart"), tokenizer_of("bart"), SENTENCE, TARGET)
    some = from_huggingface(make("bart"), tokenizer_of("bart"), SENTENCE, TARGET, kinds=["cross"])
    assert list(some) == ["cross"]
    assert np.array_equal(some["cross"].weights, every["cross"].weights)


def test_what_is_not_chosen_is_let_go_layer_by_layer(monkeypatch):
    """No layer's weights are in memory any more when the next layer's are formed."""
    import gc
    import weakref

    from shisen.adapters import attention_capture

    formed, alive = [], []
    take = attention_capture._chosen_heads
    monkeypatch.setattr(attention_capture, "_chosen_heads", lambda weights, heads: take(note(weights), heads))

    def note(weights):
        gc.collect()
        alive.append(sum(one() is not None for one in formed))
        formed.append(weakref.ref(weights))
        return weights

    from_huggingface(make("llama"), tokenizer_of("llama"), SENTENCE)
    assert len(formed) == 3
    assert max(alive) == 0


# ---------------------------------------------------------------- the model is left as it was


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5", "vit-gpt2"])
def test_the_model_is_left_as_it_was(name):
    model = make(name).train()
    frozen = next(module for module in model.modules() if isinstance(module, torch.nn.Dropout))
    frozen.eval()  # a part in another mode than the rest
    before = implementations(model), [module.training for module in model.modules()]
    reads = (image_processor(), word_tokenizer()) if name == "vit-gpt2" else tokenizer_of(name)
    from_huggingface(model, reads, picture() if name == "vit-gpt2" else SENTENCE)
    assert (implementations(model), [module.training for module in model.modules()]) == before
    assert "sdpa" in before[0]
    assert not any(module._forward_hooks for module in model.modules())


def test_the_model_is_left_as_it_was_when_something_is_raised():
    model = make("bert").train()
    with pytest.raises(UserError, match="no head 9"):
        from_huggingface(model, tokenizer_of("bert"), SENTENCE, heads=[9])
    assert set(implementations(model)) == {"sdpa"}
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


def test_parts_keep_implementations_of_their_own():
    model = make("vit-gpt2")
    model.decoder.config._attn_implementation = "eager"
    before = implementations(model)
    assert {"eager", "sdpa"} <= set(before)
    from_huggingface(model, (image_processor(), word_tokenizer()), picture(), TARGET)
    assert implementations(model) == before


def test_16_bits_are_read_as_well():
    model = make("bert").to(torch.bfloat16)
    found = from_huggingface(model, tokenizer_of("bert"), SENTENCE)["encoder"]
    assert found.weights.dtype == np.float32
    assert found.is_normalized


# ---------------------------------------------------------------- edges and mistakes


def test_a_text_without_tokens_has_no_maps():
    assert from_huggingface(make("gpt2"), tokenizer_of("gpt2"), "") == {}
    found = from_huggingface(make("gpt2"), tokenizer_of("gpt2"), ["the cat", "", "dog"])
    assert [len(maps) for maps in found] == [1, 0, 1]
    assert found[2]["decoder"].weights.shape == (3, 4, 0, 0)  # nothing is foreseen of one token
    assert from_huggingface(make("gpt2"), tokenizer_of("gpt2"), []) == []


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("bert", {"target": "dog"}, "BertModel has one side"),
        ("bert", {"generation": {}}, "BertModel generates no text"),
        ("bart", {"target": "dog", "generation": {}}, "exclude each other"),
        ("bart", {"generation": {"num_return_sequences": 2, "num_beams": 2}}, "the best"),
        ("bert", {"layers": [3]}, "no encoder layer 3: there are 3"),
        ("bert", {"layers": []}, "each is named once"),
        ("bert", {"heads": [0, 0]}, "each is named once"),
        ("bert", {"kinds": ["self"]}, "there is no 'self'"),
        ("bert", {"kinds": ["cross"]}, "BertModel has no such kind of attention; it has encoder"),
        ("bert", {"rows": "written"}, "produced or read"),
        ("bart", {"target": 3}, "a string is expected, not a int"),
    ],
)
def test_a_mistake_is_told(name, options, words):
    with pytest.raises(UserError, match=words):
        from_huggingface(make(name), tokenizer_of(name), SENTENCE, **options)


def test_other_mistakes_are_told():
    tokenizer = tokenizer_of("bert")
    with pytest.raises(UserError, match="2 texts and 1 targets"):
        from_huggingface(make("bart"), tokenizer, SENTENCES[:2], ["dog"])
    with pytest.raises(UserError, match="text 2: 41 tokens; the model reads 32 at most"):
        from_huggingface(make("llama"), tokenizer_of("llama"), ["dog", "dog " * 40])
    with pytest.raises(UserError, match="target 2: 41 tokens; the model reads 32 at most"):
        from_huggingface(make("bart"), tokenizer, SENTENCES[:2], ["dog", "dog " * 39])
    with pytest.raises(UserError, match="a model of transformers is expected, not a Linear"):
        from_huggingface(torch.nn.Linear(2, 2), tokenizer, SENTENCE)
    with pytest.raises(UserError, match="text 1: a string is expected, not a int"):
        from_huggingface(make("bert"), tokenizer, 3)
    with pytest.raises(UserError, match="not a int"):
        from_huggingface(make("bert"), 3, SENTENCE)


def test_a_model_without_attention_is_told():
    config = transformers.MambaConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, state_size=4)
    with pytest.raises(UserError, match="MambaForCausalLM gives no attention weights"):
        from_huggingface(transformers.MambaForCausalLM(config), tokenizer_of("gpt2"), SENTENCE)


def test_a_model_that_needs_more_than_a_text_says_what():
    tower = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.CLIPConfig(
        text_config=tower, vision_config={**tower, "image_size": 24, "patch_size": 8}
    )
    with pytest.raises(UserError, match="CLIPModel cannot read this alone"):
        from_huggingface(transformers.CLIPModel(config), tokenizer_of("bert"), SENTENCE)


def test_attention_within_windows_is_told():
    config = transformers.SwinConfig(
        image_size=24, patch_size=4, embed_dim=8, depths=[2], num_heads=[2], window_size=3
    )
    with pytest.raises(
        UserError, match=r"SwinModel: its encoder layers have the shape \[4, 2, 9, 9\]: windows"
    ):
        from_huggingface(transformers.SwinModel(config), image_processor(), picture())


def test_layers_of_different_shapes_are_told():
    config = transformers.SwinConfig(
        image_size=24, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 4], window_size=3
    )
    with pytest.raises(UserError, match="the encoder layers have the shapes"):
        from_huggingface(transformers.SwinModel(config), image_processor(), picture())


def test_an_image_is_read_from_a_file(tmp_path):
    from PIL import Image

    Image.fromarray(picture()).save(tmp_path / "picture.png")
    model = make("vit")
    of_file = from_huggingface(model, image_processor(), str(tmp_path / "picture.png"))
    assert of_file == from_huggingface(model, image_processor(), picture())
    with pytest.raises(UserError, match="image 1: there is no file"):
        from_huggingface(model, image_processor(), str(tmp_path / "none.png"))
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(UserError, match="is no picture that can be read"):
        from_huggingface(model, image_processor(), tmp_path / "text.png")
