"""Exported to CTranslate2, a Transformer of every kind that it can represent computes the same."""

import json
from pathlib import Path

import numpy as np
import pytest

from shisen.data.vocabulary import END
from shisen.errors import UserError
from shisen.export.exporting import export_model
from shisen.export.to_ctranslate2 import unsupported
from shisen.model_directory import load_model
from shisen.models import TransformerConfig
from shisen.pipelines import Translator
from small_model import SOURCES, TARGETS, save_small_transformer

ctranslate2 = pytest.importorskip("ctranslate2", reason="the extra ctranslate2 is not installed")

LINES = [*SOURCES, "the dog sat .", "i read a mat on books .", "learning", "cat " * 9]
VARIANTS = [
    {},
    {"norm": "post"},
    {"positions": "learned", "max_positions": 6},  # fewer than some sentences have
    {"positions": "rotary"},
    {"activation": "gelu"},
    {"activation": "swiglu", "norm": "post"},
    {"key_value_heads": 2},
    {"key_value_heads": 1, "positions": "rotary"},
    {"tie_embeddings": "none"},
    {"encoder_layers": 1, "decoder_layers": 3, "heads": 2},
]


def exported(folder: Path, quantization: str = "float32", **settings: object) -> tuple[Path, Path]:
    model = save_small_transformer(folder / "model", **settings)
    export_model(model, "ctranslate2", folder / "out", quantization)
    return model, folder / "out"


@pytest.mark.parametrize("settings", VARIANTS, ids=lambda settings: " ".join(map(str, settings.values())))
def test_every_token_has_the_same_log_probability(settings, tmp_path):
    model, out = exported(tmp_path, **settings)
    ours, theirs = Translator.load(model), Translator.load(out)
    assert (ours.engine.name, theirs.engine.name) == ("torch", "ctranslate2")
    targets = [TARGETS[number % len(TARGETS)] for number in range(len(LINES))]
    for one, other in zip(ours.force(LINES, targets), theirs.force(LINES, targets), strict=True):
        assert one.tokens == other.tokens
        np.testing.assert_allclose(one.log_probabilities, other.log_probabilities, atol=2e-5)
        assert one.score == pytest.approx(other.score, abs=1e-5)


@pytest.mark.parametrize("settings", VARIANTS, ids=lambda settings: " ".join(map(str, settings.values())))
def test_greedy_translations_are_the_same_up_to_their_limits(settings, tmp_path):
    model, out = exported(tmp_path, **settings)
    ours, theirs = Translator.load(model), Translator.load(out)
    for one, other in zip(
        ours.translate(LINES, beam_size=1), theirs.translate(LINES, beam_size=1), strict=True
    ):
        assert one.tokens == other.tokens


def test_one_vocabulary_for_both_sides_and_one_matrix(tmp_path):
    model, out = exported(tmp_path, is_joint=True, tie_embeddings="three-way")
    assert (out / "shared_vocabulary.json").is_file()
    one, other = (Translator.load(folder).translate(LINES, beam_size=1) for folder in (model, out))
    assert [translation.tokens for translation in one] == [translation.tokens for translation in other]


@pytest.mark.parametrize("quantization", ["float16", "bfloat16", "int8"])
def test_smaller_parameters_change_probabilities_little(quantization, tmp_path):
    model, whole = exported(tmp_path)
    export_model(model, "ctranslate2", tmp_path / "small", quantization)
    assert (tmp_path / "small" / "model.bin").stat().st_size < (whole / "model.bin").stat().st_size
    one, other = (Translator.load(folder).force(SOURCES, TARGETS) for folder in (model, tmp_path / "small"))
    for exact, rounded in zip(one, other, strict=True):
        np.testing.assert_allclose(exact.log_probabilities, rounded.log_probabilities, atol=0.2)


def test_the_directory_is_whole_without_the_model_directory(tmp_path):
    model, out = exported(tmp_path)
    loaded = load_model(model)
    names = {"source_tokenizer.json", "target_tokenizer.json", "generation_config.json", "shisen_export.json"}
    assert names <= {path.name for path in out.iterdir()}
    assert json.loads((out / "target_vocabulary.json").read_text("utf-8"))[END] == "</s>"
    manifest = json.loads((out / "shisen_export.json").read_text("utf-8"))
    assert manifest["exported_from"] == loaded.fingerprint
    assert (manifest["target"], manifest["quantization"]) == ("ctranslate2", "float32")
    assert manifest["config"] == loaded.config
    for path in model.iterdir():
        path.unlink()
    assert Translator.load(out).translate(SOURCES[0]).tokens[-1] == "</s>"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"positions": "alibi"}, ["model.positions alibi (CTranslate2 has ALiBi in decoders only)"]),
        (
            {"encoder_pattern": "window(2)", "attention_function": "entmax15"},
            ["model.encoder_pattern", "model.attention_function entmax15"],
        ),
    ],
)
def test_what_it_cannot_represent_is_named(settings, words):
    reasons = unsupported(TransformerConfig(**settings))
    assert len(reasons) == len(words)
    assert all(reason.startswith(word) for reason, word in zip(reasons, words, strict=True))


def test_a_model_that_it_cannot_represent_is_not_written(tmp_path):
    model = save_small_transformer(tmp_path / "model", positions="alibi")
    with pytest.raises(UserError, match=r"cannot be exported to CTranslate2: model\.positions alibi"):
        export_model(model, "ctranslate2", tmp_path / "out")
    assert not (tmp_path / "out").exists()
