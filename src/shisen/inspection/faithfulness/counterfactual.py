"""What if the decision had been made with other weights?

Permuted weights (Jain & Wallace 2019, section 4.2.1): the source tokens change places in the weights of all
layers and heads alike. If the output hardly moves, it did not matter where the weights were.

Adversarial weights (ibid., section 4.2.2): weights as far from those of the model as can be found,
under which the output moves by no more than ε:

    max JSD(ᾱ', ᾱ)   subject to   TVD(p(· | α'), p(· | α)) ≤ ε,      ᾱ: the explanation, a mean of α

Uniform weights at every step (a form of the first baseline of Wiegreffe & Pinter 2019, who train the model
anew with them; here the model stays as it is).

All of them act where `LayersAndHeads` says, on the cross-attention.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from shisen.inspection.faithfulness.distances import jensen_shannon, total_variation

_PENALTY = 100.0  # of the output's move beyond the bound, against a divergence of ln 2 at the most
_RATE = 0.3  # of Adam, on logits of weights


@dataclass(frozen=True)
class LayersAndHeads:
    """The layers and heads whose weights make up an explanation; None: all."""

    layer: int | None = None
    head: int | None = None

    def explanation(
        self, weights: Float[Tensor, "*batch layers heads steps keys"]
    ) -> Float[Tensor, "*batch steps keys"]:
        """The mean of their weights."""
        layers = slice(None) if self.layer is None else slice(self.layer, self.layer + 1)
        heads = slice(None) if self.head is None else slice(self.head, self.head + 1)
        return weights[..., layers, heads, :, :].mean((-4, -3))

    def replaced(
        self,
        original: Float[Tensor, "layers heads #variants keys"],
        others: Float[Tensor, "layers heads variants keys"],
    ) -> Float[Tensor, "layers heads variants keys"]:
        """The others where they are meant, the original weights elsewhere."""
        is_meant = torch.ones(original.shape[:2], dtype=torch.bool, device=original.device)
        if self.layer is not None:
            is_meant &= torch.arange(len(original), device=original.device)[:, None] == self.layer
        if self.head is not None:
            is_meant &= torch.arange(original.shape[1], device=original.device) == self.head
        return torch.where(is_meant[..., None, None], others, original)


Decide = Callable[[Float[Tensor, "layers heads variants keys"]], Float[Tensor, "variants vocabulary"]]
"""The distribution of one decision under each of several weights."""


def permuted_weights(
    weights: Float[Tensor, "layers heads keys"], permutations: int, generator: torch.Generator
) -> Float[Tensor, "layers heads permutations keys"]:
    """The weights with their keys in random places, the same places for all layers and heads."""
    places = torch.rand(permutations, weights.shape[-1], generator=generator).argsort(-1)
    return weights[..., places.to(weights.device)]


def uniform_weights(weights: Float[Tensor, "*batch keys"]) -> Float[Tensor, "*batch keys"]:
    """The same weight for every key that may be attended to."""
    return torch.full_like(weights, 1 / weights.shape[-1])


class Adversary(NamedTuple):
    """The weights farthest from the model's own that were found within the bound."""

    divergence: float  # JSD between the explanation that they give and the model's own
    moved: float  # TVD of the output


def adversarial_weights(
    decide: Decide,
    weights: Float[Tensor, "layers heads keys"],
    where: LayersAndHeads,
    bound: float,
    steps: int,
    generator: torch.Generator,
    restarts: int = 3,
) -> Adversary:
    """Look for weights far from the model's own that leave a decision's distribution as it is.

    Gradient ascent (Adam) on the logits of the weights, of JSD - 100 max(0, TVD - ε), from as many places as
    there are `restarts`: near the model's own weights, and from random ones. The farthest weights within the
    bound that were met on the way count; the model's own are within it always.

    Args:
        decide: From weights to the distribution.
        weights: The model's own.
        where: What may be changed.
        bound: ε.
        steps: Of the ascent.
        generator: Draws the places to start from.
        restarts: How many there are.
    """
    original = weights[:, :, None]  # [layers, heads, 1, keys]
    with torch.no_grad():
        output = decide(original)  # [1, vocabulary]
    spread = torch.linspace(0.5, 3.0, restarts)[:, None]
    noise = torch.randn(*weights.shape[:2], restarts, weights.shape[2], generator=generator) * spread
    near = (torch.arange(restarts) == 0)[:, None].to(weights.device)
    start = torch.where(near, (original + 1e-4).log(), torch.zeros_like(original))
    logits = (start + noise.to(start)).requires_grad_()
    adam = torch.optim.Adam([logits], lr=_RATE)
    best = Adversary(0.0, 0.0)
    for _ in range(steps):
        with torch.enable_grad():
            others = where.replaced(original, logits.softmax(-1))
            divergence = jensen_shannon(where.explanation(others), where.explanation(original))  # [restarts]
            moved = total_variation(decide(others), output)  # [restarts]
            gain = divergence - _PENALTY * (moved - bound).clamp_min(0)
            (logits.grad,) = torch.autograd.grad(-gain.sum(), logits)
        within = torch.where(moved <= bound, divergence, -1.0).detach()
        farthest = int(within.argmax())
        if float(within[farthest]) > best.divergence:
            best = Adversary(float(within[farthest]), float(moved[farthest].detach()))
        adam.step()
    return best
