"""The translator: what a translation holds, that batches change nothing, streams, forced decoding, errors."""

import dataclasses
import json
from collections.abc import Iterator

import numpy as np
import pytest

import shisen
from shisen.errors import UserError
from shisen.model_directory import load_model
from shisen.pipelines import LongSourceError, Translation, Translator
from small_model import SOURCES, TARGETS, save_small_model

LINES = [*SOURCES, "the dog sat .", "", "i read a mat on books .", "learning", "  ", "cat " * 9]
FAMILIES = [
    {"attention": "bahdanau"},
    {"attention": "luong-general", "cell": "lstm", "decoder_layers": 2},
    {"attention": "luong-dot", "bidirectional": False, "input_feeding": False},
    {"attention": "none"},
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return save_small_model(tmp_path_factory.mktemp("small") / "model")


@pytest.fixture(scope="module")
def translator(directory) -> Translator:
    return Translator.load(directory)


@pytest.fixture(scope="module")
def unknowing(tmp_path_factory) -> Translator:
    """Its every word is ``<unk>``."""
    return Translator.load(save_small_model(tmp_path_factory.mktemp("small") / "model", says_unknown=True))


def assert_same(one: Translation, other: Translation) -> None:
    assert one.text == other.text
    assert one.tokens == other.tokens
    assert one.source_tokens == other.source_tokens
    assert one.score == pytest.approx(other.score, abs=1e-4)
    np.testing.assert_allclose(one.log_probabilities, other.log_probabilities, atol=1e-4)
    assert one.attention.keys() == other.attention.keys()
    for kind, attention_map in one.attention.items():
        np.testing.assert_allclose(attention_map.weights, other.attention[kind].weights, atol=1e-4)


def test_a_translation_holds_text_tokens_score_and_the_attention_of_each_token(translator):
    translation = translator.translate("the cat sat on the mat .", length_penalty=0.5)
    assert translation.source == "the cat sat on the mat ."
    assert translation.source_tokens == ("the", "cat", "sat", "on", "the", "mat", ".", "</s>")
    assert translation.tokens[-1] == "</s>"
    assert len(translation.tokens) > 1
    assert translation.text == " ".join(translation.tokens[:-1])
    penalty = ((5 + len(translation.tokens)) / 6) ** 0.5
    assert translation.score == pytest.approx(sum(translation.log_probabilities) / penalty)
    cross = translation.attention["cross"]
    assert cross.query_tokens == translation.tokens
    assert cross.key_tokens == translation.source_tokens
    assert cross.weights.shape == (1, 1, len(translation.tokens), 8)
    np.testing.assert_allclose(cross.weights.sum(-1), 1, atol=1e-5)
    assert cross.metadata["model"] == translation.model == translator.fingerprint


def test_the_names_are_in_the_front_room():
    assert shisen.Translator is Translator
    assert shisen.Translation is Translation


@pytest.mark.parametrize("config", FAMILIES, ids=lambda config: config["attention"])
@pytest.mark.parametrize("beam_size", [1, 4])
def test_a_list_is_translated_as_its_sentences_are_one_by_one(tmp_path, config, beam_size):
    translator = Translator.load(save_small_model(tmp_path / "model", **config))
    together = translator.translate(LINES, beam_size=beam_size, n_best=beam_size)
    assert [one.source for one in together] == LINES
    for line, translation in zip(LINES, together, strict=True):
        alone = translator.translate(line, beam_size=beam_size, n_best=beam_size)
        assert_same(alone, translation)
        for one, other in zip(alone.hypotheses, translation.hypotheses, strict=True):
            assert_same(one, other)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_batch_size_changes_nothing(translator, batch_size):
    expected = translator.translate(LINES)
    for one, other in zip(translator.translate(LINES, batch_size=batch_size), expected, strict=True):
        assert_same(one, other)


def test_long_sentences_make_smaller_batches(translator, monkeypatch):
    rows = []
    encode = translator.model.encode
    monkeypatch.setattr(
        translator.model,
        "encode",
        lambda source, *others: rows.append(source.shape) or encode(source, *others),
    )
    translator.translate(["cat " * 1000] * 20 + ["cat"] * 50, beam_size=1, max_length=1)
    assert rows == [(16, 1001), (16, 1001), (38, 2)]


@pytest.mark.parametrize("line", ["", "   ", "\t"])
def test_an_empty_line_is_not_decoded(translator, monkeypatch, line):
    monkeypatch.setattr(translator.model, "encode", None)
    translation = translator.translate(line)
    assert (translation.text, translation.tokens, translation.attention) == ("", (), {})
    assert translator.translate([]) == []


def test_the_n_best_are_sorted_and_different_and_the_first_is_the_translation(translator):
    translation = translator.translate(SOURCES[0], beam_size=6, n_best=6)
    assert len({one.tokens for one in translation.hypotheses}) == 6
    scores = [one.score for one in translation.hypotheses]
    assert scores == sorted(scores, reverse=True)
    assert_same(translation.hypotheses[0], translation)
    assert all(one.attention["cross"].query_tokens == one.tokens for one in translation.hypotheses)
    with pytest.raises(UserError, match="n_best is 6, but a beam of 5"):
        translator.translate(SOURCES[0], n_best=6)


def test_attention_can_be_left_out(translator):
    with_attention, without = (translator.translate(SOURCES[0], attention=choice) for choice in (True, False))
    assert without.attention == {}
    assert without.tokens == with_attention.tokens


def test_an_unknown_word_is_replaced_by_the_source_word_looked_at_most(unknowing):
    source = "the Zyxgrad sat ."
    plain = unknowing.translate(source, max_length=3, beam_size=1)
    assert plain.tokens == ("<unk>",) * 3 + ("</s>",)
    assert plain.text == "<unk> <unk> <unk>"
    replaced = unknowing.translate(source, max_length=3, beam_size=1, replace_unknown=True, attention=False)
    weights = plain.attention["cross"].weights[0, 0, :3, :-1]  # </s> is no word
    expected = [source.split()[key] for key in weights.argmax(-1)]
    assert replaced.text == " ".join(expected)
    assert replaced.tokens == (*expected, "</s>")
    assert replaced.attention == {}


def test_an_unknown_word_stays_where_nothing_is_looked_at(tmp_path):
    model = save_small_model(tmp_path / "model", says_unknown=True, attention="none")
    translation = Translator.load(model).translate(SOURCES[0], max_length=2, replace_unknown=True)
    assert "<unk>" in translation.tokens


def test_the_options_of_decoding_reach_it(translator, unknowing):
    assert "<unk>" not in unknowing.translate(SOURCES[0], forbid_unknown=True).tokens
    lengths = [len(one.tokens) - 1 for one in translator.translate(SOURCES, min_length=4, max_length=5)]
    assert min(lengths) >= 4
    assert max(lengths) <= 5
    repeated = unknowing.translate(SOURCES[0], no_repeat_ngram=1).tokens
    assert len(set(repeated)) == len(repeated)
    with pytest.raises(UserError, match="beam_size is 0"):
        translator.translate(SOURCES[0], beam_size=0)
    with pytest.raises(UserError, match="batch_size is 0"):
        translator.translate(SOURCES[0], batch_size=0)


def test_what_is_not_said_is_the_models_own_setting(tmp_path):
    generation = {"beam_size": 1, "length_penalty": 0.0, "max_length": 2}
    translator = Translator.load(
        save_small_model(tmp_path / "model", says_unknown=True, generation=generation)
    )
    translation = translator.translate(SOURCES[0])
    assert len(translation.tokens) == 3
    assert translation.score == pytest.approx(sum(translation.log_probabilities))
    with pytest.raises(UserError, match="a beam of 1"):
        translator.translate(SOURCES[0], n_best=2)


def test_a_damaged_generation_config_is_reported(tmp_path):
    translator = Translator.load(save_small_model(tmp_path / "model", generation={"beam_size": "five"}))
    with pytest.raises(
        UserError, match=r"generation_config\.json: beam_size should be a number, and is 'five'"
    ):
        translator.translate(SOURCES[0])


def test_forcing_what_was_found_gives_its_score_and_attention_back(translator):
    found = translator.translate(SOURCES)
    forced = translator.force(SOURCES, [one.text for one in found])
    for one, other in zip(found, forced, strict=True):
        assert_same(one, other)
    assert_same(translator.force(SOURCES[0], found[0].text), found[0])
    assert translator.score(SOURCES[0], found[0].text) == pytest.approx(found[0].score, abs=1e-5)


def test_any_translation_can_be_forced(translator):
    forced = translator.force(["the cat .", "", "a dog ran ."], ["猫 と 犬 が", "猫", ""], batch_size=2)
    assert forced[0].text == "猫 と 犬 が"
    assert forced[0].tokens == ("猫", "<unk>", "犬", "が", "</s>")
    assert forced[0].attention["cross"].weights.shape == (1, 1, 5, 4)
    assert forced[1].source_tokens == ("</s>",)
    assert forced[2].tokens == ("</s>",)
    assert all(len(one.tokens) == len(one.log_probabilities) for one in forced)
    with pytest.raises(UserError, match="2 sources, but 1 translations"):
        translator.force(["a", "b"], ["猫"])
    with pytest.raises(UserError, match="two strings, or two lists"):
        translator.force("a", ["猫"])


@pytest.mark.parametrize(
    ("source", "translation", "message"),
    [
        (
            "a dog ran .",
            "猫",
            r"^source sentence 1,502: 4 tokens; .* translated has 3 \(split it, or raise max_",
        ),
        (
            "a dog",
            "猫 が 走っ た",
            r"^target sentence 1,502: 4 tokens; the longest sentence that is read has 3",
        ),
    ],
)
def test_what_is_too_long_to_be_forced_is_named_by_side_and_number(directory, source, translation, message):
    translator = Translator.load(directory, max_source_length=3)
    with pytest.raises(LongSourceError, match=message) as caught:
        translator.force(["a dog", source], ["猫", translation], first_number=1500)
    assert (caught.value.index, caught.value.number) == (1, 1502)
    with pytest.raises(LongSourceError, match=message) as caught:
        translator.check_lengths(["a dog"] * 1501 + [source], ["猫"] * 1501 + [translation])
    assert (caught.value.index, caught.value.number) == (1501, 1502)
    translator.check_lengths(["a dog", ""], ["猫 が 座っ"])


def test_samples_follow_from_the_seed_and_not_from_the_batch(translator):
    options = {"sampling": True, "n_best": 3, "seed": 5, "temperature": 2.0}
    expected = [[h.tokens for h in one.hypotheses] for one in translator.translate(LINES, **options)]
    for chunk_size in (1, 4):
        streamed = translator.translate_stream(LINES, chunk_size=chunk_size, **options)
        assert [[h.tokens for h in one.hypotheses] for one in streamed] == expected
    other = translator.translate(LINES, **(options | {"seed": 6}))
    assert [[h.tokens for h in one.hypotheses] for one in other] != expected


def test_a_stream_is_read_no_further_than_a_chunk(translator):
    read = []

    def lines() -> Iterator[str]:
        for number in range(10):
            read.append(number)
            yield f"{'cat ' * (number + 1)}."

    translations = translator.translate_stream(lines(), chunk_size=4, beam_size=1)
    assert read == []
    assert next(translations).source == "cat ."
    assert len(read) == 4
    assert [len(one.source.split()) - 1 for one in translations] == list(range(2, 11))


def test_a_stream_gives_what_came_before_the_line_that_cannot_be_translated(directory):
    translator = Translator.load(directory, max_source_length=3)

    def lines() -> Iterator[str]:
        yield from ["a dog ran", "a dog", "a dog", "the cat sat on the mat", "never reached"]

    translations = translator.translate_stream(lines(), chunk_size=2)
    assert [next(translations).source for _ in range(3)] == ["a dog ran", "a dog", "a dog"]
    with pytest.raises(LongSourceError, match=r"source sentence 4: 6 tokens; the longest .* has 3") as caught:
        next(translations)
    assert (caught.value.index, caught.value.number) == (1, 4)


def test_a_stream_gives_what_came_before_the_line_that_cannot_be_read(translator):
    def lines() -> Iterator[str]:
        yield from ["a dog", "a cat"]
        raise UserError("line 3: not UTF-8")

    translations = translator.translate_stream(lines(), chunk_size=100)
    assert [next(translations).source for _ in range(2)] == ["a dog", "a cat"]
    with pytest.raises(UserError, match="line 3: not UTF-8"):
        next(translations)


def test_json_holds_everything(translator):
    translation = translator.translate(SOURCES[0])
    line = translation.to_json()
    assert "\n" not in line
    entries = json.loads(line)
    assert entries["text"] == translation.text
    assert entries["source"] == translation.source
    assert entries["tokens"] == list(translation.tokens)
    assert entries["source_tokens"] == list(translation.source_tokens)
    assert entries["score"] == translation.score
    assert entries["log_probabilities"] == list(translation.log_probabilities)
    np.testing.assert_allclose(
        entries["attention"]["cross"], translation.attention["cross"].weights, atol=1e-7
    )
    assert entries["model"] == translator.fingerprint
    assert "hypotheses" not in entries
    several = translator.translate(SOURCES[0], n_best=2)
    assert [one["text"] for one in several.as_dict()["hypotheses"]] == [
        one.text for one in several.hypotheses
    ]


def test_a_translation_cannot_be_changed(translator):
    with pytest.raises(dataclasses.FrozenInstanceError):
        translator.translate("a dog").text = "猫"


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda d: Translator.load(d / "nowhere"), "does not exist"),
        (lambda d: Translator.load(d, device="abacus"), "no device 'abacus' here"),
        (lambda d: Translator.load(d, max_source_length=0), "max_source_length is 0"),
        (
            lambda d: Translator.load(d).translate("cat " * 100_000),
            "100,000 tokens; the longest .* has 1,024",
        ),
        (lambda d: Translator.load(d).force("cat", "猫 " * 2000), "2,000 tokens"),
        (lambda d: Translator.load(d).translate("a", sampling=True, temperature=-1.0), "temperature is -1.0"),
    ],
)
def test_mistakes_are_one_clear_line(directory, use, message):
    with pytest.raises(UserError, match=message) as caught:
        use(directory)
    assert "\n" not in str(caught.value)


def test_the_model_is_in_evaluation_mode_and_its_parameters_are_untouched(directory):
    loaded = load_model(directory)
    loaded.model.train()
    translator = Translator(loaded)
    one, other = (translator.translate(SOURCES[0]) for _ in range(2))
    assert_same(one, other)
    assert all(parameter.requires_grad for parameter in loaded.model.parameters())


def test_null_in_the_generation_config_stands_for_what_is_usual(tmp_path):
    nothing = {"beam_size": None, "length_penalty": None, "max_length": None, "max_length_ratio": None}
    usual = Translator.load(save_small_model(tmp_path / "usual"))
    empty = Translator.load(save_small_model(tmp_path / "empty", generation=nothing))
    one, other = usual.translate(SOURCES), empty.translate(SOURCES)
    assert [(found.tokens, found.score) for found in one] == [(found.tokens, found.score) for found in other]


@pytest.mark.parametrize("penalty", [-1.0, 1e308])
def test_forced_decoding_refuses_the_same_length_penalties(tmp_path, penalty):
    translator = Translator.load(save_small_model(tmp_path / "model"))
    with pytest.raises(UserError, match="length_penalty is"):
        translator.force(SOURCES[0], TARGETS[0], length_penalty=penalty)
