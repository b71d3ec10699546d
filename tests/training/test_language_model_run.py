"""Training a language model: one text, one vocabulary, a resumed run to the same bits, what is refused."""

import json
import math
import random

import pytest
import torch
import yaml
from safetensors.torch import load_file

from shisen.data.batches import collate
from shisen.errors import UserError
from shisen.generation import TextGenerator
from shisen.training.config_file import load_config
from shisen.training.loop import TrainingLoop
from shisen.training.run import TrainingInterrupted, train
from shisen.training.text_validation import TextValidator


@pytest.fixture
def configure(tmp_path):
    """A run of a second: lines that count up in letters."""
    rng = random.Random(1)
    for name, count in (("train.txt", 120), ("validation.txt", 20)):
        starts = [rng.randint(0, 10) for _ in range(count)]
        lines = [" ".join("abcdefghijklmn"[start : start + rng.randint(2, 4)]) for start in starts]
        (tmp_path / name).write_text("\n\n".join(lines))  # empty lines are no lines
    values = {
        "data": {
            "train": {"source": str(tmp_path / "train.txt")},
            "validation": {"source": str(tmp_path / "validation.txt")},
            "tokenizer": {"kind": "word", "source_language": "en"},
        },
        "model": {
            "family": "language-model",
            "model_size": 8,
            "heads": 2,
            "feed_forward_size": 16,
            "layers": 2,
        },
        "training": {
            "batch_size": 8,  # 15 batches an epoch
            "learning_rate": 0.01,
            "max_epochs": 3,
            "validation_interval": 10,
            "bleu_sentences": 5,
            "average_last": 2,
            "threads": 1,
            "device": "cpu",
        },
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return lambda *overrides: load_config(path, overrides)


def test_a_run_leaves_a_model_that_goes_on_with_text(tmp_path, configure, capfd):
    out = train(configure(), tmp_path / "run")
    shown = capfd.readouterr().err
    for part in (
        "train text: 120 lines",
        "vocabulary: 18 entries",
        "model: language-model, 2 layers, 2 heads",
    ):
        assert part in shown
    assert " → " in shown  # a line that was continued
    entries = [json.loads(line) for line in (out / "training_log.jsonl").read_text().splitlines()]
    losses = [entry["validation_loss"] for entry in entries if "validation_loss" in entry]
    assert losses[-1] < losses[0]
    assert all(entry.get("bleu") is None for entry in entries)
    generator = TextGenerator.load(out)
    assert generator.generate("a b").text.startswith("a b")
    assert generator.generation_config["max_length"] == 100
    card = (out / "README.md").read_text()
    header = yaml.safe_load(card.split("---\n")[1])
    assert header["pipeline_tag"] == "text-generation"
    assert header["language"] == ["en"]
    for part in (
        "# Language model of en with multi-head attention",
        "A decoder-only language model of 2 layers",
        "120 lines",
        "20 validation lines",
        "vocabulary (word): 18 entries",
        "from shisen import TextGenerator",
    ):
        assert part in card, part
    assert "pair" not in card
    assert "BLEU" not in card


def test_a_run_that_was_stopped_goes_on_to_the_same_parameters(tmp_path, configure, monkeypatch):
    config = configure("training.teacher_forcing_ratio=0.9", "model.attention_dropout=0.1")
    whole = train(config, tmp_path / "whole", quiet=True)
    parts = tmp_path / "parts"
    count = TrainingLoop._count
    for step in (1, 13, 20):

        def stop(loop, *arguments, at=step):
            count(loop, *arguments)
            if loop.state.step == at:
                loop.is_interrupted = True

        with monkeypatch.context() as patch:
            patch.setattr(TrainingLoop, "_count", stop)
            with pytest.raises(TrainingInterrupted, match=f"stopped at step {step} "):
                train(config, parts, resume=parts.exists(), quiet=True)
    train(config, parts, resume=True, quiet=True)
    ours, theirs = load_file(whole / "model.safetensors"), load_file(parts / "model.safetensors")
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name


def test_the_validation_loss_is_that_of_every_line_by_itself(tmp_path, configure):
    from shisen.data.preparation import prepare
    from shisen.models import build_model

    config = configure()
    data = prepare(config.data, tmp_path / "data", is_one_text=True)
    assert data.validation is not None
    torch.manual_seed(0)
    model = build_model(config.model, 1, len(data.target_tokenizer)).train()
    validator = TextValidator(data.validation, ["a b c", "d e"], data.target_tokenizer, "float32")
    before = torch.get_rng_state()
    found = [validator(model), validator(model)]
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    model.eval()
    alone = [model.loss(collate(data.validation, torch.tensor([row]).numpy())) for row in range(20)]
    expected = sum(one.loss.item() for one in alone) / sum(one.tokens for one in alone)
    assert [one.loss for one in found] == pytest.approx([expected] * 2, rel=1e-5)
    assert found[0].perplexity == pytest.approx(math.exp(expected), rel=1e-5)
    assert found[0].bleu is None
    examples = [one.example for one in found]
    assert {(one.source, one.reference) for one in examples} == {("a", "a b c"), ("d", "d e")}
    assert all(one.hypothesis.startswith(one.source) for one in examples)
    nothing = TextValidator(data.validation, [], data.target_tokenizer, "float32")
    assert nothing(model).example is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.train.target=x", "data.train.target is for translation; the family language-model learns one"),
        ("data.train.target_column=2", "data.train.target_column is for translation"),
        ("data.validation.target=x", "data.validation.target is for translation"),
        ("data.validation.target_column=x", "data.validation.target_column is for translation"),
        ("data.tokenizer.target_language=ja", "data.tokenizer.target_language is for translation"),
        ("data.tokenizer.joint=true", "data.tokenizer.joint is for translation"),
        ("data.max_length_ratio=3", "data.max_length_ratio is for translation"),
        ("training.metric=bleu", "training.metric bleu is for translation"),
        ("model.encoder_layers=2", "unknown key model.encoder_layers"),
        ("model.tie_embeddings=two-way", "model.tie_embeddings is 'two-way'; allowed: true or false"),
        ("model.heads=3", "model_size (8) is no multiple of heads (3)"),
        ("model.layers=0", "model.layers is 0; allowed: a whole number, at least 1"),
        ("model.family=language", "allowed: one of recurrent, transformer, language-model"),
    ],
)
def test_what_is_of_no_use_to_a_language_model_is_refused(configure, override, message):
    with pytest.raises(UserError) as refused:
        configure(override)
    assert message in str(refused.value)


def test_a_validation_is_not_needed(tmp_path, configure):
    out = train(configure("data.validation=null", "training.max_steps=2"), tmp_path / "run", quiet=True)
    assert "there were no validation lines" in (out / "README.md").read_text()
