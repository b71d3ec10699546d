"""Detokenisation: what English, German and Japanese look like when their tokens are joined."""

import pytest

from shisen.data.detokenization import detokenize, drop_spaces_in_japanese

SENTENCES = [
    ("en", "i do n't know , he said .", "i don't know, he said."),
    ("en", "i 'm sorry , i 've got to go ; she 'll stay !", "i'm sorry, i've got to go; she'll stay!"),
    ("en", 'he said , " it is late ( again ) . "', 'he said, "it is late (again)."'),
    ("en", "`` yes , '' he said", '"yes," he said'),
    ("en", "“ yes ”", "“yes”"),
    ("en", "it costs $ 5 , or 10 % more ...", "it costs $5, or 10% more..."),
    ("en", "the dogs ' tails", "the dogs 'tails"),  # a lone quote is taken to open: no rule can know
    ("de", "„ Ja “ , sagte er .", "„Ja“, sagte er."),
    ("de", "ein Mann ( alt ) geht : wohin ?", "ein Mann (alt) geht: wohin?"),
    ("ja", "彼 は 学生 です か 。", "彼は学生ですか。"),
    ("ja", "Tom Cruise は 5 歳 です", "Tom Cruiseは5歳です"),
]


@pytest.mark.parametrize(("language", "tokens", "text"), SENTENCES)
def test_tokens_become_text_as_the_language_writes_it(language, tokens, text):
    assert detokenize(tokens.split(), language) == text


def test_without_a_language_tokens_stay_apart():
    assert detokenize(["do", "n't", ",", "he"], None) == "do n't , he"


@pytest.mark.parametrize("language", ["en", "de", "ja", None])
def test_no_tokens_are_no_text(language):
    assert detokenize([], language) == ""


def test_spaces_that_touch_japanese_go_and_those_between_latin_words_stay():
    assert drop_spaces_in_japanese("私は Tom Smith です 。 ") == "私はTom Smithです。"
