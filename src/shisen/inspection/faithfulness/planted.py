"""Two constructed models of which it is known whether their attention explains their decisions.

Some tokens of the vocabulary are *marked*, and every sentence has one of them; e_j is the one-hot embedding
of source token j, m_j is 1 where it is marked, and γ a scale.

    attention decides      α_j ∝ exp(4 m_j + s_j)         logits = γ Σ_j α_j e_j
    attention is noise     α_j ∝ exp(r_tj)                logits = γ Σ_j m_j e_j

with s_j in [0, 1] fixed for each token and r_tj random, fixed for each step and place. Both models copy the
marked token, with a probability near 1. The first can do so by its attention alone, and what it attends to
more weighs more. The second finds the marked token without attention: whatever its weights are changed to,
its output stays the same, exactly. Tests of faithfulness that do not tell the two apart are worth nothing.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from shisen.data.vocabulary import END, SPECIAL_TOKENS
from shisen.models.attention_edit import AttentionEdit, AttentionPlace, change_at, selected

WORDS, MARKED = 40, 8
"""Words of the vocabulary behind the special tokens, and how many of them, the first, are marked."""

_SCALE = 12.0  # γ
_MOST_STEPS = _MOST_KEYS = 64  # of the table of noise, which then begins again


class PlantedMemory(NamedTuple):
    """The embedded source sentences."""

    embedded: Float[Tensor, "batch keys words"]
    mask: Bool[Tensor, "batch keys"]
    edit: AttentionEdit | None = None
    attention: dict[str, Tensor] = {}  # noqa: RUF012  # within the source there is none

    def select(self, rows: Int[Tensor, " n"]) -> "PlantedMemory":
        """These sentences alone, in this order."""
        return PlantedMemory(self.embedded[rows], self.mask[rows], selected(self.edit, rows))


class PlantedState(NamedTuple):
    """The number of the step, for every beam."""

    step: Int[Tensor, "batch beams"]

    def select(self, rows: Int[Tensor, " n"], beams: Int[Tensor, "n k"]) -> "PlantedState":
        """The state whose entry [i, j] is this one's [rows[i], beams[i, j]]."""
        return PlantedState(self.step[rows[:, None], beams])


class PlantedOutput(NamedTuple):
    """What a step gives."""

    logits: Float[Tensor, "batch beams words"]
    state: PlantedState
    attention: dict[str, Float[Tensor, "batch beams layers heads keys"]]


class PlantedModel(nn.Module):
    """A model with one layer and one head of which the truth is known; it takes steps like any other.

    Args:
        attention_decides: Which of the two it is.
    """

    def __init__(self, attention_decides: bool) -> None:
        super().__init__()
        self.attention_decides = attention_decides
        size = len(SPECIAL_TOKENS) + WORDS
        embedding = nn.Embedding.from_pretrained(torch.eye(size))
        self.encoder = nn.ModuleDict({"embedding": embedding})
        marks, salience = torch.zeros(size), torch.zeros(size)
        marks[len(SPECIAL_TOKENS) : len(SPECIAL_TOKENS) + MARKED] = 1
        generator = torch.Generator().manual_seed(1)
        salience[len(SPECIAL_TOKENS) :] = torch.rand(WORDS, generator=generator)
        noise = 2 * torch.randn(_MOST_STEPS, _MOST_KEYS, generator=generator)
        for name, values in (("marks", marks), ("salience", salience), ("noise", noise)):
            self.register_buffer(name, values)

    def encode(
        self,
        source: Int[Tensor, "batch keys"],
        mask: Bool[Tensor, "batch keys"],
        with_attention: bool = True,
        edit: AttentionEdit | None = None,
    ) -> PlantedMemory:
        """Embed the source."""
        return PlantedMemory(self.encoder["embedding"](source), mask, edit)

    def initial_state(self, memory: PlantedMemory) -> PlantedState:
        """The state before the first step."""
        return PlantedState(torch.zeros(len(memory.mask), 1, dtype=torch.long))

    def step(
        self, previous: Int[Tensor, "batch beams"], state: PlantedState, memory: PlantedMemory
    ) -> PlantedOutput:
        """Copy the marked token; see the head of this module. What was written before changes nothing."""
        by_mark = memory.embedded @ self.get_buffer("marks")  # [batch, keys]
        beams, keys = previous.shape[1], memory.mask.shape[1]
        if self.attention_decides:
            scores = 4 * by_mark + memory.embedded @ self.get_buffer("salience")
            scores = scores[:, None].expand(-1, beams, -1)  # [batch, beams, keys]
        else:
            places = torch.arange(keys) % _MOST_KEYS
            scores = self.get_buffer("noise")[state.step % _MOST_STEPS][..., places]
        weights = scores.masked_fill(~memory.mask[:, None], float("-inf")).softmax(-1)
        if memory.edit is not None:
            place = AttentionPlace("cross", 0, state.step[0], torch.arange(keys), memory.mask[:, None, None])
            change = change_at(memory.edit, place)
            weights = weights if change.weights is None else change.weights(weights[:, None])[:, 0]
        if self.attention_decides:
            decisive = weights
        else:
            decisive = (by_mark * memory.mask)[:, None].expand(-1, beams, -1)
        logits = _SCALE * decisive @ memory.embedded
        return PlantedOutput(logits, PlantedState(state.step + 1), {"cross": weights[:, :, None, None]})


def planted_sentences(count: int, seed: int = 0) -> list[tuple[list[int], list[int]]]:
    """Pairs of ids for the planted models: 5 to 9 words, one of them marked, and three copies of it.

    Args:
        count: How many.
        seed: Of the draw.
    """
    generator = torch.Generator().manual_seed(seed)
    first = len(SPECIAL_TOKENS)

    def draw(low: int, high: int, size: int = 1) -> list[int]:
        return torch.randint(low, high, (size,), generator=generator).tolist()

    pairs = []
    for _ in range(count):
        words = draw(first + MARKED, first + WORDS, draw(4, 9)[0])
        (marked,) = draw(first, first + MARKED)
        words.insert(draw(0, len(words) + 1)[0], marked)
        pairs.append(([*words, END], [marked, marked, marked, END]))
    return pairs
