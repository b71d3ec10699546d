"""Which pieces make a word: the marks that subword tokenizers leave in their tokens."""

from collections.abc import Sequence
from itertools import pairwise

#: Marks at the start of the first piece of a word: SentencePiece's (U+2581) and byte-level BPE's.
WORD_START_MARKS = ("▁", "Ġ")
#: The mark at the start of every later piece of a word: WordPiece's.
CONTINUATION_PREFIX = "##"
#: The mark at the end of every piece but a word's last: subword-nmt's.
CONTINUATION_SUFFIX = "@@"
#: The mark at the end of a word's last piece: the first BPE's.
WORD_END_MARK = "</w>"


def word_numbers(tokens: Sequence[str]) -> list[int]:
    """For every token the number of the word it belongs to, counted from 0.

    The convention is read off the tokens: ``▁the ▁transform er`` (SentencePiece; ``Ġ`` the same for
    byte-level BPE), ``transform ##er`` (WordPiece), ``transform@@ er`` (subword-nmt), ``transform er</w>``
    (BPE). Tokens without any mark are words already. Special tokens (``</s>``, ``[CLS]``) are words of their
    own. Where writing has no spaces (Japanese, Chinese) the marks say nothing about words, so a piece that
    meets its neighbour there stays by itself.
    """
    tokens = list(tokens)
    ordinary = [token for token in tokens if not _is_special(token)]
    if any(token.startswith(WORD_START_MARKS) for token in ordinary):
        joins = [not token.startswith(WORD_START_MARKS) for token in tokens]
    elif any(token.startswith(CONTINUATION_PREFIX) and token != CONTINUATION_PREFIX for token in ordinary):
        joins = [token.startswith(CONTINUATION_PREFIX) for token in tokens]
    elif any(token.endswith(CONTINUATION_SUFFIX) and token != CONTINUATION_SUFFIX for token in ordinary):
        joins = [False, *(token.endswith(CONTINUATION_SUFFIX) for token in tokens[:-1])]
    elif any(token.endswith(WORD_END_MARK) for token in ordinary):
        joins = [False, *(not token.endswith(WORD_END_MARK) for token in tokens[:-1])]
    else:
        joins = [False] * len(tokens)
    numbers: list[int] = []
    for i, token in enumerate(tokens):
        is_first = i == 0 or not joins[i] or _is_special(token) or _is_special(tokens[i - 1])
        if is_first or _meet_without_space(tokens[i - 1], token):
            numbers.append(numbers[-1] + 1 if numbers else 0)
        else:
            numbers.append(numbers[-1])
    return numbers


def join_words(tokens: Sequence[str], starts: Sequence[int]) -> tuple[str, ...]:
    """The texts of the words that begin at ``starts``, without the marks of their pieces."""
    return tuple(_join(tokens[start:end]) for start, end in pairwise([*starts, len(tokens)]))


def _join(pieces: Sequence[str]) -> str:
    """The text of one word; special tokens, and marks that stand for themselves, stay as they are."""
    if len(pieces) == 1 and _is_special(pieces[0]):
        return pieces[0]
    return "".join(map(_without_marks, pieces)) or "".join(pieces)


def _without_marks(piece: str) -> str:
    piece = piece.lstrip("".join(WORD_START_MARKS))
    return (
        piece.removeprefix(CONTINUATION_PREFIX).removesuffix(CONTINUATION_SUFFIX).removesuffix(WORD_END_MARK)
    )


def _is_special(token: str) -> bool:
    """A name in brackets: ``<s>``, ``</s>``, ``<unk>``, ``[CLS]``; but not ``</w>`` itself."""
    if len(token) < 3 or token == WORD_END_MARK:
        return False
    inside = token[1:-1].strip("/|")
    return (token[0] + token[-1] in ("<>", "[]")) and inside.replace("_", "").isalnum() and inside.isascii()


def _meet_without_space(left: str, right: str) -> bool:
    """Whether a script without spaces stands on either side of the border between two pieces."""
    left, right = _without_marks(left), _without_marks(right)
    return bool(left and right) and (_has_no_spaces(left[-1]) or _has_no_spaces(right[0]))


def _has_no_spaces(character: str) -> bool:
    """Han, Hiragana, Katakana, their punctuation, and full-width forms."""
    code = ord(character)
    return (
        0x2E80 <= code <= 0x9FFF
        or 0xF900 <= code <= 0xFAFF
        or 0xFF00 <= code <= 0xFFEF
        or 0x20000 <= code <= 0x3FFFF
    )
