"""Forced decoding: what the model makes of a translation that is given."""

from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from shisen.data.vocabulary import PADDING
from shisen.decoding.history import History, Step
from shisen.decoding.hypothesis import Hypothesis
from shisen.decoding.interface import DecodableModel, encoded


@torch.inference_mode()
def force(
    model: DecodableModel,
    source: Int[Tensor, "batch length"],
    mask: Bool[Tensor, "batch length"],
    target: Int[Tensor, "batch target_length"],
    *,
    length_penalty: float = 1.0,
    with_attention: bool = True,
    edit: Any = None,
) -> list[Hypothesis]:
    """Take the model through given translations: their log-probabilities, scores and attention.

    A hypothesis that decoding found, forced, has the score and the attention with which it was found.

    Args:
        model: Any model that takes steps, in evaluation mode.
        source: Source sentences, padded at the end.
        mask: True at real source tokens.
        target: ``<s>`` and at least one token (the last usually ``</s>``), padded at the end.
        length_penalty: α of the score.
        with_attention: Keep the attention weights.
        edit: What changes the model's attention (a `shisen.models.AttentionEdit`); None: nothing does.

    Returns:
        One hypothesis per sentence, in order; its ids are the target without ``<s>``.
    """
    memory = encoded(model, source, mask, with_attention, edit)
    state = model.initial_state(memory)
    history = History(memory.attention if with_attention else {})
    sentences = torch.arange(len(source), device=source.device)
    last = (target != PADDING).sum(1) - 2  # [batch]: the step that produces the last token
    if int(last.min()) < 0:
        raise ValueError("every target sentence needs <s> and at least one token after it")

    for step in range(target.shape[1] - 1):
        output = model.step(target[:, step, None], state, memory)
        state = output.state
        tokens = target[:, step + 1, None]  # [batch, 1]
        log_probabilities = output.logits.gather(-1, tokens[..., None])[..., 0] - output.logits.logsumexp(-1)
        attention = output.attention if with_attention else {}
        history.append(Step(sentences, tokens, log_probabilities, None, attention), (last == step)[:, None])
    return [found[0] for found in history.hypotheses(mask, length_penalty, 1)]
