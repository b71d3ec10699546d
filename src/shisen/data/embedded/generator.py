"""Sentences of the embedded grammar: how many there are, and one of a given length at random.

The weights of the rules make a probabilistic grammar. :class:`LengthTable` holds for every symbol how likely
it is to be written with exactly n English words, or in how many ways it can be. A sentence of n words is
then drawn from the top down, without rejection.
"""

import random
from bisect import bisect_right
from itertools import accumulate

import numpy as np

from shisen.data.embedded.derivation import Leaf, Node, SentencePair, write_pair
from shisen.data.embedded.grammar import Grammar, Production, Slot, Symbol
from shisen.data.embedded.lexicon import Entry, Tokens

REPEAT_DISTANCE = 4
"""A word comes again only after this many others of its part of speech, where there are others."""

MOST_ATTEMPTS = 50
"""A sentence that must use a word twice running (I …, because I …) is drawn anew, at most so often."""


class LengthTable:
    """For each symbol, its weight for every number of English words up to a limit.

    Args:
        grammar: the rules.
        max_words: the limit.
        is_count: hold the number of derivations, not the probability: a lower bound of those that can be
            drawn, since a word just used is avoided.
    """

    def __init__(self, grammar: Grammar, max_words: int, is_count: bool = False) -> None:
        """See the class."""
        self.grammar = grammar
        self.max_words = max_words
        self.is_count = is_count
        self._arrays: dict[Symbol | int, np.ndarray] = {}
        self._open: list[Symbol] = []
        self._recursive: set[Symbol] = set()

    def of(self, child: Symbol | Slot) -> np.ndarray:
        """Return the weights of a symbol or of a place for a word, [max_words + 1]."""
        if isinstance(child, Slot):
            return self._slot(child)
        if child in self._open:
            if child != self._open[-1]:
                raise ValueError(
                    f"{child[0]} contains itself through {self._open[-1][0]}; only a series may recur"
                )
            self._recursive.add(child)
            return self._arrays[child]
        if child not in self._arrays:
            self._fill(child)
        return self._arrays[child]

    def suffixes(self, production: Production) -> list[np.ndarray]:
        """Return for each child the weights of it and all after it together; one more for after the last."""
        rest = self._unit()
        suffixes = [rest]
        for child in reversed(production.children):
            rest = np.convolve(self.of(child), rest)[: self.max_words + 1]
            suffixes.append(rest)
        return suffixes[::-1]

    def shares(self, symbol: Symbol) -> list[tuple[Production, float]]:
        """Return the productions of a symbol that can be written within the limit, with their probabilities.

        The weight of a rule as written is shared evenly among its instances.
        """
        usable = [
            production
            for production in self.grammar.productions(symbol)
            if all(self.of(child).any() for child in production.children)
        ]
        instances: dict[int, int] = {}
        for production in usable:
            instances[id(production.template)] = instances.get(id(production.template), 0) + 1
        total = sum({id(production.template): production.template.weight for production in usable}.values())
        return [
            (production, production.template.weight / instances[id(production.template)] / total)
            for production in usable
        ]

    def _fill(self, symbol: Symbol) -> None:
        self._arrays[symbol] = self._zeros()
        self._open.append(symbol)
        while True:
            weights = self._zeros()
            for production, share in self.shares(symbol):
                own = production.own_words
                reach = self.max_words + 1 - own
                if reach > 0:
                    weights[own:] += self.suffixes(production)[0][:reach] * (1 if self.is_count else share)
            is_stable = bool((weights == self._arrays[symbol]).all())
            self._arrays[symbol] = weights
            if is_stable or symbol not in self._recursive:
                break
        self._open.pop()

    def _slot(self, slot: Slot) -> np.ndarray:
        if id(slot) not in self._arrays:
            weights = self._zeros()
            for entry in slot.entries:
                length = len(entry.english[slot.form])
                if length <= self.max_words:
                    weights[length] += 1 if self.is_count else 1 / len(slot.entries)
            if (
                self.is_count
            ):  # words just used are avoided, and the only word there is may have been used last
                for length in np.flatnonzero(weights).tolist():
                    weights[length] = max(min(1, weights[length] - 1), weights[length] - REPEAT_DISTANCE)
            self._arrays[id(slot)] = weights
        return self._arrays[id(slot)]

    def _zeros(self) -> np.ndarray:
        return np.array([0] * (self.max_words + 1), dtype=object if self.is_count else np.float64)

    def _unit(self) -> np.ndarray:
        unit = self._zeros()
        unit[0] = 1
        return unit


