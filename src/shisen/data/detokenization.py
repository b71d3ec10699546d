"""From separate tokens to plain text: punctuation to its word, contractions, no spaces between Japanese.

For corpora that come tokenised, their tokens split by spaces (``do n't , he said .``). What this house's own
tokenizers cut apart they join exactly, without rules.
"""

import re
from collections.abc import Sequence

_LEFT = re.compile(r"[.,!?;:%…)\]}»”’]+|\.{2,}|n't|'(?:s|m|d|re|ve|ll)", re.IGNORECASE)
_RIGHT = re.compile(r"[(\[{«„¿¡$£€#]")
_LATIN = re.compile(r"[A-Za-zＡ-Ｚａ-ｚÀ-ÖØ-öø-ÿ]")
_SPACE_IN_JAPANESE = re.compile(
    r"(?<=[\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uff9f]) | "
    r"(?=[\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uff9f])"
)

_OPENING_QUOTES = {"``": '"', "`": "'"}
_CLOSING_QUOTES = {"''": '"'}


def detokenize(tokens: Sequence[str], language: str | None) -> str:
    """Join tokens into a sentence as the language writes it; with no language, by spaces.

    >>> detokenize("i do n't know , he said .".split(), "en")
    "i don't know, he said."
    >>> detokenize("私 は 学生 です 。".split(), "ja")
    '私は学生です。'
    """
    if language is None:
        return " ".join(tokens)
    if language == "ja":
        return _join_japanese(tokens)
    return _join_european(tokens, language)


def drop_spaces_in_japanese(text: str) -> str:
    """Remove the spaces that touch a Japanese character; those between Latin words stay."""
    return _SPACE_IN_JAPANESE.sub("", text)


def _join_japanese(tokens: Sequence[str]) -> str:
    """No spaces, except between two words in Latin letters (``Tom Cruise``)."""
    text = ""
    for token in tokens:
        if text and token and _LATIN.match(text[-1]) and _LATIN.match(token[0]):
            text += " "
        text += token
    return text


def _join_european(tokens: Sequence[str], language: str) -> str:
    """English and German: closing punctuation and contractions go to the left, opening ones to the right."""
    text = ""
    glue = True  # no space before the next token
    is_open = {'"': False, "'": False}
    for token in tokens:
        if token in _OPENING_QUOTES:
            opens, token = True, _OPENING_QUOTES[token]
        elif token in _CLOSING_QUOTES:
            opens, token = False, _CLOSING_QUOTES[token]
        elif token in is_open:
            opens = not is_open[token]
        elif token == "“":  # closes in German („so“), opens in English (“so”)
            opens = language != "de"
        else:
            attaches_left = _LEFT.fullmatch(token) is not None
            text += token if glue or attaches_left else " " + token
            glue = _RIGHT.fullmatch(token) is not None
            continue
        if token in is_open:
            is_open[token] = opens
        text += token if glue or not opens else " " + token
        glue = opens
    return text
