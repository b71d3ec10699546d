import dataclasses

import yaml

from shisen.training.model_card import CardFacts, model_card
from shisen.training.state import RunState

FACTS = CardFacts(
    command="shisen train 'my ```config.yaml' --out run",
    parameters=1234567,
    kept="the best of all validations, of step 40",
    validation_loss=1.5,
    bleu=31.25,
    bleu_sentences=200,
    signature="nrefs:1|tok:none",
    training_pairs=49000,
    dropped={"longer than 100 pieces": 12},
    skipped=3,
    validation_pairs=500,
    vocabulary_sizes=(4109, 4906),
    fingerprint="0123456789abcdef",
)
STATE = RunState("bfloat16", "cpu", 2, "feedbeef", step=5000, epoch=10, seconds=840.0, finished_by="patience")


def test_the_card_tells_what_was_measured_on_what(configure):
    card = model_card(configure(), STATE, FACTS)
    for part in (
        "1,234,567 parameters",
        "`0123456789abcdef`",
        "| cross-entropy per target token | 1.5000 | 500 validation pairs |",
        "| perplexity | 4.48 | the same |",
        "| BLEU, greedy | 31.25 | 200 of the validation pairs |",
        "`nrefs:1|tok:none`",
        "49,000 pairs (left out: 12 longer than 100 pieces)",
        "skipped: 3",
        "4,109 source and 4,906 target entries",
        "`feedbeef`",
        "5,000 updates in 10 whole epochs, 14.0 minutes with validations; ended by patience.",
        "Seed 1, bfloat16, cpu, 2 CPU threads.",
        "batch_size: 8",
    ):
        assert part in card, part


def test_the_header_is_yaml_with_the_languages(configure):
    config = configure("data.tokenizer.source_language=en", "data.tokenizer.target_language=ja")
    card = model_card(config, STATE, FACTS)
    assert yaml.safe_load(card.split("---\n")[1]) == {
        "language": ["en", "ja"],
        "library_name": "shisen",
        "pipeline_tag": "translation",
        "tags": ["translation", "attention", "recurrent", "bahdanau"],
    }
    assert "# Translation from en to ja with bahdanau attention" in card


def test_a_command_with_backticks_stays_inside_its_block(configure):
    assert "\n````sh\nshisen train 'my ```config.yaml' --out run\n````\n" in model_card(
        configure(), STATE, FACTS
    )


def test_a_file_name_with_a_backtick_stays_code(configure):
    config = configure("data.train.source=a`b.txt")
    assert "``a`b.txt and " in model_card(config, STATE, FACTS)


def test_what_was_not_measured_is_not_claimed(configure):
    facts = dataclasses.replace(
        FACTS, validation_loss=None, bleu=None, signature=None, validation_pairs=0, kept="the last, of step 9"
    )
    card = model_card(configure("data.validation=null"), STATE, facts)
    assert "Nothing: there were no validation pairs. The parameters are the last, of step 9." in card
    assert "perplexity" not in card
    assert "BLEU, greedy" not in card


def test_a_run_that_was_stopped_before_its_first_validation_says_so(configure):
    facts = dataclasses.replace(
        FACTS, validation_loss=None, bleu=None, signature=None, kept="those of step 9"
    )
    card = model_card(configure(), STATE, facts)
    assert "Nothing: the run stopped before its first validation. The parameters are those of step 9." in card
