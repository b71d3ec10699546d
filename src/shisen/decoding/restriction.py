"""Which tokens may come next: special tokens, lengths, repeated n-grams."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from shisen.data.vocabulary import BEGIN, END, PADDING, UNKNOWN
from shisen.decoding.options import Constraints, LengthLimits

NEVER = float("-inf")


def restrict(
    logits: Float[Tensor, "rows beams vocabulary"],
    step: int,
    limits: Int[Tensor, " rows"],
    lengths: LengthLimits,
    constraints: Constraints,
    prefixes: Int[Tensor, "rows beams length"] | None,
) -> None:
    """Set the logits of tokens that may not come next to -inf, in place.

    Args:
        logits: The scores of the token at position `step` (from 0).
        step: How many tokens have been produced.
        limits: Each sentence's maximum length: once it is reached, ``</s>`` alone may follow.
        lengths: The minimum length: before it, ``</s>`` may not come.
        constraints: Further restrictions.
        prefixes: The tokens produced so far; needed for `no_repeat_ngram` only.
    """
    logits[..., PADDING] = NEVER
    logits[..., BEGIN] = NEVER
    if constraints.forbid_unknown:
        logits[..., UNKNOWN] = NEVER
    if step < lengths.min_length:
        logits[..., END] = NEVER
    if prefixes is not None:
        forbid_repeated_ngrams(logits, prefixes, constraints.no_repeat_ngram)
    at_limit = limits <= step
    if at_limit.any():
        end = logits[at_limit, :, END]
        logits[at_limit] = NEVER
        logits[at_limit, :, END] = end


def forbid_repeated_ngrams(
    logits: Float[Tensor, "rows beams vocabulary"], prefixes: Int[Tensor, "rows beams length"], size: int
) -> None:
    """Set to -inf, in place, every token that would complete an n-gram that the prefix already holds."""
    length = prefixes.shape[-1]
    if length < size:
        return
    ngrams = prefixes.unfold(-1, size, 1)  # [rows, beams, length - size + 1, size]
    last = prefixes[..., length - size + 1 :]  # [rows, beams, size - 1]: what the next token would complete
    is_repeated = (ngrams[..., :-1] == last[..., None, :]).all(-1)
    row, beam, position = is_repeated.nonzero(as_tuple=True)
    logits[row, beam, ngrams[row, beam, position, -1]] = NEVER


def extend(
    prefixes: Int[Tensor, "rows beams length"],
    rows: Int[Tensor, " kept"],
    parents: Int[Tensor, "kept width"],
    tokens: Int[Tensor, "kept width"],
) -> Int[Tensor, "kept width length_1"]:
    """Return the prefixes of the hypotheses that go on: their parents' tokens and then their own."""
    return torch.cat([prefixes[rows[:, None], parents], tokens[..., None]], dim=-1)
