"""Sampling: tokens drawn from the model's distribution, sharpened or cut as asked."""

from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from shisen.data.vocabulary import END
from shisen.decoding.history import History, Step
from shisen.decoding.hypothesis import Hypothesis
from shisen.decoding.interface import DecodableModel, encoded, first_tokens
from shisen.decoding.options import Constraints, LengthLimits, SamplingOptions
from shisen.decoding.restriction import NEVER, extend, restrict


@torch.inference_mode()
def sample(
    model: DecodableModel,
    source: Int[Tensor, "batch length"],
    mask: Bool[Tensor, "batch length"],
    options: SamplingOptions | None = None,
    *,
    numbers: Sequence[int] | None = None,
    first: Int[Tensor, " batch"] | None = None,
    lengths: LengthLimits | None = None,
    constraints: Constraints | None = None,
    with_attention: bool = False,
    edit: Any = None,
) -> list[list[Hypothesis]]:
    """Draw translations of a batch, token by token.

    Every draw follows from the seed and the number of the sentence, the sample and the step, so a sentence's
    samples do not depend on what else is in its batch.

    Args:
        model: Any model that takes steps, in evaluation mode.
        source: Source sentences, padded at the end.
        mask: True at real source tokens.
        options: Temperature, truncation, number of samples, seed.
        numbers: The sentences' numbers in the whole input; None: 0, 1, 2, …
        first: The token that the first step reads; None: ``<s>``.
        lengths: How long a translation may become.
        constraints: Tokens that may not come; their probability is shared among the others.
        with_attention: Keep the attention weights.
        edit: What changes the model's attention (a `shisen.models.AttentionEdit`); None: nothing does.

    Returns:
        For each sentence its samples, the best score first.
    """
    options = options or SamplingOptions()
    lengths = lengths or LengthLimits()
    constraints = constraints or Constraints()
    limits = lengths.of(mask)  # [rows], like all that follows: the sentences still in the batch
    sentences = torch.arange(len(source), device=source.device)
    draws = _draws(options, numbers or range(len(source)), limits).to(source.device)

    memory = encoded(model, source, mask, with_attention, edit)
    state = model.initial_state(memory)
    state = state.select(sentences, torch.zeros_like(sentences)[:, None].expand(-1, options.samples))
    history = History(memory.attention if with_attention else {})
    previous = first_tokens(source, first).expand(-1, options.samples)  # [rows, samples]
    is_finished = torch.zeros_like(previous, dtype=torch.bool)
    prefixes = previous[..., None][..., :0] if constraints.no_repeat_ngram else None

    for step in count():
        output = model.step(previous, state, memory)
        logits = output.logits  # [rows, samples, vocabulary]
        normaliser = logits.logsumexp(-1)
        restrict(logits, step, limits, lengths, constraints, prefixes)
        previous = _draw(
            truncate(logits / options.temperature, options.top_k, options.top_p), draws[..., step]
        )
        chosen = logits.gather(-1, previous[..., None])[..., 0]  # [rows, samples]
        attention = output.attention if with_attention else {}
        ends_now = ~is_finished & ((previous == END) | ~chosen.isfinite())
        history.append(Step(sentences, previous, chosen - normaliser, None, attention), ends_now)
        is_finished = is_finished | ends_now

        rows = (~is_finished.all(1)).nonzero()[:, 0]
        if len(rows) == 0:
            return history.hypotheses(mask, options.length_penalty, options.samples)
        state = output.state
        same_beams = torch.arange(options.samples, device=rows.device).expand(len(rows), -1)
        if prefixes is not None:
            prefixes = extend(prefixes, rows, same_beams, previous[rows])
        if len(rows) < len(sentences):
            memory, state = memory.select(rows), state.select(rows, same_beams)
            sentences, limits, previous = sentences[rows], limits[rows], previous[rows]
            is_finished, draws = is_finished[rows], draws[rows]
    raise AssertionError("unreachable: every sample ends at its sentence's limit")


def truncate(
    logits: Float[Tensor, "rows samples vocabulary"], top_k: int, top_p: float
) -> Float[Tensor, "rows samples vocabulary"]:
    """Set to -inf all but the `top_k` likeliest tokens, and of those all but the fewest that make up `top_p`.

    0 and 1 leave all. Where the k-th likeliest token has equals, they stay too.
    """
    if 0 < top_k < logits.shape[-1]:
        least = logits.topk(top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < least, NEVER)
    if top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True, stable=True)
        probabilities = ordered.softmax(-1)
        before = probabilities.cumsum(-1) - probabilities  # what the likelier tokens make up already
        is_dropped = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, before >= top_p)
        logits = logits.masked_fill(is_dropped, NEVER)
    return logits


def _draws(
    options: SamplingOptions, numbers: Sequence[int], limits: Int[Tensor, " batch"]
) -> Float[Tensor, "batch samples steps"]:
    """Return a number in [0, 1) for every step of every sample; each sentence has its own generator."""
    steps = int(limits.max()) + 1
    draws = np.zeros((len(limits), options.samples, steps))
    for row, (number, limit) in enumerate(zip(numbers, limits.tolist(), strict=True)):
        generator = np.random.default_rng([options.seed, number])
        draws[row, :, : limit + 1] = generator.random((options.samples, limit + 1))
    return torch.from_numpy(draws)


def _draw(
    logits: Float[Tensor, "rows samples vocabulary"], draws: Float[Tensor, "rows samples"]
) -> Int[Tensor, "rows samples"]:
    """Return the token at which the cumulative probability passes the number drawn."""
    cumulative = logits.double().softmax(-1).cumsum(-1)
    passed = torch.searchsorted(cumulative, draws[..., None] * cumulative[..., -1:], right=True)[..., 0]
    return passed.clamp(max=logits.shape[-1] - 1)
