"""The mechanisms by name, as a configuration names them, and what a network has to know of each."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from shisen.attention.bahdanau import BahdanauAttention
from shisen.attention.local import LocalAttention
from shisen.attention.luong import LuongAttention
from shisen.attention.mechanism import Mechanism
from shisen.attention.none import NoAttention
from shisen.attention.normalization import AttentionFunction
from shisen.errors import UserError


class AttentionSettings(NamedTuple):
    """What a model knows about its attention; each mechanism takes what it needs of it.

    The arguments of :func:`build_attention`.
    """

    query_size: int
    key_size: int
    attention_size: int
    dropout: float
    bidirectional: bool
    window: int
    function: AttentionFunction
    has_coverage: bool


class MechanismEntry(NamedTuple):
    """A mechanism in the list of all.

    Attributes:
        build: makes it.
        query: the decoder state that asks. "previous": that before the step, and the context enters the
            cell (Bahdanau 2015); "current": that after it, and the context joins it in the attentional state
            (Luong 2015).
        adds_directions: whether the encoder's two directions are added rather than put side by side, so that
            keys are as large as queries.
        takes_coverage: whether its score can read the coverage.
    """

    build: Callable[[AttentionSettings], Mechanism]
    query: Literal["previous", "current"]
    adds_directions: bool = False
    takes_coverage: bool = False


def _bahdanau(s: AttentionSettings) -> Mechanism:
    return BahdanauAttention(
        s.query_size, s.key_size, s.attention_size, s.dropout, s.function, s.has_coverage
    )


def _luong(score: Literal["dot", "general", "concat"]) -> Callable[[AttentionSettings], Mechanism]:
    return lambda s: LuongAttention(
        s.query_size, s.key_size, score, s.attention_size, s.dropout, s.function, s.has_coverage
    )


def _local(alignment: Literal["monotonic", "predictive"]) -> Callable[[AttentionSettings], Mechanism]:
    return lambda s: LocalAttention(
        s.query_size, s.key_size, alignment, s.window, s.attention_size, s.dropout, s.function
    )


# name -> mechanism; a new one is one file and one line here
MECHANISMS: dict[str, MechanismEntry] = {
    "none": MechanismEntry(lambda s: NoAttention(s.bidirectional), query="previous"),
    "bahdanau": MechanismEntry(_bahdanau, query="previous", takes_coverage=True),
    "luong-dot": MechanismEntry(_luong("dot"), query="current", adds_directions=True),
    "luong-general": MechanismEntry(_luong("general"), query="current"),
    "luong-concat": MechanismEntry(_luong("concat"), query="current", takes_coverage=True),
    "local-m": MechanismEntry(_local("monotonic"), query="current"),
    "local-p": MechanismEntry(_local("predictive"), query="current"),
}


def build_attention(
    name: str,
    query_size: int,
    key_size: int,
    attention_size: int,
    dropout: float = 0.0,
    bidirectional: bool = False,
    *,
    window: int = 10,
    function: AttentionFunction = "softmax",
    has_coverage: bool = False,
) -> Mechanism:
    """Build the mechanism that a configuration names.

    Args:
        name: one of ``MECHANISMS``.
        query_size: features of a query, the decoder's state.
        key_size: features of a key, the encoder's state.
        attention_size: features of the hidden layer of the additive scores, and of predicted positions.
        dropout: probability of dropping a weight in training.
        bidirectional: whether the encoder reads in both directions; matters where there is no attention.
        window: how far a local window reaches to either side.
        function: what makes weights of scores.
        has_coverage: whether the score reads what the steps before have attended to.

    Raises:
        UserError: an unknown name, or settings that the mechanism does not allow.
    """
    if name not in MECHANISMS:
        raise UserError(f"unknown attention {name!r}; choose one of {', '.join(MECHANISMS)}")
    if has_coverage and not MECHANISMS[name].takes_coverage:
        raise UserError(f"attention {name!r} reads no coverage; {', '.join(names_with_coverage())} do")
    settings = AttentionSettings(
        query_size, key_size, attention_size, dropout, bidirectional, window, function, has_coverage
    )
    try:
        return MECHANISMS[name].build(settings)
    except ValueError as error:
        raise UserError(f"attention {name!r}: {error}") from error


def names_with_coverage() -> list[str]:
    """The mechanisms whose score can read the coverage."""
    return [name for name, entry in MECHANISMS.items() if entry.takes_coverage]
