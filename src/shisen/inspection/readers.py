"""Attention that other programs have left in files, as `AttentionMap`s.

    .attn.safetensors   what `AttentionMap.save` and `shisen translate --attention` write
    .json               what `AttentionMap.to_json` writes; or an object with ``attention``, nested lists
                        ``[layers][heads][queries][keys]`` (or fewer), and ``left_text`` and ``right_text``
                        or ``tokens``; or, as BertViz makes them, ``attention`` a list of such objects, whose
                        weights are ``attn``
    .npy                weights, with the tokens in a file of the same name that ends in ``.tokens``: the
                        query tokens, blanks between, in the first line, the key tokens in the second (one
                        line: of both)
    .marian             soft alignments of Marian's ``--alignment soft``: for each target token, ``</s>``
                        included, the weights of the source tokens with commas between, blanks between target
                        tokens; in a field after ``|||``, as the decoder prints them, or alone in the line
    .pharaoh            hard alignments, ``0-0 1-2``: a link is a weight of 1, so that rows need not sum to 1

Text may be gzipped. Marian and Pharaoh files do not hold the sentences: tokens are numbers, from 0, unless
sentences are given. Nothing here executes what a file holds; what is damaged or too large is refused.
"""

from __future__ import annotations

import json
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shisen.errors import UserError
from shisen.inspection.attention_map import AttentionMap, Kind
from shisen.inspection.interchange import check_kind, check_tokens, from_json, is_own
from shisen.inspection.map_file import load_maps
from shisen.inspection.statistics_settings import END_TOKENS

SUFFIXES = (".safetensors", ".json", ".npy", ".marian", ".pharaoh")
#: The largest JSON file that is read: it has to be in memory as a whole.
MAXIMUM_JSON_BYTES = 500_000_000
#: The most weights of one map, in any form: 400 MB.
MAXIMUM_WEIGHTS = 100_000_000
#: The most words on a side of a Pharaoh alignment whose sentences are not given.
MAXIMUM_WORDS = 10_000

#: What NumPy raises at a header that is none: it is read as Python's literals.
_DAMAGED = (
    ValueError,
    TypeError,
    OverflowError,
    EOFError,
    OSError,
    MemoryError,
    SyntaxError,
    tokenize.TokenError,
)

Sentences = Sequence[str] | None


def is_map_file(path: str | Path) -> bool:
    """Whether a name is that of a file that `open_maps` reads."""
    return _suffix(path) in SUFFIXES


def open_maps(
    path: str | Path, sources: Sentences = None, targets: Sentences = None
) -> Iterable[AttentionMap]:
    """The maps of a file, by the ending of its name; see the module.

    Args:
        path: The file.
        sources: The source sentences of a Marian or Pharaoh file, words between blanks.
        targets: The target sentences.

    Raises:
        UserError: There is no such file, it is damaged or too large; some while the maps are gone through.
    """
    path, suffix = Path(path), _suffix(path)
    if suffix == ".safetensors":
        return load_maps(path)
    if suffix == ".json":
        return read_json(path)
    if suffix == ".npy":
        return [read_npy(path)]
    if suffix == ".marian":
        return read_marian(path, sources, targets)
    if suffix == ".pharaoh":
        return read_pharaoh(path, sources, targets)
    raise UserError(f"{path}: no file of attention by its name, which ends in {', '.join(SUFFIXES)}")


def read_json(path: str | Path) -> list[AttentionMap]:
    """The maps of a JSON file."""
    path = Path(path)
    _check_size(path, MAXIMUM_JSON_BYTES)
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 (at byte {error.start})") from None
    content = parse_json(text, str(path))
    if is_own(content):
        return [_placed(str(path), lambda: _checked(from_json(content)))]
    if not isinstance(content, dict) or "attention" not in content:
        raise UserError(f'{path}: an object with "attention" and tokens is expected, or what to_json writes')
    attention = content["attention"]
    if isinstance(attention, list) and attention and all(isinstance(one, dict) for one in attention):
        return [
            _placed(f'{path}, number {number} of "attention"', lambda one=one: _of_object(one, "attn"))  # type: ignore[misc]
            for number, one in enumerate(attention)
        ]
    return [_placed(str(path), lambda: _of_object(content, "attention"))]


