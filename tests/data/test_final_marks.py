"""The pre-tokenizer ``punctuation``: a model of tokenised text reads sentences as people type them."""

import pytest

from shisen.data.config import TokenizerConfig
from shisen.data.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    config = TokenizerConfig(kind="word", pre_tokenizer="punctuation", lowercase=True)
    return Tokenizer.train(["the cat sat on the mat .", "if it rains , i wait", "is it 3.5 ?"], config, "en")


@pytest.mark.parametrize(
    ("typed", "tokenised"),
    [
        ("The cat sat on the mat.", "The cat sat on the mat ."),
        ("If it rains, I wait", "If it rains , I wait"),
        ("Is it 3.5?", "Is it 3.5 ?"),
        ("The mat . ", "The mat ."),
    ],
)
def test_marks_that_end_a_token_are_split_off(tokenizer, typed, tokenised):
    assert tokenizer.encode(typed) == tokenizer.encode(tokenised)
    assert tokenizer.surfaces(typed) == tokenised.split()
    assert "<unk>" not in tokenizer.tokens(tokenizer.encode(typed))


def test_it_is_for_words_alone():
    with pytest.raises(ValueError, match="punctuation is for kind word, not bpe"):
        TokenizerConfig(kind="bpe", pre_tokenizer="punctuation")


def test_saved_and_loaded_it_splits_alike(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    assert Tokenizer.load(tmp_path / "tokenizer.json").surfaces("A mat.") == ["A", "mat", "."]
