"""Reading a sentence of the embedded grammar: its derivations, and so its translation and gold links."""

from collections.abc import Iterator

from shisen.data.embedded.derivation import Leaf, Node, SentencePair, agree_articles, write_pair
from shisen.data.embedded.grammar import Grammar, Production, Slot, Symbol


def parse(grammar: Grammar, sentence: str) -> list[SentencePair]:
    """Return the pair of every derivation of an English sentence; none if the grammar cannot write it.

    Args:
        grammar: the rules.
        sentence: words and punctuation parted by spaces; the case of letters makes no difference.
    """
    words = [word.casefold() for word in sentence.split()]
    parser = _Parser(grammar, words)
    return [write_pair(node) for end, node in parser.parses((grammar.start, ()), 0) if end == len(words)]


class _Parser:
    """Top-down, every symbol at every place worked out once."""

    def __init__(self, grammar: Grammar, words: list[str]) -> None:
        agreed = ["a" if word == "an" else word for word in words]
        self._words = list(agreed)
        agree_articles(agreed)
        if agreed != words:  # "a apple": not a sentence
            self._words = []
        self._grammar = grammar
        self._known: dict[tuple[Symbol, int], list[tuple[int, Node]]] = {}

    def parses(self, symbol: Symbol, start: int) -> list[tuple[int, Node]]:
        """Return (end, derivation) for every way to read a symbol from a place on."""
        key = (symbol, start)
        if key not in self._known:
            self._known[key] = [
                (end, Node(production, children))
                for production in self._grammar.productions(symbol)
                for end, children in self._match(production, 0, start)
            ]
        return self._known[key]

    def _match(
        self, production: Production, item: int, start: int
    ) -> Iterator[tuple[int, list[Node | Leaf]]]:
        """Yield (end, children) for every way to read a rule from one of its items and a place on."""
        if item == len(production.english):
            yield start, []
            return
        symbol = production.english[item]
        if isinstance(symbol, str):
            if self._words[start : start + 1] == [symbol.casefold()]:
                yield from self._match(production, item + 1, start + 1)
            return
        child = production.children[symbol]
        first: list[tuple[int, Node]] | list[tuple[int, Leaf]]
        first = self._words_at(child, start) if isinstance(child, Slot) else self.parses(child, start)
        for end, node in first:
            for last, rest in self._match(production, item + 1, end):
                yield last, [node, *rest]

    def _words_at(self, slot: Slot, start: int) -> list[tuple[int, Leaf]]:
        found = []
        for entry in slot.entries:
            words = [word.casefold() for word in entry.english[slot.form]]
            if self._words[start : start + len(words)] == words:
                found.append((start + len(words), Leaf(entry, slot)))
        return found
