"""The mechanisms by name, as a configuration names them."""

from collections.abc import Callable
from typing import NamedTuple

from shisen.attention.bahdanau import BahdanauAttention
from shisen.attention.luong import LuongAttention
from shisen.attention.mechanism import Mechanism
from shisen.attention.none import NoAttention
from shisen.errors import UserError


class AttentionSettings(NamedTuple):
    """What a model knows about its attention; each mechanism takes what it needs of it."""

    query_size: int
    key_size: int
    attention_size: int
    dropout: float
    bidirectional: bool


# name -> builder; a new mechanism is one line here
MECHANISMS: dict[str, Callable[[AttentionSettings], Mechanism]] = {
    "none": lambda s: NoAttention(s.bidirectional),
    "bahdanau": lambda s: BahdanauAttention(s.query_size, s.key_size, s.attention_size, s.dropout),
    "luong-dot": lambda s: LuongAttention(s.query_size, s.key_size, "dot", dropout=s.dropout),
    "luong-general": lambda s: LuongAttention(s.query_size, s.key_size, "general", dropout=s.dropout),
    "luong-concat": lambda s: LuongAttention(s.query_size, s.key_size, "concat", s.attention_size, s.dropout),
}


def build_attention(
    name: str,
    query_size: int,
    key_size: int,
    attention_size: int,
    dropout: float = 0.0,
    bidirectional: bool = False,
) -> Mechanism:
    """Build the mechanism that a configuration names.

    Args:
        name: one of ``MECHANISMS``.
        query_size: features of a query, the decoder's state.
        key_size: features of a key, the encoder's state.
        attention_size: features of the hidden layer of the additive scores.
        dropout: probability of dropping a weight in training.
        bidirectional: whether the encoder reads in both directions; matters where there is no attention.

    Raises:
        UserError: an unknown name, or sizes that the mechanism does not allow.
    """
    if name not in MECHANISMS:
        raise UserError(f"unknown attention {name!r}; choose one of {', '.join(MECHANISMS)}")
    try:
        return MECHANISMS[name](
            AttentionSettings(query_size, key_size, attention_size, dropout, bidirectional)
        )
    except ValueError as error:
        raise UserError(f"attention {name!r}: {error}") from error
