"""The grammar file: what it must say, and the mistakes in it that are found when it is read."""

from importlib.resources import files

import pytest

from shisen.data.embedded.grammar import embedded_grammar, read_grammar
from shisen.data.embedded.parser import parse

_SMALL = """
start: sentence
examples: []
features:
  number: [singular, plural]
rules:
  sentence:
    - {rule}
  phrase(number):
    - the/- noun:number => noun
conjugation: {{}}
lexicon:
  noun:
    english: [singular, plural]
    japanese: [word]
    select: []
    entries: ["cat, cats | 猫"]
"""


def test_a_small_grammar_is_read():
    grammar = read_grammar(_SMALL.format(rule="phrase(number) sleep/s => phrase が/phrase? 寝る/s"))
    (pair,) = parse(grammar, "the cats sleep")
    assert pair.target == "猫 が 寝る"
    assert str(pair.alignment) == "1-0 1p1 2-2"


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ("phrase(number) sleep => phrase", "'sleep'|no category"),
        ("phrase(number) sleep/s => phrase", "no.* label s"),
        ("phrase(number) => phrase 寝る/s", "no.* label s"),
        ("phrase(number) sleep/s => 寝る/s", "phrase has no place in the Japanese"),
        ("sleep/s => phrase 寝る/s", "phrase is in the Japanese alone"),
        ("phrase(number, number) sleep/s => phrase 寝る/s", "takes 1 arguments, not 2"),
        ("fraise(number) sleep/s => fraise 寝る/s", "no category or lexicon 'fraise'"),
    ],
)
def test_mistakes_in_a_rule_are_found_when_it_is_read(rule, complaint):
    with pytest.raises(ValueError, match=complaint):
        read_grammar(_SMALL.format(rule=rule))


def test_a_category_written_twice_is_refused():
    with pytest.raises(ValueError, match="written twice in the grammar: sentence"):
        read_grammar("rules:\n  sentence: [a/a => b/a]\n  sentence: [b/a => c/a]\n")


def test_every_feature_of_the_file_is_used():
    text = (files("shisen.data.embedded") / "grammar.yaml").read_text(encoding="utf-8")
    rules = text[text.index("\nrules:") :]
    assert [name for name in embedded_grammar().features if name not in rules] == []


def test_every_word_of_the_lexicon_can_be_used():
    """Each entry has a place in some production that the start symbol reaches."""
    grammar = embedded_grammar()
    reached, used, waiting = set(), set(), [(grammar.start, ())]
    while waiting:
        symbol = waiting.pop()
        for production in grammar.productions(symbol):
            for child in production.children:
                if isinstance(child, tuple):
                    if child not in reached:
                        reached.add(child)
                        waiting.append(child)
                else:
                    used.update((child.lexicon, entry.identity) for entry in child.entries)
    for name, lexicon in grammar.lexicons.items():
        assert {entry.identity for entry in lexicon.entries} == {
            word for where, word in used if where == name
        }


def test_the_grammar_is_the_same_file_whenever_it_is_read():
    text = (files("shisen.data.embedded") / "grammar.yaml").read_text(encoding="utf-8")
    assert read_grammar(text).fingerprint == embedded_grammar().fingerprint
