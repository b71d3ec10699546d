"""What every translation model takes and gives, whatever its family."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@runtime_checkable
class TranslationBatch(Protocol):
    """What the loss needs of a batch of sentence pairs."""

    @property
    def source(self) -> Int[Tensor, "batch keys"]:
        """Source tokens and END, padded at the end."""

    @property
    def target(self) -> Int[Tensor, "batch steps"]:
        """BEGIN, target tokens and END, padded at the end."""


class StepOutput(NamedTuple):
    """What one decoder step gives."""

    logits: Float[Tensor, "batch beams vocabulary"]
    state: Any  # of the kind that the model's `initial_state` gives
    attention: dict[str, Float[Tensor, "batch beams layers heads keys"]]


class LossOutput(NamedTuple):
    """The loss of a batch, summed over its real target tokens, in nats, and how many these are."""

    loss: Float[Tensor, ""]
    tokens: int
    penalty: Float[Tensor, ""] | None = None  # what training adds to the loss, where it does

    @property
    def objective(self) -> Float[Tensor, ""]:
        """What training makes small."""
        return self.loss if self.penalty is None else self.loss + self.penalty


def draw_forced(
    words: Int[Tensor, "batch steps"], ratio: float, unit: str, generator: torch.Generator | None
) -> Bool[Tensor, "batch steps"]:
    """Draw where the reference is read, with probability `ratio` for each "step" or each "sentence"."""
    shape = words.shape if unit == "step" else (words.size(0), 1)
    drawn = torch.rand(shape, generator=generator, device=words.device) < ratio
    return drawn.expand(words.shape)