def count_sentences(grammar: Grammar, max_words: int) -> int:
    """Return a lower bound of the number of different sentences of up to ``max_words`` English words."""
    return int(LengthTable(grammar, max_words, is_count=True).of((grammar.start, ())).sum())


class Generator:
    """Draws sentence pairs of a wanted length.

    Args:
        grammar: the rules and words.
        max_words: the longest sentence that will be asked for.
        seed: the same grammar, limit and seed give the same sentences in the same order.
    """

    def __init__(self, grammar: Grammar, max_words: int, seed: int) -> None:
        """See the class."""
        self.grammar = grammar
        self._table = LengthTable(grammar, max_words)
        self._random = random.Random(seed)
        self._choices: dict[tuple[Symbol, int], tuple[list[float], list[Production]]] = {}
        self._splits: dict[tuple[int, int, int], tuple[list[float], list[int]]] = {}
        self._suffixes: dict[int, list[np.ndarray]] = {}
        self._fitting: dict[tuple[int, int], list[Entry]] = {}
        self._recent: dict[str, list[Tokens]] = {}
        self._is_repetitive = False

    def lengths(self, min_words: int) -> list[int]:
        """Return the lengths, from ``min_words`` to the limit, of which there are sentences."""
        weights = self._table.of((self.grammar.start, ()))
        return [length for length in range(min_words, len(weights)) if weights[length] > 0]

    def draw(self, words: int) -> SentencePair:
        """Return a sentence of exactly so many English words (one of :meth:`lengths`)."""
        for _ in range(MOST_ATTEMPTS):
            self._recent = {}
            self._is_repetitive = False
            root = self._derive((self.grammar.start, ()), words)
            if not self._is_repetitive:
                break
        return write_pair(root)

    def _derive(self, symbol: Symbol, words: int) -> Node:
        cumulative, productions = self._choice(symbol, words)
        production = productions[bisect_right(cumulative, self._random.random() * cumulative[-1])]
        left = words - production.own_words
        children: list[Node | Leaf] = []
        last = len(production.children) - 1
        for number, child in enumerate(production.children):
            length = left if number == last else self._split(production, number, left)
            left -= length
            children.append(
                Leaf(self._pick(child, length), child)
                if isinstance(child, Slot)
                else self._derive(child, length)
            )
        return Node(production, children)

    def _choice(self, symbol: Symbol, words: int) -> tuple[list[float], list[Production]]:
        """Return the productions that can give so many words, with cumulated weights."""
        key = (symbol, words)
        if key not in self._choices:
            weighted = []
            for production, share in self._table.shares(symbol):
                left = words - production.own_words
                if left >= 0 and (weight := share * self._suffixes_of(production)[0][left]) > 0:
                    weighted.append((weight, production))
            self._choices[key] = (
                list(accumulate(weight for weight, _ in weighted)),
                [production for _, production in weighted],
            )
        return self._choices[key]

    def _split(self, production: Production, number: int, left: int) -> int:
        """Draw how many of the words that are left go to a child, the rest going to those after it."""
        key = (id(production), number, left)
        if key not in self._splits:
            own = self._table.of(production.children[number])
            rest = self._suffixes_of(production)[number + 1]
            weights = [(own[length] * rest[left - length], length) for length in range(left + 1)]
            possible = [(weight, length) for weight, length in weights if weight > 0]
            self._splits[key] = (
                list(accumulate(weight for weight, _ in possible)),
                [length for _, length in possible],
            )
        cumulative, lengths = self._splits[key]
        if len(lengths) == 1:
            return lengths[0]
        return lengths[bisect_right(cumulative, self._random.random() * cumulative[-1])]

    def _suffixes_of(self, production: Production) -> list[np.ndarray]:
        key = id(production)
        if key not in self._suffixes:
            self._suffixes[key] = self._table.suffixes(production)
        return self._suffixes[key]

    def _pick(self, slot: Slot, words: int) -> Entry:
        """Draw a word, avoiding those of its part of speech that were just used."""
        key = (id(slot), words)
        if key not in self._fitting:
            self._fitting[key] = [entry for entry in slot.entries if len(entry.english[slot.form]) == words]
        entries = self._fitting[key]
        recent = self._recent.setdefault(slot.lexicon, [])
        entry = entries[int(self._random.random() * len(entries))]
        if entry.identity in recent:
            fresh = [other for other in entries if other.identity not in recent]
            if fresh:
                entry = fresh[int(self._random.random() * len(fresh))]
            else:
                entry = min(entries, key=lambda other: recent.index(other.identity))
                self._is_repetitive |= entry.identity == recent[-1]
        if entry.identity in recent:
            recent.remove(entry.identity)
        recent.append(entry.identity)
        del recent[:-REPEAT_DISTANCE]
        return entry
