"""Attention of blocks of queries to blocks of keys, by a plan, a bounded number at a time.

Nothing that is gathered is kept for the backward pass, which gathers and attends anew: what stays is query,
key and value.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from shisen.attention.block_plan import Group, Plan
from shisen.attention.dot_product import scaled_dot_product
from shisen.attention.normalization import AttentionFunction
from shisen.attention.precision import widen

# Numbers that are gathered of the keys, or made as scores, at once: on a processor about what its cache
# holds, elsewhere what keeps it busy.
ELEMENTS_AT_ONCE = {"cpu": 2**18}
ELEMENTS_AT_ONCE_ELSEWHERE = 2**24


@dataclass(frozen=True)
class BlockAttention:
    """What is computed, apart from the tensors that it is computed of."""

    plan: Plan
    size: int
    scale: float | None
    dropout: float
    function: AttentionFunction

    def blocks(
        self, part: Float[Tensor, "batch heads length features"]
    ) -> Float[Tensor, "batch count size heads features"]:
        """Cut a sequence into blocks, each one piece of memory; the last is filled up with 0."""
        part = part.transpose(1, 2)
        missing = -part.shape[1] % self.size
        if missing:
            part = nn.functional.pad(part, (0, 0, 0, 0, 0, missing))
        return part.unflatten(1, (part.shape[1] // self.size, self.size))

    def chunks(self, query: Tensor, value: Tensor) -> Iterator[Group]:
        """The rows of the plan, as many at a time as the device is to hold gathered."""
        most = ELEMENTS_AT_ONCE.get(query.device.type, ELEMENTS_AT_ONCE_ELSEWHERE)
        batch, heads = query.shape[:2]
        of_a_pair = batch * heads * self.size * max(query.shape[-1], value.shape[-1], self.size)
        for group in self.plan.groups:
            yield from group.chunks(most // max(1, of_a_pair))

    def allowed(
        self, chunk: Group, mask: Bool[Tensor, "batch length"] | None
    ) -> Bool[Tensor, "batch_or_one rows size keys"]:
        """Which keys of the blocks of a chunk may be attended to."""
        allowed = self.plan.allowed(chunk)[None]
        if mask is None:
            return allowed
        missing = -mask.shape[1] % self.size
        is_real = nn.functional.pad(mask, (0, missing)).unflatten(1, (-1, self.size))  # [batch, count, size]
        return allowed & gather(is_real, chunk.columns).flatten(2)[:, :, None]

    def attend(
        self,
        query: Float[Tensor, "batch rows size heads features"],
        key: Float[Tensor, "batch rows columns size heads features"],
        value: Float[Tensor, "batch rows columns size heads value_features"],
        allowed: Bool[Tensor, "batch_or_one rows size keys"],
        return_weights: bool = False,
    ) -> tuple[
        Float[Tensor, "batch rows size heads value_features"],
        Float[Tensor, "blocks heads size keys"] | None,
    ]:
        """Return the context of gathered blocks, and if asked for the weights, of all rows of the batch."""
        batch, rows = query.shape[:2]
        context, weights = scaled_dot_product(
            query.flatten(0, 1).transpose(1, 2),  # [batch * rows, heads, size, features]
            key.flatten(2, 3).flatten(0, 1).transpose(1, 2),  # [batch * rows, heads, keys, features]
            value.flatten(2, 3).flatten(0, 1).transpose(1, 2),
            allowed.expand(batch, -1, -1, -1).flatten(0, 1)[:, None],
            scale=self.scale,
            dropout=self.dropout,
            function=self.function,
            return_weights=return_weights,
        )
        return context.transpose(1, 2).unflatten(0, (batch, rows)), weights

    def context(
        self,
        query: Float[Tensor, "batch heads length features"],
        key: Float[Tensor, "batch heads length features"],
        value: Float[Tensor, "batch heads length value_features"],
        mask: Bool[Tensor, "batch length"] | None,
    ) -> Float[Tensor, "batch heads length value_features"]:
        """Return the context, made chunk by chunk, without a graph."""
        q, k, v = (self.blocks(part) for part in (query, key, value))
        whole: Tensor | None = None
        for chunk in self.chunks(query, value):
            parts = gather(q, chunk.rows), gather(k, chunk.columns), gather(v, chunk.columns)
            context, _ = self.attend(*parts, self.allowed(chunk, mask))
            if whole is None:
                whole = context.new_zeros(*v.shape)
            whole.index_copy_(1, chunk.rows, context)
        if whole is None:
            whole = torch.zeros_like(v)
        return in_sequence(whole, query.shape[2])


def gather(
    blocks: Shaped[Tensor, "batch count *block"], numbers: Int[Tensor, "*shape"]
) -> Shaped[Tensor, "batch *all"]:
    """Return blocks by their numbers, [batch, *shape, *block]."""
    return blocks.index_select(1, numbers.flatten()).unflatten(1, numbers.shape)


def in_sequence(
    blocks: Float[Tensor, "batch count size heads features"], length: int
) -> Float[Tensor, "batch heads {length} features"]:
    """Put blocks together again."""
    return blocks.flatten(1, 2)[:, :length].transpose(1, 2)


class RecomputedAttention(torch.autograd.Function):
    """`BlockAttention.context`; backward computes each chunk once more, with the random numbers it had."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, work: BlockAttention
    ) -> Tensor:
        """Return the context, and keep what it is made of."""
        ctx.work, device = work, query.device
        ctx.save_for_backward(query, key, value, mask)
        ctx.autocast = torch.is_autocast_enabled(device.type), torch.get_autocast_dtype(device.type)
        ctx.random_state = _random_state(device) if work.dropout else None
        return work.context(query, key, value, mask)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_context: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of query, key and value."""
        query, key, value, mask = ctx.saved_tensors
        work, device, (is_autocast, dtype) = ctx.work, query.device, ctx.autocast
        q, k, v = (work.blocks(part) for part in (query, key, value))
        by_blocks = work.blocks(by_context)
        # A key that many queries attend to has as many gradients to add up: in float32 at least.
        totals = [torch.zeros(part.shape, dtype=widen(part[:0]).dtype, device=device) for part in (q, k, v)]
        by_q, by_k, by_v = totals
        with _random_numbers(ctx.random_state, device):
            for chunk in work.chunks(query, value):
                gathered = gather(q, chunk.rows), gather(k, chunk.columns), gather(v, chunk.columns)
                parts = [part.requires_grad_() for part in gathered]
                with torch.enable_grad(), torch.autocast(device.type, dtype, enabled=is_autocast):
                    context, _ = work.attend(*parts, work.allowed(chunk, mask))
                gradients = torch.autograd.grad(context, parts, gather(by_blocks, chunk.rows))
                by_q.index_copy_(1, chunk.rows, gradients[0].to(by_q.dtype))
                columns = chunk.columns.flatten()
                by_k.index_add_(1, columns, gradients[1].flatten(1, 2).to(by_k.dtype))
                by_v.index_add_(1, columns, gradients[2].flatten(1, 2).to(by_v.dtype))
        length = query.shape[2]
        of_inputs = zip(totals, (query, key, value), strict=True)
        return *(in_sequence(total, length).to(part.dtype) for total, part in of_inputs), None, None


def _random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Where the random numbers of the processor and of the device are."""
    if device.type == "cpu":
        return torch.get_rng_state(), None
    return torch.get_rng_state(), torch.get_device_module(device).get_rng_state(*_place(device))


def _set_random_state(state: tuple[Tensor, Tensor | None], device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.get_device_module(device).set_rng_state(state[1], *_place(device))


def _place(device: torch.device) -> tuple[torch.device, ...]:
    return () if device.type == "mps" else (device,)  # of which there is one


@contextmanager
def _random_numbers(state: tuple[Tensor, Tensor | None] | None, device: torch.device) -> Iterator[None]:
    """Draw the random numbers that follow a state, and afterwards those that would have come without."""
    if state is None:
        yield
        return
    now = _random_state(device)
    _set_random_state(state, device)
    try:
        yield
    finally:
        _set_random_state(now, device)
