"""Toy models that take steps: small enough to search exhaustively, and the whole prefix matters."""

from typing import NamedTuple

import torch
from torch import Tensor

from shisen.data.vocabulary import BEGIN, END


class ToyMemory(NamedTuple):
    source: Tensor  # [batch, length]
    mask: Tensor  # [batch, length]
    attention: dict[str, Tensor] = {}  # noqa: RUF012  (nobody writes in it)

    def select(self, rows: Tensor) -> "ToyMemory":
        return ToyMemory(self.source[rows], self.mask[rows])


class ToyState(NamedTuple):
    prefix: Tensor  # [batch, beams]: a number that stands for all tokens read so far, in order

    def select(self, rows: Tensor, beams: Tensor) -> "ToyState":
        return ToyState(self.prefix[rows[:, None], beams])


class ToyOutput(NamedTuple):
    logits: Tensor
    state: ToyState
    attention: dict[str, Tensor]


class ToyModel:
    """Logits and attention drawn from a table whose row is a hash of the source and of the whole prefix."""

    def __init__(
        self, vocabulary: int = 7, seed: int = 0, scale: float = 1.5, layers: int = 2, heads: int = 3
    ):
        generator = torch.Generator().manual_seed(seed)
        self.rows = 4099
        self.table = torch.randn(self.rows, vocabulary, generator=generator) * scale
        self.layers, self.heads = layers, heads
        self.steps: list[tuple[int, int]] = []  # the sizes [batch, beams] of the steps taken

    def encode(self, source: Tensor, mask: Tensor, with_attention: bool = True) -> ToyMemory:
        return ToyMemory(source, mask)

    def initial_state(self, memory: ToyMemory) -> ToyState:
        weights = torch.arange(1, memory.source.shape[1] + 1)
        sums = (memory.source * memory.mask * weights).sum(1, keepdim=True)
        return ToyState(sums % self.rows)

    def step(self, previous: Tensor, state: ToyState, memory: ToyMemory) -> ToyOutput:
        self.steps.append(tuple(previous.shape))
        prefix = (state.prefix * 31 + previous * 7 + 1) % self.rows
        keys = torch.arange(memory.mask.shape[1])
        places = prefix[..., None, None, None] + torch.arange(self.heads)[:, None] * 5 + keys
        places = places + torch.arange(self.layers)[:, None, None] * 11
        scores = (places % 13).float()  # [batch, beams, layers, heads, keys]
        scores = scores.masked_fill(~memory.mask[:, None, None, None], float("-inf"))
        return ToyOutput(self.table[prefix], ToyState(prefix), {"cross": scores.softmax(-1)})


def sources(*sentences: list[int]) -> tuple[Tensor, Tensor]:
    """Sentences of ids, padded: (source, mask)."""
    longest = max(map(len, sentences))
    source = torch.tensor([sentence + [0] * (longest - len(sentence)) for sentence in sentences])
    return source, source != 0


def walk(model: ToyModel, sentence: list[int], ids: list[int]) -> tuple[list[float], list[Tensor]]:
    """The log-probabilities of the ids and the step's attention, by the plainest loop there is."""
    memory = model.encode(*sources(sentence))
    state = model.initial_state(memory)
    log_probabilities, attention = [], []
    for previous, token in zip([BEGIN, *ids], ids, strict=False):
        output = model.step(torch.tensor([[previous]]), state, memory)
        state = output.state
        log_probabilities.append(float(output.logits[0, 0].double().log_softmax(-1)[token]))
        attention.append(output.attention["cross"][0, 0])
    return log_probabilities, attention


def every_translation(vocabulary: int, limit: int) -> list[list[int]]:
    """All sequences of at most `limit` words, ``</s>`` at the end of each; words are all but special ids."""
    words = [1, *range(END + 1, vocabulary)]  # <unk> may be produced
    sequences: list[list[int]] = [[]]
    found = [[END]]
    for _ in range(limit):
        sequences = [[*sequence, word] for sequence in sequences for word in words]
        found += [[*sequence, END] for sequence in sequences]
    return found
