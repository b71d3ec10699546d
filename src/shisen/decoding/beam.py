"""Beam search, over all sentences and beams of a batch at once."""

from itertools import count
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from shisen.data.vocabulary import END
from shisen.decoding.candidates import best_candidates
from shisen.decoding.history import History, Step
from shisen.decoding.hypothesis import Hypothesis, length_normaliser
from shisen.decoding.interface import DecodableModel, encoded, first_tokens
from shisen.decoding.options import BeamOptions, Constraints, LengthLimits
from shisen.decoding.restriction import NEVER, extend, restrict


@torch.inference_mode()
def beam_search(
    model: DecodableModel,
    source: Int[Tensor, "batch length"],
    mask: Bool[Tensor, "batch length"],
    options: BeamOptions | None = None,
    *,
    first: Int[Tensor, " batch"] | None = None,
    lengths: LengthLimits | None = None,
    constraints: Constraints | None = None,
    with_attention: bool = False,
    edit: Any = None,
) -> list[list[Hypothesis]]:
    """Translate a batch, keeping the `beam_size` likeliest hypotheses of every sentence at every step.

    A hypothesis that produces ``</s>`` is finished; it keeps its place, so the beam of what goes on narrows
    by one (as in Bahdanau et al. 2015), and a beam of 1 is greedy decoding. A sentence leaves the batch when
    all its places are finished, or as soon as no hypothesis that goes on can still enter the n-best list: a
    sum of log-probabilities only falls, and its length penalty is at most that of the longest translation
    allowed. Leaving early therefore never changes a result.

    Args:
        model: Any model that takes steps, in evaluation mode.
        source: Source sentences, padded at the end.
        mask: True at real source tokens.
        options: Beam size, length penalty, n-best.
        first: The token that the first step reads; None: ``<s>``.
        lengths: How long a translation may become.
        constraints: Tokens that may not come.
        with_attention: Keep the attention weights.
        edit: What changes the model's attention (a `shisen.models.AttentionEdit`); None: nothing does.

    Returns:
        For each sentence its `n_best` hypotheses, all different, the best score first. There are fewer where
        the vocabulary and the limits allow fewer translations.
    """
    options = options or BeamOptions()
    lengths = lengths or LengthLimits()
    constraints = constraints or Constraints()
    memory = encoded(model, source, mask, with_attention, edit)
    state = model.initial_state(memory)
    history = History(memory.attention if with_attention else {})
    limits = lengths.of(mask)  # [rows], like all that follows: the sentences still in the batch
    sentences = torch.arange(len(source), device=source.device)
    previous = first_tokens(source, first)  # [rows, beams]: one beam at first
    sums = torch.zeros(previous.shape, device=source.device)  # [rows, beams]; -inf: an empty place
    finished = torch.full((len(source), options.beam_size), NEVER, device=source.device)  # scores, falling
    prefixes = previous[..., None][..., :0] if constraints.no_repeat_ngram else None

    for step in count():
        output = model.step(previous, state, memory)
        logits = output.logits  # [rows, beams, vocabulary]
        normaliser = logits.logsumexp(-1)  # [rows, beams]
        restrict(logits, step, limits, lengths, constraints, prefixes)
        places = options.beam_size - finished.isfinite().sum(1)  # [rows]: how many hypotheses may go on
        values, parents, tokens = best_candidates(
            logits, sums - normaliser, options.beam_size
        )  # [rows, slots]

        is_chosen = (
            torch.arange(values.shape[1], device=values.device) < places[:, None]
        ) & values.isfinite()
        has_ended = is_chosen & (tokens == END)
        goes_on = is_chosen & ~has_ended
        goes_on, order = goes_on.sort(dim=1, descending=True, stable=True)  # those that go on come first
        values, parents, tokens, has_ended = (
            x.gather(1, order) for x in (values, parents, tokens, has_ended)
        )
        log_probabilities = _chosen_log_probabilities(logits, normaliser, parents, tokens)
        attention = output.attention if with_attention else {}
        history.append(Step(sentences, tokens, log_probabilities, parents, attention), has_ended)

        scores = values / length_normaliser(step + 1.0, options.length_penalty)
        scores = torch.cat([finished, scores.masked_fill(~has_ended, NEVER)], dim=1)
        finished = scores.topk(options.beam_size, dim=1).values
        values = values.masked_fill(~goes_on, NEVER)
        bound = values[:, 0] / length_normaliser(limits + 1, options.length_penalty)
        is_done = ~goes_on[:, 0] | (finished[:, options.n_best - 1] >= bound)

        rows = (~is_done).nonzero()[:, 0]
        if len(rows) == 0:
            return history.hypotheses(mask, options.length_penalty, options.n_best)
        width = int(goes_on[rows].sum(1).max())
        parents = parents[rows, :width]
        if prefixes is not None:
            prefixes = extend(prefixes, rows, parents, tokens[rows, :width])
        if len(rows) < len(sentences):
            memory = memory.select(rows)
        state = output.state.select(rows, parents)
        previous, sums = tokens[rows, :width], values[rows, :width]
        sentences, limits, finished = sentences[rows], limits[rows], finished[rows]
    raise AssertionError("unreachable: every hypothesis ends at its sentence's limit")


def _chosen_log_probabilities(
    logits: Float[Tensor, "rows beams vocabulary"],
    normaliser: Float[Tensor, "rows beams"],
    parents: Int[Tensor, "rows slots"],
    tokens: Int[Tensor, "rows slots"],
) -> Float[Tensor, "rows slots"]:
    """Return the log-probability of each chosen token after its parent."""
    places = parents * logits.shape[-1] + tokens
    return logits.flatten(1).gather(1, places) - normaliser.gather(1, parents)
