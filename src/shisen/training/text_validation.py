"""Measuring a language model on the validation text: cross-entropy of all lines, one of them continued."""

from collections.abc import Sequence
from typing import Any

import torch

from shisen.data.corpus import TokenizedCorpus
from shisen.data.tokenizer import Tokenizer
from shisen.data.vocabulary import BEGIN
from shisen.decoding import LengthLimits, greedy
from shisen.training.machine import Precision
from shisen.training.validation import Example, Validator

_MOST_GIVEN = 8  # tokens of a line that is to be continued; half of a shorter one
_MOST_CONTINUED = LengthLimits(max_length=30)


class TextValidator(Validator):
    """Measures a language model, without a trace in it or in the random numbers.

    Args:
        corpus: All validation lines, as targets.
        lines: Some of them as they were written, whose beginnings are continued, one at each validation; may
            be empty.
        tokenizer: Of the text.
        precision: As in training.
    """

    def __init__(
        self, corpus: TokenizedCorpus, lines: Sequence[str], tokenizer: Tokenizer, precision: Precision
    ):
        super().__init__(corpus, [], tokenizer, tokenizer, precision)
        self._lines = list(lines)

    def _try_out(self, model: Any, device: torch.device) -> tuple[None, Example | None]:
        """Continue the beginning of another line at each validation."""
        if not self._lines:
            return None, None
        line = self._lines[(7 * self._shown + len(self._lines) // 2) % len(self._lines)]
        self._shown += 1
        ids = self.target_tokenizer.encode(line)
        given = ids[: min(_MOST_GIVEN, len(ids) // 2)]
        source = torch.tensor([[BEGIN, *given]], device=device)  # [1, given + 1]
        is_real = torch.ones_like(source, dtype=torch.bool)
        (found,) = greedy(model, source, is_real, first=source[:, -1], lengths=_MOST_CONTINUED)
        decode = self.target_tokenizer.decode
        return None, Example(decode(given), line, decode([*given, *found.ids]))
