"""Erasing what was attended to most: from the weights, and from the sentence.

Weights (Serrano & Smith 2019): the weight of one source token is set to 0 at one decision, in all the layers
and heads that are tested, and the others are divided by their sum or not. What counts is how far the output
moves, JSD(p, p'), and whether another token becomes the likeliest: a *decision flip*.

Tokens (DeYoung et al. 2020, eq. 1 and 2): with y_t the decision and r_q the share q of the source tokens that
an explanation ranks first,

    comprehensiveness(q) = p(y_t | x) - p(y_t | x without r_q)      sufficiency(q) = p(y_t | x) - p(y_t | r_q)

A good explanation has a large comprehensiveness and a small sufficiency. AOPC, the area over the perturbation
curve, is the mean over the shares q (Samek et al. 2017). Here all of a sentence's decisions are measured
with one pass for each *set* of tokens that is kept, however many orders and shares ask for it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from shisen.decoding.interface import DecodableModel
from shisen.inspection.faithfulness.forward import forced_steps, padded

_SOURCES_TOGETHER = 128  # bounds the memory that their distributions take


class ErasureCurves(NamedTuple):
    """What erasing and keeping does to the probability of every decision, by the share of tokens."""

    comprehensiveness: Float[np.ndarray, "steps fractions"]
    sufficiency: Float[np.ndarray, "steps fractions"]


def token_counts(fractions: Sequence[float], tokens: int) -> list[int]:
    """How many tokens each share is: ⌈q n⌉."""
    return [math.ceil(fraction * tokens - 1e-9) for fraction in fractions]


def erasure_curves(
    model: DecodableModel,
    source: Int[Tensor, " keys"],
    target: Int[Tensor, " read"],
    decided: Int[Tensor, " steps"],
    probabilities: Float[np.ndarray, " steps"],
    orders: Mapping[str, Int[np.ndarray, "steps erasable"]],
    fractions: Sequence[float],
) -> dict[str, ErasureCurves]:
    """Comprehensiveness and sufficiency of every order of tokens.

    Args:
        model: Any model that takes steps, in evaluation mode.
        source: The source sentence with ``</s>``.
        target: ``<s>`` and the translation that is read.
        decided: The token whose probability is measured, at each step.
        probabilities: Of those tokens with the whole source.
        orders: By name, for each decision the source tokens, the most important first. Tokens that are in no
            order stay in the sentence always.
        fractions: The shares q.
    """
    erasable = next(iter(orders.values())).shape[1]
    counts = token_counts(fractions, erasable)
    kept = {name: _kept_sets(order, counts) for name, order in orders.items()}
    stacked = np.concatenate([sets.reshape(-1, erasable) for sets in kept.values()])
    different, places = np.unique(stacked, axis=0, return_inverse=True)
    found = _probabilities_with(model, source, target, decided, different)  # [sets, steps]
    curves, start = {}, 0
    steps = np.arange(len(decided))[None, :, None]
    for name, sets in kept.items():
        size = int(np.prod(sets.shape[:3]))
        asked = places.reshape(-1)[start : start + size].reshape(sets.shape[:3])  # [2, steps, fractions]
        start += size
        drops = probabilities[None, :, None] - found[asked, steps]
        curves[name] = ErasureCurves(drops[0], drops[1])
    return curves


def _kept_sets(
    order: Int[np.ndarray, "steps erasable"], counts: Sequence[int]
) -> Bool[np.ndarray, "2 steps fractions erasable"]:
    """Which tokens stay: without the first of the order, and with nothing but these."""
    ranks = np.argsort(order, axis=1)  # [steps, erasable]: the place of each token in the order
    is_first = ranks[:, None, :] < np.asarray(counts)[:, None]  # [steps, fractions, erasable]
    return np.stack([~is_first, is_first])


@torch.no_grad()
def _probabilities_with(
    model: DecodableModel,
    source: Tensor,
    target: Tensor,
    decided: Tensor,
    kept: Bool[np.ndarray, "sets erasable"],
) -> Float[np.ndarray, "sets steps"]:
    """The probability of every decision when only these source tokens are left."""
    ids, erasable = source.tolist(), kept.shape[1]
    rest = ids[erasable:]
    sentences = [[ids[i] for i in np.flatnonzero(row)] + rest for row in kept]
    order = sorted(range(len(sentences)), key=lambda row: len(sentences[row]))
    found = np.empty((len(kept), len(decided)))
    for start in range(0, len(order), _SOURCES_TOGETHER):
        rows = order[start : start + _SOURCES_TOGETHER]
        chosen, mask = padded([sentences[row] or [ids[-1]] for row in rows], source.device)
        logs = forced_steps(model, chosen, mask, target.expand(len(rows), -1)).log_probabilities
        index = decided[None, :, None].expand(len(rows), -1, -1)
        found[rows] = logs.gather(-1, index)[..., 0].exp().double().cpu().numpy()
    return found


def order_by(
    importance: Float[np.ndarray, "steps keys"], generator: np.random.Generator
) -> Int[np.ndarray, "steps keys"]:
    """The tokens of every decision, the most important first; equal ones in random order."""
    return np.lexsort((generator.random(importance.shape), -importance), axis=-1)


def without_each(
    weights: Float[Tensor, "layers heads keys"], erasable: int, is_renormalised: bool
) -> Float[Tensor, "layers heads erasable keys"]:
    """Attention weights with each of the first tokens erased in turn.

    Args:
        weights: Of one decision.
        erasable: How many tokens, from the first on, are erased.
        is_renormalised: Whether the other weights are divided by their sum. Where all weight was on the
            token, nothing is left: zeros.
    """
    stays = ~torch.eye(weights.shape[-1], dtype=torch.bool, device=weights.device)[:erasable]
    erased = weights[..., None, :] * stays  # [layers, heads, erasable, keys]
    if not is_renormalised:
        return erased
    total = erased.sum(-1, keepdim=True)
    return torch.where(total > 0, erased / total.clamp_min(torch.finfo(erased.dtype).tiny), erased)
