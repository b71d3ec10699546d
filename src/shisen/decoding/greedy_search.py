"""Greedy decoding: the likeliest token at every step."""

from itertools import count
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from shisen.data.vocabulary import END
from shisen.decoding.history import History, Step
from shisen.decoding.hypothesis import Hypothesis
from shisen.decoding.interface import DecodableModel, encoded, first_tokens
from shisen.decoding.options import Constraints, LengthLimits
from shisen.decoding.restriction import extend, restrict


@torch.inference_mode()
def greedy(
    model: DecodableModel,
    source: Int[Tensor, "batch length"],
    mask: Bool[Tensor, "batch length"],
    max_length: int | None = None,
    *,
    first: Int[Tensor, " batch"] | None = None,
    lengths: LengthLimits | None = None,
    constraints: Constraints | None = None,
    length_penalty: float = 1.0,
    with_attention: bool = False,
    edit: Any = None,
) -> list[Hypothesis]:
    """Translate a batch, taking the likeliest allowed token at every step; of equals the lowest id.

    The same as `beam_search` with a beam of 1, and faster. A sentence leaves the batch when it is finished.

    Args:
        model: Any model that takes steps, in evaluation mode.
        source: Source sentences, padded at the end.
        mask: True at real source tokens.
        max_length: Short for ``lengths=LengthLimits(max_length)``.
        first: The token that the first step reads; None: ``<s>``.
        lengths: How long a translation may become.
        constraints: Tokens that may not come.
        length_penalty: α of the reported score; it does not influence the choice.
        with_attention: Keep the attention weights.
        edit: What changes the model's attention (a `shisen.models.AttentionEdit`); None: nothing does.

    Returns:
        One hypothesis per sentence, in order.
    """
    lengths = lengths or LengthLimits(max_length)
    constraints = constraints or Constraints()
    memory = encoded(model, source, mask, with_attention, edit)
    state = model.initial_state(memory)
    history = History(memory.attention if with_attention else {})
    limits = lengths.of(mask)
    sentences = torch.arange(len(source), device=source.device)
    previous = first_tokens(source, first)  # [rows, 1]
    prefixes = previous[..., None][..., :0] if constraints.no_repeat_ngram else None

    for step in count():
        output = model.step(previous, state, memory)
        logits = output.logits  # [rows, 1, vocabulary]
        normaliser = logits.logsumexp(-1)
        restrict(logits, step, limits, lengths, constraints, prefixes)
        best, previous = logits.max(-1)  # [rows, 1]
        attention = output.attention if with_attention else {}
        has_ended = (previous == END) | ~best.isfinite()
        history.append(Step(sentences, previous, best - normaliser, None, attention), has_ended)

        rows = (~has_ended[:, 0]).nonzero()[:, 0]
        if len(rows) == 0:
            return [found[0] for found in history.hypotheses(mask, length_penalty, 1)]
        state = output.state
        same_beam = torch.zeros_like(rows)[:, None]
        if prefixes is not None:
            prefixes = extend(prefixes, rows, same_beam, previous[rows])
        if len(rows) < len(sentences):
            memory, state = memory.select(rows), state.select(rows, same_beam)
            sentences, limits, previous = sentences[rows], limits[rows], previous[rows]
    raise AssertionError("unreachable: every sentence ends at its limit")
