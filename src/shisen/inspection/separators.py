"""Tokens that separate: the ends of sentences, and punctuation."""

import unicodedata
from collections.abc import Collection

from shisen.inspection.words import WORD_START_MARKS

#: What models put between and around sentences.
SEPARATORS = frozenset(
    ["<s>", "</s>", "<pad>", "[SEP]", "[CLS]", "<sep>", "<cls>", "<bos>", "<eos>", "<|endoftext|>"]
)


def is_separator(token: str, separators: Collection[str] | None = None) -> bool:
    """Whether a token is one of `separators`; without them, of `SEPARATORS` or of punctuation alone."""
    if separators is not None:
        return token in separators
    if token in SEPARATORS:
        return True
    bare = token.lstrip("".join(WORD_START_MARKS))
    return bool(bare) and all(unicodedata.category(character).startswith("P") for character in bare)
