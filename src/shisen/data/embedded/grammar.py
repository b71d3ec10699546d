"""The synchronous grammar of the embedded corpus, read from ``grammar.yaml`` and checked.

A *template* is a rule as written, with features; a *production* is one instance of it with every feature
given a value. The comments at the head of ``grammar.yaml`` describe the notation.
"""

import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import Any

import yaml

from shisen.data.embedded.lexicon import Entry, Lexicon, read_lexicon

_SYMBOL = re.compile(r"[^\s(]+(?:\([^)]*\)\S*)?")
_CHILD = re.compile(
    r"(?P<category>[a-z_]+)(?P<number>\.\d)?(?:\((?P<arguments>[^)]*)\))?(?::(?P<form>\w+))?"
    r"(?:/(?P<labels>[^*]+))?(?P<head>\*)?"
)
_WORD = re.compile(r"(?P<text>[^/]+)/(?P<labels>[^*]+)(?P<head>\*)?")

Labels = tuple[tuple[str, bool], ...]
"""What a word is linked to: (label or name of a child, whether the link is a sure one)."""


@dataclass(frozen=True)
class Word:
    """A word that a rule writes itself."""

    text: str
    labels: Labels
    is_head: bool


@dataclass(frozen=True)
class Child:
    """A constituent or a word of the lexicon in a rule."""

    name: str
    category: str
    arguments: tuple[str, ...]
    form: str | None
    labels: Labels | None
    is_head: bool


Symbol = tuple[str, tuple[str, ...]]
"""A category with its arguments, all values: ``("clause", ("past", "final"))``."""


@dataclass(frozen=True)
class Slot:
    """A place for a word of the lexicon: which entries may stand there, and in which English form."""

    lexicon: str
    form: str
    entries: tuple[Entry, ...]
    is_one_to_one: bool


@dataclass(frozen=True)
class Template:
    """A rule as written; ``japanese`` is None where it exists in English alone."""

    category: str
    parameters: tuple[str, ...]
    english: tuple[Word | Child, ...]
    japanese: tuple[Word | Child, ...] | None
    weight: float


@dataclass(frozen=True)
class Part:
    """A child on the Japanese side of a production.

    Args:
        child: which child, in English order.
        form: for a word of the lexicon, its Japanese form.
        is_aligned: the word is linked to its own English; False where the rule links it elsewhere.
    """

    child: int
    form: str | None
    is_aligned: bool


@dataclass(frozen=True)
class PlannedLink:
    """A link that a production makes: an item of one side, or the head of a child (``-1 - child``)."""

    english: int
    japanese: int
    is_sure: bool


@dataclass(frozen=True, eq=False)
class Production:
    """A rule with every feature given a value.

    Args:
        template: the rule it comes from.
        english: words, and children by their number.
        japanese: words, and children with their form; empty where the rule exists in English alone.
        children: the constituents and words of the lexicon, in English order.
        links: the word links the rule makes, words counted by their place in ``english`` and ``japanese``.
        head: the child that is the head, or None where the words of ``head_words`` are.
        head_words: (places in ``english``, places in ``japanese``) of the head's words.
    """

    template: Template
    english: tuple[str | int, ...]
    japanese: tuple[str | Part, ...]
    children: tuple[Symbol | Slot, ...]
    links: tuple[PlannedLink, ...]
    head: int | None
    head_words: tuple[tuple[int, ...], tuple[int, ...]]

    @cached_property
    def own_words(self) -> int:
        """The number of English words that the rule writes itself."""
        return sum(isinstance(item, str) for item in self.english)


