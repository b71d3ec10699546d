"""The settings of decoding, checked once, where they are made."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from shisen.errors import UserError

_MOST_BEAMS = 10_000  # more would fill the memory before the first step
_MOST_SAMPLES = 100_000  # the same
_MOST_LENGTH_PENALTY = 10  # makes 10^22 of 1,000 tokens; published ones are below 2
_COLDEST, _HOTTEST = 1e-6, 1e6  # logits divided by these are numbers of float32 still


@dataclass(frozen=True)
class LengthLimits:
    """How long a translation may become, ``</s>`` not counted.

    Attributes:
        max_length: At most this many tokens; None: `max_length_ratio` × source tokens (with ``</s>``) + 10.
        min_length: At least this many tokens.
        max_length_ratio: See `max_length`.
    """

    max_length: int | None = None
    min_length: int = 0
    max_length_ratio: float = 2.0

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        _at_least("min_length", self.min_length, 0)
        _above("max_length_ratio", self.max_length_ratio, 0)
        if self.max_length is not None:
            _at_least("max_length", self.max_length, 1)
            if self.max_length < self.min_length:
                raise UserError(f"max_length is {self.max_length}, less than min_length, {self.min_length}")

    def of(self, mask: Bool[Tensor, "batch length"]) -> Int[Tensor, " batch"]:
        """Return each sentence's maximum length, from the mask of its source tokens."""
        limits = [self.of_length(length) for length in mask.sum(1).tolist()]
        return torch.tensor(limits, dtype=torch.long, device=mask.device)

    def of_length(self, source_length: int) -> int:
        """Return the maximum length of the translation of a sentence, from the number of its tokens."""
        if self.max_length is not None:
            return self.max_length
        return max(int(self.max_length_ratio * source_length) + 10, self.min_length)


@dataclass(frozen=True)
class Constraints:
    """What no produced token may be, beyond ``<pad>`` and ``<s>``, which never are.

    Attributes:
        no_repeat_ngram: No n-gram of this size occurs twice in a translation; 0: any may.
        forbid_unknown: Never produce ``<unk>``.
    """

    no_repeat_ngram: int = 0
    forbid_unknown: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        _at_least("no_repeat_ngram", self.no_repeat_ngram, 0)


@dataclass(frozen=True)
class BeamOptions:
    """The settings of beam search.

    Attributes:
        beam_size: Hypotheses kept per sentence.
        length_penalty: α of `length_normaliser`; larger values favour longer translations.
        n_best: How many of the finished hypotheses to return, at most `beam_size`.
    """

    beam_size: int = 5
    length_penalty: float = 1.0
    n_best: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        _at_least("beam_size", self.beam_size, 1)
        _at_most("beam_size", self.beam_size, _MOST_BEAMS)
        check_length_penalty(self.length_penalty)
        _at_least("n_best", self.n_best, 1)
        if self.n_best > self.beam_size:
            raise UserError(
                f"n_best is {self.n_best}, but a beam of {self.beam_size} ends with {self.beam_size} "
                "translations at most; raise beam_size or lower n_best"
            )


@dataclass(frozen=True)
class SamplingOptions:
    """The settings of sampling.

    Attributes:
        temperature: Logits are divided by it: below 1 sharper, above 1 flatter.
        top_k: Draw from the k likeliest tokens alone; 0: from all.
        top_p: Draw from the fewest likeliest tokens whose probabilities sum to at least p; 1: from all.
        samples: Translations drawn per sentence; they may coincide.
        seed: With the sentence's number it fixes every draw, whatever else is in the batch.
        length_penalty: α of the reported score; it does not influence the draws.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    samples: int = 1
    seed: int = 0
    length_penalty: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        _above("temperature", self.temperature, 0)
        if not _COLDEST <= self.temperature <= _HOTTEST:
            raise UserError(
                f"temperature is {self.temperature}; it must be from {_COLDEST:g} to {_HOTTEST:,.0f}"
            )
        _at_least("top_k", self.top_k, 0)
        _at_least("samples", self.samples, 1)
        _at_most("samples", self.samples, _MOST_SAMPLES)
        _at_least("seed", self.seed, 0)
        check_length_penalty(self.length_penalty)
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p is {self.top_p}; it must be above 0 and at most 1")


def check_length_penalty(value: float) -> None:
    """Refuse an α below 0, or one at which `length_normaliser` leaves the numbers of float32.

    Raises:
        UserError: It is out of range.
    """
    _at_least("length_penalty", value, 0)
    _at_most("length_penalty", value, _MOST_LENGTH_PENALTY)


def _at_least(name: str, value: int | float, minimum: int) -> None:
    if not (math.isfinite(value) and value >= minimum):
        raise UserError(f"{name} is {value}; it must be at least {minimum}")


def _at_most(name: str, value: int | float, maximum: int) -> None:
    if value > maximum:
        raise UserError(f"{name} is {value}; it must be at most {maximum}")


def _above(name: str, value: int | float, bound: int) -> None:
    if not (math.isfinite(value) and value > bound):
        raise UserError(f"{name} is {value}; it must be above {bound}")
