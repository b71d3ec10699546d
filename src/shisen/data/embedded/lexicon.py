"""The words of the embedded grammar: their forms in both languages and what rules select them by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Tokens = tuple[str, ...]
Conjugation = Mapping[str, Mapping[str, Sequence[str]]]

ANY = "any"
"""The argument that every entry satisfies."""


@dataclass(frozen=True)
class Entry:
    """One word or fixed expression.

    Args:
        english: form name → words (``{"singular": ("cat",)}``); a missing form has no key.
        japanese: form name → words (``{"ta": ("座っ", "た")}``).
        properties: for each column of the lexicon that rules select by, the values the entry has there.
    """

    english: Mapping[str, Tokens]
    japanese: Mapping[str, Tokens]
    properties: tuple[frozenset[str], ...]

    @property
    def identity(self) -> Tokens:
        """The first English form: two entries of one word with different uses share it."""
        return next(iter(self.english.values()))


@dataclass(frozen=True)
class Lexicon:
    """All entries of one part of speech.

    Args:
        name: the name that rules use.
        english_forms: in the order of the file; the first is meant where a rule names none.
        japanese_forms: likewise.
        columns: the names of the columns that rules select by.
        entries: the words.
        is_one_to_one: expressions of equally many words are linked word by word, not all to all.
    """

    name: str
    english_forms: tuple[str, ...]
    japanese_forms: tuple[str, ...]
    columns: tuple[str, ...]
    entries: tuple[Entry, ...]
    is_one_to_one: bool

    def select(self, arguments: Sequence[str], form: str) -> list[Entry]:
        """Return the entries that have the English form and satisfy every argument."""
        return [
            entry
            for entry in self.entries
            if form in entry.english
            and all(
                argument == ANY or argument in values
                for argument, values in zip(arguments, entry.properties, strict=True)
            )
        ]


def conjugate(word: str, endings: Mapping[str, Sequence[str]]) -> list[Tokens]:
    """Return the forms of a Japanese word, one for each ending: 座る with っ た gives 座っ た.

    Args:
        word: the first form, as in a dictionary; words parted by spaces (勉強 する).
        endings: dictionary ending → the endings of all forms, a space parting two words.

    Raises:
        ValueError: the word has none of the endings.
    """
    for ending, replacements in endings.items():
        if word.endswith(ending):
            stem = word.removesuffix(ending)
            return [tuple((stem + replacement).split()) for replacement in replacements]
    raise ValueError(f"{word!r} ends in none of {', '.join(endings)}")


def read_lexicon(name: str, section: Mapping[str, Any], conjugation: Conjugation) -> Lexicon:
    """Build a lexicon from its section of the grammar file (comments there describe the form of a line)."""
    english_forms = tuple(section["english"])
    japanese_forms = tuple(section["japanese"])
    extra_forms = tuple(section.get("extra", ()))
    columns = tuple(section["select"])
    grouped = section["entries"]
    if not isinstance(grouped, Mapping):
        grouped = {None: grouped}
    entries: list[Entry] = []
    for key, lines in grouped.items():
        for line in lines:
            english, japanese, *rest = [part.strip() for part in line.split("|")]
            values = [*([key] if key is not None and len(rest) < len(columns) else []), *rest]
            if len(values) != len(columns):
                raise ValueError(
                    f"lexicon {name}, {line!r}: {len(values)} columns to select by, not {len(columns)}"
                )
            entries.append(
                Entry(
                    english=_forms(english, english_forms, f"lexicon {name}, {line!r}"),
                    japanese=_japanese_forms(
                        japanese,
                        japanese_forms,
                        extra_forms,
                        conjugation if section.get("conjugated") else None,
                    ),
                    properties=tuple(frozenset(value.split()) - {"-"} for value in values),
                )
            )
    return Lexicon(
        name,
        english_forms,
        japanese_forms + extra_forms,
        columns,
        tuple(entries),
        bool(section.get("one_to_one")),
    )


def _forms(text: str, names: Sequence[str], where: str) -> dict[str, Tokens]:
    """Read ``cat, cats`` against the names of the forms; ``-`` and what is left out at the end are absent."""
    written = [part.strip() for part in text.split(",")]
    if len(written) > len(names):
        raise ValueError(f"{where}: {len(written)} forms where there are {len(names)}: {', '.join(names)}")
    return {name: tuple(form.split()) for name, form in zip(names, written, strict=False) if form != "-"}


def _japanese_forms(
    text: str, names: Sequence[str], extra: Sequence[str], conjugation: Conjugation | None
) -> dict[str, Tokens]:
    """Read ``猫, 匹``, or ``食べる (ichidan), を`` where the forms are conjugated and extra ones follow."""
    if conjugation is None:
        return _forms(text, names, text)
    word, _, rest = text.partition("(")
    group, _, rest = rest.partition(")")
    forms = dict(zip(names, conjugate(word.strip(), conjugation[group]), strict=True))
    rest = rest.lstrip(", ")
    return forms | (_forms(rest, extra, text) if rest else {})
