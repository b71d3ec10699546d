"""Keys and values of all decoder steps so far, in room made ahead, for all beams of a sentence together.

Every beam's keys of every step lie side by side in *slots*, and a mask says which slots are a hypothesis's
own past. When hypotheses change places only this mask is reordered: keys and values stay where they are. They
are copied when the room is full (which doubles it) and when sentences leave the batch. Where a gradient is to
go through the steps, each has room of its own: what attention has read must not be written in again.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from shisen.attention import KeyValueCache

_FIRST_ROOM = 32


class _Room:
    """Memory for slots, of which the first `filled` are in use."""

    def __init__(self, keys: Tensor, values: Tensor, filled: int) -> None:
        self.keys, self.values, self.filled = keys, values, filled


class StepCache(NamedTuple):
    """One layer's keys and values of all steps so far; a value: what was appended to stays as it was."""

    room: _Room | None = None
    slots: int = 0

    def append(self, step: KeyValueCache) -> "StepCache":
        """Return this cache with a step's keys and values behind it, a slot for each beam.

        Args:
            step: [batch, key_value_heads, beams, head_size]; of a beginning that is read at once, its tokens
                stand in place of the beams.
        """
        added = step.keys.shape[2]
        end = self.slots + added
        room = self.room
        # Where another step has been appended to the same past, that one has the room: this one gets its own.
        is_traced = step.keys.requires_grad or step.values.requires_grad
        if room is None or room.filled != self.slots or room.keys.shape[2] < end or is_traced:
            room = self._larger(step, end if is_traced else max(_FIRST_ROOM, 2 * end))
        room.keys[:, :, self.slots : end] = step.keys
        room.values[:, :, self.slots : end] = step.values
        room.filled = end
        return StepCache(room, end)

    def _larger(self, step: KeyValueCache, room: int) -> _Room:
        """Room of its own for as many slots, with what this cache holds in the first of them."""
        batch, heads, _, size = step.keys.shape
        keys, values = (part.new_empty(batch, heads, room, size) for part in step)
        if self.room is not None:
            keys[:, :, : self.slots] = self.room.keys[:, :, : self.slots]
            values[:, :, : self.slots] = self.room.values[:, :, : self.slots]
        return _Room(keys, values, self.slots)

    @property
    def key_values(self) -> KeyValueCache:
        """What may be attended to: [batch, key_value_heads, slots, head_size] each."""
        assert self.room is not None, "nothing has been appended"
        return KeyValueCache(self.room.keys[:, :, : self.slots], self.room.values[:, :, : self.slots])

    def select(self, rows: Int[Tensor, " n"]) -> "StepCache":
        """The cache of these sentences of the batch alone, in this order."""
        if self.room is None:
            return self
        kept = _Room(self.room.keys.index_select(0, rows), self.room.values.index_select(0, rows), self.slots)
        return StepCache(kept, self.slots)


class DecoderPast(NamedTuple):
    """What a self-attending decoder carries from step to step, for every beam of every sentence."""

    layers: tuple[StepCache, ...]
    is_own: Bool[Tensor, "batch beams slots"]  # which slots are a hypothesis's own past
    positions: Int[Tensor, " slots"]  # at which step each slot was filled

    @staticmethod
    def empty(layers: int, batch: int, device: torch.device) -> "DecoderPast":
        """The past before the first step, with one beam per sentence."""
        nothing = torch.zeros(batch, 1, 0, dtype=torch.bool, device=device)
        return DecoderPast((StepCache(),) * layers, nothing, torch.zeros(0, dtype=torch.long, device=device))

    def with_step(self) -> tuple[Bool[Tensor, "batch beams slots"], Int[Tensor, " slots"], int]:
        """The mask and the positions with a slot for each beam's new token, and the new token's position."""
        batch, beams, _ = self.is_own.shape
        step = int(self.positions[-1]) + 1 if len(self.positions) else 0
        itself = torch.eye(beams, dtype=torch.bool, device=self.is_own.device).expand(batch, -1, -1)
        positions = torch.cat([self.positions, self.positions.new_full((beams,), step)])
        return torch.cat([self.is_own, itself], 2), positions, step

    def select(self, rows: Int[Tensor, " n"], beams: Int[Tensor, "n k"]) -> "DecoderPast":
        """The past whose entry [i, j] is this one's [rows[i], beams[i, j]]; keys and values do not move."""
        is_whole = len(rows) == len(self.is_own) and torch.equal(
            rows, torch.arange(len(rows), device=rows.device)
        )
        layers = self.layers if is_whole else tuple(layer.select(rows) for layer in self.layers)
        return DecoderPast(layers, self.is_own[rows[:, None], beams], self.positions)


def by_position(
    weights: Float[Tensor, "batch heads beams slots"], is_own: Bool[Tensor, "batch beams slots"]
) -> Float[Tensor, "batch beams heads steps"]:
    """The weights of a hypothesis's own slots, in the order of its steps."""
    batch, heads, beams, slots = weights.shape
    weights = weights.transpose(1, 2)  # [batch, beams, heads, slots]
    steps = int(is_own[0, 0].sum())
    if steps == slots:
        return weights
    return weights[is_own[:, :, None].expand_as(weights)].view(batch, beams, heads, steps)