def parse_json(text: str, where: str) -> Any:
    """Parsed JSON; ``where`` is named in the error."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{where}, line {error.lineno}, column {error.colno}: no JSON ({error.msg})"
        ) from None
    except (RecursionError, ValueError) as error:
        raise UserError(f"{where}: no JSON that can be read ({error})") from None


def read_npy(
    path: str | Path, query_tokens: Sequence[str] | None = None, key_tokens: Sequence[str] | None = None
) -> AttentionMap:
    """The map of a NumPy file.

    Args:
        path: The weights, ``[queries, keys]``, with heads and layers in front or not.
        query_tokens: Of the rows. None: those in the file beside it that ends in ``.tokens``.
        key_tokens: Of the columns. None: likewise.
    """
    path = Path(path)
    _check_is_file(path)
    try:
        array = np.lib.format.open_memmap(path, mode="r")  # the shape first: a header may claim anything
    except _DAMAGED as error:
        raise UserError(f"{path}: no NumPy file of numbers that can be read ({error})") from None
    if array.size > MAXIMUM_WEIGHTS:
        raise UserError(f"{path}: {array.size:,} weights; the most that are read are {MAXIMUM_WEIGHTS:,}")
    if query_tokens is None or key_tokens is None:
        sides = _tokens_beside(path)
        query_tokens = sides[0] if query_tokens is None else query_tokens
        key_tokens = sides[1] if key_tokens is None else key_tokens
    kind: Kind = "encoder" if list(query_tokens) == list(key_tokens) else "cross"
    return _placed(str(path), lambda: _map(np.array(array), query_tokens, key_tokens, kind))


def read_marian(
    path: str | Path, sources: Sentences = None, targets: Sentences = None
) -> Iterator[AttentionMap]:
    """The maps of Marian's soft alignments, one a line; rows are target tokens.

    A line is weights alone, ``translation ||| weights``, or of an n-best list ``number ||| translation |||
    weights ||| …``, whose number is that of the source sentence, from 0. Where no target sentences are given
    they are the translations.
    """
    for number, line in _lines(path):
        where = f"{path}, line {number}"
        fields = [field.strip() for field in line.split("|||")]
        place = min(len(fields) - 1, 2)
        rows = [row.split(",") for row in _weights_of(fields[place], where).split()]
        uneven = next((i for i, row in enumerate(rows) if len(row) != len(rows[0])), None)
        if uneven is not None:
            raise UserError(
                f"{where}: target token {uneven} has {len(rows[uneven])} weights, the first {len(rows[0])}"
            )
        is_of_list = place == 2 and fields[0].isdecimal() and len(fields[0]) < 10
        of_source = int(fields[0]) + 1 if is_of_list else number
        source = _sentence(sources, of_source, "source", where)
        if targets is None or is_of_list:
            query_tokens = _fitting(fields[place - 1] if place else None, len(rows)) or _numbers(len(rows))
        else:
            query_tokens = _of_sentence(_sentence(targets, number, "target", where), len(rows), where)
        key_tokens = _of_sentence(source, len(rows[0]), where)
        weights = np.array([[float(weight) for weight in row] for row in rows])
        try:
            yield _map(weights, query_tokens, key_tokens, "cross")
        except UserError as error:
            raise UserError(f"{where}: {error}") from None


def read_pharaoh(
    path: str | Path, sources: Sentences = None, targets: Sentences = None, one_based: bool = False
) -> Iterator[AttentionMap]:
    """The maps of hard alignments, one a line: 1 where there is a link, sure or possible, else 0."""
    from shisen.data.alignments import parse_alignment

    for number, line in _lines(path):
        where = f"{path}, line {number}"
        links = parse_alignment(line, one_based, where).possible
        source_words = _linked_words(links, 0, _sentence(sources, number, "source", where), where)
        target_words = _linked_words(links, 1, _sentence(targets, number, "target", where), where)
        if len(source_words) * len(target_words) > MAXIMUM_WEIGHTS:
            raise UserError(f"{where}: more than {MAXIMUM_WEIGHTS:,} weights")
        weights = np.zeros((len(target_words), len(source_words)), np.float32)
        for source, target in links:
            weights[target, source] = 1
        yield AttentionMap.from_arrays(weights, target_words, source_words)


def _linked_words(
    links: Iterable[tuple[int, int]], side: int, sentence: str | None, where: str
) -> Sequence[str]:
    """The words of one side of a pair: those of the sentence, or as many numbers as links name."""
    last = max((link[side] for link in links), default=-1)
    most = MAXIMUM_WORDS if sentence is None else len(sentence.split())
    if last >= most:
        name = ("source", "target")[side]
        raise UserError(f"{where}: a link names {name} word {last}, from 0, but there are {most} at most")
    return _numbers(last + 1) if sentence is None else sentence.split()


def _suffix(path: str | Path) -> str:
    """The ending that says what a file is, that of gzip left out for text."""
    path = Path(path)
    inner = Path(path.stem).suffix
    return inner if path.suffix == ".gz" and inner in (".marian", ".pharaoh") else path.suffix


def _check_is_file(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"{path}: is a directory, not a file of attention")
    if not path.exists():
        raise UserError(f"{path}: no such file of attention")


def _check_size(path: Path, most: int) -> None:
    _check_is_file(path)
    size = path.stat().st_size
    if size > most:
        raise UserError(f"{path}: {size:,} bytes; the most that are read of this form are {most:,}")


def _lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file with their numbers, from 1."""
    from shisen.data.lines import read_lines

    _check_is_file(Path(path))
    yield from enumerate(read_lines(path), start=1)


