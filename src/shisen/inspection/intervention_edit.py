"""Interventions carried out: what a network is given so that it attends as they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from shisen.inspection.intervention_places import check_heads
from shisen.inspection.interventions import (
    GivenWeights,
    Intervention,
    Part,
    ScaleEdge,
    ScaleHeads,
    UniformAttention,
)
from shisen.models.attention_edit import AttentionPlace


@dataclass(frozen=True, eq=False)
class InterventionEdit:
    """An `AttentionEdit` with an intervention for every sentence of a batch.

    Attributes:
        rows: The parts of each sentence's intervention, resolved.
        attention_heads: How many layers, and heads in each, the model has of every kind.
    """

    rows: tuple[tuple[Part, ...], ...]
    attention_heads: dict[str, tuple[int, int]]

    def edits(self, kind: str, layer: int) -> bool:
        """Whether weights are changed there, in any sentence."""
        return any(_changes_weights(part, kind, layer) for parts in self.rows for part in parts)

    def weights(
        self, place: AttentionPlace, weights: Float[Tensor, "batch heads queries keys"]
    ) -> Float[Tensor, "batch heads queries keys"]:
        """What is attended with."""
        changed = list(weights)
        for row, parts in enumerate(self.rows):
            for part in parts:
                if _changes_weights(part, place.kind, place.layer):
                    heads = _heads(part, weights.shape[1], weights.device)
                    by_part = _changed(part, place, changed[row], _allowed(place, row, weights))
                    changed[row] = torch.where(heads[:, None, None], by_part, changed[row])
        return torch.stack(changed)

    def head_mask(self, kind: str, layer: int) -> Float[Tensor, "batch heads"] | None:
        """What each head's part of the context is multiplied by."""
        scales = [
            (row, part)
            for row, parts in enumerate(self.rows)
            for part in parts
            if isinstance(part, ScaleHeads) and part.where.has_layer(kind, layer)
        ]
        if not scales:
            return None
        mask = torch.ones(len(self.rows), self.attention_heads[kind][1])
        for row, part in scales:
            mask[row, _heads(part, mask.shape[1], mask.device)] *= part.factor
        return mask

    def select(self, rows: Int[Tensor, " n"]) -> InterventionEdit:
        """The interventions of these sentences alone."""
        return InterventionEdit(tuple(self.rows[row] for row in rows.tolist()), self.attention_heads)


def edit_of(
    interventions: Sequence[Intervention | None], attention_heads: dict[str, tuple[int, int]]
) -> InterventionEdit | None:
    """The edit for a batch; None where nothing is done in any of its sentences.

    Args:
        interventions: Of each sentence, resolved.
        attention_heads: How many layers, and heads in each, the model has of every kind.

    Raises:
        UserError: The model does not have a layer or head that is named.
    """
    rows = []
    for intervention in interventions:
        parts = () if intervention is None else intervention.parts
        if intervention is not None:
            check_heads(intervention, attention_heads)
        rows.append(tuple(part for part in parts if not _does_nothing(part)))
    return InterventionEdit(tuple(rows), attention_heads) if any(rows) else None


def _does_nothing(part: Part) -> bool:
    if isinstance(part, ScaleHeads | ScaleEdge):
        return part.factor == 1
    return isinstance(part, GivenWeights) and (part.strength == 0 or not part.rows.any())


def _changes_weights(part: Part, kind: str, layer: int) -> bool:
    return not isinstance(part, ScaleHeads) and part.where.has_layer(kind, layer)


def _heads(part: Part, count: int, device: torch.device) -> Bool[Tensor, " heads"]:
    """Which heads of a layer are meant."""
    chosen = part.where.heads
    is_meant = [chosen is None or head in chosen for head in range(count)]
    return torch.tensor(is_meant, device=device)


def _allowed(place: AttentionPlace, row: int, weights: Tensor) -> Bool[Tensor, "heads queries keys"]:
    """Where the queries of one sentence may attend to."""
    if place.allowed is None:
        return torch.ones_like(weights[row], dtype=torch.bool)
    return place.allowed.expand_as(weights)[row]


def _changed(
    part: Part,
    place: AttentionPlace,
    weights: Float[Tensor, "heads queries keys"],
    allowed: Bool[Tensor, "heads queries keys"],
) -> Float[Tensor, "heads queries keys"]:
    """What a part makes of the weights of one sentence, in all heads."""
    assert place.queries is not None, "the state was made without an edit"
    if isinstance(part, ScaleEdge):
        edges = _is_among(place.queries, part.query)[:, None] & _is_among(place.keys, part.key)
        return _scaled(weights, edges, part.factor, part.renormalize)
    if isinstance(part, UniformAttention):
        uniform = allowed.to(weights.dtype)
        uniform = uniform / uniform.sum(-1, keepdim=True).clamp_min(1)
        return torch.where(_is_among(place.queries, part.query)[:, None], uniform, weights)
    assert isinstance(part, GivenWeights), "an alignment is resolved before it is carried out"
    return _given(part, place, weights, allowed)


def _is_among(positions: Int[Tensor, " n"], chosen: object) -> Bool[Tensor, " n"]:
    """Which positions are chosen; None: all."""
    if chosen is None:
        return torch.ones_like(positions, dtype=torch.bool)
    assert isinstance(chosen, tuple), "tokens are found before an intervention is carried out"
    return torch.isin(positions, torch.tensor(chosen, dtype=positions.dtype, device=positions.device))


def _scaled(
    weights: Float[Tensor, "heads queries keys"],
    edges: Bool[Tensor, "queries keys"],
    factor: float,
    renormalize: bool,
) -> Float[Tensor, "heads queries keys"]:
    """The weights with edges scaled; rows in which that changes nothing stay as they are, bit for bit."""
    scaled = torch.where(edges, weights * factor, weights)
    if not renormalize:
        return scaled
    before, after = weights.sum(-1, keepdim=True), scaled.sum(-1, keepdim=True)
    tiny = torch.finfo(weights.dtype).tiny
    whole = torch.where(after > 0, scaled * (before / after.clamp_min(tiny)), scaled)
    is_changed = (scaled != weights).any(-1, keepdim=True)
    return torch.where(is_changed, whole, weights)


def _given(
    part: GivenWeights,
    place: AttentionPlace,
    weights: Float[Tensor, "heads queries keys"],
    allowed: Bool[Tensor, "heads queries keys"],
) -> Float[Tensor, "heads queries keys"]:
    """The given weights in the rows that are given, mixed with the model's own."""
    assert place.queries is not None
    layer = place.layer if part.weights.shape[0] > 1 else 0
    given = torch.tensor(part.weights[layer], dtype=weights.dtype, device=weights.device)
    rows = torch.tensor(part.rows, device=weights.device)
    queries, keys = given.shape[1:]
    if queries == 0 or keys == 0:
        return weights
    at_query, at_key = place.queries.clamp(max=queries - 1), place.keys.clamp(max=keys - 1)
    there = given[:, at_query][:, :, at_key] * (place.keys < keys) * allowed  # [heads or 1, queries, keys]
    is_given = rows[at_query] & (place.queries < queries)
    mixed = there if part.strength == 1 else weights + part.strength * (there - weights)
    return torch.where(is_given[:, None], mixed, weights)
