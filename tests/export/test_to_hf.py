"""Exported to transformers, the same network: Marian's with post-norm, Pegasus's with pre-norm."""

import json

import numpy as np
import pytest
import torch

from shisen.data.config import TokenizerConfig
from shisen.data.tokenizer import Tokenizer
from shisen.data.vocabulary import BEGIN, END, PADDING
from shisen.errors import UserError
from shisen.export.exporting import export_model
from shisen.export.to_hf import transformers_tokenizer, unsupported
from shisen.model_directory import load_model
from shisen.models import TransformerConfig
from shisen.pipelines import Translator
from small_model import SOURCES, save_small_transformer

transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")

LINES = [*SOURCES, "the dog sat .", "i read a mat on books .", "learning", "cat " * 9]
VARIANTS = [
    {"norm": "post"},
    {"norm": "post", "tie_embeddings": "none", "activation": "gelu", "key_value_heads": 2},
    {"norm": "post", "is_joint": True, "tie_embeddings": "three-way"},
    {},
    {"tie_embeddings": "none", "activation": "gelu", "key_value_heads": 1},
    {"is_joint": True, "tie_embeddings": "three-way"},
]


@pytest.fixture
def loaded(request, tmp_path):
    """(ours, theirs, their folder) of some settings."""
    model = save_small_transformer(tmp_path / "model", **request.param)
    export_model(model, "hf", tmp_path / "out")
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "out")
    return Translator.load(model), theirs, tmp_path / "out"


every_variant = pytest.mark.parametrize(
    "loaded", VARIANTS, indirect=True, ids=lambda settings: " ".join(map(str, settings.values())) or "default"
)


@every_variant
def test_logits_are_the_same(loaded):
    ours, theirs, _ = loaded
    source = torch.tensor([[4, 5, 6, 7, END], [8, 9, END, PADDING, PADDING]])
    target = torch.tensor([[BEGIN, 4, 5, 6], [BEGIN, 7, 8, 9]])
    with torch.no_grad():
        expected = ours.model.output(ours.model.decode(target, ours.model.encode(source, source != PADDING)))
        found = theirs(input_ids=source, attention_mask=source != PADDING, decoder_input_ids=target).logits
    size = expected.shape[-1]
    torch.testing.assert_close(found[..., :size], expected, atol=1e-5, rtol=0)
    assert bool((found[..., size:] < -1e8).all())


@every_variant
def test_text_goes_in_and_the_same_greedy_translations_come_out(loaded):
    ours, theirs, folder = loaded
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    target_tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "target_tokenizer")
    read = tokenizer(LINES, padding=True, return_tensors="pt")
    written = theirs.generate(**read, num_beams=1, max_length=9)  # <s>, 7 words, </s>
    expected = ours.translate(LINES, beam_size=1, max_length=7)
    for ids, one in zip(written.tolist(), expected, strict=True):
        assert tuple(target_tokenizer.convert_ids_to_tokens(ids[1 : len(one.tokens) + 1])) == one.tokens
    texts = target_tokenizer.batch_decode(written, skip_special_tokens=True)
    assert texts == [one.text for one in expected]


@pytest.mark.parametrize("loaded", [{"norm": "post"}], indirect=True)
def test_it_decodes_as_the_model_directory_says(loaded):
    _, theirs, folder = loaded
    settings = theirs.generation_config
    assert (settings.num_beams, settings.length_penalty) == (5, 1.0)
    assert settings.suppress_tokens == [PADDING, BEGIN]
    assert (settings.decoder_start_token_id, settings.forced_eos_token_id) == (BEGIN, END)
    manifest = json.loads((folder / "shisen_export.json").read_text("utf-8"))
    assert manifest["details"]["architecture"] == type(theirs).__name__ == "MarianMTModel"


@pytest.mark.parametrize("quantization", ["float16", "bfloat16"])
def test_parameters_of_16_bits(quantization, tmp_path):
    model = save_small_transformer(tmp_path / "model", norm="post")
    export_model(model, "hf", tmp_path / "out", quantization)
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "out", dtype="auto")
    assert theirs.dtype == getattr(torch, quantization)
    exact = load_model(model).model.output.bias.detach().numpy()
    np.testing.assert_allclose(theirs.final_logits_bias.float().numpy()[0], exact, rtol=1e-2)


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "word", "minimum_frequency": 1},
        {"kind": "word", "minimum_frequency": 1, "pre_tokenizer": "words"},
        {"kind": "bpe", "vocabulary_size": 50},
        {"kind": "unigram", "vocabulary_size": 28},
        {"kind": "character", "minimum_frequency": 1},
    ],
    ids=lambda settings: " ".join(map(str, settings.values())),
)
def test_the_tokenizer_gives_the_same_ids_and_text(settings):
    ours = Tokenizer.train(SOURCES * 30, TokenizerConfig(**settings), "en")
    theirs = transformers_tokenizer(ours)
    for line in [*SOURCES, "the Zyxgrad  sat, didn't it?", ""]:
        ids = theirs(line)["input_ids"]
        assert ids == [*ours.encode(line), END]
        if "Zyx" not in line:
            is_joined = ours.settings.marks_spaces  # else by the rules of English, which it does not know
            expected = ours.decode(ids) if is_joined else " ".join(ours.tokens(ids[:-1]))
            assert theirs.decode(ids, skip_special_tokens=True) == expected


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"positions": "rotary"}, ["model.positions rotary"]),
        ({"positions": "learned", "activation": "swiglu"}, ["model.positions learned", "model.activation"]),
        (
            {"encoder_pattern": "window(2)", "attention_function": "entmax15"},
            ["model.encoder_pattern", "model.attention_function entmax15"],
        ),
    ],
)
def test_what_they_do_not_have_is_named(settings, words):
    reasons = unsupported(TransformerConfig(**settings))
    assert len(reasons) == len(words)
    assert all(reason.startswith(word) for reason, word in zip(reasons, words, strict=True))


def test_8_bits_are_not_written(tmp_path):
    model = save_small_transformer(tmp_path / "model")
    with pytest.raises(UserError, match="is written as float32, float16, bfloat16 here, not as int8"):
        export_model(model, "hf", tmp_path / "out", "int8")
