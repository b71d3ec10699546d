"""Words and their forms: Japanese conjugation, and how rules choose entries."""

import pytest

from shisen.data.embedded.grammar import embedded_grammar
from shisen.data.embedded.lexicon import conjugate


def _japanese(english: str, form: str) -> str:
    verbs = embedded_grammar().lexicons["verb"].entries
    return " ".join(next(verb for verb in verbs if verb.identity == (english,)).japanese[form])


# The forms that school grammars of Japanese give for each class of verbs.
@pytest.mark.parametrize(
    ("english", "negative", "te", "conditional"),
    [
        ("eat", "食べ", "食べ て", "食べ たら"),  # ichidan
        ("buy", "買わ", "買っ て", "買っ たら"),
        ("write", "書か", "書い て", "書い たら"),
        ("hurry", "急が", "急い で", "急い だら"),
        ("lend", "貸さ", "貸し て", "貸し たら"),
        ("wait", "待た", "待っ て", "待っ たら"),
        ("call", "呼ば", "呼ん で", "呼ん だら"),
        ("read", "読ま", "読ん で", "読ん だら"),
        ("sit", "座ら", "座っ て", "座っ たら"),
        ("go", "行か", "行っ て", "行っ たら"),  # not 行い て
        ("come", "来", "来 て", "来 たら"),
        ("study", "勉強 し", "勉強 し て", "勉強 し たら"),
    ],
)
def test_japanese_verbs_are_conjugated_by_their_class(english, negative, te, conditional):
    assert _japanese(english, "negative") == negative
    assert _japanese(english, "te") == te
    assert _japanese(english, "tara") == conditional


def test_a_word_without_a_known_ending_is_refused():
    with pytest.raises(ValueError, match="ends in none of る"):
        conjugate("読む", {"る": ["る"]})


def test_english_verbs_have_all_their_forms():
    for verb in embedded_grammar().lexicons["verb"].entries:
        assert list(verb.english) == ["base", "s", "past", "ing"]
        base, third, _, progressive = (words[0] for words in verb.english.values())
        assert third in {base + "s", base + "es", base[:-1] + "ies"}
        assert progressive.removesuffix("ing") in {base, base[:-1], base + base[-1]}


def test_entries_are_chosen_by_their_properties_and_forms():
    nouns = embedded_grammar().lexicons["noun"]
    drinks = nouns.select(("drink",), "mass")
    assert ("tea",) in [drink.identity for drink in drinks]
    assert nouns.select(("drink",), "plural") == []
    assert {entry.japanese["counter"] for entry in nouns.select(("person",), "plural")} == {("人",)}


def test_a_word_means_one_thing_wherever_the_same_rule_may_use_it():
    """One English word with two Japanese ones (play) must differ in what it takes."""
    for lexicon in embedded_grammar().lexicons.values():
        for number, one in enumerate(lexicon.entries):
            for other in lexicon.entries[number + 1 :]:
                if one.identity == other.identity and one.japanese != other.japanese:
                    assert any(
                        not (first & second) and (first or second)
                        for first, second in zip(one.properties, other.properties, strict=True)
                    ), one.identity
