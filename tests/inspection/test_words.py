"""Words from pieces, by the marks of each tokenizer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shisen.inspection.words import join_words, word_numbers


def words_of(tokens):
    numbers = word_numbers(tokens)
    starts = [i for i, number in enumerate(numbers) if i == 0 or number != numbers[i - 1]]
    return list(join_words(tokens, starts))


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        ("▁the ▁trans form er </s>", "the transformer </s>"),
        ("▁ c a t ▁ i s </s>", "cat is </s>"),
        ("Ġthe Ġtrans former <|endoftext|>", "the transformer <|endoftext|>"),
        ("[CLS] the trans ##form ##er [SEP]", "[CLS] the transformer [SEP]"),
        ("the trans@@ form@@ er </s>", "the transformer </s>"),
        ("the</w> trans form er</w> </s>", "the transformer </s>"),
        ("the cat sat </s>", "the cat sat </s>"),
        ("<s> ▁un believ able <unk> ▁! </s>", "<s> unbelievable <unk> ! </s>"),
    ],
)
def test_every_convention_is_read_off_the_tokens(tokens, words):
    assert words_of(tokens.split()) == words.split()


def test_japanese_pieces_stay_as_they_are_since_no_mark_says_where_words_are():
    assert words_of(["▁私は", "深層", "学習", "が好き", "です", "</s>"]) == [
        "私は", "深層", "学習", "が好き", "です", "</s>",
    ]  # fmt: skip


def test_latin_pieces_within_japanese_still_join():
    assert words_of(["▁GP", "U", "を", "▁trans", "form", "er", "で"]) == ["GPU", "を", "transformer", "で"]


def test_marks_alone_and_brackets_that_name_nothing_are_ordinary_tokens():
    assert words_of(["##", "a"]) == ["##", "a"]
    assert words_of(["@@"]) == ["@@"]
    assert words_of(["▁<", "=", ">"]) == ["<=>"]
    assert words_of([]) == []


@given(st.lists(st.text(alphabet="▁Ġab<s>/#@私", max_size=5), max_size=12))
def test_numbers_count_up_from_zero_without_gaps(tokens):
    numbers = word_numbers(tokens)
    assert len(numbers) == len(tokens)
    assert all(later - earlier in (0, 1) for earlier, later in zip([-1, *numbers], numbers, strict=False))
