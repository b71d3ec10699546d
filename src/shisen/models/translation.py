"""What every translation model takes and gives, whatever its family."""

from collections.abc import Callable
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


def mix_with_predictions(
    words: Int[Tensor, "batch steps"],
    predict: Callable[[Int[Tensor, "batch steps"]], Float[Tensor, "batch steps vocabulary"]],
    ratio: float,
    unit: str,
    generator: torch.Generator | None,
) -> Int[Tensor, "batch steps"]:
    """Put the model's own predictions where the reference is not read (Mihaylova and Martins 2019).

    They come of a first pass that reads the reference alone; no gradient goes through it.

    Args:
        words: y_0 … y_{n-1}, what a decoder reads; y_0 always stays.
        predict: from such words to the logits of the word after each.
        ratio: probability of reading the reference.
        unit: whether that is drawn for each "step" or for each "sentence".
        generator: what draws; None: torch's own.
    """
    forced = draw_forced(words, ratio, unit, generator)
    device = words.device.type
    # Autocast keeps the narrower weights that it makes. Many versions of torch would take those of this pass
    # in the second one too, and the parameters would get no gradient (pytorch/pytorch#112583, #165068).
    without_keeping = torch.autocast(
        device,
        torch.get_autocast_dtype(device),
        enabled=torch.is_autocast_enabled(device),
        cache_enabled=False,
    )
    with torch.no_grad(), without_keeping:
        predicted = predict(words).argmax(-1)  # [batch, steps]
    read = torch.where(forced[:, 1:], words[:, 1:], predicted[:, :-1])
    return torch.cat([words[:, :1], read], 1)
