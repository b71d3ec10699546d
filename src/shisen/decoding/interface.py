"""What decoding asks of a model: encode once, then take steps. Nothing here knows the model's family."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from shisen.data.vocabulary import BEGIN


@runtime_checkable
class Memory(Protocol):
    """The encoded source sentences: whatever the decoder attends to."""

    @property
    def attention(self) -> Mapping[str, Float[Tensor, "batch layers heads keys keys"]]:
        """The weights within the source, by kind (``"encoder"``, ``"prompt"``); empty where none are."""

    def select(self, rows: Int[Tensor, " n"]) -> Any:
        """Return the memory of these sentences alone, in this order."""


@runtime_checkable
class State(Protocol):
    """What the decoder carries from step to step for every beam of every sentence, kept as it likes."""

    def select(self, rows: Int[Tensor, " n"], beams: Int[Tensor, "n k"]) -> Any:
        """Return the state whose entry ``[i, j]`` is this one's ``[rows[i], beams[i, j]]``."""


@runtime_checkable
class StepOutput(Protocol):
    """What one step gives back."""

    @property
    def logits(self) -> Float[Tensor, "batch beams vocabulary"]:
        """Unnormalised scores of the next token; a tensor of its own, which decoding may write in."""

    @property
    def state(self) -> Any:
        """The state after the step (a `State`)."""

    @property
    def attention(self) -> Mapping[str, Float[Tensor, "batch beams layers heads _"]]:
        """The step's weights by kind: ``"cross"`` over the source tokens, ``"decoder"`` over the tokens read.

        Those read are the tokens that the model began from and those of the steps, one more at each.
        Where `encode` was not asked for attention, they may be missing.
        """


@runtime_checkable
class DecodableModel(Protocol):
    """A sequence-to-sequence model as decoding sees it. Put it in evaluation mode first."""

    def encode(
        self,
        source: Int[Tensor, "batch length"],
        mask: Bool[Tensor, "batch length"],
        with_attention: bool = True,
    ) -> Any:
        """Encode source sentences into a `Memory`, `with_attention` if weights will be read."""

    def initial_state(self, memory: Any) -> Any:
        """Return the `State` before the first step, with one beam per sentence."""

    def step(self, previous: Int[Tensor, "batch beams"], state: Any, memory: Any) -> Any:
        """Read the previous token of every beam and return a `StepOutput`."""


def encoded(
    model: DecodableModel,
    source: Int[Tensor, "batch length"],
    mask: Bool[Tensor, "batch length"],
    with_attention: bool,
    edit: Any,
) -> Any:
    """Encode source sentences into a `Memory`; an edit is handed over only where there is one.

    So a model need not take edits in order to be decoded.
    """
    if edit is None:
        return model.encode(source, mask, with_attention)
    return model.encode(source, mask, with_attention, edit=edit)  # type: ignore[call-arg]


def first_tokens(
    source: Int[Tensor, "batch length"], first: Int[Tensor, " batch"] | None
) -> Int[Tensor, "batch 1"]:
    """What the first step reads: ``<s>``, or what it is to go on from."""
    return torch.full_like(source[:, :1], BEGIN) if first is None else first[:, None]
