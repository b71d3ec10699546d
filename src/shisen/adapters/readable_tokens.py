"""Tokens of Hugging Face tokenizers as people read them, with the marks of words that our maps understand.

Byte-level tokenizers spell each byte as a character of its own (``Ġ`` for a blank, ``æĹ¥`` for 日), and
others fall back to bytes such as ``<0xE6>``. Here the bytes become text again. A character whose bytes lie in
several pieces stands in the first of them, and a piece in which none begins is ``##``, the mark of a
continuation. A word begins with ``▁``, as SentencePiece has it; line breaks and tabs show as ``⏎`` and ``⇥``.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

WORD_START = "▁"
CONTINUES_CHARACTER = "##"
_VISIBLE = str.maketrans({" ": WORD_START, "\n": "⏎", "\r": "⏎", "\t": "⇥"})
_BREAKS = ("\n", "\r", "\t")
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def readable_tokens(tokenizer: Any, ids: Sequence[int]) -> tuple[str, ...]:
    """The tokens of some ids; special tokens stay as they are named.

    Args:
        tokenizer: A tokenizer of transformers, fast or slow.
        ids: What it made of a text, or what a model produced.
    """
    tokens = [str(token) for token in tokenizer.convert_ids_to_tokens([int(number) for number in ids])]
    literal = set(tokenizer.get_added_vocab()) | set(tokenizer.all_special_tokens)
    is_byte_level = _is_byte_level(tokenizer)
    readable: list[str] = []
    start = 0
    for end in range(len(tokens) + 1):
        if end == len(tokens) or tokens[end] in literal:
            readable += _pieces(tokens[start:end], is_byte_level)
            readable += tokens[end : end + 1]
            start = end + 1
    return tuple(readable)


def _pieces(tokens: Sequence[str], is_byte_level: bool) -> list[str]:
    """The pieces of a stretch of text without special tokens."""
    texts = _texts([_bytes_of(token, is_byte_level) for token in tokens])
    pieces = []
    for i, text in enumerate(texts):
        at_break = i == 0 or texts[i - 1].endswith(_BREAKS) or text.startswith(_BREAKS)
        if is_byte_level and at_break and text and not text.startswith(" "):
            text = f" {text}"  # a word begins here too, without the blank that says so elsewhere
        pieces.append(text.translate(_VISIBLE) or CONTINUES_CHARACTER)
    return pieces


def _bytes_of(token: str, is_byte_level: bool) -> bytes:
    """The bytes of text that a token stands for."""
    if is_byte_level and all(character in _byte_of_character() for character in token):
        return bytes(_byte_of_character()[character] for character in token)
    byte = _BYTE.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else token.replace(WORD_START, " ").encode(errors="replace")


def _texts(pieces: Sequence[bytes]) -> list[str]:
    """The text of each piece, every character with the piece in which its first byte is."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    texts = [""] * len(pieces)
    begun = 0  # the piece with the first byte of the character that is being read
    for i, piece in enumerate(pieces):
        for byte in piece:
            if not decoder.getstate()[0]:
                begun = i
            found = decoder.decode(bytes([byte]))
            if found:
                texts[begun] += found[0]
                texts[i] += found[1:]  # where the bytes before were no character
                begun = i
    if pieces:
        texts[begun] += decoder.decode(b"", final=True)
    return texts


def _is_byte_level(tokenizer: Any) -> bool:
    """Whether tokens are spelled byte by byte, which the tokenizer's way back to text tells."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return hasattr(tokenizer, "byte_decoder")
    if backend.decoder is None:
        return False
    decoder = json.loads(backend.decoder.__getstate__())
    return any(part.get("type") == "ByteLevel" for part in [decoder, *decoder.get("decoders", ())])


@cache
def _byte_of_character() -> dict[str, int]:
    """The byte that each character of byte-level tokens stands for.

    Bytes that print in Latin-1 stand for themselves, the 68 others for the characters from U+0100 on (Radford
    et al. 2019, Language Models are Unsupervised Multitask Learners, whose tokenizer it is).
    """
    prints = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in prints]
    return {chr(byte): byte for byte in prints} | {chr(0x100 + i): byte for i, byte in enumerate(others)}
