"""TextGenerator: prompts are continued whatever their company, texts are read, attention is of the whole."""

import json

import numpy as np
import pytest
import torch

from shisen import TextGenerator, Translator, UserError
from shisen.data.batches import Batch
from shisen.data.vocabulary import BEGIN, END, PADDING
from shisen.evaluation.language import evaluate_language_model
from shisen.generation import LongPromptError
from small_model import save_small_model
from small_text_model import TEXTS, save_small_text_model

PROMPTS = ["the cat", "", "you", "a dog ran", "i love", "the mat", "you"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_small_text_model(tmp_path_factory.mktemp("small") / "model")


@pytest.fixture(scope="module")
def generator(model):
    return TextGenerator.load(model)


def test_a_generation_is_whole(generator):
    found = generator.generate("the cat", seed=4, max_length=6)
    assert found.text.startswith("the cat ")
    assert found.prompt == "the cat"
    assert found.prompt_tokens == ("the", "cat")
    assert found.tokens[-1] == "</s>"
    assert 1 <= len(found.tokens) <= 7
    assert found.text.split() == ["the", "cat", *found.tokens[:-1]]
    assert len(found.log_probabilities) == len(found.tokens)
    assert found.score == pytest.approx(sum(found.log_probabilities) / ((5 + len(found.tokens)) / 6))
    assert found.model == generator.fingerprint
    assert found.alternatives[0].text == found.text


@pytest.mark.parametrize("options", [{"seed": 3}, {"beam_size": 1}, {"beam_size": 3, "samples": 2}])
def test_each_prompt_is_continued_as_if_it_were_alone(generator, options):
    options = {"max_length": 5, **options}
    together = generator.generate(PROMPTS, **options)
    small = generator.generate(PROMPTS, batch_size=1, **options)
    for number, (prompt, found, other) in enumerate(zip(PROMPTS, together, small, strict=True)):
        alone = generator.generate(prompt, first_number=number, **options)
        for one in (found, other):
            assert one.prompt == prompt
            assert one.tokens == alone.tokens
            assert one.text == alone.text
            np.testing.assert_allclose(one.log_probabilities, alone.log_probabilities, atol=1e-5)
            weights, expected = one.attention["decoder"].weights, alone.attention["decoder"].weights
            np.testing.assert_allclose(weights, expected, atol=1e-5)


def test_the_attention_is_that_of_the_whole_text(generator):
    for prompt in ("a dog", ""):
        found = generator.generate(prompt, seed=1, max_length=5)
        tokens = (*found.prompt_tokens, *found.tokens)
        attention = found.attention["decoder"]
        assert attention.query_tokens == tokens
        assert attention.key_tokens == ("<s>", *tokens[:-1])
        assert attention.kind == "decoder"
        assert attention.metadata["prompt_tokens"] == len(found.prompt_tokens)
        forced = generator.force(" ".join(tokens[:-1]))
        assert forced.tokens == tokens
        np.testing.assert_allclose(attention.weights, forced.attention["decoder"].weights, atol=1e-5)
        np.testing.assert_allclose(attention.row_sums, 1, atol=1e-5)
        assert np.triu(attention.weights, 1).max(initial=0) == 0  # no token looks at what comes later


def test_draws_follow_from_the_seed_and_the_number_of_the_prompt(generator):
    one = generator.generate(["you"] * 6, seed=1, max_length=8)
    assert [found.text for found in one] == [
        found.text for found in generator.generate(["you"] * 6, seed=1, max_length=8)
    ]
    assert len({found.text for found in one}) > 1
    other = generator.generate(["you"] * 6, seed=2, max_length=8)
    assert [found.text for found in one] != [found.text for found in other]
    samples = generator.generate("you", seed=1, samples=5, max_length=8).alternatives
    scores = [found.score for found in samples]
    assert scores == sorted(scores, reverse=True)
    assert len({found.text for found in samples}) > 1


def test_drawing_from_one_token_is_greedy(generator):
    greedy = generator.generate("you", beam_size=1, max_length=6)
    assert generator.generate("you", top_k=1, max_length=6).tokens == greedy.tokens
    assert generator.generate("you", temperature=1e-4, max_length=6).tokens == greedy.tokens


def test_what_is_not_asked_for_is_the_models_own_setting(tmp_path):
    own = TextGenerator.load(save_small_text_model(tmp_path / "own", {"max_length": 2, "top_k": 1}))
    found = own.generate("you")
    assert len(found.tokens) <= 3
    assert found.tokens == own.generate("you", beam_size=1).tokens
    assert len(own.generate("you", max_length=9, min_length=9).tokens) == 10
    wrong = TextGenerator.load(save_small_text_model(tmp_path / "wrong", {"temperature": "hot"}))
    with pytest.raises(
        UserError, match=r"generation_config\.json: temperature should be a number, and is 'hot'"
    ):
        wrong.generate("you")


def test_words_that_the_model_does_not_know_stay_in_the_text(generator):
    found = generator.generate("the Zyxgrad", max_length=3)
    assert found.text.startswith("the Zyxgrad")
    assert found.prompt_tokens == ("the", "<unk>")


def test_a_generation_is_one_line_of_json(generator):
    found = generator.generate("you", samples=2, max_length=3)
    line = found.to_json()
    assert "\n" not in line
    entries = json.loads(line)
    assert entries["text"] == found.text
    assert entries["tokens"] == list(found.tokens)
    assert len(entries["alternatives"]) == 2
    np.testing.assert_allclose(entries["attention"]["decoder"], found.attention["decoder"].weights, atol=1e-6)
    assert "alternatives" not in json.loads(generator.generate("you", max_length=3).to_json())


def test_without_attention_there_is_none(generator):
    assert generator.generate("you", attention=False).attention == {}
    assert generator.force("you", attention=False).attention == {}


def test_forced_texts_have_the_probabilities_of_the_loss(generator):
    readings = generator.force(TEXTS, attention=False)
    assert [one.text for one in readings] == TEXTS
    rows = [[BEGIN, *generator.tokenizer.encode(text), END] for text in TEXTS]
    longest = max(map(len, rows))
    target = torch.tensor([row + [PADDING] * (longest - len(row)) for row in rows])
    batch = Batch(torch.zeros(len(rows), 0, dtype=torch.long), target, torch.arange(len(rows)))
    loss = generator.model.loss(batch)
    total = sum(sum(one.log_probabilities) for one in readings)
    assert total == pytest.approx(-loss.loss.item(), rel=1e-5)
    assert sum(len(one.tokens) for one in readings) == loss.tokens
    small = generator.force(TEXTS, batch_size=1, attention=False)
    for one, other in zip(readings, small, strict=True):
        np.testing.assert_allclose(one.log_probabilities, other.log_probabilities, atol=1e-5)


def test_the_perplexities_are_sums_by_hand(generator):
    texts = [*TEXTS, "the bird sat ."]
    found = evaluate_language_model(generator, texts)
    nats, tokens = 0.0, 0
    for text in texts:
        ids = [BEGIN, *generator.tokenizer.encode(text), END]
        logits = generator.model.output(generator.model(torch.tensor([ids])))[0].double()
        for position, id in enumerate(ids[1:]):
            nats -= logits[position].log_softmax(-1)[id].item()
            tokens += 1
    words = sum(len(text.split()) + 1 for text in texts)
    characters = sum(len(text) + 1 for text in texts)
    assert (found.tokens, found.words, found.characters, found.lines) == (tokens, words, characters, 5)
    assert found.unknown == 1
    assert found.perplexity == pytest.approx(np.exp(nats / tokens), rel=1e-5)
    assert found.word_perplexity == pytest.approx(np.exp(nats / words), rel=1e-5)
    assert found.bits_per_character == pytest.approx(nats / np.log(2) / characters, rel=1e-5)
    with pytest.raises(UserError, match="the text has no line"):
        evaluate_language_model(generator, [])


def test_chunks_are_numbered_on(generator):
    whole = generator.generate(PROMPTS, seed=5, max_length=4)
    parts = list(generator.generate_chunks([PROMPTS[:3], PROMPTS[3:]], seed=5, max_length=4))
    assert [one.text for one in parts] == [one.text for one in whole]


def test_a_prompt_that_is_too_long_is_named_after_those_before_it(model):
    generator = TextGenerator.load(model, max_prompt_length=2)
    with pytest.raises(LongPromptError, match="text 2: 4 tokens; the longest text that is read has 2"):
        generator.force(["you", "the cat sat on"])
    given = []
    generations = generator.generate_chunks([["you", "a"], ["i", "the cat sat on", "a"]], max_length=2)
    with pytest.raises(LongPromptError) as refused:
        given.extend(found.prompt for found in generations)
    assert given == ["you", "a", "i"]
    assert refused.value.number == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature is 0.0; it must be above 0"),
        ({"top_p": 2.0}, "top_p is 2.0"),
        ({"samples": 0}, "samples is 0"),
        ({"beam_size": 0}, "beam_size is 0"),
        ({"beam_size": 2, "seed": 1}, "seed shapes what is drawn; with a beam_size nothing is"),
        ({"beam_size": 2, "samples": 3}, "n_best is 3, but a beam of 2"),
        ({"max_length": 0}, "max_length is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_settings_out_of_range_are_refused(generator, options, message):
    with pytest.raises(UserError, match=message):
        generator.generate("you", **options)


def test_each_kind_of_model_says_what_it_is_for(tmp_path, model):
    translating = save_small_model(tmp_path / "translating")
    with pytest.raises(
        UserError, match="a model that translates, not a language model: use shisen translate"
    ):
        TextGenerator.load(translating)
    with pytest.raises(UserError, match="a language model, which does not translate: use shisen generate"):
        Translator.load(model)
    with pytest.raises(UserError, match="max_prompt_length is 0"):
        TextGenerator.load(model, max_prompt_length=0)
    with pytest.raises(UserError, match="no device 'tpu'"):
        TextGenerator.load(model, device="tpu")
