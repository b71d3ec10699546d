"""Other weights put into a model's cross-attention: what an `AttentionEdit` is asked for, no more."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from shisen.decoding.interface import DecodableModel, encoded
from shisen.inspection.faithfulness.counterfactual import Decide, LayersAndHeads, uniform_weights
from shisen.inspection.faithfulness.forward import ForcedSteps
from shisen.models.attention_edit import AttentionPlace


@dataclass(frozen=True, eq=False)
class GivenWeights:
    """These weights at one decision, in the cross-attention; a beam for each variant of them."""

    given: Float[Tensor, "layers heads variants keys"]

    def edits(self, kind: str, layer: int) -> bool:
        """Whether this attention is changed."""
        return kind == "cross"

    def head_mask(self, kind: str, layer: int) -> None:
        """No head is scaled."""

    def weights(self, place: AttentionPlace, weights: Tensor) -> Tensor:
        """What is attended with."""
        return self.given[None, place.layer].to(weights.dtype)

    def select(self, rows: Tensor) -> "GivenWeights":
        """The same for every sentence."""
        return self


@dataclass(frozen=True)
class UniformWeights:
    """The same weight for every source token, at every step."""

    where: LayersAndHeads

    def edits(self, kind: str, layer: int) -> bool:
        """Whether this attention is changed."""
        return kind == "cross" and self.where.layer in (None, layer)

    def head_mask(self, kind: str, layer: int) -> None:
        """No head is scaled."""

    def weights(self, place: AttentionPlace, weights: Tensor) -> Tensor:
        """What is attended with. [batch, heads, queries, keys], of sentences without padding."""
        changed = uniform_weights(weights)
        if self.where.head is None:
            return changed
        result = weights.clone()
        result[:, self.where.head] = changed[:, self.where.head]
        return result

    def select(self, rows: Tensor) -> "UniformWeights":
        """The same for every sentence."""
        return self


def decision_with(
    model: DecodableModel,
    source: Tensor,
    target: Tensor,
    forced: ForcedSteps,
    step: int,
) -> Decide:
    """From weights to the distribution of one decision; what was written before it is as it was.

    Every variant of the weights is a beam that goes on from the state before the decision.

    Args:
        model: Any model that takes steps and edits, in evaluation mode.
        source: One source sentence, [1, keys].
        target: ``<s>`` and the translation that is read, [1, read].
        forced: The steps of this sentence without an edit.
        step: The number of the decision.
    """

    mask = torch.ones_like(source, dtype=torch.bool)

    def decide(weights: Float[Tensor, "layers heads variants keys"]) -> Float[Tensor, "variants vocabulary"]:
        variants = weights.shape[2]
        beams = target.new_zeros(1, variants)
        with torch.no_grad():  # the sentence is as it was: gradients go to the weights alone
            memory = encoded(model, source, mask, True, GivenWeights(weights))
        state = forced.states[step].select(beams[:, 0], beams)
        output = model.step(target[:, step, None].expand(1, variants), state, memory)
        return output.logits[0].softmax(-1)

    return decide
