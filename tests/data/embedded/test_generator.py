"""Generated sentences: their number, their lengths, and what can be checked of grammar and links."""

import re
from itertools import pairwise

import pytest

from shisen.data.embedded.generator import Generator, LengthTable, count_sentences
from shisen.data.embedded.grammar import embedded_grammar, read_grammar
from shisen.data.embedded.parser import parse


@pytest.fixture(scope="module")
def pairs():
    """Sentences of 4 to 24 words."""
    generator = Generator(embedded_grammar(), 24, seed=3)
    return [generator.draw(4 + number % 21) for number in range(400)]


def _words(lexicon: str, form: str) -> set[str]:
    entries = embedded_grammar().lexicons[lexicon].entries
    return {" ".join(entry.english[form]) for entry in entries if form in entry.english}


# ---- how many

_COUNTABLE = """
start: sentence
examples: []
features: {}
rules:
  sentence: [name sees/s name.2 => name は/- name.2 を/- 見る/s, "sentence and/a name => sentence と/a name"]
conjugation: {}
lexicon:
  name: 
    english: [word]
    japanese: [word]
    select: []
    entries: [A | ア, B | イ, C C | ウ, D | エ, E | オ, F | カ, G | キ]
"""


def test_probabilities_of_all_lengths_add_up_to_one():
    grammar = read_grammar(_COUNTABLE.replace(', "sentence and/a name => sentence と/a name"', ""))
    weights = LengthTable(grammar, 5).of(("sentence", ()))
    # Six of seven names are one word, the seventh is two: 3, 4 or 5 words.
    assert weights == pytest.approx([0, 0, 0, 36 / 49, 12 / 49, 1 / 49])


def test_the_count_leaves_out_the_words_that_may_be_avoided():
    grammar = read_grammar(_COUNTABLE.replace(', "sentence and/a name => sentence と/a name"', ""))
    # Of the 6 names of one word, 4 may have just been used; the only one of two words may have been the last.
    assert count_sentences(grammar, 5) == 2 * 2 + 0


def test_there_are_at_least_a_thousand_million_sentences_of_up_to_ten_words():
    assert count_sentences(embedded_grammar(), 10) >= 10**9


@pytest.mark.parametrize("words", [2, 7, 40, 105])
def test_a_sentence_has_exactly_the_words_asked_for(words):
    generator = Generator(embedded_grammar(), words, seed=1)
    assert {len(generator.draw(words).source.split()) for _ in range(3)} == {words}


def test_every_length_from_2_to_120_can_be_written():
    assert Generator(embedded_grammar(), 120, seed=1).lengths(2) == list(range(2, 121))


def test_the_same_seed_gives_the_same_sentences():
    def draw(seed):
        generator = Generator(embedded_grammar(), 12, seed)
        return [generator.draw(9) for _ in range(20)]

    assert draw(5) == draw(5)
    assert draw(5) != draw(6)


# ---- one translation


def test_a_sentence_has_one_derivation_and_so_one_translation(pairs):
    for pair in pairs[::5]:
        assert parse(embedded_grammar(), pair.source) == [pair]


# ---- links


def test_links_are_within_the_sentences(pairs):
    for pair in pairs:
        source, target = len(pair.source.split()), len(pair.target.split())
        assert all(0 <= i < source and 0 <= j < target for i, j in pair.alignment.possible)


def test_every_japanese_word_is_linked(pairs):
    for pair in pairs:
        linked = {j for _, j in pair.alignment.possible}
        assert linked == set(range(len(pair.target.split()))), pair


def test_every_english_word_is_linked_but_those_that_japanese_does_not_say(pairs):
    silent = {"a", "an", "the", "who", "that", "it", "is", "are", "was", "were", "am"}
    for pair in pairs:
        linked = {i for i, _ in pair.alignment.possible}
        words = pair.source.lower().split()
        assert {word for i, word in enumerate(words) if i not in linked} <= silent, pair


