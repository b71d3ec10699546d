"""Forced decoding whose every step can be gone back to, and through which gradients go.

The step interface of `shisen.decoding` is all that is used of a model, so that any model that decodes can be
tested; gradients need to know where its source tokens are embedded besides.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from shisen.data.vocabulary import PADDING
from shisen.decoding.interface import DecodableModel, encoded
from shisen.errors import UserError

#: Where the networks of this package embed the source tokens.
_SOURCE_EMBEDDINGS = ("encoder.embedding", "source_embedding.words")


class ForcedSteps(NamedTuple):
    """Every step of a model that is taken through given translations."""

    log_probabilities: Float[Tensor, "batch steps vocabulary"]
    weights: Float[Tensor, "batch layers heads steps keys"]  # of the cross-attention
    states: tuple[Any, ...]  # before each step
    memory: Any


def padded(
    sentences: Sequence[Sequence[int]], device: torch.device
) -> tuple[Int[Tensor, "batch length"], Bool[Tensor, "batch length"]]:
    """Sentences as one tensor, padded at the end, and its mask."""
    longest = max(map(len, sentences))
    rows = torch.tensor([[*ids, *[PADDING] * (longest - len(ids))] for ids in sentences], device=device)
    return rows, rows != PADDING


def forced_steps(
    model: DecodableModel,
    source: Int[Tensor, "batch keys"],
    mask: Bool[Tensor, "batch keys"],
    target: Int[Tensor, "batch read"],
    edit: Any = None,
) -> ForcedSteps:
    """Take a model through given translations, all of one length.

    Gradients are recorded where the caller has not switched them off.

    Args:
        model: Any model that takes steps, in evaluation mode.
        source: Source sentences, padded at the end.
        mask: True at real source tokens.
        target: ``<s>`` and the tokens of the translation.
        edit: What changes the attention at every step (an `AttentionEdit`); None: nothing does.
    """
    memory = encoded(model, source, mask, True, edit)
    state = model.initial_state(memory)
    log_probabilities, weights, states = [], [], []
    for step in range(target.shape[1] - 1):
        states.append(state)
        output = model.step(target[:, step, None], state, memory)
        state = output.state
        log_probabilities.append(output.logits[:, 0].log_softmax(-1))
        weights.append(cross_weights(output.attention)[:, 0])
    return ForcedSteps(torch.stack(log_probabilities, 1), torch.stack(weights, 3), tuple(states), memory)


def cross_weights(attention: Any) -> Float[Tensor, "batch beams layers heads keys"]:
    """A step's weights over the source.

    Raises:
        UserError: The model has none.
    """
    if "cross" not in attention:
        raise UserError("this model has no cross-attention, so there is no explanation to test")
    return attention["cross"]


def scores_of_decisions(
    model: DecodableModel,
    source: Int[Tensor, "rows keys"],
    target: Int[Tensor, " read"],
    decided: Int[Tensor, " steps"],
    decisions: Int[Tensor, " rows"],
) -> Float[Tensor, " rows"]:
    """log p(decided_t | target_<t, source), a decision t for every row of sources without padding.

    Args:
        model: Any model that takes steps.
        source: A source sentence for each row.
        target: ``<s>`` and the translation that is read, the same for all.
        decided: The token that is asked for at each step.
        decisions: The step t of each row; a row takes no step after its own.
    """
    memory = model.encode(source, source != PADDING, False)
    state = model.initial_state(memory)
    rows = torch.arange(len(source), device=source.device)
    found, order = [], []
    for step in range(int(decisions.max()) + 1):
        output = model.step(target[step].expand(len(rows), 1), state, memory)
        is_due = decisions[rows] == step
        if bool(is_due.any()):
            found.append(output.logits[is_due, 0].log_softmax(-1)[:, decided[step]])
            order.append(rows[is_due])
        stays = (~is_due).nonzero()[:, 0]
        if len(stays) == 0:
            break
        rows, state = rows[stays], output.state
        if len(stays) < len(is_due):
            memory, state = memory.select(stays), state.select(stays, torch.zeros_like(stays)[:, None])
    return torch.cat(found)[torch.cat(order).argsort()]


def source_embedding(model: DecodableModel) -> nn.Embedding:
    """The module that embeds the source tokens, and nothing else.

    Raises:
        UserError: It is not known where this model has it.
    """
    modules = dict(cast(nn.Module, model).named_modules()) if isinstance(model, nn.Module) else {}
    for name in _SOURCE_EMBEDDINGS:
        if isinstance(modules.get(name), nn.Embedding):
            return cast(nn.Embedding, modules[name])
    expected = " or ".join(_SOURCE_EMBEDDINGS)
    raise UserError(f"{type(model).__name__} has no source embedding at {expected}; gradients need one")


@contextmanager
def embedded_as(embedding: nn.Embedding, vectors: Float[Tensor, "batch keys size"]) -> Iterator[None]:
    """Have an embedding give these vectors, whatever tokens it is asked for, until the block ends."""
    hook = embedding.register_forward_hook(lambda module, given, made: vectors)
    try:
        yield
    finally:
        hook.remove()
