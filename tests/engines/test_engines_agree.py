"""Trained for a minute on the embedded corpus: what the engines make of sentences that it has not seen."""

import numpy as np
import pytest
from sacrebleu import corpus_bleu

from shisen import Translator
from shisen.data.embedded.corpus import CorpusRequest, write_corpus
from shisen.export.exporting import export_model
from shisen.training.config import Config
from shisen.training.run import train

pytest.importorskip("ctranslate2", reason="the extra ctranslate2 is not installed")

SENTENCES = 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A corpus, a small Transformer trained on it, and its exports."""
    folder = tmp_path_factory.mktemp("trained")
    write_corpus(CorpusRequest(4000, 1, 4, 12, 100, SENTENCES), folder / "corpus")
    sides = {
        split: {side: str(folder / "corpus" / f"{split}.{end}") for side, end in SIDES} for split in SPLITS
    }
    config = Config.model_validate(
        {
            "data": {**sides, "tokenizer": {"kind": "word"}},
            "model": {
                "family": "transformer",
                "model_size": 64,
                "feed_forward_size": 128,
                "encoder_layers": 2,
                "decoder_layers": 2,
            },
            "training": {
                "max_steps": 500,
                "batch_size": 64,
                "learning_rate": 2e-3,
                "warmup_steps": 50,
                "validation_interval": 500,
                "threads": 1,
                "device": "cpu",
            },
        }
    )
    train(config, folder / "model")
    for quantization in ("float32", "int8"):
        export_model(folder / "model", "ctranslate2", folder / quantization, quantization)
    return folder


SIDES = (("source", "en"), ("target", "ja"))
SPLITS = ("train", "validation")


@pytest.mark.slow
def test_engines_agree_on_sentences_that_were_held_out(folder):
    sources = (folder / "corpus" / "test.en").read_text("utf-8").splitlines()
    references = (folder / "corpus" / "test.ja").read_text("utf-8").splitlines()
    assert len(sources) == SENTENCES
    found = {
        name: {
            beam: Translator.load(folder / name).translate(sources, beam_size=beam, attention=False)
            for beam in (1, 5)
        }
        for name in ("model", "float32", "int8")
    }

    def share_of_the_same(name: str, beam: int) -> float:
        pairs = zip(found[name][beam], found["model"][beam], strict=True)
        return sum(one.tokens == other.tokens for one, other in pairs) / SENTENCES

    def bleu(name: str, beam: int) -> float:
        return corpus_bleu([one.text for one in found[name][beam]], [references], tokenize="char").score

    assert bleu("model", 5) > 20, "it has learned something"
    assert share_of_the_same("float32", 1) >= 0.99
    assert share_of_the_same("float32", 5) >= 0.9
    assert abs(bleu("float32", 5) - bleu("model", 5)) < 0.5
    assert abs(bleu("int8", 5) - bleu("model", 5)) < 1.5  # of 200 short sentences
    for one, other in zip(found["float32"][1], found["model"][1], strict=True):
        if one.tokens == other.tokens:
            np.testing.assert_allclose(one.log_probabilities, other.log_probabilities, atol=1e-3)
