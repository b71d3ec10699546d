"""Vectors taken from one tensor many times over, a few at a time, with their gradients added up in one place.

What torch's own indexing gives back is a gradient as large as the whole tensor, each time. For the windows of
a decoder that would be sentence × sentence again.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable


class _Sum:
    """Where the gradients of one backward pass are added up."""

    gradient: Tensor | None = None


class SharedVectors(NamedTuple):
    """Vectors to take from; ``share`` makes it, once per sentence."""

    vectors: Float[Tensor, "batch keys size"]  # cut off from the graph; `source` is what leads back into it
    source: Float[Tensor, ""]
    total: _Sum

    def take(self, places: Int[Tensor, "batch queries width"]) -> Float[Tensor, "batch queries width size"]:
        """Return the vectors that stand at these places."""
        return _Take.apply(self.vectors, places, self.source, self.total)


def share(vectors: Float[Tensor, "batch keys size"]) -> SharedVectors:
    """Prepare vectors to be taken from many times."""
    total = _Sum()
    return SharedVectors(vectors.detach(), _Share.apply(vectors, total), total)


def take(
    vectors: Float[Tensor, "batch keys size"], places: Int[Tensor, "batch queries width"]
) -> Float[Tensor, "batch queries width size"]:
    """Return the vectors that stand at these places of each sentence."""
    return vectors.flatten(0, 1).index_select(0, _rows(vectors, places)).unflatten(0, places.shape)


def _rows(vectors: Tensor, places: Tensor) -> Int[Tensor, " rows"]:
    """Places of each sentence as rows of all sentences one after the other."""
    batch, keys, _ = vectors.shape
    return (places + keys * torch.arange(batch, device=places.device)[:, None, None]).flatten()


class _Share(torch.autograd.Function):
    """A number that stands for the vectors; its backward comes after that of all that was taken."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, total: _Sum) -> Tensor:
        ctx.shape, ctx.total = vectors.shape, total
        return vectors.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_source: Tensor) -> tuple[Tensor, None]:
        gradient, ctx.total.gradient = ctx.total.gradient, None
        return by_source.new_zeros(ctx.shape) if gradient is None else gradient, None


class _Take(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, places: Tensor, source: Tensor, total: _Sum) -> Tensor:
        ctx.save_for_backward(places)
        ctx.shape, ctx.total = vectors.shape, total
        return take(vectors, places)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_taken: Tensor) -> tuple[None, None, Tensor, None]:
        (places,) = ctx.saved_tensors
        if ctx.total.gradient is None:
            ctx.total.gradient = by_taken.new_zeros(ctx.shape)
        gradient = ctx.total.gradient
        gradient.flatten(0, 1).index_add_(0, _rows(gradient, places), by_taken.flatten(0, 2))
        return None, None, by_taken.new_zeros(()), None
