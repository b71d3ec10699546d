"""The section ``data``: strict keys, ranges that are said, settings that would have no effect refused."""

import pytest
from pydantic import BaseModel, ValidationError

from shisen.data.config import DataConfig, ParallelTextConfig, TokenizerConfig


def test_only_the_training_text_has_to_be_given():
    config = DataConfig.model_validate({"train": {"source": "a.tsv"}})
    assert config.validation is None
    assert config.tokenizer.kind == "unigram"


@pytest.mark.parametrize("section", [ParallelTextConfig, TokenizerConfig, DataConfig])
def test_every_key_says_what_it_means(section: type[BaseModel]):
    assert all(field.description for field in section.model_fields.values())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"vocabulary_sise": 3}, "Extra inputs are not permitted"),
        ({"kind": "words"}, "'word', 'bpe', 'unigram' or 'character'"),
        ({"vocabulary_size": 4}, "greater than or equal to 5"),
        ({"minimum_frequency": 0}, "greater than or equal to 1"),
        ({"character_coverage": 1.5}, "less than or equal to 1"),
        ({"kind": "unigram", "minimum_frequency": 2}, "minimum_frequency has no effect on kind unigram"),
        ({"kind": "bpe", "pre_tokenizer": "words"}, "pre_tokenizer words is for kind word, not bpe"),
        (
            {
                "kind": "word",
                "pre_tokenizer": "words",
                "joint": True,
                "source_language": "en",
                "target_language": "ja",
            },
            "cannot mix Japanese",
        ),
    ],
)
def test_settings_of_the_tokenizer_that_cannot_be_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        TokenizerConfig.model_validate(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"source": ""}, "at least 1 character"),
        ({"source": "a.en", "target": "a.ja", "split": "train"}, "split has no meaning"),
        ({"source": "a.en", "target": "a.ja", "source_column": 2}, "source_column has no meaning"),
    ],
)
def test_places_of_text_that_cannot_be_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        ParallelTextConfig.model_validate(values)


def test_a_place_is_described_in_a_few_words():
    assert ParallelTextConfig(source="a.en", target="a.ja").describe() == "a.en and a.ja"
    assert ParallelTextConfig(source="data", split="dev").describe() == "data (split dev)"
