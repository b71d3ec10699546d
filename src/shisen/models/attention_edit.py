"""How the attention of a network is changed from outside, while it runs.

A network hands `encode` an `AttentionEdit` on to every step, in its memory. At every place where it attends
it asks the edit for other weights, and for what each head's part is multiplied by:

    α' = edit(α)        head_i' = m_i Σ_j α'_ij v_j

(m is the head mask of Michel, Levy and Neubig, "Are sixteen heads really better than one?", NeurIPS 2019,
https://arxiv.org/abs/1905.10650, equation 1.) Without an edit a network computes what it always computes, by
the same kernels.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor

from shisen.attention.normalization import WeightEdit


class AttentionPlace(NamedTuple):
    """Where a network is attending.

    Attributes:
        kind: "encoder", "decoder" or "cross".
        layer: Which layer of that kind, from 0 on.
        queries: The position of each query: of a token of the source for "encoder", else the number of the
            step that produces a token, from 0 on; the rows of the attention map. None: of a recurrent state
            that was made without an edit, which does not know.
        keys: The position of each key: of a token of the source, or for "decoder" of the token read, ``<s>``
            being 0; the columns of the attention map. Beams may share keys: a position may come twice.
        allowed: True where a query may attend to a key; None: everywhere.
    """

    kind: str
    layer: int
    queries: Int[Tensor, " queries"] | None
    keys: Int[Tensor, " keys"]
    allowed: Bool[Tensor, "#batch #heads #queries keys"] | None


@runtime_checkable
class AttentionEdit(Protocol):
    """What changes the attention of a network, for the sentences of one batch."""

    def edits(self, kind: str, layer: int) -> bool:
        """Whether weights are changed there. Where not, those of the network are used as they are."""

    def weights(
        self, place: AttentionPlace, weights: Float[Tensor, "batch heads queries keys"]
    ) -> Float[Tensor, "batch heads queries keys"]:
        """What is attended with, 0 where `place.allowed` is False. The argument stays as it is."""

    def head_mask(
        self, kind: str, layer: int
    ) -> Float[Tensor, " heads"] | Float[Tensor, "batch heads"] | None:
        """What each head's part of the context is multiplied by; None: by nothing."""

    def select(self, rows: Int[Tensor, " n"]) -> Any:
        """The edit for these sentences of the batch alone, in this order."""


class Change(NamedTuple):
    """What an edit does at one place."""

    weights: WeightEdit | None = None
    head_mask: Float[Tensor, " heads"] | Float[Tensor, "batch heads"] | None = None


NO_CHANGE = Change()


def change_at(edit: AttentionEdit | None, place: AttentionPlace) -> Change:
    """What an edit does where a network is attending."""
    if edit is None:
        return NO_CHANGE
    kind, layer = place.kind, place.layer
    change = (lambda weights: edit.weights(place, weights)) if edit.edits(kind, layer) else None
    return Change(change, edit.head_mask(kind, layer))


def selected(edit: AttentionEdit | None, rows: Int[Tensor, " n"]) -> AttentionEdit | None:
    """The edit for these sentences alone."""
    return None if edit is None else edit.select(rows)
