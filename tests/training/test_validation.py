import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from shisen.data.config import TokenizerConfig
from shisen.data.corpus import TokenizedCorpus
from shisen.data.tokenizer import Tokenizer
from shisen.models import LossOutput, RecurrentConfig, build_model
from shisen.training.validation import Validator

PAIRS = [("a b c", "x y"), ("b", "y x x"), ("c c a b", "x"), ("a", "y y y y")]


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Return a validator of the pairs, a small model and the corpus."""
    monkeypatch.setattr("shisen.training.validation._MOST_SENTENCES", 3)
    config = TokenizerConfig(kind="word")
    tokenizers = [Tokenizer.train([pair[side] for pair in PAIRS], config) for side in (0, 1)]
    corpus = TokenizedCorpus.build(PAIRS, *tokenizers, tmp_path / "corpus")
    validator = Validator(corpus, PAIRS, *tokenizers, "float32")
    torch.manual_seed(0)
    model = build_model(RecurrentConfig(hidden_size=4, embedding_size=4, dropout=0.5), *map(len, tokenizers))
    return validator, model, corpus


def test_the_loss_is_the_cross_entropy_per_target_token(measured):
    validator, model, corpus = measured
    model.eval()
    total, tokens = 0.0, 0
    for index in range(len(PAIRS)):  # one sentence at a time, one step at a time, no smoothing
        source = torch.tensor(corpus.source[index].astype("int64"))[None]
        target = corpus.target[index].tolist()
        memory = model.encode(source, torch.ones_like(source, dtype=torch.bool))
        state = model.initial_state(memory)
        for previous, word in pairwise(target):
            output = model.step(torch.tensor([[previous]]), state, memory)
            state = output.state
            total -= output.logits[0, 0].log_softmax(-1)[word].item()
            tokens += 1
    found = validator(model)
    assert found.loss == pytest.approx(total / tokens, rel=1e-5)
    assert found.perplexity == pytest.approx(math.exp(total / tokens), rel=1e-5)


def test_a_validation_leaves_no_trace(measured):
    validator, model, _ = measured
    model.train()
    before = torch.get_rng_state()
    first, second = validator(model), validator(model)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert (first.loss, first.bleu) == (second.loss, second.bleu)
    assert all(parameter.grad is None for parameter in model.parameters())


class Oracle(nn.Module):
    """Gives the reference of each source sentence, whatever the batch."""

    def __init__(self, corpus: TokenizedCorpus):
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(()))
        self.targets = {
            tuple(corpus.source[i].tolist()): corpus.target[i].tolist()[1:] for i in range(len(corpus))
        }

    class Rows(tuple):
        def select(self, rows, beams=None):
            return type(self)(self[int(row)] for row in rows)

    def encode(self, source, mask, with_attention=True):
        return self.Rows(
            self.targets[tuple(row[keep].tolist())] for row, keep in zip(source, mask, strict=True)
        )

    def initial_state(self, memory):
        return self.Rows(0 for _ in memory)

    def step(self, previous, state, memory):
        logits = torch.zeros(len(memory), 1, 20)
        for row, (target, place) in enumerate(zip(memory, state, strict=True)):
            logits[row, 0, target[place]] = 9.0
        output = type("Output", (), {})()
        output.logits, output.state, output.attention = logits, self.Rows(p + 1 for p in state), {}
        return output

    def loss(self, batch, **settings):
        return type("Loss", (), {"loss": torch.tensor(2.0), "tokens": 4})()


def test_what_training_adds_to_the_loss_is_not_measured(measured):
    class Penalised(Oracle):
        def loss(self, batch, **settings):
            return LossOutput(torch.tensor(2.0), 4, penalty=torch.tensor(100.0))

    validator, _, corpus = measured
    assert validator(Penalised(corpus)).loss == 0.5


def test_a_model_that_gives_the_references_has_a_bleu_of_100(measured):
    validator, _, corpus = measured
    found = validator(Oracle(corpus))
    assert found.bleu == pytest.approx(100.0)
    assert found.loss == 0.5
    assert (found.example.source, found.example.reference) in PAIRS
    assert found.example.hypothesis == found.example.reference


def test_each_validation_shows_another_sentence(measured):
    validator, _, corpus = measured
    oracle = Oracle(corpus)
    assert len({validator(oracle).example.source for _ in range(4)}) > 1


def test_words_split_by_spaces_are_compared_as_they_are(measured):
    assert "tok:none" in measured[0].signature


def test_without_a_sample_there_is_no_bleu(measured):
    validator, model, _ = measured
    tokenizers = validator.source_tokenizer, validator.target_tokenizer
    found = Validator(validator.corpus, [], *tokenizers, "float32")(model)
    assert (found.bleu, found.example) == (None, None)


def test_japanese_given_as_words_is_compared_as_plain_text(tmp_path):
    pairs = [("i eat rice .", "私 は 米 を 食べる 。")] * 2
    config = TokenizerConfig(kind="word")
    source = Tokenizer.train([pair[0] for pair in pairs], config, "en")
    target = Tokenizer.train([pair[1] for pair in pairs], config, "ja")
    corpus = TokenizedCorpus.build(pairs, source, target, tmp_path / "corpus")
    validator = Validator(corpus, pairs, source, target, "float32")
    assert validator.references == ["私は米を食べる。"] * 2
    assert "tok:char" in validator.signature or "tok:ja-mecab" in validator.signature
    assert validator(Oracle(corpus)).bleu == pytest.approx(100.0)


def test_a_long_sentence_does_not_make_a_large_batch(tmp_path, monkeypatch):
    monkeypatch.setattr("shisen.training.validation._MOST_TOKENS", 40)
    long = ["a", "b"] * 30, ["x", "y"] * 40
    pairs = [("a b", "x y x")] * 12 + [(" ".join(long[0]), "x"), (" ".join(long[0][1:]), " ".join(long[1]))]
    config = TokenizerConfig(kind="word")
    tokenizers = [Tokenizer.train([pair[side] for pair in pairs], config) for side in (0, 1)]
    corpus = TokenizedCorpus.build(pairs, *tokenizers, tmp_path / "corpus")
    measured, translated = [], []

    class Recorder(Oracle):
        def loss(self, batch, **settings):
            measured.append(batch)
            return super().loss(batch, **settings)

        def encode(self, source, mask, with_attention=True):
            translated.append(source.shape)
            return super().encode(source, mask)

    validator = Validator(corpus, pairs, *tokenizers, "float32")
    found = validator(Recorder(corpus))
    assert validator.longest == 80
    shapes = [(len(batch.source), max(batch.source.size(1), batch.target.size(1))) for batch in measured]
    for rows, length in [*shapes, *translated]:
        assert rows == 1 or rows * length <= 40
    # Every pair is measured once, and every translation is compared with its own reference.
    assert sorted(int(index) for batch in measured for index in batch.indices) == list(range(len(pairs)))
    assert found.bleu == pytest.approx(100.0)