def test_a_noun_is_surely_linked_to_its_translation_and_to_nothing_else(pairs):
    nouns = {
        entry.english["singular"][0]: entry.japanese["word"][0]
        for entry in embedded_grammar().lexicons["noun"].entries
        if len(entry.english.get("singular", ())) == 1
    }
    for pair in pairs:
        source, target = pair.source.split(), pair.target.split()
        for i, word in enumerate(source):
            if word in nouns and word not in {"light", "play"}:
                assert [target[j] for k, j in sorted(pair.alignment.sure) if k == i] == [nouns[word]]


# ---- English


def test_articles_agree_with_the_next_sound(pairs):
    for pair in pairs:
        for article, word in re.findall(r"\b([Aa]n?) (\w+)", pair.source):
            assert (article.lower() == "an") == (word[0] in "aeio" or word == "umbrella"), pair.source


def test_sentences_begin_with_a_capital_and_names_have_one(pairs):
    names = _words("name", "word") | {
        "I",
        "Kyoto",
        "Tokyo",
        "Osaka",
        "Nara",
        "Paris",
        "London",
        "English",
        "Japanese",
    }
    for pair in pairs:
        first, *rest = pair.source.split()
        assert first[0].isupper()
        assert all(word in names for word in rest if word[0].isupper())


def test_verbs_agree_with_pronouns(pairs):
    third, base = _words("verb", "s"), _words("verb", "base") - _words("verb", "past")
    for pair in pairs:
        text = pair.source.lower()
        for pronoun, verb in re.findall(r"\b(i|we|they|he|she) (\w+)", text):
            if re.search(rf"\b(if|did|will|is|are|does) {pronoun} {verb}", text):
                continue
            plural = pronoun in {"i", "we", "they"}
            assert verb not in (third if plural else base), pair.source
            assert (pronoun, verb) not in {
                (one, be)
                for one, allowed in {
                    "i": "am was",
                    "we": "are were",
                    "they": "are were",
                    "he": "is was",
                    "she": "is was",
                }.items()
                for be in {"am", "is", "are", "was", "were"} - set(allowed.split())
            }, pair.source


def test_a_number_stands_before_a_plural(pairs):
    plurals = _words("noun", "plural")
    for pair in pairs:
        for word in re.findall(r"\b(?:two|three|four|five) (\w+)", pair.source.lower()):
            assert word in plurals, pair.source


def test_no_word_of_content_is_said_twice_running(pairs):
    for pair in pairs:
        for one, following in re.findall(r"\b(\w+) and (?:the |a |an )?(\w+)", pair.source.lower()):
            assert one != following, pair.source


# ---- Japanese


def test_verbs_stand_before_their_auxiliaries_in_the_right_form(pairs):
    verbs = embedded_grammar().lexicons["verb"].entries
    voiced = {verb.japanese["ta"][-2] for verb in verbs if verb.japanese["ta"][-1] == "だ"}
    plain = {verb.japanese["ta"][-2] for verb in verbs if verb.japanese["ta"][-1] == "た"}
    for pair in pairs:
        words = pair.target.split()
        for word, following in pairwise(words):
            if word in voiced - plain:
                assert following in {"だ", "で", "だら"}, pair.target
            if word in plain - voiced and following in {"だ", "だら"}:
                pytest.fail(pair.target)


def test_people_and_things_are_counted_with_their_counters(pairs):
    counters = {
        entry.japanese["word"]: entry.japanese["counter"]
        for entry in embedded_grammar().lexicons["noun"].entries
        if "counter" in entry.japanese
    }
    seen = 0
    for pair in pairs:
        for counter, noun in re.findall(r"[二三四五] (\S+) の (\S+)", pair.target):
            assert counters[(noun,)] == (counter,)
            seen += 1
    assert seen > 10


def test_an_adjective_ends_a_sentence_politely_and_a_verb_plainly(pairs):
    for pair in pairs:
        end = pair.target.removesuffix(" 。").split()
        assert end[-1] not in {"は", "が", "を", "に", "の", "て", "で", "、"}, pair.target
        if end[-1] == "です":
            assert end[-2].endswith(("い", "た", "き")) or end[-2] in {
                word
                for lexicon in ("noun", "na_adjective", "affection_verb")
                for entry in embedded_grammar().lexicons[lexicon].entries
                for word in entry.japanese["word"]
            }, pair.target