@dataclass(frozen=True)
class Grammar:
    """The grammar: rules by category, the lexicon, and the sentences every training split holds.

    Args:
        start: the category of a whole line.
        features: feature → its values.
        templates: category → its rules as written.
        lexicons: part of speech → its words.
        examples: (English, Japanese) sentences that the grammar must be able to write.
        fingerprint: of the file; the same grammar and seed give the same corpus.
    """

    start: str
    features: Mapping[str, tuple[str, ...]]
    templates: Mapping[str, tuple[Template, ...]]
    lexicons: Mapping[str, Lexicon]
    examples: tuple[tuple[str, str], ...]
    fingerprint: str
    _productions: dict[Symbol, list[Production]] = field(default_factory=dict, repr=False, compare=False)

    def productions(self, symbol: Symbol) -> list[Production]:
        """Return every way to write a symbol: the templates that fit, with each value of other features."""
        if symbol not in self._productions:
            self._productions[symbol] = list(self._instantiate(symbol))
        return self._productions[symbol]

    def _instantiate(self, symbol: Symbol) -> Iterator[Production]:
        category, arguments = symbol
        for template in self.templates[category]:
            bound = self._bind(template, arguments)
            if bound is None:
                continue
            free = sorted(
                {
                    name
                    for child in template.english
                    if isinstance(child, Child)
                    for name in (*child.arguments, child.form)
                    if name is not None and name in self.features and name not in bound
                }
            )
            for values in itertools.product(*(self.features[name] for name in free)):
                yield self._produce(template, bound | dict(zip(free, values, strict=True)))

    def _bind(self, template: Template, arguments: tuple[str, ...]) -> dict[str, str] | None:
        """Give the features of a rule's left side their values; None where the rule is not about these."""
        bound: dict[str, str] = {}
        for parameter, argument in zip(template.parameters, arguments, strict=True):
            if parameter in self.features:
                if argument not in self.features[parameter]:
                    return None
                bound[parameter] = argument
            elif parameter != argument:
                return None
        return bound

    def _produce(self, template: Template, bound: Mapping[str, str]) -> Production:
        numbers: dict[str, int] = {}
        children: list[Symbol | Slot] = []
        english: list[str | int] = []
        for item in template.english:
            if isinstance(item, Word):
                english.append(item.text)
                continue
            numbers[item.name] = len(children)
            english.append(len(children))
            children.append(self._child(item, bound))
        japanese: list[str | Part] = []
        for item in template.japanese or ():
            if isinstance(item, Word):
                japanese.append(re.sub(r"\{(\w+)\}", lambda match: bound[match[1]], item.text))
                continue
            form = None
            if item.category in self.lexicons:
                form = item.form or self.lexicons[item.category].japanese_forms[0]
                form = bound.get(form, form)
            japanese.append(Part(numbers[item.name], form, item.labels is None))
        head, head_words = _head(template, numbers)
        return Production(
            template,
            tuple(english),
            tuple(japanese),
            tuple(children),
            tuple(_plan_links(template, numbers)),
            head,
            head_words,
        )

    def _child(self, child: Child, bound: Mapping[str, str]) -> Symbol | Slot:
        arguments = tuple(bound.get(argument, argument) for argument in child.arguments)
        lexicon = self.lexicons.get(child.category)
        if lexicon is None:
            return child.category, arguments
        form = bound.get(child.form or "", child.form) or lexicon.english_forms[0]
        # Without arguments a lexicon is used whole: `moment(past)` chooses, `name` does not.
        return Slot(lexicon.name, form, tuple(lexicon.select(arguments, form)), lexicon.is_one_to_one)


def _head(
    template: Template, numbers: Mapping[str, int]
) -> tuple[int | None, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Find the head of a rule: what is starred, else its first child, else all its words."""
    sides = (template.english, template.japanese or ())
    for item in template.english:
        if isinstance(item, Child) and item.is_head:
            return numbers[item.name], ((), ())
    starred = tuple(
        tuple(place for place, item in enumerate(side) if isinstance(item, Word) and item.is_head)
        for side in sides
    )
    if starred[0]:
        return None, (starred[0], starred[1])
    if numbers:
        return 0, ((), ())
    words = tuple(tuple(place for place, item in enumerate(side) if isinstance(item, Word)) for side in sides)
    return None, (words[0], words[1])


def _plan_links(template: Template, numbers: Mapping[str, int]) -> Iterator[PlannedLink]:
    """Turn the labels of a rule into links between its words, or between a word and the head of a child."""
    english, japanese = _labelled(template.english), _labelled(template.japanese or ())
    for place, label, is_sure in japanese:
        if label in numbers:
            yield PlannedLink(-1 - numbers[label], place, is_sure)
        for other_place, other_label, other_sure in english:
            if label == other_label and label not in numbers:
                yield PlannedLink(other_place, place, is_sure and other_sure)
    for place, label, is_sure in english:
        if label in numbers:
            yield PlannedLink(place, -1 - numbers[label], is_sure)


def _labelled(side: Sequence[Word | Child]) -> list[tuple[int, str, bool]]:
    """List the labels of one side of a rule: (place, label, whether links by it are sure)."""
    return [(place, label, sure) for place, item in enumerate(side) for label, sure in item.labels or ()]


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which a category written twice is an error, not the second one silently."""


def _unique_mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]  # type: ignore[no-untyped-call]
    repeated = {key for key in keys if keys.count(key) > 1}
    if repeated:
        raise ValueError(f"written twice in the grammar: {', '.join(map(str, repeated))}")
    return dict(
        zip(keys, (loader.construct_object(value, deep=True) for _, value in node.value), strict=True)
    )  # type: ignore[no-untyped-call]


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


@lru_cache(maxsize=1)
def embedded_grammar() -> Grammar:
    """Return the grammar that comes with the package."""
    return read_grammar((files(__package__) / "grammar.yaml").read_text(encoding="utf-8"))


