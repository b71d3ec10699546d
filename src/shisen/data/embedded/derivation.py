"""A derivation: the tree of productions behind a sentence pair, and the pair that is written from it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from shisen.data.alignments import Alignment, Link
from shisen.data.embedded.grammar import Production, Slot
from shisen.data.embedded.lexicon import Entry


@dataclass(frozen=True)
class SentencePair:
    """An English sentence, its Japanese translation, and the links between their words."""

    source: str
    target: str
    alignment: Alignment


@dataclass(eq=False, slots=True)
class Node:
    """A symbol with the production that writes it; positions are filled in when the sentence is written."""

    production: Production
    children: list["Node | Leaf"]
    english_words: dict[int, int] = field(default_factory=dict)
    japanese_words: dict[int, list[int]] = field(default_factory=dict)

    def english_head(self) -> Sequence[int]:
        """Return the positions of the English words of its head."""
        production = self.production
        if production.head is not None:
            return self.children[production.head].english_head()
        return [self.english_words[place] for place in production.head_words[0]]

    def japanese_head(self) -> Sequence[int]:
        """Return the positions of the Japanese words of its head."""
        production = self.production
        if production.head is not None:
            return self.children[production.head].japanese_head()
        return [position for place in production.head_words[1] for position in self.japanese_words[place]]


@dataclass(eq=False, slots=True)
class Leaf:
    """A word of the lexicon at its place in a sentence."""

    entry: Entry
    slot: Slot
    english: Sequence[int] = ()
    japanese: Sequence[int] = ()

    def english_head(self) -> Sequence[int]:
        """Return the positions of its English words."""
        return self.english

    def japanese_head(self) -> Sequence[int]:
        """Return the positions of its Japanese words."""
        return self.japanese


def write_pair(root: Node) -> SentencePair:
    """Write both sentences of a derivation and the links between their words."""
    english: list[str] = []
    japanese: list[str] = []
    _write_english(root, english)
    _write_japanese(root, japanese)
    sure: set[Link] = set()
    possible: set[Link] = set()
    _link(root, sure, possible)
    agree_articles(english)
    english[0] = english[0][0].upper() + english[0][1:]
    return SentencePair(
        " ".join(english), " ".join(japanese), Alignment(frozenset(sure), frozenset(possible))
    )


def agree_articles(english: list[str]) -> None:
    """Turn ``a`` into ``an`` before a vowel sound, in place."""
    for place, (word, following) in enumerate(pairwise(english)):
        if (
            word == "a"
            and following[0] in "aeiouAEIOU"
            and not following.startswith(("uni", "use", "eu", "one"))
        ):
            english[place] = "an"


def _write_english(node: Node, english: list[str]) -> None:
    for place, item in enumerate(node.production.english):
        if isinstance(item, str):
            node.english_words[place] = len(english)
            english.append(item)
            continue
        child = node.children[item]
        if isinstance(child, Node):
            _write_english(child, english)
        else:
            words = child.entry.english[child.slot.form]
            child.english = range(len(english), len(english) + len(words))
            child.japanese = ()  # a derivation may be written more than once
            english.extend(words)


def _write_japanese(node: Node, japanese: list[str]) -> None:
    for place, item in enumerate(node.production.japanese):
        if isinstance(item, str):
            node.japanese_words[place] = [len(japanese)]
            japanese.append(item)
            continue
        child = node.children[item.child]
        if isinstance(child, Node):
            _write_japanese(child, japanese)
            continue
        assert item.form is not None
        words = child.entry.japanese[item.form]
        positions = list(range(len(japanese), len(japanese) + len(words)))
        japanese.extend(words)
        if item.is_aligned:
            child.japanese = [*child.japanese, *positions]
        else:
            node.japanese_words[place] = positions


def _link(node: Node, sure: set[Link], possible: set[Link]) -> None:
    for link in node.production.links:
        english = (
            node.children[-1 - link.english].english_head()
            if link.english < 0
            else [node.english_words[link.english]]
        )
        japanese = (
            node.children[-1 - link.japanese].japanese_head()
            if link.japanese < 0
            else node.japanese_words[link.japanese]
        )
        (sure if link.is_sure else possible).update(
            (source, target) for source in english for target in japanese
        )
    for child in node.children:
        if isinstance(child, Node):
            _link(child, sure, possible)
        elif child.slot.is_one_to_one and len(child.english) == len(child.japanese):
            sure.update(zip(child.english, child.japanese, strict=True))
        else:
            sure.update((source, target) for source in child.english for target in child.japanese)