def _placed(where: str, read: Callable[[], AttentionMap]) -> AttentionMap:
    """What is read, or the error with the place where it is."""
    try:
        return read()
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _map(weights: Any, query_tokens: Any, key_tokens: Any, kind: Kind) -> AttentionMap:
    return _checked(AttentionMap.from_arrays(weights, query_tokens, key_tokens, kind))


def _checked(attention_map: AttentionMap) -> AttentionMap:
    """A map whose tokens are text: JSON can hold halves of characters, which no file can."""
    for token in (*attention_map.query_tokens, *attention_map.key_tokens):
        try:
            token.encode()
        except UnicodeEncodeError:
            raise UserError(f"the token {token!r} holds half of a character (a lone surrogate)") from None
    return attention_map


def _of_object(entries: dict[str, Any], weights_name: str) -> AttentionMap:
    """The map of an object with weights and tokens."""
    tokens = entries.get("tokens")
    rows, columns = entries.get("left_text", tokens), entries.get("right_text", tokens)
    if not isinstance(rows, list) or not isinstance(columns, list) or weights_name not in entries:
        raise UserError(
            f'"{weights_name}", nested lists of weights, and "left_text" and "right_text" (or "tokens"), '
            "lists of strings, are expected"
        )
    kind = entries.get("kind", "encoder" if rows == columns else "cross")
    check_tokens(rows, '"left_text" or "tokens"')
    check_tokens(columns, '"right_text" or "tokens"')
    check_kind(kind)
    return _map(entries[weights_name], rows, columns, kind)


def _tokens_beside(path: Path) -> tuple[list[str], list[str]]:
    """The tokens in the file of the same name: those of the rows, those of the columns."""
    beside = path.with_suffix(".tokens")
    if not beside.is_file():
        raise UserError(
            f"{path}: its tokens are missing: {beside} has the query tokens, blanks between, in its first "
            "line and the key tokens in its second"
        )
    lines = [line.split() for _, line in _lines(beside)]
    if len(lines) not in (1, 2):
        raise UserError(f"{beside}: {len(lines)} lines; one or two are expected, of query and of key tokens")
    return lines[0], lines[-1]


def _weights_of(field: str, where: str) -> str:
    """A field, which has to be numbers with commas and blanks between."""
    words = field.split()
    wrong = next((word for word in words if not _WEIGHTS.fullmatch(word)), None)
    if wrong is not None or not words:
        came = "nothing" if wrong is None else repr(wrong[:40])
        raise UserError(
            f"{where}: for each target token the weights of the source tokens are expected, as in "
            f"0.9,0.1 0.2,0.8 (marian-decoder --alignment soft), not {came}"
        )
    return field


_NUMBER = r"-?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|nan|inf)"
_WEIGHTS = re.compile(rf"{_NUMBER}(?:,{_NUMBER})*")


def _sentence(sentences: Sentences, number: int, side: str, where: str) -> str | None:
    """The sentence of a line, from 1; None where none are given."""
    if sentences is None:
        return None
    if number > len(sentences):
        raise UserError(f"{where}: there are {len(sentences)} {side} sentences only")
    return sentences[number - 1]


def _fitting(sentence: str | None, count: int) -> list[str] | None:
    """So many tokens: the words of a sentence, with or without its end; None where they are not as many."""
    words = (sentence or "").split()
    return next((tokens for tokens in (words, [*words, END_TOKENS[0]]) if len(tokens) == count), None)


def _of_sentence(sentence: str | None, count: int, where: str) -> list[str]:
    """So many tokens of a given sentence, or numbers where none is given."""
    if sentence is None:
        return _numbers(count)
    tokens = _fitting(sentence, count)
    if tokens is None:
        raise UserError(
            f"{where}: {count} tokens have weights, but {sentence[:40]!r} has {len(sentence.split())} "
            "(blanks between them; one more, </s>, may have weights)"
        )
    return tokens


def _numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]