def read_grammar(text: str) -> Grammar:
    """Read a grammar from the text of a YAML file.

    Raises:
        ValueError: a rule that cannot be read, a category or a lexicon that is not there, a word that is
            neither linked nor marked as without counterpart, a label with nothing on the other side.
    """
    document = yaml.load(text, Loader=_UniqueKeys)
    features = {name: tuple(values) for name, values in document["features"].items()}
    lexicons = {
        name: read_lexicon(name, section, document["conjugation"])
        for name, section in document["lexicon"].items()
    }
    templates: dict[str, list[Template]] = {}
    for key, lines in document["rules"].items():
        for template in _read_rules(key, lines):
            templates.setdefault(template.category, []).append(template)
    grammar = Grammar(
        start=document["start"],
        features=features,
        templates={category: tuple(rules) for category, rules in templates.items()},
        lexicons=lexicons,
        examples=tuple(tuple(example.split(" => ")) for example in document["examples"]),
        fingerprint=hashlib.sha256(text.encode()).hexdigest()[:16],
    )
    for rules in grammar.templates.values():
        for template in rules:
            _check(template, grammar)
    return grammar


def _read_rules(key: str, lines: Iterable[Any]) -> Iterator[Template]:
    left = _CHILD.fullmatch(key)
    if left is None:
        raise ValueError(f"{key!r} is not a category with its features")
    parameters = _arguments(left["arguments"])
    for line in lines:
        weight, rule = next(iter(line.items())) if isinstance(line, Mapping) else (1, line)
        english, arrow, japanese = str(rule).partition("=>")
        if arrow:
            yield Template(
                left["category"], parameters, _read_side(english), _read_side(japanese), float(weight)
            )
        else:  # a rule of English alone: its words are linked by the rule that uses it
            words = tuple(Word(word, (), False) for word in english.split())
            yield Template(left["category"], parameters, words, None, float(weight))


def _read_side(side: str) -> tuple[Word | Child, ...]:
    items: list[Word | Child] = []
    for symbol in _SYMBOL.findall(side):
        child, word = _CHILD.fullmatch(symbol), _WORD.fullmatch(symbol)
        is_word = word is not None and "(" not in symbol and (child is None or child["labels"] is not None)
        if child is not None and (not is_word or ":" in symbol):
            labels = _labels(child["labels"]) if child["labels"] else None
            items.append(
                Child(
                    child["category"] + (child["number"] or ""),
                    child["category"],
                    _arguments(child["arguments"]),
                    child["form"],
                    labels,
                    child["head"] is not None,
                )
            )
        elif word is not None:
            items.append(Word(word["text"], _labels(word["labels"]), word["head"] is not None))
        else:
            raise ValueError(f"{symbol!r} is neither a word with its link (word/a) nor a category")
    return tuple(items)


def _arguments(written: str | None) -> tuple[str, ...]:
    return tuple(argument.strip() for argument in written.split(",")) if written else ()


def _labels(written: str) -> Labels:
    if written == "-":
        return ()
    return tuple((label.removesuffix("?"), not label.endswith("?")) for label in written.split("+"))


def _check(template: Template, grammar: Grammar) -> None:
    """Refuse a rule that names what is not there, or says nothing about the links of a word."""
    where = f"rule for {template.category}: {' '.join(_text(item) for item in template.english)}"
    names = {item.name for item in template.english if isinstance(item, Child)}
    for item in (*template.english, *(template.japanese or ())):
        if isinstance(item, Child) and item.category not in {*grammar.templates, *grammar.lexicons}:
            raise ValueError(f"{where}: there is no category or lexicon {item.category!r}")
    for item in template.english:
        if isinstance(item, Child):
            expected = (
                len(grammar.lexicons[item.category].columns)
                if item.category in grammar.lexicons
                else len(grammar.templates[item.category][0].parameters)
            )
            if len(item.arguments) != expected:
                raise ValueError(
                    f"{where}: {item.name} takes {expected} arguments, not {len(item.arguments)}"
                )
    if template.japanese is None:
        return
    missing = {item.name for item in template.japanese if isinstance(item, Child)} - names
    if missing:
        raise ValueError(f"{where}: {', '.join(sorted(missing))} is in the Japanese alone")
    labels = [
        {label for item in side for label, _ in item.labels or ()}
        for side in (template.english, template.japanese)
    ]
    unmatched = (labels[0] ^ labels[1]) - names
    if unmatched:
        raise ValueError(f"{where}: nothing on the other side has the label {', '.join(sorted(unmatched))}")
    placed = {item.name for item in template.japanese if isinstance(item, Child)} | labels[1] | labels[0]
    for item in template.english:
        if isinstance(item, Child) and item.name not in placed and item.labels != ():
            raise ValueError(f"{where}: {item.name} has no place in the Japanese")


def _text(item: Word | Child) -> str:
    return item.text if isinstance(item, Word) else item.name
